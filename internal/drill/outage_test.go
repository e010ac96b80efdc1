//go:build drill

package drill

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ribtap/ribtap/sinks/kafka/kafkatest"
	"github.com/ribtap/ribtap/sinks/postgres/postgrestest"
)

// outage is something that happens to one destination or both.
type outage struct {
	name       string
	hit        []string // sinks that may lag
	length     time.Duration
	begin, end func()
}

// TestOutages: PostgreSQL and Kafka are stopped, killed and frozen, one after
// the other and together, while routers speak. What routers say goes into the
// stream at once all the time, the sinks that are well stay near its end, and in
// the end all stores have the same.
func TestOutages(t *testing.T) {
	const perSecond = 2000
	stop := time.Duration(scale(8, 300)) * time.Second
	freeze := time.Duration(scale(5, 60)) * time.Second
	pg := postgrestest.StartServer(t)
	dsn := pg.Database(t)
	broker := kafkatest.Own(t, nil)
	const topic = "outages"
	d := launch(t, filepath.Join(t.TempDir(), "data"), "RIBTAP_SINKS_POSTGRES_DSN="+dsn,
		"RIBTAP_SINKS_KAFKA_BROKERS="+broker.Addr, "RIBTAP_SINKS_KAFKA_TOPIC="+topic)
	<-d.announced
	if d.bmp == "" {
		t.Fatalf("ribtap does not start: %s", d.last(4000))
	}
	load := startLoad(t, d, perSecond)
	probe := startProbe(t, d)
	watch := startWatch(t, d)
	time.Sleep(2 * time.Second) // of undisturbed load, for comparison

	both := func(fs ...func()) func() {
		return func() {
			for _, f := range fs {
				f()
			}
		}
	}
	pausePG, contPG := func() { pg.Signal(t, syscall.SIGSTOP) }, func() { pg.Signal(t, syscall.SIGCONT) }
	pauseKafka, contKafka := func() { broker.Pause(t) }, func() { broker.Continue(t) }
	killKafka, runKafka := func() { broker.Kill(t) }, func() { broker.Restart(t) }
	runPG := func() { pg.Restart(t) }
	for _, o := range []outage{
		{"PostgreSQL stopped", []string{"postgres"}, stop, pg.Kill, runPG},
		{"Kafka killed", []string{"kafka"}, freeze, killKafka, runKafka},
		{"PostgreSQL frozen", []string{"postgres"}, freeze, pausePG, contPG},
		{"Kafka frozen", []string{"kafka"}, freeze, pauseKafka, contKafka},
		{"both frozen", []string{"postgres", "kafka"}, freeze, both(pausePG, pauseKafka), both(contPG, contKafka)},
		{"both killed", []string{"postgres", "kafka"}, freeze, both(pg.Kill, killKafka), both(runPG, runKafka)},
	} {
		watch.expect(o.hit...)
		begin := time.Now()
		o.begin()
		time.Sleep(o.length)
		o.end()
		back := time.Now()
		await(t, "the sinks to catch up after "+o.name, 5*time.Minute, func() error { return watch.near(o.hit) })
		t.Logf("%s for %v: caught up after %v; stream latency %s", o.name, o.length, time.Since(back).Round(time.Millisecond), probe.since(begin))
		watch.expect()
	}
	load.end()
	probe.end()
	lags := watch.end()
	d.settle(load.sent, 2*time.Minute)
	rss := d.peakRSS()
	d.stop()
	t.Logf("%d updates; the most that a sink lagged which was well: %v; %d MB peak memory", load.sent, lags, rss>>20)
	for sink, lag := range lags {
		if lag > 2 {
			t.Errorf("%s lagged by %.1f s although it was well", sink, lag)
		}
	}
	if p99 := probe.percentile(99); p99 > 50*time.Millisecond {
		t.Errorf("from the router to the stream: p99 %v", p99)
	}
	agree(t, d.dir, dsn, broker, topic)
}

// churning is a router that changes routes of its table all the time.
type churning struct {
	stop chan struct{}
	done sync.WaitGroup
	sent uint64 // messages; valid after end
}

