package bmp

import (
	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/internal/wire"
)

// PeerDownReason says why a peer's session ended (RFC 7854 §4.9).
type PeerDownReason uint8

// Peer Down reasons.
const (
	PeerDownLocalNotification  PeerDownReason = iota + 1 // the NOTIFICATION sent follows
	PeerDownLocalFSM                                     // the FSM event code follows
	PeerDownRemoteNotification                           // the NOTIFICATION received follows
	PeerDownRemoteNoData                                 // the session ended without a NOTIFICATION
	PeerDownDeconfigured                                 // monitoring of the peer ended, the session perhaps not
	PeerDownLocalTLV                                     // information TLVs follow (RFC 9069 §5.3)
)

var peerDownReasons = [...]string{
	PeerDownLocalNotification:  "local system closed the session, NOTIFICATION sent",
	PeerDownLocalFSM:           "local system closed the session, no NOTIFICATION sent",
	PeerDownRemoteNotification: "remote system closed the session, NOTIFICATION received",
	PeerDownRemoteNoData:       "remote system closed the session, no NOTIFICATION received",
	PeerDownDeconfigured:       "monitoring of the peer was disabled",
	PeerDownLocalTLV:           "local system closed the session, information follows",
}

// String returns the reason in words; empty for one that no RFC defines.
func (r PeerDownReason) String() string {
	if int(r) < len(peerDownReasons) {
		return peerDownReasons[r]
	}
	return ""
}

// PeerDown is a view of a Peer Down message (RFC 7854 §4.9). Head, Notification
// and Tail, one after the other, are the whole message.
type PeerDown struct {
	// Reason is 0 when the message ends before it.
	Reason PeerDownReason
	// Notification is the NOTIFICATION of reasons 1 and 3, with its code and
	// subcode; nil when it is missing or unsound, which is an anomaly.
	Notification []byte
	// FSMCode is the event of RFC 4271 §8.1 of reason 2, 0 for none; FSMEvent
	// names it.
	FSMCode uint16
	// Data is all that follows the reason.
	Data       []byte
	Head, Tail []byte
	Anomalies  Anomalies
}

// ParsePeerDown reads the body of m. It has no errors but that m is of another
// type: the per-peer header alone says which peer is down.
func ParsePeerDown(m *Message) (PeerDown, error) {
	c, at, err := m.body(TypePeerDown)
	if err != nil {
		return PeerDown{}, err
	}
	var down PeerDown
	if c.Empty() {
		down.Anomalies |= AnomalyPeerDownReason
	} else {
		down.Reason = PeerDownReason(c.Uint8())
	}
	down.Head = m.head(at + c.Offset())
	down.Data = c.Rest()
	down.Tail = down.Data
	down.parseData()
	return down, nil
}

// parseData reads what the reason says that follows.
func (down *PeerDown) parseData() {
	c := wire.NewCursor(down.Data)
	switch down.Reason {
	case PeerDownLocalNotification, PeerDownRemoteNotification:
		p, reason := takePDU(&c)
		if reason != "" || p.kind != bgp.MessageNotification || len(p.bytes) < minNotification {
			down.Anomalies |= AnomalyNotification
			return
		}
		if !p.marker {
			down.Anomalies |= AnomalyBGPMarker
		}
		down.Notification = p.bytes
		down.Tail = c.Rest()
		down.noMore(len(down.Tail))
	case PeerDownLocalFSM:
		down.FSMCode = c.Uint16()
		if !c.OK() {
			down.Anomalies |= AnomalyFSMCode
			return
		}
		down.noMore(c.Len())
	case PeerDownRemoteNoData, PeerDownDeconfigured:
		down.noMore(c.Len())
	case PeerDownLocalTLV:
		if _, ok := checkTLVs(down.Data); !ok {
			down.Anomalies |= AnomalyTLVOverrun
		}
	default:
		down.Anomalies |= AnomalyPeerDownReason
	}
}

// noMore remarks on n octets where none belongs.
func (down *PeerDown) noMore(n int) {
	if n > 0 {
		down.Anomalies |= AnomalyTrailing
	}
}

// Info iterates over the information TLVs of reason 6, of SpacePeerUp; it is
// empty for the others.
func (down *PeerDown) Info() TLVs {
	if down.Reason != PeerDownLocalTLV {
		return TLVs{}
	}
	return NewTLVs(down.Data)
}

// Table returns the VRF or table name of reason 6 (RFC 9069 §5.3).
func (down *PeerDown) Table() (name []byte, ok bool) {
	return findTLV(down.Info(), InfoTableName)
}

// fsmEvents are the events of RFC 4271 §8.1 in its own words.
var fsmEvents = [...]string{
	"", "ManualStart", "ManualStop", "AutomaticStart", "ManualStart_with_PassiveTcpEstablishment",
	"AutomaticStart_with_PassiveTcpEstablishment", "AutomaticStart_with_DampPeerOscillations",
	"AutomaticStart_with_DampPeerOscillations_and_PassiveTcpEstablishment", "AutomaticStop",
	"ConnectRetryTimer_Expires", "HoldTimer_Expires", "KeepaliveTimer_Expires", "DelayOpenTimer_Expires",
	"IdleHoldTimer_Expires", "TcpConnection_Valid", "Tcp_CR_Invalid", "Tcp_CR_Acked", "TcpConnectionConfirmed",
	"TcpConnectionFails", "BGPOpen", "BGPOpen with DelayOpenTimer running", "BGPHeaderErr", "BGPOpenMsgErr",
	"OpenCollisionDump", "NotifMsgVerErr", "NotifMsg", "KeepAliveMsg", "UpdateMsg", "UpdateMsgErr",
}

// FSMEvent names an event of RFC 4271 §8.1; empty for 0 and undefined ones.
func FSMEvent(code uint16) string {
	if int(code) < len(fsmEvents) {
		return fsmEvents[code]
	}
	return ""
}
