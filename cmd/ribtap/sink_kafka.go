package main

import (
	"context"
	"errors"
	"path/filepath"

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

func openKafka(ctx context.Context, n *node) (event.Sink, func() error, error) {
	if len(n.s.Sinks.Kafka.Brokers) == 0 {
		return nil, nil, nil
	}
	sink, err := kafka.New(n.s.kafkaConfig(), n.log, n.reg)
	if err != nil {
		return nil, nil, err
	}
	if err := sink.Check(ctx); err != nil {
		// What the configuration got wrong ends the start; brokers that are away
		// are a sink that lags.
		if e, ok := errors.AsType[*kafka.Error](err); !ok || e.Configured() {
			return nil, nil, err
		}
		n.log.Warn("kafka: not reachable yet; the stream keeps what it lacks", "error", err)
	}
	return sink, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
		defer cancel()
		return sink.Close(ctx)
	}, nil
}
