package stream

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ribtap/ribtap/event"
)

// fillTo writes until the log has n segments.
func fillTo(t testing.TB, l *Log, m *maker, n int) {
	t.Helper()
	for len(l.segments) < n {
		write(t, l, m.batch(2))
	}
}

// TestRetention: what every follower has passed goes, once Keep octets are
// there besides.
func TestRetention(t *testing.T) {
	disk := newMemFS()
	cfg := smallConfig()
	cfg.Keep = 3 * minSegmentSize
	l := open(t, cfg, disk)
	defer shut(t, l)
	m := newMaker(1)
	fast, slow := &memSink{}, &memSink{}
	ff := follow(t, l, "fast", fast, FollowOptions{})
	fs := follow(t, l, "slow", slow, FollowOptions{})
	fillTo(t, l, m, 8)
	l.retain()
	if l.First() != 1 {
		t.Fatalf("first is %d although no sink has anything", l.First())
	}
	pump(t, ff)
	l.retain()
	if l.First() != 1 {
		t.Fatalf("first is %d although one sink has nothing", l.First())
	}
	part := l.segments[3].first + 1
	for fs.position.Load() < part {
		fs.r.SetLimits(int(part-fs.position.Load()), 0)
		step(t, fs)
	}
	l.retain()
	if got := len(l.segments); got != 5 || l.First() > part {
		t.Fatalf("%d segments from %d, want 5 from before %d", got, l.First(), part)
	}
	pump(t, fs)
	l.retain()
	if l.Size() < cfg.Keep || l.Size() > cfg.Keep+2*minSegmentSize {
		t.Fatalf("%d octets are left, want %d and a little", l.Size(), cfg.Keep)
	}
	if got, want := len(disk.names(segmentSuffix)), len(l.segments); got != want {
		t.Fatalf("%d files, want %d", got, want)
	}
	continuous(t, readAll(t, l, 0), l.First())
}

// follow registers a sink.
func follow(t testing.TB, l *Log, name string, w event.Writer, o FollowOptions) *Follower {
	t.Helper()
	f, err := l.Follow(name, w, o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// step gives a follower's sink one batch and reports whether there was one.
func step(t testing.TB, f *Follower) bool {
	t.Helper()
	batch, err := f.r.TryNext()
	if err != nil {
		t.Fatal(err)
	}
	if len(batch) == 0 {
		return false
	}
	if !f.write(t.Context(), t.Context(), batch) {
		t.Fatal("the sink refused")
	}
	f.save()
	return true
}

// pump gives a follower's sink all there is.
func pump(t testing.TB, f *Follower) {
	t.Helper()
	for step(t, f) {
	}
}

// TestFullBlocks: with on_full block a write waits until the sink has passed a
// segment, and no event is lost.
func TestFullBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := smallConfig()
		l := open(t, cfg, newMemFS())
		sink := &memSink{}
		f := follow(t, l, "sink", writerOnly{sink}, FollowOptions{})
		m := newMaker(1)
		ctx, cancel := context.WithCancel(t.Context())
		written := make(chan uint64)
		go func() {
			var n uint64
			for l.Write(ctx, m.batch(2)) == nil {
				n += 2
			}
			written <- n
		}()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		stopped := l.Last()
		if l.Size() > cfg.MaxSize {
			t.Fatalf("%d octets, at most %d are allowed", l.Size(), cfg.MaxSize)
		}
		if l.Size() < cfg.MaxSize-minSegmentSize || l.First() != 1 {
			t.Fatalf("stopped at %d octets, first %d", l.Size(), l.First())
		}
		f.r.SetLimits(int(l.segments[2].first), 0)
		step(t, f)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if l.Last() == stopped {
			t.Fatal("the write still waits although the sink has passed a segment")
		}
		cancel()
		if n := <-written; n != l.Last() {
			t.Fatalf("%d events written, last is %d", n, l.Last())
		}
		pump(t, f)
		if next := continuous(t, sink.taken(), 1); next != l.Last()+1 || l.Gaps() != 0 {
			t.Fatalf("the sink has events before %d, want %d; %d gaps", next, l.Last()+1, l.Gaps())
		}
		shut(t, l)
	})
}

// TestFullDrops: with on_full drop a write never waits, and the sink that is
// behind is told exactly what it lost.
func TestFullDrops(t *testing.T) {
	cfg := smallConfig()
	cfg.OnFull = OnFullDrop
	reg := prometheus.NewRegistry()
	l, err := openFS(cfg, quiet, reg, newMemFS())
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, l)
	m := newMaker(1)
	slow, fast := &memSink{}, &memSink{}
	fs := follow(t, l, "slow", slow, FollowOptions{})
	ff := follow(t, l, "fast", fast, FollowOptions{})
	write(t, l, m.batch(10))
	fs.r.SetLimits(5, 0)
	step(t, fs)
	for range 600 {
		write(t, l, m.batch(2))
		pump(t, ff)
	}
	first := l.First()
	if first == 1 || l.Size() > cfg.MaxSize {
		t.Fatalf("first is %d, %d octets", first, l.Size())
	}
	pump(t, fs)
	got := slow.taken()
	if next := continuous(t, got, 1); next != l.Last()+1 {
		t.Fatalf("events end before %d, want %d", next, l.Last()+1)
	}
	gaps := slices.DeleteFunc(slices.Clone(got), func(ev event.Event) bool { return ev.Kind != event.KindGap })
	if len(gaps) != 1 {
		t.Fatalf("%d gaps, want 1", len(gaps))
	}
	gap := gaps[0]
	if gap.Cause != event.CauseOverflow || gap.Sequence != first-1 || gap.Start == 0 || gap.End < gap.Start || gap.Received != gap.End {
		t.Fatalf("gap is %+v, first %d", gap, first)
	}
	if n := uint64(len(got)-1) + gap.Lost; n != l.Last() {
		t.Fatalf("%d events and lost ones, want %d", n, l.Last())
	}
	if next := continuous(t, fast.taken(), 1); next != l.Last()+1 || uint64(len(fast.taken())) != l.Last() {
		t.Fatal("the sink that kept up lost something")
	}
	if v := testutil.ToFloat64(l.m.gaps.WithLabelValues("overflow")); v != 1 {
		t.Fatalf("ribtap_gaps_total is %v", v)
	}
	if v := testutil.ToFloat64(l.m.lost.WithLabelValues("overflow")); v != float64(gap.Lost) {
		t.Fatalf("ribtap_stream_lost_events_total is %v, want %d", v, gap.Lost)
	}
}