func startLoad(t *testing.T, d *daemon, perSecond int) *churning {
	t.Helper()
	const tick = 10 * time.Millisecond
	c := &churning{stop: make(chan struct{})}
	table := newTable(0, 10_000, 2_000)
	conn := connect(t, d.bmp)
	c.sent = send(t, conn, table.AppendTable(table.AppendOpen(nil, routerName(0))))
	rng := rand.New(rand.NewPCG(1, 2))
	c.done.Go(func() {
		every := time.NewTicker(tick)
		defer every.Stop()
		var b []byte
		for {
			b = b[:0]
			for range int(int64(perSecond) * int64(tick) / int64(time.Second)) {
				i := rng.IntN(table.Len())
				if rng.IntN(4) == 0 && table.Line(i) != "" {
					b = table.AppendWithdraw(b, i)
				} else {
					b = table.AppendChange(b, i, rng.IntN(1<<20))
				}
				c.sent++
			}
			if _, err := conn.Write(b); err != nil {
				t.Errorf("the router: %v", err)
				return
			}
			select {
			case <-c.stop:
				return
			case <-every.C:
			}
		}
	})
	return c
}

func (c *churning) end() {
	close(c.stop)
	c.done.Wait()
}

// probe measures how long an UPDATE takes from its router into the stream, as a
// client of /v1/tail sees it.
type probe struct {
	stop chan struct{}
	done sync.WaitGroup

	mu   sync.Mutex
	sent []time.Time // by MED-1
	took []latency
}

type latency struct {
	at   time.Time
	took time.Duration
}

func startProbe(t *testing.T, d *daemon) *probe {
	t.Helper()
	p := &probe{stop: make(chan struct{})}
	resp, err := http.Get("http://" + d.http + "/v1/tail?router=" + routerName(9))
	if err != nil {
		t.Fatal(err)
	}
	table := newTable(9, 1, 0)
	conn := connect(t, d.bmp)
	send(t, conn, table.AppendOpen(nil, routerName(9)))
	p.done.Go(func() {
		every := time.NewTicker(20 * time.Millisecond)
		defer every.Stop()
		for med := uint32(1); ; med++ {
			p.mu.Lock()
			p.sent = append(p.sent, time.Now())
			p.mu.Unlock()
			if _, err := conn.Write(table.AppendMED(nil, 0, med)); err != nil {
				t.Errorf("the probe: %v", err)
				return
			}
			select {
			case <-p.stop:
				resp.Body.Close()
				return
			case <-every.C:
			}
		}
	})
	p.done.Go(func() {
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			var e struct{ Attributes struct{ MED int } }
			if json.Unmarshal(lines.Bytes(), &e) != nil || e.Attributes.MED == 0 {
				continue
			}
			now := time.Now()
			p.mu.Lock()
			p.took = append(p.took, latency{now, now.Sub(p.sent[e.Attributes.MED-1])})
			p.mu.Unlock()
		}
	})
	return p
}

func (p *probe) end() {
	close(p.stop)
	p.done.Wait()
}

func (p *probe) percentile(n int) time.Duration { return p.of(time.Time{}, n) }

// of is a percentile of what was measured since a time.
func (p *probe) of(since time.Time, n int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []time.Duration
	for _, l := range p.took {
		if l.at.After(since) {
			all = append(all, l.took)
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)*n/100, len(all)-1)]
}

func (p *probe) since(begin time.Time) string {
	return fmt.Sprintf("p50 %v, p99 %v, worst %v", p.of(begin, 50).Round(10*time.Microsecond), p.of(begin, 99).Round(10*time.Microsecond),
		p.of(begin, 100).Round(10*time.Microsecond))
}

// watch looks at the lag of the sinks.
type watch struct {
	stop chan struct{}
	done sync.WaitGroup

	mu   sync.Mutex
	hit  []string
	now  map[string]float64
	most map[string]float64 // of sinks that are not hit
}

func startWatch(t *testing.T, d *daemon) *watch {
	t.Helper()
	w := &watch{stop: make(chan struct{}), now: map[string]float64{}, most: map[string]float64{}}
	w.done.Go(func() {
		every := time.NewTicker(100 * time.Millisecond)
		defer every.Stop()
		for {
			s, err := d.status()
			if err != nil {
				t.Errorf("status: %v", err)
				return
			}
			w.mu.Lock()
			for _, sink := range s.Sinks {
				w.now[sink.Name] = sink.LagSeconds
				if !slices.Contains(w.hit, sink.Name) {
					w.most[sink.Name] = max(w.most[sink.Name], sink.LagSeconds)
				}
			}
			w.mu.Unlock()
			select {
			case <-w.stop:
				return
			case <-every.C:
			}
		}
	})
	return w
}

// expect says which sinks may lag from now on.
func (w *watch) expect(hit ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hit = hit
}

// near is nil when the sinks have caught up.
func (w *watch) near(sinks []string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range sinks {
		if w.now[s] > 1 {
			return fmt.Errorf("%s lags by %.1f s", s, w.now[s])
		}
	}
	return nil
}

func (w *watch) end() map[string]float64 {
	close(w.stop)
	w.done.Wait()
	return w.most
}
