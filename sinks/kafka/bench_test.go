//go:build integration

package kafka

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/sinks/kafka/kafkatest"
)

// benchEvent has one route, and about 700 octets as JSON.
func benchEvent(seq uint64) event.Event {
	n := seq * 2654435761
	p := nlri("10." + strconv.FormatUint(n>>8%256, 10) + "." + strconv.FormatUint(n%256, 10) + ".0/24")
	return routeEvent(seq, int(seq%routersOfTests), updateMessage(nil, attributes(65011, 65000+uint32(n%64), uint32(n%65000)), p), both2)
}

var perfLine = regexp.MustCompile(`([0-9]+) records sent, ([0-9.]+) records/sec`)

// BenchmarkProduce sends the same records by the sink, from events to
// acknowledgements and states, and by Kafka's own benchmark, which has them
// ready, to the same broker: acks=all, zstd, six partitions. Run it once:
//
//	go test -tags integration -run '^$' -bench Produce -benchtime 1x ./sinks/kafka
func BenchmarkProduce(b *testing.B) {
	const records, rounds, size = 400_000, 3, 4096
	broker := kafkatest.Start(b)
	events := make([]event.Event, records)
	var payload bytes.Buffer
	for i := range events {
		events[i] = benchEvent(uint64(i + 1))
		if i < 20_000 {
			payload.Write(event.AppendJSON(nil, &events[i]))
			payload.WriteByte('\n')
		}
	}
	file := filepath.Join(b.TempDir(), "payload")
	if err := os.WriteFile(file, payload.Bytes(), 0o600); err != nil {
		b.Fatal(err)
	}
	b.Logf("a record has %d octets", payload.Len()/20_000)
	var ours, java, tuned []float64
	for b.Loop() {
		for range rounds {
			ours = append(ours, sinkRate(b, broker, events, size))
			java = append(java, javaRate(b, broker, file, records))
			tuned = append(tuned, javaRate(b, broker, file, records, "batch.size=900000", "linger.ms=10", "buffer.memory=134217728"))
		}
	}
	b.Logf("records/s: sink %.0f, Java %.0f, Java with large batches %.0f", ours, java, tuned)
	b.ReportMetric(best(ours), "records/s")
	b.ReportMetric(best(ours)/best(java), "of-java")
	b.ReportMetric(best(ours)/best(tuned), "of-java-tuned")
}

func best(v []float64) float64 {
	top := 0.0
	for _, x := range v {
		top = max(top, x)
	}
	return top
}

func sinkRate(b *testing.B, broker *kafkatest.Broker, events []event.Event, size int) float64 {
	b.Helper()
	cfg := configFor(b, broker.Addr)
	cfg.Partitions = 6
	s := newTestSink(b, cfg)
	if err := s.Check(b.Context()); err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	for at := 0; at < len(events); at += size {
		if err := s.Write(b.Context(), events[at:min(at+size, len(events))]); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Idle(b.Context(), time.Now()); err != nil {
		b.Fatal(err)
	}
	took := time.Since(start)
	if s.Position() != uint64(len(events)) {
		b.Fatalf("position %d", s.Position())
	}
	return float64(len(events)) / took.Seconds()
}

func javaRate(b *testing.B, broker *kafkatest.Broker, payload string, records int, properties ...string) float64 {
	b.Helper()
	cfg := configFor(b, broker.Addr)
	cfg.Partitions = 6
	s := newTestSink(b, cfg)
	if err := s.Check(b.Context()); err != nil { // makes the topic
		b.Fatal(err)
	}
	args := []string{
		"--topic", cfg.Topic, "--num-records", strconv.Itoa(records), "--payload-file", payload, "--throughput", "-1",
		"--producer-props", "bootstrap.servers=" + broker.Addr, "acks=all", "compression.type=zstd",
	}
	out := broker.Java(b, "org.apache.kafka.tools.ProducerPerformance", append(args, properties...)...)
	all := perfLine.FindAllStringSubmatch(out, -1)
	if len(all) == 0 {
		b.Fatal(out)
	}
	rate, err := strconv.ParseFloat(all[len(all)-1][2], 64)
	if err != nil {
		b.Fatal(err)
	}
	return rate
}
