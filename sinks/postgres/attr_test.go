package postgres

import (
	"testing"

	"github.com/ribtap/ribtap/history"
)

// Sets of one transaction whose hashes begin alike get different numbers, and keep
// them.
func TestNumbersOfHashesThatBeginAlike(t *testing.T) {
	var a attrs
	a.init(1000)
	hashes := make([][history.HashLen]byte, 4)
	numbers := map[int64]int{}
	for i := range hashes {
		hashes[i] = [history.HashLen]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, byte(i)}
	}
	for round := range 2 {
		for i := range hashes {
			a.number = a.numberOf(&hashes[i])
			if stored := a.isFresh(&hashes[i]); stored != (round == 1) {
				t.Errorf("round %d: set %d has a row: %v", round, i, stored)
			}
			if j, ok := numbers[a.number]; ok && j != i {
				t.Errorf("sets %d and %d have the number %d", i, j, a.number)
			}
			numbers[a.number] = i
		}
	}
	if len(numbers) != len(hashes) {
		t.Errorf("%d sets have %d numbers", len(hashes), len(numbers))
	}
	if n := int64(0x0102030405060708); numbers[n] != 0 {
		t.Errorf("the first set's number is not %#x", n)
	}
}
