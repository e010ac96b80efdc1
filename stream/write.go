package stream

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/ribtap/ribtap/event"
)

// How long a Write waits before it tries a full disk or a full log again; each
// wait doubles.
const (
	firstPause   = 10 * time.Millisecond
	longestPause = time.Second
)

// maxKeptBuffer is the size above which an encoder's buffer is given back.
const maxKeptBuffer = 8 << 20

// maxDirty is how many segments may wait to be synced before Write does it
// itself.
const maxDirty = 4

// encoderStack keeps encoders for reuse. Unlike a sync.Pool it forgets nothing
// at a garbage collection.
type encoderStack struct {
	mu   sync.Mutex
	free []*encoder
}

func (s *encoderStack) take() *encoder {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.free); n > 0 {
		e := s.free[n-1]
		s.free = s.free[:n-1]
		return e
	}
	return new(encoder)
}

func (s *encoderStack) give(e *encoder) {
	if cap(e.buf) > maxKeptBuffer {
		return
	}
	s.mu.Lock()
	s.free = append(s.free, e)
	s.mu.Unlock()
}

// Write numbers the events of batch and appends them, with one write to the
// file. It is safe for concurrent use; a batch's events get sequences without
// others between them. The events can be read when it returns, and are on the
// disk SyncInterval later, or at once if that is 0.
//
// It blocks while the log or the disk is full, until space is freed or ctx
// ends. An error means that nothing of the batch is in the log, with one
// exception: with SyncInterval 0 a failed sync is an error although the events
// can be read, so that a repeated batch is there twice.
func (l *Log) Write(ctx context.Context, batch []event.Event) error {
	if len(batch) == 0 {
		return nil
	}
	e := l.encoders.take()
	defer l.encoders.give(e)
	if err := e.encode(batch, now()); err != nil {
		return err
	}
	last, err := l.writeBlocks(ctx, e)
	if err != nil {
		return err
	}
	if l.cfg.SyncInterval == 0 {
		return l.syncTo(last)
	}
	return nil
}

func (l *Log) writeBlocks(ctx context.Context, e *encoder) (last uint64, err error) {
	if err := l.take(ctx); err != nil {
		return 0, err
	}
	defer l.yield()
	if err := l.raise(ctx); err != nil {
		return 0, err
	}
	first := l.Last() + 1
	if err := l.append(ctx, e, first, 0); err != nil {
		return 0, err
	}
	return first + uint64(e.count) - 1, nil
}

// SkipTo makes sure that the next event's sequence is greater than seq. A sink
// may be ahead of a log that lost, in a power cut, what was not on the disk
// yet; if sequences were given out twice, the sink would take new events for
// ones that it has. What was skipped is recorded as a gap event, because other
// sinks may lack it.
//
// Follow does the same for its sink's position, with the first event that is
// written after it.
func (l *Log) SkipTo(ctx context.Context, seq uint64) error {
	if err := l.take(ctx); err != nil {
		return err
	}
	defer l.yield()
	l.raiseFloor(seq)
	return l.raise(ctx)
}

func (l *Log) raiseFloor(seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.floor = max(l.floor, seq)
}

// raise writes the gap event up to the floor, if the log is below it.
func (l *Log) raise(ctx context.Context) error {
	l.mu.Lock()
	floor, last, since := l.floor, l.last, l.written
	l.mu.Unlock()
	if floor <= last {
		return nil
	}
	if floor == math.MaxUint64 {
		return errors.New("stream: skip: no sequence is greater")
	}
	gap := event.Event{
		Kind: event.KindGap, Cause: event.CauseCorrupt,
		Received: now(), Start: since, End: now(),
		Lost: floor - last,
		Text: fmt.Sprintf("the log ended at sequence %d, a sink has everything up to %d: what was between is lost to the others", last, floor),
	}
	if last == 0 {
		gap.Lost = 0
		gap.Text = fmt.Sprintf("the log was empty, a sink has everything up to %d", floor)
	}
	e := l.encoders.take()
	defer l.encoders.give(e)
	if err := e.encode([]event.Event{gap}, gap.Received); err != nil {
		return err
	}
	if err := l.append(ctx, e, floor+1, blockSkip); err != nil {
		return err
	}
	l.countGap(&gap)
	l.log.Warn("stream: a sink is ahead of the log", "last", last, "skipped_to", floor)
	return nil
}

// appendEnd records which sequence comes next, so that damage to the last
// events can be told from their never having been written.
func (l *Log) appendEnd() {
	l.mu.Lock()
	needed := l.active != nil && !l.active.empty() && !l.active.failed && !l.ended
	first := l.last + 1
	l.mu.Unlock()
	if !needed {
		return
	}
	var e encoder
	e.encodeEnd(now())
	e.seal(first, l.active.mark, 0)
	if _, err := l.active.file.WriteAt(e.buf, l.active.size); err != nil {
		l.cutBack(l.active, err)
		return
	}
	l.publish(l.active, &e, first)
}

