//go:build integration

package integration

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// pathWords are "PREFIX AS-PATH" of each path that ribtap has of the peer, sorted.
func (p *peering) pathWords() (words []string, err error) {
	rows, err := p.rt.Routes("--peer", p.addr)
	ids := map[string]bool{}
	for _, r := range rows {
		words = append(words, r.Prefix+" "+r.ASPath)
		if r.PathID == nil {
			err = errors.Join(err, fmt.Errorf("%s has no path id", r.Prefix))
			continue
		}
		if id := fmt.Sprint(r.Prefix, *r.PathID); ids[id] {
			err = errors.Join(err, fmt.Errorf("two paths of %s have the id %d", r.Prefix, *r.PathID))
		} else {
			ids[id] = true
		}
	}
	return words, err
}

// pathWords are "PREFIX AS-PATH" of each IPv4 route of the feed, with AS numbers in
// front.
func (f *Feed) pathWords(front ...uint32) (words []string) {
	for i := range f.routes {
		r := &f.routes[i]
		words = append(words, r.prefix.String()+" "+strings.Trim(fmt.Sprint(slices.Concat(front, r.path)), "[]"))
	}
	return words
}

// TestSpeakerAddPath has four daemons send two paths of each prefix, and then one
// of them (RFC 7911).
func TestSpeakerAddPath(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	const otherAS = 65101
	peer := func(name string, asn uint32, net byte) *peering {
		p := l.newPeering(name, asn, NewFeed(net, 6, 0))
		p.addPath = true
		return p
	}
	birdP, frrP, frr10P, gobgpP, openP := peer("bird2", 65020, 150), peer("frr84", 65030, 151), peer("frr103", 65031, 152), peer("gobgp", 65040, 153), peer("openbgpd", 65060, 154)
	openP.feed = NewFeed(154, 4, 0).ofOpenBGPD(openP) // its own AS number is in no path of these
	rt := l.StartSpeaker("", birdP, frrP, frr10P, gobgpP, openP)

	// other is a BIRD that gives a daemon the same prefixes.
	other := func(p *peering) *BirdSpeaker {
		q := l.newPeering("to-"+p.name, otherAS, &Feed{nextHop4: p.feed.nextHop4, nextHop6: p.feed.nextHop6, routes: slices.Clone(p.feed.routes)})
		if p == openP { // it wants a next hop that it can reach, and that is not its own
			q.feed.nextHop4 = netip.MustParseAddr(q.addr)
		}
		return l.StartBirdSpeaker(bird2, q.towards(p), birdMore{only4: true})
	}
	ofFRR := func(p *peering, gen generation) func() {
		q := other(p)
		n := "neighbor " + q.p.addr
		l.StartFRRSpeaker(gen, p, frrMore{only4: true, router: []string{
			fmt.Sprintf("%s remote-as %d", n, otherAS), n + " passive", n + " ebgp-multihop 2", n + " update-source " + p.addr,
			"address-family ipv4 unicast", " " + n + " activate", "exit-address-family",
		}})
		return func() { q.do("disable", "session") }
	}
	// Each daemon, and how one of the two paths goes.
	l.write("bird2.second", birdP.feed.second4(otherAS))
	bird := l.StartBirdSpeaker(bird2, birdP, birdMore{only4: true, top: fmt.Sprintf("protocol static second { ipv4 { preference 10; };\ninclude %q;\n}", l.path("bird2.second"))})
	gobgp := l.StartGoBGPSpeaker(installed, gobgpP)
	for i := range gobgpP.feed.routes {
		r := gobgpP.feed.routes[i]
		r.path = append([]uint32{otherAS}, r.path...)
		gobgp.rib("add", &r, "identifier", "7")
	}
	toOpen := other(openP)
	l.StartOpenBGPD(openP, fmt.Sprintf("neighbor %s {\n remote-as %d\n passive\n multihop 2\n local-address %s\n announce IPv4 unicast\n}", toOpen.p.addr, otherAS, openP.addr))
	daemons := []struct {
		*peering
		drop func()
	}{
		{birdP, func() { bird.do("disable", "second") }},
		{frrP, ofFRR(frrP, installed)},
		{frr10P, ofFRR(frr10P, newer)},
		{gobgpP, func() {
			for i := range gobgpP.feed.routes {
				must(gobgp.ctl("global", "rib", "del", gobgpP.feed.routes[i].prefix.String(), "identifier", "7", "-a", "ipv4"))(l.t)
			}
		}},
		{openP, func() { toOpen.do("disable", "session") }},
	}

	l.Run("two", func(*testing.T) {
		for _, d := range daemons {
			l.Run(d.name, func(*testing.T) {
				want := append(d.feed.pathWords(d.asn), d.feed.pathWords(d.asn, otherAS)...)
				l.await("two paths of each prefix", 40*time.Second, func() error {
					words, err := d.pathWords()
					return errors.Join(err, same("paths", words, want))
				})
			})
		}
	})
	before := rt.settle()
	for _, d := range daemons {
		d.drop()
	}
	l.Run("one", func(*testing.T) {
		for _, d := range daemons {
			l.Run(d.name, func(t *testing.T) {
				l.await("one path of each prefix", 20*time.Second, func() error {
					words, err := d.pathWords()
					return errors.Join(err, same("paths", words, d.feed.pathWords(d.asn)))
				})
				if err := withdrawnWith("update", news(of(must(rt.changes(before.sequence))(t), d.addr)), d.feed.prefixesOf().prefixes()); err != nil {
					t.Error(err)
				}
			})
		}
	})
	rt.Stop()
}

