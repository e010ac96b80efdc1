package collector

import (
	"context"
	"encoding/binary"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/event"
)

// nowhere is a stream that keeps nothing.
type nowhere struct{}

func (nowhere) Write(context.Context, []event.Event) error { return nil }

// hosts returns UPDATEs of one /32 each, as BIRD sends a table.
func hosts(n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		m := update4("+10.0.0.0/32")
		binary.BigEndian.PutUint32(m[len(m)-4:], 10<<24|uint32(i))
		out[i] = m
	}
	return out
}

// dump calls a session's receiver with messages as a reader does: a Flush for
// every so many.
func dump(tb testing.TB, n *fakeNeighbour, messages [][]byte) {
	now := time.Now()
	for i, m := range messages {
		if fault := n.recv.Message(now, m); fault != nil {
			tb.Fatal(fault)
		}
		if i%500 == 499 {
			if err := n.recv.Flush(tb.Context()); err != nil {
				tb.Fatal(err)
			}
		}
	}
	if err := n.recv.Flush(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

func newBGPBench(tb testing.TB) *fakeNeighbour {
	tb.Helper()
	cfg := DefaultConfig()
	cfg.Listen, cfg.Speaker = nil, SpeakerConfig{Name: "bgp", RouterID: speakerID}
	c, err := New(cfg, nowhere{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		tb.Fatal(err)
	}
	b := c.BGP()
	b.live.Store(&bgpRun{ctx: tb.Context(), ev: &event.Router{Name: "bgp", Address: speakerID, Session: 1}})
	n := (&speakerRig{}).neighbour(peerA)
	if n.recv, err = b.Up(tb.Context(), n.session()); err != nil {
		tb.Fatal(err)
	}
	return n
}

// TestBGPAllocatesNothingPerRoute allows for what a batch costs.
func TestBGPAllocatesNothingPerRoute(t *testing.T) {
	n := newBGPBench(t)
	messages := hosts(10000)
	dump(t, n, messages)
	const perBatch = 10
	batches := float64(len(messages) / 500)
	if got := testing.AllocsPerRun(5, func() { dump(t, n, messages) }); got > perBatch*(batches+1) {
		t.Errorf("%.0f allocations for %d routes in %.0f batches", got, len(messages), batches)
	}
}

func BenchmarkBGPDump(b *testing.B) {
	n := newBGPBench(b)
	messages := hosts(200000)
	for b.Loop() {
		dump(b, n, messages)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(messages)), "ns/route")
}
