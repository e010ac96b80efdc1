package bgp

import (
	"net/netip"

	"github.com/ribtap/ribtap/internal/wire"
)

// flowForm says how the operand of a flow specification component is written.
type flowForm uint8

const (
	flowPrefix  flowForm = iota + 1
	flowNumber           // numeric operator, RFC 8955 §4.2.1.1
	flowBitmask          // bitmask operator, RFC 8955 §4.2.1.2
)

// flowComponents are by type (RFC 8955 §4.2.2, RFC 8956 §3).
var flowComponents = [flowLast + 1]struct {
	name string
	form flowForm
	bits []string // names of a bitmask's bits, from the lowest
}{
	1:  {"destination", flowPrefix, nil},
	2:  {"source", flowPrefix, nil},
	3:  {"protocol", flowNumber, nil},
	4:  {"port", flowNumber, nil},
	5:  {"destination-port", flowNumber, nil},
	6:  {"source-port", flowNumber, nil},
	7:  {"icmp-type", flowNumber, nil},
	8:  {"icmp-code", flowNumber, nil},
	9:  {"tcp-flags", flowBitmask, []string{"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"}},
	10: {"packet-length", flowNumber, nil},
	11: {"dscp", flowNumber, nil},
	12: {"fragment", flowBitmask, []string{"dont-fragment", "is-fragment", "first-fragment", "last-fragment"}},
	13: {"flow-label", flowNumber, nil},
}

// Bits of an operator besides those that cut components apart.
const (
	flowAnd      = 0x40
	flowRelation = 0x07 // numeric: less, greater, equal
	flowNot      = 0x02 // bitmask
	flowMatch    = 0x01 // bitmask: all of the bits and not one of them
)

// flowRelations are by the three bits of a numeric operator.
var flowRelations = [flowRelation + 1]string{"false", "==", ">", ">=", "<", "<=", "!=", "true"}

// appendFlowspecText appends the components in words, in the order received:
//
//	destination 10.9.0.0/16 protocol ==17 destination-port >53
//
// Alternatives are joined by | and conditions that hold together by &. ! before
// bits means none of the match, = all of the bits instead of one of them. The RD
// of a VPN family is left out, as for prefixes. ok is false for layer 2, for an
// unknown component, and for an item that is not a flow specification.
func appendFlowspecText(dst []byte, n *NLRI) (_ []byte, ok bool) {
	if n.Family == L2VPNFlowspec {
		return dst, false
	}
	c := wire.NewCursor(n.Raw)
	if c.Uint8() >= flowLongLength {
		c.Skip(1)
	}
	if n.HasRD {
		c.Skip(rdLen)
	}
	start := len(dst)
	for !c.Empty() {
		typ := int(c.Uint8())
		if typ >= len(flowComponents) || flowComponents[typ].form == 0 {
			return dst, false
		}
		row := &flowComponents[typ]
		dst = append(append(separate(dst, start), row.name...), ' ')
		switch row.form {
		case flowPrefix:
			dst, ok = appendFlowPrefix(dst, &c, n.Family.AFI())
		case flowNumber, flowBitmask:
			dst, ok = appendFlowValues(dst, &c, row.form, row.bits)
		}
		if !ok {
			return dst, false
		}
	}
	return dst, c.OK() && len(dst) > start
}

// appendFlowPrefix reads bits[1] prefix… or, in IPv6, bits[1] offset[1]
// pattern…. A pattern that does not begin at the first bit is written with the
// offset before the length, such as ::1234:5600:0:0/64-88 (RFC 8956 §3.1).
func appendFlowPrefix(dst []byte, c *wire.Cursor, afi AFI) ([]byte, bool) {
	bits, offset := int(c.Uint8()), 0
	if afi == AFIIPv4 {
		var a [4]byte
		if bits > 32 {
			return dst, false
		}
		copy(a[:], c.Bytes(octets(bits)))
		return netip.PrefixFrom(netip.AddrFrom4(a), bits).Masked().AppendTo(dst), c.OK()
	}
	if offset = int(c.Uint8()); bits > 128 || offset > bits {
		return dst, false
	}
	addr := placePattern(c.Bytes(octets(bits-offset)), offset)
	p := netip.PrefixFrom(addr, bits).Masked()
	if offset == 0 {
		return p.AppendTo(dst), c.OK()
	}
	dst = append(p.Addr().AppendTo(dst), '/')
	dst = append(appendUint(dst, offset), '-')
	return appendUint(dst, bits), c.OK()
}

// placePattern returns the address that has the pattern at the bit offset and
// is zero elsewhere.
func placePattern(pattern []byte, offset int) netip.Addr {
	var a [16 + 1]byte // an octet more, for what is shifted out
	at, shift := offset/8, offset%8
	for i, b := range pattern {
		a[at+i] |= b >> shift
		if at+i+1 < len(a) {
			a[at+i+1] |= b << (8 - shift)
		}
	}
	return netip.AddrFrom16([16]byte(a[:16]))
}

// appendFlowValues reads operator[1] value[1, 2, 4 or 8] until the end-of-list
// bit (RFC 8955 §4.2.1).
func appendFlowValues(dst []byte, c *wire.Cursor, form flowForm, bits []string) ([]byte, bool) {
	for first := true; ; first = false {
		op := c.Uint8()
		v := readFlowValue(c, op)
		if !c.OK() {
			return dst, false
		}
		if !first {
			dst = append(dst, flowJoin(op))
		}
		if form == flowNumber {
			dst = appendFlowNumber(dst, op, v)
		} else {
			dst = appendFlowBits(dst, op, v, bits)
		}
		if op&flowEndOfList != 0 {
			return dst, true
		}
	}
}

func flowJoin(op uint8) byte {
	if op&flowAnd != 0 {
		return '&'
	}
	return '|'
}

func readFlowValue(c *wire.Cursor, op uint8) uint64 {
	switch op >> flowLengthShift & flowLengthMask {
	case 0:
		return uint64(c.Uint8())
	case 1:
		return uint64(c.Uint16())
	case 2:
		return uint64(c.Uint32())
	}
	return c.Uint64()
}

// appendFlowNumber appends relation and value; true and false need no value.
func appendFlowNumber(dst []byte, op uint8, v uint64) []byte {
	r := op & flowRelation
	dst = append(dst, flowRelations[r]...)
	if r == 0 || r == flowRelation {
		return dst
	}
	return appendUint(dst, v)
}

// appendFlowBits appends the names of the bits joined by plus signs, or the
// value in hex when one has no name.
func appendFlowBits(dst []byte, op uint8, v uint64, bits []string) []byte {
	if op&flowNot != 0 {
		dst = append(dst, '!')
	}
	if op&flowMatch != 0 {
		dst = append(dst, '=')
	}
	if v == 0 || v>>len(bits) != 0 {
		return appendHexUint(dst, v)
	}
	for i, more := 0, false; i < len(bits); i++ {
		if v&(1<<i) == 0 {
			continue
		}
		if more {
			dst = append(dst, '+')
		}
		dst, more = append(dst, bits[i]...), true
	}
	return dst
}
