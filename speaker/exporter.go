package speaker

import (
	"time"

	"github.com/ribtap/ribtap/bgp"
)

// exporter makes the messages that a session announces its routes with. There is
// one for each session, and only the session's writer calls it, but for stats.
type exporter interface {
	// begin starts a session: what follows it is the initial update, with an
	// End-of-RIB marker for each family at its end.
	begin(s *Session)
	// set says what is to be announced from now on: next brings the difference to
	// what was sent. It is called after begin and whenever Announce or Drain changed.
	set(p *Peer)
	// resend makes next bring all that is announced of a family once more (RFC
	// 2918 §4); the writer puts BoRR and EoRR around it.
	resend(f bgp.Family)
	// next returns whole messages, at most limit octets but for a single one that
	// is longer, valid until the next call. done says that there are no more for now.
	next(limit int) (msgs []byte, done bool)
	// stats may be called by any goroutine.
	stats() exportStats
}

// exportStats are those of PeerStatus.
type exportStats struct {
	advertised, announced, withdrawn uint64
	calculation                      time.Duration
	left                             leftCounts
}

// newExporter is what each session gets.
func newExporter() exporter { return newAdjOut() }
