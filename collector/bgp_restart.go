package collector

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/speaker"
)

// A neighbour that restarts (RFC 4724 §4.2, RFC 8538 §4, RFC 9494 §4.2):
//
//	session lost ──► restarting ──Restart Time──► longLived ──LLST──► routes end
//	                     │                            │
//	                     └──────── session ───────────┴──► resync ──End-of-RIB──► sweep
//
// The peer-down event comes at once; that routes are stale is a state beside it,
// which an inferred refresh event begins and another ends.

// restartRules are what both OPENs of a session settle for its loss.
type restartRules struct {
	// graceful: both sides have the capability (RFC 4724 §3). notification: both
	// have the N bit (RFC 8538 §2).
	graceful, notification bool
	time                   time.Duration
	families               []restartFamily
}

// restartFamily is what the neighbour says of a family of its own.
type restartFamily struct {
	family bgp.Family
	// listed in the graceful restart capability; long lists it in the long-lived
	// one. The others are their F bits and the latter's time.
	listed, forwarding   bool
	long, longForwarding bool
	longTime             time.Duration
}

func readRestart(sent, received *bgp.Open) (g restartRules) {
	ours, ok := sent.GracefulRestart()
	theirs, both := received.GracefulRestart()
	if !ok || !both {
		return g
	}
	g.graceful, g.notification = true, ours.Notification && theirs.Notification
	g.time = time.Duration(theirs.Time) * time.Second
	for _, f := range theirs.AppendFamilies(nil) {
		r := g.add(f.Family)
		r.listed, r.forwarding = true, f.Forwarding
	}
	if !sent.Has(bgp.CapLLGR) {
		return g
	}
	for _, f := range received.AppendLLGR(nil) {
		r := g.add(f.Family)
		r.long, r.longForwarding, r.longTime = true, f.Forwarding, time.Duration(f.StaleTime)*time.Second
	}
	return g
}

func (g *restartRules) add(f bgp.Family) *restartFamily {
	if i := g.index(f); i >= 0 {
		return &g.families[i]
	}
	g.families = append(g.families, restartFamily{family: f})
	return &g.families[len(g.families)-1]
}

func (g *restartRules) index(f bgp.Family) int {
	return slices.IndexFunc(g.families, func(r restartFamily) bool { return r.family == f })
}

func (g *restartRules) family(f bgp.Family) (r restartFamily) {
	if i := g.index(f); i >= 0 {
		r = g.families[i]
	}
	return r
}

// survives reports whether routes outlive a session that ended so.
func (g *restartRules) survives(d *speaker.Down) bool {
	switch d.Reason {
	case speaker.DownLocalNotification, speaker.DownRemoteNotification:
		n, err := bgp.ParseNotification(d.Notification)
		hard := n.Code == bgp.ErrorCease && n.Subcode == bgp.CeaseHardReset
		return g.graceful && g.notification && err == nil && !hard
	}
	return g.graceful && lost(d)
}

// keeps is how long routes of a family outlive the session, whether for long
// included; 0: they do not.
func (r *restartFamily) keeps(restart time.Duration) (short, long time.Duration) {
	if r.listed {
		short = restart
	}
	if r.long {
		long = r.longTime
	}
	return short, long
}

// preserved reports whether the neighbour, back again, still forwards by the
// routes that were kept (RFC 4724 §4.2, RFC 9494 §4.2).
func (g *restartRules) preserved(st *familyState) bool {
	r := g.family(st.family)
	if st.stale == longLived {
		return r.long && r.longForwarding
	}
	return r.listed && r.forwarding
}

// lose says what the end of a session means for the neighbour's routes: cl is
// its claim. The locks are held before and after.
func (s *bgpSession) lose(ctx context.Context, cl *claim, cause event.Cause, survives bool, now event.Time) error {
	nb, v := s.nb, s.v
	nb.session, nb.cause = nil, cause
	s.p.drop(cl)
	if !s.p.isUp() {
		s.c.peersUp.Add(-1)
	}
	if v.owner != cl {
		return nil
	}
	v.owner, v.since = nil, s.c.now()
	var again bgp.FamilySet
	for _, st := range nb.families {
		// RFC 4724 §4.2: in a second restart what was stale already goes; but
		// not before its time where long-lived restart is settled (RFC 9494 §4.2).
		if r := nb.rules.family(st.family); survives && st.stale == resync && r.listed && !r.long {
			again = again.With(st.family)
		}
	}
	if err := s.end(ctx, &ending{cause: event.CauseStaleSweep, ev: cl.ev, onlyStale: true, only: again}, now); err != nil {
		return err
	}
	if err := s.settle(ctx); err != nil || v.owner != nil {
		return err // another session is there already, and has judged
	}
	nb.untell(&s.b, v, cause, now)
	en := &ending{cause: cause, ev: cl.ev, keep: keeps(cause)}
	for _, st := range nb.families {
		active, _ := v.count(st.family)
		if active == 0 || survives && s.keep(st, now) {
			continue
		}
		en.only = en.only.With(st.family)
		if st.told {
			en.told = en.told.With(st.family)
		}
		st.end()
	}
	return s.end(ctx, en, now)
}

// end says that nothing of the family is stale any more.
func (st *familyState) end() {
	st.stale, st.told, st.until, st.longUntil = notStale, false, time.Time{}, time.Time{}
}

