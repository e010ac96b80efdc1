package speaker

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestProof lets keys take effect, or not, on each form of socket.
func TestProof(t *testing.T) {
	t.Parallel()
	nothing := func(int, form, netip.Prefix) error { return nil }
	for name, f := range map[string]form{
		"IPv4": plainForm,
		"IPv6": {domain: unix.AF_INET6, only6: true, protocol: unix.IPPROTO_TCP},
		"both": {domain: unix.AF_INET6, protocol: unix.IPPROTO_TCP},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := (proof{f, "md5"}).run(t.Context()); err != nil {
				t.Errorf("TCP MD5: %v", err)
			}
			for _, at := range []netip.Addr{loopback4, netip.IPv6Loopback()} {
				if !f.carries(at) {
					continue
				}
				if err := tryLoopback(t.Context(), f, at, nothing); err == nil || !strings.Contains(err.Error(), "protects nothing") {
					t.Errorf("a key that does nothing at %s: %v", at, err)
				}
			}
		})
	}
}

func TestProofFails(t *testing.T) {
	t.Parallel()
	// Each end has a key of its own, so nothing opens; the caller does not wait.
	ctx, cancel := context.WithTimeout(t.Context(), silence)
	defer cancel()
	var n byte
	err := tryLoopback(ctx, plainForm, loopback4, func(fd int, f form, at netip.Prefix) error {
		n++
		return setMD5(fd, f, at, string([]byte{n}))
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the end of the context", err)
	}
	err = tryLoopback(t.Context(), plainForm, loopback4, func(int, form, netip.Prefix) error { return unix.ENOPROTOOPT })
	if !errors.Is(err, unix.ENOPROTOOPT) {
		t.Errorf("%v, want ENOPROTOOPT", err)
	}
}

// TestMultipath opens listeners as Go does by default. They are refused, with
// whatever peers: an unprotected neighbour would be let in, and keys may come later.
func TestMultipath(t *testing.T) {
	t.Parallel()
	if err := (form{domain: unix.AF_INET, protocol: unix.IPPROTO_MPTCP}).check(); !errors.Is(err, errMPTCP) {
		t.Errorf("%v, want %v", err, errMPTCP)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_MPTCP)
	if err != nil {
		t.Logf("this kernel opens no Multipath TCP (%v), and neither does Go", err)
		return
	}
	defer func() { _ = unix.Close(fd) }()
	p := withPassword(peer("p", "127.0.7.1"), "word")
	if err := newKernel().dialer(fdConn(fd), &p, netip.MustParseAddrPort("127.0.7.1:179")); !errors.Is(err, errMPTCP) {
		t.Errorf("dialled: %v, want %v", err, errMPTCP)
	}

	for name, peers := range map[string][]Peer{
		"nobody":       nil,
		"without keys": {peer("p", "127.0.7.1")},
		"password":     {p},
		"GTSM":         {withTTL(peer("p", "127.0.7.1"), 255)},
	} {
		for network, address := range map[string]string{"tcp4": "127.0.0.1:0", "tcp": "[::]:0", "tcp6": "[::1]:0"} {
			var config net.ListenConfig
			config.SetMultipathTCP(true)
			l, err := config.Listen(t.Context(), network, address)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			raw, err := l.(*net.TCPListener).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			err = newKernel().listener(t.Context(), network, address, raw, peers)
			if !errors.Is(err, errMPTCP) || !strings.Contains(err.Error(), "listener "+network+" "+address) {
				t.Errorf("%s, %s: %v, want a refusal", network, name, err)
			}
		}
	}
	if !strings.Contains(errMPTCP.Error(), "SetMultipathTCP(false)") {
		t.Errorf("%q does not say what to do", errMPTCP)
	}
}

// TestMultipathFallback is what becomes of a refusal in net.ListenConfig.Control:
// Go opens a plain TCP socket instead, and that one is protected.
func TestMultipathFallback(t *testing.T) {
	t.Parallel()
	l, err := tryServe(t, newKernel(), true, "tcp4", "127.0.0.1:0", withPassword(peer("p", "127.0.7.1"), "word"))
	if err != nil {
		t.Fatal(err)
	}
	if got := option(t, l, unix.SOL_SOCKET, unix.SO_PROTOCOL); got != unix.IPPROTO_TCP {
		t.Errorf("the listener is of protocol %d", got)
	}
	caller{from: "127.0.7.1"}.refused(t, l)
	caller{from: "127.0.7.1", password: "word"}.opens(t, l)
}

// fdConn is a bare socket.
type fdConn int

func (c fdConn) Control(f func(uintptr)) error { f(uintptr(c)); return nil }
func (fdConn) Read(func(uintptr) bool) error   { return nil }
func (fdConn) Write(func(uintptr) bool) error  { return nil }

// TestSetInt does not believe what cannot be read back.
func TestSetInt(t *testing.T) {
	t.Parallel()
	fd, err := loopbackSocket(plainForm)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := setInt(fd, unix.SOL_IP, unix.IP_MINTTL, "IP_MINTTL", 255); err != nil {
		t.Error(err)
	}
	// The kernel doubles the size of a buffer.
	if err := setInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, "SO_RCVBUF", 8192); err == nil || !strings.Contains(err.Error(), "after it was set to 8192") {
		t.Errorf("%v, want a complaint", err)
	}
	if err := setInt(fd, unix.SOL_IP, unix.IP_MINTTL, "IP_MINTTL", 256); !errors.Is(err, unix.EINVAL) {
		t.Errorf("%v, want EINVAL", err)
	}
}
