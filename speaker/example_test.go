package speaker_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/speaker"
)

// monitor is a Handler and, for its one session, the Receiver.
type monitor struct {
	session *speaker.Session
	update  bgp.Update
	ended   chan struct{}
	synced  int
	done    func() // called when the initial update is there
}

func (m *monitor) Up(_ context.Context, s *speaker.Session) (speaker.Receiver, error) {
	fmt.Println("up: AS", s.RemoteASN, "router", s.RemoteID)
	m.session = s
	return m, nil
}

func (m *monitor) Message(_ time.Time, msg []byte) *speaker.Fault {
	if bgp.MessageType(msg) != bgp.MessageUpdate {
		return nil // ROUTE-REFRESH
	}
	m.update.Parse(msg, m.session.Receive)
	if f, ok := m.update.EndOfRIB(); ok {
		fmt.Println("end of RIB:", f)
		if m.synced++; m.synced == len(m.session.Families) {
			m.done()
		}
	}
	routes := m.update.Routes()
	for routes.Next() {
		r := routes.Route()
		fmt.Println(r.Action, r.NLRI.Prefix)
	}
	return nil
}

func (m *monitor) Flush(context.Context) error { return nil }

func (m *monitor) Down(_ context.Context, d speaker.Down) error {
	fmt.Println("down:", d.Text)
	close(m.ended)
	return nil
}

// silent is a neighbour that wants to hear nothing.
type silent struct{}

func (silent) Up(context.Context, *speaker.Session) (speaker.Receiver, error) { return silent{}, nil }
func (silent) Message(time.Time, []byte) *speaker.Fault                       { return nil }
func (silent) Flush(context.Context) error                                    { return nil }
func (silent) Down(context.Context, speaker.Down) error                       { return nil }

// A monitor listens, and whoever may connect is heard. Its neighbour here is
// another Speaker, which dials and announces nothing.
func Example() {
	log := slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	peer := speaker.DefaultPeer()
	peer.Name, peer.Address = "router", netip.MustParsePrefix("127.0.0.1/32")
	cfg := speaker.DefaultConfig()
	cfg.Listen, cfg.ASN, cfg.RouterID = []string{"127.0.0.1:0"}, 65000, netip.MustParseAddr("192.0.2.100")
	cfg.Peers = []speaker.Peer{peer}

	routerCtx, stopRouter := context.WithCancel(ctx)
	m := &monitor{ended: make(chan struct{}), done: stopRouter}
	s, err := speaker.New(cfg, m, log, prometheus.NewRegistry())
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := s.Listen(ctx); err != nil {
		fmt.Println(err)
		return
	}
	go func() { _ = s.Run(ctx) }()

	peer.Name, peer.Active, peer.Port = "monitor", true, s.Addrs()[0].Port()
	cfg.Listen, cfg.ASN, cfg.RouterID = nil, 65001, netip.MustParseAddr("192.0.2.1")
	cfg.Peers, cfg.InitialDelay = []speaker.Peer{peer}, 0
	router, err := speaker.New(cfg, silent{}, log, prometheus.NewRegistry())
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = router.Run(routerCtx)
	<-m.ended
	// Output:
	// up: AS 65001 router 192.0.2.1
	// end of RIB: ipv4-unicast
	// end of RIB: ipv6-unicast
	// down: received Cease/Hard Reset (Cease/Administrative Shutdown)
}
