package sqlite_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/sinks/sqlite"
)

var otherPeer = &event.Peer{
	Router: testRouter, Address: netip.MustParseAddr("2001:db8::9"), ASN: 65009, BGPID: netip.MustParseAddr("198.51.100.9"),
}

// lookingGlass is a store with two peers:
//
//	1 peer 1: 0.0.0.0/0 10.0.0.0/8 10.1.0.0/16 10.1.128.0/17 2001:db8::/32
//	2 peer 2: 10.0.0.0/8 11.0.0.0/8 2001:db8:8000::/33
//	3 peer 1: 10.1.0.0/16 by another path
//	4 peer 2: 10.0.0.0/8 withdrawn
func lookingGlass(t *testing.T) *store {
	s := newStore(t)
	ofOther := func(pdu []byte) event.Event {
		e := routeEvent(0, pdu)
		e.Peer, e.RIB = otherPeer, event.AdjRIBInPost
		return e
	}
	one := attributes([]uint32{65001, 3356, 15169}, communities(65001<<16|7))
	two := attributes([]uint32{65009, 15169, 65010})
	mixed := announce(one, prefixes("2001:db8::/32")...)
	s.write(routeEvent(0, announce(one, prefixes("0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.128.0/17")...)))
	s.write(ofOther(announce(two, prefixes("10.0.0.0/8", "11.0.0.0/8")...)))
	s.write(routeEvent(0, announce(attributes([]uint32{65001, 15169}), prefixes("10.1.0.0/16")...)))
	s.write(ofOther(withdraw(prefixes("10.0.0.0/8")...)))
	s.write(routeEvent(0, mixed), ofOther(announce(two, prefixes("2001:db8:8000::/33")...)))
	return s
}

func after(n int) time.Time { return (t0 + event.Time(n)*second).Std() }

func query(target string, match sqlite.Match, change ...func(*sqlite.Query)) sqlite.Query {
	q := sqlite.Query{Match: match}
	if target != "" {
		q.Prefix = netip.MustParsePrefix(target)
	}
	for _, f := range change {
		f(&q)
	}
	return q
}

