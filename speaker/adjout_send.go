package speaker

import "github.com/ribtap/ribtap/bgp"

// value returns what encode makes of the announcement; valid until the next call.
func (e *attrEncoder) value(a *Announcement) ([]byte, leftOut) {
	var why leftOut
	e.buf, why = e.encode(e.buf[:0], a)
	return e.buf, why
}

// splitValue returns the next hop of MP_REACH_NLRI, which may be empty, and the
// other attributes.
func splitValue(value []byte) (nextHop, attrs []byte) {
	n := 1 + int(value[0])
	return value[1:n:n], value[n:]
}

// more reports whether there is something to send, and moves to its family.
func (a *adjOut) more() bool {
	for a.ready && a.at < len(a.families) {
		f := &a.families[a.at]
		if f.next < len(f.todo) || !f.endOfRIB {
			return true
		}
		a.at++
	}
	return false
}

// appendMessage appends one message; there is more to send.
func (a *adjOut) appendMessage() {
	f := &a.families[a.at]
	switch {
	case f.next == len(f.todo):
		f.endOfRIB = true
		a.buf = bgp.AppendEndOfRIB(a.buf, f.family)
	case f.routes[f.todo[f.next]].want == "":
		a.buf = append(a.buf, a.withdrawals(f)...)
	default:
		a.buf = append(a.buf, a.announcements(f)...)
	}
}

// withdrawals returns a message of as many withdrawals as are next and fit.
func (a *adjOut) withdrawals(f *familyOut) []byte {
	b := &a.withdraw
	b.Reset(f.family, a.max)
	for ; f.next < len(f.todo); f.next++ {
		r := &f.routes[f.todo[f.next]]
		if r.want != "" || !b.Add(a.nlri(f, r)) {
			break
		}
		r.has, r.again = "", false
		a.sent.advertised--
		a.sent.withdrawn++
	}
	return whole(b.Message())
}

// announcements returns a message of as many announcements of the same attributes
// as are next and fit.
func (a *adjOut) announcements(f *familyOut) []byte {
	b := &a.announce
	value := f.routes[f.todo[f.next]].want
	a.value = append(a.value[:0], value...)
	hop, attrs := splitValue(a.value)
	b.Reset(f.family, attrs, hop, a.max)
	for ; f.next < len(f.todo); f.next++ {
		r := &f.routes[f.todo[f.next]]
		if r.want != value || !b.Add(a.nlri(f, r)) {
			break
		}
		if r.has == "" {
			a.sent.advertised++
		}
		a.sent.announced++
		r.has, r.again = value, false
	}
	return whole(b.Message())
}

// whole returns msg, which desired and its fits have made sure of.
func whole(msg []byte) []byte {
	if msg == nil {
		panic("speaker: a route in an Adj-RIB-Out does not fit a message")
	}
	return msg
}

// pathID goes before the NLRI of a family that both sides settled on to send with
// one (RFC 7911 §3); a route has one path.
const pathID = 1

// nlri returns the route's NLRI as it goes out, valid until the next call.
func (a *adjOut) nlri(f *familyOut, r *routeOut) *bgp.NLRI {
	a.key = append(a.key[:0], r.key...)
	n, ok := bgp.ParseKey(f.family, false, a.key, nil)
	if !ok {
		panic("speaker: a key in an Adj-RIB-Out is not one of its family")
	}
	if f.addPath {
		n.HasPathID, n.PathID = true, pathID
	}
	a.item = n
	return &a.item
}
