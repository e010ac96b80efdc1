package bmp

import "net/netip"

// PeerUp is a view of a Peer Up message (RFC 7854 §4.10). Head, Sent, Received
// and Tail, one after the other, are the whole message.
type PeerUp struct {
	// LocalAddress is the router's end of the session, 0.0.0.0 for a Loc-RIB.
	LocalAddress          netip.Addr
	LocalPort, RemotePort uint16
	// Sent is the OPEN that the router sent, Received the one that it got. Their
	// fixed parts are there; capabilities are not checked. For a Loc-RIB both
	// are made up by the router (RFC 9069 §5.1).
	Sent, Received []byte
	Head           []byte
	// Tail holds the information TLVs, which Info reads.
	Tail      []byte
	Anomalies Anomalies
}

// ParsePeerUp reads the body of m. Its errors, all of ClassDrop: a part before
// the information TLVs is cut, or an OPEN is none. With two sound OPENs the peer
// is up, so what is wrong behind them is an anomaly.
func ParsePeerUp(m *Message) (PeerUp, error) {
	c, at, err := m.body(TypePeerUp)
	if err != nil {
		return PeerUp{}, err
	}
	var (
		up     PeerUp
		padded bool
	)
	up.LocalAddress, padded = m.Peer.parseAddress(&c)
	up.LocalPort = c.Uint16()
	up.RemotePort = c.Uint16()
	if !c.OK() {
		return PeerUp{}, m.drop(len(m.Raw), ReasonBodyShort)
	}
	if !padded {
		up.Anomalies |= AnomalyLocalAddress
	}
	up.Head = m.head(at + c.Offset())
	for _, open := range [...]*[]byte{&up.Sent, &up.Received} {
		b, found, reason := takeOpen(&c)
		if reason != "" {
			return PeerUp{}, m.drop(at+c.Offset(), reason)
		}
		*open = b
		up.Anomalies |= found
	}
	up.Tail = c.Rest()
	if _, ok := checkTLVs(up.Tail); !ok {
		up.Anomalies |= AnomalyTLVOverrun
	}
	return up, nil
}

// Info iterates over the information TLVs, of SpacePeerUp; several may have the
// same type.
func (up *PeerUp) Info() TLVs { return NewTLVs(up.Tail) }

// Table returns the VRF or table name (RFC 9069 §4.3, RFC 9736 §3.3); ok is
// false when the router sent none. It is text from the network, not checked.
func (up *PeerUp) Table() (name []byte, ok bool) {
	return findTLV(up.Info(), InfoTableName)
}
