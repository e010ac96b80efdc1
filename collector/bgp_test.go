package collector

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/speaker"
)

func TestBGPLife(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := sp.neighbour("192.0.2.10")
		n.up()
		n.send(update4("+10.0.0.0/8", "+10.1.0.0/16"), update4("+10.0.0.0/8"), update6("+2001:db8:1::/48"), refreshOf(bgp.IPv4Unicast, bgp.RefreshRequest), update4("-10.1.0.0/16"))
		sp.want("router-up bgp", "peer-up 192.0.2.10 epoch 1",
			"route 192.0.2.10 +10.0.0.0/8/c/s +10.1.0.0/16/c/s", "route 192.0.2.10 +10.0.0.0/8", "route 192.0.2.10 +2001:db8:1::/48/c/s",
			"refresh 192.0.2.10 ipv4-unicast request", "route 192.0.2.10 -10.1.0.0/16/c/s")
		if st := sp.c.Stats(); st.Routers != 1 || st.PeersUp != 1 || st.Routes != 2 {
			t.Errorf("stats %+v", st)
		}
		n.notified(bgp.ErrorCease, bgp.CeaseAdminShutdown)
		sp.want("peer-down 192.0.2.10 peer-down",
			"route 192.0.2.10 peer-down inferred -10.0.0.0/8/c/s", "route 192.0.2.10 peer-down inferred -2001:db8:1::/48/c/s")

		n.up()
		n.send(update4("+10.0.0.0/8"))
		n.lost()
		n.up()
		n.send(update4("+10.0.0.0/8")) // as it was known: nothing changed but that it is there again
		sp.want("peer-up 192.0.2.10 epoch 2", "route 192.0.2.10 +10.0.0.0/8/c/s",
			"peer-down 192.0.2.10 session-lost", "route 192.0.2.10 session-lost inferred -10.0.0.0/8/c/s",
			"peer-up 192.0.2.10 epoch 3", "route 192.0.2.10 +10.0.0.0/8/s")
		sp.stop()
		sp.want("router-down bgp collector-stop inferred")
	})
}

// TestBGPPeerEvents looks at the fields of what a session begins and ends with.
func TestBGPPeerEvents(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := sp.neighbour("fe80::10%eth0")
		began := time.Now()
		n.up()
		session := n.session()
		text := bgp.AppendCeaseText(nil, bgp.CeaseAdminShutdown, "maintenance")
		n.down(speaker.Down{Reason: speaker.DownRemoteNotification, Notification: text, Text: "said so"})
		n.up()
		n.down(speaker.Down{Reason: speaker.DownLocal, FSMEvent: 29})
		up, down, local := &sp.rec.kept[1], &sp.rec.kept[2], &sp.rec.kept[4]
		want := &event.Peer{
			Router:  &event.Router{Name: "bgp", Address: speakerID, Session: 1},
			Address: session.Remote.Addr().WithZone(""), ASN: 65001, BGPID: session.RemoteID,
			LocalAddress: session.Local.Addr(), LocalASN: 65000, Epoch: 1,
		}
		if diff := cmp.Diff(want, up.Peer, cmp.Comparer(func(a, b fmt.Stringer) bool { return a.String() == b.String() })); diff != "" {
			t.Errorf("peer (-want +got):\n%s", diff)
		}
		if up.Source != event.SourceBGP || up.RIB != event.AdjRIBInPre || up.Received != event.At(began) || up.Session != session.Receive ||
			!slices.Equal(up.Sent, session.Sent) || !slices.Equal(up.PDU, session.Received) {
			t.Errorf("peer-up %+v", up)
		}
		if up.Text != "test: accepted, 192.0.2.1:179 to [fe80::10%eth0]:40000" {
			t.Errorf("text %q", up.Text)
		}
		if down.Reason != 3 || !slices.Equal(down.PDU, text) || down.Text != "said so" || down.Cause != event.CausePeerDown || down.Flags != 0 {
			t.Errorf("peer-down %+v", down)
		}
		if local.Reason != 2 || local.FSMCode != 29 || local.Cause != event.CauseSessionLost {
			t.Errorf("peer-down %+v", local)
		}
		if words := string(event.AppendJSON(nil, down)); !strings.Contains(words, "Cease/Administrative Shutdown: maintenance") {
			t.Error(words)
		}
	})
}

