package collector

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/speaker"
)

const (
	peerA  = "192.0.2.10"
	begun4 = "refresh 192.0.2.10 session-lost inferred ipv4-unicast begin (restart time 120 s)"
	begun6 = "refresh 192.0.2.10 session-lost inferred ipv6-unicast begin (restart time 120 s)"
	lostA  = "peer-down 192.0.2.10 session-lost"
)

// started is a neighbour with a restart time of 120 s that has said something.
func started(sp *speakerRig, change ...func(*fakeNeighbour)) *fakeNeighbour {
	n := sp.neighbour(peerA, append([]func(*fakeNeighbour){graceful(120, true, false)}, change...)...)
	n.up()
	n.send(update4("+10.0.0.0/8", "+10.1.0.0/16", "+10.2.0.0/16"), update6("+2001:db8:1::/48"), eorOf(bgp.IPv4Unicast), eorOf(bgp.IPv6Unicast))
	sp.rec.take()
	return n
}

// TestRestartWithinTime: the peer-down comes at once, the routes stay; those that
// come back unchanged changed nothing, the rest goes at End-of-RIB, by family.
func TestRestartWithinTime(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := started(sp)
		n.lost()
		sp.want(lostA, begun4, begun6)
		if up, st := sp.status(peerA, bgp.IPv4Unicast); up || st.Routes != 3 || st.Stale != 3 || time.Until(st.StaleUntil) != 120*time.Second {
			t.Errorf("status %+v", st)
		}
		time.Sleep(100 * time.Second)
		n.up()
		sp.want("peer-up 192.0.2.10 epoch 2")
		n.send(update4("+10.0.0.0/8"), updateMessage(7, nil, "+10.1.0.0/16"), eorOf(bgp.IPv4Unicast))
		sp.want("route 192.0.2.10 +10.0.0.0/8", "route 192.0.2.10 +10.1.0.0/16/c", "route 192.0.2.10 end-of-rib ipv4-unicast",
			"route 192.0.2.10 stale-sweep inferred -10.2.0.0/16/c/s", "refresh 192.0.2.10 stale-sweep inferred ipv4-unicast end")
		n.send(update6("+2001:db8:1::/48"), eorOf(bgp.IPv6Unicast))
		sp.want("route 192.0.2.10 +2001:db8:1::/48", "route 192.0.2.10 end-of-rib ipv6-unicast", "refresh 192.0.2.10 stale-sweep inferred ipv6-unicast end")
		time.Sleep(time.Hour)
		sp.want()
	})
}

func TestRestartBeyondTime(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := started(sp)
		n.lost()
		sp.rec.take()
		time.Sleep(119 * time.Second)
		sp.want()
		time.Sleep(2 * time.Second)
		sp.want("route 192.0.2.10 session-lost inferred -10.0.0.0/8/c/s -10.1.0.0/16/c/s -10.2.0.0/16/c/s",
			"route 192.0.2.10 session-lost inferred -2001:db8:1::/48/c/s",
			"refresh 192.0.2.10 session-lost inferred ipv4-unicast end", "refresh 192.0.2.10 session-lost inferred ipv6-unicast end")
		// It comes back, after all: the same routes are known again.
		n.up()
		n.send(update4("+10.0.0.0/8"))
		sp.want("peer-up 192.0.2.10 epoch 2", "route 192.0.2.10 +10.0.0.0/8/s")
	})
}

