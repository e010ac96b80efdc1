//go:build integration

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/event/eventtest"
	"github.com/ribtap/ribtap/history"
	"github.com/ribtap/ribtap/history/historytest"
	"github.com/ribtap/ribtap/sinks/postgres"
	"github.com/ribtap/ribtap/sinks/postgres/postgrestest"
)

func TestPositionIsPassedOver(t *testing.T) {
	s := newStore(t)
	batch := numbered(0, 6)
	ctx := context.Background()
	for _, part := range [][]event.Event{batch[:2], batch, batch[:1], batch} {
		if err := s.sink.Write(ctx, part); err != nil {
			t.Fatal(err)
		}
	}
	s.whole()
	if s.sink.Position() != 6 {
		t.Errorf("position %d", s.sink.Position())
	}
	if err := s.sink.Write(ctx, []event.Event{routeEvent(0, nil)}); !errors.Is(err, postgres.ErrNotNumbered) {
		t.Errorf("without a sequence: %v", err)
	}
}

func TestReopenGoesOn(t *testing.T) {
	dsn := postgrestest.Start(t)
	for i := range uint64(3) {
		s := openSink(t, dsn)
		if s.Position() != 20*i {
			t.Fatalf("position %d", s.Position())
		}
		if err := eventtest.Trash(s).Write(context.Background(), numbered(20*i, 20)); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := &store{tb: t, dsn: dsn}
	s.whole()
	s.want("SELECT count(*) FROM router", "1")
	s.want("SELECT family, count(*) FROM speaker JOIN rib ON rib.id = speaker.rib GROUP BY 1 ORDER BY 1", "0|1", "257|1")
}

func TestNotOpen(t *testing.T) {
	s := newSink(t, "postgres:///none?host=/nonexistent")
	ctx := context.Background()
	if err := s.Write(ctx, nil); !errors.Is(err, postgres.ErrClosed) {
		t.Errorf("Write: %v", err)
	}
	if err := s.Idle(ctx, time.Now()); !errors.Is(err, postgres.ErrClosed) {
		t.Errorf("Idle: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// Two collectors with the same routers, peers and numbers share a database; at
// the same time, and the same attribute sets.
func TestTwoCollectors(t *testing.T) {
	dsn := postgrestest.Start(t)
	one := storeAt(t, dsn)
	two := storeAt(t, dsn, func(c *postgres.Config) { c.Collector = "rt2" })
	events := historytest.Scenario(3)
	var wait sync.WaitGroup
	for _, s := range []*store{one, two} {
		wait.Go(func() {
			for _, b := range cut(events, 50) {
				for range 20 {
					err := s.sink.Write(context.Background(), b)
					if err == nil {
						break
					}
					t.Log(err)
				}
			}
		})
	}
	wait.Wait()
	want := sqliteViews(t, one.columns(), cut(events, 50), history.RowsChanges)
	equal(t, one.views(" WHERE collector = 'rt1'"), want)
	for view, rows := range one.views(" WHERE collector = 'rt2'") {
		if len(rows) != len(want[view]) {
			t.Errorf("%s: %d rows of rt2, want %d", view, len(rows), len(want[view]))
		}
	}
	one.want("SELECT count(*), count(DISTINCT sequence) FROM collector", "2|1")
}

// The last that opened the store for a collector is its writer.
func TestOtherWriterIsAnError(t *testing.T) {
	s := newStore(t)
	s.write(numbered(0, 10)...)
	second := storeAt(t, s.dsn)
	for range 2 {
		err := s.sink.Write(context.Background(), numbered(10, 10))
		if !errors.Is(err, postgres.ErrOtherWriter) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
			t.Fatalf("got %v", err)
		}
		var e *postgres.Error
		if !errors.As(err, &e) || e.RetryReason() != "other-writer" {
			t.Errorf("reason of %v", err)
		}
	}
	second.write(numbered(10, 10)...)
	second.whole()
}

// An event that the server refuses is kept raw; those around it are written.
func TestPoison(t *testing.T) {
	reg := prometheus.NewRegistry()
	cfg := postgres.DefaultConfig()
	cfg.DSN, cfg.Collector = postgrestest.Start(t), "rt1"
	sink, err := postgres.New(cfg, slog.New(slog.DiscardHandler), reg)
	if err != nil {
		t.Fatal(err)
	}
	if err := sink.Open(context.Background()); err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	s := &store{tb: t, dsn: cfg.DSN, sink: sink}
	set := attributes([]uint32{65001})
	s.write(routeEvent(0, announce(set, prefixes("10.0.0.0/8")...)))
	s.exec("ALTER TABLE route_change ADD CONSTRAINT poison CHECK (prefix <> '10.66.0.0/16')")
	bad := routeEvent(0, announce(set, prefixes("10.0.0.0/8", "10.66.0.0/16", "10.2.0.0/16")...))
	bad.Head = []byte("head")
	nobody := routeEvent(0, announce(set, prefixes("10.3.0.0/16")...))
	nobody.Peer, nobody.Router = nil, nil // breaks the event's own promise
	s.write(
		routeEvent(0, announce(set, prefixes("10.1.0.0/16")...)), bad, nobody,
		routeEvent(0, announce(set, prefixes("10.2.0.0/16", "10.4.0.0/16")...)),
		routeEvent(0, withdraw(prefixes("10.4.0.0/16")...)),
	)
	s.want("SELECT sequence, prefix FROM routes ORDER BY prefix", "1|10.0.0.0/8", "2|10.1.0.0/16", "5|10.2.0.0/16")
	s.want("SELECT sequence, prefix FROM route_history ORDER BY sequence, position",
		"1|10.0.0.0/8", "2|10.1.0.0/16", "5|10.2.0.0/16", "5|10.4.0.0/16", "6|10.4.0.0/16")
	s.want("SELECT sequence, router, kind, reason LIKE '%poison%', reason LIKE '%panic%' FROM anomalies ORDER BY sequence",
		"3|r1|route|t|f", "4|-|route|f|t")
	s.want("SELECT encode(raw, 'escape') LIKE 'head%' FROM anomalies WHERE sequence = 3", "t")
	s.want("SELECT sequence FROM collector", "6")
	if n, err := testutil.GatherAndCount(reg, "ribtap_postgres_anomalies_total"); n != 1 || err != nil {
		t.Errorf("anomaly metrics: %d, %v", n, err)
	}
	if n, err := testutil.GatherAndCount(reg, "ribtap_postgres_rows_total"); n != 1 || err != nil {
		t.Errorf("row metrics: %d, %v", n, err)
	}
}

func TestAnomaliesAreBounded(t *testing.T) {
	s := newStore(t, func(c *postgres.Config) { c.Anomalies = 3 })
	for range 5 {
		unknown := event.Event{Kind: event.KindUnknown, Source: event.SourceBMP, Router: historytest.Router, Head: []byte{9}, Text: "bmp: type 9"}
		s.write(unknown, unknown)
	}
	s.want("SELECT sequence, reason FROM anomalies ORDER BY sequence", "8|bmp: type 9", "9|bmp: type 9", "10|bmp: type 9")
}

// A table that comes, comes again and goes, in parts that are larger than what
// is staged at once.
func TestTable(t *testing.T) {
	n := 80_000
	tab := historytest.NewTable(n, 7)
	s := newStore(t)
	for _, phase := range [][][]event.Event{tab.Batches(1, 100_000), tab.Batches(1_000_000, 30_000)} {
		for _, b := range phase {
			if err := s.sink.Write(context.Background(), b); err != nil {
				t.Fatal(err)
			}
		}
		s.want("SELECT count(*), count(DISTINCT prefix) FROM routes", fmt.Sprintf("%d|%d", n, n))
	}
	s.want("SELECT count(*) FROM route_history", fmt.Sprint(2*n))
	for _, b := range tab.Withdrawals(2_000_000, 100_000) {
		if err := s.sink.Write(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
	s.want("SELECT count(*) FROM route", "0")
	s.want("SELECT count(*) FROM routes_at('infinity')", "0")
	at := (t0 + second*event.Time(1_000_000+len(tab.Updates)/2)).Std().Format(time.RFC3339Nano)
	s.want("SELECT count(*) FROM routes_at('"+at+"')", fmt.Sprint(n))
}

// What changed nothing costs nothing; what changed something costs less than an
// allocation.
func TestAllocations(t *testing.T) {
	tab := historytest.NewTable(5_000, 3)
	s := newStore(t)
	batch := tab.Batches(1, 1<<20)[0]
	if err := s.sink.Write(context.Background(), batch); err != nil {
		t.Fatal(err)
	}
	seq := s.sink.Position()
	write := func(marks []event.Mark) float64 {
		return testing.AllocsPerRun(5, func() {
			for i := range batch {
				seq++
				batch[i].Sequence, batch[i].Marks = seq, marks
			}
			if err := s.sink.Write(context.Background(), batch); err != nil {
				t.Fatal(err)
			}
		}) / float64(len(tab.Prefixes))
	}
	if n := write(nil); n > 0.05 {
		t.Errorf("%.2f allocations a route that did not change", n)
	}
	if n := write(historytest.Changed); n > 0.5 {
		t.Errorf("%.2f allocations a route that changed", n)
	}
}

// An event that the server refuses leaves nothing behind that the parts in which the
// batch is then written would have twice, such as an attribute set that is new and
// that its neighbours have, too.
func TestRefusedLeavesNothing(t *testing.T) {
	s := newStore(t)
	s.exec("ALTER TABLE route_change ADD CONSTRAINT poison CHECK (prefix <> '10.3.0.0/16')")
	for round := range 2 { // at first every route is new, then none
		set := attributes([]uint32{65001, 6})
		var batch []event.Event
		for i := range 9 {
			if i == 3 { // the refused event's set is new, and that of those behind it
				set = attributes([]uint32{65001, uint32(7 + round)})
			}
			batch = append(batch, routeEvent(0, announce(set, prefixes(fmt.Sprintf("10.%d.0.0/16", i))...)))
		}
		s.write(batch...)
		s.want("SELECT count(*), count(DISTINCT prefix), max(as_path) FROM routes", fmt.Sprintf("8|8|65001 %d", 7+round))
		s.want("SELECT count(*) FROM anomalies", fmt.Sprint(round+1))
	}
}

// A full table comes in some deliveries, twice: the second time every route is there,
// whatever its marks say.
func TestTableTwice(t *testing.T) {
	const n = 20_000
	s := newStore(t)
	for _, first := range []uint64{1, 1_000_000} {
		writeAll(t, s.sink, historytest.NewTable(n, 1).Batches(first, n))
		s.want("SELECT count(*), count(DISTINCT prefix), min(sequence) >= "+fmt.Sprint(first)+" FROM routes", fmt.Sprintf("%d|%d|t", n, n))
	}
	s.want("SELECT count(*) FROM route_history", fmt.Sprint(2*n))
}
