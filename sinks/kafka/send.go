package kafka

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
)

// connect finds the topics and what else a producer must know. It does nothing
// on a connection that works.
func (s *Sink) connect(ctx context.Context) error {
	if s.closed {
		return ErrClosed
	}
	if s.connected {
		return nil
	}
	counts, cluster, err := s.client.partitions(ctx, s.topics)
	if err != nil {
		return err
	}
	if s.state.Cluster != "" && s.state.Cluster != cluster {
		s.log.Warn("another Kafka cluster answers; it gets what follows", "before", s.state.Cluster, "now", cluster)
		s.forget()
	}
	s.state.Cluster = cluster
	s.limits = s.client.limits(ctx, s.topics)
	open := s.want != nil || s.pending != nil || s.building != nil
	switch {
	case open && s.covers(counts):
		// Partitions that were added wait until the chunk is done, which was cut
		// for fewer.
		counts = s.state.Partitions
	case open && len(s.state.Lanes) > 0:
		return &Error{
			reason: ReasonTopic, what: "topic " + s.topics[0].name, err: errors.New("it has fewer partitions than it had while records were under way"),
			hint: "give it as many again, or remove " + stateName + " in state_dir, which may repeat records",
		}
	}
	if s.state.ProducerID == noProducer {
		p, err := s.client.producer(ctx)
		if err != nil {
			return err
		}
		s.state.ProducerID, s.state.Epoch = p.id, p.epoch
	}
	if !slices.Equal(counts, s.state.Partitions) || s.builder.lanes == nil {
		if err := s.layOut(ctx, counts); err != nil {
			return err
		}
	}
	s.connected = true
	return nil
}

// forget drops what was true in another cluster: who the producer is, what
// number comes next and at which offset. Here the id may be somebody else's.
func (s *Sink) forget() {
	s.state.ProducerID = noProducer
	for i := range s.state.Lanes {
		s.state.Lanes[i] = laneState{Offset: -1}
	}
	for i := range s.builder.lanes {
		s.builder.lanes[i].laneState = laneState{Offset: -1}
	}
	if s.pending != nil {
		s.pending.reinit = true
	}
	if s.want != nil {
		s.want.Sum++ // so that it is not taken for what was sent
	}
}

// covers reports whether the topics have the partitions that the state has.
func (s *Sink) covers(counts []int) bool {
	if len(counts) != len(s.state.Partitions) {
		return false
	}
	for i, n := range s.state.Partitions {
		if n < 1 || counts[i] < n {
			return false
		}
	}
	return true
}

// layOut makes the lanes, from the state where it has them. A lane that it does
// not have is new, or the state is; then the topic tells how far it is.
func (s *Sink) layOut(ctx context.Context, counts []int) error {
	known := map[[2]int]laneState{}
	i := 0
	for topic, n := range s.state.Partitions {
		for p := range n {
			if i < len(s.state.Lanes) {
				known[[2]int{topic, p}] = s.state.Lanes[i]
			}
			i++
		}
	}
	b := &s.builder
	var lanes []lane
	var first []int
	for topic, n := range counts {
		first = append(first, len(lanes))
		for p := range n {
			l := lane{topic: topic, partition: p}
			st, ok := known[[2]int{topic, p}]
			if !ok {
				var err error
				if st, err = s.client.floor(ctx, s.topics[topic].name, p); err != nil {
					return err
				}
				if st.Floor > 0 {
					s.log.Info("a topic has records of this collector already; they are not repeated",
						"topic", s.topics[topic].name, "partition", p, "sequence", st.Floor)
				}
			}
			l.laneState = st
			lanes = append(lanes, l)
		}
	}
	b.lanes, b.first, b.counts, b.m = lanes, first, counts, s.m
	b.tails = b.tails[:0]
	for _, t := range s.topics {
		b.tails = append(b.tails, headersTail(s.cfg.Collector, t.schema))
	}
	s.state.Partitions = counts
	s.state.Lanes = make([]laneState, len(lanes))
	s.adoptLanes()
	return nil
}

// fly sends a round of the chunk: each lane at most roundBatches, one after the
// other. It owns the chunk's loads and the lanes until it returns.
func (s *Sink) fly(ctx context.Context, c *chunk) error {
	const atOnce = 16 // connections
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	errs := make([]error, len(c.loads))
	var stop atomic.Bool
	for i := range c.loads {
		if c.loads[i].done == len(c.loads[i].records) {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if stop.Load() {
				return
			}
			if errs[i] = s.flyLane(ctx, &c.loads[i], &s.builder.lanes[i]); errs[i] != nil {
				stop.Store(true)
			}
		})
	}
	wg.Wait()
	var first error
	for i, err := range errs {
		if err == nil {
			continue
		}
		s.judge(c, i, err)
		if first == nil {
			first = fault(err, "producing to %s/%d", s.topics[s.builder.lanes[i].topic].name, s.builder.lanes[i].partition)
		}
	}
	if first == nil && stop.Load() {
		first = ctx.Err()
	}
	return first
}

func (s *Sink) flyLane(ctx context.Context, l *load, at *lane) error {
	topic := &s.topics[at.topic]
	who := producer{s.state.ProducerID, s.state.Epoch}
	for range roundBatches {
		if len(l.cuts) == 0 {
			return nil
		}
		n := l.cuts[0]
		raw, plain, err := l.batcher.make(s.codec, who, at.Next, l.body, l.start(l.done), l.records[l.done:l.done+n])
		if err != nil {
			return err
		}
		if n == 1 && len(raw)-lengthSize > s.limits[at.topic] {
			s.m.oversize.Inc()
			s.log.Warn("a record is larger than its topic takes; a note stands for it",
				"topic", topic.name, "sequence", l.records[l.done].sequence, "octets", plain, "compressed", len(raw), "limit", s.limits[at.topic])
			if err := l.substitute(l.done, s.oversizeTail); err != nil {
				return err
			}
			continue
		}
		if l.again {
			s.m.resends.Inc()
		}
		base, duplicate, err := s.client.produce(ctx, topic.name, at.partition, raw)
		if err != nil {
			// The client may still be reading it.
			l.batcher.forget()
			l.again = true
			return err
		}
		l.again = false
		if duplicate {
			s.m.duplicates.Inc()
		}
		if base >= 0 {
			at.Offset = max(at.Offset, base+int64(n))
		}
		l.done += n
		l.cuts = l.cuts[1:]
		at.Next = after(at.Next, n)
		s.m.records.Add(float64(n))
		s.m.batches.Inc()
		s.m.plain.Add(float64(plain))
		s.m.sent.Add(float64(len(raw) - lengthSize))
	}
	return nil
}

// judge notes what must be done before the chunk is sent again.
func (s *Sink) judge(c *chunk, i int, err error) {
	l, topic := &c.loads[i], s.builder.lanes[i].topic
	switch reason, _ := reasonOf(err); reason {
	case ReasonSequence:
		c.reinit = true
		s.log.Warn("Kafka refuses the producer's numbers; it gets others", "error", err,
			"topic", s.topics[topic].name, "partition", s.builder.lanes[i].partition, "producer_id", s.state.ProducerID,
			"next", s.builder.lanes[i].Next, "records", l.cuts[0], "offset", s.builder.lanes[i].Offset)
	case ReasonTopic:
		c.lost = true
	case ReasonSize:
		// The topic takes less than it said: halve until it takes something. A
		// record alone is then replaced, so this ends.
		const least = 1024
		sent := l.records[l.done+l.cuts[0]-1].end - l.start(l.done)
		s.limits[topic] = max(least, min(s.limits[topic], sent)/2)
		c.recut = true
	}
}
