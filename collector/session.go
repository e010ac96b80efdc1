package collector

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/ribtap/ribtap/bmp"
	"github.com/ribtap/ribtap/event"
)

// session is one transport session of a router: it reads BMP messages and
// turns each into an event. One goroutine owns it.
type session struct {
	c      *Collector
	from   netip.AddrPort
	source event.Source
	// imported is set for a recording, whose end means nothing and whose time is
	// the router's; heard is the last time that the router gave.
	imported *ImportReport
	heard    event.Time

	r         *router // nil until the first message says who it is
	ev        *event.Router
	b         batch
	w         work
	initiated bool
	// terminated is set by a Termination message; nothing counts after it.
	terminated bool
}

// A batch is written when so much has gathered, or when nothing more is there
// to be read at once.
const (
	batchEvents = 2048
	batchOctets = 1 << 20
)

// run reads the session to its end. Its error is one of the event stream.
func (s *session) run(ctx context.Context, conn net.Conn) error {
	rd := bmp.NewReader(conn, s.c.cfg.MaxMessage)
	for {
		if s.c.cfg.IdleTimeout > 0 {
			_ = conn.SetReadDeadline(s.c.now().Add(s.c.cfg.IdleTimeout))
			if ctx.Err() != nil {
				_ = conn.SetReadDeadline(time.Unix(1, 0))
			}
		}
		raw, err := rd.Next()
		if err == nil {
			err = s.batch(ctx, rd, raw)
		}
		if err == nil && !s.terminated {
			continue
		}
		var stream *streamError
		if errors.As(err, &stream) {
			return stream.err
		}
		return s.end(ctx, err)
	}
}

// streamError is a failure of the event stream, not of the session.
type streamError struct{ err error }

func (e *streamError) Error() string { return e.err.Error() }

// batch handles the message and all others that are already there, and writes
// the events they make.
func (s *session) batch(ctx context.Context, rd *bmp.Reader, raw []byte) error {
	for raw != nil {
		var waits []*view
		var err error
		if raw, waits, err = s.some(ctx, rd, raw); err != nil {
			return err
		}
		// A peer that comes back while its last routes are being taken out waits
		// for that, here and not in the middle of it, so that others go on.
		for _, v := range waits {
			if err := s.c.endAll(ctx, s.r, v); err != nil {
				return &streamError{err}
			}
		}
	}
	return nil
}

// some is batch up to a message that has to wait, which it returns, with the
// views to wait for.
func (s *session) some(ctx context.Context, rd *bmp.Reader, raw []byte) (next []byte, waits []*view, err error) {
	s.c.gate.RLock()
	defer s.c.gate.RUnlock()
	if s.r == nil {
		s.identify(raw)
	}
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	// Behind the lock, so that what another session of the router said before is
	// not later.
	s.w.now = s.c.now()
	for {
		if waits = s.awaits(ctx, raw); len(waits) > 0 {
			next = raw
			break
		}
		s.handle(raw, s.clock(raw))
		if s.terminated || len(s.b.events) >= batchEvents || s.b.octets >= batchOctets || !rd.Buffered() {
			break
		}
		if raw, err = rd.Next(); err != nil {
			break
		}
	}
	if s.imported != nil {
		s.imported.Announced, s.imported.Withdrawn = s.w.announced, s.w.withdrawn
	}
	if werr := s.c.write(ctx, &s.b); werr != nil {
		return nil, nil, &streamError{werr}
	}
	return next, waits, err
}

// awaits returns the views of the message's peer whose routes are being taken
// out, if the message says anything new of them. The router's lock is held.
func (s *session) awaits(ctx context.Context, raw []byte) (views []*view) {
	if s.r.endings == 0 || ctx.Err() != nil {
		return nil
	}
	m, err := bmp.Parse(raw)
	if err != nil || !m.Known || m.Type != bmp.TypeRouteMonitoring && m.Type != bmp.TypePeerUp {
		return nil
	}
	p := s.r.peers[keyOfHeader(&m.Peer)]
	if p == nil {
		return nil
	}
	for _, v := range p.views {
		if v != nil && v.ending != nil && !v.ending.onlyStale {
			views = append(views, v)
		}
	}
	return views
}

// clock is when the message counts as received: now, or for a recording when
// the router says that it sent it.
func (s *session) clock(raw []byte) event.Time {
	if s.imported == nil {
		return event.At(s.w.now)
	}
	s.imported.Records++
	if t := sentAt(raw); t != 0 {
		s.heard = t
	}
	if s.heard == 0 {
		return event.At(s.w.now)
	}
	return s.heard
}

// identify decides which router this is, by its first message.
func (s *session) identify(raw []byte) {
	var name, descr string
	m, err := bmp.Parse(raw)
	initiation := err == nil && m.Type == bmp.TypeInitiation
	if initiation {
		name, descr = initiationNames(&m)
	}
	s.enter(routerKey{addr: s.from.Addr().WithZone(""), name: name}, descr)
	if !initiation {
		s.c.m.anomalies.WithLabelValues("no-initiation").Inc()
		e := s.b.add()
		e.Received, e.Kind, e.Source, e.Router = event.At(s.c.now()), event.KindRouterUp, s.source, s.ev
		e.Flags = event.FlagRouterNew | event.FlagInferred
	}
}

// enter makes the session one of the router with the key.
func (s *session) enter(key routerKey, descr string) {
	c := s.c
	s.r = c.router(key, c.displayName(key.addr, key.name))
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.ev = &event.Router{Name: s.r.name, Address: key.addr, SysName: key.name, SysDescr: descr, Session: c.sessionID.Add(1)}
	s.r.live[s] = struct{}{}
	s.r.last = s.ev
	s.r.gone = time.Time{}
}

// end tells what the end of the session means for its peers.
func (s *session) end(ctx context.Context, err error) error {
	if s.r == nil {
		s.countEnd(err)
		return nil
	}
	cause, text := event.CauseSessionLost, endText(err)
	switch {
	case s.terminated:
		cause, text = event.CauseRouterDown, "Termination"
	case ctx.Err() != nil:
		// The router goes on; it is us who leave. Its routes are kept until it
		// connects again, or does not.
		cause, text = event.CauseCollectorStop, "the collector stops"
	default:
		s.countEnd(err)
	}
	s.c.gate.RLock()
	defer s.c.gate.RUnlock()
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	now := event.At(s.c.now())
	if !s.terminated {
		e := s.b.add()
		e.Received, e.Kind, e.Cause, e.Flags, e.Router = now, event.KindRouterDown, cause, event.FlagInferred, s.ev
		e.Text = text
	}
	if cause == event.CauseCollectorStop {
		s.r.leave(s)
	} else {
		s.r.endSession(&s.b, s, cause, now)
	}
	s.c.log.Info("BMP session ended", "router", s.ev.Name, "remote", s.from.String(), "cause", cause.String(), "reason", text)
	return s.c.write(ctx, &s.b)
}

func (s *session) countEnd(err error) {
	var be *bmp.Error
	if errors.As(err, &be) {
		s.c.m.decodeErrors.WithLabelValues(be.Reason).Inc()
	}
}

// endText says in a few words why a session ended.
func endText(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, io.EOF):
		return "connection closed by the router"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "nothing was heard for too long"
	}
	return err.Error()
}
