//go:build integration

package integration

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Attrs are the path attributes of a route as far as every speaker tells them.
// Communities are sorted, because speakers are free to sort them.
type Attrs struct {
	Origin, ASPath, NextHop string
	MED                     string // empty for none
	Communities, Large, Ext string
}

// Table is a set of routes by prefix.
type Table map[string]Attrs

// without is the table but for some prefixes.
func (t Table) without(prefixes ...string) Table {
	out := Table{}
	for p, a := range t {
		if !slices.Contains(prefixes, p) {
			out[p] = a
		}
	}
	return out
}

// only is one route of the table.
func (t Table) only(prefix string) Table { return Table{prefix: t[prefix]} }

// marked is the table with the community that the routers' inbound policy adds
// to each route.
func (t Table) marked() Table {
	out := Table{}
	for p, a := range t {
		a.Communities = sorted(a.Communities + " " + policyCommunity)
		out[p] = a
	}
	return out
}

// behind is the table with an AS number in front of each path.
func (t Table) behind(as uint32) Table {
	out := Table{}
	for p, a := range t {
		a.ASPath = strings.TrimSpace(fmt.Sprintf("%d %s", as, a.ASPath))
		out[p] = a
	}
	return out
}

// basic is the table without communities, for a source that does not show them.
func (t Table) basic() Table {
	out := Table{}
	for p, a := range t {
		a.Communities, a.Large, a.Ext = "", "", ""
		out[p] = a
	}
	return out
}

// prefixes are the table's keys, sorted.
func (t Table) prefixes() []string {
	out := make([]string, 0, len(t))
	for p := range t {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

// sorted puts the words of a list in order.
func sorted(s string) string {
	words := strings.Fields(s)
	slices.Sort(words)
	return strings.Join(words, " ")
}

// feedRoute is one route that the feeder announces.
type feedRoute struct {
	prefix      netip.Prefix
	path        []uint32 // behind the feeder's own AS number
	origin      string   // IGP, EGP or INCOMPLETE
	med         uint32
	communities []string
	large       []string
	ext         []string // extended communities; none unless a test adds them
}

// Feed is what a feeder announces: every four prefixes have attributes of
// their own, as in a real table.
type Feed struct {
	nextHop4, nextHop6 netip.Addr
	routes             []feedRoute
}

// NewFeed makes n4 IPv4 and n6 IPv6 routes; net chooses the address space, so
// that feeds may differ.
func NewFeed(net byte, n4, n6 int) *Feed {
	f := &Feed{nextHop4: netip.MustParseAddr("192.0.2.1"), nextHop6: netip.MustParseAddr("2001:db8::1")}
	for i := range n4 {
		a := netip.AddrFrom4([4]byte{10, net + byte(i>>8), byte(i), 0})
		f.routes = append(f.routes, newFeedRoute(netip.PrefixFrom(a, 24), i))
	}
	for i := range n6 {
		a := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, net + byte(i>>8), byte(i)})
		f.routes = append(f.routes, newFeedRoute(netip.PrefixFrom(a, 48), i))
	}
	return f
}

func newFeedRoute(p netip.Prefix, i int) feedRoute {
	g := i / 4
	r := feedRoute{prefix: p, med: uint32(g % 100), origin: []string{"IGP", "EGP", "INCOMPLETE"}[g%3]}
	for k := range g % 4 {
		// Two-octet and four-octet AS numbers kept for documentation.
		r.path = append(r.path, []uint32{64496, 65536}[k%2]+uint32(g+k)%16)
	}
	for k := range g % 5 {
		r.communities = append(r.communities, fmt.Sprintf("%d:%d", 64512+g%100, k))
	}
	for k := range g % 3 {
		r.large = append(r.large, fmt.Sprintf("%d:%d:%d", 4200000000+g, k, i%4))
	}
	return r
}

// family reports whether a route is of the address family.
func (r *feedRoute) family(v6 bool) bool { return r.prefix.Addr().Is6() == v6 }

// bird writes the routes of one family as BIRD's static routes.
func (f *Feed) bird(v6 bool) string {
	var b strings.Builder
	for i := range f.routes {
		r := &f.routes[i]
		if !r.family(v6) {
			continue
		}
		fmt.Fprintf(&b, "route %s blackhole { bgp_med = %d; bgp_origin = ORIGIN_%s;", r.prefix, r.med, r.origin)
		for _, as := range slices.Backward(r.path) {
			fmt.Fprintf(&b, " bgp_path.prepend(%d);", as)
		}
		for _, c := range r.communities {
			fmt.Fprintf(&b, " bgp_community.add((%s));", strings.ReplaceAll(c, ":", ","))
		}
		for _, c := range r.large {
			fmt.Fprintf(&b, " bgp_large_community.add((%s));", strings.ReplaceAll(c, ":", ","))
		}
		for _, c := range r.ext {
			fmt.Fprintf(&b, " bgp_ext_community.add((%s));", strings.ReplaceAll(c, ":", ","))
		}
		b.WriteString(" };\n")
	}
	return b.String()
}

// Table is what a router receives of the feed in one family, from a feeder with
// the AS number.
func (f *Feed) Table(v6 bool, as uint32) Table {
	out := Table{}
	nextHop := f.nextHop4
	if v6 {
		nextHop = f.nextHop6
	}
	for i := range f.routes {
		r := &f.routes[i]
		if !r.family(v6) {
			continue
		}
		path := []string{fmt.Sprint(as)}
		for _, hop := range r.path {
			path = append(path, fmt.Sprint(hop))
		}
		out[r.prefix.String()] = Attrs{
			Origin: r.origin, ASPath: strings.Join(path, " "), NextHop: nextHop.String(), MED: fmt.Sprint(r.med),
			Communities: sorted(strings.Join(r.communities, " ")), Large: sorted(strings.Join(r.large, " ")),
			Ext: sorted(strings.Join(r.ext, " ")),
		}
	}
	return out
}

// second is what a router receives of the feed over the second IPv4 session:
// the same routes with another next hop, behind one AS number more.
func (f *Feed) second() Table {
	out := f.Table(false, feederAS4b).behind(feederAS4b)
	for p, a := range out {
		a.NextHop = f.nextHop4.Next().String()
		out[p] = a
	}
	return out
}

// denied is the prefix that the routers' inbound policy denies: the first one
// of IPv4.
func (f *Feed) denied() string { return f.routes[0].prefix.String() }

// remove takes the n-th and the following count-1 routes of a family away and
// returns their prefixes.
func (f *Feed) remove(v6 bool, n, count int) (gone []string) {
	f.routes = slices.DeleteFunc(f.routes, func(r feedRoute) bool {
		if !r.family(v6) {
			return false
		}
		n--
		if n >= 0 || n < -count {
			return false
		}
		gone = append(gone, r.prefix.String())
		return true
	})
	return gone
}

// change gives the n-th route of a family another MED and returns its prefix.
func (f *Feed) change(v6 bool, n int) string {
	for i := range f.routes {
		r := &f.routes[i]
		if !r.family(v6) {
			continue
		}
		if n == 0 {
			r.med += 1000
			return r.prefix.String()
		}
		n--
	}
	return ""
}

// add appends a route and returns its prefix.
func (f *Feed) add(prefix string) string {
	f.routes = append(f.routes, newFeedRoute(netip.MustParsePrefix(prefix), 1))
	return prefix
}
