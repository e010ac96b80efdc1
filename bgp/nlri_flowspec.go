package bgp

import "github.com/ribtap/ribtap/internal/wire"

// Flow specification component types that hold a prefix (RFC 8955 §4.2.2.1,
// §4.2.2.2), and the last one that RFC 8955 and RFC 8956 define.
const (
	flowDestination = 1
	flowSource      = 2
	flowLast        = 13
)

// Bits of a numeric or bitmask operator (RFC 8955 §4.2.1).
const (
	flowEndOfList   = 0x80
	flowLengthShift = 4
	flowLengthMask  = 3
)

// flowLongLength marks a length of two octets (RFC 8955 §4.1).
const flowLongLength = 0xf0

// cutFlowspec reads length[1 or 2] components… (RFC 8955 §4.1), in the VPN
// families with the RD before the components (RFC 8955 §8).
func cutFlowspec(c *wire.Cursor, n *NLRI) (reason string) {
	n.HasRD = false
	size := int(c.Uint8())
	if size >= flowLongLength {
		size = size&^flowLongLength<<8 | int(c.Uint8())
	}
	value := c.Sub(size)
	switch {
	case !c.OK():
		return ""
	case size == 0:
		return reasonFlowspecEmpty
	case n.Family == IPv4VPNFlow || n.Family == IPv6VPNFlow || n.Family == L2VPNFlowspec:
		cutRD(&value, n)
	}
	if n.Family == L2VPNFlowspec {
		return ""
	}
	for !value.Empty() {
		if reason = skipComponent(&value, n.Family.AFI()); reason != "" {
			return reason
		}
	}
	if !value.OK() {
		return reasonNLRICut
	}
	return ""
}

// skipComponent steps over one component. At a type that no RFC defines it
// steps over the rest: what follows cannot be told apart.
func skipComponent(c *wire.Cursor, afi AFI) (reason string) {
	switch typ := c.Uint8(); {
	case typ == flowDestination || typ == flowSource:
		return skipFlowPrefix(c, afi)
	case typ == 0 || typ > flowLast:
		c.Skip(c.Len())
	default:
		for end := false; !end && c.OK(); {
			op := c.Uint8()
			c.Skip(1 << (op >> flowLengthShift & flowLengthMask))
			end = op&flowEndOfList != 0
		}
	}
	return ""
}

// skipFlowPrefix steps over a prefix: bits[1] prefix… in IPv4, bits[1]
// offset[1] pattern… in IPv6 (RFC 8956 §3.1).
func skipFlowPrefix(c *wire.Cursor, afi AFI) (reason string) {
	bits := int(c.Uint8())
	if afi == AFIIPv4 {
		if bits > 32 {
			return reasonPrefixLength
		}
		c.Skip(octets(bits))
		return ""
	}
	offset := int(c.Uint8())
	if bits > 128 || offset > bits {
		return reasonPrefixLength
	}
	c.Skip(octets(bits - offset))
	return ""
}
