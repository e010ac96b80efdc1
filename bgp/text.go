package bgp

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/ribtap/ribtap/internal/wire"
)

// CleanText appends src, text that a router sent, made safe for SQL, JSON and
// terminals: every control character (NUL and line ends included) and every
// octet that is not UTF-8 becomes U+FFFD. The result is valid UTF-8 and at most
// three times as long.
func CleanText(dst, src []byte) []byte {
	for len(src) > 0 {
		n := cleanPrefix(src)
		dst = append(dst, src[:n]...)
		src = src[n:]
		if len(src) == 0 {
			break
		}
		r, size := utf8.DecodeRune(src)
		if r == utf8.RuneError || unicode.IsControl(r) {
			r = utf8.RuneError
		}
		dst = utf8.AppendRune(dst, r)
		src = src[size:]
	}
	return dst
}

// cleanPrefix returns how many octets at the start of b are printable ASCII.
func cleanPrefix(b []byte) int {
	for i, c := range b {
		if c < ' ' || c >= 0x7f {
			return i
		}
	}
	return len(b)
}

// appendHex appends 0x and the digits of b.
func appendHex(dst, b []byte) []byte {
	return hex.AppendEncode(append(dst, "0x"...), b)
}

// appendUint appends v in decimal.
func appendUint[T uint8 | uint16 | uint32 | uint64 | int](dst []byte, v T) []byte {
	return strconv.AppendUint(dst, uint64(v), 10)
}

// appendAS4 appends the AS number of a four-octet field beside which a
// two-octet field of the same meaning exists. Numbers that fit both are
// written 0.65000 (RFC 5396 asdot+), so that the two stay different in text.
func appendAS4(dst []byte, as uint32) []byte {
	if as <= 0xffff {
		dst = append(dst, "0."...)
	}
	return appendUint(dst, as)
}

// Types of a route distinguisher (RFC 4364 §4.2).
const (
	rdAS2  = 0
	rdIPv4 = 1
	rdAS4  = 2
)

// AppendText appends 65000:1 for a distinguisher with a two-octet AS number,
// 192.0.2.1:1 for one with an address, 4200000000:1 or 0.65000:1 for one with a
// four-octet AS number, and 0x with 16 hex digits for any other type
// (RFC 4364 §4.2). Different distinguishers have different texts.
func (rd RD) AppendText(dst []byte) []byte {
	c := wire.NewCursor(rd[:])
	switch c.Uint16() {
	case rdAS2:
		dst = appendUint(dst, c.Uint16())
		return appendUint(append(dst, ':'), c.Uint32())
	case rdIPv4:
		dst = appendAddrText(dst, c.Bytes(4))
		return appendUint(append(dst, ':'), c.Uint16())
	case rdAS4:
		dst = appendAS4(dst, c.Uint32())
		return appendUint(append(dst, ':'), c.Uint16())
	}
	return appendHex(dst, rd[:])
}

// appendAddrText appends an address of 4 or 16 octets.
func appendAddrText(dst, b []byte) []byte {
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		return appendHex(dst, b)
	}
	return a.AppendTo(dst)
}

// nextHopAddr returns the address in a next hop field of the family; ok is
// false when the field has not the form of one. Of the two addresses of an IPv6
// next hop it is the global one, which comes first (RFC 2545 §3), unless the
// sender swapped them.
func nextHopAddr(f Family, nextHop []byte) (netip.Addr, bool) {
	const pair = 16
	c := wire.NewCursor(nextHop)
	switch c.Len() {
	case 4, 16:
		return netip.AddrFromSlice(c.Rest())
	case 2 * pair:
		return globalAddr(c.Bytes(pair), c.Bytes(pair))
	case rdLen + 4, rdLen + 16:
		if f.hasNextHopRD() {
			c.Skip(rdLen)
			return netip.AddrFromSlice(c.Rest())
		}
	case 2 * (rdLen + pair):
		if f.hasNextHopRD() {
			c.Skip(rdLen)
			first := c.Bytes(pair)
			c.Skip(rdLen)
			return globalAddr(first, c.Bytes(pair))
		}
	}
	return netip.Addr{}, false
}

func globalAddr(first, second []byte) (netip.Addr, bool) {
	a, ok := netip.AddrFromSlice(first)
	b, _ := netip.AddrFromSlice(second)
	if a.IsLinkLocalUnicast() && b.IsGlobalUnicast() {
		return b, ok
	}
	return a, ok
}

// hasNextHopRD reports whether next hops of the family carry an RD (RFC 4364
// §4.3.4, RFC 4659 §3.2.1, RFC 6514 §3, RFC 9552 §5.5).
func (f Family) hasNextHopRD() bool {
	switch f.SAFI() {
	case IPv4VPN.SAFI(), IPv4VPNMcast.SAFI(), LSVPN.SAFI():
		return true
	}
	return false
}

// AppendNextHop appends the text of a next hop field as routes carry it: an
// address; the global address of a 32-octet IPv6 one; without the RD for VPN
// families. It appends nothing for an empty field, and 0x with hex digits for
// one of an impossible length.
func AppendNextHop(dst []byte, f Family, nextHop []byte) []byte {
	if len(nextHop) == 0 {
		return dst
	}
	if a, ok := nextHopAddr(f, nextHop); ok {
		return a.AppendTo(dst)
	}
	return appendHex(dst, nextHop)
}

// AppendText appends the prefix as text. VPN families have it without the RD,
// which RD.AppendText writes. Families without prefixes have a text form of
// their own: EVPN route types 1 to 5 and flow specifications in words, anything
// else, and any item that is not what its family says, 0x and the hex digits
// of Raw.
func (n *NLRI) AppendText(dst []byte) []byte {
	if n.Prefix.IsValid() {
		return n.Prefix.AppendTo(dst)
	}
	start := len(dst)
	ok := false
	switch layoutOf(n.Family) {
	case layoutEVPN:
		dst, ok = appendEVPNText(dst, n.Raw)
	case layoutFlowspec:
		dst, ok = appendFlowspecText(dst, n)
	case layoutOpaque, layoutPrefix, layoutLabelled, layoutVPN, layoutTL8, layoutTL16, layoutLen16, layoutBits, layoutMUP:
	}
	if !ok {
		return appendHex(dst[:start], n.Raw)
	}
	return dst
}

// appendHexUint appends 0x and v without leading zeros.
func appendHexUint(dst []byte, v uint64) []byte {
	return strconv.AppendUint(append(dst, "0x"...), v, 16)
}
