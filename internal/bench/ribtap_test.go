//go:build bench

package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ribtap is a running `ribtap run`.
type ribtap struct {
	*process
	dir  string // the data directory
	bmp  string // address of the station
	http string
}

// startRibtap starts one, with configuration from the environment, and waits
// until it takes sessions.
func startRibtap(t *testing.T, dir string, env ...string) *ribtap {
	t.Helper()
	d := launchRibtap(t, dir, env...)
	d.ready(10 * time.Minute)
	return d
}

// launchRibtap starts one and does not wait.
func launchRibtap(t *testing.T, dir string, env ...string) *ribtap {
	t.Helper()
	d := &ribtap{dir: dir, bmp: "127.0.0.1:" + strconv.Itoa(freePort(t)), http: "127.0.0.1:" + strconv.Itoa(freePort(t))}
	d.process = run(t, env, program("ribtap"), "run", "--data-dir", dir, "--bmp-listen", d.bmp, "--http-listen", d.http, "--bgp-listen", "127.0.0.1:"+strconv.Itoa(freePort(t)))
	return d
}

// ready waits for /readyz.
func (d *ribtap) ready(limit time.Duration) {
	d.t.Helper()
	await(d.t, "ribtap", limit, func() error {
		if d.ended() {
			d.t.Fatalf("ribtap has ended: %s", d.words())
		}
		_, err := d.get("/readyz")
		return err
	})
}

// get asks the daemon.
func (d *ribtap) get(path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.http+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, resp.Status, b)
	}
	return b, err
}

// status is what /v1/status says.
type status struct {
	Stream struct {
		Last  uint64 `json:"last_sequence"`
		Bytes int64  `json:"bytes"`
	} `json:"stream"`
	Sinks []struct {
		Name      string `json:"name"`
		Committed uint64 `json:"committed_sequence"`
		Error     string `json:"last_error"`
	} `json:"sinks"`
	PeersUp int    `json:"peers_up"`
	Routes  int    `json:"routes"`
	Gaps    uint64 `json:"gaps"`
}

func (d *ribtap) status() (s status, err error) {
	b, err := d.get("/v1/status")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(b, &s)
}

// hears waits until the stream has so many events.
func (d *ribtap) hears(events uint64, limit time.Duration) {
	d.t.Helper()
	await(d.t, "the events in the stream", limit, func() error {
		s, err := d.status()
		if err == nil && s.Stream.Last < events {
			err = fmt.Errorf("%d events, want %d", s.Stream.Last, events)
		}
		return err
	})
}

// caughtUp says whether the stream has so many events, its sinks have committed
// all of them, and nothing was given up.
func (d *ribtap) caughtUp(events uint64) error {
	s, err := d.status()
	switch {
	case err != nil:
		return err
	case s.Gaps > 0:
		d.t.Fatalf("%d gaps", s.Gaps)
	case s.Stream.Last < events:
		return fmt.Errorf("%d events, want %d", s.Stream.Last, events)
	}
	for _, sink := range s.Sinks {
		if sink.Committed < s.Stream.Last {
			return fmt.Errorf("%s is at %d of %d: %s", sink.Name, sink.Committed, s.Stream.Last, sink.Error)
		}
	}
	return nil
}

// metric is the value of a metric without labels.
func (d *ribtap) metric(name string) (float64, error) {
	b, err := d.get("/metrics")
	if err != nil {
		return 0, err
	}
	for lines := bufio.NewScanner(strings.NewReader(string(b))); lines.Scan(); {
		if v, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(v, 64)
		}
	}
	return 0, errors.New("no metric " + name)
}

// connect opens a BMP session, from an address of its own for each router, for
// collectors that tell routers apart by address.
func connect(t *testing.T, to string, router int) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, byte(1+router/250), byte(1+router%250))}}
	conn, err := d.DialContext(t.Context(), "tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// send writes octets.
func send(t *testing.T, conn net.Conn, octets []byte) {
	t.Helper()
	if _, err := conn.Write(octets); err != nil {
		t.Fatal(err)
	}
}

// dataDir is a directory for one run.
func dataDir(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "data")
}

// without are sinks that are switched off.
func without(sinks ...string) (env []string) {
	for _, s := range sinks {
		env = append(env, "RIBTAP_SINKS_"+strings.ToUpper(s)+"_ENABLED=false")
	}
	return env
}
