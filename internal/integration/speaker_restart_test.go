//go:build integration

package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// streamEvent is an event as `ribtap stream inspect` prints it, in part.
type streamEvent struct {
	Kind    string   `json:"kind"`
	Cause   string   `json:"cause"`
	Flags   []string `json:"flags"`
	Family  string   `json:"family"`
	Refresh string   `json:"refresh"`
	Text    string   `json:"text"`
}

// events are those of a peer behind a sequence.
func (r *Ribtap) events(addr string, after uint64) (list []streamEvent, err error) {
	out, err := output(r.command("stream", "inspect", "--peer", addr, "--from", fmt.Sprint(after+1), "-o", "ndjson")...)
	for d := json.NewDecoder(bytes.NewReader(out)); err == nil && d.More(); {
		var e streamEvent
		if err = d.Decode(&e); err == nil {
			list = append(list, e)
		}
	}
	return list, err
}

// staleMarks are the conclusions about stale routes of a peer behind a sequence:
// "FAMILY begin TEXT" and "FAMILY end". Seconds differ by how long things took.
func (r *Ribtap) staleMarks(addr string, after uint64) (marks []string, err error) {
	events, err := r.events(addr, after)
	for _, e := range events {
		if e.Kind == "refresh" && slices.Contains(e.Flags, "inferred") {
			text, _, _ := strings.Cut(e.Text, " time ")
			marks = append(marks, strings.TrimSpace(e.Family+" "+e.Refresh+" "+text))
		}
	}
	return marks, err
}

// restarting is a daemon that is killed, and perhaps comes back.
type restarting struct {
	contestant
	kill  func()
	start func() // nil when it does not come back
	// long: the Restart Time is over before it comes back, if it does.
	long bool
}

