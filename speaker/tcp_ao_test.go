package speaker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAOLayout writes both structs octet for octet, as include/uapi/linux/tcp.h
// has them.
func TestAOLayout(t *testing.T) {
	t.Parallel()
	family := func(domain int) []byte { return binary.NativeEndian.AppendUint16(nil, uint16(domain)) }
	zeros := func(n int) []byte { return make([]byte, n) }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	k := AOKey{SendID: 100, RecvID: 200, Key: "secret", Algorithm: "aes-128-cmac-96"}
	v4 := join(family(unix.AF_INET), zeros(2), []byte{192, 0, 2, 0}, zeros(120))
	mapped := join(family(unix.AF_INET6), zeros(2), zeros(4), zeros(10), []byte{0xff, 0xff, 192, 0, 2, 0}, zeros(104))
	v6 := join(family(unix.AF_INET6), zeros(2), zeros(4), []byte{0x20, 0x01, 0x0d, 0xb8}, zeros(12), zeros(104))
	for _, test := range []struct {
		name   string
		form   form
		at     string
		addr   []byte
		prefix byte
	}{
		{"IPv4", plainForm, "192.0.2.0/24", v4, 24},
		{"IPv4 on an IPv6 socket", form{domain: unix.AF_INET6}, "192.0.2.0/24", mapped, 24},
		{"IPv6", form{domain: unix.AF_INET6}, "2001:db8::/128", v6, 128},
	} {
		at := netip.MustParsePrefix(test.at)
		want := join(
			test.addr,                            // addr
			[]byte("cmac(aes128)"), zeros(64-12), // alg_name
			zeros(4),                                // ifindex
			zeros(4),                                // set_current, set_rnext, reserved
			zeros(2),                                // reserved2
			[]byte{test.prefix, 100, 200, 12, 0, 6}, // prefix, sndid, rcvid, maclen, keyflags, keylen
			[]byte("secret"), zeros(80-6),           // key
		)
		if len(want) != 288 {
			t.Fatalf("the test is wrong: %d octets", len(want))
		}
		if got := aoAdd(test.form, at, k); !bytes.Equal(got, want) {
			t.Errorf("%s: tcp_ao_add\n%x, want\n%x", test.name, got, want)
		}
		want = join(test.addr, zeros(4), zeros(4), zeros(2), []byte{test.prefix, 100, 200, 0, 0, 0})
		if len(want) != 144 {
			t.Fatalf("the test is wrong: %d octets", len(want))
		}
		if got := aoDel(test.form, at, k); !bytes.Equal(got, want) {
			t.Errorf("%s: tcp_ao_del\n%x, want\n%x", test.name, got, want)
		}
	}
	k.Algorithm, k.Key = "", strings.Repeat("k", aoMaxKeyLen)
	if got := aoAdd(plainForm, netip.MustParsePrefix("192.0.2.0/24"), k); len(got) != 288 || string(got[128:138]) != "hmac(sha1)" || got[207] != 80 || got[287] != 'k' {
		t.Errorf("the longest key: %x", got)
	}
}

// TestAO uses TCP-AO where the kernel has it, and has it refused by name where
// not: by listeners, dials and changes of the configuration, of which nothing is
// taken.
func TestAO(t *testing.T) {
	t.Parallel()
	p := peer("p", "127.0.7.1")
	p.AO = []AOKey{{SendID: 1, RecvID: 2, Key: "secret"}}
	fd, err := loopbackSocket(plainForm)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	switch err := addAO(fd, plainForm, p.Address, p.AO[0]); {
	case err == nil:
		testAOWorks(t)
	case errors.Is(err, errNoAO):
		testAORefused(t, p)
	default:
		t.Fatal(err)
	}
}

