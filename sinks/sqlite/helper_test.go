package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/event/eventtest"
	"github.com/ribtap/ribtap/history/historytest"
	"github.com/ribtap/ribtap/sinks/sqlite"
)

// store is a sink in a folder of the test's, written through eventtest.Trash.
type store struct {
	tb   testing.TB
	path string
	sink *sqlite.Sink
	seq  uint64
}

func newStore(tb testing.TB, change ...func(*sqlite.Config)) *store {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "history.db")
	return &store{tb: tb, path: path, sink: openSink(tb, path, change...)}
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

func (s *store) reader() *sqlite.Reader {
	s.tb.Helper()
	r, err := sqlite.OpenReader(s.path)
	if err != nil {
		s.tb.Fatal(err)
	}
	s.tb.Cleanup(func() { _ = r.Close() })
	return r
}

// db opens the store as any SQLite program would.
func (s *store) db() *sql.DB {
	s.tb.Helper()
	db, err := sql.Open("sqlite", "file:"+s.path+"?mode=ro")
	if err != nil {
		s.tb.Fatal(err)
	}
	s.tb.Cleanup(func() { _ = db.Close() })
	return db
}

// lines runs a query and gives each row as text, columns separated by |.
func (s *store) lines(query string, args ...any) []string {
	s.tb.Helper()
	return lines(s.tb, s.db(), query, args...)
}

func lines(tb testing.TB, db *sql.DB, query string, args ...any) []string {
	tb.Helper()
	rows, err := db.Query(query, args...)
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
		values := make([]any, len(names))
		to := make([]any, len(names))
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

func (s *store) want(query string, want ...string) {
	s.tb.Helper()
	same(s.tb, s.lines(query), want)
}

func same(tb testing.TB, got, want []string) {
	tb.Helper()
	if !slices.Equal(got, want) {
		tb.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// all collects an iteration.
func all[T any](tb testing.TB, seq iter.Seq2[T, error]) []T {
	tb.Helper()
	var out []T
	for v, err := range seq {
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

func hexOf(b []byte) string { return fmt.Sprintf("%x", b) }

func itoa(n int) string { return fmt.Sprint(n) }

// poison makes the store refuse one prefix, as a bug of ours would.
func poison(tb testing.TB, path string) {
	tb.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		tb.Fatal(err)
	}
	defer db.Close()
	_, err = db.Exec("CREATE TRIGGER poison BEFORE INSERT ON nlri WHEN new.prefix = '10.66.0.0/16' BEGIN SELECT raise(ABORT, 'poison'); END")
	if err != nil {
		tb.Fatal(err)
	}
}

func prefixOf(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// wider is the block of 16 bits around a prefix, of 36 for IPv6.
func wider(p netip.Prefix) netip.Prefix {
	bits := 16
	if !p.Addr().Is4() {
		bits = 36
	}
	return netip.PrefixFrom(p.Addr(), bits).Masked()
}
