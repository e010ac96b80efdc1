package sqlite

import (
	"database/sql/driver"
	"math"
	"strconv"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/history"
)

// changeEpoch is 2028-01-01 UTC in microseconds since 1970. route_change counts
// received from there: from 2023 to 2032 that is six octets in the file, where it
// would be eight since 1970. The views have the same number.
const changeEpoch = 1_830_297_600_000_000

// sinceEpoch is the column received of route_change.
func sinceEpoch(t event.Time) int64 { return history.Micros(t) - changeEpoch }

// gauge stores a 64-bit number without loss; null stays null.
func gauge(v any) driver.Value {
	n, ok := v.(uint64)
	switch {
	case !ok:
		return nil
	case n > math.MaxInt64:
		return strconv.FormatUint(n, 10)
	}
	return int64(n)
}
