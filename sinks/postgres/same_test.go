//go:build integration

package postgres_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/history"
	"github.com/ribtap/ribtap/history/historytest"
	"github.com/ribtap/ribtap/sinks/postgres"
	"github.com/ribtap/ribtap/sinks/sqlite"
)

// The same events give the same rows in every view of both stores, however they
// are cut into batches.
func TestSameAsSQLite(t *testing.T) {
	for _, rows := range []string{history.RowsChanges, history.RowsAll} {
		for _, size := range []int{1, 7, 500, 100_000} {
			t.Run(fmt.Sprintf("%s/batch=%d", rows, size), func(t *testing.T) {
				events := historytest.Scenario(uint64(size))
				s := newStore(t, func(c *postgres.Config) { c.Rows = rows })
				for _, b := range cut(events, size) {
					s.write(b...)
				}
				equal(t, s.views(""), sqliteViews(t, s.columns(), cut(events, size), rows))
			})
		}
	}
}

// What was there at a time is the same by routes_at and by SQLite's reader.
func TestSameAtATime(t *testing.T) {
	events := historytest.Scenario(11)
	s := newStore(t)
	for _, b := range cut(events, 100) {
		s.write(b...)
	}
	path := filepath.Join(t.TempDir(), "history.db")
	cfg := sqlite.DefaultConfig()
	cfg.Path, cfg.Collector = path, "rt1"
	sink, err := sqlite.New(cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if err := sink.Open(context.Background()); err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	if err := sink.Write(context.Background(), events); err != nil {
		t.Fatal(err)
	}
	r, err := sqlite.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for i := range 30 {
		when := t0.Std().Add(time.Duration(i*i*i-5000) * time.Second)
		var want []string
		for route, err := range r.Routes(context.Background(), sqlite.Query{At: when}) {
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, fmt.Sprintf("%d|%d|%s|%s", route.Sequence, route.Position, route.Prefix, *route.ASPath))
		}
		got := s.lines("SELECT sequence, position, nlri, as_path FROM routes_at('" + when.Format(time.RFC3339Nano) + "')")
		slices.Sort(got)
		slices.Sort(want)
		equal(t, map[string][]string{when.String(): got}, map[string][]string{when.String(): want})
	}
}
