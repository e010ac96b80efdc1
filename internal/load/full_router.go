package load

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/bmp"
)

// FullRouter is a monitored router whose peers all announce a Full table. It
// appends its BMP session piece by piece: AppendOpen first, then the tables,
// then churn. Its clock moves with every message.
type FullRouter struct {
	// Counts is what was appended so far.
	Counts FullCounts

	t     *Full
	index int
	asn   uint32
	peers []*fullPeer
	rng   *rand.Rand
	usec  uint64 // since fullStart
	attrs []byte
	pdu   []byte
}

// FullCounts are figures of a session.
type FullCounts struct {
	Messages  uint64 // BMP messages
	Updates   uint64 // with End-of-RIB markers
	Announced uint64 // NLRIs
	Withdrawn uint64 // NLRIs
	Routes    int    // announced now, of all peers
}

// Add adds the figures of another session.
func (c *FullCounts) Add(o FullCounts) {
	c.Messages += o.Messages
	c.Updates += o.Updates
	c.Announced += o.Announced
	c.Withdrawn += o.Withdrawn
	c.Routes += o.Routes
}

// fullPeer is one of its BGP neighbours.
type fullPeer struct {
	header  bmp.PeerHeader
	local   netip.Addr
	hop4    [4]byte
	hop6    []byte // of 16 or, with a link-local address, 32 octets
	gone    []bool // by index of the route: withdrawn; nil before any churn
	present int
}

const fullStart = 1_750_000_000 // seconds, of the first per-peer header

var neighbourAS = []uint32{3356, 1299, 174, 2914, 6939, 398465, 3257, 64500, 6762, 4200000123}

// Router makes a router, told apart by its index, with so many peers. Every
// fourth has an IPv6 session.
func (t *Full) Router(index, peers int) *FullRouter {
	r := &FullRouter{t: t, index: index, asn: 64496 + uint32(index%16)}
	r.rng = rand.New(rand.NewPCG(t.seed, 0x626d70+uint64(index)))
	for i := range peers {
		r.peers = append(r.peers, r.newPeer(i))
	}
	return r
}

func (r *FullRouter) newPeer(i int) *fullPeer {
	high, low := byte(r.index>>8), byte(r.index)
	p := &fullPeer{local: netip.AddrFrom4([4]byte{203, high, low, 254})}
	p.header.ASN = neighbourAS[i%len(neighbourAS)] + uint32(i/len(neighbourAS))
	p.header.BGPID = netip.AddrFrom4([4]byte{192, 0, byte(2 + i>>8), byte(1 + i)})
	p.header.Address = netip.AddrFrom4([4]byte{203, high, low, byte(1 + i)})
	if i > 252 {
		p.header.Address = netip.AddrFrom4([4]byte{198, 18 + byte(r.index&1), byte(i >> 8), byte(i)})
	}
	p.hop4 = p.header.Address.As4()
	global := [16]byte{0x20, 0x01, 0x0d, 0xb8, high, low, byte(i >> 8), byte(i), 15: 1}
	p.hop6 = append(p.hop6, global[:]...)
	if i%4 == 3 {
		p.header.Address, p.header.Flags = netip.AddrFrom16(global), bmp.FlagV
		global[15] = 2
		p.local = netip.AddrFrom16(global)
		p.hop6 = append(p.hop6, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, low, byte(i), 1)
	}
	return p
}

// Name is the router's sysName.
func (r *FullRouter) Name() string { return fmt.Sprintf("r%d.example.net", r.index) }

func (r *FullRouter) id() netip.Addr {
	return netip.AddrFrom4([4]byte{10, 255, byte(r.index >> 8), byte(r.index)})
}

// AppendOpen appends the Initiation and a Peer Up for each peer.
func (r *FullRouter) AppendOpen(dst []byte) []byte {
	dst = bmp.AppendInitiation(dst, bmp.TextTLV(bmp.InfoSysDescr, "Synthetic router, software 1.0"), bmp.TextTLV(bmp.InfoSysName, r.Name()))
	r.Counts.Messages++
	for _, p := range r.peers {
		open := func(as uint32, id netip.Addr, hold uint16) []byte {
			return bgp.AppendOpen(nil, bgp.OpenParams{
				AS: as, AS4: true, HoldTime: hold, BGPID: id, Families: []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast}, RouteRefresh: true, EnhancedRefresh: true,
			})
		}
		dst = bmp.AppendPeerUp(dst, r.at(p, 1000), &bmp.PeerUp{
			LocalAddress: p.local, LocalPort: 179, RemotePort: uint16(40000 + r.index),
			Sent: open(r.asn, r.id(), 180), Received: open(p.header.ASN, p.header.BGPID, 90),
		})
		r.Counts.Messages++
	}
	return dst
}

