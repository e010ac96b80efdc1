package history

import (
	"net/netip"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
)

// Values of a store's configuration that says which NLRI get a row.
const (
	RowsChanges = "changes" // NLRI that changed something
	RowsAll     = "all"     // every NLRI received
)

// Micros is a time in the unit of the stores, microseconds.
func Micros(t event.Time) int64 { return int64(t) / 1000 }

// OrNull returns null for the zero value.
func OrNull[T int64 | uint32 | uint16 | uint64](v T) any {
	if v == 0 {
		return nil
	}
	return int64(v)
}

// Delta returns the distance of the router's clock from ours in microseconds;
// null without one.
func Delta(e *event.Event) any {
	if e.Observed == 0 {
		return nil
	}
	return Micros(e.Observed) - Micros(e.Received)
}

// Clean makes text of a router fit for a column; empty text is null.
func Clean(s string) any {
	if s == "" {
		return nil
	}
	return Cleaned(s)
}

// Cleaned makes text of a router fit for a key column.
func Cleaned(s string) string {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f {
			return string(bgp.CleanText(nil, []byte(s)))
		}
	}
	return s
}

// AddrText is the text of an address; empty for an invalid one.
func AddrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// TextOrNull copies b; empty text is null.
func TextOrNull(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return string(b)
}

// BytesOrNull returns null for no octets, where a store would keep an empty
// value. It does not copy.
func BytesOrNull(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}
