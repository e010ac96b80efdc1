package bgp

import (
	"net/netip"

	"github.com/ribtap/ribtap/internal/wire"
)

// appendEVPNText appends what identifies an EVPN route of type 1 to 5, as
// GoBGP writes it (RFC 7432 §7, RFC 9136 §3.1):
//
//	[type:A-D][rd:65000:1][esi:00:…:00][etag:0]
//	[type:macadv][rd:65000:1][etag:0][mac:00:00:5e:00:53:01][ip:192.0.2.1]
//	[type:multicast][rd:65000:1][etag:0][ip:192.0.2.1]
//	[type:esi][rd:65000:1][esi:00:…:00][ip:192.0.2.1]
//	[type:Prefix][rd:65000:1][etag:0][prefix:192.0.2.0/24]
//
// A MAC route without an address has no [ip:…]. ok is false for any other type,
// and for an item that has not the form of its type.
func appendEVPNText(dst, raw []byte) (_ []byte, ok bool) {
	item := wire.NewCursor(raw)
	typ := item.Uint8()
	c := item.Sub(int(item.Uint8()))
	var rd RD
	copy(rd[:], c.Bytes(rdLen))
	switch typ {
	case evpnEthernetAD:
		dst = appendEVPNHead(dst, "A-D", rd)
		dst = appendESI(dst, c.Bytes(esiLen))
		dst = appendEVPNTag(dst, c.Uint32())
		return dst, c.OK()
	case evpnMACIP:
		c.Skip(esiLen)
		dst = appendEVPNHead(dst, "macadv", rd)
		dst = appendEVPNTag(dst, c.Uint32())
		return appendEVPNMACIP(dst, &c)
	case evpnMulticast:
		dst = appendEVPNHead(dst, "multicast", rd)
		dst = appendEVPNTag(dst, c.Uint32())
		return appendEVPNIP(dst, &c)
	case evpnSegment:
		dst = appendEVPNHead(dst, "esi", rd)
		dst = appendESI(dst, c.Bytes(esiLen))
		return appendEVPNIP(dst, &c)
	case evpnIPPrefix:
		length := c.Len() + rdLen
		c.Skip(esiLen)
		dst = appendEVPNHead(dst, "Prefix", rd)
		dst = appendEVPNTag(dst, c.Uint32())
		return appendEVPNPrefixText(dst, &c, length)
	}
	return dst, false
}

func appendEVPNHead(dst []byte, name string, rd RD) []byte {
	dst = append(append(dst, "[type:"...), name...)
	dst = rd.AppendText(append(dst, "][rd:"...))
	return append(dst, ']')
}

func appendESI(dst, esi []byte) []byte {
	return append(appendOctets(append(dst, "[esi:"...), esi), ']')
}

func appendEVPNTag(dst []byte, tag uint32) []byte {
	return append(appendUint(append(dst, "[etag:"...), tag), ']')
}

func appendEVPNMACIP(dst []byte, c *wire.Cursor) ([]byte, bool) {
	bits := c.Uint8()
	dst = append(appendOctets(append(dst, "[mac:"...), c.Bytes(macLen)), ']')
	if ahead := *c; bits != 8*macLen || ahead.Uint8() == 0 {
		return dst, bits == 8*macLen && ahead.OK()
	}
	return appendEVPNIP(dst, c)
}

// appendEVPNIP reads bits[1] IP[4 or 16].
func appendEVPNIP(dst []byte, c *wire.Cursor) ([]byte, bool) {
	bits := int(c.Uint8())
	addr, ok := netip.AddrFromSlice(c.Bytes(bits / 8))
	if !ok || bits != addr.BitLen() {
		return dst, false
	}
	return append(addr.AppendTo(append(dst, "[ip:"...)), ']'), true
}

// appendEVPNPrefixText reads bits[1] prefix[4 or 16] of a route of length
// octets, which alone tell the family (RFC 9136 §3.1).
func appendEVPNPrefixText(dst []byte, c *wire.Cursor, length int) ([]byte, bool) {
	bits, size := int(c.Uint8()), 0
	switch length {
	case evpnV4:
		size = 4
	case evpnV6:
		size = 16
	}
	addr, ok := netip.AddrFromSlice(c.Bytes(size))
	if !ok || bits > addr.BitLen() {
		return dst, false
	}
	dst = netip.PrefixFrom(addr, bits).Masked().AppendTo(append(dst, "[prefix:"...))
	return append(dst, ']'), true
}
