package mrt_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/mrt"
)

// bgp4mp builds the body of a BGP4MP record with two-octet AS numbers.
func bgp4mp(rest ...byte) []byte {
	return join([]byte{0xfd, 0xe9, 0xfd, 0xe8, 0, 3, 0, 1, 192, 0, 2, 10, 192, 0, 2, 1}, rest)
}

func reasonOf(err error) string {
	var e *mrt.Error
	if errors.As(err, &e) && e.Verdict == mrt.Drop {
		return e.Reason
	}
	return ""
}

func TestMessageRecords(t *testing.T) {
	keepalive := join(bytes.Repeat([]byte{0xff}, 16), []byte{0, 19, 4})
	lying := func(n byte) []byte { return join(bytes.Repeat([]byte{0xff}, 16), []byte{0, n, 4}) }
	tests := []struct {
		name    string
		rec     mrt.Record
		reason  string
		anomaly string
	}{
		{"whole", mrt.Record{Subtype: 1, Body: bgp4mp(keepalive...)}, "", ""},
		{"local", mrt.Record{Subtype: 6, Body: bgp4mp(keepalive...)}, "", ""},
		{"two messages", mrt.Record{Subtype: 1, Body: bgp4mp(join(keepalive, keepalive)...)}, "", mrt.AnomalyTrailing},
		{"a million microseconds", mrt.Record{Type: 17, Microseconds: 1e6, Subtype: 1, Body: bgp4mp(keepalive...)}, "", mrt.AnomalyMicroseconds},
		{"no message", mrt.Record{Subtype: 1, Body: bgp4mp()}, mrt.ReasonMessageLength, ""},
		{"length 18", mrt.Record{Subtype: 1, Body: bgp4mp(lying(18)...)}, mrt.ReasonMessageLength, ""},
		{"length 20 of 19", mrt.Record{Subtype: 1, Body: bgp4mp(lying(20)...)}, mrt.ReasonMessageLength, ""},
		{"AFI 3", mrt.Record{Subtype: 1, Body: []byte{0, 1, 0, 1, 0, 0, 0, 3, 0}}, mrt.ReasonAFI, ""},
		{"cut addresses", mrt.Record{Subtype: 1, Body: bgp4mp()[:12]}, mrt.ReasonShort, ""},
		{"empty", mrt.Record{Subtype: 1}, mrt.ReasonShort, ""},
		{"a state change", mrt.Record{Subtype: 0, Body: bgp4mp(0, 1, 0, 2)}, mrt.ReasonClass, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.rec.Type == 0 {
				tt.rec.Type = mrt.TypeBGP4MP
			}
			var m mrt.Message
			err := m.Parse(&tt.rec)
			if reasonOf(err) != tt.reason || (err == nil) != (tt.reason == "") {
				t.Fatalf("error %v, want reason %q", err, tt.reason)
			}
			if m.Anomaly != tt.anomaly {
				t.Errorf("anomaly %q, want %q", m.Anomaly, tt.anomaly)
			}
			if err == nil && (!bytes.Equal(m.PDU, keepalive) || m.PeerAS != 65001 || m.LocalAS != 65000 || m.IfIndex != 3 ||
				m.PeerIP != addr("192.0.2.10") || m.LocalIP != addr("192.0.2.1") || m.Sent != (tt.rec.Subtype == 6)) {
				t.Errorf("read as %+v", m)
			}
		})
	}
}

