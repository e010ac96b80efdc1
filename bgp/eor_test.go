package bgp_test

import (
	"testing"

	"github.com/ribtap/ribtap/bgp"
)

func TestAppendEndOfRIB(t *testing.T) {
	for _, f := range append(bgp.Families(), bgp.NewFamily(16397, 99)) {
		var u bgp.Update
		u.Parse(bgp.AppendEndOfRIB(nil, f), bgp.Session{AS4: true})
		if got, ok := u.EndOfRIB(); !ok || got != f || u.Verdict() != bgp.VerdictOK {
			t.Errorf("%s reads as %s, %t, %v", f, got, ok, u.Findings())
		}
	}
}
