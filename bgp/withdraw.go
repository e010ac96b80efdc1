package bgp

import "encoding/binary"

// WithdrawBuilder packs withdrawals of one family into UPDATE messages: in the
// Withdrawn Routes field for IPv4 unicast, in MP_UNREACH_NLRI for all others.
// It reuses its buffer. The zero WithdrawBuilder wants a Reset.
type WithdrawBuilder struct {
	buf     []byte
	max     int
	family  Family
	count   int
	addPath bool
}

// Positions in a message of withdrawals: the Withdrawn Routes, and without any
// the path attributes, of which MP_UNREACH_NLRI with its extended length is the
// only one, and its value.
const (
	withdrawClassicAt = HeaderLen + 2
	withdrawAttrsAt   = withdrawClassicAt + 2
	withdrawMPAt      = withdrawAttrsAt + 4
)

// Reset starts a message of the family that holds at most limit octets, and never
// more than 65,535.
func (b *WithdrawBuilder) Reset(f Family, limit int) {
	b.family, b.max, b.count = f, min(limit, MaxExtendedMessageLen), 0
	b.buf, _ = beginMessage(b.buf[:0], MessageUpdate)
	b.buf = append(b.buf, 0, 0)
	if f == IPv4Unicast {
		b.max -= 2 // the attributes' length goes behind the routes
		return
	}
	b.buf = append(b.buf, 0, 0, AttrFlagOptional|AttrFlagExtended, AttrMPUnreachNLRI, 0, 0)
	b.buf = binary.BigEndian.AppendUint16(b.buf, uint16(f.AFI()))
	b.buf = append(b.buf, byte(f.SAFI()))
}

// Add appends one NLRI and reports whether it fitted. It does not fit when the
// message is full, and when it differs from those in the message in family or
// in having a path identifier: then Message and Reset make room. With Len 0 it
// never fits: n is of another family, larger than a message, or has not what
// its family needs.
func (b *WithdrawBuilder) Add(n *NLRI) bool {
	if n.Family != b.family || b.count > 0 && (n.HasPathID != b.addPath || layoutOf(b.family) == layoutOpaque) {
		return false
	}
	out, ok := appendNLRI(b.buf, n, Withdraw)
	if !ok || len(out) > b.max {
		return false
	}
	b.buf, b.addPath = out, n.HasPathID
	b.count++
	return true
}

// Len returns how many NLRI the message holds.
func (b *WithdrawBuilder) Len() int { return b.count }

// Message finishes the message; it is valid until the next Add or Reset. Without
// NLRI it returns nil: an UPDATE without any would be an End-of-RIB marker.
func (b *WithdrawBuilder) Message() []byte {
	if b.count == 0 {
		return nil
	}
	msg, end := b.buf, len(b.buf)
	if b.family == IPv4Unicast {
		binary.BigEndian.PutUint16(msg[HeaderLen:], uint16(end-withdrawClassicAt))
		msg = append(msg, 0, 0)
	} else {
		binary.BigEndian.PutUint16(msg[withdrawClassicAt:], uint16(end-withdrawAttrsAt))
		binary.BigEndian.PutUint16(msg[withdrawAttrsAt+2:], uint16(end-withdrawMPAt))
	}
	endMessage(msg, 0)
	b.buf = msg[:end] // keeps the capacity
	return msg[:len(msg):len(msg)]
}
