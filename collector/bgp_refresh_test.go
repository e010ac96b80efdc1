package collector

import (
	"testing"
	"time"

	"github.com/ribtap/ribtap/bgp"
)

func TestRefresh(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := started(sp)
		n.send(refreshOf(bgp.IPv4Unicast, bgp.RefreshBegin), update4("+10.0.0.0/8"), updateMessage(9, nil, "+10.3.0.0/16"))
		sp.want("refresh 192.0.2.10 ipv4-unicast begin", "route 192.0.2.10 +10.0.0.0/8", "route 192.0.2.10 +10.3.0.0/16/c/s")
		time.Sleep(2 * time.Second) // counts are brought up to date once a second
		if _, st := sp.status(peerA, bgp.IPv4Unicast); st.Stale != 2 {
			t.Errorf("status %+v", st)
		}
		n.send(refreshOf(bgp.IPv4Unicast, bgp.RefreshEnd))
		sp.want("refresh 192.0.2.10 ipv4-unicast end", "route 192.0.2.10 stale-sweep inferred -10.1.0.0/16/c/s -10.2.0.0/16/c/s")
		n.send(refreshOf(bgp.IPv4Unicast, bgp.RefreshEnd)) // without begin: nothing
		sp.want("refresh 192.0.2.10 ipv4-unicast end")
	})
}

// TestRefreshBegunTwice: what came again before the second begin must come again.
func TestRefreshBegunTwice(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := started(sp)
		n.send(refreshOf(bgp.IPv4Unicast, 1), update4("+10.0.0.0/8"), refreshOf(bgp.IPv4Unicast, 1), update4("+10.1.0.0/16"), refreshOf(bgp.IPv4Unicast, 2))
		sp.want("refresh 192.0.2.10 ipv4-unicast begin", "route 192.0.2.10 +10.0.0.0/8", "refresh 192.0.2.10 ipv4-unicast begin",
			"route 192.0.2.10 +10.1.0.0/16", "refresh 192.0.2.10 ipv4-unicast end",
			"route 192.0.2.10 stale-sweep inferred -10.0.0.0/8/c/s -10.2.0.0/16/c/s")
	})
}

// TestRefreshIgnored: marks that count for nothing are events all the same.
func TestRefreshIgnored(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*fakeNeighbour)
		family bgp.Family
	}{
		{"before End-of-RIB", func(*fakeNeighbour) {}, bgp.IPv4Unicast},
		{"not negotiated", func(n *fakeNeighbour) { n.received.EnhancedRefresh, n.received.GracefulRestart = false, nil }, bgp.IPv4Unicast},
		{"another family", func(n *fakeNeighbour) { n.received.GracefulRestart = nil }, bgp.IPv4VPN},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				sp := newSpeaker(t, nil)
				n := sp.neighbour(peerA, graceful(120, true, false), c.change)
				n.up()
				n.send(update4("+10.0.0.0/8"), refreshOf(c.family, 1), refreshOf(c.family, 2))
				sp.want("router-up bgp", "peer-up 192.0.2.10 epoch 1", "route 192.0.2.10 +10.0.0.0/8/c/s",
					"refresh 192.0.2.10 "+c.family.String()+" begin", "refresh 192.0.2.10 "+c.family.String()+" end")
			})
		})
	}
}

