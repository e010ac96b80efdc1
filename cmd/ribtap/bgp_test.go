package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/speaker"
)

const twoPeers = `
bgp:
  peers:
    - {name: two, address: 127.0.0.2, remote_asn: 65002, families: [ipv4-unicast, ipv6-unicast, ipv4-flowspec]}
    - {name: three, address: 127.0.0.3, remote_asn: external}
`

// hangUp is SIGHUP.
func hangUp(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// TestPeerEndToEnd: a neighbour's routes are in the history and in `peers`, and
// nothing is announced to it that was not ordered.
func TestPeerEndToEnd(t *testing.T) {
	d, _ := startPeered(t, twoPeers)
	n := startNeighbour(t, d, 2, "203.0.113.0/24", "2001:db8::/32")
	d.waitRoutes(t, "two", 2)
	if got := n.heard(); len(got) != 0 {
		t.Errorf("announced without an order (RFC 8212): %v", got)
	}
	p := d.peer(t, "two")
	if p.PeerASN == nil || *p.PeerASN != 65002 || p.Router != "rt1" || *p.BGPState != "established" || !*p.Passive || !*p.Enabled ||
		*p.Sessions != 1 || *p.MessagesReceived < 3 || p.Received.Opens != 1 || p.HoldTime == nil || *p.HoldTime != 180 ||
		*p.HoldLeftSeconds <= 0 || p.LastReceived == nil || len(p.Families) != 3 || p.FamilyStates[0].InitialSync != "eor" {
		b, _ := json.MarshalIndent(p, "", " ")
		t.Errorf("two: %s", b)
	}
	if p := d.peer(t, "three"); p.State != "down" || *p.BGPState != "active" || *p.Sessions != 0 || p.PeerAddress == nil || *p.PeerAddress != "127.0.0.3" {
		t.Errorf("three: %+v", p)
	}
	for _, word := range []string{"NAME", "established", "HOLD LEFT", "127.0.0.2:"} {
		if out := ribtap(t, "peers", "-o", "wide", "--url", d.http, "--data-dir", d.dir).must(t, exitOK).stdout; !strings.Contains(out, word) {
			t.Errorf("peers -o wide lacks %s:\n%s", word, out)
		}
	}
	eventually(t, "the route in the history", func() bool {
		out := ribtap(t, "routes", "203.0.113.0/24", "--data-dir", d.dir, "-o", "json")
		return strings.Contains(out.stdout, `"as_path":"65002"`) && strings.Contains(out.stdout, `"peer_address":"127.0.0.2"`)
	})
	n.stop()
	eventually(t, "the session's end", func() bool { return d.peer(t, "two").State == "down" })
	if code := d.stop(t); code != exitOK {
		t.Errorf("exit code %d: %s", code, d.stderr())
	}
	// Without the daemon the history answers alone.
	out := ribtap(t, "peers", "-o", "json", "--data-dir", d.dir).must(t, exitOK).stdout
	if !strings.Contains(out, `"peer_address":"127.0.0.2"`) || strings.Contains(out, `"bgp_state":"`) {
		t.Errorf("peers: %s", out)
	}
}

// TestStopSaysShutdown: neighbours get Cease, Administrative Shutdown.
func TestStopSaysShutdown(t *testing.T) {
	d, _ := startPeered(t, twoPeers)
	n := startNeighbour(t, d, 2, "203.0.113.0/24")
	d.waitRoutes(t, "two", 1)
	d.stop(t)
	eventually(t, "the session's end", func() bool { _, downs, _ := n.count(); return downs > 0 })
	n.mu.Lock()
	defer n.mu.Unlock()
	meant(t, n.downs[0].Notification, bgp.CeaseAdminShutdown, "")
}

// meant wants a Hard Reset with a Cease inside: both sides have the N bit of RFC 8538.
func meant(t *testing.T, octets []byte, subcode uint8, text string) {
	t.Helper()
	n, err := bgp.ParseNotification(octets)
	inner, hard := n.HardReset()
	if err != nil || !hard || inner.Code != bgp.ErrorCease || inner.Subcode != subcode || string(n.AppendCommunication(nil)) != text {
		t.Errorf("notification %+v, %v", n, err)
	}
}

// TestRestartKeepsRoutes: a restart of ribtap is no storm of routes in the history.
func TestRestartKeepsRoutes(t *testing.T) {
	d, path := startPeered(t, twoPeers)
	n := startNeighbour(t, d, 2, "203.0.113.0/24")
	d.waitRoutes(t, "two", 1)
	if code := d.stop(t); code != exitOK {
		t.Fatalf("exit code %d: %s", code, d.stderr())
	}
	n.stop()
	again := startDaemon(t, d.dir, "--config", path)
	startNeighbour(t, again, 2, "203.0.113.0/24", "198.51.100.0/24")
	again.waitRoutes(t, "two", 2)
	eventually(t, "the new route in the history", func() bool {
		return strings.Contains(ribtap(t, "history", "198.51.100.0/24", "--data-dir", d.dir, "-o", "json").stdout, "announce")
	})
	out := ribtap(t, "history", "203.0.113.0/24", "--data-dir", d.dir, "-o", "ndjson").must(t, exitOK).stdout
	if strings.Count(out, "\n") != 1 || !strings.Contains(out, `"action":"announce"`) {
		t.Errorf("history of a route that did not change:\n%s", out)
	}
}

// TestPeerOrders: disable, enable, reset, refresh, by name and by address.
func TestPeerOrders(t *testing.T) {
	d, _ := startPeered(t, twoPeers)
	n := startNeighbour(t, d, 2, "203.0.113.0/24")
	d.waitRoutes(t, "two", 1)
	order := func(code int, args ...string) result {
		t.Helper()
		return ribtap(t, append(append([]string{"peer"}, args...), "--url", d.http)...).must(t, code)
	}
	updates := func() uint64 { return d.peer(t, "two").Received.Updates }
	before := updates()
	order(exitOK, "refresh", "two")
	eventually(t, "the routes once more", func() bool { return updates() > before })
	before = updates()
	order(exitOK, "refresh", "127.0.0.2", "--family", "ipv4-unicast")
	eventually(t, "the routes of a family once more", func() bool { return updates() > before })
	before = updates()
	order(exitOK, "reset", "two", "soft-in")
	eventually(t, "the routes after a soft reset", func() bool { return updates() > before })
	order(exitOK, "reset", "soft-out", "two")
	if ups, _, _ := n.count(); ups != 1 {
		t.Errorf("%d sessions after soft resets", ups)
	}

	order(exitOK, "disable", "127.0.0.2", "--reason", "T-42")
	eventually(t, "the session's end", func() bool { _, downs, _ := n.count(); return downs == 1 })
	n.mu.Lock()
	meant(t, n.downs[0].Notification, bgp.CeaseAdminShutdown, "T-42")
	n.mu.Unlock()
	if p := d.peer(t, "two"); *p.Enabled || p.State != "down" {
		t.Errorf("two: %+v", p)
	}
	order(exitOK, "enable", "two")
	d.waitRoutes(t, "two", 1)
	order(exitOK, "reset", "two", "hard", "--reason", "again")
	eventually(t, "a new session", func() bool { ups, _, _ := n.count(); return ups == 3 })

	if r := order(exitFailure, "refresh", "tow"); !strings.Contains(r.stderr, "nearest is two") {
		t.Errorf("stderr: %s", r.stderr)
	}
	if r := order(exitFailure, "refresh", "three"); !strings.Contains(r.stderr, "no session is established") {
		t.Errorf("stderr: %s", r.stderr)
	}
	order(exitUsage, "refresh", "two", "--family", "ipv5")
	order(exitUsage, "reset", "two", "softly")
	order(exitUsage, "restart", "two")
}

// TestRangeAndDial: a range gives each neighbour a session; a peer that is not
// passive is dialled.
func TestRangeAndDial(t *testing.T) {
	dir := isolated(t)
	l, err := net.Listen("tcp", "127.0.0.7:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	path := writeFile(t, dir, "ribtap.yaml", fmt.Appendf(nil, `
bgp:
  initial_delay: 0
  peers:
    - {name: lab, address: 127.0.0.0/29, limit: 2, local_asn: mirror}
    - {name: seven, address: 127.0.0.7, passive: false, port: %d, connect_retry: 1s, source: 127.0.0.6}
`, port))
	d := startDaemon(t, filepath.Join(dir, "data"), "--config", path)
	startNeighbourAs(t, d, 2, func(p *speaker.Peer) { p.RemoteASN = speaker.ASNList(65002) }, "203.0.113.0/24")
	startNeighbour(t, d, 3, "203.0.113.0/24")
	seven := listenAs(t, 7, port, "198.51.100.0/24")
	eventually(t, "the sessions", func() bool {
		out := ribtap(t, "peers", "--url", d.http, "--data-dir", d.dir).stdout
		return strings.Count(out, "established") == 3
	})
	var rows []peerRow
	out := ribtap(t, "peers", "-o", "json", "--url", d.http, "--data-dir", d.dir).must(t, exitOK).stdout
	if err := json.Unmarshal([]byte(out), &rows); err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		switch {
		case r.PeerAddress == nil:
			if *r.Name != "lab" || *r.Range != "127.0.0.0/29" || r.State != "" {
				t.Errorf("the range: %+v", r)
			}
		case *r.PeerAddress == "127.0.0.2":
			if *r.Range != "127.0.0.0/29" || *r.LocalASN != 65002 || *r.PeerASN != 65002 {
				t.Errorf("two: local %d, peer %d", *r.LocalASN, *r.PeerASN)
			}
		case *r.PeerAddress == "127.0.0.7":
			if *r.Passive || *r.Attempts < 1 || *r.LocalAddress != "127.0.0.6" {
				t.Errorf("seven: attempts %d from %s", *r.Attempts, *r.LocalAddress)
			}
		}
	}
	r := ribtap(t, "peer", "disable", "127.0.0.2", "--url", d.http).must(t, exitFailure)
	if !strings.Contains(r.stderr, "name lab to mean all of them") {
		t.Errorf("stderr: %s", r.stderr)
	}
	ribtap(t, "peer", "refresh", "127.0.0.2", "--url", d.http).must(t, exitOK)
	if ups, _, _ := seven.count(); ups != 1 {
		t.Errorf("%d sessions with the one that is dialled", ups)
	}
}

// TestReloadPeers: only what must restart does, each change is a line, and a wrong
// file changes nothing.
func TestReloadPeers(t *testing.T) {
	d, path := startPeered(t, twoPeers)
	two, three := startNeighbour(t, d, 2, "203.0.113.0/24"), startNeighbour(t, d, 3)
	d.waitRoutes(t, "two", 1)
	d.waitRoutes(t, "three", 0)
	reload := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		hangUp(t)
	}
	reload(strings.Replace(twoPeers, "remote_asn: external", "remote_asn: external, hold_time: 30s", 1))
	d.waitLog(t, "bgp peer changed", "peer=three", "action=restarted", "HoldTime")
	d.waitLog(t, "configuration reloaded", "changed=bgp.peers")
	eventually(t, "three's new session", func() bool { ups, _, _ := three.count(); return ups == 2 })
	reload("bgp: {peers: [{name: two, addrss: 127.0.0.2}]}")
	d.waitLog(t, "configuration not reloaded", "unknown key", "nearest is")
	reload("bgp: {peers: [{name: two, address: 127.0.0.2, remote_asn: 65002, families: [ipv4-unicast, ipv6-unicast, ipv4-flowspec]}, {name: four, address: 127.0.0.4}]}")
	d.waitLog(t, "peer=three", "action=removed")
	d.waitLog(t, "peer=four", "action=added")
	startNeighbour(t, d, 4, "198.51.100.0/24")
	d.waitRoutes(t, "four", 1)
	if ups, downs, _ := two.count(); ups != 1 || downs != 0 {
		t.Errorf("two had %d sessions, %d ends, through all of it", ups, downs)
	}
	reload("bgp: {peers: [], asn: 65001, router_id: 192.0.2.7}")
	d.waitLog(t, "configuration reloaded", `changed="bgp.asn bgp.peers"`, "needs_restart=bgp.router_id")
}

// TestFirstPeerByReload: a daemon that had no peers is no router of the history
// until it has one.
func TestFirstPeerByReload(t *testing.T) {
	d, path := startPeered(t, "log: {level: info}\n")
	if err := os.WriteFile(path, []byte(twoPeers), 0o600); err != nil {
		t.Fatal(err)
	}
	hangUp(t)
	d.waitLog(t, "peer=two", "action=added")
	startNeighbour(t, d, 2, "203.0.113.0/24")
	d.waitRoutes(t, "two", 1)
	if code := d.stop(t); code != exitOK {
		t.Errorf("exit code %d: %s", code, d.stderr())
	}
}

// TestDefaultPortTaken: a daemon of which nobody wants BGP starts although the port
// of the default is taken, and says so when a peer comes.
func TestDefaultPortTaken(t *testing.T) {
	dir := isolated(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a := &app{stderr: io.Discard, flags: overrides{"data_dir": {"data-dir", filepath.Join(dir, "data")}}}
	s, err := a.config()
	if err != nil {
		t.Fatal(err)
	}
	s.BGP.Listen = []string{l.Addr().String()}
	log := slog.New(slog.DiscardHandler)
	n, err := openNode(t.Context(), s, log, nodeOffline)
	if err != nil {
		t.Fatal(err)
	}
	if n.bgp, err = openBGP(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	var banner strings.Builder
	n.bgp.banner(&banner, s)
	if got := banner.String(); !strings.HasPrefix(got, "  BGP   not listening, and no peers: "+l.Addr().String()) || strings.Count(got, "\n") != 1 {
		t.Errorf("banner: %s", got)
	}
	if err := n.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.bgp.Run(ctx) }()
	live := newLiveConfig(a, n, new(slog.LevelVar), log)
	got, err := live.apply(ctx, "apply", "new.yaml", []byte(twoPeers), canary{}, nil)
	if err != nil || !slices.Contains(got.Restart, "bgp.listen") || !slices.Equal(got.Peers, []string{"two added", "three added"}) {
		t.Errorf("%v: %+v", err, got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := n.stop(); err != nil {
		t.Error(err)
	}
}

// TestControlAuthorization: orders want the token like everything else, and a
// foreign page may not give any.
func TestControlAuthorization(t *testing.T) {
	dir := isolated(t)
	token := writeFile(t, dir, "token", []byte("0123456789abcdef0123\n"))
	d := startDaemon(t, dir+"/data", "--http-token-file", token)
	for _, path := range []string{"/v1/peers/x/reset", "/v1/announce", "/v1/withdraw", "/v1/config/apply", "/v1/config/rollback/1"} {
		resp, err := http.Post("http://"+d.http+path, "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s answers %d", path, resp.StatusCode)
		}
	}
	r := ribtap(t, "peer", "reset", "x", "--url", d.http, "--token-file", token).must(t, exitFailure)
	if !strings.Contains(r.stderr, "bgp.peers in the configuration is empty") {
		t.Errorf("stderr: %s", r.stderr)
	}
}
