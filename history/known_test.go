package history_test

import (
	"encoding/binary"
	"testing"

	"github.com/ribtap/ribtap/history"
)

func keyOf(i int) []byte { return binary.BigEndian.AppendUint32([]byte("key"), uint32(i)) }

func TestKnown(t *testing.T) {
	k := history.NewKnown(1 << 20)
	k.Reset(true)
	const n = 100_000
	for i := range n {
		if id := k.Find(k.Fingerprint(keyOf(i))); id != 0 {
			t.Fatalf("key %d is known as %d", i, id)
		}
		k.Add(k.Fingerprint(keyOf(i)), uint32(i+1))
	}
	if !k.Complete() {
		t.Error("not complete")
	}
	for i := range n {
		if id := k.Find(k.Fingerprint(keyOf(i))); id != uint32(i+1) {
			t.Fatalf("key %d is known as %d", i, id)
		}
	}
}

// When there is no more room the key used least lately goes, and nothing is
// taken for another.
func TestKnownIsBounded(t *testing.T) {
	k := history.NewKnown(10_000)
	k.Reset(true)
	const n = 100_000
	found := 0
	for i := range n {
		k.Add(k.Fingerprint(keyOf(i)), uint32(i+1))
		if id := k.Find(k.Fingerprint(keyOf(7))); i >= 7 && id != 8 {
			t.Fatalf("a key in use was forgotten after %d, or is %d", i, id)
		}
	}
	for i := range n {
		switch k.Find(k.Fingerprint(keyOf(i))) {
		case uint32(i + 1):
			found++
		case 0:
		default:
			t.Fatalf("key %d is taken for another", i)
		}
	}
	if k.Complete() {
		t.Error("complete, after forgetting")
	}
	if found < 5_000 || found > 40_000 {
		t.Errorf("%d of %d keys are known", found, n)
	}
	if k.Octets() > 40*16*1024 {
		t.Errorf("%d octets for 10,000 keys", k.Octets())
	}
}

// The memory of a full table is 32 MiB.
func TestKnownSize(t *testing.T) {
	k := history.NewKnown(3 << 20)
	k.Reset(true)
	for i := range 1_230_000 {
		k.Add(k.Fingerprint(keyOf(i)), uint32(i+1))
	}
	if !k.Complete() || k.Octets() > 60e6 {
		t.Errorf("complete %v with %d octets", k.Complete(), k.Octets())
	}
	key := keyOf(77)
	if n := testing.AllocsPerRun(100, func() { k.Find(k.Fingerprint(key)) }); n != 0 {
		t.Errorf("%v allocations a look-up", n)
	}
}
