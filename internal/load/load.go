// Package load makes synthetic BMP sessions of any size for tests and
// benchmarks: a table shaped like a full one, churn, and storms of back-to-back
// changes. It is deterministic: the same Table and seed give the same octets.
// It knows what must be true after its messages were read.
package load

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/bmp"
)

// Table is one peer's routes, and the peer.
type Table struct {
	Peer bmp.PeerHeader
	// routes holds the prefixes; attrs of prefix i is sets[set[i]], and what they
	// say words[set[i]]. A set of absent says that the route is withdrawn.
	routes []netip.Prefix
	set    []int32
	sets   [][]byte
	words  []string
	rng    *rand.Rand
	body   []byte // of the UPDATE that is being made
	wb     bgp.WithdrawBuilder
}

const absent = -1

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
		attrs, words := t.attributes()
		t.sets, t.words = append(t.sets, attrs), append(t.words, words)
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

// attributes makes ORIGIN, AS_PATH, MED, communities and large communities, and
// their text as Line has it; the next hop is the table's.
func (t *Table) attributes() (b []byte, words string) {
	r := t.rng
	origin := r.IntN(3)
	b = []byte{0x40, bgp.AttrOrigin, 1, byte(origin)}
	hops := 2 + r.IntN(6)
	b = append(b, 0x40, bgp.AttrASPath, byte(2+4*hops), 2, byte(hops))
	b = binary.BigEndian.AppendUint32(b, t.Peer.ASN)
	path := strconv.AppendUint(nil, uint64(t.Peer.ASN), 10)
	for range hops - 1 {
		as := 1000 + uint32(r.IntN(400_000))
		b = binary.BigEndian.AppendUint32(b, as)
		path = strconv.AppendUint(append(path, ' '), uint64(as), 10)
	}
	var med, large string
	var communities []byte
	if r.IntN(4) == 0 {
		m := uint32(r.IntN(1000))
		b = binary.BigEndian.AppendUint32(append(b, 0x80, bgp.AttrMultiExitDisc, 4), m)
		med = strconv.FormatUint(uint64(m), 10)
	}
	if n := r.IntN(8); n > 0 {
		b = append(b, 0xc0, bgp.AttrCommunities, byte(4*n))
		for range n {
			c := uint32(r.IntN(5000))
			b = binary.BigEndian.AppendUint32(b, 3356<<16|c)
			communities = strconv.AppendUint(append(communities, " 3356:"...), uint64(c), 10)
		}
	}
	if r.IntN(7) == 0 {
		c := uint32(r.IntN(100))
		b = append(b, 0xc0, bgp.AttrLargeCommunity, 12)
		b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, 64500), c), 7)
		large = "64500:" + strconv.FormatUint(uint64(c), 10) + ":7"
	}
	words = strings.Join([]string{[]string{"igp", "egp", "incomplete"}[origin], string(path), med, strings.TrimPrefix(string(communities), " "), large}, "|")
	return b, words
}

// Len returns how many routes the table has.
func (t *Table) Len() int { return len(t.routes) }

// Prefix returns the i-th route's.
func (t *Table) Prefix(i int) netip.Prefix { return t.routes[i] }

// Line returns what must be known of route i: prefix, next hop, ORIGIN, AS_PATH,
// MED, communities and large communities in the words of the SQL views,
// separated by "|". It is empty for a route that is withdrawn.
func (t *Table) Line(i int) string {
	if t.set[i] == absent {
		return ""
	}
	nextHop := nextHop4
	if t.routes[i].Addr().Is6() {
		nextHop = nextHop6
	}
	return t.routes[i].String() + "|" + nextHop.String() + "|" + t.words[t.set[i]]
}

// Next hops of all routes made here.
var (
	nextHop4 = netip.MustParseAddr("192.0.2.10")
	nextHop6 = netip.MustParseAddr("2001:db8::a")
)

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

