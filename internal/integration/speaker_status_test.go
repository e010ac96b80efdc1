//go:build integration

package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// liveSession is what `ribtap peers -o json` says of a session of the speaker.
type liveSession struct {
	Address       string    `json:"peer_address"`
	Name          string    `json:"name"`
	State         string    `json:"bgp_state"`
	Since         time.Time `json:"bgp_state_since"`
	Uptime        int       `json:"uptime_seconds"`
	Enabled       bool      `json:"enabled"`
	Passive       bool      `json:"passive"`
	LocalASN      uint32    `json:"local_asn"`
	PeerASN       uint32    `json:"peer_asn"`
	LocalID       string    `json:"local_bgp_id"`
	PeerID        string    `json:"peer_bgp_id"`
	LocalAddress  string    `json:"local_address"`
	Local         string    `json:"local_endpoint"`
	Remote        string    `json:"remote_endpoint"`
	HoldTime      float64   `json:"hold_time"`
	Keepalive     float64   `json:"keepalive_seconds"`
	HoldLeft      float64   `json:"hold_left_seconds"`
	LastReceived  time.Time `json:"last_received"`
	LastSent      time.Time `json:"last_sent"`
	ReceivedTotal int       `json:"messages_received"`
	SentTotal     int       `json:"messages_sent"`
	Received      messages  `json:"received"`
	Sent          messages  `json:"sent"`
	Attempts      int       `json:"connection_attempts"`
	Connections   int       `json:"connections"`
	Sessions      int       `json:"established_sessions"`
	LastError     string    `json:"last_error"`
	LastErrorAt   time.Time `json:"last_error_at"`
	Families      []string  `json:"families"`
	FamilyStates  []struct {
		Family      string `json:"family"`
		Routes      int    `json:"routes"`
		InitialSync string `json:"initial_sync"`
	} `json:"family_states"`
	Routes       int     `json:"routes"`
	Stale        int     `json:"stale_routes"`
	Advertised   int     `json:"advertised_routes"`
	Announced    int     `json:"announced_routes"`
	Withdrawn    int     `json:"withdrawn_routes"`
	Calculation  float64 `json:"update_calculation_ms"`
	Drain        bool    `json:"drain"`
	SentCaps     string  `json:"sent_capabilities"`
	ReceivedCaps string  `json:"received_capabilities"`
}

type messages struct {
	Opens, Updates, Notifications, Keepalives, Refreshes int
}

func (m messages) total() int {
	return m.Opens + m.Updates + m.Notifications + m.Keepalives + m.Refreshes
}

// live is a session by name, and the names of its fields that are null.
func (r *Ribtap) live(name string) (s liveSession, nulls []string, err error) {
	rows, err := cli[[]json.RawMessage](r, "peers")
	if err != nil {
		return s, nil, err
	}
	for _, row := range rows {
		s = liveSession{}
		var fields map[string]json.RawMessage
		if err := errors.Join(json.Unmarshal(row, &s), json.Unmarshal(row, &fields)); err != nil {
			return s, nil, fmt.Errorf("%w: %s", err, row)
		}
		if s.Name != name {
			continue
		}
		for key, value := range fields {
			if string(value) == "null" {
				nulls = append(nulls, key)
			}
		}
		return s, slices.Sorted(slices.Values(nulls)), nil
	}
	return s, nil, fmt.Errorf("no peer %s", name)
}

// counters are what may only grow while a session lasts.
func (s *liveSession) counters() map[string]int {
	return map[string]int{
		"uptime": s.Uptime, "received": s.ReceivedTotal, "sent": s.SentTotal, "received KEEPALIVEs": s.Received.Keepalives,
		"received UPDATEs": s.Received.Updates, "sent KEEPALIVEs": s.Sent.Keepalives, "sent UPDATEs": s.Sent.Updates,
		"attempts": s.Attempts, "connections": s.Connections, "sessions": s.Sessions, "announced": s.Announced, "withdrawn": s.Withdrawn,
	}
}

// startOther starts FRR whose session with ribtap is with the peering's localAS.
func (l *Lab) startOther(p *peering) *FRRSpeaker {
	l.t.Helper()
	f := &FRRSpeaker{FRR: &FRR{l: l, name: p.name, gen: installed, port: p.port}, p: p, more: frrMore{only4: true}}
	l.write(p.name+".conf", strings.Replace(f.config(), fmt.Sprintf("remote-as %d", ribtapAS), fmt.Sprintf("remote-as %d", p.localAS), 1))
	if err := mkdir(f.socketDir()); err != nil {
		l.t.Fatal(err)
	}
	f.Start()
	return f
}

