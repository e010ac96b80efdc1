package history

import "hash/maphash"

// Fingerprint is 96 bits of a key's hash with a seed of this process: short enough
// to keep a million, long enough that no two keys ever meet by chance and no
// router can make them meet.
type Fingerprint struct {
	Hi uint64
	Lo uint32
}

// slot is one entry of a table; id 0 is an empty one.
type slot struct {
	Fingerprint
	id uint32
}

const firstSlots = 1 << 10 // a power of two, as every size is

// table is an open-addressing hash table without removal.
type table struct {
	slots []slot
	n     int
}

// find returns the slot of p, or the empty one where it belongs.
func (t *table) find(p Fingerprint) *slot {
	mask := uint64(len(t.slots) - 1)
	for i := p.Hi & mask; ; i = (i + 1) & mask {
		if s := &t.slots[i]; s.id == 0 || s.Fingerprint == p {
			return s
		}
	}
}

func (t *table) resize(slots int) {
	old := t.slots
	t.slots = make([]slot, slots)
	for i := range old {
		if old[i].id != 0 {
			*t.find(old[i].Fingerprint) = old[i]
		}
	}
}

// full reports whether three quarters of the slots are taken.
func (t *table) full() bool { return 4*(t.n+1) > 3*len(t.slots) }

// Known remembers the ids of stored keys, 16 octets a slot. When its first
// table is full at its largest size, the second is forgotten and the first
// takes its place, so what was used lately stays.
type Known struct {
	seeds         [2]maphash.Seed
	young, old    table
	most          int // slots of a table
	largest       uint32
	forgot, whole bool
}

// NewKnown returns a memory for at least n ids.
func NewKnown(n int) *Known {
	k := &Known{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, most: firstSlots}
	for 2*k.most*3/4 < n {
		k.most *= 2
	}
	k.young.resize(firstSlots)
	return k
}

// Fingerprint returns the fingerprint of key.
func (k *Known) Fingerprint(key []byte) Fingerprint {
	return Fingerprint{Hi: maphash.Bytes(k.seeds[0], key), Lo: uint32(maphash.Bytes(k.seeds[1], key))}
}

// Find returns the id of p; 0 when it is not known.
func (k *Known) Find(p Fingerprint) uint32 {
	if s := k.young.find(p); s.id != 0 {
		return s.id
	}
	if k.old.n == 0 {
		return 0
	}
	s := k.old.find(p)
	if s.id != 0 {
		k.Add(p, s.id)
	}
	return s.id
}

// Add remembers p, which is not in the first table.
func (k *Known) Add(p Fingerprint, id uint32) {
	if k.young.full() {
		if len(k.young.slots) < k.most {
			k.young.resize(2 * len(k.young.slots))
		} else {
			k.forgot = k.forgot || k.old.n > 0
			k.old, k.young = k.young, table{}
			k.young.resize(firstSlots)
		}
	}
	*k.young.find(p) = slot{Fingerprint: p, id: id}
	k.young.n++
	k.largest = max(k.largest, id)
}

// Complete reports whether a key that is not found is not stored either.
func (k *Known) Complete() bool { return k.whole && !k.forgot }

// Reset forgets everything; whole says that nothing is stored.
func (k *Known) Reset(whole bool) {
	k.young, k.old = table{}, table{}
	k.young.resize(firstSlots)
	k.forgot, k.whole, k.largest = false, whole, 0
}

// Forgot reports whether anything was forgotten since the last Reset.
func (k *Known) Forgot() bool { return k.forgot }

// Capacity is how many ids are remembered before anything is forgotten.
func (k *Known) Capacity() int { return 2 * k.most * 3 / 4 }

// Octets is the size of the memory.
func (k *Known) Octets() int { return 16 * (len(k.young.slots) + len(k.old.slots)) }
