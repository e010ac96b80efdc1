package rib_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/rib"
)

// The model: a RIB as plain maps.

type modelRoute struct {
	value         string
	active, stale bool
}

type modelView struct {
	name   string
	routes map[rib.Space]map[string]modelRoute
}

func (m *modelView) space(s rib.Space) map[string]modelRoute {
	if m.routes[s] == nil {
		m.routes[s] = map[string]modelRoute{}
	}
	return m.routes[s]
}

func (m *modelView) clone() *modelView {
	c := &modelView{name: m.name, routes: map[rib.Space]map[string]modelRoute{}}
	for s, routes := range m.routes {
		c.routes[s] = maps.Clone(routes)
	}
	return c
}

func (m *modelView) count(s rib.Space) rib.Count {
	c := rib.Count{Space: s}
	for _, r := range m.routes[s] {
		switch {
		case !r.active:
			c.Ghosts++
		case r.stale:
			c.Stale++
			c.Active++
		default:
			c.Active++
		}
	}
	return c
}

var testSpaces = []rib.Space{
	{Family: bgp.IPv4Unicast},
	{Family: bgp.IPv4Unicast, AddPath: true},
	{Family: bgp.IPv6Unicast},
	{Family: bgp.EVPN},
}

// testKey makes the i-th key; the lengths go over every kind of storage class.
func testKey(i int) []byte {
	lengths := []int{5, 5, 5, 9, 17, 0, 1, 31, 32, 33, 40, 127, 128, 129, 255, 256, 257, 300, 1000, 4095, 4096, 5000}
	n := lengths[i%len(lengths)]
	if i < len(lengths)*2 && i >= len(lengths) {
		n = 5
	}
	b := make([]byte, n)
	for j := range b {
		b[j] = byte(i >> (8 * (j % 3)))
	}
	return b
}

func testValue(i int) []byte {
	return fmt.Appendf(nil, "%d%s", i, bytes.Repeat([]byte{'v'}, (i*37)%400))
}

type opKind uint8

const (
	opAnnounce opKind = iota
	opWithdraw
	opSuspend
	opRename
	opMarkStale
	opEnd
	opDropGhosts
	opNewView
	opDropView
	opSnapshot
	opClose
	opReload
	opHold
	opCheck
	opKinds
)

var opNames = [opKinds]string{"announce", "withdraw", "suspend", "rename", "mark-stale", "end", "drop-ghosts", "new-view", "drop-view", "snapshot", "close", "reload", "hold", "check"}

// opWeights says how often each kind comes.
var opWeights = [opKinds]int{400, 200, 60, 3, 8, 30, 8, 3, 1, 3, 5, 2, 10, 5}

type op struct {
	kind           opKind
	view           int
	space          rib.Space
	key, value     int
	max            int
	keep, oneStale bool
}

func (o op) String() string {
	return fmt.Sprintf("%s view=%d space=%v key=%d value=%d max=%d keep=%t onlyStale=%t", opNames[o.kind], o.view, o.space, o.key, o.value, o.max, o.keep, o.oneStale)
}

func randomOps(seed uint64, n int) []op {
	r := rand.New(rand.NewPCG(seed, 1))
	total := 0
	for _, w := range opWeights {
		total += w
	}
	keys := []int{3, 50, 2000}[r.IntN(3)]
	values := []int{2, 40, 1000}[r.IntN(3)]
	ops := make([]op, n)
	for i := range ops {
		o := &ops[i]
		for x := r.IntN(total); x >= opWeights[o.kind]; o.kind++ {
			x -= opWeights[o.kind]
		}
		o.view, o.space = r.IntN(1<<20), testSpaces[r.IntN(len(testSpaces))]
		o.key, o.value, o.max = r.IntN(keys), r.IntN(values), []int{1, 3, 100, 5000}[r.IntN(4)]
		o.keep, o.oneStale = r.IntN(2) == 0, r.IntN(2) == 0
	}
	return ops
}

type heldSnapshot struct {
	snap  *rib.Snapshot
	model []*modelView
}

// world runs operations on a DB and on the model.
type world struct {
	db    *rib.DB
	views []*rib.View
	model []*modelView
	held  []heldSnapshot
	ids   []rib.ValueID // Intern references
	named int
}

func newWorld() *world {
	w := &world{db: rib.New()}
	w.newView()
	return w
}

