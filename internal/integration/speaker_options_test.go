//go:build integration

package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestSpeakerOptions has one daemon for each thing that ribtap's configuration, or
// the daemon's, may ask of a session.
func TestSpeakerOptions(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	peer := func(name string, asn uint32, net byte, n int, ribtap ...string) *peering {
		p := l.newPeering(name, asn, NewFeed(net, n, 0))
		p.ribtap = ribtap
		return p
	}
	// The range takes two of its three, and none of the one that has an entry.
	rangeP := peer("range", 0, 0, 0, "limit: 2")
	rangeP.addr = "127.18.0.0/24"
	var within []*peering
	for i := range 4 {
		p := peer(fmt.Sprintf("within%d", i), uint32(65101+i), byte(210+i), 4)
		p.addr = fmt.Sprintf("127.18.0.%d", i+1)
		within = append(within, p)
	}
	ownP := within[3]
	mirrorP := peer("mirror", 65024, 214, 8, "local_asn: mirror")
	mirrorP.localAS = mirrorP.asn
	roleP, mismatchP := peer("role", 65025, 215, 4, "role: customer"), peer("mismatch", 65026, 216, 4, "role: customer")
	terminateP := peer("terminate", 65027, 217, 12, "max_prefixes: [{family: ipv4-unicast, max: 10, action: terminate}]")
	discardP := peer("discard", 65028, 218, 12, "max_prefixes: [{family: ipv4-unicast, max: 10, action: discard}]")
	gshutP, orfP := peer("gshut", 65030, 219, 8), peer("orf", 65031, 220, 8)
	badP := peer("exabgp", 65050, 221, 4)
	familiesP := peer("gobgp", 65040, 222, 1, "families: [ipv4-unicast, ipv6-unicast, l3vpn-ipv4-unicast, l2vpn-evpn, ipv4-flowspec]")

	entry := func(p *peering) string {
		return strings.Replace(p.entry(), "remote_asn: 0", "remote_asn: [65101, 65102, 65103]", 1)
	}
	peers := []*peering{rangeP, ownP, mirrorP, roleP, mismatchP, terminateP, discardP, gshutP, orfP, badP, familiesP}
	rt := l.NewSpeaker("", peers...)
	rt.configure(strings.Replace(speakerConfig("  refuse_unknown: true\n", ownP.to, peers), rangeP.entry(), entry(rangeP), 1))
	rt.Start()
	for _, p := range within {
		p.rt, p.to = rt, ownP.to
	}

	gobgp := l.StartGoBGPSpeaker(installed, familiesP, "l3vpn-ipv4-unicast", "l2vpn-evpn", "ipv4-flowspec")
	exa := l.StartExaBGP(badP)
	start := func(p *peering, session string) *BirdSpeaker {
		return l.StartBirdSpeaker(bird2, p, birdMore{only4: true, session: session})
	}
	for _, p := range within[:2] {
		start(p, "")
	}
	start(ownP, "")
	start(mirrorP, "")
	start(roleP, "local role provider;")
	mismatch, terminate := start(mismatchP, "local role peer;"), start(terminateP, "")
	start(discardP, "")
	l.StartFRRSpeaker(installed, gshutP, frrMore{only4: true, router: []string{"bgp graceful-shutdown"}})
	l.StartFRRSpeaker(installed, orfP, frrMore{only4: true, family: []string{"neighbor 127.0.0.1 capability orf prefix-list both"}})

	routes := func(p *peering) []Route {
		l.t.Helper()
		return must(rt.Routes("--peer", p.addr))(l.t)
	}
	birdSays := func(b *BirdSpeaker, words string) {
		l.t.Helper()
		l.await(b.p.name+" to say "+words, 20*time.Second, func() error {
			out, err := b.ctl("show", "protocols", "all", "session")
			if err == nil && !strings.Contains(out, words) {
				err = fmt.Errorf("it says %s", clip(out, 600))
			}
			return err
		})
	}

	l.Run("range", func(t *testing.T) {
		for _, p := range []*peering{within[0], within[1], ownP} {
			rt.awaitRoutes("routes of "+p.addr, 20*time.Second, listing{p.view(false), p.feed.Table(false, p.asn)})
		}
		birdSays(start(within[2], ""), "Received: Connection rejected")
		body := must(httpGet("http://" + rt.http + "/v1/peers"))(t)
		for addr, name := range map[string]string{"127.18.0.1": "range", "127.18.0.2": "range", "127.18.0.4": "within3"} {
			if !strings.Contains(body, fmt.Sprintf(`"peer_address":%q`, addr)) {
				t.Errorf("%s of %s is not among the peers: %s", addr, name, clip(body, 2000))
			}
		}
		if strings.Contains(body, "127.18.0.3") {
			t.Error("the third of the range has a session")
		}
	})
	l.Run("mirrored AS number", func(*testing.T) {
		want := Table{}
		for prefix, a := range mirrorP.feed.Table(false, mirrorP.asn) {
			_, a.ASPath, _ = strings.Cut(a.ASPath, " ")
			want[prefix] = a
		}
		rt.awaitRoutes("routes of an internal session", 20*time.Second, listing{mirrorP.view(false), want})
	})
	l.Run("roles", func(t *testing.T) {
		rt.awaitRoutes("routes of a provider", 20*time.Second, listing{roleP.view(false), roleP.feed.Table(false, roleP.asn)})
		rows := must(query[struct {
			OTC uint32 `json:"otc"`
		}](rt, "SELECT otc FROM routes WHERE peer_address = '%s' AND otc = %d", roleP.addr, roleP.asn))(t)
		if len(rows) != len(roleP.feed.routes) {
			t.Errorf("%d routes with ONLY_TO_CUSTOMER, want %d", len(rows), len(roleP.feed.routes))
		}
		birdSays(mismatch, "Role mismatch")
		if s := must(rt.session(mismatchP.name))(t); s.Sessions != 0 {
			t.Errorf("a session with roles that do not fit: %+v", s)
		}
	})
	l.Run("limits", func(t *testing.T) {
		birdSays(terminate, "Received: Maximum number of prefixes reached")
		l.await("ten routes", 20*time.Second, func() error {
			s, err := rt.session(discardP.name)
			if err == nil && (s.Routes != 10 || s.State != "established") {
				err = fmt.Errorf("%d routes, %s", s.Routes, s.State)
			}
			return err
		})
		if n := len(routes(discardP)); n != 10 {
			t.Errorf("%d routes in the history, want 10", n)
		}
	})
	l.Run("graceful shutdown", func(t *testing.T) {
		l.await("routes", 20*time.Second, func() error {
			if n := len(routes(gshutP)); n != len(gshutP.feed.routes) {
				return fmt.Errorf("%d routes", n)
			}
			return nil
		})
		for _, r := range routes(gshutP) {
			if !strings.Contains(r.Flags, "gshut") {
				t.Errorf("%s has flags %q", r.Prefix, r.Flags)
			}
		}
	})
	l.Run("ORF", func(*testing.T) {
		rt.awaitRoutes("routes of a neighbour that would filter", 20*time.Second, listing{orfP.view(false), orfP.feed.Table(false, orfP.asn)})
	})
	l.Run("malformed", func(t *testing.T) {
		rt.awaitRoutes("ExaBGP's routes", 20*time.Second, listing{badP.view(false), badP.feed.Table(false, badP.asn)})
		before := rt.settle()
		bad := badP.feed.routes[1].prefix.String()
		// MULTI_EXIT_DISC of two octets (RFC 7606 §7.4).
		exa.order("announce route %s next-hop %s attribute [ 0x04 0x80 0x0102 ]", bad, badP.feed.nextHop4)
		rt.awaitRoutes("the route to go", 20*time.Second, listing{badP.view(false), badP.feed.Table(false, badP.asn).without(bad)})
		if err := withdrawnWith("treat-as-withdraw", of(must(rt.changes(before.sequence))(t), badP.addr), []string{bad}); err != nil {
			t.Error(err)
		}
		if err := rt.established(badP.name); err != nil {
			t.Error(err)
		}
	})
	l.Run("families", func(*testing.T) {
		for _, route := range []string{
			"10.1.0.0/16 label 100 rd 65040:1 rt 65040:1 nexthop 192.0.2.40 -a vpnv4",
			"10.1.0.0/16 label 101 rd 65040:2 rt 65040:2 nexthop 192.0.2.40 -a vpnv4",
			"macadv aa:bb:cc:dd:ee:01 10.0.0.1 esi 0 etag 100 label 201 rd 65040:1 rt 65040:1 encap vxlan -a evpn",
			"match destination 198.51.100.0/24 protocol tcp destination-port ==80 then discard -a ipv4-flowspec",
		} {
			must(gobgp.ctl(append([]string{"global", "rib", "add"}, strings.Fields(route)...)...))(l.t)
		}
		want := []string{
			"ipv4-unicast " + familiesP.feed.routes[0].prefix.String() + "  ",
			"l3vpn-ipv4-unicast 10.1.0.0/16 65040:1 100", "l3vpn-ipv4-unicast 10.1.0.0/16 65040:2 101",
			"l2vpn-evpn [type:macadv][rd:65040:1][etag:100][mac:aa:bb:cc:dd:ee:01][ip:10.0.0.1] 65040:1 ",
			"ipv4-flowspec destination 198.51.100.0/24 protocol ==6 destination-port ==80  ",
		}
		l.await("routes of each family", 20*time.Second, func() error {
			var got []string
			for _, r := range routes(familiesP) {
				got = append(got, fmt.Sprintf("%s %s %s %s", r.Family, r.Prefix, r.RD, strings.Trim(r.Labels, "[]")))
			}
			return same("routes", got, want)
		})
	})
	rt.Stop()
}
