package bgp

import (
	"encoding/binary"
	"net/netip"
)

// maxSegmentLen is how many AS numbers a path segment holds (RFC 4271 §4.3).
const maxSegmentLen = 255

// AttributeParams says what AppendAttributes writes. An empty field writes no
// attribute unless it says otherwise.
type AttributeParams struct {
	// Origin and ASPath are always written; an empty path is an empty AS_PATH.
	Origin Origin
	// ASPath is a sequence, the nearest AS first.
	ASPath []uint32
	// NextHop is an IPv4 address. That of MP_REACH_NLRI is AnnounceBuilder's.
	NextHop          netip.Addr
	MED, LocalPref   *uint32
	Communities      []uint32
	ExtCommunities   [][8]byte
	LargeCommunities [][3]uint32
	// OTC is an AS number (RFC 9234 §5).
	OTC uint32
}

// AppendAttributes appends path attributes in the order of their codes (RFC 4271
// §5). Towards a session without four-octet AS numbers, AS_PATH has AS_TRANS for
// what does not fit two octets and AS4_PATH the whole path (RFC 6793 §4.2.2). It
// reports false, and appends nothing, when one attribute exceeds 65,535 octets.
func AppendAttributes(dst []byte, p *AttributeParams, as4 bool) ([]byte, bool) {
	w := attrWriter{b: dst, ok: true}
	w.add(wellKnown, AttrOrigin, []byte{byte(p.Origin)})
	w.path(wellKnown, AttrASPath, p.ASPath, as4)
	if p.NextHop.Is4() {
		a := p.NextHop.As4()
		w.add(wellKnown, AttrNextHop, a[:])
	}
	if p.MED != nil {
		w.uint32s(nonTransitive, AttrMultiExitDisc, *p.MED)
	}
	if p.LocalPref != nil {
		w.uint32s(wellKnown, AttrLocalPref, *p.LocalPref)
	}
	w.uint32s(transitive, AttrCommunities, p.Communities...)
	w.extCommunities(p.ExtCommunities)
	if !as4 && needsAS4Path(p.ASPath) {
		w.path(transitive, AttrAS4Path, p.ASPath, true)
	}
	w.largeCommunities(p.LargeCommunities)
	if p.OTC != 0 {
		w.uint32s(transitive, AttrOTC, p.OTC)
	}
	if !w.ok {
		return dst, false
	}
	return w.b, true
}

func needsAS4Path(path []uint32) bool {
	for _, asn := range path {
		if asn > 0xffff {
			return true
		}
	}
	return false
}

// attrWriter appends attributes until one does not fit.
type attrWriter struct {
	b     []byte
	start int
	ok    bool
}

func (w *attrWriter) begin(flags, code uint8) {
	w.start = len(w.b)
	w.b = append(w.b, flags, code, 0)
}

func (w *attrWriter) end() {
	var ok bool
	w.b, ok = closeAttr(w.b, w.start)
	w.ok = w.ok && ok
}

func (w *attrWriter) add(flags, code uint8, value []byte) {
	w.begin(flags, code)
	w.b = append(w.b, value...)
	w.end()
}

// uint32s appends nothing without values.
func (w *attrWriter) uint32s(flags, code uint8, values ...uint32) {
	if len(values) == 0 {
		return
	}
	w.begin(flags, code)
	for _, v := range values {
		w.b = binary.BigEndian.AppendUint32(w.b, v)
	}
	w.end()
}

func (w *attrWriter) extCommunities(list [][8]byte) {
	if len(list) == 0 {
		return
	}
	w.begin(transitive, AttrExtCommunities)
	for i := range list {
		w.b = append(w.b, list[i][:]...)
	}
	w.end()
}

func (w *attrWriter) largeCommunities(list [][3]uint32) {
	if len(list) == 0 {
		return
	}
	w.begin(transitive, AttrLargeCommunity)
	for i := range list {
		for _, v := range list[i] {
			w.b = binary.BigEndian.AppendUint32(w.b, v)
		}
	}
	w.end()
}

// path appends the path in as many segments as it needs.
func (w *attrWriter) path(flags, code uint8, asns []uint32, as4 bool) {
	w.begin(flags, code)
	for len(asns) > 0 {
		n := min(len(asns), maxSegmentLen)
		w.b = append(w.b, byte(ASSequence), byte(n))
		for _, asn := range asns[:n] {
			switch {
			case as4:
				w.b = binary.BigEndian.AppendUint32(w.b, asn)
			case asn > 0xffff:
				w.b = binary.BigEndian.AppendUint16(w.b, ASTrans)
			default:
				w.b = binary.BigEndian.AppendUint16(w.b, uint16(asn))
			}
		}
		asns = asns[n:]
	}
	w.end()
}
