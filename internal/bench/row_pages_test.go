//go:build bench

package bench

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ribtap/ribtap/internal/load"
)

const (
	pagesTarget = target("looking glass p99 < 50 ms; no event late for 200 clients")
	pagesP99    = 50 * time.Millisecond
	// pagesLate is how far behind the stream's end a client may be when the last
	// update has been in it for a second.
	pagesLate = 1_000
)

// pages: ten full tables in RIB and SQLite, then 5,000 updates a second, while the
// looking glass is asked what a page about a prefix asks; then 500 a second, which 200
// browsers follow, all of it, but one that takes nothing.
func pages(t *testing.T) []line {
	peers, perSecond, followed, seconds, clients := size(2, 10), size(500, 5_000), size(100, 500), size(3, 60), size(20, 200)
	r := load.NewFull(size(5_000, 1_000_000), size(1_150, 230_000), 1).Router(0, peers)
	d := startRibtap(t, dataDir(t), without("mrt")...)
	conn := connect(t, d.bmp, 0)
	b := r.AppendOpen(nil)
	for i := range peers {
		send(t, conn, r.AppendTable(b, i))
		b = b[:0]
	}
	await(t, "the tables in SQLite", 2*time.Hour, func() error { return d.caughtUp(r.Counts.Messages) })
	routes := r.Counts.Routes / peers
	var prefixes []netip.Prefix
	err := r.EachRoute(0, func(p netip.Prefix, _, _ []byte) error { prefixes = append(prefixes, p); return nil })
	if err != nil {
		t.Fatal(err)
	}
	// churn sends updates at a rate, and returns how late the last came at most.
	churn := func(rate, seconds int) (late time.Duration) {
		const every = 10 * time.Millisecond
		pace := time.NewTicker(every)
		defer pace.Stop()
		begin := time.Now()
		for n := 0; n < rate*seconds; {
			<-pace.C
			batch := rate * int(every) / int(time.Second)
			n += batch
			send(t, conn, r.AppendChurn(b[:0], batch))
			late = max(late, time.Since(begin)-time.Duration(n)*time.Second/time.Duration(rate))
		}
		return late
	}
	ctx, stop := context.WithCancel(t.Context())
	asked := lookAround(ctx, t, d, prefixes)
	held := churn(perSecond, seconds)
	stop()
	took := asked()

	followers := make([]*follower, clients)
	for i := range followers {
		followers[i] = follow(t, d, i == 0)
	}
	held = max(held, churn(followed, seconds/2+1))
	d.hears(r.Counts.Messages, time.Minute)
	time.Sleep(time.Second)
	s, err := d.status()
	if err != nil {
		t.Fatal(err)
	}
	late := uint64(0)
	for _, f := range followers[1:] {
		if err := f.err.Load(); err != nil {
			t.Errorf("a client ended: %v", *err)
		}
		late = max(late, s.Stream.Last-f.last.Load())
	}
	u := d.used()
	d.kill() // SQLite need not have the churn
	return []line{{
		stage: fmt.Sprintf("%d peers × %d routes; looking glass at %d updates/s; then %d SSE clients, one stalled, at %d updates/s", peers, routes, perSecond, clients, followed),
		ribtap: fmt.Sprintf("looking glass %s (%d answers); the last client was %d events behind after 1 s; the router was held back for %v at most; %d MB peak RSS",
			percentiles(took), len(took), late, held.Round(time.Millisecond), u.peak/1e6),
		target: pagesTarget, met: percentile(took, 99) <= pagesP99 && late <= pagesLate,
	}}
}

// follower is a client of /v1/events.
type follower struct {
	last atomic.Uint64 // sequence
	err  atomic.Pointer[error]
}

func follow(t *testing.T, d *ribtap, stalled bool) *follower {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+d.http+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Transport{}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	f := &follower{}
	if stalled {
		return f
	}
	go func() {
		lines := bufio.NewScanner(resp.Body)
		for lines.Buffer(make([]byte, 64<<10), 1<<20); lines.Scan(); {
			if id, ok := bytes.CutPrefix(lines.Bytes(), []byte("id: ")); ok {
				n, _ := strconv.ParseUint(string(id), 10, 64)
				f.last.Store(n)
			}
		}
		err := fmt.Errorf("at %d: %w", f.last.Load(), cmp.Or(lines.Err(), io.EOF))
		f.err.Store(&err)
	}()
	return f
}

// lookAround asks what a prefix's page asks, 20 times a second; the result waits for
// the last answer and has how long each took.
func lookAround(ctx context.Context, t *testing.T, d *ribtap, prefixes []netip.Prefix) func() []time.Duration {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	var wg sync.WaitGroup
	var mu sync.Mutex
	var all []time.Duration
	wg.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			p := prefixes[rng.IntN(len(prefixes))]
			path := "/v1/routes?prefix=" + url.QueryEscape(p.String())
			if rng.IntN(2) == 0 {
				path = "/v1/routes?prefix=" + p.Addr().String() // its longest match
			}
			wg.Go(func() {
				begin := time.Now()
				if _, err := d.get(path); err != nil {
					t.Errorf("%s: %v", path, err)
				}
				mu.Lock()
				defer mu.Unlock()
				all = append(all, time.Since(begin))
			})
		}
	})
	return func() []time.Duration {
		wg.Wait()
		slices.Sort(all)
		return all
	}
}
