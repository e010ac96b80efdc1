package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/history"
)

// Sink writes events into the history. One goroutine at a time calls its
// methods; Position may be called by all.
type Sink struct {
	cfg      Config
	dsn      *pgx.ConnConfig
	log      *slog.Logger
	metrics  *metrics
	cursor   cursor
	position atomic.Uint64
	// name tells this Sink from all others, and who it is to people.
	name string
	open bool

	// part is how many events a transaction takes: fewer after a timeout, more
	// again after each success, so that a slow server gets on.
	part int

	conn  *pgx.Conn       // nil: to be connected
	ctx   context.Context // of the attempt under way
	batch batch           // of the transaction under way

	who       identities
	routes    routes
	stats     copyRows
	later     *pgx.Batch
	anomalies int // rows of anomaly in later

	days    days
	keeping keeper

	uncounted history.Counts
}

// New returns a Sink that is not open yet. Its metrics are registered in reg.
func New(cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	dsn, err := parseDSN(cfg.DSN)
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(reg)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	s := newSink(cfg, dsn, log, m)
	s.cursor = &collectorCursor{name: history.Cleaned(cfg.Collector), who: &s.who}
	return s, nil
}

func newSink(cfg Config, dsn *pgx.ConnConfig, log *slog.Logger, m *metrics) *Sink {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	s := &Sink{cfg: cfg, dsn: dsn, log: log, metrics: m, part: partMost}
	s.name = fmt.Sprintf("%s, process %d, since %s (%08x)", host, os.Getpid(), time.Now().UTC().Format(time.RFC3339), rand.Uint32())
	s.routes.all = cfg.Rows == history.RowsAll
	s.routes.init(cfg.KnownAttrs)
	s.stats = copyRows{into: "COPY peer_stat (" + statColumns + ") FROM STDIN BINARY", columns: 10}
	return s
}

