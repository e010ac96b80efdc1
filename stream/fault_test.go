package stream

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ribtap/ribtap/event"
)

// failOnce makes the n-th operation op fail, counted from 1.
func failOnce(op string, n int, err error) func(string, string) error {
	return func(o, name string) error {
		if o != op || !strings.HasSuffix(name, segmentSuffix) {
			return nil
		}
		if n--; n == 0 {
			return err
		}
		return nil
	}
}

// expect fails the test unless the log holds exactly these events, now and
// after it was closed and opened again.
func expect(t *testing.T, l *Log, want []event.Event) {
	t.Helper()
	for range 2 {
		got := readAll(t, l, 0)
		if len(got) != len(want) {
			t.Fatalf("%d events, want %d", len(got), len(want))
		}
		for i := range got {
			same(t, got[i], want[i], uint64(i+1))
		}
		shut(t, l)
		fsys := l.fs.(*memFS)
		fsys.mu.Lock()
		fsys.fault, fsys.limit = nil, 0
		fsys.mu.Unlock()
		l = open(t, l.cfg, fsys)
	}
	shut(t, l)
}

// TestDiskFull: a write waits for space, leaves nothing behind meanwhile, and
// goes through when there is some.
func TestDiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newMemFS()
		l := open(t, roomyConfig(), disk)
		m := newMaker(1)
		first, second := m.batch(5), m.batch(5)
		write(t, l, first)
		size := l.Size()
		disk.limit = size + 50 // of the next batch, a part fits
		done := make(chan error)
		go func() { done <- l.Write(t.Context(), second) }()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := len(readAll(t, l, 0)); got != len(first) || l.Size() != size {
			t.Fatalf("%d events in %d octets while the disk is full, want %d in %d", got, l.Size(), len(first), size)
		}
		if n := len(disk.only(segmentSuffix).data); int64(n) != size {
			t.Fatalf("the file has %d octets, want %d", n, size)
		}
		if !errors.Is(l.Err(), syscall.ENOSPC) {
			t.Fatalf("Err is %v", l.Err())
		}
		disk.mu.Lock()
		disk.limit = 0
		disk.mu.Unlock()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if l.Err() != nil {
			t.Fatalf("Err is %v although the write went through", l.Err())
		}
		expect(t, l, append(first, second...))
	})
}

// TestDiskFullEnds: a context ends the wait, and nothing is written.
func TestDiskFullEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newMemFS()
		l := open(t, roomyConfig(), disk)
		m := newMaker(1)
		first := m.batch(5)
		write(t, l, first)
		disk.limit = l.Size()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := l.Write(ctx, m.batch(1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error is %v", err)
		}
		expect(t, l, first)
	})
}

// TestWriteErrors: a write that fails for another reason than space goes to
// another file, whatever of it got to the first one.
func TestWriteErrors(t *testing.T) {
	for _, row := range []struct {
		name  string
		fault func(op, name string) error
		fails bool
	}{
		{"once", failOnce("write", 1, syscall.EIO), false},
		{"half of it written", failOnce("write", 1, errHalf), false},
		{"half of it written, not cut back", func() func(string, string) error {
			write, truncate := failOnce("write", 1, errHalf), failOnce("truncate", 1, syscall.EIO)
			return func(op, name string) error { return errors.Join(write(op, name), truncate(op, name)) }
		}(), false},
		{"always", func(op, _ string) error {
			if op == "write" {
				return syscall.EROFS
			}
			return nil
		}, true},
		{"no new file", func(op, _ string) error {
			if op == "write" || op == "create" {
				return syscall.EIO
			}
			return nil
		}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			disk := newMemFS()
			l := open(t, roomyConfig(), disk)
			m := newMaker(1)
			want := m.batch(5)
			write(t, l, want)
			disk.fault = row.fault
			// Many blocks, so that whole ones are in the half that got there.
			batch := m.batch(40_000)
			err := l.Write(t.Context(), batch)
			if (err != nil) != row.fails {
				t.Fatalf("error is %v", err)
			}
			if row.fails != (l.Err() != nil) {
				t.Fatalf("Err is %v", l.Err())
			}
			if err == nil {
				want = append(want, batch...)
			}
			disk.fault = nil
			last := m.batch(1)
			write(t, l, last)
			expect(t, l, append(want, last...))
		})
	}
}

