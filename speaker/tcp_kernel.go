package speaker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
)

// kernel protects connections with what Linux has: TCP MD5 (RFC 2385), TCP-AO
// (RFC 5925) and GTSM (RFC 5082). It keeps the sockets that it protected, to
// change their keys while they are in use; those that were closed are forgotten.
// It is safe for concurrent use.
//
// There is no sign of a neighbour with a wrong key: it just never connects. Host
// counters, see newMD5Counters, are all that shows.
type kernel struct {
	mu      sync.Mutex
	sockets []*guarded
	sweepAt int // how many sockets there may be before closed ones are looked for
	// peers are those of the last rekey, by name.
	peers  map[string]*Peer
	proved map[proof]bool
}

func newKernel() *kernel { return &kernel{proved: map[proof]bool{}} }

// listener protects a listening socket between its creation and bind, as
// net.ListenConfig.Control has it. It tests first that what is configured can
// protect at all, which takes about 100 ms the first time, and refuses the socket
// if not. All peers are given; those that cannot reach the address are left out.
func (k *kernel) listener(ctx context.Context, network, address string, raw syscall.RawConn, peers []Peer) error {
	fail := func(err error) error {
		return fmt.Errorf("speaker: protection of the listener %s %s: %w", network, address, err)
	}
	ring, err := newKeyring(peers)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	g := &guarded{raw: raw, name: "listener " + address, keys: keyring{}}
	err = control(raw, func(fd int) error {
		if g.form, err = formOf(fd); err != nil {
			return err
		}
		g.noGTSM = keepSYN(fd, g.form)
		return nil
	})
	if err == nil {
		err = g.checkGTSM(peers)
	}
	if err != nil {
		return fail(err)
	}
	if at, err := netip.ParseAddrPort(address); err == nil && at.Addr().Is6() && !at.Addr().Is4In6() && !at.Addr().IsUnspecified() {
		g.form.only6 = true // no IPv4 neighbour comes to an IPv6 address
	}
	if err := k.prove(ctx, g.form, ring); err != nil {
		return fail(err)
	}
	if err := g.apply(state{keys: ring.carriedBy(g.form)}); err != nil {
		return err
	}
	k.add(g)
	return nil
}

// dialer protects a socket that will connect to the peer, between its creation
// and connect, as net.Dialer.ControlContext has it.
func (k *kernel) dialer(raw syscall.RawConn, p *Peer, to netip.AddrPort) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	p = k.latest(p, to.Addr())
	ring, err := newKeyring([]Peer{{Name: p.Name, Address: host(to.Addr()), Password: p.Password, AO: p.AO}})
	if err != nil {
		return err
	}
	g := connection(raw, p, to.Addr())
	err = control(raw, func(fd int) error {
		g.form, err = formOf(fd)
		return err
	})
	if err == nil {
		err = k.prove(context.Background(), g.form, ring)
	}
	if err != nil {
		return fmt.Errorf("speaker: protection of the connection to peer %s: %w", p.Name, err)
	}
	if err := g.apply(state{keys: ring, minTTL: p.TTLMin}); err != nil {
		return err
	}
	k.add(g)
	return nil
}

// accepted protects a connection that a listener took, before anything is read
// from it. An error means that it is to be closed unread: its SYN came from too
// far, or it is not protected as p wants it.
func (k *kernel) accepted(c *net.TCPConn, p *Peer) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return fmt.Errorf("speaker: %w", err)
	}
	remote, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return errors.New("speaker: a connection without the address of its neighbour")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	p = k.latest(p, remote.AddrPort().Addr())
	g := connection(raw, p, remote.AddrPort().Addr())
	want := state{keys: keyring{}, minTTL: p.TTLMin}
	err = control(raw, func(fd int) error {
		if g.form, err = formOf(fd); err != nil {
			return err
		}
		if p.TTLMin > 0 {
			if err := checkSYN(fd, p.TTLMin); err != nil {
				return err
			}
		}
		if len(p.AO) > 0 {
			g.keys[host(g.remote)], want.keys[host(g.remote)] = keyOf(p), keyOf(p) // inherited
			return checkSigned(fd)
		}
		// The connection has the key that the listener had when the SYN came. If
		// it has waited since and the key was changed, this is the moment.
		if p.Password == "" {
			return setMD5(fd, g.form, host(g.remote), "")
		}
		want.keys[host(g.remote)] = keyOf(p)
		return nil
	})
	if err != nil {
		return fmt.Errorf("speaker: connection of peer %s from %s: %w", p.Name, remote, err)
	}
	if err := g.apply(want); err != nil {
		return err
	}
	k.add(g)
	return nil
}

