package sqlite

import (
	"database/sql/driver"
	"math"
	"net/netip"
	"strconv"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
)

// micros is a time in the unit of the tables, microseconds.
func micros(t event.Time) int64 { return int64(t) / 1000 }

// orNull returns null for the zero value.
func orNull[T int64 | uint32 | uint16 | uint64](v T) driver.Value {
	if v == 0 {
		return nil
	}
	return int64(v)
}

// delta returns the distance of the router's clock from ours; null without one.
func delta(e *event.Event) driver.Value {
	if e.Observed == 0 {
		return nil
	}
	return micros(e.Observed) - micros(e.Received)
}

// gauge stores a 64-bit number without loss.
func gauge(v uint64) driver.Value {
	if v > math.MaxInt64 {
		return strconv.FormatUint(v, 10)
	}
	return int64(v)
}

// clean makes text of a router fit for a column; empty text is null.
func clean(s string) driver.Value {
	if s == "" {
		return nil
	}
	return cleaned(s)
}

// cleaned makes text of a router fit for a key column.
func cleaned(s string) string {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f {
			return string(bgp.CleanText(nil, []byte(s)))
		}
	}
	return s
}

// addrText is the text of an address; empty for an invalid one.
func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// textOrNull copies b; empty text is null.
func textOrNull(b []byte) driver.Value {
	if len(b) == 0 {
		return nil
	}
	return string(b)
}

// bytesOrNull returns null for no bytes, where SQLite would keep an empty blob.
func bytesOrNull(b []byte) driver.Value {
	if len(b) == 0 {
		return nil
	}
	return b
}
