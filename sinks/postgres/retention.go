package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/history"
)

const (
	// maintainEvery is how often partitions are looked after.
	maintainEvery = time.Hour
	// daysAhead is how many partitions there are beyond today's.
	daysAhead = 3
	// newDaysMost bounds how many partitions one batch makes, and daysMost how
	// many there may be: a file with wild timestamps must not fill the catalog.
	// What finds none goes into the default partition.
	newDaysMost = 64
	daysMost    = 4096
)

// days are the partitions that are known, by the number of their day since 1970.
type days struct {
	known map[int64]bool // false: there is none, and will be none for a while
	next  time.Time      // when to look after them again
}

func dayOf(t time.Time) int64 { return floorDiv(t.Unix(), 86_400) }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func dateOf(day int64) time.Time { return time.Unix(day*86_400, 0).UTC() }

func (d *days) load(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, "SELECT partitions()")
	if err != nil {
		return err
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	if err != nil {
		return err
	}
	d.known = make(map[int64]bool, len(all))
	for _, t := range all {
		d.known[dayOf(t)] = true
	}
	return nil
}

// need makes the partitions that the routes of a batch go into. Its error is
// one of the connection; a partition that cannot be made is done without.
func (d *days) need(ctx context.Context, conn *pgx.Conn, batch []event.Event) error {
	const dayMicros = 86_400_000_000
	last, made := int64(-1<<62), 0
	for i := range batch {
		e := &batch[i]
		if e.Kind != event.KindRoute {
			continue
		}
		n := floorDiv(history.Micros(e.Received), dayMicros)
		if n == last {
			continue
		}
		last = n
		if _, ok := d.known[n]; ok || made == newDaysMost || len(d.known) >= daysMost {
			continue
		}
		made++
		if err := d.add(ctx, conn, n); err != nil {
			return err
		}
	}
	return nil
}

// add makes a partition, if no lock is in the way for long.
func (d *days) add(ctx context.Context, conn *pgx.Conn, n int64) error {
	var ok bool
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '2s'"); err != nil {
			return err
		}
		return tx.QueryRow(ctx, "SELECT add_partition($1)", dateOf(n)).Scan(&ok)
	})
	var pg *pgconn.PgError
	if err != nil && (!errors.As(err, &pg) || conn.IsClosed()) {
		return err
	}
	d.known[n] = ok && err == nil
	return nil
}

// maintain makes partitions ahead and has old ones dropped, once in a while.
// What fails is done next time; the default partition takes what comes before.
func (s *Sink) maintain(ctx context.Context, now time.Time) {
	if now.Before(s.days.next) {
		return
	}
	s.days.next = now.Add(maintainEvery)
	for n, ok := range s.days.known {
		if !ok {
			delete(s.days.known, n)
		}
	}
	for n := dayOf(now); n <= dayOf(now)+daysAhead; n++ {
		if s.days.known[n] {
			continue
		}
		err := s.days.add(ctx, s.conn, n)
		if err != nil {
			s.log.Warn("postgres: no partition was made ahead", "day", dateOf(n).Format(time.DateOnly), "error", err)
			return
		}
		if !s.days.known[n] {
			s.log.Warn("postgres: no partition could be made ahead; the default partition is used", "day", dateOf(n).Format(time.DateOnly))
		}
	}
	if s.cfg.Retention == 0 {
		return
	}
	s.keeping.start(func(ctx context.Context) {
		if err := s.Retain(ctx, now); err != nil && ctx.Err() == nil {
			s.log.Warn("postgres: old history was not dropped; it is tried again", "error", err)
		}
	})
}

const (
	// detachWait is how long a partition's end may keep writers waiting, and
	// detachTries how often it is tried.
	detachWait  = "800ms"
	detachTries = 20
	detachPause = 500 * time.Millisecond
)

