package speaker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// proof names what was shown to protect: a kind of key on a kind of socket.
type proof struct {
	form      form
	algorithm string // of TCP-AO; md5 for a password
}

var loopback4 = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// plainForm is the socket that every host has.
var plainForm = form{domain: unix.AF_INET, protocol: unix.IPPROTO_TCP}

const (
	proofTimeout = 2 * time.Second
	// proofSilence is how long an unsigned connection is given. On the loopback
	// interface an open listener takes it within the call itself.
	proofSilence = 100 * time.Millisecond
)

// prove tests that the keys of a ring protect on sockets of this form. Keys
// cannot be read back without privileges, so it tries: on a throw-away listener
// on the loopback interface a signed connection opens and an unsigned one does
// not. What was shown once counts for the life of the kernel.
func (k *kernel) prove(ctx context.Context, f form, ring keyring) error {
	for _, p := range ring.prefixes() {
		for _, needed := range proofsOf(f, ring[p]) {
			if k.proved[needed] {
				continue
			}
			if err := needed.run(ctx); err != nil {
				return fmt.Errorf("peer %s needs %s: %w", ring[p].owner, needed.name(), err)
			}
			k.proved[needed] = true
		}
	}
	return nil
}

func proofsOf(f form, k key) []proof {
	var list []proof
	if k.password != "" {
		list = append(list, proof{f, "md5"})
	}
	for _, a := range k.ao {
		list = append(list, proof{f, aoAlgorithms[a.Algorithm]})
	}
	return list
}

func (p proof) name() string {
	if p.algorithm == "md5" {
		return "TCP MD5"
	}
	return "TCP-AO with " + p.algorithm
}

// run tries on each kind of address that the socket carries. Where the loopback
// interface has no ::1, IPv4 stands for both.
func (p proof) run(ctx context.Context) error {
	var tried bool
	for _, a := range []netip.Addr{loopback4, netip.IPv6Loopback()} {
		if !p.form.carries(a) {
			continue
		}
		err := tryLoopback(ctx, p.form, a, p.install)
		if a.Is6() && errors.Is(err, unix.EADDRNOTAVAIL) {
			continue
		}
		if err != nil {
			return err
		}
		tried = true
	}
	if !tried {
		return tryLoopback(ctx, plainForm, loopback4, p.install)
	}
	return nil
}

func (p proof) install(fd int, f form, at netip.Prefix) error {
	if p.algorithm == "md5" {
		return setMD5(fd, f, at, "ribtap self-test")
	}
	k := AOKey{SendID: 1, RecvID: 1, Key: "ribtap self-test"}
	for name, kernels := range aoAlgorithms {
		if kernels == p.algorithm {
			k.Algorithm = name
		}
	}
	return addAO(fd, f, at, k)
}

// tryLoopback reports why install, which sets a key for a prefix, does not protect
// a listener of this form at a loopback address.
func tryLoopback(ctx context.Context, f form, at netip.Addr, install func(fd int, f form, at netip.Prefix) error) error {
	listener, err := loopbackSocket(f)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(listener) }()
	if err := unix.Bind(listener, f.bindAddr(at, 0)); err != nil {
		return os.NewSyscallError("bind", err)
	}
	if err := install(listener, f, host(at)); err != nil {
		return err
	}
	if err := unix.Listen(listener, 4); err != nil {
		return os.NewSyscallError("listen", err)
	}
	port, err := portOf(listener)
	if err != nil {
		return err
	}
	keyed := func(fd int) error { return install(fd, f, host(at)) }
	open, err := tryConnect(ctx, f, at, port, listener, proofTimeout, keyed)
	if err != nil {
		return err
	}
	if !open {
		return fmt.Errorf("a test connection to %s with the right key does not open", at)
	}
	open, err = tryConnect(ctx, f, at, port, listener, proofSilence, func(int) error { return nil })
	if err != nil {
		return err
	}
	if open {
		return fmt.Errorf("the key was set but protects nothing: a test connection to %s without it was accepted", at)
	}
	return nil
}

// tryConnect reports whether the listener takes a connection within d.
func tryConnect(ctx context.Context, f form, to netip.Addr, port int, listener int, d time.Duration, prepare func(fd int) error) (bool, error) {
	client, err := loopbackSocket(f)
	if err != nil {
		return false, err
	}
	defer func() { _ = unix.Close(client) }()
	if err := prepare(client); err != nil {
		return false, err
	}
	if err := unix.Connect(client, f.bindAddr(to, port)); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return false, os.NewSyscallError("connect", err)
	}
	const step = 5 * time.Millisecond
	for end := time.Now().Add(d); ; {
		fd, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
		switch {
		case err == nil:
			_ = unix.Close(fd)
			return true, nil
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR):
			return false, os.NewSyscallError("accept", err)
		case time.Now().After(end):
			return false, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(step):
		}
	}
}

// loopbackSocket opens a socket of the form: never blocking, never inherited.
func loopbackSocket(f form) (int, error) {
	fd, err := unix.Socket(f.domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, f.protocol)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if f.domain == unix.AF_INET6 {
		only := 0
		if f.only6 {
			only = 1
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_V6ONLY, only); err != nil {
			return -1, errors.Join(os.NewSyscallError("setsockopt IPV6_V6ONLY", err), unix.Close(fd))
		}
	}
	return fd, nil
}

func (f form) bindAddr(a netip.Addr, port int) unix.Sockaddr {
	if f.domain == unix.AF_INET {
		return &unix.SockaddrInet4{Addr: a.As4(), Port: port}
	}
	return &unix.SockaddrInet6{Addr: a.As16(), Port: port}
}

func portOf(fd int) (int, error) {
	at, err := unix.Getsockname(fd)
	if err != nil {
		return 0, os.NewSyscallError("getsockname", err)
	}
	switch at := at.(type) {
	case *unix.SockaddrInet4:
		return at.Port, nil
	case *unix.SockaddrInet6:
		return at.Port, nil
	}
	return 0, fmt.Errorf("a socket address of type %T", at)
}
