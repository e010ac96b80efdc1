package main

import (
	"context"
	"errors"
	"io"
	"net/netip"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/bmp"
	"github.com/ribtap/ribtap/mrt"
)

// bmpPeer is what identifies a peer within a router's BMP session.
type bmpPeer struct {
	kind  uint8
	rd    bgp.RD
	addr  netip.Addr
	asn   uint32
	bgpID netip.Addr
}

func peerOf(h *bmp.PeerHeader) bmpPeer {
	return bmpPeer{h.Type, h.Distinguisher, h.Address, h.ASN, h.BGPID}
}

// mrtSession is one neighbour in an MRT file. A peer that records both with
// and without path identifiers counts as two, because one Peer Up can
// announce only one of them.
type mrtSession struct {
	addr    netip.Addr
	asn     uint32
	addPath bool
}

// mrtPlayer turns MRT records into the BMP messages of the router that the
// recording collector would have been.
type mrtPlayer struct {
	*player

	up    map[mrtSession]*bmp.PeerHeader
	index mrt.PeerIndexTable
	pdu   []byte
}

func (p *player) playMRT(ctx context.Context, r io.Reader) error {
	m := &mrtPlayer{player: p, up: map[mrtSession]*bmp.PeerHeader{}}
	rd := mrt.NewReader(r)
	for {
		rec, err := rd.Next()
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			if _, ok := errors.AsType[*mrt.Error](err); !ok {
				return err
			}
			p.rep.Damaged++
			return nil // the reader goes no further
		}
		if err := m.record(ctx, &rec); err != nil {
			if _, ok := errors.AsType[*mrt.Error](err); !ok {
				return err
			}
			p.rep.Damaged++
		}
	}
}

func (m *mrtPlayer) record(ctx context.Context, rec *mrt.Record) error {
	switch rec.Class() {
	case mrt.ClassMessage:
		return m.message(ctx, rec)
	case mrt.ClassStateChange:
		return m.stateChange(ctx, rec)
	case mrt.ClassPeerIndex:
		return m.index.Parse(rec)
	case mrt.ClassRIB:
		var rib mrt.RIB
		if err := rib.Parse(rec, &m.index); err != nil {
			return err
		}
		for it := rib.Entries(); it.Next(); {
			if err := m.entry(ctx, rec, it.Entry(), netip.Addr{}, 0); err != nil {
				return err
			}
		}
	case mrt.ClassTableEntry:
		var t mrt.TableEntry
		if err := t.Parse(rec); err != nil {
			return err
		}
		return m.entry(ctx, rec, &t.Entry, t.LocalIP, t.LocalAS)
	case mrt.ClassOther:
		m.rep.Skipped++
	}
	return nil
}

func (m *mrtPlayer) message(ctx context.Context, rec *mrt.Record) error {
	var msg mrt.Message
	if err := msg.Parse(rec); err != nil {
		return err
	}
	const typeAt = bgp.HeaderLen - 1
	if msg.Sent || len(msg.PDU) < bgp.HeaderLen || msg.PDU[typeAt] != bgp.MessageUpdate {
		m.rep.Skipped++
		return nil
	}
	h, err := m.peer(ctx, rec, mrtSession{msg.PeerIP, msg.PeerAS, msg.AddPath}, netip.Addr{}, msg.LocalIP, msg.LocalAS)
	if err != nil {
		return err
	}
	return m.monitor(ctx, rec, h, msg.AS4, msg.PDU)
}

func (m *mrtPlayer) entry(ctx context.Context, rec *mrt.Record, e *mrt.Entry, local netip.Addr, localAS uint32) error {
	h, err := m.peer(ctx, rec, mrtSession{e.Peer.Address, e.Peer.ASN, e.HasPathID}, e.Peer.BGPID, local, localAS)
	if err != nil {
		return err
	}
	pdu, err := mrt.AppendUpdate(m.pdu[:0], e)
	if err != nil {
		m.rep.Damaged++
		return nil
	}
	m.pdu = pdu
	return m.monitor(ctx, rec, h, e.AS4, pdu)
}

