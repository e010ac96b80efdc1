//go:build integration

package integration

import (
	"fmt"
	"testing"
	"time"
)

// TestRouterKilled kills a router and starts it again with a table that differs
// in a few routes: all routes end with cause session-lost, and of those that
// return only the different ones count as changed.
func TestRouterKilled(t *testing.T) {
	for name, c := range map[string]struct {
		gen    generation
		locRIB bool
	}{
		"frr-8.4":  {installed, false},
		"frr-10.3": {newer, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testRouterKilled(t, c.gen, c.locRIB)
		})
	}
}

func testRouterKilled(t *testing.T, gen generation, locRIB bool) {
	l := NewLab(t)
	feed := NewFeed(50, 200, 100)
	rt := l.StartRibtap("")
	denied := feed.denied()
	frr := l.StartFRR("frr", gen, frrOptions{hostname: "frr", station: "127.0.0.1", stationPort: rt.bmpPort, deny: denied, locRIB: locRIB})
	bird := l.StartFeeder("feeder", feed, frr.target(), false)
	var views []listing
	agrees := func() (err error) {
		if views, err = frr.views(feed, false, neighbor4, neighbor6); err != nil {
			return err
		}
		return rt.agrees(views...)
	}
	l.await("ribtap and FRR to agree on the table", 40*time.Second, agrees)
	up := rt.settle()
	if rows := must(rt.Routes())(t); len(rows) != total(views) {
		t.Errorf("%d routes, want the %d that were compared", len(rows), total(views))
	}

	frr.proc.Kill()
	l.await("the router to be down", 20*time.Second, rt.isDown)
	if rows := must(rt.Routes())(t); len(rows) != 0 {
		t.Errorf("%d routes are left of a router that is gone", len(rows))
	}
	lost := rt.settle()
	withdrawn(t, must(rt.changes(up.sequence))(t), "session-lost", views)
	peers := len(must(rt.Peers())(t))
	downs := must(query[PeerEvent](rt, "SELECT * FROM peer_history WHERE sequence > %d AND event = 'down'", up.sequence))(t)
	for _, d := range downs {
		if d.Cause != "session-lost" || !bool(d.Inferred) {
			t.Errorf("peer down: %+v, want it inferred from session-lost", d)
		}
	}
	if len(downs) != peers {
		t.Errorf("%d peers of %d went down", len(downs), peers)
	}

	want := changeFeed(feed)
	frr.Start()
	bird.Reload()
	l.await("ribtap and FRR to agree again", 40*time.Second, agrees)
	rt.settle()
	back := must(rt.changes(lost.sequence))(t)
	if err := same("what changed while the router was away", changed(back), want.keys("announce", views)); err != nil {
		t.Error(err)
	}
	announced := 0
	for i := range back {
		if back[i].Action == "announce" && !bool(back[i].Changed) {
			announced++
		}
	}
	if same := total(views) - len(want.keys("announce", views)); announced != same {
		t.Errorf("%d routes are said to have returned unchanged, want %d", announced, same)
	}
	t.Logf("%d routes lost, %d returned, %d of them changed", total(views), len(back), len(changed(back)))
	testArchive(t, rt)
}