// TestSpeakerStatus compares every field of a session's status with what the
// neighbour, or the kernel, says of the same; three neighbours know ribtap by three
// AS numbers.
func TestSpeakerStatus(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	began := time.Now()
	birdP, insideP, frrP := l.newPeering("dialled", 65020, NewFeed(230, 8, 4)), l.newPeering("inside", 64601, NewFeed(231, 12, 8)), l.newPeering("frr84", 65030, NewFeed(232, 6, 0))
	birdP.passive, birdP.far, birdP.farAS = true, "127.19.0.7", 4200000001
	birdP.ribtap = []string{"local_asn: 4200000001", "router_id: 10.0.0.98", "hold_time: 6s"}
	insideP.ribtap = []string{"local_asn: 64601"}
	frrP.localAS, frrP.ribtap = 64602, []string{"local_asn: 64602", "hold_time: 6s"}
	rt := l.StartSpeaker("", birdP, insideP, frrP)
	inside, frr := l.startInside(insideP), l.startOther(frrP)
	bird := l.StartBirdSpeaker(bird2, birdP, birdMore{})
	names := []string{birdP.name, insideP.name, frrP.name}
	l.await("the sessions", 40*time.Second, func() error { return rt.established(names...) })
	look := func(name string) liveSession {
		l.t.Helper()
		s, _, err := rt.live(name)
		if err != nil {
			l.t.Fatal(err)
		}
		return s
	}
	routes := func() {
		l.t.Helper()
		for _, p := range []*peering{birdP, insideP, frrP} {
			l.await("routes of "+p.name, 20*time.Second, func() error {
				if s, _, err := rt.live(p.name); err != nil || s.Routes != len(p.feed.routes) {
					return errors.Join(err, fmt.Errorf("%d routes, want %d", s.Routes, len(p.feed.routes)))
				}
				return nil
			})
		}
	}
	routes()

	l.Run("AS numbers", func(t *testing.T) {
		rt.order("announce", "192.0.2.0/24", "--all", "--next-hop", "198.51.100.1", "--med", "5")
		want := Table{"192.0.2.0/24": {Origin: "IGP", NextHop: "198.51.100.1", MED: "5"}}
		for _, h := range []struct {
			hearer
			want Table
		}{{bird, want.behind(4200000001)}, {inside, want}, {frr, want.behind(64602)}} {
			l.await("the route with its path", 20*time.Second, func() error {
				got, err := h.heard()
				return errors.Join(err, differ("path", got, h.want))
			})
		}
		for name, asn := range map[string]uint32{birdP.name: 4200000001, insideP.name: 64601, frrP.name: 64602} {
			if s := look(name); s.LocalASN != asn {
				t.Errorf("%s: our AS number is %d, want %d", name, s.LocalASN, asn)
			}
		}
		out := must(bird.ctl("show", "protocols", "all", "session"))(t)
		if !hasAll(out, "Neighbor AS:      4200000001", "Neighbor ID:      10.0.0.98", "Neighbor address: 127.19.0.7") {
			t.Errorf("BIRD says %s", out)
		}
	})

	var first liveSession
	l.Run("fields", func(t *testing.T) {
		s, nulls, err := rt.live(birdP.name)
		if err != nil {
			t.Fatal(err)
		}
		first = s
		// What a neighbour without troubles has not got, and what only BMP tells.
		mayBeNull := []string{"range", "not_sent", "last_error", "last_error_at", "reason", "peer_distinguisher", "table_name", "local_port", "remote_port", "stats_sequence"}
		for _, key := range nulls {
			if !slices.Contains(mayBeNull, key) {
				t.Errorf("%s is null", key)
			}
		}
		checks := map[string]bool{
			"state":        s.State == "established" && s.Since.After(began) && s.Since.Before(time.Now()) && s.Enabled && !s.Passive && !s.Drain,
			"uptime":       s.Uptime == int(time.Since(s.Since).Seconds()) || s.Uptime == int(time.Since(s.Since).Seconds())-1,
			"identity":     s.Address == birdP.addr && s.PeerASN == 65020 && s.PeerID == "10.0.0.20" && s.LocalID == "10.0.0.98",
			"connection":   s.LocalAddress == "127.19.0.7" && strings.HasPrefix(s.Local, "127.19.0.7:") && s.Remote == fmt.Sprintf("%s:%d", birdP.addr, birdP.port),
			"hold time":    s.HoldTime == 6 && s.Keepalive == 2 && s.HoldLeft > 0 && s.HoldLeft <= 6,
			"messages":     s.ReceivedTotal == s.Received.total() && s.SentTotal == s.Sent.total() && s.Received.Opens == 1 && s.Sent.Opens == 1 && s.Received.Updates > 0,
			"times":        s.LastReceived.After(began) && s.LastSent.After(began),
			"connections":  s.Attempts > 0 && s.Connections == 1 && s.Sessions == 1,
			"routes":       s.Routes == len(birdP.feed.routes) && s.Stale == 0,
			"families":     slices.Equal(s.Families, []string{"ipv4-unicast", "ipv6-unicast"}) && len(s.FamilyStates) == 2,
			"announced":    s.Advertised == 1 && s.Announced == 1 && s.Withdrawn == 0 && s.Calculation > 0,
			"capabilities": strings.Contains(s.SentCaps, "four-octet-as 4200000001") && strings.Contains(s.ReceivedCaps, "four-octet-as 65020"),
		}
		for what, right := range checks {
			if !right {
				t.Errorf("%s is wrong: %+v", what, s)
			}
		}
		for i, n := range []int{8, 4} {
			if f := s.FamilyStates[i]; f.Routes != n || f.InitialSync != "eor" || f.Family != s.Families[i] {
				t.Errorf("family %+v, want %d routes", f, n)
			}
		}
		out := must(bird.ctl("show", "protocols", "all", "session"))(t)
		if !strings.Contains(out, "/6\n") {
			t.Errorf("BIRD's timers are not of 6 s: %s", out)
		}
		// The kernel has the connection between the same two ends.
		sockets := string(must(output("ss", "-tnH", "state", "established"))(t))
		if !slices.ContainsFunc(strings.Split(sockets, "\n"), func(line string) bool { return hasAll(line, s.Local, s.Remote) }) {
			t.Errorf("no connection from %s to %s in %s", s.Local, s.Remote, sockets)
		}
	})
	l.Run("messages as counted by GoBGP", func(*testing.T) {
		l.await("both to count the same", 20*time.Second, func() error {
			s, _, err := rt.live(insideP.name)
			n, err2 := inside.neighbor()
			if err = errors.Join(err, err2); err != nil {
				return err
			}
			of := func(g gobgpMessages) messages {
				return messages{g.Open, g.Update, g.Notification, g.Keepalive, g.Refresh}
			}
			if s.Received != of(n.State.Messages.Sent) || s.Sent != of(n.State.Messages.Received) {
				return fmt.Errorf("we received %+v and sent %+v, it sent %+v and received %+v", s.Received, s.Sent, n.State.Messages.Sent, n.State.Messages.Received)
			}
			if s.PeerID != n.State.RouterID && s.PeerID != "10.0.0.40" || s.HoldTime != n.Timers.State.HoldTime {
				return fmt.Errorf("identifier %s, hold time %v; GoBGP has %+v", s.PeerID, s.HoldTime, n)
			}
			return nil
		})
	})
	l.Run("messages as counted by FRR", func(*testing.T) {
		l.await("both to count the same", 20*time.Second, func() error {
			s, _, err := rt.live(frrP.name)
			out, err2 := frr.vtysh("show bgp neighbors json")
			if err = errors.Join(err, err2); err != nil {
				return err
			}
			var n map[string]struct {
				Hold  int `json:"bgpTimerHoldTimeMsecs"`
				Alive int `json:"bgpTimerKeepAliveIntervalMsecs"`
				Stats struct {
					OpensSent, OpensRecv, UpdatesSent, UpdatesRecv, KeepalivesSent, KeepalivesRecv int
				} `json:"messageStats"`
			}
			if err := json.Unmarshal(out, &n); err != nil {
				return err
			}
			f := n["127.0.0.1"]
			if g := f.Stats; s.Received != (messages{g.OpensSent, g.UpdatesSent, 0, g.KeepalivesSent, 0}) || s.Sent != (messages{g.OpensRecv, g.UpdatesRecv, 0, g.KeepalivesRecv, 0}) {
				return fmt.Errorf("we received %+v and sent %+v, FRR counts %+v", s.Received, s.Sent, g)
			}
			if f.Hold != int(1000*s.HoldTime) || f.Alive != int(1000*s.Keepalive) {
				return fmt.Errorf("hold time %v and keepalive %v, FRR has %d ms and %d ms", s.HoldTime, s.Keepalive, f.Hold, f.Alive)
			}
			return nil
		})
	})
	l.Run("growing", func(t *testing.T) {
		rt.order("withdraw", "192.0.2.0/24", "--all")
		rt.order("announce", "198.51.100.0/24", "--peer", birdP.name, "--next-hop", "198.51.100.1")
		birdP.feed.change(false, 0)
		bird.Reload()
		l.await("everything that counts to have grown", 20*time.Second, func() error {
			var still []string
			s := look(birdP.name)
			before := first.counters()
			for name, n := range s.counters() {
				switch {
				case n < before[name]:
					t.Fatalf("%s went from %d to %d", name, before[name], n)
				case n == before[name] && !slices.Contains([]string{"attempts", "connections", "sessions"}, name):
					still = append(still, name)
				}
			}
			if len(still) > 0 || !s.LastReceived.After(first.LastReceived) || !s.LastSent.After(first.LastSent) {
				return fmt.Errorf("as before: %v; %v, %v", still, s.LastReceived, s.LastSent)
			}
			return nil
		})
	})
	l.Run("implicit withdrawal", func(t *testing.T) {
		before := rt.settle()
		had := look(insideP.name).Routes
		for i, args := range []string{"add 203.0.113.0/24 med 1", "add 203.0.113.0/24 med 2", "del 203.0.113.0/24"} {
			must(inside.ctl(append([]string{"global", "rib"}, strings.Fields(args)...)...))(t)
			l.await("the change", 20*time.Second, func() error {
				rows, err := rt.changes(before.sequence)
				if err == nil && len(of(rows, insideP.addr)) <= i {
					err = fmt.Errorf("%d changes", len(rows))
				}
				return err
			})
		}
		var got []string
		for _, r := range of(must(rt.changes(before.sequence))(t), insideP.addr) {
			got = append(got, fmt.Sprintf("%s %s %t %s", r.Action, r.Prefix, r.Changed, r.attrs().MED))
		}
		if err := same("changes", got, []string{"announce 203.0.113.0/24 true 1", "announce 203.0.113.0/24 true 2", "withdraw 203.0.113.0/24 true "}); err != nil {
			t.Error(err)
		}
		if n := look(insideP.name).Routes; n != had {
			t.Errorf("%d routes, want %d", n, had)
		}
	})

	// ends are the causes of downs that were seen, by what was done.
	ends := map[string]string{}
	ended := func(what string, p *peering, after quiet) {
		l.t.Helper()
		d := rt.awaitDown(p.addr, after.sequence)
		ends[what] = fmt.Sprintf("%s: %s", d.Cause, d.Reason)
		if d.Notification != "" {
			ends[what] += ": " + d.Notification
		}
	}
	l.Run("killed three times", func(t *testing.T) {
		for i := 1; i <= 3; i++ {
			before := rt.settle()
			bird.proc.Kill()
			ended("connection lost", birdP, before)
			bird.Start()
			if i > 1 && look(birdP.name).State != "established" {
				rt.order("peer", "reset", birdP.name) // which ends the back-off of 4 s and more
			}
			l.await("the session to come back", 30*time.Second, func() error {
				if s := look(birdP.name); s.State != "established" || s.Sessions != 1+i {
					return fmt.Errorf("%s, %d sessions", s.State, s.Sessions)
				}
				return nil
			})
		}
		s := look(birdP.name)
		if s.Attempts < 4 || s.Connections != 4 || s.Sessions != 4 || s.LastError == "" || !s.LastErrorAt.After(first.Since) {
			t.Errorf("%d attempts, %d connections, %d sessions, last error %q at %v", s.Attempts, s.Connections, s.Sessions, s.LastError, s.LastErrorAt)
		}
		for name, least := range map[string]int{"connection_attempts": 4, "connections": 6, "established": 6} {
			if n := must(rt.metric("ribtap_bgp_" + name + "_total"))(t); int(n) < least {
				t.Errorf("the metric of %s is %v, want %d at least", name, n, least)
			}
		}
		routes()
	})
	l.Run("causes", func(t *testing.T) {
		before := rt.settle()
		rt.order("peer", "disable", frrP.name, "--reason", "T-42")
		must(inside.ctl("neighbor", insideP.remote(), "disable"))(t)
		ended("local order", frrP, before)
		ended("remote NOTIFICATION", insideP, before)
		before = rt.settle()
		rt.Reconfigure("", insideP)
		ended("taken out", birdP, before)
		if diff := cmp.Diff(map[string]string{
			"connection lost":     "session-lost: remote system closed, no NOTIFICATION",
			"local order":         "peer-down: local system closed, NOTIFICATION sent: Cease/Hard Reset (Cease/Administrative Shutdown): T-42",
			"remote NOTIFICATION": "peer-down: remote system closed, NOTIFICATION received: Cease/Administrative Shutdown",
			"taken out":           "peer-down: peer de-configured: Cease/Peer De-configured",
		}, ends); diff != "" {
			t.Errorf("causes (-want +got):\n%s", diff)
		}
	})
	rt.Stop()
}
