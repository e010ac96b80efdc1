package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/sinks/postgres"
	"github.com/ribtap/ribtap/stream"
)

// remoteStore is a store at the other end of a network, with a position of its
// own. Open finds that position, which may be less than it was.
type remoteStore interface {
	event.Sink
	event.Idler
	Open(ctx context.Context) error
	Close() error
}

// remoteSink lets a remoteStore be away when ribtap starts, and come back with
// less than it had, as after a failover or from a backup: then it gets what it
// lacks out of the stream once more, before anything else.
//
// While it does, what the stream's follower brings is not written, because it
// comes again in its turn. Position tells the follower the truth all the time,
// so that the stream keeps what is needed.
type remoteSink struct {
	store  remoteStore
	stream *stream.Log
	log    *slog.Logger
	gaps   *prometheus.CounterVec
	holes  atomic.Uint64
	told   reasons

	position atomic.Uint64
	open     bool
	// met: the store was open once in this process. Until then end is where the
	// stream ended.
	met bool
	end uint64

	// again reads what the store lacks; nil when that is what comes next anyway.
	// rest is what was read and not written yet.
	again *stream.Reader
	rest  []event.Event
	// taken is a gap in the store alone, to be written before what comes next.
	taken *event.Event
}

// newRemoteSink returns a sink that was not opened.
func newRemoteSink(store remoteStore, n *node, name string) (*remoteSink, error) {
	s := &remoteSink{store: store, stream: n.stream, log: n.log.With("sink", name), end: n.stream.Last()}
	var err error
	if s.told, err = n.newReasons(name); err != nil {
		return nil, err
	}
	if s.gaps, err = streamCounter(n.reg, "ribtap_gaps_total", "Known holes, one for each sink that was given it.", "cause"); err != nil {
		return nil, err
	}
	if n.met(name) {
		// Nobody can say yet what the store has. With everything that is kept it
		// lacks nothing, or it turns out when it is there.
		s.position.Store(n.stream.First() - 1)
	}
	return s, nil
}

// Holes is how many gaps the stream does not know that the store was given.
func (s *remoteSink) Holes() uint64 { return s.holes.Load() }

// Position implements event.Sink.
func (s *remoteSink) Position() uint64 { return s.position.Load() }

// Close closes the store.
func (s *remoteSink) Close() error {
	s.endAgain()
	return s.store.Close()
}

// fillSlice is how long one call may fill in: between two calls the stream learns
// how far the store is.
const fillSlice = time.Second

// Write implements event.Writer.
func (s *remoteSink) Write(ctx context.Context, batch []event.Event) error {
	return s.told.note(s.write(ctx, batch))
}

func (s *remoteSink) write(ctx context.Context, batch []event.Event) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	if s.again != nil {
		return s.fill(ctx, batch[len(batch)-1].Sequence)
	}
	if s.taken == nil {
		return s.result(s.put(ctx, batch))
	}
	for len(batch) > 0 && batch[0].Sequence < s.taken.Sequence {
		batch = batch[1:]
	}
	if len(batch) == 0 {
		return nil // the store has other events of these numbers
	}
	err := s.result(s.put(ctx, append([]event.Event{*s.taken}, batch...)))
	if err == nil {
		s.taken = nil
	}
	return err
}

// put writes a batch. A connection that was cut says little, and perhaps that a
// server was restarted: another attempt tells what is the matter now, if anything.
func (s *remoteSink) put(ctx context.Context, batch []event.Event) error {
	err := s.store.Write(ctx, batch)
	told, ok := errors.AsType[*postgres.Error](err)
	if ok && (told.Reason == "network" || told.Reason == "shutdown") && ctx.Err() == nil {
		err = s.store.Write(ctx, batch)
	}
	return err
}

// Idle implements event.Idler.
func (s *remoteSink) Idle(ctx context.Context, now time.Time) error {
	return s.told.noteIdle(s.idle(ctx, now))
}

func (s *remoteSink) idle(ctx context.Context, now time.Time) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	if s.again != nil {
		return s.fill(ctx, s.stream.Last())
	}
	return s.result(s.store.Idle(ctx, now))
}

