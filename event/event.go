// Package event is the vocabulary that sources, the stream and the sinks share:
// one Event for each message a router sent, or for each thing the collector
// concluded from a silence. Sources make events, the stream numbers and keeps
// them, sinks turn them into rows, records and files. The package knows the
// nouns and their JSON form; it refuses to know I/O, metrics and policy.
package event

import (
	"context"
	"net/netip"
	"time"

	"github.com/ribtap/ribtap/bgp"
)

// Time is nanoseconds since 1970-01-01 UTC; 0 means that no time is known
// (RFC 7854 §4.2: a router may send none).
type Time int64

// At converts t; the zero time.Time becomes 0.
func At(t time.Time) Time {
	if t.IsZero() {
		return 0
	}
	return Time(t.UnixNano())
}

// Std converts to UTC; 0 becomes the zero time.Time.
func (t Time) Std() time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(t)).UTC()
}

// Kind says what an Event tells. Values are stored; they are never reused.
type Kind uint8

// Values of Kind.
const (
	KindRouterUp   Kind = iota + 1 // a router's session began: BMP Initiation, or the first message without one
	KindRouterDown                 // it ended: Termination, TCP loss, superseded, collector stop
	KindPeerUp                     // RFC 7854 §4.10; BGP session Established
	KindPeerDown                   // RFC 7854 §4.9
	KindRoute                      // one BGP UPDATE, received or inferred
	KindStats                      // RFC 7854 §4.8
	KindMirror                     // RFC 7854 §4.7; never touches RIB state
	KindRefresh                    // ROUTE-REFRESH, BoRR or EoRR (RFC 7313); inferred: a family's routes are, or are no more, stale
	KindUnknown                    // a message that could not be read: kept raw, counted
	KindGap                        // a known hole in what was heard or kept
	KindImport                     // the end of an imported file
	KindState                      // BGP4MP_STATE_CHANGE without a peer's OPENs
)

var kindNames = [...]string{"", "router-up", "router-down", "peer-up", "peer-down", "route", "stats", "mirror", "refresh", "unknown", "gap", "import", "state"}

// String returns the kind's name in JSON and in metrics.
func (k Kind) String() string {
	if int(k) < len(kindNames) && k != 0 {
		return kindNames[k]
	}
	return "unknown"
}

// Source says by which way a message came. Values are stored.
type Source uint8

// Values of Source.
const (
	SourceCollector Source = iota // concluded, not received
	SourceBMP
	SourceBGP
	SourceMRT
)

// String returns collector, bmp, bgp or mrt.
func (s Source) String() string {
	switch s {
	case SourceBMP:
		return "bmp"
	case SourceBGP:
		return "bgp"
	case SourceMRT:
		return "mrt"
	case SourceCollector:
	}
	return "collector"
}

// RIB is the view of a peer's routes that a message belongs to (RFC 7854,
// RFC 8671, RFC 9069). Values are stored.
type RIB uint8

// Values of RIB.
const (
	RIBNone RIB = iota // not about routes
	AdjRIBInPre
	AdjRIBInPost
	LocRIB
	AdjRIBOutPre
	AdjRIBOutPost
)

var ribNames = [...]string{"", "adj-rib-in-pre", "adj-rib-in-post", "loc-rib", "adj-rib-out-pre", "adj-rib-out-post"}

// String returns the view's name in SQL and JSON; empty for RIBNone.
func (r RIB) String() string {
	if int(r) < len(ribNames) {
		return ribNames[r]
	}
	return ""
}

// ParseRIB is the inverse of String; ok is false for an unknown name.
func ParseRIB(s string) (RIB, bool) {
	for i, n := range ribNames {
		if i > 0 && n == s {
			return RIB(i), true
		}
	}
	return RIBNone, false
}

// PeerType is the peer type of a BMP per-peer header (RFC 7854 §4.2, RFC 9069
// §4.1); sources without one use PeerGlobal.
type PeerType uint8

// Values of PeerType.
const (
	PeerGlobal PeerType = iota
	PeerRD
	PeerLocal
	PeerLocRIB
)

// Cause says why a route or a session changed. Values are stored.
type Cause uint8

// Values of Cause.
const (
	CauseUpdate          Cause = iota // the router said so
	CausePeerDown                     // the peer's session ended
	CauseSessionLost                  // the router's BMP or BGP transport ended without a word
	CauseRouterDown                   // the router ended its BMP session (Termination)
	CauseStaleSweep                   // not announced again after a re-dump
	CauseTreatAsWithdraw              // RFC 7606
	CausePeerReplaced                 // Peer Up of a peer that was up
	CauseSuperseded                   // another connection of the same router took over
	CauseCollectorStop                // ribtap itself was away
	CauseOverflow                     // a limit was hit
	CauseImport                       // a snapshot replaced the state
	CauseCorrupt                      // stored bytes did not verify
)

