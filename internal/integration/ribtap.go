//go:build integration

package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// binary is the ribtap under test; build makes it.
var binary string

func mkdir(path string) error { return os.Mkdir(path, 0o755) }

// build builds the ribtap under test and returns what removes it again.
func build() (remove func(), err error) {
	dir, err := os.MkdirTemp("/tmp", "ribtap-bin-")
	if err != nil {
		return nil, err
	}
	remove = func() { _ = os.RemoveAll(dir) }
	binary = filepath.Join(dir, "ribtap")
	cmd := exec.Command("go", "build", "-o", binary, "github.com/ribtap/ribtap/cmd/ribtap")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		remove()
		return nil, fmt.Errorf("building ribtap: %w\n%s", err, out)
	}
	return remove, nil
}

// Ribtap is the collector, run as a user would run it.
type Ribtap struct {
	l       *Lab
	name    string
	host    string
	bmpPort int
	http    string
	quiet   string // bmp.sweep_quiet
	proc    *Proc
}

// StartRibtap starts a collector with short waits; more is appended to its
// configuration's section bmp.
func (l *Lab) StartRibtap(more string) *Ribtap {
	l.t.Helper()
	r := l.NewRibtap("ribtap", more)
	r.Start()
	return r
}

// NewRibtap makes a collector's configuration and does not start it.
func (l *Lab) NewRibtap(name, more string) *Ribtap {
	l.t.Helper()
	r := &Ribtap{l: l, name: name, host: "127.0.0.1", quiet: "2s"}
	r.bmpPort = l.freePort(r.host)
	r.http = fmt.Sprintf("127.0.0.1:%d", l.freePort(r.host))
	r.configure(more)
	return r
}

// configure writes the configuration.
func (r *Ribtap) configure(more string) {
	r.l.write(r.name+".yaml", fmt.Sprintf(`collector: {name: lab}
http: {listen: "%s"}
bmp:
  listen: ["127.0.0.1:%d"]
  sweep_quiet: %s
%s`, r.http, r.bmpPort, r.quiet, more))
}

func (r *Ribtap) dataDir() string { return r.l.path(r.name + ".data") }

// command is a ribtap command line on the collector's data.
func (r *Ribtap) command(args ...string) []string {
	return append([]string{binary, "--data-dir", r.dataDir(), "--config", r.l.path(r.name + ".yaml")}, args...)
}

// Start starts the daemon, again after it ended, and waits until it takes sessions.
func (r *Ribtap) Start() {
	r.l.t.Helper()
	r.proc = r.l.start(r.name, r.command("run")...)
	r.l.await("ribtap to be ready", 20*time.Second, func() error { return httpOK("http://" + r.http + "/readyz") })
}

// Stop ends the daemon with SIGTERM; it must drain and exit with 0.
func (r *Ribtap) Stop() {
	r.l.t.Helper()
	code, err := r.proc.Terminate(30 * time.Second)
	if err != nil {
		r.l.t.Fatal(err)
	}
	if code != 0 {
		r.l.t.Fatalf("ribtap run ended with exit code %d, want 0:\n%s", code, r.proc.tail(2000))
	}
}

// jsonBool reads true, and 1 as SQLite's own program writes it.
type jsonBool bool

func (b *jsonBool) UnmarshalJSON(text []byte) error {
	switch string(text) {
	case "true", "1":
		*b = true
	case "false", "0", "null":
		*b = false
	default:
		return fmt.Errorf("%s is not a boolean", text)
	}
	return nil
}

// Route is a row of the views routes and route_history; null reads as zero.
type Route struct {
	Sequence         uint64   `json:"sequence"`
	Position         int      `json:"position"`
	ReceivedAt       string   `json:"received_at"`
	ObservedAt       string   `json:"observed_at"`
	Collector        string   `json:"collector"`
	Router           string   `json:"router"`
	RouterAddress    string   `json:"router_address"`
	PeerAddress      string   `json:"peer_address"`
	PeerASN          uint32   `json:"peer_asn"`
	PeerBGPID        string   `json:"peer_bgp_id"`
	RIB              string   `json:"rib"`
	Family           string   `json:"family"`
	Prefix           string   `json:"prefix"`
	RD               string   `json:"rd"`
	Labels           string   `json:"labels"`
	PathID           *uint32  `json:"path_id"`
	Since            string   `json:"since"`
	Action           string   `json:"action"`
	Cause            string   `json:"cause"`
	Changed          jsonBool `json:"changed"`
	Origin           string   `json:"origin"`
	ASPath           string   `json:"as_path"`
	NextHop          string   `json:"next_hop"`
	MED              *uint32  `json:"med"`
	Communities      string   `json:"communities"`
	LargeCommunities string   `json:"large_communities"`
	ExtCommunities   string   `json:"ext_communities"`
	Flags            string   `json:"flags"`
}

