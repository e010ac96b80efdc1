package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/history"
)

// Sink writes events into the history. One goroutine at a time calls its
// methods; Position may be called by all.
type Sink struct {
	cfg      Config
	log      *slog.Logger
	metrics  *metrics
	position atomic.Uint64

	db   *sql.DB
	conn *sql.Conn

	who      identities
	nlris    nlris
	attrs    attrs
	routes   routes
	sessions sessions
	bulk     bulk

	begin, commit, rollback     *statement
	mark, release, rollbackTo   *statement
	readPosition, writePosition *statement
	addAnomaly, trimAnomalies   *statement

	uncounted history.Counts
}

// New returns a Sink that is not open yet. Its metrics are registered in reg.
func New(cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(reg)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	s := &Sink{cfg: cfg, log: log, metrics: m}
	s.who.collector = history.Cleaned(cfg.Collector)
	s.routes.all = cfg.Rows == RowsAll
	s.nlris.known = history.NewKnown(cfg.KnownNLRI)
	s.attrs.known = history.NewKnown(cfg.KnownAttrs)
	return s, nil
}

// Open opens the file, makes it if there is none, brings its schema up to date
// and finds the position.
func (s *Sink) Open(ctx context.Context) error {
	if s.conn != nil {
		return errors.New("sqlite: the store is open already")
	}
	db, conn, err := openWriter(ctx, &s.cfg)
	if err != nil {
		return err
	}
	err = conn.Raw(func(c any) error {
		if err := s.prepare(c.(driver.Conn)); err != nil {
			return err
		}
		if err := s.bulk.end(); err != nil {
			return err
		}
		at, _, err := s.readPosition.integer()
		s.position.Store(uint64(at))
		return errors.Join(err, s.reset())
	})
	if err != nil {
		return errors.Join(fmt.Errorf("sqlite: open %s: %w", s.cfg.Path, err), conn.Close(), db.Close())
	}
	s.db, s.conn = db, conn
	return nil
}

func (s *Sink) prepare(c driver.Conn) error {
	parts := [...]func(driver.Conn) error{
		s.who.prepare, s.nlris.prepare, s.attrs.prepare, s.routes.prepare, s.sessions.prepare, s.bulk.prepare,
	}
	for _, p := range parts {
		if err := p(c); err != nil {
			return err
		}
	}
	return prepareAll(c, []query{
		{&s.begin, "BEGIN IMMEDIATE"},
		{&s.commit, "COMMIT"},
		{&s.rollback, "ROLLBACK"},
		{&s.mark, "SAVEPOINT one"},
		{&s.release, "RELEASE one"},
		{&s.rollbackTo, "ROLLBACK TO one"},
		{&s.readPosition, "SELECT sequence FROM position"},
		{&s.writePosition, "UPDATE position SET sequence = ?"},
		{&s.addAnomaly, "INSERT INTO anomaly (sequence, received, collector, router, router_address, peer_address, kind, reason, raw) " +
			"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id"},
		{&s.trimAnomalies, "DELETE FROM anomaly WHERE id <= ?"},
	})
}

// reset makes what is in memory agree with the file.
func (s *Sink) reset() error {
	s.who.forget()
	s.sessions.stat.drop()
	for _, reset := range [...]func() error{s.nlris.reset, s.attrs.reset, s.routes.reset} {
		if err := reset(); err != nil {
			return err
		}
	}
	return nil
}

// Position implements event.Sink.
func (s *Sink) Position() uint64 { return s.position.Load() }

// Close ends what is under way and closes the file.
func (s *Sink) Close() error {
	if s.conn == nil {
		return nil
	}
	err := s.conn.Raw(func(any) error { return s.bulk.end() })
	// So that the file alone is the whole history for whoever copies it. Prepared
	// statements keep SQLite from doing it by itself, readers may put it off.
	_, cerr := s.conn.ExecContext(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)")
	err = errors.Join(err, cerr, s.conn.Close(), s.db.Close())
	s.conn, s.db = nil, nil
	if err != nil {
		return fmt.Errorf("sqlite: close: %w", err)
	}
	return nil
}

