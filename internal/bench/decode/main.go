// Command decode reads an MRT file as `ribtap import` does, to the events and
// the state of the RIB, and drops them: the share of an import that is neither
// stream nor store.
//
//	decode FILE
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/collector"
	"github.com/ribtap/ribtap/event"
)

// discard takes events and keeps none.
type discard struct{}

func (discard) Write(context.Context, []event.Event) error { return nil }

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "decode:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return errors.New("usage: decode FILE")
	}
	f, err := os.Open(os.Args[1])
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	cfg := collector.DefaultConfig()
	cfg.Listen = nil
	c, err := collector.New(cfg, discard{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		return err
	}
	rep, err := c.ImportMRT(context.Background(), f, collector.ImportOptions{Router: "mrt"})
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(rep)
}
