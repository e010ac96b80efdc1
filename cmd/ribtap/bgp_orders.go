package main

import (
	"fmt"
	"slices"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/speaker"
)

// order is an announcement that was made since the start, and that ends with the
// process: what is to last belongs into the configuration.
type order struct {
	peer string // empty: every peer
	is   speaker.Announcement
}

// maxOrders bounds them.
const maxOrders = 200_000

// export lists what is announced to a peer: orders win over the peer's own
// announcements, and those over what is announced to all.
func (c *bgpConfig) export(p *speaker.Peer, orders []order) []speaker.Announcement {
	var out []speaker.Announcement
	lists, seen := c.exports[p.Name], map[string]bool{}
	add := func(a *speaker.Announcement) {
		if key := routeKey(a); !seen[key] && lists.pass(a.Prefix) {
			seen[key] = true
			out = append(out, *a)
		}
	}
	for _, general := range [...]bool{false, true} {
		for i := range orders {
			if o := &orders[i]; o.peer == p.Name && !general || o.peer == "" && general {
				add(&o.is)
			}
		}
	}
	for i := range p.Announce {
		add(&p.Announce[i])
	}
	for i := range c.announce {
		add(&c.announce[i])
	}
	return out
}

// announce orders routes for a peer, or for all if peer is empty; one that is
// there already is replaced. It returns the peers that get them.
func (b *bgpNode) announce(peer string, list []AnnounceConfig) ([]string, error) {
	fresh := make([]order, len(list))
	at := map[string]int{}
	for i := range list {
		a, err := list[i].announcement()
		if err != nil {
			return nil, err
		}
		fresh[i] = order{peer, a}
		at[routeKey(&a)] = i
	}
	var to []string
	err := b.reorder(peer, func(orders []order) ([]order, error) {
		orders = slices.DeleteFunc(orders, func(o order) bool {
			_, again := at[routeKey(&o.is)]
			return again && o.peer == peer
		})
		for _, i := range at {
			orders = append(orders, fresh[i])
		}
		if len(orders) > maxOrders {
			return nil, &refusal{fmt.Sprintf("more than %d announcements are for the configuration, not for orders", maxOrders)}
		}
		slices.SortStableFunc(orders, func(x, y order) int { return x.compare(&y) })
		to = b.receivers(peer, fresh)
		return orders, nil
	})
	return to, err
}

// withdraw takes orders back. What the configuration announces stays.
func (b *bgpNode) withdraw(peer string, list []AnnounceConfig) ([]string, error) {
	var to []string
	err := b.reorder(peer, func(orders []order) ([]order, error) {
		ordered := map[string]bool{} // and whether it is to go
		for i := range orders {
			if orders[i].peer == peer {
				ordered[routeKey(&orders[i].is)] = false
			}
		}
		taken := make([]order, len(list))
		for i := range list {
			a := &taken[i].is
			if err := list[i].target(a); err != nil {
				return nil, err
			}
			if _, ok := ordered[routeKey(a)]; !ok {
				return nil, b.notOrdered(peer, a)
			}
			ordered[routeKey(a)] = true
		}
		to = b.receivers(peer, taken)
		return slices.DeleteFunc(orders, func(o order) bool { return o.peer == peer && ordered[routeKey(&o.is)] }), nil
	})
	return to, err
}

// notOrdered says why a route cannot be withdrawn.
func (b *bgpNode) notOrdered(peer string, a *speaker.Announcement) error {
	for i := range b.base.speaker.Peers {
		p := &b.base.speaker.Peers[i]
		if peer != "" && p.Name != peer {
			continue
		}
		for _, c := range b.base.export(p, nil) {
			if routeKey(&c) == routeKey(a) {
				return &refusal{fmt.Sprintf("%s is announced by the configuration; take it out there, or reject it for a peer", a)}
			}
		}
	}
	for _, o := range b.orders {
		if routeKey(&o.is) != routeKey(a) {
			continue
		}
		if o.peer == "" {
			return &refusal{fmt.Sprintf("%s was announced to all; withdraw it with --all", a)}
		}
		return &refusal{fmt.Sprintf("%s was announced to %s; withdraw it with --peer %s", a, o.peer, o.peer)}
	}
	return &refusal{fmt.Sprintf("%s is not announced", a)}
}

