package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/speaker"
)

// neighbour is a BGP router that dials the daemon from an address of its own on
// loopback, and remembers what it is told.
type neighbour struct {
	sp     *speaker.Speaker
	cfg    speaker.Config
	cancel context.CancelFunc
	done   chan error

	mu       sync.Mutex
	routes   map[string]string // prefix or flow → attributes
	ups      int
	downs    []speaker.Down
	messages int // UPDATE messages with routes, and refreshes
}

// startNeighbour starts one at 127.0.0.host with AS 65000+host, which announces
// prefixes.
func startNeighbour(t *testing.T, d *testDaemon, host int, prefixes ...string) *neighbour {
	t.Helper()
	return startNeighbourAs(t, d, host, func(*speaker.Peer) {}, prefixes...)
}

// startNeighbourAs does so after a change of how it sees the daemon.
func startNeighbourAs(t *testing.T, d *testDaemon, host int, change func(*speaker.Peer), prefixes ...string) *neighbour {
	t.Helper()
	to, err := netip.ParseAddrPort(d.bgp)
	if err != nil {
		t.Fatalf("the daemon has no BGP address: %v: %s", err, d.stderr())
	}
	p := speaker.DefaultPeer()
	p.Name, p.Address = "ribtap", netip.PrefixFrom(to.Addr(), 32)
	p.Active, p.Port, p.ConnectRetry = true, to.Port(), time.Second
	p.Source = netip.AddrFrom4([4]byte{127, 0, 0, byte(host)})
	p.Families = []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast, bgp.IPv4Flowspec}
	change(&p)
	cfg := speaker.DefaultConfig()
	cfg.ASN, cfg.RouterID, cfg.InitialDelay = uint32(65000+host), p.Source, 0
	cfg.Peers = []speaker.Peer{p}
	return runNeighbour(t, cfg, prefixes)
}

// listenAs starts one that waits to be called by 127.0.0.6.
func listenAs(t *testing.T, host, port int, prefixes ...string) *neighbour {
	t.Helper()
	self := netip.AddrFrom4([4]byte{127, 0, 0, byte(host)})
	p := speaker.DefaultPeer()
	p.Name, p.Address = "ribtap", netip.MustParsePrefix("127.0.0.6/32")
	cfg := speaker.DefaultConfig()
	cfg.ASN, cfg.RouterID, cfg.Listen = uint32(65000+host), self, []string{netip.AddrPortFrom(self, uint16(port)).String()}
	cfg.Peers = []speaker.Peer{p}
	return runNeighbour(t, cfg, prefixes)
}

func runNeighbour(t *testing.T, cfg speaker.Config, prefixes []string) *neighbour {
	t.Helper()
	n := &neighbour{cfg: cfg, done: make(chan error, 1), routes: map[string]string{}}
	n.cfg.Peers[0].Announce = announcements(prefixes)
	var err error
	if n.sp, err = speaker.New(n.cfg, n, slog.New(slog.DiscardHandler), prometheus.NewRegistry()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	go func() { n.done <- n.sp.Run(ctx) }()
	t.Cleanup(n.stop)
	return n
}

func (n *neighbour) stop() {
	n.cancel()
	if n.done != nil {
		<-n.done
		n.done = nil
	}
}

func announcements(prefixes []string) (list []speaker.Announcement) {
	for _, text := range prefixes {
		a := speaker.Announcement{Family: bgp.IPv4Unicast, Prefix: netip.MustParsePrefix(text)}
		if a.Prefix.Addr().Is6() {
			a.Family, a.NextHop = bgp.IPv6Unicast, netip.MustParseAddr("2001:db8::1")
		}
		list = append(list, a)
	}
	return list
}

// manyPrefixes are n different ones.
func manyPrefixes(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("198.18.%d.0/24", i))
	}
	return list
}

// announce replaces what it announces, without a reset.
func (n *neighbour) announce(t *testing.T, prefixes ...string) {
	t.Helper()
	n.cfg.Peers[0].Announce = announcements(prefixes)
	n.apply(t)
}

