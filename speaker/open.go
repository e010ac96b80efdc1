package speaker

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ribtap/ribtap/bgp"
)

// identity is what we are towards a neighbour.
type identity struct {
	asn uint32
	id  netip.Addr
}

// identityFor returns ours towards p; remote is the neighbour's AS number where
// it is known already, for Mirror.
func identityFor(c *Config, p *Peer, remote uint32) identity {
	me := identity{asn: p.LocalASN, id: firstValid(p.RouterID, c.RouterID)}
	if me.asn == 0 {
		me.asn = c.ASN
	}
	if p.Mirror && remote != 0 {
		me.asn = remote
	}
	if me.asn == 0 {
		me.asn = bgp.ASTrans // Mirror, and the neighbour's number cannot be read
	}
	return me
}

// appendOpen appends our OPEN. A bare one has no capabilities, for a neighbour
// that refuses them (RFC 5492 §3).
func appendOpen(dst []byte, p *Peer, me identity, bare bool) []byte {
	o := bgp.OpenParams{AS: me.asn, HoldTime: uint16(p.HoldTime / time.Second), BGPID: me.id}
	if bare {
		return bgp.AppendOpen(dst, o)
	}
	o.Families = p.Families
	o.AS4, o.RouteRefresh = true, true
	o.EnhancedRefresh, o.ExtendedMessage = p.EnhancedRefresh, p.ExtendedMessages
	o.Role = p.Role
	for _, f := range p.Families {
		if p.AddPath && takesPaths(f) {
			o.AddPath = append(o.AddPath, bgp.AddPath{Family: f, Mode: bgp.AddPathReceive})
		}
		if p.ExtendedNextHop && f.AFI() == bgp.AFIIPv4 && takesPaths(f) {
			o.ExtendedNextHop = append(o.ExtendedNextHop, bgp.ExtendedNextHop{Family: f, NextHopAFI: bgp.AFIIPv6})
		}
	}
	if p.GracefulRestart {
		// Without families: nothing of ours survives a restart, but neighbours
		// send End-of-RIB, and we keep their routes (RFC 4724 §3, RFC 8538 §2).
		o.GracefulRestart = &bgp.GracefulRestartParams{Notification: true}
		if p.LLGR {
			o.LLGR = []bgp.GracefulFamily{}
		}
	}
	return bgp.AppendOpen(dst, o)
}

// takesPaths says for which families ADD-PATH and an IPv6 next hop for IPv4 are
// offered: those that routers have them for.
func takesPaths(f bgp.Family) bool {
	switch f {
	case bgp.IPv4Unicast, bgp.IPv6Unicast, bgp.IPv4Multicast, bgp.IPv6Multicast,
		bgp.IPv4Labelled, bgp.IPv6Labelled, bgp.IPv4VPN, bgp.IPv6VPN:
		return true
	default:
		return false
	}
}

// OPEN message error subcodes (RFC 4271 §6.2, RFC 5492 §5, RFC 9234 §4.2).
const (
	openBadPeerAS             = 2
	openBadBGPID              = 3
	openUnsupportedParameter  = 4
	openUnacceptableHold      = 6
	openUnsupportedCapability = 7
	openRoleMismatch          = 11
)

func openFault(subcode uint8, reason string) *Fault {
	return &Fault{Code: bgp.ErrorOpenMessage, Subcode: subcode, Reason: reason}
}

// checkOpen says what is wrong with a neighbour's OPEN whose form is sound, by
// what was configured and what we send.
func checkOpen(p *Peer, me identity, sent, received *bgp.Open) *Fault {
	switch {
	case received.AS2 == bgp.ASTrans && !received.Has(bgp.CapFourOctetAS):
		return openFault(openBadPeerAS, "AS_TRANS without a four-octet AS number")
	case !p.RemoteASN.Has(received.AS, me.asn):
		return openFault(openBadPeerAS, "AS number is not the configured one")
	case received.AS == me.asn && received.BGPID == me.id:
		// On internal sessions only: RFC 6286 §2.1.
		return openFault(openBadBGPID, "BGP Identifier is ours")
	case settle(sent, received) < p.MinHoldTime:
		return openFault(openUnacceptableHold, "hold time is below the least one")
	}
	if f := checkRole(p, me, received); f != nil {
		return f
	}
	if len(bgp.AppendCommonFamilies(nil, sent, received)) == 0 {
		f := openFault(openUnsupportedCapability, "no address family in common")
		// The data are the capabilities that the neighbour lacks (RFC 5492 §5).
		it := sent.Capabilities()
		for c, ok := it.Next(); ok; c, ok = it.Next() {
			if c.Code == bgp.CapMultiprotocol {
				f.Data = append(append(f.Data, c.Code, byte(len(c.Value))), c.Value...)
			}
		}
		return f
	}
	return nil
}

// settle returns the hold time of the session, which is the smaller one (RFC 4271 §4.2).
func settle(sent, received *bgp.Open) time.Duration {
	return time.Duration(min(sent.HoldTime, received.HoldTime)) * time.Second
}

// rolePairs holds what the neighbour must be (RFC 9234 §4.2, table 2).
var rolePairs = map[bgp.Role]bgp.Role{
	bgp.RoleProvider: bgp.RoleCustomer,
	bgp.RoleCustomer: bgp.RoleProvider,
	bgp.RoleRS:       bgp.RoleRSClient,
	bgp.RoleRSClient: bgp.RoleRS,
	bgp.RolePeer:     bgp.RolePeer,
}

// checkRole applies RFC 9234 §4.2, which is about external sessions.
func checkRole(p *Peer, me identity, received *bgp.Open) *Fault {
	if p.Role == nil || received.AS == me.asn {
		return nil
	}
	theirs, ok := received.Role()
	pair, known := rolePairs[*p.Role]
	switch {
	case !ok && p.RoleStrict:
		return openFault(openRoleMismatch, "no BGP role")
	case ok && (!known || theirs != pair):
		return openFault(openRoleMismatch, "BGP roles do not match")
	}
	return nil
}

// negotiate makes the session of two OPENs; addresses and times are the caller's.
func negotiate(p *Peer, sentMsg, receivedMsg []byte) *Session {
	// Both have been parsed before.
	sent, _ := bgp.ParseOpen(sentMsg)
	received, _ := bgp.ParseOpen(receivedMsg)
	return &Session{
		Peer: p,
		Sent: sentMsg, Received: receivedMsg,
		LocalASN: sent.AS, RemoteASN: received.AS,
		LocalID: sent.BGPID, RemoteID: received.BGPID,
		Families: slices.Clip(bgp.AppendCommonFamilies(nil, &sent, &received)),
		Receive:  bgp.Receive(&sent, &received),
		Transmit: bgp.Transmit(&sent, &received),
		HoldTime: settle(&sent, &received),
	}
}