// second4 are the feed's IPv4 routes as BIRD's static routes, with an AS number in
// front of the paths.
func (f *Feed) second4(as uint32) string {
	g := Feed{routes: slices.Clone(f.routes)}
	for i := range g.routes {
		g.routes[i].path = append([]uint32{as}, g.routes[i].path...)
	}
	return g.bird(false)
}

// TestSpeakerEncodings has BIRD use what few sessions do: messages of more than
// 4096 octets, IPv4 routes with IPv6 next hops, and two-octet AS numbers.
func TestSpeakerEncodings(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	longP, hopP, oldP := l.newPeering("longmessage", 65021, NewFeed(160, 4, 2)), l.newPeering("nexthop6", 65022, NewFeed(161, 12, 4)), l.newPeering("old", 65023, NewFeed(162, 24, 12))
	hopP.feed.nextHop4 = hopP.feed.nextHop6
	rt := l.StartSpeaker("", longP, hopP, oldP)

	// 3,000 communities beside those that the first route has anyhow.
	const many = 3000
	first := &longP.feed.routes[0]
	var filter strings.Builder
	fmt.Fprintf(&filter, "if net = %s then {", first.prefix)
	for i := range many {
		fmt.Fprintf(&filter, " bgp_community.add((65021,%d));", i)
	}
	filter.WriteString(" }")
	l.StartBirdSpeaker(bird2, longP, birdMore{session: "enable extended messages on;", filter4: filter.String()})
	l.StartBirdSpeaker(bird2, hopP, birdMore{channel4: "extended next hop on;"})
	l.StartBirdSpeaker(bird2, oldP, birdMore{session: "enable as4 off;"})
	for i := range many {
		first.communities = append(first.communities, fmt.Sprintf("65021:%d", i))
	}

	l.Run("extended messages", func(*testing.T) { rt.awaitRoutes("the routes", 40*time.Second, longP.wanted()...) })
	l.Run("extended next hop", func(*testing.T) { rt.awaitRoutes("the routes", 20*time.Second, hopP.wanted()...) })
	l.Run("two-octet AS numbers", func(t *testing.T) {
		rt.awaitRoutes("the routes with merged paths", 20*time.Second, oldP.wanted()...)
		if s := must(rt.session(oldP.name))(t); strings.Contains(s.ReceivedCapabilities, "four-octet-as") {
			t.Errorf("BIRD is not old: %s", s.ReceivedCapabilities)
		}
	})
	rt.Stop()
}
