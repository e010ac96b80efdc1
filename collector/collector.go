package collector

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/rib"
)

// Collector is the one place where messages become events. Make it with New,
// bring it to where it was with Restore, then Run it.
type Collector struct {
	cfg Config
	out event.Writer
	log *slog.Logger
	m   *metrics
	db  *rib.DB
	bgp *BGP

	// gate is held for reading while events change RIB state and are written,
	// and for writing while a snapshot is taken: then the state is exactly that
	// of the last event written.
	gate sync.RWMutex

	mu      sync.Mutex // guards routers and the fields up to the next gap
	routers map[routerKey]*router
	allow   []netip.Prefix
	ends    []endingView // views whose routes are being taken out

	endWake   chan struct{}
	sessions  atomic.Int64
	sessionID atomic.Uint64
	peersUp   atomic.Int64
	written   atomic.Int64 // octets since the last snapshot
	failed    atomic.Bool  // a write failed: RIB state is ahead of the stream

	ready chan struct{}
	addrs []net.Addr
	now   func() time.Time
}

type endingView struct {
	r *router
	v *view
}

// New makes a Collector that writes to out, which numbers events itself and is
// safe for concurrent use.
func New(cfg Config, out event.Writer, log *slog.Logger, reg prometheus.Registerer) (*Collector, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Collector{
		cfg: cfg, out: out, log: log, m: newMetrics(reg), db: rib.New(),
		routers: map[routerKey]*router{}, allow: cfg.Allow,
		endWake: make(chan struct{}, 1), ready: make(chan struct{}), now: time.Now,
	}
	c.bgp = &BGP{c: c}
	c.registerGauges(reg)
	return c, nil
}

// Run listens, dials and collects until ctx ends. It returns an error at once
// when it cannot listen. When it has returned, no further event is written.
func (c *Collector) Run(ctx context.Context) error {
	st := &station{c: c}
	if err := st.listen(ctx); err != nil {
		return err
	}
	c.addrs = st.addrs()
	close(c.ready)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return st.run(ctx) })
	g.Go(func() error { return c.runJanitor(ctx) })
	g.Go(func() error { return c.runEndings(ctx) })
	if c.cfg.SnapshotPath != "" {
		g.Go(func() error { return c.runSnapshots(ctx) })
	}
	return g.Wait()
}

// Ready is closed once all listeners listen.
func (c *Collector) Ready() <-chan struct{} { return c.ready }

// Addrs are the addresses listened on, valid once Ready is closed.
func (c *Collector) Addrs() []net.Addr { return c.addrs }

// SetAllow replaces the list of sources that may connect; sessions that are
// there stay.
func (c *Collector) SetAllow(allow []netip.Prefix) {
	c.mu.Lock()
	c.allow = allow
	c.mu.Unlock()
}

// Stats are the collector's own counts.
type Stats struct {
	Routers, PeersUp, Routes int
	// RoutesByFamily counts active routes over all views.
	RoutesByFamily map[bgp.Family]int
	// RIBBytes is the memory of the RIB state.
	RIBBytes int64
}

// Stats returns the counts now. It takes no lock that a full stream can hold.
func (c *Collector) Stats() Stats {
	ds := c.db.Stats()
	s := Stats{PeersUp: int(c.peersUp.Load()), RoutesByFamily: ds.Routes, RIBBytes: ds.Bytes}
	for _, n := range ds.Routes {
		s.Routes += n
	}
	c.mu.Lock()
	for key := range c.routers {
		if !key.neighbour.IsValid() {
			s.Routers++
		}
	}
	c.mu.Unlock()
	return s
}

func (c *Collector) registerGauges(reg prometheus.Registerer) {
	reg.MustRegister(&routeGauge{c: c, desc: prometheus.NewDesc("ribtap_routes", "Routes held now, over all peers and views.", []string{"family"}, nil)},
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "ribtap_peers_up", Help: "Peers for which a Peer Up holds."},
			func() float64 { return float64(c.peersUp.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "ribtap_rib_octets", Help: "Memory of the RIB state."},
			func() float64 { return float64(c.db.Stats().Bytes) }))
}

// routeGauge reports the routes of each family that has any.
type routeGauge struct {
	c    *Collector
	desc *prometheus.Desc
}

func (g *routeGauge) Describe(ch chan<- *prometheus.Desc) { ch <- g.desc }

func (g *routeGauge) Collect(ch chan<- prometheus.Metric) {
	for f, n := range g.c.db.Stats().Routes {
		ch <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, float64(n), f.String())
	}
}
