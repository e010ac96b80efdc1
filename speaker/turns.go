package speaker

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Times of a turn.
const (
	// turnTime is how long a reader works before others come.
	turnTime = 5 * time.Millisecond
	// turnLost is when a reader that still has its turn is taken to be waiting for
	// something, and somebody else gets a turn beside it.
	turnLost = 20 * time.Millisecond
	// turnMessages is how often a reader looks at the clock.
	turnMessages = 32
)

// turns lets only as many readers work at a time as there are processors. Go's
// scheduler knows no priorities: behind two hundred readers that all have work, a
// KEEPALIVE would wait for seconds. Who waits for a turn comes in order; who has
// one and blocks in its receiver does not keep the others from theirs.
type turns struct {
	mu      sync.Mutex
	free    int
	working []*turn
	waiting []*turn // in order
	wanted  chan struct{}
}

// turn is one reader's.
type turn struct {
	ready chan struct{}
	held  bool // under turns.mu
	since time.Time
}

func newTurns() *turns {
	return &turns{free: runtime.GOMAXPROCS(0), wanted: make(chan struct{}, 1)}
}

func newTurn() *turn { return &turn{ready: make(chan struct{}, 1)} }

// take waits for a turn.
func (s *turns) take(t *turn) {
	s.mu.Lock()
	if s.free > 0 {
		s.free--
		s.begin(t)
		s.mu.Unlock()
		return
	}
	s.waiting = append(s.waiting, t)
	s.mu.Unlock()
	select {
	case s.wanted <- struct{}{}:
	default:
	}
	<-t.ready
}

// give ends a turn, or does nothing if it was lost.
func (s *turns) give(t *turn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.held {
		s.end(t)
	}
}

// over reports whether a turn has lasted long enough. Only its reader calls it.
func (t *turn) over(now time.Time) bool { return now.Sub(t.since) >= turnTime }

func (s *turns) begin(t *turn) {
	t.held, t.since = true, time.Now()
	s.working = append(s.working, t)
}

// end passes the turn on. The caller holds mu.
func (s *turns) end(t *turn) {
	t.held = false
	i, last := slices.Index(s.working, t), len(s.working)-1
	s.working[i] = s.working[last]
	s.working = s.working[:last]
	if len(s.waiting) == 0 {
		s.free++
		return
	}
	next := s.waiting[0]
	s.waiting = s.waiting[1:]
	s.begin(next)
	next.ready <- struct{}{}
}

// run takes turns from readers that are stuck, while somebody waits for one.
func (s *turns) run(ctx context.Context) {
	tick := time.NewTicker(turnLost / 2)
	defer tick.Stop()
	for {
		tick.Stop()
		select {
		case <-s.wanted:
		case <-ctx.Done():
			s.open()
			return
		}
		tick.Reset(turnLost / 2)
		for s.sweep() {
			select {
			case <-tick.C:
			case <-ctx.Done():
				s.open()
				return
			}
		}
	}
}

// sweep ends turns that have lasted too long, and reports whether anybody waits.
func (s *turns) sweep() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Backward: end fills the gap with the last one, and who begins stands behind it.
	for _, w := range slices.Backward(s.working) {
		if len(s.waiting) > 0 && time.Since(w.since) >= turnLost {
			s.end(w)
		}
	}
	return len(s.waiting) > 0
}

// open lets everybody through: the speaker stops.
func (s *turns) open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	const everybody = 1 << 30
	s.free = everybody
	for _, t := range s.waiting {
		t.ready <- struct{}{}
	}
	s.waiting = nil
}
