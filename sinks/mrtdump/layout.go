package mrtdump

import (
	"path/filepath"
	"time"

	"github.com/ribtap/ribtap/event"
)

// layoutRow is how a layout names things below a tree.
type layoutRow struct {
	updates, ribs string // time.Format layouts of paths without ending
	latest        string // link to the newest table dump, or empty
}

var layouts = map[string]layoutRow{
	LayoutRIS: {
		updates: "2006.01/updates.20060102.1504",
		ribs:    "2006.01/bview.20060102.1504",
		latest:  "latest-bview",
	},
	LayoutRouteViews: {
		updates: "bgpdata/2006.01/UPDATES/updates.20060102.1504",
		ribs:    "bgpdata/2006.01/RIBS/rib.20060102.1504",
	},
}

// endings of finished files, by compression.
var endings = map[string]string{CompressionGzip: ".gz", CompressionZstd: ".zst", CompressionNone: ""}

// indexName is the file of a tree that BGPStream reads.
const indexName = "csvfile.csv"

// collector is the name of a view's tree.
func (c *Config) collector(view event.RIB) string {
	if view == event.AdjRIBInPre {
		return c.Collector
	}
	return c.Collector + "." + view.String()
}

// base is a file's path below Dir without its ending.
func (c *Config) base(view event.RIB, format string, start int64) string {
	return filepath.Join(c.collector(view), filepath.FromSlash(time.Unix(start, 0).UTC().Format(format)))
}

// updatesBase is base of the interval's updates file.
func (c *Config) updatesBase(view event.RIB, start int64) string {
	return c.base(view, layouts[c.Layout].updates, start)
}

func (c *Config) ribsBase(view event.RIB, start int64) string {
	return c.base(view, layouts[c.Layout].ribs, start)
}

// floor is the start of the interval that a time is in, in seconds.
func floor(sec int64, span time.Duration) int64 {
	n := int64(span / time.Second)
	r := sec % n
	if r < 0 {
		r += n
	}
	return sec - r
}

// compressionOf tells a finished file's compression by its ending, which may be
// of an earlier configuration.
func compressionOf(final string) string {
	for compression, ending := range endings {
		if ending != "" && filepath.Ext(final) == ending {
			return compression
		}
	}
	return CompressionNone
}
