package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/migrations"
	"github.com/ribtap/ribtap/sinks/sqlite"
)

// benchRoutes is the size of the table in the benchmarks.
func benchRoutes() int {
	n, err := strconv.Atoi(os.Getenv("RIBTAP_BENCH_ROUTES"))
	if err != nil {
		return 1_000_000
	}
	return n
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func openSink(tb testing.TB, path string, change ...func(*sqlite.Config)) *sqlite.Sink {
	tb.Helper()
	cfg := sqlite.DefaultConfig()
	cfg.Path, cfg.Collector = path, "rt1"
	for _, f := range change {
		f(&cfg)
	}
	s, err := sqlite.New(cfg, quiet(), prometheus.NewRegistry())
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.Open(context.Background()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func cpuSeconds() float64 {
	var ru syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano()).Seconds()
}

// stopwatch reports rows a second, by the clock and by the CPU: on a shared
// machine the second one is the one to compare.
type stopwatch struct {
	b     *testing.B
	start time.Time
	cpu   float64
}

func startWatch(b *testing.B) stopwatch { return stopwatch{b, time.Now(), cpuSeconds()} }

func (w stopwatch) report(phase string, rows int) (perCPU float64) {
	perCPU = float64(rows) / (cpuSeconds() - w.cpu)
	w.b.ReportMetric(float64(rows)/time.Since(w.start).Seconds(), phase+"/s")
	w.b.ReportMetric(perCPU, phase+"/cpu-s")
	return perCPU
}

func writeAll(tb testing.TB, s *sqlite.Sink, batches [][]event.Event) (slowest time.Duration) {
	tb.Helper()
	for _, batch := range batches {
		start := time.Now()
		if err := s.Write(context.Background(), batch); err != nil {
			tb.Fatal(err)
		}
		slowest = max(slowest, time.Since(start))
	}
	if err := s.Idle(context.Background(), time.Now()); err != nil {
		tb.Fatal(err)
	}
	return slowest
}

// BenchmarkTable loads a full table into a fresh store, loads it again, and
// takes it back in the order of the NLRI.
func BenchmarkTable(b *testing.B) {
	n := benchRoutes()
	t := newTable(n, 1)
	for _, routes := range []int{1_000, 16_000, 128_000} {
		b.Run(fmt.Sprintf("batch=%d", routes), func(b *testing.B) {
			for range b.N {
				s := openSink(b, filepath.Join(b.TempDir(), "history.db"))
				phase := func(name string, batches [][]event.Event) {
					w := startWatch(b)
					slowest := writeAll(b, s, batches)
					w.report(name, n)
					b.ReportMetric(float64(slowest.Milliseconds()), name+"-slowest-ms")
				}
				batches := t.Batches(1, routes)
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				phase("announce", batches)
				runtime.GC()
				runtime.ReadMemStats(&after)
				runtime.KeepAlive(batches)
				b.ReportMetric((float64(after.HeapAlloc)-float64(before.HeapAlloc))/1e6, "heap-MB")
				phase("again", t.Batches(10_000_000, routes))
				phase("withdraw", t.Withdrawals(20_000_000, routes))
			}
		})
	}
}

// BenchmarkAgainstRaw writes a table with the sink, and then the very same rows
// with nothing but prepared INSERTs of 50 rows, in the same transactions into
// the same tables; ratio is how fast the sink is in units of the latter.
func BenchmarkAgainstRaw(b *testing.B) {
	n := benchRoutes() / 4
	t := newTable(n, 1)
	for _, routes := range []int{1_000, 16_000, 128_000} {
		b.Run(fmt.Sprintf("batch=%d", routes), func(b *testing.B) {
			for range b.N {
				s := newStoreB(b)
				batches := t.Batches(1, routes)
				w := startWatch(b)
				writeAll(b, s.sink, batches)
				sink := w.report("sink", n)
				rows := rawRowsOf(b, s)
				raw := newRawStore(b)
				w = startWatch(b)
				raw.load(rows, routes)
				b.ReportMetric(sink/w.report("raw", n), "ratio")
			}
		})
	}
}

func newStoreB(b *testing.B) *store {
	path := filepath.Join(b.TempDir(), "history.db")
	return &store{tb: b, path: path, sink: openSink(b, path)}
}

// rawTables are the tables that a table of routes fills, with the column that
// counts along with the changes.
var rawTables = []string{"nlri", "attr", "route_change", "route"}

type rawRows map[string][][]any

// rawRowsOf reads a store's rows, in the order in which they were written.
func rawRowsOf(b *testing.B, s *store) rawRows {
	out := rawRows{}
	for _, table := range rawTables {
		order := "id"
		if table == "route" {
			order = "change"
		}
		rows, err := s.db().Query("SELECT * FROM " + table + " ORDER BY " + order)
		if err != nil {
			b.Fatal(err)
		}
		names, err := rows.Columns()
		if err != nil {
			b.Fatal(err)
		}
		for rows.Next() {
			row, to := make([]any, len(names)), make([]any, len(names))
			for i := range row {
				to[i] = &row[i]
			}
			if err := rows.Scan(to...); err != nil {
				b.Fatal(err)
			}
			out[table] = append(out[table], row)
		}
		if err := rows.Close(); err != nil {
			b.Fatal(err)
		}
	}
	return out
}

// rawStore is a store written by hand.
type rawStore struct {
	b    *testing.B
	conn *sql.Conn
	many map[string]*sql.Stmt
	one  map[string]*sql.Stmt
}

func newRawStore(b *testing.B) *rawStore {
	ctx := context.Background()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "raw.db")+
		"?_pragma=journal_mode(wal)&_pragma=synchronous(normal)&_pragma=cache_size(-65536)&_pragma=wal_autocheckpoint(4096)")
	if err != nil {
		b.Fatal(err)
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close(); _ = db.Close() })
	steps, err := migrations.SQLite()
	if err != nil {
		b.Fatal(err)
	}
	r := &rawStore{b: b, conn: conn, many: map[string]*sql.Stmt{}, one: map[string]*sql.Stmt{}}
	for _, s := range steps {
		if _, err := conn.ExecContext(ctx, s.SQL); err != nil {
			b.Fatal(err)
		}
	}
	for _, table := range rawTables {
		var columns int
		if err := conn.QueryRowContext(ctx, "SELECT count(*) FROM pragma_table_info(?)", table).Scan(&columns); err != nil {
			b.Fatal(err)
		}
		row := "(?" + strings.Repeat(",?", columns-1) + ")"
		for rows, to := range map[int]map[string]*sql.Stmt{1: r.one, 50: r.many} {
			st, err := conn.PrepareContext(ctx, "INSERT INTO "+table+" VALUES "+row+strings.Repeat(","+row, rows-1))
			if err != nil {
				b.Fatal(err)
			}
			to[table] = st
		}
	}
	return r
}