// append writes the encoder's blocks with sequences from first on. The caller
// has the turn.
func (l *Log) append(ctx context.Context, e *encoder, first uint64, flags uint32) error {
	start := time.Now()
	again := false
	for pause := firstPause; ; {
		if err := l.makeRoom(ctx, int64(len(e.buf))); err != nil {
			return err
		}
		err := l.tryAppend(e, first, flags)
		if err == nil {
			l.m.append.Observe(time.Since(start).Seconds())
			return nil
		}
		switch {
		case noSpace(err):
			if l.freeOne() {
				continue
			}
			if err := l.pause(ctx, &pause); err != nil {
				return err
			}
		case again:
			return fmt.Errorf("stream: append: %w", err)
		default:
			again = true // once, in another file
		}
	}
}

func (l *Log) tryAppend(e *encoder, first uint64, flags uint32) error {
	s, err := l.writable(first, int64(len(e.buf)))
	if err != nil {
		l.report(opAppend, err)
		return err
	}
	e.seal(first, s.mark, flags)
	if _, err := s.file.WriteAt(e.buf, s.size); err != nil {
		l.report(opAppend, err)
		l.cutBack(s, err)
		return err
	}
	l.publish(s, e, first)
	return nil
}

// cutBack takes away what a failed write left behind. A file that refuses that
// too, or that failed for another reason than space, is not written again; what
// it holds behind size has sequences that the next segment has as well, by
// which readers know that it does not count.
func (l *Log) cutBack(s *segment, cause error) {
	err := errors.Join(s.file.Truncate(s.size), s.file.Sync())
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil || !noSpace(cause) {
		s.failed = true
	}
}

// publish makes what was written readable.
func (l *Log) publish(s *segment, e *encoder, first uint64) {
	n := int64(len(e.buf))
	l.mu.Lock()
	s.size += n
	l.total += n
	l.last = first + uint64(e.count) - 1
	l.written = e.blocks[len(e.blocks)-1].header.written
	l.ended = e.count == 0
	healthy := l.problems[opAppend] == nil
	for r := range l.readers {
		poke(r.poke)
	}
	l.mu.Unlock()
	l.m.appended.Add(float64(n))
	if !healthy {
		l.report(opAppend, nil)
	}
}

// writable returns the segment for n more octets.
func (l *Log) writable(first uint64, n int64) (*segment, error) {
	l.mu.Lock()
	s := l.active
	fits := s != nil && !s.failed && (s.empty() || s.size+n <= l.cfg.SegmentSize)
	l.mu.Unlock()
	if fits {
		return s, nil
	}
	return l.rotate(first)
}

// rotate begins a segment whose first sequence is first.
func (l *Log) rotate(first uint64) (*segment, error) {
	l.mu.Lock()
	if s := l.active; s != nil {
		l.active = nil
		if s.empty() && s.first == first { // its name is the one that is needed
			l.segments = l.segments[:len(l.segments)-1]
			l.forget(s)
			l.mu.Unlock()
			if err := l.fs.Remove(s.name); err != nil {
				return nil, err
			}
			l.mu.Lock()
		}
	}
	dirty := 0
	for _, s := range l.segments {
		if s.file != nil {
			dirty++
		}
	}
	l.mu.Unlock()
	if dirty > maxDirty {
		_ = l.Sync() // reports by itself
	}
	s, err := l.createSegment(first)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments = append(l.segments, s)
	l.active = s
	l.total += s.size
	l.dirDirty = true
	return s, nil
}

// createSegment makes the file of a segment, with its header.
func (l *Log) createSegment(first uint64) (*segment, error) {
	s := &segment{first: first, name: l.path(first), mark: newMark()}
	f, err := l.fs.Create(s.name)
	if err != nil {
		return nil, fmt.Errorf("stream: new segment: %w", err)
	}
	head := appendSegmentHeader(nil, segmentHeader{
		major: versionMajor, minor: versionMinor, mark: s.mark, first: first, created: now(),
	})
	if _, err := f.WriteAt(head, 0); err != nil {
		return nil, errors.Join(fmt.Errorf("stream: new segment: %w", err), f.Close(), l.fs.Remove(s.name))
	}
	s.file, s.size = f, segmentHeaderLen
	return s, nil
}

// newMark returns four random octets that are not zero, so that no stretch of
// zeros, which is what lost pages look like, is ever searched twice.
func newMark() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	for i := range b {
		b[i] |= 1
	}
	return binary.BigEndian.Uint32(b[:])
}
