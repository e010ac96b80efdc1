package main

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/sinks/sqlite"
)

// filterNames are the filters of every command and of /v1/tail: the flag's and
// parameter's name, and its help.
var filterNames = [...]struct{ name, placeholder, help string }{
	{"router", "NAME", "router, by name or address"},
	{"peer", "ADDRESS", "peer, by address"},
	{"asn", "N", "AS number of the peer"},
	{"origin-as", "N", "AS number that the path ends in"},
	{"rib", "RIB", "adj-rib-in-pre, adj-rib-in-post, loc-rib, adj-rib-out-pre or adj-rib-out-post"},
	{"family", "FAMILY", "address family, such as ipv4-unicast or l2vpn-evpn"},
	{"community", "C", "community, large or extended community: 65000:1, 65000:1:2, rt:65000:1"},
	{"as-path", "REGEX", "regular expression on the AS path as text; _ matches between two AS numbers and at the ends"},
	{"match", "MODE", "how PREFIX matches: exact, longest, longer (it and what it contains) or shorter (it and what contains it)"},
}

var matchModes = []string{"exact", "longest", "longer", "shorter"}

// filter says which routes, and with them which events, are wanted. The zero
// filter wants all.
type filter struct {
	Prefix    netip.Prefix // invalid: any
	Match     string       // one of matchModes, if Prefix is valid
	NLRI      string       // text of an NLRI that is no prefix; empty: any
	Router    string
	Peer      netip.Addr
	ASN       uint32 // 0: any; no AS has it
	OriginAS  uint32
	RIB       event.RIB
	Family    bgp.Family
	Community string
	ASPath    *regexp.Regexp
}

// filterFlags adds the filters as flags and returns their values, which are
// read after the command line was parsed.
func filterFlags(cmd *cobra.Command) url.Values {
	values := url.Values{}
	for _, f := range filterNames {
		cmd.Flags().Var(valueFlag{values, f.name, f.placeholder}, f.name, f.help)
	}
	return values
}

// valueFlag is a flag that goes into url.Values.
type valueFlag struct {
	values            url.Values
	name, placeholder string
}

func (f valueFlag) Set(s string) error { f.values.Set(f.name, s); return nil }
func (f valueFlag) String() string     { return "" }
func (f valueFlag) Type() string       { return f.placeholder }

// query is the filter as a question to the history.
func (f *filter) query() (sqlite.Query, error) {
	q := sqlite.Query{
		Prefix: f.Prefix, NLRI: f.NLRI, Router: f.Router, Peer: f.Peer, ASN: f.ASN, RIB: f.RIB,
		Family: f.Family, OriginAS: f.OriginAS, Community: f.Community, ASPath: f.ASPath,
	}
	if f.Match == "" {
		return q, nil
	}
	var err error
	q.Match, err = sqlite.ParseMatch(f.Match)
	return q, err
}

// parseFilter reads the filters; the prefix or address is the value "prefix".
// Errors are usage errors.
func parseFilter(v url.Values) (filter, error) {
	f := filter{Router: v.Get("router"), Community: v.Get("community"), Match: v.Get("match")}
	fail := func(name, format string, args ...any) (filter, error) {
		return filter{}, usagef("--%s %q: %s", name, v.Get(name), fmt.Sprintf(format, args...))
	}
	var err error
	for name, to := range map[string]*uint32{"asn": &f.ASN, "origin-as": &f.OriginAS} {
		if s := v.Get(name); s != "" {
			if *to, err = parseASN(s); err != nil || *to == 0 {
				return fail(name, "not an AS number")
			}
		}
	}
	if s := v.Get("peer"); s != "" {
		if f.Peer, err = netip.ParseAddr(s); err != nil {
			return fail("peer", "not an IP address")
		}
	}
	if s := v.Get("rib"); s != "" {
		var ok bool
		if f.RIB, ok = event.ParseRIB(s); !ok {
			return fail("rib", "not one of adj-rib-in-pre, adj-rib-in-post, loc-rib, adj-rib-out-pre, adj-rib-out-post")
		}
	}
	if s := v.Get("family"); s != "" {
		if f.Family, err = bgp.ParseFamily(s); err != nil {
			return fail("family", "unknown address family; nearest is %s", nearest(s, familyNames()))
		}
	}
	if s := v.Get("as-path"); s != "" {
		if f.ASPath, err = sqlite.CompileASPath(s); err != nil {
			return fail("as-path", "%v", err)
		}
	}
	if f.Match != "" && !slices.Contains(matchModes, f.Match) {
		return fail("match", "not one of %s", strings.Join(matchModes, ", "))
	}
	if err := f.parseTarget(v.Get("prefix")); err != nil {
		return filter{}, err
	}
	if f.Match != "" && !f.Prefix.IsValid() {
		return fail("match", "needs a prefix or address")
	}
	return f, nil
}

