package bgp_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ribtap/ribtap/bgp"
)

const (
	rd1    = "0000fde900000001 " // 65001:1
	esi    = "00112233445566778899 "
	label  = "000651 " // 101, bottom of stack
	nh4    = "c0000201 "
	nhVPN4 = "0000000000000000 c0000201 "
)

// layoutCase is one NLRI field, the routes in it, or the reason why it cannot
// be read.
type layoutCase struct {
	name    string
	family  bgp.Family
	nextHop string
	nlri    string
	addPath bool
	// announce and withdraw are the items as routes writes them, without sign,
	// next hop and mp; withdraw "" is the same as announce.
	announce, withdraw []string
	reason             string // of a session reset in MP_REACH_NLRI
	withdrawReason     string // in MP_UNREACH_NLRI, "" is the same
}

const noReason = "-"

func layoutCases() []layoutCase {
	return []layoutCase{
		{
			name: "IPv6 and IPv6 multicast share a layout", family: bgp.IPv6Multicast, nextHop: nh6, nlri: doc48 + "00",
			announce: []string{"2001:db8:1::/48", "::/0"},
		},
		{name: "IPv6 stray bits", family: bgp.IPv6Unicast, nextHop: nh6 + nh6, nlri: "0fffff", announce: []string{"fffe::/15"}},
		{
			name: "labelled", family: bgp.IPv4Labelled, nextHop: nh4, nlri: "30" + label + "0a0101" + "38 000640 " + label + "0a",
			announce: []string{"10.1.1.0/24 labels=000651", "10.0.0.0/8 labels=000640000651"},
		},
		{
			name: "labelled IPv6", family: bgp.IPv6Labelled, nextHop: nh6, nlri: "48" + label + "20010db80001",
			announce: []string{"2001:db8:1::/48 labels=000651"},
		},
		{
			name: "compatibility label", family: bgp.IPv4Labelled, nextHop: nh4, nlri: "30 800000 0a0101 30 000000 0a0102",
			reason: "nlri-label-stack", withdrawReason: noReason,
			withdraw: []string{"10.1.1.0/24 labels=800000", "10.1.2.0/24 labels=000000"},
		},
		{
			name: "any single label in a withdrawal", family: bgp.IPv4Labelled, nextHop: nh4, nlri: "30 000640 0a0100",
			reason: "nlri-label-stack", withdrawReason: noReason, withdraw: []string{"10.1.0.0/24 labels=000640"},
		},
		{
			name: "no bottom of stack", family: bgp.IPv4Labelled, nextHop: nh4, nlri: "ff" + strings.Repeat("000640", 10) + "0a00",
			reason: "nlri-label-stack", withdrawReason: "nlri-prefix-length",
		},
		{name: "label beyond the bits", family: bgp.IPv4Labelled, nextHop: nh4, nlri: "08" + label, reason: "nlri-label-stack"},
		{name: "labelled prefix length 33", family: bgp.IPv4Labelled, nextHop: nh4, nlri: "39" + label + "0a01010180", reason: "nlri-prefix-length"},
		{name: "labelled prefix cut", family: bgp.IPv4Labelled, nextHop: nh4, nlri: "30" + label + "0a01", reason: "nlri-cut"},
		{
			name: "VPN", family: bgp.IPv4VPN, nextHop: nhVPN4, nlri: "70" + label + rd1 + "0a0101",
			announce: []string{"10.1.1.0/24 rd=0000fde900000001 labels=000651"},
		},
		{
			name: "VPN next hop without RD", family: bgp.IPv4VPN, nextHop: nh6, nlri: "58" + label + rd1,
			announce: []string{"0.0.0.0/0 rd=0000fde900000001 labels=000651"},
		},
		{
			name: "VPN RD type 9", family: bgp.IPv6VPN, nextHop: "0000000000000000" + nh6, nlri: "88" + label + "0009000000000001" + "20010db80001",
			announce: []string{"2001:db8:1::/48 rd=0009000000000001 labels=000651"},
		},
		{
			name: "VPN with ADD-PATH", family: bgp.IPv4VPN, nextHop: nhVPN4, addPath: true, nlri: "00000007 70" + label + rd1 + "0a0101 00000008 70" + label + rd1 + "0a0101",
			announce: []string{"10.1.1.0/24 id=7 rd=0000fde900000001 labels=000651", "10.1.1.0/24 id=8 rd=0000fde900000001 labels=000651"},
		},
		{name: "VPN without room for an RD", family: bgp.IPv4VPN, nextHop: nhVPN4, nlri: "30" + label + "0a0101", reason: "nlri-prefix-length"},
		{name: "VPN cut in its RD", family: bgp.IPv4VPN, nextHop: nhVPN4, nlri: "70" + label + "0000fde9", reason: "nlri-cut"},
		{
			name: "EVPN", family: bgp.EVPN, nextHop: nh4, nlri: "0311" + rd1 + "00000000 20 c0000201 0b0101 0c00",
			announce: []string{"l2vpn-evpn:03110000fde9000000010000000020c0000201 rd=0000fde900000001", "l2vpn-evpn:0b0101", "l2vpn-evpn:0c00"},
		},
		{name: "EVPN overruns", family: bgp.EVPN, nextHop: nh4, nlri: "02c8" + rd1, reason: "nlri-cut"},
		{
			name: "VPLS", family: bgp.VPLS, nextHop: nh4, nlri: "0011" + rd1 + "000100010008 000651",
			announce: []string{"l2vpn-vpls:00110000fde900000001000100010008000651 rd=0000fde900000001"},
		},
		{name: "BGP-LS", family: bgp.LS, nextHop: nh4, nlri: "004d0003010203 0001 0000", announce: []string{"ls:004d0003010203", "ls:00010000"}},
		{name: "BGP-LS cut", family: bgp.LS, nextHop: nh4, nlri: "004d0003 0102", reason: "nlri-cut"},
		{name: "BGP-LS VPN", family: bgp.LSVPN, nextHop: nh4, nlri: "00010009" + rd1 + "ff", announce: []string{"ls-vpn:000100090000fde900000001ff rd=0000fde900000001"}},
		{
			name: "route target membership", family: bgp.RTC, nextHop: nh4, nlri: "00 60 0000fde9 0002fde900000001 20 0000fde9",
			announce: []string{"rtc:00", "rtc:600000fde90002fde900000001", "rtc:200000fde9"},
		},
		{name: "SR policy", family: bgp.IPv4SRPolicy, nextHop: nh4, nlri: "60 00000001 00000064 c0000201", announce: []string{"ipv4-srpolicy:600000000100000064c0000201"}},
		{name: "SR policy cut", family: bgp.IPv4SRPolicy, nextHop: nh4, nlri: "60 00000001", reason: "nlri-cut"},
		{name: "MVPN", family: bgp.IPv4MVPN, nextHop: nh4, nlri: "010c" + rd1 + "c0000201 0700", announce: []string{"ipv4-mvpn:010c0000fde900000001c0000201", "ipv4-mvpn:0700"}},
		{name: "MUP", family: bgp.IPv4MUP, nextHop: nh4, nlri: "01 0001 0c" + rd1 + "18 0a0101", announce: []string{"ipv4-mup:0100010c0000fde900000001180a0101 rd=0000fde900000001"}},
		{name: "MUP overruns", family: bgp.IPv4MUP, nextHop: nh4, nlri: "01 0001 ff 00", reason: "nlri-cut"},
		{
			name: "flowspec", family: bgp.IPv4Flowspec, nextHop: "", nlri: "0a 01 10 0a09 03 81 11 05 82 35",
			announce: []string{"ipv4-flowspec:0a01100a09038111058235"},
		},
		{
			name: "flowspec of two length octets", family: bgp.IPv4Flowspec, nextHop: "", nlri: "f0 03 03 81 11 f00303 8106",
			announce: []string{"ipv4-flowspec:f003038111", "ipv4-flowspec:f003038106"},
		},
		{name: "flowspec of an unknown component", family: bgp.IPv4Flowspec, nextHop: "", nlri: "03 c8 ffff", announce: []string{"ipv4-flowspec:03c8ffff"}},
		{name: "flowspec VPN", family: bgp.IPv4VPNFlow, nextHop: "", nlri: "0b" + rd1 + "03 81 11", announce: []string{"l3vpn-ipv4-flowspec:0b0000fde900000001038111 rd=0000fde900000001"}},
		{name: "flowspec VPN without RD", family: bgp.IPv4VPNFlow, nextHop: "", nlri: "03 03 81 11", reason: "nlri-cut"},
		{name: "flowspec IPv6 with offset", family: bgp.IPv6Flowspec, nextHop: "", nlri: "05 01 40 30 db80", announce: []string{"ipv6-flowspec:05014030db80"}},
		{name: "flowspec IPv6 offset behind the prefix", family: bgp.IPv6Flowspec, nextHop: "", nlri: "03 01 30 40", reason: "nlri-prefix-length"},
		{name: "flowspec of 0", family: bgp.IPv4Flowspec, nextHop: "", nlri: "00", reason: "nlri-flowspec-empty"},
		{name: "flowspec overruns", family: bgp.IPv4Flowspec, nextHop: "", nlri: "f0f0 01 10 0a09", reason: "nlri-cut"},
		{name: "flowspec prefix 99", family: bgp.IPv4Flowspec, nextHop: "", nlri: "0f 01 63" + strings.Repeat("00", 13), reason: "nlri-prefix-length"},
		{name: "flowspec source 33", family: bgp.IPv4Flowspec, nextHop: "", nlri: "07 02 21 0a00000000", reason: "nlri-prefix-length"},
		{name: "flowspec operators without end", family: bgp.IPv4Flowspec, nextHop: "", nlri: "03 03 01 11", reason: "nlri-cut"},
		{name: "L2VPN flowspec", family: bgp.L2VPNFlowspec, nextHop: "", nlri: "0a" + rd1 + "0e81", announce: []string{"l2vpn-flowspec:0a0000fde9000000010e81 rd=0000fde900000001"}},
	}
}

