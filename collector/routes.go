package collector

import (
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/rib"
)

// work is the scratch space of one goroutine that applies UPDATEs.
type work struct {
	// now is the time of the batch at hand; all that one read of a socket brought
	// has arrived by then.
	now    time.Time
	update bgp.Update
	key    []byte
	value  []byte
	marks  []event.Mark
	// announced and withdrawn count the routes applied, for reports.
	announced, withdrawn int
	// refreshed is set when a route of the last UPDATE was stale or a ghost.
	refreshed bool
	// admit, if set, says which routes the RIB takes.
	admit *admission
}

// apply brings the routes of the UPDATE parsed into w.update into the view and
// returns what each of them did, in w's memory. A route that comes back as it
// was known, after its session was lost, has MarkState without MarkChanged.
func (c *Collector) apply(v *view, e *event.Event, w *work) []event.Mark {
	w.marks, w.refreshed = w.marks[:0], false
	var (
		id     rib.ValueID
		have   bool
		haveMP bool
		it     = w.update.Routes()
	)
	for i := 0; it.Next(); i++ {
		r := it.Route()
		n := &r.NLRI
		if r.Action == bgp.Announce {
			w.announced++
		} else {
			w.withdrawn++
		}
		// A mark is there already when the stream is being read back.
		if e.Mark(i)&event.MarkRefused != 0 || w.admit != nil && !w.admit.family(n.Family) {
			w.marks = append(w.marks, event.MarkRefused)
			continue
		}
		if !n.Family.Known() {
			// Its items cannot be told apart, so there is no state to keep.
			w.marks = append(w.marks, event.MarkChanged)
			continue
		}
		space := rib.Space{Family: n.Family, AddPath: n.HasPathID}
		w.key = bgp.AppendKey(w.key[:0], n)
		if r.Action == bgp.Announce && w.admit != nil && !w.admit.room(v.adj, space, w.key) {
			w.marks = append(w.marks, event.MarkRefused)
			continue
		}
		if r.Action == bgp.Withdraw {
			w.marks = append(w.marks, c.withdraw(v, e, r, space, w.key))
			continue
		}
		// All routes of one NLRI field share their value, unless it holds a
		// part of the NLRI itself.
		own := len(n.Labels) > 0 || !n.Prefix.IsValid()
		if !have || own || r.Multiprotocol != haveMP {
			if have {
				c.db.Release(id)
			}
			w.value = w.update.AppendValue(w.value[:0], r)
			id, have, haveMP = c.db.Intern(w.value), true, r.Multiprotocol
		}
		ch := v.adj.Announce(space, w.key, id)
		w.refreshed = w.refreshed || ch.Stale || ch.Known && !ch.Active
		if ch.Stale && w.admit != nil {
			w.admit.returned()
		}
		var m event.Mark
		if !ch.Same {
			m |= event.MarkChanged
		}
		if !ch.Active {
			m |= event.MarkState
		}
		w.marks = append(w.marks, m)
	}
	if have {
		c.db.Release(id)
	}
	return w.marks
}

func (c *Collector) withdraw(v *view, e *event.Event, r *bgp.Route, space rib.Space, key []byte) event.Mark {
	if e.Flags&event.FlagInferred != 0 && keeps(e.Cause) {
		// The stream is being read back; a live one is made from the view itself.
		v.adj.Suspend(space, key)
		return 0
	}
	if v.adj.Withdraw(space, key).Active {
		return event.MarkChanged | event.MarkState
	}
	if r.TreatAsWithdraw {
		return event.MarkNoted
	}
	return 0
}

// keeps says for which causes a lost route is remembered: those that tell
// nothing about the route itself, only that we stopped hearing of it.
func keeps(cause event.Cause) bool {
	return cause == event.CauseSessionLost || cause == event.CauseRouterDown || cause == event.CauseSuperseded
}

// end takes up to limit routes out of the view and adds the events that
// withdraw them. It reports whether none is left.
func (r *router) end(b *batch, v *view, en *ending, limit int, now event.Time) (done bool) {
	taken := 0
	for _, count := range en.spaces(v) {
		w := newWithdrawals(b, v, en, count.Space, now)
		n, left := v.adj.End(count.Space, limit-taken, en.keep, en.onlyStale, w.add)
		w.flush()
		taken += n
		r.c.m.inferred.WithLabelValues(en.cause.String()).Add(float64(n))
		if !left {
			return false
		}
	}
	for _, f := range en.told.Families() {
		v.tell(b, f, bgp.RefreshEnd, en.cause, "", now)
	}
	return true
}

// withdrawals packs routes that were taken out of a space of a view into events.
type withdrawals struct {
	b     *batch
	v     *view
	en    *ending
	space rib.Space
	now   event.Time
	wb    bgp.WithdrawBuilder
}

func newWithdrawals(b *batch, v *view, en *ending, space rib.Space, now event.Time) *withdrawals {
	w := &withdrawals{b: b, v: v, en: en, space: space, now: now}
	w.wb.Reset(space.Family, maxWithdraw)
	return w
}

// add adds a route, whose key and value are the RIB's.
func (w *withdrawals) add(key, value []byte) {
	val, _ := bgp.ParseValue(value)
	nlri, ok := bgp.ParseKey(w.space.Family, w.space.AddPath, key, val.Extra)
	if !ok {
		panic("collector: a key of our own RIB does not parse")
	}
	if w.wb.Add(&nlri) {
		return
	}
	w.flush()
	if !w.wb.Add(&nlri) {
		// An item as large as a message: alone in a larger one.
		w.wb.Reset(w.space.Family, maxExtended)
		w.wb.Add(&nlri)
	}
}

// flush makes the event of what was added since the last one.
func (w *withdrawals) flush() {
	if w.wb.Len() == 0 {
		return
	}
	e := w.b.add()
	e.Received, e.Kind, e.RIB, e.Cause, e.Flags = w.now, event.KindRoute, w.v.rib, w.en.cause, event.FlagInferred
	e.Router, e.Peer = w.en.ev.Router, w.en.ev
	e.Session = bgp.Session{AS4: true}
	if w.space.AddPath {
		e.Session.AddPath = e.Session.AddPath.With(w.space.Family)
	}
	e.PDU = w.b.copy(w.wb.Message())
	e.Marks = w.b.keepMarks([]event.Mark{event.MarkChanged | event.MarkState})
	w.wb.Reset(w.space.Family, maxWithdraw)
}

// Sizes of the UPDATEs made here: RFC 4271 §4.1 and RFC 8654.
const (
	maxWithdraw = 4096
	maxExtended = 65535
)
