package speaker

import (
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestGTSM has a neighbour call from one hop too far, with octets on the heels of
// its handshake: it is refused before anything of it is read, and a neighbour on
// the link is not.
func TestGTSM(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, network, address, from string }{
		{"IPv4", "tcp4", "127.0.0.1:0", "127.0.7.1"},
		{"IPv4 on a socket for both", "tcp", "[::]:0", "127.0.7.1"},
		{"IPv6 on a socket for both", "tcp", "[::]:0", "::1"},
		{"IPv6", "tcp6", "[::1]:0", "::1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			k := newKernel()
			p := withTTL(peer("p", test.from), 255)
			l := serve(t, k, test.network, test.address, p)
			for _, far := range []caller{{from: test.from, ttl: 64}, {from: test.from, ttl: 254}} {
				near, c := far.opens(t, l)
				if _, err := c.Write([]byte("OPEN")); err != nil {
					t.Fatal(err)
				}
				err := k.accepted(near, &p)
				if err == nil || !strings.Contains(err.Error(), "below 255") {
					t.Fatalf("%+v: %v, want a refusal", far, err)
				}
			}
			// The neighbour wants our segments, and the answer to its SYN, with 255.
			linked := caller{from: test.from, ttl: 255, minTTL: 255}
			near, far := linked.opens(t, l)
			if err := k.accepted(near, &p); err != nil {
				t.Fatal(err)
			}
			arrives(t, far, near, "OPEN")
			arrives(t, near, far, "OPEN")
			// What comes later with a smaller one is not of the neighbour.
			hops(t, linked, far, 64)
			lost(t, far, near, "spoofed")
		})
	}
}

// TestGTSMIsPerPeer lets in from afar whoever is not configured otherwise.
func TestGTSMIsPerPeer(t *testing.T) {
	t.Parallel()
	k := newKernel()
	strict, hopsAway, loose := withTTL(peer("strict", "127.0.7.1"), 255), withTTL(peer("multihop", "127.0.7.2"), 250), peer("loose", "127.0.7.3")
	l := serve(t, k, "tcp4", "127.0.0.1:0", strict, hopsAway, loose)
	for _, test := range []struct {
		p    *Peer
		from caller
		ok   bool
	}{
		{&strict, caller{from: "127.0.7.1", ttl: 254}, false},
		{&hopsAway, caller{from: "127.0.7.2", ttl: 250}, true},
		{&hopsAway, caller{from: "127.0.7.2", ttl: 249}, false},
		{&loose, caller{from: "127.0.7.3", ttl: 1}, true},
	} {
		near, _ := test.from.opens(t, l)
		if err := k.accepted(near, test.p); test.ok != (err == nil) {
			t.Errorf("%+v: %v", test.from, err)
		}
	}
}

// TestGTSMRekey changes the least TTL of a session.
func TestGTSMRekey(t *testing.T) {
	t.Parallel()
	k := newKernel()
	from := caller{from: "127.0.7.1", ttl: 64}
	loose, strict := []Peer{peer("p", "127.0.7.1")}, []Peer{withTTL(peer("p", "127.0.7.1"), 255)}
	l := serve(t, k, "tcp4", "127.0.0.1:0", loose...)
	near, far := from.opens(t, l)
	if err := k.accepted(near, &loose[0]); err != nil {
		t.Fatal(err)
	}
	arrives(t, far, near, "one")
	if err := k.rekey(loose, strict); err != nil {
		t.Fatal(err)
	}
	lost(t, far, near, "two")
	hops(t, from, far, 255)
	expect(t, near, "two")
	if err := k.rekey(strict, loose); err != nil {
		t.Fatal(err)
	}
	hops(t, from, far, 1)
	arrives(t, far, near, "three")
}

// TestGTSMDialler calls a neighbour that answers from too far away: the answer to
// our SYN is not taken.
func TestGTSMDialler(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(address, func(t *testing.T) {
			t.Parallel()
			at := netip.MustParseAddrPort(address).Addr()
			for _, test := range []struct {
				ttl   int
				opens bool
			}{{255, true}, {64, false}} {
				config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
					return control(raw, func(fd int) error {
						c := caller{}
						c.minTTL = 255 // nor is a SYN of ours that comes from afar
						if err := c.setMin(fd, at); err != nil {
							return err
						}
						return c.setTTL(fd, at, test.ttl)
					})
				}}
				config.SetMultipathTCP(false)
				l, err := config.Listen(t.Context(), "tcp", address)
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				k, p := newKernel(), withTTL(peer("p", at.String()), 255)
				wait := patience
				if !test.opens {
					wait = silence
				}
				d := net.Dialer{Timeout: wait, Control: func(_, to string, raw syscall.RawConn) error {
					return k.dialer(raw, &p, netip.MustParseAddrPort(to))
				}}
				c, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
				if test.opens != (err == nil) {
					t.Fatalf("a neighbour that sends with TTL %d: %v", test.ttl, err)
				}
				if err == nil {
					c.Close()
				}
			}
		})
	}
}

// TestGTSMWithoutSYN does not take a connection whose TTL nobody knows, which is
// what SYN cookies make of it.
func TestGTSMWithoutSYN(t *testing.T) {
	t.Parallel()
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	open, err := config.Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	near, _ := caller{from: "127.0.7.1", ttl: 255}.opens(t, open.(*net.TCPListener))
	p := withTTL(peer("p", "127.0.7.1"), 255)
	if err := newKernel().accepted(near, &p); err == nil || !strings.Contains(err.Error(), "SYN cookies") {
		t.Errorf("%v, want a refusal that names SYN cookies", err)
	}
}

func TestTTLOf(t *testing.T) {
	t.Parallel()
	v4, v6 := make([]byte, 60), make([]byte, 80)
	v4[0], v4[8] = 0x45, 64
	v6[0], v6[7] = 0x60, 253
	for _, test := range []struct {
		header []byte
		want   uint8
		ok     bool
	}{
		{v4, 64, true},
		{v6, 253, true},
		{v4[:20], 64, true},
		{v6[:40], 253, true},
		{nil, 0, false},
		{v4[:19], 0, false},
		{v6[:39], 0, false},
		{make([]byte, 60), 0, false},
	} {
		if got, err := ttlOf(test.header); got != test.want || test.ok != (err == nil) {
			t.Errorf("%x: %d, %v", test.header, got, err)
		}
	}
}

// TestListenerTTL asks the kernel what it was told.
func TestListenerTTL(t *testing.T) {
	t.Parallel()
	l := serve(t, newKernel(), "tcp", "[::]:0")
	for name, o := range map[string]struct{ level, name, want int }{
		"TCP_SAVE_SYN":      {unix.IPPROTO_TCP, unix.TCP_SAVE_SYN, 1},
		"IP_TTL":            {unix.SOL_IP, unix.IP_TTL, 255},
		"IPV6_UNICAST_HOPS": {unix.SOL_IPV6, unix.IPV6_UNICAST_HOPS, 255},
	} {
		if got := option(t, l, o.level, o.name); got != o.want {
			t.Errorf("%s is %d, want %d", name, got, o.want)
		}
	}
}

// hops changes with which TTL a caller sends.
func hops(t *testing.T, c caller, conn *net.TCPConn, ttl int) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	to := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	if err := control(raw, func(fd int) error { return c.setTTL(fd, to, ttl) }); err != nil {
		t.Fatal(err)
	}
}