// load writes the rows in transactions of about routes changes.
func (r *rawStore) load(rows rawRows, routes int) {
	transactions := max(1, len(rows["route_change"])/routes)
	for i := range transactions {
		r.exec("BEGIN IMMEDIATE")
		for _, table := range rawTables {
			all := rows[table]
			r.insert(table, all[len(all)*i/transactions:len(all)*(i+1)/transactions])
		}
		r.exec("COMMIT")
	}
}

func (r *rawStore) exec(query string) {
	if _, err := r.conn.ExecContext(context.Background(), query); err != nil {
		r.b.Fatal(err)
	}
}

func (r *rawStore) insert(table string, rows [][]any) {
	var args []any
	for len(rows) >= 50 {
		args = args[:0]
		for _, row := range rows[:50] {
			args = append(args, row...)
		}
		if _, err := r.many[table].Exec(args...); err != nil {
			r.b.Fatal(err)
		}
		rows = rows[50:]
	}
	for _, row := range rows {
		if _, err := r.one[table].Exec(row...); err != nil {
			r.b.Fatal(err)
		}
	}
}

// BenchmarkChurn changes routes all over a table, in batches as they come from
// a router that is not in a hurry.
func BenchmarkChurn(b *testing.B) {
	t := newTable(benchRoutes(), 1)
	s := openSink(b, filepath.Join(b.TempDir(), "history.db"))
	writeAll(b, s, t.Batches(1, 128_000))
	rng := rand.New(rand.NewPCG(3, 4))
	seq := s.Position()
	for _, size := range []int{10, 1000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			batches := make([][]event.Event, 20_000/size)
			for i := range batches {
				for range size {
					seq++
					set := attributes([]uint32{65001, rng.Uint32N(1000) + 1, rng.Uint32N(1000) + 1})
					batches[i] = append(batches[i], routeEvent(seq, announce(set, t.Prefixes[rng.IntN(len(t.Prefixes))])))
				}
			}
			b.ResetTimer()
			w := startWatch(b)
			var slowest time.Duration
			for range b.N {
				slowest = writeAll(b, s, batches)
				for i := range batches {
					for j := range batches[i] {
						seq++
						batches[i][j].Sequence = seq
					}
				}
			}
			w.report("changes", b.N*size*len(batches))
			b.ReportMetric(float64(slowest.Milliseconds()), "slowest-ms")
		})
	}
}

