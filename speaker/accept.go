package speaker

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/ribtap/ribtap/bgp"
)

// accept takes connections until the listener is closed.
func (s *Speaker) accept(ctx context.Context, l net.Listener) {
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			s.take(nc)
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return
		default:
			// Out of file descriptors, or the like: what waits in the queue of the
			// kernel can wait a little longer.
			s.log.Error("connection not accepted", "error", err)
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
}

// take finds out whose a connection is and starts its FSM. It never blocks.
func (s *Speaker) take(nc net.Conn) {
	reason, subcode := s.admit(nc)
	if reason == "" {
		return
	}
	s.metrics.refused.WithLabelValues(reason).Inc()
	s.log.Debug("connection refused", "remote", nc.RemoteAddr(), "reason", reason)
	if subcode == 0 {
		_ = nc.Close()
		return
	}
	s.refuse(nc, subcode)
}

// admit starts the FSM of a connection, or says why not, and with which subcode of
// Cease the neighbour is to be told, 0: none.
func (s *Speaker) admit(nc net.Conn) (reason string, subcode uint8) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cfg := s.configured()
	if s.run == nil || s.run.Err() != nil {
		return refusedDisabled, 0
	}
	addr := addrPort(nc.RemoteAddr()).Addr()
	e := s.table.find(addr)
	if e == nil {
		if !s.unknown.allow(time.Now(), cfg.AcceptRateUnknown) || !cfg.RefuseUnknown {
			return refusedUnknown, 0
		}
		return refusedUnknown, bgp.CeaseConnectionRejected
	}
	if e.peer.Disabled {
		return refusedDisabled, 0
	}
	if !e.accepts.allow(time.Now(), cfg.AcceptRate) {
		return refusedRate, 0
	}
	if t, ok := nc.(*net.TCPConn); ok {
		if err := s.protect.accepted(t, e.peer); err != nil {
			s.log.Warn("connection refused", "peer", e.peer.Name, "remote", addr, "error", err)
			return refusedProtection, 0
		}
	}
	nb := e.neighbor(s, addr)
	switch {
	case nb == nil:
		return refusedRange, bgp.CeaseConnectionRejected
	case nb.holdLeft() > 0:
		return refusedHeld, bgp.CeaseMaxPrefixes
	case nb.live() >= maxConnections:
		return refusedThird, bgp.CeaseConnectionRejected
	case !s.acquire():
		return refusedSessions, 0
	}
	s.startRunner(newRunner(nb, false), nc)
	return "", 0
}

// refuse tells somebody why. There are few who are told at once; the others find
// the connection closed.
func (s *Speaker) refuse(nc net.Conn, subcode uint8) {
	select {
	case s.refusals <- struct{}{}:
	default:
		_ = nc.Close()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wg.Go(func() {
		defer func() { <-s.refusals }()
		_ = nc.SetWriteDeadline(time.Now().Add(lastWriteTime))
		if _, err := nc.Write(bgp.AppendCeaseText(nil, subcode, "")); err == nil {
			s.metrics.message(bgp.MessageNotification, sent)
			s.metrics.notification(bgp.ErrorCease, sent)
			drain(nc)
		}
		_ = nc.Close()
	})
}
