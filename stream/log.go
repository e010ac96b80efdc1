package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/event"
)

// Log is the durable ordered log in one directory. Every method is safe for
// concurrent use.
//
// Three locks, taken in this order: turn, held by whoever appends, for as long
// as the disk takes; retainMu and syncMu, held while files are deleted and
// synced; mu, held for a few instructions, under which everything that readers
// see changes.
type Log struct {
	cfg    Config
	fs     filesystem
	log    *slog.Logger
	lock   io.Closer
	m      *metrics
	turn   chan struct{}
	closed atomic.Bool

	encoders encoderStack

	syncMu, retainMu sync.Mutex

	mu       sync.Mutex
	segments []*segment // oldest first
	active   *segment   // the last of segments, or nil until there is something to write
	total    int64      // octets in all segments
	last     uint64     // sequence of the last event
	floor    uint64     // see SkipTo
	ended    bool       // the last block is an end block
	written  event.Time // of the last block
	synced   uint64     // sequence up to which all is on the disk
	dirDirty bool       // a creation or removal is not durable yet
	orphans  []file     // of deleted segments, for Sync to close
	readers  map[*Reader]struct{}
	// followers hold retention back, by name.
	followers map[string]*Follower
	// problems are the present failures, by operation.
	problems map[string]error

	// freed is poked when a follower's position moved while a Write waits.
	freed   chan struct{}
	waiting atomic.Bool
	gaps    atomic.Uint64
}

// segment is a file of the log. first, name and mark never change; the rest is
// guarded by Log.mu.
type segment struct {
	first uint64
	name  string // with directory
	mark  uint32
	size  int64 // octets that readers may read
	// file is open for writing while the segment is active or has octets that
	// are not on the disk.
	file   file
	synced int64
	// failed: the disk refused an octet or a sync. The file is never written
	// or synced again, because the kernel may have marked lost pages as clean.
	failed bool
}

// empty reports whether no block was written to the segment.
func (s *segment) empty() bool { return s.size <= segmentHeaderLen }

// Open opens the log in cfg.Dir, which it creates if needed, and locks it
// against other processes. Damage never makes it fail: a torn tail is cut back
// to the last block that verifies, and damage before that is left in place for
// the readers to step over and report.
//
// It starts nothing; call Run. reg may be nil.
func Open(cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Log, error) {
	return openFS(cfg, log, reg, osFS{})
}

func openFS(cfg Config, log *slog.Logger, reg prometheus.Registerer, fsys filesystem) (*Log, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	l := &Log{
		cfg: cfg.fitted(), fs: fsys, log: log,
		turn:      make(chan struct{}, 1),
		freed:     make(chan struct{}, 1),
		readers:   make(map[*Reader]struct{}),
		followers: make(map[string]*Follower),
		problems:  make(map[string]error),
	}
	if err := fsys.MkdirAll(filepath.Join(cfg.Dir, cursorDir)); err != nil {
		return nil, fmt.Errorf("stream: open: %w", err)
	}
	lock, err := fsys.Lock(cfg.Dir)
	if err != nil {
		return nil, err
	}
	l.lock = lock
	if err := l.recover(); err != nil {
		return nil, errors.Join(err, l.release())
	}
	if l.m, err = newMetrics(l, reg); err != nil {
		return nil, errors.Join(err, l.release())
	}
	return l, nil
}

// release gives back what Open took.
func (l *Log) release() error {
	var errs []error
	for _, s := range l.segments {
		if s.file != nil {
			errs = append(errs, s.file.Close())
			s.file = nil
		}
	}
	for _, f := range l.orphans {
		errs = append(errs, f.Close())
	}
	l.orphans = nil
	return errors.Join(append(errs, l.lock.Close())...)
}

