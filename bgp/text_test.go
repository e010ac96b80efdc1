package bgp_test

import (
	"net/netip"
	"testing"
	"unicode/utf8"

	"github.com/ribtap/ribtap/bgp"
)

func TestCleanText(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"rt1.example.net", "rt1.example.net"},
		{"Zürich ☃ 東京", "Zürich ☃ 東京"},
		{"a\x00b", "a\uFFFDb"},
		{"two\r\nlines\t", "two\uFFFD\uFFFDlines\uFFFD"},
		{"\x1b[31mred\x7f", "\uFFFD[31mred\uFFFD"},
		{"\u0085\u009b", "\uFFFD\uFFFD"}, // C1 controls move a terminal too
		{"\xff\xfe", "\uFFFD\uFFFD"},
		{"cut \xe2\x98", "cut \uFFFD\uFFFD"},
		{"over \xc0\x80 long", "over \uFFFD\uFFFD long"},
		{"half \xed\xa0\x80 pair", "half \uFFFD\uFFFD\uFFFD pair"},
		{"kept \uFFFD", "kept \uFFFD"},
		{"'; DROP TABLE routers; --", "'; DROP TABLE routers; --"},
	} {
		got := string(bgp.CleanText([]byte("> "), []byte(tt.in)))
		if got != "> "+tt.want {
			t.Errorf("CleanText(%q) = %q, want %q", tt.in, got, "> "+tt.want)
		}
		if again := string(bgp.CleanText(nil, []byte(tt.want))); again != tt.want {
			t.Errorf("CleanText(%q) = %q: not stable", tt.want, again)
		}
	}
}

func TestRDText(t *testing.T) {
	for _, tt := range []struct{ rd, want string }{
		{"0000 fde8 00000001", "65000:1"},
		{"0000 fde8 ffffffff", "65000:4294967295"},
		{"0001 c0000201 0001", "192.0.2.1:1"},
		{"0002 fa56ea00 0001", "4200000000:1"},
		{"0002 0000fde8 0001", "0.65000:1"}, // not the two-octet 65000:1
		{"0000 000000000000", "0:0"},
		{"0009 010203040506", "0x0009010203040506"},
	} {
		got := string(bgp.RD(octets(t, tt.rd)).AppendText(nil))
		if got != tt.want {
			t.Errorf("RD %s: got %s, want %s", tt.rd, got, tt.want)
		}
	}
}

func TestAppendNextHop(t *testing.T) {
	const v6, ll = "20010db8000000000000000000000001", "fe800000000000000000000000000001"
	const zeroRD = "0000000000000000"
	for _, tt := range []struct {
		name    string
		family  bgp.Family
		nextHop string
		want    string
	}{
		{"empty", bgp.IPv4Unicast, "", ""},
		{"ipv4", bgp.IPv4Unicast, "c0000201", "192.0.2.1"},
		{"ipv6", bgp.IPv6Unicast, v6, "2001:db8::1"},
		{"ipv6 and link-local", bgp.IPv6Unicast, v6 + ll, "2001:db8::1"},
		{"link-local first", bgp.IPv6Unicast, ll + v6, "2001:db8::1"},
		{"link-local and nothing", bgp.IPv6Unicast, ll + "00000000000000000000000000000000", "fe80::1"},
		{"link-local alone", bgp.IPv6Unicast, ll, "fe80::1"},
		{"ipv4-mapped", bgp.IPv6Unicast, "00000000000000000000ffffc0000201", "::ffff:192.0.2.1"},
		{"RFC 8950", bgp.IPv4Unicast, v6, "2001:db8::1"},
		{"vpnv4", bgp.IPv4VPN, zeroRD + "c0000201", "192.0.2.1"},
		{"vpnv6", bgp.IPv6VPN, zeroRD + v6, "2001:db8::1"},
		{"vpnv6 and link-local", bgp.IPv6VPN, zeroRD + v6 + zeroRD + ll, "2001:db8::1"},
		{"vpnv4 without RD", bgp.IPv4VPN, "c0000201", "192.0.2.1"},
		{"evpn", bgp.EVPN, "c0000201", "192.0.2.1"},
		{"12 octets without RD family", bgp.IPv4Unicast, zeroRD + "c0000201", "0x0000000000000000c0000201"},
		{"5 octets", bgp.IPv4Unicast, "c000020101", "0xc000020101"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := string(bgp.AppendNextHop([]byte("via "), tt.family, octets(t, tt.nextHop)))
			if got != "via "+tt.want {
				t.Errorf("got %q, want %q", got, "via "+tt.want)
			}
		})
	}
}

