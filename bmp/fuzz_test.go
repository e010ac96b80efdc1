package bmp_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"
	"unsafe"

	"github.com/ribtap/ribtap/bmp"
	"github.com/ribtap/ribtap/internal/corpus"
)

// newFile opens a recording of the corpus.
func newFile(tb testing.TB, name string) io.Reader {
	tb.Helper()
	f, err := os.Open(filepath.Join(corpus.Data(), name))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { f.Close() })
	return f
}

// maxSeed keeps mutation fast; the large hostile inputs have a test of their own.
const maxSeed = 8 << 10

// addSeeds adds the sound messages, and the hostile ones of the corpus.
func addSeeds(f *testing.F) {
	f.Helper()
	for _, raw := range sound(f) {
		f.Add(raw)
	}
	for _, c := range hostileCases(f) {
		if b := readFile(f, corpus.Hostile(), c.File); len(b) <= maxSeed {
			f.Add(b)
		}
	}
}

// FuzzReader checks that a stream gives the same messages and the same end
// however it is delivered, that the messages are the stream, and that a small
// limit holds.
func FuzzReader(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, stream []byte) {
		const limit = 1 << 16
		whole, end := readAll(bmp.NewReader(bytes.NewReader(stream), limit))
		if !bytes.HasPrefix(stream, bytes.Join(whole, nil)) {
			t.Fatal("the messages are not the stream")
		}
		for _, raw := range whole {
			if len(raw) > limit || len(raw) < bmp.HeaderLen {
				t.Fatalf("message of %d octets", len(raw))
			}
		}
		for _, src := range []io.Reader{
			iotest.OneByteReader(bytes.NewReader(stream)),
			iotest.HalfReader(bytes.NewReader(stream)),
			iotest.DataErrReader(bytes.NewReader(stream)),
		} {
			got, gotEnd := readAll(bmp.NewReader(src, limit))
			if len(got) != len(whole) || !bytes.Equal(bytes.Join(got, nil), bytes.Join(whole, nil)) {
				t.Fatalf("%d messages, want %d", len(got), len(whole))
			}
			if gotEnd.Error() != end.Error() {
				t.Fatalf("end %v, want %v", gotEnd, end)
			}
		}
	})
}

// FuzzParse checks that nothing panics, that every view lies inside the message
// and cannot grow over what follows, and that parts put together are the whole.
func FuzzParse(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := bmp.Parse(raw)
		inside(t, raw, m.Body)
		if err != nil {
			if m.Known {
				t.Fatalf("known in spite of %v", err)
			}
			return
		}
		if !m.Known {
			return
		}
		switch m.Type {
		case bmp.TypeRouteMonitoring:
			if v, err := bmp.ParseRouteMonitoring(&m); err == nil {
				whole(t, raw, v.Head, v.PDU, v.Tail)
			}
		case bmp.TypePeerUp:
			if v, err := bmp.ParsePeerUp(&m); err == nil {
				whole(t, raw, v.Head, v.Sent, v.Received, v.Tail)
				insideTLVs(t, raw, v.Info())
			}
		case bmp.TypePeerDown:
			if v, err := bmp.ParsePeerDown(&m); err == nil {
				whole(t, raw, v.Head, v.Notification, v.Tail)
				inside(t, raw, v.Data)
				insideTLVs(t, raw, v.Info())
			}
		case bmp.TypeStatistics:
			if v, err := bmp.ParseStatsReport(&m); err == nil {
				it := v.Stats()
				for s, ok := it.Next(); ok; s, ok = it.Next() {
					inside(t, raw, s.Raw)
				}
			}
		case bmp.TypeInitiation:
			if v, err := bmp.ParseInitiation(&m); err == nil {
				inside(t, raw, v.SysDescr)
				inside(t, raw, v.SysName)
				insideTLVs(t, raw, v.Info())
			}
		case bmp.TypeTermination:
			if v, err := bmp.ParseTermination(&m); err == nil {
				insideTLVs(t, raw, v.Info())
			}
		case bmp.TypeRouteMirroring:
			if v, err := bmp.ParseRouteMirroring(&m); err == nil {
				inside(t, raw, v.PDU)
				insideTLVs(t, raw, v.Info())
			}
		}
	})
}

// inside fails unless view is part of raw and its capacity ends with it.
func inside(t *testing.T, raw, view []byte) {
	t.Helper()
	if len(view) == 0 {
		return
	}
	start, base := uintptr(unsafe.Pointer(unsafe.SliceData(view))), uintptr(unsafe.Pointer(unsafe.SliceData(raw)))
	if start < base || start+uintptr(len(view)) > base+uintptr(len(raw)) {
		t.Fatal("a view lies outside its message")
	}
	if cap(view) != len(view) {
		t.Fatalf("a view of %d octets has capacity %d", len(view), cap(view))
	}
}

func insideTLVs(t *testing.T, raw []byte, info bmp.TLVs) {
	t.Helper()
	for v, ok := info.Next(); ok; v, ok = info.Next() {
		inside(t, raw, v.Value)
	}
}

// whole fails unless the parts are views of raw and, put together, all of it.
func whole(t *testing.T, raw []byte, parts ...[]byte) {
	t.Helper()
	for _, p := range parts {
		inside(t, raw, p)
	}
	if !bytes.Equal(bytes.Join(parts, nil), raw) {
		t.Fatal("the parts are not the message")
	}
}

// FuzzRoundTrip checks that what is read without a fault or anomaly is written
// again octet by octet.
func FuzzRoundTrip(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := bmp.Parse(raw)
		if err != nil {
			return
		}
		found, again, err := body(&m)
		if err == nil && found == 0 && !bytes.Equal(again, raw) {
			t.Fatalf("written again\n got %x\nwant %x", again, raw)
		}
	})
}
