package collector

import (
	"slices"
	"sync"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/rib"
)

// neighbour is what is known of a neighbour of our speaker besides its routes,
// over its sessions. The router's lock guards it, but for status.
type neighbour struct {
	session *bgpSession // the one that speaks for it, nil while there is none
	// rules are what its last session settled for a restart, cause is why that
	// session ended.
	rules    restartRules
	cause    event.Cause
	families []*familyState // by family

	mu     sync.Mutex // guards status
	status NeighbourStatus
}

// familyState is the state of one family of a neighbour.
type familyState struct {
	family bgp.Family
	stale  staleness
	// until is when the state of the routes ends by itself.
	until time.Time
	// longUntil is when the long-lived stale time ends; zero without one. Once it
	// has begun, only End-of-RIB stops it (RFC 9494 §4.2).
	longUntil time.Time
	// told is set while the stream was told that routes are stale.
	told bool
	// marked routes became stale when a refresh began, returned of them came again.
	marked, returned int

	// eor is set by the session's End-of-RIB, overdue when the long-lived stale time
	// ended before it.
	eor     bool
	overdue bool
	sync    Sync
	syncAt  time.Time
	// unsynced is set when something that the neighbour said is not in the RIB,
	// missed when that was since the last BoRR; garbled when it could not be read.
	unsynced, missed, garbled bool
	// warned is set when a limit was spoken of.
	warned bool
}

// staleness says why routes of a family are marked stale, and who ends it.
type staleness uint8

const (
	notStale   staleness = iota // the mark means nothing
	restarting                  // the session is lost; the Restart Time runs (RFC 4724)
	longLived                   // and has passed; the Long-Lived Stale Time runs (RFC 9494)
	resync                      // there is a new session; its End-of-RIB sweeps
	refreshing                  // BoRR came; EoRR sweeps (RFC 7313)
)

// away reports whether routes are kept for a neighbour without a session.
func (s staleness) away() bool { return s == restarting || s == longLived }

// Sync says how it was learned that a family's first dump is complete.
type Sync uint8

// Values of Sync.
const (
	SyncNone  Sync = iota // not yet
	SyncEOR               // by End-of-RIB, or by the end of a refresh
	SyncQuiet             // nothing came for a while
)

// String returns none, eor or quiet.
func (s Sync) String() string {
	switch s {
	case SyncEOR:
		return "eor"
	case SyncQuiet:
		return "quiet"
	case SyncNone:
	}
	return "none"
}

// NeighbourStatus is what there is to say about a neighbour's routes.
type NeighbourStatus struct {
	Peer *event.Peer
	// Up says that there is a session. Without one, Families are those of which
	// routes are kept.
	Up       bool
	Families []FamilyStatus
}

// FamilyStatus is the state of one family of a neighbour.
type FamilyStatus struct {
	Family bgp.Family
	// Routes are those in the RIB; Stale of them wait for being announced again,
	// until StaleUntil if that is not zero.
	Routes, Stale int
	StaleUntil    time.Time
	// InitialSync says how it was learned that the session's first dump is
	// complete, SyncAt when.
	InitialSync Sync
	SyncAt      time.Time
	// Unsynchronised says that something the neighbour said is not in the RIB,
	// since it could not be read or was above a limit.
	Unsynchronised bool
}

// family finds or makes the state of a family.
func (nb *neighbour) family(f bgp.Family) *familyState {
	i, ok := slices.BinarySearchFunc(nb.families, f, func(st *familyState, f bgp.Family) int { return int(st.family) - int(f) })
	if !ok {
		nb.families = slices.Insert(nb.families, i, &familyState{family: f})
	}
	return nb.families[i]
}

// begin forgets what held for the last session alone.
func (st *familyState) begin() {
	st.overdue = false
	st.eor, st.unsynced, st.missed, st.garbled, st.warned = false, false, false, false, false
	st.sync, st.syncAt = SyncNone, time.Time{}
}

// synced notes that a dump is complete, as far as it was understood.
func (st *familyState) synced(by Sync, at time.Time) {
	if st.sync == SyncNone || st.sync == SyncQuiet && by == SyncEOR {
		st.sync, st.syncAt = by, at
	}
}

// miss notes that something is not in the RIB.
func (st *familyState) miss() { st.unsynced, st.missed = true, true }

// spaces lists what the view holds of a family, with and without path identifiers.
func (v *view) spaces(f bgp.Family) []rib.Count {
	return slices.DeleteFunc(v.adj.Counts(), func(n rib.Count) bool { return n.Space.Family != f || n.Active == 0 })
}

// count counts the family's routes in the view.
func (v *view) count(f bgp.Family) (active, stale int) {
	for _, n := range v.spaces(f) {
		active, stale = active+n.Active, stale+n.Stale
	}
	return active, stale
}

// publish shows the state to whoever asks for it.
func (nb *neighbour) publish(p *peer, v *view) {
	st := NeighbourStatus{Peer: p.last, Up: nb.session != nil}
	for _, f := range nb.families {
		active, stale := v.count(f.family)
		if f.stale == notStale {
			stale = 0
		}
		fs := FamilyStatus{
			Family: f.family, Routes: active, Stale: stale, InitialSync: f.sync, SyncAt: f.syncAt, Unsynchronised: f.unsynced,
		}
		if stale > 0 {
			fs.StaleUntil = f.until
		}
		if st.Up || active > 0 {
			st.Families = append(st.Families, fs)
		}
	}
	nb.mu.Lock()
	nb.status = st
	nb.mu.Unlock()
}

// read returns the state as last published.
func (nb *neighbour) read() NeighbourStatus {
	nb.mu.Lock()
	defer nb.mu.Unlock()
	return nb.status
}
