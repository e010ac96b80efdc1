package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
)

// Queries for tests that look at how SQLite runs them.

// RoutesSQL returns what Routes runs.
func RoutesSQL(q Query) (string, []any) {
	s := q.routesNow(where{})
	if !q.At.IsZero() {
		s = q.allUntil(where{})
	}
	return s.sql, s.args
}

// HistorySQL returns what History runs.
func HistorySQL(q Query) (string, []any) {
	s := q.history(where{})
	return s.sql, s.args
}

// LengthsSQL returns what History runs first for MatchLongest.
func LengthsSQL(q Query) (string, []any) {
	s := q.lengths(where{})
	return s.sql, s.args
}

// BulkRunning reports whether indexes are left out.
func (s *Sink) BulkRunning() bool { return s.bulk.on }

// LimitPages bounds the size of the file.
func (s *Sink) LimitPages(n int) error {
	_, err := s.conn.ExecContext(context.Background(), fmt.Sprintf("PRAGMA max_page_count = %d", n))
	return err
}

// LookUps is how many NLRI were looked up in the file since they were last
// known.
func (s *Sink) LookUps() int { return s.nlris.missed }

// Stretch lets several connections read a table of more NLRI than that.
func (r *Reader) Stretch(nlris int) { r.stretchMost = nlris }

// Begin is begin for two connections, with a call of f before the second one begins.
func (r *Reader) Begin(ctx context.Context, f func()) (same int, err error) {
	err = r.hold(ctx, 2, func(all []driver.Conn) error {
		all[1] = delayed{all[1], f}
		var end func()
		same, end, err = begin(ctx, all)
		if err == nil {
			end()
		}
		return err
	})
	return same, err
}

// delayed is a connection that does something before it begins a transaction.
type delayed struct {
	driver.Conn
	before func()
}

func (d delayed) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	d.before()
	return d.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
}

func (d delayed) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return d.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}
