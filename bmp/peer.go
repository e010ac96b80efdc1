package bmp

import (
	"net/netip"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/internal/wire"
)

// Peer types (RFC 7854 §4.2, RFC 9069 §4.1).
const (
	PeerGlobal = iota // global instance peer
	PeerRD            // RD instance peer
	PeerLocal         // local instance peer
	PeerLocRIB        // Loc-RIB instance peer
)

// Peer flags. V, L, A and O are defined for peer types 0 to 2, F for type 3;
// PeerHeader's methods know which applies.
const (
	FlagV = 0x80 // the address is IPv6 (RFC 7854 §4.2)
	FlagL = 0x40 // after policy (RFC 7854 §4.2, RFC 8671 §4)
	FlagA = 0x20 // AS_PATH in the legacy two-octet form (RFC 7854 §4.2)
	FlagO = 0x10 // Adj-RIB-Out (RFC 8671 §4)
	FlagF = 0x80 // the Loc-RIB is filtered (RFC 9069 §4.2)
)

// PeerHeader is the per-peer header (RFC 7854 §4.2). It is comparable and holds
// no view, so it may be kept.
type PeerHeader struct {
	Type  uint8
	Flags uint8
	// Distinguisher is zero for global instance peers.
	Distinguisher bgp.RD
	// Address is 0.0.0.0 for a Loc-RIB, or what its router put there.
	Address netip.Addr
	ASN     uint32
	// BGPID is always an IPv4 address.
	BGPID netip.Addr
	// Seconds and Microseconds are the router's clock, both 0 if it sent none.
	Seconds, Microseconds uint32
}

// adjRIB reports whether the flags of RFC 7854 and RFC 8671 are defined.
func (h *PeerHeader) adjRIB() bool { return h.Type <= PeerLocal }

// IPv6 is the V flag: addresses of this message are IPv6.
func (h *PeerHeader) IPv6() bool { return h.adjRIB() && h.Flags&FlagV != 0 }

// PostPolicy is the L flag.
func (h *PeerHeader) PostPolicy() bool { return h.adjRIB() && h.Flags&FlagL != 0 }

// LegacyASPath is the A flag: AS numbers in AS_PATH are of two octets. A Loc-RIB
// has four always (RFC 9069 §4.2).
func (h *PeerHeader) LegacyASPath() bool { return h.adjRIB() && h.Flags&FlagA != 0 }

// AdjRIBOut is the O flag.
func (h *PeerHeader) AdjRIBOut() bool { return h.adjRIB() && h.Flags&FlagO != 0 }

// LocRIB reports whether the peer is the router's own table.
func (h *PeerHeader) LocRIB() bool { return h.Type == PeerLocRIB }

// Filtered is the F flag of a Loc-RIB: it does not hold all routes.
func (h *PeerHeader) Filtered() bool { return h.Type == PeerLocRIB && h.Flags&FlagF != 0 }

// Time returns nanoseconds since 1970-01-01 UTC, or 0 when the router sent no
// time (RFC 7854 §4.2).
func (h *PeerHeader) Time() int64 {
	if h.Seconds == 0 {
		return 0
	}
	return int64(h.Seconds)*1e9 + int64(h.Microseconds)*1e3
}

// parse reads the header that c stands at; c is bad when it is cut.
func (h *PeerHeader) parse(c *wire.Cursor) Anomalies {
	var found Anomalies
	h.Type = c.Uint8()
	h.Flags = c.Uint8()
	h.Distinguisher = parseRD(c)
	var padded bool
	h.Address, padded = h.parseAddress(c)
	h.ASN = c.Uint32()
	h.BGPID = parseIPv4(c)
	h.Seconds = c.Uint32()
	h.Microseconds = c.Uint32()
	if !padded || h.LocRIB() && !h.Address.IsUnspecified() {
		found |= AnomalyPeerAddress
	}
	if h.Type > PeerLocRIB {
		found |= AnomalyPeerType
	}
	if h.Type == PeerGlobal && h.Distinguisher != (bgp.RD{}) {
		found |= AnomalyDistinguisher
	}
	if h.adjRIB() && h.ASN == 0 {
		found |= AnomalyPeerAS
	}
	if h.Microseconds >= 1e6 {
		found |= AnomalyTimestamp
	}
	return found
}

// append appends the header. It restores what parse read, unless the address
// was not zero-filled (AnomalyPeerAddress).
func (h *PeerHeader) append(dst []byte) []byte {
	dst = append(dst, h.Type, h.Flags)
	dst = append(dst, h.Distinguisher[:]...)
	dst = appendAddress(dst, h.Address)
	dst = appendUint32(dst, h.ASN)
	dst = appendIPv4(dst, h.BGPID)
	dst = appendUint32(dst, h.Seconds)
	return appendUint32(dst, h.Microseconds)
}

// parseAddress reads a 16-octet address field by the V flag. Peer types that
// have no V flag say by their upper 12 octets which family it is. padded is
// false for an IPv4 address that is not zero-filled.
func (h *PeerHeader) parseAddress(c *wire.Cursor) (a netip.Addr, padded bool) {
	if h.IPv6() {
		return parseIPv6(c), true
	}
	look := *c
	zero := look.Uint64() == 0 && look.Uint32() == 0
	if zero || h.adjRIB() {
		c.Skip(12)
		return parseIPv4(c), zero
	}
	return parseIPv6(c), true
}

// parseIPv4 reads four octets; they are 0.0.0.0 when c is bad.
func parseIPv4(c *wire.Cursor) netip.Addr {
	var a [4]byte
	copy(a[:], c.Bytes(len(a)))
	return netip.AddrFrom4(a)
}

// parseIPv6 reads sixteen octets; they are :: when c is bad.
func parseIPv6(c *wire.Cursor) netip.Addr {
	var a [16]byte
	copy(a[:], c.Bytes(len(a)))
	return netip.AddrFrom16(a)
}

// parseRD reads a route distinguisher.
func parseRD(c *wire.Cursor) bgp.RD {
	var rd bgp.RD
	copy(rd[:], c.Bytes(len(rd)))
	return rd
}
