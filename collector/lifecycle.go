package collector

import (
	"context"
	"time"

	"github.com/ribtap/ribtap/event"
)

const (
	// inlineEnd is how many routes may be withdrawn at once, in the middle of
	// reading a session; more are taken out in portions in the background, so
	// that one peer's full table does not delay the events of other routers.
	inlineEnd = 16384
	// portion is how many routes the background takes at a time.
	portion = 8192
	// janitorInterval is how often stale routes and absent routers are looked at.
	janitorInterval = time.Second
)

// endView withdraws all active routes of a view (or its stale ones) for the
// reason given, at once if they are few. The router's lock is held.
func (r *router) endView(b *batch, v *view, en *ending, now event.Time) {
	r.finishEnding(b, v, now)
	left := 0
	for _, n := range en.spaces(v) {
		if en.onlyStale {
			left += n.Stale
		} else {
			left += n.Active
		}
	}
	if left <= inlineEnd {
		r.end(b, v, en, left, now)
		return
	}
	r.setEnding(v, en)
	r.c.mu.Lock()
	r.c.ends = append(r.c.ends, endingView{r, v})
	r.c.mu.Unlock()
	select {
	case r.c.endWake <- struct{}{}:
	default:
	}
}

// finishEnding completes an ending under way before anything new happens to
// the view, so that its withdrawals keep their place; a session has waited for
// all but a small rest of it (session.awaits). A sweep need not be completed: a
// route that comes back meanwhile is no longer stale.
func (r *router) finishEnding(b *batch, v *view, now event.Time) {
	if v.ending != nil && !v.ending.onlyStale {
		r.end(b, v, v.ending, maxRoutes, now)
	}
	r.setEnding(v, nil)
}

// setEnding begins an ending, or with nil says that there is none.
func (r *router) setEnding(v *view, en *ending) {
	if v.ending != nil && !v.ending.onlyStale {
		r.endings--
	}
	if v.ending = en; en != nil && !en.onlyStale {
		r.endings++
	}
}

// maxRoutes stands for all of them.
const maxRoutes = 1 << 40

// runEndings takes out the routes of large views, portion by portion.
func (c *Collector) runEndings(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.endWake:
		}
		for {
			c.mu.Lock()
			ends := c.ends
			c.ends = nil
			c.mu.Unlock()
			if len(ends) == 0 {
				break
			}
			for _, ev := range ends {
				if err := c.endAll(ctx, ev.r, ev.v); err != nil {
					return err
				}
			}
		}
	}
}

// endAll takes out a view's routes, leaving room for others between portions.
func (c *Collector) endAll(ctx context.Context, r *router, v *view) error {
	for ctx.Err() == nil {
		done, err := c.endPortion(ctx, r, v)
		if done || err != nil {
			return err
		}
		if c.cfg.Pace != nil {
			c.cfg.Pace()
		}
	}
	return nil
}

// endPortion takes out one portion and reports whether the view's ending is over.
func (c *Collector) endPortion(ctx context.Context, r *router, v *view) (bool, error) {
	c.gate.RLock()
	defer c.gate.RUnlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	en := v.ending
	if en == nil {
		return true, nil
	}
	done := r.end(&r.b, v, en, portion, event.At(c.now()))
	if done {
		r.setEnding(v, nil)
	}
	return done, c.write(ctx, &r.b)
}

// endClaim ends what a session said of a peer: the peer is down for it, and
// the views that it owned lose their routes.
func (r *router) endClaim(b *batch, p *peer, cl *claim, cause event.Cause, now event.Time) {
	p.drop(cl)
	if cl.up && !p.isUp() {
		r.c.peersUp.Add(-1)
	}
	for _, v := range p.views {
		if v == nil || v.owner != cl {
			continue
		}
		v.owner, v.since = nil, r.c.now()
		r.endView(b, v, &ending{cause: cause, ev: cl.ev, keep: keeps(cause)}, now)
	}
}

