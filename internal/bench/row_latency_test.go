//go:build bench

package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/ribtap/ribtap/internal/load"
	"github.com/ribtap/ribtap/sinks/kafka/kafkatest"
	"github.com/ribtap/ribtap/sinks/postgres/postgrestest"
)

const (
	latencyTarget = target("p99: tail < 20 ms, Kafka < 100 ms")
	tailP99       = 20 * time.Millisecond
	kafkaP99      = 100 * time.Millisecond
)

// latency: how long an UPDATE takes from the router's socket to a client of
// /v1/tail, and to a consumer of the topic, which gets it when every replica has
// acknowledged it, with all sinks on.
func latency(t *testing.T) []line {
	perSecond, seconds := size(1_000, 5_000), size(3, 60)
	const topic, every = "latency", 10 * time.Millisecond
	broker := kafkatest.Start(t)
	d := startRibtap(t, dataDir(t), "RIBTAP_SINKS_POSTGRES_DSN="+postgrestest.Start(t),
		"RIBTAP_SINKS_KAFKA_BROKERS="+broker.Addr, "RIBTAP_SINKS_KAFKA_TOPIC="+topic, "RIBTAP_SINKS_KAFKA_PARTITIONS=1")
	table := load.NewTable(10_000, 2_000, 1)
	conn := connect(t, d.bmp, 0)
	send(t, conn, table.AppendOpen(nil, "r"))
	await(t, "the sinks to begin", time.Minute, func() error { return d.caughtUp(2) })

	clock := &sendClock{}
	total := perSecond * seconds
	tail, kafka := followTail(t, d, clock, total), followTopic(t, broker.Addr, topic, clock, total)
	pace := time.NewTicker(every)
	defer pace.Stop()
	var b []byte
	for n := 1; n <= total; {
		<-pace.C
		b = b[:0]
		batch := min(perSecond*int(every)/int(time.Second), total-n+1)
		for range batch {
			b = table.AppendMED(b, n%table.Len(), uint32(n))
			n++
		}
		clock.sent(batch)
		send(t, conn, b)
	}
	overTail, overKafka := tail(), kafka()
	await(t, "the sinks", 5*time.Minute, func() error { return d.caughtUp(uint64(total) + 2) })
	u := d.used()
	d.stop()
	return []line{{
		stage:  fmt.Sprintf("%d updates/s for %d s, SQLite, MRT, PostgreSQL and Kafka on", perSecond, seconds),
		ribtap: fmt.Sprintf("wire to tail client %s; wire to Kafka consumer %s; %d MB peak RSS", percentiles(overTail), percentiles(overKafka), u.peak/1e6),
		target: latencyTarget, met: percentile(overTail, 99) <= tailP99 && percentile(overKafka, 99) <= kafkaP99,
	}}
}

// sendClock knows when each UPDATE, by number from 1, was handed to the kernel.
type sendClock struct {
	mu sync.Mutex
	at []time.Time
}

// sent says that so many more go now.
func (c *sendClock) sent(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for range n {
		c.at = append(c.at, now)
	}
}

// arrived is how long the UPDATE in an event's JSON took, which carries its
// number as MED; ok reports whether there is one.
func (c *sendClock) arrived(json []byte) (took time.Duration, ok bool) {
	_, rest, ok := bytes.Cut(json, []byte(`"med":`))
	if !ok {
		return 0, false
	}
	n := 0
	for _, digit := range rest {
		if digit < '0' || digit > '9' {
			break
		}
		n = 10*n + int(digit-'0')
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(c.at[n-1]), true
}

// followTail reads /v1/tail; the result waits for all.
func followTail(t *testing.T, d *ribtap, clock *sendClock, total int) func() []time.Duration {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+d.http+"/v1/tail", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	done := make(chan []time.Duration, 1)
	go func() {
		var all []time.Duration
		lines := bufio.NewScanner(resp.Body)
		for lines.Buffer(nil, 1<<20); len(all) < total && lines.Scan(); {
			if took, ok := clock.arrived(lines.Bytes()); ok {
				all = append(all, took)
			}
		}
		done <- all
	}()
	return func() []time.Duration { return complete(t, "the tail", done, total) }
}

// followTopic reads the topic's only partition; the result waits for all.
func followTopic(t *testing.T, addr, topic string, clock *sendClock, total int) func() []time.Duration {
	t.Helper()
	done := make(chan []time.Duration, 1)
	r := kafkago.NewReader(kafkago.ReaderConfig{Brokers: []string{addr}, Topic: topic, MinBytes: 1, MaxBytes: 10 << 20, MaxWait: time.Second})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		var all []time.Duration
		defer r.Close()
		for len(all) < total {
			m, err := r.ReadMessage(ctx)
			if err != nil {
				break
			}
			if took, ok := clock.arrived(m.Value); ok {
				all = append(all, took)
			}
		}
		done <- all
	}()
	return func() []time.Duration {
		defer cancel()
		return complete(t, "the topic", done, total)
	}
}

func complete(t *testing.T, what string, done <-chan []time.Duration, total int) []time.Duration {
	t.Helper()
	select {
	case all := <-done:
		if len(all) != total {
			t.Fatalf("%s had %d of %d UPDATEs", what, len(all), total)
		}
		slices.Sort(all)
		return all
	case <-time.After(5 * time.Minute):
		t.Fatalf("%s does not have all UPDATEs", what)
		return nil
	}
}

// percentile is one of sorted durations.
func percentile(sorted []time.Duration, n int) time.Duration {
	return sorted[min(len(sorted)*n/100, len(sorted)-1)]
}

func percentiles(sorted []time.Duration) string {
	round := func(n int) time.Duration { return percentile(sorted, n).Round(100 * time.Microsecond) }
	return fmt.Sprintf("p50 %v, p99 %v, worst %v", round(50), round(99), round(100))
}
