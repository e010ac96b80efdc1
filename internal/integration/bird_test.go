//go:build integration

package integration

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// views are what BIRD itself lists of its neighbours, after a check against the
// feed; a neighbour that is not up has no routes.
func (r *Bird3) views(feed *Feed, up ...neighbor) (views []listing, err error) {
	for _, n := range []neighbor{neighbor4, neighbor6} {
		heard := Table{}
		if slices.Contains(up, n) {
			heard = feed.Table(n.v6, n.as)
		}
		received, err1 := r.Received(n)
		accepted, err2 := r.Accepted(n)
		if err := errors.Join(err1, err2,
			differ("import table of "+n.addr+" against the feed", received, heard),
			differ("routes of "+n.addr+" against the feed", accepted, heard.without(r.deny).marked())); err != nil {
			return nil, err
		}
		views = append(views, listing{n.view(pre), received}, listing{n.view(post), accepted})
	}
	return views, nil
}

// TestBIRD3 follows a BIRD 3, which exports BMP before and after its inbound
// policy and sends End-of-RIB before the routes.
func TestBIRD3(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	feed := NewFeed(60, 400, 200)
	rt := l.StartRibtap("")
	router := l.StartBird3("bird3", "127.0.0.1", rt.bmpPort, feed.denied())
	bird := l.StartFeeder("feeder", feed, router.target(), false)

	var views []listing
	agrees := func(up ...neighbor) (err error) {
		if views, err = router.views(feed, up...); err != nil {
			return err
		}
		return rt.agrees(views...)
	}
	l.await("ribtap and BIRD to agree on the table", 40*time.Second, func() error { return agrees(neighbor4, neighbor6) })
	t.Logf("%d routes compared", total(views))

	l.Run("withdraw", func(t *testing.T) {
		before := rt.settle()
		gone := append(feed.remove(false, 10, 5), feed.remove(true, 10, 5)...)
		bird.Reload()
		l.await("the routes to go", 40*time.Second, func() error { return agrees(neighbor4, neighbor6) })
		rt.settle()
		testWithdrawals(t, rt, before, gone, 2)
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
	l.Run("termination", func(t *testing.T) {
		before := rt.settle()
		if _, err := router.proc.Terminate(15 * time.Second); err != nil {
			t.Fatal(err)
		}
		l.await("the router to be down", 20*time.Second, rt.isDown)
		rt.settle()
		var got []string
		for _, e := range must(query[RouterEvent](rt, "SELECT * FROM router_history WHERE sequence > %d", before.sequence))(t) {
			got = append(got, e.Event+" "+e.Cause)
		}
		if err := same("router history", got, []string{"down router-down"}); err != nil {
			t.Error(err)
		}
		if rows := must(rt.Routes())(t); len(rows) != 0 {
			t.Errorf("%d routes are left of a router that is gone", len(rows))
		}
	})
	l.Run("mrt", func(t *testing.T) { testArchive(t, rt) })
}
