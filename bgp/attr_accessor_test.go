package bgp_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ribtap/ribtap/bgp"
)

// as2 is a session with a speaker of two-octet AS numbers only.
var as2 = bgp.Session{Peering: bgp.PeeringExternal}

// internal is a session with an internal peer.
var internal = bgp.Session{AS4: true, Peering: bgp.PeeringInternal}

// announced parses an UPDATE of 10.0.0.0/8 with the attributes.
func announced(t testing.TB, s bgp.Session, attrs string) *bgp.Update {
	t.Helper()
	u := new(bgp.Update)
	u.Parse(update(t, "", attrs, "080a"), s)
	return u
}

// attribute makes one with an extended length.
func attribute(t testing.TB, flags, code uint8, value string) string {
	t.Helper()
	return fmt.Sprintf("%02x%02x%04x%x ", flags|0x10, code, len(octets(t, value)), octets(t, value))
}

func TestASPath(t *testing.T) {
	// The texts of one AS_PATH alone are bgpdump 1.6.2's, byte for byte.
	for _, tt := range []struct {
		name     string
		path     string
		as4      string // AS4_PATH
		agg, ag4 string // AGGREGATOR, AS4_AGGREGATOR
		want     string
		origin   uint32 // 0: none
	}{
		{name: "empty"},
		{name: "sequence", path: "0202 0001 0002", want: "1 2", origin: 2},
		{name: "set", path: "0102 0001 0002", want: "{1,2}"},
		{name: "set of one", path: "0201 0001 0101 0002", want: "1 {2}", origin: 2},
		{name: "set behind sequence", path: "0201 0009 0102 0001 0002", want: "9 {1,2}"},
		{name: "two sequences", path: "0201 0001 0201 0002", want: "1 2", origin: 2},
		{name: "confed sequence", path: "0302 0001 0002", want: "(1 2)"},
		{name: "confed set", path: "0402 0001 0002", want: "[1,2]"},
		{name: "all four", path: "0302 fde9 fdea 0401 fdeb 0202 0001 0002 0102 0003 0004", want: "(65001 65002) [65003] 1 2 {3,4}"},
		{name: "sets side by side", path: "0101 0001 0101 0002", want: "{1} {2}", origin: 2},
		{name: "unknown type ends it", path: "0201 0001 0501 0002", want: "1", origin: 1},
		{name: "overrun ends it", path: "0201 0001 0209 0002", want: "1", origin: 1},
		{name: "empty segment", path: "0201 0001 0200 0201 0002", want: "1 2", origin: 2},

		{name: "as4", path: "0203 fde9 5ba0 5ba0", as4: "0202 00010001 00010002", want: "65001 65537 65538", origin: 65538},
		{name: "as4 of the same length", path: "0202 5ba0 5ba0", as4: "0202 00010001 00010002", want: "65537 65538", origin: 65538},
		{name: "as4 longer", path: "0201 fde9", as4: "0202 0000fde9 00010002", want: "65001", origin: 65001},
		{name: "as4 set counts one", path: "0202 fde9 5ba0 0102 5ba0 5ba0", as4: "0102 00010001 00010002", want: "65001 23456 {65537,65538}"},
		{name: "set that is replaced counts one", path: "0201 0001 0102 5ba0 5ba0", as4: "0201 00010001", want: "1 65537", origin: 65537},
		{name: "leading set stays whole", path: "0102 0001 0002 0202 0003 5ba0", as4: "0201 00010001", want: "{1,2} 3 65537", origin: 65537},
		{name: "leading part in two segments", path: "0202 0001 0002 0202 0003 5ba0", as4: "0201 00010001", want: "1 2 3 65537", origin: 65537},
		{name: "leading confed stays", path: "0301 fde9 0202 5ba0 5ba0", as4: "0202 00010001 00010002", want: "(65001) 65537 65538", origin: 65538},
		{name: "confed beside what is taken stays", path: "0201 0001 0301 fde9 0201 5ba0", as4: "0201 00010001", want: "1 (65001) 65537", origin: 65537},
		{name: "confed behind what is replaced goes", path: "0202 0001 5ba0 0301 fde9", as4: "0201 00010001", want: "1 65537", origin: 65537},
		{name: "confed in as4 goes", path: "0202 0001 5ba0", as4: "0301 0000fde9 0201 00010001", want: "1 65537", origin: 65537},
		{name: "as4 malformed", path: "0202 0001 5ba0", as4: "0202 00010001", want: "1 23456", origin: 23456},
		{name: "aggregator is AS_TRANS", path: "0201 5ba0", as4: "0201 00010001", agg: "5ba0 c0000201", ag4: "00010001 c0000201", want: "65537", origin: 65537},
		{name: "aggregator is not", path: "0201 5ba0", as4: "0201 00010001", agg: "fde9 c0000201", ag4: "00010001 c0000201", want: "23456", origin: 23456},
		{name: "aggregator alone decides nothing", path: "0201 5ba0", as4: "0201 00010001", agg: "fde9 c0000201", want: "65537", origin: 65537},
		{name: "aggregator malformed", path: "0201 5ba0", as4: "0201 00010001", agg: "fde9", ag4: "00010001 c0000201", want: "65537", origin: 65537},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var attrs strings.Builder
			attrs.WriteString(origin + attribute(t, 0x40, bgp.AttrASPath, tt.path) + nextHop)
			for _, a := range []struct {
				code  uint8
				value string
			}{{bgp.AttrAS4Path, tt.as4}, {bgp.AttrAggregator, tt.agg}, {bgp.AttrAS4Aggregator, tt.ag4}} {
				if a.value != "" {
					attrs.WriteString(attribute(t, 0xc0, a.code, a.value))
				}
			}
			u := announced(t, as2, attrs.String())
			if got := string(u.AppendASPath([]byte("x "))); got != "x "+tt.want {
				t.Errorf("path %q, want %q", got, "x "+tt.want)
			}
			as, ok := u.OriginAS()
			if as != tt.origin || ok != (tt.origin != 0) {
				t.Errorf("origin AS %d %v, want %d", as, ok, tt.origin)
			}
		})
	}
}

