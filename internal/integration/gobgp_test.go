//go:build integration

package integration

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// views are what GoBGP itself lists, after a check against the feed; a neighbour
// that is not up has no routes.
func (g *GoBGP) views(feed *Feed, up ...neighbor) (views []listing, err error) {
	for _, n := range []neighbor{neighbor4, neighbor6} {
		heard := Table{}
		if slices.Contains(up, n) {
			heard = feed.Table(n.v6, n.as)
		}
		received, err1 := g.Received(n)
		best, err2 := g.Best(n)
		if err := errors.Join(err1, err2,
			differ("adj-in of "+n.addr+" against the feed", received, heard),
			differ("global rib against the feed of "+n.addr, best, heard.without(g.deny).marked())); err != nil {
			return nil, err
		}
		views = append(views, listing{n.view(pre), received}, listing{n.view(post), best},
			listing{who{peer: gobgpLocRIB, rib: loc, v6: n.v6}, best})
	}
	return views, nil
}

// TestGoBGP follows a GoBGP of the newer generation: three views of its routes,
// withdrawals, a peer that goes down.
func TestGoBGP(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	feed := NewFeed(40, 400, 200)
	rt := l.StartRibtap("")
	router := l.StartGoBGP("gobgp", newer, rt.bmpPort, feed.denied())
	bird := l.StartFeeder("feeder", feed, router.target(), false)
	router.AwaitFeed(feed)

	var views []listing
	agrees := func(up ...neighbor) (err error) {
		if views, err = router.views(feed, up...); err != nil {
			return err
		}
		return rt.agrees(views...)
	}
	l.await("ribtap and GoBGP to agree on the table", 40*time.Second, func() error { return agrees(neighbor4, neighbor6) })
	t.Logf("%d routes compared", total(views))

	l.Run("withdraw", func(t *testing.T) {
		before := rt.settle()
		gone := append(feed.remove(false, 10, 5), feed.remove(true, 10, 5)...)
		bird.Reload()
		l.await("the routes to go", 40*time.Second, func() error { return agrees(neighbor4, neighbor6) })
		rt.settle()
		testWithdrawals(t, rt, before, gone, 3)
	})
	l.Run("peer-down", func(t *testing.T) {
		before, had := rt.settle(), views
		bird.do("disable", "up4")
		l.await("the peer's routes to go", 40*time.Second, func() error { return agrees(neighbor6) })
		rt.settle()
		testGone(t, rt, before, feeder4, had)
		bird.do("enable", "up4")
		l.await("the peer's routes to return", 40*time.Second, func() error { return agrees(neighbor4, neighbor6) })
	})
	l.Run("mrt", func(t *testing.T) { testArchive(t, rt) })
}

// gobgpLocRIB is the peer address of GoBGP's Loc-RIB.
const gobgpLocRIB = "0.0.0.0"

// testWithdrawals checks that since a moment each prefix was withdrawn from so
// many views, by the router's own word, and that nothing else happened.
func testWithdrawals(t *testing.T, rt *Ribtap, since quiet, prefixes []string, views int) {
	t.Helper()
	var got, want []string
	for _, r := range must(rt.changes(since.sequence))(t) {
		got = append(got, r.Action+" "+r.Cause+" "+r.Prefix)
		if !r.Changed {
			t.Errorf("%s of %s has changed nothing", r.Action, r.key())
		}
	}
	for _, p := range prefixes {
		for range views {
			want = append(want, "withdraw update "+p)
		}
	}
	if err := same("history of the withdrawals", got, want); err != nil {
		t.Error(err)
	}
}