func (r *Route) attrs() Attrs {
	a := Attrs{
		Origin: strings.ToUpper(r.Origin), ASPath: r.ASPath, NextHop: r.NextHop,
		Communities: sorted(r.Communities), Large: sorted(r.LargeCommunities),
		Ext: sorted(r.ExtCommunities),
	}
	if r.MED != nil {
		a.MED = fmt.Sprint(*r.MED)
	}
	return a
}

// Peer is a row of the view peers.
type Peer struct {
	Router        string `json:"router"`
	RouterAddress string `json:"router_address"`
	PeerAddress   string `json:"peer_address"`
	PeerASN       uint32 `json:"peer_asn"`
	PeerBGPID     string `json:"peer_bgp_id"`
	PeerType      string `json:"peer_type"`
	TableName     string `json:"table_name"`
	RIBs          string `json:"ribs"`
	State         string `json:"state"`
	Epoch         int    `json:"epoch"`
	Reason        string `json:"reason"`
	LocalAddress  string `json:"local_address"`
}

// Router is a row of the view routers.
type Router struct {
	Router        string `json:"router"`
	RouterAddress string `json:"router_address"`
	State         string `json:"state"`
	SysName       string `json:"sys_name"`
	SysDescr      string `json:"sys_descr"`
	Peers         int    `json:"peers"`
	PeersUp       int    `json:"peers_up"`
}

// RouterEvent is a row of the view router_history.
type RouterEvent struct {
	Sequence uint64   `json:"sequence"`
	Event    string   `json:"event"`
	Cause    string   `json:"cause"`
	Inferred jsonBool `json:"inferred"`
}

// PeerEvent is a row of the view peer_history.
type PeerEvent struct {
	Sequence     uint64   `json:"sequence"`
	PeerAddress  string   `json:"peer_address"`
	PeerASN      uint32   `json:"peer_asn"`
	RIB          string   `json:"rib"`
	Event        string   `json:"event"`
	Cause        string   `json:"cause"`
	Inferred     jsonBool `json:"inferred"`
	ReasonCode   *int     `json:"reason_code"`
	Reason       string   `json:"reason"`
	Notification string   `json:"notification"`
	NotifCode    *int     `json:"notification_code"`
	NotifSubcode *int     `json:"notification_subcode"`
}

// Stat is a row of the view peer_stats.
type Stat struct {
	PeerAddress string `json:"peer_address"`
	Type        int    `json:"type"`
	Name        string `json:"name"`
	Family      string `json:"family"`
	Value       *int64 `json:"value"`
}

// Gap is a row of the view gaps.
type Gap struct {
	ReceivedAt string `json:"received_at"`
	Cause      string `json:"cause"`
	StartAt    string `json:"start_at"`
	EndAt      string `json:"end_at"`
}

// Status is `status -o json`.
type Status struct {
	Collector string `json:"collector"`
	Stream    struct {
		LastSequence uint64 `json:"last_sequence"`
	} `json:"stream"`
	Sinks []struct {
		Name              string `json:"name"`
		CommittedSequence uint64 `json:"committed_sequence"`
		LagEvents         uint64 `json:"lag_events"`
		Healthy           bool   `json:"healthy"`
		LastError         string `json:"last_error"`
	} `json:"sinks"`
	Routers int    `json:"routers"`
	PeersUp int    `json:"peers_up"`
	Routes  int    `json:"routes"`
	Gaps    uint64 `json:"gaps"`
}

// cli runs a query command and reads its JSON.
func cli[T any](r *Ribtap, args ...string) (T, error) {
	var v T
	out, err := output(r.command(append(args, "-o", "json")...)...)
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(out, &v); err != nil {
		return v, fmt.Errorf("ribtap %s: %w: %s", strings.Join(args, " "), err, clip(string(out), 300))
	}
	return v, nil
}

// must fails the test on an error.
func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// Routes runs `ribtap routes`.
func (r *Ribtap) Routes(args ...string) ([]Route, error) {
	return cli[[]Route](r, append([]string{"routes"}, args...)...)
}

// History runs `ribtap history`.
func (r *Ribtap) History(prefix string, args ...string) ([]Route, error) {
	return cli[[]Route](r, append([]string{"history", prefix}, args...)...)
}

// Peers runs `ribtap peers`.
func (r *Ribtap) Peers() ([]Peer, error) { return cli[[]Peer](r, "peers") }

// Routers runs `ribtap routers`.
func (r *Ribtap) Routers() ([]Router, error) { return cli[[]Router](r, "routers") }

// isDown is nil when the one router that there is, and all of its peers, are down.
func (r *Ribtap) isDown() error {
	routers, err := r.Routers()
	if err != nil {
		return err
	}
	if len(routers) != 1 || routers[0].State != "down" || routers[0].PeersUp != 0 {
		return fmt.Errorf("routers: %+v, want one that is down, with no peer up", routers)
	}
	peers, err := r.Peers()
	if err != nil {
		return err
	}
	for _, p := range peers {
		if p.State == "up" {
			return fmt.Errorf("peer %s is up, its router down", p.PeerAddress)
		}
	}
	return nil
}

