package collector

import (
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/internal/wire"
	"github.com/ribtap/ribtap/rib"
)

// sweepNeighbour does what time alone brings about for a neighbour's routes. It
// is called while none of them are being taken out.
func (r *router) sweepNeighbour(v *view, now time.Time) {
	nb := r.neighbour.Load()
	if v.owner != nil {
		r.sweepSession(nb, v, now)
	} else if !r.expire(nb, v, now) {
		r.sweepOrphan(v, now)
		if v.ending == nil {
			nb.untell(&r.b, v, event.CauseSessionLost, event.At(now))
		}
	}
	nb.publish(v.p, v)
}

// expire ends what is kept for a neighbour that is away, when its time is over,
// and reports whether anything is kept.
func (r *router) expire(nb *neighbour, v *view, now time.Time) (kept bool) {
	en := &ending{cause: nb.cause, ev: v.ev, keep: keeps(nb.cause)}
	for _, st := range nb.families {
		if !st.stale.away() {
			continue
		}
		kept = true
		if now.Before(st.until) {
			continue
		}
		if st.stale == restarting && st.longUntil.After(now) {
			r.beginLongLived(nb, v, st, now)
			continue
		}
		en.only, en.told = en.only.With(st.family), en.told.With(st.family)
		st.end()
	}
	if en.only != 0 {
		r.endView(&r.b, v, en, event.At(now))
	}
	return kept
}

// beginLongLived keeps a family's routes beyond the Restart Time, without those
// that do not want it (RFC 9494 §4.2).
func (r *router) beginLongLived(nb *neighbour, v *view, st *familyState, now time.Time) {
	st.stale, st.until = longLived, st.longUntil
	v.tell(&r.b, st.family, bgp.RefreshBegin, nb.cause, staleText("long-lived stale time", st.longUntil.Sub(now)), event.At(now))
	en := &ending{cause: nb.cause, ev: v.ev, keep: keeps(nb.cause)}
	n := 0
	for _, c := range v.spaces(st.family) {
		w := newWithdrawals(&r.b, v, en, c.Space, event.At(now))
		for _, key := range notLongLived(v, c.Space) {
			value, _, _ := v.adj.Lookup(c.Space, key)
			w.add(key, value)
			if en.keep {
				v.adj.Suspend(c.Space, key)
			} else {
				v.adj.Withdraw(c.Space, key)
			}
			n++
		}
		w.flush()
	}
	r.c.m.inferred.WithLabelValues(nb.cause.String()).Add(float64(n))
}

// notLongLived returns the keys of the routes with NO_LLGR (RFC 9494 §4.1).
func notLongLived(v *view, space rib.Space) (keys [][]byte) {
	var (
		u    bgp.Update
		msg  []byte
		last []byte // the value looked at last; values are shared
		no   bool
	)
	v.adj.Walk(space, func(key, value []byte, _ bool) bool {
		if len(last) == 0 || &last[0] != &value[0] {
			last = value
			val, _ := bgp.ParseValue(value)
			nlri, ok := bgp.ParseKey(space.Family, space.AddPath, key, val.Extra)
			if !ok {
				panic("collector: a key of our own RIB does not parse")
			}
			s := bgp.Session{AS4: val.AS4}
			if space.AddPath {
				s.AddPath = s.AddPath.With(space.Family)
			}
			msg = bgp.AppendAnnounce(msg[:0], &nlri, &val)
			u.Parse(msg, s)
			no = hasCommunity(&u, noLLGR)
		}
		if no {
			keys = append(keys, append([]byte(nil), key...))
		}
		return true
	})
	return keys
}

// noLLGR is the NO_LLGR community (RFC 9494 §4.1).
const noLLGR = 0xffff0007

func hasCommunity(u *bgp.Update, community uint32) bool {
	a, _ := u.Attr(bgp.AttrCommunities)
	const communityLen = 4
	for c := wire.NewCursor(a.Value); c.Len() >= communityLen; {
		if c.Uint32() == community {
			return true
		}
	}
	return false
}

// sweepSession ends what a session's marks should have ended long ago, and sees
// whether a neighbour without marks has said all.
func (r *router) sweepSession(nb *neighbour, v *view, now time.Time) {
	cfg := &r.c.cfg
	quiet := now.Sub(v.touched) >= cfg.SweepQuiet
	capped := now.Sub(v.since) >= cfg.SweepCap
	en := &ending{cause: event.CauseStaleSweep, ev: v.ev, onlyStale: true}
	for _, st := range nb.families {
		if quiet && (capped || !nb.rules.graceful) {
			st.synced(SyncQuiet, now)
		}
		hinted := st.stale == resync && st.eor && !st.garbled && quiet
		switch {
		case st.stale != resync && st.stale != refreshing, now.Before(st.until) && !hinted:
			continue
		case st.stale == refreshing:
			if !r.lateRefresh(v, st, event.At(now)) {
				continue
			}
			en.told = en.told.With(st.family)
		case st.told:
			en.told = en.told.With(st.family)
		}
		en.only = en.only.With(st.family)
		st.overdue = st.overdue || !st.eor && !st.longUntil.IsZero() && !now.Before(st.longUntil)
		st.end()
	}
	if en.only != 0 {
		r.endView(&r.b, v, en, event.At(now))
	}
	if capped && v.ending == nil {
		r.dropGhosts(v)
	}
}
