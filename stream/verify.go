package stream

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/ribtap/ribtap/event"
)

// Report is what Verify found.
type Report struct {
	Segments []SegmentReport
	// First and Last are the sequences of the first and last event that
	// verified, 0 without any. Blocks, Events and Bytes are totals.
	First, Last    uint64
	Blocks, Events uint64
	Bytes          int64
	// Lost counts the events that are known to be missing between First and
	// Last, but for those that a stored gap event tells of.
	Lost uint64
}

// SegmentReport is one segment's part of a Report.
type SegmentReport struct {
	Name           string // without directory
	First, Last    uint64
	Blocks, Events uint64
	Bytes          int64
	Damage         []Damage
	// Torn counts the octets behind the last good block of the last segment:
	// a write that was cut short, or one that is under way. Open cuts them off.
	Torn int64
}

// Damage is a stretch of a segment that does not verify.
type Damage struct {
	Offset, Length int64
	// Lost counts the events that were there.
	Lost uint64
}

// Damaged reports whether anything but a torn tail is wrong.
func (r *Report) Damaged() bool {
	if r.Lost > 0 {
		return true
	}
	for i := range r.Segments {
		if len(r.Segments[i].Damage) > 0 {
			return true
		}
	}
	return false
}

// Verify reads every octet of the log in dir and says what is there. It changes
// nothing and needs no lock, so that it may run beside the daemon. An error
// means that the log could not be read, not that it is damaged.
func Verify(dir string) (Report, error) { return verifyFS(dir, osFS{}) }

func verifyFS(dir string, fsys filesystem) (Report, error) {
	segments, err := listSegments(fsys, dir)
	if err != nil {
		return Report{}, err
	}
	v := verifier{fs: fsys}
	v.scan.chunk = blockTarget
	for i, s := range segments {
		limit := uint64(noLimit)
		if i < len(segments)-1 {
			limit = segments[i+1].first
		}
		if err := v.segment(s, limit); err != nil {
			return v.report, err
		}
	}
	return v.report, nil
}

type verifier struct {
	fs     filesystem
	scan   scanner
	dec    decoder
	report Report
	next   uint64 // sequence that should come next, 0 before the first
	// open is damage at a segment's end of which it is not known yet what was
	// lost.
	open *Damage
}

func (v *verifier) segment(s *segment, limit uint64) error {
	f, err := v.fs.Open(s.name)
	if err != nil {
		return fmt.Errorf("stream: verify: %w", err)
	}
	if err := v.scan.start(f, s.size, limit); err != nil {
		return errors.Join(fmt.Errorf("%w (%s)", err, s.name), f.Close())
	}
	v.report.Segments = append(v.report.Segments, SegmentReport{Name: filepath.Base(s.name), Bytes: s.size})
	out := &v.report.Segments[len(v.report.Segments)-1]
	if v.next == 0 {
		v.next = s.first
	}
	if !v.scan.headOK && s.size > 0 {
		out.Damage = append(out.Damage, Damage{Length: min(s.size, segmentHeaderLen)})
	}
	for {
		b, status := v.scan.next(true)
		if status != scanBlock {
			v.tail(out, s, b.skipped, limit)
			break
		}
		v.block(out, &b)
	}
	r := &v.report
	r.Blocks, r.Events, r.Bytes = r.Blocks+out.Blocks, r.Events+out.Events, r.Bytes+out.Bytes
	if out.Last > 0 {
		r.Last = out.Last
		if r.First == 0 {
			r.First = out.First
		}
	}
	return f.Close()
}

// block accounts for one that verified, and what is missing before it.
func (v *verifier) block(out *SegmentReport, b *block) {
	out.Blocks++
	lost := v.missing(b)
	v.report.Lost += lost
	switch {
	case v.open != nil && b.skipped == 0:
		v.open.Lost = lost
	case b.skipped > 0 || lost > 0:
		out.Damage = append(out.Damage, Damage{Offset: b.offset - b.skipped, Length: b.skipped, Lost: lost})
	}
	v.open = nil
	if b.count > 0 {
		if n := v.unreadable(b); n > 0 {
			v.report.Lost += n
			out.Damage = append(out.Damage, Damage{Offset: b.offset, Length: int64(b.length) + blockHeaderLen, Lost: n})
		}
		out.Events += uint64(b.count)
		out.Last = b.next() - 1
		if out.First == 0 {
			out.First = b.first
		}
	}
	v.next = max(v.next, b.next())
}

// missing returns how many events should be before the block and are not.
func (v *verifier) missing(b *block) uint64 {
	resume := b.first
	if b.flags&blockSkip != 0 {
		var gap event.Event
		if v.dec.open(b.payload, b.written) == nil && v.dec.next(&gap) && gap.Lost < resume {
			resume -= gap.Lost
			if gap.Lost == 0 {
				return 0 // the log began here
			}
		}
	}
	if v.next == 0 || resume <= v.next {
		return 0
	}
	return resume - v.next
}

// unreadable returns how many of a block's events cannot be decoded.
func (v *verifier) unreadable(b *block) uint64 {
	v.dec.reuse()
	if v.dec.open(b.payload, b.written) != nil {
		return uint64(b.count)
	}
	var ev event.Event
	for i := range b.count {
		if !v.dec.next(&ev) {
			return uint64(b.count - i)
		}
	}
	return 0
}

// tail accounts for what follows a segment's last good block. What was lost
// there shows at the next block.
func (v *verifier) tail(out *SegmentReport, s *segment, skipped int64, limit uint64) {
	switch {
	case skipped == 0:
	case limit == noLimit:
		out.Torn = skipped
	default:
		out.Damage = append(out.Damage, Damage{Offset: s.size - skipped, Length: skipped})
		v.open = &out.Damage[len(out.Damage)-1]
	}
}

// Inspect calls fn for the events of the log in dir from sequence from on (0:
// the oldest), up to the end as it is now, or until fn returns an error. It
// changes nothing and needs no lock, so that it may run beside the daemon. The
// event is valid until fn returns. Damage shows as gap events.
func Inspect(dir string, from uint64, fn func(*event.Event) error) error {
	return inspectFS(dir, from, fn, osFS{})
}

func inspectFS(dir string, from uint64, fn func(*event.Event) error, fsys filesystem) error {
	segments, err := listSegments(fsys, dir)
	if err != nil {
		return err
	}
	r := newReader(dirSource{fsys, segments}, from)
	for {
		batch, err := r.TryNext()
		if errors.Is(err, ErrClosed) {
			return r.Close()
		}
		for i := range batch {
			if err == nil {
				err = fn(&batch[i])
			}
		}
		if err != nil {
			return errors.Join(err, r.Close())
		}
	}
}