// TestRestartNotPreserved: with F=0, without the family, without the family in
// the session, or without the capability, what was kept goes at once.
func TestRestartNotPreserved(t *testing.T) {
	gone4 := []string{
		"route 192.0.2.10 session-lost inferred -10.0.0.0/8/c/s -10.1.0.0/16/c/s -10.2.0.0/16/c/s",
		"refresh 192.0.2.10 session-lost inferred ipv4-unicast end",
	}
	gone := []string{
		gone4[0], "route 192.0.2.10 session-lost inferred -2001:db8:1::/48/c/s", gone4[1],
		"refresh 192.0.2.10 session-lost inferred ipv6-unicast end",
	}
	for _, c := range []struct {
		name   string
		change func(*fakeNeighbour)
		want   []string
	}{
		{"F=0", graceful(120, false, false), gone},
		{"no capability", func(n *fakeNeighbour) { n.received.GracefulRestart = nil }, gone},
		{"family absent", func(n *fakeNeighbour) {
			n.received.GracefulRestart.Families = n.received.GracefulRestart.Families[1:]
		}, gone4},
		{"family not negotiated", func(n *fakeNeighbour) { n.received.Families = n.received.Families[1:] }, gone4},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				sp := newSpeaker(t, nil)
				n := started(sp)
				n.lost()
				sp.rec.take()
				n.up(c.change)
				sp.want(append([]string{"peer-up 192.0.2.10 epoch 2"}, c.want...)...)
				if diff := cmp.Diff(sp.rec.told(), sp.rib()); diff != "" {
					t.Errorf("RIB state (-told +held):\n%s", diff)
				}
			})
		})
	}
}

// TestRestartConsecutive: what is stale already goes in the second restart.
func TestRestartConsecutive(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := started(sp)
		n.lost()
		n.up()
		n.send(update4("+10.0.0.0/8"), eorOf(bgp.IPv6Unicast))
		time.Sleep(10 * time.Second)
		sp.rec.take()
		n.lost()
		sp.want(lostA, "route 192.0.2.10 stale-sweep inferred -10.1.0.0/16/c/s -10.2.0.0/16/c/s", begun4)
		if got := sp.rib(); len(got) != 1 {
			t.Errorf("RIB %v", got)
		}
	})
}

// TestRestartByNotification: with the N bit on both sides the session is lost as
// if TCP were, but for a hard reset (RFC 8538).
func TestRestartByNotification(t *testing.T) {
	stays := func(cause string) string {
		return "refresh 192.0.2.10 " + cause + " inferred ipv4-unicast begin (restart time 120 s)"
	}
	goes := "route 192.0.2.10 peer-down inferred -10.0.0.0/8/c/s"
	notification := func(code, subcode uint8) []byte {
		return bgp.AppendNotification(nil, bgp.Notification{Code: code, Subcode: subcode})
	}
	for _, c := range []struct {
		name         string
		ours, theirs bool
		down         speaker.Down
		want         string
	}{
		{"N on both sides", true, true, speaker.Down{Reason: 3, Notification: notification(6, 4)}, stays("peer-down")},
		{"hold timer, ours", true, true, speaker.Down{Reason: 1, Notification: notification(4, 0)}, stays("peer-down")},
		{"hard reset", true, true, speaker.Down{Reason: 3, Notification: notification(6, 9)}, goes},
		{"N on our side", true, false, speaker.Down{Reason: 3, Notification: notification(6, 4)}, goes},
		{"N on their side", false, true, speaker.Down{Reason: 1, Notification: notification(4, 0)}, goes},
		{"deconfigured", true, true, speaker.Down{Reason: 5}, goes},
		{"manual stop", true, true, speaker.Down{Reason: 2, FSMEvent: 2}, goes},
		{"TCP fails", false, false, speaker.Down{Reason: 2, FSMEvent: 18}, stays("session-lost")},
		{"send hold timer", false, false, speaker.Down{Reason: 2, FSMEvent: 29}, stays("session-lost")},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				sp := newSpeaker(t, nil)
				n := sp.neighbour(peerA, graceful(120, true, c.theirs))
				n.sent.GracefulRestart.Notification = c.ours
				n.up()
				n.send(update4("+10.0.0.0/8"))
				sp.rec.take()
				n.down(c.down)
				if got := sp.rec.take(); len(got) != 2 || !strings.HasPrefix(got[0], "peer-down 192.0.2.10 ") || got[1] != c.want {
					t.Errorf("%q, want %q", got, c.want)
				}
			})
		})
	}
}

// TestRestartOfOneFamily: a family that the neighbour does not list is lost.
func TestRestartOfOneFamily(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := started(sp, func(n *fakeNeighbour) {
			n.received.GracefulRestart.Families = n.received.GracefulRestart.Families[:1]
		})
		n.lost()
		sp.want(lostA, begun4, "route 192.0.2.10 session-lost inferred -2001:db8:1::/48/c/s")
		n.up()
		n.send(update4("+10.0.0.0/8", "+10.1.0.0/16", "+10.2.0.0/16"), update6("+2001:db8:1::/48"))
		sp.want("peer-up 192.0.2.10 epoch 2", "route 192.0.2.10 +10.0.0.0/8 +10.1.0.0/16 +10.2.0.0/16", "route 192.0.2.10 +2001:db8:1::/48/s")
	})
}

