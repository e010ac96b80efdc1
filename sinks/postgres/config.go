package postgres

import (
	"errors"
	"fmt"
	"time"

	"github.com/ribtap/ribtap/history"
)

// Config says where the history is and what goes into it.
type Config struct {
	// DSN names the database, as a URL or as key=value words; what it leaves out
	// comes from libpq's environment variables and password file.
	DSN string
	// Collector is the collector's name in the views; it is unique in the
	// database.
	Collector string
	// Rows is history.RowsChanges or history.RowsAll.
	Rows string
	// Retention is how long changes and statistics are kept, in whole days; 0 is
	// for ever. It is the whole database's: give all collectors the same.
	Retention time.Duration
	// Timeout bounds one attempt to write a batch, connecting included, so that a
	// server which does not answer is noticed.
	Timeout time.Duration
	// KnownAttrs bounds how many attribute sets are known to be stored without
	// sending them, at about 32 octets each.
	KnownAttrs int
	// Anomalies bounds the collector's rows of the view of that name; the oldest
	// go.
	Anomalies int
}

const day = 24 * time.Hour

// DefaultConfig returns the configuration for a full table or many; DSN and
// Collector are left to fill in.
func DefaultConfig() Config {
	return Config{Rows: history.RowsChanges, Timeout: 30 * time.Second, KnownAttrs: 1 << 20, Anomalies: 100_000}
}

// Validate reports the first value that cannot work.
func (c *Config) Validate() error {
	switch {
	case c.DSN == "":
		return errors.New("postgres: no DSN")
	case c.Collector == "":
		return errors.New("postgres: no collector name")
	case c.Rows != history.RowsChanges && c.Rows != history.RowsAll:
		return fmt.Errorf("postgres: rows is %q, not %s or %s", c.Rows, history.RowsChanges, history.RowsAll)
	case c.Retention != 0 && c.Retention < day:
		return fmt.Errorf("postgres: retention of %v is below a day", c.Retention)
	case c.Timeout < time.Second:
		return fmt.Errorf("postgres: timeout of %v is below a second", c.Timeout)
	case c.KnownAttrs < 0:
		return errors.New("postgres: negative number of known attribute sets")
	case c.Anomalies < 1:
		return errors.New("postgres: no room for anomalies")
	}
	_, err := parseDSN(c.DSN)
	return err
}
