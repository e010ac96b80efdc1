package speaker

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// entry is a peer of the configuration with the neighbours that it stands for.
// Speaker.mu guards it.
type entry struct {
	peer      *Peer // never changed, but replaced
	neighbors map[netip.Addr]*neighbor
	accepts   rate
	since     time.Time // that it is there
}

// table finds entries by name and by address.
type table struct {
	byName map[string]*entry
	order  []*entry // as in the configuration
	match  []*entry // longest prefix first, and of the same those with a zone
}

func newTable(entries []*entry) table {
	t := table{byName: map[string]*entry{}, order: entries, match: slices.Clone(entries)}
	for _, e := range entries {
		t.byName[e.peer.Name] = e
	}
	slices.SortStableFunc(t.match, func(a, b *entry) int {
		return cmp.Or(cmp.Compare(b.peer.Address.Bits(), a.peer.Address.Bits()), cmp.Compare(len(b.peer.Zone), len(a.peer.Zone)))
	})
	return t
}

// find returns the entry for a neighbour's address: the longest match.
func (t *table) find(addr netip.Addr) *entry {
	plain := addr.WithZone("")
	for _, e := range t.match {
		if e.peer.Address.Contains(plain) && (e.peer.Zone == "" || e.peer.Zone == addr.Zone()) {
			return e
		}
	}
	return nil
}

// neighbor returns the entry's neighbour of the address, a new one if need be. A
// range that has as many as it may forgets one that has no connection; it returns
// nil when all have one.
func (e *entry) neighbor(s *Speaker, addr netip.Addr) *neighbor {
	if nb := e.neighbors[addr]; nb != nil {
		return nb
	}
	if e.peer.Range() && len(e.neighbors) >= e.peer.Limit && !e.forget() {
		return nil
	}
	nb := newNeighbor(s, e.peer, addr)
	e.neighbors[addr] = nb
	return nb
}

// forget removes the neighbour that has been without a connection for longest.
func (e *entry) forget() bool {
	var oldest netip.Addr
	var since time.Time
	for addr, nb := range e.neighbors {
		nb.mu.Lock()
		if len(nb.runners) == 0 && (since.IsZero() || nb.since.Before(since)) {
			oldest, since = addr, nb.since
		}
		nb.mu.Unlock()
	}
	if since.IsZero() {
		return false
	}
	delete(e.neighbors, oldest)
	return true
}
