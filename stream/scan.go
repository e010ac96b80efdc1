package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/internal/wire"
)

// A segment begins with
//
//	magic[8] major[2] minor[2] mark[4] first[8] created[8] crc[4]
//
// and blocks follow it to the end of the file.
const (
	segmentMagic     = "RIBTAPLG"
	segmentHeaderLen = 36
	segmentSuffix    = ".seg"
	// damagedSuffix is put behind the name of a segment that holds nothing
	// that verifies; the log never touches it again.
	damagedSuffix = ".damaged"

	versionMajor = 1 // another one cannot be read
	versionMinor = 0 // a later one has fields that may be passed over
)

// segmentHeader is what a segment's first octets say.
type segmentHeader struct {
	major, minor uint16
	// mark begins every block of the segment. It is random, so that octets
	// that a router sent cannot be taken for a block when a damaged stretch is
	// searched for the next one.
	mark    uint32
	first   uint64
	created event.Time
}

func appendSegmentHeader(dst []byte, h segmentHeader) []byte {
	from := len(dst)
	dst = append(dst, segmentMagic...)
	dst = binary.BigEndian.AppendUint16(dst, h.major)
	dst = binary.BigEndian.AppendUint16(dst, h.minor)
	dst = binary.BigEndian.AppendUint32(dst, h.mark)
	dst = binary.BigEndian.AppendUint64(dst, h.first)
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.created))
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[from:], castagnoli))
}

func parseSegmentHeader(b []byte) (segmentHeader, bool) {
	c := wire.NewCursor(b)
	magic := c.Bytes(len(segmentMagic))
	h := segmentHeader{
		major: c.Uint16(), minor: c.Uint16(), mark: c.Uint32(),
		first: c.Uint64(), created: event.Time(c.Uint64()),
	}
	signed := c.Offset()
	crc := c.Uint32()
	ok := c.OK() && string(magic) == segmentMagic && crc32.Checksum(b[:signed], castagnoli) == crc
	return h, ok
}

func segmentName(first uint64) string { return fmt.Sprintf("%020d%s", first, segmentSuffix) }

// parseSegmentName returns the first sequence of a segment's name.
func parseSegmentName(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	first, err := strconv.ParseUint(digits, 10, 64)
	return first, err == nil && first > 0
}

// block is one that verified. The payload is valid until the next fill.
type block struct {
	header
	offset  int64
	payload []byte
	// skipped counts the octets before the block that did not verify.
	skipped int64
}

// scanStatus is the outcome of scanner.next.
type scanStatus int

const (
	scanBlock scanStatus = iota
	scanFill             // more must be read from the file, which the caller did not allow
	scanEnd              // everything up to size was read
)

// scanner finds the blocks of a segment. What does not verify is passed over to
// the next block that does.
type scanner struct {
	f    file
	head segmentHeader
	// headOK is false when the segment's header did not verify; the mark was
	// then taken from the first block, or is 0 and nothing will be found.
	headOK bool
	// size is how far may be read. It may grow.
	size int64
	// limit is a sequence that no block of the segment reaches.
	limit uint64

	chunk   int // how much to read at a time
	buf     []byte
	base    int64 // offset of buf in the file
	pos     int   // in buf, of what comes next
	skipped int64 // octets passed over since the last block
	// unreadable counts the times that the disk refused to give octets.
	unreadable int
}

// start begins with a segment, keeping the buffer of the one before.
func (s *scanner) start(f file, size int64, limit uint64) error {
	*s = scanner{f: f, size: size, limit: limit, chunk: s.chunk, buf: s.buf[:0]}
	if !s.have(segmentHeaderLen, true) {
		return nil // shorter than its header: there is no mark, and nothing to find
	}
	s.head, s.headOK = parseSegmentHeader(s.buf[:segmentHeaderLen])
	s.pos = segmentHeaderLen
	if s.headOK {
		if s.head.major != versionMajor {
			return fmt.Errorf("%w: format %d.%d, this one reads %d", ErrVersion, s.head.major, s.head.minor, versionMajor)
		}
		return nil
	}
	s.head = segmentHeader{} // what it says is worth nothing
	return nil
}

// learnMark takes the mark of a segment with a damaged header from its first
// block, if that verifies.
func (s *scanner) learnMark() {
	if s.head.mark != 0 || s.offset() != segmentHeaderLen {
		return
	}
	if !s.have(blockHeaderLen, true) {
		return
	}
	h := parseHeader(s.buf[s.pos:])
	if h.mark == 0 {
		return
	}
	s.head.mark = h.mark
	if _, ok := s.verify(true); !ok {
		s.head.mark = 0
	}
}