var causeNames = [...]string{
	"update", "peer-down", "session-lost", "router-down", "stale-sweep", "treat-as-withdraw",
	"peer-replaced", "superseded", "collector-stop", "overflow", "import", "corrupt",
}

// String returns the cause's name in SQL, JSON and metrics.
func (c Cause) String() string {
	if int(c) < len(causeNames) {
		return causeNames[c]
	}
	return "unknown"
}

// Flags are remarks about an Event. Values are stored.
type Flags uint16

// Values of Flags.
const (
	FlagInferred    Flags = 1 << iota // not received: the collector concluded it
	FlagPeerUnknown                   // the router never sent a Peer Up for the peer
	FlagNonOwner                      // another connection of the router owns the peer; RIB untouched
	FlagRouterNew                     // KindRouterUp without an Initiation
	FlagTrailing                      // octets behind the message's end
	FlagAnomaly                       // accepted, but something in it is wrong
	FlagDropped                       // KindRoute: verdict session-reset, no route of it counts
	FlagSnapshot                      // KindRoute: an entry of an imported table
	FlagRefused                       // KindRoute: the RIB did not take some of it, see MarkRefused
	FlagOTCLeak                       // KindRoute: a route leak by its Only to Customer attribute (RFC 9234 §5)
	FlagClusterLoop                   // KindRoute: a route reflector says that it was here before (RFC 4456 §8)
)

// flagNames are the names of Flags, by bit.
var flagNames = [...]string{
	"inferred", "peer-unknown", "non-owner", "router-new", "trailing", "anomaly", "dropped", "snapshot",
	"refused", "otc-leak", "cluster-loop",
}

// AppendText appends the flags' names with single spaces.
func (f Flags) AppendText(dst []byte) []byte {
	start := len(dst)
	for i, name := range flagNames {
		if f&(1<<i) == 0 {
			continue
		}
		if len(dst) > start {
			dst = append(dst, ' ')
		}
		dst = append(dst, name...)
	}
	return dst
}

// Router is a monitored router in one transport session. It is immutable: a
// change makes a new one, so pointers may be compared and used as map keys.
type Router struct {
	// Name is the configured name, else sysName, else the address.
	Name string
	// Address is where the session came from; invalid for an imported file
	// that does not say.
	Address netip.Addr
	// SysName and SysDescr are the router's own words (RFC 7854 §4.4), cleaned
	// of control characters and invalid UTF-8.
	SysName, SysDescr string
	// Session numbers the transport sessions of this collector, over restarts.
	Session uint64
}

// Peer is one RIB-carrying neighbour of a Router, or one of its tables. It is
// immutable like Router. Its identity over reconnects is (Router.Name,
// Router.Address, Type, Distinguisher, Address); the rest may change.
type Peer struct {
	Router        *Router
	Type          PeerType
	Distinguisher bgp.RD
	// Address is 0.0.0.0 or invalid for Loc-RIB.
	Address netip.Addr
	ASN     uint32
	BGPID   netip.Addr
	// LocalAddress and LocalASN are the router's side, invalid and 0 when unknown.
	LocalAddress netip.Addr
	LocalASN     uint32
	// Table is the VRF or table name (RFC 9069 §4.3, RFC 9736), or empty.
	Table string
	// Epoch numbers the peer's sessions, beginning at 1; 0 without a Peer Up.
	Epoch uint32
}

// Mark is what one NLRI of a route event did to the state. The zero Mark says
// that nothing changed.
type Mark uint8

// Bits of Mark.
const (
	// MarkChanged: the route is not what was last known of it. An announcement
	// with the same attributes as before is unchanged, also when it comes back
	// after its session was lost.
	MarkChanged Mark = 1 << iota
	// MarkState: the route came into being or ended. A route that returns
	// unchanged after its session was lost has MarkState without MarkChanged.
	MarkState
	// MarkNoted: nothing changed, but history keeps a row all the same, as for
	// an announcement that RFC 7606 turned into a withdrawal of nothing.
	MarkNoted
	// MarkRefused: the RIB does not take the route, for its family was not
	// negotiated or a limit of the session is reached.
	MarkRefused
)

// Stat is one statistic of a report (RFC 7854 §4.8, RFC 8671, RFC 9069, RFC 9972).
type Stat struct {
	Type uint16
	// Name is the registry's, or empty for a type that this version does not know.
	Name string
	// Family is the one the value is about, 0 for all.
	Family bgp.Family
	// Value is valid iff OK; else the length was not that of the type and only
	// Raw tells what came.
	Value uint64
	OK    bool
	Raw   []byte
}