func (w *world) newView() {
	w.named++
	name := fmt.Sprintf("view %d", w.named)
	w.views = append(w.views, w.db.NewView([]byte(name)))
	w.model = append(w.model, &modelView{name: name, routes: map[rib.Space]map[string]modelRoute{}})
}

// run executes the operations and says what went wrong first.
func (w *world) run(ops []op) (err error) {
	for i, o := range ops {
		if err := w.step(o); err != nil {
			return fmt.Errorf("operation %d (%v): %w", i, o, err)
		}
	}
	if err := w.check(); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	return w.drain()
}

func (w *world) step(o op) error {
	if len(w.views) == 0 && o.kind != opNewView {
		w.newView()
	}
	i := 0
	if len(w.views) > 0 {
		i = o.view % len(w.views)
	}
	switch o.kind {
	case opAnnounce:
		return w.announce(i, o)
	case opWithdraw:
		return w.withdraw(i, o)
	case opSuspend:
		return w.suspend(i, o)
	case opRename:
		w.model[i].name = fmt.Sprintf("renamed %d", o.value)
		w.views[i].SetName([]byte(w.model[i].name))
	case opMarkStale:
		w.views[i].MarkStale(o.space)
		routes := w.model[i].space(o.space)
		for k, r := range routes {
			r.stale = r.active
			routes[k] = r
		}
	case opEnd:
		return w.end(i, o)
	case opDropGhosts:
		return w.dropGhosts(i, o)
	case opNewView:
		if len(w.views) < 5 {
			w.newView()
		}
	case opDropView:
		w.db.DropView(w.views[i])
		w.views = slices.Delete(w.views, i, i+1)
		w.model = slices.Delete(w.model, i, i+1)
	case opSnapshot:
		if len(w.held) < 3 {
			h := heldSnapshot{snap: w.db.Snapshot()}
			for _, m := range w.model {
				h.model = append(h.model, m.clone())
			}
			w.held = append(w.held, h)
		}
	case opClose:
		return w.closeSnapshot(o.view)
	case opReload:
		return w.reload()
	case opHold:
		if len(w.ids) < 20 {
			w.ids = append(w.ids, w.db.Intern(testValue(o.value)))
		} else {
			w.db.Release(w.ids[0])
			w.ids = w.ids[1:]
		}
	case opCheck, opKinds:
		return w.check()
	}
	return nil
}

func (w *world) announce(i int, o op) error {
	key, value := testKey(o.key), testValue(o.value)
	routes := w.model[i].space(o.space)
	old, known := routes[string(key)]
	want := rib.Change{Known: known, Active: old.active, Stale: old.stale, Same: known && old.value == string(value)}
	id := w.db.Intern(value)
	got := w.views[i].Announce(o.space, key, id)
	w.db.Release(id)
	routes[string(key)] = modelRoute{value: string(value), active: true}
	if got != want {
		return fmt.Errorf("change %+v, want %+v", got, want)
	}
	return w.lookup(i, o.space, key)
}

func (w *world) withdraw(i int, o op) error {
	key := testKey(o.key)
	routes := w.model[i].space(o.space)
	old, known := routes[string(key)]
	if old.active {
		delete(routes, string(key))
	}
	want := rib.Change{Known: known, Active: old.active, Stale: old.stale}
	if got := w.views[i].Withdraw(o.space, key); got != want {
		return fmt.Errorf("change %+v, want %+v", got, want)
	}
	return w.lookup(i, o.space, key)
}

func (w *world) suspend(i int, o op) error {
	key := testKey(o.key)
	routes := w.model[i].space(o.space)
	old, known := routes[string(key)]
	if known {
		routes[string(key)] = modelRoute{value: old.value}
	}
	want := rib.Change{Known: known, Active: old.active, Stale: old.stale}
	if got := w.views[i].Suspend(o.space, key); got != want {
		return fmt.Errorf("change %+v, want %+v", got, want)
	}
	return w.lookup(i, o.space, key)
}

func (w *world) lookup(i int, s rib.Space, key []byte) error {
	want, known := w.model[i].routes[s][string(key)]
	value, active, ok := w.views[i].Lookup(s, key)
	if ok != known || active != want.active || string(value) != want.value {
		return fmt.Errorf("lookup %.20q %t %t, want %+v %t", value, active, ok, want, known)
	}
	return nil
}

