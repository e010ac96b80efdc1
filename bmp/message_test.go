package bmp_test

import (
	"testing"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/bmp"
)

func TestParseHeader(t *testing.T) {
	tests := []struct {
		name  string
		raw   string
		typ   bmp.Type
		known bool
		body  string
	}{
		{"Initiation", "03 00000008 04 0102", bmp.TypeInitiation, true, "0102"},
		{"version 4", "04 00000008 00 0102", bmp.TypeRouteMonitoring, false, "0102"},
		{"Huawei's type 100", "03 00000008 64 0102", 100, false, "0102"},
		{"type 255", "03 00000006 ff", 255, false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw := octets(t, tt.raw)
			m := parse(t, raw)
			if m.Type != tt.typ || m.Known != tt.known || m.Version != raw[0] {
				t.Errorf("version %d type %d known %v", m.Version, m.Type, m.Known)
			}
			wantOctets(t, "raw", m.Raw, raw)
			wantOctets(t, "body", m.Body, octets(t, tt.body))
			wantAnomalies(t, m.Anomalies, 0)
			if m.Peer != (bmp.PeerHeader{}) {
				t.Errorf("peer header %+v where there is none", m.Peer)
			}
		})
	}
}

func TestParseHeaderErrors(t *testing.T) {
	tests := []struct {
		name   string
		raw    []byte
		class  bmp.Class
		reason string
	}{
		{"nothing", nil, bmp.ClassTruncated, bmp.ReasonTruncated},
		{"five octets", octets(t, "03 00000006"), bmp.ClassTruncated, bmp.ReasonTruncated},
		{"version 1", octets(t, "01 00000006 04"), bmp.ClassFraming, bmp.ReasonVersion},
		{"more than it says", octets(t, "03 00000006 04 00"), bmp.ClassFraming, bmp.ReasonLengthLies},
		{"less than it says", octets(t, "03 00000008 04 00"), bmp.ClassFraming, bmp.ReasonLengthLies},
		{"no per-peer header", octets(t, "03 00000006 02"), bmp.ClassDrop, bmp.ReasonPeerHeader},
		{"per-peer header of 41", octets(t, "03 ........ 02", peer4)[:47], bmp.ClassDrop, bmp.ReasonPeerHeader},
	}
	tests[len(tests)-1].raw[4] = 47
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := bmp.Parse(tt.raw)
			e := wantError(t, err, tt.class, tt.reason)
			wantOctets(t, "raw", m.Raw, tt.raw)
			if m.Known {
				t.Error("known")
			}
			if tt.class == bmp.ClassDrop && (e.Type != bmp.TypePeerDown || e.Offset != int64(len(tt.raw))) {
				t.Errorf("type %s offset %d", e.Type, e.Offset)
			}
			if _, err := bmp.ParsePeerDown(&m); err == nil {
				t.Error("a body was read all the same")
			}
		})
	}
}

