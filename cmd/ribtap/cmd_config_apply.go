package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// canaryFlags are the flags of commands that bring a candidate into force.
type canaryFlags struct {
	client         clientFlags
	window, change string
}

func (f *canaryFlags) add(cmd *cobra.Command) {
	f.client.add(cmd)
	cmd.Flags().StringVar(&f.window, "canary", "", "observe for this long, and go back by itself if something moves too much: 60s")
	cmd.Flags().StringVar(&f.change, "max-change", "", "by how much the accepted routes of a peer, or of all together, may move (default 30%)")
}

// query checks the flags and returns them as parameters.
func (f *canaryFlags) query(v url.Values) (url.Values, error) {
	if _, err := parseCanary(f.window, f.change); err != nil {
		return nil, err
	}
	if f.window != "" {
		v.Set("canary", f.window)
	}
	if f.change != "" {
		v.Set("max_change", f.change)
	}
	return v, nil
}

func (a *app) configApplyCommand() *cobra.Command {
	var f canaryFlags
	cmd := &cobra.Command{
		Use:   "apply FILE",
		Short: "bring a configuration into force in the running daemon, and keep it",
		Long: "Brings FILE (- for standard input) into force in the running daemon, as SIGHUP does with the daemon's own\n" +
			"file, and then writes it there, so that it holds after a restart too. With --canary it is observed first:\n" +
			"when a session that was established does not come back within the time, or the accepted routes of a peer\n" +
			"or of all together move more than --max-change, or a peer says nothing with a key that has changed, what\n" +
			"was in force is brought back. Exit code 0: kept, 1: reverted, 3: the configuration is wrong, and nothing\n" +
			"changed.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			query, err := f.query(url.Values{"name": {filepath.Base(args[0])}})
			if err != nil {
				return err
			}
			var text []byte
			if args[0] == "-" {
				query.Set("name", "stdin")
				text, err = io.ReadAll(a.stdin)
			} else {
				text, err = os.ReadFile(args[0])
			}
			if err != nil {
				return fmt.Errorf("config apply: %w", err)
			}
			return a.candidate(cmd.Context(), f.client, "/v1/config/apply", query, text)
		},
	}
	f.add(cmd)
	return cmd
}

func (a *app) configRollbackCommand() *cobra.Command {
	var f canaryFlags
	cmd := &cobra.Command{
		Use:   "rollback N",
		Short: "bring a configuration of `config history` back into force in the running daemon",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.Atoi(args[0])
			if err != nil || n < 1 {
				return usagef("%q is not the number of a configuration; ribtap config history lists them", args[0])
			}
			query, err := f.query(url.Values{})
			if err != nil {
				return err
			}
			return a.candidate(cmd.Context(), f.client, "/v1/config/rollback/"+strconv.Itoa(n), query, nil)
		},
	}
	f.add(cmd)
	return cmd
}

// candidate waits for what becomes of a configuration and says it in one line.
func (a *app) candidate(ctx context.Context, flags clientFlags, path string, query url.Values, text []byte) error {
	c, err := a.client(flags)
	if err != nil {
		return err
	}
	resp, err := c.do(ctx, http.MethodPost, path, query, bytes.NewReader(text), int64(len(text)))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	d := json.NewDecoder(resp.Body)
	for {
		var line applyLine
		if err := d.Decode(&line); err != nil {
			if ctx.Err() != nil {
				return errors.New("the daemon goes on observing; its log and ribtap config history say what became of it")
			}
			return fmt.Errorf("the daemon's answer broke off: %w; ribtap config history says what became of it", err)
		}
		if line.Result != nil {
			return a.concluded(line.Result)
		}
	}
}

func (a *app) concluded(r *applied) error {
	if a.output != "table" && a.output != "wide" {
		if err := encoder(a.stdout).Encode(r); err != nil {
			return err
		}
	}
	if !r.Kept {
		if r.Warning != "" {
			r.Why += "; " + r.Warning
		}
		return fmt.Errorf("config: reverted: %s", r.Why)
	}
	words := []string{fmt.Sprintf("ribtap: config: kept as %d", r.Number)}
	for _, part := range []struct {
		name string
		list []string
	}{{"changed", r.Changed}, {"peers", r.Peers}, {"needs a restart", r.Restart}} {
		if len(part.list) > 0 {
			words = append(words, part.name+": "+strings.Join(part.list, ", "))
		}
	}
	if r.Warning != "" {
		words = append(words, r.Warning)
	}
	_, err := fmt.Fprintln(a.stderr, strings.Join(words, "; "))
	return err
}

var configHistoryTable = []column{
	{"NUMBER", "number", narrow},
	{"AT", "at", narrow},
	{"BY", "by", narrow},
	{"KEPT", "kept", narrow},
	{"CHANGED", "changed", narrow},
	{"NEEDS RESTART", "needs_restart", wide},
	{"WHY", "why", narrow},
}

func (a *app) configHistoryCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "history",
		Short: "the configurations that were in force, and those that were reverted and why",
		Long: "Lists the configurations that were in force, the last one last. The numbered ones are kept, the last 20 of\n" +
			"them, in config/N.yaml below data_dir; those without a number were reverted.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			s, err := a.config()
			if err != nil {
				return err
			}
			entries, err := newSnapshots(s.DataDir).entries()
			if err != nil {
				return fmt.Errorf("config history: %w", err)
			}
			return writeAll(a, configHistoryTable, entries)
		},
	}
}
