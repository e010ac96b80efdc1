// Package load makes synthetic BMP sessions of any size for tests and
// benchmarks: a table shaped like a full one, churn, and storms of back-to-back
// changes. It is deterministic: the same Table and seed give the same octets.
// It knows what must be true after its messages were read.
package load

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/bmp"
)

// Table is one peer's routes, and the peer.
type Table struct {
	Peer bmp.PeerHeader
	// routes holds the prefixes; attrs of prefix i is sets[set[i]].
	routes []netip.Prefix
	set    []int32
	sets   [][]byte
	rng    *rand.Rand
}

// LocalAS is the AS of the monitored router in all sessions made here.
const LocalAS = 64500

// NewTable makes n4 IPv4 and n6 IPv6 prefixes whose lengths, and whose number
// of prefixes to an attribute set, are spread as in a full table: seven to a
// set on average, a few sets with thousands.
func NewTable(n4, n6 int, seed uint64) *Table {
	t := &Table{
		Peer: bmp.PeerHeader{
			Address: netip.MustParseAddr("192.0.2.10"), ASN: 65001, BGPID: netip.MustParseAddr("192.0.2.10"), Seconds: 1_750_000_000,
		},
		rng: rand.New(rand.NewPCG(seed, 1)),
	}
	t.prefixes4(n4)
	t.prefixes6(n6)
	nsets := max(1, (n4+n6)*10/68)
	for range nsets {
		t.sets = append(t.sets, t.attributes())
	}
	// Prefixes next to one another share a set, as those of one origin do.
	for i := 0; i < len(t.routes); {
		s := int32(t.rng.IntN(nsets))
		run := 1 + int(t.rng.ExpFloat64()*t.rng.ExpFloat64()*7)
		for ; run > 0 && i < len(t.routes); run-- {
			t.set = append(t.set, s)
			i++
		}
	}
	return t
}

// lengths4 is the share, in thousandths, of each prefix length from /8 on.
var lengths4 = [...]int{0, 0, 0, 1, 1, 2, 3, 8, 13, 8, 14, 25, 43, 51, 105, 98, 628}

func (t *Table) prefixes4(n int) {
	// Blocks are handed out one after the other, so that all are distinct.
	next := uint32(1 << 24)
	for len(t.routes) < n {
		bits, x := 24, t.rng.IntN(1000)
		for i, share := range lengths4 {
			if x -= share; x < 0 {
				bits = 8 + i
				break
			}
		}
		if bits < 20 && n > 100_000 && t.rng.IntN(4) > 0 {
			bits = 22
		}
		size := uint32(1) << (32 - bits)
		if bits < 20 {
			size = 1 << 12 // its more specifics follow
		}
		next = (next + size - 1) &^ (size - 1)
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], next)
		p, _ := netip.AddrFrom4(a).Prefix(max(bits, 20))
		t.routes = append(t.routes, p)
		next += size
	}
}

func (t *Table) prefixes6(n int) {
	for i := range n {
		var a [16]byte
		binary.BigEndian.PutUint32(a[:], 0x20010000+uint32(i>>12))
		binary.BigEndian.PutUint16(a[4:], uint16(i<<4))
		bits := 48
		if i%3 == 0 {
			bits = 44
		}
		p, _ := netip.AddrFrom16(a).Prefix(bits)
		t.routes = append(t.routes, p)
	}
}

// attributes makes ORIGIN, AS_PATH, MED, communities and large communities;
// the next hop is the table's.
func (t *Table) attributes() []byte {
	r := t.rng
	b := []byte{0x40, bgp.AttrOrigin, 1, byte(r.IntN(3))}
	hops := 2 + r.IntN(6)
	b = append(b, 0x40, bgp.AttrASPath, byte(2+4*hops), 2, byte(hops))
	b = binary.BigEndian.AppendUint32(b, t.Peer.ASN)
	for range hops - 1 {
		b = binary.BigEndian.AppendUint32(b, 1000+uint32(r.IntN(400_000)))
	}
	if r.IntN(4) == 0 {
		b = binary.BigEndian.AppendUint32(append(b, 0x80, bgp.AttrMultiExitDisc, 4), uint32(r.IntN(1000)))
	}
	if n := r.IntN(8); n > 0 {
		b = append(b, 0xc0, bgp.AttrCommunities, byte(4*n))
		for range n {
			b = binary.BigEndian.AppendUint32(b, 3356<<16|uint32(r.IntN(5000)))
		}
	}
	if r.IntN(7) == 0 {
		b = append(b, 0xc0, bgp.AttrLargeCommunity, 12)
		b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, 64500), uint32(r.IntN(100))), 7)
	}
	return b
}

// Len returns how many routes the table has.
func (t *Table) Len() int { return len(t.routes) }

// Prefix returns the i-th route's.
func (t *Table) Prefix(i int) netip.Prefix { return t.routes[i] }

