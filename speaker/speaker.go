package speaker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Speaker holds the sessions of a configuration. All methods may be called by any
// goroutine.
type Speaker struct {
	handler Handler
	log     *slog.Logger
	metrics *metrics
	protect protection
	connect func(ctx context.Context, p *Peer, to netip.AddrPort) (net.Conn, error)

	cfg      atomic.Pointer[Config] // as it is in force; replaced, never changed
	sessions atomic.Int64           // connections of all kinds, against MaxSessions
	applying sync.Mutex             // one change of the configuration at a time

	mu        sync.Mutex
	table     table
	unknown   rate
	listeners []net.Listener
	run       context.Context // of Run, nil before it
	wg        sync.WaitGroup  // what Run waits for
	turns     *turns
	refusals  chan struct{} // bounds those who are told why they are refused
}

// New returns a speaker that does nothing yet. reg gets the metrics.
func New(cfg Config, h Handler, log *slog.Logger, reg prometheus.Registerer) (*Speaker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	const refusedAtOnce = 16
	s := &Speaker{handler: h, log: log, protect: newProtection(), turns: newTurns(), refusals: make(chan struct{}, refusedAtOnce)}
	s.connect = s.dialTCP
	s.metrics = newMetrics(reg, s)
	c := cfg.clone()
	s.cfg.Store(c)
	s.table = newTable(s.entries(c, nil))
	return s, nil
}

// entries makes those of a configuration, with the neighbours of the old ones.
func (s *Speaker) entries(c *Config, old map[string]*entry) []*entry {
	var list []*entry
	for i := range c.Peers {
		p := &c.Peers[i]
		e := &entry{peer: p, since: time.Now(), neighbors: map[netip.Addr]*neighbor{}}
		if o := old[p.Name]; o != nil && samePlace(o.peer, p) {
			e.neighbors, e.accepts, e.since = o.neighbors, o.accepts, o.since
			for _, nb := range e.neighbors {
				nb.setConfig(p)
			}
		}
		if !p.Range() {
			e.neighbor(s, p.Address.Addr().WithZone(p.Zone))
		}
		list = append(list, e)
	}
	return list
}

// configured returns the configuration in force.
func (s *Speaker) configured() *Config { return s.cfg.Load() }

func (s *Speaker) initialDelay() time.Duration { return s.configured().InitialDelay }

// acquire takes one of MaxSessions.
func (s *Speaker) acquire() bool {
	if s.sessions.Add(1) <= int64(s.configured().MaxSessions) {
		return true
	}
	s.release()
	return false
}

func (s *Speaker) release() { s.sessions.Add(-1) }

// Listen opens the listening sockets of the configuration. It is called once,
// before Run, which otherwise calls it.
func (s *Speaker) Listen(ctx context.Context) error {
	cfg := s.configured()
	lc := net.ListenConfig{Control: func(network, address string, raw syscall.RawConn) error {
		return s.protect.listener(ctx, network, address, raw, s.configured().Peers)
	}}
	// A listener of multipath TCP takes neither MD5 keys nor a minimal TTL, and
	// says so too late.
	lc.SetMultipathTCP(false)
	var list []net.Listener
	for _, address := range cfg.Listen {
		ln, err := s.inherited(ctx, address)
		if ln == nil && err == nil {
			ln, err = lc.Listen(ctx, "tcp", address)
		}
		if err != nil {
			for _, l := range list {
				l.Close()
			}
			return fmt.Errorf("speaker: listen on %s: %w", address, err)
		}
		list = append(list, ln)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = list
	return nil
}

// inherited is the listener for an address that was open before, protected as one of
// our own; nil if there is none.
func (s *Speaker) inherited(ctx context.Context, address string) (net.Listener, error) {
	cfg := s.configured()
	if cfg.Inherited == nil {
		return nil, nil //nolint:nilnil // as documented
	}
	ln, ok := cfg.Inherited(address).(*net.TCPListener)
	if !ok {
		return nil, nil //nolint:nilnil // as documented
	}
	raw, err := ln.SyscallConn()
	if err == nil {
		network := "tcp6"
		if addrPort(ln.Addr()).Addr().Is4() {
			network = "tcp4"
		}
		err = s.protect.listener(ctx, network, ln.Addr().String(), raw, cfg.Peers)
	}
	if err != nil {
		_ = ln.Close()
		return nil, err
	}
	return ln, nil
}

// Addrs returns the addresses that are listened on.
func (s *Speaker) Addrs() []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []netip.AddrPort
	for _, l := range s.listeners {
		list = append(list, addrPort(l.Addr()))
	}
	return list
}

var errRunning = errors.New("speaker: Run was called before")

// Run holds the sessions until ctx is done; then it ends them with Cease,
// Administrative Shutdown, and waits for their receivers.
func (s *Speaker) Run(ctx context.Context) error {
	if s.Addrs() == nil {
		if err := s.Listen(ctx); err != nil {
			return err
		}
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	s.mu.Lock()
	for _, l := range s.listeners {
		l.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
	return nil
}

func (s *Speaker) start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run != nil {
		return errRunning
	}
	s.run = ctx
	s.wg.Go(func() { s.turns.run(ctx) })
	for _, l := range s.listeners {
		s.wg.Go(func() { s.accept(ctx, l) })
	}
	for _, e := range s.table.order {
		for _, nb := range e.neighbors {
			s.startDialling(nb)
		}
	}
	return nil
}

// startDialling starts the FSM that dials, if the neighbour is to have one and has
// none. The caller holds s.mu.
func (s *Speaker) startDialling(nb *neighbor) {
	p := nb.config()
	if s.run == nil || s.run.Err() != nil || !p.Active || p.Disabled ||
		slices.ContainsFunc(nb.all(), func(r *runner) bool { return r.dials && !r.stopped.Load() }) {
		return
	}
	s.startRunner(newRunner(nb, true), nil)
}

// startRunner starts an FSM, with the connection that was accepted or nil. The
// caller holds s.mu, so that Run does not wait before it is counted.
func (s *Speaker) startRunner(r *runner, nc net.Conn) {
	r.nb.add(r)
	ctx := s.run
	s.wg.Go(func() {
		var local, remote netip.AddrPort
		if nc != nil {
			local, remote = addrPort(nc.LocalAddr()), addrPort(nc.RemoteAddr())
		}
		r.run(ctx, nc, local, remote)
		r.nb.remove(r)
	})
}
