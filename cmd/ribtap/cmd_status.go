package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) statusCommand() *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use: "status", Short: "the running collector's own truth: sequence, sinks and their lag, gaps", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client(flags)
			if err != nil {
				return err
			}
			resp, err := c.do(cmd.Context(), http.MethodGet, "/v1/status", nil, nil, 0)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			var st status
			if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&st); err != nil {
				return fmt.Errorf("the daemon's status cannot be read: %w", err)
			}
			return a.writeStatus(st)
		},
	}
	flags.add(cmd)
	return cmd
}

// writeStatus writes the one object that scripts expect, and for people the
// same in words.
func (a *app) writeStatus(st status) error {
	switch a.output {
	case "json", "ndjson":
		return encoder(a.stdout).Encode(st)
	case "csv":
		return writeAll(a, nil, []status{st})
	}
	up := time.Duration(st.UptimeSeconds) * time.Second
	_, err := fmt.Fprintf(a.stdout, "collector  %s, up %v\nrouters    %d, %d peers up, %d routes\nstream     events %d to %d, %s\ngaps       %d\n\n",
		printable(st.Collector), up, st.Routers, st.PeersUp, st.Routes, st.Stream.FirstSequence, st.Stream.LastSequence, humanBytes(st.Stream.Bytes), st.Gaps)
	if err == nil && st.Stream.Error != "" {
		_, err = fmt.Fprintf(a.stdout, "NOT WELL   %s\n\n", printable(st.Stream.Error))
	}
	if err != nil {
		return err
	}
	return writeAll(a, []column{
		{"SINK", "name", narrow},
		{"COMMITTED", "committed_sequence", narrow},
		{"LAG", "lag_events", narrow},
		{"SECONDS", "lag_seconds", narrow},
		{"HEALTHY", "healthy", narrow},
		{"LAST ERROR", "last_error", narrow},
	}, st.Sinks)
}

func (a *app) tailCommand() *cobra.Command {
	var flags clientFlags
	var from uint64
	var raw bool
	cmd := &cobra.Command{
		Use:   "tail [PREFIX or IP]",
		Short: "follow the running collector's event stream",
		Long: "Follows the event stream of the running collector. An event is one message of a router; it is shown\n" +
			"when one of its routes has what the filters ask for. -o ndjson (or json) prints every event whole.",
		Args: cobra.MaximumNArgs(1),
	}
	filters := filterFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if a.output == "csv" {
			return usagef("tail has no csv; use -o ndjson")
		}
		if len(args) == 1 {
			filters.Set("prefix", args[0])
		}
		if _, err := parseFilter(filters); err != nil {
			return err
		}
		if from != 0 {
			filters.Set("from", strconv.FormatUint(from, 10))
		}
		if raw {
			filters.Set("raw", "true")
		}
		c, err := a.client(flags)
		if err != nil {
			return err
		}
		resp, err := c.do(cmd.Context(), http.MethodGet, "/v1/tail", filters, nil, 0)
		if err != nil {
			return ended(cmd, err)
		}
		defer resp.Body.Close()
		return ended(cmd, a.printTail(resp.Body))
	}
	flags.add(cmd)
	cmd.Flags().Uint64Var(&from, "from", 0, "begin with this sequence instead of what comes next")
	cmd.Flags().BoolVar(&raw, "raw", false, "add the messages' bytes, base64")
	return cmd
}

// ended turns the end that the user asked for into success.
func ended(cmd *cobra.Command, err error) error {
	if cmd.Context().Err() != nil {
		return nil
	}
	return err
}

// tailLine is what the table form of tail shows of an event.
type tailLine struct {
	Error    string `json:"error"`
	Kind     string `json:"kind"`
	Sequence uint64 `json:"sequence"`
	At       string `json:"received_at"`
	Router   struct {
		Name string `json:"name"`
	} `json:"router"`
	Peer struct {
		Address string `json:"address"`
		ASN     uint32 `json:"asn"`
	} `json:"peer"`
	RIB    string   `json:"rib"`
	Cause  string   `json:"cause"`
	Reason string   `json:"reason_text"`
	Text   string   `json:"text"`
	EoR    string   `json:"end_of_rib"`
	Flags  []string `json:"flags"`
	Routes []struct {
		Action  string `json:"action"`
		Prefix  string `json:"prefix"`
		NextHop string `json:"next_hop"`
	} `json:"routes"`
	Attributes struct {
		ASPath string `json:"as_path"`
	} `json:"attributes"`
}

// printTail copies events to standard output as they come.
func (a *app) printTail(r io.Reader) error {
	d := json.NewDecoder(r)
	for {
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			if err == io.EOF {
				return fmt.Errorf("the daemon ended the stream")
			}
			return fmt.Errorf("the stream broke off: %w", err)
		}
		var line tailLine
		if err := json.Unmarshal(raw, &line); err != nil {
			return fmt.Errorf("the daemon's event cannot be read: %w", err)
		}
		if line.Error != "" {
			return fmt.Errorf("the daemon ended the stream: %s", line.Error)
		}
		text := string(raw) + "\n"
		if a.output == "table" || a.output == "wide" {
			text = line.text(a.output == "wide")
		}
		if _, err := io.WriteString(a.stdout, text); err != nil {
			return err
		}
	}
}

// text is the event in one line, or one line for each route.
func (l *tailLine) text(wide bool) string {
	head := l.At + "  " + l.Router.Name
	if l.Peer.Address != "" {
		head += fmt.Sprintf("  %s AS%d", l.Peer.Address, l.Peer.ASN)
	}
	if wide {
		head = strconv.FormatUint(l.Sequence, 10) + "  " + head
		if l.RIB != "" {
			head += "  " + l.RIB
		}
	}
	var b strings.Builder
	for _, r := range l.Routes {
		line := fmt.Sprintf("%s  %-8s  %s", head, r.Action, r.Prefix)
		if r.Action == "announce" {
			line += fmt.Sprintf("  via %s  path %s", r.NextHop, l.Attributes.ASPath)
		} else if l.Cause != "update" {
			line += "  (" + l.Cause + ")"
		}
		b.WriteString(printable(line) + "\n")
	}
	if len(l.Routes) == 0 {
		words := slices.DeleteFunc([]string{head, l.Kind, l.EoR, l.Reason, l.Text}, func(s string) bool { return s == "" })
		b.WriteString(printable(strings.Join(words, "  ")) + "\n")
	}
	return b.String()
}
