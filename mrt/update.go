package mrt

import (
	"encoding/binary"
	"errors"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/internal/wire"
)

// Path attributes that a table dump treats specially.
const (
	attrASPath       = 2
	attrNextHop      = 3
	attrAggregator   = 7
	attrMPReach      = 14
	attrMPUnreach    = 15
	attrAS4Path      = 17
	attrAS4Aggregate = 18
)

const (
	flagOptional   = 0x80
	flagTransitive = 0x40
	flagExtended   = 0x10

	messageUpdate = 2
	maxMessage    = 0xffff
)

// Errors of AppendUpdate: the entry yields no route.
var (
	errAttributes = errors.New("mrt: entry: the attributes' lengths do not add up")
	errNextHop    = errors.New("mrt: entry: no next hop that can be read")
	errTooLong    = errors.New("mrt: entry: longer than a BGP message can be")
)

// EntryReason returns the constant reason of an error of AppendUpdate, or of
// RIBBuilder.Add, fit for a metric label.
func EntryReason(err error) string {
	switch {
	case errors.Is(err, errAttributes):
		return ReasonAttributes
	case errors.Is(err, errNextHop):
		return ReasonNextHop
	case errors.Is(err, errTooLong):
		return ReasonTooLong
	}
	return ""
}

// attr is one path attribute; whole is all of it, header included.
type attr struct {
	flags, code  uint8
	value, whole []byte
}

// cutAttr takes one path attribute; ok is false at the end, and c is bad when
// the end does not come where an attribute ends.
func cutAttr(c *wire.Cursor) (a attr, ok bool) {
	if c.Empty() {
		return attr{}, false
	}
	head := *c
	a.flags, a.code = head.Uint8(), head.Uint8()
	n, header := int(head.Uint8()), 3
	if a.flags&flagExtended != 0 {
		n, header = n<<8|int(head.Uint8()), 4
	}
	if !head.OK() {
		*c = head
		return attr{}, false
	}
	a.whole = c.Bytes(header + n)
	a.value = head.Bytes(n)
	return a, c.OK()
}

// AppendUpdate appends a whole UPDATE message that announces the entry's NLRI
// with the entry's attributes, to be read in the context of e.Session. The
// attributes stay as they are but for MP_REACH_NLRI, which table dumps hold in
// the abbreviated form of RFC 6396 §4.3.4, whole, or without NLRI: it is made
// whole for this one NLRI, or left out where the NLRI field and NEXT_HOP say it
// all. An entry without any next hop, as older versions of BIRD wrote them, gets
// the unspecified address. On an error dst comes back as it was; see EntryReason.
func AppendUpdate(dst []byte, e *Entry) ([]byte, error) {
	hop, err := e.hop()
	if err != nil {
		return dst, err
	}
	start := len(dst)
	dst = append(dst, updateHead[:]...)
	dst, attrs := wire.BeginLength16(dst)
	dst = e.appendAttrs(dst, hop)
	if len(dst)-attrs-2 > maxMessage {
		return dst[:start], errTooLong
	}
	wire.EndLength16(dst, attrs)
	if hop.classic {
		dst = e.appendNLRI(dst)
	}
	n := len(dst) - start
	if n > maxMessage {
		return dst[:start], errTooLong
	}
	binary.BigEndian.PutUint16(dst[start+lengthAt:], uint16(n))
	return dst, nil
}

// lengthAt is where the length stands in a BGP header, behind the marker.
const lengthAt = 16

// updateHead is the header of an UPDATE of length 0, and an empty field of
// withdrawn routes.
var updateHead = [...]byte{
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0, 0, messageUpdate, 0, 0,
}

// hop is an entry's next hop.
type hop struct {
	zeros   int    // NUL octets before value: an empty RD, or no address
	value   []byte // as found, nil without one
	classic bool   // it belongs into NEXT_HOP, else into MP_REACH_NLRI
	add     bool   // NEXT_HOP is not among the attributes
}

var noAddress [24]byte

