//go:build integration

package kafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	kafkago "github.com/segmentio/kafka-go"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/sinks/kafka/kafkatest"
)

// shelf is what a test keeps instead of a database: for each partition who has
// it, how far it is, and the events.
type shelf struct {
	mu    sync.Mutex
	parts map[int]*place
	fail  func(partition int) error
}

type place struct {
	owner    *fakeTarget
	position uint64
	events   []event.Event
	texts    []string
}

type fakeTarget struct {
	s         *shelf
	partition int
}

type lostError struct{ error }

func (lostError) Lost() bool { return true }

func (s *shelf) target(_ string, partition int) Target { return &fakeTarget{s, partition} }

func (f *fakeTarget) place() *place {
	p := f.s.parts[f.partition]
	if p == nil {
		p = &place{}
		f.s.parts[f.partition] = p
	}
	return p
}

func (f *fakeTarget) Open(context.Context) error {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	f.place().owner = f
	return nil
}

func (f *fakeTarget) Position() uint64 {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	return f.place().position
}

func (f *fakeTarget) Write(_ context.Context, events []event.Event, _ []string, ends []uint64) error {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	p := f.place()
	if p.owner != f {
		return lostError{errors.New("another has it")}
	}
	if f.s.fail != nil {
		if err := f.s.fail(f.partition); err != nil {
			return err
		}
	}
	for i := range events {
		if ends[i] > p.position {
			e := events[i]
			e.PDU = slices.Clone(e.PDU)
			p.events, p.position = append(p.events, e), ends[i]
		}
	}
	return nil
}

func (f *fakeTarget) Skip(_ context.Context, to uint64, _ time.Time, text string) error {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	p := f.place()
	p.position, p.texts = to, append(p.texts, text)
	return nil
}

func (f *fakeTarget) Idle(context.Context, time.Time) error { return nil }
func (f *fakeTarget) Close() error                          { return nil }

// sequences are those of all events, sorted.
func (s *shelf) sequences() (out []uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.parts {
		for i := range p.events {
			out = append(out, p.events[i].Sequence)
		}
	}
	slices.Sort(out)
	return out
}

func newTestConsumer(t *testing.T, cfg Config, s *shelf) *Consumer {
	t.Helper()
	c, err := NewConsumer(cfg, "g-"+cfg.Topic, s.target, quiet(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// start runs the consumer and returns how to end it.
func start(t *testing.T, c *Consumer) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			t.Error("the consumer does not end")
		}
	})
	t.Cleanup(stop)
	return stop
}

func (s *shelf) await(t *testing.T, n int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		got := len(s.sequences())
		if got >= n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d events, want %d", got, n)
		}
	}
}

func (s *shelf) once(t *testing.T, last uint64) {
	t.Helper()
	got := s.sequences()
	for i, seq := range got {
		if seq != uint64(i)+1 {
			t.Fatalf("event %d at place %d", seq, i)
		}
	}
	if uint64(len(got)) != last {
		t.Fatalf("%d events, want %d", len(got), last)
	}
}

func consumed(t *testing.T) (*kafkatest.Broker, Config, *Sink) {
	t.Helper()
	b := kafkatest.Start(t)
	cfg := configFor(t, b.Addr)
	cfg.Format = FormatProtobuf
	return b, cfg, newTestSink(t, cfg)
}

// Members share the partitions, one that comes and one that goes are noticed,
// and each event is taken once, in order, whatever Kafka thinks of the offsets.
func TestConsumerGroup(t *testing.T) {
	_, cfg, sink := consumed(t)
	follow(t, sink, 3000, 500)
	s := &shelf{parts: map[int]*place{}}
	one, two := newTestConsumer(t, cfg, s), newTestConsumer(t, cfg, s)
	if err := one.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if one.Ready() == nil {
		t.Error("ready before it is a member")
	}
	stopOne := start(t, one)
	s.await(t, 3000)
	start(t, two)
	follow(t, sink, 6000, 100)
	s.await(t, 6000)
	stopOne()
	follow(t, sink, 9000, 100)
	s.await(t, 9000)
	s.once(t, 9000)
	if err := two.Ready(); err != nil {
		t.Error(err)
	}
	for n, p := range s.parts {
		for i := 1; i < len(p.events); i++ {
			if p.events[i].Sequence <= p.events[i-1].Sequence {
				t.Fatalf("partition %d: %d behind %d", n, p.events[i].Sequence, p.events[i-1].Sequence)
			}
		}
	}
	problems, err := testutil.GatherAndLint(prometheusOf(t, two))
	if err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v %v", problems, err)
	}
}

// prometheusOf registers the gauges of a consumer anew.
func prometheusOf(t *testing.T, c *Consumer) *prometheus.Registry {
	t.Helper()
	reg := prometheus.NewRegistry()
	if err := reg.Register(&partitionGauges{c}); err != nil {
		t.Fatal(err)
	}
	return reg
}

