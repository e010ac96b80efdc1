package collector

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/event"
)

// arrivals is a stream that tells a test when an event of a kind has come.
type arrivals chan event.Kind

func (a arrivals) Write(ctx context.Context, batch []event.Event) error {
	for i := range batch {
		select {
		case a <- batch[i].Kind:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (a arrivals) await(t *testing.T, want event.Kind) {
	t.Helper()
	for {
		select {
		case k := <-a:
			if k == want {
				return
			}
		case <-t.Context().Done():
			t.Fatalf("no %s event", want)
		}
	}
}

// runStation starts a collector on real sockets.
func runStation(t *testing.T, cfg Config) (*Collector, arrivals) {
	t.Helper()
	events := make(arrivals, 64)
	c, err := New(cfg, events, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	select {
	case <-c.Ready():
	case err := <-done:
		t.Fatal(err)
	}
	return c, events
}

func TestStationListensOnSeveralAddresses(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Listen = []string{"127.0.0.1:0", "127.0.0.2:0"}
	c, events := runStation(t, cfg)
	for i, addr := range c.Addrs() {
		conn, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(initiation([]string{"r1", "r2"}[i])); err != nil {
			t.Fatal(err)
		}
		events.await(t, event.KindRouterUp)
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		events.await(t, event.KindRouterDown)
	}
	if got := c.Stats().Routers; got != 2 {
		t.Errorf("%d routers", got)
	}
}

func TestStationClosesUninvited(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Listen = []string{"127.0.0.1:0"}
	cfg.Allow = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	c, _ := runStation(t, cfg)
	conn, err := net.Dial("tcp", c.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection was let in")
	}
}

func TestStationDials(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	at := l.Addr().(*net.TCPAddr).AddrPort()
	cfg := DefaultConfig()
	cfg.Listen = nil
	cfg.Routers = []RouterConfig{{Name: "pe1", Address: at.Addr(), Port: at.Port()}}
	c, events := runStation(t, cfg)
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(initiation("own-name")); err != nil {
		t.Fatal(err)
	}
	events.await(t, event.KindRouterUp)
	c.mu.Lock()
	for _, r := range c.routers {
		if r.name != "pe1" {
			t.Errorf("router is called %q, want the configured name", r.name)
		}
	}
	c.mu.Unlock()
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	events.await(t, event.KindRouterDown)
}

func TestPortTakenIsAnErrorAtOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	cfg := DefaultConfig()
	cfg.Listen = []string{l.Addr().String()}
	c, err := New(cfg, event.Writer(arrivals(nil)), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Run(t.Context()); err == nil {
		t.Error("Run listens on a port that is taken")
	}
}
