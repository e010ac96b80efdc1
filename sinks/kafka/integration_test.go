//go:build integration

package kafka

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/event/eventtest"
	"github.com/ribtap/ribtap/sinks/kafka/kafkatest"
)

// configFor is a configuration with a topic of the test's own.
func configFor(t testing.TB, addr string) Config {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Brokers = []string{addr}
	name := strings.NewReplacer("/", "_").Replace(t.Name())
	cfg.Topic = fmt.Sprintf("%s_%d", name, rand.Uint32())
	cfg.Partitions = 3
	cfg.Retention = 20 * 365 * 24 * time.Hour // the events of the tests are old
	cfg.StateDir = t.TempDir()
	return cfg
}

func newTestSink(t testing.TB, cfg Config) *Sink {
	t.Helper()
	s, err := New(cfg, quiet(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = s.Close(ctx) // a test that needs it checks it
	})
	return s
}

// follow writes batches of several sizes until the sink has last for good,
// trying again as a follower does, and returns the last error of a try.
func follow(t testing.TB, s *Sink, last uint64, sizes ...int) (failures int, lastErr error) {
	t.Helper()
	ctx := t.Context()
	w := eventtest.Trash(s)
	try := func(fn func() error) {
		for end := time.Now().Add(3 * time.Minute); ; {
			err := fn()
			if err == nil {
				return
			}
			failures++
			lastErr = err
			if time.Now().After(end) {
				t.Fatalf("position %d of %d: %v", s.Position(), last, err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	next := s.Position() + 1
	for i := 0; next <= last; i++ {
		n := min(sizes[i%len(sizes)], int(last-next)+1)
		batch := crashBatch(next, n)
		try(func() error { return w.Write(ctx, batch) })
		next += uint64(n)
	}
	try(func() error { return s.Idle(ctx, time.Now()) })
	if s.Position() != last {
		t.Fatalf("position %d, want %d", s.Position(), last)
	}
	return failures, lastErr
}

// whole checks that the topic has each event of 1 to last once, and those of a
// router in one partition and in order.
func whole(t testing.TB, b *kafkatest.Broker, topic string, last uint64) []kafkatest.Record {
	t.Helper()
	records := b.Consume(t, topic)
	seen := map[uint64]int{}
	at := map[string]uint64{}
	where := map[string]int{}
	inversions, doubled := 0, 0
	for _, r := range records {
		seq, err := strconv.ParseUint(r.Headers["sequence"], 10, 64)
		if err != nil {
			t.Fatalf("sequence: %v", err)
		}
		if seen[seq]++; seen[seq] > 1 {
			doubled++
		}
		key := string(r.Key)
		if seq <= at[key] {
			inversions++
		}
		at[key] = max(at[key], seq)
		if p, ok := where[key]; ok && p != r.Partition {
			t.Fatalf("key %q in partitions %d and %d", key, p, r.Partition)
		}
		where[key] = r.Partition
	}
	missing := 0
	for seq := uint64(1); seq <= last; seq++ {
		if seen[seq] == 0 {
			missing++
		}
	}
	t.Logf("%d records of %d events: %d missing, %d doubled, %d inverted", len(records), last, missing, doubled, inversions)
	if missing+doubled+inversions > 0 || len(seen) != int(last) {
		t.Fatalf("%d records of %d events: %d missing, %d doubled, %d inverted", len(records), last, missing, doubled, inversions)
	}
	return records
}

func TestOrderAndContent(t *testing.T) {
	b := kafkatest.Start(t)
	cfg := configFor(t, b.Addr)
	cfg.Raw = true
	s := newTestSink(t, cfg)
	const last = 20_000
	follow(t, s, last, 1, 2000, 37, 4096, 300)
	enc := event.Encoder{Raw: true}
	for _, r := range whole(t, b, cfg.Topic, last) {
		seq, _ := strconv.ParseUint(r.Headers["sequence"], 10, 64)
		e := crashEvent(seq)
		if want := enc.Append(nil, &e); string(want) != string(r.Value) {
			t.Fatalf("event %d:\n got %s\nwant %s", seq, r.Value, want)
		}
		if r.Time.UnixMilli() != int64(e.Received)/1e6 {
			t.Fatalf("event %d: time %v", seq, r.Time)
		}
		if r.Headers["collector"] != "rt1" || r.Headers["schema"] != schemaJSON || len(r.Headers) != 3 {
			t.Fatalf("event %d: headers %v", seq, r.Headers)
		}
		if want := "rt1|" + e.Router.Name + "|" + e.Router.Address.String(); string(r.Key) != want {
			t.Fatalf("event %d: key %q, want %q", seq, r.Key, want)
		}
	}
	if n := testutil.ToFloat64(s.m.records); n != last {
		t.Errorf("metric: %v records", n)
	}
	// A repetition of what is there adds nothing.
	if err := s.Write(t.Context(), crashBatch(last-10, 5)); err != nil {
		t.Fatal(err)
	}
	whole(t, b, cfg.Topic, last)
}

// Kafka's own consumer reads the records.
func TestJavaReads(t *testing.T) {
	b := kafkatest.Start(t)
	for _, compression := range []string{CompressionZstd, CompressionGzip, CompressionNone} {
		cfg := configFor(t, b.Addr)
		cfg.Compression = compression
		s := newTestSink(t, cfg)
		const last = 500
		follow(t, s, last, 100)
		lines := strings.Split(strings.TrimSuffix(b.ConsoleConsumer(t, cfg.Topic, last), "\n"), "\n")
		if len(lines) != last {
			t.Fatalf("%s: %d lines", compression, len(lines))
		}
		var want []string
		for _, r := range whole(t, b, cfg.Topic, last) {
			want = append(want, fmt.Sprintf("Partition:%d\tOffset:%d\tsequence:%s,collector:rt1,schema:%s\t%s\t%s",
				r.Partition, r.Offset, r.Headers["sequence"], schemaJSON, r.Key, r.Value))
		}
		slices.Sort(lines)
		slices.Sort(want)
		if !slices.Equal(lines, want) {
			t.Fatalf("%s: lines differ:\n got %s\nwant %s", compression, lines[0], want[0])
		}
	}
}

func TestBrokerKilled(t *testing.T) {
	// A restarted broker remembers a producer by the time of its batches.
	epoch = event.At(time.Now().Add(-time.Hour))
	defer func() { epoch = t0 }()
	brokerKilled(t)
}

// Events that are older than a broker remembers a producer, as imported ones.
func TestBrokerKilledOldEvents(t *testing.T) { brokerKilled(t) }

func brokerKilled(t *testing.T) {
	t.Helper()
	b := kafkatest.Own(t, nil)
	cfg := configFor(t, b.Addr)
	cfg.Timeout = 3 * time.Second
	s := newTestSink(t, cfg)
	const last = 60_000
	follow(t, s, 10_000, 2000, 17)
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		for range 3 {
			time.Sleep(300 * time.Millisecond)
			b.Kill(t)
			time.Sleep(700 * time.Millisecond)
			b.Restart(t)
		}
	}()
	for n := uint64(12_000); ; n += 2000 {
		failures, err := follow(t, s, n, 500, 1, 2000)
		if failures > 0 {
			t.Logf("to %d: %d failures, the last: %v", n, failures, err)
		}
		if n >= last {
			select {
			case <-stop:
				whole(t, b, cfg.Topic, n)
				t.Logf("resends %v, duplicates acknowledged %v, new producer ids %v",
					testutil.ToFloat64(s.m.resends), testutil.ToFloat64(s.m.duplicates), testutil.ToFloat64(s.m.reinits))
				return
			default:
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestBrokerPaused(t *testing.T) {
	b := kafkatest.Own(t, nil)
	cfg := configFor(t, b.Addr)
	cfg.Timeout = 2 * time.Second
	s := newTestSink(t, cfg)
	follow(t, s, 10_000, 2000, 17)
	b.Pause(t)
	go func() {
		time.Sleep(20 * time.Second)
		b.Continue(t)
	}()
	start := time.Now()
	failures, err := follow(t, s, 30_000, 2000, 17)
	t.Logf("%d failures in %v, the last: %v", failures, time.Since(start), err)
	if failures == 0 {
		t.Error("nothing failed while the broker was stopped")
	}
	whole(t, b, cfg.Topic, 30_000)
	t.Logf("resends %v, duplicates acknowledged %v, new producer ids %v",
		testutil.ToFloat64(s.m.resends), testutil.ToFloat64(s.m.duplicates), testutil.ToFloat64(s.m.reinits))
}

// The broker takes the batches, but its answers are lost.
func TestLostAnswers(t *testing.T) {
	b := kafkatest.Own(t, nil)
	cfg := configFor(t, b.Proxy.Addr)
	s := newTestSink(t, cfg)
	// Of old events the sink asks before it sends them again (recall).
	epoch = event.At(time.Now().Add(-time.Hour))
	defer func() { epoch = t0 }()
	b.Proxy.Lose(func(n int) bool { return n%4 == 1 })
	const last = 40_000
	failures, err := follow(t, s, last, 500, 3, 2000, 1)
	t.Logf("%d answers lost, %d failures, the last: %v", b.Proxy.Lost(), failures, err)
	if b.Proxy.Lost() == 0 {
		t.Fatal("no answer was lost")
	}
	whole(t, b, cfg.Topic, last)
	resends, duplicates := testutil.ToFloat64(s.m.resends), testutil.ToFloat64(s.m.duplicates)
	t.Logf("resends %v, duplicates acknowledged %v, new producer ids %v", resends, duplicates, testutil.ToFloat64(s.m.reinits))
	if duplicates == 0 || resends == 0 {
		t.Error("the metrics say nothing of it")
	}
}

// kill runs a producer in a process of its own until it is done, killing it at
// random moments at least kills times.
func kill(t *testing.T, cfg Config, last uint64, kills int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	spec, err := json.Marshal(producerSpec{Config: cfg, Last: last, Batch: 900})
	if err != nil {
		t.Fatal(err)
	}
	pending := 0
	for round := 0; ; round++ {
		cmd := exec.CommandContext(t.Context(), self)
		cmd.Env = append(os.Environ(), producerEnv+"="+string(spec))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if round < kills {
			// It lives for some batches, and a part of the next.
			lines := bufio.NewScanner(out)
			for range 1 + rand.IntN(6) {
				lines.Scan()
			}
			time.Sleep(time.Duration(rand.IntN(6000)) * time.Microsecond)
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		_, _ = io.Copy(io.Discard, out)
		err = cmd.Wait()
		st, stErr := store{cfg.StateDir}.load()
		if stErr != nil {
			t.Fatal(stErr)
		}
		if err != nil {
			if st.Chunk != nil {
				pending++
			}
			if round >= kills {
				t.Fatalf("producer: %v", err)
			}
			continue
		}
		t.Logf("%d kills, %d of them with a chunk under way; position %d", min(round, kills), pending, st.Position)
		if round < kills {
			t.Fatalf("it was done after %d kills", round)
		}
		return
	}
}

func TestProducerKilled(t *testing.T) {
	b := kafkatest.Start(t)
	cfg := configFor(t, b.Addr)
	const last = 150_000
	kill(t, cfg, last, 20)
	whole(t, b, cfg.Topic, last)
}

// The topic of current routes has several records of an event, and each of them
// once, too.
func TestProducerOfStatesKilled(t *testing.T) {
	b := kafkatest.Start(t)
	cfg := configFor(t, b.Addr)
	cfg.TopicState = cfg.Topic + ".state"
	const last = 40_000
	kill(t, cfg, last, 10)
	whole(t, b, cfg.Topic, last)
	events := make([]event.Event, last)
	for i := range events {
		events[i] = crashEvent(uint64(i + 1))
	}
	all, _ := encode(t, cfg, events)
	want, got := map[string][]string{}, map[string][]string{}
	for _, r := range all {
		if r.topic == cfg.TopicState {
			want[r.key] = append(want[r.key], fmt.Sprintf("%d %s", r.sequence, r.value))
		}
	}
	// Compaction may have begun, so read at once and compare what is left.
	records := 0
	for _, r := range b.Consume(t, cfg.TopicState) {
		got[string(r.Key)] = append(got[string(r.Key)], fmt.Sprintf("%s %s", r.Headers["sequence"], r.Value))
		records++
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%.2000s", diff)
	}
	t.Logf("%d records of %d routes", records, len(got))
}

// Kills and lost answers together.
func TestProducerKilledAndAnswersLost(t *testing.T) {
	b := kafkatest.Own(t, nil)
	cfg := configFor(t, b.Proxy.Addr)
	b.Proxy.Lose(func(int) bool { return rand.IntN(10) == 0 })
	const last = 80_000
	kill(t, cfg, last, 12)
	t.Logf("%d answers lost", b.Proxy.Lost())
	whole(t, b, cfg.Topic, last)
}
