//go:build !race

// Tables of full size and one goroutine: the race detector would find nothing
// and count memory of its own.

package rib_test

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/rib"
)

var (
	v4 = rib.Space{Family: bgp.IPv4Unicast}
	v6 = rib.Space{Family: bgp.IPv6Unicast}
)

// fullTable is like the table of one peer of the default-free zone: a million
// IPv4 keys of 5 octets and 230,000 IPv6 keys of 7 to 17, and 180,000 attribute
// sets of about 100 octets shared by a heavy-tailed number of keys.
type fullTable struct {
	keys   [][]byte
	spaces []rib.Space
	set    []int // of each key, index of its value
	values [][]byte
}

// newFullTable makes a table of n4 and n6 keys.
func newFullTable(n4, n6 int) *fullTable {
	r := rand.New(rand.NewPCG(1, 4))
	t := &fullTable{}
	for i := range n4 + n6 {
		length, s := 5, v4
		if i >= n4 {
			length, s = 7+r.IntN(11), v6
		}
		key := make([]byte, length)
		for j := range key {
			key[j] = byte(r.Uint32())
		}
		binary.BigEndian.PutUint32(key, uint32(i)*2_654_435_761) // odd: no key comes twice
		t.keys = append(t.keys, key)
		t.spaces = append(t.spaces, s)
	}
	for range (n4 + n6) * 18 / 123 {
		v := make([]byte, min(50+int(r.ExpFloat64()*50), 1000))
		for i := range v {
			v[i] = byte(r.Uint32())
		}
		t.values = append(t.values, v)
	}
	for i := range t.keys {
		u := r.Float64()
		set := int(u * u * u * float64(len(t.values)))
		if i < len(t.values) {
			set = i
		}
		t.set = append(t.set, set)
	}
	r.Shuffle(len(t.keys), func(i, j int) {
		t.keys[i], t.keys[j] = t.keys[j], t.keys[i]
		t.spaces[i], t.spaces[j] = t.spaces[j], t.spaces[i]
	})
	return t
}

// ofPeer returns the same table with some octets of every value changed, as
// another peer's first AS and next hop do.
func (t *fullTable) ofPeer(peer uint32) *fullTable {
	other := *t
	other.values = nil
	for _, v := range t.values {
		v = slices.Clone(v)
		binary.BigEndian.PutUint32(v[3:], binary.BigEndian.Uint32(v[3:])^peer)
		binary.BigEndian.PutUint32(v[12:], binary.BigEndian.Uint32(v[12:])^peer)
		other.values = append(other.values, v)
	}
	return &other
}

func (t *fullTable) announce(db *rib.DB, v *rib.View) {
	for i, key := range t.keys {
		id := db.Intern(t.values[t.set[i]])
		v.Announce(t.spaces[i], key, id)
		db.Release(id)
	}
}

func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// TestMemory holds the memory of a full table to its bounds, and Stats to the
// truth.
func TestMemory(t *testing.T) {
	table := newFullTable(1_000_000, 230_000)
	other := table.ofPeer(7)
	routes := float64(len(table.keys))
	base := heap()
	db := rib.New()
	last := base
	for _, step := range []struct {
		name  string
		table *fullTable
		limit float64 // octets a route
	}{
		{"first peer", table, 41},
		{"second peer, same attribute sets", table, 5},
		{"third peer, all attribute sets its own", other, 24},
	} {
		step.table.announce(db, db.NewView([]byte(step.name)))
		now := heap()
		perRoute := (now - last) / routes
		t.Logf("%s: %.2f octets a route", step.name, perRoute)
		if perRoute > step.limit {
			t.Errorf("%s: %.2f octets a route, the limit is %.0f", step.name, perRoute, step.limit)
		}
		last = now
	}
	st := db.Stats()
	if ratio := float64(st.Bytes) / (last - base); ratio < 0.95 || ratio > 1.05 {
		t.Errorf("Stats says %d octets, the heap grew by %.0f", st.Bytes, last-base)
	}
	if st.Keys != len(table.keys) || st.Routes[bgp.IPv4Unicast] != 3_000_000 || st.Routes[bgp.IPv6Unicast] != 690_000 {
		t.Errorf("stats %+v", st)
	}
	runtime.KeepAlive(table)
	runtime.KeepAlive(other)
	runtime.KeepAlive(db)
}

