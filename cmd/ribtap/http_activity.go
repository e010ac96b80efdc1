package main

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// The pulse is kept for a day.
const (
	pulseEvery = 10 * time.Second
	pulseKept  = 24 * time.Hour / pulseEvery
	// At first they are taken more often, for who looks at what has just begun.
	pulseFirst      = 2 * time.Second
	pulseFirstBeats = 30
	// activityPoints is about how many points an answer has.
	activityPoints = 360
)

// beat is what the collector was like at a time.
type beat struct {
	At      int64   `json:"at"`     // seconds since 1970
	Events  float64 `json:"events"` // a second, since the beat before
	Routes  int     `json:"routes"`
	PeersUp int     `json:"peers_up"`
	Lag     uint64  `json:"lag_events"` // of the sink that is the farthest behind
}

// pulse keeps the collector's beats of the last day in memory, oldest first.
type pulse struct {
	mu    sync.Mutex
	beats []beat
}

// run takes a beat again and again until ctx ends.
func (p *pulse) run(ctx context.Context, status func() status) {
	t := time.NewTicker(pulseFirst)
	defer t.Stop()
	before, last := status(), time.Now()
	for n := 1; ; n++ {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		if n == pulseFirstBeats {
			t.Reset(pulseEvery)
		}
		now, at := status(), time.Now()
		b := beat{
			At: at.Unix(), Routes: now.Routes, PeersUp: now.PeersUp,
			Events: float64(now.Stream.LastSequence-before.Stream.LastSequence) / at.Sub(last).Seconds(),
		}
		for _, s := range now.Sinks {
			b.Lag = max(b.Lag, s.LagEvents)
		}
		before, last = now, at
		p.mu.Lock()
		if len(p.beats) == int(pulseKept) {
			p.beats = append(p.beats[:0], p.beats[1:]...)
		}
		p.beats = append(p.beats, b)
		p.mu.Unlock()
	}
}

// activity is GET /v1/activity: the beats of the last while, several as one where
// there are many: the mean of rates, the largest lag, and else the last.
func (p *pulse) activity(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	err := knownParams(v, []string{"last"})
	last := 24 * time.Hour
	if s := v.Get("last"); s != "" && err == nil {
		if last, err = parseDuration(s); err != nil || last <= 0 {
			err = httpErrorf(http.StatusBadRequest, "last %q is not a duration such as 1h", s)
		}
	}
	answer(w, rowsAnswer[beat]{Rows: p.since(time.Now().Add(-last).Unix())}, err)
}

func (p *pulse) since(from int64) []beat {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := len(p.beats)
	for i > 0 && p.beats[i-1].At >= from {
		i--
	}
	kept := p.beats[i:]
	step := max((len(kept)+activityPoints-1)/activityPoints, 1)
	out := []beat{}
	for ; len(kept) > 0; kept = kept[min(step, len(kept)):] {
		part := kept[:min(step, len(kept))]
		b := part[len(part)-1]
		b.Events = 0
		for _, one := range part {
			b.Events += one.Events / float64(len(part))
			b.Lag = max(b.Lag, one.Lag)
		}
		out = append(out, b)
	}
	return out
}
