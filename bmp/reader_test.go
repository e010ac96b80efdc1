package bmp_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/ribtap/ribtap/bmp"
)

// message returns a message of version 3, an unknown type and n octets.
func message(n int) []byte {
	b := bytes.Repeat([]byte{0xa5}, n)
	copy(b, []byte{3, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n), 200})
	return b
}

// readAll returns copies of all messages, and the error that ended them.
func readAll(r *bmp.Reader) (all [][]byte, err error) {
	for {
		raw, err := r.Next()
		if err != nil {
			return all, err
		}
		all = append(all, bytes.Clone(raw))
	}
}

func TestReaderDeliveries(t *testing.T) {
	var want [][]byte
	var stream []byte
	for _, n := range []int{6, 7, 100, 16<<10 - 1, 16 << 10, 6, 300 << 10, 48, 1 << 20, 6, 65_541, 99} {
		want = append(want, message(n))
		stream = append(stream, message(n)...)
	}
	want[1][0], stream[6] = 4, 4 // version 4 frames alike
	deliveries := map[string]func(io.Reader) io.Reader{
		"whole":     func(r io.Reader) io.Reader { return r },
		"bytewise":  iotest.OneByteReader,
		"half":      iotest.HalfReader,
		"error too": iotest.DataErrReader,
	}
	for name, deliver := range deliveries {
		t.Run(name, func(t *testing.T) {
			r := bmp.NewReader(deliver(bytes.NewReader(stream)), 0)
			got, err := readAll(r)
			if err != io.EOF { //nolint:errorlint // the contract is io.EOF itself
				t.Fatalf("end: %v, want io.EOF", err)
			}
			if len(got) != len(want) {
				t.Fatalf("%d messages, want %d", len(got), len(want))
			}
			for i := range want {
				if !bytes.Equal(got[i], want[i]) {
					t.Errorf("message %d of %d octets differs", i, len(want[i]))
				}
			}
			if r.Offset() != int64(len(stream)) {
				t.Errorf("offset %d, want %d", r.Offset(), len(stream))
			}
		})
	}
}

func TestReaderFraming(t *testing.T) {
	good := message(50)
	tests := []struct {
		name   string
		stream []byte
		max    int
		class  bmp.Class
		reason string
		good   int // messages before the error
		have   int
		want   int
	}{
		{"version 0", []byte{0, 0, 0, 0, 6, 4}, 0, bmp.ClassFraming, bmp.ReasonVersion, 0, 0, 0},
		{"version 2 by one octet", []byte{2}, 0, bmp.ClassFraming, bmp.ReasonVersion, 0, 0, 0},
		{"version 5", []byte{5, 0, 0, 0, 6, 4}, 0, bmp.ClassFraming, bmp.ReasonVersion, 0, 0, 0},
		{"a web browser", append(bytes.Clone(good), "GET / HTTP/1.1\r\n\r\n"...), 0, bmp.ClassFraming, bmp.ReasonVersion, 1, 0, 0},
		{"length 0", []byte{3, 0, 0, 0, 0, 4}, 0, bmp.ClassFraming, bmp.ReasonLengthShort, 0, 0, 0},
		{"length 5", []byte{3, 0, 0, 0, 5, 4}, 0, bmp.ClassFraming, bmp.ReasonLengthShort, 0, 0, 0},
		{"length above the limit", message(101), 100, bmp.ClassFraming, bmp.ReasonLengthLong, 0, 0, 0},
		{"length 4 GiB", []byte{3, 255, 255, 255, 255, 0, 1, 2, 3}, 0, bmp.ClassFraming, bmp.ReasonLengthLong, 0, 0, 0},
		{"EOF in a header", append(bytes.Clone(good), 3, 0, 0), 0, bmp.ClassTruncated, bmp.ReasonTruncated, 1, 3, 6},
		{"EOF in a body", append(bytes.Clone(good), good[:49]...), 0, bmp.ClassTruncated, bmp.ReasonTruncated, 1, 49, 50},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, src := range []io.Reader{bytes.NewReader(tt.stream), iotest.OneByteReader(bytes.NewReader(tt.stream))} {
				r := bmp.NewReader(src, tt.max)
				got, err := readAll(r)
				if len(got) != tt.good {
					t.Fatalf("%d messages, want %d", len(got), tt.good)
				}
				e := wantError(t, err, tt.class, tt.reason)
				if at := int64(tt.good * len(good)); e.Offset != at {
					t.Errorf("offset %d, want %d", e.Offset, at)
				}
				if e.Have != tt.have || e.Want != tt.want {
					t.Errorf("%d of %d octets, want %d of %d", e.Have, e.Want, tt.have, tt.want)
				}
				if got := errors.Is(err, io.ErrUnexpectedEOF); got != (tt.class == bmp.ClassTruncated) {
					t.Errorf("%v is io.ErrUnexpectedEOF: %v", err, got)
				}
				if r.Buffered() {
					t.Error("a message is buffered behind the end")
				}
				if _, again := r.Next(); again != err { //nolint:errorlint // the very same error
					t.Errorf("Next again: %v, want %v", again, err)
				}
			}
		})
	}
}

