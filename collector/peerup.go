package collector

import (
	"errors"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/bmp"
	"github.com/ribtap/ribtap/event"
)

func (s *session) peerUp(m *bmp.Message, raw []byte, now event.Time) {
	up, err := bmp.ParsePeerUp(m)
	if err != nil {
		s.unknown(m, raw, now, err)
		return
	}
	sent, serr := bgp.ParseOpen(up.Sent)
	received, rerr := bgp.ParseOpen(up.Received)
	h := &m.Peer
	if unreadable(serr) || unreadable(rerr) {
		s.unknown(m, raw, now, errOpen)
		return
	}
	r := s.r
	p := r.peer(keyOfHeader(h))
	bit := uint8(1) << ribOf(h)
	opens := string(m.Body[:len(m.Body)-len(up.Tail)])
	cl := p.claimOf(s)
	families := familiesOf(&sent, &received)
	replaced := false
	if cl.furtherFamilies(p.key.typ, families) {
		cl.families |= families
		cl.loc.AddPath |= locAddPath(&sent, &received)
	} else if cl == nil || !cl.up || cl.opens != opens || cl.ribs&bit != 0 {
		replaced = cl != nil && cl.up
		cl = s.newClaim(p, cl, now)
		cl.opens = opens
		cl.in, cl.out = bgp.Receive(&sent, &received), bgp.Transmit(&sent, &received)
		cl.legacy = !cl.in.AS4 && event.PeerType(h.Type) != event.PeerLocRIB
		cl.families = families
		cl.loc = cl.in
		cl.loc.AddPath = locAddPath(&sent, &received)
		cl.loc.Peering, cl.out.Peering = bgp.PeeringUnknown, bgp.PeeringUnknown
		table, _ := up.Table()
		cl.ev = &event.Peer{
			Router: s.ev, Type: p.key.typ, Distinguisher: p.key.rd, Address: p.key.addr, ASN: h.ASN, BGPID: h.BGPID,
			LocalAddress: up.LocalAddress, LocalASN: sent.AS, Table: cleanName(table), Epoch: p.epoch,
		}
		p.last = cl.ev
		s.adopt(p, cl)
	}
	cl.ribs |= bit

	e := s.peerEvent(event.KindPeerUp, h, cl.ev, now)
	e.RIB = ribOf(h)
	e.Session = cl.session(e.RIB)
	e.Head, e.Sent, e.PDU, e.Tail = s.b.copy(up.Head), s.b.copy(up.Sent), s.b.copy(up.Received), s.b.copy(up.Tail)
	if replaced {
		s.anomaly(e, "peer-up-again")
	}
	if serr != nil || rerr != nil {
		s.anomaly(e, "open")
	}
	if received.AS != h.ASN && event.PeerType(h.Type) != event.PeerLocRIB {
		s.anomaly(e, "peer-as-mismatch")
	}
	s.anomalies(e, up.Anomalies)
}

// furtherFamilies reports whether a Peer Up with families adds to what the
// claim has: a router may send one for each address family of a Loc-RIB, with
// OPENs of that family alone (RFC 9069 §6.1.1).
func (cl *claim) furtherFamilies(typ event.PeerType, families bgp.FamilySet) bool {
	return cl != nil && cl.up && typ == event.PeerLocRIB && families != 0 && cl.families&families == 0
}

// familiesOf returns the families that either OPEN names.
func familiesOf(sent, received *bgp.Open) (set bgp.FamilySet) {
	var buf [64]bgp.Family
	for _, o := range [...]*bgp.Open{sent, received} {
		for _, f := range o.AppendFamilies(buf[:0]) {
			set = set.With(f)
		}
	}
	return set
}

// locAddPath returns the families with path identifiers in a Loc-RIB, whose
// OPENs were made up by the router and have no direction.
func locAddPath(sent, received *bgp.Open) bgp.FamilySet {
	return bgp.Receive(sent, received).AddPath | bgp.Transmit(sent, received).AddPath
}

