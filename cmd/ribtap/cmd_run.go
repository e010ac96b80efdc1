package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/ribtap/ribtap/stream"
)

func (a *app) runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "run the collector",
		Long: "Runs the collector. Without a configuration it listens on loopback only and keeps everything in\n" +
			"./ribtap-data. SIGHUP reads the configuration again, SIGTERM drains and ends with exit code 0.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.config()
			if err != nil {
				return err
			}
			return a.daemon(cmd.Context(), s, nil)
		},
	}
	a.daemonFlags(cmd)
	return cmd
}

// daemonFlags are the configuration keys that run and demo take as flags.
func (a *app) daemonFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Var(a.keyFlag("bmp-listen", "bmp.listen"), "bmp-listen", "address of the BMP station, HOST:PORT; may be repeated (default 127.0.0.1:11019)")
	f.Var(a.keyFlag("bmp-allow", "bmp.allow"), "bmp-allow", "prefix that routers may connect from; may be repeated (default loopback)")
	f.Var(a.keyFlag("bgp-listen", "bgp.listen"), "bgp-listen", "address of the BGP speaker, HOST:PORT; may be repeated; empty for none (default 127.0.0.1:1790)")
	f.Var(a.keyFlag("http-listen", "http.listen"), "http-listen", "address of API and metrics, HOST:PORT; empty for none (default 127.0.0.1:8080)")
	f.Var(a.keyFlag("http-token-file", "http.token_file"), "http-token-file", "file with the token that API requests must carry")
	f.Var(a.keyFlag("collector", "collector.name"), "collector", "name of this collector (default rt1)")
	f.Var(a.keyFlag("log-level", "log.level"), "log-level", "debug, info, warn or error (default info)")
	f.Var(a.keyFlag("log-format", "log.format"), "log-format", "text or json (default text)")
}

// quietLogger is for commands that end by themselves: what is worth an info
// line in a daemon is noise there, unless asked for.
func (a *app) quietLogger(s *settings) *slog.Logger {
	log, level := a.levelLogger(s)
	if s.origins["log.level"] == "default" {
		level.Set(slog.LevelWarn)
	}
	return log
}

// levelLogger writes to standard error at the level that it also returns, which
// a reload may change.
func (a *app) levelLogger(s *settings) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	s.setLevel(level)
	opt := &slog.HandlerOptions{Level: level}
	if s.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(a.stderr, opt)), level
	}
	return slog.New(slog.NewTextHandler(a.stderr, opt)), level
}

func (s *settings) setLevel(level *slog.LevelVar) {
	var l slog.Level
	if l.UnmarshalText([]byte(s.Log.Level)) == nil { // check has seen it
		level.Set(l)
	}
}

