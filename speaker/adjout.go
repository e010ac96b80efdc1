package speaker

import (
	"sync"
	"time"

	"github.com/ribtap/ribtap/bgp"
)

// leftOut is why an announcement is not sent on a session.
type leftOut uint8

const (
	leftNothing   leftOut = iota
	leftFamily            // its family was not negotiated
	leftNextHop           // no next hop that the session could carry, or the neighbour's own
	leftTooLarge          // with its attributes it exceeds a message
	leftDuplicate         // a later one in the list is of the same route
	leftBeacon            // a schedule that ActiveAnnouncements did not resolve
	leftInvalid           // Validate says why
	leftCount
)

var leftNames = [leftCount]string{"", "family", "next-hop", "too-large", "duplicate", "beacon", "invalid"}

// String returns family, next-hop, too-large, duplicate, beacon or invalid.
func (l leftOut) String() string { return leftNames[l] }

// adjOut is the Adj-RIB-Out of one session (RFC 4271 §3.2): what the neighbour
// has of our routes, and what it should have. next sends the difference: first
// what goes, then what comes or changes, those of equal attributes together; a
// change replaces the route without a withdrawal (RFC 4271 §9.1.4). Nothing is in
// it that the peer's Announce does not list (RFC 8212), but for the default route
// target membership where RTC was negotiated (RFC 4684 §5).
//
// One goroutine uses it, but for stats. It is bounded by the lists: one
// entry for each route that is announced or still to be withdrawn.
type adjOut struct {
	encoder  attrEncoder
	families []familyOut // RTC first: VPN routes wait for it
	at       int         // the family whose turn it is
	ready    bool        // set was called
	max      int         // octets of a message
	buf      []byte
	announce bgp.AnnounceBuilder
	withdraw bgp.WithdrawBuilder
	// key, item and value are what next works on.
	key   []byte
	item  bgp.NLRI
	value []byte

	sent exportStats // of the writer; shown by stats

	mu    sync.Mutex
	shown exportStats
	left  leftCounts
}

// leftCounts are announcements by why they are not sent.
type leftCounts [leftCount]uint64

func (l *leftCounts) byReason() (m map[string]uint64) {
	for why, n := range l {
		if n > 0 {
			if m == nil {
				m = map[string]uint64{}
			}
			m[leftOut(why).String()] = n
		}
	}
	return m
}

// familyOut is the Adj-RIB-Out of one family.
type familyOut struct {
	family   bgp.Family
	addPath  bool
	endOfRIB bool       // was sent
	once     bool       // nothing is sent again, whoever asks
	routes   []routeOut // in the order of their keys
	todo     []int32    // routes to send, in the order of sending
	next     int        // in todo
}

// routeOut is one route. The values are those of attrEncoder, "" for none.
type routeOut struct {
	key       string // bgp.AppendKey, without path identifier
	has, want string
	again     bool // to be sent though the neighbour has it
}

func newAdjOut() *adjOut { return &adjOut{} }

func (a *adjOut) begin(s *Session) {
	// Without enhanced refresh a neighbour cannot have lost the route target
	// membership, and GoBGP before 3.36 dies of one that it has already.
	once := !bothOpens(s, func(o *bgp.Open) bool { return o.Has(bgp.CapEnhancedRefresh) })
	a.max = bgp.MaxMessageLen
	if s.Transmit.ExtendedMessage {
		a.max = bgp.MaxExtendedMessageLen
	}
	a.encoder.outContext = newOutContext(s)
	add := func(f bgp.Family) {
		if a.family(f) == nil {
			a.families = append(a.families, familyOut{
				family: f, addPath: s.Transmit.AddPath.Has(f), once: f == bgp.RTC && once,
			})
		}
	}
	for _, f := range s.Families {
		if f == bgp.RTC {
			add(f)
		}
	}
	for _, f := range s.Families {
		add(f)
	}
}

// family returns nil for a family that was not negotiated.
func (a *adjOut) family(f bgp.Family) *familyOut {
	for i := range a.families {
		if a.families[i].family == f {
			return &a.families[i]
		}
	}
	return nil
}

func (a *adjOut) set(p *Peer) {
	start := time.Now()
	lists, left := a.desired(p)
	a.ready, a.at = true, 0
	for i := range a.families {
		f := &a.families[i]
		f.routes = mergeRoutes(f.routes, lists[i])
		f.plan()
	}
	a.sent.calculation = time.Since(start)
	a.show()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.left = left
}

func (a *adjOut) resend(family bgp.Family) {
	f := a.family(family)
	if f == nil || f.once {
		return
	}
	a.at = 0
	for i := range f.routes {
		f.routes[i].again = f.routes[i].want != ""
	}
	f.plan()
}

// next fills messages as far as they go, whatever the limit is, so that how often
// it is called does not show on the wire.
func (a *adjOut) next(limit int) (msgs []byte, done bool) {
	a.buf = a.buf[:0]
	for a.more() && (len(a.buf) == 0 || len(a.buf)+a.max <= limit) {
		a.appendMessage()
	}
	a.show()
	return a.buf, !a.more()
}

func (a *adjOut) show() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.shown = a.sent
}

func (a *adjOut) stats() exportStats {
	a.mu.Lock()
	defer a.mu.Unlock()
	x := a.shown
	x.left = a.left
	return x
}
