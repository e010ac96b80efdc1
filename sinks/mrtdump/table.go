package mrtdump

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/mrt"
)

const (
	// maxPeers is what a PEER_INDEX_TABLE can hold.
	maxPeers = 0xffff
	// checkEvery is how many NLRI are written between two looks at the context.
	checkEvery = 1024
)

// tableWriter spreads a table over the dumps of its trees.
type tableWriter struct {
	ctx   context.Context
	m     *metrics
	trees []*treeDump
	at    []treeIndex // by TableEntry.Peer
	n     int

	nlri, msg []byte
	update    bgp.Update
}

// treeIndex is where a peer's view is written: a tree, and its place in that
// tree's PEER_INDEX_TABLE.
type treeIndex struct {
	tree  *treeDump
	index uint16
}

// treeDump is the table dump of one tree.
type treeDump struct {
	view   event.RIB
	final  string // below Dir
	sec    uint32
	out    *packer
	octets int64

	b    mrt.RIBBuilder
	buf  []byte
	open bool // b has a record, of header and nlri
	h    mrt.RIBHeader
	nlri []byte
}

// peerIndex gives the tree's peers their places and writes them.
func (w *tableWriter) peerIndex(t *treeDump, peers []TablePeer) error {
	var table mrt.PeerIndexTable
	for i := range peers {
		p := &peers[i]
		if p.RIB != t.view {
			continue
		}
		if len(table.Peers) == maxPeers {
			w.m.skipped.WithLabelValues(skipPeers).Inc()
			continue
		}
		w.at[i] = treeIndex{tree: t, index: uint16(len(table.Peers))}
		h := headerOf(p.Peer)
		table.Peers = append(table.Peers, mrt.IndexPeer{BGPID: p.Peer.BGPID, Address: h.PeerIP, ASN: h.PeerAS})
	}
	b, err := mrt.AppendPeerIndexTable(nil, t.sec, &table)
	if err != nil {
		return err
	}
	_, err = t.out.Write(b)
	return err
}

// route writes one NLRI of the table; see Table.Routes.
func (w *tableWriter) route(n *bgp.NLRI, entries []TableEntry) error {
	if w.n++; w.n%checkEvery == 0 {
		if err := w.ctx.Err(); err != nil {
			return err
		}
	}
	isPrefix := plainPrefix(n.Family)
	if isPrefix {
		w.nlri = mrt.AppendPrefix(w.nlri[:0], n.Prefix)
	}
	for i := range entries {
		e := &entries[i]
		at := w.at[e.Peer]
		if at.tree == nil {
			continue // counted with its peer
		}
		item := w.nlri
		if !isPrefix {
			item = w.item(n, &e.Value)
		}
		if len(item) == 0 {
			w.m.skipped.WithLabelValues(skipEntry).Inc()
			continue
		}
		re := mrt.RIBEntry{
			PeerIndex: at.index, Originated: uint32(int64(e.Originated) / int64(time.Second)), PathID: n.PathID,
			AS4: e.Value.AS4, NextHop: e.Value.NextHop, Attrs: e.Value.Attrs,
		}
		if err := at.tree.add(w.m, n, item, &re); err != nil {
			return err
		}
	}
	return nil
}

// plainPrefix reports whether the family has a RIB subtype of its own, whose
// NLRI is a prefix.
func plainPrefix(f bgp.Family) bool {
	switch f {
	case bgp.IPv4Unicast, bgp.IPv4Multicast, bgp.IPv6Unicast, bgp.IPv6Multicast:
		return true
	default:
		return false
	}
}

// item returns the NLRI as on the wire, without path identifier, for a family
// whose key is not all of it.
func (w *tableWriter) item(n *bgp.NLRI, v *bgp.Value) []byte {
	of := *n
	if len(v.Extra) > 0 {
		of.Labels, of.Raw = nil, nil // the value's count
	}
	if w.msg = bgp.AppendAnnounce(w.msg[:0], &of, v); len(w.msg) == 0 {
		return nil
	}
	s := bgp.Session{AS4: v.AS4, ExtendedMessage: true, Peering: bgp.PeeringTable}
	if n.HasPathID {
		s.AddPath = s.AddPath.With(n.Family)
	}
	w.update.Parse(w.msg, s)
	routes := w.update.Routes()
	if !routes.Next() {
		return nil
	}
	return routes.Route().NLRI.Raw
}

// add appends one entry to the current record, or to a new one where the NLRI
// changes: path identifiers of one NLRI share a record.
func (t *treeDump) add(m *metrics, n *bgp.NLRI, item []byte, e *mrt.RIBEntry) error {
	if t.open && (t.h.Family != n.Family || t.h.AddPath != n.HasPathID || !bytes.Equal(t.nlri, item)) {
		if err := t.end(m); err != nil {
			return err
		}
	}
	t.begin(n, item)
	err := t.b.Add(e)
	if errors.Is(err, mrt.ErrRIBFull) {
		if err := t.end(m); err != nil {
			return err
		}
		t.begin(n, item)
		err = t.b.Add(e)
	}
	if err != nil {
		m.skipped.WithLabelValues(skipEntry).Inc()
	}
	return nil
}

func (t *treeDump) begin(n *bgp.NLRI, item []byte) {
	if t.open {
		return
	}
	t.open = true
	t.nlri = append(t.nlri[:0], item...)
	t.h.Seconds, t.h.Family, t.h.AddPath, t.h.NLRI = t.sec, n.Family, n.HasPathID, t.nlri
	t.b.Begin(t.buf[:0], &t.h)
}

// end writes the current record.
func (t *treeDump) end(m *metrics) error {
	if !t.open {
		return nil
	}
	t.open = false
	if t.buf = t.b.End(); len(t.buf) == 0 {
		return nil
	}
	t.h.Sequence++
	m.records.WithLabelValues(recordRIB).Inc()
	_, err := t.out.Write(t.buf)
	return err
}

// abandon removes what was not finished.
func (w *tableWriter) abandon() {
	for _, t := range w.trees {
		if t.out != nil {
			t.out.abandon()
		}
	}
}
