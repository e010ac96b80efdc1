package sqlite

import (
	"database/sql/driver"
	"strconv"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/internal/wire"
)

// sessions writes what is not about routes.
type sessions struct {
	peerEvent, routerEvent      *statement
	peerUp, peerDown, peerStats *statement
	routerUp, routerDown        *statement
	findUp, addGap, addImport   *statement
	stat                        *inserter
	text                        []byte
}

func (t *sessions) prepare(c driver.Conn) (err error) {
	t.stat, err = newInserter(c, "INSERT INTO peer_stat (id, received, delta, speaker, type, name, family, value, raw)", 9, "")
	if err != nil {
		return err
	}
	return prepareAll(c, []query{
		{&t.peerEvent, "INSERT INTO peer_event (id, received, delta, speaker, event, cause, inferred, reason_code, reason, fsm_code, " +
			"notification_code, notification_subcode, notification, epoch, local_address, local_asn, local_port, remote_port, " +
			"table_name, hold_time, sent_capabilities, received_capabilities, sent_open, received_open) " +
			"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"},
		{&t.routerEvent, "INSERT INTO router_event (id, received, router, event, cause, inferred, reason_code, reason, session, " +
			"sys_name, sys_descr) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"},
		{&t.peerUp, "UPDATE peer SET speaker = ?, up = ?, since = ?, session = ?, epoch = ?, local_address = ?, local_asn = ?, " +
			"local_port = ?, remote_port = ?, table_name = ?, hold_time = ?, sent_capabilities = ?, received_capabilities = ?, " +
			"reason = NULL WHERE id = ?"},
		{&t.peerDown, "UPDATE peer SET up = ?, since = ?, reason = ? WHERE id = ?"},
		{&t.peerStats, "UPDATE peer SET stats = ? WHERE id = ?"},
		{&t.findUp, "SELECT up, since, session, epoch FROM peer WHERE id = ?"},
		{&t.routerUp, "UPDATE router SET up = 1, since = ?2, session = ?3, sys_name = coalesce(?4, sys_name), " +
			"sys_descr = coalesce(?5, sys_descr), reason = NULL WHERE id = ?1"},
		{&t.routerDown, "UPDATE router SET up = 0, since = ?2, reason = ?4 WHERE id = ?1 AND coalesce(session, ?3) = ?3"},
		{&t.addGap, "INSERT INTO gap (id, received, collector, router, cause, lost, start_at, end_at, detail) " +
			"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"},
		{&t.addImport, "INSERT INTO import (id, received, collector, router, detail) VALUES (?, ?, ?, ?, ?)"},
	})
}

// reasonText is the reason of an end in words: the router's if it gave one,
// else what the collector concluded.
func reasonText(e *event.Event) driver.Value {
	if t := e.ReasonText(); t != "" {
		return t
	}
	if e.Text != "" {
		return clean(e.Text)
	}
	if e.Flags&event.FlagInferred != 0 {
		return e.Cause.String()
	}
	return "reason " + strconv.Itoa(int(e.Reason))
}

func inferred(e *event.Event) bool { return e.Flags&event.FlagInferred != 0 }

// routerEvent writes the rows of KindRouterUp and KindRouterDown.
func (s *Sink) routerEvent(e *event.Event) error {
	id, err := s.who.router(e.Router)
	if err != nil {
		return err
	}
	r, received, what := e.Router, micros(e.Received), "up"
	var code, reason driver.Value
	if e.Kind == event.KindRouterDown {
		what, reason = "down", reasonText(e)
		if !inferred(e) {
			code = int64(e.Reason)
		}
	} else {
		reason = clean(e.Text)
	}
	err = s.sessions.routerEvent.exec(int64(e.Sequence), received, id, what, int64(e.Cause), inferred(e), code, reason,
		int64(r.Session), clean(r.SysName), clean(r.SysDescr))
	if err != nil {
		return err
	}
	s.uncounted.row("router_event", 1)
	if e.Kind == event.KindRouterUp {
		err = s.sessions.routerUp.exec(id, received, int64(r.Session), clean(r.SysName), clean(r.SysDescr))
	} else {
		err = s.sessions.routerDown.exec(id, received, int64(r.Session), reason)
	}
	return err
}

// opened is what a Peer Up says; the zero value for all other events.
type opened struct {
	localPort, remotePort driver.Value
	holdTime              driver.Value
	sent, received        driver.Value // capabilities in words
}