// parseTarget reads what a person is asking about: a prefix, an address, or the
// text of an NLRI that is neither.
func (f *filter) parseTarget(s string) error {
	if s == "" {
		return nil
	}
	p, err := parsePrefix(s)
	switch {
	case err == nil:
		f.Prefix = p
		if f.Match == "" && strings.Contains(s, "/") {
			f.Match = "exact"
		} else if f.Match == "" {
			f.Match = "longest"
		}
	case strings.Trim(s, "0123456789abcdefABCDEF.:/%") == "":
		return usagef("%q is neither a prefix nor an IP address", s)
	default:
		f.NLRI = s
	}
	return nil
}

func familyNames() []string {
	var names []string
	for _, f := range bgp.Families() {
		names = append(names, f.String())
	}
	return names
}

// parseASN reads 65000, AS65000 or 1.10 (RFC 5396).
func parseASN(s string) (uint32, error) {
	s = strings.TrimPrefix(strings.ToUpper(s), "AS")
	if hi, lo, ok := strings.Cut(s, "."); ok {
		h, err := strconv.ParseUint(hi, 10, 16)
		if err != nil {
			return 0, err
		}
		l, err := strconv.ParseUint(lo, 10, 16)
		return uint32(h<<16 | l), err
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err
}

// onRoutes reports whether the filter asks for something that only routes have.
func (f *filter) onRoutes() bool {
	return f.Prefix.IsValid() || f.NLRI != "" || f.OriginAS != 0 || f.Family != 0 || f.Community != "" || f.ASPath != nil
}

// all reports whether the filter wants every event.
func (f *filter) all() bool {
	return !f.onRoutes() && f.Router == "" && !f.Peer.IsValid() && f.ASN == 0 && f.RIB == event.RIBNone
}

// matcher applies a filter to events. It belongs to one goroutine.
type matcher struct {
	filter

	update bgp.Update
	text   []byte
}

// event reports whether an event is wanted: it is of the router, peer and RIB
// asked for, and one of its routes at least has what is asked of routes.
func (m *matcher) event(e *event.Event) bool {
	if m.Router != "" && (e.Router == nil || e.Router.Name != m.Router && e.Router.Address.String() != m.Router) {
		return false
	}
	if m.Peer.IsValid() && (e.Peer == nil || e.Peer.Address.Unmap() != m.Peer.Unmap()) {
		return false
	}
	if m.ASN != 0 && (e.Peer == nil || e.Peer.ASN != m.ASN) {
		return false
	}
	if m.RIB != event.RIBNone && e.RIB != m.RIB {
		return false
	}
	if !m.onRoutes() {
		return true
	}
	if !e.Update(&m.update) || !m.attributes() {
		return false
	}
	it := m.update.Routes()
	for it.Next() {
		if n := &it.Route().NLRI; m.nlri(n) {
			return true
		}
	}
	return false
}

func (m *matcher) nlri(n *bgp.NLRI) bool {
	if m.Family != 0 && n.Family != m.Family {
		return false
	}
	if m.NLRI != "" {
		m.text = n.AppendText(m.text[:0])
		return string(m.text) == m.NLRI
	}
	if !m.Prefix.IsValid() {
		return true
	}
	p := n.Prefix
	if !p.IsValid() || p.Addr().Is4() != m.Prefix.Addr().Is4() {
		return false
	}
	switch m.Match {
	case "longer":
		return p.Bits() >= m.Prefix.Bits() && m.Prefix.Contains(p.Addr())
	case "shorter", "longest":
		// One message cannot tell which of the containing prefixes is the longest.
		return p.Bits() <= m.Prefix.Bits() && p.Contains(m.Prefix.Addr())
	}
	return p == m.Prefix
}

// attributes reports whether the parsed update's attributes are those asked for.
func (m *matcher) attributes() bool {
	u := &m.update
	if m.OriginAS != 0 {
		if asn, ok := u.OriginAS(); !ok || asn != m.OriginAS {
			return false
		}
	}
	if m.ASPath != nil {
		m.text = u.AppendASPath(m.text[:0])
		if !m.ASPath.Match(m.text) {
			return false
		}
	}
	if m.Community == "" {
		return true
	}
	m.text = append(u.AppendCommunities(m.text[:0]), ' ')
	m.text = append(u.AppendLargeCommunities(m.text), ' ')
	m.text = u.AppendExtCommunities(m.text)
	return slices.Contains(strings.Fields(string(m.text)), m.Community)
}