// Retain drops the days of history that are older than the retention, on a
// connection of its own, and deletes statistics of that age and attribute sets
// that nothing refers to. Of each route that
// was there at the end of such a day routes_at still knows. Of several processes
// one does it.
func (s *Sink) Retain(ctx context.Context, now time.Time) error {
	conn, err := connect(ctx, s.dsn)
	if err != nil {
		return failed("retain", explain(&s.dsn.Config, err))
	}
	defer func() { _ = hangUp(conn) }()
	var mine bool
	if err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock(hashtext('ribtap retention'))").Scan(&mine); err != nil || !mine {
		return failed("retain", err)
	}
	var d days
	if err := d.load(ctx, conn); err != nil {
		return failed("retain", err)
	}
	first := dayOf(now.Add(-s.cfg.Retention)) // the oldest day that stays
	err = s.retire(ctx, conn, first)
	for n := range d.known {
		if err == nil && n < first {
			err = detach(ctx, conn, n)
			s.metrics.dropped.Inc()
		}
	}
	if err == nil {
		// Also what a process before this one detached and did not drop.
		_, err = conn.Exec(ctx, "SELECT drop_partitions()")
	}
	for _, q := range []string{
		"DELETE FROM route_change WHERE received < $1",
		"DELETE FROM peer_stat AS e WHERE received < $1 AND NOT EXISTS (SELECT FROM peer AS p WHERE p.stats_speaker = e.speaker AND p.stats = e.sequence)",
		// Two days are more than any transaction lasts and any clock is wrong.
		"DELETE FROM attr AS a WHERE seen < least($1, current_date - 2) AND NOT EXISTS (SELECT FROM route_change AS c WHERE c.attr = a.id) " +
			"AND NOT EXISTS (SELECT FROM route AS c WHERE c.attr = a.id) AND NOT EXISTS (SELECT FROM route_base AS c WHERE c.attr = a.id)",
	} {
		if err == nil {
			_, err = conn.Exec(ctx, q, dateOf(first))
		}
	}
	return failed("retain", err)
}

// The state at the new horizon is that at the old one, and the last change of
// each route since.
const (
	lastChanges = "CREATE TEMPORARY TABLE retiring ON COMMIT DROP AS " +
		"SELECT DISTINCT ON (c.prefix, s.rib, (c.more).path_id, (c.more).key) c.*, s.rib, (c.more).path_id, (c.more).key " +
		"FROM route_change AS c JOIN speaker AS s ON s.id = c.speaker WHERE c.received >= %s AND c.received < %s AND c.code::integer & 6 <> 0 " +
		"ORDER BY c.prefix, s.rib, (c.more).path_id, (c.more).key, c.received DESC, c.event DESC"
	baseColumns = changeColumns + ", rib, path_id, key"
	toBase      = "INSERT INTO route_base (" + baseColumns + ") SELECT " + baseColumns + " FROM retiring AS s WHERE " + isAnnounce + " " +
		"ON CONFLICT (prefix, rib, path_id, key) DO UPDATE SET " + replace
	fromBase = "DELETE FROM route_base AS r USING retiring AS s WHERE NOT (" + isAnnounce + ") AND r.rib = s.rib " +
		"AND r.path_id IS NOT DISTINCT FROM s.path_id AND r.key IS NOT DISTINCT FROM s.key"
)

// retire moves the horizon to the beginning of a day. What came behind it, as
// with a file that was imported later, is not looked at again.
func (s *Sink) retire(ctx context.Context, conn *pgx.Conn, first int64) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var was string
		to := dateOf(first)
		err := tx.QueryRow(ctx, "SELECT at::text FROM horizon WHERE at < $1 FOR UPDATE", to).Scan(&was)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		// The names of partitions are in the plan only with constants.
		script := fmt.Sprintf(lastChanges, "'"+was+"'::timestamptz", "'"+to.Format(time.RFC3339)+"'::timestamptz")
		for _, q := range []string{
			script, "ANALYZE retiring", toBase, fromBase + withPrefix, fromBase + withoutPrefix,
			"UPDATE horizon SET at = '" + to.Format(time.RFC3339) + "'",
		} {
			if _, err := tx.Exec(ctx, q); err != nil {
				return err
			}
		}
		return nil
	})
}

// detach takes a day out of route_change. That needs an instant in which nobody
// uses the table; who comes meanwhile waits no longer than detachWait.
func detach(ctx context.Context, conn *pgx.Conn, n int64) error {
	for try := 1; ; try++ {
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '"+detachWait+"'"); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "SELECT detach_partition($1)", dateOf(n))
			return err
		})
		if err == nil || try == detachTries || reasonOf(err) != "lock" && reasonOf(err) != "deadlock" {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(detachPause):
		}
	}
}
