package postgres

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// delivery is what is being sent to the server and merged there, by a goroutine
// that has the connection to itself meanwhile, so that the server works while the
// next rows are encoded.
type delivery struct {
	change, attrs    copyRows
	merge, mergeLate mergeRows
	truncate         bool       // stage_route was used in this transaction
	done             chan error // of the goroutine; nil: there is none
}

const copyStage = "COPY stage_route (" + routeColumns + ") FROM STDIN BINARY"

// mergeRows are rows for stage_route and what they need. fresh are rows of routes that
// were not there, so that they can go into table route without a merge; where the
// table knows better, as after a backup, they are merged like the others.
type mergeRows struct {
	copyRows
	fresh copyRows
	// announced and withdrawn say that there are such, other that some have no
	// prefix.
	announced, withdrawn, other bool
	freshOther                  bool // as other, of fresh
}

// freshLeast is how many fresh routes are worth a savepoint.
const freshLeast = 256

func newChangeRows() copyRows {
	return copyRows{into: "COPY route_change (" + changeColumns + ") FROM STDIN BINARY", columns: 8}
}

func newAttrRows() copyRows {
	return copyRows{into: "COPY stage_attr (" + attrColumns + ") FROM STDIN BINARY", columns: attrColumnCount}
}

// flushRoutes begins to send what was collected, behind what was sent before.
func (s *Sink) flushRoutes() error {
	t := &s.routes
	// Before the connection is free, so that the server has no pause.
	t.merge.fill(&t.stage, t.staged)
	t.mergeLate.fill(&t.late, t.latened)
	if err := s.settle(); err != nil {
		return err
	}
	d := &t.sending
	d.change, t.change = t.change, d.change
	d.attrs, t.attrs.rows = t.attrs.rows, d.attrs
	d.merge, t.merge = t.merge, d.merge
	d.mergeLate, t.mergeLate = t.mergeLate, d.mergeLate
	if d.change.n+d.attrs.n+d.merge.n+d.merge.fresh.n+d.mergeLate.n == 0 {
		return nil
	}
	d.done = make(chan error, 1)
	go func(ctx context.Context, conn *pgx.Conn) { d.done <- d.send(ctx, conn) }(s.ctx, s.conn) // settle waits for it
	return nil
}

// clear forgets what was not sent.
func (d *delivery) clear() {
	d.change.clear()
	d.attrs.clear()
	d.merge.forget()
	d.mergeLate.forget()
}

// forget forgets the rows and what they need.
func (m *mergeRows) forget() {
	m.clear()
	m.fresh.clear()
	m.announced, m.withdrawn, m.other, m.freshOther = false, false, false, false
}

// settle waits until what was sent is merged; before that the connection is in use.
func (s *Sink) settle() error {
	d := &s.routes.sending
	if d.done == nil {
		return nil
	}
	err := <-d.done
	d.done = nil
	if err != nil {
		return s.routes.attrs.refused(err)
	}
	return nil
}

// free returns the connection once nothing uses it.
func (s *Sink) free() (*pgx.Conn, error) { return s.conn, s.settle() }

// fill encodes rows, in the order of the index of table route so that merging goes
// through it once, and forgets them.
func (m *mergeRows) fill(rows *[]staged, index map[routeID]int) {
	m.forget()
	slices.SortFunc(*rows, order)
	fresh := 0
	for i := range *rows {
		if r := &(*rows)[i]; r.fresh && r.announce() {
			fresh++
		}
	}
	for i := range *rows {
		r := &(*rows)[i]
		if fresh >= freshLeast && r.fresh && r.announce() {
			r.encode(&m.fresh, true)
			m.freshOther = m.freshOther || !r.prefix.IsValid()
			continue
		}
		r.encode(&m.copyRows, true)
		m.announced, m.withdrawn = m.announced || r.announce(), m.withdrawn || !r.announce()
		m.other = m.other || !r.prefix.IsValid()
	}
	clear(*rows) // lets go of the strings
	*rows = (*rows)[:0]
	clear(index)
}

