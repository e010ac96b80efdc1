package bgp

import (
	"net/netip"

	"github.com/ribtap/ribtap/internal/wire"
)

// RouteFlags are remarks about a route that never drop it.
type RouteFlags uint32

// Values of RouteFlags.
const (
	FlagASSet     RouteFlags = 1 << iota // AS_SET or AS_CONFED_SET in the path (RFC 9774)
	FlagASLoop                           // the session's local AS is in the path
	FlagGshut                            // GRACEFUL_SHUTDOWN community (RFC 8326)
	FlagLLGRStale                        // LLGR_STALE community (RFC 9494)
	FlagBlackhole                        // BLACKHOLE community (RFC 7999)
	FlagMalformed                        // the UPDATE has a finding
	FlagMartian                          // a next hop or prefix that no router may use
	FlagFirstAS                          // the first AS is not the neighbor's
)

// flagNames are in the order of the bits.
var flagNames = [...]string{
	"as-set", "as-loop", "gshut", "llgr-stale", "blackhole", "malformed", "martian", "first-as",
}

// AppendText appends the flags' names (as-set as-loop gshut llgr-stale blackhole
// malformed martian first-as) with single spaces.
func (f RouteFlags) AppendText(dst []byte) []byte {
	start := len(dst)
	for i, name := range flagNames {
		if f&(1<<i) == 0 {
			continue
		}
		if len(dst) > start {
			dst = append(dst, ' ')
		}
		dst = append(dst, name...)
	}
	return dst
}

// flagCommunities are the well-known communities that are flags (IANA
// bgp-well-known-communities).
var flagCommunities = [...]struct {
	community uint32
	flag      RouteFlags
}{
	{0xffff0000, FlagGshut},
	{0xffff0006, FlagLLGRStale},
	{0xffff029a, FlagBlackhole},
}

// Flags returns the remarks about the UPDATE's routes; FlagMartian is set when
// it holds for one of them. localAS and peerAS may be 0 for unknown; peerAS is
// compared on external sessions only.
func (u *Update) Flags(localAS, peerAS uint32) RouteFlags {
	f := u.pathFlags(localAS, peerAS) | u.communityFlags()
	if len(u.Findings()) > 0 {
		f |= FlagMalformed
	}
	it := u.Routes()
	for f&FlagMartian == 0 && it.Next() {
		if it.Route().martian() {
			f |= FlagMartian
		}
	}
	return f
}

func (u *Update) communityFlags() (f RouteFlags) {
	a, _ := u.Attr(AttrCommunities)
	for c := wire.NewCursor(a.Value); c.Len() >= communityLen; {
		v := c.Uint32()
		for _, row := range flagCommunities {
			if v == row.community {
				f |= row.flag
			}
		}
	}
	return f
}

// pathFlags reads the path once. A path that is empty has no first AS, which is
// not the neighbor's either.
func (u *Update) pathFlags(localAS, peerAS uint32) (f RouteFlags) {
	p, ok := u.ASPath()
	if !ok {
		return 0
	}
	first, some := uint32(0), false
	for s, ok := p.Next(); ok; s, ok = p.Next() {
		if s.Type.set() {
			f |= FlagASSet
		}
		for asn, ok := s.Next(); ok; asn, ok = s.Next() {
			if !some {
				first, some = asn, true
			}
			if asn == localAS && localAS != 0 {
				f |= FlagASLoop
			}
		}
	}
	if u.session.Peering == PeeringExternal && peerAS != 0 && first != peerAS && !u.standsFor(first, peerAS) {
		f |= FlagFirstAS
	}
	return f
}

// standsFor reports whether the AS number in a path of two-octet ones is as
// much as such a path can say of asn.
func (u *Update) standsFor(inPath, asn uint32) bool {
	return !u.session.AS4 && inPath == ASTrans && asn > 0xffff
}

// martian reports whether the route has a next hop or prefix that no router may
// use. A prefix that covers others, such as the default route, is none.
func (r *Route) martian() bool {
	if r.NLRI.Prefix.IsValid() && martianPrefix(r.NLRI.Prefix) {
		return true
	}
	if layoutOf(r.NLRI.Family) == layoutFlowspec {
		return false // RFC 8955 §4: a next hop there means nothing
	}
	a, ok := nextHopAddr(r.NLRI.Family, r.NextHop)
	return ok && martianNextHop(a)
}

// martianPrefixes are special-purpose blocks that are never forwarded between
// routers (IANA special-purpose address registries), and those of multicast.
// Private and documentation space is not here: networks use it.
var martianPrefixes = [...]netip.Prefix{
	netip.PrefixFrom(netip.AddrFrom4([4]byte{0}), 8),
	netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8),
	netip.PrefixFrom(netip.AddrFrom4([4]byte{169, 254}), 16),
	netip.PrefixFrom(netip.AddrFrom4([4]byte{224}), 4),
	netip.PrefixFrom(netip.AddrFrom4([4]byte{240}), 4),
	netip.PrefixFrom(netip.AddrFrom16([16]byte{}), 127), // :: and ::1
	netip.PrefixFrom(netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff}), 96),
	netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfe, 0x80}), 10),
	netip.PrefixFrom(netip.AddrFrom16([16]byte{0xff}), 8),
}

func martianPrefix(p netip.Prefix) bool {
	for i := range martianPrefixes {
		m := martianPrefixes[i]
		if p.Bits() >= m.Bits() && m.Contains(p.Addr()) {
			return true
		}
	}
	return false
}

// martianNextHop is more lenient than martianPrefix: link-local and IPv4-mapped
// next hops are in use.
func martianNextHop(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() ||
		a.Is4() && a.As4()[0] >= 240 || a.Is4() && a.As4()[0] == 0
}
