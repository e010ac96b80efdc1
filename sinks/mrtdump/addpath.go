package mrtdump

import (
	"encoding/binary"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/internal/wire"
)

// RFC 8050 has one subtype for a message whose NLRI have path identifiers and
// one for a message whose NLRI have none. BGP negotiates it per family (RFC
// 7911 §4), so the subtype depends on the families in the message, and an UPDATE
// that has both is written as two.

const flagExtendedLength = 0x10

// parts are the fields of an UPDATE.
type parts struct{ withdrawn, attrs, nlri []byte }

func partsOf(pdu []byte) (p parts, ok bool) {
	c := wire.NewCursor(pdu)
	c.Skip(bgp.HeaderLen)
	p.withdrawn = c.Bytes(int(c.Uint16()))
	p.attrs = c.Bytes(int(c.Uint16()))
	p.nlri = c.Rest()
	return p, c.OK()
}

// cutAttr takes one attribute and returns it whole; family is that of
// MP_REACH_NLRI and MP_UNREACH_NLRI, 0 for others.
func cutAttr(c *wire.Cursor) (whole []byte, family bgp.Family) {
	start, head := *c, *c
	flags, code := head.Uint8(), head.Uint8()
	n := 0
	if flags&flagExtendedLength != 0 {
		n = int(head.Uint16())
	} else {
		n = int(head.Uint8())
	}
	value := head.Sub(n)
	whole = c.Bytes(head.Offset() - start.Offset())
	if code == bgp.AttrMPReachNLRI || code == bgp.AttrMPUnreachNLRI {
		afi := bgp.AFI(value.Uint16())
		family = bgp.NewFamily(afi, bgp.SAFI(value.Uint8()))
	}
	return whole, family
}

// addPathUse reports whether an UPDATE has families with path identifiers, and
// whether it has families without.
func addPathUse(pdu []byte, set bgp.FamilySet) (with, without bool) {
	if set == 0 {
		return false, true
	}
	note := func(f bgp.Family) {
		if set.Has(f) {
			with = true
		} else {
			without = true
		}
	}
	p, ok := partsOf(pdu)
	if !ok {
		return false, true
	}
	if len(p.withdrawn) > 0 || len(p.nlri) > 0 {
		note(bgp.IPv4Unicast)
	}
	for c := wire.NewCursor(p.attrs); !c.Empty(); {
		if _, f := cutAttr(&c); f != 0 {
			note(f)
		}
	}
	return with, without
}

// appendPart appends the UPDATE with the families that have path identifiers
// alone, or with those that have none.
func appendPart(dst, pdu []byte, set bgp.FamilySet, with bool) []byte {
	p, _ := partsOf(pdu)
	start := len(dst)
	dst = append(dst, pdu[:bgp.HeaderLen]...)
	classic := set.Has(bgp.IPv4Unicast) == with
	dst, at := wire.BeginLength16(dst)
	if classic {
		dst = append(dst, p.withdrawn...)
	}
	wire.EndLength16(dst, at)
	dst, at = wire.BeginLength16(dst)
	for c := wire.NewCursor(p.attrs); !c.Empty(); {
		if whole, f := cutAttr(&c); f == 0 || set.Has(f) == with {
			dst = append(dst, whole...)
		}
	}
	wire.EndLength16(dst, at)
	if classic {
		dst = append(dst, p.nlri...)
	}
	binary.BigEndian.PutUint16(dst[start+bgp.HeaderLen-3:], uint16(len(dst)-start))
	return dst
}