func TestPeerHeader(t *testing.T) {
	const tail = "0000fde9 c000020a 6553f100 0001e240"
	tests := []struct {
		name      string
		raw       string
		want      bmp.PeerHeader
		anomalies bmp.Anomalies
		// the flags in words: V post A O F
		v, l, a, o, f bool
	}{
		{
			name: "global, IPv4", raw: "00 00 0000000000000000 000000000000000000000000c000020a " + tail,
			want: bmp.PeerHeader{Address: addr("192.0.2.10")},
		},
		{
			name: "all flags and all reserved bits", raw: "00 ff 0000000000000000 20010db8000000000000000000000001 " + tail,
			want: bmp.PeerHeader{Flags: 0xff, Address: addr("2001:db8::1")},
			v:    true, l: true, a: true, o: true,
		},
		{
			name: "reserved bits alone", raw: "00 0f 0000000000000000 000000000000000000000000c000020a " + tail,
			want: bmp.PeerHeader{Flags: 0x0f, Address: addr("192.0.2.10")},
		},
		{
			name: "IPv6 that looks like IPv4", raw: "00 80 0000000000000000 000000000000000000000000c000020a " + tail,
			want: bmp.PeerHeader{Flags: 0x80, Address: addr("::c000:20a")}, v: true,
		},
		{
			name: "IPv4-mapped", raw: "00 80 0000000000000000 00000000000000000000ffffc000020a " + tail,
			want: bmp.PeerHeader{Flags: 0x80, Address: addr("::ffff:192.0.2.10")}, v: true,
		},
		{
			name: "IPv4 not zero-filled", raw: "00 00 0000000000000000 000000010000000000000000c000020a " + tail,
			want: bmp.PeerHeader{Address: addr("192.0.2.10")}, anomalies: bmp.AnomalyPeerAddress,
		},
		{
			name: "RD instance", raw: "01 50 0000fde800000001 000000000000000000000000c000020a " + tail,
			want: bmp.PeerHeader{Type: bmp.PeerRD, Flags: 0x50, Distinguisher: bgp.RD{0, 0, 0xfd, 0xe8, 0, 0, 0, 1}, Address: addr("192.0.2.10")},
			l:    true, o: true,
		},
		{
			name: "distinguisher on a global instance", raw: "00 00 0000fde800000001 000000000000000000000000c000020a " + tail,
			want:      bmp.PeerHeader{Distinguisher: bgp.RD{0, 0, 0xfd, 0xe8, 0, 0, 0, 1}, Address: addr("192.0.2.10")},
			anomalies: bmp.AnomalyDistinguisher,
		},
		{
			name: "local instance, two-octet AS path", raw: "02 20 0000000000000001 000000000000000000000000c000020a " + tail,
			want: bmp.PeerHeader{Type: bmp.PeerLocal, Flags: 0x20, Distinguisher: bgp.RD{7: 1}, Address: addr("192.0.2.10")}, a: true,
		},
		{
			name: "Loc-RIB, filtered", raw: "03 80 0000000000000000 00000000000000000000000000000000 " + tail,
			want: bmp.PeerHeader{Type: bmp.PeerLocRIB, Flags: 0x80, Address: addr("0.0.0.0")}, f: true,
		},
		{
			name: "FRRouting's Loc-RIB flag 0x40", raw: "03 40 0000000000000000 00000000000000000000000000000000 " + tail,
			want: bmp.PeerHeader{Type: bmp.PeerLocRIB, Flags: 0x40, Address: addr("0.0.0.0")},
		},
		{
			name: "Loc-RIB with every bit", raw: "03 ff 0000fde800000001 00000000000000000000000000000000 " + tail,
			want: bmp.PeerHeader{Type: bmp.PeerLocRIB, Flags: 0xff, Distinguisher: bgp.RD{0, 0, 0xfd, 0xe8, 0, 0, 0, 1}, Address: addr("0.0.0.0")}, f: true,
		},
		{
			name: "Loc-RIB with an IPv4 address", raw: "03 00 0000000000000000 000000000000000000000000c000020a " + tail,
			want: bmp.PeerHeader{Type: bmp.PeerLocRIB, Address: addr("192.0.2.10")}, anomalies: bmp.AnomalyPeerAddress,
		},
		{
			name: "Loc-RIB with an IPv6 address", raw: "03 00 0000000000000000 20010db8000000000000000000000001 " + tail,
			want: bmp.PeerHeader{Type: bmp.PeerLocRIB, Address: addr("2001:db8::1")}, anomalies: bmp.AnomalyPeerAddress,
		},
		{
			name: "peer type 4", raw: "04 f0 0000000000000000 000000000000000000000000c000020a " + tail,
			want: bmp.PeerHeader{Type: 4, Flags: 0xf0, Address: addr("192.0.2.10")}, anomalies: bmp.AnomalyPeerType,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw := octets(t, "03 ........ 00", tt.raw, update)
			m := parse(t, raw)
			want := tt.want
			want.ASN, want.BGPID, want.Seconds, want.Microseconds = 65001, addr("192.0.2.10"), 1700000000, 123456
			if m.Peer != want {
				t.Errorf("\n got %+v\nwant %+v", m.Peer, want)
			}
			wantAnomalies(t, m.Anomalies, tt.anomalies)
			p := &m.Peer
			if p.IPv6() != tt.v || p.PostPolicy() != tt.l || p.LegacyASPath() != tt.a || p.AdjRIBOut() != tt.o || p.Filtered() != tt.f {
				t.Errorf("V %v L %v A %v O %v F %v", p.IPv6(), p.PostPolicy(), p.LegacyASPath(), p.AdjRIBOut(), p.Filtered())
			}
			if p.LocRIB() != (tt.want.Type == bmp.PeerLocRIB) {
				t.Errorf("LocRIB %v", p.LocRIB())
			}
			if p.Time() != 1700000000_123456000 {
				t.Errorf("time %d", p.Time())
			}
			_, again, err := body(m)
			if err != nil {
				t.Fatal(err)
			}
			if tt.name != "IPv4 not zero-filled" {
				wantOctets(t, "written again", again, raw)
			}
		})
	}
}

