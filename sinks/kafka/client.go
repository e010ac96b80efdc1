package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
)

const (
	// metadataTTL bounds how long a partition's old leader is asked.
	metadataTTL = 2 * time.Second
	idleTimeout = 5 * time.Minute
	// defaultMaxBytes is max.message.bytes where the broker does not tell.
	defaultMaxBytes = 1048588
	// fetchBytes is how much of a topic is read back at a time.
	fetchBytes = 4 << 20
	// floorRecords is how far the end of a topic is looked at for records of
	// this collector.
	floorRecords = 2000
)

// client is the few requests that a producer needs.
type client struct {
	cfg       *Config
	kafka     *kafkago.Client
	transport *kafkago.Transport
}

func newClient(cfg *Config, topics []string) (*client, error) {
	tlsConfig, err := cfg.tlsConfig()
	if err != nil {
		return nil, err
	}
	mechanism, err := cfg.mechanism()
	if err != nil {
		return nil, err
	}
	c := &client{cfg: cfg}
	c.transport = &kafkago.Transport{
		Dial:           (&net.Dialer{Timeout: cfg.Timeout}).DialContext,
		DialTimeout:    cfg.Timeout,
		IdleTimeout:    idleTimeout,
		MetadataTTL:    metadataTTL,
		MetadataTopics: topics,
		ClientID:       cfg.ClientID,
		TLS:            tlsConfig,
		SASL:           mechanism,
	}
	c.kafka = &kafkago.Client{Addr: kafkago.TCP(cfg.Brokers...), Timeout: cfg.Timeout, Transport: c.transport}
	return c, nil
}

func (c *client) close() { c.transport.CloseIdleConnections() }

func (c *client) brokers() string { return strings.Join(c.cfg.Brokers, ",") }

// topicSpec is a topic that records go to.
type topicSpec struct {
	name    string
	schema  string // of its records, in their header
	compact bool
}

