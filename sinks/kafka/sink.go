package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/event"
)

const (
	// settleEvery bounds how often state.json is written only to say that a
	// chunk is done; the next chunk says it, too.
	settleEvery = 20 * time.Millisecond
	// largeBatch: behind a batch of so many events more is on its way, so that
	// its last chunk may be under way while the next batch is read.
	largeBatch = 1024
)

// Sink publishes events. It is an event.Sink and an event.Idler: Write, Idle,
// Check and Close are called by one goroutine at a time, Position by any.
type Sink struct {
	cfg    Config
	log    *slog.Logger
	m      *metrics
	store  store
	client *client
	codec  *codec
	format format
	topics []topicSpec

	position atomic.Uint64
	state    state
	target   string
	// done is the last event that is in Kafka, perhaps ahead of the state.
	done    uint64
	settled bool // the state says so, too
	// want is the chunk that the state told of at the start, until it is sent.
	want  *chunkState
	saved time.Time

	connected bool
	limits    []int // octets of a batch, by topic
	builder   builder
	// building is filled; pending is sent, by flight or after its failure.
	building, pending, free *chunk
	flight                  *flight
	oversizeTail            []byte
	warned                  bool
	closed                  bool
}

// flight is a chunk on its way to the brokers.
type flight struct {
	ended  chan struct{}
	err    error
	cancel context.CancelFunc
}

// New reads the state in cfg.StateDir. It starts no goroutine and connects to
// nothing. reg may be nil.
func New(cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(reg)
	if err != nil {
		return nil, err
	}
	s := &Sink{cfg: cfg, log: log, m: m, store: store{cfg.StateDir}, settled: true}
	s.cfg.Brokers = slices.Clone(cfg.Brokers)
	if s.codec, err = newCodec(cfg.Compression); err != nil {
		return nil, err
	}
	s.format, s.topics = newFormat(&s.cfg, m)
	names := make([]string, len(s.topics))
	for i, t := range s.topics {
		names[i] = t.name
	}
	if s.client, err = newClient(&s.cfg, names); err != nil {
		return nil, err
	}
	// Lanes are by the numbers of topics, so the state is that of these topics.
	own := names
	if s.cfg.TopicState != "" {
		own = names[:len(names)-1]
	}
	s.target = fmt.Sprintf("%s %s %s %s", s.cfg.Format, s.cfg.Collector, strings.Join(own, ","), s.cfg.TopicState)
	s.oversizeTail = headersTail(s.cfg.Collector, schemaOversize)
	if s.state, err = s.store.load(); err != nil {
		return nil, err
	}
	if s.state.Target != s.target {
		// The events up to the position are where they were asked for at the time.
		s.state = state{Version: stateVersion, Target: s.target, Position: s.state.Position, ProducerID: noProducer}
	}
	s.done, s.want = s.state.Position, s.state.Chunk
	s.position.Store(s.state.Position)
	return s, nil
}

// Position returns the last event that is in Kafka and known to be, whatever
// happens.
func (s *Sink) Position() uint64 { return s.position.Load() }

// Reserved returns the last event that Kafka may have, so that its number must
// not be given to another one.
func (s *Sink) Reserved() uint64 {
	if s.state.Chunk != nil {
		return max(s.state.Chunk.To, s.state.Position)
	}
	return s.state.Position
}

// Check connects and makes the topics that are missing, so that a start can
// tell what is wrong with the configuration. Write does the same when it must.
func (s *Sink) Check(ctx context.Context) error { return s.count(s.connect(ctx)) }

// Write takes events over; see event.Writer. An event that is in Kafka is
// passed over.
func (s *Sink) Write(ctx context.Context, batch []event.Event) error {
	return s.count(s.write(ctx, batch))
}

func (s *Sink) write(ctx context.Context, batch []event.Event) error {
	if s.closed {
		return ErrClosed
	}
	if err := s.ready(ctx); err != nil {
		return err
	}
	for i := range batch {
		e := &batch[i]
		if e.Sequence == 0 {
			return ErrNotNumbered
		}
		if e.Sequence <= s.taken() {
			s.repeated(e)
			continue
		}
		if err := s.take(ctx, e); err != nil {
			return err
		}
	}
	if s.building != nil && s.building.want == nil {
		if err := s.launch(ctx); err != nil {
			return err
		}
	}
	if len(batch) >= largeBatch {
		return nil
	}
	return s.settle(ctx, false)
}

// taken is the last event that need not come again.
func (s *Sink) taken() uint64 {
	switch {
	case s.building != nil:
		return s.building.to
	case s.pending != nil:
		return s.pending.to
	}
	return s.done
}

func (s *Sink) repeated(e *event.Event) {
	if e.Sequence > s.position.Load() {
		return // an earlier attempt of this batch took it
	}
	s.m.skipped.WithLabelValues(skipRepeated).Inc()
	if !s.warned {
		s.warned = true
		s.log.Warn("events come that Kafka has; is it of another stream?", "sequence", e.Sequence, "position", s.state.Position)
	}
}

// take adds one event to the chunk that is built.
func (s *Sink) take(ctx context.Context, e *event.Event) error {
	// It is full when it could not be launched, and behind its end when the
	// stream lost the last events of the chunk that a state wants.
	if s.building != nil && (s.building.full() || s.building.want != nil && e.Sequence > s.building.want.To) {
		if err := s.launch(ctx); err != nil {
			return err
		}
	}
	if s.building == nil {
		s.begin()
	}
	s.builder.chunk = s.building
	s.builder.begin(e)
	s.format.append(e, &s.builder)
	if s.building.full() {
		return s.launch(ctx)
	}
	return nil
}

