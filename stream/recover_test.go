package stream

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ribtap/ribtap/event"
)

// recording is a log of one segment, and what was written to it.
type recording struct {
	events []event.Event
	blocks []int64 // where each block ends, from the file's start
	counts []int   // how many events are in the file up to there
	bytes  []byte
}

// record writes batches of several sizes and closes the log, unless open is set.
func record(t testing.TB, batches int, leaveOpen bool) recording {
	t.Helper()
	disk := newMemFS()
	l := open(t, roomyConfig(), disk)
	m := newMaker(7)
	var r recording
	for i := range batches {
		batch := m.batch(1 + i%4)
		write(t, l, batch)
		r.events = append(r.events, batch...)
		r.blocks = append(r.blocks, l.Size())
		r.counts = append(r.counts, len(r.events))
	}
	if leaveOpen {
		r.bytes = slices.Clone(disk.only(segmentSuffix).data)
	}
	shut(t, l)
	if !leaveOpen {
		r.bytes = slices.Clone(disk.only(segmentSuffix).data)
	}
	return r
}

func firstSegment() string { return filepath.Join(memDir, segmentName(1)) }

// TestCutAtEveryByte: whatever is left of a segment, a prefix of what was
// written is read, and the log goes on behind it.
func TestCutAtEveryByte(t *testing.T) {
	rec := record(t, 14, false)
	more := newMaker(8).batch(2)
	for cut := range len(rec.bytes) + 1 {
		disk := memWith(firstSegment(), slices.Clone(rec.bytes[:cut]))
		l := open(t, roomyConfig(), disk)
		want := 0
		for i, end := range rec.blocks {
			if int64(cut) >= end {
				want = rec.counts[i]
			}
		}
		if l.Last() != uint64(want) {
			t.Fatalf("cut at %d: last is %d, want %d", cut, l.Last(), want)
		}
		write(t, l, more)
		for range 2 { // as it is, and opened again
			got := readAll(t, l, 0)
			if len(got) != want+len(more) {
				t.Fatalf("cut at %d: %d events, want %d", cut, len(got), want+len(more))
			}
			for i := range got {
				if i < want {
					same(t, got[i], rec.events[i], uint64(i+1))
				} else {
					same(t, got[i], more[i-want], uint64(i+1))
				}
			}
			shut(t, l)
			l = open(t, roomyConfig(), disk)
		}
		shut(t, l)
	}
}

// checkDamaged compares what is read of a damaged log with what was written,
// and returns how many events are missing.
func checkDamaged(t testing.TB, got, want []event.Event, what string, at int) (lost uint64) {
	t.Helper()
	if next := continuous(t, got, 1); next != uint64(len(want))+1 {
		t.Fatalf("%s %d: the events end before %d, want %d", what, at, next, len(want)+1)
	}
	for i := range got {
		if ev := &got[i]; ev.Kind == event.KindGap {
			if ev.Cause != event.CauseCorrupt {
				t.Fatalf("%s %d: gap with cause %v", what, at, ev.Cause)
			}
			lost += ev.Lost
			continue
		}
		same(t, got[i], want[got[i].Sequence-1], got[i].Sequence)
	}
	return lost
}

// TestFlipEveryByte: a flipped bit anywhere in a closed log is noticed, never
// gives other events than were written, and costs one block.
func TestFlipEveryByte(t *testing.T) {
	rec := record(t, 14, false)
	rng := rand.New(rand.NewPCG(3, 4))
	for at := range rec.bytes {
		data := slices.Clone(rec.bytes)
		data[at] ^= 1 << rng.IntN(8)
		disk := memWith(firstSegment(), data)

		var got []event.Event
		err := inspectFS(memDir, 0, func(ev *event.Event) error {
			got = append(got, clone(*ev))
			return nil
		}, disk)
		if err != nil {
			t.Fatal(err)
		}
		want := uint64(0)
		if i := slices.IndexFunc(rec.blocks, func(end int64) bool { return int64(at) < end }); at >= segmentHeaderLen && i >= 0 {
			want = uint64(1 + i%4)
		}
		if at < int(rec.blocks[len(rec.blocks)-1]) {
			if lost := checkDamaged(t, got, rec.events, "flip at", at); lost != want {
				t.Fatalf("flip at %d: %d events lost, want %d", at, lost, want)
			}
			report, err := verifyFS(memDir, disk)
			if err != nil || !report.Damaged() || report.Lost != want {
				t.Fatalf("flip at %d: verify says %+v, %v; want %d lost", at, report, err, want)
			}
		}
		l := open(t, roomyConfig(), disk)
		if lost := checkDamaged(t, readAll(t, l, 1), rec.events, "open after flip at", at); lost != want {
			t.Fatalf("open after flip at %d: %d events lost, want %d", at, lost, want)
		}
		write(t, l, rec.events[:1])
		if got := readAll(t, l, uint64(len(rec.events))+1); len(got) != 1 {
			t.Fatalf("flip at %d: %d events after the one written, want 1", at, len(got))
		} else {
			same(t, got[0], rec.events[0], uint64(len(rec.events))+1)
		}
		shut(t, l)
	}
}

// TestFlipWhileOpen: damage behind which nothing was written yet is a gap too,
// because the log knows how much it has written.
func TestFlipWhileOpen(t *testing.T) {
	disk := newMemFS()
	l := open(t, roomyConfig(), disk)
	defer shut(t, l)
	m := newMaker(9)
	written := m.batch(5)
	write(t, l, written)
	good := l.Size()
	bad := m.batch(3)
	write(t, l, bad)
	r := l.NewReader(1)
	defer func() { _ = r.Close() }()
	disk.only(segmentSuffix).data[good+blockHeaderLen+5] ^= 4
	got := drain(t, r)
	if len(got) != 6 || got[5].Kind != event.KindGap || got[5].Lost != 3 || got[5].Sequence != 8 {
		t.Fatalf("got %d events, last %+v", len(got), got[len(got)-1])
	}
	write(t, l, written[:1])
	if got := drain(t, r); len(got) != 1 {
		t.Fatalf("%d events after the damage, want 1", len(got))
	} else {
		same(t, got[0], written[0], 9)
	}
}