// TestBGPFlags shows that the remarks about a path know both AS numbers.
func TestBGPFlags(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := sp.neighbour("192.0.2.10", func(n *fakeNeighbour) { n.received.AS = 65002 })
		n.up()
		loop := update4("+10.0.0.0/8")
		const asInPath = 19 + 2 + 2 + 4 + 5 // header, lengths, ORIGIN, the path's head
		if loop[asInPath+2], loop[asInPath+3] = 0xfd, 0xe8; loop[asInPath+2] != 0xfd {
			t.Fatal("no path")
		}
		n.send(loop)
		words := string(event.AppendJSON(nil, &sp.rec.kept[2]))
		if !strings.Contains(words, `"flags":["as-loop","first-as"]`) || !strings.Contains(words, `"as_path":"65000"`) {
			t.Error(words)
		}
		if got := sp.rib(); len(got) != 1 {
			t.Errorf("a flag dropped a route: %v", got)
		}
	})
}

func TestBGPRestartOfTheCollector(t *testing.T) {
	for _, snapshot := range []bool{false, true} {
		t.Run(fmt.Sprintf("snapshot=%t", snapshot), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				path := t.TempDir() + "/state"
				state := func(c *Config) { c.SnapshotPath = path }
				sp := newSpeaker(t, nil, state)
				a, b := sp.neighbour("192.0.2.10", graceful(120, true, true)), sp.neighbour("192.0.2.11")
				a.limits = []speaker.PrefixLimit{{Family: bgp.IPv4Unicast, Max: 2, Action: speaker.LimitDiscard}}
				a.up()
				b.up()
				a.send(update4("+10.0.0.0/8", "+10.1.0.0/16", "+10.9.0.0/16"))
				if snapshot {
					if err := sp.c.SaveState(); err != nil {
						t.Fatal(err)
					}
				}
				b.send(update4("+10.0.0.0/8", "+10.2.0.0/16"))
				before := sp.rib()
				sp.rec.take()
				// The old collector is dead from here on, without having said so.

				sp2 := newSpeaker(t, sp.rec, state)
				if diff := cmp.Diff(before, sp2.rib()); diff != "" {
					t.Errorf("RIB state (-before +after):\n%s", diff)
				}
				sp2.want("router-down bgp collector-stop inferred", "gap collector-stop inferred", "router-up bgp")
				a.sp, b.sp = sp2, sp2
				a.limits = nil
				a.up()
				a.send(update4("+10.0.0.0/8"), eorOf(bgp.IPv4Unicast))
				sp2.want("peer-up 192.0.2.10 epoch 2", "route 192.0.2.10 +10.0.0.0/8", "route 192.0.2.10 end-of-rib ipv4-unicast",
					"route 192.0.2.10 stale-sweep inferred -10.1.0.0/16/c/s")
				b.up()
				b.send(update4("+10.0.0.0/8", "+10.2.0.0/16"), eorOf(bgp.IPv4Unicast))
				sp2.want("peer-up 192.0.2.11 epoch 2", "route 192.0.2.11 +10.0.0.0/8 +10.2.0.0/16", "route 192.0.2.11 end-of-rib ipv4-unicast")
				time.Sleep(time.Hour)
				sp2.want()
				if diff := cmp.Diff(sp2.rec.told(), sp2.rib()); diff != "" {
					t.Errorf("RIB state (-told +held):\n%s", diff)
				}
			})
		})
	}
}

func TestBGPStop(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		path := t.TempDir() + "/state"
		state := func(c *Config) { c.SnapshotPath = path }
		sp := newSpeaker(t, nil, state)
		n := sp.neighbour("192.0.2.10", graceful(120, true, true))
		n.up()
		n.send(update4("+10.0.0.0/8"))
		sp.rec.take()
		n.down(speaker.Down{Reason: speaker.DownLocalNotification, Stop: true})
		sp.stop()
		sp.want("router-down bgp collector-stop inferred")
		if err := sp.c.SaveState(); err != nil {
			t.Fatal(err)
		}
		sp2 := newSpeaker(t, sp.rec, state)
		sp2.want("gap collector-stop inferred", "router-up bgp")
		time.Sleep(4 * minute)
		sp2.want()
		time.Sleep(2 * minute) // it does not come back
		sp2.want("route 192.0.2.10 session-lost inferred -10.0.0.0/8/c/s")
	})
}