func TestRoutes(t *testing.T) {
	s := lookingGlass(t)
	r := s.reader()
	path := func(expr string) func(*sqlite.Query) {
		re, err := sqlite.CompileASPath(expr)
		if err != nil {
			t.Fatal(err)
		}
		return func(q *sqlite.Query) { q.ASPath = re }
	}
	for _, c := range []struct {
		name string
		q    sqlite.Query
		want string // sequence/prefix
	}{
		{"all", query("", 0), "1/0.0.0.0/0 1/10.0.0.0/8 3/10.1.0.0/16 1/10.1.128.0/17 2/11.0.0.0/8 5/2001:db8::/32 6/2001:db8:8000::/33"},
		{"exact", query("10.1.0.0/16", sqlite.MatchExact), "3/10.1.0.0/16"},
		{"exact, host bits", query("10.1.2.3/16", sqlite.MatchExact), "3/10.1.0.0/16"},
		{"exact, none", query("10.1.0.0/17", sqlite.MatchExact), ""},
		{"longest", query("10.1.200.1/32", sqlite.MatchLongest), "1/10.1.128.0/17"},
		{"longest of each RIB", query("2001:db8:8000::1/128", sqlite.MatchLongest), "6/2001:db8:8000::/33 5/2001:db8::/32"},
		{"longest is the default route", query("192.0.2.1/32", sqlite.MatchLongest), "1/0.0.0.0/0"},
		{"longest, not there in one RIB", query("10.2.0.0/16", sqlite.MatchLongest), "1/10.0.0.0/8"},
		{"longer", query("10.0.0.0/8", sqlite.MatchLonger), "1/10.0.0.0/8 3/10.1.0.0/16 1/10.1.128.0/17"},
		{"longer, odd length", query("10.1.0.0/15", sqlite.MatchLonger), "3/10.1.0.0/16 1/10.1.128.0/17"},
		{"longer than all of IPv4", query("0.0.0.0/0", sqlite.MatchLonger), "1/0.0.0.0/0 1/10.0.0.0/8 3/10.1.0.0/16 1/10.1.128.0/17 2/11.0.0.0/8"},
		{"longer, IPv6", query("2001:db8::/32", sqlite.MatchLonger), "5/2001:db8::/32 6/2001:db8:8000::/33"},
		{"shorter", query("10.1.128.0/17", sqlite.MatchShorter), "1/10.1.128.0/17 3/10.1.0.0/16 1/10.0.0.0/8 1/0.0.0.0/0"},
		{"router", query("", 0, func(q *sqlite.Query) { q.Router = "r2" }), ""},
		{"router by name", query("11.0.0.0/8", 0, func(q *sqlite.Query) { q.Router = "r1" }), "2/11.0.0.0/8"},
		{"router by address", query("11.0.0.0/8", 0, func(q *sqlite.Query) { q.Router = "192.0.2.1" }), "2/11.0.0.0/8"},
		{"peer", query("", 0, func(q *sqlite.Query) { q.Peer = otherPeer.Address }), "2/11.0.0.0/8 6/2001:db8:8000::/33"},
		{"peer AS", query("", 0, func(q *sqlite.Query) { q.ASN = 65009 }), "2/11.0.0.0/8 6/2001:db8:8000::/33"},
		{"RIB", query("", 0, func(q *sqlite.Query) { q.RIB = event.AdjRIBInPost }), "2/11.0.0.0/8 6/2001:db8:8000::/33"},
		{"family", query("", 0, func(q *sqlite.Query) { q.Family = bgp.IPv6Unicast }), "5/2001:db8::/32 6/2001:db8:8000::/33"},
		{"origin AS", query("", 0, func(q *sqlite.Query) { q.OriginAS = 65010 }), "2/11.0.0.0/8 6/2001:db8:8000::/33"},
		{"community", query("10.0.0.0/8", sqlite.MatchLonger, func(q *sqlite.Query) { q.Community = "65001:7" }), "1/10.0.0.0/8 1/10.1.128.0/17"},
		{"a part of a community", query("", 0, func(q *sqlite.Query) { q.Community = "5001:7" }), ""},
		{"AS path", query("", 0, path("_3356_")), "1/0.0.0.0/0 1/10.0.0.0/8 1/10.1.128.0/17 5/2001:db8::/32"},
		{"AS path, a part of a number", query("", 0, path("_356_")), ""},
		{"AS path, beginning and end", query("", 0, path("^65001 15169$")), "3/10.1.0.0/16"},
		{"limit", query("", 0, func(q *sqlite.Query) { q.Limit = 2 }), "1/0.0.0.0/0 1/10.0.0.0/8"},
		{"at the beginning", query("", 0, func(q *sqlite.Query) { q.At = after(0) }), ""},
		{"at 1", query("", 0, func(q *sqlite.Query) { q.At = after(1) }), "1/0.0.0.0/0 1/10.0.0.0/8 1/10.1.0.0/16 1/10.1.128.0/17"},
		{"at 3, exact", query("10.0.0.0/8", 0, func(q *sqlite.Query) { q.At = after(3) }), "1/10.0.0.0/8 2/10.0.0.0/8"},
		{"at 2, longest", query("10.1.0.1/32", sqlite.MatchLongest, func(q *sqlite.Query) { q.At = after(2) }), "1/10.1.0.0/16 2/10.0.0.0/8"},
		{"at 5, longest", query("10.1.0.1/32", sqlite.MatchLongest, func(q *sqlite.Query) { q.At = after(5) }), "3/10.1.0.0/16"},
		{"at 2, longer, filtered", query("10.0.0.0/8", sqlite.MatchLonger, func(q *sqlite.Query) { q.At = after(2); q.ASN = 65009 }), "2/10.0.0.0/8"},
		{"at 3, AS path", query("", 0, path("_65010_"), func(q *sqlite.Query) { q.At = after(3) }), "2/10.0.0.0/8 2/11.0.0.0/8"},
		{"at 1, limit", query("", 0, func(q *sqlite.Query) { q.At = after(1); q.Limit = 1 }), "1/0.0.0.0/0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, route := range all(t, r.Routes(context.Background(), c.q)) {
				got = append(got, fmt.Sprintf("%d/%s", route.Sequence, route.Prefix))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got  %s\nwant %s", strings.Join(got, " "), c.want)
			}
		})
	}
}

