package rib

import (
	"hash/maphash"
	"math/bits"
	"sync/atomic"
)

// maxShards bounds the shards of a table.
const maxShards = 32

// deferred marks, in a reference count, an item that a reclaim will look at.
const deferred = 1 << 31

// table interns byte strings: equal bytes have one id as long as anybody holds
// a reference. Safe for concurrent use.
//
// A reference count goes from one to zero under the shard's lock only, and an
// item is found under that lock only; so what is found is not being freed.
type table struct {
	blocks blocks
	seed   maphash.Seed
	shift  uint          // of a hash, leaves the shard's number
	held   *atomic.Int32 // open snapshots; while there is one, nothing is freed
	shards [maxShards]atomic.Pointer[shard]
}

func (t *table) init(shards, idBits int, held *atomic.Int32) {
	t.blocks.init(idBits)
	t.seed = maphash.MakeSeed()
	t.shift = 64 - uint(bits.Len(uint(shards-1)))
	t.held = held
}

// hash returns the hash of an item that may be stored.
func (t *table) hash(item []byte) uint64 {
	if len(item) > maxItem {
		panic("rib: key or value longer than any message")
	}
	return maphash.Bytes(t.seed, item)
}

// lock returns the shard of a hash, locked.
func (t *table) lock(h uint64) *shard {
	at := &t.shards[h>>t.shift]
	sh := at.Load()
	if sh == nil {
		at.CompareAndSwap(nil, &shard{no: uint8(h >> t.shift)})
		sh = at.Load()
	}
	sh.mu.Lock()
	return sh
}

// find looks for item in its locked shard. Without it, at is where add puts it.
func (t *table) find(sh *shard, h uint64, item []byte) (id uint32, at int, ok bool) {
	if len(sh.index) == 0 {
		return 0, 0, false
	}
	tag := tagOf(h) &^ sh.idMask
	at = -1
	for i := sh.home(h); ; {
		s := sh.index[i]
		if s <= slotGone {
			if at < 0 {
				at = i
			}
			if s == slotEmpty {
				return 0, at, false
			}
		} else if s&^sh.idMask == tag {
			if id := s & sh.idMask; string(t.blocks.item(id)) == string(item) {
				return id, i, true
			}
		}
		if i++; i == len(sh.index) {
			i = 0
		}
	}
}

// add stores item, which find did not find and for which it said at, in its locked
// shard. It has no reference yet.
func (t *table) add(sh *shard, h uint64, at int, item []byte) uint32 {
	id := t.allocate(sh, item)
	sh.live++
	if sh.full() || id > sh.idMask {
		t.rebuild(sh)
	} else {
		sh.put(at, h, id)
	}
	return id
}

// retain adds a reference to an item that has one already, or is locked.
func (t *table) retain(id uint32) {
	t.blocks.at(id >> slotBits).refs[id&(slotsPerBlock-1)].Add(1)
}

// hand turns a reference into n of others; without any it is given back.
func (t *table) hand(id, n uint32) {
	if n == 0 {
		t.release(id)
		return
	}
	t.blocks.at(id >> slotBits).refs[id&(slotsPerBlock-1)].Add(n - 1)
}

// release gives a reference back; the shard must not be locked by the caller.
func (t *table) release(id uint32) {
	b := t.blocks.at(id >> slotBits)
	ref := &b.refs[id&(slotsPerBlock-1)]
	for {
		r := ref.Load()
		if r&^deferred <= 1 {
			break
		}
		if ref.CompareAndSwap(r, r-1) {
			return
		}
	}
	sh := t.shards[b.shard].Load()
	sh.mu.Lock()
	t.releaseLocked(sh, id)
	sh.mu.Unlock()
}

// releaseLocked is release for a caller who holds the shard's lock.
func (t *table) releaseLocked(sh *shard, id uint32) {
	ref := &t.blocks.at(id >> slotBits).refs[id&(slotsPerBlock-1)]
	switch r := ref.Add(^uint32(0)); {
	case r&^deferred == deferred-1:
		panic("rib: released more often than retained")
	case r != 0: // referenced, or already waiting for reclaim
	case t.held.Load() > 0:
		ref.Store(deferred)
		sh.deferred = append(sh.deferred, id)
	default:
		t.remove(sh, id)
	}
}

// remove frees an item without references.
func (t *table) remove(sh *shard, id uint32) {
	sh.erase(t.hash(t.blocks.item(id)), id)
	sh.live--
	t.deallocate(sh, id)
	if sh.sparse() {
		t.rebuild(sh)
	}
}

// reclaim frees what lost its last reference while a snapshot was open.
func (t *table) reclaim() {
	for i := range t.shards {
		sh := t.shards[i].Load()
		if sh == nil {
			continue
		}
		sh.mu.Lock()
		for _, id := range sh.deferred {
			ref := &t.blocks.at(id >> slotBits).refs[id&(slotsPerBlock-1)]
			// And is atomic because holders count without the lock.
			if ref.And(^uint32(deferred)) == deferred {
				t.remove(sh, id)
			}
		}
		sh.deferred = nil
		sh.mu.Unlock()
	}
}

// rebuild makes the shard's index anew, sized for what lives. It goes through
// the blocks and not through the old index, so that items are read in the order
// in which they lie in memory: that is three times as fast.
func (t *table) rebuild(sh *shard) {
	sh.reset(t.blocks.limit.Load() << slotBits)
	var hashes [slotsPerBlock]uint64
	for _, no := range sh.blocks {
		b := t.blocks.at(no)
		// First all hashes, then all places: so the places, which are anywhere in
		// the index, are fetched side by side.
		all := b.used &^ b.missing()
		for used := all; used != 0; used &= used - 1 {
			s := uint32(bits.TrailingZeros64(used))
			hashes[s] = t.hash(b.item(s))
		}
		for used := all; used != 0; used &= used - 1 {
			s := uint32(bits.TrailingZeros64(used))
			sh.place(hashes[s], no<<slotBits|s)
		}
	}
}

// usage adds up items and octets of memory.
func (t *table) usage() (items int, size int64) {
	size = t.blocks.bytes.Load()
	for i := range t.shards {
		sh := t.shards[i].Load()
		if sh == nil {
			continue
		}
		sh.mu.Lock()
		items += sh.live
		size += int64(4*cap(sh.index) + 8*cap(sh.classes) + 4*cap(sh.blocks) + 4*cap(sh.deferred))
		sh.mu.Unlock()
	}
	return items, size
}