// Close makes everything durable and gives the directory free. It waits for a
// Write that is under way; end its context first if it may wait for space.
// Readers may read on to the end and are then told ErrClosed. Close returns
// what went wrong with the last sync. A second Close does nothing.
func (l *Log) Close() error {
	l.turn <- struct{}{}
	defer l.yield()
	if l.closed.Load() {
		return nil
	}
	l.appendEnd()
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	err := l.syncLocked()
	l.closed.Store(true)
	l.m.unregister()
	l.mu.Lock()
	defer l.mu.Unlock()
	for r := range l.readers {
		poke(r.poke)
	}
	return errors.Join(err, l.release())
}

// Last returns the sequence of the last event, 0 when there was never one.
func (l *Log) Last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// First returns the sequence of the oldest event that is kept; Last()+1 when
// none is.
func (l *Log) First() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.firstLocked()
}

func (l *Log) firstLocked() uint64 {
	if len(l.segments) == 0 {
		return l.last + 1
	}
	return l.segments[0].first
}

// Size returns the octets that the log's segments take.
func (l *Log) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// Synced returns the sequence up to which events would survive a power cut; of
// a stretch with a failed sync, which Err reported, that is not certain.
func (l *Log) Synced() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.synced
}

// Gaps returns how many gaps were recorded or handed to followers since Open.
func (l *Log) Gaps() uint64 { return l.gaps.Load() }

// Err returns why the log cannot append or sync at present; nil when it can. A
// failure ends when the same thing has worked again.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, op := range []string{opAppend, opSync, opRetain, opCursor} {
		if err := l.problems[op]; err != nil {
			errs = append(errs, fmt.Errorf("stream: %s: %w", op, err))
		}
	}
	return errors.Join(errs...)
}

// Operations that can fail, as they stand in metrics.
const (
	opAppend = "append"
	opSync   = "sync"
	opRetain = "retain"
	opCursor = "cursor"
)

// report keeps the state of an operation for Err, counts failures and logs
// changes.
func (l *Log) report(op string, err error) {
	l.mu.Lock()
	before := l.problems[op]
	if err == nil {
		delete(l.problems, op)
	} else {
		l.problems[op] = err
	}
	l.mu.Unlock()
	if err != nil {
		l.m.errors.WithLabelValues(op).Inc()
	}
	switch {
	case err != nil && before == nil:
		l.log.Error("stream: the disk refuses", "operation", op, "error", err)
	case err == nil && before != nil:
		l.log.Info("stream: the disk is well again", "operation", op)
	}
}

