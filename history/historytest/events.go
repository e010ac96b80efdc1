// Package historytest makes the events that tests of the SQL stores write: single
// messages, sessions, whole tables, and one scenario with something of everything.
package historytest

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
)

// Messages are put together here by hand, so that the tests do not depend on
// the encoder that they are stored with.

// Who says something, unless a test says otherwise.
var (
	Router = &event.Router{Name: "r1", Address: netip.MustParseAddr("192.0.2.1"), SysName: "r1", SysDescr: "test", Session: 1}
	Peer   = &event.Peer{
		Router: Router, Address: netip.MustParseAddr("198.51.100.1"), ASN: 65001, BGPID: netip.MustParseAddr("198.51.100.1"),
		LocalAddress: netip.MustParseAddr("198.51.100.2"), LocalASN: 65000, Epoch: 1,
	}
	AS4 = bgp.Session{AS4: true}
)

// T0 is when the tests' first event was received.
const T0 = event.Time(1_750_000_000_123_456_000)

// Second is one, as an event.Time.
const Second = event.Time(1_000_000_000)

// Message makes a BGP message of a type around a body.
func Message(typ byte, body []byte) []byte {
	m := make([]byte, 16, 19+len(body))
	for i := range m {
		m[i] = 0xff
	}
	m = binary.BigEndian.AppendUint16(m, uint16(19+len(body)))
	return append(append(m, typ), body...)
}

// AppendPrefix appends a prefix as an NLRI field has it.
func AppendPrefix(b []byte, p netip.Prefix) []byte {
	return append(append(b, byte(p.Bits())), p.Addr().AsSlice()[:(p.Bits()+7)/8]...)
}

// Attribute makes a path attribute.
func Attribute(flags, code byte, value []byte) []byte {
	if len(value) > 255 {
		return append([]byte{flags | 0x10, code, byte(len(value) >> 8), byte(len(value))}, value...)
	}
	return append([]byte{flags, code, byte(len(value))}, value...)
}

// Attributes are ORIGIN, AS_PATH and what else is given, NEXT_HOP excepted.
func Attributes(path []uint32, more ...[]byte) []byte {
	b := Attribute(0x40, 1, []byte{0})
	var seg []byte
	if len(path) > 0 {
		seg = []byte{2, byte(len(path))}
		for _, as := range path {
			seg = binary.BigEndian.AppendUint32(seg, as)
		}
	}
	b = append(b, Attribute(0x40, 2, seg)...)
	for _, m := range more {
		b = append(b, m...)
	}
	return b
}

// Communities makes a COMMUNITIES attribute.
func Communities(list ...uint32) []byte {
	var v []byte
	for _, c := range list {
		v = binary.BigEndian.AppendUint32(v, c)
	}
	return Attribute(0xc0, 8, v)
}

// Announce makes an UPDATE that announces prefixes of one family.
func Announce(attrs []byte, prefixes ...netip.Prefix) []byte {
	var nlri []byte
	for _, p := range prefixes {
		nlri = AppendPrefix(nlri, p)
	}
	if prefixes[0].Addr().Is4() {
		return UpdateMessage(nil, append(append([]byte{}, attrs...), Attribute(0x40, 3, []byte{198, 51, 100, 1})...), nlri)
	}
	nextHop := netip.MustParseAddr("2001:db8::1").As16()
	reach := append([]byte{0, 2, 1, 16}, nextHop[:]...)
	reach = append(append(reach, 0), nlri...)
	return UpdateMessage(nil, append(Attribute(0x80, 14, reach), attrs...), nil)
}

// Withdraw makes an UPDATE that withdraws prefixes of one family.
func Withdraw(prefixes ...netip.Prefix) []byte {
	var nlri []byte
	for _, p := range prefixes {
		nlri = AppendPrefix(nlri, p)
	}
	if prefixes[0].Addr().Is4() {
		return UpdateMessage(nlri, nil, nil)
	}
	return UpdateMessage(nil, Attribute(0x80, 15, append([]byte{0, 2, 1}, nlri...)), nil)
}

// UpdateMessage makes an UPDATE of its three parts.
func UpdateMessage(withdrawn, attrs, nlri []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(withdrawn)))
	b = append(b, withdrawn...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(attrs)))
	b = append(append(b, attrs...), nlri...)
	return Message(2, b)
}

// Prefixes parses them.
func Prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, t := range texts {
		out[i] = netip.MustParsePrefix(t)
	}
	return out
}

// Changed is the mark of a route that is new or different.
var Changed = []event.Mark{event.MarkChanged | event.MarkState}

// RouteEvent is an UPDATE of Peer that Changed the state.
func RouteEvent(seq uint64, pdu []byte) event.Event {
	at := T0 + event.Time(seq)*Second
	if seq == 0 { // whoever writes it numbers it
		at = 0
	}
	return event.Event{
		Sequence: seq, Received: at, Observed: max(at-1500*1000, 0), Kind: event.KindRoute, Source: event.SourceBMP,
		RIB: event.AdjRIBInPre, Router: Router, Peer: Peer, Session: AS4, PDU: pdu, Marks: Changed,
	}
}

