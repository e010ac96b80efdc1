// Package apitest is a client of Sync for tests: it keeps a copy of the RIB as the
// schema says a client does.
package apitest

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/ribtap/ribtap/api/ribtapv1"
)

// Bits of Event.flags and Event.marks that a client looks at.
const (
	flagNonOwner = 4
	flagDropped  = 64
	flagSnapshot = 128

	markReal = 1 | 2
)

// Replica is a copy of the RIB.
type Replica struct {
	// Routes are by what identifies them, "router|peer|distinguisher|rib|family|rd|prefix|id".
	Routes map[string]string
	// At is where the copy stands; nil before a dump is whole.
	At *ribtapv1.Position
	// Dumps and Resumes count what Sync began with.
	Dumps, Resumes int
	// Live counts events behind the dumps.
	Live int
}

// Apply takes a response. Its error says what the service did wrong.
func (r *Replica) Apply(m *ribtapv1.SyncResponse) error {
	switch part := m.GetPart().(type) {
	case *ribtapv1.SyncResponse_Begin_:
		if part.Begin.GetResumed() {
			r.Resumes++
			return nil
		}
		r.Dumps++
		r.Routes, r.At = map[string]string{}, nil
	case *ribtapv1.SyncResponse_Dump_:
		for _, e := range part.Dump.GetEvents() {
			if e.GetFlags()&flagSnapshot == 0 || e.GetSequence() != 0 || len(e.GetRoutes()) != 1 {
				return fmt.Errorf("no event of a dump: %v", e)
			}
			k := key(e, e.GetRoutes()[0])
			if _, ok := r.Routes[k]; ok {
				return fmt.Errorf("twice in the dump: %s", k)
			}
			r.apply(e)
		}
		if part.Dump.GetLast() {
			r.At = part.Dump.GetAt()
		}
	case *ribtapv1.SyncResponse_Live_:
		if r.At == nil {
			return fmt.Errorf("events before the dump was whole")
		}
		last := r.At.GetSequence()
		for _, e := range part.Live.GetEvents() {
			if e.GetSequence() <= last {
				return fmt.Errorf("event %d behind %d", e.GetSequence(), last)
			}
			last = e.GetSequence()
			r.Live++
			r.apply(e)
		}
		if part.Live.GetAt().GetSequence() < last {
			return fmt.Errorf("at %d behind event %d", part.Live.GetAt().GetSequence(), last)
		}
		r.At = part.Live.GetAt()
	default:
		return fmt.Errorf("a response without a part")
	}
	return nil
}

func (r *Replica) apply(e *ribtapv1.Event) {
	if e.GetKind() != ribtapv1.Kind_KIND_ROUTE || e.GetFlags()&(flagNonOwner|flagDropped) != 0 {
		return
	}
	marks := e.GetMarks()
	for i, route := range e.GetRoutes() {
		mark := byte(0)
		switch {
		case len(marks) == 1:
			mark = marks[0]
		case i < len(marks):
			mark = marks[i]
		}
		switch k := key(e, route); {
		case mark&markReal == 0:
		case route.GetWithdraw():
			delete(r.Routes, k)
		default:
			r.Routes[k] = value(e, route)
		}
	}
}

// ribNames are those of the SQL views.
var ribNames = map[ribtapv1.Rib]string{
	ribtapv1.Rib_RIB_ADJ_IN_PRE: "adj-rib-in-pre", ribtapv1.Rib_RIB_ADJ_IN_POST: "adj-rib-in-post", ribtapv1.Rib_RIB_LOC: "loc-rib",
	ribtapv1.Rib_RIB_ADJ_OUT_PRE: "adj-rib-out-pre", ribtapv1.Rib_RIB_ADJ_OUT_POST: "adj-rib-out-post",
}

func key(e *ribtapv1.Event, r *ribtapv1.Route) string {
	id := ""
	if r.PathId != nil {
		id = fmt.Sprint(r.GetPathId())
	}
	p := e.GetPeer()
	return strings.Join([]string{
		e.GetRouter().GetName(), address(p.GetAddress()), fmt.Sprintf("%x", p.GetDistinguisher()), ribNames[e.GetRib()], r.GetFamily(), r.GetRd(), r.GetPrefix(), id,
	}, "|")
}

// Row is a row of the SQL view routes, as JSON has it, in a Replica's words. It is
// for peers without a distinguisher.
func Row(row map[string]any) (key, value string) {
	join := func(columns ...string) string {
		texts := make([]string, len(columns))
		for i, c := range columns {
			if v := row[c]; v != nil {
				texts[i] = fmt.Sprint(v)
			}
		}
		return strings.Join(texts, "|")
	}
	return join("router", "peer_address", "", "rib", "family", "rd", "prefix", "path_id"),
		join("next_hop", "origin", "as_path", "med", "local_pref", "communities", "large_communities", "ext_communities")
}

func value(e *ribtapv1.Event, r *ribtapv1.Route) string {
	a := e.GetAttributes()
	number := func(p *uint32) string {
		if p == nil {
			return ""
		}
		return fmt.Sprint(*p)
	}
	return strings.Join([]string{
		r.GetNextHop(), a.GetOrigin(), a.GetAsPath(), number(a.Med), number(a.LocalPref), a.GetCommunities(), a.GetLargeCommunities(), a.GetExtCommunities(),
	}, "|")
}

func address(b []byte) string {
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		return ""
	}
	return a.String()
}