// Open connects, brings the schema up to date, makes this Sink the collector's
// writer and finds the position, whatever it was before Close. Its error is one
// line that says what to do.
func (s *Sink) Open(ctx context.Context) error {
	if s.open {
		return errors.New("postgres: the store is open already")
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	// Nothing is known of what is there: it may be a backup.
	s.position.Store(0)
	s.routes.attrs.known.Reset(false)
	err := s.connect(ctx, true)
	if err != nil {
		s.hangUp()
		return failed("open", explain(&s.dsn.Config, err))
	}
	s.open = true
	s.days.next = time.Time{}
	return nil
}

// connect readies a connection. first also takes the collector over from a
// writer before.
func (s *Sink) connect(ctx context.Context, first bool) (err error) {
	if s.conn, err = connect(ctx, s.dsn); err != nil {
		return err
	}
	s.metrics.connects.Inc()
	if first {
		err = s.cursor.take(ctx, s.conn, s.name)
	} else {
		err = s.cursor.again(ctx, s.conn, s.name)
	}
	if err != nil {
		return err
	}
	s.forget()
	// Before all that needs tables: the database may be another one by now.
	if err := s.find(ctx); err != nil {
		return err
	}
	if err := prepareSession(ctx, s.conn); err != nil {
		return err
	}
	return s.days.load(ctx, s.conn)
}

// find reads the position, and whether this Sink is still the writer.
func (s *Sink) find(ctx context.Context) error {
	at, writer, err := s.cursor.find(ctx, s.conn)
	if isMissing(err) {
		// Another database is in the place of the one there was.
		at, err = 0, nil
	}
	switch {
	case err != nil:
		return err
	case at < s.Position():
		// Before the writer: a backup names one from when it was made, and a
		// process that took over would have gone on from where it found it.
		return fmt.Errorf("%w: it is at %d and was at %d; %s", ErrWentBack, at, s.Position(), s.cursor.wentBack())
	case writer != s.name:
		return fmt.Errorf("%w: %s", ErrOtherWriter, writer)
	}
	s.position.Store(at)
	return nil
}

// forget drops what is not committed.
func (s *Sink) forget() {
	_ = s.settle() // of what does not count
	s.who.forget()
	s.routes.forget()
	s.stats.clear()
	s.later, s.anomalies = &pgx.Batch{}, 0
	s.uncounted.Clear()
}

// hangUp gives the connection up; the next Write makes another.
func (s *Sink) hangUp() {
	if s.conn != nil {
		_ = hangUp(s.conn)
		s.conn = nil
	}
}

// Position implements event.Sink.
func (s *Sink) Position() uint64 { return s.position.Load() }

// Close ends the connection and waits for what runs besides.
func (s *Sink) Close() error {
	s.keeping.stop()
	s.hangUp()
	s.open = false
	return nil
}

// Write implements event.Writer. Rows and the sequence of the last of their
// events are committed together; events up to Position are passed over, so what
// an attempt that failed half-way has committed counts once. An event that
// the server refuses is kept in the view anomalies. After an error, an *Error,
// the next call connects anew.
func (s *Sink) Write(ctx context.Context, events []event.Event) error {
	if !s.open {
		return ErrClosed
	}
	for i := range events {
		if events[i].Sequence == 0 {
			return ErrNotNumbered
		}
	}
	for len(events) > 0 {
		n := min(len(events), s.part)
		if err := s.attempt(ctx, n, func(context.Context) (batch, error) { return s.behind(events[:n]), nil }); err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}

// behind is the batch of those events that are behind the position.
func (s *Sink) behind(events []event.Event) batch {
	for len(events) > 0 && events[0].Sequence <= s.Position() {
		events = events[1:]
	}
	if len(events) == 0 {
		return batch{}
	}
	return batch{events: events, to: events[len(events)-1].Sequence}
}

// batch is what one transaction takes.
type batch struct {
	events []event.Event
	// collectors are those of the events, by the number of their row; nil where
	// all are of the Sink's.
	collectors []int32
	// to is the position behind the events; 0: there is nothing to do, unless
	// reset is set.
	to    uint64
	reset bool
}

// partMost is the upper bound of Sink.part.
const partMost = 1 << 20

// attempt writes one part of what is to be written, which is n events. prepare
// makes the batch once there is a connection, for then the position is certain.
func (s *Sink) attempt(ctx context.Context, n int, prepare func(context.Context) (batch, error)) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	err := explainOr(&s.dsn.Config, s.write(ctx, prepare))
	if err == nil {
		s.part = min(s.part+s.part/4+1, partMost)
		return nil
	}
	s.hangUp()
	s.forget()
	err = failed("write", err)
	if reasonOf(err) == "timeout" {
		s.part = max(n/2, 1)
	}
	return err
}

func (s *Sink) write(ctx context.Context, prepare func(context.Context) (batch, error)) error {
	if s.conn == nil || s.conn.IsClosed() {
		if err := s.connect(ctx, false); err != nil {
			return err
		}
	}
	b, err := prepare(ctx)
	if err != nil || b.to == 0 && !b.reset {
		return err
	}
	s.maintain(ctx, time.Now())
	if err := s.days.need(ctx, s.conn, b.events); err != nil {
		return err
	}
	err = s.transaction(ctx, b, s.together)
	if isPoison(err, !s.conn.IsClosed()) {
		s.log.Warn("postgres: a batch is written in parts", "to", b.to, "events", len(b.events), "error", err)
		err = s.transaction(ctx, b, s.isolate)
	}
	return err
}

// transaction writes the batch with f and its position, or nothing.
func (s *Sink) transaction(ctx context.Context, b batch, f func(from, to int) error) error {
	for {
		err := s.try(ctx, b, f)
		// Nearly never; each time another set gets another number.
		if !errors.Is(err, errNumberTaken) || ctx.Err() != nil || s.conn.IsClosed() {
			return err
		}
		s.log.Warn("postgres: two attribute sets have hashes that begin alike; one gets another number", "error", err)
	}
}

func (s *Sink) try(ctx context.Context, b batch, f func(from, to int) error) error {
	s.ctx, s.batch, s.routes.sending.truncate = ctx, b, false
	s.routes.attrs.today(dayOf(time.Now()))
	tx, err := s.conn.Begin(ctx)
	if err == nil {
		if err = s.move(b.to); err == nil {
			err = f(0, len(b.events))
		}
		if err == nil {
			start := time.Now()
			err = tx.Commit(ctx)
			s.metrics.commit.Observe(time.Since(start).Seconds())
		}
	}
	s.batch = batch{} // the events are the caller's
	if err != nil {
		s.forget()
		if tx != nil && !s.conn.IsClosed() {
			err = errors.Join(err, ignoreClosed(tx.Rollback(ctx)))
		}
		return err
	}
	s.position.Store(b.to)
	s.cursor.moved()
	s.routes.attrs.committed()
	s.metrics.count(&s.uncounted)
	return nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, pgx.ErrTxClosed) {
		return nil
	}
	return err
}

// errBehind says that a transaction of this Sink, whose end it did not learn,
// was committed after all: the next attempt finds the position.
var errBehind = errors.New("an earlier attempt was committed")

