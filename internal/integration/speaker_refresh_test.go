//go:build integration

package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSpeakerRefreshes has BIRD and FRR ask for ribtap's routes, and ribtap for
// theirs: of one family, and a refresh that tells of fewer routes than there were
// (RFC 2918, RFC 7313). Orders that change nothing cost nothing, and a load of
// announcements is one.
func TestSpeakerRefreshes(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	birdP, bird217P := l.newPeering("bird2", 65020, NewFeed(241, 8, 4)), l.newPeering("bird217", 65021, NewFeed(242, 8, 4))
	frrP := l.newPeering("frr84", 65030, NewFeed(243, 8, 4))
	all := []*peering{birdP, bird217P, frrP}
	ours := Table{"192.0.2.0/24": {Origin: "IGP", NextHop: "198.51.100.1"}, "2001:db8:1::/48": {Origin: "IGP", NextHop: "2001:db8::99"}}
	rt := l.StartSpeaker(announcements(ours), all...)
	more := func() birdMore { return birdMore{session: "debug { packets };"} }
	birds := []*BirdSpeaker{l.StartBirdSpeaker(bird2, birdP, more()), l.StartBirdSpeaker(bird217, bird217P, more())}
	frr := l.StartFRRSpeaker(installed, frrP, frrMore{})
	for _, h := range []struct {
		name string
		is   hearer
	}{{"bird2", birds[0]}, {"bird217", birds[1]}, {"frr84", frr}} {
		l.await(h.name+" to have what is announced", 30*time.Second, func() error {
			got, err := h.is.heard()
			return errors.Join(err, differ(h.name, got, ours.behind(ribtapAS)))
		})
	}
	for _, p := range all {
		l.await("the first dump of "+p.name, 20*time.Second, func() error { return p.synced("eor") })
	}

	l.Run("asked for", func(*testing.T) {
		for _, b := range birds {
			b.do("reload", "in", "session")
		}
		must(frr.vtysh("clear bgp * soft in"))(l.t)
		for _, b := range birds {
			l.await(b.p.name+" to have each family once more", 20*time.Second, func() error {
				text, err := os.ReadFile(l.path(b.p.name + ".log"))
				_, after, _ := strings.Cut(string(text), "Reloading protocol session")
				var got []string
				for line := range strings.Lines(after) {
					if _, what, ok := strings.Cut(strings.TrimSpace(line), "session: Got "); ok {
						got = append(got, what)
					}
				}
				one := []string{"BEGIN-OF-RR", "UPDATE", "END-OF-RR"}
				if err == nil && !slices.Equal(got, append(one, one...)) {
					err = fmt.Errorf("BIRD got %q", got)
				}
				return err
			})
		}
		l.await("FRR to have each family once more", 20*time.Second, func() error {
			out, err := frr.vtysh("show bgp neighbors json")
			var n map[string]struct {
				Stats struct {
					Updates   int `json:"updatesRecv"`
					Refreshes int `json:"routeRefreshRecv"`
				} `json:"messageStats"`
			}
			if err = errors.Join(err, json.Unmarshal(out, &n)); err != nil {
				return err
			}
			// A route and End-of-RIB in each family, and then the routes between two marks.
			if s := n["127.0.0.1"].Stats; s.Updates != 4+2 || s.Refreshes != 4 {
				return fmt.Errorf("FRR got %+v", s)
			}
			return nil
		})
	})
	l.Run("of one family", func(*testing.T) {
		before := rt.settle()
		for _, b := range birds {
			rt.order("peer", "refresh", b.p.name, "--family", "ipv6-unicast")
		}
		for _, b := range birds {
			// BIRD 2.0 puts a refresh off that comes soon after another.
			rt.awaitRefreshed(b.p, before.sequence, "ipv6-unicast", func() (want []string) {
				for _, p := range b.p.feed.Table(true, b.p.asn).prefixes() {
					want = append(want, "announce "+p+" false")
				}
				return want
			}())
		}
	})
	l.Run("with fewer routes", func(*testing.T) {
		gone := map[*peering]string{}
		for _, b := range birds {
			// BIRD does not say what a new filter takes away before it is asked.
			gone[b.p] = b.p.feed.routes[3].prefix.String()
			b.more.filter4 = fmt.Sprintf("if net = %s then reject;", gone[b.p])
			b.write()
			b.do("configure", "soft")
		}
		before := rt.settle()
		for _, b := range birds {
			rt.order("peer", "reset", b.p.name, "soft-in")
		}
		for _, b := range birds {
			var want []string
			for i := range b.p.feed.routes {
				p := b.p.feed.routes[i].prefix.String()
				if p == gone[b.p] {
					want = append(want, "withdraw "+p+" true")
				} else {
					want = append(want, "announce "+p+" false")
				}
			}
			rt.awaitRefreshed(b.p, before.sequence, "ipv4-unicast ipv6-unicast", want)
			rt.awaitRoutes("the rest", 10*time.Second, listing{b.p.view(false), b.p.feed.Table(false, b.p.asn).without(gone[b.p])}, listing{b.p.view(true), b.p.feed.Table(true, b.p.asn)})
		}
	})
	l.Run("orders twice", func(t *testing.T) {
		twice := func(order string) {
			for range 2 {
				rt.order("peer", order, frrP.name)
			}
		}
		before := rt.settle()
		twice("enable")
		twice("disable")
		if down := rt.awaitDown(frrP.addr, before.sequence); rt.established(frrP.name) == nil {
			t.Errorf("it is established after %+v", down)
		}
		rt.order("peer", "enable", frrP.name)
		l.await("the session", 30*time.Second, func() error { return rt.established(frrP.name) })
		twice("enable")
	})
	l.Run("100,000 announcements", func(t *testing.T) {
		const n = 100_000
		type route struct {
			Prefix string `json:"prefix"`
		}
		var order struct {
			Peer   string  `json:"peer"`
			Routes []route `json:"routes"`
		}
		order.Peer = birdP.name
		for i := range n {
			order.Routes = append(order.Routes, route{fmt.Sprintf("%d.%d.%d.0/24", 100+i>>16, i>>8&255, i&255)})
		}
		body := must(json.Marshal(order))(t)
		// One that is configured is there all the time.
		for _, step := range []struct {
			path string
			want int
		}{{"announce", n + 1}, {"announce", n + 1}, {"withdraw", 1}} {
			resp, err := http.Post("http://"+rt.http+"/v1/"+step.path, "application/json", strings.NewReader(string(body)))
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("%s: %s", step.path, resp.Status)
			}
			l.await("BIRD to count them", 60*time.Second, func() error {
				out, err := birds[0].ctl("show", "route", "count", "table", "master4", "protocol", "session")
				if err == nil && !strings.Contains(out, fmt.Sprintf("\n%d of ", step.want)) {
					err = fmt.Errorf("after %s: %s", step.path, out)
				}
				return err
			})
			if s := must(rt.session(birdP.name))(t); s.Advertised != step.want+1 || s.Sessions != 1 {
				t.Errorf("%d advertised in session %d, want %d in the first", s.Advertised, s.Sessions, step.want+1)
			}
		}
	})
	// An enable that ends a session shows by now.
	l.Run("no session was reset", func(t *testing.T) {
		for _, p := range all {
			var got []string
			for _, e := range must(rt.peerEvents(p.addr, 0))(t) {
				got = append(got, e.Event)
			}
			want := []string{"up"}
			if p == frrP {
				want = []string{"up", "down", "up"}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", p.name, got, want)
			}
		}
	})
	rt.Stop()
}

// awaitRefreshed waits until a peer has answered a refresh of families behind a
// sequence between its marks, and this, sorted by prefix, is all that it said.
func (r *Ribtap) awaitRefreshed(p *peering, after uint64, families string, want []string) {
	r.l.t.Helper()
	var marks []string
	for f := range strings.FieldsSeq(families) {
		marks = append(marks, f+" begin", f+" end")
	}
	r.l.await(p.name+" to answer a refresh of "+families, 20*time.Second, func() error {
		events, err := r.events(p.addr, after)
		rows, err2 := r.changes(after)
		var gotMarks, got []string
		for _, e := range events {
			if e.Kind == "refresh" {
				gotMarks = append(gotMarks, e.Family+" "+e.Refresh)
			}
		}
		for _, row := range of(rows, p.addr) {
			got = append(got, fmt.Sprintf("%s %s %t", row.Action, row.Prefix, row.Changed))
		}
		return errors.Join(err, err2, same("marks", gotMarks, marks), same("what came", got, want))
	})
}