// reorder replaces the orders and brings them into force; with an error nothing
// has changed.
func (b *bgpNode) reorder(peer string, change func([]order) ([]order, error)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if peer != "" && b.base.peer(peer) == nil {
		return b.base.noPeer(peer)
	}
	if len(b.base.speaker.Peers) == 0 {
		return b.base.noPeer("")
	}
	was := b.orders
	orders, err := change(slices.Clone(was))
	if err != nil {
		return err
	}
	b.orders = orders
	if _, err := b.sp.Apply(b.compose(b.base)); err != nil {
		b.orders = was
		return err
	}
	return nil
}

// reaches reports whether a route can go to a peer: it has the family, and there is
// a next hop. That of an IPv6 route cannot be our address of an IPv4 session.
func reaches(p *speaker.Peer, a *speaker.Announcement) bool {
	return slices.Contains(p.Families, a.Family) &&
		(a.Family != bgp.IPv6Unicast || a.NextHop.IsValid() || p.Address.Addr().Is6())
}

// receivers are the peers that a route of the orders may go to.
func (b *bgpNode) receivers(peer string, list []order) (names []string) {
	for i := range b.base.speaker.Peers {
		p := &b.base.speaker.Peers[i]
		if peer != "" && p.Name != peer {
			continue
		}
		if slices.ContainsFunc(list, func(o order) bool {
			return b.base.exports[p.Name].pass(o.is.Prefix) && reaches(p, &o.is)
		}) {
			names = append(names, p.Name)
		}
	}
	return names
}

// compare puts orders into the order in which they are shown.
func (o *order) compare(p *order) int {
	if c := int64(o.is.Family) - int64(p.is.Family); c != 0 {
		return int(c)
	}
	if c := o.is.Prefix.Addr().Compare(p.is.Prefix.Addr()); c != 0 {
		return c
	}
	if c := o.is.Prefix.Bits() - p.is.Prefix.Bits(); c != 0 {
		return c
	}
	switch {
	case o.is.Flow+o.peer < p.is.Flow+p.peer:
		return -1
	case o.is.Flow+o.peer > p.is.Flow+p.peer:
		return 1
	}
	return 0
}

// announcedRoute is a row of the list of what is announced.
type announcedRoute struct {
	Peer      string   `json:"peer"`
	By        string   `json:"by"` // order or configuration
	Family    string   `json:"family"`
	Route     string   `json:"route"`
	NextHop   string   `json:"next_hop"` // empty: our own address
	ASPath    []uint32 `json:"as_path"`
	MED       *uint32  `json:"med"`
	LocalPref *uint32  `json:"local_pref"`
	Beacon    bool     `json:"beacon"`
}

// announced lists what every peer is to get.
func (b *bgpNode) announced() []announcedRoute {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := []announcedRoute{}
	for i := range b.base.speaker.Peers {
		p := &b.base.speaker.Peers[i]
		ordered := map[string]bool{}
		for _, o := range b.orders {
			if o.peer == "" || o.peer == p.Name {
				ordered[routeKey(&o.is)] = true
			}
		}
		for _, a := range b.base.export(p, b.orders) {
			if !reaches(p, &a) {
				continue
			}
			row := announcedRoute{
				Peer: p.Name, By: "configuration", Family: a.Family.String(), Route: a.String(), ASPath: a.ASPath,
				MED: a.MED, LocalPref: a.LocalPref, Beacon: a.Beacon != nil,
			}
			if ordered[routeKey(&a)] {
				row.By = "order"
			}
			if a.NextHop.IsValid() {
				row.NextHop = a.NextHop.String()
			}
			out = append(out, row)
		}
	}
	return out
}
