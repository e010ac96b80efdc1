//go:build integration

package integration

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestFRR84 follows one router through a day: its table, withdrawals, a peer
// that goes down; and compares, all along, what ribtap lists with what FRR
// lists. At the end the MRT archive tells the same.
func TestFRR84(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	feed := NewFeed(100, 1000, 500)
	rt := l.NewRibtap("ribtap", "")
	denied := feed.denied()
	frr := l.StartFRR("frr", installed, frrOptions{hostname: "frr-lab", station: "127.0.0.1", stationPort: rt.bmpPort, deny: denied, network: true})
	bird := l.StartFeeder("feeder", feed, frr.target(), false)
	// FRR tells a station that connects late of all routes; to one that is there
	// from the beginning it does not tell those that policy denies.
	frr.AwaitFeed(feed)
	rt.Start()

	full4, full6 := feed.Table(false, feederAS4), feed.Table(true, feederAS6)
	// agrees compares ribtap with FRR, and FRR with what the feeder announces.
	agrees := func(pre4, pre6 Table) error {
		rows, err := rt.Routes()
		if err != nil {
			return err
		}
		for n, want := range map[neighbor]Table{neighbor4: pre4, neighbor6: pre6} {
			received, err1 := frr.Received(n.family, n.addr)
			accepted, err2 := frr.Accepted(n.family, n.addr)
			gotPre, err3 := table(rows, n.view(pre))
			gotPost, err4 := table(rows, n.view(post))
			if err := errors.Join(err1, err2, err3, err4); err != nil {
				return err
			}
			if err := errors.Join(
				differ("pre-policy against received-routes of "+n.addr, gotPre.basic().without(denied), exported(received).without(denied)),
				differ("pre-policy against the feed of "+n.addr, gotPre, exported(want)),
				differ("post-policy against FRR's table of "+n.addr, gotPost, exported(accepted)),
				differ("post-policy against the feed of "+n.addr, gotPost, exported(want.without(denied).marked())),
			); err != nil {
				return err
			}
		}
		return nil
	}
	l.await("ribtap and FRR to agree on the table", 40*time.Second, func() error { return agrees(full4, full6) })

	ok := l.Run("sessions", func(t *testing.T) { testSessions(t, rt) })
	ok = ok && l.Run("statistics", func(*testing.T) { testStatistics(rt) })
	if !ok {
		return
	}

	// FRR 8.4 tells nothing when a route goes that policy denied; that it is not
	// in Adj-RIB-In it says, of all things, when the route comes back.
	still, heard4 := full4.only(denied), full4.without(denied)
	dumped := rt.settle()
	l.Run("withdraw", func(t *testing.T) {
		bird.do("disable", "s4")
		bird.do("disable", "s6")
		l.await("the routes to go", 40*time.Second, func() error { return agrees(still, Table{}) })
		rt.settle()
		rows := must(rt.changes(dumped.sequence))(t)
		var got, want []string
		for _, r := range rows {
			got = append(got, fmt.Sprintf("%s %s %s %s %t", r.Action, r.PeerAddress, r.RIB, r.Cause, r.Changed)+" "+r.Prefix)
		}
		for _, p := range heard4.prefixes() {
			want = append(want, "withdraw 127.0.12.1 adj-rib-in-pre update true "+p, "withdraw 127.0.12.1 adj-rib-in-post update true "+p)
		}
		for _, p := range full6.prefixes() {
			want = append(want, "withdraw ::1 adj-rib-in-pre update true "+p, "withdraw ::1 adj-rib-in-post update true "+p)
		}
		if err := same("history of the withdrawal", got, want); err != nil {
			t.Error(err)
		}
	})
	l.Run("announce", func(t *testing.T) {
		bird.do("enable", "s4")
		bird.do("enable", "s6")
		l.await("the routes to return", 40*time.Second, func() error { return agrees(heard4, full6) })
		p := full4.prefixes()[7]
		rows := must(rt.History(p, "--peer", feeder4, "--rib", post))(t)
		if err := sameOrder(describe(rows), []string{
			"announce adj-rib-in-post " + p + " update changed",
			"withdraw adj-rib-in-post " + p + " update changed",
			"announce adj-rib-in-post " + p + " update changed",
		}); err != nil {
			t.Errorf("history of one prefix: %v", err)
		}
	})
	l.Run("peer-down", func(t *testing.T) {
		before := rt.settle()
		bird.do("disable", "up4")
		l.await("the peer's routes to go", 40*time.Second, func() error {
			return errors.Join(rt.matches(neighbor4.view(pre), Table{}), rt.matches(neighbor4.view(post), Table{}),
				rt.matches(neighbor6.view(pre), exported(full6)))
		})
		rt.settle()
		testPeerDown(t, rt, before, heard4)
		bird.do("enable", "up4")
		l.await("the peer's routes to return", 40*time.Second, func() error { return agrees(heard4, full6) })
	})
	l.Run("mrt", func(t *testing.T) { testArchive(t, rt) })
}

