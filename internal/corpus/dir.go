// Package corpus finds the folder of captures that the tests read when
// RIBTAP_CORPUS names one, and its tests read it whole, with ribtap and with
// decoders that other people wrote.
package corpus

import (
	"os"
	"path/filepath"
)

// Dir returns the folder that RIBTAP_CORPUS names, or "". Without one the tests
// run their tables and seeds alone.
func Dir() string { return os.Getenv("RIBTAP_CORPUS") }

// Data returns the folder of the public captures that tests know by name, DIR/data,
// or "" when the corpus has none.
func Data() string { return partWith("data", "README.md") }

// Hostile returns the folder of malformed messages with their expected
// outcomes, DIR/hostile or DIR itself, or "" when the corpus has none.
func Hostile() string {
	if dir := partWith("hostile", "manifest.json"); dir != "" {
		return dir
	}
	return partWith("", "manifest.json")
}

// partWith returns a folder of the corpus if it holds a file.
func partWith(part, file string) string {
	if Dir() == "" {
		return ""
	}
	dir := filepath.Join(Dir(), part)
	if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
		return ""
	}
	return dir
}
