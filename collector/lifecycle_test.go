package collector

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/bmp"
)

func TestLifeOfAPeer(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		f := r.connect("198.51.100.1:40000")
		h := peerHeader("192.0.2.10", 0)
		f.send(initiation("r1"), peerUp(h))
		r.want("router-up r1", "peer-up 192.0.2.10 epoch 1")

		f.send(update(h, 1, "+10.0.0.0/8", "+10.1.0.0/16"))
		r.want("route 192.0.2.10 +10.0.0.0/8/c/s +10.1.0.0/16/c/s")
		f.send(update(h, 1, "+10.0.0.0/8"), update(h, 2, "+10.0.0.0/8"), update(h, 0, "-10.1.0.0/16"), update(h, 0, "-10.1.0.0/16"))
		r.want("route 192.0.2.10 +10.0.0.0/8", "route 192.0.2.10 +10.0.0.0/8/c",
			"route 192.0.2.10 -10.1.0.0/16/c/s", "route 192.0.2.10 -10.1.0.0/16")

		f.send(peerDown(h))
		r.want("peer-down 192.0.2.10 peer-down", "route 192.0.2.10 peer-down inferred -10.0.0.0/8/c/s")
		f.send(peerUp(h), update(h, 2, "+10.0.0.0/8"))
		r.want("peer-up 192.0.2.10 epoch 2", "route 192.0.2.10 +10.0.0.0/8/c/s")
	})
}

func TestSessionLostThenBack(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		h := peerHeader("192.0.2.10", 0)
		f := r.connect("198.51.100.1:40000")
		f.send(initiation("r1"), peerUp(h), update(h, 1, "+10.0.0.0/8", "+10.1.0.0/16", "+10.2.0.0/16"))
		f.close()
		r.want("router-up r1", "peer-up 192.0.2.10 epoch 1", "route 192.0.2.10 +10.0.0.0/8/c/s +10.1.0.0/16/c/s +10.2.0.0/16/c/s",
			"router-down r1 session-lost inferred", "peer-down 192.0.2.10 session-lost inferred",
			"route 192.0.2.10 session-lost inferred -10.0.0.0/8/c/s -10.1.0.0/16/c/s -10.2.0.0/16/c/s")

		time.Sleep(minute)
		f = r.connect("198.51.100.1:40001")
		f.send(initiation("r1"), peerUp(h), endOfRIB(h)) // End-of-RIB before the routes, as FRR and BIRD send it
		f.send(update(h, 1, "+10.0.0.0/8"), update(h, 7, "+10.1.0.0/16"))
		r.want("router-up r1", "peer-up 192.0.2.10 epoch 2", "route 192.0.2.10 end-of-rib ipv4-unicast",
			"route 192.0.2.10 +10.0.0.0/8/s", "route 192.0.2.10 +10.1.0.0/16/c/s")
		time.Sleep(10 * minute)
		r.want() // 10.2.0.0/16 was withdrawn already: nothing more to say
		f.send(update(h, 1, "+10.2.0.0/16"))
		r.want("route 192.0.2.10 +10.2.0.0/16/c/s")
	})
}

func TestCollectorRestart(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		path := t.TempDir() + "/state"
		state := func(c *Config) { c.SnapshotPath = path }
		r := newRig(t, nil, state)
		h := peerHeader("192.0.2.10", 0)
		f := r.connect("198.51.100.1:40000")
		f.send(initiation("r1"), peerUp(h), update(h, 1, "+10.0.0.0/8", "+10.1.0.0/16"))
		if err := r.c.SaveState(); err != nil {
			t.Fatal(err)
		}
		f.send(update(h, 1, "+10.2.0.0/16"), update(h, 0, "-10.0.0.0/8"))
		r.rec.take()
		// The old collector is dead from here on, without having said so.

		r2 := newRig(t, r.rec, state)
		r2.want("router-down r1 collector-stop inferred", "gap collector-stop inferred")
		f2 := r2.connect("198.51.100.1:40001")
		f2.send(initiation("r1"), peerUp(h), update(h, 1, "+10.1.0.0/16"), endOfRIB(h))
		r2.want("router-up r1", "peer-up 192.0.2.10 epoch 2", "route 192.0.2.10 +10.1.0.0/16", "route 192.0.2.10 end-of-rib ipv4-unicast")
		time.Sleep(minute)
		r2.want("route 192.0.2.10 stale-sweep inferred -10.2.0.0/16/c/s")
		f2.close()
		r2.rec.take()
	})
}

