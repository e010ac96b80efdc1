package sqlite

import (
	"database/sql/driver"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/history"
)

// sessions writes what is not about routes.
type sessions struct {
	peerEvent, routerEvent      *statement
	peerUp, peerDown, peerStats *statement
	routerUp, routerDown        *statement
	findUp, addGap, addImport   *statement
	stat                        *inserter
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

// RouterEvent implements history.Store.
func (s *Sink) RouterEvent(e *event.Event) error {
	id, err := s.who.router(e.Router)
	if err != nil {
		return err
	}
	row, received := history.ReadRouterEvent(e), history.Micros(e.Received)
	err = s.sessions.routerEvent.exec(int64(e.Sequence), received, id, row.Event, row.Cause, row.Inferred, row.ReasonCode,
		row.Reason, row.Session, row.SysName, row.SysDescr)
	if err != nil {
		return err
	}
	s.uncounted.Row("router_event", 1)
	if e.Kind == event.KindRouterUp {
		err = s.sessions.routerUp.exec(id, received, row.Session, row.SysName, row.SysDescr)
	} else {
		err = s.sessions.routerDown.exec(id, received, row.Session, row.Reason)
	}
	return err
}

// PeerEvent implements history.Store.
func (s *Sink) PeerEvent(e *event.Event) error {
	who, err := s.who.speaker(e)
	if err != nil {
		return err
	}
	t, row := &s.sessions, history.ReadPeerEvent(e)
	err = t.peerEvent.exec(int64(e.Sequence), history.Micros(e.Received), history.Delta(e), who.id, row.Event, row.Cause,
		row.Inferred, row.ReasonCode, row.Reason, row.FSMCode, row.NotificationCode, row.NotificationSubcode, row.Notification,
		row.Epoch, row.LocalAddress, row.LocalASN, row.LocalPort, row.RemotePort, row.Table, row.HoldTime,
		row.SentCapabilities, row.ReceivedCapabilities, row.SentOpen, row.ReceivedOpen)
	if err != nil {
		return err
	}
	s.uncounted.Row("peer_event", 1)
	now, err := t.stateOf(who.peer)
	if err != nil {
		return err
	}
	next, changed := now.After(e)
	switch {
	case !changed:
	case e.Kind == event.KindPeerUp:
		err = t.peerUp.exec(who.id, next.Up, next.Since, next.Session, row.Epoch, row.LocalAddress, row.LocalASN, row.LocalPort,
			row.RemotePort, row.Table, row.HoldTime, row.SentCapabilities, row.ReceivedCapabilities, who.peer)
	default:
		err = t.peerDown.exec(next.Up, next.Since, row.DownReason(), who.peer)
	}
	return err
}

func (t *sessions) stateOf(peer int64) (p history.PeerState, err error) {
	var row [4]driver.Value
	_, err = t.findUp.query(row[:], peer)
	for i, to := range [...]*int64{&p.Up, &p.Since, &p.Session, &p.Epoch} {
		*to, _ = row[i].(int64)
	}
	return p, err
}

// Stats implements history.Store.
func (s *Sink) Stats(e *event.Event) error {
	who, err := s.who.speaker(e)
	if err != nil {
		return err
	}
	for i := range e.Stats {
		if i >= 1<<history.PositionBits {
			return s.Anomaly(e, history.AnomalyRefused, "more than 65,536 statistics")
		}
		st := history.ReadStat(&e.Stats[i])
		err := s.sessions.stat.add(int64(e.Sequence)<<history.PositionBits|int64(i), history.Micros(e.Received), history.Delta(e),
			who.id, int64(e.Stats[i].Type), st.Name, st.Family, gauge(st.Value), st.Raw)
		if err != nil {
			return err
		}
	}
	s.uncounted.Row("peer_stat", len(e.Stats))
	err = s.sessions.peerStats.exec(int64(e.Sequence), who.peer)
	return err
}

// Gap implements history.Store.
func (s *Sink) Gap(e *event.Event) error {
	router, err := s.who.routerOrNull(e.Router)
	if err != nil {
		return err
	}
	err = s.sessions.addGap.exec(int64(e.Sequence), history.Micros(e.Received), s.who.collector, router, int64(e.Cause),
		gauge(history.Lost(e)), history.OrNull(history.Micros(e.Start)), history.OrNull(history.Micros(e.End)), history.Clean(e.Text))
	s.uncounted.Row("gap", 1)
	return err
}

// Import implements history.Store.
func (s *Sink) Import(e *event.Event) error {
	router, err := s.who.routerOrNull(e.Router)
	if err != nil {
		return err
	}
	err = s.sessions.addImport.exec(int64(e.Sequence), history.Micros(e.Received), s.who.collector, router, history.Clean(e.Text))
	s.uncounted.Row("import", 1)
	return err
}

// Anomaly implements history.Store.
func (s *Sink) Anomaly(e *event.Event, reason, text string) error {
	row := history.ReadAnomaly(e, reason, text)
	id, _, err := s.addAnomaly.integer(int64(e.Sequence), history.Micros(e.Received), s.who.collector, row.Router, row.RouterAddress,
		row.PeerAddress, row.Kind, row.Reason, row.Raw)
	if err != nil {
		return err
	}
	s.uncounted.Anomaly(reason)
	err = s.trimAnomalies.exec(id - int64(s.cfg.Anomalies))
	return err
}
