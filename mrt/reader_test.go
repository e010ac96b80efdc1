package mrt_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/ribtap/ribtap/mrt"
)

func gz(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

func zst(b []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return w.EncodeAll(b, nil)
}

// read returns what a file holds and how it ends.
func read(r io.Reader) (recs []mrt.Record, padding uint64, err error) {
	content, _, err := mrt.Decompress(r)
	if err != nil {
		return nil, 0, err
	}
	rd := mrt.NewReader(content)
	for {
		rec, err := rd.Next()
		if err != nil {
			return recs, rd.Padding(), err
		}
		rec.Body = bytes.Clone(rec.Body)
		recs = append(recs, rec)
	}
}

func TestReaderEnds(t *testing.T) {
	a, b := record(sec, mrt.TypeBGP4MP, 4, 1, 2, 3), record(sec+1, 999, 7)
	whole := join(a, b)
	nul := func(n int) []byte { return make([]byte, n) }
	tests := []struct {
		name    string
		file    []byte
		n       int
		padding uint64
		verdict mrt.Verdict // 0 for io.EOF
		reason  string
		offset  int64
	}{
		{"empty", nil, 0, 0, 0, "", 0},
		{"whole", whole, 2, 0, 0, "", 0},
		{"cut in the header", whole[:len(a)+11], 1, 0, mrt.Truncated, mrt.ReasonHeader, int64(len(a))},
		{"cut in the body", a[:14], 0, 0, mrt.Truncated, mrt.ReasonBody, 0},
		{"length 2^32-1", join(a, []byte{0, 0, 0, 0, 0, 16, 0, 4, 0xff, 0xff, 0xff, 0xff}), 1, 0, mrt.Stop, mrt.ReasonLength, int64(len(a))},
		{"padding between", join(a, nul(24), b), 2, 2, 0, "", 0},
		{"padding of 4,096 between", join(a, nul(4096), b), 2, 341, 0, "", 0},
		{"padding of 4,096 behind", join(a, b, nul(4096)), 2, 341, 0, "", 0},
		{"padding, then 1970", join(a, nul(24), record(0, mrt.TypeBGP4MP, 4, 1)), 2, 2, 0, "", 0},
		{"a type 0 record with a time", join(record(sec, 0, 0), a), 1, 1, 0, "", 0},
		{"nothing but padding", nul(13 << 20), 0, 1 << 20, mrt.Stop, mrt.ReasonPadding, 12 << 20},
		{"gzip", gz(whole), 2, 0, 0, "", 0},
		{"gzip of two members", join(gz(a), gz(b)), 2, 0, 0, "", 0},
		{"gzip of nothing", gz(nil), 0, 0, 0, "", 0},
		{"gzip cut", gz(whole)[:len(gz(whole))-9], 2, 0, mrt.Truncated, mrt.ReasonCompression, int64(len(whole))},
		{"gzip cut in its header", gz(whole)[:5], 0, 0, mrt.Truncated, mrt.ReasonCompression, 0},
		{"gzip, then garbage", join(gz(whole), bytes.Repeat([]byte{0x55}, 100)), 2, 0, mrt.Truncated, mrt.ReasonCompression, int64(len(whole))},
		{"zstd", zst(whole), 2, 0, 0, "", 0},
		{"zstd of two frames", join(zst(a), zst(b)), 2, 0, 0, "", 0},
		{"zstd, then garbage", join(zst(whole), bytes.Repeat([]byte{0x55}, 100)), 2, 0, mrt.Truncated, mrt.ReasonCompression, int64(len(whole))},
		{"bzip2", bz2Two, 2, 0, 0, "", 0},
		{"bzip2 of two streams", join(bz2Two, bz2Two), 4, 0, 0, "", 0},
		{"bzip2 cut", bz2Two[:30], 0, 0, mrt.Truncated, mrt.ReasonCompression, 0},
		{"bzip2, then garbage", join(bz2Two, bytes.Repeat([]byte{0x55}, 100)), 2, 0, mrt.Truncated, mrt.ReasonCompression, int64(len(whole))},
		{"a timestamp that reads BZh9", record(0x425a6839, 999, 0, 1, 2, 3), 1, 0, 0, "", 0},
	}
	for _, tt := range tests {
		for _, how := range []struct {
			name string
			wrap func(io.Reader) io.Reader
		}{
			{"at once", func(r io.Reader) io.Reader { return r }},
			{"octet by octet", iotest.OneByteReader},
			{"data with error", iotest.DataErrReader},
		} {
			if how.name == "octet by octet" && len(tt.file) > 1<<20 {
				continue
			}
			t.Run(tt.name+"/"+how.name, func(t *testing.T) {
				recs, padding, err := read(how.wrap(bytes.NewReader(tt.file)))
				if len(recs) != tt.n || padding != tt.padding {
					t.Errorf("%d records, %d padding; want %d, %d", len(recs), padding, tt.n, tt.padding)
				}
				if tt.verdict == 0 {
					if err != io.EOF { //nolint:errorlint // the contract says io.EOF itself
						t.Errorf("ends with %v", err)
					}
					return
				}
				var e *mrt.Error
				if !errors.As(err, &e) {
					t.Fatalf("ends with %v", err)
				}
				if e.Verdict != tt.verdict || e.Reason != tt.reason || e.Offset != tt.offset {
					t.Errorf("ends with %v", e)
				}
			})
		}
	}
}

// bz2Two is bzip2's form of the file of TestReaderEnds, which the standard
// library cannot write.
var bz2Two = []byte("\x42\x5a\x68\x39\x31\x41\x59\x26\x53\x59\xc5\xf6\xef\xf7\x00\x00\x0b\xe3\x01\xfc" +
	"\x80\x40\x00\x08\x00\x02\x00\x00\x80\x20\x00\x20\x00\x21\x2a\x7a\x47\xa9\x93\xd4" +
	"\x20\x1a\x69\xa1\xa6\x88\x8b\x94\x67\x2f\x79\x55\xa8\x26\x43\xe2\xee\x48\xa7\x0a" +
	"\x12\x18\xbe\xdd\xfe\xe0")

func TestReaderSourceFails(t *testing.T) {
	broken := errors.New("the disk")
	for _, file := range [][]byte{record(sec, 16, 4, 1, 2, 3), gz(record(sec, 16, 4, 1, 2, 3)), zst(record(sec, 16, 4, 1, 2, 3))} {
		_, _, err := read(io.MultiReader(bytes.NewReader(file[:len(file)-4]), iotest.ErrReader(broken)))
		var e *mrt.Error
		if !errors.As(err, &e) || e.Verdict != mrt.Stop || e.Reason != mrt.ReasonRead || !errors.Is(err, broken) {
			t.Errorf("ends with %v", err)
		}
	}
	if _, _, err := mrt.Decompress(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("Decompress: %v", err)
	}
	r := mrt.NewReader(iotest.ErrReader(nil))
	if _, err := r.Next(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a source without data or error: %v", err)
	}
}

func TestReaderGoesOnAfterALongRecord(t *testing.T) {
	long := record(sec, 999, 1, bytes.Repeat([]byte{7}, 700<<10)...)
	small := record(sec, 999, 2, 1)
	recs, _, err := read(bytes.NewReader(join(small, long, small, long, small)))
	if len(recs) != 5 || err != io.EOF { //nolint:errorlint // the contract says io.EOF itself
		t.Fatalf("%d records, %v", len(recs), err)
	}
	var b []byte
	for i := range recs {
		b = mrt.AppendRecord(b, &recs[i])
	}
	if !bytes.Equal(b, join(small, long, small, long, small)) {
		t.Error("octets differ")
	}
	r := mrt.NewReader(bytes.NewReader(long))
	r.MaxRecord = 700<<10 - 1
	var e *mrt.Error
	if _, err := r.Next(); !errors.As(err, &e) || e.Verdict != mrt.Stop || e.Reason != mrt.ReasonLength {
		t.Errorf("a record above MaxRecord: %v", err)
	}
}

// TestReaderTrustsNoLength reads a header that claims much with little behind it.
func TestReaderTrustsNoLength(t *testing.T) {
	file := append([]byte{0, 0, 0, 1, 0, 16, 0, 4, 0x03, 0xff, 0xff, 0xff}, make([]byte, 1000)...)
	n := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			_, _ = mrt.NewReader(bytes.NewReader(file)).Next()
		}
	}).AllocedBytesPerOp()
	if n > 1<<20 {
		t.Errorf("%d octets allocated for a file of %d", n, len(file))
	}
}

