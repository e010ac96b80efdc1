package collector

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/speaker"
)

// BGP is the collector's second source: it makes events of what the sessions of
// our own speaker bring. The speaker is the monitored router of these events,
// each neighbour a peer of it. The neighbours' sessions run in parallel; the
// events of one neighbour are in the order in which it spoke.
type BGP struct {
	c    *Collector
	live atomic.Pointer[bgpRun]
}

var _ speaker.Handler = (*BGP)(nil)

// bgpRun is one Run: from one router-up to its router-down.
type bgpRun struct {
	ctx context.Context
	ev  *event.Router
}

// BGP returns the source of our own BGP sessions; to run it needs the name in
// Config.Speaker.
func (c *Collector) BGP() *BGP { return c.bgp }

// Run says that the speaker is there, calls speak, whose sessions it is the
// speaker.Handler of, and says that the speaker has gone. When speak has
// returned no call of a session may follow. It runs once at a time. The error is speak's, or one of the
// event stream.
func (b *BGP) Run(ctx context.Context, speak func(context.Context) error) error {
	c := b.c
	if c.cfg.Speaker.Name == "" {
		return errors.New("collector: the speaker has no name")
	}
	s := &session{c: c, source: event.SourceBGP, r: c.router(routerKey{addr: c.cfg.Speaker.RouterID}, c.cfg.Speaker.Name)}
	s.ev = &event.Router{Name: s.r.name, Address: s.r.key.addr, Session: c.sessionID.Add(1)}
	if err := b.said(ctx, s, event.KindRouterUp, ""); err != nil {
		return err
	}
	b.live.Store(&bgpRun{ctx: ctx, ev: s.ev})
	err := speak(ctx)
	b.live.Store(nil)
	text := "the collector stops"
	if err != nil {
		text = "the speaker failed: " + err.Error()
	}
	return errors.Join(err, b.said(ctx, s, event.KindRouterDown, text))
}

// said writes that the speaker is there, or that it has gone.
func (b *BGP) said(ctx context.Context, s *session, kind event.Kind, text string) error {
	c := b.c
	c.gate.RLock()
	defer c.gate.RUnlock()
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	e := s.b.add()
	e.Received, e.Kind, e.Source, e.Router, e.Text = event.At(c.now()), kind, s.source, s.ev, text
	if kind == event.KindRouterUp {
		s.r.live[s], s.r.last = struct{}{}, s.ev
	} else {
		e.Source, e.Cause, e.Flags = event.SourceCollector, event.CauseCollectorStop, event.FlagInferred
		s.r.leave(s)
	}
	return c.write(ctx, &s.b)
}

// Up implements speaker.Handler. It waits for what is left of taking out the
// routes of the neighbour's last session.
func (b *BGP) Up(ctx context.Context, s *speaker.Session) (speaker.Receiver, error) {
	run := b.live.Load()
	if run == nil {
		return nil, errors.New("collector: the BGP source does not run")
	}
	c := b.c
	addr := s.Remote.Addr().Unmap().WithZone("")
	r := c.router(routerKey{addr: c.cfg.Speaker.RouterID, neighbour: addr}, c.cfg.Speaker.Name)
	bs := &bgpSession{session: session{c: c, source: event.SourceBGP, r: r, ev: run.ev}, run: run, of: s}
	bs.lock()
	defer bs.unlock()
	if err := bs.up(ctx); err != nil {
		return nil, err
	}
	return bs, c.write(ctx, &bs.b)
}

// Status lists the neighbours that were heard since the collector started, by
// address. It takes no lock that a full stream can hold.
func (b *BGP) Status() []NeighbourStatus {
	b.c.mu.Lock()
	var routers []*router
	for key, r := range b.c.routers {
		if key.neighbour.IsValid() {
			routers = append(routers, r)
		}
	}
	b.c.mu.Unlock()
	var out []NeighbourStatus
	for _, r := range routers {
		if nb := r.neighbour.Load(); nb != nil {
			out = append(out, nb.read())
		}
	}
	slices.SortFunc(out, func(x, y NeighbourStatus) int { return x.Peer.Address.Compare(y.Peer.Address) })
	return out
}

// sessionText is what a peer-up says of the connection.
func sessionText(s *speaker.Session) string {
	var w strings.Builder
	if s.Peer != nil && s.Peer.Name != "" {
		w.WriteString(s.Peer.Name + ": ")
	}
	if s.Dialled {
		w.WriteString("dialled, ")
	} else {
		w.WriteString("accepted, ")
	}
	w.WriteString(portText(s.Local) + " to " + portText(s.Remote))
	return w.String()
}

func portText(a netip.AddrPort) string {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()).String()
}
