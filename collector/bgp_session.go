package collector

import (
	"context"
	"fmt"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/speaker"
)

// bgpSession is one Established session of our speaker: it makes an event of
// each message and brings the neighbour's RIB state along.
//
// Message only gathers; what was gathered is taken under the neighbour's lock
// and written in one piece, at a Flush or when it is enough, so that no lock is
// held from one call to the next.
type bgpSession struct {
	session
	run *bgpRun
	of  *speaker.Session
	p   *peer
	cl  *claim
	v   *view
	nb  *neighbour

	// enhanced: both sides know the marks of a refresh (RFC 7313).
	enhanced bool
	admit    admission
	role     *bgp.Role // the neighbour's, if known
	held     bool

	// gathered are messages whose octets are in the memory of in; left is for how
	// many routes there is room before a limit ends the session.
	gathered []gathered
	in       batch
	left     int
	look     bgp.Update
	err      error // of the stream, for the next Flush
}

var _ speaker.Receiver = (*bgpSession)(nil)

// gathered is a message and when it came.
type gathered struct {
	at  event.Time
	msg []byte
}

func (s *bgpSession) lock() {
	if !s.held {
		s.c.gate.RLock()
		s.r.mu.Lock()
		s.held = true
	}
}

func (s *bgpSession) unlock() {
	if s.held {
		s.held = false
		s.r.mu.Unlock()
		s.c.gate.RUnlock()
	}
}

// settle waits until no routes are being taken out of the view, while others go
// on; what there is to write is written first. The locks are held before and
// after, not meanwhile.
func (s *bgpSession) settle(ctx context.Context) error {
	for s.v != nil && s.v.ending != nil && ctx.Err() == nil {
		err := s.c.write(ctx, &s.b)
		s.unlock()
		if err == nil {
			err = s.c.endAll(ctx, s.r, s.v)
		}
		s.lock()
		if err != nil {
			return err
		}
	}
	return nil
}

