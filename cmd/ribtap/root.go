package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes; scripts rely on them.
const (
	exitOK          = 0
	exitFailure     = 1 // also: diff found differences
	exitUsage       = 2
	exitConfig      = 3
	exitPartial     = 4 // bad records were skipped and counted
	exitUnreachable = 5 // the daemon does not answer
)

// exitError is an error that decides the exit code. With a nil err the command
// has said all there is to say.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usagef is a wrong argument or flag.
func usagef(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// app is what every command shares.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer

	configPath string
	flags      overrides // keys set by flags
	output     string    // -o
}

// run runs one command line and returns its exit code. Commands end when ctx
// does, and on SIGINT and SIGTERM.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, flags: overrides{}}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	return a.exitCode(err)
}

// exitCode prints err, one line for each problem, and returns its code.
func (a *app) exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	if ce, ok := errors.AsType[*configError](err); ok {
		for _, p := range ce.problems {
			fmt.Fprintf(a.stderr, "ribtap: config: %s\n", oneLine(p))
		}
		return exitConfig
	}
	code := exitFailure
	if ee, ok := errors.AsType[*exitError](err); ok {
		code = ee.code
		if ee.err == nil {
			return code
		}
	}
	fmt.Fprintf(a.stderr, "ribtap: %s\n", oneLine(err.Error()))
	return code
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// root builds the command tree. Every command is one line here and one file.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "ribtap",
		Short: "BGP monitoring collector: BMP, BGP and MRT in, durable history out",
		Long: "ribtap listens to routers over BMP (RFC 7854) and BGP (RFC 4271), reads MRT files, keeps every message\n" +
			"in one durable ordered stream, and writes it to an SQL history and an MRT archive.\n\n" +
			"Start it with `ribtap run`; without a router at hand, `ribtap demo`.",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return usagef("unknown command %q%s; ribtap help lists the commands", args[0], didYouMean(cmd, args[0]))
		},
	}
	root.PersistentFlags().StringVar(&a.configPath, "config", "", "config file (also RIBTAP_CONFIG; default ./ribtap.yaml, ~/.config/ribtap/, /etc/ribtap/)")
	root.PersistentFlags().Var(a.keyFlag("data-dir", "data_dir"), "data-dir", "directory of everything that ribtap keeps (default ./ribtap-data)")
	root.PersistentFlags().StringVarP(&a.output, "output", "o", "table", "table, wide, json, ndjson or csv")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w; see %s --help", err, cmd.CommandPath())
	})
	root.AddCommand(
		a.runCommand(), a.demoCommand(), a.importCommand(), a.replayCommand(),
		a.routesCommand(), a.historyCommand(), a.diffCommand(),
		a.peersCommand(), a.routersCommand(), a.statsCommand(), a.statusCommand(), a.tailCommand(),
		a.announceCommand(), a.withdrawCommand(), a.peerCommand(),
		a.gapsCommand(), a.anomaliesCommand(), a.importsCommand(),
		a.configCommand(), a.consumeCommand(), a.migrateCommand(), a.streamCommand(), a.snippetCommand(), a.doctorCommand(), a.versionCommand(), a.manCommand(),
	)
	root.InitDefaultCompletionCmd()
	a.usageErrors(root)
	return root
}

// usageErrors gives wrong arguments of every command the exit code of usage.
func (a *app) usageErrors(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usagef("%w; usage: %s", err, cmd.UseLine())
			}
			return a.checkOutput()
		}
	}
	for _, c := range cmd.Commands() {
		a.usageErrors(c)
	}
}

// group is a command that only has subcommands.
func group(use, short string, sub ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("%s needs a subcommand: see %s --help", cmd.CommandPath(), cmd.CommandPath())
			}
			return usagef("unknown subcommand %q of %s%s", args[0], cmd.CommandPath(), didYouMean(cmd, args[0]))
		},
	}
	cmd.AddCommand(sub...)
	return cmd
}

func didYouMean(cmd *cobra.Command, name string) string {
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	if n := nearest(name, names); n != "" && distance(name, n) <= 3 {
		return "; did you mean " + n + "?"
	}
	return ""
}

// keyFlag is a flag that sets a configuration key.
func (a *app) keyFlag(flag, key string) *keyFlag { return &keyFlag{a.flags, flag, key} }

type keyFlag struct {
	set       overrides
	flag, key string
}

func (f *keyFlag) Set(s string) error {
	if f.key == "bmp.listen" || f.key == "bgp.listen" || f.key == "bmp.allow" { // a list may be given by repeating the flag
		if old, ok := f.set[f.key]; ok {
			s = old.value + "," + s
		}
	}
	f.set[f.key] = override{f.flag, s}
	return nil
}

func (f *keyFlag) String() string { return "" }

// Type is the placeholder in the help text.
func (f *keyFlag) Type() string { return "string" }

// config loads the configuration and prints its warnings.
func (a *app) config() (*settings, error) {
	s, err := loadConfig(a.configPath, a.flags)
	if err != nil {
		return nil, err
	}
	for _, w := range s.warnings {
		fmt.Fprintf(a.stderr, "ribtap: warning: %s\n", w)
	}
	return s, nil
}
