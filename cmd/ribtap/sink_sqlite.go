package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/sinks/sqlite"
)

// historyPath is the SQLite file.
func (s *settings) historyPath() string {
	if s.Sinks.SQLite.Path != "" {
		return s.Sinks.SQLite.Path
	}
	return filepath.Join(s.DataDir, "history.db")
}

func openSQLite(ctx context.Context, n *node) (event.Sink, func() error, error) {
	c := n.s.Sinks.SQLite
	if !c.Enabled {
		return nil, nil, nil
	}
	cfg := sqlite.DefaultConfig()
	cfg.Path, cfg.Rows, cfg.Collector = n.s.historyPath(), c.Rows, n.s.Collector.Name
	sink, err := sqlite.New(cfg, n.log, n.reg)
	if err != nil {
		return nil, nil, err
	}
	if err := sink.Open(ctx); err != nil {
		return nil, nil, err
	}
	return &sqliteSink{sink, cfg.Path}, sink.Close, nil
}

// sqliteSink gives a word to what the driver only numbers, and says which file.
type sqliteSink struct {
	*sqlite.Sink
	path string
}

// sqliteReasons are words for SQLite's primary result codes.
var sqliteReasons = map[int]string{5: "lock", 6: "lock", 8: "read-only", 10: "io", 11: "corrupt", 13: "disk-full", 14: "open"}

// Write implements event.Writer.
func (s *sqliteSink) Write(ctx context.Context, batch []event.Event) error {
	err := s.Sink.Write(ctx, batch)
	const primary = 0xff // of an extended result code
	coded, ok := errors.AsType[interface {
		error
		Code() int
	}](err)
	if !ok || sqliteReasons[coded.Code()&primary] == "" {
		return err
	}
	return &reasonedError{fmt.Errorf("%w: %s", err, s.path), sqliteReasons[coded.Code()&primary]}
}

// reasonedError has a word for metrics.
type reasonedError struct {
	error
	reason string
}

func (e *reasonedError) Unwrap() error { return e.error }

// RetryReason is the label of ribtap_sink_retries_total.
func (e *reasonedError) RetryReason() string { return e.reason }