// at moves the clock by so many microseconds and returns the peer's header.
func (r *FullRouter) at(p *fullPeer, usec uint64) *bmp.PeerHeader {
	r.usec += usec
	p.header.Seconds, p.header.Microseconds = fullStart+uint32(r.usec/1e6), uint32(r.usec%1e6)
	return &p.header
}

// AppendTable appends the whole table of a peer, with an End-of-RIB behind each
// family. It is for a peer that has not announced it yet.
func (r *FullRouter) AppendTable(dst []byte, peer int) []byte {
	p := r.peers[peer]
	for i, c := range r.t.chunks {
		if i == r.t.chunks4 {
			dst = r.endOfRIB(dst, p, bgp.IPv4Unicast)
		}
		g := &r.t.groups[c.group]
		dst = r.announce(dst, p, g.set, g.prefixes[c.from:c.to], i >= r.t.chunks4)
	}
	if r.t.chunks4 == len(r.t.chunks) {
		dst = r.endOfRIB(dst, p, bgp.IPv4Unicast)
	}
	p.present = r.t.Len()
	r.Counts.Routes += p.present
	return r.endOfRIB(dst, p, bgp.IPv6Unicast)
}

func (r *FullRouter) endOfRIB(dst []byte, p *fullPeer, f bgp.Family) []byte {
	r.Counts.Messages++
	r.Counts.Updates++
	return bmp.AppendRouteMonitoring(dst, r.at(p, 100), bgp.AppendEndOfRIB(nil, f))
}

// announce appends an UPDATE of prefixes of one family.
func (r *FullRouter) announce(dst []byte, p *fullPeer, set int, prefixes []netip.Prefix, v6 bool) []byte {
	a := r.attrs[:0]
	if v6 {
		a = appendMP(a, bgp.AttrMPReachNLRI, p.hop6, prefixes)
	}
	s := &r.t.sets[set]
	at := len(a)
	a = append(a, s.head...)
	binary.BigEndian.PutUint32(a[at+s.firstAS:], p.header.ASN)
	if !v6 {
		a = appendAttribute(a, flagTransitive, bgp.AttrNextHop, p.hop4[:])
	}
	r.attrs = append(a, s.tail...)
	r.Counts.Announced += uint64(len(prefixes))
	if v6 {
		return r.update(dst, p, nil, r.attrs, nil)
	}
	return r.update(dst, p, nil, r.attrs, prefixes)
}

func (r *FullRouter) withdraw(dst []byte, p *fullPeer, prefixes []netip.Prefix, v6 bool) []byte {
	r.Counts.Withdrawn += uint64(len(prefixes))
	if v6 {
		r.attrs = appendMP(r.attrs[:0], bgp.AttrMPUnreachNLRI, nil, prefixes)
		return r.update(dst, p, nil, r.attrs, nil)
	}
	return r.update(dst, p, prefixes, nil, nil)
}

func (r *FullRouter) update(dst []byte, p *fullPeer, withdrawn []netip.Prefix, attrs []byte, announced []netip.Prefix) []byte {
	u := beginUpdate(r.pdu[:0])
	for _, x := range withdrawn {
		u = appendPrefix(u, x)
	}
	binary.BigEndian.PutUint16(u[withdrawnAt:], uint16(len(u)-withdrawnAt-2))
	u = append(binary.BigEndian.AppendUint16(u, uint16(len(attrs))), attrs...)
	for _, x := range announced {
		u = appendPrefix(u, x)
	}
	binary.BigEndian.PutUint16(u[lengthAt:], uint16(len(u)))
	r.pdu = u
	r.Counts.Messages++
	r.Counts.Updates++
	return bmp.AppendRouteMonitoring(dst, r.at(p, 100), u)
}