// readOpens reads both OPENs of a Peer Up. A router took them, so what can be
// read of a faulty one is shown.
func (t *sessions) readOpens(e *event.Event) (o opened) {
	if e.Kind != event.KindPeerUp {
		return o
	}
	if e.Source == event.SourceBMP {
		o.localPort, o.remotePort = ports(e.Head)
	}
	hold := [2]uint16{}
	for i, msg := range [...][]byte{e.Sent, e.PDU} {
		if len(msg) == 0 {
			continue
		}
		// The error is about values that the router accepted.
		open, _ := bgp.ParseOpen(msg)
		hold[i] = open.HoldTime
		t.text = bgp.AppendCapabilities(t.text[:0], &open)
		if i == 0 {
			o.sent = textOrNull(t.text)
		} else {
			o.received = textOrNull(t.text)
		}
	}
	if len(e.Sent) > 0 && len(e.PDU) > 0 {
		// RFC 4271 §4.2: the smaller one holds; 0 is for ever.
		o.holdTime = int64(min(hold[0], hold[1]))
	}
	return o
}

// ports reads the ports of a BMP Peer Up (RFC 7854 §4.10) from what stands
// before its OPENs.
func ports(head []byte) (local, remote driver.Value) {
	const before = 6 + 42 + 16 // common header, per-peer header, local address
	c := wire.NewCursor(head)
	c.Skip(before)
	l, r := c.Uint16(), c.Uint16()
	if !c.OK() {
		return nil, nil
	}
	return orNull(l), orNull(r)
}

// notification is a NOTIFICATION for its columns.
type notification struct{ code, subcode, text driver.Value }

// readNotification reads the NOTIFICATION of a Peer Down, or one that an MRT
// file holds as a message of a session.
func (t *sessions) readNotification(e *event.Event) (n notification) {
	down := e.Kind == event.KindPeerDown && len(e.PDU) > 0
	if !down && (e.Kind != event.KindState || bgp.MessageType(e.PDU) != bgp.MessageNotification) {
		return n
	}
	msg, err := bgp.ParseNotification(e.PDU)
	if err != nil {
		n.text = clean(err.Error())
		return n
	}
	t.text = msg.AppendText(t.text[:0])
	return notification{int64(msg.Code), int64(msg.Subcode), clean(string(t.text))}
}

var peerEventNames = map[event.Kind]string{
	event.KindPeerUp: "up", event.KindPeerDown: "down", event.KindState: "state",
}

// peerEvent writes the rows of KindPeerUp, KindPeerDown and KindState. A
// KEEPALIVE in an MRT file is no event of a session's history.
func (s *Sink) peerEvent(e *event.Event) error {
	if e.Kind == event.KindState && bgp.MessageType(e.PDU) == bgp.MessageKeepalive {
		return nil
	}
	who, err := s.who.speaker(e)
	if err != nil {
		return err
	}
	t, p := &s.sessions, e.Peer
	open := t.readOpens(e)
	said := t.readNotification(e)
	var code, reason, fsm driver.Value
	if e.Kind == event.KindPeerDown {
		reason = reasonText(e)
		if !inferred(e) {
			code = int64(e.Reason)
			fsm = orNull(e.FSMCode)
		}
	} else if reason = clean(e.Text); e.Kind == event.KindState && len(e.PDU) > 0 {
		reason = bgp.MessageName(bgp.MessageType(e.PDU))
	}
	var sentOpen, receivedOpen driver.Value
	if e.Kind == event.KindPeerUp {
		sentOpen, receivedOpen = bytesOrNull(e.Sent), bytesOrNull(e.PDU)
	}
	local := clean(addrText(p.LocalAddress))
	err = t.peerEvent.exec(int64(e.Sequence), micros(e.Received), delta(e), who.id, peerEventNames[e.Kind], int64(e.Cause),
		inferred(e), code, reason, fsm, said.code, said.subcode, said.text, orNull(p.Epoch), local, orNull(p.LocalASN),
		open.localPort, open.remotePort, clean(p.Table), open.holdTime, open.sent, open.received, sentOpen, receivedOpen)
	if err != nil {
		return err
	}
	s.uncounted.row("peer_event", 1)
	now, err := t.stateOf(who.peer)
	if err != nil || e.Kind == event.KindState || e.Source == event.SourceMRT && micros(e.Received) < now.since {
		return err
	}
	if e.Kind == event.KindPeerUp {
		err = t.peerUp.exec(who.id, now.ups(e), now.sinceUp(e), int64(e.Router.Session), orNull(p.Epoch), local,
			orNull(p.LocalASN), open.localPort, open.remotePort, clean(p.Table), open.holdTime, open.sent, open.received, who.peer)
		return err
	}
	if now.session != 0 && now.session != int64(e.Router.Session) {
		// An older connection of the router ends; the peer is up on a newer one.
		return nil
	}
	if said.text != nil {
		reason = said.text
	}
	err = t.peerDown.exec(now.downs(e), micros(e.Received), reason, who.peer)
	return err
}

