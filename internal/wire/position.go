package wire

import "encoding/binary"

// A Position is a Cursor that stays where it is: each read returns the Position
// behind what it read. The few loops that every octet passes through use it:
// the compiler keeps a Position in registers, and a Cursor, of which its methods
// take the address, in memory. In all else it is a Cursor: a read past the end
// yields the zero value and a bad Position.
type Position struct {
	b   []byte
	pos int // beyond when bad
}

// NewPosition returns the position at the start of b.
func NewPosition(b []byte) Position { return Position{b: b} }

// Position returns where the cursor stands.
func (c *Cursor) Position() Position { return Position(*c) }

// MoveTo moves the cursor to a position in the same input.
func (c *Cursor) MoveTo(p Position) { c.pos = p.pos }

// OK reports whether every read so far stayed inside the input.
func (p Position) OK() bool { return p.pos != beyond }

// More reports whether something is left to read; it is false when p is bad.
func (p Position) More() bool { return p.pos < len(p.b) }

// Offset returns how many octets were read; p must not be bad.
func (p Position) Offset() int { return p.pos }

// Uint8 reads one octet.
func (p Position) Uint8() (uint8, Position) {
	at := uint(p.pos)
	if at >= uint(len(p.b)) {
		return 0, Position{p.b, beyond}
	}
	return p.b[at], Position{p.b, p.pos + 1}
}

// Uint16 reads two octets.
func (p Position) Uint16() (uint16, Position) {
	if len(p.b)-p.pos < 2 {
		return 0, Position{p.b, beyond}
	}
	return binary.BigEndian.Uint16(p.b[p.pos:]), Position{p.b, p.pos + 2}
}

// Uint24 reads three octets.
func (p Position) Uint24() (uint32, Position) {
	if len(p.b)-p.pos < 3 {
		return 0, Position{p.b, beyond}
	}
	b := p.b[p.pos:]
	return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]), Position{p.b, p.pos + 3}
}

// Uint64 reads eight octets.
func (p Position) Uint64() (uint64, Position) {
	if len(p.b)-p.pos < 8 {
		return 0, Position{p.b, beyond}
	}
	return binary.BigEndian.Uint64(p.b[p.pos:]), Position{p.b, p.pos + 8}
}

// Uint32 reads four octets.
func (p Position) Uint32() (uint32, Position) {
	if len(p.b)-p.pos < 4 {
		return 0, Position{p.b, beyond}
	}
	return binary.BigEndian.Uint32(p.b[p.pos:]), Position{p.b, p.pos + 4}
}

// Skip passes over n octets, n >= 0.
func (p Position) Skip(n int) Position {
	if len(p.b)-p.pos < n {
		return Position{p.b, beyond}
	}
	return Position{p.b, p.pos + n}
}

// Bytes reads n octets, n >= 0, and returns nil when fewer are left.
func (p Position) Bytes(n int) ([]byte, Position) {
	end := p.Skip(n)
	return end.Since(p), end
}

// Rest returns the octets that are left.
func (p Position) Rest() []byte {
	if !p.More() {
		return nil
	}
	return p.b[p.pos:]
}

// Since returns the octets between an earlier position in the same input and
// p; nil when p is bad.
func (p Position) Since(from Position) []byte {
	if uint(p.pos) > uint(len(p.b)) || uint(from.pos) > uint(p.pos) {
		return nil
	}
	return p.b[from.pos:p.pos:p.pos]
}

// Last32 returns the last four octets that were read; zeros stand for what lacks
// before the input's first one.
func (p Position) Last32() uint32 {
	if p.pos >= 4 && p.pos <= len(p.b) {
		return binary.BigEndian.Uint32(p.b[p.pos-4:])
	}
	return p.first32()
}

func (p Position) first32() (v uint32) {
	for _, b := range p.Since(NewPosition(p.b)) {
		v = v<<8 | uint32(b)
	}
	return v
}