// TestMemorySmallViews bounds what peers of a few routes cost beside a full
// table, and a space of one route.
func TestMemorySmallViews(t *testing.T) {
	table := newFullTable(300_000, 0)
	db := rib.New()
	table.announce(db, db.NewView(nil))
	base := heap()
	const views, routes = 200, 100
	id := db.Intern(table.values[0])
	for i := range views {
		v := db.NewView(nil)
		for j := range routes {
			v.Announce(v4, table.keys[(i*7919+j*1009)%len(table.keys)], id)
		}
	}
	now := heap()
	perRoute := (now - base) / (views * routes)
	t.Logf("%d views of %d routes: %.1f octets a route", views, routes, perRoute)
	if perRoute > 150 {
		t.Errorf("%.1f octets a route", perRoute)
	}
	v := db.NewView(nil)
	for i := range 1000 {
		v.Announce(rib.Space{Family: bgp.Family(100_000 + i)}, []byte("key"), id)
	}
	perSpace := (heap() - now) / 1000
	t.Logf("%.0f octets for a space of one route", perSpace)
	if perSpace > 4000 {
		t.Errorf("%.0f octets for a space of one route", perSpace)
	}
	runtime.KeepAlive(table)
	runtime.KeepAlive(db)
}

// TestChurn sends two million distinct keys, each with a value of its own,
// through a view that holds a thousand at a time.
func TestChurn(t *testing.T) {
	db := rib.New()
	v := db.NewView(nil)
	key := func(i int) []byte {
		n := 5 + i%37
		return binary.BigEndian.AppendUint32(make([]byte, n-4), uint32(i))
	}
	var half int64
	for i := range 2_000_000 {
		id := db.Intern(key(i * 3))
		v.Announce(v4, key(i), id)
		db.Release(id)
		if i >= 1000 {
			v.Withdraw(v4, key(i-1000))
		}
		if i == 1_000_000 {
			half = db.Stats().Bytes
		}
	}
	st := db.Stats()
	t.Logf("%d octets after 1,000,000 keys, %d after 2,000,000", half, st.Bytes)
	if st.Keys != 1000 || st.Values != 1000 || st.Bytes > half*11/10 || st.Bytes > 1<<20 {
		t.Errorf("%+v, octets after half of the keys %d", st, half)
	}
}

// TestFreed checks that a table that went leaves little.
func TestFreed(t *testing.T) {
	table := newFullTable(200_000, 46_000)
	db := rib.New()
	v := db.NewView(nil)
	table.announce(db, v)
	full := db.Stats().Bytes
	for _, s := range []rib.Space{v4, v6} {
		v.End(s, 1<<30, true, false, func(_, _ []byte) {})
		v.DropGhosts(s)
	}
	if st := db.Stats(); st.Keys != 0 || st.Values != 0 || st.Bytes > full/5 {
		t.Errorf("%+v is left of %d octets", st, full)
	}
}

// TestAllocations asserts that the steady state allocates nothing.
func TestAllocations(t *testing.T) {
	table := newFullTable(20_000, 4600)
	db := rib.New()
	v, beside := db.NewView(nil), db.NewView(nil)
	table.announce(db, v)
	table.announce(db, beside)
	for _, id := range table.values { // known, also when no route has them
		db.Intern(id)
	}
	i := 0
	next := func() (rib.Space, []byte, []byte) {
		i++
		k := i % len(table.keys)
		return table.spaces[k], table.keys[k], table.values[(i*31+i/len(table.keys))%len(table.values)]
	}
	alone := []byte("a key that one view has")
	for name, f := range map[string]func(){
		"announce": func() {
			s, key, value := next()
			id := db.Intern(value)
			v.Announce(s, key, id)
			db.Release(id)
		},
		"withdraw and announce": func() {
			s, key, value := next()
			id := db.Intern(value)
			v.Withdraw(s, key)
			v.Announce(s, key, id)
			db.Release(id)
		},
		"lone route flaps": func() {
			id := db.Intern(alone)
			v.Announce(v6, alone, id)
			v.Withdraw(v6, alone)
			db.Release(id)
		},
		"lookup": func() {
			s, key, _ := next()
			v.Lookup(s, key)
			v.Count(s)
		},
		"stale, end, announce": func() {
			v.MarkStale(v6)
			v.End(v6, 1, true, true, func(_, _ []byte) {})
		},
	} {
		if n := testing.AllocsPerRun(20_000, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
