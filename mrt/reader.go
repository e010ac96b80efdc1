package mrt

import (
	"errors"
	"io"

	"github.com/ribtap/ribtap/internal/wire"
)

const (
	// DefaultMaxRecord bounds a record's length field. The longest real record
	// known is 70 kB; one with 65,535 full entries is 4 GiB.
	DefaultMaxRecord = 64 << 20
	// readBuffer holds many records; one that is longer gets a buffer of its own.
	readBuffer = 256 << 10
	// maxPadding is how many empty records may follow each other: 12 MiB of NUL.
	maxPadding = 1 << 20
	// maxEmptyReads is how often a source may return nothing and no error.
	maxEmptyReads = 100
)

// Reader takes records from the decompressed octets of a file. It holds one
// buffer, which grows with what has arrived and never with what a length field
// claims. A Reader is used by one goroutine at a time.
type Reader struct {
	// MaxRecord is the longest record accepted, in octets without its header;
	// 0 means DefaultMaxRecord.
	MaxRecord int

	src     io.Reader
	buf     []byte
	r, w    int   // buf[r:w] is read from src and not yet handed out
	offset  int64 // of buf[r] in the stream
	padding uint64
	err     error // what ended the reading, for ever
	readErr error // what src said behind buf[w]
}

// NewReader reads records from r, which is not compressed: see Decompress.
func NewReader(r io.Reader) *Reader {
	return &Reader{src: r, buf: make([]byte, readBuffer)}
}

// Padding returns how many empty records were passed over: of type 0 and length
// 0, which is also how NUL padding reads.
func (r *Reader) Padding() uint64 { return r.padding }

// Offset returns how many octets of the decompressed stream have been used up.
func (r *Reader) Offset() int64 { return r.offset }

// Next returns the next record, of any type. Its Body is valid until the next
// call. The error is io.EOF at the end of the input, else an *Error with
// verdict Truncated or Stop; it is the same for every later call.
func (r *Reader) Next() (Record, error) {
	if r.err != nil {
		return Record{}, r.err
	}
	rec, err := r.next()
	if err != nil {
		r.err = err
	}
	return rec, err
}

func (r *Reader) next() (Record, error) {
	r.shrink()
	if !r.fill(headerLen) {
		return Record{}, r.end(Record{Offset: r.offset}, ReasonHeader)
	}
	rec, length := r.header()
	if rec.Type == 0 && length == 0 {
		if err := r.skipPadding(); err != nil {
			return Record{}, err
		}
		if !r.fill(headerLen) {
			return Record{}, r.end(Record{Offset: r.offset}, ReasonHeader)
		}
		rec, length = r.header()
	}
	if uint64(length) > uint64(r.maxRecord()) {
		return Record{}, &Error{Verdict: Stop, Offset: rec.Offset, Type: rec.Type, Subtype: rec.Subtype, Reason: ReasonLength}
	}
	total := headerLen + int(length)
	if !r.fill(total) {
		return Record{}, r.end(rec, ReasonBody)
	}
	c := wire.NewCursor(r.buf[r.r : r.r+total])
	c.Skip(headerLen)
	if extended(rec.Type) {
		if length >= 4 {
			rec.Microseconds = c.Uint32()
		} else {
			rec.short = true
		}
	}
	rec.Body = c.Rest()
	r.advance(total)
	return rec, nil
}

// header reads the common header at the front of the buffer.
func (r *Reader) header() (Record, uint32) {
	c := wire.NewCursor(r.buf[r.r:r.w])
	rec := Record{Timestamp: c.Uint32(), Type: c.Uint16(), Subtype: c.Uint16(), Offset: r.offset}
	return rec, c.Uint32()
}

func (r *Reader) maxRecord() int {
	if r.MaxRecord > 0 {
		return r.MaxRecord
	}
	return DefaultMaxRecord
}

func (r *Reader) advance(n int) {
	r.r += n
	r.offset += int64(n)
}

// skipPadding passes over empty records of type 0, of which one is next. NUL octets whose number is
// no multiple of twelve would shift every later header, so a header behind them
// that starts with NUL and has no known type is looked for further on.
func (r *Reader) skipPadding() error {
	for run := 0; r.fill(headerLen); run++ {
		rec, length := r.header()
		if rec.Type != 0 || length != 0 {
			break
		}
		if run == maxPadding {
			return &Error{Verdict: Stop, Offset: r.offset, Reason: ReasonPadding}
		}
		r.padding++
		r.advance(headerLen)
	}
	zeros := 0
	for r.r+zeros < r.w && zeros < headerLen && r.buf[r.r+zeros] == 0 {
		zeros++
	}
	if zeros == 0 {
		return nil
	}
	if !r.fill(headerLen) {
		if r.r+zeros == r.w { // the padding's own end
			r.advance(zeros)
		}
		return nil
	}
	if rec, length := r.header(); rows(rec.Type) != nil && uint64(length) <= uint64(r.maxRecord()) {
		return nil // a record of 1970
	}
	r.advance(zeros)
	return nil
}

// fill makes buf[r:] hold n octets, and reports whether it does.
func (r *Reader) fill(n int) bool {
	for empty := 0; r.w-r.r < n && r.readErr == nil; {
		r.room(n)
		got, err := r.src.Read(r.buf[r.w:])
		r.w += got
		r.readErr = err
		if got > 0 {
			empty = 0
		} else if empty++; empty > maxEmptyReads && err == nil {
			r.readErr = io.ErrNoProgress
		}
	}
	return r.w-r.r >= n
}

// room makes space behind buf[w]: it moves what is there to the front, and
// doubles the buffer once it is full, at most to what a record of n octets needs.
func (r *Reader) room(n int) {
	if r.r > 0 && (r.w == len(r.buf) || r.r == r.w) {
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
	}
	if r.w < len(r.buf) {
		return
	}
	grown := make([]byte, min(n, 2*len(r.buf)))
	r.w = copy(grown, r.buf[r.r:r.w])
	r.r, r.buf = 0, grown
}

// shrink gives a long record's buffer back once it is used up.
func (r *Reader) shrink() {
	if len(r.buf) > readBuffer && r.w-r.r <= readBuffer {
		small := make([]byte, readBuffer)
		r.w = copy(small, r.buf[r.r:r.w])
		r.r, r.buf = 0, small
	}
}

// end explains why fill had too little for the record rec.
func (r *Reader) end(rec Record, reason string) error {
	var damage *Error
	switch {
	case errors.As(r.readErr, &damage):
		return &Error{Verdict: damage.Verdict, Offset: rec.Offset, Type: rec.Type, Subtype: rec.Subtype, Reason: damage.Reason, Err: damage.Err}
	case errors.Is(r.readErr, io.EOF) && r.r == r.w:
		return io.EOF
	case errors.Is(r.readErr, io.EOF), errors.Is(r.readErr, io.ErrUnexpectedEOF):
		return &Error{Verdict: Truncated, Offset: rec.Offset, Type: rec.Type, Subtype: rec.Subtype, Reason: reason, Err: io.ErrUnexpectedEOF}
	}
	return &Error{Verdict: Stop, Offset: rec.Offset, Type: rec.Type, Subtype: rec.Subtype, Reason: ReasonRead, Err: r.readErr}
}
