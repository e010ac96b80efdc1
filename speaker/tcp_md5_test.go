package speaker

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMD5 has neighbours of all kinds call each kind of socket.
func TestMD5(t *testing.T) {
	t.Parallel()
	v4 := []Peer{
		withPassword(peer("exact", "127.0.7.1"), "right"),
		withPassword(peer("range", "127.0.8.0/24"), "shared"),
		withPassword(peer("within", "127.0.8.9"), "own"),
		peer("open", "127.0.9.1"),
	}
	v6 := withPassword(peer("six", "::1"), "six")
	long := strings.Repeat("x", maxPasswordLen)
	for _, test := range []struct {
		name, network, address string
		peers                  []Peer
		opens, refused         []caller
	}{
		{
			name: "IPv4", network: "tcp4", address: "127.0.0.1:0", peers: append(v4, v6),
			opens: []caller{
				{from: "127.0.7.1", password: "right"},
				{from: "127.0.8.1", password: "shared"},
				{from: "127.0.8.254", password: "shared"},
				{from: "127.0.8.9", password: "own"},
				{from: "127.0.9.1"},
				{from: "127.0.9.2"},
			},
			refused: []caller{
				{from: "127.0.7.1", password: "wrong"},
				{from: "127.0.7.1"},
				{from: "127.0.8.1", password: "wrong"},
				{from: "127.0.8.1"},
				{from: "127.0.8.9", password: "shared"},
				{from: "127.0.8.9"},
				{from: "127.0.9.1", password: "any"},
			},
		},
		{
			name: "both on one socket", network: "tcp", address: "[::]:0", peers: append(v4, v6),
			opens: []caller{
				{from: "127.0.7.1", password: "right"},
				{from: "127.0.8.1", password: "shared"},
				{from: "127.0.8.9", password: "own"},
				{from: "127.0.9.1"},
				{from: "::1", password: "six"},
			},
			refused: []caller{
				{from: "127.0.7.1", password: "wrong"},
				{from: "127.0.7.1"},
				{from: "127.0.8.1"},
				{from: "127.0.8.9", password: "shared"},
				{from: "::1", password: "right"},
				{from: "::1"},
			},
		},
		{
			name: "IPv6", network: "tcp6", address: "[::1]:0", peers: append(v4, v6),
			opens:   []caller{{from: "::1", password: "six"}},
			refused: []caller{{from: "::1", password: "wrong"}, {from: "::1"}},
		},
		{
			name: "IPv6 range", network: "tcp6", address: "[::1]:0", peers: []Peer{withPassword(peer("range", "::/64"), "range")},
			opens:   []caller{{from: "::1", password: "range"}},
			refused: []caller{{from: "::1", password: "wrong"}, {from: "::1"}},
		},
		{
			name: "everybody", network: "tcp", address: "[::]:0",
			peers: []Peer{withPassword(peer("four", "0.0.0.0/0"), "4"), withPassword(peer("six", "::/0"), "6")},
			opens: []caller{{from: "127.0.3.1", password: "4"}, {from: "::1", password: "6"}},
			refused: []caller{
				{from: "127.0.3.1", password: "6"}, {from: "127.0.3.1"}, {from: "::1", password: "4"}, {from: "::1"},
			},
		},
		{
			name: "longest key", network: "tcp4", address: "127.0.0.1:0", peers: []Peer{withPassword(peer("long", "127.0.7.1"), long)},
			opens:   []caller{{from: "127.0.7.1", password: long}},
			refused: []caller{{from: "127.0.7.1", password: long[1:]}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := serve(t, newKernel(), test.network, test.address, test.peers...)
			for _, c := range test.opens {
				near, far := c.opens(t, l)
				arrives(t, far, near, "OPEN")
				arrives(t, near, far, "OPEN")
			}
			for _, c := range test.refused {
				c.refused(t, l)
			}
		})
	}
}

// TestMD5Rekey changes a password under a session: it goes on when both ends have
// changed it, stands while only one has, and whoever calls needs the new one.
func TestMD5Rekey(t *testing.T) {
	t.Parallel()
	for _, network := range []struct{ name, address, from string }{
		{"tcp4", "127.0.0.1:0", "127.0.7.1"}, {"tcp", "[::]:0", "127.0.7.1"}, {"tcp6", "[::1]:0", "::1"},
	} {
		t.Run(network.name, func(t *testing.T) {
			t.Parallel()
			k := newKernel()
			old := []Peer{withPassword(peer("p", network.from), "old")}
			l := serve(t, k, network.name, network.address, old...)
			near, far := caller{from: network.from, password: "old"}.opens(t, l)
			if err := k.accepted(near, &old[0]); err != nil {
				t.Fatal(err)
			}
			arrives(t, far, near, "one")

			changed := []Peer{withPassword(peer("p", network.from), "new")}
			if err := k.rekey(old, changed); err != nil {
				t.Fatal(err)
			}
			lost(t, far, near, "two")
			sign(t, far, "new")
			expect(t, near, "two") // sent again by the kernel
			arrives(t, near, far, "three")

			caller{from: network.from, password: "old"}.refused(t, l)
			caller{from: network.from}.refused(t, l)
			again, back := caller{from: network.from, password: "new"}.opens(t, l)
			arrives(t, back, again, "four")
		})
	}
}

