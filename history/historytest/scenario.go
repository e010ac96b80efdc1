package historytest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
)

// Hostile is what a router may put into any text.
const Hostile = "a\x00b\xff\xfe\x1b[31mc\n'; DROP TABLE route; --"

// Reach is an UPDATE event with an MP_REACH_NLRI of any family.
func Reach(afi uint16, safi byte, nextHop, nlri []byte, attrs []byte) event.Event {
	v := append([]byte{byte(afi >> 8), byte(afi), safi, byte(len(nextHop))}, nextHop...)
	v = append(append(v, 0), nlri...)
	return RouteEvent(0, UpdateMessage(nil, append(Attribute(0x80, 14, v), attrs...), nil))
}

// Unreach is its withdrawal.
func Unreach(afi uint16, safi byte, nlri []byte) event.Event {
	v := append([]byte{byte(afi >> 8), byte(afi), safi}, nlri...)
	return RouteEvent(0, UpdateMessage(nil, Attribute(0x80, 15, v), nil))
}

// Scenario is something of everything that a store keeps, numbered from 1: ups
// and downs, statistics, all kinds of NLRI, late imports, hostile text, values at
// their ends, what cannot be read, and two thousand random changes.
func Scenario(seed uint64) []event.Event {
	var all []event.Event
	add := func(e ...event.Event) { all = append(all, e...) }

	add(event.Event{Kind: event.KindRouterUp, Source: event.SourceBMP, Router: Router}, PeerUp(event.AdjRIBInPre), PeerUp(event.AdjRIBInPost))
	add(families()...)
	add(sessions()...)
	add(extremes()...)
	add(hostile()...)
	add(random(seed)...)
	add(late()...)
	return Number(0, all)
}

func families() []event.Event {
	v4 := []byte{198, 51, 100, 1}
	set := Attributes([]uint32{65001})
	vpn := []byte{88 + 16, 0, 0x06, 0x41, 0, 0, 0xfd, 0xe8, 0, 0, 0, 1, 10, 1}
	labelled := []byte{24 + 8, 0, 0x06, 0x41, 10}
	flow := []byte{5, 1, 24, 10, 0, 1}
	long := append([]byte{0xf0 | 3000>>8, byte(3000 & 0xff)}, bytes.Repeat([]byte{3, 0x81, 6}, 1000)...)
	path := RouteEvent(0, UpdateMessage(nil, append(set, Attribute(0x40, 3, v4)...), []byte{0, 0, 0, 7, 8, 10, 0, 0, 0, 9, 8, 10}))
	path.Session.AddPath = path.Session.AddPath.With(bgp.IPv4Unicast)
	return []event.Event{
		Reach(1, 128, append(make([]byte, 8), v4...), vpn, set), Reach(1, 4, v4, labelled, set),
		Reach(1, 133, nil, flow, set), Reach(99, 99, v4, []byte{1, 2, 3}, set), Reach(99, 99, v4, bytes.Repeat([]byte{9}, 40), set),
		Reach(1, 133, nil, long, set), path,
		Unreach(1, 128, append([]byte{88 + 16, 0x80, 0, 0}, vpn[4:]...)), Unreach(1, 133, flow), Unreach(99, 99, []byte{1, 2, 3}),
		RouteEvent(0, Announce(set, Prefixes("10.0.0.0/8", "::ffff:1.2.3.0/120", "0.0.0.0/0")[:1]...)),
		RouteEvent(0, Announce(set, Prefixes("::/0", "2001:db8::/32", "2001:db8:0:1::/64")...)),
	}
}

