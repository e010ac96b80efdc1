//go:build bench

package bench

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/ribtap/ribtap/internal/load"
)

const (
	sessionsTarget = target("< 1.5 GiB RSS; after the storms goroutines and RSS as before")
	sessionsRSS    = 1536 << 20
	// What counts as before: so many goroutines and such a share of memory more.
	goroutinesMore = 20
	memoryMore     = 1.2
)

// sessions: a thousand routers with four peers each that say something all the
// time, and then connect storms: all of them connect, introduce themselves and go.
func sessions(t *testing.T) []line {
	const peers = 4
	n, seconds, perSecond, storms := size(50, 1_000), size(1, 60), size(500, 2_000), size(2, 10)
	full := load.NewFull(200, 50, 1)
	d := startRibtap(t, dataDir(t))
	quiet := goroutines(t, d)
	rs, conns := make([]*load.FullRouter, n), make([]net.Conn, n)
	for i := range n {
		rs[i] = full.Router(i, peers)
		conns[i] = connect(t, d.bmp, i)
		b := rs[i].AppendOpen(nil)
		for p := range peers {
			b = rs[i].AppendTable(b, p)
		}
		send(t, conns[i], b)
	}
	before := d.used()
	pace := time.NewTicker(time.Second * peers / time.Duration(perSecond))
	defer pace.Stop()
	for i := range seconds * perSecond / peers {
		<-pace.C
		send(t, conns[i%n], rs[i%n].AppendChurn(nil, 1))
	}
	var counts load.FullCounts
	for _, r := range rs {
		counts.Add(r.Counts)
	}
	await(t, "all that was said", 10*time.Minute, func() error { return d.caughtUp(counts.Messages) })
	if s, err := d.status(); err != nil || s.Routes != counts.Routes || s.PeersUp != n*peers {
		t.Errorf("%d routes, %d peers up, want %d and %d; %v", s.Routes, s.PeersUp, counts.Routes, n*peers, err)
	}
	u := d.used().since(before)
	hangUp(t, d, conns)
	calm := d.used()
	for range storms {
		for i := range n {
			conns[i] = connect(t, d.bmp, i)
			send(t, conns[i], full.Router(i, peers).AppendOpen(nil))
		}
		await(t, "all peers of the storm", 5*time.Minute, func() error {
			s, err := d.status()
			if err == nil && s.PeersUp != n*peers {
				err = fmt.Errorf("%d peers up", s.PeersUp)
			}
			return err
		})
		hangUp(t, d, conns)
	}
	after, left := d.used(), goroutines(t, d)
	d.stop()
	return []line{{
		stage: fmt.Sprintf("%d sessions × %d peers, %d events/s for %d s; %d connect storms", n, peers, perSecond, seconds, storms),
		ribtap: fmt.Sprintf("%d MB peak RSS, %.1f CPU s; with the ends of sessions and the storms %d MB; RSS %d MB before the storms, %d MB after; goroutines %.0f before any session, %.0f after",
			u.peak/1e6, u.cpu.Seconds(), after.peak/1e6, calm.now/1e6, after.now/1e6, quiet, left),
		target: sessionsTarget,
		met:    float64(after.peak) <= sessionsRSS && float64(after.now) <= memoryMore*float64(calm.now) && left <= quiet+goroutinesMore,
	}}
}

// hangUp closes sessions and waits until the daemon has nothing more to do.
func hangUp(t *testing.T, d *ribtap, conns []net.Conn) {
	t.Helper()
	for _, c := range conns {
		_ = c.Close()
	}
	await(t, "the end of all sessions", 5*time.Minute, func() error {
		s, err := d.status()
		if err == nil && (s.PeersUp > 0 || s.Routes > 0) {
			err = fmt.Errorf("%d peers up, %d routes", s.PeersUp, s.Routes)
		}
		if err == nil {
			err = d.caughtUp(0)
		}
		return err
	})
	d.idle(5 * time.Minute)
}

func goroutines(t *testing.T, d *ribtap) float64 {
	t.Helper()
	n, err := d.metric("go_goroutines")
	if err != nil {
		t.Fatal(err)
	}
	return n
}
