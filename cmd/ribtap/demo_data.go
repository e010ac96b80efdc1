package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/bmp"
)

// demoRecordings makes what two routers with two neighbours each would have
// said in the quarter of an hour before now: full tables with policy applied, a
// path that moves, a flap, a neighbour that goes and comes back. Addresses and
// AS numbers are those set aside for documentation and benchmarks.
func demoRecordings(now time.Time) [][]byte {
	start := now.Add(-15 * time.Minute).Truncate(time.Second)
	return [][]byte{demoEdge(start, "edge1", 1), demoEdge(start, "edge2", 2)}
}

// demoLocalAS is the AS of the demo's routers.
const demoLocalAS = 64500

// demoPrefixes is how many prefixes of each family a neighbour announces.
const demoPrefixes = 120

func demoEdge(start time.Time, name string, number byte) []byte {
	r := &demoRouter{at: start, local: netip.AddrFrom4([4]byte{192, 0, 2, number})}
	r.b = bmp.AppendInitiation(nil, bmp.TextTLV(bmp.InfoSysDescr, "ribtap demo router"), bmp.TextTLV(bmp.InfoSysName, name+".demo"))
	a := &demoPeer{asn: 64510 + uint32(number), addr: netip.AddrFrom4([4]byte{192, 0, 2, 10 + number})}
	b := &demoPeer{asn: 64520, addr: netip.AddrFrom4([4]byte{192, 0, 2, 20 + number})}
	for _, p := range []*demoPeer{a, b} {
		r.up(p)
		for i := range demoPrefixes {
			for _, prefix := range []netip.Prefix{demoIPv4(i), demoIPv6(i)} {
				r.announce(p, prefix, demoPath(p, i), uint32(i%3*10))
			}
		}
		r.endOfRIB(p)
		r.wait(20 * time.Second)
	}
	moved := netip.MustParsePrefix("203.0.113.0/24")
	for i, path := range [][]uint32{{a.asn, 64496}, {a.asn, 64499, 64496}, {a.asn, 64499, 64498, 64496}, {a.asn, 64496}} {
		r.announce(a, moved, path, uint32(i))
		r.announce(b, moved, []uint32{b.asn, 64496}, 0)
		r.wait(2 * time.Minute)
	}
	flapping := netip.MustParsePrefix("198.51.100.0/24")
	for range 4 {
		r.announce(b, flapping, []uint32{b.asn, 64497}, 0)
		r.wait(15 * time.Second)
		r.withdraw(b, flapping)
		r.wait(15 * time.Second)
	}
	r.announce(b, flapping, []uint32{b.asn, 64497}, 0)
	r.stats(a, 2*demoPrefixes+1)
	r.stats(b, 2*demoPrefixes+2)
	if number == 2 {
		r.down(a)
		r.wait(time.Minute)
		r.up(a)
		for i := range demoPrefixes / 2 {
			r.announce(a, demoIPv4(i), demoPath(a, i), 0)
		}
		r.endOfRIB(a)
	}
	return r.b
}

// demoIPv4 is from the range for benchmarks, RFC 2544.
func demoIPv4(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(i), 0}), 24)
}

func demoIPv6(i int) netip.Prefix {
	return netip.MustParsePrefix(fmt.Sprintf("2001:db8:%x::/48", i+1))
}

func demoPath(p *demoPeer, i int) []uint32 {
	path := []uint32{p.asn}
	for hop := range i % 4 {
		path = append(path, uint32(65536+hop*7+i%5)) // RFC 5398
	}
	return append(path, uint32(64496+i%3))
}

type demoPeer struct {
	asn  uint32
	addr netip.Addr
}

// demoRouter writes a router's BMP session.
type demoRouter struct {
	b     []byte
	at    time.Time
	local netip.Addr
}

func (r *demoRouter) wait(d time.Duration) { r.at = r.at.Add(d) }

func (r *demoRouter) header(p *demoPeer, flags uint8) *bmp.PeerHeader {
	r.at = r.at.Add(700 * time.Microsecond)
	return &bmp.PeerHeader{
		Flags: flags, Address: p.addr, ASN: p.asn, BGPID: p.addr,
		Seconds: uint32(r.at.Unix()), Microseconds: uint32(r.at.Nanosecond() / 1000),
	}
}

func (r *demoRouter) up(p *demoPeer) {
	open := bgp.OpenParams{
		AS: demoLocalAS, HoldTime: 180, BGPID: r.local, AS4: true, RouteRefresh: true,
		Families: []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast}, Host: "demo",
	}
	received := open
	received.AS, received.BGPID, received.HoldTime = p.asn, p.addr, 90
	const bgpPort, clientPort = 179, 40179
	r.b = bmp.AppendPeerUp(r.b, r.header(p, 0), &bmp.PeerUp{
		LocalAddress: r.local, LocalPort: bgpPort, RemotePort: clientPort,
		Sent: bgp.AppendOpen(nil, open), Received: bgp.AppendOpen(nil, received),
	})
}

