//go:build !race && !bench

package bench

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/bmp"
	"github.com/ribtap/ribtap/collector"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/event/eventtest"
	"github.com/ribtap/ribtap/internal/load"
	"github.com/ribtap/ribtap/mrt"
	"github.com/ribtap/ribtap/sinks/mrtdump"
	"github.com/ribtap/ribtap/sinks/sqlite"
	"github.com/ribtap/ribtap/stream"
)

var update = flag.Bool("update", false, "write budget.txt anew")

// budgetFile records what the hot paths allocate.
const budgetFile = "budget.txt"

// What a stage may have beyond its budget: a tenth, and what rounding and the
// runtime's own goroutines come to.
const (
	overrun      = 1.1
	slackAllocs  = 0.002 // a route
	slackOctets  = 1.0   // a route
	budgetRoutes = 40_000
)

// stages are the hot paths, each from its input in memory to a consumer that
// keeps nothing. run may allocate what it needs once; the function that it
// returns is measured, and says how many routes it handled.
var stages = []struct {
	name string
	make func(t *testing.T, in *budgetInput) (run func() (routes int))
}{
	{"decode BMP and BGP", decodeStage},
	{"BMP into RIB and events, new table", tableStage},
	{"BMP into RIB and events, the same table again", sameStage},
	{"BMP into RIB and events, churn", churnStage},
	{"MRT table dump into RIB and events", mrtStage},
	{"append to the stream", appendStage},
	{"read from the stream", readStage},
	{"event as JSON", jsonStage},
	{"SQLite, changes of known routes", sqliteStage},
	{"MRT archive", mrtdumpStage},
}