func TestHistory(t *testing.T) {
	s := lookingGlass(t)
	r := s.reader()
	for _, c := range []struct {
		name string
		q    sqlite.Query
		want string // sequence.position+ or -
	}{
		{"all", query("", 0), "1.0+ 1.1+ 1.2+ 1.3+ 2.0+ 2.1+ 3.0+ 4.0- 5.0+ 6.0+"},
		{"exact", query("10.0.0.0/8", 0), "1.1+ 2.0+ 4.0-"},
		{"newest", query("10.0.0.0/8", 0, func(q *sqlite.Query) { q.Newest = true; q.Limit = 2 }), "4.0- 2.0+"},
		{"longer", query("10.0.0.0/8", sqlite.MatchLonger), "1.1+ 1.2+ 1.3+ 2.0+ 3.0+ 4.0-"},
		{"shorter", query("10.1.0.0/16", sqlite.MatchShorter), "1.0+ 1.1+ 1.2+ 2.0+ 3.0+ 4.0-"},
		{"longest of each RIB", query("10.1.2.0/24", sqlite.MatchLongest), "1.2+ 2.0+ 3.0+ 4.0-"},
		{"longest in a window", query("10.1.2.0/24", sqlite.MatchLongest, func(q *sqlite.Query) { q.From = after(4) }), "4.0-"},
		{"window", query("", 0, func(q *sqlite.Query) { q.From, q.To = after(2), after(3) }), "2.0+ 2.1+ 3.0+"},
		{"window, newest", query("", 0, func(q *sqlite.Query) { q.From, q.To, q.Newest = after(2), after(3), true }), "3.0+ 2.1+ 2.0+"},
		{"from", query("", 0, func(q *sqlite.Query) { q.From = after(4) }), "4.0- 5.0+ 6.0+"},
		{"to", query("", 0, func(q *sqlite.Query) { q.To = after(1) }), "1.0+ 1.1+ 1.2+ 1.3+"},
		{"prefix and window", query("10.0.0.0/8", 0, func(q *sqlite.Query) { q.From, q.To = after(2), after(3) }), "2.0+"},
		{"peer", query("", 0, func(q *sqlite.Query) { q.Peer = otherPeer.Address }), "2.0+ 2.1+ 4.0- 6.0+"},
		{"origin AS", query("", 0, func(q *sqlite.Query) { q.OriginAS = 65010 }), "2.0+ 2.1+ 6.0+"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, ch := range all(t, r.History(context.Background(), c.q)) {
				sign := map[string]string{"announce": "+", "withdraw": "-"}[ch.Action]
				got = append(got, fmt.Sprintf("%d.%d%s", ch.Sequence, ch.Position, sign))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got  %s\nwant %s", strings.Join(got, " "), c.want)
			}
		})
	}
}

// The Reader's own SQL and the views say the same.
func TestReaderAgreesWithViews(t *testing.T) {
	s := lookingGlass(t)
	r := s.reader()
	compare := func(view string, rows []any) {
		names := strings.Fields(viewColumns[view])
		var got []string
		for _, row := range rows {
			b, err := json.Marshal(row)
			if err != nil {
				t.Fatal(err)
			}
			m := map[string]any{}
			d := json.NewDecoder(strings.NewReader(string(b)))
			d.UseNumber()
			if err := d.Decode(&m); err != nil {
				t.Fatal(err)
			}
			var line []string
			for _, n := range names {
				switch v := m[n].(type) {
				case nil:
					line = append(line, "-")
				case bool:
					line = append(line, map[bool]string{false: "0", true: "1"}[v])
				default:
					line = append(line, fmt.Sprint(v))
				}
			}
			got = append(got, strings.Join(line, "|"))
		}
		same(t, got, s.lines("SELECT * FROM "+view+" ORDER BY sequence, position"))
	}
	var changes, routes []any
	for _, c := range all(t, r.History(context.Background(), sqlite.Query{})) {
		changes = append(changes, c)
	}
	compare("route_history", changes)
	for _, seq := range []int{1, 2, 3, 4, 5, 6} {
		for _, c := range all(t, r.Routes(context.Background(), sqlite.Query{})) {
			if c.Sequence == uint64(seq) {
				routes = append(routes, c)
			}
		}
	}
	compare("routes", routes)
}

