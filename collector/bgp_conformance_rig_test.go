package collector

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/speaker"
	"github.com/ribtap/ribtap/speaker/speakertest"
)

// wireRig is a collector behind a real speaker, which listens on a loopback
// address: what a scripted neighbour writes there is what the stream has to tell.
type wireRig struct {
	c       *Collector
	address string
	stream  *wakingStream
}

// wakingStream is a recorder that tells who waits that something was written.
type wakingStream struct {
	recorder
	waking sync.Mutex
	wake   chan struct{}
}

func (s *wakingStream) Write(ctx context.Context, batch []event.Event) error {
	err := s.recorder.Write(ctx, batch)
	s.waking.Lock()
	defer s.waking.Unlock()
	close(s.wake)
	s.wake = make(chan struct{})
	return err
}

// await returns the first event of the neighbour that is as wanted.
func (s *wakingStream) await(t *testing.T, neighbour, what string, wanted func(*event.Event) bool) *event.Event {
	t.Helper()
	late := time.After(10 * time.Second)
	for seen := 0; ; {
		s.waking.Lock()
		wake := s.wake
		s.waking.Unlock()
		s.mu.Lock()
		kept := s.kept
		s.mu.Unlock()
		for ; seen < len(kept); seen++ {
			e := &kept[seen]
			if e.Peer != nil && e.Peer.Address.String() == neighbour && wanted(e) {
				return e
			}
		}
		select {
		case <-wake:
		case <-late:
			t.Fatalf("no event: %s", what)
		}
	}
}

// newWireRig lets everybody in from 127.0.0.0/8, with any AS number; ours is 65000.
func newWireRig(t *testing.T, change ...func(*speaker.Peer)) *wireRig {
	t.Helper()
	w := &wireRig{stream: &wakingStream{wake: make(chan struct{})}}
	cfg := DefaultConfig()
	cfg.Listen, cfg.Speaker = nil, SpeakerConfig{Name: "bgp", RouterID: speakerID}
	log, reg := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	var err error
	if w.c, err = New(cfg, w.stream, log, reg); err != nil {
		t.Fatal(err)
	}
	p := speaker.DefaultPeer()
	p.Name, p.Address, p.Limit = "all", netip.MustParsePrefix("127.0.0.0/8"), 1000
	for _, f := range change {
		f(&p)
	}
	sc := speaker.DefaultConfig()
	sc.Listen, sc.ASN, sc.RouterID, sc.AcceptRate, sc.Peers = []string{"127.0.0.1:0"}, 65000, speakerID, 1000, []speaker.Peer{p}
	s, err := speaker.New(sc, w.c.BGP(), log, reg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := s.Listen(ctx); err != nil {
		t.Fatal(err)
	}
	w.address = s.Addrs()[0].String()
	ended := make(chan error, 2)
	go func() { ended <- w.c.Run(ctx) }()
	go func() { ended <- w.c.BGP().Run(ctx, s.Run) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	return w
}

// session is a neighbour with a session of its own; asn 65000 makes it internal.
func (w *wireRig) session(t *testing.T, from string, asn uint32, change ...func(*bgp.OpenParams)) *speakertest.Peer {
	t.Helper()
	p := speakertest.Dial(t, w.address, from)
	enhanced := func(o *bgp.OpenParams) { o.EnhancedRefresh = true }
	p.Handshake(speakertest.Open(asn, from, append([]func(*bgp.OpenParams){enhanced}, change...)...))
	return p
}

// settle waits until all that the neighbour has sent is in the stream: an answer to
// its question comes behind that.
func settle(t *testing.T, p *speakertest.Peer) {
	t.Helper()
	p.Send(refreshOf(bgp.IPv4Unicast, bgp.RefreshRequest))
	for _, want := range []string{"00010101", "00010201"} {
		if msg := p.NextBut(bgp.MessageUpdate, bgp.MessageKeepalive); string(msg[bgp.HeaderLen:]) != string(speakertest.Octets(t, want)) {
			t.Fatalf("got %x, want %s", msg, want)
		}
	}
}

// rib lists what the RIB holds of a neighbour.
func (w *wireRig) rib(t *testing.T, neighbour string) []string {
	t.Helper()
	all := (&speakerRig{rig: &rig{t: t, c: w.c}}).rib()
	var out []string
	for _, line := range all {
		if rest, ok := strings.CutPrefix(line, neighbour+" "); ok {
			out = append(out, rest)
		}
	}
	slices.Sort(out)
	return out
}