// TestMD5OnAndOff gives a live session a password that it did not have, and takes
// it away again.
func TestMD5OnAndOff(t *testing.T) {
	t.Parallel()
	k := newKernel()
	without, with := []Peer{peer("p", "127.0.7.1")}, []Peer{withPassword(peer("p", "127.0.7.1"), "word")}
	l := serve(t, k, "tcp4", "127.0.0.1:0", without...)
	near, far := caller{from: "127.0.7.1"}.opens(t, l)
	if err := k.accepted(near, &without[0]); err != nil {
		t.Fatal(err)
	}
	if err := k.rekey(without, with); err != nil {
		t.Fatal(err)
	}
	lost(t, far, near, "one")
	sign(t, far, "word")
	expect(t, near, "one")
	caller{from: "127.0.7.1"}.refused(t, l)

	if err := k.rekey(with, without); err != nil {
		t.Fatal(err)
	}
	sign(t, far, "")
	arrives(t, far, near, "two")
	caller{from: "127.0.7.1", password: "word"}.refused(t, l)
	caller{from: "127.0.7.1"}.opens(t, l)
}

// TestMD5Delete takes peers out of the configuration: their keys go from the
// listener, and sessions keep theirs, so that the last message is signed.
func TestMD5Delete(t *testing.T) {
	t.Parallel()
	k := newKernel()
	peers := []Peer{
		withPassword(peer("a", "127.0.7.1"), "a"),
		withPassword(peer("range", "127.0.8.0/24"), "b"),
		withPassword(peer("within", "127.0.8.9"), "c"),
	}
	l := serve(t, k, "tcp", "[::]:0", peers...)
	near, far := caller{from: "127.0.7.1", password: "a"}.opens(t, l)
	if err := k.accepted(near, &peers[0]); err != nil {
		t.Fatal(err)
	}
	if err := k.rekey(peers, peers[1:2]); err != nil {
		t.Fatal(err)
	}
	arrives(t, near, far, "peer de-configured")
	caller{from: "127.0.7.1", password: "a"}.refused(t, l)
	caller{from: "127.0.7.1"}.opens(t, l)
	caller{from: "127.0.8.9", password: "c"}.refused(t, l)
	caller{from: "127.0.8.9", password: "b"}.opens(t, l)

	if err := k.rekey(peers[1:2], nil); err != nil {
		t.Fatal(err)
	}
	caller{from: "127.0.8.9", password: "b"}.refused(t, l)
	caller{from: "127.0.8.9"}.opens(t, l)
}

// TestMD5Backlog changes the password of a connection that was not accepted yet:
// it has the new one afterwards.
func TestMD5Backlog(t *testing.T) {
	t.Parallel()
	k := newKernel()
	old, changed := []Peer{withPassword(peer("p", "127.0.7.1"), "old")}, []Peer{withPassword(peer("p", "127.0.7.1"), "new")}
	l := serve(t, k, "tcp4", "127.0.0.1:0", old...)
	far, err := caller{from: "127.0.7.1", password: "old"}.call(t, l, patience)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.rekey(old, changed); err != nil {
		t.Fatal(err)
	}
	near := take(t, l)
	if err := k.accepted(near, &changed[0]); err != nil {
		t.Fatal(err)
	}
	lost(t, far, near, "one")
	sign(t, far, "new")
	expect(t, near, "one")
}

