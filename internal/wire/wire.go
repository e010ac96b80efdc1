// Package wire holds the one way in which this project touches bytes that came
// from a network or a file: a bounds-checked cursor. It knows integers, slices
// and lengths in network byte order; it refuses to know any protocol.
package wire

import (
	"encoding/binary"
	"math"
)

// A Cursor reads forward through a byte slice. A read past the end yields the
// zero value and makes the cursor bad for good, so a codec may read a whole
// header and check once. The zero Cursor is an empty, good one. A Cursor is a
// small value: copy it to look ahead.
//
// Slices that a Cursor hands out point into its input and have their capacity
// clipped; the caller copies what it keeps.
//
// It is four words because the compiler keeps no larger struct in registers.
type Cursor struct {
	b   []byte
	pos int // beyond when bad
}

// beyond is a position from which no read succeeds: one comparison finds both
// the end and a bad cursor.
const beyond = math.MaxInt >> 1

// NewCursor returns a cursor at the start of b.
func NewCursor(b []byte) Cursor { return Cursor{b: b} }

// OK reports whether every read so far stayed inside the input.
func (c *Cursor) OK() bool { return c.pos != beyond }

// Empty reports whether nothing is left to read, or the cursor is bad.
func (c *Cursor) Empty() bool { return c.pos >= len(c.b) }

// Len returns the number of octets left; it is 0 once the cursor is bad.
func (c *Cursor) Len() int { return max(len(c.b)-c.pos, 0) }

// Offset returns how many octets were read, for error messages; all of them
// once the cursor is bad.
func (c *Cursor) Offset() int { return min(c.pos, len(c.b)) }

// Uint8 reads one octet.
func (c *Cursor) Uint8() uint8 {
	at := uint(c.pos)
	if at >= uint(len(c.b)) {
		c.pos = beyond
		return 0
	}
	v := c.b[at]
	c.pos++
	return v
}

// Uint16 reads two octets.
func (c *Cursor) Uint16() uint16 {
	if len(c.b)-c.pos < 2 {
		c.pos = beyond
		return 0
	}
	v := binary.BigEndian.Uint16(c.b[c.pos:])
	c.pos += 2
	return v
}

// Uint24 reads three octets, the size of an MPLS label field (RFC 8277 §2).
func (c *Cursor) Uint24() uint32 {
	if len(c.b)-c.pos < 3 {
		c.pos = beyond
		return 0
	}
	b := c.b[c.pos:]
	c.pos += 3
	return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
}

// Uint32 reads four octets.
func (c *Cursor) Uint32() uint32 {
	if len(c.b)-c.pos < 4 {
		c.pos = beyond
		return 0
	}
	v := binary.BigEndian.Uint32(c.b[c.pos:])
	c.pos += 4
	return v
}

// Uint64 reads eight octets.
func (c *Cursor) Uint64() uint64 {
	if len(c.b)-c.pos < 8 {
		c.pos = beyond
		return 0
	}
	v := binary.BigEndian.Uint64(c.b[c.pos:])
	c.pos += 8
	return v
}

// Bytes reads n octets. It returns nil when fewer are left or n is negative.
func (c *Cursor) Bytes(n int) []byte {
	if n < 0 || len(c.b)-c.pos < n {
		c.pos = beyond
		return nil
	}
	from := c.pos
	c.pos += n
	return c.b[from:c.pos:c.pos]
}

// Rest reads all that is left; it is empty once the cursor is bad.
func (c *Cursor) Rest() []byte { return c.Bytes(c.Len()) }

// Skip passes over n octets.
func (c *Cursor) Skip(n int) {
	if n < 0 || len(c.b)-c.pos < n {
		c.pos = beyond
		return
	}
	c.pos += n
}

// Sub reads n octets and returns a cursor over them alone. The returned cursor
// is bad when fewer than n are left.
func (c *Cursor) Sub(n int) Cursor {
	sub := Cursor{b: c.Bytes(n)}
	if !c.OK() {
		sub.pos = beyond
	}
	return sub
}