func TestEverySubtypeOfMessages(t *testing.T) {
	keepalive := join(bytes.Repeat([]byte{0xff}, 16), []byte{0, 19, 4})
	as4Head := join([]byte{0, 0, 0xfd, 0xe9, 0, 0, 0xfd, 0xe8}, bgp4mp()[4:])
	for subtype, want := range map[uint16]struct{ as4, sent, addPath bool }{
		mrt.SubtypeMessage:                {},
		mrt.SubtypeMessageAS4:             {as4: true},
		mrt.SubtypeMessageLocal:           {sent: true},
		mrt.SubtypeMessageAS4Local:        {as4: true, sent: true},
		mrt.SubtypeMessageAddPath:         {addPath: true},
		mrt.SubtypeMessageAS4AddPath:      {as4: true, addPath: true},
		mrt.SubtypeMessageLocalAddPath:    {sent: true, addPath: true},
		mrt.SubtypeMessageAS4LocalAddPath: {as4: true, sent: true, addPath: true},
	} {
		body := bgp4mp(keepalive...)
		if want.as4 {
			body = join(as4Head, keepalive)
		}
		for _, typ := range []uint16{mrt.TypeBGP4MP, mrt.TypeBGP4MPET} {
			rec := mrt.Record{Type: typ, Subtype: subtype, Body: body}
			var m mrt.Message
			if err := m.Parse(&rec); err != nil {
				t.Errorf("%d/%d: %v", typ, subtype, err)
				continue
			}
			if m.AS4 != want.as4 || m.Sent != want.sent || m.AddPath != want.addPath || m.PeerAS != 65001 {
				t.Errorf("%d/%d: %+v", typ, subtype, m)
			}
			if s := m.Session(); s.AS4 != want.as4 || s.AddPath.Has(bgp.IPv4Unicast) != want.addPath || s.AddPath.Has(bgp.EVPN) != want.addPath {
				t.Errorf("%d/%d: session %+v", typ, subtype, s)
			}
		}
	}
}

func TestStateChangeRecords(t *testing.T) {
	for _, tt := range []struct {
		name    string
		body    []byte
		reason  string
		anomaly string
	}{
		{"1 to 6", bgp4mp(0, 1, 0, 6), "", ""},
		{"Quagga's 7 to 8", bgp4mp(0, 7, 0, 8), "", ""},
		{"99 to 0", bgp4mp(0, 99, 0, 0), "", mrt.AnomalyState},
		{"trailing", bgp4mp(0, 1, 0, 6, 0), "", mrt.AnomalyTrailing},
		{"cut", bgp4mp(0, 1, 0), mrt.ReasonShort, ""},
	} {
		rec := mrt.Record{Type: mrt.TypeBGP4MP, Subtype: mrt.SubtypeStateChange, Body: tt.body}
		var s mrt.StateChange
		err := s.Parse(&rec)
		if reasonOf(err) != tt.reason || (err == nil) != (tt.reason == "") || (err == nil && s.Anomaly != tt.anomaly) {
			t.Errorf("%s: %v, %q", tt.name, err, s.Anomaly)
		}
	}
	if got := mrt.Established.String() + " " + mrt.State(99).String(); got != "Established 99" {
		t.Error(got)
	}
}

func TestShortETRecord(t *testing.T) {
	file := []byte{0, 0, 0, 1, 0, 17, 0, 4, 0, 0, 0, 2, 9, 9}
	rec := next(t, file)
	var m mrt.Message
	if err := m.Parse(&rec); reasonOf(err) != mrt.ReasonShort {
		t.Errorf("Parse: %v", err)
	}
	if again := mrt.AppendRecord(nil, &rec); !bytes.Equal(again, file) {
		t.Errorf("comes back as %x", again)
	}
}

// TestOneBadTableEndsTheOld: indexes must not be looked up in an earlier table.
func TestOneBadTableEndsTheOld(t *testing.T) {
	good, err := mrt.AppendPeerIndexTable(nil, sec, &table)
	if err != nil {
		t.Fatal(err)
	}
	rib, err := mrt.AppendRIB(nil, &mrt.RIBHeader{Family: bgp.IPv4Unicast, NLRI: prefix("198.51.100.0/24")}, []mrt.RIBEntry{{AS4: true}})
	if err != nil {
		t.Fatal(err)
	}
	ribRec := next(t, rib)
	var peers mrt.PeerIndexTable
	var r mrt.RIB
	if err := r.Parse(&ribRec, &peers); reasonOf(err) != mrt.ReasonPeerTable {
		t.Errorf("before a table: %v", err)
	}
	rec := next(t, good)
	if err := peers.Parse(&rec); err != nil {
		t.Fatal(err)
	}
	if err := r.Parse(&ribRec, &peers); err != nil {
		t.Errorf("with a table: %v", err)
	}
	rec.Body = rec.Body[:len(rec.Body)-1]
	if err := peers.Parse(&rec); reasonOf(err) != mrt.ReasonShort {
		t.Errorf("cut table: %v", err)
	}
	if err := r.Parse(&ribRec, &peers); reasonOf(err) != mrt.ReasonPeerTable {
		t.Errorf("after a cut table: %v", err)
	}
}

