//go:build integration

package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// peerNow is what `ribtap peers` says of a neighbour of the speaker.
type peerNow struct {
	Name   string `json:"name"`
	State  string `json:"bgp_state"`
	Routes int    `json:"routes"`

	Sessions int `json:"established_sessions"`
}

// bgpPeer is a neighbour of the speaker as `ribtap peers` has it.
func (r *Ribtap) bgpPeer(name string) (peerNow, error) {
	rows, err := cli[[]peerNow](r, "peers")
	for _, p := range rows {
		if p.Name == name {
			return p, err
		}
	}
	return peerNow{}, errors.Join(err, fmt.Errorf("no peer %s in %v", name, rows))
}

// order runs a command of the speaker's controls.
func (r *Ribtap) order(args ...string) {
	r.l.t.Helper()
	if _, err := output(r.command(args...)...); err != nil {
		r.l.t.Fatal(err)
	}
}

// startGoBGPPeer starts a gobgpd that dials the speaker.
func (l *Lab) startGoBGPPeer(port int, key string) *GoBGP {
	l.t.Helper()
	g := &GoBGP{l: l, name: "gobgp", gen: installed, api: l.freePort(gobgpAddress)}
	conf := l.write("gobgp-peer.toml", fmt.Sprintf(`[global.config]
  as = %d
  router-id = "10.0.0.14"
  port = -1
[[neighbors]]
  [neighbors.config]
    neighbor-address = "127.0.0.1"
    peer-as = 64512
    auth-password = %q
  [neighbors.timers.config]
    connect-retry = 2
    idle-hold-time-after-reset = 1
  [neighbors.transport.config]
    local-address = %q
    remote-port = %d
  [neighbors.ebgp-multihop.config]
    enabled = true
    multihop-ttl = 2
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv4-unicast"
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv6-unicast"
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv4-flowspec"
`, routerAS, key, gobgpAddress, port))
	g.proc = l.start(g.name, "/usr/bin/gobgpd", "-f", conf, "--api-hosts", fmt.Sprintf("%s:%d", gobgpAddress, g.api), "--pprof-disable")
	l.await("gobgpd to answer gobgp", 15*time.Second, func() error { _, err := g.ctl("global"); return err })
	return g
}

// received is how many ROUTE-REFRESH messages GoBGP has received from ribtap, and
// whether the session is established.
func (g *GoBGP) received() (refreshes int, up bool, err error) {
	out, err := g.ctl("neighbor", "127.0.0.1", "-j")
	if err != nil {
		return 0, false, err
	}
	var n struct {
		State struct {
			SessionState int `json:"session_state"`
			Messages     struct {
				Received struct {
					Refresh int `json:"refresh"`
				} `json:"received"`
			} `json:"messages"`
		} `json:"state"`
	}
	const established = 6
	err = json.Unmarshal(out, &n)
	return n.State.Messages.Received.Refresh, n.State.SessionState == established, err
}

