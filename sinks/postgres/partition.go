package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/history"
)

// Partitions makes the writers of a process that reads a Kafka topic.
type Partitions struct {
	cfg      Config
	dsn      *pgx.ConnConfig
	log      *slog.Logger
	metrics  *metrics
	repeated prometheus.Counter
}

// NewPartitions registers the metrics of all writers in reg. The configuration's
// collector is not used: events say whose they are.
func NewPartitions(cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Partitions, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	dsn, err := parseDSN(cfg.DSN)
	if err != nil {
		return nil, err
	}
	p := &Partitions{cfg: cfg, dsn: dsn, log: log}
	if p.metrics, err = newMetrics(reg); err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	p.repeated = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "ribtap_postgres_repeated_total", Help: "Events that were left out because the store had them before they came out of Kafka once more.",
	})
	if err := reg.Register(p.repeated); err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	return p, nil
}

// Check connects and brings the schema up to date. Its error is one line that
// says what to do.
func (p *Partitions) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	conn, err := connect(ctx, p.dsn)
	if err != nil {
		return failed("open", explain(&p.dsn.Config, err))
	}
	err = ready(ctx, conn)
	return errors.Join(failed("open", explainOr(&p.dsn.Config, err)), hangUp(conn))
}

// Partition returns the writer of a partition's events, which is not open. It
// has a connection of its own.
func (p *Partitions) Partition(topic string, partition int) *Partition {
	c := &partitionCursor{topic: topic, partition: int32(partition), next: map[int32]uint64{}}
	s := newSink(p.cfg, p.dsn, p.log, p.metrics)
	s.cursor = c
	return &Partition{sink: s, cursor: c, repeated: p.repeated}
}

// Partition writes the events of a partition of a Kafka topic. Its position is
// the offset behind what is in the store, 0 for nothing. Rows and position are
// committed together, and of several Partitions the one that was opened last
// writes; the others get an Error that is Lost. One goroutine at a time calls
// its methods; Position may be called by all.
type Partition struct {
	sink     *Sink
	cursor   *partitionCursor
	repeated prometheus.Counter

	events     []event.Event
	collectors []int32
	warned     bool
}

// Open makes this the partition's writer, also once more, and finds the position.
func (p *Partition) Open(ctx context.Context) error {
	s := p.sink
	s.hangUp()
	s.open = false
	s.position.Store(0)
	p.warned = false
	return s.Open(ctx)
}

// Position is the offset from which on the store has nothing.
func (p *Partition) Position() uint64 { return p.sink.Position() }

// Close ends the connection.
func (p *Partition) Close() error { return p.sink.Close() }

// Idle is called now and then while there is nothing to write.
func (p *Partition) Idle(ctx context.Context, now time.Time) error { return p.sink.Idle(ctx, now) }

// Write writes events, of the collectors with these names; ends has for each
// the offset behind its record. Records that the store has are passed over, and
// so are events with a sequence that is not behind the last one of their
// collector in this partition. An event without a sequence is written in any
// case. After an error the same call may be made again, unless the error is
// Lost.
func (p *Partition) Write(ctx context.Context, events []event.Event, collectors []string, ends []uint64) error {
	if !p.sink.open {
		return ErrClosed
	}
	for len(events) > 0 {
		n := min(len(events), p.sink.part)
		err := p.sink.attempt(ctx, n, func(ctx context.Context) (batch, error) { return p.prepare(ctx, events[:n], collectors[:n], ends[:n]) })
		if err != nil {
			return err
		}
		events, collectors, ends = events[n:], collectors[n:], ends[n:]
	}
	return p.trim(ctx)
}

func (p *Partition) prepare(ctx context.Context, events []event.Event, collectors []string, ends []uint64) (batch, error) {
	s, c := p.sink, p.cursor
	p.events, p.collectors = p.events[:0], p.collectors[:0]
	clear(c.next)
	b := batch{}
	for i := range events {
		if ends[i] <= s.Position() {
			continue
		}
		b.to = ends[i]
		id, err := c.meet(ctx, s.conn, history.Cleaned(collectors[i]))
		if err != nil {
			return b, err
		}
		if n := events[i].Sequence; n > 0 {
			if n <= max(c.last[id], c.next[id]) {
				p.repeat(&events[i], collectors[i], ends[i])
				continue
			}
			c.next[id] = n
		}
		p.events, p.collectors = append(p.events, events[i]), append(p.collectors, id)
	}
	b.events, b.collectors = p.events, p.collectors
	return b, nil
}

func (p *Partition) repeat(e *event.Event, collector string, end uint64) {
	p.repeated.Inc()
	if !p.warned {
		p.warned = true
		p.sink.log.Warn("postgres: events are left out that the store has; if the collector was set up anew, give it another name",
			"topic", p.cursor.topic, "partition", p.cursor.partition, "offset", end-1, "collector", collector, "sequence", e.Sequence)
	}
}

// Skip moves the position over records that the topic no longer has, and leaves
// a gap for every collector that the partition had events of. Where it moves
// back, the topic was made anew.
func (p *Partition) Skip(ctx context.Context, to uint64, now time.Time, text string) error {
	if !p.sink.open {
		return ErrClosed
	}
	return p.sink.attempt(ctx, 1, func(context.Context) (batch, error) {
		b := batch{to: to, reset: true, collectors: []int32{}}
		clear(p.cursor.next)
		if from := p.Position(); from > 0 && to > from {
			for id, last := range p.cursor.last {
				if last == 0 {
					continue // records that are no events
				}
				b.events = append(b.events, event.Event{
					Sequence: last, Received: event.At(now), Kind: event.KindGap, Cause: event.CauseOverflow, Lost: to - from, Text: text,
				})
				b.collectors = append(b.collectors, id)
			}
		}
		return b, nil
	})
}

// trim deletes anomalies beyond their bound, apart from the transaction so that
// several writers do not wait for each other's. It is done again if it fails.
func (p *Partition) trim(ctx context.Context) error {
	s := p.sink
	if s.anomalies == 0 || s.conn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	for id := range p.cursor.last {
		if _, err := s.conn.Exec(ctx, trimAnomalies, id, s.cfg.Anomalies); err != nil {
			s.log.Debug("postgres: old anomalies were not deleted", "error", err)
			return nil
		}
	}
	s.anomalies = 0
	return nil
}
