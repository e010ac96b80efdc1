package kafka

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"strconv"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// A record batch, version 2 (KIP-98), behind the length that kafka-go expects
// before a raw record set:
//
//	-4 length  0 base offset  8 batch length  12 leader epoch  16 magic
//	17 CRC-32C of all behind it  21 attributes  23 last offset delta
//	27 first time  35 last time  43 producer id  51 producer epoch
//	53 base sequence  57 record count  61 records, compressed
const (
	lengthSize  = 4
	batchHeader = 61
	batchMagic  = 2
	// countedBefore is how much of the batch its length does not count.
	countedBefore = 12
)

// Attributes of a batch: the compression's number.
const (
	attributeGzip = 1
	attributeZstd = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// codec compresses the records of batches; it is safe for concurrent use. The
// same records give the same octets.
type codec struct {
	name string
	zstd *zstd.Encoder
}

// codecConcurrency bounds how many batches are compressed at a time.
const codecConcurrency = 4

func newCodec(name string) (*codec, error) {
	c := &codec{name: name}
	if name != CompressionZstd {
		return c, nil
	}
	var err error
	c.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(codecConcurrency),
		zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return c, nil
}

// append appends the compressed records and returns the batch's attributes.
// Records that do not become smaller stay as they are.
func (c *codec) append(dst, records []byte) ([]byte, uint16, error) {
	start := len(dst)
	var attributes uint16
	switch c.name {
	case CompressionZstd:
		dst, attributes = c.zstd.EncodeAll(records, dst), attributeZstd
	case CompressionGzip:
		b := bytes.NewBuffer(dst)
		z, err := gzip.NewWriterLevel(b, gzip.BestSpeed)
		if err != nil {
			return nil, 0, fmt.Errorf("kafka: %w", err)
		}
		if _, err := z.Write(records); err != nil {
			return nil, 0, fmt.Errorf("kafka: %w", err)
		}
		if err := z.Close(); err != nil {
			return nil, 0, fmt.Errorf("kafka: %w", err)
		}
		dst, attributes = b.Bytes(), attributeGzip
	default:
		return append(dst, records...), 0, nil
	}
	if len(dst)-start >= len(records) {
		return append(dst[:start], records...), 0, nil
	}
	return dst, attributes, nil
}

// record is one record of a lane. Its octets, from the end of the one before
// up to end, are what does not depend on the batch: key, value, headers.
type record struct {
	end      int
	time     int64 // milliseconds
	sequence uint64
}

// appendRecord appends the part of a record that does not depend on the batch;
// a nil value is a tombstone. headers is the count and the headers.
func appendRecord(dst, key, value, headers []byte) []byte {
	dst = binary.AppendVarint(dst, int64(len(key)))
	dst = append(dst, key...)
	if value == nil {
		dst = binary.AppendVarint(dst, -1)
	} else {
		dst = binary.AppendVarint(dst, int64(len(value)))
		dst = append(dst, value...)
	}
	return append(dst, headers...)
}

// headerNames in the order in which they stand.
const (
	headerSequence  = "sequence"
	headerCollector = "collector"
	headerSchema    = "schema"
)

// appendHeaders appends the headers of a record; tail is the one of
// headersTail.
func appendHeaders(dst []byte, sequence uint64, tail []byte) []byte {
	const count = 3
	dst = binary.AppendVarint(dst, count)
	var digits [20]byte
	return append(appendHeader(dst, headerSequence, strconv.AppendUint(digits[:0], sequence, 10)), tail...)
}

// headersTail is what is the same in all records of a topic.
func headersTail(collector, schema string) []byte {
	b := appendHeader(nil, headerCollector, []byte(collector))
	return appendHeader(b, headerSchema, []byte(schema))
}

func appendHeader(dst []byte, name string, value []byte) []byte {
	dst = binary.AppendVarint(dst, int64(len(name)))
	dst = append(dst, name...)
	dst = binary.AppendVarint(dst, int64(len(value)))
	return append(dst, value...)
}

// producer is who sends a batch.
type producer struct {
	id    int64
	epoch int16
}

// batcher makes batches of a lane's records. It keeps memory between them.
type batcher struct {
	records []byte // before compression
	out     []byte
}

// make returns the batch of the records, whose octets begin at start of body,
// behind its length, and how many octets its records had before compression.
func (w *batcher) make(c *codec, p producer, sequence int32, body []byte, start int, records []record) (raw []byte, plain int, err error) {
	first, last := records[0].time, records[0].time
	buf := w.records[:0]
	for i := range records {
		r := &records[i]
		last = max(last, r.time)
		delta := r.time - first
		const attributes = 1
		size := attributes + varintSize(delta) + varintSize(int64(i)) + r.end - start
		buf = binary.AppendVarint(buf, int64(size))
		buf = append(buf, 0)
		buf = binary.AppendVarint(buf, delta)
		buf = binary.AppendVarint(buf, int64(i))
		buf = append(buf, body[start:r.end]...)
		start = r.end
	}
	w.records = buf
	out := append(w.out[:0], make([]byte, lengthSize+batchHeader)...)
	out, attributes, err := c.append(out, buf)
	w.out = out
	if err != nil {
		return nil, 0, err
	}
	b := out[lengthSize:]
	if len(b) > math.MaxInt32 {
		return nil, 0, fmt.Errorf("kafka: a batch of %d octets", len(b))
	}
	put := binary.BigEndian
	put.PutUint32(out, uint32(len(b)))
	put.PutUint64(b[0:], 0)
	put.PutUint32(b[8:], uint32(len(b)-countedBefore))
	put.PutUint32(b[12:], math.MaxUint32) // no leader epoch
	b[16] = batchMagic
	put.PutUint16(b[21:], attributes)
	put.PutUint32(b[23:], uint32(len(records)-1))
	put.PutUint64(b[27:], uint64(first))
	put.PutUint64(b[35:], uint64(last))
	put.PutUint64(b[43:], uint64(p.id))
	put.PutUint16(b[51:], uint16(p.epoch))
	put.PutUint32(b[53:], uint32(sequence))
	put.PutUint32(b[57:], uint32(len(records)))
	put.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
	return out, len(buf), nil
}

// maxTime is the time of the latest record of a batch made by make.
func maxTime(raw []byte) int64 { return int64(binary.BigEndian.Uint64(raw[lengthSize+35:])) }

// forget gives the memory away that a request may still be reading.
func (w *batcher) forget() { w.out = nil }

// recordOverhead is the most that a batch adds to a record's own octets.
const recordOverhead = binary.MaxVarintLen32 + 1 + binary.MaxVarintLen64 + binary.MaxVarintLen32

func varintSize(v int64) int {
	n := 1
	for u := uint64(v)<<1 ^ uint64(v>>63); u >= 0x80; u >>= 7 {
		n++
	}
	return n
}

// keyOf returns the key of a record made by appendRecord.
func keyOf(b []byte) ([]byte, error) {
	n, size := binary.Varint(b)
	if size <= 0 || n < 0 || n > int64(len(b)-size) {
		return nil, fmt.Errorf("kafka: record without a key: %w", io.ErrUnexpectedEOF)
	}
	return b[size : size+int(n)], nil
}

// after returns the number of the record that stands n behind the one with
// number seq; they begin again at 0 after the largest.
func after(seq int32, n int) int32 { return int32((int64(seq) + int64(n)) & math.MaxInt32) }
