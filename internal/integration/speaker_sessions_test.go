//go:build integration

package integration

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// announcer is a daemon that announces the feed of its peering.
type announcer interface {
	// tables are what the daemon itself says that it announces.
	tables(*peering) ([]listing, error)
	// withdraw takes prefixes back that are not in the feed any more.
	withdraw(prefixes ...string)
}

// contestant is a daemon in a test of all of them.
type contestant struct {
	*peering
	is announcer
}

// agrees is nil when ribtap, the daemon and the feed have the same routes.
func (c *contestant) agrees() error {
	views, err := c.is.tables(c.peering)
	if err != nil {
		return err
	}
	wanted := c.wanted()
	for i, v := range views {
		if err := differ(c.name+"'s own table against the feed", v.want, wanted[i].want); err != nil {
			return err
		}
	}
	return c.rt.agrees(views...)
}

// TestSpeakerIsDialled lets every daemon call ribtap: tables, End-of-RIB,
// withdrawals, refreshes, and the NOTIFICATIONs with which sessions end.
func TestSpeakerIsDialled(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	feed := func(net byte) *Feed { return NewFeed(net, 24, 12).targeted() }
	birdP := l.newPeering("bird2", 65020, feed(100))
	bird217P := l.newPeering("bird217", 65021, feed(101))
	bird3P := l.newPeering("bird3", 65022, feed(102))
	frrP := l.newPeering("frr84", 65030, feed(103))
	frr10P := l.newPeering("frr103", 65031, feed(104))
	frr10P.addr, frr10P.port = "::1", l.freePort("::1")
	gobgpP := l.newPeering("gobgp310", 65040, NewFeed(105, 8, 8).targeted())
	gobgp3P := l.newPeering("gobgp336", 65041, NewFeed(106, 8, 8).targeted())
	exaP := l.newPeering("exabgp", 65050, feed(107))
	openP := l.newPeering("openbgpd", 65060, feed(108))
	openP.feed.ofOpenBGPD(openP)
	gobgp3P.restart = 30
	all := []*peering{birdP, bird217P, bird3P, frrP, frr10P, gobgpP, gobgp3P, exaP, openP}
	rt := l.StartSpeaker("", all...)

	open := l.StartOpenBGPD(openP, "") // the slowest to dial
	gobgp := l.StartGoBGPSpeaker(installed, gobgpP)
	gobgp3 := l.StartGoBGPSpeaker(newer, gobgp3P)
	bird := l.StartBirdSpeaker(bird2, birdP, birdMore{})
	bird217 := l.StartBirdSpeaker(bird217, bird217P, birdMore{})
	bird3 := l.StartBirdSpeaker(bird3new, bird3P, birdMore{})
	frr := l.StartFRRSpeaker(installed, frrP, frrMore{})
	frr10 := l.StartFRRSpeaker(newer, frr10P, frrMore{})
	exa := l.StartExaBGP(exaP)
	daemons := []contestant{
		{birdP, bird},
		{bird217P, bird217},
		{bird3P, bird3},
		{frrP, frr},
		{frr10P, frr10},
		{gobgpP, gobgp},
		{gobgp3P, gobgp3},
		{exaP, exa},
		{openP, open},
	}
	// phase does something to all daemons, then looks at each.
	phase := func(what string, do func(c *contestant), look func(t *testing.T, c *contestant, before quiet)) {
		l.Run(what, func(*testing.T) {
			before := rt.settle()
			for i := range daemons {
				do(&daemons[i])
			}
			for i := range daemons {
				l.Run(daemons[i].name, func(t *testing.T) { look(t, &daemons[i], before) })
			}
		})
	}
	nothing := func(*contestant) {}

	phase("table", nothing, func(t *testing.T, c *contestant, _ quiet) {
		l.await("ribtap, "+c.name+" and its feed to agree", 40*time.Second, c.agrees)
		if s := must(rt.session(c.name))(t); s.Attempts != 0 || s.Connections != 1 || s.Sessions != 1 {
			t.Errorf("%d dials, %d connections, %d sessions, want 0, 1 and 1", s.Attempts, s.Connections, s.Sessions)
		}
	})
	phase("End-of-RIB", nothing, func(_ *testing.T, c *contestant, _ quiet) {
		how := "eor"
		if c.peering == gobgpP {
			how = "quiet" // without graceful restart it sends none
		}
		l.await("the end of the first dump of "+c.name, 20*time.Second, func() error { return c.synced(how) })
	})

	gone := map[string][]string{}
	phase("withdraw", func(c *contestant) {
		gone[c.name] = append(c.feed.remove(false, 2, 3), c.feed.remove(true, 2, 3)...)
		c.is.withdraw(gone[c.name]...)
	}, func(t *testing.T, c *contestant, before quiet) {
		l.await("the routes to go", 20*time.Second, c.agrees)
		var got, want []string
		for _, r := range of(must(rt.changes(before.sequence))(t), c.addr) {
			if r.Changed || r.Action == "withdraw" {
				got = append(got, fmt.Sprintf("%s %s %s %t", r.Action, r.Cause, r.Prefix, r.Changed))
			}
		}
		for _, p := range gone[c.name] {
			want = append(want, "withdraw update "+p+" true")
		}
		if err := same("changes", got, want); err != nil {
			t.Error(err)
		}
	})

	// ExaBGP's session does not survive a refresh, and OpenBGPD refuses IPv4.
	refreshes := func(c *contestant) bool { return c.peering != exaP && c.peering != openP }
	phase("refresh", func(c *contestant) {
		if refreshes(c) {
			rt.order("peer", "refresh", c.name)
		}
	}, func(t *testing.T, c *contestant, before quiet) {
		var rows []Route
		l.await("all routes to come once more", 20*time.Second, func() (err error) {
			rows, err = rt.changes(before.sequence)
			if rows = of(rows, c.addr); err == nil && len(rows) < len(c.feed.routes) && refreshes(c) {
				err = fmt.Errorf("%d of %d routes", len(rows), len(c.feed.routes))
			}
			return err
		})
		var got, want []string
		for _, r := range rows {
			got = append(got, fmt.Sprintf("%s %s %t", r.Action, r.Prefix, r.Changed))
		}
		slices.Sort(got) // some say a route twice
		for i := range c.feed.routes {
			if refreshes(c) {
				want = append(want, fmt.Sprintf("announce %s false", c.feed.routes[i].prefix))
			}
		}
		if err := errors.Join(same("what came once more", slices.Compact(got), want), c.agrees()); err != nil {
			t.Error(err)
		}
	})

	const text = "maintenance T-42 ä"
	quoted := `"` + text + `"`
	// end is how a daemon ends its session, and what it says then.
	type end struct {
		do      func()
		subcode int // of Cease (RFC 4486 §4, RFC 8538 §3)
		text    string
	}
	ending := func(what string, ends map[string]end) {
		phase(what, func(c *contestant) {
			if e, ok := ends[c.name]; ok {
				e.do()
			}
		}, func(t *testing.T, c *contestant, before quiet) {
			e, ok := ends[c.name]
			if !ok {
				return
			}
			down := rt.awaitDown(c.addr, before.sequence)
			if err := down.says(6, e.subcode, e.text); err != nil {
				t.Error(err)
			}
			l.await("the routes to go", 20*time.Second, func() error {
				rows, err := rt.changes(before.sequence)
				lost := 0
				for _, r := range of(rows, c.addr) {
					if r.Action == "withdraw" && r.Cause == "peer-down" {
						lost++
					}
				}
				if err == nil && lost != len(c.feed.routes) {
					err = fmt.Errorf("%d of %d withdrawn", lost, len(c.feed.routes))
				}
				return err
			})
		})
	}
	// FRR wraps what it says in a Hard Reset, because both ends know RFC 8538. The
	// older GoBGP would take half a minute to come back.
	ending("reset", map[string]end{
		"bird2":    {func() { bird.do("restart", "session", quoted) }, 4, text},
		"bird217":  {func() { bird217.do("restart", "session", quoted) }, 4, text},
		"bird3":    {func() { bird3.do("restart", "session", quoted) }, 4, text},
		"frr84":    {func() { must(frr.vtysh("clear bgp *"))(l.t) }, 9, "Hard Reset (Cease/Administrative Reset)"},
		"frr103":   {func() { must(frr10.vtysh("clear bgp *"))(l.t) }, 9, "Hard Reset (Cease/Administrative Reset)"},
		"gobgp336": {func() { must(gobgp3.ctl("neighbor", "127.0.0.1", "reset"))(l.t) }, 4, ""},
		"exabgp":   {func() { exa.order("neighbor 127.0.0.1 teardown 4") }, 4, ""},
		"openbgpd": {func() { open.do("neighbor", "127.0.0.1", "clear", text) }, 4, text},
	})
	phase("return", nothing, func(t *testing.T, c *contestant, _ quiet) {
		l.await(c.name+" to be back", 40*time.Second, c.agrees)
		want := 2
		if c.peering == gobgpP {
			want = 1
		}
		if s := must(rt.session(c.name))(t); s.Sessions != want {
			t.Errorf("%d sessions, want %d", s.Sessions, want)
		}
	})
	ending("shutdown", map[string]end{
		"bird2":    {func() { bird.do("disable", "session", quoted) }, 2, text},
		"bird217":  {func() { bird217.do("disable", "session", quoted) }, 2, text},
		"bird3":    {func() { bird3.do("disable", "session", quoted) }, 2, text},
		"frr84":    {func() { frr.configure("neighbor 127.0.0.1 shutdown message " + text) }, 9, "Administrative Shutdown): " + text},
		"frr103":   {func() { frr10.configure("neighbor ::1 shutdown message " + text) }, 9, "Administrative Shutdown): " + text},
		"gobgp310": {func() { must(gobgp.ctl("neighbor", "127.0.0.1", "disable"))(l.t) }, 2, ""},
		"gobgp336": {func() { must(gobgp3.ctl("neighbor", "del", "127.0.0.1"))(l.t) }, 3, ""},
		"exabgp":   {func() { exa.order("neighbor 127.0.0.1 teardown 2") }, 2, ""},
		"openbgpd": {func() { open.do("neighbor", "127.0.0.1", "down", text) }, 2, text},
	})
	rt.Stop()
	l.Run("mrt", func(t *testing.T) { checkArchive(t, rt) })
}

