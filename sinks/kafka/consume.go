package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	kafkago "github.com/segmentio/kafka-go"

	"github.com/ribtap/ribtap/event"
)

// Target takes the events of one partition of the topic. It keeps, with what it
// makes of them, the offset behind the last one, so that each counts once.
type Target interface {
	// Open makes this the only Target of the partition and finds the position.
	// It is called at each assignment.
	Open(ctx context.Context) error
	// Position is the offset behind what the Target has; 0 for nothing. It is
	// safe for concurrent use.
	Position() uint64
	// Write takes events of the collectors with these names, and for each the
	// offset behind its record. After an error the same may be written again,
	// unless the error has a method Lost that returns true: then another one
	// has the partition, or the position is elsewhere.
	Write(ctx context.Context, events []event.Event, collectors []string, ends []uint64) error
	// Skip moves the position over records that are no longer there.
	Skip(ctx context.Context, to uint64, now time.Time, text string) error
	// Idle is called about once a second while there is nothing to write.
	Idle(ctx context.Context, now time.Time) error
	Close() error
}

// Intervals of a member of the group.
const (
	heartbeatEvery = 2 * time.Second
	sessionTimeout = 10 * time.Second // then the others take over from a dead one
	rebalanceLimit = 30 * time.Second
	watchEvery     = 10 * time.Second // for partitions that are added
	rejoinPause    = time.Second
	groupTimeout   = 10 * time.Second
	commitEvery    = 5 * time.Second // of offsets to Kafka, for those who look there
	progressEvery  = time.Minute
	// writeGrace is how long a write under way may go on once the partition is
	// no longer this member's. It ends before the group gives the member up.
	writeGrace = 6 * time.Second
)

// Consumer is a member of a consumer group: it gives the events of the
// partitions that it is assigned to their Targets, and begins each where the
// Target says. Kafka's own idea of the group's offsets is written for
// monitoring and never read.
type Consumer struct {
	cfg    Config
	group  string
	target func(topic string, partition int) Target
	log    *slog.Logger
	m      *consumeMetrics
	client *client

	mu     sync.Mutex
	joined bool
	parts  map[int]*assigned // of this generation
	kept   map[int]Target    // with their connections and caches
}

// NewConsumer returns a Consumer that is not running. target makes the Target
// of a partition. Of cfg it uses what is about brokers, and the settings of the
// topic, which is made if it is missing.
func NewConsumer(cfg Config, group string, target func(topic string, partition int) Target, log *slog.Logger, reg prometheus.Registerer) (*Consumer, error) {
	cfg.Format, cfg.TopicState = FormatProtobuf, ""
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if group == "" {
		return nil, errors.New("kafka: the consumer group has no name")
	}
	c := &Consumer{cfg: cfg, group: group, target: target, log: log, parts: map[int]*assigned{}, kept: map[int]Target{}}
	var err error
	if c.client, err = newClient(&c.cfg, []string{cfg.Topic}); err != nil {
		return nil, err
	}
	c.m, err = newConsumeMetrics(c, reg)
	return c, err
}

// Check connects, makes the topic if it is missing, and looks whether its
// newest records can be read. Its error is one line that says what to do.
func (c *Consumer) Check(ctx context.Context) error {
	counts, _, err := c.client.partitions(ctx, []topicSpec{{name: c.cfg.Topic, schema: schemaProtobuf}})
	if err != nil {
		return err
	}
	for p := range counts[0] {
		first, end, err := c.client.ends(ctx, c.cfg.Topic, p)
		if err != nil {
			return err
		}
		if end == first {
			continue
		}
		f, err := c.fetch(ctx, p, end-1)
		if err != nil {
			return fault(err, "reading %s/%d", c.cfg.Topic, p)
		}
		var d Decoder
		for i := range f.records {
			if r := d.read(&f.records[i]); r.unreadable == unreadableFormat {
				return fmt.Errorf("kafka: topic %s has %s: set sinks.kafka.format: protobuf on the collectors, and a topic of its own for it", c.cfg.Topic, r.what)
			}
		}
	}
	return nil
}