// TestRestartEarlyEndOfRIB: of an End-of-RIB before any route, as FRR sends it
// while its policy is not there yet, it is not believed that nothing comes.
func TestRestartEarlyEndOfRIB(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := started(sp)
		n.lost()
		n.up()
		sp.rec.take()
		n.send(eorOf(bgp.IPv4Unicast), eorOf(bgp.IPv6Unicast))
		sp.want("route 192.0.2.10 end-of-rib ipv4-unicast", "route 192.0.2.10 end-of-rib ipv6-unicast")
		time.Sleep(4 * time.Second)
		n.send(update4("+10.0.0.0/8", "+10.1.0.0/16"))
		time.Sleep(4 * time.Second)
		sp.want("route 192.0.2.10 +10.0.0.0/8 +10.1.0.0/16")
		time.Sleep(3 * time.Second)
		sp.want("route 192.0.2.10 stale-sweep inferred -10.2.0.0/16/c/s", "route 192.0.2.10 stale-sweep inferred -2001:db8:1::/48/c/s",
			"refresh 192.0.2.10 stale-sweep inferred ipv4-unicast end", "refresh 192.0.2.10 stale-sweep inferred ipv6-unicast end")
		time.Sleep(time.Hour)
		sp.want()
	})
}

// TestRestartWithoutEndOfRIB: a cap sweeps what a neighbour forgot to end.
func TestRestartWithoutEndOfRIB(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := started(sp)
		n.lost()
		n.up()
		n.send(update4("+10.0.0.0/8"), eorOf(bgp.IPv6Unicast))
		time.Sleep(10 * time.Second)
		sp.rec.take()
		time.Sleep(3*minute - 12*time.Second)
		sp.want()
		time.Sleep(4 * time.Second)
		sp.want("route 192.0.2.10 stale-sweep inferred -10.1.0.0/16/c/s -10.2.0.0/16/c/s", "refresh 192.0.2.10 stale-sweep inferred ipv4-unicast end")
	})
}

// TestRestartWithNothingLeft: what was said to be stale is said not to be, also
// when nothing is left to withdraw.
func TestRestartWithNothingLeft(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := sp.neighbour(peerA, graceful(120, true, false))
		n.up()
		n.send(update4("+10.0.0.0/8"))
		n.lost()
		n.up()
		n.send(update4("-10.0.0.0/8"))
		sp.rec.take()
		n.lost()
		sp.want(lostA, "refresh 192.0.2.10 session-lost inferred ipv4-unicast end")
	})
}

// longLived is a neighbour with a restart time of 120 s and a long-lived stale
// time of an hour for IPv4, of whose routes one has NO_LLGR.
func longLivedNeighbour(sp *speakerRig) *fakeNeighbour {
	n := sp.neighbour(peerA, graceful(120, true, false), longLivedOf(3600, true))
	n.up()
	noLLGR := []byte{0xc0, 8, 8, 0xfd, 0xe9, 0, 1, 0xff, 0xff, 0, 7}
	n.send(update4("+10.0.0.0/8", "+10.1.0.0/16"), updateMessage(1, noLLGR, "+10.2.0.0/16"), update6("+2001:db8:1::/48"))
	sp.rec.take()
	n.lost()
	sp.want(lostA, begun4, begun6)
	return n
}

