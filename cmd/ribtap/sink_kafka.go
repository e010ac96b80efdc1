package main

import (
	"context"
	"path/filepath"
	"time"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/sinks/kafka"
)

func (s *settings) kafkaConfig() kafka.Config {
	c := s.Sinks.Kafka
	cfg := kafka.DefaultConfig()
	cfg.Brokers, cfg.Topic, cfg.TopicPrefix, cfg.TopicState = c.Brokers, c.Topic, c.TopicPrefix, c.TopicState
	cfg.Format, cfg.Raw = c.Format, c.Raw
	cfg.Partitions, cfg.Replication, cfg.Retention, cfg.Compression = c.Partitions, c.Replication, c.Retention.Std(), c.Compression
	cfg.TLS = kafka.TLS(c.TLS)
	cfg.SASL = kafka.SASL(c.SASL)
	cfg.StateDir, cfg.Collector = filepath.Join(s.DataDir, "kafka"), s.Collector.Name
	return cfg
}

// kafkaSink says why it fails when that changes.
type kafkaSink struct {
	*kafka.Sink
	told reasons
}

// Write implements event.Writer.
func (s *kafkaSink) Write(ctx context.Context, batch []event.Event) error {
	return s.told.note(s.Sink.Write(ctx, batch))
}

// Idle implements event.Idler.
func (s *kafkaSink) Idle(ctx context.Context, now time.Time) error {
	return s.told.noteIdle(s.Sink.Idle(ctx, now))
}

func openKafka(ctx context.Context, n *node) (event.Sink, func() error, error) {
	if len(n.s.Sinks.Kafka.Brokers) == 0 {
		return nil, nil, nil
	}
	sink, err := kafka.New(n.s.kafkaConfig(), n.log, n.reg)
	if err != nil {
		return nil, nil, err
	}
	try, cancel := context.WithTimeout(ctx, firstTry)
	defer cancel()
	if err := sink.Check(try); err != nil {
		if err := n.unusable("kafka", err); err != nil {
			return nil, nil, err
		}
	}
	told, err := n.newReasons("kafka")
	if err != nil {
		return nil, nil, err
	}
	return &kafkaSink{sink, told}, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
		defer cancel()
		return sink.Close(ctx)
	}, nil
}
