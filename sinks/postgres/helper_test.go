//go:build integration

package postgres_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/event/eventtest"
	"github.com/ribtap/ribtap/history/historytest"
	"github.com/ribtap/ribtap/sinks/postgres"
	"github.com/ribtap/ribtap/sinks/postgres/postgrestest"
	"github.com/ribtap/ribtap/sinks/sqlite"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

var (
	announce, withdraw = historytest.Announce, historytest.Withdraw
	prefixes           = historytest.Prefixes
	attributes         = historytest.Attributes
	routeEvent         = historytest.RouteEvent
)

const (
	t0     = historytest.T0
	second = historytest.Second
)

// store is a sink in a database of the test's, written through eventtest.Trash.
type store struct {
	tb   testing.TB
	dsn  string
	sink *postgres.Sink
	seq  uint64
	conn *pgx.Conn
}

func newStore(tb testing.TB, change ...func(*postgres.Config)) *store {
	tb.Helper()
	return storeAt(tb, postgrestest.Start(tb), change...)
}

func storeAt(tb testing.TB, dsn string, change ...func(*postgres.Config)) *store {
	tb.Helper()
	sink := openSink(tb, dsn, change...)
	return &store{tb: tb, dsn: dsn, sink: sink, seq: sink.Position()}
}

func newSink(tb testing.TB, dsn string, change ...func(*postgres.Config)) *postgres.Sink {
	tb.Helper()
	cfg := postgres.DefaultConfig()
	cfg.DSN, cfg.Collector = dsn, "rt1"
	for _, f := range change {
		f(&cfg)
	}
	s, err := postgres.New(cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func openSink(tb testing.TB, dsn string, change ...func(*postgres.Config)) *postgres.Sink {
	tb.Helper()
	s := newSink(tb, dsn, change...)
	if err := s.Open(context.Background()); err != nil {
		tb.Fatal(err)
	}
	return s
}

// write numbers the events and writes them as one batch.
func (s *store) write(batch ...event.Event) {
	s.tb.Helper()
	historytest.Number(s.seq, batch)
	s.seq += uint64(len(batch))
	if err := eventtest.Trash(s.sink).Write(context.Background(), batch); err != nil {
		s.tb.Fatal(err)
	}
}

// db is a connection as any program would make it.
func (s *store) db() *pgx.Conn {
	s.tb.Helper()
	if s.conn == nil || s.conn.IsClosed() {
		s.conn = connect(s.tb, s.dsn)
	}
	return s.conn
}

func connect(tb testing.TB, dsn string) *pgx.Conn {
	tb.Helper()
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		tb.Fatal(err)
	}
	cfg.RuntimeParams["timezone"] = "UTC"
	conn, err := pgx.ConnectConfig(context.Background(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func (s *store) exec(sql string, args ...any) {
	s.tb.Helper()
	if _, err := s.db().Exec(context.Background(), sql, args...); err != nil {
		s.tb.Fatalf("%s: %v", sql, err)
	}
}

// lines runs a query and gives each row as text, columns separated by |.
func (s *store) lines(sql string) []string {
	s.tb.Helper()
	return linesOf(s.tb, s.db(), sql)
}

func linesOf(tb testing.TB, conn *pgx.Conn, sql string) []string {
	tb.Helper()
	// The simple protocol gives text.
	results, err := conn.PgConn().Exec(context.Background(), sql).ReadAll()
	if err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
	var out []string
	for _, row := range results[len(results)-1].Rows {
		var line []string
		for _, v := range row {
			if v == nil {
				line = append(line, "-")
			} else {
				line = append(line, string(v))
			}
		}
		out = append(out, strings.Join(line, "|"))
	}
	return out
}

func (s *store) want(sql string, want ...string) {
	s.tb.Helper()
	same(s.tb, s.lines(sql), want)
}

func same(tb testing.TB, got, want []string) {
	tb.Helper()
	if !slices.Equal(got, want) {
		tb.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// views gives the rows of every view as SQLite would show them, sorted.
func (s *store) views(where string) map[string][]string {
	s.tb.Helper()
	out := map[string][]string{}
	for view, columns := range s.columns() {
		out[view] = s.asSQLite(view, columns, where)
	}
	return out
}

type column struct{ name, typ string }

// columns are those of each view.
func (s *store) columns() map[string][]column {
	s.tb.Helper()
	out := map[string][]column{}
	for _, l := range s.lines("SELECT table_name, column_name, data_type, udt_name FROM information_schema.columns WHERE table_schema = 'public' " +
		"AND table_name IN (SELECT table_name FROM information_schema.views WHERE table_schema = 'public') ORDER BY 1, ordinal_position") {
		f := strings.Split(l, "|")
		out[f[0]] = append(out[f[0]], column{f[1], f[3]})
	}
	return out
}

func (s *store) asSQLite(from string, columns []column, where string) []string {
	s.tb.Helper()
	var list []string
	for _, c := range columns {
		expr := c.name + "::text"
		switch {
		case c.name == "nlri":
			continue
		case c.name == "prefix":
			expr = "nlri"
		case c.typ == "timestamptz":
			expr = "to_char(" + c.name + ` AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
		case c.typ == "bool":
			expr = c.name + "::int::text"
		case c.typ == "bytea":
			expr = "encode(" + c.name + ", 'hex')"
		case c.typ == "inet":
			expr = "host(" + c.name + ")"
		}
		list = append(list, expr)
	}
	got := s.lines("SELECT " + strings.Join(list, ", ") + " FROM " + from + where)
	slices.Sort(got)
	return got
}

// sqliteViews writes the events to SQLite and gives its views' rows.
func sqliteViews(tb testing.TB, names map[string][]column, batches [][]event.Event, rows string) map[string][]string {
	tb.Helper()
	cfg := sqlite.DefaultConfig()
	cfg.Path, cfg.Collector, cfg.Rows = filepath.Join(tb.TempDir(), "history.db"), "rt1", rows
	sink, err := sqlite.New(cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		tb.Fatal(err)
	}
	if err := sink.Open(context.Background()); err != nil {
		tb.Fatal(err)
	}
	for _, b := range batches {
		if err := sink.Write(context.Background(), b); err != nil {
			tb.Fatal(err)
		}
	}
	if err := sink.Close(); err != nil {
		tb.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+cfg.Path+"?mode=ro")
	if err != nil {
		tb.Fatal(err)
	}
	defer db.Close()
	out := map[string][]string{}
	for view, columns := range names {
		var list []string
		for _, c := range columns {
			if c.name != "nlri" {
				list = append(list, c.name)
			}
		}
		out[view] = sqliteLines(tb, db, "SELECT "+strings.Join(list, ", ")+" FROM "+view)
		slices.Sort(out[view])
	}
	return out
}

func sqliteLines(tb testing.TB, db *sql.DB, query string) []string {
	tb.Helper()
	rows, err := db.Query(query)
	if err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		tb.Fatal(err)
	}
	var out []string
	for rows.Next() {
		values, to := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			to[i] = &values[i]
		}
		if err := rows.Scan(to...); err != nil {
			tb.Fatal(err)
		}
		var line []string
		for _, v := range values {
			switch v := v.(type) {
			case nil:
				line = append(line, "-")
			case []byte:
				line = append(line, fmt.Sprintf("%x", v))
			default:
				line = append(line, fmt.Sprint(v))
			}
		}
		out = append(out, strings.Join(line, "|"))
	}
	if err := rows.Err(); err != nil {
		tb.Fatal(err)
	}
	return out
}

// equal compares the rows of all views.
func equal(tb testing.TB, got, want map[string][]string) {
	tb.Helper()
	for view := range want {
		if slices.Equal(got[view], want[view]) {
			continue
		}
		only := func(a, b []string) (out []string) {
			have := map[string]int{}
			for _, l := range b {
				have[l]++
			}
			for _, l := range a {
				if have[l]--; have[l] < 0 && len(out) < 5 {
					out = append(out, l)
				}
			}
			return out
		}
		tb.Errorf("%s: %d rows, want %d\nonly here\n  %s\nonly there\n  %s", view, len(got[view]), len(want[view]),
			strings.Join(only(got[view], want[view]), "\n  "), strings.Join(only(want[view], got[view]), "\n  "))
	}
}

// cut deals events out to batches of a size.
func cut(events []event.Event, size int) (out [][]event.Event) {
	for chunk := range slices.Chunk(events, size) {
		out = append(out, chunk)
	}
	return out
}
