package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
)

// routeFlags are the flags of announce and withdraw.
type routeFlags struct {
	client clientFlags
	to     routeOrder
	route  AnnounceConfig
	beacon string
	med    uint32
	pref   uint32
	list   bool
}

const lasting = "What is announced so lasts until the daemon ends; bgp.announce and bgp.peers[].announce of the\n" +
	"configuration are for what is to last, and SIGHUP brings those into force without a reset."

func (a *app) announceCommand() *cobra.Command {
	var f routeFlags
	cmd := &cobra.Command{
		Use:   "announce PREFIX… | flow MATCH…",
		Short: "announce routes to BGP peers of the running daemon",
		Long: "Announces prefixes, or a flow specification (RFC 8955), to one peer or to all.\n" + lasting + "\n\n" +
			"  ribtap announce 192.0.2.0/24 --peer frr1 --next-hop 198.51.100.1 --community 65000:1\n" +
			"  ribtap announce flow destination 192.0.2.0/24 destination-port ==53 --action discard --all\n" +
			"  ribtap announce --list",
	}
	f.add(cmd)
	fl, r := cmd.Flags(), &f.route
	fl.StringVar(&r.NextHop, "next-hop", "", "next hop (default our address of the session)")
	fl.StringVar(&r.LinkLocal, "link-local", "", "link-local next hop beside an IPv6 one")
	fl.StringVar(&r.Origin, "origin", "", "igp, egp or incomplete (default igp)")
	fl.StringSliceVar(&r.ASPath, "as-path", nil, "AS numbers behind our own: \"65001 65002\"")
	fl.Uint32Var(&f.med, "med", 0, "multi-exit discriminator (default none)")
	fl.Uint32Var(&f.pref, "local-pref", 0, "local preference, sent on internal sessions (default 100)")
	fl.StringSliceVar(&r.Communities, "community", nil, "community; may be repeated")
	fl.StringSliceVar(&r.LargeCommunities, "large-community", nil, "large community; may be repeated")
	fl.StringSliceVar(&r.ExtCommunities, "ext-community", nil, "extended community, such as rt:65000:1; may be repeated")
	fl.StringArrayVar(&r.Actions, "action", nil, "of a flow: discard, \"traffic-rate 24000\", \"redirect 65000:1\", \"mark 46\"; may be repeated")
	fl.StringVar(&f.beacon, "beacon", "", "come and go by the clock (UTC): UP/DOWN or UP/DOWN/OFFSET, such as 2h/2h")
	fl.BoolVar(&f.list, "list", false, "only list what is announced")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.list {
			return a.listAnnounced(cmd, f.client)
		}
		if fl.Changed("med") {
			r.MED = &f.med
		}
		if fl.Changed("local-pref") {
			r.LocalPref = &f.pref
		}
		if err := f.parseBeacon(); err != nil {
			return err
		}
		return a.orderRoutes(cmd, args, "announce", "announced", &f)
	}
	return cmd
}

func (a *app) withdrawCommand() *cobra.Command {
	var f routeFlags
	cmd := &cobra.Command{
		Use:   "withdraw PREFIX… | flow MATCH…",
		Short: "withdraw what was announced with ribtap announce",
		Long:  "Takes back what was announced with `ribtap announce`, to the same: --peer NAME or --all.",
	}
	f.add(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.orderRoutes(cmd, args, "withdraw", "withdrawn", &f)
	}
	return cmd
}

func (f *routeFlags) add(cmd *cobra.Command) {
	f.client.add(cmd)
	cmd.Args = cobra.ArbitraryArgs
	cmd.Flags().StringVar(&f.to.Peer, "peer", "", "peer, by name")
	cmd.Flags().BoolVar(&f.to.All, "all", false, "every peer")
	cmd.Flags().StringVar(&f.route.Family, "family", "", "of a flow without addresses: ipv4-flowspec or ipv6-flowspec")
}

// parseBeacon reads UP/DOWN or UP/DOWN/OFFSET.
func (f *routeFlags) parseBeacon() error {
	if f.beacon == "" {
		return nil
	}
	parts := strings.Split(f.beacon, "/")
	b := &f.route.Beacon
	to := []*Duration{&b.Up, &b.Down, &b.Offset}
	if len(parts) < 2 || len(parts) > len(to) {
		return usagef("--beacon %q is not UP/DOWN or UP/DOWN/OFFSET, such as 2h/2h", f.beacon)
	}
	for i, p := range parts {
		if err := to[i].UnmarshalText([]byte(p)); err != nil {
			return usagef("--beacon: %w", err)
		}
	}
	return nil
}

// orderRoutes sends an order to the daemon and says to whom it went.
func (a *app) orderRoutes(cmd *cobra.Command, args []string, path, done string, f *routeFlags) error {
	if len(args) == 0 {
		return usagef("%s needs a prefix, or flow and what it matches", cmd.CommandPath())
	}
	if (f.to.Peer == "") != f.to.All {
		return usagef("say to whom: --peer NAME or --all")
	}
	targets := args
	if args[0] == "flow" {
		f.route.Flow = strings.Join(args[1:], " ")
		targets = []string{f.route.Flow}
		f.to.Routes = []AnnounceConfig{f.route}
	} else {
		for _, prefix := range args {
			r := f.route
			r.Prefix = prefix
			f.to.Routes = append(f.to.Routes, r)
		}
	}
	var out ordered
	if err := a.post(cmd.Context(), f.client, "/v1/"+path, f.to, &out); err != nil {
		return err
	}
	to := strings.Join(out.Peers, ", ")
	if to == "" {
		to = "nobody: the peer has not got the family, its lists reject it, or an IPv6 route towards an IPv4 address lacks --next-hop"
	}
	_, err := fmt.Fprintf(a.stderr, "ribtap: %s %s: %s\n", done, strings.Join(targets, " "), to)
	return err
}

var announcedTable = []column{
	{"PEER", "peer", narrow},
	{"BY", "by", narrow},
	{"FAMILY", "family", wide},
	{"ROUTE", "route", narrow},
	{"NEXT HOP", "next_hop", narrow},
	{"AS PATH", "as_path", narrow},
	{"MED", "med", narrow},
	{"PREF", "local_pref", narrow},
	{"BEACON", "beacon", wide},
}

func (a *app) listAnnounced(cmd *cobra.Command, flags clientFlags) error {
	c, err := a.client(flags)
	if err != nil {
		return err
	}
	resp, err := c.do(cmd.Context(), http.MethodGet, "/v1/announcements", nil, nil, 0)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var rows []announcedRoute
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<30)).Decode(&rows); err != nil {
		return fmt.Errorf("the daemon's answer cannot be read: %w", err)
	}
	return writeAll(a, announcedTable, rows)
}
