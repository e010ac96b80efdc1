package mrtdump

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/mrt"
)

const (
	// commitEvery bounds how often the disk is asked to sync.
	commitEvery = time.Second
	// lateness is how long a quiet interval stays open for events on their way.
	lateness = time.Second
	// maxFill is how far back empty intervals get files: further than this, the
	// clock jumped.
	maxFill = 24 * time.Hour
	// maxViews bounds the peers whose views are remembered.
	maxViews = 1 << 16
	// maxPeerCache bounds a cache by pointer that fills with every reconnect.
	maxPeerCache = 1 << 13
)

// views is how many values of event.RIB there are.
const views = int(event.AdjRIBOutPost) + 1

var errClosed = errors.New("mrtdump: closed")

// Sink writes the archive. It is an event.Sink and an event.Idler: Write, Idle
// and Close are called by one goroutine at a time, Position by any.
type Sink struct {
	cfg   Config
	log   *slog.Logger
	m     *metrics
	disk  disk
	now   func() time.Time
	index *index
	dumps *dumper

	position atomic.Uint64
	// applied is the last event whose records count, next the last one whose
	// records are written ahead.
	applied, next uint64
	interval      int64 // start of the current one in seconds; 0 before the first event
	started       int64
	open          [views]*openFile
	used          map[peerKey]viewSet // views besides the home of a peer
	undo          []viewsState        // what used was before the batch
	keys          map[*event.Peer]peerKey
	changed       bool // state.json is behind
	committed     time.Time
	warned        bool // of a repeated event
	closed        bool
	split         []byte
	written       struct{ messages, states int } // records of the batch
}

// New opens the archive in cfg.Dir, and recovers it if the last process died.
// It starts no goroutine. reg may be nil, and so may rib: then there are no
// table dumps.
func New(cfg Config, log *slog.Logger, reg prometheus.Registerer, rib RIB) (*Sink, error) {
	return newSink(cfg, log, reg, rib, osDisk{}, time.Now)
}

func newSink(cfg Config, log *slog.Logger, reg prometheus.Registerer, rib RIB, d disk, now func() time.Time) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(reg)
	if err != nil {
		return nil, err
	}
	s := &Sink{
		cfg: cfg, log: log, m: m, disk: d, now: now,
		index:   &index{cfg: cfg, disk: d},
		started: now().Unix(),
		used:    map[peerKey]viewSet{},
		keys:    map[*event.Peer]peerKey{},
	}
	s.dumps = newDumper(s, rib)
	if err := s.recover(); err != nil {
		return nil, err
	}
	s.committed = now()
	return s, nil
}

// recover makes the directory what state.json says.
func (s *Sink) recover() error {
	if err := s.disk.MkdirAll(s.cfg.Dir); err != nil {
		return fmt.Errorf("mrtdump: %w", err)
	}
	st, err := loadState(s.disk, s.cfg.Dir)
	if err != nil {
		return err
	}
	listed := map[string]bool{}
	for i := range st.Open {
		listed[s.path(st.Open[i].Base+tmpSuffix)] = true
	}
	left, err := s.disk.Temporaries(s.cfg.Dir)
	if err != nil {
		return fmt.Errorf("mrtdump: %w", err)
	}
	for _, name := range left {
		if listed[name] {
			continue
		}
		if err := s.disk.Remove(name); err != nil {
			return fmt.Errorf("mrtdump: %w", err)
		}
	}
	s.applied, s.next, s.interval = st.Position, st.Position, st.Interval
	s.position.Store(st.Position)
	for _, v := range st.Views {
		s.used[v.Peer] = v.Views
	}
	for i := range st.Open {
		if err := s.reopen(&st.Open[i]); err != nil {
			return err
		}
	}
	return nil
}

