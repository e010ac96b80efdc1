package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/ribtap/ribtap/fixtures"
)

func (a *app) demoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "run the collector with bundled recordings played in",
		Long: "Runs the collector as `ribtap run` does, with recordings of FRRouting, BIRD and GoBGP, and two routers made\n" +
			"up for the occasion, played in over loopback BMP, so that there is something to look at without a router.\n" +
			"Without --data-dir its data is gone at the end.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, ok := a.flags["data_dir"]; !ok {
				dir, err := os.MkdirTemp("", "ribtap-demo-")
				if err != nil {
					return fmt.Errorf("demo: %w", err)
				}
				defer func() { _ = os.RemoveAll(dir) }()
				a.flags["data_dir"] = override{"data-dir", dir}
			}
			s, err := a.config()
			if err != nil {
				return err
			}
			return a.daemon(cmd.Context(), s, a.playDemo(s))
		},
	}
	a.daemonFlags(cmd)
	return cmd
}

// playDemo plays the recordings and keeps their sessions open.
func (a *app) playDemo(s *settings) func(context.Context, net.Addr) error {
	return func(ctx context.Context, addr net.Addr) error {
		recordings, err := demoSessions()
		if err != nil {
			return fmt.Errorf("demo: %w", err)
		}
		done := newTasks(func() {})
		for _, rec := range recordings {
			done.run(func() error {
				conn, err := (&net.Dialer{}).DialContext(ctx, addr.Network(), addr.String())
				if err != nil {
					return fmt.Errorf("demo: %w", err)
				}
				_, err = replay(ctx, conn, bytes.NewReader(rec), replayOptions{Name: "demo", Descr: "ribtap demo", Hold: 1 << 62})
				if err != nil && ctx.Err() == nil {
					return fmt.Errorf("demo: the recording broke off: %w", err)
				}
				return nil
			})
		}
		flags := ""
		if s.DataDir != DefaultConfig().DataDir {
			flags = " --data-dir " + s.DataDir
		}
		fmt.Fprintf(a.stderr, "Playing recordings of %[2]d routers. Try in another terminal:\n"+
			"  ribtap peers%[1]s\n  ribtap routes 203.0.113.0/24%[1]s\n  ribtap history 203.0.113.0/24%[1]s\n  ribtap status\n", flags, len(recordings))
		return done.wait()
	}
}

// demoSessions are the sessions that the demo plays: real routers, and two that
// are made up, because real ones have no quarter of an hour behind them.
func demoSessions() ([][]byte, error) {
	sessions := demoRecordings(time.Now())
	for _, name := range []string{"frr-10.3", "bird-3.1", "gobgp-3.36"} {
		rec, err := fixtures.Recording(name)
		if err != nil {
			return nil, err
		}
		sessions = append(sessions, rec)
	}
	return sessions, nil
}