// unreadable reports whether an OPEN could not be read whole, so that what it
// negotiated is not known. One that a speaker would refuse for a value in it is
// shown as its router accepted it.
func unreadable(err error) bool {
	var me *bgp.MessageError
	return errors.As(err, &me) && me.Structural()
}

// newClaim makes the session's claim of a peer that came up, in place of an
// older one. A peer that was up without having gone down went down unseen.
func (s *session) newClaim(p *peer, old *claim, now event.Time) *claim {
	r := s.r
	wasUp := p.isUp()
	if old != nil && old.up {
		e := s.b.add()
		e.Received, e.Kind, e.Cause, e.Flags = now, event.KindPeerDown, event.CausePeerReplaced, event.FlagInferred
		e.Router, e.Peer = s.ev, old.ev
		r.endClaim(&s.b, p, old, event.CausePeerReplaced, now)
		wasUp = p.isUp()
	} else if old != nil {
		p.drop(old)
	}
	for _, v := range p.views {
		if v != nil && v.ending != nil && v.owner == nil {
			r.finishEnding(&s.b, v, now)
		}
	}
	if !wasUp {
		r.c.peersUp.Add(1)
	}
	p.epoch++
	r.claims++
	cl := &claim{by: s, order: r.claims, up: true}
	p.claims = append(p.claims, cl)
	return cl
}

// adopt gives the new claim the views of the session that it replaces: routes
// that came before the Peer Up are stale until they come again.
func (s *session) adopt(p *peer, cl *claim) {
	for _, v := range p.views {
		if v != nil && v.owner != nil && v.owner.by == s {
			v.own(cl)
			v.restart(s.c.now())
		}
	}
}

func (s *session) peerDown(m *bmp.Message, raw []byte, now event.Time) {
	down, err := bmp.ParsePeerDown(m)
	if err != nil {
		s.unknown(m, raw, now, err)
		return
	}
	h := &m.Peer
	ev, known := s.speakerOf(h)
	e := s.peerEvent(event.KindPeerDown, h, ev, now)
	e.RIB, e.Cause = ribOf(h), event.CausePeerDown
	e.Reason, e.FSMCode = uint16(down.Reason), down.FSMCode
	e.Head, e.PDU, e.Tail = s.b.copy(down.Head), s.b.copy(down.Notification), s.b.copy(down.Tail)
	s.anomalies(e, down.Anomalies)
	if n, err := bgp.ParseNotification(down.Notification); err == nil && communicationLies(n) {
		s.anomaly(e, "shutdown-communication")
	}
	p := s.r.peers[keyOfHeader(h)]
	var cl *claim
	if p != nil {
		cl = p.claimOf(s)
	}
	if !known {
		e.Flags |= event.FlagPeerUnknown
		s.anomaly(e, "peer-down-of-unknown-peer")
	}
	if cl == nil {
		return
	}
	bit := uint8(1) << ribOf(h)
	if down.Reason == bmp.PeerDownDeconfigured && cl.ribs&^bit != 0 {
		// RFC 7854 §4.9: the router stops sending this view; others of the
		// same BGP session go on.
		cl.ribs &^= bit
		if v := p.views[ribOf(h)]; v != nil && v.owner == cl {
			v.owner, v.since = nil, s.c.now()
			s.r.endView(&s.b, v, &ending{cause: event.CausePeerDown, ev: cl.ev}, now)
		}
		return
	}
	s.r.endClaim(&s.b, p, cl, event.CausePeerDown, now)
}

// communicationLies reports a shutdown communication whose length octet is not
// that of its text (RFC 9003 §2).
func communicationLies(n bgp.Notification) bool {
	if n.Code != bgp.ErrorCease || n.Subcode != bgp.CeaseAdminShutdown && n.Subcode != bgp.CeaseAdminReset {
		return false
	}
	return len(n.Data) > 0 && int(n.Data[0]) != len(n.Data)-1
}