// Ready returns nil while this is a member of the group and every partition
// that it has goes on; else why not.
func (c *Consumer) Ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.joined {
		return fmt.Errorf("kafka: not a member of the group %s yet", c.group)
	}
	for _, p := range slices.Sorted(maps.Keys(c.parts)) {
		if err := c.parts[p].failure(); err != nil {
			return fmt.Errorf("partition %d: %w", p, err)
		}
	}
	return nil
}

// Run is a member of the group until ctx ends. Then it finishes the writes that
// are under way, leaves the group and returns nil. An error at the first
// attempt to join that waiting does not mend is returned; all else is tried
// again for ever.
func (c *Consumer) Run(ctx context.Context) error {
	defer c.close()
	group, err := c.newGroup()
	if err != nil {
		return err
	}
	var wait sync.WaitGroup
	defer wait.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wait.Go(func() {
		<-ctx.Done()
		_ = group.Close() // it has no error
	})
	wait.Go(func() { c.report(ctx) })
	failed, last := false, ""
	for {
		gen, err := group.Next(ctx)
		switch {
		case ctx.Err() != nil:
			// Close waits for the generation's parts.
			return nil
		case err == nil:
			last = ""
			c.begin(gen)
		case errors.Is(err, kafkago.GroupAuthorizationFailed) && !c.hasJoined():
			return fmt.Errorf("kafka: group %s: the user needs Read on the group, and on the topic %s", c.group, c.cfg.Topic)
		default:
			err = fault(err, "joining group %s", c.group)
			var e *Error
			if errors.As(err, &e) {
				c.m.retries.WithLabelValues("group", e.reason).Inc()
				failed = e.Configured() && !c.hasJoined()
			}
			if failed {
				return err
			}
			c.left()
			if text := err.Error(); text != last {
				last = text
				c.log.Warn("consume: not in the group; it is tried again", "error", err)
			}
		}
	}
}

func (c *Consumer) hasJoined() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.joined
}

// left notes that the group went on without this member.
func (c *Consumer) left() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.joined = false
	clear(c.parts)
}

func (c *Consumer) newGroup() (*kafkago.ConsumerGroup, error) {
	tlsConfig, err := c.cfg.tlsConfig()
	if err != nil {
		return nil, err
	}
	mechanism, err := c.cfg.mechanism()
	if err != nil {
		return nil, err
	}
	group, err := kafkago.NewConsumerGroup(kafkago.ConsumerGroupConfig{
		ID: c.group, Brokers: c.cfg.Brokers, Topics: []string{c.cfg.Topic},
		Dialer: &kafkago.Dialer{
			ClientID: c.cfg.ClientID, Timeout: c.cfg.Timeout, TLS: tlsConfig, SASLMechanism: mechanism,
			DialFunc: (&net.Dialer{Timeout: c.cfg.Timeout}).DialContext,
		},
		HeartbeatInterval: heartbeatEvery, SessionTimeout: sessionTimeout, RebalanceTimeout: rebalanceLimit,
		WatchPartitionChanges: true, PartitionWatchInterval: watchEvery, JoinGroupBackoff: rejoinPause, Timeout: groupTimeout,
		StartOffset: kafkago.FirstOffset,
	})
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return group, nil
}

// begin starts the readers of a generation. The group's own goroutines end and
// await them.
func (c *Consumer) begin(gen *kafkago.Generation) {
	var numbers []int
	for _, a := range gen.Assignments[c.cfg.Topic] {
		numbers = append(numbers, a.ID)
	}
	slices.Sort(numbers)
	c.log.Info("consume: assigned", "topic", c.cfg.Topic, "group", c.group, "generation", gen.ID, "partitions", fmt.Sprint(numbers))
	c.m.generations.Inc()
	parts := make(map[int]*assigned, len(numbers))
	for _, n := range numbers {
		t := c.kept[n]
		if t == nil {
			t = c.target(c.cfg.Topic, n)
			c.kept[n] = t
		}
		parts[n] = &assigned{c: c, number: n, target: t, failed: map[string]error{}}
	}
	for n, t := range c.kept {
		if parts[n] == nil {
			delete(c.kept, n)
			c.closeTarget(n, t)
		}
	}
	c.mu.Lock()
	c.joined, c.parts = true, parts
	c.mu.Unlock()
	for _, p := range parts {
		gen.Start(p.run)
	}
	gen.Start(func(ctx context.Context) { c.commit(ctx, gen, parts) })
}

