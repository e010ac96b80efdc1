package rib

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A snapshot file is a magic with a version, then frames; the last is empty.
// Each frame's checksum is a CRC-32C over the file up to the frame's end
// without the checksums, so frames cannot be lost, doubled or exchanged.
//
//	magic[7] version[1] { length[4] crc[4] payload… }… 0[4] crc[4]
const (
	magic       = "ribtapR"
	version     = 1
	frameHeader = 8
	framePay    = 64 << 10 // octets of payload at most
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errDamaged is what every damage of a snapshot file is reported as.
var errDamaged = errors.New("damaged")

// frameWriter cuts what is appended into frames. The first error sticks.
type frameWriter struct {
	w   io.Writer
	buf []byte // header and payload of the frame in the making
	crc uint32
	n   int64
	err error
}

func newFrameWriter(w io.Writer) *frameWriter {
	f := &frameWriter{w: w, buf: make([]byte, frameHeader, frameHeader+framePay)}
	start := append([]byte(magic), version)
	f.crc = crc32.Update(0, castagnoli, start)
	f.write(start)
	return f
}

func (f *frameWriter) write(b []byte) {
	if f.err != nil {
		return
	}
	n, err := f.w.Write(b)
	f.n += int64(n)
	if err != nil {
		f.err = fmt.Errorf("rib: write snapshot: %w", err)
	}
}

func (f *frameWriter) flush() {
	binary.LittleEndian.PutUint32(f.buf, uint32(len(f.buf)-frameHeader))
	f.crc = crc32.Update(f.crc, castagnoli, f.buf[:4])
	f.crc = crc32.Update(f.crc, castagnoli, f.buf[frameHeader:])
	binary.LittleEndian.PutUint32(f.buf[4:], f.crc)
	f.write(f.buf)
	f.buf = f.buf[:frameHeader]
}

// close writes what is left and the empty frame.
func (f *frameWriter) close() error {
	if len(f.buf) > frameHeader {
		f.flush()
	}
	f.flush()
	return f.err
}

func (f *frameWriter) uvarint(x uint64) {
	if cap(f.buf)-len(f.buf) < binary.MaxVarintLen64 {
		f.flush()
	}
	f.buf = binary.AppendUvarint(f.buf, x)
}

// item appends a byte string with its length.
func (f *frameWriter) item(b []byte) {
	f.uvarint(uint64(len(b)))
	for len(b) > 0 {
		if len(f.buf) == cap(f.buf) {
			f.flush()
		}
		n := min(len(b), cap(f.buf)-len(f.buf))
		f.buf = append(f.buf, b[:n]...)
		b = b[n:]
	}
}

// frameReader hands out bytes whose frame has been verified, nothing else. The
// first error sticks; zeros are read after it.
type frameReader struct {
	r    io.Reader
	buf  []byte // the frame
	rest []byte // what of it has not been read
	long []byte // an item over a frame's end
	crc  uint32
	end  bool // the empty frame was read
	err  error
}

func newFrameReader(r io.Reader) *frameReader {
	f := &frameReader{r: r, buf: make([]byte, framePay)}
	start := f.buf[:len(magic)+1]
	if !f.read(start) {
		return f
	}
	if string(start[:len(magic)]) != magic {
		f.fail("not a snapshot")
	} else if v := start[len(magic)]; v != version {
		f.err = fmt.Errorf("rib: snapshot has version %d, this program reads %d", v, version)
	}
	f.crc = crc32.Update(0, castagnoli, start)
	return f
}

func (f *frameReader) fail(what string) {
	if f.err == nil {
		f.err = fmt.Errorf("rib: snapshot is %w: %s", errDamaged, what)
	}
}

func (f *frameReader) read(b []byte) bool {
	if f.err != nil {
		return false
	}
	_, err := io.ReadFull(f.r, b)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		f.fail("it ends too early")
	case err != nil:
		f.err = fmt.Errorf("rib: read snapshot: %w", err)
	}
	return f.err == nil
}

// fill reads the next frame; false at the end and after an error.
func (f *frameReader) fill() bool {
	var head [frameHeader]byte
	if f.end || !f.read(head[:]) {
		return false
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n > framePay {
		f.fail("frame too long")
		return false
	}
	if !f.read(f.buf[:n]) {
		return false
	}
	f.crc = crc32.Update(f.crc, castagnoli, head[:4])
	f.crc = crc32.Update(f.crc, castagnoli, f.buf[:n])
	if f.crc != binary.LittleEndian.Uint32(head[4:]) {
		f.fail("checksum")
		return false
	}
	f.rest = f.buf[:n]
	f.end = n == 0
	return !f.end
}

// close checks that nothing follows what was read.
func (f *frameReader) close() error {
	if f.err != nil {
		return f.err
	}
	if len(f.rest) > 0 || f.fill() {
		f.fail("more than it announces")
	}
	if f.err == nil {
		switch n, err := f.r.Read(f.buf[:1]); {
		case n > 0:
			f.fail("octets behind its end")
		case err != nil && !errors.Is(err, io.EOF):
			f.err = fmt.Errorf("rib: read snapshot: %w", err)
		}
	}
	return f.err
}

func (f *frameReader) uvarint() uint64 {
	var x uint64
	for shift := 0; shift < 64; shift += 7 {
		if len(f.rest) == 0 && !f.fill() {
			f.fail("it ends too early")
			return 0
		}
		b := f.rest[0]
		f.rest = f.rest[1:]
		if shift == 63 && b > 1 {
			break
		}
		x |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return x
		}
	}
	f.fail("number too large")
	return 0
}

// below reads a number that must be smaller than limit.
func (f *frameReader) below(limit uint64, what string) uint64 {
	x := f.uvarint()
	if x >= limit {
		f.fail(what)
		return 0
	}
	return x
}

// item reads a byte string; it is valid until the next read.
func (f *frameReader) item() []byte {
	n := int(f.below(maxItem+1, "item too long"))
	if n <= len(f.rest) {
		b := f.rest[:n]
		f.rest = f.rest[n:]
		return b
	}
	f.long = f.long[:0]
	for len(f.long) < n {
		if len(f.rest) == 0 && !f.fill() {
			f.fail("it ends too early")
			return nil
		}
		k := min(n-len(f.long), len(f.rest))
		f.long = append(f.long, f.rest[:k]...)
		f.rest = f.rest[k:]
	}
	return f.long
}
