//go:build integration

package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"
)

// gobgpNeighbor is what GoBGP says of its session with ribtap.
type gobgpNeighbor struct {
	State struct {
		PeerASN   uint32 `json:"peer_asn"`
		RouterID  string `json:"router_id"`
		LocalASN  uint32 `json:"local_asn"`
		Messages  struct{ Received, Sent gobgpMessages }
		SessionUp int `json:"session_state"`
	} `json:"state"`
	Timers struct {
		State struct {
			HoldTime  float64 `json:"negotiated_hold_time"`
			Keepalive float64 `json:"keepalive_interval"`
		} `json:"state"`
	} `json:"timers"`
}

type gobgpMessages struct{ Open, Update, Notification, Keepalive, Refresh, Total int }

func (g *GoBGPSpeaker) neighbor() (n gobgpNeighbor, err error) {
	out, err := g.ctl("neighbor", g.p.remote(), "-j")
	if err == nil {
		err = json.Unmarshal(out, &n)
	}
	return n, err
}

// localPrefs are LOCAL_PREF of what GoBGP has from ribtap.
func (g *GoBGPSpeaker) localPrefs() (map[string]string, error) {
	out, err := g.ctl("neighbor", g.p.remote(), "adj-in", "-j")
	if err != nil {
		return nil, err
	}
	var answer map[string][]struct {
		Attrs []struct {
			Type  int             `json:"type"`
			Value json.RawMessage `json:"value"`
		} `json:"attrs"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return nil, err
	}
	prefs := map[string]string{}
	for prefix, paths := range answer {
		for _, a := range paths[0].Attrs {
			if a.Type == 5 { // LOCAL_PREF
				prefs[prefix] = string(a.Value)
			}
		}
	}
	return prefs, nil
}

// startInside starts a GoBGP that is in one AS with ribtap, its own.
func (l *Lab) startInside(p *peering) *GoBGPSpeaker {
	l.t.Helper()
	g := &GoBGPSpeaker{GoBGP: &GoBGP{l: l, name: p.name, gen: installed, api: l.freePort(gobgpAddress)}, p: p}
	l.write(p.name+".toml", strings.Replace(g.config(), fmt.Sprintf("peer-as = %d", ribtapAS), fmt.Sprintf("peer-as = %d", p.asn), 1))
	g.Start()
	return g
}

// withSecond starts a BIRD with a second session, in which it waits for ribtap and
// announces what it has of the prefix from the first. BIRD has one session with an
// address, so ribtap must come from another.
func (l *Lab) withSecond(p, relay *peering, prefix string) *BirdSpeaker {
	l.t.Helper()
	b := &BirdSpeaker{l: l, version: bird2, p: p, more: birdMore{session: "debug { routes };"}}
	config := b.config() + fmt.Sprintf(`protocol bgp relay {
  local %s port %d as %d; neighbor %s as %d; passive on; multihop 2;
  ipv4 { import none; export where net ~ %s && proto = "session"; };
}
`, relay.addr, relay.port, relay.asn, relay.remote(), relay.remoteAS(), prefix)
	l.write(p.name+".conf", config)
	b.Start()
	return b
}

// TestSpeakerExport changes what ribtap announces while sessions are up, and looks
// at what neighbours make of each change.
func TestSpeakerExport(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	insideP, birdP, relayP := l.newPeering("inside", 64601, nil), l.newPeering("bird2", 65020, nil), l.newPeering("relay", 65020, nil)
	insideP.ribtap = []string{"local_asn: 64601"}
	relayP.passive, relayP.far, relayP.farAS = true, "127.19.0.8", ribtapAS
	all := []*peering{insideP, birdP, relayP}
	const beacon = "203.0.113.0/24"
	rt := l.StartSpeaker("", all...)
	inside, bird := l.startInside(insideP), l.withSecond(birdP, relayP, beacon)
	names := []string{insideP.name, birdP.name, relayP.name}
	l.await("the sessions", 40*time.Second, func() error { return rt.established(names...) })
	since := rt.settle()

	const routes = 20
	list := func(med, pref int) (Table, string) {
		want, text := Table{}, "  announce:\n"
		for i := range routes {
			prefix := fmt.Sprintf("198.18.%d.0/24", i)
			want[prefix] = Attrs{Origin: "IGP", NextHop: "198.51.100.1", MED: fmt.Sprint(med)}
			text += fmt.Sprintf("    - {prefix: %s, next_hop: 198.51.100.1, med: %d, local_pref: %d}\n", prefix, med, pref)
		}
		return want, text
	}
	hears := func(has hearer, what string, want Table) {
		l.t.Helper()
		l.await(what, 20*time.Second, func() error {
			got, err := has.heard()
			return errors.Join(err, differ(what, got, want))
		})
	}
	want, text := list(0, 100)
	updates := func() int { l.t.Helper(); return must(inside.neighbor())(l.t).State.Messages.Received.Update }

	l.Run("MED and LOCAL_PREF", func(t *testing.T) {
		rt.Reconfigure(text, all...)
		hears(inside, "GoBGP to have the routes", want)
		hears(bird, "BIRD to have the routes", want.behind(ribtapAS))
		before, sentBefore := updates(), must(rt.session(insideP.name))(t)
		want, text = list(123, 200)
		rt.Reconfigure(text, all...)
		hears(inside, "GoBGP to have the routes once more", want)
		for prefix, pref := range must(inside.localPrefs())(t) {
			if pref != "200" {
				t.Errorf("%s has LOCAL_PREF %s", prefix, pref)
			}
		}
		if got := updates() - before; got != 1 {
			t.Errorf("%d UPDATEs for a change of all routes, want 1", got)
		}
		hears(bird, "BIRD to have the routes once more", want.behind(ribtapAS))
		rows := must(cli[[]struct {
			Name       string `json:"name"`
			Announced  int    `json:"announced_routes"`
			Advertised int    `json:"advertised_routes"`
		}](rt, "peers"))(t)
		for _, r := range rows {
			if r.Name == insideP.name && (r.Announced != 2*routes || r.Advertised != sentBefore.Advertised) {
				t.Errorf("%d announced, %d advertised, want %d and %d", r.Announced, r.Advertised, 2*routes, sentBefore.Advertised)
			}
		}
	})
	l.Run("list", func(t *testing.T) {
		rt.order("announce", "192.0.2.0/24", "--peer", insideP.name, "--med", "7", "--next-hop", "198.51.100.2", "--as-path", "65100 65101", "--local-pref", "50")
		want["192.0.2.0/24"] = Attrs{Origin: "IGP", NextHop: "198.51.100.2", MED: "7", ASPath: "65100 65101"}
		hears(inside, "GoBGP to have what was ordered", want)
		prefs := must(inside.localPrefs())(t)
		var ours, theirs []string
		for _, r := range must(cli[[]struct {
			Peer      string   `json:"peer"`
			Route     string   `json:"route"`
			NextHop   string   `json:"next_hop"`
			ASPath    []uint32 `json:"as_path"`
			MED       int      `json:"med"`
			LocalPref int      `json:"local_pref"`
		}](rt, "announce", "--list"))(t) {
			if r.Peer == insideP.name {
				ours = append(ours, fmt.Sprintf("%s %s %v %d %d", r.Route, r.NextHop, r.ASPath, r.MED, r.LocalPref))
			}
		}
		for prefix, a := range must(inside.heard())(t) {
			theirs = append(theirs, fmt.Sprintf("%s %s [%s] %s %s", prefix, a.NextHop, a.ASPath, a.MED, prefs[prefix]))
		}
		if err := same("what is listed against what GoBGP has", ours, theirs); err != nil {
			t.Error(err)
		}
		rt.order("withdraw", "192.0.2.0/24", "--peer", insideP.name)
		delete(want, "192.0.2.0/24")
	})
	l.Run("reject", func(t *testing.T) {
		before := must(os.ReadFile(l.path("bird2.log")))(t)
		birdP.ribtap = []string{`reject: ["198.18.3.0/24"]`}
		rt.Reconfigure(text, all...)
		hears(bird, "BIRD to lose one route", want.without("198.18.3.0/24").behind(ribtapAS))
		after := string(must(os.ReadFile(l.path("bird2.log")))(t)[len(before):])
		var seen []string
		for line := range strings.Lines(after) {
			if _, what, ok := strings.Cut(line, "session.ipv4 > "); ok {
				seen = append(seen, strings.Join(strings.Fields(what)[:3], " "))
			}
		}
		if err := same("what BIRD saw", seen, []string{"removed [sole] 198.18.3.0/24"}); err != nil {
			t.Error(err, after)
		}
		hears(inside, "GoBGP to have it still", want)
	})
	l.Run("accept", func(*testing.T) {
		birdP.ribtap = []string{`reject: ["198.18.0.0/15"]`, `accept: ["198.18.3.0/24"]`}
		rt.Reconfigure(text, all...)
		hears(bird, "BIRD to have one route", want.only("198.18.3.0/24").behind(ribtapAS))
		birdP.ribtap = nil
		rt.Reconfigure(text, all...)
		hears(bird, "BIRD to have all of them", want.behind(ribtapAS))
	})
	l.Run("IPv6 next hops", func(t *testing.T) {
		const prefix = "2001:db8:1::/48"
		rt.order("announce", prefix, "--all", "--next-hop", "2001:db8::99", "--link-local", "fe80::99")
		more := maps.Clone(want)
		more[prefix] = Attrs{Origin: "IGP", NextHop: "2001:db8::99"}
		hears(bird, "BIRD to have the route", more.behind(ribtapAS))
		out := must(bird.ctl("show", "route", "all", prefix))(t)
		if !strings.Contains(out, "BGP.next_hop: 2001:db8::99 fe80::99") {
			t.Errorf("BIRD has %s", out)
		}
		rt.order("withdraw", prefix, "--all")
	})
	l.Run("beacon", func(t *testing.T) {
		before := rt.settle()
		const phase = 2 * time.Second
		rt.order("announce", beacon, "--peer", birdP.name, "--beacon", fmt.Sprintf("%v/%v", phase, phase))
		var rows []Route
		l.await("the beacon to come and go, by way of BIRD", 20*time.Second, func() (err error) {
			rows, err = rt.changes(before.sequence)
			if rows = of(rows, relayP.addr); err == nil && len(rows) < 4 {
				err = fmt.Errorf("%d changes", len(rows))
			}
			return err
		})
		rt.order("withdraw", beacon, "--peer", birdP.name)
		for i, r := range rows {
			at := must(time.Parse(time.RFC3339Nano, r.ReceivedAt))(t)
			late, action := time.Duration(at.UnixNano())%(2*phase), "announce"
			if late >= phase {
				late, action = late-phase, "withdraw"
			}
			// The first may come at any moment of the phase in which it was ordered.
			if r.Prefix != beacon || r.Action != action || late > time.Second && i > 0 {
				t.Errorf("%s of %s at %s, %v into a phase of %s", r.Action, r.Prefix, r.ReceivedAt, late, action)
			}
			if path := fmt.Sprintf("%d %d", relayP.asn, ribtapAS); r.Action == "announce" && (r.ASPath != path || !strings.Contains(r.Flags, "as-loop")) {
				t.Errorf("path %q with flags %q, want our own AS number in it, and the flag", r.ASPath, r.Flags)
			}
		}
	})
	l.Run("no session was reset", func(t *testing.T) {
		rt.settle()
		for _, p := range all {
			if events := must(rt.peerEvents(p.addr, since.sequence))(t); len(events) != 0 {
				t.Errorf("%s: %+v", p.name, events)
			}
		}
		if err := rt.established(names...); err != nil {
			t.Error(err)
		}
	})
	rt.Stop()
}
