package collector

import (
	"errors"
	"net/netip"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/bmp"
	"github.com/ribtap/ribtap/event"
)

// handle makes the events of one BMP message. The router's lock is held.
func (s *session) handle(raw []byte, now event.Time) {
	c := s.c
	c.m.octets.Add(float64(len(raw)))
	m, err := bmp.Parse(raw)
	if err != nil {
		c.m.messages.WithLabelValues("unreadable").Inc()
		s.unknown(&m, raw, now, err)
		return
	}
	if m.Known {
		c.m.byType[m.Type].Inc()
	} else {
		c.m.messages.WithLabelValues(m.Type.String()).Inc()
	}
	s.headerAnomalies(m.Anomalies)
	if !m.Known || m.Type.HasPeer() && m.Peer.Type > bmp.PeerLocRIB {
		s.unknown(&m, raw, now, errUnknownType)
		return
	}
	switch m.Type {
	case bmp.TypeRouteMonitoring:
		s.routeMonitoring(&m, raw, now)
	case bmp.TypeStatistics:
		s.statistics(&m, raw, now)
	case bmp.TypePeerDown:
		s.peerDown(&m, raw, now)
	case bmp.TypePeerUp:
		s.peerUp(&m, raw, now)
	case bmp.TypeInitiation:
		s.initiation(&m, raw, now)
	case bmp.TypeTermination:
		s.termination(&m, raw, now)
	case bmp.TypeRouteMirroring:
		s.mirroring(&m, raw, now)
	}
}

// Reasons of messages that are sound but say nothing that we know.
var (
	errUnknownType = errors.New("unknown-type") // a version, message type or peer type
	errOpen        = errors.New("open-unreadable")
)

// unknown keeps a message that cannot be read as it came.
func (s *session) unknown(m *bmp.Message, raw []byte, now event.Time, err error) {
	reason := err.Error()
	var be *bmp.Error
	if errors.As(err, &be) {
		reason = be.Reason
	}
	s.c.m.decodeErrors.WithLabelValues(reason).Inc()
	if s.imported != nil {
		s.imported.fault(err)
	}
	e := s.b.add()
	e.Received, e.Kind, e.Source, e.Router = now, event.KindUnknown, s.source, s.ev
	e.Text = reason
	e.Head = s.b.copy(raw)
	if m.Known && m.Type.HasPeer() && m.Peer.Type <= bmp.PeerLocRIB {
		if p := s.r.peers[keyOfHeader(&m.Peer)]; p != nil {
			if cl := p.claimOf(s); cl != nil {
				e.Peer = cl.ev
			}
		}
	}
}

// anomaly counts a message that was accepted although something in it is wrong.
func (s *session) anomaly(e *event.Event, reason string) {
	s.c.m.anomalies.WithLabelValues(reason).Inc()
	e.Flags |= event.FlagAnomaly
}

// anomalies does so for each of the codec's remarks.
func (s *session) anomalies(e *event.Event, found bmp.Anomalies) {
	if found == 0 {
		return
	}
	s.headerAnomalies(found)
	e.Flags |= event.FlagAnomaly
}

func (s *session) headerAnomalies(found bmp.Anomalies) {
	for one := range found.All() {
		s.c.m.anomalies.WithLabelValues(one.String()).Inc()
	}
}

// keyOfHeader is the identity of the peer that a per-peer header names.
func keyOfHeader(h *bmp.PeerHeader) peerKey {
	k := peerKey{typ: event.PeerType(h.Type), rd: h.Distinguisher, addr: h.Address}
	if k.typ == event.PeerLocRIB {
		// RFC 9069 §4.1: the address is zero; some routers write their own.
		k.addr = netip.IPv4Unspecified()
	}
	return k
}

// ribOf is the view that a per-peer header names (RFC 7854 §4.2, RFC 8671 §4,
// RFC 9069 §4.2).
func ribOf(h *bmp.PeerHeader) event.RIB {
	switch {
	case event.PeerType(h.Type) == event.PeerLocRIB:
		return event.LocRIB
	case h.AdjRIBOut() && h.PostPolicy():
		return event.AdjRIBOutPost
	case h.AdjRIBOut():
		return event.AdjRIBOutPre
	case h.PostPolicy():
		return event.AdjRIBInPost
	}
	return event.AdjRIBInPre
}

