//go:build integration

package postgres_test

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/history/historytest"
	"github.com/ribtap/ribtap/sinks/postgres"
	"github.com/ribtap/ribtap/sinks/postgres/postgrestest"
)

// largeRows is how many changes the large history has.
func largeRows() int {
	n, err := strconv.Atoi(os.Getenv("RIBTAP_BENCH_HISTORY"))
	if err != nil {
		return 500_000
	}
	return n
}

// BenchmarkLargeHistory writes a history of RIBTAP_BENCH_HISTORY changes over
// five days, and asks it what docs/sql-postgres.md asks. With
// RIBTAP_BENCH_DSN it does so in that database, which must be empty, else in one
// of the tests' server. All figures but the metrics are in the log (-v).
func BenchmarkLargeHistory(b *testing.B) {
	for range b.N {
		dsn := os.Getenv("RIBTAP_BENCH_DSN")
		if dsn == "" {
			dsn = postgrestest.Start(b)
		}
		s := storeAt(b, dsn)
		g := historytest.NewChurn(largeRows(), event.At(t0.Std().Truncate(day)))
		if s.sink.Position() == 0 {
			fill(b, s, g)
			s.exec("VACUUM ANALYZE")
		}
		b.Logf("size: %s", strings.Join(s.lines("SELECT count(*), pg_size_pretty(pg_database_size(current_database())) FROM route_change"), ""))
		b.Logf("octets a change:\n%s", strings.Join(s.lines(octetsAChange), "\n"))
		askAll(b, s, g)
		dropDay(b, s, g)
	}
}

// octetsAChange is what each table and each index has on disk, those of partitions
// as one: in all, for each row of route_change, and for each row of its own.
const octetsAChange = `
WITH n AS (SELECT count(*)::numeric AS n FROM route_change)
SELECT rpad(coalesce(regexp_replace(c.relname, '_(p\d{8}|default)', ''), 'all'), 34), sum(pg_table_size(c.oid)), round(sum(pg_table_size(c.oid)) / max(n.n), 2) AS octets,
  round(sum(pg_table_size(c.oid)) / nullif(sum(c.reltuples), 0)::numeric, 1)
FROM pg_class AS c, n
WHERE c.relkind IN ('r', 'i') AND c.relnamespace = 'public'::regnamespace
GROUP BY ROLLUP (regexp_replace(c.relname, '_(p\d{8}|default)', ''))
HAVING sum(pg_table_size(c.oid)) / max(n.n) > 0.05
ORDER BY 3 DESC`

// fill writes all of it, and tells the rate, and in three places that of a COPY of
// the same changes.
func fill(b *testing.B, s *store, g *historytest.Churn) {
	const batch = 20_000
	step := max(g.Rows/50, 1)
	from, spent := 0, time.Duration(0)
	for g.Made < g.Rows {
		events := g.Next(batch)
		spent += timed(b, func() { writeAll(b, s.sink, [][]event.Event{events}) })
		if n := g.Made - from; n >= step || g.Made >= g.Rows {
			rate := float64(n) / spent.Seconds()
			line := fmt.Sprintf("%d rows, %.0f/s", g.Made, rate)
			if share := g.Made / step; share == 1 || share == 25 || g.Made >= g.Rows {
				raw := copyAgain(b, s, g.At(from), g.At(g.Made))
				line += fmt.Sprintf(", %.2f of a COPY of the changes alone", rate/raw)
			}
			_, _ = fmt.Fprintln(os.Stderr, line) // long work shows progress
			from, spent = g.Made, 0
		}
	}
}

// copyAgain copies the changes of some time once more, into the same partitions
// with their indexes, and takes them back. It returns rows per second.
func copyAgain(b *testing.B, s *store, from, to event.Time) float64 {
	b.Helper()
	ctx := context.Background()
	conn := connect(b, s.dsn)
	file, err := os.CreateTemp(b.TempDir(), "rows")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	between := fmt.Sprintf("received >= '%s' AND received < '%s'", from.Std().Format(time.RFC3339Nano), to.Std().Format(time.RFC3339Nano))
	tag, err := conn.PgConn().CopyTo(ctx, file, "COPY (SELECT * FROM route_change WHERE "+between+" ORDER BY event) TO STDOUT BINARY")
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err == nil {
		_, err = conn.Exec(ctx, "BEGIN")
	}
	if err != nil {
		b.Fatal(err)
	}
	took := timed(b, func() { _, err = conn.PgConn().CopyFrom(ctx, file, "COPY route_change FROM STDIN BINARY") })
	if err == nil {
		_, err = conn.Exec(ctx, "ROLLBACK")
	}
	if err != nil {
		b.Fatal(err)
	}
	return float64(tag.RowsAffected()) / took.Seconds()
}

