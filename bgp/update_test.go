package bgp_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ribtap/ribtap/bgp"
)

const (
	net24 = "18 0a0101 " // 10.1.1.0/24
	doc48 = "30 20010db80001 "
	nh6   = "20010db8000000000000000000000001 "
)

// verdictCase is one UPDATE and what RFC 7606 makes of it.
type verdictCase struct {
	name    string
	session bgp.Session
	msg     []byte
	verdict bgp.Verdict
	// first is code/subcode, attribute and reason of the first finding that has
	// the verdict.
	code, subcode, attr uint8
	reason              string
	routes              []string
}

func verdictCases(t testing.TB) []verdictCase {
	external, internal, unknown, table := as4, as4, as4, as4
	table.Peering = bgp.PeeringTable
	internal.Peering, unknown.Peering = bgp.PeeringInternal, bgp.PeeringUnknown
	as2 := bgp.Session{Peering: bgp.PeeringExternal}
	addPath := as4
	addPath.AddPath = bgp.FamilySet(0).With(bgp.IPv4Unicast).With(bgp.IPv6Unicast)

	const ok, discard, taw, reset = bgp.VerdictOK, bgp.VerdictAttributeDiscard, bgp.VerdictTreatAsWithdraw, bgp.VerdictSessionReset
	plus, minus := []string{"+10.1.1.0/24 via=c0000201"}, []string{"-10.1.1.0/24 taw"}
	up := func(attrs string) []byte { return update(t, "", attrs, net24) }
	reach6 := mpReach(t, bgp.IPv6Unicast, nh6, doc48)
	broken := func(msg []byte, at int, with ...byte) []byte {
		out := slices.Clone(msg)
		copy(out[at:], with)
		return out
	}
	return []verdictCase{
		{name: "good", msg: up(wellKnown), verdict: ok, routes: plus},
		{name: "withdrawals alone", msg: update(t, net24+"00", "", ""), verdict: ok, routes: []string{"-10.1.1.0/24", "-0.0.0.0/0"}},
		{
			name: "order of the four fields", verdict: ok,
			msg: update(t, "08 01", mpUnreach(t, bgp.IPv6Unicast, "20 20010db8")+reach6+wellKnown, net24),
			routes: []string{
				"-1.0.0.0/8", "-2001:db8::/32 mp",
				"+2001:db8:1::/48 via=20010db8000000000000000000000001 mp", "+10.1.1.0/24 via=c0000201",
			},
		},
		{name: "stray bits are masked", msg: update(t, "", wellKnown, "14 0ac8ff"), verdict: ok, routes: []string{"+10.200.240.0/20 via=c0000201"}},

		// The message and its two lengths.
		{name: "marker", msg: broken(up(wellKnown), 3, 0xfe), verdict: reset, code: 1, subcode: 1, reason: "marker"},
		{name: "length field", msg: broken(up(wellKnown), 17, 0xff), verdict: reset, code: 1, subcode: 2, reason: "message-length"},
		{name: "a KEEPALIVE", msg: message(bgp.MessageKeepalive, nil), verdict: reset, code: 1, subcode: 3, reason: "message-type"},
		{name: "nothing", msg: nil, verdict: reset, code: 1, subcode: 2, reason: "message-length"},
		{name: "no room for the lengths", msg: message(bgp.MessageUpdate, []byte{0, 0, 0}), verdict: reset, code: 1, subcode: 2, reason: "message-length"},
		{name: "withdrawn length 1000", msg: broken(up(wellKnown), 19, 3, 0xe8), verdict: reset, code: 3, subcode: 1, reason: "section-length-overrun"},
		{name: "withdrawn length 65535", msg: broken(up(wellKnown), 19, 0xff, 0xff), verdict: reset, code: 3, subcode: 1, reason: "section-length-overrun"},
		{name: "attribute length overruns", msg: broken(up(wellKnown), 21, 0xff, 0xff), verdict: reset, code: 3, subcode: 1, reason: "section-length-overrun"},

		// NLRI.
		{name: "prefix length 33", msg: update(t, "", wellKnown, net24+"21 0a01010101"), verdict: reset, code: 3, subcode: 10, reason: "nlri-prefix-length"},
		{name: "cut prefix", msg: update(t, "", wellKnown, net24+"18 0a01"), verdict: reset, code: 3, subcode: 10, reason: "nlri-cut"},
		{name: "cut withdrawal", msg: update(t, "19 0a0101", "", ""), verdict: reset, code: 3, subcode: 10, reason: "nlri-cut"},
		{
			name: "IPv6 prefix length 129", msg: update(t, "", mpReach(t, bgp.IPv6Unicast, nh6, "81"+strings.Repeat("00", 17))+origin+path, ""),
			verdict: reset, code: 3, subcode: 9, attr: 14, reason: "nlri-prefix-length",
		},
		{
			name: "path identifier", session: addPath, msg: update(t, "", wellKnown, "00000000"+net24+"ffffffff"+net24), verdict: ok,
			routes: []string{"+10.1.1.0/24 id=0 via=c0000201", "+10.1.1.0/24 id=4294967295 via=c0000201"},
		},
		{name: "path identifier missing", session: addPath, msg: up(wellKnown), verdict: reset, code: 3, subcode: 10, reason: "nlri-cut"},
		{name: "path identifier cut", session: addPath, msg: update(t, "", wellKnown, "00000001"+net24+"0000"), verdict: reset, code: 3, subcode: 10, reason: "nlri-cut"},

		// The attribute area.
		{name: "one stray octet", msg: up(wellKnown + "c0"), verdict: taw, code: 3, subcode: 1, reason: "attribute-stray-octets", routes: minus},
		{name: "two stray octets", msg: up(wellKnown + "c008"), verdict: taw, code: 3, subcode: 5, attr: 8, reason: "attribute-overrun", routes: minus},
		{name: "last attribute overruns", msg: up(wellKnown + "d008ffff00010002"), verdict: taw, code: 3, subcode: 5, attr: 8, reason: "attribute-overrun", routes: minus},
		{name: "MP_REACH overruns", msg: up(wellKnown + "800eff000201"), verdict: reset, code: 3, subcode: 9, attr: 14, reason: "attribute-overrun"},
		{
			name: "overrun behind MP_REACH", msg: update(t, "", reach6+wellKnown+"c008ff", ""), verdict: taw, code: 3, subcode: 5, attr: 8,
			reason: "attribute-overrun", routes: []string{"-2001:db8:1::/48 mp taw"},
		},
		{name: "overrun without NLRI", msg: update(t, "", wellKnown+"c008ff", ""), verdict: reset, code: 3, subcode: 5, attr: 8, reason: "attribute-overrun"},
		{name: "error without reachable NLRI", msg: update(t, net24, "4001020000", ""), verdict: reset, code: 3, subcode: 5, attr: 1, reason: "attribute-length"},
		{
			name: "discard without reachable NLRI", msg: update(t, net24, "40060100", ""), verdict: discard, code: 3, subcode: 5, attr: 6, reason: "attribute-length",
			routes: []string{"-10.1.1.0/24"},
		},

		// Missing attributes.
		{name: "no attributes", msg: up(""), verdict: taw, code: 3, subcode: 3, attr: 1, reason: "missing-well-known-attribute", routes: minus},
		{name: "no ORIGIN", msg: up(path + nextHop), verdict: taw, code: 3, subcode: 3, attr: 1, reason: "missing-well-known-attribute", routes: minus},
		{name: "no AS_PATH", msg: up(origin + nextHop), verdict: taw, code: 3, subcode: 3, attr: 2, reason: "missing-well-known-attribute", routes: minus},
		{name: "no NEXT_HOP", msg: up(origin + path), verdict: taw, code: 3, subcode: 3, attr: 3, reason: "missing-well-known-attribute", routes: minus},
		{
			name: "no NEXT_HOP in a Loc-RIB", session: unknown, msg: up(origin + path), verdict: discard, code: 3, subcode: 3, attr: 3, reason: "missing-well-known-attribute",
			routes: []string{"+10.1.1.0/24"},
		},
		{
			name: "no NEXT_HOP in MP", msg: update(t, "", reach6+origin+path, ""), verdict: ok,
			routes: []string{"+2001:db8:1::/48 via=20010db8000000000000000000000001 mp"},
		},
		{name: "no LOCAL_PREF from internal", session: internal, msg: up(wellKnown), verdict: taw, code: 3, subcode: 3, attr: 5, reason: "missing-well-known-attribute", routes: minus},
		{name: "no LOCAL_PREF from unknown", session: unknown, msg: up(wellKnown), verdict: ok, routes: plus},
		{name: "router's own route in a table dump", session: table, msg: up(nextHop), verdict: ok, routes: plus},
		{name: "BGPsec_Path instead of AS_PATH", msg: up(origin + nextHop + "9021 0004 00020000"), verdict: ok, routes: plus},
		{
			name: "empty MP_UNREACH and NLRI without attributes", msg: up(mpUnreach(t, bgp.IPv6Unicast, "")), verdict: taw, code: 3, subcode: 3, attr: 1,
			reason: "missing-well-known-attribute", routes: minus,
		},

		// Flags.
		{name: "low flag bits", msg: up("4f0101 00 4f0206 0201 0000fde9 4f0304 c0000201"), verdict: ok, routes: plus},
		{name: "MED transitive", msg: up(wellKnown + "c0040400000001"), verdict: taw, code: 3, subcode: 4, attr: 4, reason: "attribute-flags", routes: minus},
		{name: "ORIGIN optional", msg: up("c0010100" + path + nextHop), verdict: taw, code: 3, subcode: 4, attr: 1, reason: "attribute-flags", routes: minus},
		{
			name: "MP_REACH transitive", msg: update(t, "", "c00e1c 0002 01 10"+nh6+"00"+doc48+origin+path, ""),
			verdict: reset, code: 3, subcode: 4, attr: 14, reason: "attribute-flags",
		},
		{name: "AIGP transitive", msg: up(wellKnown + "c01a0b 01000b 0000000000000001"), verdict: discard, code: 3, subcode: 4, attr: 26, reason: "attribute-flags", routes: plus},
		{name: "unknown well-known", msg: up(wellKnown + "40c80401020304"), verdict: reset, code: 3, subcode: 2, attr: 200, reason: "unknown-well-known-attribute"},
		{name: "unknown optional", msg: up(wellKnown + "80f1020102 c0f200 e0f30101"), verdict: ok, routes: plus},

		// Values.
		{name: "ORIGIN 3", msg: up("40010103" + path + nextHop), verdict: taw, code: 3, subcode: 6, attr: 1, reason: "attribute-content", routes: minus},
		{name: "ORIGIN empty", msg: up("400100" + path + nextHop), verdict: taw, code: 3, subcode: 5, attr: 1, reason: "attribute-length", routes: minus},
		{name: "AS_PATH segment type 0", msg: up(origin + "400206 0001 0000fde9" + nextHop), verdict: taw, code: 3, subcode: 11, attr: 2, reason: "as-path-segment", routes: minus},
		{name: "AS_PATH segment type 5", msg: up(origin + "400206 0501 0000fde9" + nextHop), verdict: taw, code: 3, subcode: 11, attr: 2, reason: "as-path-segment", routes: minus},
		{name: "AS_PATH segment of none", msg: up(origin + "400202 0200" + nextHop), verdict: taw, code: 3, subcode: 11, attr: 2, reason: "as-path-segment", routes: minus},
		{name: "AS_PATH segment overruns", msg: up(origin + "400206 02ff 0000fde9" + nextHop), verdict: taw, code: 3, subcode: 11, attr: 2, reason: "as-path-segment", routes: minus},
		{name: "AS_PATH one octet left", msg: up(origin + "400207 0201 0000fde9 02" + nextHop), verdict: taw, code: 3, subcode: 11, attr: 2, reason: "as-path-segment", routes: minus},
		{name: "AS_PATH of two octets on AS4", msg: up(origin + "400208 0203 fde9 fdea fdeb" + nextHop), verdict: taw, code: 3, subcode: 11, attr: 2, reason: "as-path-segment", routes: minus},
		{name: "AS_PATH of two octets", session: as2, msg: up(origin + "400208 0203 fde9 fdea fdeb" + nextHop), verdict: ok, routes: plus},
		{name: "AS 0", msg: up(origin + "40020a 0202 0000fde9 00000000" + nextHop), verdict: taw, code: 3, subcode: 11, attr: 2, reason: "as-zero", routes: minus},
		{name: "AS_PATH empty", msg: up(origin + "400200" + nextHop), verdict: ok, routes: plus},
		{name: "AS_SET and confederation", msg: up(origin + "50020012 0101 0000fde9 0301 0000fde9 0401 0000fde9" + nextHop), verdict: ok, routes: plus},
		{name: "NEXT_HOP of 5", msg: up(origin + path + "400305c000020101"), verdict: taw, code: 3, subcode: 5, attr: 3, reason: "attribute-length", routes: minus},
		{name: "NEXT_HOP 0.0.0.0", msg: up(origin + path + "40030400000000"), verdict: ok, routes: []string{"+10.1.1.0/24 via=00000000"}},
		{name: "MED of 3", msg: up(wellKnown + "800403000001"), verdict: taw, code: 3, subcode: 5, attr: 4, reason: "attribute-length", routes: minus},
		{
			name: "LOCAL_PREF from external", session: external, msg: up(wellKnown + localPref), verdict: discard, code: 3, subcode: 9, attr: 5,
			reason: "internal-attribute-from-external-peer", routes: plus,
		},
		{name: "LOCAL_PREF from internal", session: internal, msg: up(wellKnown + localPref), verdict: ok, routes: plus},
		{name: "LOCAL_PREF of 3 from internal", session: internal, msg: up(wellKnown + "400503000064"), verdict: taw, code: 3, subcode: 5, attr: 5, reason: "attribute-length", routes: minus},
		{name: "LOCAL_PREF of 3 from unknown", session: unknown, msg: up(wellKnown + "400503000064"), verdict: discard, code: 3, subcode: 5, attr: 5, reason: "attribute-length", routes: plus},
		{name: "ATOMIC_AGGREGATE of 1", msg: up(wellKnown + "40060100"), verdict: discard, code: 3, subcode: 5, attr: 6, reason: "attribute-length", routes: plus},
		{name: "AGGREGATOR of 6 on AS4", msg: up(wellKnown + "c00706fde9c0000201"), verdict: discard, code: 3, subcode: 5, attr: 7, reason: "attribute-length", routes: plus},
		{name: "AGGREGATOR AS 0", msg: up(wellKnown + "c0070800000000c0000201"), verdict: discard, code: 3, subcode: 9, attr: 7, reason: "as-zero", routes: plus},
		{name: "AGGREGATOR of 6", session: as2, msg: up(origin + "400204 0201 fde9" + nextHop + "c00706fde9c0000201"), verdict: ok, routes: plus},
		{name: "COMMUNITIES of 5", msg: up(wellKnown + "c008050001000200"), verdict: taw, code: 3, subcode: 5, attr: 8, reason: "attribute-length", routes: minus},
		{name: "COMMUNITIES empty", msg: up(wellKnown + "c00800"), verdict: taw, code: 3, subcode: 5, attr: 8, reason: "attribute-length", routes: minus},
		{name: "ORIGINATOR_ID of 3 from internal", session: internal, msg: up(wellKnown + localPref + "800903c00002"), verdict: taw, code: 3, subcode: 5, attr: 9, reason: "attribute-length", routes: minus},
		{
			name: "ORIGINATOR_ID from external", msg: up(wellKnown + "800904c0000201"), verdict: discard, code: 3, subcode: 9, attr: 9,
			reason: "internal-attribute-from-external-peer", routes: plus,
		},
		{name: "CLUSTER_LIST of 5 from internal", session: internal, msg: up(wellKnown + localPref + "800a05c000020100"), verdict: taw, code: 3, subcode: 5, attr: 10, reason: "attribute-length", routes: minus},
		{
			name: "CLUSTER_LIST from external", msg: up(wellKnown + "800a04c0000201"), verdict: discard, code: 3, subcode: 9, attr: 10,
			reason: "internal-attribute-from-external-peer", routes: plus,
		},
		{name: "EXTENDED COMMUNITIES of 9", msg: up(wellKnown + "c01009000200010000000100"), verdict: taw, code: 3, subcode: 5, attr: 16, reason: "attribute-length", routes: minus},
		{name: "AS4_PATH on AS4", msg: up(wellKnown + "c01106 0201 0000fde9"), verdict: discard, code: 3, subcode: 9, attr: 17, reason: "as4-attribute-on-as4-session", routes: plus},
		{
			name: "AS4_PATH malformed", session: as2, msg: up(origin + "400204 0201 fde9" + nextHop + "c01104 0201 fde9"), verdict: discard, code: 3, subcode: 11, attr: 17,
			reason: "as-path-segment", routes: plus,
		},
		{
			name: "AS4_AGGREGATOR of 7", session: as2, msg: up(origin + "400204 0201 fde9" + nextHop + "c01207 0000fde9c00002"), verdict: discard, code: 3, subcode: 5, attr: 18,
			reason: "attribute-length", routes: plus,
		},
		{name: "TUNNEL_ENCAP overruns", msg: up(wellKnown + "c0170400ffffff"), verdict: ok, routes: plus},
		{name: "IPv6 EXT of 21", msg: up(wellKnown + "c01915" + strings.Repeat("00", 21)), verdict: taw, code: 3, subcode: 5, attr: 25, reason: "attribute-length", routes: minus},
		{name: "AIGP TLV of 0", msg: up(wellKnown + "801a0b 010000 0000000000000001"), verdict: discard, code: 3, subcode: 9, attr: 26, reason: "attribute-length", routes: plus},
		{name: "AIGP of 10", msg: up(wellKnown + "801a0a 01000a 00000000000001"), verdict: discard, code: 3, subcode: 9, attr: 26, reason: "attribute-length", routes: plus},
		{name: "AIGP good", msg: up(wellKnown + "801a0b 01000b 0000000000000001"), verdict: ok, routes: plus},
		{name: "deprecated codes", msg: up(wellKnown + "c01400 c0150101 c01c00 40240101"), verdict: ok, routes: plus},
		{name: "ATTR_SET empty", msg: up(wellKnown + "c08000"), verdict: taw, code: 3, subcode: 9, attr: 128, reason: "attribute-length", routes: minus},
		{name: "ATTR_SET of 3", msg: up(wellKnown + "c080030000fd"), verdict: taw, code: 3, subcode: 9, attr: 128, reason: "attribute-length", routes: minus},
		{name: "ATTR_SET attribute overruns", msg: up(wellKnown + "c080070000fde9400102"), verdict: taw, code: 3, subcode: 9, attr: 128, reason: "attribute-length", routes: minus},
		{name: "ATTR_SET not transitive", msg: up(wellKnown + "808007 0000fde9 c0f200"), verdict: taw, code: 3, subcode: 4, attr: 128, reason: "attribute-flags", routes: minus},
		{name: "ATTR_SET of no attributes", msg: up(wellKnown + "c08004 0000fde9"), verdict: ok, routes: plus},
		{name: "ATTR_SET good", msg: up(wellKnown + "c0800d 0000fde9 40010100 d0f2000101"), verdict: ok, routes: plus},
		{name: "BGP-LS TLV overruns", msg: up(wellKnown + "801d06 0400 0009 0102"), verdict: discard, code: 3, subcode: 9, attr: 29, reason: "attribute-length", routes: plus},
		{name: "LARGE_COMMUNITY of 13", msg: up(wellKnown + "c0200d" + strings.Repeat("01", 13)), verdict: taw, code: 3, subcode: 5, attr: 32, reason: "attribute-length", routes: minus},
		{name: "OTC of 3", msg: up(wellKnown + "c0230300fde9"), verdict: taw, code: 3, subcode: 5, attr: 35, reason: "attribute-length", routes: minus},
		{name: "PREFIX_SID TLV overruns", msg: up(wellKnown + "c02805 01 0007 0000"), verdict: discard, code: 3, subcode: 9, attr: 40, reason: "attribute-length", routes: plus},

		// Twice.
		{name: "ORIGIN twice", msg: up(wellKnown + "40010103"), verdict: discard, code: 3, subcode: 1, attr: 1, reason: "attribute-duplicate", routes: plus},
		{name: "unknown twice", msg: up(wellKnown + "c0f200 c0f201ff"), verdict: discard, code: 3, subcode: 1, attr: 242, reason: "attribute-duplicate", routes: plus},
		{name: "MP_REACH twice", msg: update(t, "", reach6+reach6+origin+path, ""), verdict: reset, code: 3, subcode: 1, attr: 14, reason: "attribute-duplicate"},
		{
			name: "MP_UNREACH twice", msg: update(t, "", mpUnreach(t, bgp.IPv6Unicast, doc48)+mpUnreach(t, bgp.IPv6Unicast, doc48), ""),
			verdict: reset, code: 3, subcode: 1, attr: 15, reason: "attribute-duplicate",
		},

		// MP attributes.
		{name: "MP_REACH empty", msg: update(t, "", "800e00"+origin+path, ""), verdict: reset, code: 3, subcode: 9, attr: 14, reason: "attribute-length"},
		{name: "MP_UNREACH of 2", msg: update(t, "", "800f020002", ""), verdict: reset, code: 3, subcode: 9, attr: 15, reason: "attribute-length"},
		{name: "MP next hop overruns", msg: update(t, "", "800e08 0002 01 c8 20010db8"+origin+path, ""), verdict: reset, code: 3, subcode: 9, attr: 14, reason: "attribute-length"},
		{name: "IPv6 next hop of 0", msg: update(t, "", mpReach(t, bgp.IPv6Unicast, "", doc48)+origin+path, ""), verdict: reset, code: 3, subcode: 9, attr: 14, reason: "next-hop-length"},
		{name: "IPv6 next hop of 4", msg: update(t, "", mpReach(t, bgp.IPv6Unicast, "c0000201", doc48)+origin+path, ""), verdict: reset, code: 3, subcode: 9, attr: 14, reason: "next-hop-length"},
		{
			name: "IPv4 next hop of 16", msg: update(t, "", mpReach(t, bgp.IPv4Unicast, nh6, net24)+origin+path, ""), verdict: ok,
			routes: []string{"+10.1.1.0/24 via=20010db8000000000000000000000001 mp"},
		},
		{
			name: "IPv4 next hop of 4 in MP", msg: update(t, "", mpReach(t, bgp.IPv4Unicast, "c0000201", net24)+origin+path, ""), verdict: ok,
			routes: []string{"+10.1.1.0/24 via=c0000201 mp"},
		},
		{
			name: "martian IPv6 next hop", msg: update(t, "", mpReach(t, bgp.IPv6Unicast, "ff020000000000000000000000000001", doc48)+origin+path, ""), verdict: ok,
			routes: []string{"+2001:db8:1::/48 via=ff020000000000000000000000000001 mp"},
		},
		{
			name: "reserved octet", msg: update(t, "", "800e1c 0002 01 10"+nh6+"ff"+doc48+origin+path, ""), verdict: ok,
			routes: []string{"+2001:db8:1::/48 via=20010db8000000000000000000000001 mp"},
		},
		{
			name: "unknown family", msg: update(t, "", mpReach(t, bgp.NewFamily(16399, 201), "", "010203")+mpUnreach(t, bgp.NewFamily(16399, 202), "04")+origin+path, ""),
			verdict: ok, routes: []string{"+afi-16399-safi-201:010203 via= mp", "-afi-16399-safi-202:04 mp"},
		},
		{
			name: "strongest of nine", msg: up(wellKnown + "40060100 c02805 01 0007 0000 801a0a 01000a 00000000000001" +
				" 40060100 40060100 40060100 40060100 40060100 40060100 c00800"),
			verdict: taw, code: 3, subcode: 5, attr: 8, reason: "attribute-length", routes: minus,
		},
	}
}