// claim returns the session's claim of a peer; one that was never up gets a
// claim without a Peer Up, so that its routes are not lost.
func (s *session) claim(p *peer, h *bmp.PeerHeader) *claim {
	if cl := p.claimOf(s); cl != nil {
		return cl
	}
	s.r.claims++
	ev := &event.Peer{
		Router: s.ev, Type: p.key.typ, Distinguisher: p.key.rd, Address: p.key.addr, ASN: h.ASN, BGPID: h.BGPID,
	}
	// Without OPENs nothing is known of ADD-PATH; guessing it would invent
	// routes, so what does not decode is kept raw.
	plain := bgp.Session{AS4: true, ExtendedMessage: true}
	cl := &claim{by: s, order: s.r.claims, ev: ev, in: plain, out: plain, loc: plain}
	p.claims = append(p.claims, cl)
	p.last = ev
	return cl
}

// peerEvent adds the event of a message that has a per-peer header.
func (s *session) peerEvent(kind event.Kind, h *bmp.PeerHeader, ev *event.Peer, now event.Time) *event.Event {
	e := s.b.add()
	e.Received, e.Observed, e.Kind, e.Source = now, event.Time(h.Time()), kind, s.source
	e.Router, e.Peer = s.ev, ev
	return e
}

func (s *session) routeMonitoring(m *bmp.Message, raw []byte, now event.Time) {
	c := s.c
	rm, err := bmp.ParseRouteMonitoring(m)
	if err != nil {
		s.unknown(m, raw, now, err)
		return
	}
	h := &m.Peer
	p := s.r.peer(keyOfHeader(h))
	cl := s.claim(p, h)
	which := ribOf(h)
	v := s.r.view(p, which, cl.ev)
	if v.ending != nil {
		s.r.finishEnding(&s.b, v, now)
	}
	e := s.peerEvent(event.KindRoute, h, cl.ev, now)
	e.RIB = which
	if !cl.up {
		e.Flags |= event.FlagPeerUnknown
	}
	e.Session = cl.session(which)
	e.Session.AS4 = which == event.LocRIB || !h.LegacyASPath()
	e.Head, e.PDU, e.Tail = s.b.copy(rm.Head), s.b.copy(rm.PDU), s.b.copy(rm.Tail)
	if len(rm.Tail) > 0 {
		e.Flags |= event.FlagTrailing
	}
	s.anomalies(e, rm.Anomalies)
	c.route(v, cl, e, &s.w, &s.b)
}

// route judges the UPDATE of e and brings its routes into the view, if the
// claim owns it. w.now is set.
func (c *Collector) route(v *view, cl *claim, e *event.Event, w *work, b *batch) {
	w.update.Parse(e.PDU, e.Session)
	if cl.legacy && e.Session.AS4 && faulty(&w.update, bgp.AttrASPath) {
		// The router left the A flag out (RFC 7854 §4.2), but its session with
		// the peer has two-octet AS numbers, and so has this path.
		e.Session.AS4 = false
		if w.update.Parse(e.PDU, e.Session); faulty(&w.update, bgp.AttrASPath) {
			e.Session.AS4 = true
			w.update.Parse(e.PDU, e.Session)
		} else {
			c.m.anomalies.WithLabelValues("a-flag").Inc()
			e.Flags |= event.FlagAnomaly
		}
	}
	c.judge(e, &w.update)
	if e.Flags&event.FlagDropped != 0 {
		return
	}
	if !v.takeOver(cl, w.now) {
		e.Flags |= event.FlagNonOwner
		return
	}
	v.touched = w.now
	if f, ok := w.update.EndOfRIB(); ok {
		v.eor[f] = true
		return
	}
	e.Marks = b.keepMarks(c.apply(v, e, w))
	if w.refreshed {
		cl.by.r.refreshed = w.now
	}
}

// faulty reports whether something is wrong with the attribute.
func faulty(u *bgp.Update, code uint8) bool {
	for _, f := range u.Findings() {
		if f.Attr == code {
			return true
		}
	}
	return false
}

// judge counts what RFC 7606 says of an UPDATE and marks one of which no route counts.
func (c *Collector) judge(e *event.Event, u *bgp.Update) {
	switch u.Verdict() {
	case bgp.VerdictOK:
	case bgp.VerdictAttributeDiscard:
		c.m.verdicts.WithLabelValues("attribute-discard").Inc()
	case bgp.VerdictTreatAsWithdraw:
		c.m.verdicts.WithLabelValues("treat-as-withdraw").Inc()
	case bgp.VerdictSessionReset:
		c.m.verdicts.WithLabelValues("session-reset").Inc()
		e.Flags |= event.FlagDropped
		for _, f := range u.Findings() {
			if f.Verdict == bgp.VerdictSessionReset {
				c.m.decodeErrors.WithLabelValues(f.Reason).Inc()
				e.Text = f.Reason
				break
			}
		}
	}
}

