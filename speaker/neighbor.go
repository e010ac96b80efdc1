package speaker

import (
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ribtap/ribtap/bgp"
)

// maxConnections is how many connections of one neighbour may be on their way at
// once: both sides' own (RFC 4271 §6.8), or a session and its successor.
const maxConnections = 2

// neighbor is one address with which there may be a session: a peer that is one
// address, or one out of a range.
type neighbor struct {
	sp   *Speaker
	addr netip.Addr // with its zone
	// slot is held from Up to Down: a session begins when the last one has ended.
	slot chan struct{}

	attempts, connections, sessions atomic.Uint64
	received, sent                  counters

	mu          sync.Mutex
	peer        *Peer
	runners     []*runner
	since       time.Time // without a runner
	lastError   string
	lastErrorAt time.Time
	heldUntil   time.Time // no session before, see limitHold
}

func newNeighbor(s *Speaker, p *Peer, addr netip.Addr) *neighbor {
	return &neighbor{sp: s, peer: p, addr: addr, slot: make(chan struct{}, 1), since: time.Now()}
}

func (nb *neighbor) log() *slog.Logger {
	return nb.sp.log.With("peer", nb.config().Name, "remote", nb.addr)
}

func (nb *neighbor) config() *Peer {
	nb.mu.Lock()
	defer nb.mu.Unlock()
	return nb.peer
}

func (nb *neighbor) setConfig(p *Peer) {
	nb.mu.Lock()
	defer nb.mu.Unlock()
	nb.peer = p
}

// failed notes the last error.
func (nb *neighbor) failed(text string) {
	nb.mu.Lock()
	defer nb.mu.Unlock()
	nb.lastError, nb.lastErrorAt = text, time.Now()
}

func (nb *neighbor) add(r *runner) {
	nb.mu.Lock()
	defer nb.mu.Unlock()
	nb.runners = append(nb.runners, r)
}

func (nb *neighbor) remove(r *runner) {
	nb.mu.Lock()
	defer nb.mu.Unlock()
	nb.runners = slices.DeleteFunc(nb.runners, func(x *runner) bool { return x == r })
	nb.since = time.Now()
}

// all returns the runners there are now.
func (nb *neighbor) all() []*runner {
	nb.mu.Lock()
	defer nb.mu.Unlock()
	return slices.Clone(nb.runners)
}

// live counts the connections that have not ended.
func (nb *neighbor) live() int {
	nb.mu.Lock()
	defer nb.mu.Unlock()
	n := 0
	for _, r := range nb.runners {
		if r.seen.state > Idle && (r.seen.conn != nil || !r.dials) {
			n++
		}
	}
	return n
}

// hasSession reports whether a connection other than r's has come as far as
// OpenConfirm.
func (nb *neighbor) hasSession(r *runner) bool {
	nb.mu.Lock()
	defer nb.mu.Unlock()
	return slices.ContainsFunc(nb.runners, func(o *runner) bool { return o != r && o.seen.state >= OpenConfirm })
}

// claim settles collisions for r, whose neighbour has just said who it is, and
// reports whether r goes on. Of two connections that both sides made, the one
// stays that the side with the higher BGP Identifier made (RFC 4271 §6.8), or with
// the larger AS number (RFC 6286 §2.3). A session that is Established stays, unless
// the neighbour can restart gracefully: then it has restarted (RFC 4724 §4.2). Of
// two connections of the same side the later one stays.
func (nb *neighbor) claim(r *runner, me identity, theirs *bgp.Open) bool {
	nb.mu.Lock()
	defer nb.mu.Unlock()
	var losers []*runner
	for _, o := range nb.runners {
		if o == r || !o.seen.claimed || o.seen.conn == nil || o.seen.state == Idle {
			continue
		}
		if s := o.seen.session; s != nil {
			if !restartsGracefully(s) {
				return false
			}
			o.tryTell(command{event: evTCPConfirmed, text: "the neighbour has restarted"})
			continue
		}
		if r.seen.conn.dialled != o.seen.conn.dialled && r.seen.conn.dialled != dominant(me, theirs) {
			return false
		}
		losers = append(losers, o)
	}
	for _, o := range losers {
		o.tryTell(command{event: evCollisionDump, text: "another connection of the neighbour is kept"})
	}
	r.seen.claimed = true
	return true
}

// dominant reports whether our own connection is the one that stays.
func dominant(me identity, theirs *bgp.Open) bool {
	if c := me.id.Compare(theirs.BGPID); c != 0 {
		return c > 0
	}
	return me.asn > theirs.AS
}

// restartsGracefully reports whether a session was made with graceful restart on
// both sides.
func restartsGracefully(s *Session) bool {
	ours, _ := bgp.ParseOpen(s.Sent)
	theirs, _ := bgp.ParseOpen(s.Received)
	_, ok := theirs.GracefulRestart()
	return ok && ours.Has(bgp.CapGracefulRestart)
}

// notifies reports whether both sides of a session have the N bit, so that a Cease
// ends the session and not the routes (RFC 8538 §2).
func (s *Session) notifies() bool {
	sent, _ := bgp.ParseOpen(s.Sent)
	received, _ := bgp.ParseOpen(s.Received)
	ours, ok := sent.GracefulRestart()
	theirs, both := received.GracefulRestart()
	return ok && both && ours.Notification && theirs.Notification
}
