package mrt

import (
	"net/netip"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/internal/wire"
)

// nlriLayout says how long one NLRI of a RIB_GENERIC record is: the record
// has no length field for it (RFC 6396 §4.3.3).
type nlriLayout uint8

const (
	layoutUnknown  nlriLayout = iota
	layoutBits                // bits[1] value
	layoutLen16               // length[2] value
	layoutT8L8                // type[1] length[1] value
	layoutT16L16              // type[2] length[2] value
	layoutMUP                 // architecture[1] type[2] length[1] value
	layoutFlowspec            // length[1 or 2] value
)

// layoutOf is the table of families that RIB_GENERIC can be read for.
func layoutOf(f bgp.Family) nlriLayout {
	switch f {
	case bgp.IPv4Unicast, bgp.IPv4Multicast, bgp.IPv4Labelled, bgp.IPv4VPN, bgp.IPv4VPNMcast, bgp.IPv4SRPolicy,
		bgp.IPv6Unicast, bgp.IPv6Multicast, bgp.IPv6Labelled, bgp.IPv6VPN, bgp.IPv6VPNMcast, bgp.IPv6SRPolicy, bgp.RTC:
		return layoutBits
	case bgp.VPLS:
		return layoutLen16
	case bgp.EVPN, bgp.IPv4MVPN, bgp.IPv6MVPN:
		return layoutT8L8
	case bgp.LS, bgp.LSVPN:
		return layoutT16L16
	case bgp.IPv4MUP, bgp.IPv6MUP:
		return layoutMUP
	case bgp.IPv4Flowspec, bgp.IPv6Flowspec, bgp.IPv4VPNFlow, bgp.IPv6VPNFlow, bgp.L2VPNFlowspec:
		return layoutFlowspec
	}
	return layoutUnknown
}

// cutNLRI takes one NLRI from the front of c, which is bad when it is too short.
// ok is false for a family without a layout.
func cutNLRI(c *wire.Cursor, f bgp.Family) (nlri []byte, ok bool) {
	start, head := *c, *c
	n := 0
	switch layoutOf(f) {
	case layoutBits:
		n = (int(head.Uint8()) + 7) / 8
	case layoutLen16:
		n = int(head.Uint16())
	case layoutT8L8:
		head.Skip(1)
		n = int(head.Uint8())
	case layoutT16L16:
		head.Skip(2)
		n = int(head.Uint16())
	case layoutMUP:
		head.Skip(3)
		n = int(head.Uint8())
	case layoutFlowspec:
		// RFC 8955 §4.1: 0xfnnn is the two-octet form.
		if n = int(head.Uint8()); n >= 0xf0 {
			n = n&0x0f<<8 | int(head.Uint8())
		}
	case layoutUnknown:
		return nil, false
	}
	return c.Bytes(head.Offset() - start.Offset() + n), true
}

// maxBits is the length of the longest prefix of the family.
func maxBits(f bgp.Family) int {
	if f.AFI() == bgp.AFIIPv6 {
		return 128
	}
	return 32
}

// plainPrefix reports whether the family's NLRI is a prefix and nothing else.
func plainPrefix(f bgp.Family) bool {
	switch f {
	case bgp.IPv4Unicast, bgp.IPv4Multicast, bgp.IPv6Unicast, bgp.IPv6Multicast:
		return true
	default:
		return false
	}
}

// parsePrefix reads bits[1] and the octets behind it, masked.
func parsePrefix(nlri []byte, f bgp.Family) (netip.Prefix, bool) {
	c := wire.NewCursor(nlri)
	bits := int(c.Uint8())
	value := c.Rest()
	if bits > maxBits(f) || len(value) != (bits+7)/8 {
		return netip.Prefix{}, false
	}
	var a netip.Addr
	if f.AFI() == bgp.AFIIPv6 {
		var b [16]byte
		copy(b[:], value)
		a = netip.AddrFrom16(b)
	} else {
		var b [4]byte
		copy(b[:], value)
		a = netip.AddrFrom4(b)
	}
	p, err := a.Prefix(bits)
	return p, err == nil
}

// AppendPrefix appends the NLRI of a prefix (RFC 4271 §4.3): its length in bits
// and as many octets as they need, host bits cleared.
func AppendPrefix(dst []byte, p netip.Prefix) []byte {
	p = p.Masked()
	dst = append(dst, byte(p.Bits()))
	n := (p.Bits() + 7) / 8
	if p.Addr().Is4() {
		b := p.Addr().As4()
		return append(dst, b[:n]...)
	}
	b := p.Addr().As16()
	return append(dst, b[:n]...)
}
