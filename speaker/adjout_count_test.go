package speaker

import (
	"testing"

	"github.com/ribtap/ribtap/bgp"
)

// TestAnnouncedCount: what was announced is counted each time that it went out,
// what the neighbour has once.
func TestAnnouncedCount(t *testing.T) {
	s := outSession(t, outParams{})
	med := uint32(123)
	a, r := outSessionUp(t, s, &Peer{Announce: prefixes(10, Announcement{})})
	for _, list := range [][]Announcement{
		prefixes(10, Announcement{MED: &med}), prefixes(9, Announcement{MED: &med}), prefixes(12, Announcement{MED: &med}),
	} {
		r.change(a, &Peer{Announce: list})
	}
	a.resend(bgp.IPv4Unicast)
	r.drain(a, 1<<16)
	const first, changed, more, again = 10, 10, 3, 12
	if got := a.stats(); got.announced != first+changed+more+again || got.advertised != 12 || got.withdrawn != 1 {
		t.Errorf("%d announced, %d advertised, %d withdrawn, want %d, 12, 1", got.announced, got.advertised, got.withdrawn, first+changed+more+again)
	}
}