// TestSomeEntriesWithoutPeer keeps the entries whose peer is in the table.
func TestSomeEntriesWithoutPeer(t *testing.T) {
	b, err := mrt.AppendRIB(nil, &mrt.RIBHeader{Family: bgp.IPv4Unicast, NLRI: prefix("198.51.100.0/24")}, []mrt.RIBEntry{
		{PeerIndex: 0, AS4: true, Originated: 1}, {PeerIndex: 9, AS4: true, Originated: 2}, {PeerIndex: 1, AS4: true, Originated: 3},
	})
	if err != nil {
		t.Fatal(err)
	}
	es := entries(t, b, 2)
	if len(es) != 2 || es[0].Originated != 1 || es[1].Originated != 3 {
		t.Errorf("entries %+v", es)
	}
}

func TestTableDumpRecords(t *testing.T) {
	attrs := join(originIGP, asPath(2, 65001), nextHop4)
	body4 := func(bits byte, tail ...byte) []byte {
		b := []byte{0, 1, 0, 2, 198, 51, 100, 77, bits, 1, 0, 0, 0, 9, 192, 0, 2, 10, 0xfd, 0xe9}
		b = binary.BigEndian.AppendUint16(b, uint16(len(attrs)))
		return join(b, attrs, tail)
	}
	v6Attrs := join(originIGP, asPath(4, 65001), attribute(0x80, 14, join([]byte{16}, nextHop6)...))
	body6 := join([]byte{0, 1, 0, 2}, addr("2001:db8::").AsSlice(), []byte{32, 1, 0, 0, 0, 9}, addr("2001:db8::10").AsSlice(),
		[]byte{0, 0, 0xfd, 0xe9, 0, byte(len(v6Attrs))}, v6Attrs)
	tests := []struct {
		name    string
		rec     mrt.Record
		reason  string
		anomaly string
		want    string // prefix
	}{
		{"ipv4", mrt.Record{Subtype: 1, Body: body4(24)}, "", "", "198.51.100.0/24"},
		{"trailing", mrt.Record{Subtype: 1, Body: body4(24, 1)}, "", mrt.AnomalyTrailing, "198.51.100.0/24"},
		{"prefix length 200", mrt.Record{Subtype: 1, Body: body4(200)}, mrt.ReasonPrefix, "", ""},
		{"cut", mrt.Record{Subtype: 1, Body: body4(24)[:39]}, mrt.ReasonShort, "", ""},
		{"ipv6 with four-octet AS numbers", mrt.Record{Subtype: 4, Body: body6}, "", "", "2001:db8::/32"},
		{"subtype 9", mrt.Record{Subtype: 9, Body: body4(24)}, mrt.ReasonClass, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.rec.Type = mrt.TypeTableDump
			var e mrt.TableEntry
			err := e.Parse(&tt.rec)
			if reasonOf(err) != tt.reason || (err == nil) != (tt.reason == "") {
				t.Fatalf("error %v, want reason %q", err, tt.reason)
			}
			if err != nil {
				return
			}
			if e.Prefix.String() != tt.want || e.Anomaly != tt.anomaly || e.Peer.ASN != 65001 || e.Originated != 9 || e.Sequence != 2 {
				t.Errorf("read as %+v", e)
			}
			msg, err := mrt.AppendUpdate(nil, &e.Entry)
			if err != nil {
				t.Fatal(err)
			}
			if _, nlri, _ := takeApart(t, msg, false); !bytes.Equal(nlri, prefix(tt.want)) {
				t.Errorf("NLRI %x", nlri)
			}
		})
	}
}

