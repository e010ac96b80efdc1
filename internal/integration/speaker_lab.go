//go:build integration

package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// ribtapAS is the AS number of ribtap's own speaker.
const ribtapAS = 64512

// peering is a BGP session that a daemon has with ribtap, as both ends configure
// it. Nothing but the fields that are set is asked of the daemon.
type peering struct {
	name string // of the daemon, and of the peer in ribtap's configuration
	addr string // the daemon's end
	port int    // where the daemon listens
	asn  uint32
	rt   *Ribtap
	to   int // ribtap's port

	passive   bool   // the daemon waits, ribtap dials
	both      bool   // both wait and dial
	password  string // the daemon's key of TCP MD5
	gtsm      bool
	addPath   bool // send several paths
	restart   int  // graceful restart time in seconds; 0 for none
	longLived int  // long-lived stale time in seconds; 0 for none
	flows     bool // IPv4 flow specifications too

	// far and farAS are the other end when that is not ribtap.
	far   string
	farAS uint32

	// localAS is ribtap's AS number in this session, if not ribtapAS.
	localAS uint32

	// ribtap is what ribtap's entry has beside name and address: "key: value" each.
	ribtap []string

	feed *Feed // nil for nothing to announce
}

// remote is the other end of the session.
func (p *peering) remote() string {
	if p.far != "" {
		return p.far
	}
	if p.v6() {
		return "::1"
	}
	return "127.0.0.1"
}

func (p *peering) remoteAS() uint32 {
	if p.far != "" {
		return p.farAS
	}
	if p.localAS != 0 {
		return p.localAS
	}
	return ribtapAS
}

// towards makes it a session with another daemon than ribtap.
func (p *peering) towards(q *peering) *peering {
	p.far, p.farAS, p.to = q.addr, q.asn, q.port
	return p
}

func (p *peering) v6() bool { return netip.MustParseAddr(p.addr).Is6() }

// entry is the peer's line in ribtap's configuration.
func (p *peering) entry() string {
	words := []string{"name: " + p.name, fmt.Sprintf("address: %q", p.addr), fmt.Sprintf("remote_asn: %d", p.asn)}
	if p.passive || p.both {
		words = append(words, "passive: false", "connect_retry: 1s", fmt.Sprintf("port: %d", p.port), fmt.Sprintf("source: %q", p.remote()))
	}
	if p.flows {
		words = append(words, "families: [ipv4-unicast, ipv6-unicast, ipv4-flowspec]")
	}
	return "    - {" + strings.Join(append(words, p.ribtap...), ", ") + "}\n"
}

// view names the routes that ribtap has of the daemon.
func (p *peering) view(v6 bool) who { return who{peer: p.addr, rib: pre, v6: v6} }

// wanted are the daemon's routes, by its feed.
func (p *peering) wanted() []listing {
	return []listing{{p.view(false), p.feed.Table(false, p.asn)}, {p.view(true), p.feed.Table(true, p.asn)}}
}

// lastAddress counts the addresses that were given out.
var lastAddress atomic.Uint32

// newPeering makes a session with an address and a port that no other test has.
// It is from IPv4 to IPv4, and carries both families.
func (l *Lab) newPeering(name string, asn uint32, feed *Feed) *peering {
	l.t.Helper()
	n := lastAddress.Add(1)
	p := &peering{name: name, asn: asn, feed: feed, addr: netip.AddrFrom4([4]byte{127, 16, byte(n >> 8), byte(n)}).String()}
	p.port = l.freePort(p.addr, "::1")
	return p
}

// speakerID is the speaker's BGP Identifier; in the history it is the address of
// the router that all neighbours are peers of.
const speakerID = "10.0.0.99"

// StartSpeaker starts a ribtap that has these neighbours. Its history keeps also
// routes that came again unchanged. More is further lines of the section bgp.
func (l *Lab) StartSpeaker(more string, peers ...*peering) *Ribtap {
	l.t.Helper()
	rt := l.NewSpeaker(more, peers...)
	rt.Start()
	return rt
}

// NewSpeaker makes its configuration and does not start it.
func (l *Lab) NewSpeaker(more string, peers ...*peering) *Ribtap {
	l.t.Helper()
	port := l.freePort("127.0.0.1", "::1")
	for _, p := range peers {
		p.to = port
	}
	rt := l.NewRibtap("ribtap", speakerConfig(more, port, peers))
	for _, p := range peers {
		p.rt = rt
	}
	return rt
}

func speakerConfig(more string, port int, peers []*peering) string {
	var b strings.Builder
	fmt.Fprintf(&b, `sinks: {sqlite: {rows: all}}
bgp:
  listen: ["127.0.0.1:%d", "[::1]:%d"]
  asn: %d
  router_id: %s
  initial_delay: 0
%s  peers:
`, port, port, ribtapAS, speakerID, more)
	for _, p := range peers {
		b.WriteString(p.entry())
	}
	return b.String()
}

// Reconfigure writes the configuration anew and sends SIGHUP.
func (r *Ribtap) Reconfigure(more string, peers ...*peering) {
	r.l.t.Helper()
	r.configure(speakerConfig(more, peers[0].to, peers))
	if err := r.proc.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		r.l.t.Fatal(err)
	}
}