// Event is one message from a router, or one conclusion of the collector.
//
// The bytes as they arrived are Head, PDU and Tail, one after the other: PDU is
// the BGP message inside, Head and Tail are what the carrying protocol put
// around it. A conclusion has no Head and Tail; its PDU, if any, was made here.
type Event struct {
	// Sequence is the event's number in the collector's one order, from 1. It
	// is 0 until the stream has numbered the event.
	Sequence uint64
	// Received is when the collector read the message's last octet; for an
	// imported record, when the record's own collector did.
	Received Time
	// Observed is the router's own clock, 0 if it sent none.
	Observed Time

	Kind   Kind
	Source Source
	RIB    RIB
	Cause  Cause
	Flags  Flags

	// Router is never nil but for KindGap and KindImport.
	Router *Router
	// Peer is nil for KindRouterUp, KindRouterDown, KindGap and KindImport, and
	// for a KindUnknown whose peer could not be read.
	Peer *Peer

	// Session is the decode context of PDU.
	Session bgp.Session

	Head, PDU, Tail []byte
	// Sent is the OPEN that the monitored router sent; valid iff Kind ==
	// KindPeerUp, PDU is then the OPEN that it received (RFC 7854 §4.10). On
	// the wire it stands between Head and PDU.
	Sent []byte

	// Marks has one element for each route of PDU, in the order of Routes; or
	// one alone for all of them; or none, which says that nothing changed.
	// Valid iff Kind == KindRoute.
	Marks []Mark

	// Stats are the statistics of the report; valid iff Kind == KindStats.
	Stats []Stat

	// Reason is the Peer Down reason code (RFC 7854 §4.9) or the Termination
	// reason (§4.5); valid iff Kind is KindPeerDown or KindRouterDown and the
	// event is not inferred. FSMCode is valid iff Reason is 2.
	Reason  uint16
	FSMCode uint16

	// Text says in words what the fields do not: the reason of a
	// KindUnknown, the file of a KindImport, a gap's circumstances.
	Text string
	// Lost counts events, Start and End bound the time; valid iff Kind ==
	// KindGap. Lost 0 means that nobody can say how many.
	Lost       uint64
	Start, End Time
}

// Mark returns the mark of the i-th route.
func (e *Event) Mark(i int) Mark {
	switch {
	case len(e.Marks) == 0:
		return 0
	case len(e.Marks) == 1:
		return e.Marks[0]
	case i < len(e.Marks):
		return e.Marks[i]
	}
	return 0
}

// Update parses the PDU of a KindRoute event into u and reports whether routes
// may be taken from it. It is false for every other kind.
func (e *Event) Update(u *bgp.Update) bool {
	if e.Kind != KindRoute || e.Flags&FlagDropped != 0 {
		return false
	}
	u.Parse(e.PDU, e.Session)
	return u.Verdict() != bgp.VerdictSessionReset
}

// RouteCause returns why route r of the event came or went.
func (e *Event) RouteCause(r *bgp.Route) Cause {
	if r.TreatAsWithdraw {
		return CauseTreatAsWithdraw
	}
	return e.Cause
}

// Writer takes events in order.
//
// Write must not modify the batch and must not keep it, or any slice or string
// reachable from it by a []byte, after returning; Router and Peer values are
// immutable and may be kept. A nil return means that the whole batch was taken
// over. An error means that none of it counts and that the same batch may be
// written again. Write blocks while the destination is full; it returns early
// only when ctx ends. One goroutine calls Write at a time, unless the
// implementation says that it numbers events itself.
type Writer interface {
	Write(ctx context.Context, batch []Event) error
}

// Sink is a Writer with a position of its own: after a crash it has everything
// up to Position and nothing behind it, so its events are neither lost nor
// doubled when writing goes on at Position+1.
type Sink interface {
	Writer
	// Position returns the sequence of the last event that a crash would not
	// undo; 0 for none. It is safe for concurrent use.
	Position() uint64
}

// Reserver is a Sink that may have given events away beyond its Position.
type Reserver interface {
	// Reserved returns the last sequence that somebody may have seen, so that no
	// other event is ever given it.
	Reserved() uint64
}

// Idler is a Sink that has work to do on a quiet stream, such as turning a file
// over when its interval is past.
type Idler interface {
	// Idle is called by the goroutine that calls Write, about once a second
	// while there is nothing to write.
	Idle(ctx context.Context, now time.Time) error
}