// reopen cuts a listed file back to what counts. One that another configuration
// began is finished.
func (s *Sink) reopen(st *openState) error {
	view, ok := event.ParseRIB(st.View)
	if !ok {
		return fmt.Errorf("mrtdump: %s: unknown view %q", stateName, st.View)
	}
	o := &openFile{view: view, base: st.Base, final: st.Final, start: st.Start, span: st.Span, size: st.Size}
	tmp := s.path(o.base + tmpSuffix)
	size, err := s.disk.Size(tmp)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := s.disk.Size(s.path(o.final)); err != nil {
			s.log.Error("open MRT file is gone", "file", tmp, "octets", st.Size)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("mrtdump: %w", err)
	}
	if o.f, err = s.disk.Open(tmp, 0); err != nil {
		return fmt.Errorf("mrtdump: %w", err)
	}
	if size < o.size {
		s.log.Error("open MRT file is shorter than it was", "file", tmp, "octets", size, "expected", o.size)
		o.size = size
	}
	if err := o.f.Truncate(o.size); err != nil {
		return fmt.Errorf("mrtdump: %w", err)
	}
	o.dirty = true
	want := s.newFile(view, o.start)
	if o.start == s.interval && o.span == want.span && o.final == want.final {
		s.open[view] = o
		return nil
	}
	return s.finish(o)
}

// Position returns the last event that is in the archive whatever happens.
func (s *Sink) Position() uint64 { return s.position.Load() }

// Write takes events over; see event.Writer. An event with a sequence that is
// in the archive is passed over. Files turn over by the time of the events.
func (s *Sink) Write(ctx context.Context, batch []event.Event) error {
	if s.closed {
		return errClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for i := range batch {
		if err := s.take(ctx, &batch[i]); err != nil {
			return s.fail(err)
		}
	}
	if err := s.endBatch(); err != nil {
		return s.fail(err)
	}
	s.dumps.due(s.now())
	return s.commitIfDue()
}

// take adds one event to the batch.
func (s *Sink) take(ctx context.Context, e *event.Event) error {
	if e.Sequence != 0 && e.Sequence <= s.applied {
		s.repeated(e)
		return nil
	}
	if !s.imported(e) {
		if err := s.advance(ctx, int64(e.Received)/int64(time.Second)); err != nil {
			return err
		}
		if err := s.append(e); err != nil {
			return err
		}
	}
	if e.Sequence != 0 {
		s.next = e.Sequence
	}
	return nil
}

// repeated passes over an event that was written. The reader of the stream
// begins behind Position, so there should be none.
func (s *Sink) repeated(e *event.Event) {
	s.m.skipped.WithLabelValues(skipRepeated).Inc()
	if !s.warned {
		s.warned = true
		s.log.Warn("events come that the MRT archive has; is it of another stream?", "sequence", e.Sequence, "position", s.applied)
	}
}

// fail undoes what the batch did, so that it can come again.
func (s *Sink) fail(err error) error {
	for _, o := range s.open {
		if o != nil {
			o.forget()
		}
	}
	for _, u := range slices.Backward(s.undo) {
		if u.Views == 0 {
			delete(s.used, u.Peer)
		} else {
			s.used[u.Peer] = u.Views
		}
	}
	s.undo = s.undo[:0]
	s.written.messages, s.written.states = 0, 0
	s.next = s.applied
	if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		s.m.failures.WithLabelValues(typeUpdates).Inc()
	}
	return err
}

// endBatch makes what was taken count, all or nothing.
func (s *Sink) endBatch() error {
	for _, o := range s.open {
		if o == nil {
			continue
		}
		if err := o.flush(); err != nil {
			return fmt.Errorf("mrtdump: %s: %w", o.base, err)
		}
	}
	for _, o := range s.open {
		if o != nil {
			s.changed = s.changed || o.ahead > 0
			o.count()
		}
	}
	s.undo = s.undo[:0]
	s.m.messages.Add(float64(s.written.messages))
	s.m.states.Add(float64(s.written.states))
	s.written.messages, s.written.states = 0, 0
	if s.applied != s.next {
		s.applied, s.changed = s.next, true
	}
	return nil
}

// append writes the event's records.
func (s *Sink) append(e *event.Event) error {
	switch e.Kind {
	case event.KindRoute:
		return s.route(e)
	case event.KindPeerUp:
		return s.stateChange(e, mrt.Idle, mrt.Established)
	case event.KindPeerDown:
		return s.stateChange(e, mrt.Established, mrt.Idle)
	default:
		return nil
	}
}

