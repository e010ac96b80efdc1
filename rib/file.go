package rib

import (
	"io"

	"github.com/ribtap/ribtap/bgp"
)

// The payload of a snapshot file; numbers are uvarints, an item is a length and
// that many octets. Keys and values are numbered from 0 as they stand.
//
//	views   { name item }…
//	values  { value item }…
//	spaces  { family addPath  keys { key item }…
//	          columns { view routes { gap count { value<<2 | stale<<1 | active }… }… }… }…
//
// A list begins with its number of elements. A run of routes is for the keys
// from gap behind the last run's end.
const (
	fileActive = 1
	fileStale  = 2
	fileFlags  = 2 // bits

	maxRun = 256
)

// WriteTo writes the snapshot in the form that Load reads. Any damage to the
// file is found by Load.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) {
	if s.closed {
		return 0, errClosed
	}
	f := newFrameWriter(w)
	f.uvarint(uint64(len(s.names)))
	for _, name := range s.names {
		f.item(name)
	}
	values := s.valueSet()
	f.uvarint(uint64(values.len()))
	for id := range values.all {
		f.item(s.db.values.blocks.item(id))
	}
	f.uvarint(uint64(len(s.tables)))
	for i := range s.tables {
		s.tables[i].write(f, values)
		if f.err != nil {
			break
		}
	}
	err := f.close()
	return f.n, err
}

func (t *snapTable) write(f *frameWriter, values *idSet) {
	f.uvarint(uint64(t.space.id.Family))
	addPath := uint64(0)
	if t.space.id.AddPath {
		addPath = 1
	}
	f.uvarint(addPath)
	keys := t.keySet()
	f.uvarint(uint64(keys.len()))
	for id := range keys.all {
		f.item(t.space.keys.blocks.item(id))
	}
	f.uvarint(uint64(len(t.views)))
	for i := range t.views {
		t.views[i].write(f, keys, values)
	}
}

func (c *snapColumn) write(f *frameWriter, keys, values *idSet) {
	f.uvarint(uint64(c.view))
	f.uvarint(uint64(c.pages.n))
	var run [maxRun]uint64
	n, start, end := 0, uint32(0), uint32(0) // the run, its first key, the key behind the last run
	flush := func() {
		if n == 0 {
			return
		}
		f.uvarint(uint64(start - end))
		f.uvarint(uint64(n))
		for _, x := range run[:n] {
			f.uvarint(x)
		}
		end, n = start+uint32(n), 0
	}
	for id, w := c.pages.next(0); w != nil; id, w = c.pages.next(id + 1) {
		key := keys.number(id)
		if n == maxRun || key != start+uint32(n) {
			flush()
			start = key
		}
		x := uint64(values.number(*w&wordValue)) << fileFlags
		if *w&wordActive != 0 {
			x |= fileActive
		}
		if *w&wordStale != 0 {
			x |= fileStale
		}
		run[n] = x
		n++
	}
	flush()
}

// Load reads a file that WriteTo wrote and returns its state in a new DB, with
// the views in the order of Snapshot.Views. A damaged file is an error, never a
// wrong table. Memory grows with what has been read, not with what a damaged
// length says.
func Load(r io.Reader) (*DB, []*View, error) {
	l := loader{f: newFrameReader(r), db: New()}
	l.load()
	if err := l.f.close(); err != nil {
		return nil, nil, err
	}
	for i, id := range l.values {
		l.db.values.hand(uint32(id), l.valueRefs[i])
	}
	return l.db, l.views, nil
}

type loader struct {
	f      *frameReader
	db     *DB
	views  []*View
	values []ValueID
	// valueRefs and keyRefs count the routes that have a value, and those of the
	// keys of the space at hand. Added up here they cost one visit of an item
	// where each route would cost another.
	valueRefs, keyRefs []uint32
}

func (l *loader) load() {
	for n := l.f.uvarint(); n > 0 && l.f.err == nil; n-- {
		l.views = append(l.views, l.db.NewView(l.f.item()))
	}
	for n := l.f.uvarint(); n > 0 && l.f.err == nil; n-- {
		if b := l.f.item(); l.f.err == nil {
			l.values = append(l.values, l.db.Intern(b))
		}
	}
	l.valueRefs = make([]uint32, len(l.values))
	for n := l.f.uvarint(); n > 0 && l.f.err == nil; n-- {
		l.space()
	}
}

func (l *loader) space() {
	s := Space{
		Family:  bgp.Family(l.f.below(1<<24, "family")),
		AddPath: l.f.below(2, "ADD-PATH") == 1,
	}
	if l.f.err != nil {
		return
	}
	if l.db.spaces[s] != nil {
		l.f.fail("space twice")
		return
	}
	t := &l.db.space(s).keys
	var keys []uint32
	for n := l.f.uvarint(); n > 0 && l.f.err == nil; n-- {
		b := l.f.item()
		if l.f.err != nil {
			return
		}
		h := t.hash(b)
		sh := t.lock(h)
		_, at, ok := t.find(sh, h, b)
		if ok {
			sh.mu.Unlock()
			l.f.fail("key twice")
			return
		}
		id := t.add(sh, h, at, b)
		t.retain(id)
		sh.mu.Unlock()
		keys = append(keys, id)
	}
	l.keyRefs = make([]uint32, len(keys))
	first := uint64(0)
	for n := l.f.uvarint(); n > 0 && l.f.err == nil; n-- {
		view := l.f.below(uint64(len(l.views)), "view")
		if l.f.err != nil {
			return
		}
		if view < first {
			l.f.fail("views out of order")
			return
		}
		first = view + 1
		l.column(l.views[view].column(s), keys)
	}
	for i, id := range keys {
		t.hand(id, l.keyRefs[i])
	}
}

func (l *loader) column(c *column, keys []uint32) {
	n := l.f.uvarint()
	key := uint64(0)
	for n > 0 && l.f.err == nil {
		key += l.f.below(uint64(len(keys))-key, "key")
		run := l.f.below(min(n, uint64(len(keys))-key)+1, "run")
		if run == 0 {
			l.f.fail("empty run")
		}
		for ; run > 0 && l.f.err == nil; run-- {
			l.keyRefs[key]++
			l.route(c, keys[key])
			key++
			n--
		}
	}
}

func (l *loader) route(c *column, keyID uint32) {
	x := l.f.uvarint()
	no := x >> fileFlags
	if l.f.err == nil && (no >= uint64(len(l.values)) || x&(fileActive|fileStale) == fileStale) {
		l.f.fail("route")
	}
	if l.f.err != nil {
		return
	}
	word := uint32(l.values[no])
	if x&fileActive != 0 {
		word |= wordActive
	}
	if x&fileStale != 0 {
		word |= wordStale
	}
	l.valueRefs[no]++
	c.set(keyID, word)
}
