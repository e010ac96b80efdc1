//go:build integration

package integration

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// views are what FRR itself lists of the neighbours that are up, as its BMP
// exporter tells it, after a check against the feed. From FRR 8.4 the routes that
// policy denies are missing before policy too when the station was there first
// (toldLate is false then).
func (f *FRR) views(feed *Feed, toldLate bool, up ...neighbor) ([]listing, error) {
	var views []listing
	for _, n := range up {
		heard := feed.Table(n.v6, n.as)
		if n == neighbor4b {
			heard = feed.second()
		}
		received, err1 := f.Received(n.family, n.addr)
		accepted, err2 := f.Accepted(n.family, n.addr)
		if err := errors.Join(err1, err2,
			differ("received-routes of "+n.addr+" against the feed", received, heard.basic()),
			differ("routes of "+n.addr+" against the feed", accepted, heard.without(f.opt.deny).marked())); err != nil {
			return nil, err
		}
		if f.gen == installed && !toldLate {
			heard = heard.without(f.opt.deny)
		}
		views = append(views, listing{n.view(pre), exported(heard)}, listing{n.view(post), exported(accepted)})
	}
	if f.opt.locRIB {
		for _, v6 := range []bool{false, true} {
			best, err := f.Best(map[bool]string{false: "ipv4", true: "ipv6"}[v6])
			if err != nil {
				return nil, err
			}
			views = append(views, listing{who{peer: frrLocRIB, rib: loc, v6: v6}, exported(best)})
		}
	}
	return views, nil
}

// frrLocRIB is the peer address of FRR's Loc-RIB.
const frrLocRIB = "0.0.0.0"

// TestFRR103 follows a newer FRR with two neighbours for the same prefixes, and
// its Loc-RIB. The station is there before the routes, so all comes live.
func TestFRR103(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	feed := NewFeed(20, 300, 150)
	rt := l.StartRibtap("")
	denied := feed.denied()
	frr := l.StartFRR("frr", newer, frrOptions{
		hostname: "frr-new", station: "127.0.0.1", stationPort: rt.bmpPort, deny: denied, locRIB: true, second: true, network: true,
	})
	bird := l.StartFeeder("feeder", feed, frr.target(), true)

	var views []listing
	agrees := func(up ...neighbor) error {
		var err error
		if views, err = frr.views(feed, false, up...); err != nil {
			return err
		}
		return rt.agrees(views...)
	}
	all := []neighbor{neighbor4, neighbor4b, neighbor6}
	l.await("ribtap and FRR to agree on the table", 40*time.Second, func() error { return agrees(all...) })
	t.Logf("%d routes compared", total(views))

	l.Run("sessions", func(t *testing.T) {
		var got []string
		for _, p := range must(rt.Peers())(t) {
			got = append(got, fmt.Sprintf("%s %d %s %s %s", p.PeerAddress, p.PeerASN, p.PeerType, p.RIBs, p.State))
		}
		if err := same("peers", got, []string{
			"0.0.0.0 65011 loc-rib loc-rib up",
			"127.0.12.1 65101 global adj-rib-in-pre adj-rib-in-post up",
			"127.0.12.2 65102 global adj-rib-in-pre adj-rib-in-post up",
			"::1 65100 global adj-rib-in-pre adj-rib-in-post up",
		}); err != nil {
			t.Error(err)
		}
	})
	l.Run("withdraw", func(t *testing.T) {
		before := rt.settle()
		gone := append(feed.remove(false, 10, 5), feed.remove(true, 10, 5)...)
		bird.Reload()
		l.await("the routes to go", 40*time.Second, func() error { return agrees(all...) })
		rt.settle()
		// The Loc-RIB may go over to the other neighbour before it gives up, so
		// of its rows only the last of each prefix is certain.
		var got, want []string
		last := map[string]Route{}
		for _, r := range must(rt.changes(before.sequence))(t) {
			if r.RIB == loc {
				last[r.Prefix] = r
				continue
			}
			got = append(got, fmt.Sprintf("%s %s %t %s", r.Action, r.Cause, r.Changed, r.key()))
		}
		for i, p := range gone {
			from := []string{feeder4, feeder4b}
			if i >= 5 {
				from = []string{feeder6}
			}
			for _, peer := range from {
				want = append(want, "withdraw update true "+peer+" "+pre+" "+p, "withdraw update true "+peer+" "+post+" "+p)
			}
			if r := last[p]; r.Action != "withdraw" || r.Cause != "update" {
				t.Errorf("Loc-RIB: last row of %s: %+v, want a withdrawal", p, r)
			}
		}
		if err := same("history of the withdrawal", got, want); err != nil {
			t.Error(err)
		}
		rows := must(rt.History(gone[0], "--peer", feeder4, "--rib", post, "--from", before.String()))(t)
		if err := sameOrder(describe(rows), []string{"withdraw adj-rib-in-post " + gone[0] + " update changed"}); err != nil {
			t.Errorf("history of one prefix: %v", err)
		}
	})
	l.Run("peer-down", func(t *testing.T) {
		before, had := rt.settle(), views
		bird.do("disable", "up4")
		l.await("the Loc-RIB to go over to the other neighbour", 40*time.Second, func() error { return agrees(neighbor4b, neighbor6) })
		rt.settle()
		testGone(t, rt, before, feeder4, had)
		bird.do("enable", "up4")
		l.await("the peer's routes to return", 40*time.Second, func() error { return agrees(all...) })
	})
	l.Run("mrt", func(t *testing.T) { testArchive(t, rt) })
}

