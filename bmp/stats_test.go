package bmp_test

import (
	"math"
	"testing"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/bmp"
)

func TestStats(t *testing.T) {
	tests := []struct {
		name      string
		body      string
		want      []bmp.Stat // without Name and Raw
		anomalies bmp.Anomalies
	}{
		{"none", "00000000", nil, 0},
		{"a counter", "00000001 0000 0004 00000007", []bmp.Stat{{Type: 0, Value: 7, OK: true}}, 0},
		{"GoBGP's gauges", "00000002 0007 0008 000000000000000a 0008 0008 ffffffffffffffff", []bmp.Stat{
			{Type: 7, Gauge: true, Value: 10, OK: true},
			{Type: 8, Gauge: true, Value: math.MaxUint64, OK: true},
		}, 0},
		{"per family", "00000002 0009 000b 0001 01 0000000000000002 0011 000b 0019 46 0000000000000003", []bmp.Stat{
			{Type: 9, Gauge: true, HasFamily: true, Family: bgp.IPv4Unicast, Value: 2, OK: true},
			{Type: 17, Gauge: true, HasFamily: true, Family: bgp.EVPN, Value: 3, OK: true},
		}, 0},
		{"an unknown family", "00000001 000a 000b ffff ff 0000000000000002", []bmp.Stat{
			{Type: 10, Gauge: true, HasFamily: true, Family: bgp.NewFamily(0xffff, 0xff), Value: 2, OK: true},
		}, 0},
		{"RFC 9972", "00000002 001f 0008 0000000000000001 002b 000b 0002 01 0000000000000004", []bmp.Stat{
			{Type: 31, Gauge: true, Value: 1, OK: true},
			{Type: 43, Gauge: true, HasFamily: true, Family: bgp.IPv6Unicast, Value: 4, OK: true},
		}, 0},
		{"FRRouting's 65531", "00000001 fffb 0004 00000009", []bmp.Stat{{Type: 65531, Value: 9, OK: true}}, 0},
		{"another vendor's 65531", "00000001 fffb 0003 010101", []bmp.Stat{{Type: 65531}}, 0},
		{"types that nobody knows", "00000003 0018 0004 00000005 0019 0008 0000000000000006 1234 0001 07", []bmp.Stat{
			{Type: 24, Value: 5, OK: true},
			{Type: 25, Gauge: true, Value: 6, OK: true},
			{Type: 0x1234},
		}, 0},
		{"a gauge of length 0, then a good one", "00000002 0007 0000 0008 0008 0000000000000009", []bmp.Stat{
			{Type: 7, Gauge: true},
			{Type: 8, Gauge: true, Value: 9, OK: true},
		}, bmp.AnomalyStatLength},
		{"a counter of 8", "00000001 0000 0008 0000000000000001", []bmp.Stat{{Type: 0}}, bmp.AnomalyStatLength},
		{"a gauge of 4", "00000001 0007 0004 00000001", []bmp.Stat{{Type: 7, Gauge: true}}, bmp.AnomalyStatLength},
		{"a family gauge of 12", "00000001 0009 000c 0001 01 000000000000000200", []bmp.Stat{{Type: 9, Gauge: true}}, bmp.AnomalyStatLength},
		{"a family gauge of 3", "00000001 0009 0003 0001 01", []bmp.Stat{{Type: 9, Gauge: true}}, bmp.AnomalyStatLength},
		{"more than the count", "00000000 0000 0004 00000007", []bmp.Stat{{Type: 0, Value: 7, OK: true}}, bmp.AnomalyStatsCount},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw := octets(t, "03 ........ 01", peer4, tt.body)
			report, err := bmp.ParseStatsReport(parse(t, raw))
			if err != nil {
				t.Fatal(err)
			}
			wantAnomalies(t, report.Anomalies, tt.anomalies)
			i := 0
			it := report.Stats()
			for s, ok := it.Next(); ok; s, ok = it.Next() {
				if i >= len(tt.want) {
					t.Fatalf("statistic %d of %d: %+v", i, len(tt.want), s)
				}
				want := tt.want[i]
				if s.OK && s.Name != bmp.StatName(s.Type) {
					t.Errorf("statistic %d is called %q, want %q", s.Type, s.Name, bmp.StatName(s.Type))
				}
				if s.Type != want.Type || s.Gauge != want.Gauge || s.HasFamily != want.HasFamily || s.Family != want.Family || s.Value != want.Value || s.OK != want.OK {
					t.Errorf("statistic %d\n got %+v\nwant %+v", i, s, want)
				}
				i++
			}
			if i != len(tt.want) {
				t.Errorf("%d statistics, want %d", i, len(tt.want))
			}
		})
	}
}

func TestStatsErrors(t *testing.T) {
	tests := []struct {
		name, body, reason string
		offset             int64
	}{
		{"no count", "0000", bmp.ReasonBodyShort, 50},
		{"count 4 GiB", "ffffffff 0000 0004 00000001", bmp.ReasonStatsMissing, 60},
		{"one too few", "00000002 0000 0004 00000001", bmp.ReasonStatsMissing, 60},
		{"a value overruns", "00000002 0000 0004 00000001 0001 0004 000000", bmp.ReasonTLVOverrun, 60},
		{"a header is cut", "00000001 0000 00", bmp.ReasonTLVOverrun, 52},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := bmp.ParseStatsReport(parse(t, octets(t, "03 ........ 01", peer4, tt.body)))
			if e := wantError(t, err, bmp.ClassDrop, tt.reason); e.Offset != tt.offset {
				t.Errorf("offset %d, want %d", e.Offset, tt.offset)
			}
		})
	}
}

// TestStatNames checks the table: each type at its place, each name once, and
// the per-AFI/SAFI types of RFC 7854, RFC 8671 and RFC 9972 by their form.
func TestStatNames(t *testing.T) {
	family := map[uint16]bool{
		9: true, 10: true, 16: true, 17: true, 19: true, 21: true, 22: true, 23: true, 26: true, 27: true, 28: true,
		30: true, 32: true, 34: true, 35: true, 36: true, 37: true, 38: true, 40: true, 41: true, 42: true, 43: true,
	}
	counter := map[uint16]bool{0: true, 1: true, 2: true, 3: true, 4: true, 5: true, 6: true, 11: true, 12: true, 13: true}
	seen := map[string]bool{}
	for typ := range uint16(44) {
		name := bmp.StatName(typ)
		if typ == 24 || typ == 25 {
			if name != "" {
				t.Errorf("type %d is called %q", typ, name)
			}
			continue
		}
		if name == "" || seen[name] {
			t.Errorf("type %d is called %q", typ, name)
		}
		seen[name] = true
		raw := bmp.AppendStats(nil, &bmp.PeerHeader{ASN: 1}, []bmp.Stat{{Type: typ, HasFamily: family[typ], Family: bgp.LS, Value: 5}})
		report, err := bmp.ParseStatsReport(parse(t, raw))
		if err != nil || report.Anomalies != 0 {
			t.Errorf("type %d: %v %v", typ, err, report.Anomalies)
		}
		it := report.Stats()
		s, _ := it.Next()
		if !s.OK || s.Value != 5 || s.HasFamily != family[typ] || s.Gauge == counter[typ] || s.HasFamily && s.Family != bgp.LS {
			t.Errorf("type %d reads back as %+v", typ, s)
		}
	}
	for _, typ := range []uint16{44, 65530, 65532, 65535} {
		if name := bmp.StatName(typ); name != "" {
			t.Errorf("type %d is called %q", typ, name)
		}
	}
	if bmp.StatName(65531) == "" {
		t.Error("FRRouting's type 65531 has no name")
	}
}
