package speaker

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var _ protection = (*kernel)(nil)

// silence is how long something that must not come is waited for. On the loopback
// interface it would come at once.
const silence = 150 * time.Millisecond

// patience is how long something that must come is waited for.
const patience = 10 * time.Second

// serve opens a listener that k protects.
func serve(t *testing.T, k *kernel, network, address string, peers ...Peer) *net.TCPListener {
	t.Helper()
	l, err := tryServe(t, k, false, network, address, peers...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func tryServe(t *testing.T, k *kernel, multipath bool, network, address string, peers ...Peer) (*net.TCPListener, error) {
	t.Helper()
	var config net.ListenConfig
	config.SetMultipathTCP(multipath)
	config.Control = func(network, address string, raw syscall.RawConn) error {
		return k.listener(t.Context(), network, address, raw, peers)
	}
	l, err := config.Listen(t.Context(), network, address)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener), nil
}

// caller is a neighbour that dials with its own hands.
type caller struct {
	from     string
	password string
	ttl      int // 0: the kernel's
	minTTL   int
}

// call connects to the listener's port at the address that fits from.
func (c caller) call(t *testing.T, l net.Listener, wait time.Duration) (*net.TCPConn, error) {
	t.Helper()
	from := netip.MustParseAddr(c.from)
	to := netip.MustParseAddr("127.0.0.1")
	if from.Is6() {
		to = netip.IPv6Loopback()
	}
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	d.Control = func(_, _ string, raw syscall.RawConn) error {
		return control(raw, func(fd int) error {
			if c.password != "" {
				if err := setMD5(fd, form{domain: domainOf(to)}, host(to), c.password); err != nil {
					return err
				}
			}
			return errors.Join(c.setTTL(fd, to, c.ttl), c.setMin(fd, to))
		})
	}
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	conn, err := d.DialContext(ctx, "tcp", netip.AddrPortFrom(to, port).String())
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn), nil
}

func (c caller) setTTL(fd int, to netip.Addr, ttl int) error {
	switch {
	case ttl == 0:
		return nil
	case to.Is4():
		return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TTL, ttl)
	}
	return unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_UNICAST_HOPS, ttl)
}

func (c caller) setMin(fd int, to netip.Addr) error {
	switch {
	case c.minTTL == 0:
		return nil
	case to.Is4():
		return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_MINTTL, c.minTTL)
	}
	return unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_MINHOPCOUNT, c.minTTL)
}

func domainOf(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// opens fails the test unless the call is answered.
func (c caller) opens(t *testing.T, l *net.TCPListener) (near, far *net.TCPConn) {
	t.Helper()
	far, err := c.call(t, l, patience)
	if err != nil {
		t.Fatalf("%+v does not connect: %v", c, err)
	}
	return take(t, l), far
}

// refused fails the test if the call is answered: the kernel drops it silently.
func (c caller) refused(t *testing.T, l *net.TCPListener) {
	t.Helper()
	if _, err := c.call(t, l, silence); err == nil {
		t.Fatalf("%+v connects", c)
	} else if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%+v: %v, want silence", c, err)
	}
}

func take(t *testing.T, l *net.TCPListener) *net.TCPConn {
	t.Helper()
	if err := l.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	c, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// arrives fails the test unless what is written at one end is read at the other.
func arrives(t *testing.T, from, to net.Conn, text string) {
	t.Helper()
	if _, err := from.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	expect(t, to, text)
}

// expect fails the test unless the text is read.
func expect(t *testing.T, to net.Conn, text string) {
	t.Helper()
	if err := to.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	for n := 0; n < len(got); {
		m, err := to.Read(got[n:])
		if n += m; err != nil {
			t.Fatalf("%q arrives as %q: %v", text, got[:n], err)
		}
	}
	if string(got) != text {
		t.Fatalf("%q arrives as %q", text, got)
	}
}

// lost fails the test if what is written at one end is read at the other.
func lost(t *testing.T, from, to net.Conn, text string) {
	t.Helper()
	if _, err := from.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := to.SetReadDeadline(time.Now().Add(silence)); err != nil {
		t.Fatal(err)
	}
	if n, err := to.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d octets of %q arrive, %v", n, text, err)
	}
}

// option reads an integer option of a connection.
func option(t *testing.T, c syscall.Conn, level, name int) int {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var v int
	if err := control(raw, func(fd int) error { v, err = unix.GetsockoptInt(fd, level, name); return err }); err != nil {
		t.Fatal(err)
	}
	return v
}

// sign sets the key of the far end of a connection, as its router would.
func sign(t *testing.T, c *net.TCPConn, password string) {
	t.Helper()
	to := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = control(raw, func(fd int) error { return setMD5(fd, form{domain: domainOf(to)}, host(to), password) })
	if err != nil {
		t.Fatal(err)
	}
}

// peer is a peer at an address or in a range.
func peer(name, address string) Peer {
	p, err := netip.ParsePrefix(address)
	if err != nil {
		p = host(netip.MustParseAddr(address))
	}
	return Peer{Name: name, Address: p}
}

func withPassword(p Peer, password string) Peer {
	p.Password = password
	return p
}

func withTTL(p Peer, least uint8) Peer {
	p.TTLMin = least
	return p
}
