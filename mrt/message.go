package mrt

import (
	"net/netip"
	"strconv"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/internal/wire"
)

// PeerHeader is what every BGP4MP record says about its session (RFC 6396 §4.4).
type PeerHeader struct {
	PeerAS, LocalAS uint32
	IfIndex         uint16
	// PeerIP and LocalIP are of the same family when read from a record. The
	// unspecified address stands for one that the collector did not know.
	PeerIP, LocalIP netip.Addr
}

// parse reads the header; reason is empty if it could.
func (h *PeerHeader) parse(c *wire.Cursor, as4 bool) (reason string) {
	if as4 {
		h.PeerAS, h.LocalAS = c.Uint32(), c.Uint32()
	} else {
		h.PeerAS, h.LocalAS = uint32(c.Uint16()), uint32(c.Uint16())
	}
	h.IfIndex = c.Uint16()
	afi := bgp.AFI(c.Uint16())
	if !c.OK() {
		return ReasonShort
	}
	if afi != bgp.AFIIPv4 && afi != bgp.AFIIPv6 {
		return ReasonAFI
	}
	h.PeerIP, h.LocalIP = address(c, afi), address(c, afi)
	if !c.OK() {
		return ReasonShort
	}
	return ""
}

// address reads an IPv4 or IPv6 address.
func address(c *wire.Cursor, afi bgp.AFI) netip.Addr {
	n := 4
	if afi == bgp.AFIIPv6 {
		n = 16
	}
	a, _ := netip.AddrFromSlice(c.Bytes(n))
	return a
}

// allFamilies is what a message of an ADDPATH subtype is read with: RFC 8050 §3
// does not say to which families path identifiers apply.
const allFamilies = ^bgp.FamilySet(0)

// Message is a view of a BGP4MP or BGP4MP_ET message record.
type Message struct {
	PeerHeader
	AS4     bool // AS_PATH has four-octet AS numbers
	AddPath bool // NLRI begin with a path identifier (RFC 8050 §3)
	// Sent is set for the *_LOCAL subtypes: the local side sent the message.
	Sent bool
	// PDU is the BGP message with its header. Its marker and type are not checked.
	PDU []byte
	// Trailing is what follows the message, against RFC 6396 §4.4.2.
	Trailing []byte
	Anomaly  string // the first anomaly found, or empty
}

// Parse reads a record of ClassMessage. The error is an *Error of verdict Drop;
// m is then of no use. The view is valid as long as rec.Body.
func (m *Message) Parse(rec *Record) error {
	t, c, err := rec.open(ClassMessage)
	if err != nil {
		return err
	}
	*m = Message{AS4: t.as4, AddPath: t.addPath, Sent: t.sent}
	if reason := m.parse(&c, t.as4); reason != "" {
		return rec.drop(reason)
	}
	body := c
	c.Skip(bgp.HeaderLen - 3) // marker
	length := int(c.Uint16())
	if !c.OK() || length < bgp.HeaderLen || length > body.Len() {
		return rec.drop(ReasonMessageLength)
	}
	m.PDU = body.Bytes(length)
	m.Trailing = body.Rest()
	switch {
	case len(m.Trailing) > 0:
		m.Anomaly = AnomalyTrailing
	case rec.Microseconds >= 1e6:
		m.Anomaly = AnomalyMicroseconds
	}
	return nil
}

// Session returns the context in which the PDU is to be read. Whether the
// session is internal or external is left open.
func (m *Message) Session() bgp.Session {
	s := bgp.Session{AS4: m.AS4, ExtendedMessage: true}
	if m.AddPath {
		s.AddPath = allFamilies
	}
	return s
}

// State is a state of the BGP finite state machine as MRT numbers it
// (RFC 6396 §4.4.1). 7 and 8 are Quagga's.
type State uint16

// Values of State.
const (
	Idle State = iota + 1
	Connect
	Active
	OpenSent
	OpenConfirm
	Established
	Clearing
	Deleted
)

var stateNames = [...]string{"", "Idle", "Connect", "Active", "OpenSent", "OpenConfirm", "Established", "Clearing", "Deleted"}

// String returns the state's name in RFC 4271 §8.2.2, or the number.
func (s State) String() string {
	if s > 0 && int(s) < len(stateNames) {
		return stateNames[s]
	}
	return strconv.Itoa(int(s))
}

// StateChange is a view of a BGP4MP or BGP4MP_ET state change record.
type StateChange struct {
	PeerHeader
	Old, New State
	Anomaly  string // the first anomaly found, or empty
}

// Parse reads a record of ClassStateChange. The error is an *Error of verdict Drop.
func (s *StateChange) Parse(rec *Record) error {
	t, c, err := rec.open(ClassStateChange)
	if err != nil {
		return err
	}
	*s = StateChange{}
	if reason := s.parse(&c, t.as4); reason != "" {
		return rec.drop(reason)
	}
	s.Old, s.New = State(c.Uint16()), State(c.Uint16())
	if !c.OK() {
		return rec.drop(ReasonShort)
	}
	switch {
	case s.Old < Idle || s.Old > Deleted || s.New < Idle || s.New > Deleted:
		s.Anomaly = AnomalyState
	case !c.Empty():
		s.Anomaly = AnomalyTrailing
	case rec.Microseconds >= 1e6:
		s.Anomaly = AnomalyMicroseconds
	}
	return nil
}
