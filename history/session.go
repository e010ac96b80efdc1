package history

import (
	"strconv"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/internal/wire"
)

// Inferred reports whether the collector concluded the event.
func Inferred(e *event.Event) bool { return e.Flags&event.FlagInferred != 0 }

// reasonText is the reason of an end in words: the router's if it gave one,
// else what the collector concluded.
func reasonText(e *event.Event) any {
	if t := e.ReasonText(); t != "" {
		return Cleaned(t)
	}
	if e.Text != "" {
		return Clean(e.Text)
	}
	if Inferred(e) {
		return e.Cause.String()
	}
	return "reason " + strconv.Itoa(int(e.Reason))
}

// RouterEvent is a row of router_history without sequence, time and router.
type RouterEvent struct {
	Event              string
	Cause              int64
	Inferred           bool
	ReasonCode, Reason any
	Session            int64
	SysName, SysDescr  any
}

// ReadRouterEvent makes the row of a KindRouterUp or KindRouterDown.
func ReadRouterEvent(e *event.Event) RouterEvent {
	row := RouterEvent{
		Event: "up", Cause: int64(e.Cause), Inferred: Inferred(e), Session: int64(e.Router.Session),
		SysName: Clean(e.Router.SysName), SysDescr: Clean(e.Router.SysDescr),
	}
	if e.Kind == event.KindRouterUp {
		row.Reason = Clean(e.Text)
		return row
	}
	row.Event, row.Reason = "down", reasonText(e)
	if !row.Inferred {
		row.ReasonCode = int64(e.Reason)
	}
	return row
}

// PeerEvent is a row of peer_history without sequence, times and peer.
type PeerEvent struct {
	Event                                               string
	Cause                                               int64
	Inferred                                            bool
	ReasonCode, Reason, FSMCode                         any
	NotificationCode, NotificationSubcode, Notification any
	Epoch, LocalAddress, LocalASN                       any
	LocalPort, RemotePort                               any
	Table, HoldTime                                     any
	SentCapabilities, ReceivedCapabilities              any
	SentOpen, ReceivedOpen                              any
}

var peerEventNames = map[event.Kind]string{
	event.KindPeerUp: "up", event.KindPeerDown: "down", event.KindState: "state",
}

// keepalive reports whether a message of a session in an MRT file is no event
// of the session's history.
func keepalive(e *event.Event) bool {
	return e.Kind == event.KindState && bgp.MessageType(e.PDU) == bgp.MessageKeepalive
}

// ReadPeerEvent makes the row of a KindPeerUp, KindPeerDown or KindState. Slices
// in it are the event's.
func ReadPeerEvent(e *event.Event) PeerEvent {
	p := e.Peer
	row := PeerEvent{
		Event: peerEventNames[e.Kind], Cause: int64(e.Cause), Inferred: Inferred(e), Epoch: OrNull(p.Epoch),
		LocalAddress: Clean(AddrText(p.LocalAddress)), LocalASN: OrNull(p.LocalASN), Table: Clean(p.Table), Reason: Clean(e.Text),
	}
	switch {
	case e.Kind == event.KindPeerUp:
		row.readOpens(e)
	case e.Kind == event.KindPeerDown:
		row.Reason = reasonText(e)
		if !row.Inferred {
			row.ReasonCode, row.FSMCode = int64(e.Reason), OrNull(e.FSMCode)
		}
	case len(e.PDU) > 0:
		row.Reason = bgp.MessageName(bgp.MessageType(e.PDU))
	}
	row.readNotification(e)
	return row
}

