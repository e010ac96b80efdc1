package collector

import (
	"context"

	"github.com/ribtap/ribtap/event"
)

// replayer applies the stream's own events to the RIB state after a restart.
type replayer struct {
	c    *Collector
	w    work
	last event.Time
	// open holds the routers whose transport session had not ended.
	open map[routerKey]*event.Router
	// view is that of the last route, of this peer and RIB: most routes are of the
	// same one as the route before.
	view *view
	peer *event.Peer
	rib  event.RIB
}

// keyOf is the key of an event's router; of the neighbour, for our own speaker.
func (c *Collector) keyOf(r *event.Router, p *event.Peer) routerKey {
	key := routerKey{addr: r.Address, name: r.SysName}
	if p != nil && c.cfg.Speaker.is(r) {
		key.neighbour = p.Address
	}
	return key
}

func (rp *replayer) batch(batch []event.Event) error {
	for i := range batch {
		rp.event(&batch[i])
	}
	return nil
}

func (rp *replayer) event(e *event.Event) {
	if e.Source != event.SourceMRT {
		rp.last = max(rp.last, e.Received)
	}
	if e.Router == nil {
		return
	}
	c := rp.c
	if e.Kind == event.KindRoute && e.Peer != nil && e.Peer == rp.peer && e.RIB == rp.rib {
		if e.Flags&event.FlagNonOwner == 0 && e.Update(&rp.w.update) {
			c.apply(rp.view, e, &rp.w)
		}
		return
	}
	rp.view, rp.peer = nil, nil
	r := c.router(c.keyOf(e.Router, e.Peer), e.Router.Name)
	r.last = e.Router
	if e.Router.Session > c.sessionID.Load() {
		c.sessionID.Store(e.Router.Session)
	}
	switch e.Kind {
	case event.KindRouterUp:
		rp.open[r.key] = e.Router
	case event.KindRouterDown:
		if open := rp.open[r.key]; open != nil && open.Session == e.Router.Session {
			delete(rp.open, r.key)
		}
	case event.KindPeerUp:
		p := r.peer(keyOfPeer(e.Peer))
		p.epoch, p.last = max(p.epoch, e.Peer.Epoch), e.Peer
	case event.KindRoute:
		if e.Peer == nil || e.Flags&event.FlagNonOwner != 0 || !e.Update(&rp.w.update) {
			return
		}
		v := r.view(r.peer(keyOfPeer(e.Peer)), e.RIB, e.Peer)
		if v.ev != e.Peer {
			v.ev = e.Peer
			v.adj.SetName(appendViewName(nil, e.Peer, e.RIB))
		}
		rp.view, rp.peer, rp.rib = v, e.Peer, e.RIB
		c.apply(v, e, &rp.w)
	case event.KindPeerDown, event.KindStats, event.KindMirror, event.KindRefresh, event.KindUnknown,
		event.KindGap, event.KindImport, event.KindState:
	}
}

func keyOfPeer(p *event.Peer) peerKey { return peerKey{p.Type, p.Distinguisher, p.Address} }

// finish marks all as stale and tells the stream that the collector was away.
func (rp *replayer) finish() error {
	c := rp.c
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	var b batch
	for key, r := range c.routers {
		r.gone = now
		for _, p := range r.peers {
			for _, v := range p.views {
				if v != nil && !r.imported() {
					v.restart(now)
				}
			}
		}
		if up := rp.open[key]; up != nil {
			e := b.add()
			e.Received, e.Kind, e.Cause, e.Flags, e.Router = event.At(now), event.KindRouterDown, event.CauseCollectorStop, event.FlagInferred, up
		}
	}
	if rp.last == 0 {
		return nil
	}
	e := b.add()
	e.Received, e.Kind, e.Cause, e.Flags = event.At(now), event.KindGap, event.CauseCollectorStop, event.FlagInferred
	e.Start, e.End = rp.last, event.At(now)
	e.Text = "ribtap did not run"
	return c.write(context.Background(), &b)
}
