package kafka

import "github.com/ribtap/ribtap/internal/wire"

// Sub-TLVs of a segment list (RFC 9830 §2.4.4, RFC 9831 §2), by the numbers that
// GoBMP writes as segment_type:
//
//	1 flags[1] reserved[1] label stack entry[4]
//	3 flags[1] algorithm[1] IPv4 address[4] SID[0 or 4]
//	4 flags[1] algorithm[1] IPv6 address[16] SID[0 or 4]
//	9 flags[1] reserved[1] weight[4]
//	13 flags[1] reserved[1] SRv6 SID[16] and more
const (
	segmentLabel = 1
	segmentIPv4  = 3
	segmentIPv6  = 4
	listWeight   = 9
	segmentSRv6  = 13
)

// Flags of a segment (RFC 9831 §2.10).
const (
	segmentVerify    = 0x80
	segmentAlgorithm = 0x40
	segmentSID       = 0x20
	segmentBehavior  = 0x10
)

// appendSegmentList appends one list with its weight. Segments of another type
// have no fields and are left out.
func appendSegmentList(v []byte, c wire.Cursor) []byte {
	v = append(v, '{')
	segments := c
	for c.OK() && !c.Empty() {
		typ, tlv := c.Uint8(), c.Sub(int(c.Uint8()))
		flags := tlv.Uint8()
		tlv.Skip(1)
		if weight := tlv.Uint32(); typ == listWeight && tlv.OK() {
			v = appendNonZero(append(appendName(v, "weight_subtlv"), '{'), "flags", uint64(flags))
			v = append(appendNonZero(v, "weight", uint64(weight)), '}')
			break // it is there once
		}
	}
	first := true
	for segments.OK() && !segments.Empty() {
		typ, tlv := segments.Uint8(), segments.Sub(int(segments.Uint8()))
		if !knownSegment(typ, tlv.Len()) {
			continue
		}
		if first {
			v, first = append(appendName(v, "segments"), '['), false
		}
		v = appendSegment(separated(v), typ, tlv)
	}
	if !first {
		v = append(v, ']')
	}
	return append(v, '}')
}

// knownSegment reports whether a segment is of a type that has fields, and long
// enough.
func knownSegment(typ uint8, size int) bool {
	const label, v4, v6, sid = 6, 6, 18, 18
	switch typ {
	case segmentLabel:
		return size == label
	case segmentIPv4:
		return size >= v4
	case segmentIPv6:
		return size >= v6
	case segmentSRv6:
		return size >= sid
	}
	return false
}

func appendSegment(v []byte, typ uint8, c wire.Cursor) []byte {
	const v4, v6 = 4, 16
	flags, algorithm := c.Uint8(), c.Uint8()
	v = appendNumber(append(v, '{'), "segment_type", uint64(typ))
	v = appendBool(append(appendName(v, "flags"), '{'), "v_flag", flags&segmentVerify != 0)
	v = appendBool(v, "a_flag", flags&segmentAlgorithm != 0)
	v = appendBool(v, "s_flag", flags&segmentSID != 0)
	v = append(appendBool(v, "b_flag", flags&segmentBehavior != 0), '}')
	switch typ {
	case segmentLabel:
		v = appendStackEntry(v, c.Uint32())
	case segmentSRv6:
		v = appendBase64(v, "srv6_sid", c.Bytes(v6))
	case segmentIPv4:
		v = appendBase64(appendNonZero(v, "sr_algorithm", uint64(algorithm)), "ipv4_address", c.Bytes(v4))
	case segmentIPv6:
		v = appendBase64(appendNonZero(v, "sr_algorithm", uint64(algorithm)), "ipv6_address", c.Bytes(v6))
	}
	if sid := c.Uint32(); c.OK() && typ != segmentSRv6 && typ != segmentLabel {
		v = appendNumber(v, "sid", uint64(sid))
	}
	return append(v, '}')
}

// appendStackEntry appends the fields of a label stack entry (RFC 3032 §2.1).
func appendStackEntry(v []byte, entry uint32) []byte {
	const classShift, class, bottom, ttl = 9, 0x7, 0x100, 0xff
	v = appendNonZero(v, "label", uint64(entry>>srLabelShift))
	v = appendNonZero(v, "tc", uint64(entry>>classShift&class))
	if entry&bottom != 0 {
		v = appendBool(v, "s", true)
	}
	return appendNonZero(v, "ttl", uint64(entry&ttl))
}