// TestCollectorRestart ends ribtap under a live router, with SIGTERM and with
// SIGKILL, and starts it again: routes are kept, and what the router tells
// again is no change; but what changed meanwhile is.
func TestCollectorRestart(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	feed := NewFeed(70, 200, 100)
	rt := l.NewRibtap("ribtap", "")
	denied := feed.denied()
	frr := l.StartFRR("frr", newer, frrOptions{hostname: "frr", station: "127.0.0.1", stationPort: rt.bmpPort, deny: denied, locRIB: true})
	bird := l.StartFeeder("feeder", feed, frr.target(), false)
	frr.AwaitFeed(feed)
	rt.Start()
	var views []listing
	agrees := func() (err error) {
		if views, err = frr.views(feed, true, neighbor4, neighbor6); err != nil {
			return err
		}
		return rt.agrees(views...)
	}
	l.await("ribtap and FRR to agree on the table", 40*time.Second, agrees)

	end := map[string]func(){"SIGTERM": rt.Stop, "SIGKILL": func() { rt.proc.Kill() }}
	for _, signal := range []string{"SIGTERM", "SIGKILL"} {
		l.Run(signal, func(t *testing.T) {
			before := rt.settle()
			end[signal]()
			if err := agrees(); err != nil {
				t.Errorf("while ribtap is down: %v", err)
			}
			began := time.Now()
			rt.Start()
			ready := time.Since(began)
			rt.awaitPeers(before, 3)
			up := time.Since(began)
			rt.awaitTold(before, total(views))
			told := time.Since(began)
			l.await("ribtap and FRR to agree", 30*time.Second, agrees)
			rt.settle()
			t.Logf("ready after %v, peers up after %v, all told after %v, all as before after %v", ready, up, told, time.Since(began))
			if err := same("changes after the restart", changed(must(rt.changes(before.sequence))(t)), nil); err != nil {
				t.Error(err)
			}
		})
		l.Run(signal+"-with-changes", func(t *testing.T) {
			before := rt.settle()
			end[signal]()
			want := changeFeed(feed)
			bird.Reload()
			had := views
			frr.AwaitFeed(feed)
			rt.Start()
			l.await("ribtap to sweep what is gone", 40*time.Second, agrees)
			rt.settle()
			rows := must(rt.changes(before.sequence))(t)
			all := append(want.keys("announce", views), want.keys("withdraw", had)...)
			if err := same("changes after the restart", changed(rows), all); err != nil {
				t.Error(err)
			}
			for i := range rows {
				if rows[i].Action == "withdraw" && rows[i].Cause != "stale-sweep" {
					t.Errorf("withdrawn with cause %s: %s", rows[i].Cause, rows[i].key())
				}
			}
			t.Logf("%d routes, %d rows, %d of them changed", total(views), len(rows), len(changed(rows)))
		})
	}
	testArchive(t, rt)
}

// feedChange is what changeFeed did, by prefix: announce for new and changed
// ones, withdraw for those that are gone.
type feedChange map[string]string

// changeFeed takes a few routes of a feed away, changes some and adds some.
func changeFeed(feed *Feed) feedChange {
	c := feedChange{}
	for _, v6 := range []bool{false, true} {
		for _, p := range feed.remove(v6, 20, 3) {
			c[p] = "withdraw"
		}
		c[feed.change(v6, 40)] = "announce"
		c[feed.change(v6, 41)] = "announce"
	}
	n := len(feed.routes)
	c[feed.add(fmt.Sprintf("172.16.%d.0/24", n%256))] = "announce"
	c[feed.add(fmt.Sprintf("2001:db8:ffff:%x::/64", n))] = "announce"
	return c
}

// keys are the changes of one kind in all views that have such a route, as
// changed writes them.
func (c feedChange) keys(action string, views []listing) (out []string) {
	for _, v := range views {
		for p := range v.want {
			if c[p] == action {
				out = append(out, action+" "+v.peer+" "+v.rib+" "+p)
			}
		}
	}
	return out
}

// awaitPeers waits until the router has told of so many peers since a moment.
func (r *Ribtap) awaitPeers(since quiet, n int) {
	r.l.t.Helper()
	r.l.await("the peers to be up again", 30*time.Second, func() error {
		events, err := query[PeerEvent](r, "SELECT * FROM peer_history WHERE sequence > %d AND event = 'up'", since.sequence)
		if err != nil {
			return err
		}
		up := map[string]bool{}
		for _, e := range events {
			up[e.PeerAddress] = true
		}
		if len(up) != n {
			return fmt.Errorf("%d peers told of, want %d", len(up), n)
		}
		return nil
	})
}

// awaitTold waits until at least so many messages came since a moment: those
// that change nothing leave no row, but have their number.
func (r *Ribtap) awaitTold(since quiet, n int) {
	r.l.t.Helper()
	r.l.await("the router to tell its table again", 30*time.Second, func() error {
		s, err := r.Status()
		if err != nil {
			return err
		}
		if got := s.Stream.LastSequence - since.sequence; got < uint64(n) {
			return fmt.Errorf("%d events since, want at least %d", got, n)
		}
		return nil
	})
}