// TestRefreshWithoutEnd is OpenBGPD's: BoRR, no dump, no EoRR. Ordinary changes
// are no dump.
func TestRefreshWithoutEnd(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := started(sp)
		n.send(refreshOf(bgp.IPv4Unicast, 1), updateMessage(5, nil, "+10.0.0.0/8"), update4("-10.1.0.0/16"))
		sp.rec.take()
		time.Sleep(359 * time.Second)
		sp.want()
		time.Sleep(3 * time.Second)
		sp.want("refresh 192.0.2.10 stale-sweep inferred ipv4-unicast end (the refresh did not end; nothing is withdrawn)")
		if _, st := sp.status(peerA, bgp.IPv4Unicast); st.Routes != 2 || st.Stale != 0 || !st.Unsynchronised {
			t.Errorf("status %+v", st)
		}
		// The next one that ends makes it good.
		n.send(refreshOf(bgp.IPv4Unicast, 1), update4("+10.2.0.0/16"), refreshOf(bgp.IPv4Unicast, 2))
		sp.want("refresh 192.0.2.10 ipv4-unicast begin", "route 192.0.2.10 +10.2.0.0/16", "refresh 192.0.2.10 ipv4-unicast end",
			"route 192.0.2.10 stale-sweep inferred -10.0.0.0/8/c/s")
		if _, st := sp.status(peerA, bgp.IPv4Unicast); st.Unsynchronised {
			t.Errorf("status %+v", st)
		}
	})
}

// TestRefreshWithDumpWithoutEnd: most of it came again, so the rest is gone.
func TestRefreshWithDumpWithoutEnd(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := started(sp)
		n.send(refreshOf(bgp.IPv4Unicast, 1), update4("+10.0.0.0/8", "+10.1.0.0/16"))
		sp.rec.take()
		time.Sleep(362 * time.Second)
		sp.want("route 192.0.2.10 stale-sweep inferred -10.2.0.0/16/c/s", "refresh 192.0.2.10 stale-sweep inferred ipv4-unicast end")
	})
}

// TestRefreshCutShort: a session that is lost in the middle of a refresh does not
// make a second restart of it.
func TestRefreshCutShort(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := started(sp)
		n.send(refreshOf(bgp.IPv4Unicast, 1), update4("+10.0.0.0/8"))
		sp.rec.take()
		n.lost()
		sp.want(lostA, begun4, begun6)
		if got := sp.rib(); len(got) != 4 {
			t.Errorf("RIB %v", got)
		}
	})
}

func TestRefreshOfWrongLength(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := started(sp)
		bad := bgp.AppendRefresh(nil, bgp.Refresh{Family: bgp.IPv4Unicast, Subtype: 1, ORF: []byte{1}})
		fault := n.send(bad)
		if fault == nil || fault.Code != bgp.ErrorRouteRefresh || fault.Subcode != 1 || string(fault.Data) != string(bad) {
			t.Errorf("fault %+v", fault)
		}
		if got := sp.rec.take(); len(got) != 1 {
			t.Errorf("events %q", got)
		}
	})
}

// TestInitialSync: each way to learn that the first dump is complete.
func TestInitialSync(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		want := func(addr string, f bgp.Family, sync Sync) {
			t.Helper()
			if _, st := sp.status(addr, f); st.InitialSync != sync || (sync == SyncNone) != st.SyncAt.IsZero() {
				t.Errorf("%s %s: %s at %s, want %s", addr, f, st.InitialSync, st.SyncAt, sync)
			}
		}
		marks, quiet, late := sp.neighbour("192.0.2.10", graceful(120, true, false)), sp.neighbour("192.0.2.11"), sp.neighbour("192.0.2.12")
		marks.up()
		quiet.up()
		late.up()
		marks.send(update4("+10.0.0.0/8"), eorOf(bgp.IPv4Unicast))
		for range 10 {
			quiet.send(update4("+10.0.0.0/8"))
			time.Sleep(3 * time.Second)
		}
		want("192.0.2.10", bgp.IPv4Unicast, SyncEOR)
		want("192.0.2.10", bgp.IPv6Unicast, SyncNone) // it has said that it will say so
		want("192.0.2.11", bgp.IPv4Unicast, SyncNone)
		want("192.0.2.12", bgp.IPv4Unicast, SyncQuiet)
		time.Sleep(5 * time.Second)
		want("192.0.2.11", bgp.IPv4Unicast, SyncQuiet)
		late.send(eorOf(bgp.IPv4Unicast))
		want("192.0.2.12", bgp.IPv4Unicast, SyncEOR)
		time.Sleep(3 * minute)
		want("192.0.2.10", bgp.IPv6Unicast, SyncQuiet)
	})
}