func sessions() []event.Event {
	down := event.Event{
		Kind: event.KindPeerDown, Source: event.SourceBMP, RIB: event.AdjRIBInPost, Router: Router, Peer: Peer, Reason: 5,
		Cause: event.CausePeerDown,
	}
	notified := down
	notified.RIB, notified.Reason, notified.PDU = event.AdjRIBInPre, 3, Message(3, append([]byte{6, 2, 4}, "work"...))
	newer := *Router
	newer.Session = 2
	newPeer := *Peer
	newPeer.Router, newPeer.Epoch, newPeer.ASN = &newer, 2, 65002
	second := PeerUp(event.AdjRIBInPre)
	second.Router, second.Peer = &newer, &newPeer
	state := event.Event{Kind: event.KindState, Source: event.SourceMRT, Router: Router, Peer: Peer, Text: "Active to OpenSent"}
	message := state
	message.PDU = Message(3, []byte{6, 4})
	keepalive := state
	keepalive.PDU = Message(4, nil)
	stats := event.Event{
		Kind: event.KindStats, Source: event.SourceBMP, RIB: event.AdjRIBInPre, Router: Router, Peer: Peer,
		Stats: []event.Stat{
			{Type: 7, Name: "adj-rib-in routes", Value: 1<<64 - 1, OK: true, Raw: bytes.Repeat([]byte{0xff}, 8)},
			{Type: 9, Name: "per-family", Family: bgp.IPv6Unicast, Value: 1<<63 - 1, OK: true, Raw: []byte{1}},
			{Type: 999, Raw: []byte{1, 2, 3}},
			{Type: 10, Value: 1 << 63, OK: true},
			{Type: 11, OK: true},
			{Type: 12, Value: 10_000, OK: true},
		},
	}
	again := stats
	again.Stats = []event.Stat{{Type: 7, Value: 100_000_001, OK: true}}
	return []event.Event{
		down, notified, PeerUp(event.AdjRIBInPre), second,
		{Kind: event.KindPeerDown, Router: Router, Peer: Peer, Cause: event.CauseSuperseded, Flags: event.FlagInferred},
		state, message, keepalive, stats, again,
		{Kind: event.KindGap, Cause: event.CauseOverflow, Lost: 1<<64 - 1, Start: T0, End: T0 + Second, Text: "full\x00disk"},
		{Kind: event.KindGap, Cause: event.CauseCollectorStop, Router: Router},
		{Kind: event.KindImport, Source: event.SourceMRT, Text: "updates.20250615.gz"},
		{Kind: event.KindMirror, Router: Router, Peer: Peer},
		{Kind: event.KindRefresh, Router: Router, Peer: Peer},
		{Kind: event.KindRouterDown, Router: Router, Cause: event.CauseSessionLost, Flags: event.FlagInferred},
		{Kind: event.KindRouterDown, Source: event.SourceBMP, Router: &newer, Reason: 1},
	}
}

