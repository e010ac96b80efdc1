package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net/netip"

	"github.com/jackc/pgx/v5"
)

// copyRows are rows in the binary form of COPY ("COPY", section "Binary Format",
// of PostgreSQL's manual): of each row the number of its columns, of each column
// its length and its octets in network byte order.
//
//	'PGCOPY\n' ff '\r\n' 00 | flags[4] | extension length[4]
//	columns[2] { length[4] octets… }…
//	ffff
//
// Values are encoded here and not by pgx, which would box and look up the type
// of each.
type copyRows struct {
	into    string // COPY … FROM STDIN BINARY
	columns int
	buf     []byte
	n       int // rows
}

var (
	copyHeader  = []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	copyTrailer = []byte{0xff, 0xff}
)

// send copies the rows and forgets them.
func (c *copyRows) send(ctx context.Context, conn *pgx.Conn) error {
	if c.n == 0 {
		return nil
	}
	r := io.MultiReader(bytes.NewReader(copyHeader), bytes.NewReader(c.buf), bytes.NewReader(copyTrailer))
	_, err := conn.PgConn().CopyFrom(ctx, r, c.into)
	c.clear()
	return err
}

// bufferKept is how many octets of buffer stay allocated.
const bufferKept = 8 << 20

func (c *copyRows) clear() {
	c.n, c.buf = 0, c.buf[:0]
	if cap(c.buf) > bufferKept {
		c.buf = nil
	}
}

// begin begins a row; one call of a method below follows for each column.
func (c *copyRows) begin() {
	c.n++
	c.buf = binary.BigEndian.AppendUint16(c.buf, uint16(c.columns))
}

func (c *copyRows) null() { c.buf = append(c.buf, 0xff, 0xff, 0xff, 0xff) }

func (c *copyRows) length(n int) { c.buf = binary.BigEndian.AppendUint32(c.buf, uint32(n)) }

// char takes the octet of a "char".
func (c *copyRows) char(v byte) {
	c.length(1)
	c.buf = append(c.buf, v)
}

func (c *copyRows) int4(v int32) {
	c.length(4)
	c.buf = binary.BigEndian.AppendUint32(c.buf, uint32(v))
}

func (c *copyRows) int8(v int64) {
	c.length(8)
	c.buf = binary.BigEndian.AppendUint64(c.buf, uint64(v))
}

func (c *copyRows) bool(v bool) {
	c.length(1)
	if v {
		c.buf = append(c.buf, 1)
	} else {
		c.buf = append(c.buf, 0)
	}
}

// epoch is 2000-01-01 UTC in microseconds since 1970.
const epoch = 946_684_800_000_000

// time takes microseconds since 1970.
func (c *copyRows) time(us int64) { c.int8(us - epoch) }

func (c *copyRows) bytes(b []byte) {
	c.length(len(b))
	c.buf = append(c.buf, b...)
}

func (c *copyRows) text(s string) {
	c.length(len(s))
	c.buf = append(c.buf, s...)
}

// textOrNull takes empty text for null.
func (c *copyRows) textOrNull(s string) {
	if s == "" {
		c.null()
	} else {
		c.text(s)
	}
}

// cidr takes a masked prefix; an invalid one is null.
func (c *copyRows) cidr(p netip.Prefix) {
	const family4, family6 = 2, 3 // PGSQL_AF_INET and PGSQL_AF_INET6
	switch a := p.Addr(); {
	case !p.IsValid():
		c.null()
	case a.Is4():
		b := a.As4()
		c.length(8)
		c.buf = append(append(c.buf, family4, byte(p.Bits()), 1, 4), b[:]...)
	default:
		b := a.As16()
		c.length(20)
		c.buf = append(append(c.buf, family6, byte(p.Bits()), 1, 16), b[:]...)
	}
}

// numeric is four decimal digits to a digit, most significant first.
func (c *copyRows) numeric(v uint64) {
	const base = 10_000
	var digits [5]uint16
	n := 0
	for ; v > 0; v /= base {
		digits[n] = uint16(v % base)
		n++
	}
	c.length(8 + 2*n)
	c.buf = binary.BigEndian.AppendUint16(c.buf, uint16(n))
	c.buf = binary.BigEndian.AppendUint16(c.buf, uint16(max(n-1, 0))) // weight of the first
	c.buf = append(c.buf, 0, 0, 0, 0)                                 // positive, no decimals
	for n--; n >= 0; n-- {
		c.buf = binary.BigEndian.AppendUint16(c.buf, digits[n])
	}
}

// value takes what package history makes; a number is a bigint, a 64-bit gauge
// a numeric.
func (c *copyRows) value(v any) {
	switch v := v.(type) {
	case nil:
		c.null()
	case string:
		c.text(v)
	case int64:
		c.int8(v)
	case uint64:
		c.numeric(v)
	case bool:
		c.bool(v)
	case []byte:
		c.bytes(v)
	default:
		panic("postgres: a column of another type")
	}
}

// most is how many octets are collected before they are sent.
const most = 4 << 20

func (c *copyRows) full() bool { return len(c.buf) >= most }

// beginRecord begins a column of a composite type: before each of its fields
// stands the number of its type.
//
//	fields[4] { type[4] length[4] octets… }…
func (c *copyRows) beginRecord(fields int) (start int) {
	c.length(0)
	start = len(c.buf)
	c.buf = binary.BigEndian.AppendUint32(c.buf, uint32(fields))
	return start
}

// field begins a field; one call of a method above follows.
func (c *copyRows) field(typ uint32) { c.buf = binary.BigEndian.AppendUint32(c.buf, typ) }

// endRecord ends the column that began at start.
func (c *copyRows) endRecord(start int) {
	binary.BigEndian.PutUint32(c.buf[start-4:], uint32(len(c.buf)-start))
}

// timeOrNull takes 0 for null.
func (c *copyRows) timeOrNull(us int64) {
	if us == 0 {
		c.null()
	} else {
		c.time(us)
	}
}