// A target that refuses is asked again and shows as lag; one that is lost is
// opened again.
func TestTargetRefuses(t *testing.T) {
	_, cfg, sink := consumed(t)
	follow(t, sink, 1000, 500)
	failures := 0
	s := &shelf{parts: map[int]*place{}}
	s.fail = func(int) error {
		if failures++; failures <= 12 {
			if failures%4 == 0 {
				return lostError{errors.New("lost")}
			}
			return errors.New("no room")
		}
		return nil
	}
	c := newTestConsumer(t, cfg, s)
	stop := start(t, c)
	s.await(t, 1000)
	stop()
	s.once(t, 1000)
	if n := testutil.CollectAndCount(c.m.retries); n == 0 {
		t.Error("no attempt was counted")
	}
}

// Records that are deleted before they are read are told of; a partition that
// ends before what was read of it is read from its begin.
func TestOffsetsThatAreGone(t *testing.T) {
	b, cfg, sink := consumed(t)
	follow(t, sink, 2000, 500)
	s := &shelf{parts: map[int]*place{}}
	for n := range cfg.Partitions {
		s.parts[n] = &place{position: 1}
	}
	s.parts[0].position = 1 << 40
	file := filepath.Join(t.TempDir(), "delete.json")
	text := fmt.Sprintf(`{"version":1,"partitions":[{"topic":%q,"partition":1,"offset":20}]}`, cfg.Topic)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b.Java(t, "org.apache.kafka.tools.DeleteRecordsCommand", "--bootstrap-server", b.Addr, "--offset-json-file", file)
	total := 0
	perPartition := map[int]int{}
	for _, r := range b.Consume(t, cfg.Topic) {
		perPartition[r.Partition]++
	}
	for n, records := range perPartition {
		total += records
		if n > 1 {
			total-- // position 1 says that the first is there
		}
	}
	start(t, newTestConsumer(t, cfg, s))
	s.await(t, total)
	if texts := s.parts[1].texts; len(texts) != 1 || !strings.Contains(texts[0], "offsets 1 to 19 were deleted") {
		t.Errorf("partition 1: %q", texts)
	}
	if p := s.parts[0]; len(p.texts) != 1 || len(p.events) != perPartition[0] {
		t.Errorf("partition 0: %q, %d events of %d", p.texts, len(p.events), perPartition[0])
	}
	if n := len(s.sequences()); n != total {
		t.Errorf("%d events, want %d", n, total)
	}
}

// What is no event holds nothing up.
func TestStrangeRecords(t *testing.T) {
	b, cfg, sink := consumed(t)
	follow(t, sink, 100, 100)
	// kafka-go's default transport would remember the topics of an earlier test.
	transport := &kafkago.Transport{}
	defer transport.CloseIdleConnections()
	w := &kafkago.Writer{
		Addr: kafkago.TCP(b.Addr), Topic: cfg.Topic, BatchTimeout: time.Millisecond,
		Transport: transport, RequiredAcks: kafkago.RequireAll,
	}
	defer w.Close()
	if err := w.WriteMessages(t.Context(), kafkago.Message{Key: []byte("k"), Value: []byte("{}")}, kafkago.Message{Key: []byte("k")}); err != nil {
		t.Fatal(err)
	}
	s := &shelf{parts: map[int]*place{}}
	c := newTestConsumer(t, cfg, s)
	if err := c.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "sinks.kafka.format: protobuf on the collectors") {
		t.Errorf("Check: %v", err)
	}
	start(t, c)
	follow(t, sink, 300, 100)
	s.await(t, 302)
	if got := s.sequences(); got[0] != 0 || got[1] != 0 || got[2] != 1 || len(got) != 302 {
		t.Errorf("%d events, beginning with %v", len(got), got[:3])
	}
	if n := testutil.ToFloat64(c.m.unreadable.WithLabelValues(unreadableFormat)); n != 2 {
		t.Errorf("%v unreadable records", n)
	}
}

// A broker that dies and comes back costs time.
func TestConsumerOutlivesTheBroker(t *testing.T) {
	b := kafkatest.Own(t, nil)
	cfg := configFor(t, b.Addr)
	cfg.Format, cfg.Timeout = FormatProtobuf, 3*time.Second
	sink := newTestSink(t, cfg)
	follow(t, sink, 1000, 500)
	s := &shelf{parts: map[int]*place{}}
	c := newTestConsumer(t, cfg, s)
	start(t, c)
	s.await(t, 1000)
	b.Kill(t)
	time.Sleep(3 * time.Second)
	b.Restart(t)
	follow(t, sink, 2000, 500)
	s.await(t, 2000)
	s.once(t, 2000)
}
