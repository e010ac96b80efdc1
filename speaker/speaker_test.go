package speaker_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/speaker"
	"github.com/ribtap/ribtap/speaker/speakertest"
)

// listener hears sessions by channels.
type listener struct {
	up   chan *speaker.Session
	msgs chan []byte
	down chan speaker.Down
}

func (l *listener) Up(_ context.Context, s *speaker.Session) (speaker.Receiver, error) {
	l.up <- s
	return l, nil
}

func (l *listener) Message(_ time.Time, msg []byte) *speaker.Fault {
	l.msgs <- append([]byte(nil), msg...)
	return nil
}

func (l *listener) Flush(context.Context) error { return nil }

func (l *listener) Down(_ context.Context, d speaker.Down) error {
	l.down <- d
	return nil
}

// start runs a speaker that listens on TCP, and returns it with its address.
func start(t *testing.T, cfg speaker.Config) (s *speaker.Speaker, l *listener, address string, stop func()) {
	t.Helper()
	l = &listener{make(chan *speaker.Session, 8), make(chan []byte, 64), make(chan speaker.Down, 8)}
	s, err := speaker.New(cfg, l, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(cancel)
	return s, l, s.Addrs()[0].String(), func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func config(address string) speaker.Config {
	cfg := speaker.DefaultConfig()
	cfg.Listen = []string{"127.0.0.1:0"}
	cfg.ASN, cfg.RouterID, cfg.InitialDelay = 65000, netip.MustParseAddr("192.0.2.100"), 0
	p := speaker.DefaultPeer()
	p.Name, p.Address = "one", netip.MustParsePrefix(address)
	cfg.Peers = []speaker.Peer{p}
	return cfg
}

// TestSpeakerTCP is a session over TCP from its beginning to its end: the last
// message arrives although the neighbour has more to say that nobody reads.
func TestSpeakerTCP(t *testing.T) {
	defer goleak.VerifyNone(t)
	s, l, address, stop := start(t, config("127.0.0.0/8"))
	p := speakertest.Dial(t, address, "127.0.0.9")
	p.Handshake(speakertest.Open(65001, "192.0.2.1"))
	up := <-l.up
	if up.Remote.Addr() != netip.MustParseAddr("127.0.0.9") || up.Local.String() != address {
		t.Errorf("from %v to %v", up.Remote, up.Local)
	}
	p.Expect(bgp.MessageUpdate, bgp.MessageUpdate)
	update := speakertest.HexMessage(t, bgp.MessageUpdate, "00000000")
	p.Send(update)
	if got := <-l.msgs; string(got) != string(update) {
		t.Errorf("got %x", got)
	}
	if err := s.Disable("one", "bye"); err != nil {
		t.Error(err)
	}
	p.Send(update)
	p.ExpectNotification(6, 2, "03 627965")
	if d := <-l.down; d.Reason != speaker.DownLocalNotification || d.Stop {
		t.Errorf("%+v", d)
	}
	if err := s.Enable("one"); err != nil {
		t.Error(err)
	}
	again := speakertest.Dial(t, address, "127.0.0.9")
	again.Handshake(speakertest.Open(65001, "192.0.2.1"))
	<-l.up
	again.Expect(bgp.MessageUpdate, bgp.MessageUpdate)
	stranger := speakertest.Dial(t, address, "127.0.0.10") // says nothing
	again.Close()
	if d := <-l.down; d.Reason != speaker.DownRemote {
		t.Errorf("%+v", d)
	}
	stop()
	stranger.ExpectClosed()
	p.Close()
}

// TestSpeakerLastMessage: a NOTIFICATION arrives at a neighbour that was busy, and
// whose own octets nobody has read: a socket closed over those would take it back.
// Behind it our half of the connection is closed, and the other one still read.
func TestSpeakerLastMessage(t *testing.T) {
	defer goleak.VerifyNone(t)
	s, l, address, stop := start(t, config("127.0.0.0/8"))
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	update := speakertest.HexMessage(t, bgp.MessageUpdate, "00000000")
	said := slices.Concat(speakertest.Open(65001, "192.0.2.1"), speakertest.Keepalive(), bytes.Repeat(update, 10000))
	if _, err := conn.Write(said); err != nil {
		t.Fatal(err)
	}
	<-l.up // and its receiver takes 64 messages
	if err := s.Disable("one", "bye"); err != nil {
		t.Fatal(err)
	}
	for ended := false; !ended; {
		select {
		case <-l.msgs:
		case <-l.down:
			ended = true
		}
	}
	heard, err := io.ReadAll(conn)
	if want := bgp.AppendCeaseText(nil, bgp.CeaseAdminShutdown, "bye"); err != nil || !bytes.HasSuffix(heard, want) {
		t.Errorf("%v: %x", err, heard)
	}
	for range 2 {
		if _, err := conn.Write(update); err != nil {
			t.Error(err)
		}
	}
	stop()
}

// TestSpeakerDials has two speakers of which one dials the other.
func TestSpeakerDials(t *testing.T) {
	defer goleak.VerifyNone(t)
	_, passive, address, stopPassive := start(t, config("127.0.0.1/32"))
	to := netip.MustParseAddrPort(address)
	cfg := config("127.0.0.1/32")
	cfg.ASN, cfg.RouterID = 65001, netip.MustParseAddr("192.0.2.1")
	cfg.Peers[0].Active, cfg.Peers[0].Port = true, to.Port()
	s, dials, _, stopDialling := start(t, cfg)
	a, b := <-passive.up, <-dials.up
	if a.Dialled || !b.Dialled || a.RemoteASN != 65001 || b.RemoteASN != 65000 || string(a.Sent) != string(b.Received) {
		t.Errorf("%+v and %+v", a, b)
	}
	for _, l := range []*listener{passive, dials} {
		for range 2 { // End-of-RIB of both families
			<-l.msgs
		}
	}
	if err := s.Refresh("one"); err != nil {
		t.Error(err)
	}
	if got := <-passive.msgs; bgp.MessageType(got) != bgp.MessageRouteRefresh {
		t.Errorf("got %x", got)
	}
	for range 4 { // BoRR and EoRR of both families
		if got := <-dials.msgs; bgp.MessageType(got) != bgp.MessageRouteRefresh {
			t.Errorf("got %x", got)
		}
	}
	stopDialling()
	if d := <-dials.down; d.Reason != speaker.DownLocalNotification || !d.Stop {
		t.Errorf("%+v", d)
	}
	if d := <-passive.down; d.Reason != speaker.DownRemoteNotification || d.Stop {
		t.Errorf("%+v", d)
	}
	stopPassive()
}

// TestSpeakerProtected has a key and GTSM on both sides, and changes the key while
// the session is up.
func TestSpeakerProtected(t *testing.T) {
	protect := func(cfg *speaker.Config, password string) {
		cfg.Peers[0].Password, cfg.Peers[0].TTLMin = password, 255
	}
	cfg := config("127.0.0.1/32")
	protect(&cfg, "secret")
	s, passive, address, stopPassive := start(t, cfg)
	dialling := config("127.0.0.1/32")
	dialling.ASN, dialling.RouterID = 65001, netip.MustParseAddr("192.0.2.1")
	dialling.Peers[0].Active, dialling.Peers[0].Port = true, netip.MustParseAddrPort(address).Port()
	protect(&dialling, "secret")
	d, dials, _, stopDialling := start(t, dialling)
	<-passive.up
	<-dials.up
	for range 2 {
		<-passive.msgs
	}
	protect(&cfg, "another")
	protect(&dialling, "another")
	for speak, cfg := range map[*speaker.Speaker]speaker.Config{s: cfg, d: dialling} {
		if changes, err := speak.Apply(cfg); err != nil || len(changes) != 1 || changes[0].Action != speaker.Updated {
			t.Errorf("%v %v", changes, err)
		}
	}
	if err := d.Refresh("one"); err != nil {
		t.Error(err)
	}
	if got := <-passive.msgs; bgp.MessageType(got) != bgp.MessageRouteRefresh {
		t.Errorf("got %x", got)
	}
	stopDialling()
	stopPassive()
}

// TestSpeakerFarAway: a neighbour whose TTL is too small is closed unread.
func TestSpeakerFarAway(t *testing.T) {
	cfg := config("127.0.0.0/8")
	cfg.Peers[0].TTLMin = 255
	_, _, address, stop := start(t, cfg)
	speakertest.Dial(t, address, "127.0.0.9").ExpectClosed()
	stop()
}
