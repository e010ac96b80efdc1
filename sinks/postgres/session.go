package postgres

import (
	"strconv"
	"time"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/history"
)

// What is not about routes is rare, so it is queued as statements that are sent
// together at the end of the transaction.

const (
	insertPeerEvent = "INSERT INTO peer_event (collector, sequence, received, observed, speaker, event, cause, inferred, reason_code, reason, " +
		"fsm_code, notification_code, notification_subcode, notification, epoch, local_address, local_asn, local_port, remote_port, " +
		"table_name, hold_time, sent_capabilities, received_capabilities, sent_open, received_open) " +
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25)"
	insertRouterEvent = "INSERT INTO router_event (collector, sequence, received, router, event, cause, inferred, reason_code, reason, session, " +
		"sys_name, sys_descr) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
	updatePeerUp = "UPDATE peer SET speaker = $1, up = $2, since = $3, session = $4, epoch = $5, local_address = $6, local_asn = $7, " +
		"local_port = $8, remote_port = $9, table_name = $10, hold_time = $11, sent_capabilities = $12, received_capabilities = $13, " +
		"reason = NULL WHERE id = $14"
	updatePeerDown   = "UPDATE peer SET up = $1, since = $2, reason = $3 WHERE id = $4"
	updatePeerStats  = "UPDATE peer SET stats = $1, stats_speaker = $2 WHERE id = $3"
	updateRouterUp   = "UPDATE router SET up = true, since = $2, session = $3, sys_name = coalesce($4, sys_name), sys_descr = coalesce($5, sys_descr), reason = NULL WHERE id = $1"
	updateRouterDown = "UPDATE router SET up = false, since = $2, reason = $4 WHERE id = $1 AND coalesce(session, $3) = $3"
	insertGap        = "INSERT INTO gap (collector, sequence, received, router, cause, lost, start_at, end_at, detail) " +
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
	insertImport  = "INSERT INTO import (collector, sequence, received, router, detail) VALUES ($1, $2, $3, $4, $5)"
	insertAnomaly = "INSERT INTO anomaly (collector, sequence, received, router, router_address, peer_address, kind, reason, raw) " +
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
	trimAnomalies = "DELETE FROM anomaly WHERE collector = $1 AND id <= (SELECT id FROM anomaly WHERE collector = $1 ORDER BY id DESC OFFSET $2 LIMIT 1)"

	statColumns = "received, sequence, observed, speaker, position, type, name, family, value, raw"
)

// received is the column of that name, never null.
func received(e *event.Event) any { return time.UnixMicro(history.Micros(e.Received)).UTC() }

// observed is the column of that name.
func observed(e *event.Event) any { return at(observedMicros(e)) }

func observedMicros(e *event.Event) int64 {
	if e.Observed == 0 {
		return 0
	}
	return history.Micros(e.Observed)
}

// gauge is a numeric parameter.
func gauge(v any) any {
	if n, ok := v.(uint64); ok {
		return strconv.FormatUint(n, 10)
	}
	return nil
}

// RouterEvent implements history.Store.
func (s *Sink) RouterEvent(e *event.Event) error {
	id, err := s.who.router(s.ctx, s.free, e.Router)
	if err != nil {
		return err
	}
	row := history.ReadRouterEvent(e)
	s.later.Queue(insertRouterEvent, s.who.collector, int64(e.Sequence), received(e), id, row.Event, row.Cause, row.Inferred, row.ReasonCode,
		row.Reason, row.Session, row.SysName, row.SysDescr)
	s.uncounted.Row("router_event", 1)
	if e.Kind == event.KindRouterUp {
		s.later.Queue(updateRouterUp, id, received(e), row.Session, row.SysName, row.SysDescr)
	} else {
		s.later.Queue(updateRouterDown, id, received(e), row.Session, row.Reason)
	}
	return nil
}