func testAORefused(t *testing.T, p Peer) {
	check := func(err error) {
		t.Helper()
		if !errors.Is(err, errNoAO) {
			t.Fatalf("%v, want %v", err, errNoAO)
		}
		for _, words := range []string{"peer p needs TCP-AO", "CONFIG_TCP_AO"} {
			if !strings.Contains(err.Error(), words) {
				t.Errorf("%q does not say %q", err, words)
			}
		}
	}
	_, err := tryServe(t, newKernel(), false, "tcp4", "127.0.0.1:0", p)
	check(err)
	// A listener that no neighbour with TCP-AO can reach is refused as well: the
	// configuration cannot be carried out.
	_, err = tryServe(t, newKernel(), false, "tcp6", "[::1]:0", p)
	check(err)

	k := newKernel()
	before := []Peer{withPassword(peer("p", "127.0.7.1"), "word")}
	l := serve(t, k, "tcp4", "127.0.0.1:0", before...)
	check(k.rekey(before, []Peer{p}))
	check(newKernel().rekey(nil, []Peer{p})) // nobody listens
	caller{from: "127.0.7.1"}.refused(t, l)
	caller{from: "127.0.7.1", password: "word"}.opens(t, l)

	d := net.Dialer{Control: func(_, to string, raw syscall.RawConn) error {
		return newKernel().dialer(raw, &p, netip.MustParseAddrPort(to))
	}}
	_, err = d.DialContext(t.Context(), "tcp", l.Addr().String())
	check(err)
}

// testAOWorks runs all that a kernel with TCP-AO does, on each form of socket and
// with each algorithm.
func testAOWorks(t *testing.T) {
	for _, algorithm := range []string{"hmac-sha-1-96", "aes-128-cmac-96"} {
		for _, test := range []struct{ network, address, from, peers string }{
			{"tcp4", "127.0.0.1:0", "127.0.7.1", "127.0.7.1/32"},
			{"tcp", "[::]:0", "127.0.7.1", "127.0.7.0/24"},
			{"tcp", "[::]:0", "::1", "::/0"},
			{"tcp4", "127.0.0.1:0", "127.0.7.1", "0.0.0.0/0"},
			{"tcp6", "[::1]:0", "::1", "::1/128"},
		} {
			t.Run(algorithm+" "+test.network+" "+test.peers, func(t *testing.T) {
				t.Parallel()
				p := peer("p", test.peers)
				p.AO = []AOKey{{SendID: 1, RecvID: 2, Key: "secret", Algorithm: algorithm}}
				k := newKernel()
				aoRolls(t, k, serve(t, k, test.network, test.address, p), test.from, p)
			})
		}
	}
	zeros := peer("zeros", "0.0.0.0/0")
	zeros.AO = []AOKey{{Key: "secret"}}
	if _, err := tryServe(t, newKernel(), false, "tcp", "[::]:0", zeros); err == nil || !strings.Contains(err.Error(), "the range 0.0.0.0/0 on this socket") {
		t.Errorf("%v, want a refusal that names the range", err)
	}
}

