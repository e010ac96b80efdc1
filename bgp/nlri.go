package bgp

import (
	"encoding/binary"

	"github.com/ribtap/ribtap/internal/wire"
)

// Reasons why an NLRI field cannot be read; metric labels like those of
// validate.go.
const (
	reasonNLRICut       = "nlri-cut"
	reasonPrefixLength  = "nlri-prefix-length"
	reasonLabelStack    = "nlri-label-stack"
	reasonFlowspecEmpty = "nlri-flowspec-empty"
)

// layoutOf returns the layout of a family's row, layoutOpaque without one.
func layoutOf(f Family) layout {
	if r, ok := f.row(); ok {
		return r.layout
	}
	return layoutOpaque
}

// check reads the field to its end and returns where and why it cannot be
// read; reason is "" when it can.
func (f *field) check() (at int, reason string) {
	if f.layout == layoutPrefix {
		return checkPrefixes(f.nlri, maxPrefixLen(f.family), f.addPath)
	}
	c := wire.NewCursor(f.nlri)
	var n NLRI
	f.begin(&n)
	for !c.Empty() {
		at = c.Offset()
		if reason = f.cut(&c, &n); reason != "" {
			return at, reason
		}
	}
	return 0, ""
}

// begin sets in n what all NLRI of the field share.
func (f *field) begin(n *NLRI) { *n = NLRI{Family: f.family, HasPathID: f.addPath} }

// cut reads the next NLRI, path identifier and all, into an n that begin has
// set; c is a cursor over f.nlri. It returns why it cannot, or "".
func (f *field) cut(c *wire.Cursor, n *NLRI) (reason string) {
	if f.addPath {
		n.PathID = c.Uint32()
	}
	start := c.Offset()
	if f.layout == layoutPrefix { // nearly all routes: one call less
		reason = cutPrefix(c, int(c.Uint8()), n)
	} else {
		reason = cutItem(c, f.layout, f.action, n)
	}
	n.Raw = stretch(f.nlri, start, c.Offset())
	if !c.OK() && reason == "" {
		return reasonNLRICut
	}
	return reason
}

// stretch returns what lies between two offsets of a cursor over b. It is the
// one slice expression of the codec: a second cursor in its place costs a third
// of the time that a route takes.
func stretch(b []byte, from, to int) []byte { return b[from:to:to] }

// cutItem reads one NLRI by its layout: a new layout is a case here and a file
// nlri_x.go. It is a switch and not a table of functions because an indirect
// call would move the caller's NLRI to the heap. A read past the end is left
// for the caller to see in the cursor.
func cutItem(c *wire.Cursor, l layout, a Action, n *NLRI) (reason string) {
	switch l {
	case layoutPrefix:
		return cutPrefix(c, int(c.Uint8()), n)
	case layoutLabelled:
		return cutLabelled(c, a, n)
	case layoutVPN:
		return cutVPN(c, a, n)
	case layoutEVPN:
		return cutEVPN(c, n)
	case layoutFlowspec:
		return cutFlowspec(c, n)
	case layoutOpaque, layoutTL8, layoutTL16, layoutLen16, layoutBits, layoutMUP:
	}
	return cutOpaque(c, l, n)
}

// appendNLRI appends one NLRI as it stands in a field: the inverse of cut. It
// reports false, and appends nothing, when n has not what its layout needs. In
// a withdrawal the label field is the compatibility value (RFC 8277 §2.4).
func appendNLRI(dst []byte, n *NLRI, a Action) ([]byte, bool) {
	start := len(dst)
	l := layoutOf(n.Family)
	if n.HasPathID {
		dst = binary.BigEndian.AppendUint32(dst, n.PathID)
	}
	ok := false
	switch l {
	case layoutPrefix:
		dst, ok = appendPrefixItem(dst, n, nil, nil)
	case layoutLabelled:
		dst, ok = appendLabelledItem(dst, n, a, nil)
	case layoutVPN:
		dst, ok = appendLabelledItem(dst, n, a, n.RD[:])
	case layoutOpaque, layoutEVPN, layoutTL8, layoutTL16, layoutLen16, layoutBits, layoutFlowspec, layoutMUP:
		dst, ok = append(dst, n.Raw...), len(n.Raw) > 0
	}
	if !ok || n.HasPathID && l == layoutOpaque {
		return dst[:start], false
	}
	return dst, true
}

// RouteIter walks the routes of an UPDATE without allocating. The zero
// RouteIter has no routes.
type RouteIter struct {
	u     *Update
	c     wire.Cursor // in the NLRI field before next
	field *field
	next  uint8
	route Route
}

// Next moves to the next route and reports whether there is one.
func (it *RouteIter) Next() bool {
	for it.c.Empty() {
		if !it.enter() {
			return false
		}
	}
	n := &it.route.NLRI
	if it.field.layout != layoutPrefix {
		// Parse has read every field to its end: only an opaque field, which has
		// one item, leaves anything to say here.
		return it.field.cut(&it.c, n) == ""
	}
	// What cut does, for nearly all routes, with checkPrefixes done.
	item := it.c.Position()
	if n.HasPathID {
		n.PathID, item = item.Uint32()
	}
	bits, addr := item.Uint8()
	size := octets(int(bits))
	end := addr.Skip(size)
	it.c.MoveTo(end)
	n.Raw = end.Since(item)
	if n.Family.AFI() == AFIIPv4 {
		n.Prefix = prefix4(end.Last32()<<(32-8*uint(size)), int(bits))
	} else {
		n.Prefix = prefix16(end.Since(addr), int(bits))
	}
	return true
}

// enter begins the next field, if there is one, and sets what all of its routes
// share, one by one: a Route made aside and copied would be most of the work for
// a short UPDATE.
func (it *RouteIter) enter() bool {
	u, r := it.u, &it.route
	if u == nil || it.next >= u.nfields || u.verdict == VerdictSessionReset {
		return false
	}
	if it.next > 0 {
		*r = Route{}
	}
	f := &u.fields[it.next]
	it.next++
	it.field = f
	it.c = wire.NewCursor(f.nlri)
	r.Action, r.Multiprotocol = f.action, f.attr != 0
	r.NLRI.Family, r.NLRI.HasPathID = f.family, f.addPath
	switch {
	case f.action == Withdraw:
	case u.verdict == VerdictTreatAsWithdraw:
		r.Action, r.TreatAsWithdraw = Withdraw, true
	default:
		r.NextHop = f.nextHop
	}
	return true
}

// Route returns the current route; it is overwritten by the next call of Next.
func (it *RouteIter) Route() *Route { return &it.route }