// TestSpeakerGracefulRestart kills daemons, some of which come back in time with a
// table that is a little different (RFC 4724, RFC 9494).
func TestSpeakerGracefulRestart(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	peer := func(name string, asn uint32, net byte, restart, longLived int) *peering {
		p := l.newPeering(name, asn, NewFeed(net, 24, 12).targeted())
		p.restart, p.longLived = restart, longLived
		return p
	}
	birdP, frrP, frr10P := peer("bird2", 65020, 140, 60, 0), peer("frr84", 65030, 141, 60, 0), peer("frr103", 65031, 142, 60, 0)
	frr10P.addr, frr10P.port = "::1", l.freePort("::1")
	bird3P, longP := peer("bird3", 65022, 143, 60, 0), peer("long", 65021, 144, 1, 60)
	coldP := peer("cold", 65025, 145, 60, 0)
	goneP, frrGoneP, longGoneP := peer("gone", 65023, 146, 2, 0), peer("frrgone", 65032, 147, 2, 0), peer("longgone", 65024, 148, 1, 2)
	lateP := peer("frrlate", 65033, 149, 60, 0)
	frrLongP, gobgpP := peer("frrlong", 65034, 138, 1, 60), peer("gobgp", 65040, 139, 60, 0)
	gobgpP.feed = NewFeed(139, 10, 4).targeted()
	peers := []*peering{frrLongP, gobgpP, birdP, frrP, frr10P, bird3P, longP, coldP, goneP, frrGoneP, longGoneP, lateP}
	rt := l.NewSpeaker("", peers...)
	rt.quiet = "6s" // longer than the late routes of FRR take
	rt.configure(speakerConfig("", birdP.to, peers))
	rt.Start()

	ofBird := func(p *peering, v birdVersion, flags ...string) restarting {
		b := l.StartBirdSpeaker(v, p, birdMore{})
		return restarting{contestant: contestant{p, b}, kill: func() { b.proc.Kill() }, start: func() { b.write(); b.Start(flags...) }, long: p.longLived > 0}
	}
	ofFRR := func(p *peering, gen generation, late bool) restarting {
		f := l.StartFRRSpeaker(gen, p, frrMore{late: late})
		return restarting{contestant: contestant{p, f}, kill: func() { f.proc.Kill() }, start: func() { f.write(); f.Start() }, long: p.longLived > 0}
	}
	frr, frr10, frrGone := ofFRR(frrP, installed, false), ofFRR(frr10P, newer, false), ofFRR(frrGoneP, installed, false)
	late := ofFRR(lateP, installed, true) // says End-of-RIB before its routes
	frrLong := ofFRR(frrLongP, installed, false)
	// GoBGP has no routes yet when it starts again, and says End-of-RIB early too.
	g := l.StartGoBGPSpeaker(installed, gobgpP)
	gobgp := restarting{contestant: contestant{gobgpP, g}, kill: func() { g.proc.Kill() }, start: func() { g.Start("-r") }}
	bird, bird3, long := ofBird(birdP, bird2, "-R"), ofBird(bird3P, bird3new, "-R"), ofBird(longP, bird2, "-R")
	gone, longGone := ofBird(goneP, bird2), ofBird(longGoneP, bird2)
	// Without -R BIRD does not say that it still forwards.
	cold := ofBird(coldP, bird2)
	back := []restarting{frr, frr10, frrLong, gobgp, bird, bird3, long, late}
	away := []restarting{gone, frrGone, longGone}
	all := slices.Concat(back, away, []restarting{cold})
	for _, d := range all {
		l.await(d.name+" to agree", 40*time.Second, d.agrees)
	}
	for _, d := range all {
		l.await("End-of-RIB of "+d.name, 20*time.Second, func() error { return d.synced("eor") })
	}

	before := rt.settle()
	had := map[string]Table{}
	for _, d := range all {
		had[d.name] = d.feed.prefixesOf()
		d.kill()
	}
	l.Run("stale", func(*testing.T) {
		for _, d := range slices.Concat(back, []restarting{cold}) {
			l.Run(d.name, func(t *testing.T) {
				if down := rt.awaitDown(d.addr, before.sequence); down.Cause != "session-lost" {
					t.Errorf("down with cause %s, want session-lost", down.Cause)
				}
				want := []string{"ipv4-unicast begin restart", "ipv6-unicast begin restart"}
				if d.long {
					want = append(want, "ipv4-unicast begin long-lived stale", "ipv6-unicast begin long-lived stale")
				}
				l.await("the marks", 20*time.Second, func() error {
					marks, err := rt.staleMarks(d.addr, before.sequence)
					return errors.Join(err, same("stale marks", marks, want))
				})
				s := must(rt.session(d.name))(t)
				if n := len(d.feed.routes); s.Stale != n || s.Routes != n {
					t.Errorf("%d routes, %d of them stale, want %d", s.Routes, s.Stale, n)
				}
				if err := rt.agrees(d.wanted()...); err != nil {
					t.Error(err)
				}
				if rows := of(must(rt.changes(before.sequence))(t), d.addr); len(rows) != 0 {
					t.Errorf("%d rows in the history of a neighbour that is away: %v", len(rows), describe(rows[:1]))
				}
			})
		}
	})
	l.Run("away", func(*testing.T) {
		for _, d := range away {
			l.Run(d.name, func(t *testing.T) {
				want := []string{"ipv4-unicast begin restart", "ipv6-unicast begin restart", "ipv4-unicast end", "ipv6-unicast end"}
				if d.long {
					want = append(want, "ipv4-unicast begin long-lived stale", "ipv6-unicast begin long-lived stale")
				}
				l.await("the end of what was kept", 20*time.Second, func() error {
					marks, err := rt.staleMarks(d.addr, before.sequence)
					return errors.Join(err, same("stale marks", marks, want))
				})
				l.await("no routes", 10*time.Second, func() error {
					return rt.agrees(listing{d.view(false), Table{}}, listing{d.view(true), Table{}})
				})
				if err := withdrawnWith("session-lost", of(must(rt.changes(before.sequence))(t), d.addr), had[d.name].prefixes()); err != nil {
					t.Error(err)
				}
			})
		}
	})

	again := rt.settle()
	vanished, different := map[string][]string{}, map[string]string{}
	for _, d := range slices.Concat(back, []restarting{cold}) {
		vanished[d.name] = append(d.feed.remove(false, 3, 4), d.feed.remove(true, 1, 2)...)
		different[d.name] = d.feed.change(false, 7)
		d.start()
	}
	l.Run("back", func(*testing.T) {
		for _, d := range back {
			l.Run(d.name, func(t *testing.T) {
				l.await("the routes of the new table alone", 40*time.Second, d.agrees)
				l.await("no route to be stale", 20*time.Second, func() error {
					s, err := rt.session(d.name)
					if err == nil && (s.Stale != 0 || s.Sessions != 2) {
						err = fmt.Errorf("%d stale routes in session %d", s.Stale, s.Sessions)
					}
					return err
				})
				l.await("the end of stale routes", 10*time.Second, func() error {
					marks, err := rt.staleMarks(d.addr, again.sequence)
					return errors.Join(err, same("stale marks", marks, []string{"ipv4-unicast end", "ipv6-unicast end"}))
				})
				rows := of(must(rt.changes(again.sequence))(t), d.addr)
				if err := d.saidAgain(rows, vanished[d.name], different[d.name]); err != nil {
					t.Error(err)
				}
			})
		}
	})
	l.Run("back without state", func(t *testing.T) {
		l.await("the routes of the new table alone", 40*time.Second, cold.agrees)
		rows := of(must(rt.changes(again.sequence))(t), cold.addr)
		n := slices.IndexFunc(rows, func(r Route) bool { return r.Action == "announce" })
		if n < 0 {
			n = len(rows)
		}
		if err := withdrawnWith("session-lost", rows[:n], had[cold.name].prefixes()); err != nil {
			t.Errorf("before its routes came: %v", err)
		}
	})
	rt.Stop()
}

// saidAgain is nil when a neighbour that is back has announced its whole feed, and
// of that only one route, and what it has no more, was news.
func (p *peering) saidAgain(rows []Route, vanished []string, different string) error {
	var got, want, announced []string
	for _, r := range news(rows) {
		got = append(got, r.Action+" "+r.Cause+" "+r.Prefix)
	}
	for _, prefix := range vanished {
		want = append(want, "withdraw stale-sweep "+prefix)
	}
	if different != "" {
		want = append(want, "announce update "+different)
	}
	for _, r := range rows {
		if r.Action == "announce" {
			announced = append(announced, r.Prefix)
		}
	}
	slices.Sort(announced) // some say a route twice
	return errors.Join(same("news of "+p.name, got, want), same("announced by "+p.name, slices.Compact(announced), p.feed.prefixesOf().prefixes()))
}

// prefixesOf are the feed's prefixes.
func (f *Feed) prefixesOf() Table {
	t := Table{}
	for i := range f.routes {
		t[f.routes[i].prefix.String()] = Attrs{}
	}
	return t
}

// withdrawnWith is nil when the rows are one withdrawal of each prefix, with the
// cause.
func withdrawnWith(cause string, rows []Route, prefixes []string) error {
	var got, want []string
	for _, r := range rows {
		got = append(got, fmt.Sprintf("%s %s %s %t", r.Action, r.Cause, r.Prefix, r.Changed))
	}
	for _, p := range prefixes {
		want = append(want, "withdraw "+cause+" "+p+" true")
	}
	return same("withdrawals", got, want)
}
