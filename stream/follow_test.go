package stream

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ribtap/ribtap/event"
)

// run starts a follower and returns what ends it and waits for its end.
func run(t *testing.T, f *Follower) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

// TestLag: how far behind a sink is shows also between two batches, when nothing
// is in its hands.
func TestLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, smallConfig(), newMemFS())
		defer shut(t, l)
		f := follow(t, l, "sink", &memSink{}, FollowOptions{BatchEvents: 1})
		write(t, l, newMaker(1).batch(5))
		time.Sleep(10 * time.Second)
		step(t, f)
		if s := f.Status(); s.LagEvents != 4 || s.LagSeconds != 10 {
			t.Errorf("%d events and %v s behind, want 4 and 10", s.LagEvents, s.LagSeconds)
		}
		pump(t, f)
		if s := f.Status(); s.LagEvents != 0 || s.LagSeconds != 0 || s.Taken != 5 {
			t.Errorf("%d events and %v s behind after %d, want none after 5", s.LagEvents, s.LagSeconds, s.Taken)
		}
	})
}

// TestRefusal: a sink that refuses gets the same batch until it takes it, with
// growing pauses, and says meanwhile why it lags; another one does not notice.
func TestRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, smallConfig(), newMemFS())
		defer shut(t, l)
		refusals := 5
		bad := &memSink{refuse: func(context.Context, []event.Event) error {
			if refusals--; refusals >= 0 {
				return errors.New("not now")
			}
			return nil
		}}
		good := &memSink{}
		fb := follow(t, l, "bad", bad, FollowOptions{})
		fg := follow(t, l, "good", good, FollowOptions{})
		defer run(t, fb)()
		defer run(t, fg)()
		write(t, l, newMaker(1).batch(10))
		synctest.Wait()
		if s := fb.Status(); s.Healthy || s.LastError != "not now" || s.LagEvents != 10 {
			t.Errorf("the sink that refuses: %+v", s)
		}
		if s := fg.Status(); !s.Healthy || s.LagEvents != 0 {
			t.Errorf("the other sink: %+v", s)
		}
		time.Sleep(time.Minute)
		if s := fb.Status(); !s.Healthy || s.LastError != "" || s.Committed != 10 {
			t.Errorf("after it took it: %+v", s)
		}
		if next := continuous(t, bad.taken(), 1); next != 11 {
			t.Errorf("it has events before %d, want 11", next)
		}
	})
}

// TestResume: a follower whose writer has no position of its own goes on behind
// its cursor, and one that is stopped with grace first gets what there was.
func TestResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newMemFS()
		l := open(t, smallConfig(), disk)
		m := newMaker(1)
		write(t, l, m.batch(10))
		first := &memSink{}
		f := follow(t, l, "sink", writerOnly{first}, FollowOptions{Grace: time.Second})
		run(t, f)() // stopped before it began: the grace is for the ten
		if next := continuous(t, first.taken(), 1); next != 11 {
			t.Fatalf("the first has events before %d, want 11", next)
		}
		shut(t, l)

		l = open(t, smallConfig(), disk)
		defer shut(t, l)
		write(t, l, m.batch(5))
		second := &memSink{}
		stop := run(t, follow(t, l, "sink", writerOnly{second}, FollowOptions{}))
		synctest.Wait()
		stop()
		if next := continuous(t, second.taken(), 11); next != 16 {
			t.Errorf("the second has events before %d, want 16", next)
		}
	})
}

// TestFromNow: a sink without a position may begin with the next event; one that
// has a position goes on there all the same.
func TestFromNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, smallConfig(), newMemFS())
		defer shut(t, l)
		m := newMaker(1)
		write(t, l, m.batch(10))
		fresh, known := &memSink{}, &memSink{pos: 4}
		ff := follow(t, l, "fresh", fresh, FollowOptions{FromNow: true})
		fk := follow(t, l, "known", known, FollowOptions{FromNow: true})
		write(t, l, m.batch(3))
		pump(t, ff)
		pump(t, fk)
		if got := fresh.taken(); continuous(t, got, 11) != 14 {
			t.Errorf("the fresh sink has %d events", len(got))
		}
		if got := known.taken(); continuous(t, got, 5) != 14 {
			t.Errorf("the known sink has %d events", len(got))
		}
	})
}

// reserving is a sink that may have given events away beyond its position.
type reserving struct {
	memSink
	reserved uint64
}

func (r *reserving) Reserved() uint64 { return r.reserved }

// TestReserved: a number that somebody may have seen is never given to another
// event, although the log lost the one that had it.
func TestReserved(t *testing.T) {
	l := open(t, smallConfig(), newMemFS())
	defer shut(t, l)
	m := newMaker(1)
	write(t, l, m.batch(10))
	follow(t, l, "sink", &reserving{memSink: memSink{pos: 8}, reserved: 15}, FollowOptions{})
	write(t, l, m.batch(1))
	got := readAll(t, l, 11)
	if len(got) != 2 || got[0].Kind != event.KindGap || got[0].Sequence != 16 || got[1].Sequence != 17 {
		t.Errorf("after the ten: %+v", got)
	}
}
