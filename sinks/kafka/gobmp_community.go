package kafka

import (
	"encoding/hex"
	"math"
	"net/netip"
	"strconv"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/internal/wire"
)

// Types of extended communities (RFC 7153 §5.1) whose values GoBMP writes in
// words.
const (
	extAS2        = 0x00
	extIPv4       = 0x01
	extAS4        = 0x02
	extOpaque     = 0x03
	extEVPN       = 0x06
	extFlowNext   = 0x08
	extAS2Local   = 0x40 // not transitive
	extValidation = 0x43
	extFlowAS2    = 0x80
	extFlowIPv4   = 0x81
	extFlowAS4    = 0x82
)

// extWords are GoBMP's words by type and subtype.
var extWords = map[uint8]map[uint8]string{
	extAS2: {0x02: "rt", 0x03: "ro", 0x05: "odi", 0x08: "bdc", 0x09: "sas", 0x0a: "l2i", 0x10: "cvd", 0x13: "rtr", 0x80: "vni"},
	extIPv4: {
		0x02: "rt", 0x03: "ro", 0x05: "odi", 0x07: "ori", 0x0a: "l2i", 0x0b: "vri", 0x0c: "fsr", 0x10: "cvd",
		0x12: "snh", 0x13: "rtr", 0x14: "rnh", 0x20: "rpa",
	},
	extAS4: {0x02: "rt", 0x03: "ro", 0x04: "deprecated", 0x05: "odi", 0x08: "bdc", 0x09: "sas", 0x10: "cvd", 0x13: "rtr"},
	extOpaque: {
		0x01: "cost", 0x03: "cporf", 0x04: "esrc", 0x05: "esep", 0x06: "ort", 0x07: "taf", 0x08: "cls", extColor: "color",
		extEncap: "encap", 0x0d: "dg", 0x0e: "p2p2m", 0x14: "chso", 0xaa: "lb",
	},
	extEVPN: {
		extMobility: "macmob", extESILabel: "esi-l", extESImport: "es-irt", extRouterMAC: "rmac", 0x04: "l2attr", 0x05: "e-tree",
		extDFElection: "df-elect", 0x07: "i-sid", 0x08: "nd", 0x09: "mflag", 0x0a: "evi-rt0", 0x0b: "evi-rt1", 0x0c: "evi-rt2",
		0x0d: "evi-rt3", 0x0e: "ac", 0x0f: "sct",
	},
	extAS2Local:   {extBandwidth: "link-bw", 0x80: "vni"},
	extValidation: {0x00: "ov-state"},
	extFlowAS2:    flowActions, extFlowIPv4: flowActions, extFlowAS4: flowActions,
}

var flowActions = map[uint8]string{
	extRate: "flowspec-traffic-rate", extAction: "flowspec-traffic-action", extRedirect: "flowspec-redirect",
	extMarking: "flowspec-traffic-remarking",
}

// Subtypes whose value has a form of its own.
const (
	extColor  = 0x0b
	extEncap  = 0x0c
	colorType = 0x030b

	extMobility   = 0x00
	extESILabel   = 0x01
	extESImport   = 0x02
	extRouterMAC  = 0x03
	extDFElection = 0x06

	extBandwidth = 0x04

	extRate     = 0x06
	extAction   = 0x07
	extRedirect = 0x08
	extMarking  = 0x09
)

const extSize = 8

// validationStates are by value (RFC 8097 §2).
var validationStates = [...]string{"valid", "not-found", "invalid"}

// extCommunities appends the extended communities in GoBMP's words.
func (f *goBMPFormat) extCommunities(v []byte) []byte {
	a, ok := f.update.Attr(bgp.AttrExtCommunities)
	if !ok || len(a.Value) < extSize {
		return v
	}
	v = append(appendName(v, "ext_community_list"), '[')
	for c := wire.NewCursor(a.Value); c.Len() >= extSize; {
		v = append(separated(v), '"')
		v = append(appendExtCommunity(v, c.Bytes(extSize)), '"')
	}
	return append(v, ']')
}

// extended returns the value of the first community of a type and subtype.
func (f *goBMPFormat) extended(typ uint16) (wire.Cursor, bool) {
	if a, ok := f.update.Attr(bgp.AttrExtCommunities); ok {
		for c := wire.NewCursor(a.Value); c.Len() >= extSize; {
			if one := c.Sub(extSize); one.Uint16() == typ {
				return one, true
			}
		}
	}
	return wire.Cursor{}, false
}

// color appends the color of a route's intent (RFC 9723).
func (f *goBMPFormat) color(v []byte) []byte {
	if c, ok := f.extended(colorType); ok {
		c.Skip(2)
		v = appendNumber(v, "color", uint64(c.Uint32()))
	}
	return v
}

// originValidation appends the state that the sender found (RFC 8097).
func (f *goBMPFormat) originValidation(v []byte) []byte {
	const typ, before = 0x4300, 5
	if c, ok := f.extended(typ); ok {
		c.Skip(before)
		if state := int(c.Uint8()); state < len(validationStates) {
			v = appendPlain(v, "origin_validation", validationStates[state])
		}
	}
	return v
}

