package mrt

import (
	"net/netip"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/internal/wire"
)

// Entry is one route of a table dump, whatever the record's form. Its slices
// point into the record.
type Entry struct {
	Family bgp.Family
	// NLRI stands as in an UPDATE, without path identifier. It is nil for
	// TABLE_DUMP records, whose Prefix says it all.
	NLRI   []byte
	Prefix netip.Prefix // masked; invalid for families other than unicast and multicast

	// Peer is the route's neighbour. PeerIndex is its position in the
	// PEER_INDEX_TABLE, 0 for the older forms.
	Peer      IndexPeer
	PeerIndex uint16

	Originated uint32 // seconds since 1970-01-01 UTC
	PathID     uint32 // valid iff HasPathID (RFC 8050 §4)
	HasPathID  bool
	AS4        bool // AS_PATH has four-octet AS numbers

	// NextHop is set where the record has it outside of the attributes: only
	// for the ENTRY subtype of BGP4MP.
	NextHop []byte
	Attrs   []byte // path attributes; MP_REACH_NLRI in any of its forms
}

// Session returns the context in which the message of AppendUpdate is to be read.
func (e *Entry) Session() bgp.Session {
	s := bgp.Session{AS4: e.AS4, ExtendedMessage: true, Peering: bgp.PeeringTable}
	if e.HasPathID {
		s.AddPath = s.AddPath.With(e.Family)
	}
	return s
}

// RIB is a view of one RIB record of TABLE_DUMP_V2: one NLRI and its entries.
type RIB struct {
	Sequence uint32
	Family   bgp.Family
	NLRI     []byte
	Prefix   netip.Prefix // invalid for families other than unicast and multicast
	AddPath  bool
	Count    int // of entries, those of unknown peers included
	// NoPeer counts entries whose peer index is not in the table; they are not
	// among Entries.
	NoPeer  int
	Anomaly string // the first anomaly found, or empty

	peers   []IndexPeer
	entries wire.Cursor
}

// Parse reads a record of ClassRIB with the PEER_INDEX_TABLE that came before
// it in the file. The error is an *Error of verdict Drop, and then none of the
// entries counts. The view is valid as long as rec.Body and t.
func (r *RIB) Parse(rec *Record, t *PeerIndexTable) error {
	kind, c, err := rec.open(ClassRIB)
	if err != nil {
		return err
	}
	if t == nil || !t.valid {
		return rec.drop(ReasonPeerTable)
	}
	*r = RIB{Sequence: c.Uint32(), Family: kind.family, AddPath: kind.addPath, peers: t.Peers}
	if reason := r.parseNLRI(&c); reason != "" {
		return rec.drop(reason)
	}
	r.Count = int(c.Uint16())
	r.entries = c
	for range r.Count {
		if int(skipEntry(&c, r.AddPath)) >= len(r.peers) {
			r.NoPeer++
		}
		if !c.OK() {
			return rec.drop(ReasonShort)
		}
	}
	switch {
	case r.NoPeer > 0 && r.NoPeer == r.Count:
		return rec.drop(ReasonPeerIndex)
	case r.NoPeer > 0:
		r.Anomaly = AnomalyPeerIndex
	case !c.Empty():
		r.Anomaly = AnomalyTrailing
	}
	return nil
}

// parseNLRI reads what stands between sequence and entry count.
func (r *RIB) parseNLRI(c *wire.Cursor) (reason string) {
	if r.Family == 0 {
		afi := bgp.AFI(c.Uint16())
		r.Family = bgp.NewFamily(afi, bgp.SAFI(c.Uint8()))
	}
	var ok bool
	if r.NLRI, ok = cutNLRI(c, r.Family); !ok {
		return ReasonFamily
	}
	if !c.OK() {
		return ReasonNLRI
	}
	if plainPrefix(r.Family) {
		if r.Prefix, ok = parsePrefix(r.NLRI, r.Family); !ok {
			return ReasonPrefix
		}
	}
	return ""
}

// skipEntry passes over one entry and returns its peer index.
func skipEntry(c *wire.Cursor, addPath bool) uint16 {
	index := c.Uint16()
	c.Skip(4)
	if addPath {
		c.Skip(4)
	}
	c.Skip(int(c.Uint16()))
	return index
}

// Entries iterates over the entries whose peer is known.
func (r *RIB) Entries() EntryIter {
	return EntryIter{
		entry:   Entry{Family: r.Family, NLRI: r.NLRI, Prefix: r.Prefix, HasPathID: r.AddPath, AS4: true},
		peers:   r.peers,
		left:    r.Count,
		entries: r.entries,
	}
}

// EntryIter walks the entries of a RIB record without allocating.
type EntryIter struct {
	entry   Entry
	peers   []IndexPeer
	left    int
	entries wire.Cursor
}

// Next moves to the next entry and reports whether there is one.
func (it *EntryIter) Next() bool {
	c, e := &it.entries, &it.entry
	for it.left > 0 {
		it.left--
		e.PeerIndex, e.Originated = c.Uint16(), c.Uint32()
		if e.HasPathID {
			e.PathID = c.Uint32()
		}
		e.Attrs = c.Bytes(int(c.Uint16()))
		if int(e.PeerIndex) < len(it.peers) {
			e.Peer = it.peers[e.PeerIndex]
			return true
		}
	}
	return false
}

// Entry returns the current entry; the next call of Next overwrites it.
func (it *EntryIter) Entry() *Entry { return &it.entry }
