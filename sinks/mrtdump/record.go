package mrtdump

import (
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/mrt"
)

// peerDeconfigured is the Peer Down reason that ends one view and not the BGP
// session (RFC 7854 §4.9).
const peerDeconfigured = 5

// imported reports whether the event is of a file, which has the records already.
func (s *Sink) imported(e *event.Event) bool {
	file := e.Source == event.SourceMRT || e.Cause == event.CauseImport ||
		e.Router != nil && !e.Router.Address.IsValid()
	if file {
		s.m.skipped.WithLabelValues(skipImport).Inc()
	}
	return file
}

// home is the tree that tells a peer's life even before there are routes.
func home(p *event.Peer) event.RIB {
	if p.Type == event.PeerLocRIB {
		return event.LocRIB
	}
	return event.AdjRIBInPre
}

// saidByState reports whether the STATE_CHANGE of a Peer Down says what the
// event does: that all of a peer's routes are gone. A peer without a Peer Up
// has no Peer Down either (event.Peer.Epoch).
func saidByState(e *event.Event) bool {
	if e.Flags&event.FlagInferred == 0 || e.Peer.Epoch == 0 {
		return false
	}
	switch e.Cause {
	case event.CausePeerDown, event.CauseSessionLost, event.CauseRouterDown, event.CausePeerReplaced,
		event.CauseSuperseded, event.CauseCollectorStop:
		return true
	default:
		return false
	}
}

// route writes the UPDATE of a KindRoute event.
func (s *Sink) route(e *event.Event) error {
	if e.Peer == nil || saidByState(e) {
		return nil
	}
	if e.Flags&event.FlagDropped != 0 || len(e.PDU) < bgp.HeaderLen {
		// A reader would take routes from it that nobody announced. The stream
		// has the message.
		s.m.skipped.WithLabelValues(skipUnreadable).Inc()
		return nil
	}
	view := e.RIB
	if view == event.RIBNone || int(view) >= views {
		view = home(e.Peer)
	}
	if view != home(e.Peer) {
		s.use(e.Peer, view)
	}
	o, err := s.file(view)
	if err != nil {
		return err
	}
	h := headerOf(e.Peer)
	sec, usec := stamp(e.Received)
	add := func(addPath bool, pdu []byte) {
		o.pending = mrt.AppendMessageET(o.pending, sec, usec, &h, e.Session.AS4, addPath, pdu)
		s.written.messages++
	}
	switch with, without := addPathUse(e.PDU, e.Session.AddPath); {
	case with && without:
		s.split = appendPart(s.split[:0], e.PDU, e.Session.AddPath, true)
		add(true, s.split)
		s.split = appendPart(s.split[:0], e.PDU, e.Session.AddPath, false)
		add(false, s.split)
	default:
		add(with, e.PDU)
	}
	return s.flushLong(o)
}

// flushLong bounds what is gathered in memory.
func (s *Sink) flushLong(o *openFile) error {
	if len(o.pending) < flushAt {
		return nil
	}
	return o.flush()
}

// stateChange writes a peer's change of state into every tree that has routes
// of it.
func (s *Sink) stateChange(e *event.Event, from, to mrt.State) error {
	if e.Peer == nil || e.Flags&event.FlagNonOwner != 0 {
		return nil // for the connection that owns the peer it stays as it is
	}
	targets := s.used[s.key(e.Peer)].with(home(e.Peer))
	if e.Kind == event.KindPeerDown && e.Flags&event.FlagInferred == 0 && e.Reason == peerDeconfigured && e.RIB != event.RIBNone {
		targets = viewSet(0).with(e.RIB)
	}
	h := headerOf(e.Peer)
	sec, usec := stamp(e.Received)
	for view := event.AdjRIBInPre; int(view) < views; view++ {
		if !targets.has(view) {
			continue
		}
		o, err := s.file(view)
		if err != nil {
			return err
		}
		o.pending = mrt.AppendStateChangeET(o.pending, sec, usec, &h, from, to)
		s.written.states++
	}
	return nil
}

// use remembers that the peer has routes in a tree that is not its home.
func (s *Sink) use(p *event.Peer, view event.RIB) {
	k := s.key(p)
	before := s.used[k]
	if before.has(view) || before == 0 && len(s.used) >= maxViews {
		return
	}
	s.undo = append(s.undo, viewsState{Peer: k, Views: before})
	s.used[k] = before.with(view)
}

// key is keyOf, remembered by pointer.
func (s *Sink) key(p *event.Peer) peerKey {
	k, ok := s.keys[p]
	if !ok {
		if len(s.keys) >= maxPeerCache {
			clear(s.keys)
		}
		k = keyOf(p)
		s.keys[p] = k
	}
	return k
}

// headerOf is the peer as records name it. Loc-RIB has no neighbour: its peer
// is the router.
func headerOf(p *event.Peer) mrt.PeerHeader {
	h := mrt.PeerHeader{PeerAS: p.ASN, LocalAS: p.LocalASN, PeerIP: p.Address, LocalIP: p.LocalAddress}
	if p.Type == event.PeerLocRIB || !p.Address.IsValid() {
		h.PeerIP = p.Router.Address
	}
	return h
}

// stamp cuts a time into what a record has.
func stamp(t event.Time) (sec, usec uint32) {
	return uint32(int64(t) / int64(time.Second)), uint32(int64(t) % int64(time.Second) / int64(time.Microsecond))
}
