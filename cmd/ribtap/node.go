package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/ribtap/ribtap/collector"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/stream"
)

// nodeMode says what a node is opened for.
type nodeMode struct {
	listens bool
	// inherited gives sockets that are open already; nil for none.
	inherited func(address string) net.Listener
	// grace is how long sinks may take to catch up at the end.
	grace time.Duration
}

var (
	nodeDaemon = nodeMode{listens: true, grace: 20 * time.Second}
	// nodeOffline is an import without a daemon: it is done when its rows are there.
	nodeOffline = nodeMode{grace: time.Hour}
)

// node is a data directory that is open for writing: the stream, the sinks that
// follow it, and the collector that feeds it.
type node struct {
	s      *settings
	log    *slog.Logger
	reg    *prometheus.Registry
	mode   nodeMode
	stream *stream.Log
	sinks  []*openSink
	// troubles are the errors of sinks that could not be reached at the start.
	troubles []error
	col      *collector.Collector
	bgp      *bgpNode // nil without a speaker
	// restored is closed when the RIB state is that of the stream's end.
	restored chan struct{}

	cancel context.CancelFunc
	group  *errgroup.Group
	run    context.Context // ends when a part of the group does
}

// openNode opens everything and starts nothing. The error is stream.ErrLocked
// while another process has the data directory.
func openNode(ctx context.Context, s *settings, log *slog.Logger, mode nodeMode) (n *node, err error) {
	n = &node{s: s, log: log, mode: mode, reg: prometheus.NewRegistry(), restored: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	n.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo())
	if err := os.MkdirAll(s.DataDir, 0o750); err != nil {
		return n, fmt.Errorf("data_dir %s cannot be made: %w", s.DataDir, errors.Unwrap(err))
	}
	sc := stream.DefaultConfig()
	sc.Dir = s.streamDir()
	sc.SyncInterval = s.Stream.SyncInterval.Std()
	sc.MaxSize = int64(s.Stream.MaxSize)
	sc.OnFull = s.Stream.OnFull
	if n.stream, err = stream.Open(sc, log, n.reg); err != nil {
		return n, err
	}
	cc, err := n.collectorConfig(mode)
	if err != nil {
		return n, err
	}
	if n.col, err = collector.New(cc, n.stream, log, n.reg); err != nil {
		return n, err
	}
	return n, n.openSinks(ctx, mode.grace)
}

// firstTry bounds the attempt to reach a server before sessions are accepted: what
// does not answer by then is away.
const firstTry = 5 * time.Second

// unusable decides about a server that cannot be used when the node is opened,
// whether it is away or refuses. A daemon whose sink was of use before goes on,
// because what routers say cannot be had later: the sink lags and is tried again,
// for the server may be put right. One that never was is most likely configured
// wrong, which its owner should learn now. An import is done when its rows are
// there, so it ends here too.
func (n *node) unusable(sink string, err error) error {
	if !n.mode.listens || !n.met(sink) {
		return err
	}
	n.troubles = append(n.troubles, err)
	return nil
}

// met reports whether the sink followed the stream once.
func (n *node) met(sink string) bool {
	_, err := os.Stat(filepath.Join(n.s.streamDir(), "cursors", sink))
	return !errors.Is(err, fs.ErrNotExist)
}

func (s *settings) streamDir() string { return filepath.Join(s.DataDir, "stream") }

func buildInfo() prometheus.Collector {
	v := thisVersion()
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "ribtap_build_info", Help: "What is running; the value is always 1.",
		ConstLabels: prometheus.Labels{"version": v.Version, "go": v.Go},
	})
	g.Set(1)
	return g
}

func (n *node) collectorConfig(mode nodeMode) (collector.Config, error) {
	s := n.s
	cc := collector.DefaultConfig()
	cc.SnapshotPath = filepath.Join(s.DataDir, "rib.snapshot")
	cc.Position = n.stream.Last
	cc.MaxMessage = int(s.BMP.MaxMessage)
	if s.bgp.off == "" { // also offline: the RIB state of its neighbours is its own
		cc.Speaker = collector.SpeakerConfig{
			Name: s.Collector.Name, RouterID: s.bgp.speaker.RouterID, Quarantine: s.BGP.OnResetError == onResetQuarantine,
		}
	}
	cc.Pace = n.pace
	cc.RestartHold = s.BMP.RestartHold.Std()
	cc.SweepQuiet, cc.SweepCap = s.BMP.SweepQuiet.Std(), s.BMP.SweepCap.Std()
	if !mode.listens {
		cc.Listen = nil
		return cc, nil
	}
	cc.Listen, cc.Inherited = s.BMP.Listen, mode.inherited
	cc.Allow = s.allow()
	cc.MaxSessions = s.BMP.MaxSessions
	cc.IdleTimeout, cc.Keepalive = s.BMP.IdleTimeout.Std(), s.BMP.Keepalive.Std()
	for _, r := range s.BMP.Routers {
		a, err := r.addrPort()
		if err != nil {
			return cc, err
		}
		cc.Routers = append(cc.Routers, collector.RouterConfig{Name: r.Name, Address: a.Addr(), Port: a.Port()})
	}
	var err error
	cc.TLS, err = s.BMP.TLS.load()
	return cc, err
}