// rekey gives all sockets the keys and least TTLs of another configuration,
// connections too: neither side has to let a session go for a new password. It
// changes everything or, with an error, nothing. A connection whose peer is in it
// no more, or elsewhere, keeps what it has, so that its last message is signed. One
// with TCP-AO gets the keys that are new and keeps those it has, which are in use
// (RFC 5925 §3.1); from one kind of key to another a connection cannot go at all.
func (k *kernel) rekey(_, peers []Peer) error {
	ring, err := newKeyring(peers)
	if err != nil {
		return err
	}
	peers = slices.Clone(peers) // they are kept
	byName := make(map[string]*Peer, len(peers))
	for i := range peers {
		byName[peers[i].Name] = &peers[i]
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sweep()
	for _, f := range k.forms() {
		if err := k.prove(context.Background(), f, ring); err != nil {
			return fmt.Errorf("speaker: protection: %w", err)
		}
	}
	for _, g := range k.sockets {
		if err := g.checkGTSM(peers); err != nil {
			return fmt.Errorf("speaker: %s: %w", g.name, err)
		}
	}
	before := make([]state, len(k.sockets))
	for i, g := range k.sockets {
		before[i] = g.state()
		want := state{keys: ring.carriedBy(g.form)}
		if g.peer != "" {
			want = g.wanted(byName[g.peer])
		}
		if err := g.apply(want); err != nil && !errors.Is(err, net.ErrClosed) {
			return errors.Join(err, k.restore(before[:i+1]))
		}
	}
	k.peers = byName
	return nil
}

// latest is p as it is in the configuration of the last rekey: whoever makes a
// connection while that goes on may still have the one before, and its keys.
func (k *kernel) latest(p *Peer, remote netip.Addr) *Peer {
	if l := k.peers[p.Name]; l != nil && l.reaches(remote) {
		return l
	}
	return p
}

// reaches reports whether a neighbour with this address is the peer's.
func (p *Peer) reaches(remote netip.Addr) bool {
	return canonical(p.Address).Contains(remote.Unmap().WithZone(""))
}

// checkGTSM refuses peers with a least TTL where the kernel cannot say what TTL a
// connection came with. Without such peers that is no reason not to listen.
func (g *guarded) checkGTSM(peers []Peer) error {
	for i := range peers {
		if p := &peers[i]; p.TTLMin > 0 && g.noGTSM != nil {
			return fmt.Errorf("peer %s needs GTSM (RFC 5082): %w", p.Name, g.noGTSM)
		}
	}
	return nil
}

// wanted is the state of a connection whose peer is now p; nil: it has none.
func (g *guarded) wanted(p *Peer) state {
	s := g.state()
	if p == nil || !p.reaches(g.remote) {
		return s
	}
	s.minTTL = p.TTLMin
	at := host(g.remote)
	if had := g.keys[at]; len(p.AO) > 0 || len(had.ao) > 0 {
		if len(p.AO) > 0 && len(had.ao) > 0 {
			s.keys[at] = key{owner: p.Name, ao: withNew(had.ao, p.AO)}
		}
		return s
	}
	delete(s.keys, at)
	if p.Password != "" {
		s.keys[at] = keyOf(p)
	}
	return s
}

// restore undoes what was changed, the last first.
func (k *kernel) restore(before []state) error {
	var errs []error
	for i := range slices.Backward(before) {
		if err := k.sockets[i].apply(before[i]); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, fmt.Errorf("going back to the keys before: %w", err))
		}
	}
	return errors.Join(errs...)
}

func connection(raw syscall.RawConn, p *Peer, remote netip.Addr) *guarded {
	remote = remote.Unmap()
	return &guarded{
		raw: raw, name: fmt.Sprintf("connection of peer %s with %s", p.Name, remote),
		peer: p.Name, remote: remote, keys: keyring{},
	}
}

// add keeps a socket. So that failed dials do not add up, closed ones are looked
// for whenever their number could have doubled.
func (k *kernel) add(g *guarded) {
	if len(k.sockets) >= k.sweepAt {
		k.sweep()
		k.sweepAt = 2*len(k.sockets) + 64
	}
	k.sockets = append(k.sockets, g)
}

func (k *kernel) sweep() {
	k.sockets = slices.DeleteFunc(k.sockets, func(g *guarded) bool {
		return errors.Is(control(g.raw, func(int) error { return nil }), net.ErrClosed)
	})
}

// forms are those of all listeners; without any, the one that every host has.
func (k *kernel) forms() []form {
	list := []form{plainForm}
	for _, g := range k.sockets {
		if g.peer == "" && !slices.Contains(list, g.form) {
			list = append(list, g.form)
		}
	}
	return list
}