// AppendTable appends the whole table, without what is withdrawn, and both
// End-of-RIB markers.
func (t *Table) AppendTable(dst []byte) []byte {
	for i := 0; i < len(t.routes); {
		j := i + 1
		if t.set[i] == absent {
			i = j
			continue
		}
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
	t.set[i] = absent
	return t.appendWithdraw(dst, t.routes[i])
}

func (t *Table) appendWithdraw(dst []byte, p netip.Prefix) []byte {
	f := bgp.IPv4Unicast
	if p.Addr().Is6() {
		f = bgp.IPv6Unicast
	}
	t.wb.Reset(f, bgp.MaxMessageLen)
	t.wb.Add(&bgp.NLRI{Family: f, Prefix: p})
	return bmp.AppendRouteMonitoring(dst, &t.Peer, t.wb.Message())
}

// AppendMixed appends one UPDATE that withdraws an IPv4 route in the Withdrawn
// Routes field and an IPv6 route in MP_UNREACH_NLRI, and gives an IPv4 route in
// the NLRI field and an IPv6 route in MP_REACH_NLRI attribute set k: legal, rare,
// and lossy in a collector that looks at one part.
func (t *Table) AppendMixed(dst []byte, withdraw4, withdraw6, announce4, announce6, k int) []byte {
	k %= len(t.sets)
	t.set[withdraw4], t.set[withdraw6], t.set[announce4], t.set[announce6] = absent, absent, int32(k), int32(k)
	body := beginUpdate(t.body[:0])
	body = appendPrefix(body, t.routes[withdraw4])
	binary.BigEndian.PutUint16(body[withdrawnAt:], uint16(len(body)-withdrawnAt-2))
	attrsAt := len(body)
	body = append(body, 0, 0)
	body = append(body, t.sets[k]...)
	body = appendReach(body, appendPrefix(nil, t.routes[announce6]))
	unreach := appendPrefix([]byte{0, 2, 1}, t.routes[withdraw6])
	body = append(append(body, 0x80, bgp.AttrMPUnreachNLRI, byte(len(unreach))), unreach...)
	body = appendNextHop(body)
	binary.BigEndian.PutUint16(body[attrsAt:], uint16(len(body)-attrsAt-2))
	return t.endUpdate(dst, appendPrefix(body, t.routes[announce4]))
}

// AppendMED appends the UPDATE that announces route i with a MED, which is how
// a storm numbers its changes. Line and AppendTable know nothing of it.
func (t *Table) AppendMED(dst []byte, i int, med uint32) []byte {
	attrs := []byte{0x40, bgp.AttrOrigin, 1, 0, 0x40, bgp.AttrASPath, 6, 2, 1}
	attrs = binary.BigEndian.AppendUint32(attrs, t.Peer.ASN)
	attrs = binary.BigEndian.AppendUint32(append(attrs, 0x80, bgp.AttrMultiExitDisc, 4), med)
	return t.appendUpdate(dst, t.routes[i:i+1], attrs)
}

// appendUpdate wraps prefixes of one family and their attributes.
func (t *Table) appendUpdate(dst []byte, prefixes []netip.Prefix, attrs []byte) []byte {
	var room [maxNLRI * 17]byte
	nlri := room[:0]
	for _, p := range prefixes {
		nlri = appendPrefix(nlri, p)
	}
	body := append(beginUpdate(t.body[:0]), 0, 0)
	const attrsAt = withdrawnAt + 2
	body = append(body, attrs...)
	v6 := prefixes[0].Addr().Is6()
	if v6 {
		body = appendReach(body, nlri)
	} else {
		body = appendNextHop(body)
	}
	binary.BigEndian.PutUint16(body[attrsAt:], uint16(len(body)-attrsAt-2))
	if !v6 {
		body = append(body, nlri...)
	}
	return t.endUpdate(dst, body)
}

// Positions in an UPDATE (RFC 4271 §4.1, §4.3).
const (
	lengthAt    = 16
	withdrawnAt = 19
)

// beginUpdate appends the header, without a length yet, and the length of no
// withdrawn routes.
func beginUpdate(b []byte) []byte {
	return append(b, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, bgp.MessageUpdate, 0, 0)
}

// endUpdate wraps the UPDATE, and keeps its buffer for the next one.
func (t *Table) endUpdate(dst, body []byte) []byte {
	binary.BigEndian.PutUint16(body[lengthAt:], uint16(len(body)))
	t.body = body
	return bmp.AppendRouteMonitoring(dst, &t.Peer, body)
}

func appendPrefix(b []byte, p netip.Prefix) []byte {
	a := p.Addr().As16()
	from := 0
	if p.Addr().Is4() {
		from = 12
	}
	return append(append(b, byte(p.Bits())), a[from:from+(p.Bits()+7)/8]...)
}

// appendReach appends MP_REACH_NLRI for IPv6 unicast (RFC 4760 §3).
func appendReach(b, nlri []byte) []byte {
	b = binary.BigEndian.AppendUint16(append(b, 0x90, bgp.AttrMPReachNLRI), uint16(5+16+len(nlri)))
	nh := nextHop6.As16()
	b = append(append(b, 0, 2, 1, 16), nh[:]...)
	return append(append(b, 0), nlri...)
}

func appendNextHop(b []byte) []byte {
	nh := nextHop4.As4()
	return append(append(b, 0x40, bgp.AttrNextHop, 4), nh[:]...)
}
