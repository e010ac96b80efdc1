package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/ribtap/ribtap/sinks/sqlite"
)

// Columns of the tables for people.
var (
	routesTable = []column{
		{"ROUTER", "router", narrow},
		{"PEER", "peer_address", narrow},
		{"ASN", "peer_asn", narrow},
		{"RIB", "rib", narrow},
		{"FAMILY", "family", wide},
		{"RD", "rd", wide},
		{"PREFIX", "prefix", narrow},
		{"ID", "path_id", wide},
		{"NEXT HOP", "next_hop", narrow},
		{"AS PATH", "as_path", narrow},
		{"ORIGIN", "origin", wide},
		{"MED", "med", wide},
		{"PREF", "local_pref", wide},
		{"COMMUNITIES", "communities", wide},
		{"LARGE", "large_communities", wide},
		{"EXTENDED", "ext_communities", wide},
		{"FLAGS", "flags", narrow},
		{"SINCE", "since", narrow},
	}
	historyTable = []column{
		{"RECEIVED", "received_at", narrow},
		{"OBSERVED", "observed_at", wide},
		{"ROUTER", "router", narrow},
		{"PEER", "peer_address", narrow},
		{"ASN", "peer_asn", narrow},
		{"RIB", "rib", narrow},
		{"FAMILY", "family", wide},
		{"RD", "rd", wide},
		{"PREFIX", "prefix", narrow},
		{"ID", "path_id", wide},
		{"ACTION", "action", narrow},
		{"CAUSE", "cause", narrow},
		{"NEXT HOP", "next_hop", narrow},
		{"AS PATH", "as_path", narrow},
		{"MED", "med", wide},
		{"PREF", "local_pref", wide},
		{"COMMUNITIES", "communities", wide},
		{"FLAGS", "flags", narrow},
		{"SEQUENCE", "sequence", wide},
	}
	peersTable = []column{
		{"ROUTER", "router", narrow},
		{"PEER", "peer_address", narrow},
		{"ASN", "peer_asn", narrow},
		{"BGP ID", "peer_bgp_id", wide},
		{"TYPE", "peer_type", wide},
		{"RD", "peer_distinguisher", wide},
		{"TABLE", "table_name", narrow},
		{"STATE", "state", narrow},
		{"SINCE", "since", narrow},
		{"RIBS", "ribs", narrow},
		{"LOCAL", "local_address", wide},
		{"LOCAL ASN", "local_asn", wide},
		{"HOLD", "hold_time", wide},
		{"REASON", "reason", narrow},
		{"RECEIVED CAPABILITIES", "received_capabilities", wide},
	}
	peerHistoryTable = []column{
		{"RECEIVED", "received_at", narrow},
		{"ROUTER", "router", narrow},
		{"PEER", "peer_address", narrow},
		{"ASN", "peer_asn", narrow},
		{"EVENT", "event", narrow},
		{"CAUSE", "cause", narrow},
		{"REASON", "reason", narrow},
		{"NOTIFICATION", "notification", narrow},
		{"EPOCH", "epoch", wide},
		{"SENT CAPABILITIES", "sent_capabilities", wide},
		{"RECEIVED CAPABILITIES", "received_capabilities", wide},
	}
	routersTable = []column{
		{"ROUTER", "router", narrow},
		{"ADDRESS", "router_address", narrow},
		{"STATE", "state", narrow},
		{"SINCE", "since", narrow},
		{"PEERS", "peers", narrow},
		{"UP", "peers_up", narrow},
		{"SYSNAME", "sys_name", wide},
		{"DESCRIPTION", "sys_descr", wide},
		{"REASON", "reason", narrow},
	}
	routerHistoryTable = []column{
		{"RECEIVED", "received_at", narrow},
		{"ROUTER", "router", narrow},
		{"ADDRESS", "router_address", narrow},
		{"EVENT", "event", narrow},
		{"CAUSE", "cause", narrow},
		{"REASON", "reason", narrow},
		{"SESSION", "session", wide},
		{"DESCRIPTION", "sys_descr", wide},
	}
	statsTable = []column{
		{"RECEIVED", "received_at", narrow},
		{"ROUTER", "router", narrow},
		{"PEER", "peer_address", narrow},
		{"ASN", "peer_asn", narrow},
		{"TYPE", "type", narrow},
		{"NAME", "name", narrow},
		{"FAMILY", "family", narrow},
		{"VALUE", "value", narrow},
	}
	gapsTable = []column{
		{"RECEIVED", "received_at", narrow},
		{"ROUTER", "router", narrow},
		{"CAUSE", "cause", narrow},
		{"LOST", "lost", narrow},
		{"START", "start_at", narrow},
		{"END", "end_at", narrow},
		{"DETAIL", "detail", narrow},
	}
	anomaliesTable = []column{
		{"RECEIVED", "received_at", narrow},
		{"ROUTER", "router", narrow},
		{"PEER", "peer_address", narrow},
		{"KIND", "kind", narrow},
		{"REASON", "reason", narrow},
		{"SEQUENCE", "sequence", wide},
	}
	importsTable = []column{{"RECEIVED", "received_at", narrow}, {"ROUTER", "router", narrow}, {"DETAIL", "detail", narrow}}
)

// window are the flags --from, --to, --newest and --limit.
type window struct {
	from, to string
	newest   bool
	limit    int
}

func (w *window) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&w.from, "from", "", "not before this time: RFC 3339, a date, or -1h for an hour ago")
	cmd.Flags().StringVar(&w.to, "to", "", "not after this time")
	cmd.Flags().BoolVar(&w.newest, "newest", false, "newest first")
	cmd.Flags().IntVar(&w.limit, "limit", 0, "at most so many rows; 0: all")
}