// TestDial lets ribtap dial a router that waits for its station, again after
// the router was away.
func TestDial(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	feed := NewFeed(30, 100, 50)
	denied := feed.denied()
	port := l.freePort("127.0.0.1")
	frr := l.StartFRR("frr", installed, frrOptions{hostname: "frr-waits", listen: port, deny: denied})
	l.StartFeeder("feeder", feed, frr.target(), false)
	frr.AwaitFeed(feed)
	rt := l.StartRibtap(fmt.Sprintf("  routers: [{name: dialled, address: \"127.0.0.1:%d\", dial: true}]\n", port))

	agrees := func(toldLate bool) error {
		views, err := frr.views(feed, toldLate, neighbor4, neighbor6)
		if err != nil {
			return err
		}
		return rt.agrees(views...)
	}
	l.await("ribtap and FRR to agree on the table", 30*time.Second, func() error { return agrees(true) })
	routers := must(rt.Routers())(t)
	if len(routers) != 1 || routers[0].Router != "dialled" || routers[0].SysName != "frr-waits" || routers[0].State != "up" {
		t.Errorf("routers: %+v, want the one that was dialled, up, under its configured name", routers)
	}

	frr.proc.Kill()
	l.await("the router to be down", 20*time.Second, rt.isDown)
	frr.Start()
	l.await("ribtap to dial again", 40*time.Second, func() error {
		// Who is first, the feeder or the station, decides about denied routes.
		if err := agrees(true); err == nil {
			return nil
		}
		return agrees(false)
	})
	testArchive(t, rt)
}

// testGone checks that since a moment a peer's routes were withdrawn from all
// of its views, each once, by the router's word or because the peer went down.
func testGone(t *testing.T, rt *Ribtap, since quiet, peer string, had []listing) {
	t.Helper()
	downs := must(query[PeerEvent](rt, "SELECT * FROM peer_history WHERE sequence > %d AND event = 'down'", since.sequence))(t)
	if len(downs) == 0 {
		t.Error("no peer went down")
	}
	for _, d := range downs {
		if d.PeerAddress != peer || bool(d.Inferred) {
			t.Errorf("peer down: %+v, want of %s alone, in the router's own words", d, peer)
		}
	}
	var got, want []string
	for _, r := range must(rt.changes(since.sequence))(t) {
		if r.PeerAddress != peer {
			continue
		}
		if r.Cause != "update" && r.Cause != "peer-down" {
			t.Errorf("%s of %s has cause %s", r.Action, r.key(), r.Cause)
		}
		got = append(got, fmt.Sprintf("%s %t %s", r.Action, r.Changed, r.key()))
	}
	for _, v := range had {
		for p := range v.want {
			if v.peer == peer {
				want = append(want, "withdraw true "+peer+" "+v.rib+" "+p)
			}
		}
	}
	if err := same("withdrawals of "+peer, got, want); err != nil {
		t.Error(err)
	}
}
