package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/stream"
)

// streamSegment is a row of `stream verify`.
type streamSegment struct {
	Name       string `json:"name"`
	First      uint64 `json:"first_sequence"`
	Last       uint64 `json:"last_sequence"`
	Events     uint64 `json:"events"`
	Blocks     uint64 `json:"blocks"`
	Bytes      int64  `json:"bytes"`
	Damaged    int64  `json:"damaged_bytes"`
	LostEvents uint64 `json:"lost_events"`
	Torn       int64  `json:"torn_bytes"`
}

var streamTable = []column{
	{"SEGMENT", "name", narrow},
	{"FIRST", "first_sequence", narrow},
	{"LAST", "last_sequence", narrow},
	{"EVENTS", "events", narrow},
	{"BLOCKS", "blocks", wide},
	{"BYTES", "bytes", narrow},
	{"DAMAGED", "damaged_bytes", narrow},
	{"LOST", "lost_events", narrow},
	{"TORN", "torn_bytes", narrow},
}

func (a *app) streamCommand() *cobra.Command {
	verify := &cobra.Command{
		Use: "verify", Short: "read every octet of the event stream and say what is there", Args: cobra.NoArgs,
		Long: "Reads every octet of the event stream and checks it. It changes nothing and may run beside the daemon.\n" +
			"Damage gives exit code 1; a torn end, as a write that is under way leaves it, does not.",
		RunE: func(*cobra.Command, []string) error {
			dir, err := a.streamDir()
			if err != nil {
				return err
			}
			rep, err := stream.Verify(dir)
			if err != nil {
				return err
			}
			rows := make([]streamSegment, len(rep.Segments))
			for i, s := range rep.Segments {
				rows[i] = streamSegment{Name: s.Name, First: s.First, Last: s.Last, Events: s.Events, Blocks: s.Blocks, Bytes: s.Bytes, Torn: s.Torn}
				for _, d := range s.Damage {
					rows[i].Damaged += d.Length
					rows[i].LostEvents += d.Lost
				}
			}
			if err := writeAll(a, streamTable, rows); err != nil {
				return err
			}
			if rep.Damaged() {
				return fmt.Errorf("the stream in %s is damaged: %d of its events are lost; readers step over them and tell of a gap", dir, rep.Lost)
			}
			return nil
		},
	}
	var from uint64
	var raw bool
	inspect := &cobra.Command{
		Use: "inspect [PREFIX or IP]", Short: "print the events that are in the stream, as JSON lines", Args: cobra.MaximumNArgs(1),
		Long: "Prints the events that the stream holds, oldest first, one JSON object a line (docs/events.md). It\n" +
			"changes nothing and may run beside the daemon.",
	}
	filters := filterFlags(inspect)
	inspect.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			filters.Set("prefix", args[0])
		}
		f, err := parseFilter(filters)
		if err != nil {
			return err
		}
		dir, err := a.streamDir()
		if err != nil {
			return err
		}
		m, enc := &matcher{filter: f}, &event.Encoder{Raw: raw}
		w := bufio.NewWriterSize(a.stdout, 64<<10)
		var line []byte
		err = stream.Inspect(dir, from, func(e *event.Event) error {
			if err := cmd.Context().Err(); err != nil {
				return err
			}
			if !m.event(e) {
				return nil
			}
			line = append(enc.Append(line[:0], e), '\n')
			_, err := w.Write(line)
			return err
		})
		return errors.Join(err, w.Flush())
	}
	inspect.Flags().Uint64Var(&from, "from", 0, "begin with this sequence (default the oldest)")
	inspect.Flags().BoolVar(&raw, "raw", false, "add the messages' bytes, base64")
	return group("stream", "look at the durable event stream", verify, inspect)
}

// streamDir is where the stream is; it is an error when there is none.
func (a *app) streamDir() (string, error) {
	s, err := a.config()
	if err != nil {
		return "", err
	}
	dir := s.streamDir()
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("there is no event stream in %s; has ribtap run with this --data-dir?", dir)
	}
	return dir, nil
}
