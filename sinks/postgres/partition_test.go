//go:build integration

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/history/historytest"
	"github.com/ribtap/ribtap/sinks/postgres"
	"github.com/ribtap/ribtap/sinks/postgres/postgrestest"
)

// topic is a Kafka topic in a slice: a record is an event of a collector.
type topic struct {
	events     []event.Event
	collectors []string
	ends       []uint64
}

func (c *topic) add(collector string, events ...event.Event) {
	for i := range events {
		c.events, c.collectors = append(c.events, events[i]), append(c.collectors, collector)
		c.ends = append(c.ends, uint64(len(c.ends))+1)
	}
}

// announced are n events with a row of route_history each.
func announced(n int) (events []event.Event) {
	for i := range n {
		events = append(events, routeEvent(0, announce(attributes([]uint32{65001, uint32(i)}), prefixes(fmt.Sprintf("10.0.%d.0/24", i%200))...)))
	}
	return historytest.Number(0, events)
}

// write gives a partition the records from one offset up to another.
func (c *topic) write(p *postgres.Partition, from, to int) error {
	return p.Write(context.Background(), c.events[from:to], c.collectors[from:to], c.ends[from:to])
}

func newPartitions(tb testing.TB, dsn string) *postgres.Partitions {
	tb.Helper()
	cfg := postgres.DefaultConfig()
	cfg.DSN, cfg.Collector = dsn, "not used"
	all, err := postgres.NewPartitions(cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		tb.Fatal(err)
	}
	if err := all.Check(context.Background()); err != nil {
		tb.Fatal(err)
	}
	return all
}

func openPartition(tb testing.TB, all *postgres.Partitions, n int) *postgres.Partition {
	tb.Helper()
	p := all.Partition("t", n)
	if err := p.Open(context.Background()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = p.Close() })
	return p
}