// appendExtCommunity appends one of eight octets: word=value.
func appendExtCommunity(v, b []byte) []byte {
	c := wire.NewCursor(b)
	typ, sub := c.Uint8(), c.Uint8()
	if typ == extFlowNext {
		return append(v, "flowspec=redirect_to_ip_next_hop"...)
	}
	words, ok := extWords[typ]
	if !ok {
		v = appendUint(append(v, "unknown=Type: "...), uint64(typ))
		v = appendUint(append(v, " Subtype: "...), uint64(sub))
		return appendHexList(append(v, " Value: "...), c.Rest())
	}
	if word, ok := words[sub]; ok {
		v = append(v, word...)
	} else {
		v = append(v, "Subtype unknown"...)
	}
	v = append(v, '=')
	switch typ {
	case extAS2:
		return appendPair(v, uint64(c.Uint16()), uint64(c.Uint32()))
	case extIPv4:
		return appendAddrPair(v, &c)
	case extAS4:
		return appendPair(v, uint64(c.Uint32()), uint64(c.Uint16()))
	case extOpaque:
		c.Skip(2)
		if sub == extEncap {
			c.Skip(2)
			return appendUint(v, uint64(c.Uint16()))
		}
		return appendUint(v, uint64(c.Uint32()))
	case extEVPN:
		return appendEVPNCommunity(v, sub, &c)
	case extAS2Local:
		return appendLocal(v, sub, &c)
	case extValidation:
		return appendValidation(v, sub, &c)
	}
	return appendFlowAction(v, typ, sub, &c)
}

func appendPair(v []byte, a, b uint64) []byte { return appendUint(append(appendUint(v, a), ':'), b) }

func appendAddrPair(v []byte, c *wire.Cursor) []byte {
	a, _ := netip.AddrFromSlice(c.Bytes(4)) // of four octets, always
	return appendUint(append(a.AppendTo(v), ':'), uint64(c.Uint16()))
}

// appendEVPNCommunity appends the value of one of RFC 7432's family.
func appendEVPNCommunity(v []byte, sub uint8, c *wire.Cursor) []byte {
	switch sub {
	case extMobility: // flags[1] reserved[1] sequence[4]
		flags := c.Uint8()
		c.Skip(1)
		return appendPair(v, uint64(flags), uint64(c.Uint32()))
	case extESILabel: // flags[1] reserved[2] label[3]
		flags := c.Uint8()
		c.Skip(2)
		return appendPair(v, uint64(flags), uint64(c.Uint24()>>labelLowBits))
	case extESImport, extRouterMAC:
		return appendMAC(v, c.Rest(), "0123456789ABCDEF")
	case extDFElection: // algorithm[1] bits[2]
		v = append(appendUint(v, uint64(c.Uint8())), ":0x"...)
		return hex.AppendEncode(v, c.Bytes(2))
	}
	return appendUint(v, uint64(c.Uint32()))
}

// appendMAC appends octets in hexadecimal, joined by colons.
func appendMAC(v, mac []byte, digits string) []byte {
	const low = 0x0f
	for i, x := range mac {
		if i > 0 {
			v = append(v, ':')
		}
		v = append(v, digits[x>>4], digits[x&low])
	}
	return v
}

// appendLocal appends the value of a community between neighbors; the bandwidth
// stands behind the AS number (draft-ietf-idr-link-bandwidth).
func appendLocal(v []byte, sub uint8, c *wire.Cursor) []byte {
	if sub != extBandwidth {
		return appendUint(v, uint64(c.Uint32()))
	}
	const digits = 6
	c.Skip(2)
	return strconv.AppendFloat(v, float64(math.Float32frombits(c.Uint32())), 'f', digits, 32)
}

func appendValidation(v []byte, sub uint8, c *wire.Cursor) []byte {
	if sub != 0 {
		return appendUint(append(v, "unknown-subtype="...), uint64(sub))
	}
	const before = 5
	c.Skip(before)
	state := c.Uint8()
	if int(state) < len(validationStates) {
		return append(v, validationStates[state]...)
	}
	return appendUint(append(v, "unknown="...), uint64(state))
}

// appendFlowAction appends what a flow specification does (RFC 8955 §7).
func appendFlowAction(v []byte, typ, sub uint8, c *wire.Cursor) []byte {
	const before, terminal, sample, dscp = 5, 0x01, 0x02, 0x3f
	switch {
	case sub == extRedirect && typ == extFlowIPv4:
		return appendAddrPair(v, c)
	case sub == extRedirect && typ == extFlowAS4:
		return appendPair(v, uint64(c.Uint32()), uint64(c.Uint16()))
	case sub == extRedirect:
		return appendPair(v, uint64(c.Uint16()), uint64(c.Uint32()))
	case typ != extFlowAS2:
	case sub == extRate: // octets a second, said in bits
		v = appendUint(append(v, "AS: "...), uint64(c.Uint16()))
		v = strconv.AppendFloat(append(v, " Rate: "...), math.Trunc(float64(math.Float32frombits(c.Uint32())))*8, 'f', 0, 64)
		return append(v, " bps"...)
	case sub == extAction:
		c.Skip(before)
		bits := c.Uint8()
		v = strconv.AppendBool(append(v, "T="...), bits&terminal != 0)
		return strconv.AppendBool(append(v, " S="...), bits&sample != 0)
	case sub == extMarking:
		c.Skip(before)
		return appendUint(append(v, "DSCP="...), uint64(c.Uint8()&dscp))
	}
	return appendHexList(v, c.Rest())
}

// appendHexList appends [ 0x01, 0x02 ].
func appendHexList(v, b []byte) []byte {
	v = append(v, '[')
	for i, x := range b {
		if i > 0 {
			v = append(v, ',')
		}
		v = hex.AppendEncode(append(v, " 0x"...), []byte{x})
	}
	return append(v, ' ', ']')
}
