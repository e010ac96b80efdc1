package history

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/internal/wire"
)

// The column code of a route's rows. Values are stored.
const (
	CodeAction = 3 // bgp.Action
	MarksShift = 2 // event.Mark
	CauseShift = 8 // event.Cause

	CodeChanged = int64(event.MarkChanged) << MarksShift
	codeState   = int64(event.MarkState) << MarksShift
	// CodeReal is what a change of the state has at least one of.
	CodeReal = CodeChanged | codeState
)

// PositionBits is the size of a position within an event. No UPDATE of 65,535
// octets holds more routes.
const PositionBits = 16

// NoPathID stands in path_id for a route without path identifier.
const NoPathID = -1

// Code is the column code of a route of e.
func Code(e *event.Event, r *bgp.Route, m event.Mark) int64 {
	return int64(r.Action)&CodeAction | int64(m)<<MarksShift | int64(e.RouteCause(r))<<CauseShift
}

// PathID is the column path_id.
func PathID(n *bgp.NLRI) int64 {
	if n.HasPathID {
		return int64(n.PathID)
	}
	return NoPathID
}

// AnyWanted reports whether any route of the event may get a row: all says
// that routes which changed nothing get one, too.
func AnyWanted(e *event.Event, all bool) bool {
	return all || slices.ContainsFunc(e.Marks, func(m event.Mark) bool { return m != 0 })
}

// Late reports whether a newer route of the same RIB may have come before e, as
// happens when an old file is imported; last is the received time of the newest.
func Late(e *event.Event, last int64) bool {
	return (e.Source == event.SourceMRT || e.Cause == event.CauseImport) && Micros(e.Received) < last
}

// Unreadable says why no routes may be taken from an UPDATE.
func Unreadable(u *bgp.Update) string {
	for _, f := range u.Findings() {
		if f.Verdict == bgp.VerdictSessionReset {
			return f.Reason
		}
	}
	return "the routes do not count"
}

// AppendKey appends what identifies an NLRI within its family; the path
// identifier is not part of it.
func AppendKey(dst []byte, n *bgp.NLRI) []byte {
	hadPathID := n.HasPathID
	n.HasPathID = false
	dst = bgp.AppendKey(dst, n)
	n.HasPathID = hadPathID
	return dst
}

// Plain reports whether address and length are the whole key of an NLRI, so
// that the key need not be stored.
func Plain(n *bgp.NLRI, key []byte) bool {
	if !n.Prefix.IsValid() {
		return false
	}
	if a := n.Prefix.Addr(); a.Is4() {
		b := a.As4()
		return len(key) == 5 && bytes.Equal(b[:], key[:4])
	}
	b := n.Prefix.Addr().As16()
	return len(key) == 17 && bytes.Equal(b[:], key[:16])
}

// AppendLabels appends a label stack as decimal numbers, top first.
func AppendLabels(dst, fields []byte) []byte {
	const lowBits = 4 // traffic class and bottom of stack (RFC 3032 §2.1)
	start := len(dst)
	for c := wire.NewCursor(fields); c.Len() >= 3; {
		if len(dst) > start {
			dst = append(dst, ' ')
		}
		dst = strconv.AppendUint(dst, uint64(c.Uint24()>>lowBits), 10)
	}
	return dst
}
