package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/mrt"
)

// result is what a command line came to.
type result struct {
	code           int
	stdout, stderr string
}

// ribtap runs a command line in this process.
func ribtap(t *testing.T, args ...string) result {
	t.Helper()
	return ribtapIn(t, nil, args...)
}

// ribtapIn does so with a standard input.
func ribtapIn(t *testing.T, stdin []byte, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), args, bytes.NewReader(stdin), &out, &errs)
	return result{code, out.String(), errs.String()}
}

// must fails the test when the command did not end with the code.
func (r result) must(t *testing.T, code int) result {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit code %d, want %d\nstdout: %s\nstderr: %s", r.code, code, r.stdout, r.stderr)
	}
	return r
}

// testDaemon is `ribtap run` in this process, on ports of the system's choice.
type testDaemon struct {
	dir, bmp, bgp, http string
	cancel              context.CancelFunc
	done                chan int
	mu                  sync.Mutex
	log                 strings.Builder
}

// startDaemon returns when the daemon accepts sessions.
func startDaemon(t *testing.T, dir string, args ...string) *testDaemon {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	d := &testDaemon{dir: dir, cancel: cancel, done: make(chan int, 1)}
	r, w := io.Pipe()
	args = append([]string{"run", "--data-dir", dir, "--bmp-listen", "127.0.0.1:0", "--bgp-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"}, args...)
	go func() {
		d.done <- run(ctx, args, strings.NewReader(""), io.Discard, w)
		w.Close()
	}()
	listening := make(chan struct{})
	go func() {
		lines, announced := bufio.NewScanner(r), false
		for lines.Scan() {
			line := lines.Text()
			d.mu.Lock()
			d.log.WriteString(line + "\n")
			d.mu.Unlock()
			if rest, ok := strings.CutPrefix(line, "  BMP   "); ok {
				d.bmp = rest
			}
			if rest, ok := strings.CutPrefix(line, "  BGP   "); ok {
				d.bgp, _, _ = strings.Cut(rest, ",")
			}
			if rest, ok := strings.CutPrefix(line, "  HTTP  http://"); ok {
				d.http, _, _ = strings.Cut(rest, "/")
			}
			if strings.HasPrefix(line, "  data  ") {
				announced = true
				close(listening)
			}
		}
		if !announced {
			close(listening)
		}
	}()
	<-listening
	t.Cleanup(func() { d.stop(t) })
	if d.bmp == "" {
		t.Fatalf("the daemon did not start: %s", d.stderr())
	}
	return d
}

func (d *testDaemon) stderr() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.String()
}

// stop ends the daemon as SIGTERM does and returns its exit code.
func (d *testDaemon) stop(t *testing.T) int {
	t.Helper()
	if d.done == nil {
		return -1
	}
	d.cancel()
	select {
	case code := <-d.done:
		d.done = nil
		return code
	case <-time.After(time.Minute):
		t.Fatalf("the daemon does not stop: %s", d.stderr())
	}
	return -1
}

// follow runs `tail` until stop returns true for a line.
func (d *testDaemon) follow(t *testing.T, stop func(line string) bool, args ...string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, w := io.Pipe()
	var errs bytes.Buffer
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, append([]string{"tail", "-o", "ndjson", "--url", d.http}, args...), nil, w, &errs)
		w.Close()
	}()
	var got []string
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		got = append(got, lines.Text())
		if stop(lines.Text()) {
			cancel()
			go io.Copy(io.Discard, r)
			if c := <-code; c != exitOK {
				t.Errorf("tail: exit code %d: %s", c, errs.String())
			}
			return got
		}
	}
	t.Fatalf("tail ended after %d lines: %s", len(got), errs.String())
	return nil
}

// isolated is isolate with an empty working directory.
func isolated(t *testing.T) string {
	t.Helper()
	isolate(t)
	dir := t.TempDir()
	t.Chdir(dir)
	return dir
}

// testUpdates is an MRT file of n announcements by one peer.
func testUpdates(n int) []byte {
	h := &mrt.PeerHeader{PeerAS: 65011, LocalAS: 65001, PeerIP: netip.MustParseAddr("192.0.2.11"), LocalIP: netip.MustParseAddr("192.0.2.1")}
	var out []byte
	for i := range n {
		attrs := demoAttr(nil, 0x40, bgp.AttrOrigin, 0)
		attrs = demoAttr(attrs, 0x40, bgp.AttrASPath, 2, 1, 0, 0, 0xfd, 0xf3)
		attrs = demoAttr(attrs, 0x40, bgp.AttrNextHop, 192, 0, 2, 11)
		nlri := &bgp.NLRI{Family: bgp.IPv4Unicast, Prefix: demoIPv4(i % 256)}
		pdu := bgp.AppendAnnounce(nil, nlri, &bgp.Value{AS4: true, Attrs: attrs})
		out = mrt.AppendMessageET(out, 1767225600+uint32(i), 0, h, true, false, pdu)
	}
	return out
}

func writeFile(t *testing.T, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// caughtUp waits until nothing more comes and every sink has all of it.
func (d *testDaemon) caughtUp(t *testing.T) {
	t.Helper()
	last := uint64(0)
	for range 200 {
		var st status
		out := ribtap(t, "status", "-o", "json", "--url", d.http).must(t, exitOK).stdout
		if err := json.Unmarshal([]byte(out), &st); err != nil {
			t.Fatal(err)
		}
		same := st.Stream.LastSequence == last
		last = st.Stream.LastSequence
		for _, s := range st.Sinks {
			same = same && s.CommittedSequence == last
		}
		if same && last > 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the sinks do not catch up")
}