func (w *world) end(i int, o op) error {
	routes := w.model[i].space(o.space)
	before := w.model[i].count(o.space)
	left := before.Active
	if o.oneStale {
		left = before.Stale
	}
	var bad error
	calls := 0
	n, done := w.views[i].End(o.space, o.max, o.keep, o.oneStale, func(key, value []byte) {
		calls++
		r, ok := routes[string(key)]
		if !ok || !r.active || o.oneStale && !r.stale || r.value != string(value) {
			bad = fmt.Errorf("took %x %.20q, which is %+v", key, value, r)
		}
		if o.keep {
			routes[string(key)] = modelRoute{value: r.value}
		} else {
			delete(routes, string(key))
		}
	})
	if want := min(left, o.max); bad == nil && (n != want || calls != n || done != (left <= o.max)) {
		bad = fmt.Errorf("took %d, called %d times, done %t; there were %d", n, calls, done, left)
	}
	return bad
}

func (w *world) dropGhosts(i int, o op) error {
	routes := w.model[i].space(o.space)
	want := w.model[i].count(o.space).Ghosts
	maps.DeleteFunc(routes, func(_ string, r modelRoute) bool { return !r.active })
	if n := w.views[i].DropGhosts(o.space); n != want {
		return fmt.Errorf("dropped %d ghosts, want %d", n, want)
	}
	return nil
}

func (w *world) closeSnapshot(i int) error {
	if len(w.held) == 0 {
		return nil
	}
	i %= len(w.held)
	h := w.held[i]
	w.held = slices.Delete(w.held, i, i+1)
	defer h.snap.Close()
	return checkSnapshot(h.snap, h.model)
}

// reload goes on with a DB that was written and read.
func (w *world) reload() error {
	for len(w.held) > 0 {
		if err := w.closeSnapshot(0); err != nil {
			return err
		}
	}
	snap := w.db.Snapshot()
	defer snap.Close()
	var file bytes.Buffer
	if n, err := snap.WriteTo(&file); err != nil || n != int64(file.Len()) {
		return fmt.Errorf("WriteTo: %d of %d octets, %w", n, file.Len(), err)
	}
	db, views, err := rib.Load(&file)
	if err != nil {
		return err
	}
	w.db, w.views, w.ids = db, views, nil
	return w.check()
}

// shrink drops operations as long as the rest still fails.
func shrink(ops []op, fails func([]op) error) []op {
	for size := len(ops) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(ops); {
			less := slices.Concat(ops[:at], ops[at+size:])
			if fails(less) != nil {
				ops = less
			} else {
				at += size
			}
		}
	}
	return ops
}

func TestModel(t *testing.T) {
	fails := func(ops []op) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v", p)
			}
		}()
		return newWorld().run(ops)
	}
	for seed := range uint64(24) {
		ops := randomOps(seed, 3000)
		if fails(ops) == nil {
			continue
		}
		few := shrink(ops, fails)
		t.Errorf("seed %d: %v", seed, fails(few))
		for _, o := range few {
			t.Log(o)
		}
		return
	}
}

// TestEndOrder checks that End goes in the order of Walk, over several calls
// and also when another kind of End came between.
func TestEndOrder(t *testing.T) {
	db, s := rib.New(), testSpaces[0]
	v := db.NewView(nil)
	announce := func(from, to int) {
		for i := from; i < to; i++ {
			id := db.Intern(testValue(i % 50))
			v.Announce(s, fmt.Append(nil, i*7919), id)
			db.Release(id)
		}
	}
	announce(0, 1000)
	v.MarkStale(s)
	announce(300, 600)
	var stale, fresh, got []string
	v.Walk(s, func(key, _ []byte, isStale bool) bool {
		if isStale {
			stale = append(stale, string(key))
		} else {
			fresh = append(fresh, string(key))
		}
		return true
	})
	take := func(key, _ []byte) { got = append(got, string(key)) }
	for done := false; !done; {
		_, done = v.End(s, 64, false, true, take)
	}
	if !slices.Equal(got, stale) {
		t.Error("stale routes end in another order")
	}
	got = nil
	v.End(s, 100, false, false, take)
	v.MarkStale(s)
	v.End(s, 50, true, true, take)
	v.End(s, 1000, false, false, take)
	if !slices.Equal(got, fresh) {
		t.Error("routes end in another order when the kind of End changes")
	}
	if c := v.Count(s); c.Active != 0 || c.Ghosts != 50 {
		t.Errorf("%+v", c)
	}
}
