package sqlite

import (
	"errors"
	"fmt"

	"github.com/ribtap/ribtap/history"
)

// Values of Config.Rows.
const (
	RowsChanges = history.RowsChanges // NLRI that changed something
	RowsAll     = history.RowsAll     // every NLRI received
)

// Config says where the history is and what goes into it.
type Config struct {
	// Path is the file; its folder exists.
	Path string
	// Collector is the collector's name in the views.
	Collector string
	// Rows is RowsChanges or RowsAll.
	Rows string
	// PageCache is how much of the file SQLite keeps in memory, in octets.
	PageCache int
	// KnownNLRI and KnownAttrs bound how many NLRI and attribute sets are known
	// to be stored without looking, at about 32 octets each; those used least
	// lately are looked up again.
	KnownNLRI, KnownAttrs int
	// Anomalies bounds the rows of the view of that name; the oldest go.
	Anomalies int
}

// DefaultConfig returns the configuration for a full table or a few; Path and
// Collector are left to fill in.
func DefaultConfig() Config {
	return Config{
		Rows:       RowsChanges,
		PageCache:  64 << 20,
		KnownNLRI:  3 << 20,
		KnownAttrs: 1 << 20,
		Anomalies:  100_000,
	}
}

// Validate reports the first value that cannot work.
func (c *Config) Validate() error {
	switch {
	case c.Path == "":
		return errors.New("sqlite: no path")
	case c.Collector == "":
		return errors.New("sqlite: no collector name")
	case c.Rows != RowsChanges && c.Rows != RowsAll:
		return fmt.Errorf("sqlite: rows is %q, not %s or %s", c.Rows, RowsChanges, RowsAll)
	case c.PageCache < 1<<20:
		return fmt.Errorf("sqlite: page cache of %d octets is below 1 MiB", c.PageCache)
	case c.KnownNLRI < 0 || c.KnownAttrs < 0:
		return errors.New("sqlite: negative number of known NLRI or attribute sets")
	case c.Anomalies < 1:
		return errors.New("sqlite: no room for anomalies")
	}
	return nil
}
