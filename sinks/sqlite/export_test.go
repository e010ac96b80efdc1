package sqlite

import (
	"context"
	"fmt"
)

// Queries for tests that look at how SQLite runs them.

// RoutesSQL returns what Routes runs.
func RoutesSQL(q Query) (string, []any) {
	s := q.routesNow()
	if !q.At.IsZero() {
		s = q.at()
	}
	return s.sql, s.args
}

// HistorySQL returns what History runs.
func HistorySQL(q Query) (string, []any) {
	s := q.history()
	return s.sql, s.args
}

// LengthsSQL returns what History runs first for MatchLongest.
func LengthsSQL(q Query) (string, []any) {
	s := q.lengths()
	return s.sql, s.args
}

// Known is known, for its tests.
type Known = known

// NewKnown is newKnown.
func NewKnown(n int) *Known { return newKnown(n) }

// Whole resets k to know that nothing is stored.
func (k *known) Whole() { k.reset(true) }

// Find looks for a key.
func (k *known) Find(key []byte) uint32 { return k.find(k.fingerprint(key)) }

// Add adds a key.
func (k *known) Add(key []byte, id uint32) { k.add(k.fingerprint(key), id) }

// Complete is complete.
func (k *known) Complete() bool { return k.complete() }

// Octets is the size of the tables.
func (k *known) Octets() int { return 16 * (len(k.young.slots) + len(k.old.slots)) }

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
