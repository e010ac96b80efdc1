package speaker

import "time"

// limitHold is how long a neighbour that had too many prefixes gets no session. One
// that calls again at once would send its whole table again and again.
const limitHold = 5 * time.Minute

// hold keeps the neighbour without a session for limitHold.
func (nb *neighbor) hold() {
	nb.mu.Lock()
	defer nb.mu.Unlock()
	nb.heldUntil = time.Now().Add(limitHold)
}

// holdLeft returns for how long the neighbour still gets no session, at least 0.
func (nb *neighbor) holdLeft() time.Duration {
	nb.mu.Lock()
	defer nb.mu.Unlock()
	return max(time.Until(nb.heldUntil), 0)
}

// free ends a hold and reports whether there was one.
func (nb *neighbor) free() bool {
	nb.mu.Lock()
	defer nb.mu.Unlock()
	was := time.Now().Before(nb.heldUntil)
	nb.heldUntil = time.Time{}
	return was
}

// freeAll ends the holds of neighbours, and has those dialled that are to be.
func freeAll(list []*neighbor) {
	for _, nb := range list {
		if nb.free() {
			tellAll([]*neighbor{nb}, command{event: evAutomaticStart, fresh: true})
		}
	}
}
