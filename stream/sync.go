package stream

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// retainInterval is how often Run looks for segments that may go.
const retainInterval = time.Second

// Run makes what was written durable, at most SyncInterval after it was, and
// deletes segments that nobody needs. It returns nil when ctx ends, after a
// last sync; the log can still be written then. Register followers before Run,
// so that nothing is deleted that one of them lacks.
func (l *Log) Run(ctx context.Context) error {
	interval := l.cfg.SyncInterval
	if interval == 0 {
		interval = retainInterval
	}
	syncTick := time.NewTicker(interval)
	defer syncTick.Stop()
	retainTick := time.NewTicker(retainInterval)
	defer retainTick.Stop()
	for {
		select {
		case <-ctx.Done():
			_ = l.Sync() // reports by itself
			return nil
		case <-syncTick.C:
			_ = l.Sync()
		case <-retainTick.C:
			l.retain()
		}
	}
}

// Sync makes everything that was written before the call durable. A file that
// cannot be synced is given up: what is written next goes to another.
func (l *Log) Sync() error {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	return l.syncLocked()
}

// syncTo is Sync unless another call has done it.
func (l *Log) syncTo(seq uint64) error {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	if l.Synced() >= seq {
		return nil
	}
	return l.syncLocked()
}

// dirtySegment is a segment with how much of it is to be synced.
type dirtySegment struct {
	*segment
	file file
	size int64
}

func (l *Log) syncLocked() error {
	start := time.Now()
	l.mu.Lock()
	var dirty []dirtySegment
	for _, s := range l.segments {
		switch {
		case s.file == nil:
		case s.failed:
			if s != l.active {
				l.orphans = append(l.orphans, s.file)
				s.file = nil
			}
		case s.size > s.synced || s != l.active:
			dirty = append(dirty, dirtySegment{s, s.file, s.size})
		}
	}
	last, dir := l.last, l.dirDirty
	orphans := l.orphans
	l.dirDirty, l.orphans = false, nil
	l.mu.Unlock()

	for _, f := range orphans {
		_ = f.Close() // of a file that is deleted or given up
	}
	if len(dirty) == 0 && !dir {
		return nil
	}
	var errs []error
	for _, d := range dirty {
		errs = append(errs, l.syncSegment(d))
	}
	if dir {
		if err := l.fs.SyncDir(l.cfg.Dir); err != nil {
			errs = append(errs, err)
			l.mu.Lock()
			l.dirDirty = true
			l.mu.Unlock()
		}
	}
	err := errors.Join(errs...)
	if err == nil {
		l.mu.Lock()
		l.synced = max(l.synced, last)
		l.mu.Unlock()
	}
	l.report(opSync, err)
	l.m.sync.Observe(time.Since(start).Seconds())
	if err != nil {
		return fmt.Errorf("stream: sync: %w", err)
	}
	return nil
}

// syncSegment syncs one file, and closes it if nothing more will be written.
func (l *Log) syncSegment(d dirtySegment) error {
	err := d.file.Sync()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		d.failed = true
		return err
	}
	d.synced = d.size
	if d.segment != l.active && d.synced == d.segment.size && d.segment.file != nil {
		_ = d.file.Close() // nothing is left in it that an error could concern
		d.segment.file = nil
	}
	return nil
}
