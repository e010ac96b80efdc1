package collector

import (
	"encoding/binary"
	"slices"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/rib"
	"github.com/ribtap/ribtap/speaker"
)

// admission says which routes of a session the RIB takes: those of the families
// that the session has, up to its limits. What it refuses is in the event all
// the same.
type admission struct {
	families []bgp.Family
	limits   []speaker.PrefixLimit
	nb       *neighbour

	// Of the last family asked about: its state, nil if the session has it not,
	// and its limit, nil without one.
	last  bgp.Family
	st    *familyState
	limit *speaker.PrefixLimit

	// Of the UPDATE under way: a family was not the session's; a limit is reached.
	foreign bool
	over    *speaker.PrefixLimit
	overOf  *familyState
}

// left returns how many routes the view has room for before a limit ends the
// session.
func (a *admission) left(v *view) int {
	left := maxRoutes
	for i := range a.limits {
		if l := &a.limits[i]; l.Action == speaker.LimitTerminate {
			active, _ := v.count(l.Family)
			left = min(left, l.Max-active)
		}
	}
	return left
}

// begin forgets the last UPDATE.
func (a *admission) begin() { a.foreign, a.over, a.overOf = false, nil, nil }

// family reports whether the session has the family.
func (a *admission) family(f bgp.Family) bool {
	if f != a.last {
		a.look(f)
	}
	if a.st == nil {
		a.foreign = true
	}
	return a.st != nil
}

func (a *admission) look(f bgp.Family) {
	a.last, a.st, a.limit = f, nil, nil
	if !slices.Contains(a.families, f) {
		return
	}
	a.st = a.nb.family(f)
	for i := range a.limits {
		if a.limits[i].Family == f {
			a.limit = &a.limits[i]
		}
	}
}

// room reports whether the RIB takes a route of the last family: one that it has
// already, or any one below the limit.
func (a *admission) room(adj *rib.View, space rib.Space, key []byte) bool {
	if a.limit == nil {
		return true
	}
	n := 0
	for _, with := range [...]bool{false, true} {
		c := adj.Count(rib.Space{Family: space.Family, AddPath: with})
		n += c.Active
		if a.st.stale == resync {
			n -= c.Stale // of the last session
		}
	}
	if n < a.limit.Max || a.limit.Action == speaker.LimitWarn && a.st.warned {
		return true
	}
	if _, active, _ := adj.Lookup(space, key); active {
		return true
	}
	a.over, a.overOf = a.limit, a.st
	return a.limit.Action == speaker.LimitWarn
}

// returned counts a route of the last family that was stale.
func (a *admission) returned() { a.st.returned++ }

// refused says what of the event's routes the RIB did not take.
func (s *bgpSession) refused(e *event.Event) *speaker.Fault {
	a := &s.admit
	if a.foreign {
		s.anomaly(e, "family-not-negotiated")
		e.Flags |= event.FlagRefused
	}
	if a.over == nil {
		return nil
	}
	if !a.overOf.warned {
		a.overOf.warned = true
		s.c.m.anomalies.WithLabelValues("max-prefixes").Inc()
		s.c.log.Warn("the limit of prefixes is reached", "peer", s.cl.ev.Address.String(), "family", a.over.Family.String(), "limit", a.over.Max)
	}
	if a.over.Action == speaker.LimitWarn {
		return nil
	}
	e.Flags |= event.FlagRefused
	a.overOf.miss()
	if a.over.Action != speaker.LimitTerminate {
		return nil
	}
	// RFC 4486 §4: the family and the limit.
	data := binary.BigEndian.AppendUint16(nil, uint16(a.over.Family.AFI()))
	data = append(data, uint8(a.over.Family.SAFI()))
	data = binary.BigEndian.AppendUint32(data, uint32(min(a.over.Max, 1<<32-1)))
	return &speaker.Fault{Code: bgp.ErrorCease, Subcode: bgp.CeaseMaxPrefixes, Data: data, Reason: "maximum number of prefixes reached"}
}

// quarantine notes for which families an UPDATE that cannot be read may have
// had routes: the one that its broken attribute names, or any.
func (s *bgpSession) quarantine(u *bgp.Update) {
	families := s.of.Families
	if f, ok := brokenFamily(u); ok && slices.Contains(families, f) {
		families = []bgp.Family{f}
	}
	for _, f := range families {
		st := s.nb.family(f)
		st.miss()
		st.garbled = true
	}
	s.c.log.Warn("an UPDATE cannot be read; its session is kept", "peer", s.cl.ev.Address.String())
	s.nb.publish(s.p, s.v)
}

// brokenFamily returns the family of the attribute that makes an UPDATE
// unreadable; ok is false when it may be more than one.
func brokenFamily(u *bgp.Update) (f bgp.Family, ok bool) {
	for _, finding := range u.Findings() {
		if finding.Verdict != bgp.VerdictSessionReset {
			continue
		}
		if finding.Attr != bgp.AttrMPReachNLRI && finding.Attr != bgp.AttrMPUnreachNLRI {
			return 0, false
		}
	}
	for it := u.Attrs(); ; {
		a, more := it.Next()
		if !more {
			return f, ok
		}
		if a.Code != bgp.AttrMPReachNLRI && a.Code != bgp.AttrMPUnreachNLRI {
			continue
		}
		const afiSAFI = 3
		if len(a.Value) < afiSAFI {
			return 0, false
		}
		one := bgp.NewFamily(bgp.AFI(binary.BigEndian.Uint16(a.Value)), bgp.SAFI(a.Value[2]))
		if ok && one != f {
			return 0, false
		}
		f, ok = one, true
	}
}
