//go:build integration

package kafka

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	kafkago "github.com/segmentio/kafka-go"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/sinks/kafka/kafkatest"
)

// Topics are made with the settings that were asked for.
func TestTopicSettings(t *testing.T) {
	b := kafkatest.Start(t)
	cfg := configFor(t, b.Addr)
	cfg.TopicState = cfg.Topic + ".state"
	cfg.Partitions, cfg.Replication, cfg.Retention = 5, 1, 36*time.Hour
	s := newTestSink(t, cfg)
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Not the default transport, which remembers what topics there were.
	transport := &kafkago.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafkago.Client{Addr: kafkago.TCP(b.Addr), Transport: transport}
	res, err := client.DescribeConfigs(t.Context(), &kafkago.DescribeConfigsRequest{Resources: []kafkago.DescribeConfigRequestResource{
		{ResourceType: kafkago.ResourceTypeTopic, ResourceName: cfg.Topic}, {ResourceType: kafkago.ResourceTypeTopic, ResourceName: cfg.TopicState},
	}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, r := range res.Resources {
		for _, e := range r.ConfigEntries {
			if e.ConfigName == "retention.ms" || e.ConfigName == "cleanup.policy" {
				got[strings.TrimPrefix(r.ResourceName, cfg.Topic)+" "+e.ConfigName] = e.ConfigValue
			}
		}
	}
	want := map[string]string{" retention.ms": "129600000", " cleanup.policy": "delete", ".state retention.ms": "604800000", ".state cleanup.policy": "compact"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	meta, err := client.Metadata(t.Context(), &kafkago.MetadataRequest{Topics: []string{cfg.Topic, cfg.TopicState}})
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range meta.Topics {
		if len(topic.Partitions) != 5 {
			t.Errorf("%s: %d partitions", topic.Name, len(topic.Partitions))
		}
	}
}

// The topic of current routes, read from its begin, is the table.
func TestStateTopicOnBroker(t *testing.T) {
	b := kafkatest.Start(t)
	cfg := configFor(t, b.Addr)
	cfg.TopicState = cfg.Topic + ".state"
	s := newTestSink(t, cfg)
	const last = 5000
	follow(t, s, last, 700, 1, 30)
	whole(t, b, cfg.Topic, last)
	// The peer of router 3 goes down: all its routes are withdrawn.
	var events []event.Event
	for i := range uint64(last) {
		events = append(events, crashEvent(i+1))
	}
	var gone []string
	for key := range stateModel(events) {
		if f := strings.Split(key, "|"); f[1] == "edge3" {
			gone = append(gone, f[6])
		}
	}
	inferred := routeEvent(last+1, 3, updateMessage(nlri(gone[:min(len(gone), 800)]...), nil, nil), both2)
	inferred.Flags, inferred.Cause, inferred.Source, inferred.Head = event.FlagInferred, event.CausePeerDown, event.SourceCollector, nil
	events = append(events, inferred)
	if err := s.Write(t.Context(), events[last:]); err != nil {
		t.Fatal(err)
	}
	if err := s.Idle(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	var records []made
	for _, r := range b.Consume(t, cfg.TopicState) {
		records = append(records, made{key: string(r.Key), value: r.Value})
	}
	want := stateModel(events)
	if diff := cmp.Diff(want, compacted(t, records)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	t.Logf("%d records leave %d routes", len(records), len(want))
}

// Without its state, the sink finds in the topic how far it was.
func TestStateLost(t *testing.T) {
	b := kafkatest.Start(t)
	cfg := configFor(t, b.Addr)
	cfg.TopicState = cfg.Topic + ".state"
	s := newTestSink(t, cfg)
	follow(t, s, 3000, 700, 1, 30)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	cfg.StateDir = t.TempDir()
	s = newTestSink(t, cfg)
	if s.Position() != 0 {
		t.Fatalf("position %d", s.Position())
	}
	follow(t, s, 5000, 99, 1024)
	whole(t, b, cfg.Topic, 5000)
	var events []event.Event
	for i := range uint64(5000) {
		events = append(events, crashEvent(i+1))
	}
	var records []made
	for _, r := range b.Consume(t, cfg.TopicState) {
		records = append(records, made{key: string(r.Key), value: r.Value})
	}
	if diff := cmp.Diff(stateModel(events), compacted(t, records)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A stream that counts anew is not taken for what is there.
func TestStreamAnew(t *testing.T) {
	b := kafkatest.Start(t)
	cfg := configFor(t, b.Addr)
	s := newTestSink(t, cfg)
	follow(t, s, 300, 100)
	cfg.StateDir = t.TempDir()
	s = newTestSink(t, cfg)
	batch := crashBatch(1, 200)
	for i := range batch {
		batch[i].Received += event.Time(time.Hour)
	}
	if err := s.Write(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if n := len(b.Consume(t, cfg.Topic)); n != 500 {
		t.Errorf("%d records", n)
	}
}

// interrupted leaves a state with a chunk under way, all of which is in the topic.
func interrupted(t *testing.T, b *kafkatest.Broker, cfg Config, last uint64) {
	t.Helper()
	s := newTestSink(t, cfg)
	follow(t, s, last-200, 50)
	before, err := os.ReadFile(filepath.Join(cfg.StateDir, stateName))
	if err != nil {
		t.Fatal(err)
	}
	// The state as it was when the chunk was begun.
	if err := s.connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	batch := crashBatch(last-199, 200)
	for i := range batch {
		if err := s.take(t.Context(), &batch[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.launch(t.Context()); err != nil {
		t.Fatal(err)
	}
	during, err := os.ReadFile(filepath.Join(cfg.StateDir, stateName))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.settle(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if string(before) == string(during) {
		t.Fatal("the state did not change")
	}
	if err := os.WriteFile(filepath.Join(cfg.StateDir, stateName), during, 0o600); err != nil {
		t.Fatal(err)
	}
	whole(t, b, cfg.Topic, last)
}

// edit changes the state in the file.
func edit(t *testing.T, cfg Config, change func(*state)) {
	t.Helper()
	st, err := store{cfg.StateDir}.load()
	if err != nil {
		t.Fatal(err)
	}
	if st.Chunk == nil {
		t.Fatal("no chunk is under way")
	}
	change(&st)
	if err := (store{cfg.StateDir}).save(&st); err != nil {
		t.Fatal(err)
	}
}

// Whatever is known of a chunk that was under way, it is not repeated.
func TestChunkUnderWay(t *testing.T) {
	for name, change := range map[string]func(*state){
		"same":                    func(*state) {},
		"producer forgotten":      func(st *state) { st.ProducerID += 1000 },
		"other cuts":              func(st *state) { st.Chunk.Lanes[0].Cuts[0]++ },
		"other events":            func(st *state) { st.Chunk.Sum++ },
		"stream lost its end":     func(st *state) { st.Chunk.To += 3 },
		"another cluster":         func(st *state) { st.Cluster, st.ProducerID = "other", 1<<40; st.Lanes[1].Next += 5 },
		"numbers the broker lost": func(st *state) { st.Lanes[0].Next += 100; st.Chunk.Sum++ },
	} {
		t.Run(name, func(t *testing.T) {
			b := kafkatest.Start(t)
			cfg := configFor(t, b.Addr)
			interrupted(t, b, cfg, 1000)
			edit(t, cfg, change)
			s := newTestSink(t, cfg)
			if s.Position() != 800 || s.Reserved() < 1000 {
				t.Fatalf("position %d, reserved %d", s.Position(), s.Reserved())
			}
			follow(t, s, 1000, 30)
			follow(t, s, 1500, 30, 200)
			whole(t, b, cfg.Topic, 1500)
		})
	}
}

// Numbers that the broker does not expect, without any other trouble.
func TestOutOfOrder(t *testing.T) {
	b := kafkatest.Start(t)
	cfg := configFor(t, b.Addr)
	s := newTestSink(t, cfg)
	follow(t, s, 1000, 100)
	for i := range s.builder.lanes {
		s.builder.lanes[i].Next += 77
	}
	failures, err := follow(t, s, 2000, 100)
	var e *Error
	if failures != 1 || !errors.As(err, &e) || e.RetryReason() != ReasonSequence {
		t.Errorf("%d failures: %v", failures, err)
	}
	if n := testutil.ToFloat64(s.m.reinits); n != 1 {
		t.Errorf("%v new producer ids", n)
	}
	whole(t, b, cfg.Topic, 2000)
}

func TestPartitionsAdded(t *testing.T) {
	b := kafkatest.Start(t)
	cfg := configFor(t, b.Addr)
	interrupted(t, b, cfg, 1000)
	b.Java(t, "org.apache.kafka.tools.TopicCommand", "--bootstrap-server", b.Addr, "--alter", "--topic", cfg.Topic, "--partitions", "7")
	s := newTestSink(t, cfg)
	follow(t, s, 1500, 30, 200)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = newTestSink(t, cfg)
	follow(t, s, 3000, 30, 200)
	seen := map[string]bool{}
	partitions := map[int]bool{}
	for _, r := range b.Consume(t, cfg.Topic) {
		if seen[r.Headers["sequence"]] {
			t.Fatalf("event %s twice", r.Headers["sequence"])
		}
		seen[r.Headers["sequence"]], partitions[r.Partition] = true, true
	}
	if len(seen) != 3000 || len(partitions) < 4 {
		t.Errorf("%d events in %d partitions", len(seen), len(partitions))
	}
}

// A record that the topic does not take becomes a note, and nothing waits.
func TestOversize(t *testing.T) {
	b := kafkatest.Start(t)
	cfg := configFor(t, b.Addr)
	cfg.Raw = true
	cfg.Compression = CompressionNone
	s := newTestSink(t, cfg)
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	setLimit := func(n int) {
		b.Java(t, "kafka.admin.ConfigCommand", "--bootstrap-server", b.Addr, "--alter", "--entity-type", "topics", "--entity-name", cfg.Topic,
			"--add-config", "max.message.bytes="+strconv.Itoa(n))
	}
	var list []string
	for i := range 900 {
		list = append(list, fmt.Sprintf("10.%d.%d.0/24", i/256, i%256))
	}
	large := func(seq uint64) event.Event {
		return routeEvent(seq, int(seq%routersOfTests), updateMessage(nil, attributes(65011), nlri(list...)), both2)
	}
	var batch []event.Event
	for seq := uint64(1); seq <= 60; seq++ {
		e := crashEvent(seq)
		if seq%20 == 0 {
			e = large(seq)
		}
		batch = append(batch, e)
	}
	// First the sink does not know of the limit and is told so by the broker.
	setLimit(20_000)
	for end := time.Now().Add(time.Minute); ; {
		err := s.Write(t.Context(), batch)
		if err == nil {
			break
		}
		var e *Error
		if !errors.As(err, &e) || e.RetryReason() != ReasonSize || time.Now().After(end) {
			t.Fatal(err)
		}
	}
	if err := s.Idle(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	notes := 0
	for _, r := range whole(t, b, cfg.Topic, 60) {
		if r.Headers["schema"] == schemaOversize {
			notes++
			if !strings.HasPrefix(string(r.Value), `{"kind":"oversize","sequence":`+r.Headers["sequence"]+`,"octets":`) {
				t.Errorf("%s", r.Value)
			}
		}
	}
	if notes < 3 || int(testutil.ToFloat64(s.m.oversize)) != notes {
		t.Errorf("%d notes, metric %v", notes, testutil.ToFloat64(s.m.oversize))
	}
}

// The other formats go the same way.
func TestFormatsOnBroker(t *testing.T) {
	b := kafkatest.Start(t)
	events := recordings(t)
	for _, format := range []string{FormatProtobuf, FormatOBMPRaw, FormatGoBMPJSON} {
		cfg := configFor(t, b.Addr)
		cfg.Format, cfg.TopicPrefix = format, cfg.Topic
		s := newTestSink(t, cfg)
		for part := events; len(part) > 0; {
			n := min(50, len(part))
			if err := s.Write(t.Context(), part[:n]); err != nil {
				t.Fatal(err)
			}
			part = part[n:]
		}
		if err := s.Idle(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		want, _ := encode(t, cfg, events)
		byTopic := map[string][]string{}
		for _, r := range want {
			byTopic[r.topic] = append(byTopic[r.topic], fmt.Sprintf("%s %d %x", r.key, r.sequence, r.value))
		}
		for topic, records := range byTopic {
			got := map[string]int{}
			for _, r := range b.Consume(t, topic) {
				got[fmt.Sprintf("%s %s %x", r.Key, r.Headers["sequence"], r.Value)]++
			}
			n := 0
			for _, r := range records {
				if got[r] > 0 {
					got[r]--
					n++
				}
			}
			if n != len(records) {
				t.Errorf("%s: %d of %d records", topic, n, len(records))
			}
			t.Logf("%s: %d records", strings.TrimPrefix(topic, cfg.Topic), n)
		}
	}
}
