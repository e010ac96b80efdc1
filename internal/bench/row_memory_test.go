//go:build bench

package bench

import (
	"errors"
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/ribtap/ribtap/internal/load"
)

const (
	memoryTarget  = target("≤ 4 GiB RSS; answers ≤ 1 s")
	memoryRSS     = 4 << 30
	memoryPatient = time.Second // for an answer of /metrics and of ribtap routes
)

// ribMemory: a hundred peers of one router with a full table each, every one
// with next hops and paths of its own. Meanwhile the daemon is asked.
func ribMemory(t *testing.T) []line {
	peers := size(10, 100)
	r := load.NewFull(size(5_000, 1_000_000), size(1_150, 230_000), 1).Router(0, peers)
	d := startRibtap(t, dataDir(t), without("mrt")...) // ribtap routes reads SQLite's history
	conn := connect(t, d.bmp, 0)
	before, begin := d.used(), time.Now()
	b := r.AppendOpen(nil)
	slowest := askAlways(t, d)
	for i := range peers {
		b = r.AppendTable(b, i)
		send(t, conn, b)
		b = b[:0]
	}
	d.hears(r.Counts.Messages, 2*time.Hour)
	took := time.Since(begin)
	asked := slowest()
	u := d.used().since(before)
	if s, err := d.status(); err != nil || s.Routes != r.Counts.Routes {
		t.Errorf("%d routes, want %d; %v", s.Routes, r.Counts.Routes, err)
	}
	d.kill() // SQLite has hours to go
	return []line{{
		stage: fmt.Sprintf("%d peers × %d routes in the RIB", peers, r.Counts.Routes/peers),
		ribtap: fmt.Sprintf("%.2f GiB peak RSS, %.1f B/route; %.0f s, %.0f CPU s; slowest of %d answers: /metrics %v, ribtap routes %v",
			float64(u.peak)/(1<<30), float64(u.peak)/float64(r.Counts.Routes), took.Seconds(), u.cpu.Seconds(),
			asked.count, asked.metrics.Round(time.Millisecond), asked.routes.Round(time.Millisecond)),
		target: memoryTarget, met: u.peak <= memoryRSS && asked.metrics <= memoryPatient && asked.routes <= memoryPatient,
	}}
}

// asked is what the daemon was asked and how long it took at most.
type asked struct {
	count           int
	metrics, routes time.Duration
}

// askAlways asks the daemon again and again until the result is wanted.
func askAlways(t *testing.T, d *ribtap) (end func() asked) {
	t.Helper()
	stop, done := make(chan struct{}), make(chan asked, 1)
	go func() {
		var a asked
		var err error
		defer func() {
			if err != nil {
				t.Error(err)
			}
			done <- a
		}()
		every := time.NewTicker(time.Second)
		defer every.Stop()
		for ; err == nil; <-every.C {
			begin := time.Now()
			_, err1 := d.get("/metrics")
			a.metrics = max(a.metrics, time.Since(begin))
			begin = time.Now()
			out, err2 := exec.Command(program("ribtap"), "routes", "--data-dir", d.dir, "--limit", "10").CombinedOutput()
			a.routes = max(a.routes, time.Since(begin))
			a.count++
			if err2 != nil {
				err2 = fmt.Errorf("ribtap routes: %w: %s", err2, out)
			}
			err = errors.Join(err1, err2)
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	return func() asked {
		close(stop)
		return <-done
	}
}