func TestEntryRecord(t *testing.T) {
	attrs := join(originIGP, asPath(2, 65001))
	rest := join([]byte{0, 4, 0, 1, 0, 0, 0, 9, 0, 1, 1, 4, 192, 0, 2, 10}, prefix("198.51.100.0/24"), []byte{0, byte(len(attrs))}, attrs)
	rec := mrt.Record{Type: mrt.TypeBGP4MP, Subtype: mrt.SubtypeEntry, Body: bgp4mp(rest...)}
	var e mrt.TableEntry
	if err := e.Parse(&rec); err != nil {
		t.Fatal(err)
	}
	msg, err := mrt.AppendUpdate(nil, &e.Entry)
	if err != nil {
		t.Fatal(err)
	}
	hop, nlri, _ := takeApart(t, msg, false)
	if e.ViewNumber != 4 || e.LocalAS != 65000 || !bytes.Equal(nlri, prefix("198.51.100.0/24")) || !bytes.Equal(hop, []byte{192, 0, 2, 10}) {
		t.Errorf("read as %+v, next hop %x, NLRI %x", e, hop, nlri)
	}
}

// TestNextHopForms goes through the forms of MP_REACH_NLRI in table dumps.
func TestNextHopForms(t *testing.T) {
	nh := nextHop6
	v6 := prefix("2001:db8:62::/48")
	tests := []struct {
		name  string
		e     mrt.Entry
		hop   []byte
		error string
	}{
		{"abbreviated", mrt.Entry{Family: bgp.IPv6Unicast, NLRI: v6, Attrs: attribute(0x80, 14, join([]byte{16}, nh)...)}, nh, ""},
		{"whole", mrt.Entry{Family: bgp.IPv6Unicast, NLRI: v6, Attrs: mpReach(2, 1, nh, prefix("2001:db8:63::/48"))}, nh, ""},
		{"whole without NLRI", mrt.Entry{Family: bgp.IPv6Unicast, NLRI: v6, Attrs: attribute(0x80, 14, join([]byte{0, 2, 1, 16}, nh)...)}, nh, ""},
		{"of another family", mrt.Entry{Family: bgp.IPv6Unicast, NLRI: v6, Attrs: mpReach(1, 1, nh, nil)}, nil, mrt.ReasonNextHop},
		{"abbreviated with a tail", mrt.Entry{Family: bgp.IPv6Unicast, NLRI: v6, Attrs: attribute(0x80, 14, join([]byte{16}, nh, []byte{0})...)}, nil, mrt.ReasonNextHop},
		{"empty", mrt.Entry{Family: bgp.IPv6Unicast, NLRI: v6, Attrs: attribute(0x80, 14)}, nil, mrt.ReasonNextHop},
		{"none", mrt.Entry{Family: bgp.IPv6Unicast, NLRI: v6, Attrs: originIGP}, make([]byte, 16), ""},
		{"none, ipv4", mrt.Entry{Family: bgp.IPv4Unicast, NLRI: prefix("10.0.0.0/8"), Attrs: originIGP}, make([]byte, 4), ""},
		{"none, evpn", mrt.Entry{Family: bgp.EVPN, NLRI: evpn3, Attrs: originIGP}, nil, mrt.ReasonNextHop},
		{"NEXT_HOP of a VPN route", mrt.Entry{Family: bgp.IPv4VPN, NLRI: vpn4, Attrs: nextHop4}, join(make([]byte, 8), []byte{192, 0, 2, 10}), ""},
		{"NEXT_HOP and MP_REACH_NLRI", mrt.Entry{Family: bgp.IPv4Unicast, NLRI: prefix("10.0.0.0/8"), Attrs: join(nextHop4, mpReach(2, 1, nh, v6))}, []byte{192, 0, 2, 10}, ""},
		{"MP_UNREACH_NLRI", mrt.Entry{Family: bgp.IPv4Unicast, NLRI: prefix("10.0.0.0/8"), Attrs: join(nextHop4, attribute(0x80, 15, 0, 2, 1, 0))}, []byte{192, 0, 2, 10}, ""},
		{"attributes cut", mrt.Entry{Family: bgp.IPv4Unicast, NLRI: prefix("10.0.0.0/8"), Attrs: nextHop4[:5]}, nil, mrt.ReasonAttributes},
		{"attributes cut in a header", mrt.Entry{Family: bgp.IPv4Unicast, NLRI: prefix("10.0.0.0/8"), Attrs: join(nextHop4, []byte{0x50, 9, 1})}, nil, mrt.ReasonAttributes},
		{"too long", mrt.Entry{Family: bgp.IPv4Unicast, NLRI: prefix("10.0.0.0/8"), Attrs: join([]byte{0xd0, 99, 0xff, 0xf0}, make([]byte, 0xfff0), nextHop4)}, nil, mrt.ReasonTooLong},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			msg, err := mrt.AppendUpdate([]byte("kept"), &tt.e)
			if mrt.EntryReason(err) != tt.error || (err == nil) != (tt.error == "") {
				t.Fatalf("error %v, want reason %q", err, tt.error)
			}
			if err != nil {
				if string(msg) != "kept" {
					t.Errorf("dst is %q", msg)
				}
				return
			}
			hop, nlri, attrs := takeApart(t, msg[4:], false)
			if !bytes.Equal(hop, tt.hop) || !bytes.Equal(nlri, tt.e.NLRI) {
				t.Errorf("next hop %x, NLRI %x", hop, nlri)
			}
			if bytes.Contains(attrs, []byte{0x80, 15}) {
				t.Errorf("attributes %x", attrs)
			}
		})
	}
}

