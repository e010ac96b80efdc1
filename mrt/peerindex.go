package mrt

import (
	"net/netip"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/internal/wire"
)

// Bits of a peer type in a PEER_INDEX_TABLE (RFC 6396 §4.3.1).
const (
	peerTypeIPv6 = 1 << iota
	peerTypeAS4
)

// minIndexPeer is the shortest peer of a PEER_INDEX_TABLE: type, BGP ID, IPv4
// address, two-octet AS.
const minIndexPeer = 1 + 4 + 4 + 2

// IndexPeer is one peer of a PEER_INDEX_TABLE.
type IndexPeer struct {
	BGPID   netip.Addr
	Address netip.Addr
	ASN     uint32
}

// PeerIndexTable is a PEER_INDEX_TABLE record: the peers that the RIB records
// behind it refer to by position. It owns its contents.
type PeerIndexTable struct {
	CollectorID netip.Addr
	View        string
	Peers       []IndexPeer
	Anomaly     string // the first anomaly found, or empty

	valid bool
}

// Parse reads a record of ClassPeerIndex. The error is an *Error of verdict
// Drop; t is then a table that no RIB record can be read with, because indexes
// into an earlier table would name the wrong peers.
func (t *PeerIndexTable) Parse(rec *Record) error {
	*t = PeerIndexTable{Peers: t.Peers[:0]}
	_, c, err := rec.open(ClassPeerIndex)
	if err != nil {
		return err
	}
	t.CollectorID = address(&c, bgp.AFIIPv4)
	t.View = string(c.Bytes(int(c.Uint16())))
	count := int(c.Uint16())
	if !c.OK() || c.Len() < count*minIndexPeer {
		return rec.drop(ReasonShort)
	}
	if cap(t.Peers) < count {
		t.Peers = make([]IndexPeer, 0, count)
	}
	for range count {
		kind := c.Uint8()
		if kind&^(peerTypeIPv6|peerTypeAS4) != 0 {
			t.Anomaly = AnomalyPeerType
		}
		t.Peers = append(t.Peers, indexPeer(&c, kind))
	}
	if !c.OK() {
		t.Peers = t.Peers[:0]
		return rec.drop(ReasonShort)
	}
	if !c.Empty() && t.Anomaly == "" {
		t.Anomaly = AnomalyTrailing
	}
	t.valid = true
	return nil
}

func indexPeer(c *wire.Cursor, kind uint8) IndexPeer {
	p := IndexPeer{BGPID: address(c, bgp.AFIIPv4)}
	afi := bgp.AFIIPv4
	if kind&peerTypeIPv6 != 0 {
		afi = bgp.AFIIPv6
	}
	p.Address = address(c, afi)
	if kind&peerTypeAS4 != 0 {
		p.ASN = c.Uint32()
	} else {
		p.ASN = uint32(c.Uint16())
	}
	return p
}
