package kafka

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/ribtap/ribtap/event"
)

const (
	firstBackoff   = 100 * time.Millisecond
	longestBackoff = 10 * time.Second
	idleEvery      = time.Second
	// stuckMost is how often a broker may say that there are records and give
	// none, as for what is left of a compacted or aborted batch.
	stuckMost  = 20
	stuckPause = 250 * time.Millisecond
)

// assigned is a partition while it is this member's.
type assigned struct {
	c      *Consumer
	number int
	target Target
	opened atomic.Bool

	end     atomic.Int64 // of the partition, as far as was asked
	pending atomic.Int64 // time of the oldest record that is read and not stored, in nanoseconds; 0: none

	mu     sync.Mutex
	failed map[string]error // the last attempts that failed, by what was tried
}

// passage is what goes from the fetching to the writing goroutine.
type passage struct {
	events     []event.Event
	collectors []string
	ends       []uint64
	first      time.Time // of the first record
	// skip says that what was to be read is gone: the partition begins at to.
	skip bool
	to   int64
	text string
}

func (p *assigned) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, err := range p.failed {
		return err
	}
	return nil
}

func (p *assigned) note(what string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		delete(p.failed, what)
	} else {
		p.failed[what] = err
	}
}

// lag is how many records the store has not, and the age of the oldest in
// seconds.
func (p *assigned) lag(now time.Time) (records int64, seconds float64) {
	if !p.opened.Load() {
		return 0, 0
	}
	records = max(0, p.end.Load()-int64(p.target.Position()))
	if t := p.pending.Load(); t != 0 && records > 0 {
		seconds = max(0, now.Sub(time.Unix(0, t)).Seconds())
	}
	return records, seconds
}

// run reads the partition until the generation ends, or another one has it.
func (p *assigned) run(gen context.Context) {
	ctx, cancel := context.WithCancel(gen)
	defer cancel()
	// A write goes on for a moment when the generation has ended.
	writing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(writeGrace, stop)
		context.AfterFunc(writing, func() { timer.Stop() })
	})()
	var start int64
	opened := p.retry(ctx, "store", func() (err error) {
		if err := p.target.Open(writing); err != nil {
			return err
		}
		start, err = p.start(ctx)
		return err
	})
	if !opened {
		return
	}
	p.opened.Store(true)
	p.c.log.Info("consume: partition", "topic", p.c.cfg.Topic, "partition", p.number, "offset", start, "lag_records", p.end.Load()-start)
	passages := make(chan passage, 1)
	var wait sync.WaitGroup
	defer wait.Wait()
	wait.Go(func() {
		defer close(passages)
		p.fetch(ctx, start, passages)
	})
	defer cancel()
	idle := time.NewTicker(idleEvery)
	defer idle.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-idle.C:
			if err := p.target.Idle(writing, time.Now()); err != nil && ctx.Err() == nil {
				p.c.log.Debug("consume: idle", "partition", p.number, "error", err)
			}
		case b, ok := <-passages:
			if !ok || !p.write(ctx, writing, &b) {
				return
			}
		}
	}
}

// start is where reading begins, behind what the target has.
func (p *assigned) start(ctx context.Context) (int64, error) {
	first, end, err := p.c.client.ends(ctx, p.c.cfg.Topic, p.number)
	if err != nil {
		return 0, err
	}
	p.end.Store(end)
	if at := int64(p.target.Position()); at > 0 {
		return at, nil
	}
	return first, nil
}

// lost is an error after which a target must be opened anew.
type lost interface{ Lost() bool }

func isLost(err error) bool {
	var l lost
	return errors.As(err, &l) && l.Lost()
}

// write gives a passage to the target until that has it. It is false when the
// partition is no longer this member's.
func (p *assigned) write(ctx, writing context.Context, b *passage) bool {
	p.pending.Store(b.first.UnixNano())
	ok := p.retry(ctx, "store", func() error {
		var err error
		if b.skip {
			err = p.target.Skip(writing, uint64(b.to), time.Now(), b.text)
		} else {
			err = p.target.Write(writing, b.events, b.collectors, b.ends)
		}
		if err != nil && !isLost(err) {
			// So that the lag can be seen to grow.
			if _, end, err := p.c.client.askEnds(ctx, p.c.cfg.Topic, p.number); err == nil {
				p.end.Store(end)
			}
		}
		return err
	})
	if ok {
		p.pending.Store(0)
		p.c.m.took(len(b.events))
	}
	return ok
}

