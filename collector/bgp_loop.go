package collector

import (
	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/internal/wire"
)

// looped reports whether a route reflector says that the UPDATE's routes have been
// here before: our router identifier is their originator, or one of the clusters
// that they passed (RFC 4456 §8).
func (s *bgpSession) looped(u *bgp.Update) bool {
	if s.cl.in.Peering != bgp.PeeringInternal {
		return false
	}
	if id, ok := u.OriginatorID(); ok && id == s.of.LocalID {
		return true
	}
	a, ok := u.Attr(bgp.AttrClusterList)
	if !ok || !s.of.LocalID.Is4() {
		return false
	}
	const clusterLen = 4
	for c := wire.NewCursor(a.Value); c.Len() >= clusterLen; {
		if [4]byte(c.Bytes(clusterLen)) == s.of.LocalID.As4() {
			return true
		}
	}
	return false
}