func (n *neighbour) apply(t *testing.T) {
	t.Helper()
	if _, err := n.sp.Apply(n.cfg); err != nil {
		t.Fatal(err)
	}
}

// Up implements speaker.Handler.
func (n *neighbour) Up(_ context.Context, s *speaker.Session) (speaker.Receiver, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ups++
	clear(n.routes)
	return &neighbourSession{n: n, s: s}, nil
}

type neighbourSession struct {
	n *neighbour
	s *speaker.Session
}

// Message implements speaker.Receiver.
func (s *neighbourSession) Message(_ time.Time, msg []byte) *speaker.Fault {
	s.n.mu.Lock()
	defer s.n.mu.Unlock()
	if bgp.MessageType(msg) != bgp.MessageUpdate {
		s.n.messages++
		return nil
	}
	var u bgp.Update
	u.Parse(msg, s.s.Receive)
	for it := u.Routes(); it.Next(); {
		s.n.messages++
		r := it.Route()
		key := string(r.NLRI.AppendText(nil))
		if r.Action == bgp.Withdraw {
			delete(s.n.routes, key)
			continue
		}
		med := "-"
		if v, ok := u.MED(); ok {
			med = fmt.Sprint(v)
		}
		s.n.routes[key] = fmt.Sprintf("path %s med %s communities %s ext %s", u.AppendASPath(nil), med, u.AppendCommunities(nil), u.AppendExtCommunities(nil))
	}
	return nil
}

// Flush implements speaker.Receiver.
func (s *neighbourSession) Flush(context.Context) error { return nil }

// Down implements speaker.Receiver.
func (s *neighbourSession) Down(_ context.Context, d speaker.Down) error {
	s.n.mu.Lock()
	defer s.n.mu.Unlock()
	d.Notification = slices.Clone(d.Notification)
	s.n.downs = append(s.n.downs, d)
	return nil
}

func (n *neighbour) count() (ups, downs, messages int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ups, len(n.downs), n.messages
}

// heard are the routes that it has from the daemon.
func (n *neighbour) heard() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Sorted(maps.Keys(n.routes))
}

func (n *neighbour) route(key string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.routes[key]
}

// eventually waits for something that must become true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// livePeer is what `peers` says of a neighbour.
func (d *testDaemon) peer(t *testing.T, name string) peerRow {
	t.Helper()
	var rows []peerRow
	out := ribtap(t, "peers", "-o", "json", "--url", d.http, "--data-dir", d.dir).must(t, exitOK).stdout
	if err := json.Unmarshal([]byte(out), &rows); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, r := range rows {
		if r.Name != nil && *r.Name == name {
			return r
		}
	}
	return peerRow{}
}

// waitRoutes waits until the daemon has taken n routes of a peer whose session is
// established.
func (d *testDaemon) waitRoutes(t *testing.T, name string, n int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		p := d.peer(t, name)
		if p.State == "up" && p.Routes != nil && *p.Routes == n {
			return
		}
		if time.Now().After(end) {
			b, _ := json.Marshal(p)
			t.Fatalf("peer %s has not %d routes: %s\n%s", name, n, b, d.stderr())
		}
	}
}

// startPeered starts a daemon whose configuration is text, and returns the path of
// its file.
func startPeered(t *testing.T, text string) (*testDaemon, string) {
	t.Helper()
	dir := isolated(t)
	path := writeFile(t, dir, "ribtap.yaml", []byte(text))
	d := startDaemon(t, filepath.Join(dir, "data"), "--config", path)
	return d, path
}

// waitLog waits for a log line with all of the words.
func (d *testDaemon) waitLog(t *testing.T, words ...string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if slices.ContainsFunc(strings.Split(d.stderr(), "\n"), func(line string) bool {
			return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) })
		}) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("no line has all of %q:\n%s", words, d.stderr())
		}
	}
}
