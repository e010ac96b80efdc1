package rib

import (
	"slices"
	"sync"
	"sync/atomic"
)

// View is one Adj-RIB: the routes of one peer in one RIB view, in any number of
// spaces. It is not safe for concurrent use; different views of one DB are.
//
// A route is active, active and stale, or a ghost: no longer in the RIB, but
// remembered with its value, so that its return can be told as unchanged.
type View struct {
	db   *DB
	name []byte
	last *column // of the last Announce

	mu      sync.Mutex // for Stats; only the view's user writes
	columns map[Space]*column
}

// column is what a view holds of one space.
type column struct {
	space *space
	pages pages
	// Written by the view's user, read by Stats.
	active, stale, ghosts, bytes atomic.Int64

	// end is where End goes on, endMode for which kind of End.
	end     uint32
	endMode endMode
}

type endMode struct{ keep, onlyStale bool }

// Change says what an operation met.
type Change struct {
	Known  bool // something was remembered of the key
	Active bool // it was in the RIB
	Stale  bool // it was marked stale
	Same   bool // Announce: the remembered value is the new one
}

func changeOf(word uint32) Change {
	return Change{Known: true, Active: word&wordActive != 0, Stale: word&wordStale != 0}
}

// Name returns the name that NewView or SetName got.
func (v *View) Name() []byte { return v.name }

// SetName replaces the name; it is copied. Open snapshots keep the old one.
func (v *View) SetName(name []byte) { v.name = slices.Clone(name) }

// Announce puts a route into the RIB, not stale. The view takes a reference of
// its own on id. The key is copied when it is new.
func (v *View) Announce(s Space, key []byte, id ValueID) Change {
	c := v.column(s)
	keys := &c.space.keys
	h := keys.hash(key)
	sh := keys.lock(h)
	keyID, at, ok := keys.find(sh, h, key)
	var w *uint32
	if ok {
		w = c.pages.slot(keyID)
	} else {
		keyID = keys.add(sh, h, at, key)
	}
	if w == nil {
		keys.retain(keyID)
	}
	sh.mu.Unlock()

	if w == nil {
		v.db.values.retain(uint32(id))
		c.set(keyID, wordActive|uint32(id))
		return Change{}
	}
	old := *w
	ch := changeOf(old)
	ch.Same = old&wordValue == uint32(id)
	*w = wordActive | uint32(id)
	c.count(old, -1)
	c.count(*w, +1)
	if !ch.Same {
		v.db.values.retain(uint32(id))
		v.db.values.release(old & wordValue)
	}
	return ch
}

// Withdraw takes a route out of the RIB and forgets it, except that a ghost
// stays a ghost.
func (v *View) Withdraw(s Space, key []byte) Change {
	c := v.columns[s]
	if c == nil {
		return Change{}
	}
	keys := &c.space.keys
	h := keys.hash(key)
	sh := keys.lock(h)
	keyID, _, ok := keys.find(sh, h, key)
	var w *uint32
	if ok {
		w = c.pages.slot(keyID)
	}
	if w == nil {
		sh.mu.Unlock()
		return Change{}
	}
	old := *w
	if old&wordActive != 0 {
		keys.releaseLocked(sh, keyID)
	}
	sh.mu.Unlock()

	if old&wordActive != 0 {
		c.clear(keyID, old)
		v.db.values.release(old & wordValue)
	}
	return changeOf(old)
}

// Suspend takes an active route out of the RIB and remembers it as a ghost, as
// End with keep does for many: what an inferred withdrawal did when it is read
// back. Nothing happens to a route that is not active.
func (v *View) Suspend(s Space, key []byte) Change {
	c := v.columns[s]
	if c == nil {
		return Change{}
	}
	w := c.find(key)
	if w == nil {
		return Change{}
	}
	old := *w
	if old&wordActive != 0 {
		c.suspend(w)
	}
	return changeOf(old)
}

// Lookup returns what is remembered of a key; ok is false for nothing. The
// value is valid until the view's next operation.
func (v *View) Lookup(s Space, key []byte) (value []byte, active, ok bool) {
	c := v.columns[s]
	if c == nil {
		return nil, false, false
	}
	w := c.find(key)
	if w == nil {
		return nil, false, false
	}
	return v.db.values.blocks.item(*w & wordValue), *w&wordActive != 0, true
}

// MarkStale marks the active routes of a space stale. A ghost is left as it is.
func (v *View) MarkStale(s Space) {
	c := v.columns[s]
	if c == nil {
		return
	}
	for i := range c.pages.list {
		body := c.pages.list[i].body()
		for j, w := range body {
			if w&wordActive != 0 {
				body[j] = w | wordStale
			}
		}
	}
	c.stale.Store(c.active.Load())
	c.end = 0
}