func TestLayouts(t *testing.T) {
	for _, tc := range layoutCases() {
		t.Run(tc.name, func(t *testing.T) {
			s := as4
			if tc.addPath {
				s.AddPath = s.AddPath.With(tc.family)
			}
			var u bgp.Update
			u.Parse(update(t, "", mpReach(t, tc.family, tc.nextHop, tc.nlri)+origin+path, ""), s)
			checkLayout(t, &u, tc.announce, tc.reason)

			u.Parse(update(t, "", mpUnreach(t, tc.family, tc.nlri), ""), s)
			want, reason := tc.withdraw, tc.withdrawReason
			if want == nil {
				want = tc.announce
			}
			if reason == "" {
				reason = tc.reason
			}
			checkLayout(t, &u, want, reason)
		})
	}
}

func checkLayout(t *testing.T, u *bgp.Update, want []string, reason string) {
	t.Helper()
	if reason != "" && reason != noReason {
		if u.Verdict() != bgp.VerdictSessionReset || u.Findings()[0].Reason != reason {
			t.Fatalf("verdict %v, findings %+v, want reset for %q; routes %v", u.Verdict(), u.Findings(), reason, routes(u))
		}
		return
	}
	var got []string
	for _, r := range routes(u) {
		r = strings.TrimSuffix(r[1:], " mp")
		r, _, _ = strings.Cut(r, " via=")
		got = append(got, r)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("verdict %v %+v, items (-want +got):\n%s", u.Verdict(), u.Findings(), diff)
	}
}