func (m *mrtPlayer) monitor(ctx context.Context, rec *mrt.Record, h *bmp.PeerHeader, as4 bool, pdu []byte) error {
	stamp(h, rec)
	h.Flags &^= bmp.FlagA
	if !as4 {
		h.Flags |= bmp.FlagA
	}
	m.buf = bmp.AppendRouteMonitoring(m.buf[:0], h, pdu)
	return m.send(ctx, rec.Nanoseconds(), m.buf)
}

func stamp(h *bmp.PeerHeader, rec *mrt.Record) {
	h.Seconds, h.Microseconds = rec.Timestamp, rec.Microseconds
}

// peer returns the header of a session; for one not seen yet it sends the Peer
// Up first, with the OPENs that such a session must have had.
func (m *mrtPlayer) peer(ctx context.Context, rec *mrt.Record, s mrtSession, id, local netip.Addr, localAS uint32) (*bmp.PeerHeader, error) {
	if h := m.up[s]; h != nil {
		return h, nil
	}
	h := &bmp.PeerHeader{Address: s.addr, ASN: s.asn, BGPID: id}
	if s.addr.Is6() {
		h.Flags |= bmp.FlagV
	}
	if !h.BGPID.Is4() {
		h.BGPID = netip.AddrFrom4([4]byte{}) // a BGP4MP record does not say
		if s.addr.Is4() {
			h.BGPID = s.addr
		}
	}
	if s.addPath && m.up[mrtSession{s.addr, s.asn, false}] != nil || !s.addPath && m.up[mrtSession{s.addr, s.asn, true}] != nil {
		// Apart from the same neighbour's other session.
		h.Type, h.Distinguisher = bmp.PeerLocal, bgp.RD{7: 1}
	}
	stamp(h, rec)
	if !local.IsValid() || local.Is4() != s.addr.Is4() {
		local = netip.IPv4Unspecified()
		if s.addr.Is6() {
			local = netip.IPv6Unspecified()
		}
	}
	open := bgp.OpenParams{HoldTime: 180, Families: []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast}, AS4: true, ExtendedMessage: true}
	if s.addPath {
		for _, f := range open.Families {
			open.AddPath = append(open.AddPath, bgp.AddPath{Family: f, Mode: bgp.AddPathBoth})
		}
	}
	sent, received := open, open
	sent.AS, sent.BGPID = localAS, netip.AddrFrom4([4]byte{192, 0, 2, 1})
	received.AS, received.BGPID = s.asn, h.BGPID
	const bgpPort = 179
	up := &bmp.PeerUp{
		LocalAddress: local, LocalPort: bgpPort, RemotePort: bgpPort,
		Sent: bgp.AppendOpen(nil, sent), Received: bgp.AppendOpen(nil, received),
	}
	m.up[s] = h
	m.peers[peerOf(h)] = h
	m.rep.Peers++
	m.buf = bmp.AppendPeerUp(m.buf[:0], h, up)
	return h, m.send(ctx, rec.Nanoseconds(), m.buf)
}

// stateChange sends the Peer Up or Peer Down that a change of state means.
func (m *mrtPlayer) stateChange(ctx context.Context, rec *mrt.Record) error {
	var sc mrt.StateChange
	if err := sc.Parse(rec); err != nil {
		return err
	}
	if sc.New == mrt.Established {
		_, err := m.peer(ctx, rec, mrtSession{sc.PeerIP, sc.PeerAS, false}, netip.Addr{}, sc.LocalIP, sc.LocalAS)
		return err
	}
	if sc.Old != mrt.Established {
		m.rep.Skipped++
		return nil
	}
	for _, addPath := range []bool{false, true} {
		s := mrtSession{sc.PeerIP, sc.PeerAS, addPath}
		h := m.up[s]
		if h == nil {
			continue
		}
		delete(m.up, s)
		delete(m.peers, peerOf(h))
		stamp(h, rec)
		m.buf = bmp.AppendPeerDown(m.buf[:0], h, bmp.PeerDownRemoteNoData, nil)
		if err := m.send(ctx, rec.Nanoseconds(), m.buf); err != nil {
			return err
		}
	}
	return nil
}
