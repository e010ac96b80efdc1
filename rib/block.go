package rib

import (
	"encoding/binary"
	"math/bits"
	"sync"
	"sync/atomic"
)

const (
	slotBits       = 6
	slotsPerBlock  = 1 << slotBits
	chunkBits      = 4
	blocksPerChunk = 1 << chunkBits

	// blockBytes is what a block of small items holds at most; larger items get
	// a block each.
	blockBytes = 4096
	// exactLen is the longest item that is stored in a class of its own length,
	// without a length in front. Prefix keys with RD and path identifier fit.
	exactLen = 32
	// classStep is the distance of the classes up to classLinear octets.
	classStep   = 8
	classLinear = 256
	// maxItem is the longest key or value: a message of RFC 8654 with room.
	maxItem = 1 << 20
)

// block holds up to 64 items of one length class for one shard. data, refs,
// stride and class stay as they are while any item of the block lives; used and
// the links belong to the shard's lock.
type block struct {
	data       []byte
	refs       []atomic.Uint32 // one a slot; its length is the number of slots
	used       uint64          // bit per slot; the slots that do not exist count as used
	stride     uint32
	next, prev uint32 // list of the shard's blocks of this class with a free slot
	class      uint8
	shard      uint8
}

// missing has the bits of slots that the block does not have.
func (b *block) missing() uint64 { return ^uint64(0) << len(b.refs) }

// item returns the bytes in slot s.
func (b *block) item(s uint32) []byte {
	raw := b.data[s*b.stride : (s+1)*b.stride : (s+1)*b.stride]
	if b.class <= exactLen {
		return raw
	}
	n, w := binary.Uvarint(raw)
	end := w + int(n)
	return raw[w:end:end]
}

// put writes item into slot s; the item is of the block's class.
func (b *block) put(s uint32, item []byte) {
	raw := b.data[s*b.stride : (s+1)*b.stride]
	if b.class > exactLen {
		raw = raw[binary.PutUvarint(raw, uint64(len(item))):]
	}
	copy(raw, item)
}

type chunk [blocksPerChunk]block

// blocks numbers the blocks of a table, from 1, and finds them without a lock.
type blocks struct {
	dir atomic.Pointer[[]*chunk]
	// limit is the first number that was never given out.
	limit atomic.Uint32
	// bytes is the memory of chunks, data and reference counts.
	bytes atomic.Int64

	mu   sync.Mutex
	free []uint32
	max  uint32 // last number that may be given out
}

const chunkBytes = blocksPerChunk * 72

func (bs *blocks) init(idBits int) {
	bs.dir.Store(new([]*chunk))
	bs.limit.Store(1)
	bs.max = 1<<(idBits-slotBits) - 1
}

func (bs *blocks) at(no uint32) *block {
	return &(*bs.dir.Load())[no>>chunkBits][no&(blocksPerChunk-1)]
}

// item returns the bytes of an id that the caller holds a reference on.
func (bs *blocks) item(id uint32) []byte {
	return bs.at(id >> slotBits).item(id & (slotsPerBlock - 1))
}

// take returns a new block for items of the class; prior is how many blocks of
// it the shard has. The first blocks have few slots, so that a space of ten
// routes does not cost pages.
func (bs *blocks) take(shard, class uint8, prior uint32) uint32 {
	stride := classStride(class)
	slots := slotsPerBlock
	if stride > 0 {
		slots = min(slots, max(1, blockBytes/stride))
	}
	if prior < 2 {
		slots = min(slots, 4<<(2*prior))
	}
	no, b := bs.number()
	b.data = make([]byte, slots*stride)
	b.refs = make([]atomic.Uint32, slots)
	b.used = b.missing()
	b.stride = uint32(stride)
	b.next, b.prev = 0, 0
	b.class, b.shard = class, shard
	bs.bytes.Add(int64(slots * (stride + 4)))
	return no
}

func (bs *blocks) number() (uint32, *block) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	if n := len(bs.free); n > 0 {
		no := bs.free[n-1]
		bs.free = bs.free[:n-1]
		return no, bs.at(no)
	}
	no := bs.limit.Load()
	if no > bs.max {
		panic("rib: identifiers exhausted")
	}
	if dir := *bs.dir.Load(); int(no>>chunkBits) == len(dir) {
		// Readers of the old slice never look behind its length, so the two may
		// share an array.
		dir = append(dir, new(chunk))
		bs.dir.Store(&dir)
		bs.bytes.Add(chunkBytes)
	}
	bs.limit.Store(no + 1)
	return no, bs.at(no)
}

// give takes back a block without items.
func (bs *blocks) give(no uint32) {
	b := bs.at(no)
	bs.bytes.Add(-int64(len(b.data) + 4*len(b.refs)))
	b.data, b.refs = nil, nil
	bs.mu.Lock()
	bs.free = append(bs.free, no)
	bs.mu.Unlock()
}

// classOf returns the length class of an item of n octets: itself up to
// exactLen, then steps of classStep, then eight steps for every doubling.
func classOf(n int) uint8 {
	if n <= exactLen {
		return uint8(n)
	}
	m := n + (bits.Len(uint(n))+6)/7
	if m <= classLinear {
		return uint8(exactLen + (m-exactLen+classStep-1)/classStep)
	}
	e := bits.Len(uint(m-1)) - 1
	k := (m - 1 - 1<<e) >> (e - 3)
	return uint8(classGeometric + (e-8)*8 + k)
}

// classGeometric is the first class above classLinear octets.
const classGeometric = exactLen + (classLinear-exactLen)/classStep + 1

// classStride returns how many octets a slot of the class has.
func classStride(class uint8) int {
	c := int(class)
	switch {
	case c <= exactLen:
		return c
	case c < classGeometric:
		return exactLen + (c-exactLen)*classStep
	}
	e, k := 8+(c-classGeometric)/8, (c-classGeometric)%8
	return 1<<e + (k+1)<<(e-3)
}
