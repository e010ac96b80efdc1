package speaker

import (
	"bytes"
	"net/netip"
	"slices"

	"github.com/ribtap/ribtap/bgp"
)

// defaultLocalPref is what internal neighbours get without further word.
const defaultLocalPref = 100

// outContext is what a session decides about the attributes of our routes.
type outContext struct {
	local, remote netip.Addr // of the session, unmapped and without zone
	routerID      netip.Addr
	asn           uint32
	internal, as4 bool
	// nextHop6 is set when IPv4 prefixes may have an IPv6 next hop (RFC 8950).
	nextHop6 bool
	// otc is set when the neighbour may hand our routes to its customers alone
	// (RFC 9234 §5).
	otc   bool
	drain bool
}

func newOutContext(s *Session) outContext {
	c := outContext{
		local:    s.Local.Addr().Unmap().WithZone(""),
		remote:   s.Remote.Addr().Unmap().WithZone(""),
		routerID: s.LocalID,
		asn:      s.LocalASN,
		internal: s.Transmit.Peering == bgp.PeeringInternal,
		as4:      s.Transmit.AS4,
		nextHop6: bothTakeIPv6NextHops(s),
	}
	if role := s.Peer.Role; role != nil && !c.internal {
		c.otc = *role == bgp.RoleProvider || *role == bgp.RolePeer || *role == bgp.RoleRS
	}
	return c
}

// bothTakeIPv6NextHops reports whether both sides have the capability for IPv4
// unicast (RFC 8950 §4).
func bothTakeIPv6NextHops(s *Session) bool {
	want := bgp.ExtendedNextHop{Family: bgp.IPv4Unicast, NextHopAFI: bgp.AFIIPv6}
	return bothOpens(s, func(o *bgp.Open) bool { return slices.Contains(o.AppendExtendedNextHops(nil), want) })
}

// bothOpens reports whether the OPEN messages of both sides are as is says.
func bothOpens(s *Session, is func(*bgp.Open) bool) bool {
	for _, msg := range [][]byte{s.Sent, s.Received} {
		open, err := bgp.ParseOpen(msg)
		if err != nil || !is(&open) {
			return false
		}
	}
	return true
}

// attrEncoder makes the path attributes of announcements; it reuses its lists.
type attrEncoder struct {
	outContext
	path        []uint32
	communities []uint32
	ext         [][8]byte
	large       [][3]uint32
	buf         []byte
}

// encode appends the next hop of MP_REACH_NLRI, behind its length, and all other
// attributes: what two routes must have in common to travel in one UPDATE. why is
// leftNothing unless the route cannot be announced on the session.
func (e *attrEncoder) encode(dst []byte, a *Announcement) (_ []byte, why leftOut) {
	p := bgp.AttributeParams{Origin: bgp.Origin(a.Origin), MED: a.MED}
	dst, p.NextHop, why = e.appendNextHop(dst, a)
	if why != leftNothing {
		return dst, why
	}
	if e.internal {
		lp := uint32(defaultLocalPref)
		p.LocalPref = &lp
		if a.LocalPref != nil {
			p.LocalPref = a.LocalPref
		}
		p.ASPath = a.ASPath
	} else {
		e.path = append(append(e.path[:0], e.asn), a.ASPath...)
		p.ASPath = e.path
	}
	e.communities = append(e.communities[:0], a.Communities...)
	if e.drain && a.Family != bgp.RTC {
		e.communities = append(e.communities, bgp.GracefulShutdown)
	}
	slices.Sort(e.communities)
	p.Communities = slices.Compact(e.communities)
	e.ext = append(e.ext[:0], a.ExtendedCommunities...)
	slices.SortFunc(e.ext, func(x, y [8]byte) int { return bytes.Compare(x[:], y[:]) })
	p.ExtCommunities = slices.Compact(e.ext)
	e.large = append(e.large[:0], a.LargeCommunities...)
	slices.SortFunc(e.large, func(x, y [3]uint32) int { return slices.Compare(x[:], y[:]) })
	p.LargeCommunities = slices.Compact(e.large)
	if e.otc && (a.Family == bgp.IPv4Unicast || a.Family == bgp.IPv6Unicast) {
		p.OTC = e.asn
	}
	out, ok := bgp.AppendAttributes(dst, &p, e.as4)
	if !ok {
		return dst, leftTooLarge
	}
	return out, leftNothing
}

// appendNextHop appends the next hop of MP_REACH_NLRI behind its length, which
// is 0 for a flow (RFC 8955 §4), and for a route with classic, its NEXT_HOP.
func (e *attrEncoder) appendNextHop(dst []byte, a *Announcement) (_ []byte, classic netip.Addr, why leftOut) {
	hop := e.nextHop(a)
	switch {
	case a.Family == bgp.IPv4Flowspec || a.Family == bgp.IPv6Flowspec:
		return append(dst, 0), classic, leftNothing
	case !hop.IsValid(), a.Family == bgp.IPv4Unicast && hop.Is6() && !e.nextHop6, hop == e.remote && hop != e.local:
		return dst, classic, leftNextHop
	case a.Family == bgp.IPv4Unicast && hop.Is4():
		return append(dst, 0), hop, leftNothing
	}
	at := len(dst)
	dst = append(append(dst, 0), hop.AsSlice()...)
	if a.NextHop.IsValid() && a.LinkLocal.IsValid() {
		dst = append(dst, a.LinkLocal.AsSlice()...)
	}
	dst[at] = byte(len(dst) - at - 1)
	return dst, classic, leftNothing
}

// nextHop returns an address that is invalid when there is none: an IPv6 prefix
// on a session over IPv4 must say its own.
func (e *attrEncoder) nextHop(a *Announcement) netip.Addr {
	switch {
	case a.NextHop.IsValid():
		return a.NextHop
	case a.Family == bgp.IPv6Unicast:
		if e.local.Is6() {
			return e.local
		}
		return netip.Addr{}
	case a.Family == bgp.RTC:
		return firstValid(e.local, e.routerID)
	case e.local.Is4(), e.local.Is6() && e.nextHop6:
		return e.local
	}
	return e.routerID
}