// result takes notice of where the store is after a call.
func (s *remoteSink) result(err error) error {
	if errors.Is(err, postgres.ErrWentBack) {
		// The next call begins with Open, which tells where it is. Where another
		// process writes, this one stays away until it is started again.
		s.shut()
	}
	if err == nil {
		s.position.Store(s.store.Position())
	}
	return err
}

// ready opens the store, if it is not, and finds out what it lacks.
func (s *remoteSink) ready(ctx context.Context) error {
	if s.open {
		return nil
	}
	if err := s.store.Open(ctx); err != nil {
		return err
	}
	s.open = true
	at, was := s.store.Position(), s.position.Load()
	switch {
	case !s.met && at > s.end:
		if err := s.ahead(ctx, at); err != nil {
			s.shut()
			return err
		}
	case at < was:
		s.endAgain()
		s.again = s.stream.NewReader(at + 1)
		s.log.Warn("the store has less than it had; what it lacks is filled in from the stream", "position", at, "was", was)
	}
	s.met = true
	s.position.Store(at)
	return nil
}

// tryOpen opens the store before the stream is written. Then a store that is
// ahead of the stream needs nothing here: the stream goes on behind it.
func (s *remoteSink) tryOpen(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, firstTry)
	defer cancel()
	if err := s.store.Open(ctx); err != nil {
		return err
	}
	s.open, s.met = true, true
	s.position.Store(s.store.Position())
	return nil
}

// ahead deals with a store that already has events with numbers that the stream
// gave to others before it could know: after a power cut, or in a data directory
// that is new. The stream's further ones get numbers of their own; of those that
// the store cannot take it gets a gap.
func (s *remoteSink) ahead(ctx context.Context, at uint64) error {
	last := s.stream.Last()
	lost := min(at, last) - s.end
	if lost == 0 {
		return s.stream.SkipTo(ctx, at)
	}
	if at > last {
		// One number more, for the gap that is the store's alone.
		if err := s.stream.SkipTo(ctx, at+1); err != nil {
			return err
		}
	}
	now := event.At(time.Now())
	s.taken = &event.Event{
		Sequence: at + 1, Kind: event.KindGap, Cause: event.CauseCorrupt, Received: now, Start: now, End: now, Lost: lost,
		Text: fmt.Sprintf("while the store could not be reached the stream gave the numbers %d to %d to events, which the store had given before: they are in the other stores", s.end+1, s.end+lost),
	}
	s.count(s.taken)
	s.log.Error("the store is ahead of the stream; what has the same numbers is lost to it", "store", at, "stream", s.end, "events", lost)
	return nil
}

// fill writes what the store lacks, for a while. It is done when the store has
// everything up to the last event that it was given.
func (s *remoteSink) fill(ctx context.Context, last uint64) error {
	for end := time.Now().Add(fillSlice); time.Now().Before(end); {
		if len(s.rest) == 0 {
			batch, err := s.again.TryNext()
			if err != nil {
				return err
			}
			for i := range batch {
				if batch[i].Kind == event.KindGap && batch[i].Cause == event.CauseOverflow {
					s.count(&batch[i])
				}
			}
			s.rest = batch
		}
		if err := s.result(s.put(ctx, s.rest)); err != nil {
			return err
		}
		atEnd := len(s.rest) == 0
		s.rest = nil
		if atEnd || s.position.Load() >= last {
			s.log.Info("the store has what it lacked", "position", s.position.Load())
			s.endAgain()
			return nil
		}
	}
	return nil
}

// shut closes the store, which gave an error that matters more than one of this.
func (s *remoteSink) shut() {
	s.open = false
	_ = s.store.Close()
}

func (s *remoteSink) endAgain() {
	if s.again != nil {
		_ = s.again.Close() // it was only read
		s.again, s.rest = nil, nil
	}
}

func (s *remoteSink) count(gap *event.Event) {
	s.holes.Add(1)
	s.gaps.WithLabelValues(gap.Cause.String()).Inc()
}