// peerState is the state columns of peer.
type peerState struct{ up, since, session, epoch int64 }

func (t *sessions) stateOf(peer int64) (p peerState, err error) {
	var row [4]driver.Value
	_, err = t.findUp.query(row[:], peer)
	for i, to := range [...]*int64{&p.up, &p.since, &p.session, &p.epoch} {
		*to, _ = row[i].(int64)
	}
	return p, err
}

// ups is the column up after a Peer Up, which is for one RIB view: a bit each,
// and bit 0 for a source that does not say.
func (p peerState) ups(e *event.Event) int64 {
	if p.epoch != int64(e.Peer.Epoch) || p.session != int64(e.Router.Session) {
		p.up = 0
	}
	return p.up | 1<<e.RIB
}

// sinceUp is the column since after a Peer Up: a further view of a session
// that is up does not begin it anew.
func (p peerState) sinceUp(e *event.Event) int64 {
	if p.ups(e) != 1<<e.RIB {
		return p.since
	}
	return micros(e.Received)
}

// reasonDeconfigured ends one view, not the session (RFC 7854 §4.9).
const reasonDeconfigured = 5

// downs is the column up after a Peer Down.
func (p peerState) downs(e *event.Event) int64 {
	if !inferred(e) && e.Reason == reasonDeconfigured {
		return p.up &^ (1 << e.RIB)
	}
	return 0
}

// stats writes the rows of a KindStats event.
func (s *Sink) stats(e *event.Event) error {
	who, err := s.who.speaker(e)
	if err != nil {
		return err
	}
	for i := range e.Stats {
		if i >= 1<<positionBits {
			return s.anomaly(e, anomalyRefused, "more than 65,536 statistics")
		}
		st := &e.Stats[i]
		var family, value driver.Value
		if st.Family != 0 {
			family = st.Family.String()
		}
		if st.OK {
			value = gauge(st.Value)
		}
		err := s.sessions.stat.add(int64(e.Sequence)<<positionBits|int64(i), micros(e.Received), delta(e), who.id,
			int64(st.Type), clean(st.Name), family, value, bytesOrNull(st.Raw))
		if err != nil {
			return err
		}
	}
	s.uncounted.row("peer_stat", len(e.Stats))
	err = s.sessions.peerStats.exec(int64(e.Sequence), who.peer)
	return err
}

// gap writes the row of a KindGap event.
func (s *Sink) gap(e *event.Event) error {
	router, err := s.who.routerOrNull(e.Router)
	if err != nil {
		return err
	}
	var lost driver.Value
	if e.Lost > 0 {
		lost = gauge(e.Lost)
	}
	err = s.sessions.addGap.exec(int64(e.Sequence), micros(e.Received), s.who.collector, router, int64(e.Cause), lost,
		orNull(micros(e.Start)), orNull(micros(e.End)), clean(e.Text))
	s.uncounted.row("gap", 1)
	return err
}

// imported writes the row of a KindImport event.
func (s *Sink) imported(e *event.Event) error {
	router, err := s.who.routerOrNull(e.Router)
	if err != nil {
		return err
	}
	err = s.sessions.addImport.exec(int64(e.Sequence), micros(e.Received), s.who.collector, router, clean(e.Text))
	s.uncounted.row("import", 1)
	return err
}

// Reasons of anomalies, as metrics have them.
const (
	anomalyUnknown    = "unknown-message"
	anomalyUnreadable = "unreadable-update"
	anomalyRefused    = "refused"
)

// anomaly keeps an event as it came.
func (s *Sink) anomaly(e *event.Event, reason, text string) error {
	var router, routerAddress, peerAddress driver.Value
	if e.Router != nil {
		router, routerAddress = clean(e.Router.Name), clean(addrText(e.Router.Address))
	}
	if e.Peer != nil {
		peerAddress = clean(addrText(e.Peer.Address))
	}
	if text == "" {
		text = reason
	}
	raw := make([]byte, 0, len(e.Head)+len(e.Sent)+len(e.PDU)+len(e.Tail))
	for _, part := range [...][]byte{e.Head, e.Sent, e.PDU, e.Tail} {
		raw = append(raw, part...)
	}
	id, _, err := s.addAnomaly.integer(int64(e.Sequence), micros(e.Received), s.who.collector, router, routerAddress, peerAddress,
		e.Kind.String(), clean(text), bytesOrNull(raw))
	if err != nil {
		return err
	}
	s.uncounted.anomaly(reason)
	err = s.trimAnomalies.exec(id - int64(s.cfg.Anomalies))
	return err
}