func TestLongLivedRestart(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := longLivedNeighbour(sp)
		time.Sleep(121 * time.Second)
		sp.want("refresh 192.0.2.10 session-lost inferred ipv4-unicast begin (long-lived stale time 3600 s)",
			"route 192.0.2.10 session-lost inferred -10.2.0.0/16/c/s", // NO_LLGR
			"route 192.0.2.10 session-lost inferred -2001:db8:1::/48/c/s", "refresh 192.0.2.10 session-lost inferred ipv6-unicast end")
		time.Sleep(50 * minute)
		sp.want()
		n.up()
		n.send(update4("+10.0.0.0/8"), updateMessage(1, []byte{0xc0, 8, 8, 0xfd, 0xe9, 0, 1, 0xff, 0xff, 0, 7}, "+10.2.0.0/16"), eorOf(bgp.IPv4Unicast))
		sp.want("peer-up 192.0.2.10 epoch 2", "route 192.0.2.10 +10.0.0.0/8", "route 192.0.2.10 +10.2.0.0/16/s", "route 192.0.2.10 end-of-rib ipv4-unicast",
			"route 192.0.2.10 stale-sweep inferred -10.1.0.0/16/c/s", "refresh 192.0.2.10 stale-sweep inferred ipv4-unicast end")
	})
}

func TestLongLivedRestartBeyondTime(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		longLivedNeighbour(sp)
		time.Sleep(3719 * time.Second)
		sp.rec.take()
		time.Sleep(2 * time.Second)
		sp.want("route 192.0.2.10 session-lost inferred -10.0.0.0/8/c/s -10.1.0.0/16/c/s", "refresh 192.0.2.10 session-lost inferred ipv4-unicast end")
		if got := sp.rib(); len(got) != 0 {
			t.Errorf("RIB %v", got)
		}
	})
}

// TestLongLivedRestartNotPreserved: the F bit that counts is the long-lived one.
func TestLongLivedRestartNotPreserved(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := longLivedNeighbour(sp)
		time.Sleep(10 * minute)
		sp.rec.take()
		n.up(longLivedOf(3600, false))
		sp.want("peer-up 192.0.2.10 epoch 2", "route 192.0.2.10 session-lost inferred -10.0.0.0/8/c/s -10.1.0.0/16/c/s",
			"refresh 192.0.2.10 session-lost inferred ipv4-unicast end")
	})
}

// TestLongLivedRestartConsecutive: a second restart withdraws nothing before the
// long-lived stale time, which began with the first, is over (RFC 9494 §4.2).
func TestLongLivedRestartConsecutive(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := longLivedNeighbour(sp)
		time.Sleep(10 * minute)
		n.up()
		n.send(update4("+10.0.0.0/8"))
		sp.rec.take()
		n.lost()
		sp.want(lostA, begun4)
		time.Sleep(51 * minute)
		sp.want("refresh 192.0.2.10 session-lost inferred ipv4-unicast begin (long-lived stale time 3000 s)")
		time.Sleep(2 * minute)
		sp.want("route 192.0.2.10 session-lost inferred -10.0.0.0/8/c/s -10.1.0.0/16/c/s", "refresh 192.0.2.10 session-lost inferred ipv4-unicast end")
	})
}