// PeerEvent implements history.Store.
func (s *Sink) PeerEvent(e *event.Event) error {
	who, err := s.speaker(e, allFamilies)
	if err != nil {
		return err
	}
	row := history.ReadPeerEvent(e)
	local := inet(e.Peer.LocalAddress)
	s.later.Queue(insertPeerEvent, s.who.collector, int64(e.Sequence), received(e), observed(e), who.id, row.Event, row.Cause, row.Inferred,
		row.ReasonCode, row.Reason, row.FSMCode, row.NotificationCode, row.NotificationSubcode, row.Notification, row.Epoch, local,
		row.LocalASN, row.LocalPort, row.RemotePort, row.Table, row.HoldTime, row.SentCapabilities, row.ReceivedCapabilities,
		row.SentOpen, row.ReceivedOpen)
	s.uncounted.Row("peer_event", 1)
	next, changed := who.peer.state.After(e)
	if !changed {
		return nil
	}
	who.peer.state = next
	if e.Kind == event.KindPeerUp {
		s.later.Queue(updatePeerUp, who.id, next.Up, at(next.Since), next.Session, row.Epoch, local, row.LocalASN, row.LocalPort,
			row.RemotePort, row.Table, row.HoldTime, row.SentCapabilities, row.ReceivedCapabilities, who.peer.id)
	} else {
		s.later.Queue(updatePeerDown, next.Up, at(next.Since), row.DownReason(), who.peer.id)
	}
	return nil
}

// Stats implements history.Store.
func (s *Sink) Stats(e *event.Event) error {
	who, err := s.speaker(e, allFamilies)
	if err != nil {
		return err
	}
	if len(e.Stats) > 1<<history.PositionBits {
		return s.Anomaly(e, history.AnomalyRefused, "more than 65,536 statistics")
	}
	c := &s.stats
	for i := range e.Stats {
		st := history.ReadStat(&e.Stats[i])
		c.begin()
		c.time(history.Micros(e.Received))
		c.int8(int64(e.Sequence))
		c.timeOrNull(observedMicros(e))
		c.int4(who.id)
		c.int4(int32(i))
		c.int4(int32(e.Stats[i].Type))
		c.value(st.Name)
		c.value(st.Family)
		c.value(st.Value)
		c.value(st.Raw)
	}
	s.uncounted.Row("peer_stat", len(e.Stats))
	s.later.Queue(updatePeerStats, int64(e.Sequence), who.id, who.peer.id)
	if c.full() {
		conn, err := s.free()
		if err != nil {
			return err
		}
		return c.send(s.ctx, conn)
	}
	return nil
}

// routerOrNull is the id of the router of an event that may have none.
func (s *Sink) routerOrNull(e *event.Event) (any, error) {
	if e.Router == nil {
		return nil, nil
	}
	return s.who.router(s.ctx, s.free, e.Router)
}

// Gap implements history.Store.
func (s *Sink) Gap(e *event.Event) error {
	router, err := s.routerOrNull(e)
	if err != nil {
		return err
	}
	s.later.Queue(insertGap, s.who.collector, int64(e.Sequence), received(e), router, int64(e.Cause), gauge(history.Lost(e)),
		at(history.Micros(e.Start)), at(history.Micros(e.End)), history.Clean(e.Text))
	s.uncounted.Row("gap", 1)
	return nil
}

// Import implements history.Store.
func (s *Sink) Import(e *event.Event) error {
	router, err := s.routerOrNull(e)
	if err != nil {
		return err
	}
	s.later.Queue(insertImport, s.who.collector, int64(e.Sequence), received(e), router, history.Clean(e.Text))
	s.uncounted.Row("import", 1)
	return nil
}

// Anomaly implements history.Store.
func (s *Sink) Anomaly(e *event.Event, reason, text string) error {
	row := history.ReadAnomaly(e, reason, text)
	var routerAddress, peerAddress any
	if e.Router != nil {
		routerAddress = inet(e.Router.Address)
	}
	if e.Peer != nil {
		peerAddress = inet(e.Peer.Address)
	}
	s.later.Queue(insertAnomaly, s.who.collector, int64(e.Sequence), received(e), row.Router, routerAddress, peerAddress, row.Kind,
		row.Reason, row.Raw)
	s.anomalies++
	s.uncounted.Anomaly(reason)
	return nil
}