// endSession ends all that a session said, after its transport is gone.
func (r *router) endSession(b *batch, s *session, cause event.Cause, now event.Time) {
	for _, p := range r.peers {
		cl := p.claimOf(s)
		if cl == nil {
			continue
		}
		if cl.up {
			e := b.add()
			e.Received, e.Kind, e.Cause, e.Flags = now, event.KindPeerDown, cause, event.FlagInferred
			e.Router, e.Peer = s.ev, cl.ev
		}
		r.endClaim(b, p, cl, cause, now)
	}
	delete(r.live, s)
	if len(r.live) == 0 {
		r.gone = r.c.now()
	}
}

// runJanitor sweeps stale routes when their time has come.
func (c *Collector) runJanitor(ctx context.Context) error {
	t := time.NewTicker(janitorInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		c.mu.Lock()
		routers := make([]*router, 0, len(c.routers))
		for _, r := range c.routers {
			routers = append(routers, r)
		}
		c.mu.Unlock()
		for _, r := range routers {
			c.gate.RLock()
			r.mu.Lock()
			r.sweep(c.now())
			err := c.write(ctx, &r.b)
			r.mu.Unlock()
			c.gate.RUnlock()
			if err != nil {
				return err
			}
		}
	}
}

// sweep withdraws what was not announced again: after End-of-RIB and a quiet
// while, or after the cap; and what nobody speaks for any more, after a restart
// of the collector.
func (r *router) sweep(now time.Time) {
	if r.imported() {
		return
	}
	for _, p := range r.peers {
		for _, v := range p.views {
			if v == nil || v.ending != nil {
				continue
			}
			if r.neighbour.Load() != nil {
				r.sweepNeighbour(v, now)
				continue
			}
			if v.owner == nil {
				r.sweepOrphan(v, now)
				continue
			}
			r.sweepStale(v, now)
		}
	}
}

func (r *router) sweepStale(v *view, now time.Time) {
	stale, ghosts, all := 0, 0, true
	for _, n := range v.adj.Counts() {
		stale += n.Stale
		ghosts += n.Ghosts
		if n.Stale > 0 && !v.eor[n.Space.Family] {
			all = false
		}
	}
	// Routers dump peer after peer, some with every End-of-RIB in front: while
	// the dump of one of them brings back what was there, the others wait.
	quiet := all && now.Sub(v.touched) >= r.c.cfg.SweepQuiet && now.Sub(r.refreshed) >= r.c.cfg.SweepQuiet
	capped := now.Sub(v.since) >= r.c.cfg.SweepCap
	if stale > 0 && (quiet || capped) {
		r.endView(&r.b, v, &ending{cause: event.CauseStaleSweep, ev: v.ev, onlyStale: true}, event.At(now))
	}
	// Ghosts are no routes, so a slow router may take its time to bring them back.
	if ghosts > 0 && capped && v.ending == nil {
		r.dropGhosts(v)
	}
}

// sweepOrphan handles a view that no session speaks for: routes restored after
// a restart whose router did not come back.
func (r *router) sweepOrphan(v *view, now time.Time) {
	active, ghosts := 0, 0
	for _, n := range v.adj.Counts() {
		active += n.Active
		ghosts += n.Ghosts
	}
	if active > 0 && now.Sub(v.since) >= r.c.cfg.RestartHold {
		r.endView(&r.b, v, &ending{cause: event.CauseSessionLost, ev: v.ev, keep: true}, event.At(now))
		return
	}
	if ghosts > 0 && now.Sub(v.since) >= ghostHold {
		r.dropGhosts(v)
	}
}

// ghostHold is how long the routes of a lost session are remembered, to be
// known again should the router come back.
const ghostHold = time.Hour

func (r *router) dropGhosts(v *view) {
	for _, n := range v.adj.Counts() {
		if n.Ghosts > 0 {
			v.adj.DropGhosts(n.Space)
		}
	}
}