// aoRolls connects with the peer's key, and changes it.
func aoRolls(t *testing.T, k *kernel, l *net.TCPListener, from string, p Peer) {
	algorithm := p.AO[0].Algorithm
	theirs := AOKey{SendID: 2, RecvID: 1, Key: "secret", Algorithm: algorithm}
	far, farKernel, err := aoCall(t, l, from, theirs)
	if err != nil {
		t.Fatal(err)
	}
	near := take(t, l)
	if err := k.accepted(near, &p); err != nil {
		t.Fatal(err)
	}
	arrives(t, far, near, "OPEN")
	arrives(t, near, far, "OPEN")
	caller{from: from}.refused(t, l)
	wrong := theirs
	wrong.Key = "wrong"
	if _, _, err := aoCall(t, l, from, wrong); err == nil {
		t.Fatal("a wrong key connects")
	}

	// Another key comes, on both sides, and the first goes.
	second := p
	second.AO = []AOKey{{SendID: 3, RecvID: 4, Key: "next", Algorithm: algorithm}}
	if err := k.rekey([]Peer{p}, []Peer{second}); err != nil {
		t.Fatal(err)
	}
	arrives(t, far, near, "UPDATE") // the session keeps what it uses
	raw, err := near.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	f := form{domain: option(t, near, unix.SOL_SOCKET, unix.SO_DOMAIN)}
	err = control(raw, func(fd int) error { return addAO(fd, f, host(netip.MustParseAddr(from)), second.AO[0]) })
	if !errors.Is(err, unix.EEXIST) {
		t.Errorf("the session has not got the key that is new: %v", err)
	}
	if err := farKernel.rekey(nil, nil); err != nil {
		t.Error(err)
	}
	if _, _, err := aoCall(t, l, from, theirs); err == nil {
		t.Fatal("a deleted key connects")
	}
	again, _, err := aoCall(t, l, from, AOKey{SendID: 4, RecvID: 3, Key: "next", Algorithm: algorithm})
	if err != nil {
		t.Fatal(err)
	}
	arrives(t, again, take(t, l), "OPEN")

	// A key with an id that is there takes the other's place.
	replaced := second
	replaced.AO = []AOKey{{SendID: 3, RecvID: 4, Key: "replaced", Algorithm: algorithm}}
	if err := k.rekey([]Peer{second}, []Peer{replaced}); err != nil {
		t.Fatal(err)
	}
	arrives(t, far, near, "UPDATE")
	third, _, err := aoCall(t, l, from, AOKey{SendID: 4, RecvID: 3, Key: "replaced", Algorithm: algorithm})
	if err != nil {
		t.Fatal(err)
	}
	arrives(t, third, take(t, l), "OPEN")

	// To a password, to none, and back.
	word, none := p, p
	word.AO, none.AO = nil, nil
	word.Password = "word"
	if err := k.rekey([]Peer{replaced}, []Peer{word}); err != nil {
		t.Fatal(err)
	}
	caller{from: from}.refused(t, l)
	signed, _ := caller{from: from, password: "word"}.opens(t, l)
	if err := k.accepted(signed, &word); err != nil {
		t.Error(err)
	}
	if err := k.rekey([]Peer{word}, []Peer{none}); err != nil {
		t.Fatal(err)
	}
	unsigned, err := caller{from: from}.call(t, l, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer unsigned.Close()
	if err := k.rekey([]Peer{none}, []Peer{word}); err != nil {
		t.Fatal(err)
	}
	if err := k.rekey([]Peer{word}, []Peer{p}); err != nil {
		t.Fatal(err)
	}
	// What waited while there was no key is not taken.
	if err := k.accepted(take(t, l), &p); err == nil || !strings.Contains(err.Error(), "not signed with TCP-AO") {
		t.Errorf("%v, want a refusal", err)
	}
	caller{from: from}.refused(t, l)
	if _, _, err := aoCall(t, l, from, theirs); err != nil {
		t.Error(err)
	}
}

// aoCall connects as a neighbour with a key of TCP-AO does.
func aoCall(t *testing.T, l *net.TCPListener, from string, k AOKey) (*net.TCPConn, *kernel, error) {
	t.Helper()
	at, to := netip.MustParseAddr(from), loopback4
	if at.Is6() {
		to = netip.IPv6Loopback()
	}
	far, theirs := newKernel(), Peer{Name: "far", AO: []AOKey{k}}
	d := net.Dialer{Timeout: patience / 20, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(at, 0))}
	d.Control = func(_, to string, raw syscall.RawConn) error {
		return far.dialer(raw, &theirs, netip.MustParseAddrPort(to))
	}
	c, err := d.DialContext(t.Context(), "tcp", netip.AddrPortFrom(to, uint16(l.Addr().(*net.TCPAddr).Port)).String())
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn), far, nil
}

func TestWithNew(t *testing.T) {
	t.Parallel()
	have := []AOKey{{SendID: 1, RecvID: 2, Key: "a"}}
	more := []AOKey{{SendID: 1, RecvID: 9, Key: "b"}, {SendID: 9, RecvID: 2, Key: "c"}, {SendID: 2, RecvID: 1, Key: "d"}}
	if got := withNew(have, more); !slices.Equal(got, []AOKey{have[0], more[2]}) {
		t.Errorf("%v", got)
	}
}