// hop looks for the next hop and checks that the attributes can be walked.
func (e *Entry) hop() (hop, error) {
	var mp, next attr
	var hasMP, hasNext bool
	c := wire.NewCursor(e.Attrs)
	for a, ok := cutAttr(&c); ok; a, ok = cutAttr(&c) {
		switch {
		case a.code == attrMPReach && !hasMP:
			mp, hasMP = a, true
		case a.code == attrNextHop && !hasNext:
			next, hasNext = a, true
		}
	}
	if !c.OK() {
		return hop{}, errAttributes
	}
	switch {
	case e.Family == bgp.IPv4Unicast && hasNext:
		return hop{value: next.value, classic: true}, nil
	case hasMP:
		value, ok := mpNextHop(mp.value, e.Family)
		if !ok {
			return hop{}, errNextHop
		}
		return hop{value: value}, nil
	case len(e.NextHop) > 0:
		classic := e.Family == bgp.IPv4Unicast && len(e.NextHop) == 4
		return hop{value: e.NextHop, classic: classic, add: classic}, nil
	case hasNext && len(next.value) == 4 && e.Family.AFI() != bgp.AFIIPv6:
		return hop{zeros: rdLen(e.Family), value: next.value}, nil // OpenBGPD
	}
	return e.noHop()
}

// noHop makes up for a next hop that the record does not have.
func (e *Entry) noHop() (hop, error) {
	switch {
	case e.Family == bgp.IPv4Unicast:
		return hop{zeros: 4, classic: true, add: true}, nil
	case layoutOf(e.Family) == layoutFlowspec:
		return hop{}, nil // RFC 8955 §4: its next hop is empty
	case layoutOf(e.Family) == layoutBits && e.Family != bgp.RTC:
		return hop{zeros: rdLen(e.Family) + maxBits(e.Family)/8}, nil
	}
	return hop{}, errNextHop
}

// rdLen is the length of the RD before the next hop of a VPN route (RFC 4364
// §4.3.2), which is always zero.
func rdLen(f bgp.Family) int {
	switch f {
	case bgp.IPv4VPN, bgp.IPv4VPNMcast, bgp.IPv6VPN, bgp.IPv6VPNMcast:
		return 8
	default:
		return 0
	}
}

// mpNextHop finds the next hop in MP_REACH_NLRI as table dumps have it: whole
// (RouteViews, Quagga, also with nothing behind the next hop) or abbreviated to
// length and next hop. A whole one begins with the entry's own family, which is
// no length that an abbreviated one could have.
func mpNextHop(value []byte, f bgp.Family) ([]byte, bool) {
	c := wire.NewCursor(value)
	if afi := bgp.AFI(c.Uint16()); bgp.NewFamily(afi, bgp.SAFI(c.Uint8())) == f {
		if h := c.Bytes(int(c.Uint8())); c.OK() {
			return h, true
		}
	}
	c = wire.NewCursor(value)
	h := c.Bytes(int(c.Uint8()))
	return h, c.OK() && c.Empty()
}

// appendAttrs appends the attributes with MP_REACH_NLRI rewritten in its place.
func (e *Entry) appendAttrs(dst []byte, h hop) []byte {
	if h.add {
		dst = append(dst, flagTransitive, attrNextHop)
		dst = h.append(dst)
	}
	written := h.classic
	c := wire.NewCursor(e.Attrs)
	for a, ok := cutAttr(&c); ok; a, ok = cutAttr(&c) {
		switch a.code {
		case attrMPUnreach:
		case attrMPReach:
			if !written {
				dst = e.appendMPReach(dst, h)
				written = true
			}
		default:
			dst = append(dst, a.whole...)
		}
	}
	if !written {
		dst = e.appendMPReach(dst, h)
	}
	return dst
}

// append appends the next hop behind its length of one octet.
func (h *hop) append(dst []byte) []byte {
	dst = append(dst, byte(h.zeros+len(h.value)))
	dst = append(dst, noAddress[:h.zeros]...)
	return append(dst, h.value...)
}

// appendMPReach appends a whole MP_REACH_NLRI attribute (RFC 4760 §3).
func (e *Entry) appendMPReach(dst []byte, h hop) []byte {
	dst = append(dst, flagOptional|flagExtended, attrMPReach)
	dst, at := wire.BeginLength16(dst)
	dst = append(dst, byte(e.Family.AFI()>>8), byte(e.Family.AFI()), byte(e.Family.SAFI()))
	dst = h.append(dst)
	dst = append(dst, 0)
	dst = e.appendNLRI(dst)
	// An NLRI of a record may be longer than an attribute; AppendUpdate refuses
	// the message by its whole length.
	if len(dst)-at-2 <= maxMessage {
		wire.EndLength16(dst, at)
	}
	return dst
}

func (e *Entry) appendNLRI(dst []byte) []byte {
	if e.HasPathID {
		dst = binary.BigEndian.AppendUint32(dst, e.PathID)
	}
	if e.NLRI == nil && e.Prefix.IsValid() {
		return AppendPrefix(dst, e.Prefix)
	}
	return append(dst, e.NLRI...)
}
