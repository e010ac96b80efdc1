package bmp

import (
	"fmt"
	"io"

	"github.com/ribtap/ribtap/internal/wire"
)

// DefaultMaxMessage is the limit of a Reader made without one: 16 times the
// largest BGP message, and the largest legal Peer Up is of three.
const DefaultMaxMessage = 1 << 20

const (
	firstBuffer = 16 << 10  // octets that an idle source costs
	readBuffer  = 256 << 10 // octets that a busy one gives at once
	emptyReads  = 100       // reads without an octet before the source counts as broken
)

// Reader cuts a stream of octets into BMP messages. It allocates by what
// arrived, never by what a length field promises: 16 KiB at first, 256 KiB once
// the source is busy, more only for a message that is larger and there. What it
// has it keeps. One goroutine uses it at a time.
type Reader struct {
	src io.Reader
	max int
	// buf[start:end] is read and not handed out; offset is where start stands in
	// the stream.
	buf        []byte
	start, end int
	offset     int64
	// filled is set when the last read took all the room there was.
	filled bool
	// pending came with octets and is due when they are used up.
	pending error
	// failed ends the stream for good.
	failed error
}

// NewReader returns a Reader of messages of at most maxMessage octets, of
// DefaultMaxMessage if that is not positive.
func NewReader(r io.Reader, maxMessage int) *Reader {
	if maxMessage <= 0 {
		maxMessage = DefaultMaxMessage
	}
	return &Reader{src: r, max: maxMessage}
}

// Next returns the next whole message, which Parse reads. It is valid until the
// next call of Next.
//
// The error is io.EOF at the end of a message, an *Error of ClassTruncated for an
// end inside one, and an *Error of ClassFraming when the stream cannot be
// followed; all three are final. Any other error is the source's own, wrapped:
// nothing is lost by it, so after a timeout Next may be called again.
func (r *Reader) Next() ([]byte, error) {
	if r.failed != nil {
		return nil, r.failed
	}
	for {
		n, reason := r.frame()
		if reason != "" {
			r.failed = &Error{Class: ClassFraming, Offset: r.offset, Reason: reason}
			return nil, r.failed
		}
		if n > 0 && n <= r.end-r.start {
			c := wire.NewCursor(r.buf[r.start:r.end])
			r.start += n
			r.offset += int64(n)
			return c.Bytes(n), nil
		}
		if err := r.fill(); err != nil {
			return nil, r.stop(n, err)
		}
	}
}

// Buffered reports whether Next would return a message without reading.
func (r *Reader) Buffered() bool {
	n, reason := r.frame()
	return r.failed == nil && reason == "" && n > 0 && n <= r.end-r.start
}

// Offset returns how many octets of the stream Next has handed out.
func (r *Reader) Offset() int64 { return r.offset }

// frame looks at the message at r.start and returns its length, or 0 while its
// header is incomplete. A version is judged as soon as it is there, so that a
// stranger's connection is known by its first octet.
func (r *Reader) frame() (n int, reason string) {
	c := wire.NewCursor(r.buf[r.start:r.end])
	if c.Empty() {
		return 0, ""
	}
	if v := c.Uint8(); v != Version3 && v != Version4 {
		return 0, ReasonVersion
	}
	length := c.Uint32()
	c.Skip(1)
	switch {
	case !c.OK():
		return 0, ""
	case length < HeaderLen:
		return 0, ReasonLengthShort
	case uint64(length) > uint64(r.max):
		return 0, ReasonLengthLong
	}
	return int(length), ""
}

// fill reads once from the source, behind what is buffered.
func (r *Reader) fill() error {
	if err := r.pending; err != nil {
		r.pending = nil
		return err
	}
	r.makeRoom()
	for range emptyReads {
		room := r.buf[r.end:]
		n, err := r.src.Read(room)
		if n < 0 || n > len(room) {
			return fmt.Errorf("source returned %d of %d octets", n, len(room))
		}
		r.end += n
		r.filled = n == len(room)
		if n > 0 {
			r.pending = err
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// makeRoom moves what is buffered to the front and makes the buffer larger when
// it is full of one message, or when a read has filled it.
func (r *Reader) makeRoom() {
	size := len(r.buf)
	switch {
	case size == 0:
		size = firstBuffer
	case r.end-r.start == size:
		size = min(2*size, max(r.max, readBuffer))
	case r.filled && size < readBuffer:
		size = min(2*size, readBuffer)
	}
	if size == len(r.buf) && r.start == 0 {
		return
	}
	to := r.buf
	if size != len(r.buf) {
		to = make([]byte, size)
	}
	r.end = copy(to, r.buf[r.start:r.end])
	r.start = 0
	r.buf = to
}

// stop turns an error of the source into that of Next; n is what frame said.
func (r *Reader) stop(n int, err error) error {
	if err != io.EOF { //nolint:errorlint // io.Reader returns io.EOF itself; a wrapped one is a failure of the source
		return fmt.Errorf("bmp: reading at octet %d: %w", r.offset+int64(r.end-r.start), err)
	}
	r.failed = io.EOF
	if have := r.end - r.start; have > 0 {
		r.failed = &Error{
			Class: ClassTruncated, Offset: r.offset, Reason: ReasonTruncated,
			Have: have, Want: max(n, HeaderLen),
		}
	}
	return r.failed
}
