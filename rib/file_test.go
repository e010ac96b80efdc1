package rib_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ribtap/ribtap/rib"
)

// smallFile is a snapshot of two views with every kind of route.
func smallFile(t testing.TB) []byte {
	w := newWorld()
	w.newView()
	for i := range 40 {
		for j := range w.views {
			if err := w.announce(j, op{space: testSpaces[i%3], key: i % 13, value: i % (j + 5)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	nothing := func(_, _ []byte) {}
	w.views[0].MarkStale(testSpaces[0])
	w.views[1].End(testSpaces[1], 3, true, false, nothing)
	return snapshotFile(t, w.db)
}

func snapshotFile(t testing.TB, db *rib.DB) []byte {
	snap := db.Snapshot()
	defer snap.Close()
	var file bytes.Buffer
	if _, err := snap.WriteTo(&file); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// TestLoadCut cuts the file at every octet.
func TestLoadCut(t *testing.T) {
	file := smallFile(t)
	for n := range file {
		if _, _, err := rib.Load(bytes.NewReader(file[:n])); err == nil {
			t.Fatalf("%d of %d octets make a table", n, len(file))
		} else if !strings.HasPrefix(err.Error(), "rib: ") {
			t.Fatalf("%d octets: %v", n, err)
		}
	}
}

// TestLoadFlipped flips every bit of the file.
func TestLoadFlipped(t *testing.T) {
	file := smallFile(t)
	for i := range file {
		for bit := range 8 {
			file[i] ^= 1 << bit
			if _, _, err := rib.Load(bytes.NewReader(file)); err == nil {
				t.Fatalf("octet %d bit %d is not missed", i, bit)
			}
			file[i] ^= 1 << bit
		}
	}
	if _, _, err := rib.Load(bytes.NewReader(file)); err != nil {
		t.Fatal(err)
	}
}

// TestLoadFrames loses, doubles and exchanges frames, and appends to the file.
func TestLoadFrames(t *testing.T) {
	w := newWorld()
	for i := range 3000 {
		if err := w.announce(0, op{space: testSpaces[0], key: i, value: i}); err != nil {
			t.Fatal(err)
		}
	}
	file := snapshotFile(t, w.db)
	frames := cutFrames(file)
	if len(frames) < 6 {
		t.Fatalf("only %d frames", len(frames))
	}
	bad := map[string][][]byte{
		"lost":      slices.Concat(frames[:2], frames[3:]),
		"doubled":   slices.Concat(frames[:3], frames[2:]),
		"exchanged": {frames[0], frames[2], frames[1]},
		"no end":    frames[:len(frames)-1],
		"appended":  append(slices.Clone(frames), []byte{0}),
		"two files": append(slices.Clone(frames), file),
	}
	bad["exchanged"] = append(bad["exchanged"], frames[3:]...)
	for name, parts := range bad {
		if _, _, err := rib.Load(bytes.NewReader(bytes.Join(parts, nil))); err == nil {
			t.Errorf("%s: a table", name)
		}
	}
	db, views, err := rib.Load(iotest.OneByteReader(bytes.NewReader(file)))
	if err != nil {
		t.Fatal(err)
	}
	w.db, w.views = db, views
	if err := w.check(); err != nil {
		t.Error(err)
	}
}

// cutFrames cuts a file into its start and its frames.
func cutFrames(file []byte) [][]byte {
	out := [][]byte{file[:8]}
	for rest := file[8:]; len(rest) >= 8; {
		n := 8 + int(binary.LittleEndian.Uint32(rest))
		out = append(out, rest[:n])
		rest = rest[n:]
	}
	return out
}

// frame makes a file with right checksums of one frame.
func frame(payload []byte) []byte {
	table := crc32.MakeTable(crc32.Castagnoli)
	out := []byte("ribtapR\x01")
	crc := crc32.Checksum(out, table)
	for _, p := range [][]byte{payload, nil} {
		length := binary.LittleEndian.AppendUint32(nil, uint32(len(p)))
		crc = crc32.Update(crc32.Update(crc, table, length), table, p)
		out = binary.LittleEndian.AppendUint32(append(out, length...), crc)
		out = append(out, p...)
	}
	return out
}

func numbers(xs ...uint64) (b []byte) {
	for _, x := range xs {
		b = binary.AppendUvarint(b, x)
	}
	return b
}

// TestLoadWrong gives Load files with right checksums that say what cannot be.
func TestLoadWrong(t *testing.T) {
	// one view "a", one value "v"
	start := []byte("\x01\x01a\x01\x01v")
	good := slices.Concat(start, numbers(1, 257, 0, 2, 1, 'k', 1, 'l', 1, 0, 2, 0, 2, 1, 3))
	if _, views, err := rib.Load(bytes.NewReader(frame(good))); err != nil || views[0].Count(rib.Space{Family: 257}).Stale != 1 {
		t.Fatalf("the good file: %v", err)
	}
	for name, tail := range map[string][]byte{
		"key twice":        numbers(1, 257, 0, 2, 1, 'k', 1, 'k', 0),
		"space twice":      numbers(2, 257, 0, 0, 0, 257, 0, 0, 0),
		"family":           numbers(1, 1<<24, 0, 0, 0),
		"add-path":         numbers(1, 257, 2, 0, 0),
		"unknown view":     numbers(1, 257, 0, 1, 1, 'k', 1, 1, 1, 0, 1, 1),
		"view twice":       numbers(1, 257, 0, 1, 1, 'k', 2, 0, 1, 0, 1, 1, 0, 0),
		"unknown value":    numbers(1, 257, 0, 1, 1, 'k', 1, 0, 1, 0, 1, 1<<2|1),
		"stale ghost":      numbers(1, 257, 0, 1, 1, 'k', 1, 0, 1, 0, 1, 2),
		"gap too long":     numbers(1, 257, 0, 1, 1, 'k', 1, 0, 1, 1, 1, 1),
		"run too long":     numbers(1, 257, 0, 1, 1, 'k', 1, 0, 2, 0, 2, 1, 1),
		"run over count":   numbers(1, 257, 0, 2, 1, 'k', 1, 'l', 1, 0, 1, 0, 2, 1, 1),
		"empty run":        numbers(1, 257, 0, 1, 1, 'k', 1, 0, 1, 0, 0, 1),
		"too many routes":  numbers(1, 257, 0, 1, 1, 'k', 1, 0, 1<<40, 0, 1, 1),
		"too many spaces":  numbers(1 << 60),
		"too many keys":    numbers(1, 257, 0, 1<<60),
		"long key":         numbers(1, 257, 0, 1, 1<<62),
		"number too large": {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
		"more":             numbers(0, 0),
		"nothing":          nil,
	} {
		if _, _, err := rib.Load(bytes.NewReader(frame(slices.Concat(start, tail)))); err == nil {
			t.Errorf("%s: a table", name)
		}
	}
	newer := frame(good)
	newer[7] = 2
	if _, _, err := rib.Load(bytes.NewReader(newer)); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("newer version: %v", err)
	}
}

type failing struct{ after int }

var errDisk = errors.New("disk full")

func (f *failing) Write(p []byte) (int, error) {
	if f.after -= len(p); f.after < 0 {
		return 0, errDisk
	}
	return len(p), nil
}

func TestIOErrors(t *testing.T) {
	w := newWorld()
	for i := range 3000 {
		if err := w.announce(0, op{space: testSpaces[0], key: i, value: i}); err != nil {
			t.Fatal(err)
		}
	}
	size := len(snapshotFile(t, w.db))
	snap := w.db.Snapshot()
	defer snap.Close()
	for after := 0; after < size; after += size / 7 {
		if _, err := snap.WriteTo(&failing{after}); !errors.Is(err, errDisk) {
			t.Errorf("write fails after %d octets: %v", after, err)
		}
	}
	file := snapshotFile(t, w.db)
	for after := 0; after < size; after += size / 7 {
		r := io.MultiReader(bytes.NewReader(file[:after]), iotest.ErrReader(errDisk))
		if _, _, err := rib.Load(r); !errors.Is(err, errDisk) {
			t.Errorf("read fails after %d octets: %v", after, err)
		}
	}
}

// FuzzLoad reads the input as a file and as the payload of one, and checks that
// what it makes survives another round.
func FuzzLoad(f *testing.F) {
	file := smallFile(f)
	f.Add(file)
	frames := cutFrames(file)
	f.Add(frames[1][8:])
	f.Add([]byte("\x01\x01a\x01\x01v\x01\x81\x02\x00\x02\x01k\x01l\x01\x00\x02\x00\x02\x01\x03"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, in := range [][]byte{b, frame(b[:min(len(b), 60_000)])} {
			db, views, err := rib.Load(bytes.NewReader(in))
			if err != nil {
				continue
			}
			if st := db.Stats(); st.Bytes > int64(len(in))*8192+1<<20 {
				t.Fatalf("%d octets make %d octets of table", len(in), st.Bytes)
			}
			again, views2, err := rib.Load(bytes.NewReader(snapshotFile(t, db)))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := dump(again), dump(db); got != want || len(views) != len(views2) {
				t.Fatalf("second round:\n%s\nfirst:\n%s", got, want)
			}
		}
	})
}

func dump(db *rib.DB) string {
	var out strings.Builder
	snap := db.Snapshot()
	defer snap.Close()
	fmt.Fprintf(&out, "%q\n", snap.Views())
	for _, s := range snap.Spaces() {
		err := snap.Each(s, func(key []byte, entries []rib.Entry) error {
			fmt.Fprintf(&out, "%v %x %+v\n", s, key, entries)
			return nil
		})
		if err != nil {
			return err.Error()
		}
	}
	return out.String()
}
