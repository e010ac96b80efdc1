package bmp

import (
	"github.com/ribtap/ribtap/internal/wire"
)

// Versions of BMP that frame alike.
const (
	Version3 = 3 // RFC 7854
	Version4 = 4 // draft-ietf-grow-bmp-tlv: framed and kept, not interpreted
)

// Sizes of the headers in octets.
const (
	HeaderLen     = 6  // RFC 7854 §4.1
	PeerHeaderLen = 42 // RFC 7854 §4.2
)

// Type is a BMP message type (IANA bmp-parameters, message types).
type Type uint8

// Message types.
const (
	TypeRouteMonitoring Type = iota
	TypeStatistics
	TypePeerDown
	TypePeerUp
	TypeInitiation
	TypeTermination
	TypeRouteMirroring
)

// messageTypes says of each type its name and whether a per-peer header follows.
var messageTypes = [...]struct {
	name string
	peer bool
}{
	TypeRouteMonitoring: {"route-monitoring", true},
	TypeStatistics:      {"statistics", true},
	TypePeerDown:        {"peer-down", true},
	TypePeerUp:          {"peer-up", true},
	TypeInitiation:      {"initiation", false},
	TypeTermination:     {"termination", false},
	TypeRouteMirroring:  {"route-mirroring", true},
}

// String returns the type's name, fit for a metric label; unknown for a type
// that no RFC defines.
func (t Type) String() string {
	if int(t) < len(messageTypes) {
		return messageTypes[t].name
	}
	return "unknown"
}

// HasPeer reports whether messages of the type carry a per-peer header.
func (t Type) HasPeer() bool {
	return int(t) < len(messageTypes) && messageTypes[t].peer
}

// Message is a view of one BMP message: its headers read, its body not.
type Message struct {
	Version uint8
	Type    Type
	// Known is set for version 3 and a type that RFC 7854 defines. Otherwise
	// nothing behind the common header is interpreted: Peer is zero and Body is
	// all of it.
	Known bool
	// Anomalies are those of the headers.
	Anomalies Anomalies
	// Peer is valid iff Known && Type.HasPeer().
	Peer PeerHeader
	// Raw is the whole message, Body what follows its headers.
	Raw, Body []byte
}

// Parse reads the headers of raw, one whole message as Reader.Next returns it.
// The Message points into raw. For what Reader.Next returned the error, an
// *Error, is nil or of ClassDrop; Version, Type, Raw and Body are then set all
// the same.
func Parse(raw []byte) (Message, error) {
	c := wire.NewCursor(raw)
	m := Message{Version: c.Uint8(), Raw: raw}
	length := c.Uint32()
	m.Type = Type(c.Uint8())
	m.Body = c.Rest()
	switch {
	case !c.OK():
		return m, &Error{Class: ClassTruncated, Reason: ReasonTruncated, Have: len(raw), Want: HeaderLen}
	case m.Version != Version3 && m.Version != Version4:
		return m, &Error{Class: ClassFraming, Reason: ReasonVersion}
	case int64(length) != int64(len(raw)):
		return m, &Error{Class: ClassFraming, Reason: ReasonLengthLies}
	}
	m.Known = m.Version == Version3 && int(m.Type) < len(messageTypes)
	if !m.Known || !m.Type.HasPeer() {
		return m, nil
	}
	b := wire.NewCursor(m.Body)
	m.Anomalies = m.Peer.parse(&b)
	if !b.OK() {
		m.Known = false
		m.Peer = PeerHeader{}
		m.Anomalies = 0
		return m, m.drop(len(raw), ReasonPeerHeader)
	}
	m.Body = b.Rest()
	return m, nil
}

// drop makes the error for a fault at an offset in the message.
func (m *Message) drop(offset int, reason string) error {
	return &Error{Class: ClassDrop, Type: m.Type, Offset: int64(offset), Reason: reason}
}

// body returns a cursor over the body, and the body's offset in the message. The
// error is not nil when m is not a message of type t.
func (m *Message) body(t Type) (wire.Cursor, int, error) {
	if !m.Known || m.Type != t {
		return wire.Cursor{}, 0, m.drop(HeaderLen-1, ReasonMessageType)
	}
	return wire.NewCursor(m.Body), len(m.Raw) - len(m.Body), nil
}

// head returns the message up to an offset.
func (m *Message) head(offset int) []byte {
	c := wire.NewCursor(m.Raw)
	return c.Bytes(offset)
}