// End takes up to limit active routes of the space, or only stale ones, out of
// the RIB and hands each to fn, whose arguments are valid during the call. With
// keep they become ghosts, else they are forgotten. It returns how many it took
// and whether none is left; the next call goes on where this one ended, in the
// order of key ids. fn must not use the view.
func (v *View) End(s Space, limit int, keep, onlyStale bool, fn func(key, value []byte)) (n int, done bool) {
	c := v.columns[s]
	if c == nil {
		return 0, true
	}
	left, want := &c.active, uint32(wordActive)
	if onlyStale {
		left, want = &c.stale, wordStale
	}
	if mode := (endMode{keep, onlyStale}); c.endMode != mode {
		c.end, c.endMode = 0, mode
	}
	for n < limit && left.Load() > 0 {
		id, w := c.pages.next(c.end)
		if w == nil {
			c.end = 0 // routes came behind the place where the last call ended
			continue
		}
		c.end = id + 1
		if old := *w; old&want != 0 {
			n++
			fn(c.space.keys.blocks.item(id), v.db.values.blocks.item(old&wordValue))
			if keep {
				c.suspend(w)
			} else {
				c.forget(v.db, id, old)
			}
		}
	}
	if done = left.Load() == 0; done {
		c.end = 0
	}
	return n, done
}

// DropGhosts forgets the ghosts of a space and returns how many there were.
func (v *View) DropGhosts(s Space) int {
	c := v.columns[s]
	if c == nil {
		return 0
	}
	n := int(c.ghosts.Load())
	for id := uint32(0); c.ghosts.Load() > 0; id++ {
		var w *uint32
		if id, w = c.pages.next(id); *w&wordActive == 0 {
			c.forget(v.db, id, *w)
		}
	}
	return n
}

// Walk calls fn for each active route of a space in the order of key ids, until
// it returns false. The arguments are valid during the call; fn must not change
// the view.
func (v *View) Walk(s Space, fn func(key, value []byte, stale bool) bool) {
	c := v.columns[s]
	if c == nil {
		return
	}
	for id, w := c.pages.next(0); w != nil; id, w = c.pages.next(id + 1) {
		if *w&wordActive == 0 {
			continue
		}
		if !fn(c.space.keys.blocks.item(id), v.db.values.blocks.item(*w&wordValue), *w&wordStale != 0) {
			return
		}
	}
}

// Count says how many routes a view holds in a space. Stale ones are among the
// active.
type Count struct {
	Space                 Space
	Active, Stale, Ghosts int
}

// Counts lists the spaces of which the view remembers anything, by family.
func (v *View) Counts() []Count {
	var out []Count
	for s := range v.columns {
		if c := v.Count(s); c.Active+c.Ghosts > 0 {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b Count) int { return compareSpaces(a.Space, b.Space) })
	return out
}

// Count returns the count of one space.
func (v *View) Count(s Space) Count {
	c := v.columns[s]
	if c == nil {
		return Count{Space: s}
	}
	return Count{Space: s, Active: int(c.active.Load()), Stale: int(c.stale.Load()), Ghosts: int(c.ghosts.Load())}
}

// column returns what the view holds of a space, made when it is new.
func (v *View) column(s Space) *column {
	if c := v.last; c != nil && c.space.id == s {
		return c
	}
	c := v.columns[s]
	if c == nil {
		c = &column{space: v.db.space(s)}
		v.mu.Lock()
		v.columns[s] = c
		v.mu.Unlock()
	}
	v.last = c
	return c
}

// count enters a word into the counters, or takes it out.
func (c *column) count(word uint32, d int64) {
	if word&wordActive == 0 {
		c.ghosts.Add(d)
		return
	}
	c.active.Add(d)
	if word&wordStale != 0 {
		c.stale.Add(d)
	}
}

// find returns the word of a key, nil if nothing is remembered of it.
func (c *column) find(key []byte) *uint32 {
	keys := &c.space.keys
	h := keys.hash(key)
	sh := keys.lock(h)
	id, _, ok := keys.find(sh, h, key)
	sh.mu.Unlock()
	if !ok {
		return nil
	}
	// Should another view have dropped the key meanwhile, and its id have a new
	// owner, then this view does not hold it: what it holds is not dropped.
	return c.pages.slot(id)
}

// suspend makes an active route a ghost.
func (c *column) suspend(w *uint32) {
	c.count(*w, -1)
	*w &= wordValue
	c.count(*w, +1)
}

// set enters the word of a key that has none.
func (c *column) set(id, word uint32) {
	c.pages.set(id, word)
	c.count(word, +1)
	c.publish()
}

// clear takes out the word of a key.
func (c *column) clear(id, word uint32) {
	c.pages.clear(id)
	c.count(word, -1)
	c.publish()
}

// publish shows Stats the memory of the pages. It seldom changes, and a load
// costs less than a store.
func (c *column) publish() {
	if c.bytes.Load() != c.pages.bytes {
		c.bytes.Store(c.pages.bytes)
	}
}

// forget removes what is remembered of a key.
func (c *column) forget(db *DB, id, word uint32) {
	c.clear(id, word)
	c.space.keys.release(id)
	db.values.release(word & wordValue)
}

// drop gives back all references; the column is of no use afterwards.
func (c *column) drop(db *DB) {
	for id, w := c.pages.next(0); w != nil; id, w = c.pages.next(id + 1) {
		c.space.keys.release(id)
		db.values.release(*w & wordValue)
	}
	c.pages.reset()
}
