package mrt_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"go.uber.org/goleak"

	"github.com/ribtap/ribtap/mrt"
)

// TestAhead: the octets and the error are those of the reader behind it, whatever
// the sizes of reads on either side.
func TestAhead(t *testing.T) {
	defer goleak.VerifyNone(t)
	rng := rand.New(rand.NewPCG(1, 1))
	broken := errors.New("broken")
	for _, size := range []int{0, 1, 1000, 256 << 10, 256<<10 + 1, 3 << 20} {
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(rng.Uint32())
		}
		for name, r := range map[string]io.Reader{
			"whole": bytes.NewReader(want), "halves": iotest.HalfReader(bytes.NewReader(want)), "with error": iotest.DataErrReader(bytes.NewReader(want)),
			"broken": io.MultiReader(bytes.NewReader(want), iotest.ErrReader(broken)), "cut": io.MultiReader(bytes.NewReader(want), iotest.ErrReader(io.ErrUnexpectedEOF)),
		} {
			a := mrt.NewAhead(r)
			var got bytes.Buffer
			p := make([]byte, 1+rng.IntN(400_000))
			_, err := io.CopyBuffer(struct{ io.Writer }{&got}, a, p)
			wantErr := map[string]error{"broken": broken, "cut": io.ErrUnexpectedEOF}[name]
			if !bytes.Equal(got.Bytes(), want) || !errors.Is(err, wantErr) || (err == nil) != (wantErr == nil) {
				t.Errorf("%s, %d octets: %d octets, %v", name, size, got.Len(), err)
			}
			if n, again := a.Read(p); n != 0 || again == nil {
				t.Errorf("%s: a Read behind the end gives %d, %v", name, n, again)
			}
			a.Close()
		}
	}
}

// TestAheadClosedEarly: no goroutine stays behind, whether anything was read or not.
func TestAheadClosedEarly(t *testing.T) {
	defer goleak.VerifyNone(t)
	for reads := range 4 {
		a := mrt.NewAhead(bytes.NewReader(make([]byte, 8<<20)))
		for range reads {
			if _, err := io.ReadFull(a, make([]byte, 200<<10)); err != nil {
				t.Fatal(err)
			}
		}
		a.Close()
		a.Close()
		if _, err := a.Read(make([]byte, 1)); err == nil {
			t.Error("a Read of a closed reader succeeds")
		}
	}
}
