package collector

import (
	"errors"
	"slices"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/speaker"
)

// refreshCap is how long a refresh may take (RFC 7313 §4 allows a bound).
const refreshCap = 360 * time.Second

// refresh is a ROUTE-REFRESH: a request, or the begin or end of an enhanced
// refresh (RFC 7313), during which the family's routes are stale.
func (s *bgpSession) refresh(msg []byte, now event.Time) *speaker.Fault {
	e := s.event(event.KindRefresh, now)
	e.PDU = msg
	r, err := bgp.ParseRefresh(msg)
	var me *bgp.MessageError
	if errors.As(err, &me) {
		s.anomaly(e, "route-refresh")
		return &speaker.Fault{Code: me.Code, Subcode: me.Subcode, Data: slices.Clone(me.Data), Reason: me.Reason}
	}
	if r.Subtype != bgp.RefreshBegin && r.Subtype != bgp.RefreshEnd {
		e.RIB = event.RIBNone // it asks for ours
		return nil
	}
	if reason := s.ignores(r); reason != "" {
		s.anomaly(e, reason)
		s.c.log.Warn("a refresh mark is ignored", "peer", s.cl.ev.Address.String(), "family", r.Family.String(), "reason", reason)
		return nil
	}
	if r.Subtype == bgp.RefreshBegin {
		s.fail(s.beginRefresh(s.nb.family(r.Family)))
	} else {
		s.fail(s.endRefresh(s.nb.family(r.Family), now))
	}
	s.nb.publish(s.p, s.v)
	return nil
}

// ignores says why a begin or end of a refresh counts for nothing.
func (s *bgpSession) ignores(r bgp.Refresh) string {
	switch {
	case s.nb.session != s:
		return "refresh-of-replaced-session"
	case !s.enhanced:
		return "refresh-mark-not-negotiated"
	case !slices.Contains(s.of.Families, r.Family):
		return "refresh-of-other-family"
	}
	st := s.nb.family(r.Family)
	switch {
	case r.Subtype == bgp.RefreshBegin && s.nb.rules.graceful && !st.eor:
		return "refresh-before-end-of-rib" // RFC 7313 §4
	case r.Subtype == bgp.RefreshEnd && st.stale != refreshing:
		return "refresh-end-without-begin"
	}
	return ""
}

// beginRefresh makes the family's routes stale.
func (s *bgpSession) beginRefresh(st *familyState) error {
	// What is being swept is no part of this.
	if err := s.settle(s.run.ctx); err != nil {
		return err
	}
	st.marked, st.returned = 0, 0
	for _, n := range s.v.spaces(st.family) {
		s.v.adj.MarkStale(n.Space)
		st.marked += n.Active
	}
	st.stale, st.until = refreshing, s.c.now().Add(refreshCap)
	st.missed, st.garbled = false, false
	return nil
}

// endRefresh withdraws what was not announced again.
func (s *bgpSession) endRefresh(st *familyState, now event.Time) error {
	st.synced(SyncEOR, now.Std())
	st.unsynced = st.unsynced && st.missed
	if st.garbled {
		// What could not be read may have been the return of what is stale.
		st.end()
		return nil
	}
	return s.sweep(st, now)
}

// lateRefresh ends a refresh of which no end came. Unless most of what was there
// was announced again, it was none: some routers send BoRR at the start of a
// session, and no EoRR.
func (r *router) lateRefresh(v *view, st *familyState, now event.Time) (sweep bool) {
	sweep = 2*st.returned > st.marked && !st.garbled
	r.c.log.Warn("a refresh has no end", "peer", v.ev.Address.String(), "family", st.family.String(),
		"routes", st.marked, "again", st.returned, "swept", sweep)
	if !sweep {
		st.unsynced = true
		st.end()
		v.tell(&r.b, st.family, bgp.RefreshEnd, event.CauseStaleSweep, "the refresh did not end; nothing is withdrawn", now)
	}
	return sweep
}