// sessionNow is what the running speaker says of a neighbour.
type sessionNow struct {
	Name        string `json:"name"`
	PeerAddress string `json:"peer_address"`
	State       string `json:"bgp_state"`
	Uptime      *int   `json:"uptime_seconds"`
	Routes      int    `json:"routes"`
	Stale       int    `json:"stale_routes"`
	Attempts    int    `json:"connection_attempts"`
	Connections int    `json:"connections"`
	Sessions    int    `json:"established_sessions"`
	LastError   string `json:"last_error"`
	Remote      string `json:"remote_endpoint"`
	Advertised  int    `json:"advertised_routes"`
	Families    []struct {
		Family      string `json:"family"`
		Routes      int    `json:"routes"`
		Stale       int    `json:"stale_routes"`
		InitialSync string `json:"initial_sync"`
	} `json:"family_states"`
	SentCapabilities     string `json:"sent_capabilities"`
	ReceivedCapabilities string `json:"received_capabilities"`
}

// sessions are the speaker's neighbours by name, from the daemon itself.
func (r *Ribtap) sessions() (map[string]sessionNow, error) {
	body, err := httpGet("http://" + r.http + "/v1/peers")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Peers []sessionNow `json:"peers"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		return nil, fmt.Errorf("/v1/peers: %w: %s", err, clip(body, 300))
	}
	out := map[string]sessionNow{}
	for _, p := range answer.Peers {
		out[p.Name] = p
	}
	return out, nil
}

// session is one of them.
func (r *Ribtap) session(name string) (sessionNow, error) {
	all, err := r.sessions()
	if err != nil {
		return sessionNow{}, err
	}
	s, ok := all[name]
	if !ok {
		return s, fmt.Errorf("/v1/peers has no %s", name)
	}
	return s, nil
}

// established is nil when all of these sessions are.
func (r *Ribtap) established(names ...string) error {
	all, err := r.sessions()
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range names {
		if s := all[n]; s.State != "established" {
			errs = append(errs, fmt.Errorf("%s is %s (%s)", n, s.State, s.LastError))
		}
	}
	return errors.Join(errs...)
}

// awaitRoutes waits until ribtap lists what is wanted, and nothing else of these
// peers.
func (r *Ribtap) awaitRoutes(what string, within time.Duration, wanted ...listing) {
	r.l.t.Helper()
	r.l.await(what, within, func() error { return r.agrees(wanted...) })
}

// peerEvents are the rows of peer_history of a neighbour behind a sequence.
func (r *Ribtap) peerEvents(addr string, after uint64) ([]PeerEvent, error) {
	return query[PeerEvent](r, "SELECT * FROM peer_history WHERE peer_address = '%s' AND sequence > %d ORDER BY sequence", addr, after)
}

// awaitDown waits for a peer's next down behind a sequence and returns it.
func (r *Ribtap) awaitDown(addr string, after uint64) (down PeerEvent) {
	r.l.t.Helper()
	r.l.await("the session of "+addr+" to end in the history", 20*time.Second, func() error {
		rows, err := r.peerEvents(addr, after)
		for _, e := range rows {
			if e.Event == "down" {
				down = e
				return nil
			}
		}
		return errors.Join(err, errors.New("there is no down"))
	})
	return down
}

// says is nil when a down is a NOTIFICATION of the neighbour with this code,
// subcode and text; an empty text is any.
func (e *PeerEvent) says(code, subcode int, text string) error {
	if e.NotifCode == nil || e.NotifSubcode == nil {
		return fmt.Errorf("down without a NOTIFICATION: %+v", *e)
	}
	if *e.NotifCode != code || *e.NotifSubcode != subcode || !strings.Contains(e.Notification, text) {
		return fmt.Errorf("down with %d/%d %q, want %d/%d %q", *e.NotifCode, *e.NotifSubcode, e.Notification, code, subcode, text)
	}
	if e.ReasonCode == nil || *e.ReasonCode != 3 {
		return fmt.Errorf("down %+v, want reason 3, NOTIFICATION of the remote system", *e)
	}
	return nil
}

// of keeps the rows of one peer.
func of(rows []Route, addr string) (out []Route) {
	for _, r := range rows {
		if r.PeerAddress == addr {
			out = append(out, r)
		}
	}
	return out
}

// news keeps the rows that changed something. FRR for one repeats what it said.
func news(rows []Route) (out []Route) {
	for _, r := range rows {
		if r.Changed {
			out = append(out, r)
		}
	}
	return out
}

// metric is the value of a counter of ribtap's, 0 when it is not there.
func (r *Ribtap) metric(name string) (v float64, err error) {
	body, err := httpGet("http://" + r.http + "/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(body) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			_, err := fmt.Sscan(rest, &v)
			return v, err
		}
	}
	return 0, nil
}

// logHas is nil when ribtap's log has a line with all of these words.
func (r *Ribtap) logHas(words ...string) error {
	text, err := os.ReadFile(r.l.path(r.name + ".log"))
	if err != nil {
		return err
	}
lines:
	for line := range strings.Lines(string(text)) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue lines
			}
		}
		return nil
	}
	return fmt.Errorf("the log has no line with %q", words)
}

// targeted gives every route of the feed a route target, which not all routers
// of the BMP tests would show.
func (f *Feed) targeted() *Feed {
	for i := range f.routes {
		f.routes[i].ext = []string{fmt.Sprintf("rt:64512:%d", i/4)}
	}
	return f
}

// ofOpenBGPD makes the feed one that OpenBGPD can originate: it prepends no AS
// number but its own, puts its own address into the next hop, and does not tell a
// MED of 0 from none.
func (f *Feed) ofOpenBGPD(p *peering) *Feed {
	f.nextHop4, f.nextHop6 = netip.MustParseAddr(p.addr), netip.MustParseAddr(p.remote())
	if !p.v6() {
		f.nextHop6 = netip.IPv6Loopback()
	}
	for i := range f.routes {
		r := &f.routes[i]
		r.med++
		for k := range r.path {
			r.path[k] = p.asn
		}
	}
	return f
}
