package rib

import (
	"math/bits"
	"slices"
	"sync"
)

// Index slots that hold no id; ids begin at 64 because no block has number 0.
const (
	slotEmpty = 0
	slotGone  = 1
)

// shard is the part of a table that one lock guards: an open-addressing index
// from hash to id, and the blocks with free slots.
type shard struct {
	mu sync.Mutex
	no uint8
	// index holds ids in the bits of idMask, and in the others a part of the
	// hash that spares most comparisons with other items' bytes.
	index  []uint32
	idMask uint32
	live   int // items
	taken  int // slots that are not slotEmpty
	// classes lists, per length class, the blocks with a free slot.
	classes []class
	// blocks are the numbers of all blocks of the shard.
	blocks   []uint32
	deferred []uint32 // items without references that a snapshot may still need
}

type class struct {
	partial uint32 // first block with a free slot, 0 for none
	blocks  uint32 // all blocks of the class
}

// tagOf returns the hash bits of a slot; they are neither the shard's nor home's.
func tagOf(h uint64) uint32 { return uint32(h >> 27) }

// home is where the search for a hash begins.
func (sh *shard) home(h uint64) int {
	return int(uint64(uint32(h)) * uint64(len(sh.index)) >> 32)
}

// full reports whether one more item would make probe sequences long.
func (sh *shard) full() bool { return (sh.taken+1)*8 > len(sh.index)*7 }

// sparse reports whether the index is far too large for what lives.
func (sh *shard) sparse() bool { return len(sh.index) > 64 && sh.live*5 < len(sh.index) }

// reset empties the index and sizes it for the live items and one more.
func (sh *shard) reset(maxID uint32) {
	sh.index = make([]uint32, (sh.live+1)*3/2+8)
	sh.idMask = 1<<min(32, bits.Len32(maxID)+1) - 1
	sh.taken = 0
}

// place enters an id that is not in the index, which no id has left.
func (sh *shard) place(h uint64, id uint32) {
	i := sh.home(h)
	for sh.index[i] != slotEmpty {
		if i++; i == len(sh.index) {
			i = 0
		}
	}
	sh.put(i, h, id)
}

// put enters an id into a slot that has none.
func (sh *shard) put(at int, h uint64, id uint32) {
	if sh.index[at] == slotEmpty {
		sh.taken++
	}
	sh.index[at] = tagOf(h)&^sh.idMask | id
}

// erase takes an id out of the index.
func (sh *shard) erase(h uint64, id uint32) {
	slot := tagOf(h)&^sh.idMask | id
	i := sh.home(h)
	for sh.index[i] != slot {
		if i++; i == len(sh.index) {
			i = 0
		}
	}
	sh.index[i] = slotGone
	next := i + 1
	if next == len(sh.index) {
		next = 0
	}
	// Before an empty slot no search goes on, so the marks there are not needed.
	for sh.index[next] == slotEmpty && sh.index[i] == slotGone {
		sh.index[i] = slotEmpty
		sh.taken--
		next = i
		if i--; i < 0 {
			i = len(sh.index) - 1
		}
	}
}

// allocate stores item in a free slot of its class.
func (t *table) allocate(sh *shard, item []byte) uint32 {
	c := classOf(len(item))
	for int(c) >= len(sh.classes) {
		sh.classes = append(sh.classes, class{})
	}
	cl := &sh.classes[c]
	if cl.partial == 0 {
		cl.partial = t.blocks.take(sh.no, c, cl.blocks)
		cl.blocks++
		sh.blocks = append(sh.blocks, cl.partial)
	}
	no := cl.partial
	b := t.blocks.at(no)
	s := uint32(bits.TrailingZeros64(^b.used))
	b.used |= 1 << s
	if ^b.used == 0 {
		t.unlink(cl, b)
	}
	b.put(s, item)
	return no<<slotBits | s
}

// deallocate frees the slot of an id.
func (t *table) deallocate(sh *shard, id uint32) {
	no, s := id>>slotBits, id&(slotsPerBlock-1)
	b := t.blocks.at(no)
	cl := &sh.classes[b.class]
	if ^b.used == 0 {
		t.link(cl, b, no)
	}
	b.used &^= 1 << s
	b.refs[s].Store(0)
	if b.used != b.missing() {
		return
	}
	// One empty block stays, so that a lone route that flaps costs no memory
	// traffic; large ones do not.
	if cl.partial == no && b.next == 0 && len(b.data) <= blockBytes {
		return
	}
	t.unlink(cl, b)
	cl.blocks--
	i := slices.Index(sh.blocks, no)
	last := len(sh.blocks) - 1
	sh.blocks[i] = sh.blocks[last]
	sh.blocks = sh.blocks[:last]
	t.blocks.give(no)
}

func (t *table) link(cl *class, b *block, no uint32) {
	b.prev, b.next = 0, cl.partial
	if b.next != 0 {
		t.blocks.at(b.next).prev = no
	}
	cl.partial = no
}

func (t *table) unlink(cl *class, b *block) {
	if b.prev != 0 {
		t.blocks.at(b.prev).next = b.next
	} else {
		cl.partial = b.next
	}
	if b.next != 0 {
		t.blocks.at(b.next).prev = b.prev
	}
	b.next, b.prev = 0, 0
}
