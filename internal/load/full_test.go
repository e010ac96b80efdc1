package load_test

import (
	"bytes"
	"log/slog"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/collector"
	"github.com/ribtap/ribtap/internal/load"
)

// TestFullIsReadToTheLastRoute: the collector finds in a session what the load
// says is in it, and the same load is the same octets.
func TestFullIsReadToTheLastRoute(t *testing.T) {
	session := func() ([]byte, load.FullCounts) {
		r := load.NewFull(10_000, 3_000, 1).Router(0, 4)
		b := r.AppendOpen(nil)
		for i := range 4 {
			b = r.AppendTable(b, i)
		}
		b = r.AppendStats(r.AppendChurn(b, 2_000))
		return b, r.Counts
	}
	octets, n := session()
	if again, _ := session(); !bytes.Equal(again, octets) {
		t.Error("the same load is not the same octets")
	}
	cfg := collector.DefaultConfig()
	cfg.Listen = nil
	c, err := collector.New(cfg, discard{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	rep, err := c.ImportBMP(t.Context(), bytes.NewReader(octets), collector.ImportOptions{Router: "r"})
	if err != nil || rep.Damaged != 0 {
		t.Fatalf("%+v, %v", rep, err)
	}
	if uint64(rep.Records) != n.Messages || uint64(rep.Announced) != n.Announced || uint64(rep.Withdrawn) != n.Withdrawn {
		t.Errorf("read %+v, sent %+v", rep, n)
	}
	if got := c.Stats().Routes; got != n.Routes {
		t.Errorf("%d routes, want %d", got, n.Routes)
	}
}

// TestFullShape: what a collector's cost depends on is that of a full table.
func TestFullShape(t *testing.T) {
	full := load.NewFull(100_000, 23_000, 1)
	r := full.Router(0, 1)
	r.AppendTable(nil, 0)
	perUpdate := float64(r.Counts.Announced) / float64(r.Counts.Updates)
	if perUpdate < 4.3 || perUpdate > 4.9 {
		t.Errorf("%.2f prefixes in an UPDATE, want 4.6", perUpdate)
	}
	if got := r.Counts.Announced; got != 123_000 || full.Len() != 123_000 {
		t.Errorf("%d routes announced, want 123000", got)
	}
	other := load.NewFull(100_000, 23_000, 1).Router(1, 1)
	if slices.Equal(other.AppendTable(nil, 0), full.Router(0, 1).AppendTable(nil, 0)) {
		t.Error("two routers have the same octets")
	}
}
