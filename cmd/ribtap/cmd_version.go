package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the Makefile; a plain `go build` or `go install` leaves it
// empty and the module's version stands in.
var version string

// buildVersion is `ribtap version`.
type buildVersion struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func thisVersion() buildVersion {
	v := buildVersion{Version: version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		if v.Version == "" {
			v.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v.Commit = s.Value
			}
		}
	}
	return v
}

var versionTable = []column{{"VERSION", "version", narrow}, {"COMMIT", "commit", narrow}, {"GO", "go", narrow}, {"OS", "os", narrow}, {"ARCH", "arch", narrow}}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "print the version of this binary", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return writeAll(a, versionTable, []buildVersion{thisVersion()})
		},
	}
}