func (s *session) statistics(m *bmp.Message, raw []byte, now event.Time) {
	report, err := bmp.ParseStatsReport(m)
	if err != nil {
		s.unknown(m, raw, now, err)
		return
	}
	ev, known := s.speakerOf(&m.Peer)
	e := s.peerEvent(event.KindStats, &m.Peer, ev, now)
	e.RIB = ribOf(&m.Peer)
	if !known {
		e.Flags |= event.FlagPeerUnknown
		s.anomaly(e, "statistics-of-unknown-peer")
	}
	e.Head = s.b.copy(raw[:len(raw)-len(m.Body)])
	e.Tail = s.b.copy(m.Body)
	s.anomalies(e, report.Anomalies)
	for it := report.Stats(); ; {
		stat, ok := it.Next()
		if !ok {
			break
		}
		e.Stats = append(e.Stats, event.Stat{
			Type: stat.Type, Name: stat.Name, Family: stat.Family, Value: stat.Value, OK: stat.OK, Raw: s.b.copy(stat.Raw),
		})
	}
}

// speakerOf names the peer of a message that does not bring it into being.
func (s *session) speakerOf(h *bmp.PeerHeader) (ev *event.Peer, known bool) {
	key := keyOfHeader(h)
	if p := s.r.peers[key]; p != nil {
		if cl := p.claimOf(s); cl != nil {
			return cl.ev, cl.up
		}
	}
	return &event.Peer{
		Router: s.ev, Type: key.typ, Distinguisher: key.rd, Address: key.addr, ASN: h.ASN, BGPID: h.BGPID,
	}, false
}

func (s *session) mirroring(m *bmp.Message, raw []byte, now event.Time) {
	mir, err := bmp.ParseRouteMirroring(m)
	if err != nil {
		s.unknown(m, raw, now, err)
		return
	}
	ev, known := s.speakerOf(&m.Peer)
	e := s.peerEvent(event.KindMirror, &m.Peer, ev, now)
	if !known {
		e.Flags |= event.FlagPeerUnknown
	}
	s.anomalies(e, mir.Anomalies)
	e.Head = s.b.copy(raw[:len(raw)-len(m.Body)])
	e.Tail = s.b.copy(m.Body)
}

// initiationNames takes sysName and sysDescr out of an Initiation.
func initiationNames(m *bmp.Message) (name, descr string) {
	in, err := bmp.ParseInitiation(m)
	if err != nil {
		return "", ""
	}
	return cleanName(in.SysName), cleanName(in.SysDescr)
}

// maxName bounds what a router may call itself, in octets: it becomes part of
// every row and record of that router.
const maxName = 255

func cleanName(b []byte) string {
	if len(b) > maxName {
		b = b[:maxName]
	}
	return string(bgp.CleanText(nil, b))
}

func (s *session) initiation(m *bmp.Message, raw []byte, now event.Time) {
	in, err := bmp.ParseInitiation(m)
	if err != nil {
		s.unknown(m, raw, now, err)
		return
	}
	e := s.b.add()
	e.Received, e.Kind, e.Source, e.Router = now, event.KindRouterUp, s.source, s.ev
	e.Head = s.b.copy(raw)
	s.anomalies(e, in.Anomalies)
	if s.initiated {
		// The name that the session began with stays: it is the identity of
		// its peers and of their history.
		s.anomaly(e, "second-initiation")
		e.Text = "calls itself " + cleanName(in.SysName) + " now"
	}
	s.initiated = true
}

func (s *session) termination(m *bmp.Message, raw []byte, now event.Time) {
	t, err := bmp.ParseTermination(m)
	if err != nil {
		s.unknown(m, raw, now, err)
		return
	}
	e := s.b.add()
	e.Received, e.Kind, e.Source, e.Router, e.Cause = now, event.KindRouterDown, s.source, s.ev, event.CauseRouterDown
	e.Head = s.b.copy(raw)
	e.Text = "no reason given"
	if t.HasReason {
		e.Reason, e.Text = uint16(t.Reason), t.Reason.String()
	}
	// Whatever is wrong in it, it says that the session ends.
	s.anomalies(e, t.Anomalies)
	s.terminated = true
}
