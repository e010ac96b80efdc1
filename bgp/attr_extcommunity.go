package bgp

import (
	"encoding/hex"
	"math"
	"strconv"

	"github.com/ribtap/ribtap/internal/wire"
)

// extForm says how the six octets behind type and subtype of an extended
// community are written.
type extForm uint8

const (
	formAS2       extForm = iota + 1 // AS[2] number[4]        65000:1
	formIPv4                         // address[4] number[2]   192.0.2.1:1
	formAS4                          // AS[4] number[2]        4200000000:1
	formHex                          // six octets             0001c0a80101
	formAS2Float                     // AS[2] float[4]         65000:1.25e+09
	formFlags                        // six octets as bits, in the row's words
	formLow1                         // the last octet in words or decimal
	formLow2                         // the last two octets likewise
	formLow4                         // the last four octets in decimal
	formMAC                          // six octets             00:00:5e:00:53:01
	formMobility                     // flags[1] reserved[1] sequence[4]
	formOSPFRoute                    // area[4] type[1] options[1]
	formColor                        // flags[2] color[4]
	formNone                         // nothing behind the name
)

// extRow is what the codec knows of a type of extended community. A new type is
// a row here.
type extRow struct {
	typ   uint16 // type and subtype
	name  string
	form  extForm
	words []string // of formLow1 and formLow2 by value, of formFlags by bit
}

// extRows holds the types that operators meet; the registry is IANA's
// bgp-extended-communities. The common ones come first.
var extRows = [...]extRow{
	{0x0002, "rt", formAS2, nil},                                          // RFC 4360
	{0x0003, "soo", formAS2, nil},                                         // RFC 4360
	{0x0202, "rt", formAS4, nil},                                          // RFC 5668
	{0x0203, "soo", formAS4, nil},                                         // RFC 5668
	{0x0102, "rt", formIPv4, nil},                                         // RFC 4360
	{0x0103, "soo", formIPv4, nil},                                        // RFC 4360
	{0x030c, "encap", formLow2, tunnelTypes[:]},                           // RFC 9012
	{0x030b, "color", formColor, nil},                                     // RFC 9012
	{0x4004, "link-bandwidth", formAS2Float, nil},                         // draft-ietf-idr-link-bandwidth
	{0x0004, "link-bandwidth-transitive", formAS2Float, nil},              // draft-ietf-idr-link-bandwidth
	{0x0005, "ospf-domain", formAS2, nil},                                 // RFC 4577
	{0x0105, "ospf-domain", formIPv4, nil},                                // RFC 4577
	{0x0205, "ospf-domain", formAS4, nil},                                 // RFC 4577
	{0x0107, "ospf-router", formIPv4, nil},                                // RFC 4577
	{0x0306, "ospf-route", formOSPFRoute, nil},                            // RFC 4577
	{0x0008, "bgp-data-collection", formAS2, nil},                         // RFC 4384
	{0x0009, "source-as", formAS2, nil},                                   // RFC 6514
	{0x0209, "source-as", formAS4, nil},                                   // RFC 6514
	{0x010b, "vrf-route-import", formIPv4, nil},                           // RFC 6514
	{0x030d, "default-gateway", formNone, nil},                            // RFC 7432
	{0x4300, "ovs", formLow1, []string{"valid", "not-found", "invalid"}},  // RFC 8097
	{0x0600, "mac-mobility", formMobility, nil},                           // RFC 7432
	{0x0601, "esi-label", formHex, nil},                                   // RFC 7432
	{0x0602, "es-import", formMAC, nil},                                   // RFC 7432
	{0x0603, "router-mac", formMAC, nil},                                  // RFC 9135
	{0x0604, "evpn-layer2", formHex, nil},                                 // RFC 8214
	{0x0606, "df-election", formHex, nil},                                 // RFC 8584
	{0x800a, "layer2-info", formHex, nil},                                 // RFC 4761
	{0x8006, "traffic-rate", formAS2Float, nil},                           // RFC 8955
	{0x800c, "traffic-rate-packets", formAS2Float, nil},                   // RFC 8955
	{0x8007, "traffic-action", formFlags, []string{"terminal", "sample"}}, // RFC 8955
	{0x8008, "redirect", formAS2, nil},                                    // RFC 8955
	{0x8108, "redirect", formIPv4, nil},                                   // RFC 8955
	{0x8208, "redirect", formAS4, nil},                                    // RFC 8955
	{0x8009, "traffic-marking", formLow1, nil},                            // RFC 8955
	{0x010c, "redirect-to-ip", formIPv4, nil},                             // draft-ietf-idr-flowspec-redirect-ip
	{0x0800, "redirect-to-next-hop", formLow4, nil},                       // draft-simpson-idr-flowspec-redirect
}

// tunnelTypes are by number (IANA bgp-tunnel-encapsulation); the others have no
// word here.
var tunnelTypes = [...]string{
	1: "l2tpv3", 2: "gre", 7: "ip-in-ip", 8: "vxlan", 9: "nvgre", 10: "mpls", 11: "mpls-in-gre",
	12: "vxlan-gpe", 13: "mpls-in-udp", 15: "sr-policy", 17: "any", 19: "geneve",
}

