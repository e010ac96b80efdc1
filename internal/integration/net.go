//go:build integration

package integration

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// httpOK asks an address of the daemon and wants a good answer.
func httpOK(url string) error { _, err := httpGet(url); return err }

func httpGet(url string) (string, error) {
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, resp.Status, clip(string(body), 200))
	}
	return string(body), err
}

// Tee stands between a router and the station: it passes a BMP session on and
// keeps its octets. To the station the session comes from a loopback address of
// the test's choice.
type Tee struct {
	ln   net.Listener
	from string
	to   string

	mu       sync.Mutex
	recorded bytes.Buffer
	conns    map[net.Conn]struct{}
	sessions int
	wg       sync.WaitGroup
}

// StartTee listens on a port of 127.0.0.1 and dials the station from an address.
func (l *Lab) StartTee(from, to string) *Tee {
	l.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		l.t.Fatal(err)
	}
	tee := &Tee{ln: ln, from: from, to: to, conns: map[net.Conn]struct{}{}}
	tee.wg.Go(tee.accept)
	l.t.Cleanup(tee.close)
	return tee
}

func (t *Tee) port() int { return t.ln.Addr().(*net.TCPAddr).Port }

func (t *Tee) accept() {
	for {
		router, err := t.ln.Accept()
		if err != nil {
			return
		}
		dialer := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(t.from)}}
		station, err := dialer.Dial("tcp", t.to)
		if err != nil {
			_ = router.Close() // the router tries again
			continue
		}
		t.mu.Lock()
		t.conns[router], t.conns[station] = struct{}{}, struct{}{}
		t.sessions++
		t.mu.Unlock()
		t.wg.Go(func() { t.pass(router, station) })
	}
}

func (t *Tee) pass(router, station net.Conn) {
	defer func() {
		_ = router.Close()
		_ = station.Close()
		t.mu.Lock()
		delete(t.conns, router)
		delete(t.conns, station)
		t.mu.Unlock()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := router.Read(buf)
		if n > 0 {
			t.mu.Lock()
			t.recorded.Write(buf[:n])
			t.mu.Unlock()
			if _, err := station.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// recording returns the octets so far and the number of sessions they are of.
func (t *Tee) recording() ([]byte, int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Clone(t.recorded.Bytes()), t.sessions
}

func (t *Tee) close() {
	t.ln.Close()
	t.mu.Lock()
	for c := range t.conns {
		_ = c.Close()
	}
	t.mu.Unlock()
	t.wg.Wait()
}