// advance moves to the interval of a time, if that is not the current one. A
// time just before it is of an event that was on its way; one further back
// means that the clock was set.
func (s *Sink) advance(ctx context.Context, sec int64) error {
	span := int64(s.cfg.UpdatesInterval.Seconds())
	switch {
	case sec <= 0 || s.interval != 0 && sec >= s.interval-span && sec < s.interval+span:
		return nil
	case s.interval == 0:
		s.interval, s.changed = floor(sec, s.cfg.UpdatesInterval), true
		return nil
	}
	return s.turn(ctx, floor(sec, s.cfg.UpdatesInterval))
}

// turn finishes the current interval, and the quiet ones up to the one that
// starts at to.
func (s *Sink) turn(ctx context.Context, to int64) error {
	if err := s.endBatch(); err != nil {
		return err
	}
	span := int64(s.cfg.UpdatesInterval.Seconds())
	fill := to-s.interval <= int64(maxFill.Seconds())
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		// An interval in which nothing ran has no file, so that it shows.
		if s.interval+span > s.started {
			if _, err := s.file(event.AdjRIBInPre); err != nil {
				return err
			}
		}
		if err := s.finishAll(); err != nil {
			return err
		}
		if s.interval += span; !fill || s.interval >= to {
			break
		}
	}
	s.interval, s.changed = to, true
	return nil
}

// finishAll finishes the open files.
func (s *Sink) finishAll() error {
	if err := s.commit(); err != nil {
		return err
	}
	for view, o := range s.open {
		if o == nil {
			continue
		}
		if err := s.finish(o); err != nil {
			return err
		}
		s.open[view], s.changed = nil, true
	}
	return nil
}

func (s *Sink) commitIfDue() error {
	if !s.changed || s.now().Sub(s.committed) < commitEvery && !s.committed.After(s.now()) {
		return nil
	}
	return s.commit()
}

// commit makes durable what counts.
func (s *Sink) commit() error {
	if err := s.sync(); err != nil {
		s.m.failures.WithLabelValues(typeUpdates).Inc()
		return err
	}
	st := state{Version: stateVersion, Position: s.applied, Interval: s.interval}
	for _, o := range s.open {
		if o != nil {
			st.Open = append(st.Open, openState{
				View: o.view.String(), Base: o.base, Final: o.final, Start: o.start, Span: o.span, Size: o.size,
			})
		}
	}
	for k, v := range s.used {
		st.Views = append(st.Views, viewsState{Peer: k, Views: v})
	}
	if err := saveState(s.disk, s.cfg.Dir, &st); err != nil {
		s.m.failures.WithLabelValues(typeUpdates).Inc()
		return err
	}
	s.changed, s.committed = false, s.now()
	s.position.Store(s.applied)
	return nil
}

func (s *Sink) sync() error {
	for _, o := range s.open {
		if o == nil {
			continue
		}
		if o.dirty {
			if err := o.f.Sync(); err != nil {
				return fmt.Errorf("mrtdump: %s: %w", o.base, err)
			}
			o.dirty = false
		}
		if o.fresh {
			if err := s.disk.SyncDir(filepath.Dir(s.path(o.base))); err != nil {
				return fmt.Errorf("mrtdump: %s: %w", o.base, err)
			}
			o.fresh = false
		}
	}
	return nil
}

// Idle turns files over on a quiet stream, and begins table dumps.
func (s *Sink) Idle(ctx context.Context, now time.Time) error {
	if s.closed {
		return errClosed
	}
	if err := s.advance(ctx, now.Add(-lateness).Unix()); err != nil {
		return s.fail(err)
	}
	s.dumps.due(now)
	return s.commitIfDue()
}

// Close ends a table dump under way and finishes the open files; when the next
// process begins in the same interval they go on. Nothing can be written
// afterwards, and what an error leaves behind the next New recovers.
func (s *Sink) Close(ctx context.Context) error {
	if s.closed {
		return nil
	}
	s.closed = true
	s.dumps.close()
	if err := ctx.Err(); err != nil {
		return errors.Join(err, s.commit())
	}
	err := s.finishAll()
	if err == nil && s.changed {
		err = s.commit()
	}
	for _, o := range s.open {
		if o != nil {
			err = errors.Join(err, o.f.Close())
		}
	}
	return err
}
