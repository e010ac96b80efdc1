package sqlite_test

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
)

// Messages are put together here by hand, so that the tests do not depend on
// the encoder that they are stored with.

var (
	testRouter = &event.Router{Name: "r1", Address: netip.MustParseAddr("192.0.2.1"), SysName: "r1", SysDescr: "test", Session: 1}
	testPeer   = &event.Peer{
		Router: testRouter, Address: netip.MustParseAddr("198.51.100.1"), ASN: 65001, BGPID: netip.MustParseAddr("198.51.100.1"),
		LocalAddress: netip.MustParseAddr("198.51.100.2"), LocalASN: 65000, Epoch: 1,
	}
	as4 = bgp.Session{AS4: true}
)

// t0 is when the tests' first event was received.
const t0 = event.Time(1_750_000_000_123_456_000)

const second = event.Time(1_000_000_000)

func message(typ byte, body []byte) []byte {
	m := make([]byte, 16, 19+len(body))
	for i := range m {
		m[i] = 0xff
	}
	m = binary.BigEndian.AppendUint16(m, uint16(19+len(body)))
	return append(append(m, typ), body...)
}

func appendPrefix(b []byte, p netip.Prefix) []byte {
	return append(append(b, byte(p.Bits())), p.Addr().AsSlice()[:(p.Bits()+7)/8]...)
}

func attribute(flags, code byte, value []byte) []byte {
	if len(value) > 255 {
		return append([]byte{flags | 0x10, code, byte(len(value) >> 8), byte(len(value))}, value...)
	}
	return append([]byte{flags, code, byte(len(value))}, value...)
}

// attributes are ORIGIN, AS_PATH and what else is given, NEXT_HOP excepted.
func attributes(path []uint32, more ...[]byte) []byte {
	b := attribute(0x40, 1, []byte{0})
	var seg []byte
	if len(path) > 0 {
		seg = []byte{2, byte(len(path))}
		for _, as := range path {
			seg = binary.BigEndian.AppendUint32(seg, as)
		}
	}
	b = append(b, attribute(0x40, 2, seg)...)
	for _, m := range more {
		b = append(b, m...)
	}
	return b
}

func communities(list ...uint32) []byte {
	var v []byte
	for _, c := range list {
		v = binary.BigEndian.AppendUint32(v, c)
	}
	return attribute(0xc0, 8, v)
}

// announce makes an UPDATE that announces prefixes of one family.
func announce(attrs []byte, prefixes ...netip.Prefix) []byte {
	var nlri []byte
	for _, p := range prefixes {
		nlri = appendPrefix(nlri, p)
	}
	if prefixes[0].Addr().Is4() {
		return updateMessage(nil, append(append([]byte{}, attrs...), attribute(0x40, 3, []byte{198, 51, 100, 1})...), nlri)
	}
	nextHop := netip.MustParseAddr("2001:db8::1").As16()
	reach := append([]byte{0, 2, 1, 16}, nextHop[:]...)
	reach = append(append(reach, 0), nlri...)
	return updateMessage(nil, append(attribute(0x80, 14, reach), attrs...), nil)
}

// withdraw makes an UPDATE that withdraws prefixes of one family.
func withdraw(prefixes ...netip.Prefix) []byte {
	var nlri []byte
	for _, p := range prefixes {
		nlri = appendPrefix(nlri, p)
	}
	if prefixes[0].Addr().Is4() {
		return updateMessage(nlri, nil, nil)
	}
	return updateMessage(nil, attribute(0x80, 15, append([]byte{0, 2, 1}, nlri...)), nil)
}

func updateMessage(withdrawn, attrs, nlri []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(withdrawn)))
	b = append(b, withdrawn...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(attrs)))
	b = append(append(b, attrs...), nlri...)
	return message(2, b)
}

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, t := range texts {
		out[i] = netip.MustParsePrefix(t)
	}
	return out
}

// changed is the mark of a route that is new or different.
var changed = []event.Mark{event.MarkChanged | event.MarkState}

// routeEvent is an UPDATE of testPeer that changed the state.
func routeEvent(seq uint64, pdu []byte) event.Event {
	at := t0 + event.Time(seq)*second
	if seq == 0 { // store.write numbers it
		at = 0
	}
	return event.Event{
		Sequence: seq, Received: at, Observed: max(at-1500*1000, 0), Kind: event.KindRoute, Source: event.SourceBMP,
		RIB: event.AdjRIBInPre, Router: testRouter, Peer: testPeer, Session: as4, PDU: pdu, Marks: changed,
	}
}

