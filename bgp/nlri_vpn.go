package bgp

import (
	"encoding/binary"

	"github.com/ribtap/ribtap/internal/wire"
)

// rdLen is the size of a route distinguisher (RFC 4364 §4.2).
const rdLen = 8

// cutVPN reads bits[1] labels[3n] RD[8] prefix… (RFC 4364 §4.3.4).
func cutVPN(c *wire.Cursor, a Action, n *NLRI) (reason string) {
	bits := int(c.Uint8())
	bits -= cutLabels(c, bits, a, n)
	if n.Labels == nil {
		return reasonLabelStack
	}
	cutRD(c, n)
	return cutPrefix(c, bits-8*rdLen, n)
}

// cutRD reads a route distinguisher.
func cutRD(c *wire.Cursor, n *NLRI) {
	rd := c.Uint64()
	n.HasRD = c.OK()
	binary.BigEndian.PutUint64(n.RD[:], rd)
}