// TestASPathOfAS4Session shows that AS4_PATH counts for nothing there.
func TestASPathOfAS4Session(t *testing.T) {
	u := announced(t, as4, origin+attribute(t, 0x40, bgp.AttrASPath, "0202 0000fde9 00010000")+nextHop+
		attribute(t, 0xc0, bgp.AttrAS4Path, "0202 00000001 00000002"))
	if got := string(u.AppendASPath(nil)); got != "65001 65536" {
		t.Errorf("got %q", got)
	}
	u = announced(t, as4, origin+nextHop)
	if _, ok := u.ASPath(); ok || len(u.AppendASPath(nil)) > 0 {
		t.Error("a path without AS_PATH")
	}
}

func TestASPathSegments(t *testing.T) {
	u := announced(t, as4, origin+attribute(t, 0x40, bgp.AttrASPath, "0201 00000001 0102 00000002 00010003")+nextHop)
	p, ok := u.ASPath()
	if !ok {
		t.Fatal("no path")
	}
	var got []string
	for s, ok := p.Next(); ok; s, ok = p.Next() {
		n := s.Len()
		for asn, ok := s.Next(); ok; asn, ok = s.Next() {
			got = append(got, fmt.Sprintf("%d/%d:%d", s.Type, n, asn))
		}
	}
	if s := strings.Join(got, " "); s != "2/1:1 1/2:2 1/2:65539" {
		t.Errorf("got %s", s)
	}
}

// TestASPathIsLinear gives a path of as many segments as a message can hold,
// merged with another one, which quadratic work would turn into minutes.
func TestASPathIsLinear(t *testing.T) {
	const n = 8000
	u := announced(t, as2, origin+attribute(t, 0x40, bgp.AttrASPath, strings.Repeat("0201 0001", n))+nextHop+
		attribute(t, 0xc0, bgp.AttrAS4Path, strings.Repeat("0201 00010001", n/2)))
	want := strings.Repeat("1 ", n/2) + strings.TrimSpace(strings.Repeat("65537 ", n/2))
	start := time.Now()
	for range 20 {
		if got := string(u.AppendASPath(nil)); got != want {
			t.Fatalf("%d octets, want %d", len(got), len(want))
		}
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("20 paths took %v", d)
	}
}

