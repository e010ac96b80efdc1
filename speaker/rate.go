package speaker

import "time"

// rate is a token bucket of one second. Its user guards it.
type rate struct {
	tokens float64
	last   time.Time
}

// allow reports whether one more is within perSecond.
func (r *rate) allow(now time.Time, perSecond int) bool {
	limit := float64(perSecond)
	if r.last.IsZero() {
		r.tokens = limit
	}
	r.tokens = min(limit, r.tokens+now.Sub(r.last).Seconds()*limit)
	r.last = now
	if r.tokens < 1 {
		return false
	}
	r.tokens--
	return true
}
