package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/stream"
)

// TestHub: clients that want every event have every event once and in order, as one
// who reads alone has them, whether they begin behind or at the end, and whether or
// not another one takes nothing.
func TestHub(t *testing.T) {
	dir := isolated(t)
	d := startDaemon(t, filepath.Join(dir, "data"))
	replayed := func() { ribtapIn(t, demoRecordings(time.Now())[1], "replay", "-", "--to", d.bmp).must(t, exitOK) }
	replayed()
	open := func(path string) io.Reader {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+d.http+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r, err := (&http.Transport{}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Body.Close() })
		return r.Body
	}
	open("/v1/events?from=1") // takes nothing
	var mu sync.Mutex
	texts := map[string]*strings.Builder{}
	var all sync.WaitGroup
	for _, path := range []string{"/v1/tail", "/v1/tail?from=1", "/v1/tail?from=1&rib=adj-rib-in-pre", "/v1/events", "/v1/events?from=1", "/v1/tail?from=1#again"} {
		b := &strings.Builder{}
		texts[path] = b
		body := open(strings.TrimSuffix(path, "#again"))
		all.Go(func() {
			lines := bufio.NewScanner(body)
			for lines.Buffer(nil, 1<<20); lines.Scan(); {
				mu.Lock()
				if s := lines.Text(); s != "" && !strings.HasPrefix(s, "id: ") && !strings.HasPrefix(s, "event: ") {
					b.WriteString(strings.TrimPrefix(s, "data: ") + "\n")
				}
				mu.Unlock()
			}
		})
	}
	for range 3 {
		replayed()
	}
	d.caughtUp(t)
	d.stop(t)
	all.Wait()
	whole := texts["/v1/tail?from=1"].String()
	if n := strings.Count(whole, "\n"); n < 4_000 {
		t.Errorf("only %d events", n)
	}
	expect := uint64(1)
	for line := range strings.Lines(whole) {
		_, rest, _ := strings.Cut(line, `"sequence":`)
		number, _, _ := strings.Cut(rest, ",")
		if strings.HasPrefix(line, `{"error"`) {
			break
		}
		if number != strconv.FormatUint(expect, 10) {
			t.Fatalf("event %d is %.100s", expect, line)
		}
		expect++
	}
	for path, b := range texts {
		text := b.String()
		switch {
		case strings.Contains(path, "rib="): // reads alone
		case strings.Contains(path, "from=1"):
			if text != whole {
				t.Errorf("%s has %d octets, want %d", path, len(text), len(whole))
			}
		case !strings.HasSuffix(whole, text) || len(text) == 0:
			t.Errorf("%s is not the end of all", path)
		}
	}
}

// TestHubComesAndGoes: a client that comes while the last one goes is not told of the
// end of the reader that the last one ended.
func TestHubComesAndGoes(t *testing.T) {
	cfg := stream.DefaultConfig()
	cfg.Dir = t.TempDir()
	log, err := stream.Open(cfg, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	h := newHub(log)
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for range 1000 {
				h.enter()
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Microsecond)
				if p, err := h.wait(ctx, log.Last()+1); p != nil || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v, %v", p, err)
				}
				cancel()
				h.leave()
			}
		})
	}
	all.Wait()
}

// TestPageWithHole: of a page in which events are missing, as the stream tells by one of
// kind gap, a client gets what there is from where it was.
func TestPageWithHole(t *testing.T) {
	var enc event.Encoder
	var batch []event.Event
	for _, sequence := range []uint64{7, 8, 20, 21} {
		batch = append(batch, event.Event{Sequence: sequence, Kind: event.KindGap})
	}
	p := newPage(&enc, batch)
	for sequence, want := range map[uint64][]uint64{7: {7, 8, 20, 21}, 8: {8, 20, 21}, 9: {20, 21}, 20: {20, 21}, 21: {21}} {
		for _, f := range []framing{{}, {sse: true}} {
			var got []uint64
			for _, m := range regexp.MustCompile(`"sequence":(\d+)`).FindAllStringSubmatch(string(p.from(sequence, f)), -1) {
				n, err := strconv.ParseUint(m[1], 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, n)
			}
			if !slices.Equal(got, want) {
				t.Errorf("from %d: %v, want %v", sequence, got, want)
			}
		}
	}
}
