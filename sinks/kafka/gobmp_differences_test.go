package kafka

import (
	"fmt"
	"slices"
	"strings"
)

// difference is one that is known: where, on what condition, and who is right.
type difference struct {
	name string
	// fields are the ends of paths such as unicast_prefix_v4.base_attrs.med; a
	// path that is a topic alone means a whole message.
	fields []string
	same   func(theirs, ours any) bool
	only   string // eor or del: in such messages alone
	why    string
}

func onlyOurs(theirs, _ any) bool { return theirs == nil }
func onlyTheirs(_, ours any) bool { return ours == nil }
func always(_, _ any) bool        { return true }

// goBMPWrong is what GoBMP 1.1.0 has wrong, and ours right.
var goBMPWrong = []difference{
	{
		name: "time", fields: []string{"timestamp"}, same: microsAsNanos,
		why: "GoBMP reads the microseconds of the per-peer header as nanoseconds (RFC 7854 §4.2)",
	},
	{
		name: "time-zero", fields: []string{"timestamp"}, same: func(a, _ any) bool { return a == "1970-01-01T00:00:00Z" },
		why: "zero says that the router has no time; ours is then that of receiving (RFC 7854 §4.2)",
	},
	{
		name: "router", fields: []string{"router_ip", "router_hash"},
		same: func(_, b any) bool { return b == testRouter || b == md5sum(testRouter) },
		why:  "GoBMP takes the local address of the last Peer Up for the router's",
	},
	{
		name: "false-end-of-rib", fields: []string{"unicast_prefix_v4"}, same: func(a, b any) bool { return b == nil && endOfRIB(a) },
		why: "GoBMP takes every UPDATE without IPv4 announcements for an End-of-RIB",
	},
	{
		name: "end-of-rib", fields: []string{"unicast_prefix_v6", "evpn"}, same: func(a, b any) bool { return a == nil && endOfRIB(b) },
		why: "GoBMP loses the End-of-RIB of all other families (RFC 4724 §2)",
	},
	{
		name: "end-of-rib-fields", only: "eor", same: always,
		fields: []string{"is_ipv4", "is_nexthop_ipv4", "peer_ip", "is_loc_rib", "is_adj_rib_in_post_policy"},
		why:    "GoBMP's End-of-RIB says nothing of view and family",
	},
	{
		name: "second-part", fields: []string{"unicast_prefix_v4"}, same: func(a, b any) bool { return a == nil && !endOfRIB(b) },
		why: "GoBMP reads MP_REACH_NLRI alone of an UPDATE that has other routes beside it",
	},
	{
		name: "attributes-of-others", only: "del", same: onlyTheirs,
		fields: []string{"base_attrs.origin", "base_attrs.as_path", "base_attrs.as_path_count", "base_attrs.nexthop", "origin_as", "nexthop"},
		why:    "a route that goes has not the attributes of those that come in the same UPDATE",
	},
	{
		name: "mapped-nexthop", fields: []string{"unicast_prefix_v6.nexthop", "l3vpn_v6.nexthop"},
		same: func(a, b any) bool { return b == fmt.Sprintf("::ffff:%v", a) },
		why:  "an IPv4-mapped next hop is one of IPv6, as is_nexthop_ipv4 says (RFC 4659 §3.2.1.2)",
	},
	{
		name: "no-nexthop", fields: []string{"flowspec_v4.nexthop"},
		same: func(a, b any) bool { return a == "invalid next hop address length: 0" && b == nil },
		why:  "a flow specification has no next hop (RFC 8955 §4)",
	},
	{
		name: "flowspec-lost", fields: []string{"flowspec_v4", "flowspec_v6"}, same: onlyOurs,
		why: "GoBMP cannot read IPv6 rules (RFC 8956 §3.1), nor an UPDATE with two rules",
	},
	{
		name: "ethernet-tag", fields: []string{"evpn.eth_tag"}, same: onlyOurs,
		why: "GoBMP forgets the tag of MAC and prefix routes (RFC 7432 §7.2, RFC 9136 §3.1)",
	},
	{
		name: "rd-type", fields: []string{"evpn.vpn_rd_type"}, same: func(a, b any) bool { return a == 0.0 && b == 1.0 },
		why: "the type of the route distinguisher in vpn_rd (RFC 4364 §4.2)",
	},
	{
		name: "pmsi-label", fields: []string{"pmsi_tunnel.mpls_label", "pmsi_tunnel.tunnel_identifier"}, same: always,
		why: "the label is always there; the flag that GoBMP asks has another meaning (RFC 6514 §5)",
	},
	{
		name: "ext-community", fields: []string{"ext_community_list"}, same: wrongWords,
		why: "validation state, bandwidth and ESI label stand at other octets (RFC 8097 §2, RFC 7432 §7.5); unknown types have a subtype too",
	},
	{
		name: "origin-validation", fields: []string{"origin_validation"}, same: func(a, b any) bool { return a == "valid" && b == "not-found" },
		why: "the state is in the last octet (RFC 8097 §2)",
	},
}

// goBMPOther is what is no mistake of either.
var goBMPOther = []difference{
	{
		name: "local-pref", fields: []string{"base_attrs.local_pref"}, same: onlyTheirs,
		why: "LOCAL_PREF of an external peer is discarded here, as everywhere (RFC 7606 §7.5); GoBMP shows it",
	},
	{name: "hash", fields: []string{"hash"}, same: onlyOurs, why: "versions of GoBMP after 1.1.0 have it"},
	{name: "attribute-hash", fields: []string{"base_attr_hash"}, same: always, why: "a sum over another form of the attributes"},
	{
		name: "more-fields", same: onlyOurs, why: "ours says of every message what GoBMP says of some",
		fields: []string{
			"peer.peer_hash", "statistics.peer_hash", "flowspec_v4.peer_hash", "flowspec_v4.router_hash", "table_name",
			"statistics.is_adj_rib_in_post_policy", "statistics.is_adj_rib_out_post_policy", "statistics.is_adj_rib_out",
			"statistics.is_loc_rib", "statistics.is_loc_rib_filtered", "unicast_prefix_v4.color", "unicast_prefix_v4.origin_validation",
		},
	},
}

// testRouter is where the recordings' router is said to be.
const testRouter = "192.0.2.1"

func endOfRIB(m any) bool { return m.(map[string]any)["is_eor"] == true }

// microsAsNanos reports whether a time is the other with the fraction shifted.
func microsAsNanos(theirs, ours any) bool {
	a, aFraction, _ := strings.Cut(theirs.(string), ".")
	b, bFraction, _ := strings.Cut(ours.(string), ".")
	pad := func(s string) string { return (strings.TrimSuffix(s, "Z") + "000000000")[:9] }
	return a == b && pad(aFraction) == "000"+pad(bFraction)[:6]
}

// wrongWords reports whether two lists differ in nothing but words that GoBMP
// reads from the wrong octets.
func wrongWords(theirs, ours any) bool {
	right := map[any]any{
		"ov-state=valid": "ov-state=not-found",
		"link-bw=-38596350508040135278239149992970289152.000000": "link-bw=10000000.000000",
		"esi-l=0:1192960": "esi-l=0:291",
		"unknown=Type: 144 Subtype: 255 Value: [ 0x01, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06 ]": "unknown=Type: 144 Subtype: 1 Value: [ 0x01, 0x02, 0x03, 0x04, 0x05, 0x06 ]",
	}
	return slices.EqualFunc(theirs.([]any), ours.([]any), func(a, b any) bool { return a == b || right[a] == b })
}