// appendExtCommunity appends one extended community of eight octets.
func appendExtCommunity(dst, b []byte) []byte {
	c := wire.NewCursor(b)
	typ := c.Uint16()
	for i := range extRows {
		row := &extRows[i]
		if row.typ != typ {
			continue
		}
		dst = append(dst, row.name...)
		if row.form == formNone {
			return dst
		}
		return row.appendValue(append(dst, ':'), &c)
	}
	return appendHex(dst, b)
}

func (r *extRow) appendValue(dst []byte, c *wire.Cursor) []byte {
	switch r.form {
	case formAS2:
		dst = appendUint(dst, c.Uint16())
		return appendUint(append(dst, ':'), c.Uint32())
	case formIPv4:
		dst = appendAddrText(dst, c.Bytes(4))
		return appendUint(append(dst, ':'), c.Uint16())
	case formAS4:
		dst = appendAS4(dst, c.Uint32())
		return appendUint(append(dst, ':'), c.Uint16())
	case formAS2Float:
		dst = appendUint(dst, c.Uint16())
		return appendFloat(append(dst, ':'), math.Float32frombits(c.Uint32()))
	case formLow1:
		c.Skip(5)
		return r.appendWord(dst, int(c.Uint8()))
	case formLow2:
		c.Skip(4)
		return r.appendWord(dst, int(c.Uint16()))
	case formLow4:
		c.Skip(2)
		return appendUint(dst, c.Uint32())
	case formFlags:
		return r.appendFlags(dst, c)
	case formMAC:
		return appendOctets(dst, c.Rest())
	case formMobility:
		return appendMobility(dst, c)
	case formOSPFRoute:
		return appendOSPFRoute(dst, c)
	case formColor:
		return appendColor(dst, c)
	case formHex, formNone:
	}
	return hex.AppendEncode(dst, c.Rest())
}

// appendWord appends the row's word for v, or v.
func (r *extRow) appendWord(dst []byte, v int) []byte {
	if v < len(r.words) && r.words[v] != "" {
		return append(dst, r.words[v]...)
	}
	return appendUint(dst, v)
}

// appendFlags appends the row's words for the low bits, joined by plus signs,
// and any other bit as a number.
func (r *extRow) appendFlags(dst []byte, c *wire.Cursor) []byte {
	c.Skip(2)
	v := c.Uint32()
	start := len(dst)
	for i, word := range r.words {
		if v&(1<<i) == 0 {
			continue
		}
		if len(dst) > start {
			dst = append(dst, '+')
		}
		dst = append(dst, word...)
		v &^= 1 << i
	}
	if v == 0 && len(dst) > start {
		return dst
	}
	if len(dst) > start {
		dst = append(dst, '+')
	}
	return appendUint(dst, v)
}

// appendFloat appends an IEEE number in octets or packets per second, in full:
// 1250000000 and not 1.25e+09.
func appendFloat(dst []byte, f float32) []byte {
	return strconv.AppendFloat(dst, float64(f), 'f', -1, 32)
}

// appendOctets appends b as 00:00:5e:00:53:01.
func appendOctets(dst, b []byte) []byte {
	for i := range b {
		if i > 0 {
			dst = append(dst, ':')
		}
		dst = hex.AppendEncode(dst, b[i:i+1])
	}
	return dst
}

// appendMobility appends the sequence number of a MAC mobility community,
// behind sticky: for a static address (RFC 7432 §7.7).
func appendMobility(dst []byte, c *wire.Cursor) []byte {
	const sticky = 0x01
	if c.Uint8()&sticky != 0 {
		dst = append(dst, "sticky:"...)
	}
	c.Skip(1)
	return appendUint(dst, c.Uint32())
}

// appendOSPFRoute appends area:type:options (RFC 4577 §4.2.6).
func appendOSPFRoute(dst []byte, c *wire.Cursor) []byte {
	dst = appendAddrText(dst, c.Bytes(4))
	dst = appendUint(append(dst, ':'), c.Uint8())
	return appendUint(append(dst, ':'), c.Uint8())
}

// appendColor appends the color, behind its Color-Only bits when they are set
// (RFC 9012 §4.3, RFC 9256 §8.8.1).
func appendColor(dst []byte, c *wire.Cursor) []byte {
	const coShift = 14
	if co := c.Uint16() >> coShift; co != 0 {
		dst = append(appendUint(append(dst, "co"...), co), ':')
	}
	return appendUint(dst, c.Uint32())
}

// ipv6Rows are the IPv6 address specific types (RFC 5701, IANA
// bgp-extended-communities).
var ipv6Rows = [...]struct {
	typ  uint16
	name string
}{
	{0x0002, "rt"},               // RFC 5701
	{0x0003, "soo"},              // RFC 5701
	{0x000b, "vrf-route-import"}, // RFC 6515
	{0x000c, "redirect-to-ip"},   // draft-ietf-idr-flowspec-redirect-ip
	{0x000d, "redirect"},         // RFC 8956
}

// appendIPv6Community appends one community of 20 octets: type[2] address[16]
// number[2].
func appendIPv6Community(dst, b []byte) []byte {
	c := wire.NewCursor(b)
	typ := c.Uint16()
	for _, row := range ipv6Rows {
		if row.typ != typ {
			continue
		}
		dst = append(append(dst, row.name...), ":["...)
		dst = appendAddrText(dst, c.Bytes(16))
		return appendUint(append(dst, "]:"...), c.Uint16())
	}
	return appendHex(dst, b)
}
