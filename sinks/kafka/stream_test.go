//go:build integration

package kafka

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ribtap/ribtap/sinks/kafka/kafkatest"
	"github.com/ribtap/ribtap/stream"
)

// The stream's follower feeds the sink while the broker dies and comes back;
// how far the sink lags and why is what the follower says.
func TestFollowed(t *testing.T) {
	b := kafkatest.Own(t, nil)
	cfg := configFor(t, b.Addr)
	cfg.Timeout = 2 * time.Second
	logCfg := stream.DefaultConfig()
	logCfg.Dir = t.TempDir()
	log, err := stream.Open(logCfg, quiet(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := newTestSink(t, cfg)
	f, err := log.Follow("kafka", s, stream.FollowOptions{Grace: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- log.Run(ctx) }()
	sinkCtx, stopSink := context.WithCancel(t.Context())
	go func() { done <- f.Run(sinkCtx) }()

	var slowest []time.Duration
	write := func(from, to uint64) {
		for ; from <= to; from += 100 {
			batch := crashBatch(from, 100)
			for i := range batch {
				batch[i].Sequence = 0
			}
			start := time.Now()
			if err := log.Write(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			slowest = append(slowest, time.Since(start))
			time.Sleep(time.Millisecond)
		}
	}
	until := func(what string, fn func(stream.Status) bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			st := f.Status()
			if fn(st) {
				t.Logf("%s: committed %d, lag %d events %.2f s, healthy %v %s", what, st.Committed, st.LagEvents, st.LagSeconds, st.Healthy, st.LastError)
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: %+v", what, st)
			}
		}
	}
	write(1, 20_000)
	until("all there", func(st stream.Status) bool { return st.Committed == 20_000 && st.Healthy })
	b.Kill(t)
	write(20_001, 40_000)
	until("broker away", func(st stream.Status) bool { return !st.Healthy && st.LagEvents > 0 })
	b.Restart(t)
	write(40_001, 60_000)
	until("broker back", func(st stream.Status) bool { return st.Committed == 60_000 && st.Healthy })
	// A single event of a quiet stream is there soon.
	write(60_001, 60_100)
	start := time.Now()
	until("quiet", func(st stream.Status) bool { return st.Committed == 60_100 })
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("%v until a quiet stream's event is there", d)
	}
	stopSink()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	slices.Sort(slowest)
	t.Log("slowest writes to the stream: ", fmt.Sprint(slowest[len(slowest)-3:]))
	whole(t, b, cfg.Topic, 60_100)
}
