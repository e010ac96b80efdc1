package sqlite

import (
	"context"
	"fmt"
)

// Queries for tests that look at how SQLite runs them.

// RoutesSQL returns what Routes runs.
func RoutesSQL(q Query) (string, []any) {
	s := q.routesNow(where{})
	if !q.At.IsZero() {
		s = q.at(where{})
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