func extremes() []event.Event {
	peer := *Peer
	peer.ASN, peer.Epoch, peer.LocalASN = 1<<32-1, 1<<32-1, 1<<32-1
	peer.Address, peer.BGPID, peer.LocalAddress = netip.Addr{}, netip.Addr{}, netip.Addr{}
	peer.Type, peer.Distinguisher = event.PeerRD, bgp.RD{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	med := Attribute(0x80, 4, []byte{0xff, 0xff, 0xff, 0xff})
	e := RouteEvent(0, Announce(Attributes([]uint32{1<<32 - 1}, med), Prefixes("0.0.0.0/0", "255.255.255.255/32")...))
	e.Peer, e.RIB = &peer, event.LocRIB
	e.Received, e.Observed = T0, event.Time(4294967295)*Second+999_999_000
	six := RouteEvent(0, Announce(Attributes(nil), Prefixes("::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128")...))
	six.Peer, six.RIB = &peer, event.RIB(13)
	cut := Announce(Attributes([]uint32{65001}), Prefixes("10.0.0.0/8")...)
	cut = cut[:len(cut)-1]
	cut[17]--
	unreadable := RouteEvent(0, cut)
	unreadable.Flags = event.FlagDropped
	noted := RouteEvent(0, Withdraw(Prefixes("10.99.0.0/16")...))
	noted.Marks = []event.Mark{event.MarkNoted}
	return []event.Event{e, six, unreadable, noted}
}

func hostile() []event.Event {
	router := &event.Router{Name: Hostile, Address: netip.MustParseAddr("fe80::1"), SysName: Hostile, SysDescr: Hostile, Session: 1}
	peer := *Peer
	peer.Router, peer.Table = router, Hostile
	up := PeerUp(event.AdjRIBInPre)
	up.Router, up.Peer, up.Text = router, &peer, Hostile
	// A capability with the same in its text (FQDN, draft-walton-bgp-hostname).
	caps := append([]byte{73, byte(2 + len(Hostile)), byte(len(Hostile))}, Hostile...)
	caps = append(caps, 0)
	body := []byte{4, 0xfd, 0xe9, 0, 180, 198, 51, 100, 1, byte(2 + len(caps)), 2, byte(len(caps))}
	up.PDU = Message(1, append(body, caps...))
	route := RouteEvent(0, Announce(Attributes([]uint32{65001}), Prefixes("10.0.0.0/8")...))
	route.Router, route.Peer = router, &peer
	return []event.Event{
		{Kind: event.KindRouterUp, Source: event.SourceBMP, Router: router, Text: Hostile},
		up, route,
		{
			Kind: event.KindPeerDown, Source: event.SourceBMP, Router: router, Peer: &peer, Reason: 1,
			PDU: Message(3, append([]byte{6, 2, byte(len(Hostile))}, Hostile...)),
		},
		{Kind: event.KindStats, Router: router, Peer: &peer, Stats: []event.Stat{{Type: 1, Name: Hostile, Value: 1, OK: true}}},
		{Kind: event.KindGap, Text: Hostile},
		{Kind: event.KindImport, Text: Hostile},
		{Kind: event.KindUnknown, Router: router, Peer: &peer, Text: Hostile, PDU: []byte(Hostile)},
		{Kind: 200, Router: router, Text: Hostile},
	}
}

// random changes the routes of a few prefixes, peers and path identifiers.
func random(seed uint64) []event.Event {
	rng := rand.New(rand.NewPCG(seed, 2))
	var peers []*event.Peer
	for i := range 4 {
		p := *Peer
		p.Address = netip.AddrFrom4([4]byte{198, 51, 100, byte(10 + i)})
		p.ASN = uint32(65010 + i)
		peers = append(peers, &p)
	}
	var out []event.Event
	for range 2000 {
		var ps []netip.Prefix
		for range 1 + rng.IntN(4) {
			if rng.IntN(4) > 0 {
				ps = append(ps, netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(rng.IntN(8)), byte(rng.IntN(8)), 0}), 24))
			}
		}
		if len(ps) == 0 {
			ps = Prefixes(fmt.Sprintf("2001:db8:%x::/48", rng.IntN(32)))
		}
		e := RouteEvent(0, Withdraw(ps...))
		if rng.IntN(3) > 0 {
			e = RouteEvent(0, Announce(Attributes([]uint32{65001, uint32(rng.IntN(20))}, Communities(rng.Uint32N(5))), ps...))
		}
		e.Peer = peers[rng.IntN(len(peers))]
		e.RIB = event.AdjRIBInPre + event.RIB(rng.IntN(2))
		e.Flags |= []event.Flags{0, 0, event.FlagOTCLeak, event.FlagClusterLoop | event.FlagTrailing}[rng.IntN(4)]
		e.Marks = nil
		for range ps {
			e.Marks = append(e.Marks, event.Mark(rng.IntN(4)))
		}
		out = append(out, e)
	}
	return out
}

// late are changes out of an old file: some are of routes that newer changes
// are known of, some are not.
func late() []event.Event {
	var out []event.Event
	for i := range 200 {
		p := Prefixes(fmt.Sprintf("20.%d.%d.0/24", i%16, i/16%8))
		e := RouteEvent(0, Announce(Attributes([]uint32{65001, uint32(i)}), p...))
		if i%3 == 0 {
			e = RouteEvent(0, Withdraw(p...))
		}
		peer := *Peer
		peer.Address, peer.ASN = netip.AddrFrom4([4]byte{198, 51, 100, 10}), 65010
		e.Peer, e.Source, e.Cause = &peer, event.SourceMRT, event.CauseImport
		e.Received, e.Observed = T0-Second*event.Time(i%7*40_000), 0
		if i%5 == 0 {
			e.Received = T0 + Second*event.Time(i*10)
		}
		out = append(out, e)
	}
	flow := Reach(1, 133, nil, []byte{5, 1, 24, 10, 0, 1}, Attributes([]uint32{65001, 9}))
	flow.Source, flow.Received, flow.Observed = event.SourceMRT, T0-Second, 0
	return append(out, flow)
}
