package sqlite

import (
	"database/sql/driver"
	"math"
	"strconv"
)

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
