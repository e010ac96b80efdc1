package collector

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/rib"
)

// peerKey identifies a peer of a router over its sessions (RFC 7854 §4.2: the
// distinguisher and the address; the type tells Loc-RIB and VRF peers apart).
type peerKey struct {
	typ  event.PeerType
	rd   bgp.RD
	addr netip.Addr
}

// peer is one neighbour or table of a router and its RIB views.
type peer struct {
	key   peerKey
	epoch uint32
	// claims are the live sessions that speak for the peer: one, or two while
	// a router has several connections to us.
	claims []*claim
	views  [event.AdjRIBOutPost + 1]*view
	last   *event.Peer
}

// claim is one session's word for a peer: what it said at Peer Up, or that it
// sends the peer's routes without ever having said anything.
type claim struct {
	by    *session
	order uint64 // a later claim has a higher one
	ev    *event.Peer
	// up is set once a Peer Up was seen.
	up bool
	// ribs has a bit for each view that a Peer Up named: some routers send one
	// for each of their views of the same BGP session.
	ribs uint8
	// legacy is set when the OPENs settled on two-octet AS numbers.
	legacy bool
	// opens is a copy of both OPENs, to see whether a second Peer Up is about
	// the same BGP session.
	opens string
	// families are those that the OPENs of a Loc-RIB name.
	families bgp.FamilySet
	// in and out are the decode contexts of Adj-RIB-In and Adj-RIB-Out; loc
	// that of Loc-RIB.
	in, out, loc bgp.Session
}

// view is one Adj-RIB of a peer.
type view struct {
	p     *peer
	rib   event.RIB
	adj   *rib.View
	ev    *event.Peer // whose routes they are, for inferred events
	owner *claim      // who speaks for them; nil after the owner's end
	// since is when the owner took over, touched when it last sent a route.
	since, touched time.Time
	eor            map[bgp.Family]bool
	ending         *ending
}

// ending says that a view's routes are being taken out, portion by portion.
type ending struct {
	cause     event.Cause
	ev        *event.Peer
	keep      bool // remember them, to know them again
	onlyStale bool
	// only are the families that it is about; none: all.
	only bgp.FamilySet
	// told are the families that were said to be stale, and no more are when
	// the ending is over.
	told bgp.FamilySet
}

// spaces lists what the view holds of the ending's families.
func (en *ending) spaces(v *view) []rib.Count {
	all := v.adj.Counts()
	if en.only == 0 {
		return all
	}
	return slices.DeleteFunc(all, func(n rib.Count) bool { return !en.only.Has(n.Space.Family) })
}

// claimOf returns the session's claim, if any.
func (p *peer) claimOf(s *session) *claim {
	for _, cl := range p.claims {
		if cl.by == s {
			return cl
		}
	}
	return nil
}

// isUp reports whether some live session said Peer Up.
func (p *peer) isUp() bool {
	for _, cl := range p.claims {
		if cl.up {
			return true
		}
	}
	return false
}

// drop removes a claim from the list.
func (p *peer) drop(cl *claim) {
	// Delete clears what it moves from: a claim holds its session's memory.
	if i := slices.Index(p.claims, cl); i >= 0 {
		p.claims = slices.Delete(p.claims, i, i+1)
	}
}

// peer finds or makes a peer of the router.
func (r *router) peer(key peerKey) *peer {
	p := r.peers[key]
	if p == nil {
		p = &peer{key: key}
		r.peers[key] = p
	}
	return p
}

// view finds or makes a view of the peer.
func (r *router) view(p *peer, which event.RIB, ev *event.Peer) *view {
	v := p.views[which]
	if v == nil {
		v = &view{p: p, rib: which, ev: ev, eor: map[bgp.Family]bool{}}
		v.adj = r.c.db.NewView(appendViewName(nil, ev, which))
		p.views[which] = v
	}
	return v
}

// takeOver makes cl the owner of the view if it may be: when nobody is, or the
// owner's claim is older. It reports whether cl owns the view afterwards. The
// routes that were there are stale until they are announced again.
func (v *view) takeOver(cl *claim, now time.Time) bool {
	if v.owner == cl {
		return true
	}
	if v.owner != nil && v.owner.order > cl.order {
		return false
	}
	v.own(cl)
	v.restart(now)
	return true
}

// own makes cl the owner; the view's name in snapshots follows.
func (v *view) own(cl *claim) {
	v.owner, v.ev = cl, cl.ev
	v.adj.SetName(appendViewName(nil, cl.ev, v.rib))
}

// restart begins a new dump of the view: what is there is stale.
func (v *view) restart(now time.Time) {
	v.since, v.touched = now, now
	clear(v.eor)
	for _, n := range v.adj.Counts() {
		if n.Active > 0 {
			v.adj.MarkStale(n.Space)
		}
	}
}

// session returns the decode context of the view's messages.
func (cl *claim) session(which event.RIB) bgp.Session {
	switch which {
	case event.AdjRIBOutPre, event.AdjRIBOutPost:
		return cl.out
	case event.LocRIB:
		return cl.loc
	case event.AdjRIBInPre:
		return cl.in
	case event.AdjRIBInPost:
		// LOCAL_PREF and the reflection attributes are the router's own after
		// its policy, so the rules for what a neighbour may send do not apply.
		s := cl.in
		s.Peering = bgp.PeeringUnknown
		return s
	case event.RIBNone:
	}
	return bgp.Session{AS4: true}
}
