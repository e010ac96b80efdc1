package speaker

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/speaker/speakertest"
)

// engineRig is a speaker whose connections are pipes.
type engineRig struct {
	t    *testing.T
	s    *Speaker
	h    *engineLog
	reg  *prometheus.Registry
	stop func() // and wait
	out  bytes.Buffer

	dials chan net.Conn // the other ends of what was dialled
}

// engineLog is a Handler that writes down what it hears.
type engineLog struct {
	mu    sync.Mutex
	lines []string
	up    chan *Session
	downs chan Down

	upErr, flushErr error
	fault           *Fault
	block           chan struct{} // Message waits for it, if not nil
	blocked         atomic.Int64  // calls that waited or wait
	pause           time.Duration // of each Message
}

func newEngineLog() *engineLog {
	return &engineLog{up: make(chan *Session, 100), downs: make(chan Down, 100)}
}

func (l *engineLog) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *engineLog) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

func (l *engineLog) Up(_ context.Context, s *Session) (Receiver, error) {
	if l.upErr != nil {
		return nil, l.upErr
	}
	l.add("up %v %d", s.Remote.Addr(), s.RemoteASN)
	l.up <- s
	return (*engineReceiver)(l), nil
}

type engineReceiver engineLog

func (r *engineReceiver) Message(_ time.Time, msg []byte) *Fault {
	l := (*engineLog)(r)
	if l.block != nil {
		l.blocked.Add(1)
		<-l.block
	}
	time.Sleep(l.pause)
	l.add("%s %x", bgp.MessageName(bgp.MessageType(msg)), msg[bgp.HeaderLen:])
	return l.fault
}

func (r *engineReceiver) Flush(context.Context) error {
	(*engineLog)(r).add("flush")
	return r.flushErr
}

func (r *engineReceiver) Down(_ context.Context, d Down) error {
	(*engineLog)(r).add("down %d %d %v", d.Reason, d.FSMEvent, d.Stop)
	r.downs <- d
	return nil
}

// enginePeer is the peer that the tests configure: 192.0.2.1, any AS.
func enginePeer(change ...func(*Peer)) Peer {
	p := DefaultPeer()
	p.Name, p.Address = "one", netip.MustParsePrefix("192.0.2.1/32")
	for _, f := range change {
		f(&p)
	}
	return p
}

func engineConfig(peers ...Peer) Config {
	c := DefaultConfig()
	c.ASN, c.RouterID, c.InitialDelay, c.Peers = 65000, netip.MustParseAddr("192.0.2.100"), 0, peers
	return c
}

func newEngineRig(t *testing.T, cfg Config, change ...func(*engineRig)) *engineRig {
	t.Helper()
	r := &engineRig{t: t, h: newEngineLog(), reg: prometheus.NewRegistry(), dials: make(chan net.Conn)}
	log := slog.New(slog.NewTextHandler(&r.out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := New(cfg, r.h, log, r.reg)
	if err != nil {
		t.Fatal(err)
	}
	r.s = s
	s.connect = func(ctx context.Context, _ *Peer, to netip.AddrPort) (net.Conn, error) {
		ours, theirs := net.Pipe()
		select {
		case r.dials <- theirs:
			return &enginePipe{ours, "192.0.2.100:50000", to.String()}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	for _, f := range change {
		f(r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	if err := s.start(ctx); err != nil {
		t.Fatal(err)
	}
	go func() {
		<-ctx.Done()
		s.wg.Wait()
		ended <- nil
	}()
	var once sync.Once
	r.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() {
		r.stop()
		if t.Failed() {
			t.Logf("log:\n%s", r.out.String())
		}
	})
	return r
}

// enginePipe is an end of a pipe with addresses.
type enginePipe struct {
	net.Conn
	local, remote string
}

func (p *enginePipe) LocalAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(p.local))
}

func (p *enginePipe) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(p.remote))
}

// call is a neighbour that connects to us.
func (r *engineRig) call(from string) *speakertest.Peer {
	r.t.Helper()
	ours, theirs := net.Pipe()
	p := speakertest.New(r.t, theirs)
	r.s.take(&enginePipe{ours, "192.0.2.100:179", from + ":40000"})
	return p
}

// answer is a neighbour that takes the next connection that we make.
func (r *engineRig) answer() *speakertest.Peer { return speakertest.New(r.t, <-r.dials) }

// session brings a session of the usual neighbour up, behind both End-of-RIB.
func (r *engineRig) session(change ...func(*bgp.OpenParams)) *speakertest.Peer {
	r.t.Helper()
	p := r.call("192.0.2.1")
	p.Handshake(speakertest.Open(65001, "192.0.2.1", change...))
	<-r.h.up
	p.ExpectHex(bgp.MessageUpdate, "00000000")
	p.ExpectHex(bgp.MessageUpdate, "0000 0006 800f03 000201")
	return p
}

// want compares what the handler heard.
func (r *engineRig) want(lines ...string) {
	r.t.Helper()
	got := r.h.all()
	if fmt.Sprint(got) != fmt.Sprint(lines) {
		r.t.Errorf("heard %q\nwant  %q", got, lines)
	}
}

// down waits for the end of a session.
func (r *engineRig) down(reason, event uint8, notification string) {
	r.t.Helper()
	var d Down
	select {
	case d = <-r.h.downs:
	case <-time.After(time.Minute):
		r.t.Fatal("no Down")
	}
	got := ""
	if d.Notification != nil {
		got = fmt.Sprintf("%x", d.Notification[bgp.HeaderLen:])
	}
	if d.Reason != reason || d.FSMEvent != event || got != notification {
		r.t.Errorf("down %d event %d %q (%s), want %d event %d %q", d.Reason, d.FSMEvent, got, d.Text, reason, event, notification)
	}
}