// TestRestartOfManyRoutes: what is too much to withdraw at once goes in portions,
// and the end of it all is said behind the last of them.
func TestRestartOfManyRoutes(t *testing.T) {
	for _, c := range []struct {
		name string
		then func(n *fakeNeighbour)
		left int
		told bool // that no routes of IPv4 are stale any more
	}{
		{"beyond the time", func(*fakeNeighbour) { time.Sleep(5 * minute) }, 0, true},
		{"F=0", func(n *fakeNeighbour) { n.up(graceful(120, false, false)) }, 0, true},
		{"End-of-RIB", func(n *fakeNeighbour) {
			n.up()
			n.send(update4("+10.0.0.0/24"), eorOf(bgp.IPv4Unicast), update4("+10.0.1.0/24"))
		}, 2, true},
		{"consecutive", func(n *fakeNeighbour) {
			n.up()
			n.send(update4("+10.0.0.0/24"))
			n.lost()
		}, 1, false},
		{"both families", func(n *fakeNeighbour) {
			n.up()
			n.send(eorOf(bgp.IPv4Unicast), update6("+2001:db8:1::/48"), eorOf(bgp.IPv6Unicast))
		}, 1, true},
		{"a refresh begins meanwhile", func(n *fakeNeighbour) {
			n.up()
			n.send(update4("+10.0.0.0/24", "+10.0.1.0/24"), eorOf(bgp.IPv4Unicast), refreshOf(bgp.IPv4Unicast, 1))
		}, 2, true},
		{"refresh", func(n *fakeNeighbour) {
			n.up()
			n.send(eorOf(bgp.IPv4Unicast), update4("+10.0.0.0/24"), refreshOf(bgp.IPv4Unicast, 1), update4("+10.0.1.0/24"), refreshOf(bgp.IPv4Unicast, 2))
		}, 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				sp := newSpeaker(t, nil, func(c *Config) { c.Pace = func() { time.Sleep(10 * time.Millisecond) } })
				n := sp.neighbour(peerA, graceful(120, true, false))
				n.up()
				const routes = 3 * inlineEnd
				for i := 0; i < routes; i += 256 {
					var list []string
					for j := range 256 {
						list = append(list, fmt.Sprintf("+10.%d.%d.0/24", (i+j)>>8, (i+j)&255))
					}
					n.send(update4(list...))
				}
				n.send(update6("+2001:db8:1::/48"), update6("+2001:db8:2::/48"))
				n.lost()
				c.then(n)
				time.Sleep(minute)
				if n.recv.(*bgpSession).nb.session != nil {
					n.send(eorOf(bgp.IPv6Unicast))
					time.Sleep(minute)
				}
				if got := sp.rib(); len(got) != c.left {
					t.Errorf("%d routes left, want %d", len(got), c.left)
				}
				if diff := cmp.Diff(sp.rec.told(), sp.rib()); diff != "" {
					t.Errorf("RIB state (-told +held):\n%s", diff)
				}
				withdrawn, ended := 0, 0
				for i, line := range sp.rec.take() {
					if strings.Contains(line, "inferred -10.") {
						withdrawn = i
					}
					if strings.HasSuffix(line, "inferred ipv4-unicast end") {
						ended = i
					}
				}
				if (ended > withdrawn) != c.told {
					t.Errorf("last withdrawn by event %d, told by %d", withdrawn, ended)
				}
			})
		})
	}
}

// TestLongLivedRestartOfNothing: when no route wants to be kept for long, the
// neighbour's return ends what was said of them.
func TestLongLivedRestartOfNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := sp.neighbour(peerA, graceful(120, true, false), longLivedOf(3600, true))
		n.up()
		n.send(updateMessage(1, []byte{0xc0, 8, 4, 0xff, 0xff, 0, 7}, "+10.2.0.0/16"))
		n.lost()
		sp.rec.take()
		time.Sleep(121 * time.Second)
		sp.want("refresh 192.0.2.10 session-lost inferred ipv4-unicast begin (long-lived stale time 3600 s)",
			"route 192.0.2.10 session-lost inferred -10.2.0.0/16/c/s")
		n.up()
		sp.want("peer-up 192.0.2.10 epoch 2", "refresh 192.0.2.10 stale-sweep inferred ipv4-unicast end")
	})
}

// TestRestartThenStop: routes that were stale when the speaker stopped, and are
// not taken up again, end with a word on it.
func TestRestartThenStop(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := started(sp)
		n.lost()
		n.up()
		sp.rec.take()
		n.down(speaker.Down{Stop: true})
		time.Sleep(4 * minute)
		sp.want()
		time.Sleep(2 * minute)
		sp.want("route 192.0.2.10 session-lost inferred -10.0.0.0/8/c/s -10.1.0.0/16/c/s -10.2.0.0/16/c/s",
			"route 192.0.2.10 session-lost inferred -2001:db8:1::/48/c/s",
			"refresh 192.0.2.10 session-lost inferred ipv4-unicast end", "refresh 192.0.2.10 session-lost inferred ipv6-unicast end")
	})
}

// TestLostRoutesAreForgotten: how long those of a lost session are known again.
func TestLostRoutesAreForgotten(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := sp.neighbour(peerA)
		n.up()
		n.send(update4("+10.0.0.0/8", "+10.1.0.0/16"))
		n.lost()
		n.up()
		n.send(update4("+10.0.0.0/8"))
		sp.rec.take()
		time.Sleep(4 * minute)
		n.send(update4("+10.1.0.0/16"))
		sp.want("route 192.0.2.10 +10.1.0.0/16/c/s")
	})
}
