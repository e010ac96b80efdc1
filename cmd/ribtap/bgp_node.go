package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/ribtap/ribtap/collector"
	"github.com/ribtap/ribtap/speaker"
)

// bgpNode is the BGP speaker of a node: what the configuration says, what was
// ordered since the start, and the speaker that has both together.
type bgpNode struct {
	sp     *speaker.Speaker
	source *collector.BGP
	log    *slog.Logger
	// listen and routerID hold until the next start.
	listen    []string
	inherited func(address string) net.Listener
	routerID  netip.Addr
	// silent says why nothing is listened on although the default says so.
	silent error
	// peered says that there were some at the start.
	peered bool
	// wanted is closed when there is a peer for the first time, heard when the
	// source takes sessions, ended when Run has returned.
	wanted, heard, ended chan struct{}
	want                 func()

	mu   sync.Mutex
	base *bgpConfig      // in force
	able map[string]bool // peers that were enabled or disabled since the start
	// orders are what was announced since the start.
	orders []order
}

// openBGP makes the speaker and has it listen, so that a port that is taken and a
// protection that the kernel refuses are known before there is a session. No
// speaker is nil.
func openBGP(ctx context.Context, n *node) (*bgpNode, error) {
	if off := n.s.bgp.off; off != "" {
		n.log.Warn("there is no BGP speaker", "reason", off)
		return nil, nil
	}
	b := &bgpNode{
		source: n.col.BGP(), log: n.log, base: &n.s.bgp, able: map[string]bool{},
		listen: n.s.BGP.Listen, inherited: n.mode.inherited, peered: len(n.s.BGP.Peers) > 0, routerID: n.s.bgp.speaker.RouterID,
		wanted: make(chan struct{}), heard: make(chan struct{}), ended: make(chan struct{}),
	}
	b.want = sync.OnceFunc(func() { close(b.wanted) })
	var err error
	if b.sp, err = speaker.New(b.compose(b.base), b.source, n.log, n.reg); err != nil {
		return nil, err
	}
	if err := b.sp.Listen(ctx); err != nil {
		switch {
		case !b.peered && n.s.origins["bgp.listen"] == "default":
			// Nobody asked for it: it is no reason not to start.
			b.silent, b.listen = fmt.Errorf("%s: %w", strings.Join(b.listen, ", "), cause(err)), nil
			_, err := b.sp.Apply(b.compose(b.base))
			return b, err
		case errors.Is(err, syscall.EADDRINUSE):
			return nil, fmt.Errorf("bgp.listen: %w; another BGP speaker may be running, or choose another address with --bgp-listen", err)
		case errors.Is(err, syscall.EACCES):
			return nil, fmt.Errorf("bgp.listen: %w; ports below 1024 are root's, or of who has CAP_NET_BIND_SERVICE", err)
		}
		return nil, fmt.Errorf("bgp.listen: %w", cause(err))
	}
	return b, nil
}

// Run holds the sessions until ctx ends. When it has returned, nothing more of
// them comes into the stream. The speaker is a router of the history from its
// first peer on: without one it only turns away who calls.
func (b *bgpNode) Run(ctx context.Context) error {
	defer close(b.ended)
	if b.peered {
		b.want()
		return b.source.Run(ctx, func(ctx context.Context) error {
			close(b.heard)
			return b.sp.Run(ctx)
		})
	}
	idle := make(chan error, 1)
	go func() { idle <- b.sp.Run(ctx) }()
	select {
	case err := <-idle:
		return err
	case <-b.wanted:
	}
	return b.source.Run(ctx, func(context.Context) error {
		close(b.heard)
		return <-idle
	})
}

// banner says where it listens.
func (b *bgpNode) banner(w io.Writer, s *settings) {
	if b == nil {
		return
	}
	for _, a := range b.sp.Addrs() {
		fmt.Fprintf(w, "  BGP   %s, AS%d, peers configured: %d\n", a, s.BGP.ASN, len(s.BGP.Peers))
	}
	if b.silent != nil {
		fmt.Fprintf(w, "  BGP   not listening, and no peers: %v\n", b.silent)
	}
}

// close ends a speaker that was opened and is not run.
func (b *bgpNode) close() {
	if b == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = b.sp.Run(ctx) // closes the listeners
	close(b.ended)
}

// compose is the configuration with the orders. The caller holds b.mu, but at the
// start.
func (b *bgpNode) compose(base *bgpConfig) speaker.Config {
	cfg := base.speaker
	cfg.Listen, cfg.RouterID, cfg.Inherited = b.listen, b.routerID, b.inherited
	cfg.Peers = slices.Clone(cfg.Peers)
	for i := range cfg.Peers {
		p := &cfg.Peers[i]
		if able, ok := b.able[p.Name]; ok {
			p.Disabled = !able
		}
		p.Announce = base.export(p, b.orders)
	}
	return cfg
}

// configure brings a configuration into force. With an error nothing has changed.
func (b *bgpNode) configure(base *bgpConfig) ([]speaker.Change, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(base.speaker.Peers) > 0 {
		b.want()
		select {
		case <-b.heard:
		case <-b.ended:
		}
	}
	changes, err := b.sp.Apply(b.compose(base))
	if err != nil {
		return nil, err
	}
	b.base = base
	// Orders for peers that are gone are gone with them.
	b.orders = slices.DeleteFunc(b.orders, func(o order) bool { return o.peer != "" && base.peer(o.peer) == nil })
	for name := range b.able {
		if base.peer(name) == nil {
			delete(b.able, name)
		}
	}
	return changes, nil
}

// peer returns a peer by its name, nil if there is none.
func (c *bgpConfig) peer(name string) *speaker.Peer {
	for i := range c.speaker.Peers {
		if c.speaker.Peers[i].Name == name {
			return &c.speaker.Peers[i]
		}
	}
	return nil
}

// noPeer is speaker.ErrNoPeer in words that help.
func (c *bgpConfig) noPeer(name string) error {
	var names []string
	for i := range c.speaker.Peers {
		names = append(names, c.speaker.Peers[i].Name)
	}
	if len(names) == 0 {
		return &refusal{"there are no BGP peers; bgp.peers in the configuration is empty"}
	}
	return &refusal{fmt.Sprintf("no BGP peer is called %s; nearest is %s", name, nearest(name, names))}
}

// refusal is what the state of things forbids: an answer, not a failure.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

// find returns the name of a peer that is named by it or by its address.
func (b *bgpNode) find(name string) (string, error) {
	b.mu.Lock()
	base := b.base
	b.mu.Unlock()
	if base.peer(name) != nil {
		return name, nil
	}
	if a, err := netip.ParseAddr(name); err == nil {
		for i := range base.speaker.Peers {
			if p := &base.speaker.Peers[i]; !p.Range() && p.Address.Addr().WithZone(p.Zone) == a {
				return p.Name, nil
			}
		}
		for i := range base.speaker.Peers {
			if p := &base.speaker.Peers[i]; p.Range() && p.Address.Contains(a) {
				return "", &refusal{fmt.Sprintf("%s is one of the range %s; name %s to mean all of them", a, p.Address, p.Name)}
			}
		}
	}
	return "", base.noPeer(name)
}

// enable and disable order what holds until the next start.
func (b *bgpNode) setAble(name string, able bool, reason string) error {
	name, err := b.find(name)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if able {
		err = b.sp.Enable(name)
	} else {
		err = b.sp.Disable(name, reason)
	}
	if err == nil {
		b.able[name] = able
	}
	return err
}