// nlriText announces one item and returns its text.
func nlriText(t testing.TB, f bgp.Family, item string) string {
	t.Helper()
	nh := map[bgp.SAFI]string{128: "0000000000000000c0000201"}[f.SAFI()]
	if nh == "" {
		nh = "20010db8000000000000000000000001"
	}
	var u bgp.Update
	u.Parse(update(t, "", origin+path+mpReach(t, f, nh, item), ""), as4)
	it := u.Routes()
	if !it.Next() {
		t.Fatalf("%v %s: no route: %v", f, item, u.Findings())
	}
	return string(it.Route().NLRI.AppendText(nil))
}

func TestNLRIText(t *testing.T) {
	const rd, esi = "0000fde800000001", "00112233445566778899"
	for _, tt := range []struct {
		name, item, want string
		family           bgp.Family
	}{
		{"ipv4", "08 0a", "10.0.0.0/8", bgp.IPv4Unicast},
		{"ipv4 default", "00", "0.0.0.0/0", bgp.IPv4Unicast},
		{"ipv6", "20 20010db8", "2001:db8::/32", bgp.IPv6Unicast},
		{"vpnv4 without RD", "70 000011" + rd + "0a0900", "10.9.0.0/24", bgp.IPv4VPN},
		{"rtc", "60 0000fde8 0002fde800000001", "0x600000fde80002fde800000001", bgp.RTC},

		{
			"evpn A-D", "01 19" + rd + esi + "00000000 000011",
			"[type:A-D][rd:65000:1][esi:00:11:22:33:44:55:66:77:88:99][etag:0]", bgp.EVPN,
		},
		{
			"evpn MAC", "02 21" + rd + esi + "00000064 30 00005e005301 00 000011",
			"[type:macadv][rd:65000:1][etag:100][mac:00:00:5e:00:53:01]", bgp.EVPN,
		},
		{
			"evpn MAC and IPv4", "02 25" + rd + esi + "00000064 30 00005e005301 20 c0000201 000011",
			"[type:macadv][rd:65000:1][etag:100][mac:00:00:5e:00:53:01][ip:192.0.2.1]", bgp.EVPN,
		},
		{
			"evpn MAC and IPv6", "02 34" + rd + esi + "00000064 30 00005e005301 80 20010db8000000000000000000000001 000011 000021",
			"[type:macadv][rd:65000:1][etag:100][mac:00:00:5e:00:53:01][ip:2001:db8::1]", bgp.EVPN,
		},
		{
			"evpn multicast", "03 11" + rd + "00000064 20 c0000201",
			"[type:multicast][rd:65000:1][etag:100][ip:192.0.2.1]", bgp.EVPN,
		},
		{
			"evpn segment", "04 17" + rd + esi + "20 c0000201",
			"[type:esi][rd:65000:1][esi:00:11:22:33:44:55:66:77:88:99][ip:192.0.2.1]", bgp.EVPN,
		},
		{
			"evpn prefix", "05 22" + rd + esi + "00000000 18 0a0900ff 00000000 000011",
			"[type:Prefix][rd:65000:1][etag:0][prefix:10.9.0.0/24]", bgp.EVPN,
		},
		{
			"evpn IPv6 prefix", "05 3a" + rd + esi + "00000000 20 20010db8000000000000000000000000 00000000000000000000000000000000 000011",
			"[type:Prefix][rd:65000:1][etag:0][prefix:2001:db8::/32]", bgp.EVPN,
		},
		{"evpn prefix of 33 bits", "05 22" + rd + esi + "00000000 21 0a090000 00000000 000011", "0x0522" + rd + esi + "00000000210a09000000000000000011", bgp.EVPN},
		{"evpn MAC of 40 bits", "02 21" + rd + esi + "00000064 28 00005e005301 00 000011", "0x0221" + rd + esi + "000000642800005e00530100000011", bgp.EVPN},
		{"evpn multicast, 8 bits", "03 11" + rd + "00000064 08 c0000201", "0x0311" + rd + "0000006408c0000201", bgp.EVPN},
		{"evpn multicast, 33 bits", "03 11" + rd + "00000064 21 c0000201", "0x0311" + rd + "0000006421c0000201", bgp.EVPN},
		{"evpn cut short", "02 09" + rd + "00", "0x0209" + rd + "00", bgp.EVPN},
		{"evpn SMET", "06 08" + rd, "0x0608" + rd, bgp.EVPN},

		{"flowspec", "0a 01 10 0a09 03 81 11 05 82 35", "destination 10.9.0.0/16 protocol ==17 destination-port >53", bgp.IPv4Flowspec},
		{
			"flowspec lists", "16 02 20 c0000201 04 01 50 91 1f90 0a 13 03e8 d5 05dc 0b 86 2e",
			"source 192.0.2.1/32 port ==80|==8080 packet-length >=1000&<=1500 dscp !=46", bgp.IPv4Flowspec,
		},
		{"flowspec bits", "0b 09 01 02 c2 10 0c 80 02 03 81 06", "tcp-flags =syn&!ack fragment is-fragment protocol ==6", bgp.IPv4Flowspec},
		{"flowspec unnamed bit", "04 09 91 0180", "tcp-flags =0x180", bgp.IPv4Flowspec},
		{"flowspec true and false", "05 03 00 06 87 11", "protocol false|true", bgp.IPv4Flowspec},
		{"flowspec eight octets", "0a 0a b2 0000000100000000", "packet-length >4294967296", bgp.IPv4Flowspec},
		{"flowspec unknown component", "03 0e 81 01", "0x030e8101", bgp.IPv4Flowspec},
		{"flowspec long length", "f00a 01 10 0a09 03 81 11 05 82 35", "destination 10.9.0.0/16 protocol ==17 destination-port >53", bgp.IPv4Flowspec},
		{"flowspec vpn without RD", "0c" + rd + "01 10 0a09", "destination 10.9.0.0/16", bgp.IPv4VPNFlow},
		{"flowspec ipv6", "0a 01 20 00 20010db8 0d 81 05", "destination 2001:db8::/32 flow-label ==5", bgp.IPv6Flowspec},
		{"flowspec ipv6 offset", "08 01 68 40 123456789a", "destination ::1234:5678:9a00:0/64-104", bgp.IPv6Flowspec}, // RFC 8956 §3.8.2
		{"flowspec ipv6 odd offset", "05 01 48 41 91a2", "0x0501484191a2", bgp.IPv6Flowspec},
		{"flowspec layer 2", "0d" + rd + "03 81 11 00 00", "0x0d" + rd + "0381110000", bgp.L2VPNFlowspec},
		{"unknown family", "01020304", "0x01020304", bgp.NewFamily(1, 99)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := nlriText(t, tt.family, tt.item); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestNLRITextOfOther gives items that no Parse would let through.
func TestNLRITextOfOther(t *testing.T) {
	for _, tt := range []struct {
		n    bgp.NLRI
		want string
	}{
		{bgp.NLRI{Family: bgp.EVPN}, "0x"},
		{bgp.NLRI{Family: bgp.EVPN, Raw: []byte{5}}, "0x05"},
		{bgp.NLRI{Family: bgp.IPv4Flowspec, Raw: []byte{3, 1, 33, 1}}, "0x03012101"},
		{bgp.NLRI{Family: bgp.IPv4Flowspec, Raw: []byte{3, 3, 1, 1}}, "0x03030101"},
		{bgp.NLRI{Family: bgp.IPv6Flowspec, Raw: []byte{3, 1, 8, 9}}, "0x03010809"},
		{bgp.NLRI{Family: bgp.IPv4Unicast, Raw: []byte{33}}, "0x21"},
		{bgp.NLRI{Family: bgp.EVPN, Prefix: netip.MustParsePrefix("10.0.0.0/8")}, "10.0.0.0/8"},
	} {
		if got := string(tt.n.AppendText(nil)); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.n, got, tt.want)
		}
	}
}

// FuzzText reads every accessor and text of arbitrary attributes and NLRI: none
// panics, loops, or makes text that is not UTF-8.
func FuzzText(f *testing.F) {
	f.Add(octets(f, wellKnown), octets(f, "080a"), uint32(bgp.IPv4Unicast), uint8(1))
	f.Add(octets(f, origin+"400208 0202 5ba0 fde9 0101 fde8 c0110a 0202 00010000 0000fde9 c00706 5ba0 c0000201 c01208 00010000 c0000201"), octets(f, ""), uint32(bgp.IPv4Unicast), uint8(0))
	f.Add(octets(f, origin+path+"c01008 0002fde800000001 c01914 000220010db8000000000000000000000001fde8 801a0b 01000b 0000000000000001"), octets(f, "0a 01 10 0a09 03 81 11 05 82 35"), uint32(bgp.IPv4Flowspec), uint8(1))
	f.Add(octets(f, origin+path), octets(f, "08 01 68 40 123456789a"), uint32(bgp.IPv6Flowspec), uint8(3))
	f.Add(octets(f, origin+path), octets(f, "02 25 0000fde800000001 00112233445566778899 00000064 30 00005e005301 20 c0000201 000011"), uint32(bgp.EVPN), uint8(1))
	f.Fuzz(func(t *testing.T, attrs, nlri []byte, family uint32, mode uint8) {
		if len(attrs)+len(nlri) > 60000 {
			return
		}
		body := []byte{0, 0, byte(len(attrs) >> 8), byte(len(attrs))}
		var u bgp.Update
		u.Parse(message(bgp.MessageUpdate, append(append(body, attrs...), nlri...)), bgp.Session{AS4: mode&1 != 0, Peering: bgp.Peering(mode >> 1 % 3)})
		text := readAll(nil, &u)
		n := bgp.NLRI{Family: bgp.Family(family & 0xffffff), Raw: nlri, HasRD: mode&2 != 0}
		text = n.AppendText(append(text, ' '))
		text = bgp.AppendNextHop(append(text, ' '), n.Family, nlri)
		if !utf8.Valid(text) {
			t.Errorf("not UTF-8: %q", text)
		}
	})
}

// readAll calls every accessor of u and appends what has a text.
func readAll(dst []byte, u *bgp.Update) []byte {
	o, _ := u.Origin()
	dst = append(dst, o.String()...)
	dst = u.AppendASPath(append(dst, ' '))
	dst = u.AppendCommunities(append(dst, ' '))
	dst = u.AppendLargeCommunities(append(dst, ' '))
	dst = u.AppendExtCommunities(append(dst, ' '))
	dst = u.AppendClusterList(append(dst, ' '))
	u.MED()
	u.LocalPref()
	u.OTC()
	u.OriginatorID()
	u.AIGP()
	u.AtomicAggregate()
	u.Aggregator()
	u.OriginAS()
	dst = u.Flags(65000, 65001).AppendText(append(dst, ' '))
	for it := u.Routes(); it.Next(); {
		r := it.Route()
		dst = r.NLRI.AppendText(append(dst, ' '))
		dst = r.NLRI.RD.AppendText(append(dst, ' '))
		dst = bgp.AppendNextHop(append(dst, ' '), r.NLRI.Family, r.NextHop)
	}
	return dst
}