func TestRouterDoesNotComeBackAfterRestart(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		path := t.TempDir() + "/state"
		state := func(c *Config) { c.SnapshotPath = path }
		r := newRig(t, nil, state)
		h := peerHeader("192.0.2.10", 0)
		f := r.connect("198.51.100.1:40000")
		f.send(initiation("r1"), peerUp(h), update(h, 1, "+10.0.0.0/8"))
		r.rec.take()
		r2 := newRig(t, r.rec, state)
		r2.rec.take()
		time.Sleep(4 * minute)
		r2.want()
		time.Sleep(2 * minute)
		r2.want("route 192.0.2.10 session-lost inferred -10.0.0.0/8/c/s")
	})
}

func TestSameRouterTwice(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		h := peerHeader("192.0.2.10", 0)
		a := r.connect("198.51.100.1:40000")
		a.send(initiation("r1"), peerUp(h), update(h, 1, "+10.0.0.0/8", "+10.1.0.0/16"))
		b := r.connect("198.51.100.1:40001")
		b.send(initiation("r1"), peerUp(h), update(h, 1, "+10.0.0.0/8"))
		a.send(update(h, 9, "+10.9.0.0/16"))
		r.rec.take()
		a.close()
		r.want("router-down r1 session-lost inferred", "peer-down 192.0.2.10 session-lost inferred")
		if got := r.c.Stats(); got.Routers != 1 || got.PeersUp != 1 || got.Routes != 2 {
			t.Errorf("stats %+v", got)
		}
		b.send(endOfRIB(h))
		time.Sleep(minute)
		r.want("route 192.0.2.10 end-of-rib ipv4-unicast", "route 192.0.2.10 stale-sweep inferred -10.1.0.0/16/c/s")
	})
}

// TestSlowDump: End-of-RIB of all peers comes before their routes, and one
// peer's routes long before the other's. Nothing of what comes back in the end
// is swept before it does.
func TestSlowDump(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		first, second := peerHeader("192.0.2.10", 0), peerHeader("192.0.2.11", 0)
		const n = 20
		prefix := func(i int) string { return fmt.Sprintf("+10.%d.0.0/16", i) }
		a := r.connect("198.51.100.1:40000")
		a.send(initiation("r1"), peerUp(first), peerUp(second), update(second, 1, "+10.0.0.0/8"), update(second, 1, "+11.0.0.0/8"))
		for i := range n {
			a.send(update(first, 1, prefix(i)))
		}
		b := r.connect("198.51.100.1:40001")
		b.send(initiation("r1"), peerUp(first), peerUp(second))
		b.send(update(second, 1, "+11.0.0.0/8"), endOfRIB(first), endOfRIB(second), update(first, 1, prefix(0)))
		r.rec.take()
		for i := range n {
			b.send(update(first, 1, prefix(i)))
			time.Sleep(2 * time.Second)
		}
		for _, line := range r.rec.take() {
			if strings.Contains(line, "stale-sweep") {
				t.Errorf("swept during the dump: %s", line)
			}
		}
		time.Sleep(minute)
		r.want("route 192.0.2.11 stale-sweep inferred -10.0.0.0/8/c/s")
	})
}

