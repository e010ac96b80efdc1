package bgp

import (
	"encoding/binary"
	"math"
	"net/netip"

	"github.com/ribtap/ribtap/internal/wire"
)

// maxPrefixLen returns how many bits the addresses of a family have.
func maxPrefixLen(f Family) int {
	if f.AFI() == AFIIPv4 {
		return 32
	}
	return 128
}

// octets returns how many octets hold n bits.
func octets(n int) int { return (n + 7) >> 3 }

// checkPrefixes is field.check for the families that nearly all routes have:
// it steps over the prefixes without making them.
func checkPrefixes(nlri []byte, maxLen int, addPath bool) (at int, reason string) {
	p := wire.NewPosition(nlri)
	for p.More() {
		at = p.Offset()
		if addPath {
			p = p.Skip(4)
		}
		var bits uint8
		bits, p = p.Uint8()
		if int(bits) > maxLen {
			return at, reasonPrefixLength
		}
		p = p.Skip(octets(int(bits)))
	}
	if !p.OK() {
		return at, reasonNLRICut
	}
	return 0, ""
}

// cutPrefix reads the octets of a prefix of which the length in bits was read
// (RFC 4271 §4.3), and masks them.
func cutPrefix(c *wire.Cursor, bits int, n *NLRI) (reason string) {
	if n.Family.AFI() != AFIIPv4 {
		if bits < 0 || bits > 128 {
			return reasonPrefixLength
		}
		n.Prefix = prefix16(c.Bytes(octets(bits)), bits)
		return ""
	}
	if bits < 0 || bits > 32 {
		return reasonPrefixLength
	}
	size := octets(bits)
	c.Skip(size)
	n.Prefix = prefix4(c.Position().Last32()<<(32-8*uint(size)), bits)
	return ""
}

// prefix4 masks an address to bits, which are at most 32.
func prefix4(v uint32, bits int) netip.Prefix {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], v&^(math.MaxUint32>>bits))
	return netip.PrefixFrom(netip.AddrFrom4(a), bits)
}

// prefix16 masks b to bits, which are at most 128; octets that b lacks are zero.
func prefix16(b []byte, bits int) netip.Prefix {
	var a [16]byte
	copy(a[:octets(bits)], b)
	if stray := bits & 7; stray != 0 {
		a[bits>>3] &= ^byte(0xff >> stray)
	}
	return netip.PrefixFrom(netip.AddrFrom16(a), bits)
}

// appendAddr appends the octets of an address.
func appendAddr(dst []byte, a netip.Addr) []byte {
	if a.Is4() {
		b := a.As4()
		return append(dst, b[:]...)
	}
	if a.IsValid() {
		b := a.As16()
		return append(dst, b[:]...)
	}
	return dst
}

// appendPrefixItem appends bits[1] labels… rd… prefix…; it reports false when
// the prefix is not one of the family, or the bits exceed one octet.
func appendPrefixItem(dst []byte, n *NLRI, labels, rd []byte) ([]byte, bool) {
	p := n.Prefix
	bits := 8*(len(labels)+len(rd)) + p.Bits()
	if !p.IsValid() || p.Addr().BitLen() != maxPrefixLen(n.Family) || bits > 255 {
		return dst, false
	}
	dst = append(dst, byte(bits))
	dst = append(dst, labels...)
	dst = append(dst, rd...)
	end := len(dst) + octets(p.Bits())
	return appendAddr(dst, p.Masked().Addr())[:end], true
}