func (c *Consumer) closeTarget(n int, t Target) {
	if err := t.Close(); err != nil {
		c.log.Warn("consume: closing", "partition", n, "error", err)
	}
}

// close is called when no reader runs.
func (c *Consumer) close() {
	for n, t := range c.kept {
		c.closeTarget(n, t)
	}
	clear(c.kept)
	c.left()
	c.client.close()
}

// commit tells Kafka how far the group is, from time to time and at the end.
func (c *Consumer) commit(ctx context.Context, gen *kafkago.Generation, parts map[int]*assigned) {
	tick := time.NewTicker(commitEvery)
	defer tick.Stop()
	told := map[int]int64{}
	for ended := false; !ended; {
		select {
		case <-ctx.Done():
			ended = true
		case <-tick.C:
		}
		news := map[int]int64{}
		for n, p := range parts {
			if at := int64(p.target.Position()); at > told[n] && p.opened.Load() {
				news[n] = at
			}
		}
		if len(news) == 0 {
			continue
		}
		if err := gen.CommitOffsets(map[string]map[int]int64{c.cfg.Topic: news}); err != nil {
			// It is told again; nothing depends on it.
			c.log.Debug("consume: the offsets were not committed to Kafka", "error", err)
			continue
		}
		maps.Copy(told, news)
	}
}

// report logs once in a while how far this member is.
func (c *Consumer) report(ctx context.Context) {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for before := int64(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		records := c.m.taken.Load()
		lag, seconds := int64(0), 0.0
		c.mu.Lock()
		for _, p := range c.parts {
			n, age := p.lag(time.Now())
			lag, seconds = lag+n, max(seconds, age)
		}
		parts := len(c.parts)
		c.mu.Unlock()
		if records != before || lag > 0 {
			c.log.Info("consume: progress", "partitions", parts, "records", records-before, "lag_records", lag, "lag_seconds", int64(seconds))
		}
		before = records
	}
}

// fetched is an answer of a broker.
type fetched struct {
	records []rawRecord
	end     int64 // of the partition
}

// rawRecord is a record as it was read.
type rawRecord struct {
	offset            int64
	time              time.Time
	value             []byte
	sequence          string // of its headers
	collector, schema string
}

// fetch reads what there is from an offset on; it waits a moment if that is
// nothing.
func (c *Consumer) fetch(ctx context.Context, partition int, offset int64) (f fetched, err error) {
	const octets, wait = 1 << 20, 500 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout+wait)
	defer cancel()
	res, err := c.client.kafka.Fetch(ctx, &kafkago.FetchRequest{
		Topic: c.cfg.Topic, Partition: partition, Offset: offset, MinBytes: 1, MaxBytes: octets, MaxWait: wait,
	})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return f, err
	}
	f.end = res.HighWatermark
	for {
		r, err := res.Records.ReadRecord()
		if errors.Is(err, io.EOF) {
			return f, nil
		}
		if err != nil {
			return f, err
		}
		if r.Offset < offset {
			continue
		}
		rec := rawRecord{offset: r.Offset, time: r.Time}
		if r.Value != nil {
			if rec.value, err = kafkago.ReadAll(r.Value); err != nil {
				return f, err
			}
		}
		for _, h := range r.Headers {
			switch h.Key {
			case headerSequence:
				rec.sequence = string(h.Value)
			case headerCollector:
				rec.collector = string(h.Value)
			case headerSchema:
				rec.schema = string(h.Value)
			}
		}
		f.records = append(f.records, rec)
	}
}