// TestBudgets compares the allocations of the hot paths with budget.txt: counts,
// not times, so that it says the same on every machine. -update records them anew,
// as is to be done when a stage has become leaner.
func TestBudgets(t *testing.T) {
	in := newBudgetInput(t)
	want := readBudgets(t)
	var text strings.Builder
	text.WriteString("# Allocations and allocated octets a route that TestBudgets allows, and a tenth more.\n")
	for _, s := range stages {
		run := s.make(t, in)
		run() // fills what is kept
		allocs, octets := measure(run)
		fmt.Fprintf(&text, "%-48s %8.4f %9.2f\n", s.name, allocs, octets)
		t.Logf("%-48s %8.4f allocations, %9.2f octets a route", s.name, allocs, octets)
		if *update {
			continue
		}
		b, ok := want[s.name]
		switch {
		case !ok:
			t.Errorf("%s: %s has no budget", s.name, budgetFile)
		case allocs > b.allocs*overrun+slackAllocs || octets > b.octets*overrun+slackOctets:
			t.Errorf("%s: %.4f allocations and %.2f octets a route, the budget is %.4f and %.2f", s.name, allocs, octets, b.allocs, b.octets)
		}
	}
	if *update {
		if err := os.WriteFile(budgetFile, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

type budget struct{ allocs, octets float64 }

func readBudgets(t *testing.T) map[string]budget {
	t.Helper()
	b, err := os.ReadFile(budgetFile)
	if err != nil && !*update {
		t.Fatal(err)
	}
	out := map[string]budget{}
	for line := range strings.Lines(string(b)) {
		var v budget
		if len(line) < 49 || line[0] == '#' {
			continue
		}
		if _, err := fmt.Sscan(line[48:], &v.allocs, &v.octets); err != nil {
			t.Fatalf("%s: %q: %v", budgetFile, line, err)
		}
		out[strings.TrimRight(line[:48], " ")] = v
	}
	return out
}

// measure is what run allocates a route. The collector of garbage stands still,
// because what pools lose to it would count.
func measure(run func() int) (allocs, octets float64) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	routes := float64(run())
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / routes, float64(after.TotalAlloc-before.TotalAlloc) / routes
}

// budgetInput is a router's session in pieces, and the events that a collector
// makes of them.
type budgetInput struct {
	open, table, churn []byte // BMP
	routes, churned    int    // in table, in churn
	events, changes    []event.Event
	dump               []byte // the table as TABLE_DUMP_V2
}

func newBudgetInput(t *testing.T) *budgetInput {
	t.Helper()
	full := load.NewFull(budgetRoutes*4/5, budgetRoutes/5, 1)
	r := full.Router(0, 1)
	in := &budgetInput{open: r.AppendOpen(nil), table: r.AppendTable(nil, 0)}
	in.routes = int(r.Counts.Announced)
	in.churn = r.AppendChurn(nil, budgetRoutes/4)
	in.churned = int(r.Counts.Announced+r.Counts.Withdrawn) - in.routes
	keep := &keeper{}
	c := newBudgetCollector(t, keep)
	play(t, c, in.open, in.table)
	in.events, keep.events = keep.events, nil
	play(t, c, in.open, in.churn)
	in.changes = keep.events
	in.dump = tableDump(t, full)
	return in
}

// tableDump is the table of a peer as a TABLE_DUMP_V2 file.
func tableDump(t *testing.T, full *load.Full) []byte {
	t.Helper()
	const at = 1_750_000_000
	peer := netip.MustParseAddr("203.0.0.1")
	b, err := mrt.AppendPeerIndexTable(nil, at, &mrt.PeerIndexTable{
		CollectorID: netip.MustParseAddr("192.0.2.1"), Peers: []mrt.IndexPeer{{BGPID: peer, Address: peer, ASN: 3356}},
	})
	if err != nil {
		t.Fatal(err)
	}
	h := mrt.RIBHeader{Seconds: at}
	err = full.Router(0, 1).EachRoute(0, func(p netip.Prefix, hop, attrs []byte) (err error) {
		h.Family, h.NLRI = bgp.IPv4Unicast, mrt.AppendPrefix(h.NLRI[:0], p)
		if p.Addr().Is6() {
			h.Family = bgp.IPv6Unicast
		}
		b, err = mrt.AppendRIB(b, &h, []mrt.RIBEntry{{Originated: at, AS4: true, NextHop: hop, Attrs: attrs}})
		h.Sequence++
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// keeper is a stream that keeps everything.
type keeper struct{ events []event.Event }

func (k *keeper) Write(_ context.Context, events []event.Event) error {
	for _, e := range events {
		e.Sequence = uint64(len(k.events) + 1)
		k.events = append(k.events, eventtest.Clone(&e))
	}
	return nil
}

// nowhere is a stream that keeps nothing.
type nowhere struct{}

func (nowhere) Write(context.Context, []event.Event) error { return nil }

var silent = slog.New(slog.DiscardHandler)

func newBudgetCollector(t *testing.T, w event.Writer) *collector.Collector {
	t.Helper()
	cfg := collector.DefaultConfig()
	cfg.Listen = nil
	c, err := collector.New(cfg, w, silent, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// play has the collector read a recording in pieces.
func play(t *testing.T, c *collector.Collector, pieces ...[]byte) {
	t.Helper()
	rs := make([]io.Reader, len(pieces))
	for i, p := range pieces {
		rs[i] = bytes.NewReader(p)
	}
	rep, err := c.ImportBMP(context.Background(), io.MultiReader(rs...), collector.ImportOptions{Router: "r"})
	if err != nil || rep.Damaged > 0 {
		t.Fatalf("%d damaged messages, %v", rep.Damaged, err)
	}
}

func decodeStage(t *testing.T, in *budgetInput) func() int {
	var u bgp.Update
	s := bgp.Session{AS4: true}
	return func() (n int) {
		rd := bmp.NewReader(bytes.NewReader(in.table), 0)
		for {
			raw, err := rd.Next()
			if errors.Is(err, io.EOF) {
				return n
			}
			m, perr := bmp.Parse(raw)
			rm, rerr := bmp.ParseRouteMonitoring(&m)
			if err != nil || perr != nil || rerr != nil {
				t.Fatal(err, perr, rerr)
			}
			u.Parse(rm.PDU, s)
			for it := u.Routes(); it.Next(); {
				n++
			}
		}
	}
}

func tableStage(t *testing.T, in *budgetInput) func() int {
	return func() int {
		play(t, newBudgetCollector(t, nowhere{}), in.open, in.table)
		return in.routes
	}
}

func sameStage(t *testing.T, in *budgetInput) func() int {
	c := newBudgetCollector(t, nowhere{})
	return func() int {
		play(t, c, in.open, in.table)
		return in.routes
	}
}

func churnStage(t *testing.T, in *budgetInput) func() int {
	c := newBudgetCollector(t, nowhere{})
	play(t, c, in.open, in.table)
	return func() int {
		play(t, c, in.open, in.churn)
		return in.churned
	}
}

func mrtStage(t *testing.T, in *budgetInput) func() int {
	c := newBudgetCollector(t, nowhere{})
	return func() int {
		rep, err := c.ImportMRT(context.Background(), bytes.NewReader(in.dump), collector.ImportOptions{Router: "r"})
		if err != nil || rep.Announced != in.routes {
			t.Fatalf("%d routes, %v", rep.Announced, err)
		}
		return in.routes
	}
}

// batches hands events over as a stream does: numbered, some at a time. Each time
// it is called they are later.
func batches(t *testing.T, w event.Writer, events []event.Event) func() {
	const size = 1000
	last := uint64(0)
	return func() {
		for at := 0; at < len(events); at += size {
			batch := events[at:min(at+size, len(events))]
			for i := range batch {
				last++
				batch[i].Sequence = last
			}
			if err := w.Write(context.Background(), batch); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func openStream(t *testing.T) *stream.Log {
	t.Helper()
	cfg := stream.DefaultConfig()
	cfg.Dir = t.TempDir()
	l, err := stream.Open(cfg, silent, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var runs sync.WaitGroup
	runs.Go(func() { _ = l.Run(ctx) })
	t.Cleanup(func() { cancel(); runs.Wait() })
	return l
}

func appendStage(t *testing.T, in *budgetInput) func() int {
	write := batches(t, openStream(t), in.events)
	return func() int { write(); return in.routes }
}

func readStage(t *testing.T, in *budgetInput) func() int {
	l := openStream(t)
	batches(t, l, in.events)()
	return func() int {
		rd := l.NewReader(1)
		defer rd.Close()
		for last := uint64(0); last < l.Last(); {
			batch, err := rd.Next(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			last = batch[len(batch)-1].Sequence
		}
		return in.routes
	}
}

func jsonStage(_ *testing.T, in *budgetInput) func() int {
	var enc event.Encoder
	var buf []byte
	return func() int {
		for i := range in.events {
			buf = enc.Append(buf[:0], &in.events[i])
		}
		return in.routes
	}
}

// sqliteStage is in the steady state: the churn of routes that are stored.
func sqliteStage(t *testing.T, in *budgetInput) func() int {
	cfg := sqlite.DefaultConfig()
	cfg.Path, cfg.Collector = filepath.Join(t.TempDir(), "history.db"), "rt1"
	s, err := sqlite.New(cfg, silent, prometheus.NewRegistry())
	if err == nil {
		err = s.Open(context.Background())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	all := append(append([]event.Event(nil), in.events...), in.changes...)
	batches(t, s, all)()
	changes := all[len(in.events):]
	write := batches(t, after(s, len(all)), changes)
	return func() int { write(); return in.churned }
}

// after shifts the numbers of events behind those that a sink has.
func after(w event.Writer, n int) event.Writer { return shifted{w, uint64(n)} }

type shifted struct {
	event.Writer
	by uint64
}

func (s shifted) Write(ctx context.Context, events []event.Event) error {
	for i := range events {
		events[i].Sequence += s.by
	}
	err := s.Writer.Write(ctx, events)
	for i := range events {
		events[i].Sequence -= s.by
	}
	return err
}

func mrtdumpStage(t *testing.T, in *budgetInput) func() int {
	cfg := mrtdump.DefaultConfig()
	cfg.Dir = t.TempDir()
	s, err := mrtdump.New(cfg, silent, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	// A router without an address is that of an imported file, which is not archived.
	live := append([]event.Event(nil), in.events...)
	router := *live[0].Router
	router.Address = netip.MustParseAddr("192.0.2.1")
	peers, now := map[*event.Peer]*event.Peer{}, event.At(time.Now())
	for i := range live {
		e := &live[i]
		e.Received, e.Router = now+event.Time(i), &router
		if e.Peer != nil && peers[e.Peer] == nil {
			p := *e.Peer
			p.Router = &router
			peers[e.Peer] = &p
		}
		e.Peer = peers[e.Peer]
	}
	write := batches(t, s, live)
	return func() int {
		write()
		if used := treeSize(t, cfg.Dir); used < 1<<20 {
			t.Fatalf("%d octets in the archive", used)
		}
		return in.routes
	}
}

func treeSize(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = e.Info(); err == nil {
				n += info.Size()
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
