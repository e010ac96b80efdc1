package load

import "math/rand/v2"

// Storm is an endless sequence of changes to the routes of a table that is not
// announced otherwise: half of the time the same route again, so that an
// announcement and its withdrawal often stand back to back, and no message
// repeats the state that is there. It is deterministic, so that a test need not
// keep what it sent: a second Storm with the same seed tells.
type Storm struct {
	rng  *rand.Rand
	med  []uint32 // by route; 0 while it is withdrawn
	last int
	sent uint32
}

// Step is one message of a Storm.
type Step struct {
	Route int
	// MED is the message's number from 1, which an announcement carries; 0 for
	// a withdrawal, whose number is its place in the sequence.
	MED uint32
}

// NewStorm makes a Storm over so many routes.
func NewStorm(routes int, seed uint64) *Storm {
	return &Storm{rng: rand.New(rand.NewPCG(seed, 2)), med: make([]uint32, routes)}
}

// Next returns the next step.
func (s *Storm) Next() Step {
	if s.rng.IntN(2) == 0 {
		s.last = s.rng.IntN(len(s.med))
	}
	s.sent++
	step := Step{Route: s.last}
	if s.med[s.last] == 0 {
		step.MED = s.sent
	}
	s.med[s.last] = step.MED
	return step
}

// MED returns the number of the announcement that stands for a route; 0 if it
// is withdrawn.
func (s *Storm) MED(route int) uint32 { return s.med[route] }

// AppendStep appends a Storm's step as a message about the table's routes.
func (t *Table) AppendStep(dst []byte, s Step) []byte {
	if s.MED == 0 {
		return t.appendWithdraw(dst, t.routes[s.Route])
	}
	return t.AppendMED(dst, s.Route, s.MED)
}
