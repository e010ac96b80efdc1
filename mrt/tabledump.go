package mrt

import (
	"net/netip"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/internal/wire"
)

// TableEntry is a view of a record that holds one route of a table: TABLE_DUMP
// (RFC 6396 §4.2) and the ENTRY subtype of BGP4MP (draft-ietf-grow-mrt).
type TableEntry struct {
	Entry
	// ViewNumber and Sequence are 0 for ENTRY but for the view.
	ViewNumber, Sequence uint16
	LocalAS              uint32     // 0 for TABLE_DUMP
	LocalIP              netip.Addr // invalid for TABLE_DUMP
	Anomaly              string     // the first anomaly found, or empty
}

// Parse reads a record of ClassTableEntry. The error is an *Error of verdict Drop.
func (t *TableEntry) Parse(rec *Record) error {
	kind, c, err := rec.open(ClassTableEntry)
	if err != nil {
		return err
	}
	*t = TableEntry{Entry: Entry{Family: kind.family, AS4: kind.as4}}
	var reason string
	if rec.Type == TypeTableDump {
		reason = t.parseTableDump(&c)
	} else {
		reason = t.parseEntry(&c)
	}
	switch {
	case reason != "":
		return rec.drop(reason)
	case !c.OK():
		return rec.drop(ReasonShort)
	case !c.Empty():
		t.Anomaly = AnomalyTrailing
	}
	return nil
}

func (t *TableEntry) parseTableDump(c *wire.Cursor) (reason string) {
	t.ViewNumber, t.Sequence = c.Uint16(), c.Uint16()
	width := maxBits(t.Family) / 8
	prefix := c.Bytes(width)
	bits := int(c.Uint8())
	c.Skip(1) // status, unused
	t.Originated = c.Uint32()
	t.Peer.Address = address(c, t.Family.AFI())
	if t.AS4 {
		t.Peer.ASN = c.Uint32()
	} else {
		t.Peer.ASN = uint32(c.Uint16())
	}
	t.Attrs = c.Bytes(int(c.Uint16()))
	if !c.OK() {
		return ReasonShort
	}
	if bits > 8*width {
		return ReasonPrefix
	}
	// The octet of the length does not stand before the prefix here, so the
	// NLRI of an UPDATE has to be made when it is needed: see Entry.nlri.
	a, _ := netip.AddrFromSlice(prefix)
	t.Prefix = netip.PrefixFrom(a, bits).Masked()
	return ""
}

func (t *TableEntry) parseEntry(c *wire.Cursor) (reason string) {
	var h PeerHeader
	if reason := h.parse(c, t.AS4); reason != "" {
		return reason
	}
	t.Peer = IndexPeer{Address: h.PeerIP, ASN: h.PeerAS}
	t.LocalAS, t.LocalIP = h.LocalAS, h.LocalIP
	t.ViewNumber = c.Uint16()
	c.Skip(2) // status
	t.Originated = c.Uint32()
	afi := bgp.AFI(c.Uint16())
	t.Family = bgp.NewFamily(afi, bgp.SAFI(c.Uint8()))
	t.NextHop = c.Bytes(int(c.Uint8()))
	var ok bool
	if t.NLRI, ok = cutNLRI(c, t.Family); !ok {
		return ReasonFamily
	}
	t.Attrs = c.Bytes(int(c.Uint16()))
	if !c.OK() {
		return ReasonShort
	}
	if plainPrefix(t.Family) {
		if t.Prefix, ok = parsePrefix(t.NLRI, t.Family); !ok {
			return ReasonPrefix
		}
	}
	return ""
}
