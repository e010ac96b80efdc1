package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ribtap/ribtap/event"
)

const (
	idleInterval   = time.Second
	saveInterval   = 100 * time.Millisecond
	firstBackoff   = 100 * time.Millisecond
	longestBackoff = 10 * time.Second
	// maxPending bounds how many batches are remembered that a sink took but
	// has not made durable; beyond it the age of the oldest is kept.
	maxPending = 256
)

// FollowOptions are a follower's. The zero value is usable.
type FollowOptions struct {
	// FromNow makes a sink that has no position yet begin with the next event
	// instead of with the oldest that is kept.
	FromNow bool
	// Grace is how long Run may go on after its context ended, to give the
	// sink what the log holds at that time.
	Grace time.Duration
	// BatchEvents and BatchBytes bound a batch as Reader.SetLimits does.
	BatchEvents, BatchBytes int
}

// Follower moves events from the log to one Writer, in order, and keeps where
// it is. A failing Writer is given the same batch until it takes it.
type Follower struct {
	log  *Log
	name string
	w    event.Writer
	sink event.Sink  // w, if it has its own position
	idle event.Idler // w, if it wants to be called when there is nothing to do
	opts FollowOptions
	r    *Reader

	start uint64
	// position is what the sink has for good, as far as was asked: its own
	// Position, else the last event for which Write returned nil. It is kept
	// here because a sink may be slow to answer, and whoever asks holds locks.
	position atomic.Uint64
	taken    atomic.Uint64 // sequence of the last event for which Write returned nil
	saved    atomic.Uint64 // position in the cursor file
	saveTime time.Time

	mu      sync.Mutex
	lastErr error
	pending []pendingBatch
	// behind is a time before which nothing was written that the sink was not
	// given: of its last batch, or when there was no more to give.
	behind event.Time
}

// pendingBatch is one that was handed to the sink, oldest first.
type pendingBatch struct {
	last  uint64
	since event.Time
}

// Status describes a follower.
type Status struct {
	Name string
	// Committed is the sequence of the last event that the sink has for good.
	Committed uint64
	// Taken is the last one that it was given and took, durable or not.
	Taken uint64
	// LagEvents is how many it does not have yet, LagSeconds how long ago the
	// oldest of them was written to the log.
	LagEvents  uint64
	LagSeconds float64
	// Healthy is false while the sink refuses; LastError then says why.
	Healthy   bool
	LastError string
}

var followerName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)

// Follow registers a follower of the log, which from now on holds back what it
// has not passed. Name identifies it over restarts and in metrics: lower-case
// letters, digits, - and _.
//
// It begins behind w's Position if w is an event.Sink, else behind the position
// in the file cursors/name. A follower without either begins with the oldest
// event that is kept.
func (l *Log) Follow(name string, w event.Writer, o FollowOptions) (*Follower, error) {
	if !followerName.MatchString(name) {
		return nil, fmt.Errorf("stream: follower name %q has other characters than a-z 0-9 - _", name)
	}
	f := &Follower{log: l, name: name, w: w, opts: o}
	f.sink, _ = w.(event.Sink)
	f.idle, _ = w.(event.Idler)
	c, err := l.loadCursor(name)
	if err != nil && !errors.Is(err, errCursor) {
		return nil, err
	}
	if err != nil {
		l.log.Error("stream: a damaged cursor counts as none; its sink gets everything that is kept again", "sink", name, "error", err)
	}
	reserved := uint64(0)
	if f.sink != nil {
		c.committed = f.sink.Position()
		if r, ok := w.(event.Reserver); ok {
			reserved = r.Reserved()
		}
	}
	f.position.Store(c.committed)
	f.saved.Store(c.committed)
	// From here on nothing that is read below may be deleted.
	l.mu.Lock()
	if l.followers[name] != nil {
		l.mu.Unlock()
		return nil, fmt.Errorf("stream: there are two followers named %q", name)
	}
	if f.start = c.start; f.start == 0 {
		f.start = l.firstLocked()
		if o.FromNow {
			f.start = l.last + 1
		}
		if c.committed > 0 {
			f.start = c.committed + 1
		}
	}
	l.floor = max(l.floor, c.committed, reserved)
	l.followers[name] = f
	l.mu.Unlock()
	if c.start == 0 {
		if err := l.saveCursor(name, cursor{f.start, c.committed}); err != nil {
			f.Close()
			return nil, err
		}
	}
	from := f.start
	if c.committed > 0 {
		from = c.committed + 1
	}
	f.r = l.NewReader(from)
	f.r.SetLimits(o.BatchEvents, o.BatchBytes)
	f.r.onGap = l.countGap
	return f, nil
}

