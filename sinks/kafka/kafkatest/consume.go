package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

// Record is one that was read.
type Record struct {
	Partition int
	Offset    int64
	Time      time.Time
	Key       []byte
	Value     []byte // nil for a tombstone
	Headers   map[string]string
}

// Consume returns what a topic has now, by partition and offset.
func (b *Broker) Consume(t testing.TB, topic string) []Record {
	t.Helper()
	out, err := consume(b.Addr, topic)
	if err != nil {
		t.Fatalf("kafkatest: reading %s: %v", topic, err)
	}
	return out
}

func consume(addr, topic string) (out []Record, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	transport := &kafkago.Transport{MetadataTopics: []string{topic}}
	defer transport.CloseIdleConnections()
	client := &kafkago.Client{Addr: kafkago.TCP(addr), Transport: transport}
	meta, err := client.Metadata(ctx, &kafkago.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return nil, err
	}
	if len(meta.Topics) == 0 || meta.Topics[0].Error != nil || len(meta.Topics[0].Partitions) == 0 {
		return nil, fmt.Errorf("no such topic: %+v", meta.Topics)
	}
	for p := range meta.Topics[0].Partitions {
		if out, err = partition(ctx, client, topic, p, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func partition(ctx context.Context, client *kafkago.Client, topic string, p int, out []Record) ([]Record, error) {
	ends, err := client.ListOffsets(ctx, &kafkago.ListOffsetsRequest{
		Topics: map[string][]kafkago.OffsetRequest{topic: {kafkago.FirstOffsetOf(p), kafkago.LastOffsetOf(p)}},
	})
	if err != nil {
		return nil, err
	}
	e := ends.Topics[topic][0]
	if e.Error != nil {
		return nil, e.Error
	}
	for next := e.FirstOffset; next < e.LastOffset; {
		res, err := client.Fetch(ctx, &kafkago.FetchRequest{
			Topic: topic, Partition: p, Offset: next, MinBytes: 1, MaxBytes: 16 << 20, MaxWait: time.Second,
		})
		if err != nil {
			return nil, err
		}
		if res.Error != nil {
			return nil, res.Error
		}
		before := next
		for {
			r, err := res.Records.ReadRecord()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, err
			}
			if r.Offset < next {
				continue
			}
			rec := Record{Partition: p, Offset: r.Offset, Time: r.Time, Headers: map[string]string{}}
			if rec.Key, err = kafkago.ReadAll(r.Key); err != nil {
				return nil, err
			}
			if r.Value != nil {
				if rec.Value, err = kafkago.ReadAll(r.Value); err != nil {
					return nil, err
				}
			}
			for _, h := range r.Headers {
				rec.Headers[h.Key] = string(h.Value)
			}
			out = append(out, rec)
			next = r.Offset + 1
		}
		if next == before {
			break // what is left was compacted away
		}
	}
	return out, nil
}

// ConsoleConsumer reads n records of a topic with Kafka's own consumer, one a
// line: partition, offset, headers, key and value, parted by tabs.
func (b *Broker) ConsoleConsumer(t testing.TB, topic string, n int) string {
	t.Helper()
	const timeout = 60 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), 2*timeout)
	defer cancel()
	args := []string{
		"--bootstrap-server", b.Addr, "--topic", topic, "--from-beginning",
		"--max-messages", strconv.Itoa(n), "--timeout-ms", strconv.FormatInt(timeout.Milliseconds(), 10),
	}
	for _, p := range []string{"print.partition", "print.offset", "print.headers", "print.key"} {
		args = append(args, "--property", p+"=true")
	}
	cmd, err := command(ctx, "org.apache.kafka.tools.consumer.ConsoleConsumer", args...)
	if err != nil {
		t.Fatalf("kafkatest: %v", err)
	}
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		t.Fatalf("kafkatest: console consumer: %v", err)
	}
	return string(out)
}

// Java runs one of Kafka's programs and returns what it prints.
func (b *Broker) Java(t testing.TB, class string, args ...string) string {
	t.Helper()
	out, err := b.java(class, args...)
	if err != nil {
		t.Fatalf("kafkatest: %s: %v: %s", class, err, out)
	}
	return out
}