// AppendOpen appends the router's first messages: Initiation and Peer Up.
func (t *Table) AppendOpen(dst []byte, sysName string) []byte {
	dst = bmp.AppendInitiation(dst, bmp.TextTLV(bmp.InfoSysDescr, "synthetic"), bmp.TextTLV(bmp.InfoSysName, sysName))
	return t.AppendPeerUp(dst)
}

// AppendPeerUp appends the peer's Peer Up.
func (t *Table) AppendPeerUp(dst []byte) []byte {
	open := func(as uint32, id netip.Addr) []byte {
		return bgp.AppendOpen(nil, bgp.OpenParams{
			AS: as, AS4: true, HoldTime: 180, BGPID: id, Families: []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast}, RouteRefresh: true,
		})
	}
	local := netip.MustParseAddr("192.0.2.1")
	return bmp.AppendPeerUp(dst, &t.Peer, &bmp.PeerUp{
		LocalAddress: local, LocalPort: 179, RemotePort: 40000, Sent: open(LocalAS, local), Received: open(t.Peer.ASN, t.Peer.BGPID),
	})
}

// AppendPeerDown appends the peer's Peer Down.
func (t *Table) AppendPeerDown(dst []byte) []byte {
	return bmp.AppendPeerDown(dst, &t.Peer, bmp.PeerDownRemoteNoData, nil)
}

// maxNLRI keeps an UPDATE's NLRI within 4,096 octets with room to spare.
const maxNLRI = 200

// AppendTable appends the whole table and both End-of-RIB markers.
func (t *Table) AppendTable(dst []byte) []byte {
	for i := 0; i < len(t.routes); {
		j := i + 1
		for j < len(t.routes) && j-i < maxNLRI && t.set[j] == t.set[i] && t.routes[j].Addr().Is4() == t.routes[i].Addr().Is4() {
			j++
		}
		dst = t.appendUpdate(dst, t.routes[i:j], t.sets[t.set[i]])
		i = j
	}
	for _, f := range []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast} {
		dst = bmp.AppendRouteMonitoring(dst, &t.Peer, bgp.AppendEndOfRIB(nil, f))
	}
	return dst
}

// AppendChange appends the UPDATE that gives route i attribute set k of the
// table, any number: sets differ for different k below the number of sets.
func (t *Table) AppendChange(dst []byte, i, k int) []byte {
	t.set[i] = int32(k % len(t.sets))
	return t.appendUpdate(dst, t.routes[i:i+1], t.sets[t.set[i]])
}

// AppendWithdraw appends the UPDATE that withdraws route i.
func (t *Table) AppendWithdraw(dst []byte, i int) []byte {
	p := t.routes[i]
	f := bgp.IPv4Unicast
	if p.Addr().Is6() {
		f = bgp.IPv6Unicast
	}
	var wb bgp.WithdrawBuilder
	wb.Reset(f, bgp.MaxMessageLen)
	wb.Add(&bgp.NLRI{Family: f, Prefix: p})
	return bmp.AppendRouteMonitoring(dst, &t.Peer, wb.Message())
}

// AppendMED appends the UPDATE that announces route i with a MED, which is how
// a storm numbers its changes.
func (t *Table) AppendMED(dst []byte, i int, med uint32) []byte {
	attrs := []byte{0x40, bgp.AttrOrigin, 1, 0, 0x40, bgp.AttrASPath, 6, 2, 1}
	attrs = binary.BigEndian.AppendUint32(attrs, t.Peer.ASN)
	attrs = binary.BigEndian.AppendUint32(append(attrs, 0x80, bgp.AttrMultiExitDisc, 4), med)
	return t.appendUpdate(dst, t.routes[i:i+1], attrs)
}

// appendUpdate wraps prefixes of one family and their attributes.
func (t *Table) appendUpdate(dst []byte, prefixes []netip.Prefix, attrs []byte) []byte {
	var nlri [maxNLRI * 17]byte
	n := nlri[:0]
	for _, p := range prefixes {
		n = append(append(n, byte(p.Bits())), p.Addr().AsSlice()[:(p.Bits()+7)/8]...)
	}
	body := make([]byte, 0, 4096)
	body = append(body, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, bgp.MessageUpdate, 0, 0, 0, 0)
	const lengthAt, attrsAt = 16, 21
	body = append(body, attrs...)
	v6 := prefixes[0].Addr().Is6()
	if v6 {
		body = append(body, 0x90, bgp.AttrMPReachNLRI)
		body = binary.BigEndian.AppendUint16(body, uint16(5+16+len(n)))
		body = append(body, 0, 2, 1, 16, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0)
		body = append(body, n...)
	} else {
		body = append(body, 0x40, bgp.AttrNextHop, 4, 192, 0, 2, 10)
	}
	binary.BigEndian.PutUint16(body[attrsAt:], uint16(len(body)-attrsAt-2))
	if !v6 {
		body = append(body, n...)
	}
	binary.BigEndian.PutUint16(body[lengthAt:], uint16(len(body)))
	return bmp.AppendRouteMonitoring(dst, &t.Peer, body)
}
