package mrt

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Format is the container of an input.
type Format uint8

// Values of Format.
const (
	Plain Format = iota
	Gzip
	Bzip2
	Zstd
)

// String returns plain, gzip, bzip2 or zstd.
func (f Format) String() string {
	switch f {
	case Gzip:
		return "gzip"
	case Bzip2:
		return "bzip2"
	case Zstd:
		return "zstd"
	case Plain:
	}
	return "plain"
}

const (
	// sniffLen is what the longest magic needs: bzip2's, with the block or
	// end-of-stream magic, because "BZh9" alone is also a timestamp of 2005.
	sniffLen = 10
	// sourceBuffer is the size of a read from the source.
	sourceBuffer = 64 << 10
	// maxZstdWindow is what zstd(1) reads without a further option. The decoder
	// reserves a window as the frame claims it, and touches what arrives.
	maxZstdWindow = 128 << 20
)

var (
	gzipMagic      = []byte{0x1f, 0x8b}
	bzip2Magic     = []byte("BZh")
	bzip2Block     = []byte{0x31, 0x41, 0x59, 0x26, 0x53, 0x59}
	bzip2End       = []byte{0x17, 0x72, 0x45, 0x38, 0x50, 0x90}
	zstdMagic      = []byte{0x28, 0xb5, 0x2f, 0xfd}
	zstdSkippable  = []byte{0x2a, 0x4d, 0x18} // behind an octet of 0x50 to 0x5f
	zstdSkipPrefix = byte(0x50)
)

// sniff tells the format by content; file names are not to be trusted.
func sniff(head []byte) Format {
	switch {
	case bytes.HasPrefix(head, gzipMagic):
		return Gzip
	case bytes.HasPrefix(head, bzip2Magic) && len(head) == sniffLen &&
		(bytes.Equal(head[4:], bzip2Block) || bytes.Equal(head[4:], bzip2End)):
		return Bzip2
	case bytes.HasPrefix(head, zstdMagic),
		len(head) > 4 && head[0]&0xf0 == zstdSkipPrefix && bytes.Equal(head[1:4], zstdSkippable):
		return Zstd
	}
	return Plain
}

// Decompress finds the format of r by its first octets and returns a reader of
// the content, over all members of a multi-member file. Damage in the container,
// garbage behind the last member included, is an *Error of verdict Truncated,
// which comes after everything before it was delivered. An error of r itself
// comes as it is. No goroutine is left behind and nothing needs closing.
func Decompress(r io.Reader) (io.Reader, Format, error) {
	src := &source{r: r}
	br := bufio.NewReaderSize(src, sourceBuffer)
	head, err := br.Peek(sniffLen)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, Plain, fmt.Errorf("mrt: read the first octets: %w", err)
	}
	f := sniff(head)
	var content io.Reader
	switch f {
	case Gzip:
		content, err = gzip.NewReader(br)
	case Bzip2:
		content, err = bzip2.NewReader(br), nil
	case Zstd:
		content, err = zstd.NewReader(br, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxZstdWindow))
	case Plain:
		return br, f, nil
	}
	c := &container{r: content, src: src}
	if err != nil {
		return nil, f, c.fault(err)
	}
	return c, f, nil
}

// source remembers its own failure, to tell it from a damaged container.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// container turns a decompressor's errors into *Error.
type container struct {
	r   io.Reader
	src *source
}

func (c *container) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // a wrapped io.EOF is not the end of the content
		err = c.fault(err)
	}
	return n, err
}

func (c *container) fault(err error) error {
	if c.src.err != nil {
		return c.src.err
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return &Error{Verdict: Truncated, Reason: ReasonCompression, Err: err}
}
