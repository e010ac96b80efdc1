//go:build integration

package postgres_test

import (
	"io"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// proxy stands between a sink and the server and cuts the connection at a
// chosen message of the sink's.
type proxy struct {
	tb       testing.TB
	listener net.Listener
	server   string

	mu      sync.Mutex
	left    int  // messages until the cut; negative: none
	forward bool // the server still gets the message, only its answer is lost
	cuts    int
}

// newProxy returns a proxy and the DSN that goes through it.
func newProxy(tb testing.TB, dsn string) (*proxy, string) {
	tb.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		tb.Fatal(err)
	}
	q := u.Query()
	const socket = ".s.PGSQL."
	p := &proxy{tb: tb, server: filepath.Join(q.Get("host"), socket+q.Get("port")), left: -1}
	dir := tb.TempDir()
	if p.listener, err = net.Listen("unix", filepath.Join(dir, socket+q.Get("port"))); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = p.listener.Close() })
	go p.accept()
	q.Set("host", dir)
	u.RawQuery = q.Encode()
	return p, u.String()
}

func (p *proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		s, err := net.Dial("unix", p.server)
		if err != nil {
			_ = c.Close()
			continue
		}
		go func() { _, _ = io.Copy(c, s); _ = c.Close() }()
		go p.pass(c, s)
	}
}

// pass hands the sink's messages on; what one read brings counts as one.
func (p *proxy) pass(c, s net.Conn) {
	defer s.Close()
	buf := make([]byte, 1<<20)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		cut, forward := p.due()
		if cut && !forward {
			_ = c.Close()
			return
		}
		if cut {
			// The answer must not come before the cut.
			_ = c.Close()
		}
		if _, err := s.Write(buf[:n]); err != nil {
			return
		}
		if cut {
			time.Sleep(20 * time.Millisecond) // the server acts on it, then sees the end
			return
		}
	}
}

func (p *proxy) due() (cut, forward bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left--
	if p.left == 0 {
		p.cuts++
	}
	return p.left == 0, p.forward
}

// arm cuts at the n-th message from now.
func (p *proxy) arm(n int, forward bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left, p.forward = n, forward
}

// disarm reports whether a cut happened since arm.
func (p *proxy) disarm() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	happened := p.cuts > 0
	p.left, p.cuts = -1, 0
	return happened
}
