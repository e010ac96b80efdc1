package bgp

import "github.com/ribtap/ribtap/internal/wire"

const (
	labelLen      = 3 // octets of a label field (RFC 8277 §2)
	bottomOfStack = 1 // bit of a label field

	// Label fields that stand for no label in a withdrawal (RFC 8277 §2.4 and,
	// as sent by routers that follow RFC 3107, zero).
	labelCompat     = 0x800000
	labelCompatZero = 0
)

// compatLabels is the label field of the withdrawals made here.
var compatLabels = [labelLen]byte{labelCompat >> 16, 0, 0}

// cutLabelled reads bits[1] labels[3n] prefix… (RFC 8277 §2).
func cutLabelled(c *wire.Cursor, a Action, n *NLRI) (reason string) {
	bits := int(c.Uint8())
	bits -= cutLabels(c, bits, a, n)
	if n.Labels == nil {
		return reasonLabelStack
	}
	return cutPrefix(c, bits, n)
}

// cutLabels reads the label stack of an NLRI of bits and returns its bits;
// n.Labels is nil when there is none. An announcement's stack must have a
// bottom within the NLRI. A withdrawal has one label field whose value means
// nothing (RFC 8277 §2.4), but routers that follow RFC 3107 repeat the stack.
func cutLabels(c *wire.Cursor, bits int, a Action, n *NLRI) int {
	n.Labels = nil
	ahead := c.Position()
	size, found := 0, false
	for !found && bits >= 8*(size+labelLen) {
		var label uint32
		label, ahead = ahead.Uint24()
		size += labelLen
		found = label&bottomOfStack != 0 ||
			a == Withdraw && size == labelLen && (label == labelCompat || label == labelCompatZero)
	}
	switch {
	case !ahead.OK() || size == 0:
		return 0
	case found:
	case a == Withdraw:
		size = labelLen
	default:
		return 0
	}
	n.Labels = c.Bytes(size)
	return 8 * size
}

// appendLabelledItem is appendPrefixItem behind a label field; it reports false
// for an announcement without labels.
func appendLabelledItem(dst []byte, n *NLRI, a Action, rd []byte) ([]byte, bool) {
	if a == Withdraw {
		return appendPrefixItem(dst, n, compatLabels[:], rd)
	}
	if len(n.Labels) == 0 || len(n.Labels)%labelLen != 0 {
		return dst, false
	}
	return appendPrefixItem(dst, n, n.Labels, rd)
}