// daemon runs the collector until ctx ends. feed, if set, is called once the
// collector accepts sessions, in a goroutine of its own, with the address of
// the first BMP listener.
func (a *app) daemon(ctx context.Context, s *settings, feed func(ctx context.Context, bmp net.Addr) error) (err error) {
	if err := s.speaks(); err != nil {
		return err
	}
	log, level := a.levelLogger(s)
	// From here on a SIGHUP does not end the process; it is acted on once all runs.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	sockets, err := inherit()
	if err != nil {
		return err
	}
	var ln net.Listener
	if s.HTTP.Listen != "" {
		// Before anything else: a port that is taken ends here.
		if ln = sockets.take(s.HTTP.Listen); ln == nil {
			ln, err = net.Listen("tcp", s.HTTP.Listen)
		}
		if err != nil {
			return fmt.Errorf("http.listen %s: %w; another ribtap may be running, or choose another with --http-listen", s.HTTP.Listen, cause(err))
		}
		defer ln.Close()
	}
	mode := nodeDaemon
	mode.inherited = sockets.take
	n, err := openNode(ctx, s, log, mode)
	if errors.Is(err, stream.ErrLocked) {
		return fmt.Errorf("data_dir %s is in use by another ribtap; stop that one or choose another with --data-dir", s.DataDir)
	}
	if err != nil {
		return err
	}
	if n.bgp, err = openBGP(ctx, n); err != nil {
		return errors.Join(err, n.close())
	}
	live := newLiveConfig(a, n, level, log)
	srv := &server{
		node: n, live: live, tokens: s.tokens, log: log, start: time.Now(), ready: n.col.Ready(), stopping: ctx.Done(),
		imports: newImporter(n.col, s.DataDir), tails: newTails(n.reg), hub: newHub(n.stream), history: newHistoryServer(s), pulse: &pulse{}, validator: newValidator(s, log, n.reg),
	}
	defer func() { _ = srv.history.close() }() // it was only read
	if err := n.start(ctx); err != nil {
		n.bgp.close()
		return errors.Join(err, n.stop())
	}
	work, cancel := context.WithCancel(ctx)
	defer cancel()
	tasks := newTasks(cancel)
	tasks.run(func() error { return n.col.Run(work) })
	tasks.run(func() error { return n.failed(work) })
	if srv.validator != nil {
		tasks.run(func() error { return srv.validator.client.Run(work) })
	}
	if ln != nil {
		tasks.run(func() error { return serve(work, ln, srv.handler(), log) })
		tasks.run(func() error { srv.pulse.run(work, n.status); return nil })
	}
	select {
	case <-n.col.Ready():
		if n.bgp != nil {
			tasks.run(func() error { return n.bgp.Run(work) })
		}
		a.banner(n, n.col.Addrs(), ln)
		sockets.rest(log)
		tellSystemd(log, daemon.SdNotifyReady)
		tasks.run(func() error {
			return watchSystemd(work, log, func() string {
				st := n.status()
				return fmt.Sprintf("%d routers, %d peers up, %d routes, event %d", st.Routers, st.PeersUp, st.Routes, st.Stream.LastSequence)
			})
		})
		tasks.run(func() error { return watchHangup(work, hup, live) })
		if feed != nil && len(n.col.Addrs()) > 0 {
			tasks.run(func() error { return feed(work, n.col.Addrs()[0]) })
		}
		<-work.Done()
	case <-work.Done():
		n.bgp.close()
	}
	tellSystemd(log, daemon.SdNotifyStopping)
	err = tasks.wait()
	if ctx.Err() != nil && err == nil {
		log.Info("stopping: sinks catch up", "at_most", nodeDaemon.grace.String())
	}
	return errors.Join(err, n.stop())
}

// cause is the innermost reason of a network error, without the address that
// the caller names anyway.
func cause(err error) error {
	if oe, ok := errors.AsType[*net.OpError](err); ok {
		return oe.Err
	}
	return err
}

// banner says where the collector listens, what cannot be used yet and how a
// router finds it.
func (a *app) banner(n *node, bmp []net.Addr, http net.Listener) {
	var b strings.Builder
	s := n.s
	fmt.Fprintf(&b, "ribtap %s, collector %s\n", thisVersion().Version, s.Collector.Name)
	for _, addr := range bmp {
		fmt.Fprintf(&b, "  BMP   %s\n", addr)
	}
	n.bgp.banner(&b, s)
	if http != nil {
		fmt.Fprintf(&b, "  HTTP  http://%s/ for pages and API, /metrics\n", http.Addr())
	}
	for _, err := range n.troubles {
		fmt.Fprintf(&b, "  NOT USABLE YET, tried again: %s\n", oneLine(err.Error()))
	}
	fmt.Fprintf(&b, "  data  %s\n", s.DataDir)
	if len(bmp) > 0 {
		fmt.Fprintf(&b, "Point a router at it, for example FRRouting (ribtap snippet has %s):\n", strings.Join(vendorNames(), ", "))
		var snippet strings.Builder
		if err := writeSnippet(&snippet, "frr", bmp[0].String(), "64512"); err == nil {
			for line := range strings.Lines(snippet.String()) {
				if !strings.HasPrefix(line, "!") {
					b.WriteString("  " + line)
				}
			}
		}
	}
	fmt.Fprint(a.stderr, b.String())
}

// watchHangup reads the configuration again at each SIGHUP until ctx ends.
func watchHangup(ctx context.Context, hup <-chan os.Signal, live *liveConfig) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
			live.reload()
		}
	}
}
