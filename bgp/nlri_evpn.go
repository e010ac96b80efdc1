package bgp

import "github.com/ribtap/ribtap/internal/wire"

// EVPN route types of which the key is less than the whole (RFC 7432 §7, RFC
// 9136 §3.1).
const (
	evpnEthernetAD  = 1 // RD[8] ESI[10] tag[4] label[3]
	evpnMACIP       = 2 // RD[8] ESI[10] tag[4] bits[1] MAC[6] bits[1] IP[0, 4 or 16] label[3] label[0 or 3]
	evpnMulticast   = 3 // RD[8] tag[4] bits[1] IP
	evpnSegment     = 4 // RD[8] ESI[10] bits[1] IP
	evpnIPPrefix    = 5 // RD[8] ESI[10] tag[4] bits[1] prefix[4 or 16] gateway[4 or 16] label[3]
	evpnWholeItem   = 0 // first octet of a key that is the whole item
	esiLen, evpnTag = 10, 4
	evpnV4, evpnV6  = 34, 58 // octets of a type 5 route
	macLen          = 6
)

// cutEVPN reads type[1] length[1] value… (RFC 7432 §7). Every type that RFC
// 7432 and its successors define begins with the RD.
func cutEVPN(c *wire.Cursor, n *NLRI) (reason string) {
	n.HasRD = false
	c.Skip(1)
	cutValue(c, int(c.Uint8()), true, n)
	return ""
}

// appendEVPNKey appends the key part of an EVPN item: the fields that RFC 7432
// §7.1 to §7.4 and RFC 9136 §3.1 compare, behind the route type. A type without
// such a rule, and an item that has not the form of its type, is its own key.
func appendEVPNKey(dst, raw []byte) []byte {
	start := len(dst)
	c := wire.NewCursor(raw)
	typ := c.Uint8()
	v := c.Sub(int(c.Uint8()))
	dst = append(dst, typ)
	ok := false
	switch typ {
	case evpnEthernetAD:
		dst = append(dst, v.Bytes(rdLen+esiLen+evpnTag)...)
		ok = v.Len() == labelLen || v.Len() == 0
	case evpnMACIP:
		dst = append(dst, v.Bytes(rdLen)...)
		v.Skip(esiLen)
		dst = append(dst, v.Bytes(evpnTag+1+macLen)...)
		dst, ok = appendEVPNAddr(dst, &v, true)
		ok = ok && (v.Len() == labelLen || v.Len() == 2*labelLen || v.Len() == 0)
	case evpnMulticast:
		dst = append(dst, v.Bytes(rdLen+evpnTag)...)
		dst, ok = appendEVPNAddr(dst, &v, false)
		ok = ok && v.Len() == 0
	case evpnSegment:
		dst = append(dst, v.Bytes(rdLen+esiLen)...)
		dst, ok = appendEVPNAddr(dst, &v, false)
		ok = ok && v.Len() == 0
	case evpnIPPrefix:
		dst, ok = appendEVPNPrefix(dst, &v)
	}
	if !ok || !v.OK() || !c.OK() {
		return append(append(dst[:start], evpnWholeItem), raw...)
	}
	return dst
}

// appendEVPNAddr appends bits[1] IP, of 4 or 16 octets, or none where that is
// allowed.
func appendEVPNAddr(dst []byte, v *wire.Cursor, none bool) ([]byte, bool) {
	bits := v.Uint8()
	dst = append(dst, bits)
	dst = append(dst, v.Bytes(octets(int(bits)))...)
	return dst, bits == 32 || bits == 128 || bits == 0 && none
}

// appendEVPNPrefix appends RD, tag, bits and masked prefix of a type 5 route.
func appendEVPNPrefix(dst []byte, v *wire.Cursor) ([]byte, bool) {
	whole := v.Len()
	dst = append(dst, v.Bytes(rdLen)...)
	v.Skip(esiLen)
	dst = append(dst, v.Bytes(evpnTag)...)
	bits := int(v.Uint8())
	dst = append(dst, byte(bits))
	switch {
	case whole == evpnV4 && bits <= 32:
		p := prefix4(v.Uint32(), bits)
		dst = appendAddr(dst, p.Addr())
		v.Skip(4)
	case whole == evpnV6 && bits <= 128:
		p := prefix16(v.Bytes(16), bits)
		dst = appendAddr(dst, p.Addr())
		v.Skip(16)
	default:
		return dst, false
	}
	v.Skip(labelLen)
	return dst, true
}
