package main

import (
	"fmt"
	"strings"
	"time"
)

// timeForms are the absolute forms a time may be given in; without an offset
// they mean UTC.
var timeForms = [...]string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"}

// parseTime reads a time of the command line: RFC 3339, a date, now, or a
// duration before now such as -1h, -30m or -7d.
func parseTime(s string, now time.Time) (time.Time, error) {
	if s == "now" {
		return now.UTC(), nil
	}
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		d, err := parseDuration(rest)
		if err != nil {
			return time.Time{}, err
		}
		return now.Add(-d).UTC(), nil
	}
	for _, form := range timeForms {
		if t, err := time.Parse(form, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time: write 2026-01-31T12:00:00Z, 2026-01-31, now, or -1h for an hour ago", s)
}
