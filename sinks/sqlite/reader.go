package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"time"

	"github.com/ribtap/ribtap/migrations"
)

// Reader reads a store that a Sink of this or another process may be writing.
// It is safe for concurrent use. The rows of one call are of one state of the
// store; while an iteration is under way the file cannot give room back, so one
// should not be left standing.
type Reader struct {
	db          *sql.DB
	stretchMost int // see there; less in tests
}

// OpenReader opens the store at path for reading.
func OpenReader(path string) (*Reader, error) {
	db, err := openReader(path)
	if err != nil {
		return nil, err
	}
	r := &Reader{db: db, stretchMost: stretchMost}
	if err := r.check(); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("sqlite: %s: %w", path, err)
	}
	return r, nil
}

// check compares the schema's version with the one that the queries are for.
func (r *Reader) check() error {
	steps, err := migrations.SQLite()
	if err != nil {
		return err
	}
	version, err := schemaVersion(context.Background(), r.db)
	switch {
	case err != nil:
		return err
	case version == 0:
		return fmt.Errorf("not a store of this program")
	case version != len(steps):
		return fmt.Errorf("schema version %d, this program reads %d: run ribtap migrate", version, len(steps))
	}
	return nil
}

// Close closes the store.
func (r *Reader) Close() error { return r.db.Close() }

// Position returns the sequence of the last event in the store.
func (r *Reader) Position(ctx context.Context) (uint64, error) {
	var v uint64
	if err := r.db.QueryRowContext(ctx, "SELECT sequence FROM position").Scan(&v); err != nil {
		return 0, fmt.Errorf("sqlite: position: %w", err)
	}
	return v, nil
}

// Peers gives the rows of the view peers.
func (r *Reader) Peers(ctx context.Context, q Query) iter.Seq2[Peer, error] {
	return list(ctx, r.db, "peers", q, onSessions, (*Peer).fields)
}

// Routers gives the rows of the view routers.
func (r *Reader) Routers(ctx context.Context, q Query) iter.Seq2[Router, error] {
	return list(ctx, r.db, "routers", q, 0, (*Router).fields)
}

// PeerHistory gives the rows of the view peer_history, in order.
func (r *Reader) PeerHistory(ctx context.Context, q Query) iter.Seq2[PeerEvent, error] {
	return list(ctx, r.db, "peer_history", q, onSessions|onTime|onRIB, (*PeerEvent).fields)
}

// RouterHistory gives the rows of the view router_history, in order.
func (r *Reader) RouterHistory(ctx context.Context, q Query) iter.Seq2[RouterEvent, error] {
	return list(ctx, r.db, "router_history", q, onTime, (*RouterEvent).fields)
}

// PeerStats gives the rows of the view peer_stats, in order.
func (r *Reader) PeerStats(ctx context.Context, q Query) iter.Seq2[PeerStat, error] {
	return list(ctx, r.db, "peer_stats", q, onSessions|onTime|onRIB, (*PeerStat).fields)
}

// LastPeerStats gives the rows of each peer's last report.
func (r *Reader) LastPeerStats(ctx context.Context, q Query) iter.Seq2[PeerStat, error] {
	return list(ctx, r.db, "peer_stats_now", q, onSessions|onTime|onRIB, (*PeerStat).fields)
}

// Gaps gives the rows of the view gaps, in order.
func (r *Reader) Gaps(ctx context.Context, q Query) iter.Seq2[Gap, error] {
	return list(ctx, r.db, "gaps", q, onTime, (*Gap).fields)
}

// Imports gives the rows of the view imports, in order.
func (r *Reader) Imports(ctx context.Context, q Query) iter.Seq2[Import, error] {
	return list(ctx, r.db, "imports", q, onTime, (*Import).fields)
}

// Anomalies gives the rows of the view anomalies, in order.
func (r *Reader) Anomalies(ctx context.Context, q Query) iter.Seq2[Anomaly, error] {
	return list(ctx, r.db, "anomalies", q, onTime, (*Anomaly).fields)
}

// columns says which columns a view has for a Query to filter by, besides
// router and router_address.
type columns uint8

const (
	onSessions columns = 1 << iota // peer_address, peer_asn
	onTime                         // sequence, received_at
	onRIB                          // rib
)

// list gives the rows of a view.
func list[T any](ctx context.Context, db *sql.DB, view string, q Query, c columns, fields func(*T) []any) iter.Seq2[T, error] {
	var w where
	if q.Router != "" {
		w.add("(router = ? OR router_address = ?)", q.Router, q.Router)
	}
	if c&onSessions != 0 && q.Peer.IsValid() {
		w.add("peer_address = ?", q.Peer.String())
	}
	if c&onSessions != 0 && q.ASN != 0 {
		w.add("peer_asn = ?", q.ASN)
	}
	if c&onRIB != 0 && q.RIB != 0 {
		w.add("rib = ?", q.RIB.String())
	}
	order := ""
	if c&onTime != 0 {
		if !q.From.IsZero() {
			w.add("received_at >= ?", timeText(q.From))
		}
		if !q.To.IsZero() {
			w.add("received_at <= ?", timeText(q.To))
		}
		order = " ORDER BY sequence"
		if q.Newest {
			order += " DESC"
		}
	}
	limit := ""
	if q.Limit > 0 {
		limit = fmt.Sprintf(" LIMIT %d", q.Limit)
	}
	return scan(ctx, db, "SELECT * FROM "+view+w.String()+order+limit, w.args, fields)
}

// timeText is a time as the views show it; what is below a microsecond is cut
// off, as it was when the rows were written.
func timeText(t time.Time) string { return Time(t.UnixMicro()).String() }

// scan runs a query and gives its rows; an error comes last, with a zero row.
func scan[T any](ctx context.Context, db *sql.DB, query string, args []any, fields func(*T) []any) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		fail := func(err error) {
			var none T
			yield(none, fmt.Errorf("sqlite: read: %w", err))
		}
		rows, err := db.QueryContext(ctx, query, args...)
		if err != nil {
			fail(err)
			return
		}
		defer func() { _ = rows.Close() }() // rows.Err has said what there is to say
		for rows.Next() {
			var row T
			if err := rows.Scan(fields(&row)...); err != nil {
				fail(err)
				return
			}
			if !yield(row, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			fail(err)
		}
	}
}
