package rib

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ribtap/ribtap/bgp"
)

const (
	keyShards   = 32
	keyIDBits   = 32
	valueShards = 16
)

// DB holds what all views share: the NLRI keys of each space and the route
// values. Safe for concurrent use, but see Snapshot.
type DB struct {
	values table
	held   atomic.Int32 // open snapshots

	mu     sync.Mutex // also held while snapshots open and close
	spaces map[Space]*space
	views  []*View
}

// Space is a key space: a family, with or without path identifiers in its keys
// (RFC 7911). Keys of different spaces are never compared.
type Space struct {
	Family  bgp.Family
	AddPath bool
}

// compareSpaces orders by family, those without path identifiers first.
func compareSpaces(a, b Space) int {
	switch {
	case a == b:
		return 0
	case a.Family < b.Family, a.Family == b.Family && !a.AddPath:
		return -1
	}
	return 1
}

type space struct {
	id   Space
	keys table
}

// ValueID stands for a value's bytes in one DB: two ids are equal iff the bytes
// are. It is never 0.
type ValueID uint32

// New returns an empty DB.
func New() *DB {
	db := &DB{spaces: map[Space]*space{}}
	db.values.init(valueShards, valueBits, &db.held)
	return db
}

// Intern returns the id of a value, holding one reference that Release gives
// back. The bytes are copied. A value of more than 1 MiB panics.
func (db *DB) Intern(value []byte) ValueID {
	h := db.values.hash(value)
	sh := db.values.lock(h)
	id, at, ok := db.values.find(sh, h, value)
	if !ok {
		id = db.values.add(sh, h, at, value)
	}
	db.values.retain(id)
	sh.mu.Unlock()
	return ValueID(id)
}

// Release gives back a reference that Intern took.
func (db *DB) Release(id ValueID) { db.values.release(uint32(id)) }

// NewView adds an empty view. The name is copied; it is the caller's, need not
// be unique, and comes back from Snapshot and Load.
func (db *DB) NewView(name []byte) *View {
	v := &View{db: db, name: slices.Clone(name), columns: map[Space]*column{}}
	db.mu.Lock()
	db.views = append(db.views, v)
	db.mu.Unlock()
	return v
}

// DropView forgets all routes of the view and the view itself, which must not
// be used any more.
func (db *DB) DropView(v *View) {
	db.mu.Lock()
	if i := slices.Index(db.views, v); i >= 0 {
		db.views = slices.Delete(db.views, i, i+1)
	}
	db.mu.Unlock()
	for _, c := range v.columns {
		c.drop(db)
	}
}

// space returns the key space, made when it is new.
func (db *DB) space(s Space) *space {
	db.mu.Lock()
	defer db.mu.Unlock()
	sp := db.spaces[s]
	if sp == nil {
		sp = &space{id: s}
		sp.keys.init(keyShards, keyIDBits, &db.held)
		db.spaces[s] = sp
	}
	return sp
}

// Stats describes a DB.
type Stats struct {
	// Routes counts the active routes of all views by family.
	Routes map[bgp.Family]int
	// Keys and Values count what is stored, each once however many views use it.
	Keys, Values int
	// Bytes is the memory of tables and views, open snapshots not included.
	Bytes int64
}

// Stats counts; its cost is that of the number of views, not of routes.
func (db *DB) Stats() Stats {
	st := Stats{Routes: map[bgp.Family]int{}}
	db.mu.Lock()
	defer db.mu.Unlock()
	st.Values, st.Bytes = db.values.usage()
	for _, sp := range db.spaces {
		n, size := sp.keys.usage()
		st.Keys += n
		st.Bytes += size
	}
	for _, v := range db.views {
		v.mu.Lock()
		for s, c := range v.columns {
			if n := c.active.Load(); n > 0 {
				st.Routes[s.Family] += int(n)
			}
			st.Bytes += c.bytes.Load()
		}
		v.mu.Unlock()
	}
	return st
}
