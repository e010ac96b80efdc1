package kafka

import (
	"crypto/md5" //nolint:gosec // GoBMP's hash
	"encoding/hex"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/internal/wire"
)

// Components of a flow specification that hold a prefix, and the last that is
// defined (RFC 8955 §4.2.2, RFC 8956 §3).
const (
	flowDestination = 1
	flowSource      = 2
	flowLast        = 13
)

// Bits of an operator (RFC 8955 §4.2.1).
const (
	flowEnd        = 0x80
	flowAnd        = 0x40
	flowSize       = 0x03 // behind the shift
	flowSizeShift  = 4
	flowLess       = 0x04
	flowGreater    = 0x02
	flowEqual      = 0x01
	flowLongLength = 0xf0 // a length of two octets, §4.1
)

// flowspec makes the message of a flow specification and returns its key, the
// hash of the rule. ok is false for a rule with a component that nobody defined.
func (f *goBMPFormat) flowspec(e *event.Event, p *goBMPPeerInfo, r *bgp.Route) (key []byte, ok bool) {
	n := &r.NLRI
	c := wire.NewCursor(n.Raw)
	if c.Uint8() >= flowLongLength {
		c.Skip(1)
	}
	if n.HasRD {
		c.Skip(len(n.RD))
	}
	v6 := n.Family.AFI() == bgp.AFIIPv6
	f.spec = append(f.spec[:0], '[')
	for !c.Empty() {
		f.spec = append(separated(f.spec), '{')
		switch typ := c.Uint8(); {
		case typ == flowDestination || typ == flowSource:
			f.spec = appendFlowPrefix(appendNumber(f.spec, "type", uint64(typ)), &c, v6)
		case typ > flowSource && typ <= flowLast:
			f.spec = appendFlowValues(appendNumber(f.spec, "type", uint64(typ)), &c)
		default:
			return nil, false
		}
		f.spec = append(f.spec, '}')
	}
	if f.spec = append(f.spec, ']'); !c.OK() {
		return nil, false
	}
	sum := md5.Sum(f.spec) //nolint:gosec // GoBMP's hash
	f.key = hex.AppendEncode(f.key[:0], sum[:])
	v := f.begin(e, p, r)
	v = appendBool(v, "is_ipv4", !v6)
	v = appendPlain(v, "spec_hash", f.key)
	v = append(appendName(v, "spec"), f.spec...)
	if n.HasRD {
		v = appendRD(v, "rd", n.RD)
	}
	f.end(v, r)
	return f.key, true
}

// appendFlowPrefix reads bits[1] prefix, or in IPv6 bits[1] offset[1] pattern
// (RFC 8956 §3.1).
func appendFlowPrefix(v []byte, c *wire.Cursor, v6 bool) []byte {
	const octet = 8
	bits, offset := int(c.Uint8()), 0
	if v6 {
		offset = int(c.Uint8())
	}
	v = appendNumber(v, "prefix_len", uint64(bits))
	if offset != 0 {
		v = appendNumber(v, "prefix_offset", uint64(offset))
	}
	octets := c.Bytes((bits - offset + octet - 1) / octet)
	if len(octets) == 0 {
		return appendPlain(v, "prefix", "")
	}
	return appendBase64(v, "prefix", octets)
}

// appendFlowValues reads operator[1] value until the end-of-list bit.
func appendFlowValues(v []byte, c *wire.Cursor) []byte {
	v = append(appendName(v, "op_val_pairs"), '[')
	for end := false; !end && c.OK(); {
		op := c.Uint8()
		size := 1 << (op >> flowSizeShift & flowSize)
		end = op&flowEnd != 0
		v = append(appendName(append(separated(v), '{'), "operator"), '{')
		v = appendIfSet(v, "end_of_list_bit", op&flowEnd)
		v = appendIfSet(v, "and_bit", op&flowAnd)
		v = appendNumber(v, "value_length", uint64(size))
		v = appendIfSet(v, "less_than", op&flowLess)
		v = appendIfSet(v, "greater_than", op&flowGreater)
		v = appendIfSet(v, "equal", op&flowEqual)
		v = append(appendBase64(append(v, '}'), "value", c.Bytes(size)), '}')
	}
	return append(v, ']')
}

// appendIfSet appends a boolean that is left out when it is false.
func appendIfSet(v []byte, name string, bits uint8) []byte {
	if bits == 0 {
		return v
	}
	return appendBool(v, name, true)
}