func TestScalars(t *testing.T) {
	u := announced(t, internal, "400101 02 "+path+nextHop+"800404 0000007b "+localPref+"4006 00 "+
		"c007 08 00010000 c0000201 80 09 04 c0000209 80 0a 08 c000020a c000020b c023 04 0000fde9 "+
		"801a 12 02 0007 00000000 01 000b 0000000000000bb8")
	if o, ok := u.Origin(); !ok || o.String() != "incomplete" {
		t.Errorf("origin %v %v", o, ok)
	}
	if v, ok := u.MED(); !ok || v != 123 {
		t.Errorf("MED %v %v", v, ok)
	}
	if v, ok := u.LocalPref(); !ok || v != 100 {
		t.Errorf("local preference %v %v", v, ok)
	}
	if v, ok := u.OTC(); !ok || v != 65001 {
		t.Errorf("OTC %v %v", v, ok)
	}
	if v, ok := u.OriginatorID(); !ok || v.String() != "192.0.2.9" {
		t.Errorf("originator %v %v", v, ok)
	}
	if v, ok := u.AIGP(); !ok || v != 3000 {
		t.Errorf("AIGP %v %v", v, ok)
	}
	if as, addr, ok := u.Aggregator(); !ok || as != 65536 || addr.String() != "192.0.2.1" {
		t.Errorf("aggregator %v %v %v", as, addr, ok)
	}
	if !u.AtomicAggregate() {
		t.Error("no atomic aggregate")
	}
	if got := string(u.AppendClusterList(nil)); got != "192.0.2.10 192.0.2.11" {
		t.Errorf("cluster list %q", got)
	}
}

// TestScalarsAbsent reads what is not there, and what is there in a wrong form.
func TestScalarsAbsent(t *testing.T) {
	for name, attrs := range map[string]string{
		"absent":    "",
		"malformed": "400101 03 800403 000001 400503 000001 4006 01 00 c00706 0001 c0000201 800903 c00002 800a 03 c00002 c02303 000001 801a 03 01 0000",
		"empty":     "400100 800400 400500 c00700 800900 800a00 c02300 801a00",
	} {
		t.Run(name, func(t *testing.T) {
			u := announced(t, internal, attrs)
			_, origin := u.Origin()
			_, med := u.MED()
			_, localPref := u.LocalPref()
			_, otc := u.OTC()
			_, originator := u.OriginatorID()
			_, aigp := u.AIGP()
			_, _, aggregator := u.Aggregator()
			if origin || med || localPref || otc || originator || aigp || aggregator || u.AtomicAggregate() {
				t.Errorf("origin %v MED %v LOCAL_PREF %v OTC %v ORIGINATOR_ID %v AIGP %v AGGREGATOR %v ATOMIC_AGGREGATE %v",
					origin, med, localPref, otc, originator, aigp, aggregator, u.AtomicAggregate())
			}
			if got := u.AppendClusterList(nil); len(got) > 0 {
				t.Errorf("cluster list %s", got)
			}
		})
	}
}

func TestAggregatorOfOldSpeaker(t *testing.T) {
	for _, tt := range []struct{ agg, ag4, want string }{
		{"fde9 c0000201", "", "65001 192.0.2.1"},
		{"fde9 c0000201", "00010000 c0000202", "65001 192.0.2.1"},
		{"5ba0 c0000201", "00010000 c0000202", "65536 192.0.2.2"},
		{"5ba0 c0000201", "", "23456 192.0.2.1"},
		{"5ba0 c0000201", "00010000 c00002", "23456 192.0.2.1"},
	} {
		attrs := wellKnown + attribute(t, 0xc0, bgp.AttrAggregator, tt.agg)
		if tt.ag4 != "" {
			attrs += attribute(t, 0xc0, bgp.AttrAS4Aggregator, tt.ag4)
		}
		as, addr, ok := announced(t, as2, attrs).Aggregator()
		if got := fmt.Sprint(as, " ", addr); !ok || got != tt.want {
			t.Errorf("%s and %s: %s %v, want %s", tt.agg, tt.ag4, got, ok, tt.want)
		}
	}
}

