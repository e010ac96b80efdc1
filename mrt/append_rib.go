package mrt

import (
	"encoding/binary"
	"errors"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/internal/wire"
)

// ErrRIBFull says that a RIB record has 65,535 entries: finish it and begin
// another one of the same NLRI.
var ErrRIBFull = errors.New("mrt: RIB record: 65535 entries")

// RIBHeader is what the entries of one RIB record share.
type RIBHeader struct {
	Seconds  uint32
	Sequence uint32
	Family   bgp.Family
	AddPath  bool
	// NLRI stands as in an UPDATE, without path identifier.
	NLRI []byte
}

// subtype is RIB_GENERIC for every family without a subtype of its own.
func (h *RIBHeader) subtype() uint16 {
	for s := range tableDumpV2Rows {
		t := &tableDumpV2Rows[s]
		if t.class == ClassRIB && t.family == h.Family && t.addPath == h.AddPath {
			return uint16(s)
		}
	}
	if h.AddPath {
		return SubtypeRIBGenericAddPath
	}
	return SubtypeRIBGeneric
}

// RIBEntry is one entry to be written: a route as a RIB keeps it.
type RIBEntry struct {
	PeerIndex  uint16
	Originated uint32 // seconds since 1970-01-01 UTC
	PathID     uint32 // written iff the record is of an ADDPATH subtype
	AS4        bool   // AS_PATH and AGGREGATOR have four-octet AS numbers
	NextHop    []byte // the next hop field as received
	// Attrs are the path attributes; MP_REACH_NLRI and MP_UNREACH_NLRI are left
	// out, AS4_PATH and AS4_AGGREGATOR are merged away.
	Attrs []byte
}

// RIBBuilder appends one RIB record of TABLE_DUMP_V2 entry by entry (RFC 6396
// §4.3.2 to §4.3.4, RFC 8050 §4). The zero value is ready for Begin. It does
// not allocate but for growing the buffer.
type RIBBuilder struct {
	dst           []byte
	start         int
	length, count int // where they stand
	n             int
	family        bgp.Family
	addPath       bool
}

// Begin starts a record behind dst, which belongs to the builder until End.
func (b *RIBBuilder) Begin(dst []byte, h *RIBHeader) {
	subtype := h.subtype()
	*b = RIBBuilder{start: len(dst), family: h.Family, addPath: h.AddPath}
	dst = appendHeader(dst, h.Seconds, TypeTableDumpV2, subtype)
	dst, b.length = wire.BeginLength32(dst)
	dst = binary.BigEndian.AppendUint32(dst, h.Sequence)
	if subtype == SubtypeRIBGeneric || subtype == SubtypeRIBGenericAddPath {
		dst = binary.BigEndian.AppendUint16(dst, uint16(h.Family.AFI()))
		dst = append(dst, byte(h.Family.SAFI()))
	}
	dst = append(dst, h.NLRI...)
	b.count = len(dst)
	b.dst = append(dst, 0, 0)
}

// Add appends one entry. AS_PATH is widened to four octets, and the next hop
// goes to NEXT_HOP for IPv4 unicast with an IPv4 next hop, else to the
// abbreviated MP_REACH_NLRI. On an error the record is as it was: ErrRIBFull,
// or one that EntryReason knows.
func (b *RIBBuilder) Add(e *RIBEntry) error {
	if b.n == maxPeers {
		return ErrRIBFull
	}
	var v as4View
	if !e.AS4 {
		var ok bool
		if v, ok = newAS4View(e.Attrs); !ok {
			return errAttributes
		}
	}
	before := len(b.dst)
	dst := binary.BigEndian.AppendUint16(b.dst, e.PeerIndex)
	dst = binary.BigEndian.AppendUint32(dst, e.Originated)
	if b.addPath {
		dst = binary.BigEndian.AppendUint32(dst, e.PathID)
	}
	dst, at := wire.BeginLength16(dst)
	dst, ok := b.appendAttrs(dst, e, &v)
	b.dst = dst[:before]
	switch {
	case !ok:
		return errAttributes
	case len(dst)-at-2 > maxMessage:
		return errTooLong
	}
	wire.EndLength16(dst, at)
	b.dst = dst
	b.n++
	return nil
}

// appendAttrs appends the entry's attributes, in the order received but for the
// next hop, which stands where its attribute code would.
func (b *RIBBuilder) appendAttrs(dst []byte, e *RIBEntry, v *as4View) ([]byte, bool) {
	classic := b.family == bgp.IPv4Unicast && (len(e.NextHop) == 4 || len(e.NextHop) == 0)
	hopCode := uint8(attrMPReach)
	if classic {
		hopCode = attrNextHop
	}
	written := false
	c := wire.NewCursor(e.Attrs)
	for a, ok := cutAttr(&c); ok; a, ok = cutAttr(&c) {
		if !written && (a.code > hopCode || a.code == attrNextHop && classic) {
			dst, written = appendHop(dst, e.NextHop, classic), true
		}
		switch {
		case a.code == attrNextHop && classic && len(e.NextHop) == 0:
			dst = append(dst, a.whole...)
		case a.code == attrNextHop || a.code == attrMPReach || a.code == attrMPUnreach:
			// Said by the next hop, or no part of a table (RFC 6396 §4.3.4).
		case a.code == attrAS4Path || a.code == attrAS4Aggregate:
		case a.code == attrASPath && !e.AS4:
			dst = v.appendPath(dst)
		case a.code == attrAggregator && !e.AS4:
			dst = v.appendAggregator(dst, a.flags)
		default:
			dst = append(dst, a.whole...)
		}
	}
	if !written {
		dst = appendHop(dst, e.NextHop, classic)
	}
	return dst, c.OK()
}

// appendHop appends NEXT_HOP, or MP_REACH_NLRI as RFC 6396 §4.3.4 abbreviates it.
func appendHop(dst, nextHop []byte, classic bool) []byte {
	n := len(nextHop)
	switch {
	case classic && n == 0:
		return dst
	case classic:
		dst = append(dst, flagTransitive, attrNextHop, byte(n))
	default:
		n = min(n, 0xfe) // both lengths are one octet
		dst = append(dst, flagOptional, attrMPReach, byte(n+1), byte(n))
	}
	return append(dst, nextHop[:n]...)
}

// Len returns how many entries the record holds.
func (b *RIBBuilder) Len() int { return b.n }

// End finishes the record and returns the slice of Begin with the record behind
// it, or as it was if no entry was added.
func (b *RIBBuilder) End() []byte {
	dst := b.dst
	b.dst = nil
	if b.n == 0 {
		return dst[:b.start]
	}
	binary.BigEndian.PutUint16(dst[b.count:], uint16(b.n))
	wire.EndLength32(dst, b.length)
	return dst
}

// AppendRIB appends one RIB record with the entries. On an error, see
// RIBBuilder.Add, dst comes back as it was.
func AppendRIB(dst []byte, h *RIBHeader, entries []RIBEntry) ([]byte, error) {
	var b RIBBuilder
	start := len(dst)
	b.Begin(dst, h)
	for i := range entries {
		if err := b.Add(&entries[i]); err != nil {
			return b.dst[:start], err
		}
	}
	return b.End(), nil
}
