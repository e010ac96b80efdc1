// Command decode reads an MRT file as `ribtap import` does, to the events and
// the state of the RIB, and drops them: the share of an import that is neither
// stream nor store. With -events there is no RIB either: each message is an event
// with all its routes decoded and checked, and nobody asks what they changed.
//
//	decode [-events] FILE
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
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
	events := flag.Bool("events", false, "events alone")
	flag.Parse()
	if flag.NArg() != 1 {
		return errors.New("usage: decode [-events] FILE")
	}
	f, err := os.Open(flag.Arg(0))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if *events {
		rep, err := decodeEvents(f)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(rep)
	}
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