func TestCommunities(t *testing.T) {
	u := announced(t, as4, wellKnown+"c0080c fde80001 ffffff01 00000000 c02018 fa56ea00 00000001 00000002 0000fde8 00000000 ffffffff")
	if got := string(u.AppendCommunities([]byte("c: "))); got != "c: 65000:1 65535:65281 0:0" {
		t.Errorf("communities %q", got)
	}
	if got := string(u.AppendLargeCommunities([]byte("l: "))); got != "l: 4200000000:1:2 65000:0:4294967295" {
		t.Errorf("large communities %q", got)
	}
	u = announced(t, as4, wellKnown)
	if got := u.AppendExtCommunities(u.AppendLargeCommunities(u.AppendCommunities(nil))); len(got) > 0 {
		t.Errorf("without any: %q", got)
	}
}

func TestExtCommunities(t *testing.T) {
	for _, tt := range []struct{ hex, want string }{
		{"0002 fde8 00000001", "rt:65000:1"},
		{"0102 c0000201 0001", "rt:192.0.2.1:1"},
		{"0202 fa56ea00 0001", "rt:4200000000:1"},
		{"0202 0000fde8 0001", "rt:0.65000:1"},
		{"0003 fde8 00000001", "soo:65000:1"},
		{"0103 c0000201 0001", "soo:192.0.2.1:1"},
		{"0203 fa56ea00 0001", "soo:4200000000:1"},
		{"030c 00000000 0008", "encap:vxlan"},
		{"030c 00000000 00ff", "encap:255"},
		{"030b 0000 00000064", "color:100"},
		{"030b 4000 00000064", "color:co1:100"},
		{"4004 fde8 4e9502f9", "link-bandwidth:65000:1250000000"},
		{"0005 0000 00000200", "ospf-domain:0:512"},
		{"0105 c0000201 0200", "ospf-domain:192.0.2.1:512"},
		{"0306 00000000 0501", "ospf-route:0.0.0.0:5:1"},
		{"0107 c0000201 0000", "ospf-router:192.0.2.1:0"},
		{"4300 0000 00000000", "ovs:valid"},
		{"4300 0000 00000001", "ovs:not-found"},
		{"4300 0000 00000002", "ovs:invalid"},
		{"4300 0000 00000003", "ovs:3"},
		{"030d 000000000000", "default-gateway"},
		{"0600 01 00 00000007", "mac-mobility:sticky:7"},
		{"0600 00 00 00000007", "mac-mobility:7"},
		{"0602 001122334455", "es-import:00:11:22:33:44:55"},
		{"0603 00005e005301", "router-mac:00:00:5e:00:53:01"},
		{"8006 fde8 00000000", "traffic-rate:65000:0"},
		{"8006 0000 461c4000", "traffic-rate:0:10000"},
		{"8006 0000 7f800000", "traffic-rate:0:+Inf"},
		{"8007 0000 00000003", "traffic-action:terminal+sample"},
		{"8007 0000 00000006", "traffic-action:sample+4"},
		{"8007 0000 00000000", "traffic-action:0"},
		{"8008 fde8 00000001", "redirect:65000:1"},
		{"8108 c0000201 0001", "redirect:192.0.2.1:1"},
		{"8208 fa56ea00 0001", "redirect:4200000000:1"},
		{"8009 0000 0000002e", "traffic-marking:46"},
		{"800c 0000 42c80000", "traffic-rate-packets:0:100"},
		{"4002 fde8 00000001", "0x4002fde800000001"}, // no such type: not an rt
		{"9999 010203040506", "0x9999010203040506"},
	} {
		u := announced(t, as4, wellKnown+attribute(t, 0xc0, bgp.AttrExtCommunities, tt.hex+tt.hex))
		if got := string(u.AppendExtCommunities([]byte("x: "))); got != "x: "+tt.want+" "+tt.want {
			t.Errorf("%s: got %q, want %s", tt.hex, got, tt.want)
		}
	}
}

