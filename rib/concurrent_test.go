package rib_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/ribtap/ribtap/rib"
)

// TestConcurrent has views of one DB change at the same time, on the same keys
// and values, while snapshots of the phase before are read and counts taken.
func TestConcurrent(t *testing.T) {
	const workers, phases, steps = 4, 6, 4000
	db := rib.New()
	worlds := make([]*world, workers)
	for i := range worlds {
		worlds[i] = &world{db: db}
		worlds[i].newView()
	}
	errs := make(chan error, workers+3)
	var held []heldSnapshot
	for phase := range phases {
		var wg sync.WaitGroup
		for i, w := range worlds {
			wg.Go(func() { errs <- w.changes(uint64(phase*workers+i), steps) })
		}
		for _, h := range held {
			wg.Go(func() {
				err := checkSnapshot(h.snap, h.model)
				if err == nil {
					_, err = h.snap.WriteTo(io.Discard)
				}
				h.snap.Close()
				errs <- err
			})
		}
		wg.Go(func() {
			var err error
			for range 50 {
				if st := db.Stats(); st.Keys < 0 || st.Bytes < 0 {
					err = fmt.Errorf("stats %+v", st)
				}
			}
			errs <- err
		})
		wg.Wait()
		for range workers + len(held) + 1 {
			if err := <-errs; err != nil {
				t.Fatalf("phase %d: %v", phase, err)
			}
		}
		// Two snapshots, so that the first Close finds another one open.
		held = nil
		for range phase % 3 {
			h := heldSnapshot{snap: db.Snapshot()}
			for _, w := range worlds {
				h.model = append(h.model, w.model[0].clone())
			}
			held = append(held, h)
		}
	}
	for _, h := range held {
		h.snap.Close()
	}
	for _, w := range worlds {
		db.DropView(w.views[0])
	}
	if st := db.Stats(); st.Keys != 0 || st.Values != 0 {
		t.Errorf("after everything went: %+v", st)
	}
}

// changes runs operations that are legal while other views are in use.
func (w *world) changes(seed uint64, n int) error {
	r := rand.New(rand.NewPCG(seed, 3))
	for range n {
		o := op{view: 0, space: testSpaces[r.IntN(2)], key: r.IntN(60), value: r.IntN(30), max: 20, keep: r.IntN(2) == 0}
		switch x := r.IntN(100); {
		case x < 60:
			o.kind = opAnnounce
		case x < 85:
			o.kind = opWithdraw
		case x < 90:
			o.kind = opSuspend
		case x < 94:
			o.kind = opEnd
		case x < 97:
			o.kind = opMarkStale
		default:
			o.kind = opDropGhosts
		}
		if err := w.step(o); err != nil {
			return fmt.Errorf("%v: %w", o, err)
		}
	}
	return nil
}

// TestConcurrentViews has views come and go beside one another.
func TestConcurrentViews(t *testing.T) {
	db := rib.New()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 60 {
				v := db.NewView([]byte{byte(i)})
				for k := range 40 {
					id := db.Intern(testValue(k % 5))
					v.Announce(testSpaces[(j+k)%4], testKey(k), id)
					db.Release(id)
				}
				db.DropView(v)
			}
		})
	}
	wg.Wait()
	if st := db.Stats(); st.Keys != 0 || st.Values != 0 {
		t.Errorf("after everything went: %+v", st)
	}
}

// TestSnapshotKeeps withdraws everything under an open snapshot, brings a part
// back, and closes it twice.
func TestSnapshotKeeps(t *testing.T) {
	w := newWorld()
	v, s := w.views[0], testSpaces[0]
	for i := range 500 {
		if err := w.announce(0, op{space: s, key: i, value: i % 50}); err != nil {
			t.Fatal(err)
		}
	}
	want := []*modelView{w.model[0].clone()}
	snap := w.db.Snapshot()
	for range 3 {
		for i := range 500 {
			v.Withdraw(s, testKey(i))
		}
		for i := 500; i < 900; i++ {
			id := w.db.Intern(testValue(i))
			v.Announce(s, testKey(i), id)
			w.db.Release(id)
		}
		for i := range 900 {
			v.Withdraw(s, testKey(i))
		}
		if err := checkSnapshot(snap, want); err != nil {
			t.Fatal(err)
		}
		id := w.db.Intern(testValue(3))
		v.Announce(s, testKey(3), id)
		w.db.Release(id)
	}
	if st := w.db.Stats(); st.Keys < 500 || st.Values < 50 {
		t.Errorf("under the snapshot: %+v", st)
	}
	snap.Close()
	snap.Close()
	if st := w.db.Stats(); st.Keys != 1 || st.Values != 1 {
		t.Errorf("after the snapshot: %+v", st)
	}
	if err := snap.Each(s, func([]byte, []rib.Entry) error { return nil }); err == nil {
		t.Error("a closed snapshot can be read")
	}
	if _, err := snap.WriteTo(new(bytes.Buffer)); err == nil {
		t.Error("a closed snapshot can be written")
	}
}
