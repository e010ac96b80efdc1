package kafka

import (
	"context"
	"time"
)

// reconcile prepares a chunk that an earlier process may have sent, wholly or
// in part. If it is the same, it goes out with the same numbers; else what the
// topic does not have goes out under a new producer id.
func (s *Sink) reconcile(ctx context.Context, c *chunk, want *chunkState, fits bool) error {
	s.log.Info("a chunk was under way when Kafka's sink was stopped", "from", c.from, "to", c.to, "records", c.records, "same", fits)
	if !fits {
		for i := range c.loads {
			c.loads[i].done = 0
		}
		return s.renew(ctx, c, want)
	}
	found := make([]int, len(c.loads))
	for i := range c.loads {
		l := &c.loads[i]
		if l.done == len(l.records) {
			continue
		}
		at := &s.builder.lanes[i]
		there, err := s.present(ctx, at, c, at.Offset)
		if err != nil {
			return err
		}
		for _, r := range l.records[l.done:] {
			k := written{r.sequence, r.time}
			if there[k] == 0 {
				break
			}
			there[k]--
			found[i]++
		}
	}
	for i, n := range found {
		if n > 0 && c.loads[i].boundary(n) {
			s.builder.lanes[i].Next = after(s.builder.lanes[i].Next, n)
			s.m.skipped.WithLabelValues(skipPresent).Add(float64(n))
		}
	}
	return nil
}

// present reads what a lane has of the chunk from an offset on.
func (s *Sink) present(ctx context.Context, at *lane, c *chunk, offset int64) (map[written]int, error) {
	there := map[written]int{}
	err := s.client.readBack(ctx, s.topics[at.topic].name, at.partition, offset, func(w written) {
		if w.sequence >= c.from {
			there[w]++
		}
	})
	return there, err
}

// renew takes a new producer id for what is left of the chunk, less what the
// topic has. want is the chunk that a state tells of and that this is not.
func (s *Sink) renew(ctx context.Context, c *chunk, want *chunkState) error {
	for i := range c.loads {
		l, at := &c.loads[i], &s.builder.lanes[i]
		if l.done == len(l.records) {
			l.drop(nil)
			continue
		}
		offset := at.Offset
		if want != nil {
			for j := range want.Lanes {
				if want.Lanes[j].Lane == i {
					offset -= int64(want.Lanes[j].Done)
				}
			}
		}
		there, err := s.present(ctx, at, c, offset)
		if err != nil {
			return err
		}
		if n := l.drop(there); n > 0 {
			s.m.skipped.WithLabelValues(skipPresent).Add(float64(n))
		}
		l.cut(s.limits[at.topic])
	}
	p, err := s.client.producer(ctx)
	if err != nil {
		return err
	}
	s.log.Warn("Kafka gets a new producer id", "old", s.state.ProducerID, "new", p.id)
	s.m.reinits.Inc()
	s.adopt(p)
	return nil
}

// adopt begins the numbers of a producer.
func (s *Sink) adopt(p producer) {
	s.state.ProducerID, s.state.Epoch = p.id, p.epoch
	for i := range s.builder.lanes {
		s.builder.lanes[i].Next = 0
	}
}

// repair does what the failure of the pending chunk asks for.
func (s *Sink) repair(ctx context.Context) error {
	c := s.pending
	if c.reinit {
		if err := s.renew(ctx, c, nil); err != nil {
			return err
		}
		c.reinit, c.recut = false, false
	}
	if c.recut {
		for i := range c.loads {
			c.loads[i].cut(s.limits[s.builder.lanes[i].topic])
		}
		c.recut = false
	}
	c.lost = false
	return s.recall(ctx, c)
}

// rememberedFor is how old a batch may be for a broker that was restarted to
// remember it: producer.id.expiration.ms, 24 h by default, counts from the
// batch's own time.
const rememberedFor = 12 * time.Hour

// recall looks in the topic for old records, of imported files, whose answers
// were lost: a broker that was restarted does not know them again.
func (s *Sink) recall(ctx context.Context, c *chunk) error {
	for i := range c.loads {
		l, at := &c.loads[i], &s.builder.lanes[i]
		if !l.again || l.done == len(l.records) || time.Since(time.UnixMilli(l.records[l.done].time)) < rememberedFor {
			continue
		}
		there, err := s.present(ctx, at, c, at.Offset)
		if err != nil {
			return err
		}
		n := 0
		for _, r := range l.records[l.done:] {
			k := written{r.sequence, r.time}
			if there[k] == 0 {
				break
			}
			there[k]--
			n++
		}
		if n > 0 && l.boundary(n) {
			l.again = false
			at.Next = after(at.Next, n)
			s.m.skipped.WithLabelValues(skipPresent).Add(float64(n))
		}
	}
	return nil
}
