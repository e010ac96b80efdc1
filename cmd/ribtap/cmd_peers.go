package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/sinks/sqlite"
)

// peerRow is a peer as the history has it and, for a neighbour of our own
// speaker, as the daemon has it now.
type peerRow struct {
	sqlite.Peer
	livePeer
}

// livePeersTable are the columns that are there when a speaker runs.
var livePeersTable = []column{
	{"NAME", "name", narrow},
	{"BGP", "bgp_state", narrow},
	{"UPTIME", "uptime_seconds", wide},
	{"RANGE", "range", wide},
	{"ENABLED", "enabled", wide},
	{"PASSIVE", "passive", wide},
	{"LOCAL ID", "local_bgp_id", wide},
	{"LOCAL ADDRESS", "local_endpoint", wide},
	{"REMOTE ADDRESS", "remote_endpoint", wide},
	{"KEEPALIVE", "keepalive_seconds", wide},
	{"HOLD LEFT", "hold_left_seconds", wide},
	{"LAST RECEIVED", "last_received", wide},
	{"LAST SENT", "last_sent", wide},
	{"RECEIVED", "messages_received", wide},
	{"SENT", "messages_sent", wide},
	{"ATTEMPTS", "connection_attempts", wide},
	{"CONNECTIONS", "connections", wide},
	{"SESSIONS", "established_sessions", wide},
	{"FAMILIES", "families", wide},
	{"ROUTES", "routes", narrow},
	{"STALE", "stale_routes", wide},
	{"ADVERTISED", "advertised_routes", narrow},
	{"ANNOUNCED", "announced_routes", wide},
	{"WITHDRAWN", "withdrawn_routes", wide},
	{"NOT SENT", "not_sent", wide},
	{"CALCULATION MS", "update_calculation_ms", wide},
	{"DRAIN", "drain", wide},
	{"SENT CAPABILITIES", "sent_capabilities", wide},
	{"LAST ERROR", "last_error", narrow},
	{"LAST ERROR AT", "last_error_at", wide},
}

func (a *app) peersCommand() *cobra.Command {
	cmd := sessionCommand(a, "peers", "peers and their state; with --history their ups and downs",
		peersTable, (*sqlite.Reader).Peers, peerHistoryTable, (*sqlite.Reader).PeerHistory)
	cmd.Long = "Shows peers of routers, from the history, and the BGP sessions of the running daemon's own speaker beside\n" +
		"them. With --history, --from or --to the ups and downs."
	var flags clientFlags
	flags.add(cmd)
	past := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if slices.ContainsFunc([]string{"history", "from", "to", "limit", "newest"}, cmd.Flags().Changed) {
			return past(cmd, args)
		}
		filters := cmd.Flags().Lookup("peer").Value.(valueFlag).values
		return a.peersNow(cmd.Context(), flags, filters)
	}
	return cmd
}

// peersNow joins what the history knows with what the daemon says.
func (a *app) peersNow(ctx context.Context, flags clientFlags, filters url.Values) error {
	f, err := parseFilter(filters)
	if err != nil {
		return err
	}
	q, err := f.query()
	if err != nil {
		return err
	}
	live := a.askPeers(ctx, flags)
	var rows []peerRow
	switch r, err := a.history(); {
	case err == nil:
		defer r.Close()
		for p, err := range r.Peers(ctx, q) {
			if err != nil {
				return err
			}
			rows = append(rows, peerRow{Peer: p})
		}
	case live == nil:
		return err
	}
	table := peersTable
	if live != nil && len(live.Peers) > 0 {
		rows = live.join(rows, &f)
		table = append(append([]column(nil), peersTable...), livePeersTable...)
	}
	return writeAll(a, table, rows)
}

// askPeers asks the daemon of this data directory, or the one that is named by
// --url. It returns nil when there is none: the history answers alone.
func (a *app) askPeers(ctx context.Context, flags clientFlags) *livePeers {
	named := flags.url != "" || os.Getenv("RIBTAP_URL") != ""
	c, err := a.client(flags)
	if err == nil {
		var resp *http.Response
		if resp, err = c.do(ctx, http.MethodGet, "/v1/peers", nil, nil, 0); err == nil {
			defer resp.Body.Close()
			var live livePeers
			if err = json.NewDecoder(io.LimitReader(resp.Body, 1<<30)).Decode(&live); err == nil {
				if named || a.sameDataDir(live.DataDir) {
					return &live
				}
				return nil
			}
		}
	}
	if ee, ok := errors.AsType[*exitError](err); named || !ok || ee.code != exitUnreachable {
		fmt.Fprintf(a.stderr, "ribtap: warning: without the daemon's own sessions: %s\n", oneLine(err.Error()))
	}
	return nil
}

func (a *app) sameDataDir(dir string) bool {
	s, err := loadConfig(a.configPath, a.flags)
	if err != nil {
		return false
	}
	own, err := filepath.Abs(s.DataDir)
	return err == nil && own == dir
}

// join adds what the daemon says to the rows of its neighbours, and rows for those
// that the history does not know.
func (l *livePeers) join(rows []peerRow, f *filter) []peerRow {
	at := map[string]int{}
	for i := range rows {
		if r := &rows[i]; r.Router == l.Collector && r.RouterAddress != nil && *r.RouterAddress == l.RouterID && r.PeerAddress != nil {
			at[*r.PeerAddress] = i
		}
	}
	for i := range l.Peers {
		p := &l.Peers[i]
		addr := ""
		if p.PeerAddress != nil {
			if a, err := netip.ParseAddr(*p.PeerAddress); err == nil {
				addr = a.WithZone("").String()
			}
		}
		n, known := at[addr]
		if !known {
			if !l.wanted(p, f) {
				continue
			}
			n = len(rows)
			rows = append(rows, peerRow{Peer: sqlite.Peer{Collector: l.Collector, Router: l.Collector, RouterAddress: &l.RouterID, PeerAddress: nonZero(addr)}})
		}
		rows[n].now(p)
	}
	return rows
}

// now puts what the daemon says into a row; it is newer than the history.
func (r *peerRow) now(p *livePeerRow) {
	r.livePeer = p.livePeer
	if p.PeerAddress == nil {
		return // a range, which has no session of its own
	}
	r.State = "down"
	if p.UptimeSeconds == nil {
		return
	}
	r.State = "up"
	r.PeerASN, r.PeerBGPID, r.HoldTime = p.PeerASN, p.PeerBGPID, p.HoldTime
	r.LocalASN, r.LocalAddress = p.LocalASN, p.LocalAddress
	r.SentCapabilities, r.ReceivedCapabilities = p.SentCapabilities, p.ReceivedCapabilities
}

// wanted applies the filters of the command to a neighbour that the history does
// not know.
func (l *livePeers) wanted(p *livePeerRow, f *filter) bool {
	if f.Router != "" && f.Router != l.Collector && f.Router != l.RouterID || f.RIB != 0 && f.RIB != event.AdjRIBInPre {
		return false
	}
	if f.ASN != 0 && (p.PeerASN == nil || *p.PeerASN != f.ASN) {
		return false
	}
	return !f.Peer.IsValid() || p.PeerAddress != nil && *p.PeerAddress == f.Peer.String()
}
