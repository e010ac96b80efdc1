package corpus_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/collector"
	"github.com/ribtap/ribtap/event"
)

// eachEvent hands every event on; it is the sink of an import.
type eachEvent func(e *event.Event)

func (f eachEvent) Write(_ context.Context, batch []event.Event) error {
	for i := range batch {
		f(&batch[i])
	}
	return nil
}

// newCollector makes a collector that imports and does nothing else.
func newCollector(t *testing.T, sink eachEvent) *collector.Collector {
	t.Helper()
	cfg := collector.DefaultConfig()
	cfg.Listen = nil
	c, err := collector.New(cfg, sink, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// tally counts a route.
func (r *result) tally(route *bgp.Route) {
	name := route.NLRI.Family.String()
	n := r.families[name]
	if route.Action == bgp.Announce {
		n.announce++
		r.ours.announce++
	} else {
		n.withdraw++
		r.ours.withdraw++
	}
	r.families[name] = n
}

// reasonOf is the reason of an UPDATE's verdict.
func reasonOf(u *bgp.Update) string {
	for _, f := range u.Findings() {
		if f.Verdict == u.Verdict() {
			return f.Reason
		}
	}
	return ""
}