func TestPeerHeaderOdd(t *testing.T) {
	const head = "03 ........ 00  00 00 0000000000000000 000000000000000000000000c000020a "
	tests := []struct {
		name      string
		rest      string
		time      int64
		anomalies bmp.Anomalies
	}{
		{"no time", "0000fde9 c000020a 00000000 00000000", 0, 0},
		{"microseconds alone", "0000fde9 c000020a 00000000 00000001", 0, 0},
		{"year 2106", "0000fde9 c000020a ffffffff 00000000", 4294967295_000000000, 0},
		{"a million microseconds", "0000fde9 c000020a 00000001 000f4240", 2_000000000, bmp.AnomalyTimestamp},
		{"AS 0, as FRRouting's local routes", "00000000 00000000 00000001 00000000", 1_000000000, bmp.AnomalyPeerAS},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := parse(t, octets(t, head+tt.rest, update))
			if got := m.Peer.Time(); got != tt.time {
				t.Errorf("time %d, want %d", got, tt.time)
			}
			wantAnomalies(t, m.Anomalies, tt.anomalies)
		})
	}
}

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for typ := range bmp.Type(7) {
		name := typ.String()
		if name == "" || name == "unknown" || seen[name] {
			t.Errorf("type %d is called %q", typ, name)
		}
		seen[name] = true
	}
	if got := bmp.Type(7).String(); got != "unknown" || bmp.Type(7).HasPeer() {
		t.Errorf("type 7 is called %q", got)
	}
	for _, c := range []bmp.Class{bmp.ClassDrop, bmp.ClassFraming, bmp.ClassTruncated} {
		if c.String() == "unknown" {
			t.Errorf("class %d has no name", c)
		}
	}
	all := ^bmp.Anomalies(0) >> 12
	for one := range all.All() {
		name := one.String()
		if name == "" || name == "unknown" || seen[name] {
			t.Errorf("anomaly %#x is called %q", uint32(one), name)
		}
		seen[name] = true
	}
	if got := (bmp.AnomalyTrailing | bmp.AnomalyStatLength).String(); got != "trailing-octets,stat-length" {
		t.Errorf("two anomalies are called %q", got)
	}
	if got := bmp.Anomalies(0).String(); got != "" {
		t.Errorf("no anomaly is called %q", got)
	}
	if got := bmp.Anomalies(1 << 31).String(); got != "unknown" {
		t.Errorf("an anomaly without a name is called %q", got)
	}
}

func TestWrongType(t *testing.T) {
	m := parse(t, octets(t, "03 00000006 04"))
	for _, try := range []func(*bmp.Message) error{
		func(m *bmp.Message) error { _, err := bmp.ParseRouteMonitoring(m); return err },
		func(m *bmp.Message) error { _, err := bmp.ParseStatsReport(m); return err },
		func(m *bmp.Message) error { _, err := bmp.ParsePeerDown(m); return err },
		func(m *bmp.Message) error { _, err := bmp.ParsePeerUp(m); return err },
		func(m *bmp.Message) error { _, err := bmp.ParseTermination(m); return err },
		func(m *bmp.Message) error { _, err := bmp.ParseRouteMirroring(m); return err },
	} {
		wantError(t, try(m), bmp.ClassDrop, bmp.ReasonMessageType)
	}
	v4 := parse(t, octets(t, "04 00000006 04"))
	_, err := bmp.ParseInitiation(v4)
	wantError(t, err, bmp.ClassDrop, bmp.ReasonMessageType)
}
