package speaker

import (
	"net/netip"
	"time"

	"github.com/ribtap/ribtap/bgp"
)

// State is one of RFC 4271 §8.2.2.
type State uint8

// Values of State.
const (
	Idle State = iota + 1
	Connect
	Active
	OpenSent
	OpenConfirm
	Established
)

var stateNames = [...]string{"", "idle", "connect", "active", "open-sent", "open-confirm", "established"}

// String returns idle, connect, active, open-sent, open-confirm or established.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown"
}

// MessageCounts are messages of one direction by type.
type MessageCounts struct {
	Opens, Updates, Notifications, Keepalives, Refreshes uint64
}

// Total is their sum.
func (m *MessageCounts) Total() uint64 {
	return m.Opens + m.Updates + m.Notifications + m.Keepalives + m.Refreshes
}

// PeerStatus is what there is to say about a neighbour. A range has one for each
// address that has or had a session, and one of its own without.
type PeerStatus struct {
	Name          string
	Address       netip.Addr // invalid for a range
	Range         netip.Prefix
	Enabled       bool
	Passive       bool
	State         State
	Since         time.Time // of the state
	LocalASN      uint32
	RemoteASN     uint32 // 0 while unknown
	LocalID       netip.Addr
	RemoteID      netip.Addr
	Local, Remote netip.AddrPort

	HoldTime, Keepalive, HoldLeft time.Duration
	LastReceived, LastSent        time.Time
	Received, Sent                MessageCounts

	// Attempts counts dials, Connections what came of them and what was accepted,
	// Sessions how often it was Established.
	Attempts, Connections, Sessions uint64
	LastError                       string
	LastErrorAt                     time.Time

	// Families were settled on; capabilities are as sent and received.
	Families                               []bgp.Family
	SentCapabilities, ReceivedCapabilities string

	// Advertised is how many routes the neighbour has from us. Announced is how
	// many were sent in this session, those that came again included, Withdrawn how
	// many were taken back. Calculation is how long the last difference took.
	Advertised, Announced, Withdrawn uint64
	Calculation                      time.Duration
	// NotSent counts what is in Announce and is not sent in this session, by why:
	// family, next-hop, too-large, duplicate, beacon or invalid; nil for nothing.
	NotSent map[string]uint64
	Drain   bool
}