// TestSpeakerDials has ribtap call daemons that wait, one of them by IPv6.
func TestSpeakerDials(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	waiting := func(name string, asn uint32, net byte, n int) *peering {
		p := l.newPeering(name, asn, NewFeed(net, n, n).targeted())
		p.passive = true
		return p
	}
	birdP, frrP, gobgpP := waiting("bird2", 65020, 110, 12), waiting("frr84", 65030, 111, 12), waiting("gobgp", 65040, 112, 4)
	exaP, openP, frr6P := waiting("exabgp", 65050, 113, 12), waiting("openbgpd", 65060, 114, 12), waiting("frr103", 65031, 115, 12)
	openP.feed.ofOpenBGPD(openP)
	frr6P.addr, frr6P.port = "::1", l.freePort("::1")
	rt := l.StartSpeaker("", birdP, frrP, gobgpP, exaP, openP, frr6P)
	daemons := []contestant{
		{exaP, l.StartExaBGP(exaP)},
		{gobgpP, l.StartGoBGPSpeaker(installed, gobgpP)},
		{openP, l.StartOpenBGPD(openP, "")},
		{birdP, l.StartBirdSpeaker(bird2, birdP, birdMore{})},
		{frrP, l.StartFRRSpeaker(installed, frrP, frrMore{})},
		{frr6P, l.StartFRRSpeaker(newer, frr6P, frrMore{})},
	}
	for _, c := range daemons {
		l.Run(c.name, func(t *testing.T) {
			l.await("ribtap, "+c.name+" and its feed to agree", 40*time.Second, c.agrees)
			s := must(rt.session(c.name))(t)
			if s.Attempts == 0 || s.Sessions != 1 || !strings.HasSuffix(s.Remote, fmt.Sprintf(":%d", c.port)) {
				t.Errorf("%d dials, %d sessions, to %s, want one to port %d", s.Attempts, s.Sessions, s.Remote, c.port)
			}
			var up []string
			for _, e := range must(rt.peerEvents(c.addr, 0))(t) {
				up = append(up, fmt.Sprintf("%s %t", e.Event, strings.Contains(e.Reason, "dialled")))
			}
			if err := same("peer history", up, []string{"up true"}); err != nil {
				t.Error(err)
			}
		})
	}
	rt.Stop()
}

// synced is nil when the end of the first dump was learned in this way, in both
// families.
func (p *peering) synced(how string) error {
	s, err := p.rt.session(p.name)
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range s.Families {
		if f.InitialSync != how {
			errs = append(errs, fmt.Errorf("%s: end of the first dump is %q, want %q", f.Family, f.InitialSync, how))
		}
	}
	if len(s.Families) != 2 {
		errs = append(errs, fmt.Errorf("%d families, want 2", len(s.Families)))
	}
	return errors.Join(errs...)
}
