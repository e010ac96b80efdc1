//go:build bench

package bench

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ribtap/ribtap/internal/load"
	"github.com/ribtap/ribtap/sinks/postgres/postgrestest"
)

const (
	slowTarget = target("≤ 500 MB RSS; nothing lost, in order")
	slowRSS    = 500e6
	slowShare  = 100 // the sink is slowed to 1/100
)

// slowSink: ten routers with ten peers each into a PostgreSQL behind a proxy.
// First nothing slows it; then, in a second database, it takes a hundredth of
// that, until the stream has all, and then as much as it can.
func slowSink(t *testing.T) []line {
	const routers, peers = 10, 10
	full := load.NewFull(size(200, 40_650), size(50, 9_350), 1)
	var ss []session
	var counts load.FullCounts
	for i := range routers {
		r := full.Router(i, peers)
		b := r.AppendOpen(nil)
		for p := range peers {
			b = r.AppendTable(b, p)
		}
		ss = append(ss, session{r.AppendStats(r.AppendChurn(b, size(40, 2_000))), r.Counts})
		counts.Add(r.Counts)
	}
	speak := func(d *ribtap) {
		for i, s := range ss {
			conn := connect(t, d.bmp, i)
			go func() { _, _ = conn.Write(s.octets) }() // ends with the session
		}
	}
	start := func(p *throttle) *ribtap {
		return startRibtap(t, dataDir(t), append(without("sqlite", "mrt"), "RIBTAP_SINKS_POSTGRES_DSN="+p.dsn, "RIBTAP_SINKS_POSTGRES_ROWS=all")...)
	}

	free := newThrottle(t, postgrestest.Start(t))
	d, begin := start(free), time.Now()
	speak(d)
	await(t, "the sink that is not slowed", time.Hour, func() error { return d.caughtUp(counts.Messages) })
	took := time.Since(begin)
	rate := float64(free.passed.Load()) / took.Seconds()
	fast := d.used()
	d.stop()

	dsn := postgrestest.Start(t)
	slow := newThrottle(t, dsn)
	slow.perSecond.Store(int64(rate / slowShare))
	d, begin = start(slow), time.Now()
	speak(d)
	d.hears(counts.Messages, time.Hour)
	heard := time.Since(begin)
	d.idleFor(time.Duration(size(1, 60)) * time.Second)
	s, err := d.status()
	if err != nil || len(s.Sinks) != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	behind := s.Stream.Last - s.Sinks[0].Committed
	u := d.used()
	slow.perSecond.Store(0)
	await(t, "the sink to catch up", time.Hour, func() error { return d.caughtUp(counts.Messages) })
	peak := d.used().peak
	d.stop()
	rows, inversions := storedInOrder(t, dsn)
	if want := counts.Announced + counts.Withdrawn; rows != int64(want) || inversions != 0 {
		t.Errorf("%d rows with %d inversions, want %d without any", rows, inversions, want)
	}
	return []line{{
		stage: fmt.Sprintf("%d routers × %d peers × %d routes, PostgreSQL slowed to 1 %%", routers, peers, full.Len()),
		ribtap: fmt.Sprintf("%d MB peak RSS while slow, %d MB at the end (%d MB not slowed); the stream had all after %.1f s, when the sink was %d of %d events behind; %d rows, %d inversions",
			u.peak/1e6, peak/1e6, fast.peak/1e6, heard.Seconds(), behind, counts.Messages, rows, inversions),
		target: slowTarget, met: max(u.peak, peak) <= slowRSS && inversions == 0,
	}}
}

// idleFor lets time pass in which the sink stays slow.
func (p *process) idleFor(d time.Duration) {
	select {
	case <-p.gone:
		p.t.Fatalf("%s has ended", p.cmd.Path)
	case <-time.After(d):
	}
}

// storedInOrder counts the rows of the history, and those that a router said
// before the row in front of them: its clock only moves forward.
func storedInOrder(t *testing.T, dsn string) (rows, inversions int64) {
	t.Helper()
	ctx := context.Background()
	db, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(ctx)
	err = db.QueryRow(ctx, `SELECT count(*), count(*) FILTER (WHERE observed_at < before) FROM (
		SELECT observed_at, lag(observed_at) OVER (PARTITION BY router ORDER BY sequence, position) AS before FROM route_history) AS h`).Scan(&rows, &inversions)
	if err != nil {
		t.Fatal(err)
	}
	return rows, inversions
}

// throttle is a proxy in front of a PostgreSQL that passes on so many octets a
// second of what its clients say.
type throttle struct {
	dsn       string
	perSecond atomic.Int64 // 0: as many as come
	passed    atomic.Int64
	server    string
}

func newThrottle(t *testing.T, dsn string) *throttle {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	socket := ".s.PGSQL." + q.Get("port")
	p := &throttle{server: filepath.Join(q.Get("host"), socket)}
	dir := t.TempDir()
	ln, err := net.Listen("unix", filepath.Join(dir, socket))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	q.Set("host", dir)
	u.RawQuery = q.Encode()
	p.dsn = u.String()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return p
}

func (p *throttle) serve(c net.Conn) {
	defer c.Close()
	s, err := net.Dial("unix", p.server)
	if err != nil {
		return
	}
	defer s.Close()
	go func() { _, _ = io.Copy(c, s); _ = c.Close() }()
	_, _ = io.Copy(throttled{p, s}, onlyReader{c}) // ends with either side
}

// onlyReader hides that a connection could copy by itself.
type onlyReader struct{ io.Reader }

type throttled struct {
	p *throttle
	w io.Writer
}

// Write passes octets on in portions, each of which takes its time.
func (w throttled) Write(b []byte) (n int, err error) {
	const portion = 4 << 10
	for len(b) > 0 && err == nil {
		part := b[:min(portion, len(b))]
		if rate := w.p.perSecond.Load(); rate > 0 {
			time.Sleep(time.Duration(int64(len(part)) * int64(time.Second) / rate))
		}
		var k int
		k, err = w.w.Write(part)
		w.p.passed.Add(int64(k))
		n, b = n+k, b[k:]
	}
	return n, err
}
