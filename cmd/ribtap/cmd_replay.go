package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) replayCommand() *cobra.Command {
	var opt replayOptions
	var to string
	cmd := &cobra.Command{
		Use:   "replay FILE --to ADDR",
		Short: "play a BMP recording or an MRT file to a BMP station, as a router would",
		Long: "Plays a BMP recording (the octets of a router's session) or an MRT file, compressed or not, to a\n" +
			"BMP station. FILE may be - for standard input. Without --speed it goes as fast as the station reads.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if to == "" {
				return usagef("replay needs --to HOST:PORT, the station's address")
			}
			if _, _, err := net.SplitHostPort(to); err != nil {
				return usagef("--to %q is not HOST:PORT", to)
			}
			if opt.Speed < 0 {
				return usagef("--speed %v is negative", opt.Speed)
			}
			return a.replayFile(cmd.Context(), args[0], to, opt)
		},
	}
	f := cmd.Flags()
	f.StringVar(&to, "to", "", "the station, HOST:PORT")
	f.Float64Var(&opt.Speed, "speed", 0, "seconds of the recording that pass in one second; 0: as fast as the station reads")
	f.StringVar(&opt.Name, "name", "", "sysName where the recording does not say (default the file's name)")
	f.BoolVar(&opt.Down, "down", false, "end with a Peer Down for every peer and a Termination, not with a mere close")
	f.DurationVar(&opt.Hold, "hold", 0, "keep the session open for so long at the end")
	return cmd
}

func (a *app) replayFile(ctx context.Context, path, to string, opt replayOptions) error {
	r, name := a.stdin, "stdin"
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("replay %s: %w", path, errors.Unwrap(err))
		}
		defer func() { _ = f.Close() }()
		r, name = f, filepath.Base(path)
	}
	if opt.Name == "" {
		opt.Name, _, _ = strings.Cut(name, ".")
	}
	opt.Descr = "ribtap replay of " + name
	d := net.Dialer{Timeout: 10 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", to)
	if err != nil {
		return fmt.Errorf("replay: no BMP station at %s: %w; is one running there?", to, cause(err))
	}
	start := time.Now()
	rep, err := replay(ctx, conn, r, opt)
	fmt.Fprintf(a.stderr, "ribtap: replayed %s to %s in %v: %v\n", name, to, time.Since(start).Round(time.Millisecond), rep)
	if err != nil {
		return fmt.Errorf("replay of %s ended early: %w", name, err)
	}
	if rep.Damaged > 0 {
		return &exitError{exitPartial, nil}
	}
	return nil
}
