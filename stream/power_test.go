package stream

import (
	"context"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/ribtap/ribtap/event"
)

var errPowerOff = errors.New("power off")

// world is a log on a disk that forgets, two sinks that do not, and what is
// known to have been promised.
type world struct {
	t    testing.TB
	run  int
	rng  *rand.Rand
	make *maker
	disk *memFS
	log  *Log

	budget   int                    // disk operations until the power fails
	acked    map[uint64]event.Event // by sequence, since the log was opened
	inFlight []event.Event
	first    uint64 // of inFlight
	synced   uint64
	sinks    [2]powerSink
}

// powerSink has everything that it was given, power or not.
type powerSink struct {
	reader *Reader
	pos    uint64
	ids    map[uint64]bool
}

// TestPowerLoss: whatever a power cut leaves of the disk, the log opens; what
// was synced is there; every event is as it was written; each sink goes on
// where it was, without a sequence missing or an event twice.
func TestPowerLoss(t *testing.T) {
	for run := range 2000 {
		w := &world{
			t: t, run: run, rng: rand.New(rand.NewPCG(uint64(run), 99)), make: newMaker(uint64(run)),
			disk: newMemFS(), acked: map[uint64]event.Event{},
		}
		for i := range w.sinks {
			w.sinks[i].ids = map[uint64]bool{}
		}
		for range 3 {
			w.boot()
			w.work()
			w.cut()
		}
	}
}

func (w *world) fatalf(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("run %d: "+format, append([]any{w.run}, args...)...)
}

// boot opens the log and checks what it holds.
func (w *world) boot() {
	w.budget = 1 << 30 // the disk is well
	cfg := smallConfig()
	cfg.OnFull = OnFullDrop
	w.log = open(w.t, cfg, w.disk)
	held := map[uint64]event.Event{}
	got := readAll(w.t, w.log, 0)
	if len(got) > 0 {
		continuous(w.t, got, got[0].Sequence-max(got[0].Lost, 1)+1)
	}
	for _, ev := range got {
		w.checkEvent(ev)
		held[ev.Sequence] = ev
	}
	for seq, want := range w.acked {
		kept := held[seq].Kind == want.Kind || want.Kind == event.KindGap && inGap(got, seq)
		if seq >= w.log.First() && seq <= w.synced && !kept {
			w.fatalf("event %d was synced (up to %d) and is gone", seq, w.synced)
		}
	}
	w.acked, w.inFlight = held, nil
	w.synced = w.log.Synced()
	for i := range w.sinks {
		if err := w.log.SkipTo(context.Background(), w.sinks[i].pos); err != nil {
			w.fatalf("skip: %v", err)
		}
	}
	for i := range w.sinks {
		s := &w.sinks[i]
		if w.log.Last() < s.pos {
			w.fatalf("the log is at %d, sink %d at %d", w.log.Last(), i, s.pos)
		}
		s.reader = w.log.NewReader(s.pos + 1)
		s.reader.SetLimits(1+w.rng.IntN(50), 1+w.rng.IntN(9000))
		w.step(s)
	}
	for _, ev := range readAll(w.t, w.log, 0) {
		w.acked[ev.Sequence] = ev // with the gaps that SkipTo wrote
	}
}

// inGap reports whether a gap stands for the sequence. What one boot reported as
// a gap may be part of a longer one at the next.
func inGap(events []event.Event, seq uint64) bool {
	return slices.ContainsFunc(events, func(ev event.Event) bool {
		return ev.Kind == event.KindGap && ev.Sequence-ev.Lost < seq && seq <= ev.Sequence
	})
}

// checkEvent compares an event that was found with what was written.
func (w *world) checkEvent(ev event.Event) {
	if ev.Kind == event.KindGap {
		return
	}
	if want, ok := w.acked[ev.Sequence]; ok {
		if !reflect.DeepEqual(ev, want) && want.Kind != event.KindGap {
			w.fatalf("event %d is not as it was written:\n got %+v\nwant %+v", ev.Sequence, ev, want)
		}
		return
	}
	i := ev.Sequence - w.first
	if i >= uint64(len(w.inFlight)) {
		w.fatalf("event %d was never written", ev.Sequence)
	}
	same(w.t, ev, w.inFlight[i], ev.Sequence)
}

// work does this and that until the power fails.
func (w *world) work() {
	w.budget = 1 + w.rng.IntN(120)
	w.disk.fault = func(string, string) error {
		if w.budget--; w.budget < 0 {
			return errPowerOff
		}
		return nil
	}
	for {
		w.disk.mu.Lock()
		off := w.budget < 0
		w.disk.mu.Unlock()
		if off {
			return
		}
		switch w.rng.IntN(8) {
		case 0:
			if w.log.Sync() == nil {
				w.synced = w.log.Synced()
			}
		case 1, 2:
			w.step(&w.sinks[w.rng.IntN(2)])
		case 3:
			w.log.retain()
		default:
			w.write(w.make.batch(1 + w.rng.IntN(12)))
		}
	}
}

func (w *world) write(batch []event.Event) {
	w.first, w.inFlight = w.log.Last()+1, batch
	if w.log.Write(context.Background(), batch) != nil {
		return
	}
	w.inFlight = nil
	for i, ev := range batch {
		ev.Sequence = w.first + uint64(i)
		w.acked[ev.Sequence] = ev
	}
}

// step gives a sink a batch.
func (w *world) step(s *powerSink) {
	batch, err := s.reader.TryNext()
	if err != nil || len(batch) == 0 {
		return
	}
	if w.budget < 0 {
		return // the disk gave nothing any more, which reads as damage
	}
	s.pos = continuous(w.t, batch, s.pos+1) - 1
	for i := range batch {
		n := id(&batch[i])
		if n == 0 {
			continue
		}
		if s.ids[n] {
			w.fatalf("event with number %d came twice", n)
		}
		s.ids[n] = true
	}
}

func (w *world) cut() {
	for i := range w.sinks {
		_ = w.sinks[i].reader.Close()
	}
	oldFirst := w.log.First()
	w.disk.mu.Lock()
	w.disk.fault = nil
	w.disk.mu.Unlock()
	w.disk = w.disk.crash(w.rng)
	l := open(w.t, smallConfig(), w.disk)
	if l.First() > oldFirst {
		w.fatalf("first was %d and is %d", oldFirst, l.First())
	}
	shut(w.t, l)
}