// TestBGPNeighboursInParallel runs many sessions at once; each neighbour's events
// are in its own order, and none waits for another's lock.
func TestBGPNeighboursInParallel(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		const neighbours, rounds = 20, 200
		// One of them is in the middle of something, for good.
		stuck := sp.neighbour("192.0.2.99")
		stuck.up()
		s := stuck.recv.(*bgpSession)
		s.r.mu.Lock()
		var wg sync.WaitGroup
		for i := range neighbours {
			wg.Go(func() {
				n := sp.neighbour(fmt.Sprintf("192.0.2.%d", 10+i))
				n.up()
				for j := range rounds {
					n.send(updateMessage(uint32(j), nil, "+10.0.0.0/8", "+10.1.0.0/16"), update4("-10.1.0.0/16"))
					if j%50 == 49 {
						n.lost()
						n.up()
					}
				}
			})
		}
		wg.Wait()
		s.r.mu.Unlock()
		last := map[string]uint32{}
		var u bgp.Update
		for i := range sp.rec.kept {
			e := &sp.rec.kept[i]
			if e.Flags&event.FlagInferred != 0 || !e.Update(&u) {
				continue
			}
			med, ok := u.MED()
			key := e.Peer.Address.String()
			if !ok {
				continue
			}
			if med != last[key] {
				t.Fatalf("%s: MED %d where %d was to come", key, med, last[key])
			}
			last[key]++
		}
		if len(last) != neighbours {
			t.Errorf("%d neighbours heard", len(last))
		}
		synctest.Wait()
		if diff := cmp.Diff(sp.rec.told(), sp.rib()); diff != "" {
			t.Errorf("RIB state (-told +held):\n%s", diff)
		}
	})
}

// TestBGPSameNeighbourTwice: the later session counts.
func TestBGPSameNeighbourTwice(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		a := sp.neighbour("192.0.2.10", graceful(120, true, false))
		a.up()
		a.send(update4("+10.0.0.0/8", "+10.1.0.0/16"))
		b := sp.neighbour("192.0.2.10", graceful(120, true, false))
		b.up()
		a.send(update4("+10.9.0.0/16"))
		b.send(update4("+10.0.0.0/8"), eorOf(bgp.IPv4Unicast))
		a.lost()
		sp.want("router-up bgp", "peer-up 192.0.2.10 epoch 1", "route 192.0.2.10 +10.0.0.0/8/c/s +10.1.0.0/16/c/s",
			"peer-down 192.0.2.10 peer-replaced inferred", "refresh 192.0.2.10 session-lost inferred ipv4-unicast begin (restart time 120 s)",
			"peer-up 192.0.2.10 epoch 2", "route 192.0.2.10 non-owner +10.9.0.0/16", "route 192.0.2.10 +10.0.0.0/8", "route 192.0.2.10 end-of-rib ipv4-unicast",
			"route 192.0.2.10 stale-sweep inferred -10.1.0.0/16/c/s", "refresh 192.0.2.10 stale-sweep inferred ipv4-unicast end")
		if st := sp.c.Stats(); st.PeersUp != 1 {
			t.Errorf("%d peers up", st.PeersUp)
		}
		c := sp.neighbour("192.0.2.10", graceful(120, true, false))
		c.up()
		sp.rec.take()
		c.lost()
		b.send(update4("+10.9.0.0/16"))
		sp.want("peer-down 192.0.2.10 session-lost", "route 192.0.2.10 stale-sweep inferred -10.0.0.0/8/c/s",
			"refresh 192.0.2.10 session-lost inferred ipv4-unicast end", "route 192.0.2.10 non-owner +10.9.0.0/16")
		b.lost()
		sp.want()
		if st := sp.c.Stats(); st.PeersUp != 0 {
			t.Errorf("%d peers up", st.PeersUp)
		}
	})
}

// TestBGPWriteFails: what the stream lacks is not called withdrawn.
func TestBGPWriteFails(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := sp.neighbour("192.0.2.10")
		n.up()
		n.send(update4("+10.0.0.0/8"))
		sp.rec.take()
		sp.rec.fail.Store(true)
		if fault := n.recv.Message(time.Now(), update4("+10.1.0.0/16")); fault != nil {
			t.Errorf("fault %+v", fault)
		}
		if err := n.recv.Flush(t.Context()); err == nil {
			t.Error("Flush says nothing")
		}
		if err := n.recv.Down(t.Context(), speaker.Down{Reason: speaker.DownLocalNotification}); err == nil {
			t.Error("Down says nothing")
		}
		sp.rec.fail.Store(false)
		sp.want()
	})
}