func TestReaderLimit(t *testing.T) {
	for _, n := range []int{100, 16 << 10, 300 << 10, 3 << 20} {
		got, err := readAll(bmp.NewReader(bytes.NewReader(message(n)), n))
		if len(got) != 1 || err != io.EOF { //nolint:errorlint // the contract is io.EOF itself
			t.Errorf("a message of just the limit %d: %d messages, %v", n, len(got), err)
		}
	}
}

// chunks is a source that returns one element a read; a nil one is a timeout.
type chunks [][]byte

func (c *chunks) Read(p []byte) (int, error) {
	if len(*c) == 0 {
		return 0, io.EOF
	}
	b := (*c)[0]
	if b == nil {
		*c = (*c)[1:]
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(p, b)
	(*c)[0] = b[n:]
	if n == len(b) {
		*c = (*c)[1:]
	}
	return n, nil
}

func TestReaderBuffered(t *testing.T) {
	three := append(append(message(50), message(60)...), message(70)...)
	src := chunks{three[:115], three[115:]}
	r := bmp.NewReader(&src, 0)
	if r.Buffered() {
		t.Error("buffered before the first read")
	}
	for i, want := range []bool{true, false, false} { // what Buffered says behind each message
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		if got := r.Buffered(); got != want {
			t.Errorf("behind message %d: buffered %v, want %v", i, got, want)
		}
	}
}

func TestReaderTimeout(t *testing.T) {
	msg := message(50)
	src := chunks{nil, msg[:3], nil, msg[3:20], nil, msg[20:]}
	r := bmp.NewReader(&src, 0)
	timeouts := 0
	for {
		raw, err := r.Next()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			timeouts++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		wantOctets(t, "message", raw, msg)
		break
	}
	if timeouts != 3 {
		t.Errorf("%d timeouts, want 3", timeouts)
	}
}

// broken is a source that breaks the contract of io.Reader.
type broken int

func (b broken) Read([]byte) (int, error) { return int(b), nil }

func TestReaderBrokenSource(t *testing.T) {
	if _, err := bmp.NewReader(broken(0), 0).Next(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("source without octets: %v", err)
	}
	for _, n := range []int{-1, 1 << 30} {
		if _, err := bmp.NewReader(broken(n), 0).Next(); err == nil {
			t.Errorf("source that returns %d: no error", n)
		}
	}
}

// withError is a source that returns its octets and a timeout together, once,
// then nothing but the end.
type withError struct {
	b    []byte
	done bool
}

func (w *withError) Read(p []byte) (int, error) {
	if w.done {
		return 0, io.EOF
	}
	w.done = true
	return copy(p, w.b), os.ErrDeadlineExceeded
}

func TestReaderErrorWithOctets(t *testing.T) {
	r := bmp.NewReader(&withError{b: message(50)}, 0)
	if _, err := r.Next(); err != nil {
		t.Fatalf("the error came before the octets: %v", err)
	}
	if _, err := r.Next(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("second: %v, want the timeout", err)
	}
	if _, err := r.Next(); err != io.EOF { //nolint:errorlint // the contract is io.EOF itself
		t.Errorf("third: %v, want io.EOF", err)
	}
}

// TestReaderAllocatesWhatArrives sends a header that promises the largest
// message, and little of it.
func TestReaderAllocatesWhatArrives(t *testing.T) {
	const limit = 64 << 20
	for _, n := range []int{1000, 17 << 10, 100 << 10} {
		head := message(limit)[:n]
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := bmp.NewReader(bytes.NewReader(head), limit).Next()
		runtime.ReadMemStats(&after)
		wantError(t, err, bmp.ClassTruncated, bmp.ReasonTruncated)
		if got := after.TotalAlloc - before.TotalAlloc; got > uint64(4*n+64<<10) {
			t.Errorf("%d octets allocated for %d that arrived", got, n)
		}
	}
}

func TestReaderViewIsClipped(t *testing.T) {
	two := append(message(50), message(60)...)
	r := bmp.NewReader(bytes.NewReader(two), 0)
	raw, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	_ = append(raw, 0xff)
	if _, err := r.Next(); err != nil {
		t.Errorf("appending to a message broke the next: %v", err)
	}
}
