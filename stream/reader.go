package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/ribtap/ribtap/event"
)

// Default limits of a batch that a Reader returns.
const (
	DefaultBatchEvents = 4096
	DefaultBatchBytes  = 1 << 20
)

// source is where a Reader finds segments: a Log that is being written, or a
// directory as it stands.
type source interface {
	// segment returns the state of the segment that begins with first; false
	// when it was deleted.
	segment(first uint64) (extent, bool)
	// locate returns the last segment that begins at or before seq, else the
	// oldest; false when there is none.
	locate(seq uint64) (extent, bool)
	// after returns the oldest segment that begins after first.
	after(first uint64) (extent, bool)
	open(first uint64) (file, error)
	// finished reports whether nothing will be added any more.
	finished() bool
}

// extent is how far a segment may be read.
type extent struct {
	id    *segment // to tell it from another of the same name; not to be read
	first uint64
	size  int64
	// limit is a sequence that no event of the segment reaches.
	limit uint64
	// sealed: another segment follows. While it is not, limit-1 is the last
	// event of the log, if that is known.
	sealed  bool
	oldest  bool
	written event.Time // of the log's last block, 0 when sealed or not known
}

// Reader reads events in order, beginning anywhere. It is for one goroutine,
// and holds no lock that a Write could wait for. It does not hold back
// retention: a reader that is overtaken by it is given a gap event.
//
// A gap event that the reader makes has the sequence of the last event that it
// stands for, so that a position behind it is a position behind the hole. Its
// times are those at which the blocks before and after the hole were written.
type Reader struct {
	src       source
	leave     func() // unregisters
	onGap     func(*event.Event)
	poke      chan struct{}
	maxEvents int
	next      uint64 // sequence to deliver next; 0: whatever is oldest

	seg    extent
	opened bool
	// dropped: what lies between next and this sequence was deleted.
	dropped uint64
	scan    scanner
	since   event.Time // when the last good block was written

	// The block that is being delivered, and what is to be said before it.
	block block
	seq   uint64 // of its next event
	dec   decoder
	holes []event.Event

	events []event.Event
	oldest event.Time // when the first event of the batch was written
}

// NewReader returns a reader whose first event has sequence from, or is a gap
// if that is not kept any more. 0 stands for the oldest that is kept. Close it.
func (l *Log) NewReader(from uint64) *Reader {
	r := newReader(liveSource{l}, from)
	l.mu.Lock()
	l.readers[r] = struct{}{}
	l.mu.Unlock()
	r.leave = func() {
		l.mu.Lock()
		delete(l.readers, r)
		l.mu.Unlock()
	}
	return r
}

func newReader(src source, from uint64) *Reader {
	r := &Reader{src: src, next: from, poke: make(chan struct{}, 1), leave: func() {}, onGap: func(*event.Event) {}}
	r.SetLimits(DefaultBatchEvents, DefaultBatchBytes)
	return r
}

// SetLimits bounds the batches: at most events, and about bytes, of which a
// single large event may have more. Numbers below 1 mean the default.
func (r *Reader) SetLimits(events, bytes int) {
	if events < 1 {
		events = DefaultBatchEvents
	}
	if bytes < 1 {
		bytes = DefaultBatchBytes
	}
	r.maxEvents, r.scan.chunk = events, bytes
}

// Close gives the reader's file free. Batches that it returned stay valid.
func (r *Reader) Close() error {
	r.leave()
	r.leave = func() {}
	return r.closeSegment()
}

// Next waits until there are events and returns a batch of them, which is valid
// until the next call. It returns ctx.Err when ctx ends, and ErrClosed at the
// end of a closed log.
func (r *Reader) Next(ctx context.Context) ([]event.Event, error) {
	for {
		batch, err := r.TryNext()
		if len(batch) > 0 || err != nil {
			return batch, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-r.poke:
		}
	}
}

// TryNext is Next without waiting: an empty batch says that there is nothing
// to read now.
func (r *Reader) TryNext() ([]event.Event, error) {
	r.events, r.oldest = r.events[:0], 0
	r.dec.reuse()
	finished := r.src.finished() // asked first: what was written before is read below
	for len(r.events) < r.maxEvents {
		if len(r.holes) > 0 || r.seq < r.block.next() {
			r.deliver()
			continue
		}
		// The batch points into the scanner's buffer, which may not be filled
		// again before the next call.
		more, err := r.advance(len(r.events) == 0)
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
	}
	if len(r.events) == 0 && finished {
		return nil, ErrClosed
	}
	return r.events, nil
}