// TestNextHopLengths walks every next hop length of families with a rule.
func TestNextHopLengths(t *testing.T) {
	tests := []struct {
		family bgp.Family
		nlri   string
		good   []int
	}{
		{bgp.IPv4Unicast, net24, []int{4, 16, 32}},
		{bgp.IPv6Unicast, doc48, []int{16, 32}},
		{bgp.IPv4Labelled, "30" + label + "0a0101", []int{4, 16, 32}},
		{bgp.IPv4VPN, "70" + label + rd1 + "0a0101", []int{12, 16, 24, 32, 48}},
	}
	for _, tc := range tests {
		for n := range 64 {
			var u bgp.Update
			u.Parse(update(t, "", mpReach(t, tc.family, strings.Repeat("20", n), tc.nlri)+origin+path, ""), as4)
			good := false
			for _, g := range tc.good {
				good = good || g == n
			}
			if got := u.Verdict() == bgp.VerdictOK; got != good {
				t.Errorf("%v next hop of %d: %v", tc.family, n, u.Verdict())
			}
		}
	}
}

func TestEndOfRIB(t *testing.T) {
	odd := bgp.NewFamily(16397, 99)
	tests := []struct {
		name string
		msg  []byte
		want bgp.Family
		is   bool
	}{
		{"empty UPDATE", update(t, "", "", ""), bgp.IPv4Unicast, true},
		{"empty MP_UNREACH", update(t, "", mpUnreach(t, bgp.IPv6Unicast, ""), ""), bgp.IPv6Unicast, true},
		{"empty MP_UNREACH of IPv4", update(t, "", mpUnreach(t, bgp.IPv4Unicast, ""), ""), bgp.IPv4Unicast, true},
		{"empty MP_UNREACH without extended length", update(t, "", "800f03 0002 01", ""), bgp.IPv6Unicast, true},
		{"family without a row", update(t, "", mpUnreach(t, odd, ""), ""), odd, true},
		{"withdrawals alone", update(t, net24, "", ""), 0, false},
		{"withdrawals in MP_UNREACH", update(t, "", mpUnreach(t, bgp.IPv6Unicast, doc48), ""), 0, false},
		{"empty MP_UNREACH and withdrawals", update(t, net24, mpUnreach(t, bgp.IPv6Unicast, ""), ""), 0, false},
		{"empty MP_UNREACH and NLRI", update(t, "", mpUnreach(t, bgp.IPv6Unicast, "")+wellKnown, net24), 0, false},
		{"empty MP_UNREACH and NLRI alone", update(t, "", mpUnreach(t, bgp.IPv6Unicast, ""), net24), 0, false},
		{"empty MP_UNREACH and another attribute", update(t, "", mpUnreach(t, bgp.IPv6Unicast, "")+origin, ""), 0, false},
		{"empty MP_UNREACH and MP_REACH without NLRI", update(t, "", mpUnreach(t, bgp.IPv6Unicast, "")+mpReach(t, bgp.IPv6Unicast, nh6, ""), ""), 0, false},
		{"empty MP_UNREACH twice", update(t, "", mpUnreach(t, bgp.IPv6Unicast, "")+mpUnreach(t, bgp.IPv6Unicast, ""), ""), 0, false},
		{"empty MP_UNREACH and a stray octet", update(t, "", mpUnreach(t, bgp.IPv6Unicast, "")+"80", ""), 0, false},
		{"wrong flags", update(t, "", "c00f03 0002 01", ""), 0, false},
		{"attributes without NLRI", update(t, "", wellKnown, ""), 0, false},
		{"not an UPDATE", message(bgp.MessageKeepalive, nil), 0, false},
	}
	var u bgp.Update // one for all: nothing may stay from the case before
	for _, tc := range tests {
		u.Parse(tc.msg, as4)
		if f, ok := u.EndOfRIB(); ok != tc.is || ok && f != tc.want {
			t.Errorf("%s: %v %v, want %v %v", tc.name, f, ok, tc.want, tc.is)
		}
	}
}

