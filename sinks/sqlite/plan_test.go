package sqlite_test

import (
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/ribtap/ribtap/sinks/sqlite"
)

// plan is how SQLite runs a query, a line a step.
func plan(tb testing.TB, db *sql.DB, query string, args ...any) string {
	tb.Helper()
	var steps []string
	for _, l := range lines(tb, db, "EXPLAIN QUERY PLAN "+query, args...) {
		steps = append(steps, l[strings.LastIndex(l, "|")+1:])
	}
	return strings.Join(steps, "\n")
}

// bigTables are those that no query about a prefix may read from end to end.
var bigTables = map[string][]string{
	"nlri": {"nlri", "n"}, "route_change": {"route_change", "c"}, "route": {"route", "c"}, "attr": {"attr", "a"},
}

func noScan(tb testing.TB, p string) {
	tb.Helper()
	for step := range strings.SplitSeq(p, "\n") {
		for table, names := range bigTables {
			for _, n := range names {
				if step == "SCAN "+n || strings.HasPrefix(step, "SCAN "+n+" ") {
					tb.Errorf("%s is read whole:\n%s", table, p)
				}
			}
		}
		if strings.Contains(step, "AUTOMATIC") {
			tb.Errorf("an index is made for the query:\n%s", p)
		}
	}
}

func TestPlans(t *testing.T) {
	s := lookingGlass(t)
	db := s.db()
	targets := map[string]sqlite.Query{
		"exact":   query("10.1.0.0/16", sqlite.MatchExact),
		"longest": query("10.1.0.1/32", sqlite.MatchLongest),
		"longer":  query("10.0.0.0/8", sqlite.MatchLonger),
		"shorter": query("10.1.0.0/16", sqlite.MatchShorter),
		"IPv6":    query("2001:db8::1/128", sqlite.MatchLongest),
		"text":    {NLRI: "[type:x]"},
	}
	for name, q := range targets {
		t.Run(name, func(t *testing.T) {
			for _, form := range []func(sqlite.Query) (string, []any){sqlite.RoutesSQL, sqlite.HistorySQL, sqlite.LengthsSQL} {
				text, args := form(q)
				noScan(t, plan(t, db, text, args...))
			}
			q.At = time.Now()
			text, args := sqlite.RoutesSQL(q)
			noScan(t, plan(t, db, text, args...))
			q.From, q.To = time.Unix(0, 0), time.Now()
			text, args = sqlite.HistorySQL(q)
			noScan(t, plan(t, db, text, args...))
		})
	}
}

// What users write themselves, through the views.
func TestPlansOfViews(t *testing.T) {
	s := lookingGlass(t)
	db := s.db()
	for _, view := range []string{"route_history", "routes"} {
		for _, where := range []string{
			"prefix = '10.0.0.0/8'",
			"prefix = '10.0.0.0/8' AND router = 'r1' AND peer_asn = 65001 AND rib = 'adj-rib-in-pre'",
			"prefix IN ('10.0.0.0/8', '10.1.0.0/16') AND family = 'ipv4-unicast'",
			"prefix = '10.0.0.0/8' AND received_at > '2025-06-15T15:06:41Z' ORDER BY sequence DESC LIMIT 10",
		} {
			noScan(t, plan(t, db, "SELECT * FROM "+view+" WHERE "+where))
		}
	}
	if p := plan(t, db, "SELECT prefix, as_path FROM route_history WHERE prefix = ?", "10.0.0.0/8"); !strings.Contains(p, "nlri_prefix (prefix=?)") ||
		!strings.Contains(p, "route_change_nlri (nlri=?)") {
		t.Errorf("the plan is\n%s", p)
	}
}

// One peer's statistics are found without reading those of all others.
func TestPlanOfStats(t *testing.T) {
	s := lookingGlass(t)
	for _, where := range []string{"peer_address = 'x' ORDER BY sequence", "router = 'x'", "peer_asn = 1 AND name = 'x'", "router = 'x' AND type = 0"} {
		for _, view := range []string{"peer_stats", "peer_stats_now"} {
			if p := plan(t, s.db(), "SELECT * FROM "+view+" WHERE "+where); strings.Contains(p, "SCAN e") || strings.Contains(p, "AUTOMATIC") {
				t.Errorf("%s, %s:\n%s", view, where, p)
			}
		}
	}
}

// A window of time reads the stretches of history that it covers.
func TestPlanOfWindow(t *testing.T) {
	s := lookingGlass(t)
	text, args := sqlite.HistorySQL(sqlite.Query{From: after(2), To: after(3)})
	noScan(t, plan(t, s.db(), text, args...))
	text, args = sqlite.HistorySQL(sqlite.Query{From: after(2), Newest: true})
	p := plan(t, s.db(), text, args...)
	noScan(t, p)
	if strings.Contains(p, "TEMP B-TREE") {
		t.Errorf("a window is sorted:\n%s", p)
	}
	text, args = sqlite.RoutesSQL(sqlite.Query{At: after(2)})
	if p := plan(t, s.db(), text, args...); strings.Contains(p, "TEMP B-TREE") {
		t.Errorf("routes at a time are sorted:\n%s", p)
	}
}
