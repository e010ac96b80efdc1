package mrt_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/mrt"
)

const sec = 1700000000

var (
	peer4 = mrt.PeerHeader{PeerAS: 4200000001, LocalAS: 64512, PeerIP: addr("192.0.2.10"), LocalIP: addr("192.0.2.1")}
	peer2 = mrt.PeerHeader{PeerAS: 65001, LocalAS: 4200000000, PeerIP: addr("192.0.2.11"), LocalIP: addr("192.0.2.1")}
	peer6 = mrt.PeerHeader{PeerAS: 65001, LocalAS: 64512, PeerIP: addr("2001:db8::10"), LocalIP: addr("2001:db8::1")}
	local = mrt.PeerHeader{PeerAS: 65001, PeerIP: addr("198.51.100.7")}
	mixed = mrt.PeerHeader{PeerAS: 65001, LocalAS: 64512, PeerIP: addr("2001:db8::10"), LocalIP: addr("192.0.2.1")}

	nextHop6 = []byte{0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10}
)

// pathID puts a path identifier before an NLRI.
func pathID(id byte, nlri []byte) []byte { return join([]byte{0, 0, 0, id}, nlri) }

func TestMessagesAsBgpdumpReadsThem(t *testing.T) {
	attrs4 := join(originIGP, asPath(4, 4200000001, 65010), nextHop4)
	tests := []struct {
		name    string
		header  mrt.PeerHeader
		as4     bool
		addPath bool
		pdu     []byte
		want    []string
	}{
		{"as4", peer4, true, false, update(prefix("203.0.113.0/24"), attrs4, prefix("198.51.100.0/24")), []string{
			"BGP4MP_ET|1700000000.000123|W|192.0.2.10|4200000001|203.0.113.0/24",
			"BGP4MP_ET|1700000000.000123|A|192.0.2.10|4200000001|198.51.100.0/24|4200000001 65010|IGP|192.0.2.10|0|0||NAG||",
		}},
		{"as2", peer2, false, false, update(nil, join(originIGP, asPath(2, 65001, 65010), nextHop4), prefix("198.51.100.0/24")), []string{
			"BGP4MP_ET|1700000000.000123|A|192.0.2.11|65001|198.51.100.0/24|65001 65010|IGP|192.0.2.10|0|0||NAG||",
		}},
		{"as4 add-path", peer4, true, true, update(pathID(7, prefix("203.0.113.0/24")), attrs4, pathID(9, prefix("198.51.100.0/24"))), []string{
			"BGP4MP_ET_AP|1700000000.000123|W|192.0.2.10|4200000001|203.0.113.0/24|7",
			"BGP4MP_ET_AP|1700000000.000123|A|192.0.2.10|4200000001|198.51.100.0/24|9|4200000001 65010|IGP|192.0.2.10|0|0||NAG||",
		}},
		{"as2 add-path", peer2, false, true, update(nil, join(originIGP, asPath(2, 65001), nextHop4), pathID(9, prefix("198.51.100.0/24"))), []string{
			"BGP4MP_ET_AP|1700000000.000123|A|192.0.2.11|65001|198.51.100.0/24|9|65001|IGP|192.0.2.10|0|0||NAG||",
		}},
		{"ipv6", peer6, true, false, update(nil, join(originIGP, asPath(4, 65001), mpReach(2, 1, nextHop6, prefix("2001:db8:62::/48"))), nil), []string{
			"BGP4MP_ET|1700000000.000123|A|2001:db8::10|65001|2001:db8:62::/48|65001|IGP|2001:db8::10|0|0||NAG||",
		}},
		{"no local address", local, true, false, update(nil, join(originIGP, asPath(4, 65010), nextHop4), prefix("198.51.100.0/24")), []string{
			"BGP4MP_ET|1700000000.000123|A|198.51.100.7|65001|198.51.100.0/24|65010|IGP|192.0.2.10|0|0||NAG||",
		}},
		{"local address of the other family", mixed, true, false, update(prefix("203.0.113.0/24"), nil, nil), []string{
			"BGP4MP_ET|1700000000.000123|W|2001:db8::10|65001|203.0.113.0/24",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := mrt.AppendMessageET(nil, sec, 123, &tt.header, tt.as4, tt.addPath, tt.pdu)
			rec := next(t, b)
			var m mrt.Message
			if err := m.Parse(&rec); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.pdu, m.PDU); diff != "" {
				t.Errorf("PDU: %s", diff)
			}
			if m.AS4 != tt.as4 || m.AddPath != tt.addPath || m.Anomaly != "" || m.PeerIP != tt.header.PeerIP || rec.Microseconds != 123 {
				t.Errorf("read back as %+v", m)
			}
			if lines, ok := bgpdump(t, b); ok {
				if diff := cmp.Diff(tt.want, lines); diff != "" {
					t.Errorf("bgpdump (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestStateChangesAsBgpdumpReadsThem(t *testing.T) {
	var b []byte
	b = mrt.AppendStateChangeET(b, sec, 1, &peer4, mrt.Idle, mrt.Established)
	b = mrt.AppendStateChangeET(b, sec, 2, &peer6, mrt.Established, mrt.Idle)
	b = mrt.AppendStateChangeET(b, sec, 3, &local, mrt.Idle, mrt.Established)
	want := []string{
		"BGP4MP_ET|1700000000.000001|STATE|192.0.2.10|4200000001|1|6",
		"BGP4MP_ET|1700000000.000002|STATE|2001:db8::10|65001|6|1",
		"BGP4MP_ET|1700000000.000003|STATE|198.51.100.7|65001|1|6",
	}
	if lines, ok := bgpdump(t, b); ok {
		if diff := cmp.Diff(want, lines); diff != "" {
			t.Errorf("bgpdump (-want +got):\n%s", diff)
		}
	}
	rec := next(t, b)
	var s mrt.StateChange
	if err := s.Parse(&rec); err != nil {
		t.Fatal(err)
	}
	if s.Old != mrt.Idle || s.New != mrt.Established || s.PeerAS != peer4.PeerAS || s.LocalIP != peer4.LocalIP || s.Anomaly != "" {
		t.Errorf("read back as %+v", s)
	}
}

var table = mrt.PeerIndexTable{
	CollectorID: addr("192.0.2.1"), View: "main",
	Peers: []mrt.IndexPeer{
		{BGPID: addr("192.0.2.10"), Address: addr("192.0.2.10"), ASN: 4200000001},
		{BGPID: addr("192.0.2.11"), Address: addr("2001:db8::11"), ASN: 65001},
	},
}

var (
	vpn4  = join([]byte{112, 0, 0x10, 1, 0, 0, 0xfd, 0xe8, 0, 0, 0, 1}, []byte{198, 51, 100})
	evpn3 = join([]byte{3, 17, 0, 0, 0xfd, 0xe8, 0, 0, 0, 1}, []byte{0, 0, 0, 0, 32, 192, 0, 2, 10})
)

type ribCase struct {
	name    string
	header  mrt.RIBHeader
	entries []mrt.RIBEntry
	want    []string // of bgpdump
}

func ribCases() []ribCase {
	attrs := join(originIGP, asPath(4, 4200000001, 65010), nextHop4, attribute(0xc0, 8, 0xfd, 0xe9, 0, 7))
	noHop := join(originIGP, asPath(4, 4200000001, 65010))
	hop4 := []byte{192, 0, 2, 10}
	return []ribCase{
		{"ipv4-unicast", mrt.RIBHeader{Family: bgp.IPv4Unicast, NLRI: prefix("198.51.100.0/24")}, []mrt.RIBEntry{
			{Originated: sec - 5, AS4: true, NextHop: hop4, Attrs: attrs},
			{PeerIndex: 1, Originated: sec - 6, AS4: true, NextHop: hop4, Attrs: noHop},
		}, []string{
			"TABLE_DUMP2|1700000000|B|192.0.2.10|4200000001|198.51.100.0/24|4200000001 65010|IGP|192.0.2.10|0|0|65001:7|NAG||",
			"TABLE_DUMP2|1700000000|B|2001:db8::11|65001|198.51.100.0/24|4200000001 65010|IGP|192.0.2.10|0|0||NAG||",
		}},
		{"ipv4-unicast from a two-octet session", mrt.RIBHeader{Family: bgp.IPv4Unicast, NLRI: prefix("198.51.100.0/24")}, []mrt.RIBEntry{
			{NextHop: hop4, Attrs: join(originIGP, asPath(2, 65001, 23456, 23456), nextHop4,
				attribute(0xc0, 7, 0x5b, 0xa0, 192, 0, 2, 9),
				attribute(0xc0, 17, asPath(4, 4200000001, 4200000002)[3:]...),
				attribute(0xc0, 18, 0xfa, 0x56, 0xea, 0x02, 192, 0, 2, 8))},
		}, []string{
			"TABLE_DUMP2|1700000000|B|192.0.2.10|4200000001|198.51.100.0/24|65001 4200000001 4200000002|IGP|192.0.2.10|0|0||NAG|4200000002 192.0.2.8|",
		}},
		{"ipv6-unicast", mrt.RIBHeader{Family: bgp.IPv6Unicast, NLRI: prefix("2001:db8:62::/48")}, []mrt.RIBEntry{
			{PeerIndex: 1, AS4: true, NextHop: nextHop6, Attrs: noHop},
			{PeerIndex: 1, AS4: true, NextHop: join(nextHop6, addr("fe80::1").AsSlice()), Attrs: noHop},
		}, []string{
			"TABLE_DUMP2|1700000000|B|2001:db8::11|65001|2001:db8:62::/48|4200000001 65010|IGP|2001:db8::10|0|0||NAG||",
			"TABLE_DUMP2|1700000000|B|2001:db8::11|65001|2001:db8:62::/48|4200000001 65010|IGP|2001:db8::10|0|0||NAG||",
		}},
		{"ipv4-unicast add-path", mrt.RIBHeader{Family: bgp.IPv4Unicast, AddPath: true, NLRI: prefix("198.51.100.0/24")}, []mrt.RIBEntry{
			{PathID: 3, AS4: true, NextHop: hop4, Attrs: noHop},
			{PathID: 4, AS4: true, NextHop: hop4, Attrs: noHop},
		}, []string{
			"TABLE_DUMP2_AP|1700000000|B|192.0.2.10|4200000001|198.51.100.0/24|3|4200000001 65010|IGP|192.0.2.10|0|0||NAG||",
			"TABLE_DUMP2_AP|1700000000|B|192.0.2.10|4200000001|198.51.100.0/24|4|4200000001 65010|IGP|192.0.2.10|0|0||NAG||",
		}},
		{"ipv6-unicast add-path", mrt.RIBHeader{Family: bgp.IPv6Unicast, AddPath: true, NLRI: prefix("2001:db8:62::/48")}, []mrt.RIBEntry{
			{PathID: 3, AS4: true, NextHop: nextHop6, Attrs: noHop},
		}, []string{
			"TABLE_DUMP2_AP|1700000000|B|192.0.2.10|4200000001|2001:db8:62::/48|3|4200000001 65010|IGP|2001:db8::10|0|0||NAG||",
		}},
		{"ipv4-unicast with an ipv6 next hop", mrt.RIBHeader{Family: bgp.IPv4Unicast, NLRI: prefix("198.51.100.0/24")}, []mrt.RIBEntry{
			{AS4: true, NextHop: nextHop6, Attrs: noHop},
		}, []string{
			"TABLE_DUMP2|1700000000|B|192.0.2.10|4200000001|198.51.100.0/24|4200000001 65010|IGP|2001:db8::10|0|0||NAG||",
		}},
		{"ipv4-multicast", mrt.RIBHeader{Family: bgp.IPv4Multicast, NLRI: prefix("198.51.100.0/24")}, []mrt.RIBEntry{
			{AS4: true, NextHop: hop4, Attrs: noHop},
		}, nil},
		{"ipv6-multicast", mrt.RIBHeader{Family: bgp.IPv6Multicast, NLRI: prefix("2001:db8:62::/48")}, []mrt.RIBEntry{
			{AS4: true, NextHop: nextHop6, Attrs: noHop},
		}, nil}, // bgpdump passes over multicast, and over RIB_GENERIC
		{"l3vpn", mrt.RIBHeader{Family: bgp.IPv4VPN, NLRI: vpn4}, []mrt.RIBEntry{
			{AS4: true, NextHop: join(make([]byte, 8), hop4), Attrs: noHop},
		}, nil},
		{"evpn add-path", mrt.RIBHeader{Family: bgp.EVPN, AddPath: true, NLRI: evpn3}, []mrt.RIBEntry{
			{PathID: 5, AS4: true, NextHop: hop4, Attrs: noHop},
		}, nil},
		{"flowspec without next hop", mrt.RIBHeader{Family: bgp.IPv4Flowspec, NLRI: []byte{3, 3, 0x81, 6}}, []mrt.RIBEntry{
			{AS4: true, Attrs: noHop},
		}, nil},
	}
}

func TestRIBsAsBgpdumpReadsThem(t *testing.T) {
	for _, tt := range ribCases() {
		t.Run(tt.name, func(t *testing.T) {
			b, err := mrt.AppendPeerIndexTable(nil, sec, &table)
			if err != nil {
				t.Fatal(err)
			}
			tt.header.Seconds = sec
			if b, err = mrt.AppendRIB(b, &tt.header, tt.entries); err != nil {
				t.Fatal(err)
			}
			if lines, ok := bgpdump(t, b); ok {
				if diff := cmp.Diff(tt.want, lines); diff != "" {
					t.Errorf("bgpdump (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// TestRIBRoundTrip reads what was written and makes UPDATE messages of it.
func TestRIBRoundTrip(t *testing.T) {
	for _, tt := range ribCases() {
		t.Run(tt.name, func(t *testing.T) {
			b, err := mrt.AppendPeerIndexTable(nil, sec, &table)
			if err != nil {
				t.Fatal(err)
			}
			rec := next(t, b)
			var peers mrt.PeerIndexTable
			if err := peers.Parse(&rec); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(table.Peers, peers.Peers, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Errorf("peers (-want +got):\n%s", diff)
			}
			if b, err = mrt.AppendRIB(nil, &tt.header, tt.entries); err != nil {
				t.Fatal(err)
			}
			rec = next(t, b)
			var rib mrt.RIB
			if err := rib.Parse(&rec, &peers); err != nil {
				t.Fatal(err)
			}
			if rib.Family != tt.header.Family || rib.AddPath != tt.header.AddPath || !bytes.Equal(rib.NLRI, tt.header.NLRI) || rib.Anomaly != "" {
				t.Errorf("read back as %+v", rib)
			}
			var again []mrt.RIBEntry
			n := 0
			for it := rib.Entries(); it.Next(); n++ {
				e := it.Entry()
				want := &tt.entries[n]
				if e.PathID != want.PathID || e.Originated != want.Originated || e.PeerIndex != want.PeerIndex || e.Peer != table.Peers[e.PeerIndex] {
					t.Errorf("entry %d: %+v", n, e)
				}
				msg, err := mrt.AppendUpdate([]byte("before"), e)
				if err != nil {
					t.Fatal(err)
				}
				hop, nlri, attrs := takeApart(t, msg[len("before"):], e.HasPathID)
				if !bytes.Equal(hop, want.NextHop) || !bytes.Equal(nlri, tt.header.NLRI) {
					t.Errorf("entry %d: next hop %x, NLRI %x", n, hop, nlri)
				}
				again = append(again, mrt.RIBEntry{PeerIndex: e.PeerIndex, Originated: e.Originated, PathID: e.PathID, AS4: true, NextHop: hop, Attrs: attrs})
			}
			if n != len(tt.entries) {
				t.Errorf("%d entries of %d", n, len(tt.entries))
			}
			second, err := mrt.AppendRIB(nil, &tt.header, again)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(b, second); diff != "" {
				t.Errorf("written again (-first +second):\n%s", diff)
			}
		})
	}
}

// takeApart is an UPDATE reader that owes nothing to the package: it returns
// the next hop, the NLRI without path identifier, and the attributes without
// MP_REACH_NLRI.
func takeApart(t *testing.T, msg []byte, addPath bool) (hop, nlri, attrs []byte) {
	t.Helper()
	if int(binary.BigEndian.Uint16(msg[16:])) != len(msg) || msg[18] != 2 || msg[19] != 0 || msg[20] != 0 {
		t.Fatalf("not an UPDATE: %x", msg)
	}
	n := int(binary.BigEndian.Uint16(msg[21:]))
	rest := msg[23 : 23+n]
	nlri = msg[23+n:]
	for len(rest) > 0 {
		head, size := 3, int(rest[2])
		if rest[0]&0x10 != 0 {
			head, size = 4, int(binary.BigEndian.Uint16(rest[2:]))
		}
		value := rest[head : head+size]
		switch rest[1] {
		case 14:
			hop = value[4 : 4+value[3]]
			nlri = value[5+value[3]:]
		case 3:
			hop = value
			fallthrough
		default:
			attrs = append(attrs, rest[:head+size]...)
		}
		rest = rest[head+size:]
	}
	if addPath {
		nlri = nlri[4:]
	}
	return hop, nlri, attrs
}

func TestWidenASPath(t *testing.T) {
	seq := func(width int, as ...uint32) []byte { return asPath(width, as...)[3:] }
	as2 := func(parts ...[]byte) []byte { return attribute(0x40, 2, join(parts...)...) }
	as4 := func(parts ...[]byte) []byte { return attribute(0xc0, 17, join(parts...)...) }
	confed := []byte{3, 1, 0xfd, 0xe8}
	confed4 := []byte{3, 1, 0, 0, 0xfd, 0xe8}
	set := []byte{1, 2, 0, 1, 0, 2}
	set4 := []byte{1, 2, 0, 0, 0, 1, 0, 0, 0, 2}
	agg := attribute(0xc0, 7, 0x12, 0x34, 192, 0, 2, 9) // not AS_TRANS
	tests := []struct {
		name  string
		attrs []byte
		want  []byte // value of AS_PATH
	}{
		{"alone", as2(seq(2, 1, 2)), seq(4, 1, 2)},
		{"merged", join(as2(seq(2, 1, 23456, 23456)), as4(seq(4, 70000, 70001))), join(seq(4, 1), seq(4, 70000, 70001))},
		{"same length", join(as2(seq(2, 23456, 23456)), as4(seq(4, 70000, 70001))), seq(4, 70000, 70001)},
		{"AS4_PATH longer: void", join(as2(seq(2, 1)), as4(seq(4, 70000, 70001))), seq(4, 1)},
		{"set counts one", join(as2(seq(2, 5), set, seq(2, 23456)), as4(seq(4, 70000))), join(seq(4, 5), set4, seq(4, 70000))},
		{"confederation kept before", join(as2(confed, seq(2, 5, 23456)), as4(seq(4, 70000))), join(confed4, seq(4, 5), seq(4, 70000))},
		{"confederation in AS4_PATH dropped", join(as2(seq(2, 23456)), as4(confed4, seq(4, 70000))), seq(4, 70000)},
		{"AGGREGATOR not AS_TRANS: void", join(as2(seq(2, 23456)), agg, as4(seq(4, 70000)), attribute(0xc0, 18, 0, 1, 0, 0, 192, 0, 2, 9)), seq(4, 23456)},
		{"AS4_PATH malformed: void", join(as2(seq(2, 23456)), attribute(0xc0, 17, 2, 9, 0)), seq(4, 23456)},
		{"empty", as2(), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := mrt.RIBHeader{Family: bgp.IPv4Unicast, NLRI: prefix("198.51.100.0/24")}
			b, err := mrt.AppendRIB(nil, &h, []mrt.RIBEntry{{NextHop: []byte{192, 0, 2, 10}, Attrs: join(originIGP, tt.attrs, nextHop4)}})
			if err != nil {
				t.Fatal(err)
			}
			e := entries(t, b, 1)[0]
			for rest := e.Attrs; len(rest) > 0; {
				head, size := 3, int(rest[2])
				if rest[0]&0x10 != 0 {
					head, size = 4, int(binary.BigEndian.Uint16(rest[2:]))
				}
				if rest[1] == 2 && !bytes.Equal(rest[head:head+size], tt.want) {
					t.Errorf("AS_PATH %x, want %x", rest[head:head+size], tt.want)
				}
				if rest[1] > 14 {
					t.Errorf("attribute %d left over", rest[1])
				}
				rest = rest[head+size:]
			}
		})
	}
}

// entries reads the one RIB record of b with a table of n peers.
func entries(t *testing.T, b []byte, n int) []mrt.Entry {
	t.Helper()
	index, err := mrt.AppendPeerIndexTable(nil, sec, &mrt.PeerIndexTable{Peers: make([]mrt.IndexPeer, n)})
	if err != nil {
		t.Fatal(err)
	}
	rec := next(t, index)
	var peers mrt.PeerIndexTable
	if err := peers.Parse(&rec); err != nil {
		t.Fatal(err)
	}
	rec = next(t, b)
	var rib mrt.RIB
	if err := rib.Parse(&rec, &peers); err != nil {
		t.Fatal(err)
	}
	var out []mrt.Entry
	for it := rib.Entries(); it.Next(); {
		out = append(out, *it.Entry())
	}
	return out
}

func TestRIBBuilderLimits(t *testing.T) {
	h := mrt.RIBHeader{Family: bgp.IPv4Unicast, NLRI: prefix("198.51.100.0/24")}
	var b mrt.RIBBuilder
	b.Begin([]byte("kept"), &h)
	long := append([]byte{0xd0, 99, 0xff, 0xff}, make([]byte, 0xffff)...)
	if err := b.Add(&mrt.RIBEntry{AS4: true, Attrs: long}); mrt.EntryReason(err) != mrt.ReasonTooLong {
		t.Errorf("65,539 octets of attributes: %v", err)
	}
	if err := b.Add(&mrt.RIBEntry{AS4: true, Attrs: []byte{0x40, 1, 9}}); mrt.EntryReason(err) != mrt.ReasonAttributes {
		t.Errorf("cut attributes: %v", err)
	}
	if err := b.Add(&mrt.RIBEntry{Attrs: attribute(0x40, 2, 2, 3, 0)}); mrt.EntryReason(err) != mrt.ReasonAttributes {
		t.Errorf("cut AS_PATH: %v", err)
	}
	if got := b.End(); string(got) != "kept" {
		t.Errorf("a record without entries: %q", got)
	}
	b.Begin(nil, &h)
	for range 0xffff {
		if err := b.Add(&mrt.RIBEntry{AS4: true}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Add(&mrt.RIBEntry{AS4: true}); !errors.Is(err, mrt.ErrRIBFull) {
		t.Errorf("entry 65,536: %v", err)
	}
	if n := len(entries(t, b.End(), 1)); n != 0xffff {
		t.Errorf("%d entries", n)
	}
	if _, err := mrt.AppendPeerIndexTable(nil, sec, &mrt.PeerIndexTable{Peers: make([]mrt.IndexPeer, 0x10000)}); err == nil {
		t.Error("65,536 peers accepted")
	}
}

func TestAppendAllocates(t *testing.T) {
	buf := make([]byte, 0, 4096)
	pdu := update(nil, join(originIGP, asPath(4, 1, 2, 3), nextHop4), prefix("198.51.100.0/24"))
	h := mrt.RIBHeader{Family: bgp.IPv6Unicast, NLRI: prefix("2001:db8::/32")}
	es := []mrt.RIBEntry{{NextHop: nextHop6, Attrs: join(originIGP, asPath(2, 1, 2, 3))}}
	for name, f := range map[string]func(){
		"message":      func() { buf = mrt.AppendMessageET(buf[:0], 1, 2, &peer6, true, false, pdu) },
		"state change": func() { buf = mrt.AppendStateChangeET(buf[:0], 1, 2, &peer6, mrt.Idle, mrt.Established) },
		"peers":        func() { buf, _ = mrt.AppendPeerIndexTable(buf[:0], 1, &table) },
		"rib":          func() { buf, _ = mrt.AppendRIB(buf[:0], &h, es) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