func (w *window) apply(q *sqlite.Query) error {
	var err error
	if q.From, err = timeFlag("from", w.from); err != nil {
		return err
	}
	if q.To, err = timeFlag("to", w.to); err != nil {
		return err
	}
	if !q.From.IsZero() && !q.To.IsZero() && q.To.Before(q.From) {
		return usagef("--to %s is before --from %s", w.to, w.from)
	}
	if w.limit < 0 {
		return usagef("--limit %d is negative", w.limit)
	}
	q.Newest, q.Limit = w.newest, w.limit
	return nil
}

// timeFlag reads a time flag; empty is the zero time.
func timeFlag(name, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := parseTime(s, time.Now())
	if err != nil {
		return t, usagef("--%s: %w", name, err)
	}
	return t, nil
}

// history opens the store that the configuration names.
func (a *app) history() (*sqlite.Reader, error) {
	s, err := a.config()
	if err != nil {
		return nil, err
	}
	path := s.historyPath()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no history at %s; has ribtap run, with sinks.sqlite enabled and this --data-dir?", path)
	}
	return sqlite.OpenReader(path)
}

// filtered is the question of a command line: the filters and its target.
func filtered(filters url.Values, args []string) (sqlite.Query, error) {
	if len(args) > 0 {
		filters.Set("prefix", args[0])
	}
	f, err := parseFilter(filters)
	if err != nil {
		return sqlite.Query{}, err
	}
	return f.query()
}

// list answers a question with one of the Reader's lists.
func list[T any](ctx context.Context, a *app, q sqlite.Query, columns []column, rows func(*sqlite.Reader, context.Context, sqlite.Query) iter.Seq2[T, error]) error {
	r, err := a.history()
	if err != nil {
		return err
	}
	defer r.Close()
	return writeRows(a, columns, rows(r, ctx, q))
}

func (a *app) routesCommand() *cobra.Command {
	var at string
	var limit int
	cmd := &cobra.Command{
		Use:   "routes [PREFIX or IP]",
		Short: "routes that are there now, or were at a time",
		Long:  "Shows routes that are there now, or --at a time. A prefix means itself, an address its longest match.",
		Args:  cobra.MaximumNArgs(1),
	}
	filters := filterFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q, err := filtered(filters, args)
		if err != nil {
			return err
		}
		if q.At, err = timeFlag("at", at); err != nil {
			return err
		}
		if q.Limit = limit; limit < 0 {
			return usagef("--limit %d is negative", limit)
		}
		return list(cmd.Context(), a, q, routesTable, (*sqlite.Reader).Routes)
	}
	cmd.Flags().StringVar(&at, "at", "", "the routes as they were at this time: RFC 3339, a date, or -1h for an hour ago")
	cmd.Flags().IntVar(&limit, "limit", 0, "at most so many rows; 0: all")
	return cmd
}

func (a *app) historyCommand() *cobra.Command {
	var w window
	cmd := &cobra.Command{
		Use:   "history [PREFIX or IP]",
		Short: "every change of a prefix",
		Args:  cobra.MaximumNArgs(1),
	}
	filters := filterFlags(cmd)
	w.add(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q, err := filtered(filters, args)
		if err != nil {
			return err
		}
		if err := w.apply(&q); err != nil {
			return err
		}
		return list(cmd.Context(), a, q, historyTable, (*sqlite.Reader).History)
	}
	return cmd
}

// sessionCommand is a list of peers or routers as they are now and, with
// --history, of their ups and downs.
func sessionCommand[N, H any](a *app, use, short string,
	nowTable []column, now func(*sqlite.Reader, context.Context, sqlite.Query) iter.Seq2[N, error],
	pastTable []column, past func(*sqlite.Reader, context.Context, sqlite.Query) iter.Seq2[H, error],
) *cobra.Command {
	var w window
	var history bool
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs}
	filters := url.Values{}
	for _, f := range filterNames {
		switch f.name {
		case "router", "peer", "asn", "rib":
			cmd.Flags().Var(valueFlag{filters, f.name, f.placeholder}, f.name, f.help)
		}
	}
	w.add(cmd)
	cmd.Flags().BoolVar(&history, "history", false, "all that was, between --from and --to, and not only the last")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		q, err := filtered(filters, nil)
		if err != nil {
			return err
		}
		if err := w.apply(&q); err != nil {
			return err
		}
		if history || w.from != "" || w.to != "" {
			return list(cmd.Context(), a, q, pastTable, past)
		}
		return list(cmd.Context(), a, q, nowTable, now)
	}
	return cmd
}

func (a *app) routersCommand() *cobra.Command {
	return sessionCommand(a, "routers", "routers and their state; with --history their ups and downs",
		routersTable, (*sqlite.Reader).Routers, routerHistoryTable, (*sqlite.Reader).RouterHistory)
}

func (a *app) statsCommand() *cobra.Command {
	return sessionCommand(a, "stats", "each peer's last statistics report; with --history every one",
		statsTable, (*sqlite.Reader).LastPeerStats, statsTable, (*sqlite.Reader).PeerStats)
}

func (a *app) gapsCommand() *cobra.Command {
	return sessionCommand(a, "gaps", "every known hole in what was heard or kept",
		gapsTable, (*sqlite.Reader).Gaps, gapsTable, (*sqlite.Reader).Gaps)
}

func (a *app) anomaliesCommand() *cobra.Command {
	return sessionCommand(a, "anomalies", "messages that were kept although something in them is wrong",
		anomaliesTable, (*sqlite.Reader).Anomalies, anomaliesTable, (*sqlite.Reader).Anomalies)
}

func (a *app) importsCommand() *cobra.Command {
	return sessionCommand(a, "imports", "files that were imported",
		importsTable, (*sqlite.Reader).Imports, importsTable, (*sqlite.Reader).Imports)
}