// Close takes the follower off the log, which no longer keeps anything for it.
// It is for sinks that go away while the log stays; call it after Run returned.
func (f *Follower) Close() {
	f.log.mu.Lock()
	delete(f.log.followers, f.name)
	f.log.mu.Unlock()
	f.log.moved()
}

// durable returns the sequence up to which the follower will not ask again,
// whatever happens.
func (f *Follower) durable() uint64 {
	p := f.saved.Load()
	if f.sink != nil {
		p = f.position.Load()
	}
	return max(p, f.start-1)
}

// Status returns the follower's state. It is safe for concurrent use.
func (f *Follower) Status() Status {
	pos := f.position.Load()
	s := Status{Name: f.name, Committed: pos, Taken: max(pos, f.taken.Load())}
	if last := f.log.Last(); last > max(pos, f.start-1) {
		s.LagEvents = last - max(pos, f.start-1)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forget(pos)
	since := f.behind
	if len(f.pending) > 0 {
		since = f.pending[0].since
	}
	if s.LagEvents > 0 && since != 0 {
		s.LagSeconds = age(since).Seconds()
	}
	if s.Healthy = f.lastErr == nil; !s.Healthy {
		s.LastError = f.lastErr.Error()
	}
	return s
}

// forget drops the batches up to pos from the pending ones. f.mu is held.
func (f *Follower) forget(pos uint64) {
	n := 0
	for n < len(f.pending) && f.pending[n].last <= pos {
		n++
	}
	f.pending = slices.Delete(f.pending, 0, n)
}

// Followers returns the status of every follower, by name.
func (l *Log) Followers() []Status {
	l.mu.Lock()
	all := make([]*Follower, 0, len(l.followers))
	for _, f := range l.followers {
		all = append(all, f)
	}
	l.mu.Unlock()
	out := make([]Status, len(all))
	for i, f := range all {
		out[i] = f.Status()
	}
	slices.SortFunc(out, func(a, b Status) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Run gives events to the sink until ctx ends, and then for at most the grace
// period what the log held at that moment. The context that the sink sees ends
// with the grace period, so that a write under way is not cut short. Run returns
// nil, also at the end of a closed log; it is called once.
func (f *Follower) Run(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(f.opts.Grace)
		defer t.Stop()
		select {
		case <-t.C:
			cancel()
		case <-work.Done():
		}
	})
	defer stop()
	f.loop(ctx, work)
	f.save()
	// What was written but is not durable yet is so once the sink is closed.
	if s := f.Status(); ctx.Err() != nil && (!s.Healthy || f.r.next <= f.log.Last()) {
		f.log.log.Info("stream: a sink will go on from here", "sink", f.name, "committed", s.Committed, "lag_events", s.LagEvents)
	}
	return f.r.Close()
}

func (f *Follower) loop(ctx, work context.Context) {
	var target uint64 // where to stop, once ctx has ended
	nextIdle := time.Now().Add(idleInterval)
	timer := time.NewTimer(idleInterval)
	defer timer.Stop()
	for work.Err() == nil {
		if ctx.Err() != nil && target == 0 {
			target = max(f.log.Last(), 1)
		}
		if target > 0 && f.r.next > target {
			return
		}
		asked := now()
		batch, err := f.r.TryNext()
		switch {
		case errors.Is(err, ErrClosed):
			return
		case err != nil:
			if !f.retry(ctx, work, err, firstBackoff) {
				return
			}
		case len(batch) > 0:
			if !f.write(ctx, work, batch) {
				return
			}
			f.saveIfDue()
		case target > 0:
			return
		default:
			f.mu.Lock()
			f.behind = asked
			f.mu.Unlock()
			f.wait(ctx, timer, nextIdle)
			f.saveIfDue()
			if now := time.Now(); !now.Before(nextIdle) {
				nextIdle = now.Add(idleInterval)
				f.callIdle(work, now)
			}
		}
	}
}

// wait returns when there may be something to read, save or do.
func (f *Follower) wait(ctx context.Context, timer *time.Timer, until time.Time) {
	d := time.Until(until)
	if f.sink == nil && f.unsaved() {
		d = min(d, time.Until(f.saveTime.Add(saveInterval)))
	}
	timer.Reset(max(0, d))
	select {
	case <-ctx.Done():
	case <-f.r.poke:
	case <-timer.C:
	}
}

// write gives the batch to the sink until it takes it. It reports false when
// work ended before that.
func (f *Follower) write(ctx, work context.Context, batch []event.Event) bool {
	last := batch[len(batch)-1].Sequence
	f.mu.Lock()
	if n := len(f.pending); n == maxPending {
		f.pending[n-1].last = last
	} else {
		f.pending = append(f.pending, pendingBatch{last, f.r.oldest})
	}
	f.behind = f.r.oldest
	f.mu.Unlock()
	for backoff := firstBackoff; ; backoff = min(2*backoff, longestBackoff) {
		err := f.w.Write(work, batch)
		if err == nil {
			f.taken.Store(last)
			f.succeeded(last)
			return true
		}
		if work.Err() != nil {
			f.failed(err)
			return false
		}
		f.log.m.retries.WithLabelValues(f.name, retryReason(err)).Inc()
		if !f.retry(ctx, work, err, backoff) {
			return false
		}
	}
}

// retry waits, with jitter, before another attempt. It reports false when work
// ended. The end of ctx ends the wait, so that the grace period is used.
func (f *Follower) retry(ctx, work context.Context, err error, backoff time.Duration) bool {
	f.failed(err)
	stopping := ctx.Done()
	if ctx.Err() != nil {
		stopping = nil
	}
	t := time.NewTimer(backoff/2 + rand.N(backoff/2+1))
	defer t.Stop()
	select {
	case <-work.Done():
		return false
	case <-stopping:
	case <-t.C:
	}
	return true
}

func (f *Follower) callIdle(ctx context.Context, now time.Time) {
	if f.idle == nil {
		if f.sink != nil && f.healthy() {
			f.succeeded(0) // it may have made something durable by itself
		}
		return
	}
	if err := f.idle.Idle(ctx, now); err != nil {
		f.failed(err)
		return
	}
	f.succeeded(f.position.Load())
}

// failed and succeeded keep the follower's health and log when it changes.
// succeeded takes the last event that was written; a Sink is asked what it has.
func (f *Follower) failed(err error) {
	f.mu.Lock()
	first := f.lastErr == nil
	f.lastErr = err
	f.mu.Unlock()
	if first {
		f.log.log.Warn("stream: a sink fails; the log keeps what it lacks", "sink", f.name, "error", err)
	}
}

func (f *Follower) succeeded(pos uint64) {
	if f.sink != nil {
		pos = f.sink.Position()
	}
	if f.position.Swap(pos) != pos {
		f.log.moved()
	}
	f.mu.Lock()
	f.forget(pos)
	err := f.lastErr
	f.lastErr = nil
	f.mu.Unlock()
	if err != nil {
		f.log.log.Info("stream: a sink is well again", "sink", f.name, "after", err)
	}
}

func (f *Follower) healthy() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lastErr == nil
}

// unsaved reports whether the cursor file is behind.
func (f *Follower) unsaved() bool { return f.saved.Load() != f.position.Load() }

// saveIfDue saves the position of a sink that does not know its own.
func (f *Follower) saveIfDue() {
	if f.sink == nil && f.unsaved() && time.Since(f.saveTime) >= saveInterval {
		f.save()
	}
}

// save writes the cursor file. When it fails, the follower goes on: an old
// cursor costs repetition, not events.
func (f *Follower) save() {
	if !f.unsaved() {
		return
	}
	f.saveTime = time.Now()
	pos := f.position.Load()
	if err := f.log.saveCursor(f.name, cursor{f.start, pos}); err != nil {
		f.log.report(opCursor, err)
		return
	}
	f.saved.Store(pos)
	f.log.report(opCursor, nil)
	f.log.moved()
}
