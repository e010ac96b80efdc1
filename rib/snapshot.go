package rib

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"
	"sync"
)

// errClosed is returned by the methods of a closed snapshot.
var errClosed = errors.New("rib: snapshot is closed")

// Snapshot is the state of a DB at one moment. It is safe for concurrent use
// with everything but its own Close. As long as one is open, the DB frees no
// key and no value, so it must be closed.
type Snapshot struct {
	db     *DB
	names  [][]byte
	spaces []Space
	tables []snapTable // by space
	once   sync.Once
	closed bool
}

// snapTable is what the views held of one space.
type snapTable struct {
	space *space
	views []snapColumn // by view
}

type snapColumn struct {
	view  int
	pages pages
}

// Entry is what one view remembers of a key. One that is not active is a ghost.
type Entry struct {
	View          int // index in Views
	Value         []byte
	Active, Stale bool
}

// Snapshot copies the views, four octets a route. The caller guarantees that
// nobody uses any view during the call.
func (db *DB) Snapshot() *Snapshot {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.held.Add(1)
	s := &Snapshot{db: db}
	at := map[Space]int{}
	for i, v := range db.views {
		s.names = append(s.names, v.name)
		for id, c := range v.columns {
			if c.pages.n == 0 {
				continue
			}
			j, ok := at[id]
			if !ok {
				j = len(s.tables)
				at[id] = j
				s.tables = append(s.tables, snapTable{space: c.space})
				s.spaces = append(s.spaces, id)
			}
			t := &s.tables[j]
			t.views = append(t.views, snapColumn{view: i})
			c.pages.copyTo(&t.views[len(t.views)-1].pages)
		}
	}
	slices.SortFunc(s.spaces, compareSpaces)
	slices.SortFunc(s.tables, func(a, b snapTable) int { return compareSpaces(a.space.id, b.space.id) })
	return s
}

// Close lets the DB free what only the snapshot kept.
func (s *Snapshot) Close() {
	s.once.Do(func() {
		s.db.mu.Lock()
		defer s.db.mu.Unlock()
		s.closed = true
		s.tables = nil
		// A new snapshot cannot open before the last item is reclaimed.
		if s.db.held.Add(-1) > 0 {
			return
		}
		for _, sp := range s.db.spaces {
			sp.keys.reclaim()
		}
		s.db.values.reclaim()
	})
}

// Views returns the names of the views; Entry.View is an index into it.
func (s *Snapshot) Views() [][]byte { return s.names }

// Spaces lists the spaces in which any view remembered a route, by family.
func (s *Snapshot) Spaces() []Space { return s.spaces }

// Each calls fn for each key of a space that any view remembered, in the order
// of the keys' bytes, with the views' entries in the order of Views. Key and
// entries are valid during the call. It returns the first error of fn.
func (s *Snapshot) Each(sp Space, fn func(key []byte, entries []Entry) error) error {
	if s.closed {
		return errClosed
	}
	i := slices.Index(s.spaces, sp)
	if i < 0 {
		return nil
	}
	t := &s.tables[i]
	values := &s.db.values.blocks
	var entries []Entry
	for _, id := range t.sorted() {
		entries = entries[:0]
		for j := range t.views {
			c := &t.views[j]
			w := c.pages.slot(id)
			if w == nil {
				continue
			}
			entries = append(entries, Entry{
				View:   c.view,
				Value:  values.item(*w & wordValue),
				Active: *w&wordActive != 0,
				Stale:  *w&wordStale != 0,
			})
		}
		if err := fn(t.space.keys.blocks.item(id), entries); err != nil {
			return err
		}
	}
	return nil
}

// sorted returns the ids of all keys in the order of their bytes.
func (t *snapTable) sorted() []uint32 {
	type sortKey struct {
		head uint64 // the first eight octets, filled up with zeros
		id   uint32
	}
	keys := &t.space.keys.blocks
	set := t.keySet()
	order := make([]sortKey, 0, set.len())
	var head [8]byte
	for id := range set.all {
		clear(head[:])
		copy(head[:], keys.item(id))
		order = append(order, sortKey{binary.BigEndian.Uint64(head[:]), id})
	}
	slices.SortFunc(order, func(a, b sortKey) int {
		if a.head != b.head {
			return cmp.Compare(a.head, b.head)
		}
		return bytes.Compare(keys.item(a.id), keys.item(b.id))
	})
	ids := make([]uint32, len(order))
	for i := range order {
		ids[i] = order[i].id
	}
	return ids
}

// keySet returns the ids of all keys that any view remembers.
func (t *snapTable) keySet() *idSet {
	set := newIDSet(t.space.keys.blocks.limit.Load())
	for i := range t.views {
		p := &t.views[i].pages
		for id, w := p.next(0); w != nil; id, w = p.next(id + 1) {
			set.add(id)
		}
	}
	set.rank()
	return set
}

// valueSet returns the ids of all values that any view remembers.
func (s *Snapshot) valueSet() *idSet {
	set := newIDSet(s.db.values.blocks.limit.Load())
	for i := range s.tables {
		for j := range s.tables[i].views {
			p := &s.tables[i].views[j].pages
			for id, w := p.next(0); w != nil; id, w = p.next(id + 1) {
				set.add(*w & wordValue)
			}
		}
	}
	set.rank()
	return set
}

// idSet is a set of ids, a word for each block, that numbers its members.
type idSet struct {
	bits  []uint64
	below []uint32 // members in the words before; valid after rank
}

// newIDSet makes a set for the ids of blocks below limit.
func newIDSet(limit uint32) *idSet {
	return &idSet{bits: make([]uint64, limit), below: make([]uint32, int(limit)+1)}
}

func (s *idSet) add(id uint32) { s.bits[id>>slotBits] |= 1 << (id & (slotsPerBlock - 1)) }

// rank counts, after the last add.
func (s *idSet) rank() {
	for i, w := range s.bits {
		s.below[i+1] = s.below[i] + uint32(bits.OnesCount64(w))
	}
}

// len returns the number of members.
func (s *idSet) len() int { return int(s.below[len(s.bits)]) }

// number returns how many members are smaller than the member id.
func (s *idSet) number(id uint32) uint32 {
	no := id >> slotBits
	return s.below[no] + uint32(bits.OnesCount64(s.bits[no]&(1<<(id&(slotsPerBlock-1))-1)))
}

// all iterates over the members in ascending order.
func (s *idSet) all(yield func(uint32) bool) {
	for no, w := range s.bits {
		for ; w != 0; w &= w - 1 {
			if !yield(uint32(no)<<slotBits | uint32(bits.TrailingZeros64(w))) {
				return
			}
		}
	}
}
