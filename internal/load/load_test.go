package load_test

import (
	"bytes"
	"context"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/collector"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/internal/load"
)

type discard struct{}

func (discard) Write(context.Context, []event.Event) error { return nil }

func TestTableIsReadToTheLastRoute(t *testing.T) {
	cfg := collector.DefaultConfig()
	cfg.Listen = nil
	c, err := collector.New(cfg, discard{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	table := load.NewTable(20_000, 5_000, 1)
	stream := table.AppendTable(table.AppendOpen(nil, "r1"))
	stream = table.AppendWithdraw(stream, 7)
	stream = table.AppendWithdraw(stream, 24_999)
	stream = table.AppendChange(stream, 8, 3)
	rep, err := c.ImportBMP(t.Context(), bytes.NewReader(stream), collector.ImportOptions{Router: "r1"})
	if err != nil || rep.Damaged != 0 || rep.Announced != 25_001 || rep.Withdrawn != 2 {
		t.Errorf("%+v, %v", rep, err)
	}
	if got := c.Stats().Routes; got != 24_998 {
		t.Errorf("%d routes, want 24998", got)
	}
	again := load.NewTable(20_000, 5_000, 1)
	if !bytes.HasPrefix(stream, again.AppendTable(again.AppendOpen(nil, "r1"))) {
		t.Error("the same table is not the same octets")
	}
}

// TestMixedAndStorm: a mixed UPDATE has all four of its routes, a table knows what
// it has withdrawn, and a storm can be told again.
func TestMixedAndStorm(t *testing.T) {
	cfg := collector.DefaultConfig()
	cfg.Listen = nil
	c, err := collector.New(cfg, discard{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	table := load.NewTable(10, 10, 1)
	stream := table.AppendTable(table.AppendOpen(nil, "r1"))
	stream = table.AppendMixed(stream, 0, 10, 1, 11, 3)
	const steps = 1000
	storm, again := load.NewStorm(5, 1), load.NewStorm(5, 1)
	withdrawn, left := 0, 0
	for range steps {
		s := storm.Next()
		if other := again.Next(); other != s {
			t.Fatalf("%+v, and told again %+v", s, other)
		}
		if s.MED == 0 {
			withdrawn++
		}
		stream = table.AppendStep(stream, s)
	}
	for i := range 5 {
		if storm.MED(i) != 0 {
			left++
		}
	}
	if left != steps-2*withdrawn {
		t.Errorf("%d announcements, %d withdrawals, %d routes left", steps-withdrawn, withdrawn, left)
	}
	rep, err := c.ImportBMP(t.Context(), bytes.NewReader(stream), collector.ImportOptions{Router: "r1"})
	if err != nil || rep.Damaged != 0 || rep.Announced != 20+2+steps-withdrawn || rep.Withdrawn != 2+withdrawn {
		t.Errorf("%+v, %v; %d withdrawals", rep, err, withdrawn)
	}
	if table.Line(0) != "" || table.Line(10) != "" || table.Line(1) == "" || len(table.AppendTable(nil)) == 0 {
		t.Error("the table does not know what it withdrew")
	}
}