// retry calls f until it succeeds, with pauses that grow. It is false when ctx
// ended first, or the target is lost.
func (p *assigned) retry(ctx context.Context, what string, f func() error) bool {
	pause := firstBackoff
	var logged time.Time
	for {
		err := f()
		if ctx.Err() == nil || err == nil {
			p.note(what, err)
		}
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		p.c.m.retries.WithLabelValues(what, retryReason(err)).Inc()
		if now := time.Now(); now.Sub(logged) >= progressEvery/2 {
			logged = now
			n, age := p.lag(now)
			p.c.log.Warn("consume: it is tried again", "what", what, "partition", p.number, "lag_records", n, "lag_seconds", int64(age), "error", err)
		}
		gone := isLost(err)
		if gone {
			pause = rejoinPause // two groups on one topic must not race
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause/2 + rand.N(pause)):
		}
		if gone {
			return false
		}
		pause = min(2*pause, longestBackoff)
	}
}

// retryReason is a word for metrics.
func retryReason(err error) string {
	var own *Error
	var other interface{ RetryReason() string }
	switch {
	case errors.As(err, &own):
		return own.reason
	case errors.As(err, &other):
		return other.RetryReason()
	}
	return ReasonOther
}

// fetch reads from an offset on and passes on what it reads, until ctx ends.
func (p *assigned) fetch(ctx context.Context, next int64, out chan<- passage) {
	var d Decoder
	stuck, warned := 0, false
	for ctx.Err() == nil {
		var f fetched
		var b passage
		ok := p.retry(ctx, "fetch", func() (err error) {
			f, err = p.c.fetch(ctx, p.number, next)
			if errors.Is(err, kafkago.OffsetOutOfRange) {
				b, err = p.gone(ctx, next)
				return err
			}
			return fault(err, "reading %s/%d", p.c.cfg.Topic, p.number)
		})
		switch {
		case !ok:
			return
		case b.skip:
			next = b.to
		case len(f.records) == 0:
			p.end.Store(f.end)
			if stuck++; f.end <= next {
				stuck = 0
			} else if pauseFor(ctx, stuckPause); stuck >= stuckMost {
				p.c.log.Warn("consume: a broker gives no record where it says that there is one; it is passed over", "partition", p.number, "offset", next)
				next, stuck = next+1, 0
			}
			continue
		default:
			p.end.Store(f.end)
			stuck = 0
			next = f.records[len(f.records)-1].offset + 1
			b = p.read(&d, f.records, &warned)
		}
		select {
		case <-ctx.Done():
			return
		case out <- b:
		}
	}
}

func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// read makes a passage of records.
func (p *assigned) read(d *Decoder, records []rawRecord, warned *bool) passage {
	b := passage{
		events: make([]event.Event, 0, len(records)), collectors: make([]string, 0, len(records)), ends: make([]uint64, 0, len(records)),
		first: records[0].time,
	}
	for i := range records {
		r := d.read(&records[i])
		if r.unreadable != "" {
			p.c.m.unreadable.WithLabelValues(r.unreadable).Inc()
			if !*warned {
				*warned = true
				p.c.log.Error("consume: a record is not an event; it and others like it are kept in anomalies or gaps",
					"partition", p.number, "offset", records[i].offset, "collector", r.collector, "error", r.what)
			}
		}
		b.events, b.collectors = append(b.events, r.event), append(b.collectors, r.collector)
		b.ends = append(b.ends, uint64(records[i].offset)+1)
	}
	return b
}

// gone finds out what to do about an offset that the broker has not. Records
// that were deleted before they were read are a gap. A partition that ends
// before the offset was made anew, or lost its end: it is read from its begin,
// and what the store has is left out there.
func (p *assigned) gone(ctx context.Context, next int64) (b passage, err error) {
	const attempts, pause = 10, 500 * time.Millisecond
	var first, end int64
	for range attempts {
		if first, end, err = p.c.client.ends(ctx, p.c.cfg.Topic, p.number); err != nil {
			return b, err
		}
		if next < first || ctx.Err() != nil {
			break
		}
		if next <= end {
			// A leader that had just come back did not know how far it is.
			return b, fault(kafkago.OffsetOutOfRange, "reading %s/%d", p.c.cfg.Topic, p.number)
		}
		pauseFor(ctx, pause)
	}
	p.end.Store(end)
	b.first, b.skip, b.to = time.Now(), true, first
	if next < first {
		b.text = fmt.Sprintf("topic %s, partition %d: offsets %d to %d were deleted before they were read", p.c.cfg.Topic, p.number, next, first-1)
		p.c.log.Error("consume: records were deleted before they were read; a gap is noted", "partition", p.number, "from", next, "to", first-1)
		return b, nil
	}
	p.c.log.Error("consume: the partition ends before what was read of it; it is read from its begin", "partition", p.number, "offset", next, "end", end)
	return b, nil
}