// TestOrders gives orders to the speaker and looks at what GoBGP makes of them.
func TestOrders(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	port := l.freePort("127.0.0.1")
	rt := l.StartRibtap(fmt.Sprintf(`bgp:
  listen: ["127.0.0.1:%d"]
  peers:
    - {name: gobgp, address: %s, remote_asn: external, families: [ipv4-unicast, ipv6-unicast, ipv4-flowspec]}
`, port, gobgpAddress))
	g := l.startGoBGPPeer(port, "")
	up := func() error {
		p, err := rt.bgpPeer("gobgp")
		if err == nil && p.State != "established" {
			err = fmt.Errorf("session is %s", p.State)
		}
		return err
	}
	l.await("the session", 40*time.Second, up)

	l.Run("nothing without an order", func(t *testing.T) {
		if table := must(g.table("global", "rib"))(t); len(table) != 0 {
			t.Errorf("GoBGP has %v", table)
		}
	})

	l.Run("routes", func(t *testing.T) {
		must(g.ctl("global", "rib", "add", "203.0.113.0/24", "med", "7"))(t)
		l.await("the route in the history", 20*time.Second, func() error {
			rows, err := rt.Routes("203.0.113.0/24", "--peer", gobgpAddress)
			if err == nil && len(rows) != 1 {
				err = fmt.Errorf("%d rows", len(rows))
			}
			return err
		})
		l.await("the peer to have it", 5*time.Second, func() error {
			p, err := rt.bgpPeer("gobgp")
			if err == nil && p.Routes != 1 {
				err = fmt.Errorf("peer: %+v", p)
			}
			return err
		})
	})

	l.Run("announce", func(*testing.T) {
		rt.order("announce", "192.0.2.0/24", "198.51.100.0/24", "--peer", "gobgp", "--med", "5", "--next-hop", "192.0.2.9",
			"--community", "65000:1", "--large-community", "65000:1:2", "--as-path", "65100 65101")
		l.await("GoBGP to have what was announced", 20*time.Second, func() error {
			table, err := g.table("global", "rib")
			want := Attrs{Origin: "IGP", ASPath: "64512 65100 65101", NextHop: "192.0.2.9", MED: "5", Communities: "65000:1", Large: "65000:1:2"}
			if err == nil && (table["192.0.2.0/24"] != want || table["198.51.100.0/24"] != want) {
				err = fmt.Errorf("GoBGP has %+v", table)
			}
			return err
		})
	})

	l.Run("flow", func(*testing.T) {
		rt.order("announce", "flow", "destination", "10.9.0.0/16", "protocol", "==17", "destination-port", ">53", "--action", "discard", "--all")
		l.await("GoBGP to have the flow", 20*time.Second, func() error {
			out, err := g.ctl("global", "rib", "-a", "ipv4-flowspec")
			if err == nil && (!strings.Contains(string(out), "destination: 10.9.0.0/16") || !strings.Contains(string(out), "discard")) {
				err = fmt.Errorf("GoBGP has %s", out)
			}
			return err
		})
	})

	l.Run("withdraw", func(*testing.T) {
		rt.order("withdraw", "198.51.100.0/24", "--peer", "gobgp")
		rt.order("withdraw", "flow", "destination", "10.9.0.0/16", "protocol", "==17", "destination-port", ">53", "--all")
		l.await("GoBGP to have the rest", 20*time.Second, func() error {
			table, err := g.table("global", "rib")
			flows, err2 := g.ctl("global", "rib", "-a", "ipv4-flowspec")
			var prefixes []string
			for p := range table {
				prefixes = append(prefixes, p)
			}
			slices.Sort(prefixes)
			if err = errors.Join(err, err2); err == nil && (!slices.Equal(prefixes, []string{"192.0.2.0/24", "203.0.113.0/24"}) || strings.Contains(string(flows), "10.9")) {
				err = fmt.Errorf("GoBGP has %v, flows %s", prefixes, flows)
			}
			return err
		})
	})

	l.Run("refresh", func(*testing.T) {
		rt.order("peer", "refresh", "gobgp", "--family", "ipv4-unicast")
		l.await("GoBGP to count a refresh", 20*time.Second, func() error {
			n, _, err := g.received()
			if err == nil && n != 1 {
				err = fmt.Errorf("%d refreshes", n)
			}
			return err
		})
	})

	l.Run("disable and enable", func(*testing.T) {
		rt.order("peer", "disable", "gobgp", "--reason", "T-42")
		l.await("GoBGP to lose the session", 20*time.Second, func() error {
			_, up, err := g.received()
			if err == nil && up {
				err = errors.New("it is established")
			}
			return err
		})
		rt.order("peer", "enable", "gobgp")
		l.await("the session to come back", 60*time.Second, up)
		l.await("GoBGP to have what was announced, once more", 20*time.Second, func() error {
			table, err := g.table("global", "rib")
			if err == nil && table["192.0.2.0/24"].MED != "5" {
				err = fmt.Errorf("GoBGP has %v", table)
			}
			return err
		})
	})
	rt.Stop()
}

// TestCanaryKey: a candidate with a key that GoBGP has not got does not stay, and
// costs no session; a harmless one stays.
func TestCanaryKey(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	port := l.freePort("127.0.0.1")
	right, wrong := l.write("right.key", "sesame\n"), l.write("wrong.key", "open\n")
	peers := fmt.Sprintf(`bgp:
  listen: ["127.0.0.1:%d"]
  peers:
    - {name: gobgp, address: %s, remote_asn: external, password_file: %s}
`, port, gobgpAddress, right)
	rt := l.StartRibtap(peers)
	g := l.startGoBGPPeer(port, "sesame")
	must(g.ctl("global", "rib", "add", "203.0.113.0/24"))(t)
	routes := func(n int) func() error {
		return func() error {
			p, err := rt.bgpPeer("gobgp")
			if err == nil && (p.State != "established" || p.Routes != n) {
				err = fmt.Errorf("peer: %+v", p)
			}
			return err
		}
	}
	l.await("the session and its route", 40*time.Second, routes(1))

	text, err := os.ReadFile(l.path("ribtap.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	candidate := func(from, to string) string {
		return l.write("candidate.yaml", strings.Replace(string(text), from, to, 1))
	}
	_, err = output(rt.command("config", "apply", candidate(right, wrong), "--canary", "3s")...)
	if err == nil || !strings.Contains(err.Error(), "nothing was heard with the new key") {
		t.Fatalf("a key that GoBGP has not got: %v", err)
	}
	must(g.ctl("global", "rib", "add", "198.51.100.0/24"))(t)
	l.await("the session to go on", 40*time.Second, routes(2))
	rt.order("config", "apply", candidate("remote_asn: external", "remote_asn: 65011"), "--canary", "2s")
	l.await("the session and its routes still", 10*time.Second, routes(2))
	if p := must(rt.bgpPeer("gobgp"))(t); p.Sessions != 1 {
		t.Errorf("%d sessions", p.Sessions)
	}
	rt.Stop()
}
