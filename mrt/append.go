package mrt

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/internal/wire"
)

// AppendRecord appends a record as Reader.Next returned it: reading and
// appending gives back the octets of the file.
func AppendRecord(dst []byte, rec *Record) []byte {
	dst = appendHeader(dst, rec.Timestamp, rec.Type, rec.Subtype)
	dst, at := wire.BeginLength32(dst)
	if extended(rec.Type) && !rec.short {
		dst = binary.BigEndian.AppendUint32(dst, rec.Microseconds)
	}
	dst = append(dst, rec.Body...)
	wire.EndLength32(dst, at)
	return dst
}

// appendHeader appends the common header up to the length (RFC 6396 §2).
func appendHeader(dst []byte, sec uint32, typ, subtype uint16) []byte {
	dst = binary.BigEndian.AppendUint32(dst, sec)
	dst = binary.BigEndian.AppendUint16(dst, typ)
	return binary.BigEndian.AppendUint16(dst, subtype)
}

// AppendMessageET appends a BGP4MP_ET record with one BGP message as the peer
// sent it (RFC 6396 §3, §4.4.3). as4 says how wide AS numbers are in the
// message, and addPath whether its NLRI have path identifiers (RFC 8050 §3); a
// reader knows neither but from the subtype. With as4 unset an AS number in h
// that needs four octets becomes AS_TRANS.
//
// The address family of the record is that of h.PeerIP, or of h.LocalIP if that
// is invalid; an address that is invalid or of the other family is written as
// unspecified.
func AppendMessageET(dst []byte, sec, usec uint32, h *PeerHeader, as4, addPath bool, pdu []byte) []byte {
	dst, at := h.begin(dst, sec, usec, messageSubtype(as4, addPath), as4)
	dst = append(dst, pdu...)
	wire.EndLength32(dst, at)
	return dst
}

func messageSubtype(as4, addPath bool) uint16 {
	switch {
	case as4 && addPath:
		return SubtypeMessageAS4AddPath
	case as4:
		return SubtypeMessageAS4
	case addPath:
		return SubtypeMessageAddPath
	}
	return SubtypeMessage
}

// AppendStateChangeET appends a BGP4MP_ET record of subtype STATE_CHANGE_AS4
// (RFC 6396 §4.4.4). Addresses are written as by AppendMessageET.
func AppendStateChangeET(dst []byte, sec, usec uint32, h *PeerHeader, from, to State) []byte {
	dst, at := h.begin(dst, sec, usec, SubtypeStateChangeAS4, true)
	dst = binary.BigEndian.AppendUint16(dst, uint16(from))
	dst = binary.BigEndian.AppendUint16(dst, uint16(to))
	wire.EndLength32(dst, at)
	return dst
}

// begin appends the headers of a BGP4MP_ET record and returns where its length is.
func (h *PeerHeader) begin(dst []byte, sec, usec uint32, subtype uint16, as4 bool) ([]byte, int) {
	dst = appendHeader(dst, sec, TypeBGP4MPET, subtype)
	dst, at := wire.BeginLength32(dst)
	dst = binary.BigEndian.AppendUint32(dst, usec)
	if as4 {
		dst = binary.BigEndian.AppendUint32(dst, h.PeerAS)
		dst = binary.BigEndian.AppendUint32(dst, h.LocalAS)
	} else {
		dst = binary.BigEndian.AppendUint16(dst, as2(h.PeerAS))
		dst = binary.BigEndian.AppendUint16(dst, as2(h.LocalAS))
	}
	dst = binary.BigEndian.AppendUint16(dst, h.IfIndex)
	afi := h.afi()
	dst = binary.BigEndian.AppendUint16(dst, uint16(afi))
	dst = appendAddress(dst, afi, h.PeerIP)
	return appendAddress(dst, afi, h.LocalIP), at
}

func (h *PeerHeader) afi() bgp.AFI {
	a := h.PeerIP
	if !a.IsValid() {
		a = h.LocalIP
	}
	if a.Unmap().Is6() {
		return bgp.AFIIPv6
	}
	return bgp.AFIIPv4
}

func as2(as uint32) uint16 {
	if as > 0xffff {
		return asTrans
	}
	return uint16(as)
}

// appendAddress appends a in the form of the family, the unspecified address if
// it has none.
func appendAddress(dst []byte, afi bgp.AFI, a netip.Addr) []byte {
	a = a.Unmap()
	if afi == bgp.AFIIPv4 {
		var b [4]byte
		if a.Is4() {
			b = a.As4()
		}
		return append(dst, b[:]...)
	}
	var b [16]byte
	if a.Is6() {
		b = a.As16()
	}
	return append(dst, b[:]...)
}

// maxPeers is what the peer count and the peer index of TABLE_DUMP_V2 can say.
const maxPeers = 0xffff

// AppendPeerIndexTable appends a PEER_INDEX_TABLE record (RFC 6396 §4.3.1), all
// AS numbers in four octets. It fails, and leaves dst as it was, when there are
// more than 65,535 peers or the view's name is longer than that.
func AppendPeerIndexTable(dst []byte, sec uint32, t *PeerIndexTable) ([]byte, error) {
	if len(t.Peers) > maxPeers {
		return dst, fmt.Errorf("mrt: PEER_INDEX_TABLE: %d peers, at most %d fit", len(t.Peers), maxPeers)
	}
	if len(t.View) > maxMessage {
		return dst, fmt.Errorf("mrt: PEER_INDEX_TABLE: a view name of %d octets", len(t.View))
	}
	dst = appendHeader(dst, sec, TypeTableDumpV2, SubtypePeerIndexTable)
	dst, at := wire.BeginLength32(dst)
	dst = appendAddress(dst, bgp.AFIIPv4, t.CollectorID)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(t.View)))
	dst = append(dst, t.View...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(t.Peers)))
	for i := range t.Peers {
		p := &t.Peers[i]
		kind, afi := byte(peerTypeAS4), bgp.AFIIPv4
		if p.Address.Unmap().Is6() {
			kind, afi = kind|peerTypeIPv6, bgp.AFIIPv6
		}
		dst = append(dst, kind)
		dst = appendAddress(dst, bgp.AFIIPv4, p.BGPID)
		dst = appendAddress(dst, afi, p.Address)
		dst = binary.BigEndian.AppendUint32(dst, p.ASN)
	}
	wire.EndLength32(dst, at)
	return dst, nil
}