// appendMP appends MP_REACH_NLRI, or without a next hop MP_UNREACH_NLRI, for
// IPv6 unicast (RFC 4760 §3, §4).
func appendMP(a []byte, code byte, nextHop []byte, prefixes []netip.Prefix) []byte {
	a = append(a, flagOptional|flagExtended, code, 0, 0, 0, 2, 1)
	at := len(a) - 3
	if code == bgp.AttrMPReachNLRI {
		a = append(append(a, byte(len(nextHop))), nextHop...)
		a = append(a, 0)
	}
	for _, x := range prefixes {
		a = appendPrefix(a, x)
	}
	binary.BigEndian.PutUint16(a[at-2:], uint16(len(a)-at))
	return a
}

// AppendChurn appends so many UPDATEs of each peer, which take turns: one to
// four routes beside one another get another attribute set, or, a quarter of the
// time, are withdrawn.
func (r *FullRouter) AppendChurn(dst []byte, updates int) []byte {
	for range updates {
		r.usec += uint64(r.rng.IntN(2000))
		for _, p := range r.peers {
			dst = r.appendChange(dst, p)
		}
	}
	return dst
}

func (r *FullRouter) appendChange(dst []byte, p *fullPeer) []byte {
	v6 := r.rng.IntN(r.t.Len()) >= r.t.n4
	g := r.anyGroup(v6)
	from := r.rng.IntN(len(g.prefixes))
	to := min(from+1+r.rng.IntN(4), len(g.prefixes))
	if r.rng.Float64() < .25 {
		if gone := r.take(p, g, from, to, true); len(gone) > 0 {
			return r.withdraw(dst, p, gone, v6)
		}
	}
	prefixes := r.take(p, g, from, to, false)
	return r.announce(dst, p, r.anyGroup(v6).set, prefixes, v6)
}

func (r *FullRouter) anyGroup(v6 bool) *fullGroup {
	low, high := 0, r.t.groups4
	if v6 {
		low, high = high, len(r.t.groups)
	}
	return &r.t.groups[low+r.rng.IntN(high-low)]
}

// take marks routes as withdrawn or announced and returns those of them that an
// UPDATE names: what is not there is not withdrawn.
func (r *FullRouter) take(p *fullPeer, g *fullGroup, from, to int, withdraw bool) (out []netip.Prefix) {
	if p.gone == nil {
		p.gone = make([]bool, r.t.Len())
	}
	for i := from; i < to; i++ {
		was := p.gone[g.first+i]
		if withdraw && was {
			continue
		}
		change := 0
		if withdraw {
			change = -1
		} else if was {
			change = 1
		}
		p.present += change
		r.Counts.Routes += change
		p.gone[g.first+i] = withdraw
		out = append(out, g.prefixes[i])
	}
	return out
}

// AppendStats appends a Statistics Report of each peer: what it has announced.
func (r *FullRouter) AppendStats(dst []byte) []byte {
	const adjRIBIn, locRIB = 7, 8 // RFC 7854 §4.8
	for _, p := range r.peers {
		n := uint64(p.present)
		dst = bmp.AppendStats(dst, r.at(p, 0), []bmp.Stat{{Type: adjRIBIn, Value: n}, {Type: locRIB, Value: n}})
		r.Counts.Messages++
	}
	return dst
}

// EachRoute visits what a peer's table announces, in the order of the UPDATEs of
// AppendTable, with the next hop and the other attributes as octets. Those are
// valid until visit returns.
func (r *FullRouter) EachRoute(peer int, visit func(prefix netip.Prefix, nextHop, attrs []byte) error) error {
	p := r.peers[peer]
	for i, c := range r.t.chunks {
		g := &r.t.groups[c.group]
		s, hop := &r.t.sets[g.set], p.hop4[:]
		if i >= r.t.chunks4 {
			hop = p.hop6
		}
		r.attrs = append(append(r.attrs[:0], s.head...), s.tail...)
		binary.BigEndian.PutUint32(r.attrs[s.firstAS:], p.header.ASN)
		for _, x := range g.prefixes[c.from:c.to] {
			if err := visit(x, hop, r.attrs); err != nil {
				return err
			}
		}
	}
	return nil
}