func (r *demoRouter) down(p *demoPeer) {
	pdu := bgp.AppendCeaseText(nil, bgp.CeaseAdminReset, "software upgrade")
	r.b = bmp.AppendPeerDown(r.b, r.header(p, 0), bmp.PeerDownRemoteNotification, pdu)
}

// announce reports a route before policy and, with a local preference and a
// community of the router's own, after it.
func (r *demoRouter) announce(p *demoPeer, prefix netip.Prefix, path []uint32, med uint32) {
	n := &bgp.NLRI{Family: bgp.IPv4Unicast, Prefix: prefix}
	nextHop := p.addr.AsSlice()
	if prefix.Addr().Is6() {
		n.Family = bgp.IPv6Unicast
		v6 := netip.MustParseAddr("2001:db8:ffff::1").As16()
		v6[15] = byte(p.asn)
		nextHop = v6[:]
	}
	attrs := demoAttr(nil, 0x40, bgp.AttrOrigin, 0)
	segment := []byte{2, byte(len(path))} // AS_SEQUENCE
	for _, asn := range path {
		segment = binary.BigEndian.AppendUint32(segment, asn)
	}
	attrs = demoAttr(attrs, 0x40, bgp.AttrASPath, segment...)
	if n.Family == bgp.IPv4Unicast {
		attrs = demoAttr(attrs, 0x40, bgp.AttrNextHop, nextHop...)
	}
	attrs = demoAttr(attrs, 0x80, bgp.AttrMultiExitDisc, binary.BigEndian.AppendUint32(nil, med)...)
	community := demoAttr(nil, 0xc0, bgp.AttrCommunities, binary.BigEndian.AppendUint32(nil, path[len(path)-1]<<16|100)...)
	pdu := bgp.AppendAnnounce(nil, n, &bgp.Value{AS4: true, NextHop: nextHop, Attrs: append(attrs[:len(attrs):len(attrs)], community...)})
	r.b = bmp.AppendRouteMonitoring(r.b, r.header(p, 0), pdu)

	attrs = demoAttr(attrs, 0x40, bgp.AttrLocalPref, 0, 0, 0, 200)
	attrs = demoAttr(attrs, 0xc0, bgp.AttrCommunities, binary.BigEndian.AppendUint32(nil, uint32(demoLocalAS)<<16|1000)...)
	pdu = bgp.AppendAnnounce(nil, n, &bgp.Value{AS4: true, NextHop: nextHop, Attrs: attrs})
	r.b = bmp.AppendRouteMonitoring(r.b, r.header(p, bmp.FlagL), pdu)
}

func demoAttr(dst []byte, flags, code uint8, value ...byte) []byte {
	return append(append(dst, flags, code, byte(len(value))), value...)
}

func (r *demoRouter) withdraw(p *demoPeer, prefix netip.Prefix) {
	var w bgp.WithdrawBuilder
	w.Reset(bgp.IPv4Unicast, bgp.MaxMessageLen)
	w.Add(&bgp.NLRI{Family: bgp.IPv4Unicast, Prefix: prefix})
	for _, flags := range []uint8{0, bmp.FlagL} {
		r.b = bmp.AppendRouteMonitoring(r.b, r.header(p, flags), w.Message())
	}
}

// endOfRIB reports the end of both tables of both families (RFC 4724 §2).
func (r *demoRouter) endOfRIB(p *demoPeer) {
	marker := [16]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	ipv4 := append(marker[:], 0, 23, bgp.MessageUpdate, 0, 0, 0, 0)
	ipv6 := append(marker[:], 0, 29, bgp.MessageUpdate, 0, 0, 0, 6, 0x80, bgp.AttrMPUnreachNLRI, 3, 0, 2, 1)
	for _, flags := range []uint8{0, bmp.FlagL} {
		r.b = bmp.AppendRouteMonitoring(r.b, r.header(p, flags), ipv4)
		r.b = bmp.AppendRouteMonitoring(r.b, r.header(p, flags), ipv6)
	}
}

func (r *demoRouter) stats(p *demoPeer, routes uint64) {
	const rejected, adjRIBIn, locRIB = 0, 7, 8 // RFC 7854 §4.8
	r.b = bmp.AppendStats(r.b, r.header(p, 0), []bmp.Stat{
		{Type: rejected, Value: 3}, {Type: adjRIBIn, Value: routes}, {Type: locRIB, Value: routes},
	})
}