// readOpens reads both OPENs of a Peer Up. A router took them, so what can be
// read of a faulty one is shown.
func (row *PeerEvent) readOpens(e *event.Event) {
	if e.Source == event.SourceBMP {
		row.LocalPort, row.RemotePort = ports(e.Head)
	}
	hold := [2]uint16{}
	for i, msg := range [...][]byte{e.Sent, e.PDU} {
		if len(msg) == 0 {
			continue
		}
		// The error is about values that the router accepted.
		open, _ := bgp.ParseOpen(msg)
		hold[i] = open.HoldTime
		text := TextOrNull(bgp.AppendCapabilities(nil, &open))
		if i == 0 {
			row.SentCapabilities = text
		} else {
			row.ReceivedCapabilities = text
		}
	}
	if len(e.Sent) > 0 && len(e.PDU) > 0 {
		// RFC 4271 §4.2: the smaller one holds; 0 is for ever.
		row.HoldTime = int64(min(hold[0], hold[1]))
	}
	row.SentOpen, row.ReceivedOpen = BytesOrNull(e.Sent), BytesOrNull(e.PDU)
}

// ports reads the ports of a BMP Peer Up (RFC 7854 §4.10) from what stands
// before its OPENs.
func ports(head []byte) (local, remote any) {
	const before = 6 + 42 + 16 // common header, per-peer header, local address
	c := wire.NewCursor(head)
	c.Skip(before)
	l, r := c.Uint16(), c.Uint16()
	if !c.OK() {
		return nil, nil
	}
	return OrNull(l), OrNull(r)
}

// readNotification reads the NOTIFICATION of a Peer Down, or one that an MRT
// file holds as a message of a session.
func (row *PeerEvent) readNotification(e *event.Event) {
	down := e.Kind == event.KindPeerDown && len(e.PDU) > 0
	if !down && (e.Kind != event.KindState || bgp.MessageType(e.PDU) != bgp.MessageNotification) {
		return
	}
	msg, err := bgp.ParseNotification(e.PDU)
	if err != nil {
		row.Notification = Clean(err.Error())
		return
	}
	row.NotificationCode, row.NotificationSubcode = int64(msg.Code), int64(msg.Subcode)
	row.Notification = Clean(string(msg.AppendText(nil)))
}

// PeerState is what decides over the state of a peer.
type PeerState struct {
	Up      int64 // a bit for each RIB view that is up, bit 0 for a source that does not say
	Since   int64
	Session int64
	Epoch   int64
}

// After returns the state after e, and whether e has a say in it at all.
func (p PeerState) After(e *event.Event) (next PeerState, changed bool) {
	received := Micros(e.Received)
	switch {
	case e.Kind == event.KindState, e.Source == event.SourceMRT && received < p.Since:
		return p, false
	case e.Kind == event.KindPeerUp:
		return p.afterUp(e, received), true
	case p.Session != 0 && p.Session != int64(e.Router.Session):
		// An older connection of the router ends; the peer is up on a newer one.
		return p, false
	}
	if !Inferred(e) && e.Reason == reasonDeconfigured {
		p.Up &^= 1 << e.RIB
	} else {
		p.Up = 0
	}
	p.Since = received
	return p, true
}

// reasonDeconfigured ends one view, not the session (RFC 7854 §4.9).
const reasonDeconfigured = 5

// afterUp is the state after a Peer Up, which is for one RIB view: a further
// view of a session that is up does not begin it anew.
func (p PeerState) afterUp(e *event.Event, received int64) PeerState {
	session, epoch := int64(e.Router.Session), int64(e.Peer.Epoch)
	if p.Epoch != epoch || p.Session != session {
		p.Up = 0
	}
	p.Up |= 1 << e.RIB
	if p.Up == 1<<e.RIB {
		p.Since = received
	}
	p.Session, p.Epoch = session, epoch
	return p
}

// DownReason is the column reason of a peer that e ended.
func (row *PeerEvent) DownReason() any {
	if row.Notification != nil {
		return row.Notification
	}
	return row.Reason
}

// Stat is the value columns of one statistic.
type Stat struct{ Name, Family, Value, Raw any }

// ReadStat makes them. Raw is the event's.
func ReadStat(st *event.Stat) Stat {
	row := Stat{Name: Clean(st.Name), Raw: BytesOrNull(st.Raw)}
	if st.Family != 0 {
		row.Family = st.Family.String()
	}
	if st.OK {
		row.Value = st.Value
	}
	return row
}

// Lost is the column lost of a gap.
func Lost(e *event.Event) any {
	if e.Lost == 0 {
		return nil
	}
	return e.Lost
}
