package bgp

import (
	"bytes"
	"encoding/binary"

	"github.com/ribtap/ribtap/internal/wire"
)

// AppendKey appends what identifies an NLRI within its family and a RIB: path
// identifier if any, RD and masked prefix, or the key part of an opaque item.
// Labels are not in it (RFC 8277 §2.4). Keys of one family sort by address,
// then length, then path identifier, behind the RD where there is one; all
// integers stand in network byte order and addresses in full, so bytes.Compare
// is the order.
//
//	prefix, labelled:  address[4 or 16] bits[1] [path-id[4]]
//	VPN:               RD[8] address[4 or 16] bits[1] [path-id[4]]
//	EVPN:              type[1] key-fields… [path-id[4]], or 0[1] item… [path-id[4]]
//	all others:        item… [path-id[4]]
func AppendKey(dst []byte, n *NLRI) []byte {
	switch layoutOf(n.Family) {
	case layoutVPN:
		dst = append(dst, n.RD[:]...)
		dst = append(appendAddr(dst, n.Prefix.Addr()), byte(n.Prefix.Bits()))
	case layoutPrefix, layoutLabelled:
		dst = append(appendAddr(dst, n.Prefix.Addr()), byte(n.Prefix.Bits()))
	case layoutEVPN:
		dst = appendEVPNKey(dst, n.Raw)
	case layoutOpaque, layoutTL8, layoutTL16, layoutLen16, layoutBits, layoutFlowspec, layoutMUP:
		dst = append(dst, n.Raw...)
	}
	if n.HasPathID {
		dst = binary.BigEndian.AppendUint32(dst, n.PathID)
	}
	return dst
}

// ParseKey restores the NLRI of a key; extra is the value's Extra (labels, or
// the whole item where the key is a part of it). addPath says that the key
// ends in a path identifier, as it does when the NLRI had one. ok is false when
// key and extra do not belong to the family and to each other. The NLRI points
// into key and extra. Its Raw is nil for the families with a prefix: their item
// is restored by AppendAnnounce and WithdrawBuilder.
func ParseKey(f Family, addPath bool, key, extra []byte) (n NLRI, ok bool) {
	n.Family = f
	c := wire.NewCursor(key)
	k := c
	if addPath {
		k = c.Sub(c.Len() - 4)
		n.HasPathID, n.PathID = true, c.Uint32()
	}
	if !k.OK() || !c.OK() {
		return NLRI{}, false
	}
	l := layoutOf(f)
	switch l {
	case layoutPrefix:
		ok = parsePrefixKey(&k, &n)
	case layoutLabelled:
		n.Labels = extra
		ok = parsePrefixKey(&k, &n)
	case layoutVPN:
		n.Labels = extra
		cutRD(&k, &n)
		ok = parsePrefixKey(&k, &n)
	case layoutEVPN:
		ok = parseItem(l, extra, &n) && isEVPNKey(k.Rest(), n.Raw)
	case layoutOpaque, layoutTL8, layoutTL16, layoutLen16, layoutBits, layoutFlowspec, layoutMUP:
		ok = parseItem(l, k.Rest(), &n)
	}
	if !ok {
		return NLRI{}, false
	}
	return n, true
}

// parsePrefixKey reads address and bits, and nothing behind them.
func parsePrefixKey(k *wire.Cursor, n *NLRI) bool {
	size := octets(maxPrefixLen(n.Family))
	addr := k.Sub(size)
	bits := int(k.Uint8())
	if !k.OK() || k.Len() != 0 || bits > 8*size {
		return false
	}
	if size == 4 {
		n.Prefix = prefix4(addr.Uint32(), bits)
	} else {
		n.Prefix = prefix16(addr.Rest(), bits)
	}
	return true
}

// parseItem reads raw as one item of the layout.
func parseItem(l layout, raw []byte, n *NLRI) bool {
	c := wire.NewCursor(raw)
	n.Raw = raw
	return len(raw) > 0 && cutItem(&c, l, Announce, n) == "" && c.OK() && c.Len() == 0
}

// isEVPNKey reports whether key is the key of the item.
func isEVPNKey(key, item []byte) bool {
	const longestItem = 2 + 255
	var buf [1 + longestItem]byte
	return bytes.Equal(key, appendEVPNKey(buf[:0], item))
}