func TestIPv6ExtCommunities(t *testing.T) {
	const addr = "20010db8000000000000000000000001"
	u := announced(t, as4, wellKnown+"c01008 0002fde800000001 "+attribute(t, 0xc0, bgp.AttrIPv6ExtCommunities,
		"0002"+addr+"0001 0003"+addr+"0002 000d"+addr+"0003 4002"+addr+"0004"))
	const want = "rt:65000:1 rt:[2001:db8::1]:1 soo:[2001:db8::1]:2 redirect:[2001:db8::1]:3 0x4002" + addr + "0004"
	if got := string(u.AppendExtCommunities(nil)); got != want {
		t.Errorf("got %q", got)
	}
}

func TestAttrName(t *testing.T) {
	for code, want := range map[uint8]string{0: "attribute-0", 1: "ORIGIN", 2: "AS_PATH", 14: "MP_REACH_NLRI", 35: "ONLY_TO_CUSTOMER", 128: "ATTR_SET", 200: "attribute-200"} {
		if got := bgp.AttrName(code); got != want {
			t.Errorf("AttrName(%d) = %s, want %s", code, got, want)
		}
	}
}

func TestFlags(t *testing.T) {
	const external = "400206 0201 0000fde9 "
	for _, tt := range []struct {
		name, attrs, nlri, want string
		session                 bgp.Session
	}{
		{"plain", wellKnown, "080a", "", as4},
		{"set", origin + attribute(t, 0x40, 2, "0201 0000fde9 0101 00000001") + nextHop, "080a", "as-set", as4},
		{"confed set", origin + attribute(t, 0x40, 2, "0201 0000fde9 0401 00000001") + nextHop, "080a", "as-set", as4},
		{"loop", origin + attribute(t, 0x40, 2, "0203 0000fde9 0000fde8 00000001") + nextHop, "080a", "as-loop", as4},
		{"loop behind AS_TRANS", origin + attribute(t, 0x40, 2, "0202 fde9 5ba0") + nextHop + attribute(t, 0xc0, 17, "0201 0000fde8"), "080a", "as-loop", as2},
		{"communities", wellKnown + "c0080c ffff0000 ffff0006 ffff029a", "080a", "gshut llgr-stale blackhole", as4},
		{"malformed", wellKnown + "4006 01 00", "080a", "malformed", as4},
		{"first AS", origin + attribute(t, 0x40, 2, "0201 00000001") + nextHop, "080a", "first-as", as4},
		{"first AS inside", origin + attribute(t, 0x40, 2, "0201 00000001") + nextHop + localPref, "080a", "", internal},
		{"empty path", origin + "400200 " + nextHop, "080a", "first-as", as4},
		{"next hop zero", origin + external + "400304 00000000", "080a", "martian", as4},
		{"next hop loopback", origin + external + "400304 7f000001", "080a", "martian", as4},
		{"next hop class E", origin + external + "400304 f0000001", "080a", "martian", as4},
		{"next hop private", origin + external + "400304 0a000001", "080a", "", as4},
		{"next hop multicast", origin + external + mpReach(t, bgp.IPv6Unicast, "ff020000000000000000000000000001", "20 20010db8"), "", "martian", as4},
		{"next hop mapped", origin + external + mpReach(t, bgp.IPv6Unicast, "00000000000000000000ffffc0000201", "20 20010db8"), "", "", as4},
		{"next hop mapped class E", origin + external + mpReach(t, bgp.IPv6Unicast, "00000000000000000000fffff0000001", "20 20010db8"), "", "martian", as4},
		{"next hop of flowspec", origin + external + mpReach(t, bgp.IPv4Flowspec, "00000000", "03 03 81 11"), "", "", as4},
		{"default", wellKnown, "00", "", as4},
		{"this network", wellKnown, "0800", "martian", as4},
		{"multicast beside unicast", wellKnown, "080a 10e001", "martian", as4},
		{"link-local", origin + external + mpReach(t, bgp.IPv6Unicast, "20010db8000000000000000000000001", "0a fe80"), "", "martian", as4},
		{"ipv6 default", origin + external + mpReach(t, bgp.IPv6Unicast, "20010db8000000000000000000000001", "00"), "", "", as4},
		{"withdrawal", "", "", "", as4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var u bgp.Update
			u.Parse(update(t, "", tt.attrs, tt.nlri), tt.session)
			if got := string(u.Flags(65000, 65001).AppendText(nil)); got != tt.want {
				t.Errorf("got %q, want %q (%v)", got, tt.want, u.Findings())
			}
			if f := u.Flags(0, 0) & (bgp.FlagASLoop | bgp.FlagFirstAS); f != 0 {
				t.Errorf("flags %s although nothing is known", f.AppendText(nil))
			}
		})
	}
}