// Events of several collectors, alternating within a partition, from several
// partitions at once and cut anywhere, are the rows that each collector's own
// Sink makes.
func TestPartitionsAreTheSameAsSinks(t *testing.T) {
	const partitions = 3
	names := []string{"rt1", "rt2", "rt3"}
	direct := postgrestest.Start(t)
	topics := make([]topic, partitions)
	for i, name := range names {
		events := historytest.Scenario(uint64(i))
		sink := storeAt(t, direct, func(c *postgres.Config) { c.Collector = name })
		for _, b := range cut(events, 100) {
			if err := sink.sink.Write(context.Background(), b); err != nil {
				t.Fatal(err)
			}
		}
		// All of a router's in one partition, as its key has it.
		for _, e := range events {
			n := i
			if e.Router != nil {
				n += len(e.Router.Name)
			}
			topics[n%partitions].add(name, e)
		}
	}
	// Of one partition the collectors' records alternate.
	topics[0] = alternate(topics[0])
	dsn := postgrestest.Start(t)
	all := newPartitions(t, dsn)
	var wait sync.WaitGroup
	for n := range topics {
		p := openPartition(t, all, n)
		wait.Go(func() {
			for from := 0; from < len(topics[n].events); from += 53 {
				if err := topics[n].write(p, from, min(from+53, len(topics[n].events))); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	got, want := &store{tb: t, dsn: dsn}, &store{tb: t, dsn: direct}
	equal(t, got.views(""), want.views(""))
}

// alternate deals out the collectors' records by turns.
func alternate(in topic) (out topic) {
	by := map[string][]event.Event{}
	for i := range in.events {
		by[in.collectors[i]] = append(by[in.collectors[i]], in.events[i])
	}
	for len(out.events) < len(in.events) {
		for _, name := range []string{"rt1", "rt2", "rt3"} {
			if n := min(5, len(by[name])); n > 0 {
				out.add(name, by[name][:n]...)
				by[name] = by[name][n:]
			}
		}
	}
	return out
}

func lostPartition(err error) bool {
	var e *postgres.Error
	return errors.As(err, &e) && e.Lost()
}

// The partition is the one's that opened it last, and begins where the store is.
func TestPartitionIsTakenOver(t *testing.T) {
	dsn := postgrestest.Start(t)
	all := newPartitions(t, dsn)
	var c topic
	c.add("rt1", announced(60)...)
	one := openPartition(t, all, 0)
	if err := c.write(one, 0, 20); err != nil {
		t.Fatal(err)
	}
	two := openPartition(t, all, 0)
	if two.Position() != 20 {
		t.Fatalf("position %d", two.Position())
	}
	if err := c.write(one, 20, 40); !lostPartition(err) || !errors.Is(err, postgres.ErrOtherWriter) {
		t.Errorf("a partition of another's: %v", err)
	}
	if err := c.write(two, 10, 50); err != nil {
		t.Fatal(err)
	}
	// The first one connects anew, and is no more the writer for that.
	if err := c.write(one, 20, 60); !lostPartition(err) {
		t.Errorf("a partition of another's, once more: %v", err)
	}
	if err := one.Open(context.Background()); err != nil || one.Position() != 50 {
		t.Fatalf("%v, position %d", err, one.Position())
	}
	if err := c.write(one, 40, 60); err != nil {
		t.Fatal(err)
	}
	s := &store{tb: t, dsn: dsn}
	s.want("SELECT count(*), count(DISTINCT sequence), max(sequence) FROM route_history", "60|60|60")
	s.want("SELECT next_offset FROM kafka_partition", "60")
}

// A process that froze within a transaction does not keep the partition.
func TestFrozenTransactionEnds(t *testing.T) {
	dsn := postgrestest.Start(t)
	all := newPartitions(t, dsn)
	openPartition(t, all, 0)
	s := &store{tb: t, dsn: dsn}
	frozen := connect(t, dsn)
	ctx := context.Background()
	for _, q := range []string{
		"UPDATE kafka_partition SET pid = pg_backend_pid(), started = (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())",
		"BEGIN", "UPDATE kafka_partition SET next_offset = 7",
	} {
		if _, err := frozen.Exec(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	p := openPartition(t, all, 0)
	if took := time.Since(begin); took > 10*time.Second || p.Position() != 0 {
		t.Errorf("taken after %v, position %d", took, p.Position())
	}
	if _, err := frozen.Exec(ctx, "COMMIT"); err == nil {
		t.Error("the frozen transaction was committed")
	}
	s.want("SELECT next_offset FROM kafka_partition", "0")
}

// What is in the partition twice is in the store once.
func TestRepeatedEvents(t *testing.T) {
	dsn := postgrestest.Start(t)
	p := openPartition(t, newPartitions(t, dsn), 0)
	var c topic
	events := announced(30)
	c.add("rt1", events[:20]...)
	c.add("rt2", events[:5]...)
	c.add("rt1", events[10:20]...) // a batch that went out again
	c.add("rt1", events[15:30]...)
	c.add("rt2", events[3:8]...)
	for _, part := range [][2]int{{0, 32}, {32, 40}, {40, len(c.events)}} {
		if err := c.write(p, part[0], part[1]); err != nil {
			t.Fatal(err)
		}
	}
	s := &store{tb: t, dsn: dsn}
	s.want("SELECT collector, count(*), count(DISTINCT sequence), max(sequence) FROM route_history GROUP BY 1 ORDER BY 1", "rt1|30|30|30", "rt2|8|8|8")
	if p.Position() != uint64(len(c.events)) {
		t.Errorf("position %d of %d", p.Position(), len(c.events))
	}
}

// A collector that wrote here by itself goes over to Kafka: nothing is there
// twice, and its own writer is told.
func TestSinkGivesWayToPartitions(t *testing.T) {
	dsn := postgrestest.Start(t)
	s := storeAt(t, dsn)
	events := announced(60)
	ctx := context.Background()
	if err := s.sink.Write(ctx, events[:40]); err != nil {
		t.Fatal(err)
	}
	var c topic
	c.add("rt1", events...)
	p := openPartition(t, newPartitions(t, dsn), 0)
	if err := c.write(p, 0, 60); err != nil {
		t.Fatal(err)
	}
	if err := s.sink.Write(ctx, events[40:]); !errors.Is(err, postgres.ErrOtherWriter) || !strings.Contains(err.Error(), "consume") {
		t.Errorf("the Sink goes on: %v", err)
	}
	if err := newSink(t, dsn).Open(ctx); !errors.Is(err, postgres.ErrOtherWriter) || !strings.Contains(err.Error(), "sinks.postgres.dsn") {
		t.Errorf("another Sink begins: %v", err)
	}
	s.want("SELECT count(*), count(DISTINCT sequence), max(sequence) FROM route_history", "60|60|60")
}

// Records that are gone leave a gap; a topic that was made anew is read from
// its begin, and what the store has is left out.
func TestSkippedOffsets(t *testing.T) {
	dsn := postgrestest.Start(t)
	p := openPartition(t, newPartitions(t, dsn), 0)
	var c topic
	c.add("rt1", announced(10)...)
	c.add("rt2", announced(10)...)
	if err := c.write(p, 0, 20); err != nil {
		t.Fatal(err)
	}
	ctx, now := context.Background(), t0.Std()
	if err := p.Skip(ctx, 50, now, "gone"); err != nil || p.Position() != 50 {
		t.Fatalf("%v, position %d", err, p.Position())
	}
	s := &store{tb: t, dsn: dsn}
	s.want("SELECT collector, lost, cause, detail FROM gaps ORDER BY 1", "rt1|30|overflow|gone", "rt2|30|overflow|gone")
	if err := p.Skip(ctx, 0, now, "anew"); err != nil || p.Position() != 0 {
		t.Fatalf("%v, position %d", err, p.Position())
	}
	var anew topic
	anew.add("rt1", announced(15)...)
	if err := anew.write(p, 0, 15); err != nil {
		t.Fatal(err)
	}
	s.want("SELECT collector, count(*), max(sequence) FROM route_history GROUP BY 1 ORDER BY 1", "rt1|15|15", "rt2|10|10")
	s.want("SELECT count(*) FROM gaps", "2")
}

// What is no event is kept raw, and an event that the server refuses as well;
// those around them are written.
func TestPartitionKeepsAnomalies(t *testing.T) {
	dsn := postgrestest.Start(t)
	p := openPartition(t, newPartitions(t, dsn), 0)
	var c topic
	events := announced(6)
	up := historytest.PeerUp(event.AdjRIBInPre)
	up.Sequence = 4
	events[3] = up
	c.add("rt1", events[:2]...)
	c.add("somebody", event.Event{Kind: event.KindUnknown, PDU: []byte("x\x00y"), Text: "not a ribtap.v1.Event", Received: t0})
	c.add("rt1", events[2:]...)
	c.add("rt1", event.Event{Sequence: 7, Kind: event.KindRouterUp, Received: t0}) // has no router
	s := &store{tb: t, dsn: dsn}
	s.exec("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '23514'; END $$")
	s.exec("CREATE TRIGGER refuse BEFORE INSERT ON peer_event FOR EACH ROW EXECUTE FUNCTION refuse()")
	if err := c.write(p, 0, len(c.events)); err != nil {
		t.Fatal(err)
	}
	s.want("SELECT collector, kind, sequence FROM anomalies ORDER BY 1, 3", "rt1|peer-up|4", "rt1|router-up|7", "somebody|unknown|0")
	s.want("SELECT count(*) FROM route_history", "5")
	if p.Position() != uint64(len(c.events)) {
		t.Errorf("position %d", p.Position())
	}
}

// Terminated connections and a restarted server cost time and nothing else.
func TestPartitionOutlivesItsConnection(t *testing.T) {
	server := postgrestest.StartServer(t)
	dsn := server.Database(t)
	p := openPartition(t, newPartitions(t, dsn), 0)
	var c topic
	c.add("rt1", announced(400)...)
	s := &store{tb: t, dsn: dsn}
	failures := 0
	for from := 0; from < 400; from += 20 {
		switch from {
		case 100, 200:
			s.exec("SELECT pg_terminate_backend(pid) FROM kafka_partition")
		case 300:
			server.Restart(t)
		}
		for try := 0; ; try++ {
			err := c.write(p, from, from+20)
			if err == nil {
				break
			}
			if failures++; try > 20 || lostPartition(err) {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	fresh := &store{tb: t, dsn: dsn}
	fresh.want("SELECT count(*), count(DISTINCT sequence), max(sequence) FROM route_history", "400|400|400")
	if failures == 0 {
		t.Error("no write failed")
	}
	t.Logf("%d writes failed", failures)
}
