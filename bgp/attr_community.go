package bgp

import "github.com/ribtap/ribtap/internal/wire"

// Octets of one community in each of the attributes.
const (
	communityLen      = 4
	largeCommunityLen = 12
	extCommunityLen   = 8
	ipv6CommunityLen  = 20
)

// separate appends a space unless dst has nothing behind start.
func separate(dst []byte, start int) []byte {
	if len(dst) > start {
		return append(dst, ' ')
	}
	return dst
}

// AppendCommunities appends COMMUNITIES as 65000:1 with single spaces, in the
// order received (RFC 1997). The well-known ones are numbers too: 65535:65281
// and not no-export.
func (u *Update) AppendCommunities(dst []byte) []byte {
	start := len(dst)
	a, _ := u.Attr(AttrCommunities)
	for c := wire.NewCursor(a.Value); c.Len() >= communityLen; {
		dst = appendUint(separate(dst, start), c.Uint16())
		dst = appendUint(append(dst, ':'), c.Uint16())
	}
	return dst
}

// AppendLargeCommunities appends LARGE_COMMUNITY as 65000:1:2 with single
// spaces, in the order received (RFC 8092 §4).
func (u *Update) AppendLargeCommunities(dst []byte) []byte {
	start := len(dst)
	a, _ := u.Attr(AttrLargeCommunity)
	for c := wire.NewCursor(a.Value); c.Len() >= largeCommunityLen; {
		dst = appendUint(separate(dst, start), c.Uint32())
		dst = appendUint(append(dst, ':'), c.Uint32())
		dst = appendUint(append(dst, ':'), c.Uint32())
	}
	return dst
}

// AppendExtCommunities appends EXTENDED COMMUNITIES and the IPv6 address
// specific ones (RFC 4360, RFC 5701) with single spaces, in the order received.
// The common types are in words: rt:65000:1, soo:192.0.2.1:1, color:100,
// encap:vxlan, traffic-rate:0:0. A four-octet AS number that fits two is written
// 0.65000, and IPv6 addresses stand in brackets. Any other type is 0x and its 16
// or 40 hex digits.
func (u *Update) AppendExtCommunities(dst []byte) []byte {
	start := len(dst)
	a, _ := u.Attr(AttrExtCommunities)
	for c := wire.NewCursor(a.Value); c.Len() >= extCommunityLen; {
		dst = appendExtCommunity(separate(dst, start), c.Bytes(extCommunityLen))
	}
	a, _ = u.Attr(AttrIPv6ExtCommunities)
	for c := wire.NewCursor(a.Value); c.Len() >= ipv6CommunityLen; {
		dst = appendIPv6Community(separate(dst, start), c.Bytes(ipv6CommunityLen))
	}
	return dst
}

// AppendClusterList appends CLUSTER_LIST as IPv4 addresses with single spaces
// (RFC 4456 §8).
func (u *Update) AppendClusterList(dst []byte) []byte {
	start := len(dst)
	a, _ := u.Attr(AttrClusterList)
	for c := wire.NewCursor(a.Value); c.Len() >= 4; {
		dst = appendAddrText(separate(dst, start), c.Bytes(4))
	}
	return dst
}
