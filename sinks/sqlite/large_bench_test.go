package sqlite_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/history/historytest"
	"github.com/ribtap/ribtap/sinks/sqlite"
)

// BenchmarkLargeHistory writes a history of RIBTAP_BENCH_HISTORY changes over
// five days, or takes the one in the file RIBTAP_BENCH_DB, which it makes if it
// is not there, and asks it about prefixes drawn from the table and from the
// fiftieth that half of all changes are of. All figures are in the log (-v).
func BenchmarkLargeHistory(b *testing.B) {
	rows, err := strconv.Atoi(os.Getenv("RIBTAP_BENCH_HISTORY"))
	if err != nil {
		rows = 500_000
	}
	g := historytest.NewChurn(rows, t0)
	s := &store{tb: b, path: os.Getenv("RIBTAP_BENCH_DB")}
	if s.path == "" {
		s.path = filepath.Join(b.TempDir(), "history.db")
	}
	if _, err := os.Stat(s.path); err != nil {
		fillLarge(b, s, g)
	}
	b.ResetTimer()
	for range b.N {
		askLarge(b, s, g)
	}
}

func fillLarge(b *testing.B, s *store, g *historytest.Churn) {
	const batch = 20_000
	s.sink = openSink(b, s.path)
	start, shown := time.Now(), 0
	for g.Made < g.Rows {
		writeAll(b, s.sink, [][]event.Event{g.Next(batch)})
		if g.Made-shown >= g.Rows/20 {
			shown = g.Made
			_, _ = fmt.Fprintf(os.Stderr, "%d rows, %.0f/s\n", g.Made, float64(g.Made)/time.Since(start).Seconds()) // long work shows progress
		}
	}
	info, err := os.Stat(s.path)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d changes written in %.0f s, %.1f octets a change", g.Made, time.Since(start).Seconds(), float64(info.Size())/float64(g.Made))
}

func askLarge(b *testing.B, s *store, g *historytest.Churn) {
	const times = 1000
	r := s.reader()
	ctx := context.Background()
	rng := rand.New(rand.NewPCG(5, 6))
	middle := g.At(g.Rows / 2).Std()
	table, often := g.Table.Prefixes, g.Busy()
	each := func() netip.Prefix { return table[rng.IntN(len(table))] }
	busy := func() netip.Prefix { return often[rng.IntN(len(often))] }
	routes := func(q sqlite.Query) int { return len(all(b, r.Routes(ctx, q))) }
	history := func(q sqlite.Query) int { return len(all(b, r.History(ctx, q))) }
	host := func(p netip.Prefix) netip.Prefix { return prefixOf(p.Addr()) }
	for _, c := range []struct {
		name string
		n    int
		ask  func() int
	}{
		{"history of a prefix", times, func() int { return history(sqlite.Query{Prefix: each()}) }},
		{"history of a busy prefix", times, func() int { return history(sqlite.Query{Prefix: busy()}) }},
		{"longest match now", times, func() int { return routes(sqlite.Query{Prefix: host(each()), Match: sqlite.MatchLongest}) }},
		{"prefix at a time", times, func() int { return routes(sqlite.Query{Prefix: each(), At: middle}) }},
		{"busy prefix at a time", times, func() int { return routes(sqlite.Query{Prefix: busy(), At: middle}) }},
		{"longest match at a time", times, func() int {
			return routes(sqlite.Query{Prefix: host(each()), Match: sqlite.MatchLongest, At: middle})
		}},
		{"a peer's whole table now", 3, func() int { return routes(sqlite.Query{Peer: g.Peers[1].Address}) }},
		{"a peer's whole table at a time", 3, func() int { return routes(sqlite.Query{Peer: g.Peers[1].Address, At: middle}) }},
	} {
		var took []time.Duration
		rows := 0
		for range c.n {
			start := time.Now()
			rows += c.ask()
			took = append(took, time.Since(start))
		}
		slices.Sort(took)
		b.Logf("%-32s %10.1f rows, p50 %v, p99 %v, slowest %v", c.name, float64(rows)/float64(c.n),
			took[c.n/2].Round(10*time.Microsecond), took[c.n*99/100].Round(10*time.Microsecond), took[c.n-1].Round(10*time.Microsecond))
	}
}