// TestMD5StalePeer makes connections with the peer as it was before a change, as
// happens while the change goes on: they have the new key.
func TestMD5StalePeer(t *testing.T) {
	t.Parallel()
	k := newKernel()
	old, changed := []Peer{withPassword(peer("p", "127.0.7.1"), "old")}, []Peer{withPassword(peer("p", "127.0.7.1"), "new")}
	l := serve(t, k, "tcp4", "127.0.0.1:0", old...)
	if err := k.rekey(old, changed); err != nil {
		t.Fatal(err)
	}
	near, far := caller{from: "127.0.7.1", password: "new"}.opens(t, l)
	if err := k.accepted(near, &old[0]); err != nil {
		t.Fatal(err)
	}
	arrives(t, far, near, "OPEN")

	theirs := serve(t, newKernel(), "tcp4", "127.0.7.1:0", withPassword(peer("us", "127.0.0.1"), "new"))
	d := net.Dialer{Timeout: patience, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(loopback4, 0))}
	d.Control = func(_, to string, raw syscall.RawConn) error {
		return k.dialer(raw, &old[0], netip.MustParseAddrPort(to))
	}
	c, err := d.DialContext(t.Context(), "tcp4", theirs.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// TestMD5Moved gives the name of a peer to another address: the session at the old
// one keeps its key to the end.
func TestMD5Moved(t *testing.T) {
	t.Parallel()
	k := newKernel()
	old, moved := []Peer{withPassword(peer("p", "127.0.7.1"), "old")}, []Peer{withPassword(peer("p", "127.0.7.2"), "new")}
	l := serve(t, k, "tcp4", "127.0.0.1:0", old...)
	near, far := caller{from: "127.0.7.1", password: "old"}.opens(t, l)
	if err := k.accepted(near, &old[0]); err != nil {
		t.Fatal(err)
	}
	if err := k.rekey(old, moved); err != nil {
		t.Fatal(err)
	}
	arrives(t, near, far, "peer de-configured")
	caller{from: "127.0.7.1", password: "old"}.refused(t, l)
	caller{from: "127.0.7.2", password: "new"}.opens(t, l)
}

// TestMD5Dialer has our side call.
func TestMD5Dialer(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(address, func(t *testing.T) {
			t.Parallel()
			// The far end is a listener with a key for us.
			at := netip.MustParseAddrPort(address).Addr()
			l := serve(t, newKernel(), "tcp", address, withPassword(peer("us", at.String()), "right"))
			k := newKernel()
			for _, test := range []struct {
				password string
				opens    bool
			}{{"right", true}, {"wrong", false}, {"", false}} {
				p := withPassword(peer("p", at.String()), test.password)
				wait := patience
				if !test.opens {
					wait = silence
				}
				d := net.Dialer{Timeout: wait, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(at, 0))}
				d.Control = func(_, to string, raw syscall.RawConn) error {
					return k.dialer(raw, &p, netip.MustParseAddrPort(to))
				}
				c, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
				if test.opens != (err == nil) {
					t.Fatalf("password %q: %v", test.password, err)
				}
				if err != nil {
					continue
				}
				defer c.Close()
				far := take(t, l)
				arrives(t, c, far, "OPEN")

				// A live connection that we dialled gets its new key as well.
				changed := withPassword(p, "changed")
				if err := k.rekey([]Peer{p}, []Peer{changed}); err != nil {
					t.Fatal(err)
				}
				lost(t, far, c, "late")
				sign(t, far, "changed")
				expect(t, c, "late")
			}
		})
	}
}

// TestMD5Memory wants more keys than fit. The error says what to do, and nothing
// has changed.
func TestMD5Memory(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("/proc/sys/net/core/optmem_max")
	if err != nil {
		t.Fatal(err)
	}
	limit, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	n := limit/keyMemory + 50
	if n > 20000 {
		t.Fatalf("net.core.optmem_max is %d here, which is too much for this test", limit)
	}
	few := []Peer{withPassword(peer("few", "127.0.7.1"), "few")}
	many := []Peer{withPassword(peer("few", "127.0.7.1"), "many")}
	a := netip.MustParseAddr("10.0.0.1")
	for i := range n {
		many = append(many, withPassword(peer(fmt.Sprintf("peer-%d", i), a.String()), "secret-of-"+strconv.Itoa(i)))
		a = a.Next()
	}
	check := func(err error) {
		t.Helper()
		if !errors.Is(err, unix.ENOMEM) {
			t.Fatalf("%v, want ENOMEM", err)
		}
		for _, words := range []string{"net.core.optmem_max = " + strconv.Itoa(limit), fmt.Sprintf("set that sysctl to %d at least", (n+1)*keyMemory+1)} {
			if !strings.Contains(err.Error(), words) {
				t.Errorf("%q does not say %q", err, words)
			}
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q tells a secret", err)
		}
	}
	_, err = tryServe(t, newKernel(), false, "tcp4", "127.0.0.1:0", many...)
	check(err)

	k := newKernel()
	l := serve(t, k, "tcp4", "127.0.0.1:0", few...)
	check(k.rekey(few, many))
	caller{from: "127.0.7.1", password: "few"}.opens(t, l)
	caller{from: "127.0.7.1", password: "many"}.refused(t, l)

	// One secret for all of them in a range needs one key.
	shared := []Peer{withPassword(peer("range", "10.0.0.0/8"), "shared")}
	for i := range many[1:] {
		shared = append(shared, withPassword(many[i+1], "shared"))
	}
	if err := k.rekey(few, shared); err != nil {
		t.Fatal(err)
	}
}
