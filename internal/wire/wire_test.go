package wire

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// model reads as the package says it does, with nothing but a slice and a flag.
type model struct {
	all, left []byte
	bad       bool
}

func (m *model) take(n int) []byte {
	if m.bad || n < 0 || n > len(m.left) {
		m.bad, m.left = true, nil
		return nil
	}
	v := m.left[:n]
	m.left = m.left[n:]
	return v
}

func (m *model) number(n int) (v uint64) {
	for _, b := range m.take(n) {
		v = v<<8 | uint64(b)
	}
	return v
}

// FuzzReads makes the same reads with a Cursor, a Position and the model: every
// two octets of script are an operation and its operand.
func FuzzReads(f *testing.F) {
	in := []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}
	f.Add(in, []byte{0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 2, 0, 0})
	f.Add(in, []byte{6, 3, 5, 200, 0, 0})
	f.Add(in, []byte{7, 6, 8, 0, 0, 0})
	f.Add([]byte{}, []byte{0, 0})
	f.Add([]byte{1, 2, 3}, []byte{6, 2, 3, 0})
	f.Fuzz(func(t *testing.T, in, script []byte) {
		c, p, m := NewCursor(in), NewPosition(in), model{all: in, left: in}
		for ; len(script) >= 2; script = script[2:] {
			step(t, &c, &p, &m, script[0], int(script[1]))
			offset := len(in) - len(m.left)
			if c.OK() == m.bad || p.OK() == m.bad || c.Empty() != (len(m.left) == 0) || p.More() == c.Empty() ||
				c.Len() != len(m.left) || c.Offset() != offset || !m.bad && p.Offset() != offset {
				t.Fatalf("bad %v, %d octets left of %d: cursor %+v, position %+v", m.bad, len(m.left), len(in), c, p)
			}
			var last [4]byte
			if !m.bad {
				read := in[:offset]
				copy(last[4-min(4, offset):], read[offset-min(4, offset):])
			}
			if got := p.Last32(); got != binary.BigEndian.Uint32(last[:]) {
				t.Fatalf("Last32 %#x, want %#x", got, last)
			}
		}
	})
}

// step makes one read three ways and compares what it gave.
func step(t *testing.T, c *Cursor, p *Position, m *model, op byte, n int) {
	t.Helper()
	from := *p
	var got, also uint64
	var bytesGot, bytesAlso, want []byte
	size := 0
	switch op % 8 {
	case 0:
		v, q := p.Uint8()
		got, also, *p, size = uint64(c.Uint8()), uint64(v), q, 1
	case 1:
		v, q := p.Uint16()
		got, also, *p, size = uint64(c.Uint16()), uint64(v), q, 2
	case 2:
		v, q := p.Uint24()
		got, also, *p, size = uint64(c.Uint24()), uint64(v), q, 3
	case 3:
		v, q := p.Uint32()
		got, also, *p, size = uint64(c.Uint32()), uint64(v), q, 4
	case 4:
		v, q := p.Uint64()
		got, also, *p, size = c.Uint64(), v, q, 8
	case 5:
		bytesGot, want = c.Bytes(n), m.take(n)
		bytesAlso, *p = p.Bytes(n)
	case 6:
		c.Skip(n)
		m.take(n)
		*p = p.Skip(n)
	case 7:
		sub := c.Sub(n)
		want = m.take(n)
		bytesGot, *p = sub.Rest(), p.Skip(n)
		if sub.OK() == m.bad {
			t.Fatal("Sub is bad when its cursor is not, or the reverse")
		}
		bytesAlso = p.Since(from)
	}
	if size > 0 {
		if want := m.number(size); got != want || also != want {
			t.Fatalf("%d octets: cursor %#x, position %#x, want %#x", size, got, also, want)
		}
		return
	}
	if !bytes.Equal(bytesGot, want) || !bytes.Equal(bytesAlso, want) {
		t.Fatalf("%d octets: cursor %x, position %x, want %x", n, bytesGot, bytesAlso, want)
	}
	if cap(bytesGot) != len(bytesGot) || cap(bytesAlso) != len(bytesAlso) {
		t.Fatal("the capacity is not clipped")
	}
}
