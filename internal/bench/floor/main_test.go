package main

import (
	"bytes"
	"testing"

	"github.com/ribtap/ribtap/internal/load"
)

// TestCounts: the floor has an event for each route of a session, in both
// families, announced and withdrawn.
func TestCounts(t *testing.T) {
	r := load.NewFull(10_000, 3_000, 1).Router(0, 2)
	b := r.AppendTable(r.AppendTable(r.AppendOpen(nil), 0), 1)
	b = r.AppendStats(r.AppendChurn(b, 2_000))
	n, err := serve(bytes.NewReader(b))
	if want := (counts{r.Counts.Messages, r.Counts.Announced, r.Counts.Withdrawn}); err != nil || n != want {
		t.Errorf("%+v, %v, want %+v", n, err, want)
	}
	if _, err := serve(bytes.NewReader(b[:len(b)-1])); err == nil {
		t.Error("a session that is cut passes")
	}
}
