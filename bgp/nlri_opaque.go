package bgp

import "github.com/ribtap/ribtap/internal/wire"

// cutOpaque reads one item of a layout in which the codec reads lengths and, in
// the families that have one in a fixed place, the route distinguisher.
func cutOpaque(c *wire.Cursor, l layout, n *NLRI) (reason string) {
	n.HasRD = false
	switch l {
	case layoutTL8:
		c.Skip(1)
		c.Skip(int(c.Uint8()))
	case layoutTL16:
		c.Skip(2)
		cutValue(c, int(c.Uint16()), n.Family == LSVPN, n)
	case layoutLen16:
		cutValue(c, int(c.Uint16()), true, n)
	case layoutMUP:
		c.Skip(3)
		cutValue(c, int(c.Uint8()), true, n)
	case layoutBits:
		c.Skip(octets(int(c.Uint8())))
	default:
		c.Skip(c.Len())
	}
	return ""
}

// cutValue reads a value of size octets that begins with a route distinguisher
// if rd is set and the value is long enough.
func cutValue(c *wire.Cursor, size int, rd bool, n *NLRI) {
	if rd && size >= rdLen && c.Len() >= size {
		cutRD(c, n)
		size -= rdLen
	}
	c.Skip(size)
}