// partitions returns the number of partitions of each topic, making those that
// are missing, and the cluster's id.
func (c *client) partitions(ctx context.Context, topics []topicSpec) (counts []int, cluster string, err error) {
	const attempts, pause = 20, 250 * time.Millisecond
	created := false
	for i := 0; ; i++ {
		found, missing, cluster, err := c.lookUp(ctx, topics)
		if err != nil {
			return nil, "", err
		}
		if len(missing) == 0 {
			return found, cluster, nil
		}
		if !created {
			if err := c.create(ctx, missing); err != nil {
				return nil, "", err
			}
			created = true
		}
		if i == attempts {
			return nil, "", fault(kafkago.UnknownTopicOrPartition, "topic %s", missing[0].name)
		}
		select {
		case <-ctx.Done():
			return nil, "", ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (c *client) lookUp(ctx context.Context, topics []topicSpec) (found []int, missing []topicSpec, cluster string, err error) {
	names := make([]string, len(topics))
	for i := range topics {
		names[i] = topics[i].name
	}
	res, err := c.kafka.Metadata(ctx, &kafkago.MetadataRequest{Topics: names})
	if err != nil {
		return nil, nil, "", connectFault(err, "asking %s for metadata", c.brokers())
	}
	found = make([]int, len(topics))
	for i := range topics {
		j := slices.IndexFunc(res.Topics, func(t kafkago.Topic) bool { return t.Name == topics[i].name })
		switch {
		case j < 0 || errors.Is(res.Topics[j].Error, kafkago.UnknownTopicOrPartition),
			errors.Is(res.Topics[j].Error, kafkago.LeaderNotAvailable), res.Topics[j].Error == nil && len(res.Topics[j].Partitions) == 0:
			missing = append(missing, topics[i])
		case res.Topics[j].Error != nil:
			return nil, nil, "", fault(res.Topics[j].Error, "topic %s", topics[i].name)
		default:
			found[i] = len(res.Topics[j].Partitions)
		}
	}
	return found, missing, res.ClusterID, nil
}

func (c *client) create(ctx context.Context, topics []topicSpec) error {
	req := &kafkago.CreateTopicsRequest{}
	for _, t := range topics {
		cfg := kafkago.TopicConfig{Topic: t.name, NumPartitions: c.cfg.Partitions, ReplicationFactor: c.cfg.Replication}
		if cfg.ReplicationFactor == 0 {
			cfg.ReplicationFactor = -1 // the broker's default (KIP-464)
		}
		set := func(k, v string) {
			cfg.ConfigEntries = append(cfg.ConfigEntries, kafkago.ConfigEntry{ConfigName: k, ConfigValue: v})
		}
		switch {
		case t.compact:
			set("cleanup.policy", "compact")
		case c.cfg.Retention > 0:
			set("retention.ms", strconv.FormatInt(c.cfg.Retention.Milliseconds(), 10))
		}
		req.Topics = append(req.Topics, cfg)
	}
	res, err := c.kafka.CreateTopics(ctx, req)
	if err != nil {
		return fault(err, "making topic %s", topics[0].name)
	}
	for name, err := range res.Errors {
		if err != nil && !errors.Is(err, kafkago.TopicAlreadyExists) {
			return fault(err, "topic %s is missing and cannot be made", name)
		}
	}
	return nil
}

// limits returns max.message.bytes of each topic; a broker that does not tell
// has the default.
func (c *client) limits(ctx context.Context, topics []topicSpec) []int {
	out := make([]int, len(topics))
	req := &kafkago.DescribeConfigsRequest{}
	for i := range topics {
		out[i] = defaultMaxBytes
		req.Resources = append(req.Resources, kafkago.DescribeConfigRequestResource{
			ResourceType: kafkago.ResourceTypeTopic, ResourceName: topics[i].name, ConfigNames: []string{"max.message.bytes"},
		})
	}
	res, err := c.kafka.DescribeConfigs(ctx, req)
	if err != nil {
		return out
	}
	for _, r := range res.Resources {
		i := slices.IndexFunc(topics, func(t topicSpec) bool { return t.name == r.ResourceName })
		for _, e := range r.ConfigEntries {
			if n, err := strconv.Atoi(e.ConfigValue); err == nil && i >= 0 && e.ConfigName == "max.message.bytes" && n > 0 {
				out[i] = n
			}
		}
	}
	return out
}

// initProducer is kafka-go's request without its method Transaction. With that
// the client looks for a transaction coordinator first, although there is no
// transaction: it would need rights to a transactional id, and the topic
// __transaction_state with its three copies.
type initProducer initproducerid.Request

// ApiKey has the name that kafka-go calls it by.
func (*initProducer) ApiKey() protocol.ApiKey { return protocol.InitProducerId } //nolint:revive // the interface's name

// producer asks for a producer id. A broker that has just started may not be
// ready to give one.
func (c *client) producer(ctx context.Context) (producer, error) {
	const pause = 250 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	for {
		p, err := c.initProducer(ctx)
		if !errors.Is(err, kafkago.GroupLoadInProgress) && !errors.Is(err, kafkago.GroupCoordinatorNotAvailable) {
			return p, fault(err, "asking %s for a producer id", c.brokers())
		}
		select {
		case <-ctx.Done():
			return p, fault(err, "asking %s for a producer id", c.brokers())
		case <-time.After(pause):
		}
	}
}

func (c *client) initProducer(ctx context.Context) (producer, error) {
	res, err := c.transport.RoundTrip(ctx, c.kafka.Addr, &initProducer{ProducerID: noProducer, ProducerEpoch: -1})
	if err != nil {
		return producer{}, err
	}
	r, ok := res.(*initproducerid.Response)
	switch {
	case !ok:
		return producer{}, fmt.Errorf("unexpected answer %T", res)
	case r.ErrorCode != 0:
		return producer{}, kafkago.Error(r.ErrorCode)
	}
	return producer{r.ProducerID, r.ProducerEpoch}, nil
}

// produce sends a batch. It returns the offset of its first record, or -1, and
// whether the broker had it already: then the answer has the time of the batch,
// which it has else only in topics that are timed by the broker.
func (c *client) produce(ctx context.Context, topic string, partition int, raw []byte) (base int64, duplicate bool, err error) {
	res, err := c.kafka.RawProduce(ctx, &kafkago.RawProduceRequest{
		Topic: topic, Partition: partition, RequiredAcks: kafkago.RequireAll,
		RawRecords: protocol.RawRecordSet{Reader: bytes.NewReader(raw)},
	})
	if err == nil {
		err = res.Error
	}
	if errors.Is(err, kafkago.DuplicateSequenceNumber) {
		return -1, true, nil
	}
	if err != nil {
		return -1, false, err
	}
	return res.BaseOffset, !res.LogAppendTime.IsZero() && res.LogAppendTime.UnixMilli() == maxTime(raw), nil
}

// ends returns the first offset of a partition and the one behind its last. A
// partition that was just made has no leader for a moment.
func (c *client) ends(ctx context.Context, topic string, partition int) (first, end int64, err error) {
	const attempts, pause = 20, 250 * time.Millisecond
	for i := 0; ; i++ {
		first, end, err = c.askEnds(ctx, topic, partition)
		var e *Error
		if !errors.As(err, &e) || i == attempts || e.reason != ReasonLeader && e.reason != ReasonTopic {
			return first, end, err
		}
		select {
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (c *client) askEnds(ctx context.Context, topic string, partition int) (first, end int64, err error) {
	res, err := c.kafka.ListOffsets(ctx, &kafkago.ListOffsetsRequest{
		Topics: map[string][]kafkago.OffsetRequest{topic: {kafkago.FirstOffsetOf(partition), kafkago.LastOffsetOf(partition)}},
	})
	if err != nil {
		return 0, 0, fault(err, "asking for offsets of %s/%d", topic, partition)
	}
	for _, p := range res.Topics[topic] {
		if p.Partition == partition {
			if p.Error != nil {
				return 0, 0, fault(p.Error, "asking for offsets of %s/%d", topic, partition)
			}
			return p.FirstOffset, p.LastOffset, nil
		}
	}
	return 0, 0, fault(kafkago.UnknownTopicOrPartition, "asking for offsets of %s/%d", topic, partition)
}

// written is a record of this collector that is in a topic.
type written struct {
	sequence uint64
	time     int64
}

// readBack calls fn for the records of this collector from offset on, which the
// partition is known to have had.
func (c *client) readBack(ctx context.Context, topic string, partition int, offset int64, fn func(written)) error {
	first, end, err := c.ends(ctx, topic, partition)
	// A leader that has just come back may for a moment not know how far it is.
	const attempts, pause = 10, 500 * time.Millisecond
	for i := 0; err == nil && end < offset && i < attempts; i++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		first, end, err = c.ends(ctx, topic, partition)
	}
	if err != nil {
		return err
	}
	for offset = max(offset, first); offset < end; {
		res, err := c.kafka.Fetch(ctx, &kafkago.FetchRequest{
			Topic: topic, Partition: partition, Offset: offset, MinBytes: 1, MaxBytes: fetchBytes, MaxWait: time.Second,
		})
		if err == nil {
			err = res.Error
		}
		if err != nil {
			return fault(err, "reading back %s/%d", topic, partition)
		}
		before := offset
		for {
			r, err := res.Records.ReadRecord()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return fault(err, "reading back %s/%d", topic, partition)
			}
			if r.Offset < offset {
				continue
			}
			offset = r.Offset + 1
			if seq, ok := c.own(r.Headers); ok {
				fn(written{seq, r.Time.UnixMilli()})
			}
		}
		if offset == before {
			// Nothing but what is left of compacted or control batches.
			return nil
		}
	}
	return nil
}

// own returns the sequence of a record that this collector wrote.
func (c *client) own(headers []protocol.Header) (seq uint64, ok bool) {
	mine := false
	for _, h := range headers {
		switch h.Key {
		case headerCollector:
			mine = string(h.Value) == c.cfg.Collector
		case headerSequence:
			n, err := strconv.ParseUint(string(h.Value), 10, 64)
			seq, ok = n, err == nil
		}
	}
	return seq, ok && mine
}

// floor finds how far a partition is that has records of this collector.
func (c *client) floor(ctx context.Context, topic string, partition int) (laneState, error) {
	l := laneState{Offset: -1}
	_, end, err := c.ends(ctx, topic, partition)
	if err != nil || end == 0 {
		return l, err
	}
	l.Offset = end
	err = c.readBack(ctx, topic, partition, max(0, end-floorRecords), func(w written) {
		switch {
		case w.sequence == l.Floor:
			l.FloorRecords++
		case w.sequence > l.Floor:
			l.Floor, l.FloorRecords = w.sequence, 1
		}
		l.FloorTime = max(l.FloorTime, w.time)
	})
	return l, err
}