func TestGenericFamilies(t *testing.T) {
	for _, tt := range []struct {
		family bgp.Family
		nlri   []byte
	}{
		{bgp.IPv4VPN, vpn4},
		{bgp.EVPN, evpn3},
		{bgp.VPLS, []byte{0, 3, 1, 2, 3}},
		{bgp.LS, []byte{0, 1, 0, 2, 9, 9}},
		{bgp.IPv4MUP, []byte{1, 0, 1, 2, 9, 9}},
		{bgp.IPv4MVPN, []byte{5, 2, 9, 9}},
		{bgp.RTC, []byte{0}},
		{bgp.IPv4Flowspec, []byte{3, 3, 0x81, 6}},
		{bgp.IPv6Flowspec, join([]byte{0xf0, 0xf1}, make([]byte, 0xf1))},
	} {
		h := mrt.RIBHeader{Family: tt.family, NLRI: tt.nlri}
		b, err := mrt.AppendRIB(nil, &h, []mrt.RIBEntry{{AS4: true, NextHop: []byte{192, 0, 2, 10}}})
		if err != nil {
			t.Fatal(err)
		}
		es := entries(t, b, 1)
		if len(es) != 1 || es[0].Family != tt.family || !bytes.Equal(es[0].NLRI, tt.nlri) {
			t.Errorf("%v: read as %+v", tt.family, es)
		}
	}
	h := mrt.RIBHeader{Family: bgp.NewFamily(99, 99), NLRI: []byte{1, 2}}
	b, err := mrt.AppendRIB(nil, &h, []mrt.RIBEntry{{AS4: true}})
	if err != nil {
		t.Fatal(err)
	}
	rec := next(t, b)
	peers := mrt.PeerIndexTable{}
	index := next(t, mustPeers(t))
	if err := peers.Parse(&index); err != nil {
		t.Fatal(err)
	}
	var r mrt.RIB
	if err := r.Parse(&rec, &peers); reasonOf(err) != mrt.ReasonFamily {
		t.Errorf("unknown family: %v", err)
	}
}

func mustPeers(t *testing.T) []byte {
	t.Helper()
	b, err := mrt.AppendPeerIndexTable(nil, sec, &table)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