// TestUnreadableSector: octets that the disk refuses to read are damage, not a
// reader that never gets on.
func TestUnreadableSector(t *testing.T) {
	disk := newMemFS()
	l := open(t, roomyConfig(), disk)
	defer shut(t, l)
	m := newMaker(10)
	for range 200 {
		write(t, l, m.batch(1))
	}
	reads := 0
	disk.fault = func(op, _ string) error {
		if op != "read" {
			return nil
		}
		if reads++; reads == 1 {
			return errors.New("input/output error")
		}
		return nil
	}
	r := l.NewReader(1)
	defer func() { _ = r.Close() }()
	got := drain(t, r)
	if next := continuous(t, got, 1); next != 201 {
		t.Fatalf("events end before %d, want 201", next)
	}
	if got[0].Kind != event.KindGap || r.scan.unreadable == 0 {
		t.Fatalf("the first event is %+v", got[0])
	}
}

// TestHostileOctetsAreNoBlock: octets that a router sent are not taken for a
// block when the log looks for one behind damage.
func TestHostileOctetsAreNoBlock(t *testing.T) {
	rec := record(t, 3, false)
	disk := newMemFS()
	l := open(t, roomyConfig(), disk)
	hostile := rec.events[0]
	hostile.PDU = rec.bytes // has whole blocks in it
	write(t, l, []event.Event{hostile})
	write(t, l, rec.events[:1])
	shut(t, l)
	disk.only(segmentSuffix).data[segmentHeaderLen+9] ^= 1
	l = open(t, roomyConfig(), disk)
	defer shut(t, l)
	got := readAll(t, l, 1)
	if len(got) != 2 || got[0].Kind != event.KindGap || got[0].Lost != 1 {
		t.Fatalf("got %+v", got)
	}
	same(t, got[1], rec.events[0], 2)
}

// TestSegmentHeaders: what the header of a segment may do to a log.
func TestSegmentHeaders(t *testing.T) {
	rec := record(t, 6, true)
	head, ok := parseSegmentHeader(rec.bytes[:segmentHeaderLen])
	if !ok {
		t.Fatal("the header does not verify")
	}
	with := func(change func(*segmentHeader)) []byte {
		h := head
		change(&h)
		return append(appendSegmentHeader(nil, h), rec.bytes[segmentHeaderLen:]...)
	}
	n := uint64(len(rec.events))
	for _, row := range []struct {
		name     string
		data     []byte
		err      error
		last     uint64
		segments int // after one more write
	}{
		{"as it is", rec.bytes, nil, n, 1},
		{"later minor", with(func(h *segmentHeader) { h.minor = 9 }), nil, n, 2},
		{"later major", with(func(h *segmentHeader) { h.major = 2 }), ErrVersion, 0, 0},
		{"damaged", append(bytes.Repeat([]byte{'x'}, segmentHeaderLen), rec.bytes[segmentHeaderLen:]...), nil, n, 2},
		{"garbage", bytes.Repeat([]byte{'x'}, 5000), nil, 0, 1},
		{"zeros", make([]byte, 5000), nil, 0, 1},
		{"empty", nil, nil, 0, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			disk := memWith(firstSegment(), slices.Clone(row.data))
			l, err := openFS(roomyConfig(), quiet, nil, disk)
			if !errors.Is(err, row.err) {
				t.Fatalf("open: %v, want %v", err, row.err)
			}
			if err != nil {
				return
			}
			defer shut(t, l)
			if l.Last() != row.last {
				t.Fatalf("last is %d, want %d", l.Last(), row.last)
			}
			write(t, l, rec.events[:1])
			if got := readAll(t, l, 0); uint64(len(got)) != row.last+1 {
				t.Fatalf("%d events, want %d", len(got), row.last+1)
			}
			if got := len(disk.names(segmentSuffix)); got != row.segments {
				t.Fatalf("%d segments, want %d", got, row.segments)
			}
		})
	}
}

// TestSegmentTakenAway: a segment that somebody deleted is a gap of the right
// size.
func TestSegmentTakenAway(t *testing.T) {
	disk := newMemFS()
	cfg := smallConfig()
	l := open(t, cfg, disk)
	m := newMaker(11)
	var firsts []uint64
	for len(firsts) < 4 {
		write(t, l, m.batch(3))
		firsts = firsts[:0]
		for _, s := range l.segments {
			firsts = append(firsts, s.first)
		}
	}
	last := l.Last()
	shut(t, l)
	if err := disk.Remove(filepath.Join(memDir, segmentName(firsts[1]))); err != nil {
		t.Fatal(err)
	}
	l = open(t, cfg, disk)
	defer shut(t, l)
	got := readAll(t, l, 1)
	if next := continuous(t, got, 1); next != last+1 {
		t.Fatalf("events end before %d, want %d", next, last+1)
	}
	i := slices.IndexFunc(got, func(ev event.Event) bool { return ev.Kind == event.KindGap })
	if i < 0 || got[i].Lost != firsts[2]-firsts[1] || got[i].Cause != event.CauseCorrupt {
		t.Fatalf("gap %+v, want %d lost", got[i], firsts[2]-firsts[1])
	}
}
