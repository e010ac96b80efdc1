package collector

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ribtap/ribtap/bgp"
)

const (
	sweptLong = "refresh 192.0.2.10 stale-sweep inferred ipv4-unicast end"
	endedLong = "refresh 192.0.2.10 session-lost inferred ipv4-unicast end"
)

// nearTheEnd is the neighbour of longLivedNeighbour, away until left is left of the
// 120 s and the hour for which its routes are kept.
func nearTheEnd(sp *speakerRig, left time.Duration) *fakeNeighbour {
	n := longLivedNeighbour(sp)
	time.Sleep(3720*time.Second - left)
	sp.rec.take()
	return n
}

// The timer of the long-lived stale time goes on when the session is there again,
// and only End-of-RIB stops it (RFC 9494 §4.2).
func TestConformanceLongLivedTimerGoesOn(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := nearTheEnd(sp, 30*time.Second)
		n.up()
		n.send(update4("+10.0.0.0/8"))
		sp.want("peer-up 192.0.2.10 epoch 2", "route 192.0.2.10 +10.0.0.0/8")
		time.Sleep(28 * time.Second)
		sp.want()
		time.Sleep(4 * time.Second)
		sp.want("route 192.0.2.10 stale-sweep inferred -10.1.0.0/16/c/s", sweptLong)
		if got := sp.rib(); len(got) != 1 {
			t.Errorf("RIB %v", got)
		}
	})
}

// TestConformanceLongLivedTimerStops: behind End-of-RIB a loss begins anew.
func TestConformanceLongLivedTimerStops(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := nearTheEnd(sp, 30*time.Second)
		n.up()
		n.send(update4("+10.0.0.0/8"), eorOf(bgp.IPv4Unicast))
		time.Sleep(time.Minute)
		sp.rec.take()
		n.lost()
		sp.want(lostA, begun4)
		time.Sleep(3719 * time.Second)
		sp.want("refresh 192.0.2.10 session-lost inferred ipv4-unicast begin (long-lived stale time 3600 s)")
		time.Sleep(2 * time.Second)
		sp.want("route 192.0.2.10 session-lost inferred -10.0.0.0/8/c/s", endedLong)
	})
}

// TestConformanceLongLivedLostAgain: a second loss before End-of-RIB changes nothing
// about the timer, which ends the routes within the second restart time.
func TestConformanceLongLivedLostAgain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := nearTheEnd(sp, 30*time.Second)
		n.up()
		n.send(update4("+10.0.0.0/8"))
		sp.rec.take()
		time.Sleep(10 * time.Second)
		n.lost()
		sp.want(lostA, "refresh 192.0.2.10 session-lost inferred ipv4-unicast begin (restart time 20 s)")
		time.Sleep(18 * time.Second)
		sp.want()
		time.Sleep(4 * time.Second)
		sp.want("route 192.0.2.10 session-lost inferred -10.0.0.0/8/c/s -10.1.0.0/16/c/s", endedLong)
		if diff := cmp.Diff(sp.rec.told(), sp.rib()); diff != "" {
			t.Errorf("RIB state (-told +held):\n%s", diff)
		}
	})
}

// TestConformanceLongLivedLostAgainLate: when the timer ran out in a session that
// was never synchronised, its loss keeps nothing.
func TestConformanceLongLivedLostAgainLate(t *testing.T) {
	for _, eor := range []bool{false, true} {
		inBubble(t, func(t *testing.T) {
			sp := newSpeaker(t, nil)
			n := nearTheEnd(sp, 30*time.Second)
			n.up()
			n.send(update4("+10.0.0.0/8"))
			time.Sleep(40 * time.Second)
			if eor {
				n.send(eorOf(bgp.IPv4Unicast))
			}
			sp.rec.take()
			n.lost()
			if eor {
				sp.want(lostA, begun4)
				return
			}
			sp.want(lostA, "route 192.0.2.10 session-lost inferred -10.0.0.0/8/c/s")
			n.up() // and what comes then begins anew
			n.send(update4("+10.0.0.0/8"))
			sp.rec.take()
			n.lost()
			sp.want(lostA, begun4)
		})
	}
}