// table is a full table as a router would send it: prefixes that share
// attribute sets, in UPDATE messages of a few prefixes each.
type table struct {
	prefixes []netip.Prefix
	updates  [][]byte // in the order sent
	counts   []int    // routes of each
}

// newTable makes n prefixes, four of five IPv4, in updates of 4.6 prefixes and
// attribute sets of 6.8 on average.
func newTable(n int, seed uint64) *table {
	rng := rand.New(rand.NewPCG(seed, 1))
	t := &table{prefixes: make([]netip.Prefix, 0, n)}
	for a := uint32(1) << 24; len(t.prefixes) < n*4/5; {
		bits := 24
		if rng.IntN(3) == 0 {
			bits = 16 + rng.IntN(8)
		}
		step := uint32(1) << (32 - bits)
		a = (a + step - 1) &^ (step - 1)
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], a)
		t.prefixes = append(t.prefixes, netip.PrefixFrom(netip.AddrFrom4(b), bits))
		if a += step; rng.IntN(3) == 0 {
			a += uint32(rng.IntN(3)) << 8
		}
		a %= 220 << 24
	}
	for v := uint64(0x2001_0db8_0000); len(t.prefixes) < n; v += uint64(1 + rng.IntN(4000)) {
		var b [16]byte
		binary.BigEndian.PutUint64(b[:], v<<16)
		t.prefixes = append(t.prefixes, netip.PrefixFrom(netip.AddrFrom16(b), 48))
	}
	t.pack(rng)
	return t
}

// pack deals the prefixes out to attribute sets in runs, and the sets in no
// order.
func (t *table) pack(rng *rand.Rand) {
	type group struct{ from, to int }
	var groups []group
	for i := 0; i < len(t.prefixes); {
		k := min(i+1+rng.IntN(8), len(t.prefixes))
		for j := i + 1; j < k; j++ {
			if t.prefixes[j].Addr().Is4() != t.prefixes[i].Addr().Is4() {
				k = j
			}
		}
		groups = append(groups, group{i, k})
		i = k
	}
	rng.Shuffle(len(groups), func(i, j int) { groups[i], groups[j] = groups[j], groups[i] })
	var attrs []byte
	for _, g := range groups {
		if attrs == nil || rng.IntN(3) != 0 {
			path := []uint32{65001}
			for range 1 + rng.IntN(6) {
				path = append(path, 1+rng.Uint32N(400_000))
			}
			attrs = attributes(path, communities(rng.Uint32(), rng.Uint32(), rng.Uint32(), rng.Uint32()))
		}
		t.updates = append(t.updates, announce(attrs, t.prefixes[g.from:g.to]...))
		t.counts = append(t.counts, g.to-g.from)
	}
}

// batches cuts the table into events in batches of about routes routes.
func (t *table) batches(first uint64, routes int) [][]event.Event {
	var out [][]event.Event
	var batch []event.Event
	n := 0
	for i, u := range t.updates {
		batch = append(batch, routeEvent(first+uint64(i), u))
		if n += t.counts[i]; n >= routes {
			out, batch, n = append(out, batch), nil, 0
		}
	}
	if len(batch) > 0 {
		out = append(out, batch)
	}
	return out
}

// withdrawals takes all routes back in the order of the NLRI.
func (t *table) withdrawals(first uint64, routes int) [][]event.Event {
	var out [][]event.Event
	var batch []event.Event
	n := 0
	for i := 0; i < len(t.prefixes); {
		k := min(i+500, len(t.prefixes))
		for j := i + 1; j < k; j++ {
			if t.prefixes[j].Addr().Is4() != t.prefixes[i].Addr().Is4() {
				k = j
			}
		}
		e := routeEvent(first, withdraw(t.prefixes[i:k]...))
		e.Source, e.Cause, e.Flags, e.Observed = event.SourceCollector, event.CausePeerDown, event.FlagInferred, 0
		batch = append(batch, e)
		first++
		if n += k - i; n >= routes {
			out, batch, n = append(out, batch), nil, 0
		}
		i = k
	}
	if len(batch) > 0 {
		out = append(out, batch)
	}
	return out
}