// TestSyncError: a file that could not be synced is never synced or written
// again, and the log goes on in another one.
func TestSyncError(t *testing.T) {
	disk := newMemFS()
	l := open(t, roomyConfig(), disk)
	m := newMaker(1)
	want := m.batch(5)
	write(t, l, want)
	bad := disk.only(segmentSuffix)
	disk.fault = failOnce("sync", 1, syscall.EIO)
	if err := l.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("sync: %v", err)
	}
	if l.Err() == nil || l.Synced() != 0 {
		t.Fatalf("Err is %v, synced %d", l.Err(), l.Synced())
	}
	syncs, octets := disk.syncs[bad], len(bad.data)
	if err := l.Sync(); err != nil {
		t.Fatalf("nothing to sync: %v", err)
	}
	if l.Err() == nil {
		t.Fatal("Err is nil although nothing got better")
	}
	batch := m.batch(3)
	write(t, l, batch)
	if err := l.Sync(); err != nil || l.Err() != nil {
		t.Fatalf("sync of the next file: %v, Err %v", err, l.Err())
	}
	if disk.syncs[bad] != syncs || len(bad.data) != octets {
		t.Fatal("the bad file was touched again")
	}
	if l.Synced() != 8 {
		t.Fatalf("synced is %d", l.Synced())
	}
	expect(t, l, append(want, batch...))
}

// TestSyncErrorOfEmptySegment: the segment that follows may have the name of the
// one that failed; a reader that has the old one open goes on in the new one.
func TestSyncErrorOfEmptySegment(t *testing.T) {
	disk := newMemFS()
	l := open(t, roomyConfig(), disk)
	m := newMaker(1)
	disk.limit = 40 // the header fits
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := l.Write(ctx, m.batch(1)); err == nil {
		t.Fatal("no error from a full disk")
	}
	r := l.NewReader(1)
	defer func() { _ = r.Close() }()
	if got := drain(t, r); len(got) != 0 {
		t.Fatalf("%d events", len(got))
	}
	disk.limit = 0
	disk.fault = failOnce("sync", 1, syscall.EIO)
	l.mu.Lock()
	l.active.synced = 0 // not even the header is known to be on the disk
	l.mu.Unlock()
	if err := l.Sync(); err == nil {
		t.Fatal("no error from the sync")
	}
	want := m.batch(2)
	write(t, l, want)
	got := drain(t, r)
	if len(got) != 2 {
		t.Fatalf("%d events, want 2", len(got))
	}
	expect(t, l, want)
}

// TestRun: events are on the disk SyncInterval after they were written.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newMemFS()
		cfg := roomyConfig()
		l := open(t, cfg, disk)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		m := newMaker(1)
		write(t, l, m.batch(3))
		if l.Synced() != 0 {
			t.Fatalf("synced is %d at once", l.Synced())
		}
		time.Sleep(cfg.SyncInterval)
		synctest.Wait()
		if l.Synced() != 3 {
			t.Fatalf("synced is %d after the interval", l.Synced())
		}
		write(t, l, m.batch(1))
		cancel()
		if err := <-done; err != nil || l.Synced() != 4 {
			t.Fatalf("Run: %v, synced %d", err, l.Synced())
		}
		if disk.files[disk.segmentPath()] != disk.durable[disk.segmentPath()] {
			t.Fatal("the segment's directory entry is not durable")
		}
		shut(t, l)
	})
}

func (m *memFS) segmentPath() string {
	names := slices.Sorted(maps.Keys(m.files))
	return names[slices.IndexFunc(names, func(n string) bool { return strings.HasSuffix(n, segmentSuffix) })]
}

// TestSyncEachWrite: with an interval of 0 a Write returns when its events are
// on the disk.
func TestSyncEachWrite(t *testing.T) {
	disk := newMemFS()
	cfg := roomyConfig()
	cfg.SyncInterval = 0
	l := open(t, cfg, disk)
	m := newMaker(1)
	for i := range uint64(5) {
		write(t, l, m.batch(1))
		if l.Synced() != i+1 {
			t.Fatalf("synced is %d after %d writes", l.Synced(), i+1)
		}
	}
	disk.fault = failOnce("sync", 1, syscall.EIO)
	if err := l.Write(t.Context(), m.batch(1)); err == nil {
		t.Fatal("no error although the sync failed")
	}
	shut(t, l)
}

// TestClosed: nothing is written behind Close.
func TestClosed(t *testing.T) {
	l := open(t, roomyConfig(), newMemFS())
	m := newMaker(1)
	write(t, l, m.batch(1))
	r := l.NewReader(0)
	shut(t, l)
	shut(t, l)
	if err := l.Write(t.Context(), m.batch(1)); !errors.Is(err, ErrClosed) {
		t.Fatalf("write: %v", err)
	}
	if batch, err := r.Next(t.Context()); len(batch) != 1 || err != nil {
		t.Fatalf("what was written before is not read: %d, %v", len(batch), err)
	}
	if _, err := r.Next(t.Context()); !errors.Is(err, ErrClosed) {
		t.Fatalf("next: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}