// move moves the position, if it is where it was left.
func (s *Sink) move(to uint64) error {
	ok, err := s.cursor.move(s.ctx, s.conn, s.name, s.Position(), to)
	if err != nil || ok {
		return err
	}
	if err := s.find(s.ctx); err != nil {
		return err
	}
	return errBehind
}

// exec runs a statement of the transaction under way.
func (s *Sink) exec(sql string) error {
	_, err := s.conn.Exec(s.ctx, sql)
	return err
}

// speaker returns who said e, of a family.
func (s *Sink) speaker(e *event.Event, f bgp.Family) (speaker, error) {
	if s.who.full() {
		if err := s.flush(); err != nil {
			return speaker{}, err
		}
		s.who.forget()
	}
	return s.who.speaker(s.ctx, s.free, s.later, e, f)
}

// together writes the rows of a part of the batch.
func (s *Sink) together(from, to int) error {
	for i := from; i < to; i++ {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		if s.batch.collectors != nil {
			s.who.collector = s.batch.collectors[i]
		}
		if err := s.event(&s.batch.events[i]); err != nil {
			return err
		}
	}
	return s.flush()
}

// isolate writes a part of the batch so that an event which the server refuses
// takes nothing with it: a part that fails is halved.
func (s *Sink) isolate(from, to int) error {
	if err := s.exec("SAVEPOINT part"); err != nil {
		return err
	}
	before := history.Counts{Rows: maps.Clone(s.uncounted.Rows), Anomalies: maps.Clone(s.uncounted.Anomalies)}
	err := s.together(from, to)
	if err == nil {
		return s.exec("RELEASE part")
	}
	if !isPoison(err, !s.conn.IsClosed()) {
		return err
	}
	// What is not flushed is this part's.
	s.forget()
	s.uncounted = before
	if err := errors.Join(s.exec("ROLLBACK TO part"), s.exec("RELEASE part")); err != nil {
		return err
	}
	if half := from + (to-from)/2; half > from {
		return errors.Join(s.isolate(from, half), s.isolate(half, to))
	}
	e := &s.batch.events[from]
	s.log.Error("postgres: an event cannot be stored; it is kept in anomalies", "sequence", e.Sequence, "error", err)
	if err := s.Anomaly(e, history.AnomalyRefused, err.Error()); err != nil {
		return err
	}
	return s.flush()
}

// flush sends all that was collected.
func (s *Sink) flush() error {
	if err := s.flushRoutes(); err != nil {
		return err
	}
	if err := s.settle(); err != nil {
		return err
	}
	if err := s.stats.send(s.ctx, s.conn); err != nil {
		return err
	}
	s.who.save(s.later)
	if s.anomalies > 0 && s.batch.collectors == nil {
		s.later.Queue(trimAnomalies, s.who.collector, s.cfg.Anomalies)
		s.anomalies = 0
	}
	if s.later.Len() == 0 {
		return nil
	}
	err := s.conn.SendBatch(s.ctx, s.later).Close()
	s.later = &pgx.Batch{}
	return err
}

// event writes one event's rows, or collects them.
func (s *Sink) event(e *event.Event) error {
	err := history.Write(s, e)
	if err == nil {
		return nil
	}
	var p *history.PanicError
	if errors.As(err, &p) {
		s.log.Error("postgres: panic", "sequence", e.Sequence, "value", p.Value, "stack", string(p.Stack))
	}
	return err
}

// Idle implements event.Idler: partitions are made ahead, and old ones dropped.
func (s *Sink) Idle(ctx context.Context, now time.Time) error {
	if !s.open {
		return ErrClosed
	}
	if now.Before(s.days.next) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	if s.conn == nil || s.conn.IsClosed() {
		if err := s.connect(ctx, false); err != nil {
			s.hangUp()
			return failed("idle", explain(&s.dsn.Config, err))
		}
	}
	s.maintain(ctx, now)
	return nil
}

// keeper is the goroutine that drops old history; its owner is the Sink.
type keeper struct {
	cancel context.CancelFunc
	wait   sync.WaitGroup
	busy   atomic.Bool
}

func (k *keeper) stop() {
	if k.cancel != nil {
		k.cancel()
	}
	k.wait.Wait()
	k.cancel = nil
}

// start runs f unless it is running.
func (k *keeper) start(f func(context.Context)) {
	if !k.busy.CompareAndSwap(false, true) {
		return
	}
	if k.cancel != nil {
		k.cancel()
	}
	ctx, cancel := context.WithCancel(context.Background())
	k.cancel = cancel
	k.wait.Go(func() {
		defer k.busy.Store(false)
		f(ctx)
	})
}
