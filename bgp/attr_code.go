package bgp

import "strconv"

// Path attribute type codes (IANA bgp-parameters, BGP Path Attributes) that the
// codec or a user of it names.
const (
	AttrOrigin              uint8 = 1   // RFC 4271
	AttrASPath              uint8 = 2   // RFC 4271
	AttrNextHop             uint8 = 3   // RFC 4271
	AttrMultiExitDisc       uint8 = 4   // RFC 4271
	AttrLocalPref           uint8 = 5   // RFC 4271
	AttrAtomicAggregate     uint8 = 6   // RFC 4271
	AttrAggregator          uint8 = 7   // RFC 4271
	AttrCommunities         uint8 = 8   // RFC 1997
	AttrOriginatorID        uint8 = 9   // RFC 4456
	AttrClusterList         uint8 = 10  // RFC 4456
	AttrMPReachNLRI         uint8 = 14  // RFC 4760
	AttrMPUnreachNLRI       uint8 = 15  // RFC 4760
	AttrExtCommunities      uint8 = 16  // RFC 4360
	AttrAS4Path             uint8 = 17  // RFC 6793
	AttrAS4Aggregator       uint8 = 18  // RFC 6793
	AttrPMSITunnel          uint8 = 22  // RFC 6514
	AttrTunnelEncapsulation uint8 = 23  // RFC 9012
	AttrIPv6ExtCommunities  uint8 = 25  // RFC 5701
	AttrAIGP                uint8 = 26  // RFC 7311
	AttrBGPLS               uint8 = 29  // RFC 9552
	AttrLargeCommunity      uint8 = 32  // RFC 8092
	AttrBGPsecPath          uint8 = 33  // RFC 8205
	AttrOTC                 uint8 = 35  // RFC 9234
	AttrDPath               uint8 = 36  // draft-ietf-bess-evpn-ipvpn-interworking
	AttrPrefixSID           uint8 = 40  // RFC 8669
	AttrAttrSet             uint8 = 128 // RFC 6368
)

// attrNames follow IANA's, deprecated codes included: a monitor meets them.
var attrNames = [256]string{
	AttrOrigin:              "ORIGIN",
	AttrASPath:              "AS_PATH",
	AttrNextHop:             "NEXT_HOP",
	AttrMultiExitDisc:       "MULTI_EXIT_DISC",
	AttrLocalPref:           "LOCAL_PREF",
	AttrAtomicAggregate:     "ATOMIC_AGGREGATE",
	AttrAggregator:          "AGGREGATOR",
	AttrCommunities:         "COMMUNITY",
	AttrOriginatorID:        "ORIGINATOR_ID",
	AttrClusterList:         "CLUSTER_LIST",
	11:                      "DPA",
	12:                      "ADVERTISER",
	13:                      "RCID_PATH",
	AttrMPReachNLRI:         "MP_REACH_NLRI",
	AttrMPUnreachNLRI:       "MP_UNREACH_NLRI",
	AttrExtCommunities:      "EXTENDED COMMUNITIES",
	AttrAS4Path:             "AS4_PATH",
	AttrAS4Aggregator:       "AS4_AGGREGATOR",
	19:                      "SSA",
	20:                      "CONNECTOR",
	21:                      "AS_PATHLIMIT",
	AttrPMSITunnel:          "PMSI_TUNNEL",
	AttrTunnelEncapsulation: "TUNNEL_ENCAPSULATION",
	24:                      "TRAFFIC_ENGINEERING",
	AttrIPv6ExtCommunities:  "IPV6_ADDRESS_SPECIFIC_EXTENDED_COMMUNITY",
	AttrAIGP:                "AIGP",
	27:                      "PE_DISTINGUISHER_LABELS",
	28:                      "ENTROPY_LABEL_CAPABILITY",
	AttrBGPLS:               "BGP-LS",
	AttrLargeCommunity:      "LARGE_COMMUNITY",
	AttrBGPsecPath:          "BGPSEC_PATH",
	34:                      "COMMUNITY_CONTAINER",
	AttrOTC:                 "ONLY_TO_CUSTOMER",
	AttrDPath:               "D-PATH",
	37:                      "SFP",
	38:                      "BFD_DISCRIMINATOR",
	39:                      "ROUTER_CAPABILITIES",
	AttrPrefixSID:           "PREFIX-SID",
	41:                      "BIER",
	42:                      "EDGE_METADATA_PATH",
	AttrAttrSet:             "ATTR_SET",
	255:                     "DEVELOPMENT",
}

// AttrName returns the name of a path attribute type code after IANA, or attribute-N
// for a code without one.
func AttrName(code uint8) string {
	if n := attrNames[code]; n != "" {
		return n
	}
	return "attribute-" + strconv.Itoa(int(code))
}
