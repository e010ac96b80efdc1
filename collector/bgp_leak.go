package collector

import "github.com/ribtap/ribtap/bgp"

// neighbourRole is what the neighbour is to us (RFC 9234 §4.1): what it says, or
// the counterpart of what we say; nil when nobody says anything.
func neighbourRole(sent, received *bgp.Open) *bgp.Role {
	if role, ok := received.Role(); ok {
		return &role
	}
	ours, ok := sent.Role()
	if !ok {
		return nil
	}
	counterparts := map[bgp.Role]bgp.Role{
		bgp.RoleProvider: bgp.RoleCustomer, bgp.RoleCustomer: bgp.RoleProvider,
		bgp.RoleRS: bgp.RoleRSClient, bgp.RoleRSClient: bgp.RoleRS, bgp.RolePeer: bgp.RolePeer,
	}
	role, ok := counterparts[ours]
	if !ok {
		return nil
	}
	return &role
}

// leaked reports whether the UPDATE announces leaked routes: those with an Only
// to Customer attribute that come from a customer or a route server's client,
// or from a peer who did not put it there (RFC 9234 §5).
func (s *bgpSession) leaked(u *bgp.Update) bool {
	if s.role == nil || s.cl.in.Peering != bgp.PeeringExternal {
		return false
	}
	otc, ok := u.OTC()
	if !ok {
		return false
	}
	switch *s.role {
	case bgp.RoleCustomer, bgp.RoleRSClient:
	case bgp.RolePeer:
		if otc == s.cl.ev.ASN {
			return false
		}
	default:
		return false
	}
	it := u.Routes()
	for it.Next() {
		r := it.Route()
		if r.Action == bgp.Announce && (r.NLRI.Family == bgp.IPv4Unicast || r.NLRI.Family == bgp.IPv6Unicast) {
			return true
		}
	}
	return false
}
