package rib_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/rib"
)

// check compares everything.
func (w *world) check() error {
	want := rib.Stats{Routes: map[bgp.Family]int{}}
	keys := map[string]bool{}
	for i, m := range w.model {
		v := w.views[i]
		if string(v.Name()) != m.name {
			return fmt.Errorf("view %d is named %q, want %q", i, v.Name(), m.name)
		}
		var counts []rib.Count
		for _, s := range testSpaces {
			c := m.count(s)
			if c.Active+c.Ghosts > 0 {
				counts = append(counts, c)
			}
			if c.Active > 0 {
				want.Routes[s.Family] += c.Active
			}
			if got := v.Count(s); got != c {
				return fmt.Errorf("view %d: count %+v, want %+v", i, got, c)
			}
			for k := range m.routes[s] {
				keys[fmt.Sprint(s)+k] = true
			}
			if err := checkWalk(v, s, m.routes[s]); err != nil {
				return fmt.Errorf("view %d: %w", i, err)
			}
		}
		if got := v.Counts(); !slices.Equal(got, counts) {
			return fmt.Errorf("view %d: counts %+v, want %+v", i, got, counts)
		}
	}
	st := w.db.Stats()
	if !maps.Equal(st.Routes, want.Routes) {
		return fmt.Errorf("stats: routes %v, want %v", st.Routes, want.Routes)
	}
	if st.Keys < len(keys) || len(w.held) == 0 && st.Keys != len(keys) {
		return fmt.Errorf("stats: %d keys, want %d", st.Keys, len(keys))
	}
	snap := w.db.Snapshot()
	defer snap.Close()
	return checkSnapshot(snap, w.model)
}

func checkWalk(v *rib.View, s rib.Space, want map[string]modelRoute) (err error) {
	n := 0
	v.Walk(s, func(key, value []byte, stale bool) bool {
		n++
		if got := (modelRoute{string(value), true, stale}); want[string(key)] != got {
			err = fmt.Errorf("walk %v %x: %+v, want %+v", s, key, got, want[string(key)])
		}
		return err == nil
	})
	for _, r := range want {
		if r.active {
			n--
		}
	}
	if err == nil && n != 0 {
		err = fmt.Errorf("walk %v: %+d routes", s, n)
	}
	return err
}

func checkSnapshot(snap *rib.Snapshot, model []*modelView) error {
	if len(snap.Views()) != len(model) {
		return fmt.Errorf("snapshot has %d views, want %d", len(snap.Views()), len(model))
	}
	left := map[rib.Space]int{}
	for i, m := range model {
		if string(snap.Views()[i]) != m.name {
			return fmt.Errorf("snapshot: view %d is %q", i, snap.Views()[i])
		}
		for s, routes := range m.routes {
			if len(routes) > 0 {
				left[s] += len(routes)
			}
		}
	}
	for _, s := range snap.Spaces() {
		var last []byte
		err := snap.Each(s, func(key []byte, entries []rib.Entry) error {
			if last != nil && bytes.Compare(last, key) >= 0 {
				return fmt.Errorf("key %x after %x", key, last)
			}
			last = append([]byte{}, key...)
			view := -1
			for _, e := range entries {
				if e.View <= view {
					return errors.New("entries out of order")
				}
				view = e.View
				left[s]--
				if got, want := (modelRoute{string(e.Value), e.Active, e.Stale}), model[view].routes[s][string(key)]; got != want {
					return fmt.Errorf("view %d key %x: %+v, want %+v", view, key, got, want)
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("snapshot %v: %w", s, err)
		}
	}
	for s, n := range left {
		if n != 0 {
			return fmt.Errorf("snapshot %v lacks %d routes", s, n)
		}
	}
	return nil
}

// drain gives everything back and checks that nothing stays.
func (w *world) drain() error {
	for len(w.held) > 0 {
		if err := w.closeSnapshot(0); err != nil {
			return err
		}
	}
	for _, v := range w.views {
		w.db.DropView(v)
	}
	for _, id := range w.ids {
		w.db.Release(id)
	}
	if st := w.db.Stats(); st.Keys != 0 || st.Values != 0 || len(st.Routes) != 0 {
		return fmt.Errorf("after everything went: %+v", st)
	}
	return nil
}
