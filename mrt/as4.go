package mrt

import (
	"encoding/binary"

	"github.com/ribtap/ribtap/internal/wire"
)

// Types of AS_PATH segments (RFC 4271 §4.3, RFC 5065 §3).
const (
	segmentSet = iota + 1
	segmentSequence
	segmentConfedSequence
	segmentConfedSet
)

// asTrans stands for a four-octet AS number where only two octets fit (RFC 6793 §9).
const asTrans = 23456

// as4View is what a two-octet attribute list says about four-octet AS numbers.
type as4View struct {
	path, as4Path             []byte // values; nil without one
	aggregator, as4Aggregator []byte
	// leading is how many AS numbers of path stand before those of as4Path.
	leading int
	merge   bool // as4Path counts
}

// newAS4View reads the attributes that RFC 6793 §4.2.3 joins; ok is false when
// a path's segments do not add up.
func newAS4View(attrs []byte) (v as4View, ok bool) {
	c := wire.NewCursor(attrs)
	for a, more := cutAttr(&c); more; a, more = cutAttr(&c) {
		switch a.code {
		case attrASPath:
			v.path = a.value
		case attrAggregator:
			v.aggregator = a.value
		case attrAS4Path:
			v.as4Path = a.value
		case attrAS4Aggregate:
			v.as4Aggregator = a.value
		}
	}
	n, ok := countPath(v.path, 2)
	if !ok || !c.OK() {
		return v, false
	}
	if len(v.aggregator) != 0 && len(v.aggregator) != 6 {
		return v, false
	}
	// An aggregator that is not AS_TRANS was put in by a router that does not
	// know AS4_PATH and may have changed the path: both AS4 attributes are void.
	if len(v.aggregator) == 6 && len(v.as4Aggregator) == 8 &&
		binary.BigEndian.Uint16(v.aggregator) != asTrans {
		v.as4Aggregator, v.as4Path = nil, nil
	}
	if m, ok := countPath(v.as4Path, 4); ok && len(v.as4Path) > 0 && m <= n {
		v.merge, v.leading = true, n-m
	}
	return v, true
}

// countPath counts AS numbers as RFC 6793 §4.2.3 does, after RFC 4271 §9.1.2.2
// and RFC 5065 §5.3: a set is one, confederation segments are none.
func countPath(path []byte, width int) (n int, ok bool) {
	c := wire.NewCursor(path)
	for !c.Empty() {
		kind, count := c.Uint8(), int(c.Uint8())
		c.Skip(count * width)
		switch kind {
		case segmentSet:
			n++
		case segmentSequence:
			n += count
		}
	}
	return n, c.OK()
}

// appendPath appends the AS_PATH attribute with four octets per AS number.
func (v *as4View) appendPath(dst []byte) []byte {
	dst = append(dst, flagTransitive|flagExtended, attrASPath)
	dst, at := wire.BeginLength16(dst)
	left := -1 // all
	if v.merge {
		left = v.leading
	}
	dst = widenSegments(dst, v.path, left)
	if v.merge {
		dst = appendPublicSegments(dst, v.as4Path)
	}
	// A value of at most 65,535 octets doubles at most; the caller bounds it.
	if len(dst)-at-2 <= maxMessage {
		wire.EndLength16(dst, at)
	}
	return dst
}

// widenSegments appends the segments of a two-octet path, as far as the first
// left AS numbers reach; all of them if left is negative. Confederation
// segments before the end are kept (RFC 6793 §4.2.3).
func widenSegments(dst, path []byte, left int) []byte {
	c := wire.NewCursor(path)
	for !c.Empty() && left != 0 {
		kind, count := c.Uint8(), int(c.Uint8())
		keep := count
		switch {
		case left < 0:
		case kind == segmentSet:
			left--
		case kind == segmentSequence:
			keep = min(count, left)
			left -= keep
		}
		dst = append(dst, kind, byte(keep))
		for i := range count {
			if as := c.Uint16(); i < keep {
				dst = binary.BigEndian.AppendUint32(dst, uint32(as))
			}
		}
	}
	return dst
}

// appendPublicSegments appends an AS4_PATH without confederation segments,
// which it must not have (RFC 6793 §3).
func appendPublicSegments(dst, path []byte) []byte {
	c := wire.NewCursor(path)
	for !c.Empty() {
		kind, count := c.Uint8(), int(c.Uint8())
		value := c.Bytes(4 * count)
		if kind == segmentSet || kind == segmentSequence {
			dst = append(dst, kind, byte(count))
			dst = append(dst, value...)
		}
	}
	return dst
}

// appendAggregator appends the AGGREGATOR attribute with a four-octet AS number.
func (v *as4View) appendAggregator(dst []byte, flags uint8) []byte {
	dst = append(dst, flags&^flagExtended, attrAggregator, 8)
	if len(v.as4Aggregator) == 8 {
		return append(dst, v.as4Aggregator...)
	}
	c := wire.NewCursor(v.aggregator)
	dst = binary.BigEndian.AppendUint32(dst, uint32(c.Uint16()))
	return append(dst, c.Rest()...)
}