// Stats runs `ribtap stats`.
func (r *Ribtap) Stats() ([]Stat, error) { return cli[[]Stat](r, "stats") }

// Status runs `ribtap status`.
func (r *Ribtap) Status() (Status, error) { return cli[Status](r, "status") }

// query asks the history with SQL, as a user of the views would. The views'
// names and columns are a contract.
func query[T any](r *Ribtap, sql string, args ...any) ([]T, error) {
	out, err := output("sqlite3", "-readonly", "-json", "-cmd", ".timeout 5000", filepath.Join(r.dataDir(), "history.db"), fmt.Sprintf(sql, args...))
	if err != nil {
		return nil, err
	}
	var rows []T
	if len(bytes.TrimSpace(out)) == 0 {
		return nil, nil
	}
	if err := json.Unmarshal(out, &rows); err != nil {
		return nil, fmt.Errorf("sqlite3: %w: %s", err, clip(string(out), 300))
	}
	return rows, nil
}

// changes are the rows of route_history behind a sequence.
func (r *Ribtap) changes(after uint64) ([]Route, error) {
	return query[Route](r, "SELECT * FROM route_history WHERE sequence > %d ORDER BY sequence, position", after)
}

// quiet is a moment at which every sink has all events that there are.
type quiet struct {
	sequence uint64
	at       time.Time
}

// String is the time as the command line takes it.
func (q quiet) String() string { return q.at.UTC().Format(time.RFC3339Nano) }

// settle waits until all sinks have committed what the stream has.
func (r *Ribtap) settle() quiet {
	r.l.t.Helper()
	var q quiet
	r.l.await("the sinks to catch up", 20*time.Second, func() error {
		s, err := r.Status()
		if err != nil {
			return err
		}
		for _, sink := range s.Sinks {
			if !sink.Healthy || sink.LagEvents > 0 {
				return fmt.Errorf("sink %s: lag %d, healthy %t, %s", sink.Name, sink.LagEvents, sink.Healthy, sink.LastError)
			}
		}
		q = quiet{s.Stream.LastSequence, time.Now()}
		return nil
	})
	return q
}

// who selects the routes of one RIB view of one peer.
type who struct {
	router string // address; empty for any
	peer   string
	rib    string
	v6     bool
}

const (
	pre  = "adj-rib-in-pre"
	post = "adj-rib-in-post"
	loc  = "loc-rib"
)

func (w who) String() string { return strings.TrimSpace(w.router + " " + w.peer + " " + w.rib) }

func (w who) is(r *Route) bool {
	family := "ipv4-unicast"
	if w.v6 {
		family = "ipv6-unicast"
	}
	return (w.router == "" || r.RouterAddress == w.router) && r.PeerAddress == w.peer && r.RIB == w.rib && r.Family == family
}

// table picks the routes of one view out of many. Two rows for one prefix are
// an error.
func table(rows []Route, w who) (Table, error) {
	t := Table{}
	for i := range rows {
		if !w.is(&rows[i]) {
			continue
		}
		if _, twice := t[rows[i].Prefix]; twice {
			return nil, fmt.Errorf("%v: %s is listed twice", w, rows[i].Prefix)
		}
		t[rows[i].Prefix] = rows[i].attrs()
	}
	return t, nil
}

// differ is nil when two tables have the same routes with the same attributes.
func differ(what string, got, want Table) error {
	diff := cmp.Diff(want, got)
	if diff == "" {
		return nil
	}
	return fmt.Errorf("%s: %d routes, want %d (-want +got):\n%s", what, len(got), len(want), clip(diff, 1500))
}

// same compares two sets of words.
func same(what string, got, want []string) error {
	got, want = slices.Clone(got), slices.Clone(want)
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got, cmp.Transformer("", func(s []string) []string { return append([]string{}, s...) })); diff != "" {
		return fmt.Errorf("%s: %d, want %d (-want +got):\n%s", what, len(got), len(want), clip(diff, 1500))
	}
	return nil
}

// matches compares what ribtap lists of a view with what the router says.
func (r *Ribtap) matches(w who, want Table, args ...string) error {
	rows, err := r.Routes(args...)
	if err != nil {
		return err
	}
	got, err := table(rows, w)
	return errors.Join(err, differ(w.String(), got, want))
}

// describe writes rows of history as words: action, view, prefix, cause and
// whether something changed.
func describe(rows []Route) []string {
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = fmt.Sprintf("%s %s %s %s", r.Action, r.RIB, r.Prefix, r.Cause)
		if r.Changed {
			out[i] += " changed"
		}
	}
	return out
}