// offset returns where in the file the next octet lies.
func (s *scanner) offset() int64 { return s.base + int64(s.pos) }

// left returns how many octets may still be read.
func (s *scanner) left() int64 { return s.size - s.offset() }

// next returns the next block that verifies. Without fill it does not touch the
// file, nor the octets of blocks that it returned before.
func (s *scanner) next(fill bool) (block, scanStatus) {
	if fill {
		s.learnMark()
	}
	for s.left() > 0 {
		if h, ok := s.verify(fill); ok {
			b := block{header: h, offset: s.offset(), skipped: s.skipped}
			end := s.pos + blockHeaderLen + int(h.length)
			b.payload = s.buf[s.pos+blockHeaderLen : end : end]
			s.pos, s.skipped = end, 0
			return b, scanBlock
		}
		if !fill {
			return block{}, scanFill
		}
		s.resync()
	}
	return block{skipped: s.skipped}, scanEnd
}

// verify reports whether a block begins here.
func (s *scanner) verify(fill bool) (header, bool) {
	if s.head.mark == 0 || !s.have(blockHeaderLen, fill) {
		return header{}, false
	}
	head := s.buf[s.pos : s.pos+blockHeaderLen]
	h := parseHeader(head)
	if h.mark != s.head.mark || !h.plausible(s.left()-blockHeaderLen, s.limit) {
		return header{}, false
	}
	if !s.have(blockHeaderLen+int(h.length), fill) {
		return header{}, false
	}
	head = s.buf[s.pos : s.pos+blockHeaderLen]
	payload := s.buf[s.pos+blockHeaderLen : s.pos+blockHeaderLen+int(h.length)]
	return h, sum(crc32.Checksum(payload, castagnoli), head) == h.crc
}

// resync passes over at least one octet, up to what may be a block.
func (s *scanner) resync() {
	if s.head.mark == 0 {
		// Nothing can be found in this segment.
		s.skipped += s.left()
		s.base, s.pos, s.buf = s.size, 0, s.buf[:0]
		return
	}
	var mark [4]byte
	binary.BigEndian.PutUint32(mark[:], s.head.mark)
	s.have(int(min(s.left(), int64(1+len(mark)))), true)
	rest := s.buf[s.pos:] // at least one octet: next asks for no more at the end
	switch i := bytes.Index(rest[1:], mark[:]); {
	case i >= 0:
		s.pass(1 + i)
	case s.base+int64(len(s.buf)) >= s.size:
		s.pass(len(rest))
	default:
		s.pass(len(rest) - len(mark) + 1) // the mark may stand across the buffer's end
	}
}

func (s *scanner) pass(n int) {
	s.pos += n
	s.skipped += int64(n)
}

// have reports whether n octets from pos on are in the buffer, after filling it
// if that is allowed.
func (s *scanner) have(n int, fill bool) bool {
	if len(s.buf)-s.pos >= n {
		return true
	}
	if !fill || int64(n) > s.left() {
		return false
	}
	s.makeSpace(n)
	for len(s.buf) < n {
		if !s.read() {
			return false
		}
	}
	return true
}

// makeSpace moves what is left to the front of a buffer for at least n octets.
func (s *scanner) makeSpace(n int) {
	want := int(min(int64(max(n, s.chunk)), s.left()))
	rest := s.buf[s.pos:]
	if old := cap(s.buf); old < want || old > 4*max(s.chunk, want) {
		// Half as much again, so that a log that grows in small steps does
		// not allocate at each.
		s.buf = make([]byte, 0, max(want, min(s.chunk, 3*want/2)))
	}
	s.base += int64(s.pos)
	s.pos = 0
	s.buf = append(s.buf[:0], rest...)
}

// unreadableStep is what is passed over when the disk cannot read: the smallest
// sector that disks have today.
const unreadableStep = 4096

// read fills the buffer as far as it goes. It reports false when that is as far
// as size.
//
// A stretch that the disk cannot give back becomes zeros: it then fails to
// verify and is passed over and counted like any other damage, rather than
// holding up everything behind it for ever.
func (s *scanner) read() bool {
	at := s.base + int64(len(s.buf))
	room := s.buf[len(s.buf):min(int64(cap(s.buf)), s.size-s.base)]
	if len(room) == 0 {
		return false
	}
	n, err := s.f.ReadAt(room, at)
	if n == 0 && err != nil {
		n = len(room) // the file is shorter than it was
		if !errors.Is(err, io.EOF) {
			s.unreadable++
			n = min(n, unreadableStep-int(at%unreadableStep))
		}
		clear(room[:n])
	}
	s.buf = s.buf[:len(s.buf)+n]
	return true
}

// noLimit is the limit of a segment of which it is not known where it ends.
const noLimit = math.MaxUint64
