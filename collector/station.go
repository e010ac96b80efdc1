package collector

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/ribtap/ribtap/event"
)

// station is the BMP station's transport: it listens, dials and starts a
// session for each connection.
type station struct {
	c         *Collector
	listeners []net.Listener
}

func (st *station) listen(ctx context.Context) error {
	var lc net.ListenConfig
	// MPTCP would take the TCP options that guard a session away.
	lc.SetMultipathTCP(false)
	for _, addr := range st.c.cfg.Listen {
		var l net.Listener
		if st.c.cfg.Inherited != nil {
			l = st.c.cfg.Inherited(addr)
		}
		var err error
		if l == nil {
			l, err = lc.Listen(ctx, "tcp", addr)
		}
		if err != nil {
			for _, open := range st.listeners {
				_ = open.Close()
			}
			return fmt.Errorf("collector: cannot listen for BMP on %s: %w", addr, err)
		}
		st.listeners = append(st.listeners, l)
	}
	return nil
}

func (st *station) addrs() []net.Addr {
	out := make([]net.Addr, len(st.listeners))
	for i, l := range st.listeners {
		out[i] = l.Addr()
	}
	return out
}

// run accepts and dials until ctx ends, and waits for all sessions.
func (st *station) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range st.listeners {
		stop := context.AfterFunc(ctx, func() { _ = l.Close() })
		defer stop()
		g.Go(func() error { return st.accept(ctx, g, l) })
	}
	for _, rc := range st.c.cfg.Routers {
		if rc.Port != 0 {
			g.Go(func() error { return st.dial(ctx, rc) })
		}
	}
	return g.Wait()
}

func (st *station) accept(ctx context.Context, g *errgroup.Group, l net.Listener) error {
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = conn.Close()
			}
			return nil
		}
		if err != nil {
			// Out of file descriptors, most likely: others may free some.
			st.c.log.Warn("cannot accept a BMP connection", "listener", l.Addr().String(), "error", err)
			if !sleep(ctx, time.Second) {
				return nil
			}
			continue
		}
		if reason := st.refuse(conn); reason != "" {
			st.c.m.refused.WithLabelValues(reason).Inc()
			_ = conn.Close()
			continue
		}
		g.Go(func() error { return st.c.Serve(ctx, conn) })
	}
}

// refuse says why a connection is not let in, or nothing.
func (st *station) refuse(conn net.Conn) string {
	from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return "address"
	}
	addr := from.Addr().Unmap().WithZone("")
	st.c.mu.Lock()
	allow := st.c.allow
	st.c.mu.Unlock()
	for _, p := range allow {
		if p.Contains(addr) {
			if st.c.sessions.Load() >= int64(st.c.cfg.MaxSessions) {
				return "max-sessions"
			}
			return ""
		}
	}
	return "not-allowed"
}

func (st *station) dial(ctx context.Context, rc RouterConfig) error {
	to := net.JoinHostPort(rc.Address.String(), strconv.Itoa(int(rc.Port)))
	d := net.Dialer{Timeout: 10 * time.Second}
	for wait := time.Second; ; {
		conn, err := d.DialContext(ctx, "tcp", to)
		if err == nil {
			wait = time.Second
			if err := st.c.Serve(ctx, conn); err != nil {
				return err
			}
		} else if ctx.Err() == nil {
			st.c.log.Info("router does not answer", "router", rc.Name, "address", to, "error", err)
		}
		if !sleep(ctx, wait) {
			return nil
		}
		wait = min(2*wait, time.Minute)
	}
}

// Serve runs one BMP session over a connection to its end and closes it. Its
// error is one of the event stream; how the session ends is an event.
func (c *Collector) Serve(ctx context.Context, conn net.Conn) error {
	c.sessions.Add(1)
	c.m.sessions.Inc()
	defer func() {
		c.sessions.Add(-1)
		c.m.sessions.Dec()
		_ = conn.Close()
	}()
	from := conn.RemoteAddr()
	if tcp, ok := conn.(*net.TCPConn); ok {
		if err := guard(tcp, c.cfg.Keepalive); err != nil {
			c.log.Warn("no TCP keepalive: a dead path stays unseen", "remote", from.String(), "error", err)
		}
	}
	if c.cfg.TLS != nil {
		tc := tls.Server(conn, c.cfg.TLS)
		hctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
		err := tc.HandshakeContext(hctx)
		cancel()
		if err != nil {
			c.m.refused.WithLabelValues("tls").Inc()
			c.log.Warn("TLS handshake failed", "remote", from.String(), "error", err)
			return nil
		}
		conn = tc
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	ap, err := netip.ParseAddrPort(from.String())
	if err != nil {
		return fmt.Errorf("collector: remote address: %w", err)
	}
	s := &session{c: c, from: netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), source: event.SourceBMP}
	return s.run(ctx, conn)
}

// handshakeTimeout bounds the TLS handshake of a router.
const handshakeTimeout = 10 * time.Second

// guard makes a dead path end the connection: BMP has no keepalive of its own,
// and a station never sends, so that TCP alone would not notice for ever.
func guard(conn *net.TCPConn, interval time.Duration) error {
	err := conn.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: interval, Interval: interval / 2, Count: 3})
	raw, err2 := conn.SyscallConn()
	if err2 != nil {
		return errors.Join(err, err2)
	}
	var err3 error
	err2 = raw.Control(func(fd uintptr) {
		err3 = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int((3 * interval).Milliseconds()))
	})
	return errors.Join(err, err2, err3)
}

// sleep waits and reports whether ctx still lives.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
