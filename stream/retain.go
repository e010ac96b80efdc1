package stream

import (
	"context"
	"math"
	"time"
)

// needed returns the sequence from which on some follower has not made events
// durable yet. l.mu is held.
func (l *Log) needed() uint64 {
	from := uint64(math.MaxUint64)
	for _, f := range l.followers {
		from = min(from, f.durable()+1)
	}
	return from
}

// retain deletes the oldest segments that every follower has passed, as long as
// Keep octets remain.
func (l *Log) retain() {
	l.shrink(func(size int64) bool { return l.total-size >= l.cfg.Keep }, false)
}

// shrink deletes the oldest segments while more, asked with a segment's size,
// says so, and returns how many. The active segment always stays. Unless force
// is set, a segment stays that a follower needs. Deletion is oldest first, so
// that the rest has no hole whatever a crash leaves undone.
func (l *Log) shrink(more func(size int64) bool, force bool) int {
	l.retainMu.Lock()
	defer l.retainMu.Unlock()
	for n := 0; ; n++ {
		l.mu.Lock()
		if l.closed.Load() || len(l.segments) < 2 || !more(l.segments[0].size) {
			l.mu.Unlock()
			return n
		}
		s, next, needed := l.segments[0], l.segments[1].first, l.needed()
		if next > needed && !force {
			l.mu.Unlock()
			return n
		}
		l.segments = l.segments[1:]
		l.forget(s)
		l.dirDirty = true
		l.mu.Unlock()
		if next > needed {
			l.log.Warn("stream: full, dropped events that a sink lacks", "first", s.first, "last", next-1)
		}
		err := l.fs.Remove(s.name)
		l.report(opRetain, err)
	}
}

// forget takes a segment that is off the list out of the accounts. l.mu is held.
func (l *Log) forget(s *segment) {
	l.total -= s.size
	if s.file != nil {
		l.orphans = append(l.orphans, s.file)
		s.file = nil
	}
}

// makeRoom returns when n more octets fit under MaxSize, for which it deletes
// what every follower has passed, Keep or not, and then waits or drops.
func (l *Log) makeRoom(ctx context.Context, n int64) error {
	over := func(int64) bool { return l.total+n > l.cfg.MaxSize }
	for pause := firstPause; ; {
		l.mu.Lock()
		fits, single := !over(0), len(l.segments) < 2
		stuck := single && (l.active == nil || l.active.empty())
		l.mu.Unlock()
		if fits || stuck {
			return nil
		}
		if single {
			// All there is stands in the active segment: only as a closed one
			// can it be deleted.
			if _, err := l.rotate(l.Last() + 1); err != nil && !noSpace(err) {
				return err
			}
			continue
		}
		if l.shrink(over, false) > 0 || l.cfg.OnFull == OnFullDrop && l.shrink(over, true) > 0 {
			continue
		}
		if err := l.pause(ctx, &pause); err != nil {
			return err
		}
	}
}

// freeOne deletes a segment because the disk is full, and reports whether there
// was one.
func (l *Log) freeOne() bool {
	budget := 1
	one := func(int64) bool { budget--; return budget >= 0 }
	if l.shrink(one, false) > 0 {
		return true
	}
	budget = 1
	return l.cfg.OnFull == OnFullDrop && l.shrink(one, true) > 0
}

// pause waits until a follower has moved, or for a while that doubles.
func (l *Log) pause(ctx context.Context, d *time.Duration) error {
	l.waiting.Store(true)
	l.m.blocked.Set(1)
	defer func() {
		l.waiting.Store(false)
		l.m.blocked.Set(0)
	}()
	t := time.NewTimer(*d)
	defer t.Stop()
	*d = min(2**d, longestPause)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-l.freed:
	case <-t.C:
	}
	return nil
}

// moved tells a waiting Write that a follower's durable position changed.
func (l *Log) moved() {
	if l.waiting.Load() {
		poke(l.freed)
	}
}
