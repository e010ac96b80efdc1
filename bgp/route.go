package bgp

import "net/netip"

// Action says whether a route comes or goes.
type Action uint8

// Values of Action.
const (
	Announce Action = iota + 1
	Withdraw
)

// String returns announce or withdraw.
func (a Action) String() string {
	switch a {
	case Announce:
		return "announce"
	case Withdraw:
		return "withdraw"
	}
	return "unknown"
}

// NLRI is one item of network-layer reachability information, a view into the
// message it came from.
type NLRI struct {
	Family Family
	// PathID is the path identifier (RFC 7911); valid iff HasPathID.
	PathID    uint32
	HasPathID bool
	// HasRD is set for the VPN families; RD is then valid (RFC 4364 §4.2).
	HasRD bool
	RD    RD
	// Prefix is masked, so that stray host bits do not make a second key. It is
	// invalid (!IsValid()) for families without one.
	Prefix netip.Prefix
	// Labels holds the three-octet label fields as received, bottom of stack
	// last (RFC 8277 §2); empty for families without labels. In a withdrawal it
	// may hold the compatibility value 0x800000 or 0x000000.
	Labels []byte
	// Raw is the item as received, without path identifier.
	Raw []byte
}

// Route is one announced or withdrawn NLRI of an UPDATE.
type Route struct {
	Action Action
	NLRI   NLRI
	// NextHop is the next hop field as received: the NEXT_HOP value for the
	// classic NLRI field, the Network Address of Next Hop of MP_REACH_NLRI else.
	// Nil for a withdrawal.
	NextHop []byte
	// Multiprotocol is set when the NLRI stood in MP_REACH_NLRI or MP_UNREACH_NLRI.
	Multiprotocol bool
	// TreatAsWithdraw is set on a withdrawal that stands for an announcement
	// with an error (RFC 7606 §2).
	TreatAsWithdraw bool
}

// RD is a route distinguisher as it stands on the wire (RFC 4364 §4.2).
type RD [8]byte