// end takes routes out of the view, at once or in portions.
func (s *bgpSession) end(ctx context.Context, en *ending, now event.Time) error {
	if en.only == 0 {
		return nil
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	s.r.endView(&s.b, s.v, en, now)
	return nil
}

// up makes the neighbour a peer that is up.
func (s *bgpSession) up(ctx context.Context) error {
	sent, err := bgp.ParseOpen(s.of.Sent)
	if unreadable(err) {
		return fmt.Errorf("collector: our own OPEN: %w", err)
	}
	received, err := bgp.ParseOpen(s.of.Received)
	if unreadable(err) {
		return fmt.Errorf("collector: the neighbour's OPEN: %w", err)
	}
	s.p = s.r.peer(peerKey{addr: s.r.key.neighbour})
	s.v = s.p.views[event.AdjRIBInPre]
	if err := s.settle(ctx); err != nil {
		return err
	}
	nb := s.r.neighbour.Load()
	if nb == nil {
		nb = &neighbour{}
		s.r.neighbour.Store(nb)
	}
	s.nb = nb
	at := s.c.now()
	if !s.of.Since.IsZero() {
		at = s.of.Since
	}
	now := event.At(at)
	if nb.session != nil {
		if err := s.replace(ctx, nb.session, now); err != nil {
			return err
		}
	}
	s.cl = s.newClaim(s.p, nil, now)
	s.cl.in, s.cl.out = s.of.Receive, s.of.Transmit
	s.cl.ev = &event.Peer{
		Router: s.ev, Address: s.p.key.addr, ASN: s.of.RemoteASN, BGPID: s.of.RemoteID,
		LocalAddress: s.of.Local.Addr().Unmap().WithZone(""), LocalASN: s.of.LocalASN, Epoch: s.p.epoch,
	}
	s.p.last, s.r.last = s.cl.ev, s.ev
	s.enhanced = sent.Has(bgp.CapEnhancedRefresh) && received.Has(bgp.CapEnhancedRefresh)
	s.role = neighbourRole(&sent, &received)
	nb.session = s

	e := s.event(event.KindPeerUp, now)
	e.Session = s.cl.in
	e.Sent, e.PDU = s.b.copy(s.of.Sent), s.b.copy(s.of.Received)
	e.Text = sessionText(s.of)

	s.v = s.r.view(s.p, event.AdjRIBInPre, s.cl.ev)
	s.admit = admission{families: s.of.Families, nb: nb}
	if s.of.Peer != nil {
		s.admit.limits = s.of.Peer.MaxPrefixes
	}
	s.left = s.admit.left(s.v)
	s.w.admit = &s.admit
	if err := s.resume(ctx, readRestart(&sent, &received), now); err != nil {
		return err
	}
	nb.publish(s.p, s.v)
	return nil
}

// replace ends a session of the same neighbour that the new one takes the place
// of: the speaker closed it without a word (RFC 4724 §4.2).
func (s *bgpSession) replace(ctx context.Context, old *bgpSession, now event.Time) error {
	e := s.b.add()
	e.Received, e.Kind, e.RIB, e.Cause, e.Flags = now, event.KindPeerDown, event.AdjRIBInPre, event.CausePeerReplaced, event.FlagInferred
	e.Router, e.Peer = old.ev, old.cl.ev
	return s.lose(ctx, old.cl, event.CauseSessionLost, s.nb.rules.graceful, now)
}

// event adds the event of a message of the session.
func (s *bgpSession) event(kind event.Kind, now event.Time) *event.Event {
	e := s.b.add()
	e.Received, e.Kind, e.Source, e.RIB = now, kind, event.SourceBGP, event.AdjRIBInPre
	e.Router, e.Peer = s.ev, s.cl.ev
	return e
}

// Message implements speaker.Receiver.
func (s *bgpSession) Message(received time.Time, msg []byte) *speaker.Fault {
	if s.err != nil {
		return nil
	}
	kept := s.in.copy(msg)
	s.gathered = append(s.gathered, gathered{event.At(received), kept})
	if !s.urgent(kept) && len(s.gathered) < batchEvents && s.in.octets < batchOctets {
		return nil
	}
	s.lock()
	defer s.unlock()
	return s.take(s.run.ctx)
}

// urgent reports whether the message, gathered last, may be the session's end,
// which the speaker must hear of at once.
func (s *bgpSession) urgent(msg []byte) bool {
	if bgp.MessageType(msg) != bgp.MessageUpdate {
		return true
	}
	// No message has more routes than octets.
	if s.in.octets >= int64(s.left) {
		return true
	}
	if s.c.cfg.Speaker.Quarantine {
		return false
	}
	s.look.Parse(msg, s.cl.in)
	return s.look.Verdict() == bgp.VerdictSessionReset
}

// take makes the events of what was gathered and writes them. The fault is the
// first one met; messages behind it are events, but change nothing.
func (s *bgpSession) take(ctx context.Context) (fault *speaker.Fault) {
	for _, g := range s.gathered {
		if f := s.message(g.msg, g.at); fault == nil {
			fault = f
		}
	}
	s.fail(s.c.write(ctx, &s.b))
	s.gathered = s.gathered[:0]
	s.in.reset()
	s.left = s.admit.left(s.v)
	return fault
}

// message makes the event of one message, which outlives the batch.
func (s *bgpSession) message(msg []byte, now event.Time) *speaker.Fault {
	s.b.octets += int64(len(msg))
	switch bgp.MessageType(msg) {
	case bgp.MessageUpdate:
		return s.update(msg, now)
	case bgp.MessageRouteRefresh:
		return s.refresh(msg, now)
	}
	e := s.event(event.KindUnknown, now)
	e.PDU, e.Text = msg, errUnknownType.Error()
	s.c.m.decodeErrors.WithLabelValues(e.Text).Inc()
	return nil
}

// fail keeps an error of the stream for the next Flush.
func (s *bgpSession) fail(err error) {
	if err != nil && s.err == nil {
		s.err = err
	}
}

// Flush implements speaker.Receiver.
func (s *bgpSession) Flush(ctx context.Context) error {
	if len(s.gathered) > 0 && s.err == nil {
		s.lock()
		defer s.unlock()
		s.take(ctx) // a fault was urgent, and is known
	}
	return s.err
}

// update is an UPDATE: a route event, whatever is wrong with it.
func (s *bgpSession) update(msg []byte, now event.Time) *speaker.Fault {
	e := s.event(event.KindRoute, now)
	e.Session, e.PDU = s.cl.in, msg
	if s.nb.session != s {
		// Replaced: what it says is kept, and counts for nothing.
		s.w.update.Parse(e.PDU, e.Session)
		s.c.judge(e, &s.w.update)
		e.Flags |= event.FlagNonOwner
		return nil
	}
	s.admit.begin()
	s.w.now = now.Std()
	s.c.route(s.v, s.cl, e, &s.w, &s.b)
	if e.Flags&event.FlagDropped != 0 {
		return s.broken(&s.w.update, msg)
	}
	if s.leaked(&s.w.update) {
		e.Flags |= event.FlagOTCLeak
	}
	if s.looped(&s.w.update) {
		e.Flags |= event.FlagClusterLoop
	}
	if f, ok := s.w.update.EndOfRIB(); ok {
		s.fail(s.endOfRIB(f, now))
		return nil
	}
	return s.refused(e)
}

// broken is an UPDATE that cannot be read: the end of the session, or of our
// trust in the families that it may have been about.
func (s *bgpSession) broken(u *bgp.Update, msg []byte) *speaker.Fault {
	if s.c.cfg.Speaker.Quarantine {
		s.quarantine(u)
		return nil
	}
	return faultOf(u, msg)
}

// Down implements speaker.Receiver.
func (s *bgpSession) Down(ctx context.Context, d speaker.Down) error {
	if err := s.Flush(ctx); err != nil {
		d.Stop = true // what the stream lacks must not be called withdrawn
	}
	s.lock()
	defer s.unlock()
	nb := s.nb
	if nb.session != s {
		// Another session took over and said so; the rest of this one is written.
		return s.finish(ctx)
	}
	if d.Stop || s.c.failed.Load() {
		// It is us who leave: the neighbour's routes are kept until it comes back
		// to us, or does not.
		nb.session = nil
		s.r.leave(&s.session)
		nb.publish(s.p, s.v)
		return s.finish(ctx)
	}
	at := s.c.now()
	if !d.At.IsZero() {
		at = d.At
	}
	now := event.At(at)
	cause := downCause(&d)
	e := s.event(event.KindPeerDown, now)
	e.Cause, e.Reason, e.Text = cause, uint16(d.Reason), d.Text
	e.PDU = s.b.copy(d.Notification)
	if d.Reason == speaker.DownLocal {
		e.FSMCode = uint16(d.FSMEvent)
	}
	if n, err := bgp.ParseNotification(d.Notification); err == nil && communicationLies(n) {
		s.anomaly(e, "shutdown-communication")
	}
	if err := s.lose(ctx, s.cl, cause, nb.rules.survives(&d), now); err != nil {
		return err
	}
	nb.publish(s.p, s.v)
	return s.finish(ctx)
}

// finish writes what is left.
func (s *bgpSession) finish(ctx context.Context) error {
	s.fail(s.c.write(ctx, &s.b))
	return s.err
}

// downCause says whether a session ended with a word or without one.
func downCause(d *speaker.Down) event.Cause {
	if lost(d) {
		return event.CauseSessionLost
	}
	return event.CausePeerDown
}

// lost reports whether a session ended although neither side wanted it to.
func lost(d *speaker.Down) bool {
	const manualStop, automaticStop = 2, 8 // RFC 4271 §8.1
	switch d.Reason {
	case speaker.DownRemote:
		return true
	case speaker.DownLocal:
		return d.FSMEvent != manualStop && d.FSMEvent != automaticStop
	}
	return false
}