func TestReaderStopsEarly(t *testing.T) {
	s := lookingGlass(t)
	r := s.reader()
	for range 3 {
		for range r.Routes(context.Background(), sqlite.Query{}) {
			break
		}
		for range r.History(context.Background(), sqlite.Query{}) {
			break
		}
		for range r.Peers(context.Background(), sqlite.Query{}) {
			break
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	failed := 0
	for _, err := range r.Routes(ctx, sqlite.Query{}) {
		if err != nil {
			failed++
		}
	}
	if failed != 1 {
		t.Errorf("%d errors after the context ended", failed)
	}
	if p, err := r.Position(context.Background()); p != 6 || err != nil {
		t.Errorf("position %d, %v", p, err)
	}
}

func TestParseTarget(t *testing.T) {
	for s, want := range map[string]string{
		"10.1.2.3/8":       "10.0.0.0/8 exact ",
		"10.1.2.3":         "10.1.2.3/32 longest ",
		"2001:db8::1":      "2001:db8::1/128 longest ",
		"[type:x][rd:1:2]": "invalid Prefix exact [type:x][rd:1:2]",
	} {
		var q sqlite.Query
		q.ParseTarget(s)
		if got := fmt.Sprintf("%v %v %s", q.Prefix, q.Match, q.NLRI); got != want {
			t.Errorf("%s: %s", s, got)
		}
	}
	for _, m := range []sqlite.Match{sqlite.MatchExact, sqlite.MatchLongest, sqlite.MatchLonger, sqlite.MatchShorter} {
		if got, err := sqlite.ParseMatch(m.String()); got != m || err != nil {
			t.Errorf("%v: %v, %v", m, got, err)
		}
	}
	if _, err := sqlite.ParseMatch("near"); err == nil {
		t.Error("near is a match")
	}
}

func TestCompileASPath(t *testing.T) {
	for _, c := range []struct {
		expr, path string
		want       bool
	}{
		{"_3356_", "65001 3356 15169", true},
		{"_3356_", "3356", true},
		{"_3356_", "33560 13356", false},
		{"_3356_", "65001 {3356,1}", true},
		{"_3356_", "65001 (3356 1) 2", true},
		{"^3356_", "3356 1", true},
		{"^3356_", "1 3356", false},
		{"_15169$", "3356 15169", true},
		{"^$", "", true},
		{"_3356_15169_", "1 3356 15169", true},
		{`a\_b[_]`, "a_b_", true},
	} {
		re, err := sqlite.CompileASPath(c.expr)
		if err != nil {
			t.Errorf("%s: %v", c.expr, err)
		} else if re.MatchString(c.path) != c.want {
			t.Errorf("%s on %q: %v", c.expr, c.path, !c.want)
		}
	}
	if _, err := sqlite.CompileASPath("("); err == nil {
		t.Error("( compiles")
	}
}

// An import of what is long past completes the history and leaves alone what
// is known since.
func TestLateImport(t *testing.T) {
	old := func(at int, pdu []byte) event.Event {
		e := routeEvent(0, pdu)
		e.Source, e.Received, e.Observed = event.SourceMRT, t0+event.Time(at)*second, 0
		return e
	}
	live := attributes([]uint32{65001, 1})
	past := attributes([]uint32{65001, 2})
	s := newStore(t)
	s.write(
		old(1000, announce(live, prefixes("10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16")...)),
		old(1001, withdraw(prefixes("10.1.0.0/16")...)),
	)
	if err := s.sink.Close(); err != nil {
		t.Fatal(err)
	}
	s.sink = openSink(t, s.path)
	s.write(
		old(10, announce(past, prefixes("10.0.0.0/8", "10.1.0.0/16", "10.3.0.0/16", "10.4.0.0/16")...)),
		old(11, withdraw(prefixes("10.2.0.0/16", "10.4.0.0/16")...)),
		old(1000, announce(past, prefixes("10.2.0.0/16")...)), // as old as what is known: the later in the file
	)
	s.want("SELECT prefix, as_path, since FROM routes ORDER BY prefix",
		"10.0.0.0/8|65001 1|2025-06-15T15:23:20.123456Z",
		"10.2.0.0/16|65001 2|2025-06-15T15:23:20.123456Z",
		"10.3.0.0/16|65001 2|2025-06-15T15:06:50.123456Z",
	)
	s.want("SELECT count(*) FROM route_history", "11")
	r := s.reader()
	for at, want := range map[int]string{
		5: "", 10: "10.0.0.0/8 10.1.0.0/16 10.3.0.0/16 10.4.0.0/16", 11: "10.0.0.0/8 10.1.0.0/16 10.3.0.0/16",
		1000: "10.0.0.0/8 10.1.0.0/16 10.2.0.0/16 10.3.0.0/16", 1001: "10.0.0.0/8 10.2.0.0/16 10.3.0.0/16",
	} {
		var got []string
		for _, route := range all(t, r.Routes(context.Background(), sqlite.Query{At: after(at)})) {
			got = append(got, route.Prefix)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("at %d: %v", at, got)
		}
	}
	// A live router's word counts whatever its clock said before.
	e := routeEvent(0, announce(live, prefixes("10.3.0.0/16")...))
	e.Received = t0
	s.write(e)
	s.want("SELECT as_path FROM routes WHERE prefix = '10.3.0.0/16'", "65001 1")
}