// Write implements event.Writer. The rows of the batch and its last sequence
// are committed together; events up to Position are passed over. An event that
// the store refuses is kept in the view anomalies.
func (s *Sink) Write(ctx context.Context, batch []event.Event) error {
	if s.conn == nil {
		return ErrClosed
	}
	for i := range batch {
		if batch[i].Sequence == 0 {
			return ErrNotNumbered
		}
	}
	for len(batch) > 0 && batch[0].Sequence <= s.Position() {
		batch = batch[1:]
	}
	if len(batch) == 0 {
		return nil
	}
	err := s.conn.Raw(func(any) error {
		err := s.transaction(ctx, batch, s.together)
		if isPoison(err) {
			s.log.Warn("sqlite: a batch is written event by event", "first", batch[0].Sequence, "events", len(batch), "error", err)
			err = s.transaction(ctx, batch, s.oneByOne)
		}
		return err
	})
	if err != nil && !errors.Is(err, ErrOtherWriter) {
		return fmt.Errorf("sqlite: write: %w", err)
	}
	return err
}

// Idle implements event.Idler: a table that came in bulk gets its indexes.
func (s *Sink) Idle(context.Context, time.Time) error {
	if s.conn == nil {
		return ErrClosed
	}
	if !s.bulk.on {
		return nil
	}
	return s.conn.Raw(func(any) error { return s.bulk.end() })
}

// transaction writes the batch with f and its last sequence, or nothing.
func (s *Sink) transaction(ctx context.Context, batch []event.Event, f func(context.Context, []event.Event) error) error {
	if err := s.begin.exec(); err != nil {
		return err
	}
	err := s.inside(ctx, batch, f)
	if err == nil {
		start := time.Now()
		err = s.commit.exec()
		s.metrics.commit.Observe(time.Since(start).Seconds())
	}
	if err != nil {
		// A ROLLBACK fails when the error has rolled back already.
		_ = s.rollback.exec()
		s.bulk.on = s.bulk.was
		s.uncounted.Clear()
		return errors.Join(err, s.reset())
	}
	s.position.Store(batch[len(batch)-1].Sequence)
	s.metrics.count(&s.uncounted)
	return nil
}

func (s *Sink) inside(ctx context.Context, batch []event.Event, f func(context.Context, []event.Event) error) error {
	at, _, err := s.readPosition.integer()
	if err != nil {
		return err
	}
	if uint64(at) != s.Position() {
		return ErrOtherWriter
	}
	s.nlris.fresh = 0
	s.bulk.was = s.bulk.on
	if err := f(ctx, batch); err != nil {
		return err
	}
	if err := s.who.save(); err != nil {
		return err
	}
	if err := s.routes.saveSpan(); err != nil {
		return err
	}
	if err := s.bulk.settle(s.nlris.fresh); err != nil {
		return err
	}
	err = s.writePosition.exec(int64(batch[len(batch)-1].Sequence))
	return err
}

// together writes the batch's rows many at a time.
func (s *Sink) together(ctx context.Context, batch []event.Event) error {
	for i := range batch {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.event(&batch[i]); err != nil {
			return err
		}
	}
	return s.flush()
}

// oneByOne writes the batch so that an event that cannot be stored takes
// nothing with it.
func (s *Sink) oneByOne(ctx context.Context, batch []event.Event) error {
	for i := range batch {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.mark.exec(); err != nil {
			return err
		}
		e, bulk := &batch[i], s.bulk.on
		err := s.event(e)
		if err == nil {
			err = s.flush()
		}
		if isPoison(err) {
			s.log.Error("sqlite: an event cannot be stored; it is kept in anomalies", "sequence", e.Sequence, "error", err)
			s.bulk.on = bulk
			err = s.instead(e, err)
		}
		if err != nil {
			return err
		}
		if err := s.release.exec(); err != nil {
			return err
		}
	}
	return nil
}

// instead undoes what was written of e and keeps it as an anomaly.
func (s *Sink) instead(e *event.Event, reason error) error {
	if err := s.rollbackTo.exec(); err != nil {
		return err
	}
	if err := s.reset(); err != nil {
		return err
	}
	return s.Anomaly(e, history.AnomalyRefused, reason.Error())
}

func (s *Sink) flush() error {
	if err := s.flushRoutes(); err != nil {
		return err
	}
	return s.sessions.stat.flush()
}

// event writes one event's rows, or hands them to an inserter.
func (s *Sink) event(e *event.Event) error {
	err := history.Write(s, e)
	if err == nil {
		return nil
	}
	var p *history.PanicError
	if errors.As(err, &p) {
		s.log.Error("sqlite: panic", "sequence", e.Sequence, "value", p.Value, "stack", string(p.Stack))
	}
	return err
}
