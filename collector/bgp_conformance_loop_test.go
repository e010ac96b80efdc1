package collector

import (
	"slices"
	"strings"
	"testing"

	"github.com/ribtap/ribtap/event"
)

// TestConformanceClusterLoop: a route that a reflector says has been at our router
// identifier before is told so and kept (RFC 4456 §8). From an external neighbour
// the attributes mean nothing (RFC 7606 §7.9, §7.10).
func TestConformanceClusterLoop(t *testing.T) {
	localPref := []byte{0x40, 5, 4, 0, 0, 0, 100}
	originator := func(last byte) []byte { return append([]byte{0x80, 9, 4, 10, 255, 0, last}, localPref...) }
	clusters := func(last byte) []byte {
		return append([]byte{0x80, 10, 8, 192, 0, 2, 7, 10, 255, 0, last}, localPref...)
	}
	for _, c := range []struct {
		name  string
		asn   uint32
		attrs []byte
		loop  bool
	}{
		{"our identifier in the cluster list", 65000, clusters(1), true},
		{"we are the originator", 65000, originator(1), true},
		{"others' clusters", 65000, clusters(2), false},
		{"another originator", 65000, originator(2), false},
		{"neither", 65000, localPref, false},
		{"external, clusters", 65001, clusters(1), false},
		{"external, originator", 65001, originator(1), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				sp := newSpeaker(t, nil)
				n := sp.neighbour(peerA, func(n *fakeNeighbour) { n.received.AS = c.asn })
				n.up()
				msg := updateMessage(1, c.attrs, "+10.0.0.0/8")
				n.send(msg, update4("-10.9.0.0/16"))
				kept := sp.rec.kept[len(sp.rec.kept)-2:]
				words := string(event.AppendJSON(nil, &kept[0]))
				if strings.Contains(words, `"cluster-loop"`) != c.loop || !slices.Equal(kept[0].PDU, msg) {
					t.Error(words)
				}
				if words := string(event.AppendJSON(nil, &kept[1])); strings.Contains(words, "cluster-loop") {
					t.Error(words)
				}
				if got := sp.rib(); !slices.Equal(got, []string{"192.0.2.10 10.0.0.0/8"}) {
					t.Errorf("RIB %v", got)
				}
			})
		})
	}
}
