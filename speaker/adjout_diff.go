package speaker

import (
	"cmp"
	"slices"
	"strings"

	"github.com/ribtap/ribtap/bgp"
)

// desiredRoute is an announcement as its session will have it.
type desiredRoute struct {
	key, value string
	at         int32 // in the list
}

// defaultRT is the route target membership of length zero, which asks for the
// VPN routes of all (RFC 4684 §4).
var defaultRT = Announcement{Family: bgp.RTC}

// desired returns for each family what the neighbour should have, in the order of
// the keys, each key once: of two announcements of one route the last that the
// session can carry.
func (a *adjOut) desired(p *Peer) (lists [][]desiredRoute, left leftCounts) {
	a.encoder.drain = p.Drain
	lists = make([][]desiredRoute, len(a.families))
	values := map[string]string{} // one of each
	var key []byte
	for i := range p.Announce {
		an := &p.Announce[i]
		f := a.index(an.Family)
		if f < 0 {
			left[leftFamily]++
			continue
		}
		n, why := announcedNLRI(an)
		var value []byte
		if why == leftNothing {
			value, why = a.encoder.value(an)
		}
		if why == leftNothing && !a.fits(&n, value) {
			why = leftTooLarge
		}
		if why != leftNothing {
			left[why]++
			continue
		}
		one, ok := values[string(value)]
		if !ok {
			one = string(value)
			values[one] = one
		}
		key = bgp.AppendKey(key[:0], &n)
		lists[f] = append(lists[f], desiredRoute{string(key), one, int32(i)})
	}
	if f := a.index(bgp.RTC); f >= 0 {
		if value, why := a.encoder.value(&defaultRT); why == leftNothing {
			lists[f] = append(lists[f], desiredRoute{"\x00", string(value), 0})
		}
	}
	for i, list := range lists {
		lists[i] = sortDesired(list)
		left[leftDuplicate] += uint64(len(list) - len(lists[i]))
	}
	return lists, left
}

// sortDesired sorts by key and keeps of each the last in the list.
func sortDesired(list []desiredRoute) []desiredRoute {
	slices.SortFunc(list, func(x, y desiredRoute) int {
		return cmp.Or(strings.Compare(x.key, y.key), cmp.Compare(y.at, x.at))
	})
	return slices.CompactFunc(list, func(x, y desiredRoute) bool { return x.key == y.key })
}

// index returns where the family is among those of the session, or -1.
func (a *adjOut) index(f bgp.Family) int {
	return slices.IndexFunc(a.families, func(o familyOut) bool { return o.family == f })
}

// announcedNLRI returns the NLRI without path identifier.
func announcedNLRI(an *Announcement) (n bgp.NLRI, why leftOut) {
	n.Family = an.Family
	switch {
	case an.Beacon != nil:
		return n, leftBeacon
	case an.Family == bgp.IPv4Unicast || an.Family == bgp.IPv6Unicast:
		if !an.Prefix.IsValid() || an.Prefix.Addr().Is4() != (an.Family == bgp.IPv4Unicast) {
			return n, leftInvalid
		}
		n.Prefix = an.Prefix.Masked()
		return n, leftNothing
	}
	item, err := bgp.ParseFlowspec(an.Family, an.Flow)
	if err != nil {
		return n, leftInvalid
	}
	n.Raw = item
	return n, leftNothing
}

// fits reports whether a message can hold the route alone.
func (a *adjOut) fits(n *bgp.NLRI, value []byte) bool {
	const around = bgp.HeaderLen + 4 + 4 + 5 + 4 // lengths, MP_REACH_NLRI without next hop, path identifier
	const prefix = 1 + 16
	if around+len(value)+max(prefix, len(n.Raw)) <= a.max {
		return true
	}
	item := *n
	item.HasPathID = a.families[a.index(n.Family)].addPath
	hop, attrs := splitValue(value)
	a.announce.Reset(n.Family, attrs, hop, a.max)
	return a.announce.Add(&item)
}

// mergeRoutes returns the routes of both, in the order of their keys: what is not
// desired any more is to be withdrawn, unless the neighbour never had it.
func mergeRoutes(routes []routeOut, desired []desiredRoute) []routeOut {
	out := make([]routeOut, 0, max(len(routes), len(desired)))
	for len(routes) > 0 || len(desired) > 0 {
		order := -1
		switch {
		case len(routes) == 0:
			order = 1
		case len(desired) > 0:
			order = strings.Compare(routes[0].key, desired[0].key)
		}
		if order > 0 {
			out = append(out, routeOut{key: desired[0].key, want: desired[0].value})
			desired = desired[1:]
			continue
		}
		r := routes[0]
		routes = routes[1:]
		r.want = ""
		if order == 0 {
			// The new strings, so that those of an old list can go.
			r.key, r.want = desired[0].key, desired[0].value
			if r.has == r.want {
				r.has = r.want
			}
			desired = desired[1:]
		}
		if r.has != "" || r.want != "" {
			out = append(out, r)
		}
	}
	return out
}

// plan lists what to send: withdrawals by key, then announcements by their
// attributes and key.
func (f *familyOut) plan() {
	f.todo, f.next = f.todo[:0], 0
	for i := range f.routes {
		if r := &f.routes[i]; r.has != r.want || r.again {
			f.todo = append(f.todo, int32(i))
		}
	}
	slices.SortFunc(f.todo, func(x, y int32) int {
		return cmp.Or(strings.Compare(f.routes[x].want, f.routes[y].want), cmp.Compare(x, y))
	})
}