// Table is a full table as a router would send it: prefixes that share
// Attribute sets, in UPDATE messages of a few prefixes each.
type Table struct {
	Prefixes []netip.Prefix
	Updates  [][]byte // in the order sent
	Counts   []int    // routes of each
}

// NewTable makes n prefixes, four of five IPv4, in updates of 4.6 prefixes and
// Attribute sets of 6.8 on average.
func NewTable(n int, seed uint64) *Table {
	rng := rand.New(rand.NewPCG(seed, 1))
	t := &Table{Prefixes: make([]netip.Prefix, 0, n)}
	for a := uint32(1) << 24; len(t.Prefixes) < n*4/5; {
		bits := 24
		if rng.IntN(3) == 0 {
			bits = 16 + rng.IntN(8)
		}
		step := uint32(1) << (32 - bits)
		a = (a + step - 1) &^ (step - 1)
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], a)
		t.Prefixes = append(t.Prefixes, netip.PrefixFrom(netip.AddrFrom4(b), bits))
		if a += step; rng.IntN(3) == 0 {
			a += uint32(rng.IntN(3)) << 8
		}
		a %= 220 << 24
	}
	for v := uint64(0x2001_0db8_0000); len(t.Prefixes) < n; v += uint64(1 + rng.IntN(4000)) {
		var b [16]byte
		binary.BigEndian.PutUint64(b[:], v<<16)
		t.Prefixes = append(t.Prefixes, netip.PrefixFrom(netip.AddrFrom16(b), 48))
	}
	t.pack(rng)
	return t
}

// pack deals the prefixes out to attribute sets in runs, and the sets in no
// order.
func (t *Table) pack(rng *rand.Rand) {
	type group struct{ from, to int }
	var groups []group
	for i := 0; i < len(t.Prefixes); {
		k := min(i+1+rng.IntN(8), len(t.Prefixes))
		for j := i + 1; j < k; j++ {
			if t.Prefixes[j].Addr().Is4() != t.Prefixes[i].Addr().Is4() {
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
			attrs = Attributes(path, Communities(rng.Uint32(), rng.Uint32(), rng.Uint32(), rng.Uint32()))
		}
		t.Updates = append(t.Updates, Announce(attrs, t.Prefixes[g.from:g.to]...))
		t.Counts = append(t.Counts, g.to-g.from)
	}
}

// Batches cuts the table into events in batches of about routes routes.
func (t *Table) Batches(first uint64, routes int) [][]event.Event {
	var out [][]event.Event
	var batch []event.Event
	n := 0
	for i, u := range t.Updates {
		batch = append(batch, RouteEvent(first+uint64(i), u))
		if n += t.Counts[i]; n >= routes {
			out, batch, n = append(out, batch), nil, 0
		}
	}
	if len(batch) > 0 {
		out = append(out, batch)
	}
	return out
}

// Withdrawals takes all routes back in the order of the NLRI.
func (t *Table) Withdrawals(first uint64, routes int) [][]event.Event {
	var out [][]event.Event
	var batch []event.Event
	n := 0
	for i := 0; i < len(t.Prefixes); {
		k := min(i+500, len(t.Prefixes))
		for j := i + 1; j < k; j++ {
			if t.Prefixes[j].Addr().Is4() != t.Prefixes[i].Addr().Is4() {
				k = j
			}
		}
		e := RouteEvent(first, Withdraw(t.Prefixes[i:k]...))
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

// Open is an OPEN message with capabilities for IPv4 unicast and four-octet AS
// numbers.
func Open(asn uint32, hold uint16, id string) []byte {
	a := netip.MustParseAddr(id).As4()
	caps := []byte{1, 4, 0, 1, 0, 1, 65, 4, byte(asn >> 24), byte(asn >> 16), byte(asn >> 8), byte(asn)}
	body := append([]byte{4, byte(asn >> 8), byte(asn), byte(hold >> 8), byte(hold)}, a[:]...)
	body = append(body, byte(2+len(caps)), 2, byte(len(caps)))
	return Message(1, append(body, caps...))
}

// PeerUp is a Peer Up of Peer for a RIB view, not numbered.
func PeerUp(rib event.RIB) event.Event {
	head := make([]byte, 64, 68)
	return event.Event{
		Kind: event.KindPeerUp, Source: event.SourceBMP, RIB: rib, Router: Router, Peer: Peer,
		Head: append(head, 0xc0, 0x01, 0, 179), Sent: Open(65000, 90, "198.51.100.2"), PDU: Open(65001, 180, "198.51.100.1"),
	}
}

// Number gives events that have no sequence the next ones behind last, and a
// time if they have none.
func Number(last uint64, events []event.Event) []event.Event {
	for i := range events {
		e := &events[i]
		last++
		e.Sequence = last
		if e.Received == 0 {
			e.Received = T0 + event.Time(last)*Second
			if e.Source == event.SourceBMP {
				e.Observed = e.Received - 1500*1000
			}
		}
	}
	return events
}
