package mrtdump

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Layouts of an archive.
const (
	LayoutRIS        = "ris"
	LayoutRouteViews = "routeviews"
)

// Compressions of finished files.
const (
	CompressionGzip = "gzip"
	CompressionZstd = "zstd"
	CompressionNone = "none"
)

// maxCollector leaves room for the longest view within the 80 octets that
// BGPStream has for a collector's name.
const maxCollector = 60

// Config says where the archive is and what it looks like.
type Config struct {
	Dir string
	// Collector is the archive's name: a directory, and BGPStream's collector.
	Collector string
	Layout    string // LayoutRIS or LayoutRouteViews
	// UpdatesInterval and RIBInterval are whole minutes that divide a day; files
	// begin at multiples of them in UTC.
	UpdatesInterval time.Duration
	RIBInterval     time.Duration
	Compression     string // CompressionGzip, CompressionZstd or CompressionNone
}

// DefaultConfig is RIPE RIS's habit; Dir is left to the caller.
func DefaultConfig() Config {
	return Config{
		Collector:       "rt1",
		Layout:          LayoutRIS,
		UpdatesInterval: 5 * time.Minute,
		RIBInterval:     8 * time.Hour,
		Compression:     CompressionGzip,
	}
}

// Validate names every setting that cannot work.
func (c *Config) Validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf("mrtdump: "+format, args...)) }
	if c.Dir == "" {
		fail("dir is empty")
	}
	if !validCollector(c.Collector) {
		fail("collector %q: use 1 to %d letters, digits, '.', '_' or '-', not beginning with '.'", c.Collector, maxCollector)
	}
	if c.Layout != LayoutRIS && c.Layout != LayoutRouteViews {
		fail("layout %q: use %s or %s", c.Layout, LayoutRIS, LayoutRouteViews)
	}
	for _, i := range []struct {
		name string
		d    time.Duration
	}{{"updates_interval", c.UpdatesInterval}, {"rib_interval", c.RIBInterval}} {
		if i.d < time.Minute || i.d%time.Minute != 0 || 24*time.Hour%i.d != 0 {
			fail("%s %v: use whole minutes that divide a day", i.name, i.d)
		}
	}
	switch c.Compression {
	case CompressionGzip, CompressionZstd, CompressionNone:
	case "bzip2":
		fail("compression bzip2 can be read but not written: use %s, %s or %s", CompressionGzip, CompressionZstd, CompressionNone)
	default:
		fail("compression %q: use %s, %s or %s", c.Compression, CompressionGzip, CompressionZstd, CompressionNone)
	}
	return errors.Join(errs...)
}

func validCollector(name string) bool {
	if name == "" || len(name) > maxCollector || name[0] == '.' {
		return false
	}
	return strings.IndexFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	}) < 0
}
