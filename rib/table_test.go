package rib

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

func TestClasses(t *testing.T) {
	last := 0
	for n := range 70_000 {
		c := int(classOf(n))
		if c < last || c > last+1 {
			t.Fatalf("length %d has class %d after %d", n, c, last)
		}
		last = c
		need := n
		if n > exactLen {
			need += lenLen(n)
		}
		if s := classStride(classOf(n)); s < need || s > need+need/8+classStep {
			t.Fatalf("length %d needs %d octets and gets %d", n, need, s)
		}
	}
	if s := classStride(classOf(maxItem)); s < maxItem+lenLen(maxItem) {
		t.Errorf("the longest item needs %d octets and gets %d", maxItem, s)
	}
	if got := reflect.TypeFor[chunk]().Size(); got != chunkBytes {
		t.Errorf("a chunk has %d octets, not %d", got, chunkBytes)
	}
	if got := reflect.TypeFor[page]().Size() + 4; got != pageHeader {
		t.Errorf("a page has %d octets besides its words, not %d", got, pageHeader)
	}
}

// lenLen is how many octets the length of a stored item takes.
func lenLen(n int) int {
	switch {
	case n < 1<<7:
		return 1
	case n < 1<<14:
		return 2
	}
	return 3
}

// TestPages runs a column's pages against a map, with all forms of page.
func TestPages(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 2))
		var ps pages
		model := map[uint32]uint32{}
		for range 20 {
			grow, span := r.IntN(3) > 0, uint32(1)<<(6+r.IntN(10))
			for range r.IntN(2000) {
				id := r.Uint32N(span) + 64
				if _, ok := model[id]; ok && !grow {
					ps.clear(id)
					delete(model, id)
				} else if !ok && grow {
					word := r.Uint32() | 1
					ps.set(id, word)
					model[id] = word
				}
			}
			if err := comparePages(&ps, model); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			var dst pages
			ps.copyTo(&dst)
			if err := comparePages(&dst, model); err != nil {
				t.Fatalf("seed %d: copy: %v", seed, err)
			}
		}
	}
}

func comparePages(ps *pages, model map[uint32]uint32) error {
	var ids []uint32
	size := 4 * cap(ps.dir)
	for i := range ps.list {
		size += pageHeader + 4*len(ps.list[i].words)
	}
	if ps.n != len(model) {
		return fmt.Errorf("%d words, want %d", ps.n, len(model))
	}
	if ps.bytes != 0 && ps.bytes != int64(size) {
		return fmt.Errorf("%d octets, want %d", ps.bytes, size)
	}
	for id, w := ps.next(0); w != nil; id, w = ps.next(id + 1) {
		ids = append(ids, id)
		if model[id] != *w {
			return fmt.Errorf("id %d: next gives %x, want %x", id, *w, model[id])
		}
	}
	if !slices.IsSorted(ids) || len(ids) != len(model) {
		return fmt.Errorf("next gives %d ids, want %d in order", len(ids), len(model))
	}
	for id := range uint32(70_000) {
		var got uint32
		if w := ps.slot(id); w != nil {
			got = *w
		}
		if got != model[id] {
			return fmt.Errorf("id %d: slot gives %x, want %x", id, got, model[id])
		}
	}
	return nil
}