// sameOrder compares two lists.
func sameOrder(got, want []string) error {
	if slices.Equal(got, want) {
		return nil
	}
	return fmt.Errorf("got %q, want %q", got, want)
}

func testSessions(t *testing.T, rt *Ribtap) {
	var got []string
	for _, p := range must(rt.Peers())(t) {
		got = append(got, fmt.Sprintf("%s %s %d %s %s %s %s", p.Router, p.PeerAddress, p.PeerASN, p.PeerBGPID, p.PeerType, p.RIBs, p.State))
	}
	// FRR's own routes come as those of a peer 0.0.0.0 that never came up.
	if err := same("peers", got, []string{
		"frr-lab 0.0.0.0 0 0.0.0.0 global adj-rib-in-post unknown",
		"frr-lab 127.0.12.1 65101 10.0.0.12 global adj-rib-in-pre adj-rib-in-post up",
		"frr-lab ::1 65100 10.0.0.12 global adj-rib-in-pre adj-rib-in-post up",
	}); err != nil {
		t.Error(err)
	}
	routers := must(rt.Routers())(t)
	if len(routers) != 1 || routers[0].Router != "frr-lab" || routers[0].SysName != "frr-lab" || routers[0].State != "up" ||
		routers[0].RouterAddress != "127.0.0.1" || routers[0].PeersUp != 2 {
		t.Errorf("routers: %+v, want frr-lab alone, up, with 2 peers up", routers)
	}
	s := must(rt.Status())(t)
	if s.Collector != "lab" || s.Routers != 1 || s.PeersUp != 2 || s.Gaps != 0 || s.Routes != 1000+999+500+500+1 {
		t.Errorf("status: %+v, want one router, 2 peers up, 3000 routes and no gap", s)
	}
	own := must(query[Route](rt, "SELECT * FROM routes WHERE peer_address = '0.0.0.0'"))(t)
	if len(own) != 1 || own[0].Prefix != "192.0.2.0/24" || own[0].RIB != post {
		t.Errorf("FRR's own routes: %+v, want 192.0.2.0/24", own)
	}
}

func testStatistics(rt *Ribtap) {
	rt.l.await("statistics of both peers", 20*time.Second, func() error {
		rows, err := rt.Stats()
		if err != nil {
			return err
		}
		rejected := map[string]int64{}
		names := map[string]bool{}
		for _, s := range rows {
			names[s.Name] = true
			if s.Type == 0 && s.Value != nil {
				rejected[s.PeerAddress] = *s.Value
			}
		}
		if len(rejected) != 2 {
			return fmt.Errorf("rejected prefixes of %v, want of both peers; names %v", rejected, names)
		}
		return nil
	})
}

// testPeerDown looks at what an administrative shutdown by the remote left in
// the history, since a moment before it.
func testPeerDown(t *testing.T, rt *Ribtap, before quiet, had Table) {
	events := must(query[PeerEvent](rt, "SELECT * FROM peer_history WHERE sequence > %d AND event = 'down'", before.sequence))(t)
	if len(events) != 1 || events[0].PeerAddress != feeder4 || events[0].ReasonCode == nil || *events[0].ReasonCode != 3 ||
		events[0].Inferred || events[0].NotifCode == nil || *events[0].NotifCode != 6 || *events[0].NotifSubcode != 2 {
		t.Errorf("peer downs: %+v, want one of %s with reason 3, Cease, Administrative Shutdown", events, feeder4)
		return
	}
	down := events[0].Sequence
	withdrawn := map[string]Table{pre: {}, post: {}}
	inferred := 0
	for _, r := range must(rt.changes(before.sequence))(t) {
		_, twice := withdrawn[r.RIB][r.Prefix]
		switch {
		case r.Action != "withdraw" || r.PeerAddress != feeder4 || !bool(r.Changed) || twice:
			t.Fatalf("unexpected row of history: %+v", r)
		case r.Sequence > down && r.Cause == "peer-down":
			inferred++
		case r.Sequence > down || r.Cause != "update":
			// FRR withdraws some routes itself, but not all of them.
			t.Fatalf("withdrawn at %d, the peer went down at %d: %+v", r.Sequence, down, r)
		}
		withdrawn[r.RIB][r.Prefix] = Attrs{}
	}
	for _, rib := range []string{pre, post} {
		if err := same("withdrawn from "+rib, withdrawn[rib].prefixes(), had.prefixes()); err != nil {
			t.Error(err)
		}
	}
	if inferred == 0 {
		t.Error("no route was withdrawn with cause peer-down")
	}
	t.Logf("%d of %d routes withdrawn with cause peer-down", inferred, 2*len(had))
}

func testArchive(t *testing.T, rt *Ribtap) {
	rt.settle()
	rt.Stop()
	checkArchive(t, rt)
}