// take waits for the turn to append.
func (l *Log) take(ctx context.Context) error {
	select {
	case l.turn <- struct{}{}:
	default:
		select {
		case l.turn <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if l.closed.Load() {
		l.yield()
		return ErrClosed
	}
	return nil
}

func (l *Log) yield() { <-l.turn }

// poke wakes whoever waits on a one-slot channel.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// recover takes stock of the directory and gets the last segment ready.
func (l *Log) recover() error {
	segments, err := listSegments(l.fs, l.cfg.Dir)
	if err != nil {
		return err
	}
	l.segments = segments
	if n := len(l.segments); n > 0 {
		if err := l.recoverTail(l.segments[n-1]); err != nil {
			return err
		}
	}
	for _, s := range l.segments {
		l.total += s.size
	}
	l.syncRecovered()
	return nil
}

// syncRecovered makes durable what a process that was killed wrote but did not
// sync: that may be in any segment that Sync had not closed.
func (l *Log) syncRecovered() {
	var errs []error
	for _, s := range l.segments[max(0, len(l.segments)-maxDirty-2):] {
		f, err := l.fs.OpenWrite(s.name)
		if err == nil {
			err = errors.Join(f.Sync(), f.Close())
		}
		s.failed = err != nil
		errs = append(errs, err)
	}
	errs = append(errs, l.fs.SyncDir(l.cfg.Dir))
	if err := errors.Join(errs...); err != nil {
		l.problems[opSync] = err
		l.log.Error("stream: what an earlier process wrote cannot be synced", "error", err)
		return
	}
	l.synced = l.last
}

// listSegments returns the segments of a directory, oldest first.
func listSegments(fsys filesystem, dir string) ([]*segment, error) {
	files, err := fsys.List(dir)
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	var out []*segment
	for _, f := range files {
		if first, ok := parseSegmentName(f.name); ok {
			out = append(out, &segment{first: first, name: filepath.Join(dir, f.name), size: f.size, synced: f.size})
		}
	}
	slices.SortFunc(out, func(a, b *segment) int { return cmp.Compare(a.first, b.first) })
	return out, nil
}

// recoverTail scans the last segment, cuts what follows its last good block and
// makes it the active one. Sequences go on behind it, and never below the one
// in its name: that number was given out because all before it were.
func (l *Log) recoverTail(s *segment) error {
	f, err := l.fs.OpenWrite(s.name)
	if err != nil {
		return fmt.Errorf("stream: open: %w", err)
	}
	sc := scanner{chunk: blockTarget}
	if err := sc.start(f, s.size, noLimit); err != nil {
		return errors.Join(fmt.Errorf("%w (%s)", err, s.name), f.Close())
	}
	t := scanTail(&sc)
	if t.end == 0 && !sc.headOK {
		return errors.Join(l.replaceTail(s), f.Close())
	}
	l.last = max(s.first-1, t.next-min(t.next, 1))
	l.written, l.ended = t.written, t.ended
	if t.damaged > 0 {
		l.log.Warn("stream: damaged blocks; readers will be given a gap", "segment", s.name, "octets", t.damaged)
	}
	good := max(t.end, segmentHeaderLen)
	if s.size > good {
		l.log.Warn("stream: cut a torn tail", "segment", s.name, "offset", good, "octets", s.size-good, "last", l.last)
		if err := errors.Join(f.Truncate(good), f.Sync()); err != nil {
			return errors.Join(fmt.Errorf("stream: cut torn tail of %s: %w", s.name, err), f.Close())
		}
		s.size, s.synced = good, good
	}
	if !sc.headOK || sc.head.minor != versionMinor {
		return f.Close() // complete as it is; the next Write begins another
	}
	s.file, s.mark, l.active = f, sc.head.mark, s
	return nil
}

// path returns the name of the segment that begins with first.
func (l *Log) path(first uint64) string { return filepath.Join(l.cfg.Dir, segmentName(first)) }

// tail is what a scan to the end of a segment found.
type tail struct {
	end     int64  // behind the last good block, 0 without one
	next    uint64 // sequence after it
	damaged int64  // octets before it that did not verify
	written event.Time
	ended   bool
}

func scanTail(sc *scanner) (t tail) {
	for {
		b, status := sc.next(true)
		if status != scanBlock {
			return t
		}
		t.damaged += b.skipped
		t.end = b.offset + blockHeaderLen + int64(b.length)
		t.next, t.written, t.ended = b.next(), b.written, b.flags&blockEnd != 0
	}
}

// replaceTail puts an empty segment in the place of one in which nothing
// verifies. Its name is kept, because it tells where sequences go on; octets
// that may interest somebody are kept under another name.
func (l *Log) replaceTail(s *segment) error {
	if s.size > segmentHeaderLen {
		l.log.Error("stream: nothing verifies in the last segment; it is set aside", "segment", s.name+damagedSuffix, "octets", s.size)
		if err := l.fs.Rename(s.name, s.name+damagedSuffix); err != nil {
			return fmt.Errorf("stream: set damaged segment aside: %w", err)
		}
	}
	l.segments = l.segments[:len(l.segments)-1]
	l.last = s.first - 1
	fresh, err := l.createSegment(s.first)
	if err != nil {
		return err
	}
	l.segments = append(l.segments, fresh)
	l.active, l.dirDirty = fresh, true
	return nil
}

// now is the time that a block is stamped with.
func now() event.Time { return event.At(time.Now()) }