func TestVerdicts(t *testing.T) {
	for _, tc := range verdictCases(t) {
		t.Run(tc.name, func(t *testing.T) {
			s := tc.session
			if s == (bgp.Session{}) {
				s = as4
			}
			var u bgp.Update
			u.Parse(tc.msg, s)
			if u.Verdict() != tc.verdict {
				t.Fatalf("verdict %v, want %v; findings %+v", u.Verdict(), tc.verdict, u.Findings())
			}
			if diff := cmp.Diff(tc.routes, routes(&u)); diff != "" {
				t.Errorf("routes (-want +got):\n%s", diff)
			}
			i := slices.IndexFunc(u.Findings(), func(f bgp.Finding) bool { return f.Verdict == tc.verdict })
			if i < 0 {
				if tc.verdict != bgp.VerdictOK || len(u.Findings()) != 0 {
					t.Fatalf("findings %+v", u.Findings())
				}
				return
			}
			f := u.Findings()[i]
			if f.Code != tc.code || f.Subcode != tc.subcode || f.Attr != tc.attr || f.Reason != tc.reason {
				t.Errorf("finding %+v, want %d/%d attr %d %q", f, tc.code, tc.subcode, tc.attr, tc.reason)
			}
			if f.Offset < 0 || f.Offset > len(tc.msg) && len(tc.msg) > 19 {
				t.Errorf("offset %d outside of %d octets", f.Offset, len(tc.msg))
			}
		})
	}
}
