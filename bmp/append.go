package bmp

import (
	"encoding/binary"
	"net/netip"

	"github.com/ribtap/ribtap/internal/wire"
)

// The encoders append one whole message of version 3 to dst and return the
// extended slice. What Parse and its siblings read without an anomaly, they
// write again octet by octet. They check nothing: whoever makes a message, for a
// replay or a test, may make a bad one. A TLV value of more than 65,535 octets
// panics.

// AppendRouteMonitoring appends a Route Monitoring message around an UPDATE
// (RFC 7854 §4.6).
func AppendRouteMonitoring(dst []byte, peer *PeerHeader, pdu []byte) []byte {
	dst, at := begin(dst, TypeRouteMonitoring, peer)
	return end(append(dst, pdu...), at)
}

// AppendStats appends a Statistics Report (RFC 7854 §4.8). A Stat with Raw is
// written as it is; of another, Type and Value are needed, HasFamily and Family
// for a per-AFI/SAFI type, and Gauge for a type that is not in the table.
func AppendStats(dst []byte, peer *PeerHeader, stats []Stat) []byte {
	dst, at := begin(dst, TypeStatistics, peer)
	dst = appendUint32(dst, uint32(len(stats)))
	for i := range stats {
		dst = stats[i].append(dst)
	}
	return end(dst, at)
}

// AppendPeerDown appends a Peer Down message (RFC 7854 §4.9); data is what the
// reason says that follows.
func AppendPeerDown(dst []byte, peer *PeerHeader, reason PeerDownReason, data []byte) []byte {
	dst, at := begin(dst, TypePeerDown, peer)
	dst = append(dst, byte(reason))
	return end(append(dst, data...), at)
}

// AppendPeerUp appends a Peer Up message (RFC 7854 §4.10) of up's LocalAddress,
// LocalPort, RemotePort, Sent, Received and Tail. AppendTLVs makes a Tail.
func AppendPeerUp(dst []byte, peer *PeerHeader, up *PeerUp) []byte {
	dst, at := begin(dst, TypePeerUp, peer)
	dst = appendAddress(dst, up.LocalAddress)
	dst = appendUint16(dst, up.LocalPort)
	dst = appendUint16(dst, up.RemotePort)
	dst = append(dst, up.Sent...)
	dst = append(dst, up.Received...)
	return end(append(dst, up.Tail...), at)
}

// AppendInitiation appends an Initiation message (RFC 7854 §4.3), which needs at
// least an InfoSysDescr and an InfoSysName.
func AppendInitiation(dst []byte, info ...TLV) []byte {
	dst, at := begin(dst, TypeInitiation, nil)
	return end(AppendTLVs(dst, info...), at)
}

// AppendTermination appends a Termination message (RFC 7854 §4.5), which needs
// at least a TerminationReasonCode.
func AppendTermination(dst []byte, info ...TLV) []byte {
	dst, at := begin(dst, TypeTermination, nil)
	return end(AppendTLVs(dst, info...), at)
}

// AppendRouteMirroring appends a Route Mirroring message (RFC 7854 §4.7).
func AppendRouteMirroring(dst []byte, peer *PeerHeader, info ...TLV) []byte {
	dst, at := begin(dst, TypeRouteMirroring, peer)
	return end(AppendTLVs(dst, info...), at)
}

// AppendTLVs appends the TLVs alone.
func AppendTLVs(dst []byte, info ...TLV) []byte {
	for _, v := range info {
		dst = appendTLV(dst, v)
	}
	return dst
}

// begin appends the headers; end is to be given the returned position.
func begin(dst []byte, t Type, peer *PeerHeader) ([]byte, int) {
	at := len(dst)
	dst = append(dst, Version3)
	dst = appendUint32(dst, 0)
	dst = append(dst, byte(t))
	if peer != nil {
		dst = peer.append(dst)
	}
	return dst, at
}

// end writes the length of the message that began at a position.
func end(dst []byte, at int) []byte {
	binary.BigEndian.PutUint32(dst[at+1:], uint32(len(dst)-at))
	return dst
}

func appendTLV(dst []byte, v TLV) []byte {
	dst = appendUint16(dst, v.Type)
	dst, at := wire.BeginLength16(dst)
	dst = append(dst, v.Value...)
	wire.EndLength16(dst, at)
	return dst
}

// appendAddress appends a 16-octet address field: IPv4 zero-filled in front, an
// invalid address all zero.
func appendAddress(dst []byte, a netip.Addr) []byte {
	if a.Is6() {
		b := a.As16()
		return append(dst, b[:]...)
	}
	dst = append(dst, make([]byte, 12)...)
	return appendIPv4(dst, a)
}

// appendIPv4 appends four octets, zero unless a is an IPv4 address.
func appendIPv4(dst []byte, a netip.Addr) []byte {
	var b [4]byte
	if a.Is4() {
		b = a.As4()
	}
	return append(dst, b[:]...)
}

func appendUint16(dst []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(dst, v) }
func appendUint32(dst []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(dst, v) }
func appendUint64(dst []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(dst, v) }