// keep makes the routes of a family stale, if they outlive the session, and
// reports whether they do.
func (s *bgpSession) keep(st *familyState, now event.Time) bool {
	rules := &s.nb.rules
	r := rules.family(st.family)
	short, long := r.keeps(rules.time)
	if short+long == 0 || st.overdue {
		return false
	}
	for _, n := range s.v.spaces(st.family) {
		s.v.adj.MarkStale(n.Space)
	}
	at := s.c.now()
	until := at.Add(short)
	switch {
	case st.stale == resync && !st.longUntil.IsZero():
		until = later(at, earlier(until, st.longUntil)) // it goes on
	case r.long:
		st.longUntil = until.Add(long)
	default:
		st.longUntil = time.Time{}
	}
	st.stale, st.until, st.told = restarting, until, true
	s.v.tell(&s.b, st.family, bgp.RefreshBegin, s.nb.cause, staleText("restart time", until.Sub(at)), now)
	return true
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func staleText(what string, d time.Duration) string {
	return fmt.Sprintf("%s %d s", what, int64(d/time.Second))
}

// tell adds the event that says that a family's routes are stale from now on, or
// no more: the ROUTE-REFRESH that means the same (RFC 7313 §4).
func (v *view) tell(b *batch, f bgp.Family, subtype uint8, cause event.Cause, text string, now event.Time) {
	e := b.add()
	e.Received, e.Kind, e.RIB, e.Cause, e.Flags = now, event.KindRefresh, v.rib, cause, event.FlagInferred
	e.Router, e.Peer, e.Text = v.ev.Router, v.ev, text
	e.PDU = b.copy(bgp.AppendRefresh(nil, bgp.Refresh{Family: f, Subtype: subtype}))
}

// untell says that families are no more stale of which nothing is left.
func (nb *neighbour) untell(b *batch, v *view, cause event.Cause, now event.Time) {
	for _, st := range nb.families {
		if !st.told {
			continue
		}
		if active, _ := v.count(st.family); active == 0 {
			st.end()
			v.tell(b, st.family, bgp.RefreshEnd, cause, "", now)
		}
	}
}

// resume gives the new session the view: what is there is stale until it comes
// again, or goes at once if the neighbour did not preserve it.
func (s *bgpSession) resume(ctx context.Context, rules restartRules, now event.Time) error {
	nb, v := s.nb, s.v
	nb.rules = rules
	for _, f := range s.of.Families {
		nb.family(f).begin()
	}
	for _, n := range v.adj.Counts() {
		nb.family(n.Space.Family) // known from before a restart of the collector
	}
	v.own(s.cl)
	nb.untell(&s.b, v, event.CauseStaleSweep, now)
	lost := &ending{cause: nb.cause, ev: s.cl.ev, keep: keeps(nb.cause), onlyStale: true}
	swept := &ending{cause: event.CauseStaleSweep, ev: s.cl.ev, onlyStale: true}
	for _, st := range nb.families {
		active, _ := v.count(st.family)
		settled := slices.Contains(s.of.Families, st.family)
		switch {
		case active == 0:
			st.end()
		case st.stale.away() && (!settled || !rules.preserved(st)):
			lost.only = lost.only.With(st.family)
			lost.told = lost.told.With(st.family)
			st.end()
		case !settled:
			swept.only = swept.only.With(st.family)
			st.end()
		default:
			st.resync(s.c.now().Add(s.c.cfg.SweepCap))
		}
	}
	nb.families = slices.DeleteFunc(nb.families, func(st *familyState) bool { return !slices.Contains(s.of.Families, st.family) })
	v.restart(s.c.now())
	if err := s.end(ctx, lost, now); err != nil {
		return err
	}
	return s.end(ctx, swept, now)
}

// resync says that the neighbour is there again and has until then to say what it
// still has; or until the end of the long-lived stale time if that has begun.
func (st *familyState) resync(until time.Time) {
	if st.stale != longLived {
		st.longUntil = time.Time{}
	} else {
		until = earlier(until, st.longUntil)
	}
	st.stale, st.until = resync, until
}

// endOfRIB is the End-of-RIB of a family: what did not come again is gone. But when
// nothing came again at all, it is a hint: FRR sends it before its routes while its
// policy is not there yet. Then the sweep waits for a quiet while.
func (s *bgpSession) endOfRIB(f bgp.Family, now event.Time) error {
	if !slices.Contains(s.of.Families, f) {
		return nil
	}
	st := s.nb.family(f)
	st.eor, st.overdue = true, false
	st.synced(SyncEOR, now.Std())
	defer s.nb.publish(s.p, s.v)
	if st.stale != resync || st.garbled {
		// What could not be read may have been the return of what is stale.
		return nil
	}
	if active, stale := s.v.count(f); active > 0 && active == stale {
		return nil
	}
	return s.sweep(st, now)
}

// sweep withdraws what of a family is stale.
func (s *bgpSession) sweep(st *familyState, now event.Time) error {
	en := &ending{cause: event.CauseStaleSweep, ev: s.cl.ev, onlyStale: true}
	en.only = en.only.With(st.family)
	if st.told {
		en.told = en.only
	}
	st.end()
	return s.end(s.run.ctx, en, now)
}
