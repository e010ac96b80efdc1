package bgp

import (
	"bytes"
	"encoding/binary"

	"github.com/ribtap/ribtap/internal/wire"
)

// Value is what a RIB keeps of a route besides its key: enough to see whether
// it changed and to write it out again.
type Value struct {
	AS4     bool
	Extra   []byte // labels; the raw item where the key is a part of it
	NextHop []byte
	Attrs   []byte // all path attributes as received but MP_REACH_NLRI and MP_UNREACH_NLRI
}

// valueAS4 is the bit of a stored value's first octet that holds Value.AS4.
const valueAS4 = 1

// AppendValue appends the stored form of an announced route's value. Two routes
// of one key are the same iff their stored values are equal.
//
//	bits[1] next-hop-length[1] extra-length[2] next-hop… extra… attributes…
func (u *Update) AppendValue(dst []byte, r *Route) []byte {
	bits := byte(0)
	if u.session.AS4 {
		bits |= valueAS4
	}
	extra := r.NLRI.Labels
	if layoutOf(r.NLRI.Family) == layoutEVPN {
		extra = r.NLRI.Raw
	}
	dst = append(dst, bits, byte(len(r.NextHop)))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(extra)))
	dst = append(dst, r.NextHop...)
	dst = append(dst, extra...)
	if u.seen.has(AttrMPReachNLRI) || u.seen.has(AttrMPUnreachNLRI) {
		return appendPlainAttrs(dst, u.attrs)
	}
	return append(dst, u.attrs...)
}

// ParseValue is the inverse of AppendValue; views into b.
func ParseValue(b []byte) (Value, bool) {
	c := wire.NewCursor(b)
	bits, nextHop, extra := c.Uint8(), int(c.Uint8()), int(c.Uint16())
	v := Value{AS4: bits&valueAS4 != 0}
	v.NextHop = c.Bytes(nextHop)
	v.Extra = c.Bytes(extra)
	v.Attrs = c.Rest()
	if !c.OK() {
		return Value{}, false
	}
	return v, true
}

// AppendAnnounce appends a whole UPDATE message that announces one route; the
// family decides between the NLRI field and MP_REACH_NLRI. IPv4 unicast takes
// the NLRI field when v.Attrs has the NEXT_HOP that v.NextHop names, or
// v.NextHop is empty; then MP_REACH_NLRI is not used, as it was not when such a
// value was received. MP_REACH_NLRI goes first (RFC 7606 §5.1); one in v.Attrs
// is left out.
//
// Read in a Session with v.AS4 and with the family's ADD-PATH as n.HasPathID
// says, the message gives the same key and value. A key and value taken from
// one message always fit one; dst comes back as it was when they do not fit
// 65,535 octets, or when n has not what its family needs.
func AppendAnnounce(dst []byte, n *NLRI, v *Value) []byte {
	item := *n
	if len(item.Labels) == 0 {
		item.Labels = v.Extra
	}
	if len(item.Raw) == 0 {
		item.Raw = v.Extra
	}
	dst, start := beginMessage(dst, MessageUpdate)
	dst = append(dst, 0, 0)
	attrsAt := len(dst)
	dst = append(dst, 0, 0)
	classic := isClassic(n, v)
	ok := true
	if !classic {
		dst, ok = appendMPReach(dst, &item, v.NextHop)
	}
	dst = appendPlainAttrs(dst, v.Attrs)
	attrsEnd := len(dst)
	if ok && classic {
		dst, ok = appendNLRI(dst, &item, Announce)
	}
	if !ok || len(dst)-start > MaxExtendedMessageLen {
		return dst[:start]
	}
	binary.BigEndian.PutUint16(dst[attrsAt:], uint16(attrsEnd-attrsAt-2))
	endMessage(dst, start)
	return dst
}

// isClassic reports whether the route goes into the NLRI field.
func isClassic(n *NLRI, v *Value) bool {
	if n.Family != IPv4Unicast || len(v.NextHop) == 0 {
		return n.Family == IPv4Unicast
	}
	nextHop, ok := findPlainAttr(v.Attrs, AttrNextHop)
	return ok && bytes.Equal(nextHop, v.NextHop)
}

// appendMPReach appends MP_REACH_NLRI with one NLRI.
func appendMPReach(dst []byte, n *NLRI, nextHop []byte) ([]byte, bool) {
	if len(nextHop) > 255 {
		return dst, false
	}
	start := len(dst)
	dst = append(dst, AttrFlagOptional, AttrMPReachNLRI, 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(n.Family.AFI()))
	dst = append(dst, byte(n.Family.SAFI()), byte(len(nextHop)))
	dst = append(dst, nextHop...)
	dst = append(dst, 0)
	dst, ok := appendNLRI(dst, n, Announce)
	if !ok {
		return dst[:start], false
	}
	return closeAttr(dst, start)
}

// closeAttr writes the length of the attribute that starts at start and has a
// length of one octet so far; it makes room for a second one when it must.
func closeAttr(dst []byte, start int) ([]byte, bool) {
	const header = 3
	n := len(dst) - start - header
	if n > 0xffff {
		return dst[:start], false
	}
	if n <= 0xff {
		dst[start+2] = byte(n)
		return dst, true
	}
	dst = append(dst, 0)
	copy(dst[start+header+1:], dst[start+header:])
	dst[start] |= AttrFlagExtended
	binary.BigEndian.PutUint16(dst[start+2:], uint16(n))
	return dst, true
}
