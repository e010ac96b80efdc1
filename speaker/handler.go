package speaker

import (
	"context"
	"net/netip"
	"time"

	"github.com/ribtap/ribtap/bgp"
)

// Handler takes what the sessions bring.
type Handler interface {
	// Up is called when a session is Established, before any message of it. What
	// it returns gets them. An error ends the session with Cease, Out of Resources.
	Up(ctx context.Context, s *Session) (Receiver, error)
}

// Receiver takes the messages of one session, from one goroutine. While a call
// of it blocks nothing is read from the neighbour, but keepalives go on, and the
// hold timer does not run out for what was not read.
type Receiver interface {
	// Message takes an UPDATE or a ROUTE-REFRESH, whole and as received; msg may
	// be overwritten when it returns. A Fault that is not nil ends the session.
	Message(received time.Time, msg []byte) *Fault
	// Flush is called when no further message is at hand, and after many. An
	// error, which is one of the program and not of the neighbour, ends the
	// session without a word about its routes.
	Flush(ctx context.Context) error
	// Down ends the session; nothing is called after it. ctx is done when the
	// speaker stops.
	Down(ctx context.Context, d Down) error
}

// Fault is why a message ends its session: what the NOTIFICATION will say.
type Fault struct {
	Code, Subcode uint8
	Data          []byte
	Reason        string
}

// Session is what is known of a session that is Established. It does not change.
type Session struct {
	// Peer is the configuration that the session was made with.
	Peer          *Peer
	Local, Remote netip.AddrPort
	// Sent and Received are both OPEN messages, whole.
	Sent, Received      []byte
	LocalASN, RemoteASN uint32
	LocalID, RemoteID   netip.Addr
	// Families are those of both sides. Receive is the context of what the
	// neighbour sends, Transmit of what we send.
	Families          []bgp.Family
	Receive, Transmit bgp.Session
	// HoldTime was settled on; 0: the session has no timers.
	HoldTime time.Duration
	// Dialled says that we made the connection.
	Dialled bool
	Since   time.Time
}

// Down says how a session ended.
type Down struct {
	At time.Time
	// Reason is that of RFC 7854 §4.9: 1 and 3 with the NOTIFICATION that we
	// sent or received, 2 with the FSM event, 4 without anything, 5 when the peer
	// was taken out of the configuration.
	Reason       uint8
	FSMEvent     uint8
	Notification []byte // a whole message
	// Text says it in words, for people.
	Text string
	// Stop says that it is the speaker that stops: nothing is said about routes.
	Stop bool
}

// Reasons of Down (RFC 7854 §4.9).
const (
	DownLocalNotification  = 1
	DownLocal              = 2
	DownRemoteNotification = 3
	DownRemote             = 4
	DownDeconfigured       = 5
)