// TestDropBeforeFirstCommit: a sink that never had anything, and was away over a
// restart meanwhile, is told of what it was promised.
func TestDropBeforeFirstCommit(t *testing.T) {
	cfg := smallConfig()
	cfg.OnFull = OnFullDrop
	disk := newMemFS()
	l := open(t, cfg, disk)
	follow(t, l, "sink", &memSink{}, FollowOptions{})
	m := newMaker(1)
	for range 600 {
		write(t, l, m.batch(2))
	}
	shut(t, l)
	l = open(t, cfg, disk)
	defer shut(t, l)
	sink := &memSink{}
	pump(t, follow(t, l, "sink", sink, FollowOptions{}))
	got := sink.taken()
	if got[0].Kind != event.KindGap || got[0].Lost != l.First()-1 || got[0].Cause != event.CauseOverflow {
		t.Fatalf("the first event is %+v, the log begins at %d", got[0], l.First())
	}
	// One that is new now was promised nothing.
	late := &memSink{}
	pump(t, follow(t, l, "late", late, FollowOptions{}))
	if got := late.taken(); got[0].Kind == event.KindGap || got[0].Sequence != l.First() {
		t.Fatalf("the new sink begins with %+v, the log with %d", got[0], l.First())
	}
}

// TestBatchLargerThanMaxSize: it is written all the same, alone.
func TestBatchLargerThanMaxSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := smallConfig()
		l := open(t, cfg, newMemFS())
		m := newMaker(1)
		fillTo(t, l, m, 4)
		batch := m.batch(2000)
		first := l.Last() + 1
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		for range 2 {
			if err := l.Write(ctx, batch); err != nil {
				t.Fatal(err)
			}
		}
		if got := readAll(t, l, first+2000); len(got) != 2000 {
			t.Fatalf("%d events, want 2000", len(got))
		}
		shut(t, l)
	})
}

// TestDiskFullFreesSegments: when the disk is full before the log is, segments
// that every sink has passed go, Keep or not.
func TestDiskFullFreesSegments(t *testing.T) {
	for _, mode := range []string{OnFullBlock, OnFullDrop} {
		t.Run(mode, func(t *testing.T) {
			disk := newMemFS()
			cfg := smallConfig()
			cfg.Keep, cfg.OnFull = cfg.MaxSize, mode
			l := open(t, cfg, disk)
			defer shut(t, l)
			sink := &memSink{}
			f := follow(t, l, "sink", sink, FollowOptions{})
			m := newMaker(1)
			fillTo(t, l, m, 4)
			if mode == OnFullBlock {
				pump(t, f)
			}
			// Less than what the sink has passed, and more than is free.
			disk.limit = l.Size() + 300
			for range 20 {
				write(t, l, m.batch(2))
			}
			if l.First() == 1 {
				t.Fatal("no segment was deleted")
			}
			pump(t, f)
			if next := continuous(t, sink.taken(), 1); next != l.Last()+1 {
				t.Fatalf("events end before %d, want %d", next, l.Last()+1)
			}
			if lost := l.Gaps() > 0; lost != (mode == OnFullDrop) {
				t.Fatalf("%d gaps", l.Gaps())
			}
		})
	}
}

func TestConfig(t *testing.T) {
	if err := (Config{}).Validate(); err == nil {
		t.Error("the zero config is valid")
	}
	c := DefaultConfig()
	c.Dir = "x"
	if err := c.Validate(); err != nil {
		t.Errorf("the default config: %v", err)
	}
	for name, change := range map[string]func(*Config){
		"dir":          func(c *Config) { c.Dir = "" },
		"on_full":      func(c *Config) { c.OnFull = "explode" },
		"sync":         func(c *Config) { c.SyncInterval = -1 },
		"segment_size": func(c *Config) { c.SegmentSize = 1 },
		"max_size":     func(c *Config) { c.MaxSize = 1 },
		"keep":         func(c *Config) { c.Keep = -1 },
	} {
		bad := c
		change(&bad)
		if err := bad.Validate(); err == nil {
			t.Errorf("a bad %s is valid", name)
		}
		if _, err := Open(bad, quiet, nil); err == nil {
			t.Errorf("a log with a bad %s opens", name)
		}
	}
	c.MaxSize = 1 << 20
	if f := c.fitted(); f.SegmentSize != 1<<18 || f.Keep != 1<<19 {
		t.Errorf("fitted to %+v", f)
	}
	if errors.Is(ErrClosed, ErrLocked) {
		t.Error("errors are alike")
	}
}