// TestZstdWindow reads frames that claim large windows: 128 MiB is what zstd(1)
// reads without being told to, and no more is accepted.
func TestZstdWindow(t *testing.T) {
	frame := func(exponent byte) []byte {
		return []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, exponent << 3, 0x01, 0x00, 0x00} // an empty last raw block
	}
	if _, _, err := read(bytes.NewReader(frame(17))); err != io.EOF { //nolint:errorlint // the contract says io.EOF itself
		t.Errorf("128 MiB: %v", err)
	}
	var e *mrt.Error
	if _, _, err := read(bytes.NewReader(frame(18))); !errors.As(err, &e) || e.Reason != mrt.ReasonCompression {
		t.Errorf("256 MiB: %v", err)
	}
}

func TestReaderAllocates(t *testing.T) {
	file := bytes.Repeat(mrt.AppendMessageET(nil, sec, 1, &peer4, true, false, update(nil, nil, nil)), 1000)
	src := bytes.NewReader(file)
	r := mrt.NewReader(endless{src, file})
	n := testing.AllocsPerRun(1000, func() {
		rec, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		var m mrt.Message
		if err := m.Parse(&rec); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations a record", n)
	}
}

// endless repeats a file.
type endless struct {
	*bytes.Reader
	file []byte
}

func (e endless) Read(p []byte) (int, error) {
	if e.Len() == 0 {
		e.Reset(e.file)
	}
	return e.Reader.Read(p)
}

func TestErrorText(t *testing.T) {
	recs, _, _ := read(bytes.NewReader(record(sec, mrt.TypeBGP4MP, 4, 1, 2, 3)))
	var m mrt.Message
	err := m.Parse(&recs[0])
	if want := "mrt: drop: record 16/4 at offset 0: short"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if ns := (&mrt.Record{Timestamp: math.MaxUint32, Microseconds: 5}).Nanoseconds(); ns != 4294967295000005000 {
		t.Errorf("Nanoseconds: %d", ns)
	}
}