// askAll asks the documented questions about a prefix that changed often and
// the middle of the time, and for a peer's whole table then.
func askAll(b *testing.B, s *store, g *historytest.Churn) {
	text, err := os.ReadFile("../../docs/sql-postgres.md")
	if err != nil {
		b.Fatal(err)
	}
	middle := g.At(g.Rows / 2).Std().UTC()
	busy := netip.MustParsePrefix(s.lines("SELECT prefix FROM route_history WHERE received_at >= '" + middle.Format(time.RFC3339) +
		"' AND family = 'ipv4-unicast' AND masklen(prefix) < 25 GROUP BY prefix ORDER BY count(*) DESC LIMIT 1")[0])
	block, _ := busy.Addr().Prefix(14)
	b.Logf("prefix %s, %s changes", busy, s.lines("SELECT count(*) FROM route_history WHERE prefix = '" + busy.String() + "'")[0])
	names := strings.NewReplacer("10.1.0.0/16", busy.String(), "10.1.2.3", busy.Addr().String(), "10.0.0.0/14", block.String(),
		"2026-01-02T03:12:00Z", middle.Format(time.RFC3339), "2025-06-15T15:00:00Z", g.At(g.Rows-g.Rows/50).Std().UTC().Format(time.RFC3339))
	ask := func(title, sql string, times int) {
		var took []time.Duration
		rows := 0
		for range times {
			took = append(took, timed(b, func() { rows = len(s.lines(sql)) }))
		}
		slices.Sort(took)
		b.Logf("%s\n%d rows, median of %d: %v\n%s", title, rows, times, took[times/2].Round(10*time.Microsecond), shortPlan(s.lines("EXPLAIN (COSTS OFF) "+sql)))
	}
	for _, q := range regexp.MustCompile("(?s)### ([^\n]*)\n.*?```sql\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		times := 11
		if strings.Contains(q[1], "least stable") || strings.Contains(q[1], "How many routes does each peer have") {
			times = 3
		}
		ask(q[1], names.Replace(q[2]), times)
	}
	ask("one peer's whole table", "SELECT * FROM routes_at('"+middle.Format(time.RFC3339)+"') WHERE router = 'r1' AND peer_address = '198.51.100.2'", 3)
	ask("a prefix's history", "SELECT * FROM route_history WHERE prefix = '"+busy.String()+"' ORDER BY sequence, position", 11)
	ask("a prefix's routes at a time", "SELECT * FROM routes_at('"+middle.Format(time.RFC3339)+"') WHERE prefix = '"+busy.String()+"'", 11)
}

// dropDay lets the retention take the oldest day while a writer writes 2,000
// changes a second.
func dropDay(b *testing.B, s *store, g *historytest.Churn) {
	var stop atomic.Bool
	done := make(chan struct{})
	var writes []time.Duration
	go func() {
		defer close(done)
		g.Continue(s.sink.Position())
		for !stop.Load() {
			events := g.Next(200)
			for i := range events {
				events[i].Received = event.At(time.Now())
			}
			writes = append(writes, timed(b, func() { writeAll(b, s.sink, [][]event.Event{events}) }))
			time.Sleep(100*time.Millisecond - min(writes[len(writes)-1], 100*time.Millisecond))
		}
	}()
	time.Sleep(3 * time.Second)
	before := len(writes)
	keeper := newSink(b, s.dsn, func(c *postgres.Config) { c.Retention = day; c.Collector = "rt2" })
	took := timed(b, func() {
		if err := keeper.Retain(context.Background(), t0.Std().Truncate(day).Add(2*day+time.Hour)); err != nil {
			b.Error(err)
		}
	})
	stop.Store(true)
	<-done
	slices.Sort(writes[:before])
	slices.Sort(writes[before:])
	b.Logf("a day dropped in %v; 200 changes were written in %v at most before it, meanwhile %d times in %v at the median and %v at most",
		took.Round(time.Millisecond), writes[before-1].Round(time.Millisecond), len(writes)-before, writes[(before+len(writes))/2].Round(time.Millisecond), writes[len(writes)-1].Round(time.Millisecond))
}