// allow is bmp.allow as prefixes; check has seen them all.
func (s *settings) allow() []netip.Prefix {
	out := make([]netip.Prefix, 0, len(s.BMP.Allow))
	for _, a := range s.BMP.Allow {
		if p, err := parsePrefix(a); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// load reads the certificates; it returns nil without one.
func (t TLSConfig) load() (*tls.Config, error) {
	if t.Cert == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, fmt.Errorf("bmp.tls: %w", err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	if t.ClientCA == "" {
		return c, nil
	}
	pem, err := os.ReadFile(t.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("bmp.tls.client_ca: %w", err)
	}
	c.ClientCAs = x509.NewCertPool()
	if !c.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("bmp.tls.client_ca: %s holds no PEM certificate", t.ClientCA)
	}
	c.ClientAuth = tls.RequireAndVerifyClientCert
	return c, nil
}

// Bounds of pace.
const (
	paceStep = 5 * time.Millisecond
	paceMax  = 2 * time.Second
)

// pace waits until the sinks that work have taken what is in the stream now, so
// that the end of a huge table stands before no other session's events for
// longer than one portion of it takes. It ends after paceMax: a sink that stands
// still does not stop the collector.
func (n *node) pace() {
	upTo := n.stream.Last()
	for waited := time.Duration(0); waited < paceMax; waited += paceStep {
		behind := false
		for _, s := range n.sinks {
			st := s.follower.Status()
			behind = behind || st.Healthy && st.Taken < upTo
		}
		if !behind {
			return
		}
		time.Sleep(paceStep)
	}
}

// start runs the stream and the sinks and brings the collector to where it was.
// When it returns nil, events may be written; stop ends all of it.
func (n *node) start(ctx context.Context) error {
	// The caller's end must not cut a drain short, so the context is our own.
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	n.cancel = cancel
	n.group, n.run = errgroup.WithContext(run)
	n.group.Go(func() error { return n.stream.Run(n.run) })
	for _, s := range n.sinks {
		n.group.Go(func() error { return s.follower.Run(n.run) })
	}
	defer close(n.restored)
	return n.col.Restore(func(from uint64, fn func([]event.Event) error) error {
		rd := n.stream.NewReader(from)
		defer rd.Close()
		for ctx.Err() == nil {
			batch, err := rd.TryNext()
			if err != nil {
				return err
			}
			if len(batch) == 0 {
				return nil
			}
			if err := fn(batch); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
}

// failed waits until ctx ends, or until the stream or a sink has ended with an
// error that it cannot live with; the error itself comes from stop.
func (n *node) failed(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-n.run.Done():
	}
	return nil
}

// stop lets the sinks catch up, for as long as the mode allows, and closes
// everything. What they have not written by then is in the stream for the next
// start.
func (n *node) stop() error {
	var errs []error
	if n.cancel != nil {
		n.cancel()
		errs = append(errs, n.group.Wait())
	}
	for _, s := range n.sinks {
		if st := s.follower.Status(); !st.Healthy {
			n.log.Warn("sink has not caught up; it goes on at the next start", "sink", s.name, "lag_events", st.LagEvents, "error", st.LastError)
		}
	}
	errs = append(errs, n.col.SaveState(), n.close())
	return errors.Join(errs...)
}

// close closes what is open; it is for a node that is not running.
func (n *node) close() error {
	var errs []error
	for _, s := range n.sinks {
		errs = append(errs, s.close())
	}
	n.sinks = nil
	if n.stream != nil {
		errs = append(errs, n.stream.Close())
		n.stream = nil
	}
	return errors.Join(errs...)
}

// status is the node's part of /v1/status.
func (n *node) status() status {
	cs := n.col.Stats()
	st := status{
		Collector: n.s.Collector.Name,
		Stream:    streamStatus{LastSequence: n.stream.Last(), FirstSequence: n.stream.First(), Bytes: n.stream.Size()},
		Routers:   cs.Routers, PeersUp: cs.PeersUp, Routes: cs.Routes,
		Gaps:  n.stream.Gaps(),
		Sinks: []sinkStatus{},
	}
	if err := n.stream.Err(); err != nil {
		st.Stream.Error = oneLine(err.Error())
	}
	for _, s := range n.sinks {
		f := s.follower.Status()
		row := sinkStatus{Name: s.name, CommittedSequence: f.Committed, LagEvents: f.LagEvents, LagSeconds: f.LagSeconds, Healthy: f.Healthy, LastError: f.LastError}
		st.Sinks = append(st.Sinks, row)
		if h, ok := s.sink.(interface{ Holes() uint64 }); ok {
			st.Gaps += h.Holes()
		}
	}
	return st
}