// deliver puts one event into the batch, unless it is before next.
func (r *Reader) deliver() {
	n := len(r.events)
	if n == cap(r.events) {
		r.events = append(r.events, event.Event{})
	}
	// What is there from an earlier batch is overwritten whole.
	r.events = r.events[:n+1]
	ev := &r.events[n]
	if len(r.holes) > 0 {
		*ev = r.holes[0]
		r.holes = append(r.holes[:0], r.holes[1:]...)
		r.date(ev.End)
		r.onGap(ev)
		return
	}
	ok, seq := r.dec.next(ev), r.seq
	switch {
	case !ok:
		r.events = r.events[:n]
		r.seq = r.block.next()
		r.lose(max(r.next, seq), r.seq-1, event.CauseCorrupt, r.block.written)
		return
	case seq < r.next:
		r.events = r.events[:n]
	default:
		ev.Sequence = seq
		r.next = seq + 1
		r.date(r.block.written)
	}
	r.seq++
}

func (r *Reader) date(written event.Time) {
	if r.oldest == 0 {
		r.oldest = written
	}
}

// advance goes on to the next block, or on the way there. It reports false when
// there is nothing more to read, or nothing that may be read without fill.
func (r *Reader) advance(fill bool) (more bool, err error) {
	if !r.opened {
		ext, ok := r.src.locate(r.next)
		if !ok || !fill {
			return false, nil
		}
		return true, r.openSegment(ext)
	}
	b, status := r.scan.next(fill)
	if status == scanBlock {
		r.begin(b)
		return true, nil
	}
	if !fill {
		return false, nil
	}
	ext, ok := r.src.segment(r.seg.first)
	if !ok {
		// Deleted. What was added to it since the last look belongs to the gap.
		ext = r.seg
		ext.sealed = true
	}
	if ext.id != r.seg.id {
		return true, r.closeSegment() // another file in its place: look again
	}
	if ext.size > r.scan.size {
		r.seg, r.scan.size, r.scan.limit = ext, ext.size, ext.limit
		return true, nil
	}
	if ext.sealed {
		following, ok := r.src.after(ext.first)
		if !ok {
			return false, nil
		}
		return true, r.openSegment(following)
	}
	if ext.limit != noLimit && r.next < ext.limit {
		// The end of the log is damaged; how much was there is known.
		r.settle(ext.limit, ext.written)
		return true, nil
	}
	return false, nil
}

// openSegment goes on in another segment.
func (r *Reader) openSegment(ext extent) error {
	f, err := r.src.open(ext.first)
	if errors.Is(err, fs.ErrNotExist) {
		if _, listed := r.src.segment(ext.first); !listed {
			return r.closeSegment() // deleted just now: look again
		}
		f = missingFile{} // somebody took it away: damage like any other
	} else if err != nil {
		return fmt.Errorf("stream: read: %w", err)
	}
	if err := r.closeSegment(); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := r.scan.start(f, ext.size, ext.limit); err != nil {
		return errors.Join(err, f.Close())
	}
	r.seg, r.opened = ext, true
	switch {
	case r.next == 0:
		r.next = ext.first
	case r.next < ext.first && ext.oldest:
		r.dropped = ext.first
	}
	return nil
}

func (r *Reader) closeSegment() error {
	if !r.opened {
		return nil
	}
	r.opened = false
	return r.scan.f.Close()
}

// begin starts the delivery of a block.
func (r *Reader) begin(b block) {
	r.block, r.seq = b, b.next()
	if b.next() <= r.next && b.count > 0 {
		r.since = b.written
		return // before where the reader began
	}
	err := r.dec.open(b.payload, b.written)
	resume := b.first
	if b.flags&blockSkip != 0 && err == nil {
		// The sequences that were skipped are told of by the block's first
		// event; only what is missing before them is not.
		var gap event.Event
		if r.dec.next(&gap) && gap.Lost < resume {
			resume -= gap.Lost
		}
		err = r.dec.open(b.payload, b.written)
	}
	r.settle(resume, b.written)
	r.next = max(r.next, b.first)
	r.since = b.written
	switch {
	case b.count == 0:
	case err != nil:
		r.lose(r.next, b.next()-1, event.CauseCorrupt, b.written)
	default:
		r.seq = b.first
	}
}

// settle reports what is missing before sequence resume.
func (r *Reader) settle(resume uint64, end event.Time) {
	if dropped := min(r.dropped, resume); r.next < dropped {
		r.lose(r.next, dropped-1, event.CauseOverflow, end)
	}
	if r.next < resume {
		r.lose(r.next, resume-1, event.CauseCorrupt, end)
	}
}

// lose reports that the events from first to last are not there.
func (r *Reader) lose(first, last uint64, cause event.Cause, end event.Time) {
	text := "stored events did not verify"
	if cause == event.CauseOverflow {
		text = "the log deleted events before they were read"
	}
	r.holes = append(r.holes, event.Event{
		Sequence: last, Kind: event.KindGap, Cause: cause,
		Received: end, Start: r.since, End: end,
		Lost: last - first + 1,
		Text: text,
	})
	r.next = last + 1
}

// missingFile stands for a segment that is not where it should be.
type missingFile struct{ file }

func (missingFile) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }
func (missingFile) Close() error                      { return nil }
