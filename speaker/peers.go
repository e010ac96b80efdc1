package speaker

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ribtap/ribtap/bgp"
)

// Peers returns how all neighbours stand, in the order of the configuration.
func (s *Speaker) Peers() []PeerStatus {
	cfg := s.configured()
	var list []PeerStatus
	for _, v := range s.entriesNow() {
		if v.peer.Range() {
			list = append(list, PeerStatus{
				Name: v.peer.Name, Range: v.peer.Address, Enabled: !v.peer.Disabled, Passive: true,
				State: restState(v.peer), Since: v.since, LocalASN: identityFor(cfg, v.peer, 0).asn,
				LocalID: identityFor(cfg, v.peer, 0).id, Drain: v.peer.Drain,
			})
		}
		for _, nb := range v.neighbors {
			list = append(list, nb.status(cfg))
		}
	}
	return list
}

// entryView is an entry as it was at some moment.
type entryView struct {
	peer      *Peer
	since     time.Time
	neighbors []*neighbor // in the order of their addresses
}

func (s *Speaker) entriesNow() []entryView {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []entryView
	for _, e := range s.table.order {
		list = append(list, e.view())
	}
	return list
}

func (e *entry) view() entryView {
	v := entryView{peer: e.peer, since: e.since}
	for _, nb := range e.neighbors {
		v.neighbors = append(v.neighbors, nb)
	}
	slices.SortFunc(v.neighbors, func(a, b *neighbor) int { return a.addr.Compare(b.addr) })
	return v
}

// states returns the state of each neighbour.
func (s *Speaker) states() []State {
	var list []State
	for _, v := range s.entriesNow() {
		for _, nb := range v.neighbors {
			nb.mu.Lock()
			list = append(list, nb.foremost().state)
			nb.mu.Unlock()
		}
	}
	return list
}

// restState is that of a peer without a connection: whoever may call is waited for.
func restState(p *Peer) State {
	if p.Disabled || p.Active {
		return Idle
	}
	return Active
}

// foremost returns the FSM that has come furthest. The caller holds nb.mu.
func (nb *neighbor) foremost() view {
	best := view{state: restState(nb.peer), since: nb.since}
	for _, r := range nb.runners {
		if r.seen.state > best.state || r.seen.state == best.state && best.conn == nil {
			best = r.seen
		}
	}
	return best
}

func (nb *neighbor) status(cfg *Config) PeerStatus {
	nb.mu.Lock()
	p, v := nb.peer, nb.foremost()
	st := PeerStatus{
		Name: p.Name, Address: nb.addr, Enabled: !p.Disabled, Passive: !p.Active,
		State: v.state, Since: v.since, LastError: nb.lastError, LastErrorAt: nb.lastErrorAt, Drain: p.Drain,
	}
	nb.mu.Unlock()
	if p.Range() {
		st.Range = p.Address
	}
	me := identityFor(cfg, p, 0)
	st.LocalASN, st.LocalID = me.asn, me.id
	st.Received, st.Sent = nb.received.counts(), nb.sent.counts()
	st.Attempts, st.Connections, st.Sessions = nb.attempts.Load(), nb.connections.Load(), nb.sessions.Load()
	if c := v.conn; c != nil {
		st.Local, st.Remote = c.local, c.remote
		st.LastReceived, st.LastSent = c.times()
		x := c.out.export.stats()
		st.Advertised, st.Announced, st.Withdrawn = x.advertised, x.announced, x.withdrawn
		st.Calculation, st.NotSent = x.calculation, x.left.byReason()
	}
	if v.session != nil {
		st.describe(v.session, time.Now())
	}
	return st
}

// times returns when the last message was received and sent, zero for never.
func (c *conn) times() (received, sent time.Time) {
	if n := c.lastReceived.Load(); n > 0 {
		received = c.up.Add(time.Duration(n))
	}
	if n := c.lastSent.Load(); n > 0 {
		sent = c.up.Add(time.Duration(n))
	}
	return received, sent
}

// describe fills in what was settled on.
func (st *PeerStatus) describe(s *Session, now time.Time) {
	st.LocalASN, st.RemoteASN, st.LocalID, st.RemoteID = s.LocalASN, s.RemoteASN, s.LocalID, s.RemoteID
	st.Families, st.HoldTime, st.Keepalive = s.Families, s.HoldTime, s.HoldTime/3
	if s.HoldTime > 0 {
		st.HoldLeft = max(s.HoldTime-now.Sub(later(st.LastReceived, s.Since)), 0)
	}
	sent, _ := bgp.ParseOpen(s.Sent)
	received, _ := bgp.ParseOpen(s.Received)
	st.SentCapabilities = string(bgp.AppendCapabilities(nil, &sent))
	st.ReceivedCapabilities = string(bgp.AppendCapabilities(nil, &received))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// named returns the neighbours of a peer's name, or the one of an address.
func (s *Speaker) named(name string) (list []*neighbor, e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.table.byName[name]; e != nil {
		return e.view().neighbors, e
	}
	addr, err := netip.ParseAddr(name)
	if err != nil {
		return nil, nil
	}
	if e := s.table.find(addr); e != nil {
		if nb := e.neighbors[addr]; nb != nil {
			return []*neighbor{nb}, e
		}
	}
	return nil, nil
}