func TestUntidyRouters(t *testing.T) {
	h := peerHeader("192.0.2.10", 0)
	loc := peerHeader("0.0.0.0", 0)
	loc.Type = bmp.PeerLocRIB
	// Multiprotocol and ADD-PATH (both ways) for IPv4 unicast and for VPN-IPv4.
	unicast, vpn := []byte{1, 4, 0, 1, 0, 1, 69, 4, 0, 1, 1, 3}, []byte{1, 4, 0, 1, 0, 128, 69, 4, 0, 1, 128, 3}
	for _, tc := range []struct {
		name string
		send [][]byte
		want []string
	}{
		{
			"routes without Peer Up",
			[][]byte{initiation("r1"), update(h, 1, "+10.0.0.0/8")},
			[]string{"router-up r1", "route 192.0.2.10 peer-unknown +10.0.0.0/8/c/s"},
		},
		{
			"no Initiation",
			[][]byte{peerUp(h), update(h, 1, "+10.0.0.0/8")},
			[]string{"router-up 198.51.100.1 inferred", "peer-up 192.0.2.10 epoch 1", "route 192.0.2.10 +10.0.0.0/8/c/s"},
		},
		{
			"Peer Down of a peer never up",
			[][]byte{initiation("r1"), peerDown(h)},
			[]string{"router-up r1", "peer-down 192.0.2.10 peer-down peer-unknown"},
		},
		{
			"Peer Down ends routes without Peer Up",
			[][]byte{initiation("r1"), update(h, 1, "+10.0.0.0/8"), peerDown(h)},
			[]string{
				"router-up r1", "route 192.0.2.10 peer-unknown +10.0.0.0/8/c/s", "peer-down 192.0.2.10 peer-down peer-unknown",
				"route 192.0.2.10 peer-down inferred -10.0.0.0/8/c/s",
			},
		},
		{
			"Peer Up twice",
			[][]byte{initiation("r1"), peerUp(h), update(h, 1, "+10.0.0.0/8"), peerUp(h)},
			[]string{
				"router-up r1", "peer-up 192.0.2.10 epoch 1", "route 192.0.2.10 +10.0.0.0/8/c/s",
				"peer-down 192.0.2.10 peer-replaced inferred", "route 192.0.2.10 peer-replaced inferred -10.0.0.0/8/c/s", "peer-up 192.0.2.10 epoch 2",
			},
		},
		{
			"Peer Up for each view",
			[][]byte{initiation("r1"), peerUp(h), update(h, 1, "+10.0.0.0/8"), peerUp(peerHeader("192.0.2.10", bmp.FlagL))},
			[]string{"router-up r1", "peer-up 192.0.2.10 epoch 1", "route 192.0.2.10 +10.0.0.0/8/c/s", "peer-up 192.0.2.10 epoch 1"},
		},
		{
			// Path identifier 0 is what four routes 0.0.0.0/0 would be.
			"Peer Up for each family of a Loc-RIB",
			[][]byte{
				initiation("r1"), peerUp(loc, unicast...), peerUp(loc, vpn...),
				update(loc, 1, "+0.0.0.0/0", "+0.0.0.0/0", "+0.0.0.0/0", "+0.0.0.0/0", "+10.0.0.0/8"), peerUp(loc, vpn...),
			},
			[]string{
				"router-up r1", "peer-up 0.0.0.0 epoch 1", "peer-up 0.0.0.0 epoch 1", "route 0.0.0.0 loc-rib +10.0.0.0/8/c/s",
				"peer-down 0.0.0.0 peer-replaced inferred", "route 0.0.0.0 loc-rib peer-replaced inferred -10.0.0.0/8/c/s", "peer-up 0.0.0.0 epoch 2",
			},
		},
		{
			"withdrawal only is no End-of-RIB",
			[][]byte{initiation("r1"), peerUp(h), update(h, 0, "-10.0.0.0/8")},
			[]string{"router-up r1", "peer-up 192.0.2.10 epoch 1", "route 192.0.2.10 -10.0.0.0/8"},
		},
		{
			"unreadable and unknown messages end nothing",
			[][]byte{initiation("r1"), {3, 0, 0, 0, 10, 3, 1, 2, 3, 4}, {3, 0, 0, 0, 7, 100, 1}, {4, 0, 0, 0, 7, 0, 1}, peerUp(h)},
			[]string{"router-up r1", "unknown r1 peer-header-short", "unknown r1 unknown-type", "unknown r1 unknown-type", "peer-up 192.0.2.10 epoch 1"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				r := newRig(t, nil)
				f := r.connect("198.51.100.1:40000")
				f.send(tc.send...)
				r.want(tc.want...)
				f.close()
			})
		})
	}
}