// The statements that merge. Each one with a %s is run for routes with a prefix
// and for those without, because NULL = NULL would not use the index.
const (
	isAnnounce   = "s.code::integer & 1 = 1"
	upsertRoutes = "INSERT INTO route (" + routeColumns + ") SELECT " + routeColumns + " FROM stage_route AS s WHERE " + isAnnounce
	replace      = "received = excluded.received, event = excluded.event, attr = excluded.attr, speaker = excluded.speaker, " +
		"delay = excluded.delay, code = excluded.code, more = excluded.more"
	onConflict    = " ON CONFLICT (prefix, rib, key) DO UPDATE SET " + replace
	deleteRoutes  = "DELETE FROM route AS r USING stage_route AS s WHERE NOT (" + isAnnounce + ") AND r.rib = s.rib AND r.key = s.key"
	withPrefix    = " AND s.prefix IS NOT NULL AND r.prefix = s.prefix"
	withoutPrefix = " AND s.prefix IS NULL AND r.prefix IS NULL"

	// nothingNewer holds when history knows nothing later about the route. What
	// is older than the horizon has no say, because what followed may be gone.
	nothingNewer = " AND s.received >= (SELECT at FROM horizon) AND NOT EXISTS (SELECT FROM route_change AS r JOIN speaker AS k ON k.id = r.speaker " +
		"WHERE r.received > s.received AND k.rib = s.rib AND (r.more).path_id IS NOT DISTINCT FROM (s.more).path_id " +
		"AND (r.more).key IS NOT DISTINCT FROM (s.more).key"
)

// send sends and merges all.
func (d *delivery) send(ctx context.Context, conn *pgx.Conn) error {
	if err := d.change.send(ctx, conn); err != nil {
		return err
	}
	if d.attrs.n > 0 {
		if err := d.attrs.send(ctx, conn); err != nil {
			return err
		}
		// More may come in this transaction.
		for _, sql := range []string{mergeAttrs, "TRUNCATE stage_attr"} {
			if _, err := conn.Exec(ctx, sql); err != nil {
				return err
			}
		}
	}
	if err := d.mergeInto(ctx, conn, &d.merge, false); err != nil {
		return err
	}
	return d.mergeInto(ctx, conn, &d.mergeLate, true)
}

// mergeInto brings the table route up to date with changes.
func (d *delivery) mergeInto(ctx context.Context, conn *pgx.Conn, m *mergeRows, late bool) error {
	if err := m.addFresh(ctx, conn); err != nil {
		return err
	}
	if m.n == 0 {
		return nil
	}
	if d.truncate {
		if _, err := conn.Exec(ctx, "TRUNCATE stage_route"); err != nil {
			return err
		}
	}
	d.truncate = true
	if err := m.send(ctx, conn); err != nil {
		return err
	}
	for _, sql := range m.statements(late) {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// addFresh puts the fresh routes into the table. Those that the table has are left to
// be merged.
func (m *mergeRows) addFresh(ctx context.Context, conn *pgx.Conn) error {
	if m.fresh.n == 0 {
		return nil
	}
	if _, err := conn.Exec(ctx, "SAVEPOINT fresh"); err != nil {
		return err
	}
	rows := m.fresh // send forgets them
	err := m.fresh.send(ctx, conn)
	if err == nil {
		_, err = conn.Exec(ctx, "RELEASE fresh")
		return err
	}
	const uniqueViolation = "23505"
	if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Code != uniqueViolation {
		return err
	}
	if _, err := conn.Exec(ctx, "ROLLBACK TO fresh"); err != nil {
		return err
	}
	m.buf = append(m.buf, rows.buf...)
	m.n += rows.n
	m.announced, m.other = true, m.other || m.freshOther
	return nil
}

// statements are those that the rows need. Of those without a prefix there may be
// none, then their statements are not worth a round trip.
func (m *mergeRows) statements(late bool) (all []string) {
	kinds := []string{withPrefix, withoutPrefix}
	if !m.other {
		kinds = kinds[:1]
	}
	if m.announced && !late {
		all = append(all, upsertRoutes+onConflict)
	}
	for _, kind := range kinds {
		if m.announced && late {
			all = append(all, upsertRoutes+nothingNewer+kind+")"+only(kind)+onConflict)
		}
		if m.withdrawn {
			q := deleteRoutes + kind
			if late {
				q += nothingNewer + kind + ")"
			}
			all = append(all, q)
		}
	}
	return all
}

// only restricts a late upsert to the routes of a kind, outside its subquery.
func only(kind string) string {
	if kind == withPrefix {
		return " AND s.prefix IS NOT NULL"
	}
	return " AND s.prefix IS NULL"
}