// begin begins a chunk behind everything that was taken.
func (s *Sink) begin() {
	from := s.taken() + 1
	c := s.free
	s.free = nil
	if c == nil {
		c = &chunk{}
	}
	c.reset(len(s.builder.lanes), from)
	c.want = s.want
	s.builder.now = time.Now().UnixMilli()
	s.building = c
}

// launch sends the chunk that is built, when the one before it is done.
func (s *Sink) launch(ctx context.Context) error {
	if err := s.wait(ctx); err != nil {
		return err
	}
	c := s.building
	want := c.want
	c.want = nil
	fits := want == nil || c.matches(want)
	if want == nil {
		for i := range c.loads {
			c.loads[i].cut(s.limits[s.builder.lanes[i].topic])
		}
	}
	if want != nil {
		if err := s.reconcile(ctx, c, want, fits); err != nil {
			c.want = want
			return err
		}
	}
	s.building, s.pending, s.want = nil, c, nil
	return s.send(ctx)
}

// ready makes sure that there is a connection and that nothing which failed is
// in the way.
func (s *Sink) ready(ctx context.Context) error {
	if err := s.connect(ctx); err != nil {
		return err
	}
	if s.flight != nil {
		select {
		case <-s.flight.ended:
		default:
			return nil
		}
	}
	if err := s.wait(ctx); err != nil {
		return err
	}
	return nil
}

// wait waits until nothing is under way; what failed before is sent again.
func (s *Sink) wait(ctx context.Context) error {
	for s.pending != nil {
		if s.flight == nil {
			if err := s.repair(ctx); err != nil {
				return err
			}
			if err := s.send(ctx); err != nil {
				return err
			}
		}
		select {
		case <-s.flight.ended:
		case <-ctx.Done():
			return ctx.Err()
		}
		f, c := s.flight, s.pending
		s.flight = nil
		s.adoptLanes()
		if f.err != nil {
			if c.lost {
				s.connected = false
				for i := range s.builder.lanes {
					s.builder.lanes[i].Offset = -1 // it may be another topic by now
				}
			}
			return f.err
		}
		if c.unsent() {
			// Another round, behind a state of its own.
			if err := s.send(ctx); err != nil {
				return err
			}
			continue
		}
		s.done, s.pending, s.settled = c.to, nil, false
		s.free = c
	}
	return nil
}

// adoptLanes takes the lanes' numbers into the state.
func (s *Sink) adoptLanes() {
	for i := range s.builder.lanes {
		s.state.Lanes[i] = s.builder.lanes[i].laneState
	}
}

// send writes the state and starts a round of the pending chunk.
func (s *Sink) send(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.state.Chunk = s.pending.state()
	if err := s.save(); err != nil {
		return err
	}
	// The request's time is bounded; a caller that gives up finds it under way.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &flight{ended: make(chan struct{}), cancel: cancel}
	s.flight = f
	go func(c *chunk) {
		defer close(f.ended)
		defer cancel()
		f.err = s.fly(work, c)
	}(s.pending)
	return nil
}

// save writes the state: everything before the pending chunk is done.
func (s *Sink) save() error {
	s.state.Position = s.done
	s.adoptLanes()
	if err := s.store.save(&s.state); err != nil {
		return err
	}
	s.settled = true
	s.position.Store(s.done)
	return nil
}

// settle waits for what is under way and lets the state say that it is done;
// now tells that nothing will follow soon.
func (s *Sink) settle(ctx context.Context, now bool) error {
	if err := s.wait(ctx); err != nil {
		return err
	}
	if s.settled || !now && time.Since(s.saved) < settleEvery {
		return nil
	}
	s.state.Chunk = s.want
	s.saved = time.Now()
	return s.save()
}

// Idle lets the state say what is done; see event.Idler.
func (s *Sink) Idle(ctx context.Context, _ time.Time) error {
	if s.closed {
		return ErrClosed
	}
	if s.pending == nil && s.building == nil && s.settled {
		return nil
	}
	return s.count(s.idle(ctx))
}

func (s *Sink) idle(ctx context.Context) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	// The stream has nothing more, so the rest of the chunk that a state wants
	// is lost.
	if s.building != nil {
		if err := s.launch(ctx); err != nil {
			return err
		}
	}
	return s.settle(ctx, true)
}

// Close waits, until ctx ends, for what is under way. What is not done then
// goes on at the next start.
func (s *Sink) Close(ctx context.Context) error {
	if s.closed {
		return nil
	}
	s.closed = true
	var err error
	if s.flight != nil {
		select {
		case <-s.flight.ended:
			err = s.settle(ctx, true)
		case <-ctx.Done():
			s.flight.cancel()
			<-s.flight.ended
			err = ctx.Err()
		}
	} else if s.pending == nil && !s.settled {
		err = s.settle(ctx, true)
	}
	s.client.close()
	return err
}

// count counts a failure by its reason.
func (s *Sink) count(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	reason := ReasonOther
	var e *Error
	switch {
	case errors.As(err, &e):
		reason = e.reason
	case errors.Is(err, context.DeadlineExceeded):
		reason = ReasonTimeout
	}
	s.m.errors.WithLabelValues(reason).Inc()
	return err
}
