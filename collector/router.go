package collector

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ribtap/ribtap/event"
)

// routerKey identifies a router over its reconnects: by where it comes from
// and what it calls itself, so that several routers behind one address are
// told apart and two with the same name are not mixed up.
type routerKey struct {
	addr netip.Addr
	name string // sysName; empty while none was heard
	// neighbour is one of our own speaker's, whose sessions run in parallel: each
	// is here what another router is. Invalid for every other router.
	neighbour netip.Addr
}

// router is a monitored router, or one neighbour of our own speaker: its peers
// and their RIB state, which outlive its transport sessions. Everything below mu
// is guarded by it.
type router struct {
	c    *Collector
	key  routerKey
	name string // for people: configured name, sysName or address

	// neighbour is more of what is known of one of our speaker's; nil for any
	// other router, and before its first session. The lock guards what is in it.
	neighbour atomic.Pointer[neighbour]

	mu    sync.Mutex
	peers map[peerKey]*peer
	live  map[*session]struct{}
	// last is the identity of the latest session, for events without one.
	last *event.Router
	// endings counts the views whose routes are being taken out, sweeps aside.
	endings int
	// refreshed is when a route that was stale, or remembered from a session
	// that was lost, last came again.
	refreshed time.Time
	// gone is when the last live session ended; zero while one lives.
	gone time.Time
	// claims counts the claims made, so that a later one has a higher number.
	claims uint64
	b      batch // of the janitor and the closer, for events outside a session
}

// router finds or makes the router of a key.
func (c *Collector) router(key routerKey, name string) *router {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.routers[key]
	if r == nil {
		r = &router{c: c, key: key, name: name, peers: map[peerKey]*peer{}, live: map[*session]struct{}{}}
		c.routers[key] = r
	}
	return r
}

// imported says that the router is known from files alone: it has no sessions
// whose end would mean anything.
func (r *router) imported() bool { return !r.key.addr.IsValid() }

// displayName is what people call the router.
func (c *Collector) displayName(addr netip.Addr, sysName string) string {
	for _, rc := range c.cfg.Routers {
		if rc.Address == addr && rc.Name != "" {
			return rc.Name
		}
	}
	if sysName != "" {
		return sysName
	}
	return addr.String()
}

// write hands the batch to the stream and empties it. The caller holds the
// collector's gate for reading and the router's lock. The stream waits while it
// is full; a write is given up only some time after the collector was told to
// stop. A failed write is final: the RIB state is then ahead of the stream, so
// the collector ends, and finds its way back from the stream when it starts again.
func (c *Collector) write(ctx context.Context, b *batch) error {
	if len(b.events) == 0 {
		return nil
	}
	defer b.reset()
	wctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(stopGrace, cancel) })()
	if err := c.out.Write(wctx, b.events); err != nil {
		c.failed.Store(true)
		if ctx.Err() != nil {
			return nil // told to stop, and the stream stayed full
		}
		return fmt.Errorf("collector: event stream: %w", err)
	}
	for i := range b.events {
		c.m.byKind[b.events[i].Kind].Inc()
	}
	c.written.Add(b.octets)
	return nil
}

// stopGrace is how long a stop waits for a stream that is full.
const stopGrace = 3 * time.Second

// leave ends a session without any word on its peers: they are what they were.
func (r *router) leave(s *session) {
	for _, p := range r.peers {
		cl := p.claimOf(s)
		if cl == nil {
			continue
		}
		p.drop(cl)
		if cl.up && !p.isUp() {
			r.c.peersUp.Add(-1)
		}
		for _, v := range p.views {
			if v != nil && v.owner == cl {
				v.owner, v.since = nil, r.c.now()
			}
		}
	}
	delete(r.live, s)
}