// TestFlagsOfOldSpeaker shows that AS_TRANS stands for a neighbor's number
// that does not fit two octets, and for no other.
func TestFlagsOfOldSpeaker(t *testing.T) {
	u := announced(t, as2, origin+attribute(t, 0x40, 2, "0201 5ba0")+nextHop)
	if f := u.Flags(0, 4200000000); f != 0 {
		t.Errorf("flags %s", f.AppendText(nil))
	}
	if f := u.Flags(0, 65001); f != bgp.FlagFirstAS {
		t.Errorf("flags %s", f.AppendText(nil))
	}
	u = announced(t, as4, origin+attribute(t, 0x40, 2, "0201 00005ba0")+nextHop)
	if f := u.Flags(0, 4200000000); f != bgp.FlagFirstAS {
		t.Errorf("flags %s", f.AppendText(nil))
	}
}

func TestFlagsText(t *testing.T) {
	const all = "as-set as-loop gshut llgr-stale blackhole malformed martian first-as"
	if got := string((bgp.FlagFirstAS<<1 - 1).AppendText([]byte("f="))); got != "f="+all {
		t.Errorf("got %q", got)
	}
}

// TestAccessorsAllocate nothing, whatever they read.
func TestAccessorsAllocate(t *testing.T) {
	attrs := origin + attribute(t, 0x40, 2, "0204 fde9 5ba0 5ba0 0001 0102 0002 0003") + nextHop + "800404 0000007b 4006 00 " +
		"c00706 5ba0 c0000201 c01208 00010000 c0000201 c00808 fde80001 ffff0000 c0200c fa56ea00 00000001 00000002 " +
		attribute(t, 0xc0, 16, "0002fde800000001 8006000041c80000 9999010203040506 030c000000000008") +
		attribute(t, 0xc0, 17, "0203 00010001 00010002 00000001 0102 00000002 00000003") +
		attribute(t, 0xc0, 25, "0002 20010db8000000000000000000000001 0001") +
		mpReach(t, bgp.EVPN, "c0000201", "02 25 0000fde800000001 00112233445566778899 00000064 30 00005e005301 20 c0000201 000011")
	u := announced(t, as2, attrs)
	if u.Verdict() != bgp.VerdictOK {
		t.Fatal(u.Findings())
	}
	flow := bgp.NLRI{Family: bgp.IPv4Flowspec, Raw: octets(t, "0a 01 10 0a09 03 81 11 05 82 35")}
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() {
		buf = readAll(buf[:0], u)
		buf = flow.AppendText(buf)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	t.Logf("%s", buf)
}

func BenchmarkAppendASPath(b *testing.B) {
	u := announced(b, as4, origin+attribute(b, 0x40, 2, "0205 0000fde9 00000d1c 00001b1b 0000b5e1 000326f0")+nextHop)
	buf := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		buf = u.AppendASPath(buf[:0])
	}
}

func BenchmarkAllText(b *testing.B) {
	u := announced(b, as4, origin+attribute(b, 0x40, 2, "0205 0000fde9 00000d1c 00001b1b 0000b5e1 000326f0")+nextHop+"800404 0000007b c0080c fde80001 fde80002 fde80003 ")
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = readAll(buf[:0], u)
	}
}