func TestLargePeerDownLeavesRoomForOthers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		portions := 0
		r := newRig(t, nil, func(c *Config) { c.Pace = func() { portions++ } })
		h, other := peerHeader("192.0.2.10", 0), peerHeader("192.0.2.11", 0)
		f, g := r.connect("198.51.100.1:40000"), r.connect("198.51.100.2:40000")
		f.send(initiation("r1"), peerUp(h))
		g.send(initiation("r2"), peerUp(other))
		const n = 50_000
		for i := 0; i < n; i += 100 {
			var routes []string
			for j := i; j < i+100; j++ {
				routes = append(routes, fmt.Sprintf("+10.%d.%d.0/24", j>>8, j&255))
			}
			f.send(update(h, 1, routes...))
		}
		r.rec.take()
		before := r.rec.position()
		f.send(peerDown(h))
		synctest.Wait()
		if got := r.c.Stats().Routes; got != 0 {
			t.Errorf("%d routes left", got)
		}
		withdrawn := 0
		for i := before; i < r.rec.position(); i++ {
			e := &r.rec.kept[i]
			var u bgp.Update
			if !e.Update(&u) {
				continue
			}
			for it := u.Routes(); it.Next(); {
				withdrawn++
			}
		}
		if withdrawn != n {
			t.Errorf("%d withdrawals for %d routes", withdrawn, n)
		}
		if portions < 2 {
			t.Errorf("the withdrawals came in one piece")
		}
	})
}

func TestPeerUpDuringLargePeerDownKeepsOrder(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		hold := make(chan struct{})
		r := newRig(t, nil, func(c *Config) { c.Pace = func() { <-hold } })
		h := peerHeader("192.0.2.10", 0)
		f := r.connect("198.51.100.1:40000")
		f.send(initiation("r1"), peerUp(h))
		for i := range 500 {
			var routes []string
			for j := range 100 {
				n := i*100 + j
				routes = append(routes, fmt.Sprintf("+10.%d.%d.0/24", n>>8, n&255))
			}
			f.send(update(h, 1, routes...))
		}
		f.send(peerDown(h)) // the background stands still after its first portion
		time.AfterFunc(time.Second, func() { close(hold) })
		f.send(peerUp(h), update(h, 1, "+10.0.0.0/24"))
		time.Sleep(time.Minute)
		if got := r.c.Stats().Routes; got != 1 {
			t.Errorf("%d routes, want the one announced after the second Peer Up", got)
		}
		lines := r.rec.take()
		if got, want := lines[len(lines)-2:], []string{"peer-up 192.0.2.10 epoch 2", "route 192.0.2.10 +10.0.0.0/24/c/s"}; !slices.Equal(got, want) {
			t.Errorf("last events %q, want %q", got, want)
		}
	})
}

// Nothing refers to a session that has ended: its memory, and that of what it said
// last, are free.
func TestEndedSessionIsForgotten(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		h := peerHeader("192.0.2.10", 0)
		a := r.connect("198.51.100.1:40000")
		a.send(initiation("r1"), peerUp(h), update(h, 1, "+10.0.0.0/8"), endOfRIB(h))
		b := r.connect("198.51.100.1:40001")
		b.send(initiation("r1"), peerUp(h), update(h, 1, "+10.0.0.0/8"), endOfRIB(h))
		a.close()
		b.close()
		for _, rt := range r.c.routers {
			if len(rt.live) > 0 {
				t.Errorf("%d live sessions", len(rt.live))
			}
			for key, p := range rt.peers {
				for _, cl := range p.claims[:cap(p.claims)] {
					if cl != nil {
						t.Errorf("peer %v: a claim is kept", key.addr)
					}
				}
				for _, v := range p.views {
					if v != nil && v.owner != nil {
						t.Errorf("peer %v: %s has an owner", key.addr, v.rib)
					}
				}
			}
		}
	})
}
