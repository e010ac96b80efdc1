package bgp

import "encoding/binary"

// AnnounceBuilder packs announcements of one family with the same attributes
// into UPDATE messages: in the NLRI field, or in MP_REACH_NLRI, which goes first
// (RFC 7606 §5.1). It reuses its buffer. The zero AnnounceBuilder wants a Reset.
type AnnounceBuilder struct {
	buf   []byte
	attrs []byte // that go behind MP_REACH_NLRI
	// max is how long buf may become.
	max     int
	family  Family
	count   int
	classic bool
	addPath bool
}

// Positions in a message of announcements: the path attributes, and the value of
// MP_REACH_NLRI with its extended length, which is the first of them.
const (
	announceAttrsAt = HeaderLen + 4
	announceMPAt    = announceAttrsAt + 4
)

// Reset starts a message of the family that holds at most limit octets, and never
// more than 65,535. attrs are whole path attributes without MP_REACH_NLRI; they
// must not change before the message is finished. nextHop is that of
// MP_REACH_NLRI, at most 255 octets. Without one IPv4 unicast goes into the NLRI
// field, and attrs should have a NEXT_HOP.
func (b *AnnounceBuilder) Reset(f Family, attrs, nextHop []byte, limit int) {
	b.family, b.max, b.count = f, min(limit, MaxExtendedMessageLen), 0
	b.classic = f == IPv4Unicast && len(nextHop) == 0
	b.attrs = attrs
	b.buf, _ = beginMessage(b.buf[:0], MessageUpdate)
	b.buf = append(b.buf, 0, 0, 0, 0)
	if b.classic {
		b.buf = append(b.buf, attrs...)
		binary.BigEndian.PutUint16(b.buf[announceAttrsAt-2:], uint16(len(attrs)))
		return
	}
	b.max -= len(attrs)
	b.buf = append(b.buf, AttrFlagOptional|AttrFlagExtended, AttrMPReachNLRI, 0, 0)
	b.buf = binary.BigEndian.AppendUint16(b.buf, uint16(f.AFI()))
	b.buf = append(b.buf, byte(f.SAFI()), byte(len(nextHop)))
	b.buf = append(append(b.buf, nextHop...), 0)
}

// Add appends one NLRI and reports whether it fitted. It does not fit when the
// message is full, and when it differs from those in the message in family or in
// having a path identifier: then Message and Reset make room. With Len 0 it never
// fits: n is of another family, larger than a message with these attributes, or
// has not what its family needs.
func (b *AnnounceBuilder) Add(n *NLRI) bool {
	if n.Family != b.family || b.count > 0 && (n.HasPathID != b.addPath || layoutOf(b.family) == layoutOpaque) {
		return false
	}
	out, ok := appendNLRI(b.buf, n, Announce)
	if !ok || len(out) > b.max {
		return false
	}
	b.buf, b.addPath = out, n.HasPathID
	b.count++
	return true
}

// Len returns how many NLRI the message holds.
func (b *AnnounceBuilder) Len() int { return b.count }

// Message finishes the message; it is valid until the next Add or Reset. Without
// NLRI it returns nil.
func (b *AnnounceBuilder) Message() []byte {
	if b.count == 0 {
		return nil
	}
	msg, end := b.buf, len(b.buf)
	if !b.classic {
		binary.BigEndian.PutUint16(msg[announceAttrsAt+2:], uint16(end-announceMPAt))
		msg = append(msg, b.attrs...)
		binary.BigEndian.PutUint16(msg[announceAttrsAt-2:], uint16(len(msg)-announceAttrsAt))
	}
	endMessage(msg, 0)
	b.buf = msg[:end] // keeps the capacity
	return msg[:len(msg):len(msg)]
}