// BenchmarkQueries asks for prefixes in a store of ten times as many changes as
// routes.
func BenchmarkQueries(b *testing.B) {
	t := newTable(benchRoutes(), 1)
	s := newStoreB(b)
	seq := uint64(1)
	for range 10 {
		batches := t.Batches(seq, 128_000)
		last := batches[len(batches)-1]
		seq = last[len(last)-1].Sequence + 1
		writeAll(b, s.sink, batches)
	}
	r := s.reader()
	ctx := context.Background()
	rng := rand.New(rand.NewPCG(5, 6))
	pick := func() sqlite.Query { return sqlite.Query{Prefix: t.Prefixes[rng.IntN(len(t.Prefixes))]} }
	host := func(q sqlite.Query) sqlite.Query {
		a := q.Prefix.Addr()
		q.Prefix = q.Prefix.Masked()
		q.Prefix, q.Match = prefixOf(a), sqlite.MatchLongest
		return q
	}
	at := (t0 + event.Time(seq/2)*second).Std()
	routes := func(q sqlite.Query) int { return len(all(b, r.Routes(ctx, q))) }
	history := func(q sqlite.Query) int { return len(all(b, r.History(ctx, q))) }
	db := s.db()
	for _, c := range []struct {
		name string
		ask  func() int
	}{
		{"routes-exact", func() int { return routes(pick()) }},
		{"routes-longest", func() int { return routes(host(pick())) }},
		{"routes-shorter", func() int { q := pick(); q.Match = sqlite.MatchShorter; return routes(q) }},
		{"routes-longer", func() int { q := pick(); q.Match = sqlite.MatchLonger; return routes(q) }},
		{"routes-longer-of-16", func() int { q := pick(); q.Prefix, q.Match = wider(q.Prefix), sqlite.MatchLonger; return routes(q) }},
		{"routes-exact-at", func() int { q := pick(); q.At = at; return routes(q) }},
		{"routes-longest-at", func() int { q := host(pick()); q.At = at; return routes(q) }},
		{"history-exact", func() int { return history(pick()) }},
		{"history-longest", func() int { return history(host(pick())) }},
		{"history-longer-of-16", func() int { q := pick(); q.Prefix, q.Match = wider(q.Prefix), sqlite.MatchLonger; return history(q) }},
		{"view-history", func() int {
			return len(lines(b, db, "SELECT * FROM route_history WHERE prefix = ?", pick().Prefix.String()))
		}},
		{"view-routes", func() int { return len(lines(b, db, "SELECT * FROM routes WHERE prefix = ?", pick().Prefix.String())) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			var times []time.Duration
			rows := 0
			for range b.N {
				start := time.Now()
				rows += c.ask()
				times = append(times, time.Since(start))
			}
			if rows == 0 {
				b.Fatal("no rows")
			}
			slices.Sort(times)
			b.ReportMetric(float64(rows)/float64(b.N), "rows")
			b.ReportMetric(float64(times[len(times)-1].Microseconds())/1000, "slowest-ms")
		})
	}
}