// TestAttrs holds that Attrs yields what arrived and Attr what counts.
func TestAttrs(t *testing.T) {
	var u bgp.Update
	u.Parse(update(t, "", wellKnown+"40060100 c0080400010002 c0080400030004 c0c80101 c00800", net24), as4)
	var codes []uint8
	for it := u.Attrs(); ; {
		a, ok := it.Next()
		if !ok {
			break
		}
		codes = append(codes, a.Code)
	}
	if diff := cmp.Diff([]uint8{1, 2, 3, 6, 8, 8, 200, 8}, codes); diff != "" {
		t.Errorf("codes (-want +got):\n%s", diff)
	}
	if _, ok := u.Attr(bgp.AttrAtomicAggregate); ok {
		t.Error("a discarded attribute counts")
	}
	if a, ok := u.Attr(bgp.AttrCommunities); !ok || string(a.Value) != "\x00\x01\x00\x02" || a.Flags != 0xc0 {
		t.Errorf("the first of three is %+v, %v", a, ok)
	}
	if a, ok := u.Attr(200); !ok || string(a.Value) != "\x01" {
		t.Errorf("attribute 200 is %+v, %v", a, ok)
	}
	if _, ok := u.Attr(201); ok {
		t.Error("an attribute that is not there")
	}
}
