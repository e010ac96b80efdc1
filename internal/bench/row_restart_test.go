//go:build bench

package bench

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/ribtap/ribtap/internal/load"
	"github.com/ribtap/ribtap/sinks/postgres/postgrestest"
)

const (
	restartTarget = target("≤ 5 s to ready")
	restartLimit  = 5 * time.Second
)

// restart: ten peers with a full table each, and a stream that has grown by
// churn because a sink's server does not answer. The daemon is killed and started.
func restart(t *testing.T) []line {
	peers, octets := size(4, 10), int64(size(20<<20, 10_000_000_000))
	r := load.NewFull(size(5_000, 1_000_000), size(1_150, 230_000), 1).Router(0, peers)
	dir := dataDir(t)
	pg := postgrestest.StartServer(t)
	env := append(without("sqlite", "mrt"), "RIBTAP_SINKS_POSTGRES_DSN="+pg.Database(t))
	d := startRibtap(t, dir, env...)
	pg.Signal(t, syscall.SIGSTOP)
	conn := connect(t, d.bmp, 0)
	b := r.AppendOpen(nil)
	for i := range peers {
		b = r.AppendTable(b, i)
		send(t, conn, b)
		b = b[:0]
	}
	for {
		s, err := d.status()
		if err != nil {
			t.Fatal(err)
		}
		if s.Stream.Bytes >= octets {
			break
		}
		b = r.AppendChurn(b[:0], 2_000)
		send(t, conn, b)
	}
	d.hears(r.Counts.Messages, 10*time.Minute)
	before, err := d.status()
	if err != nil {
		t.Fatal(err)
	}
	// The moment of the kill is that at which most is to be read again, or any
	// other: RIB state is saved now and then.
	_ = d.cmd.Process.Signal(syscall.SIGKILL)
	<-d.gone
	pg.Signal(t, syscall.SIGCONT)
	begin := time.Now()
	d = launchRibtap(t, dir, env...)
	d.ready(time.Hour)
	took := time.Since(begin)
	after, err := d.status()
	if err != nil {
		t.Fatal(err)
	}
	if after.Routes != before.Routes {
		t.Errorf("%d routes after the restart, %d before", after.Routes, before.Routes)
	}
	u := d.used()
	return []line{{
		stage:  fmt.Sprintf("killed with %.2f M routes and %.2f GB of stream", float64(before.Routes)/1e6, float64(before.Stream.Bytes)/1e9),
		ribtap: fmt.Sprintf("%.2f s to /readyz, %.2f CPU s, %d MB peak RSS", took.Seconds(), u.cpu.Seconds(), u.peak/1e6),
		target: restartTarget, met: took <= restartLimit,
	}}
}
