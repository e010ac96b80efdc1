package speaker

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestKernelForgets makes and closes connections: what is kept is bounded by what
// is open.
func TestKernelForgets(t *testing.T) {
	t.Parallel()
	k := newKernel()
	p := peer("p", "127.0.7.1")
	l := serve(t, k, "tcp4", "127.0.0.1:0", p)
	most := 0
	for range 500 {
		near, far := caller{from: "127.0.7.1"}.opens(t, l)
		if err := k.accepted(near, &p); err != nil {
			t.Fatal(err)
		}
		far.SetLinger(0)
		far.Close()
		near.Close()
		most = max(most, len(k.sockets))
	}
	if most > 100 {
		t.Errorf("%d sockets were kept of one listener and one connection", most)
	}
	l.Close()
	if err := k.rekey(nil, nil); err != nil || len(k.sockets) != 0 {
		t.Errorf("%d sockets are kept when all are closed, %v", len(k.sockets), err)
	}
}

// TestRekeyIsWhole changes two listeners of which the second cannot follow: the
// first has its old keys again.
func TestRekeyIsWhole(t *testing.T) {
	t.Parallel()
	k := newKernel()
	old := []Peer{withPassword(peer("p", "127.0.7.1"), "old"), withPassword(peer("gone", "127.0.7.2"), "gone")}
	first := serve(t, k, "tcp4", "127.0.0.1:0", old...)
	near, far := caller{from: "127.0.7.1", password: "old"}.opens(t, first)
	if err := k.accepted(near, &old[0]); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	k.add(&guarded{raw: brokenConn{broken}, name: "listener two", form: plainForm, keys: keyring{}})
	err := k.rekey(old, []Peer{withPassword(peer("p", "127.0.7.1"), "new"), withPassword(peer("added", "127.0.7.3"), "added")})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "listener two") {
		t.Fatalf("%v, want that of listener two", err)
	}
	arrives(t, far, near, "UPDATE")
	caller{from: "127.0.7.1", password: "old"}.opens(t, first)
	caller{from: "127.0.7.2", password: "gone"}.opens(t, first)
	caller{from: "127.0.7.3"}.opens(t, first)
	caller{from: "127.0.7.1", password: "new"}.refused(t, first)
}

// brokenConn is a socket whose every option fails.
type brokenConn struct{ err error }

func (b brokenConn) Control(func(uintptr)) error  { return b.err }
func (brokenConn) Read(func(uintptr) bool) error  { return nil }
func (brokenConn) Write(func(uintptr) bool) error { return nil }

var _ syscall.RawConn = brokenConn{}

// TestRekeyRefuses changes nothing for a configuration that cannot be carried out.
func TestRekeyRefuses(t *testing.T) {
	t.Parallel()
	k := newKernel()
	old := []Peer{withPassword(peer("p", "127.0.7.1"), "old")}
	l := serve(t, k, "tcp4", "127.0.0.1:0", old...)
	bad := []Peer{peer("p", "127.0.7.1"), withPassword(peer("r", "127.0.7.0/24"), "new")}
	if err := k.rekey(old, bad); err == nil || !strings.Contains(err.Error(), "peer p has no password") {
		t.Fatalf("%v, want a refusal", err)
	}
	caller{from: "127.0.7.1", password: "old"}.opens(t, l)
	caller{from: "127.0.7.2"}.opens(t, l)
	// The same when the program starts.
	if _, err := tryServe(t, newKernel(), false, "tcp4", "127.0.0.1:0", bad...); err == nil {
		t.Error("a listener takes what cannot be carried out")
	}
}

// TestRekeyWhileAccepting runs both at once, for the race detector.
func TestRekeyWhileAccepting(t *testing.T) {
	t.Parallel()
	k := newKernel()
	p := withPassword(peer("p", "127.0.7.1"), "word")
	l := serve(t, k, "tcp4", "127.0.0.1:0", p)
	var wait sync.WaitGroup
	wait.Go(func() {
		for i := range 50 {
			other := withPassword(peer("other", "127.0.8.1"), strconv.Itoa(i))
			if err := k.rekey(nil, []Peer{p, other}); err != nil {
				t.Error(err)
			}
		}
	})
	for range 50 {
		near, far := caller{from: "127.0.7.1", password: "word"}.opens(t, l)
		if err := k.accepted(near, &p); err != nil {
			t.Error(err)
		}
		near.Close()
		far.Close()
	}
	wait.Wait()
}

// TestClosedSockets are errors where they are handed over, and nothing later.
func TestClosedSockets(t *testing.T) {
	t.Parallel()
	k := newKernel()
	p := withPassword(peer("p", "127.0.7.1"), "word")
	l := serve(t, k, "tcp4", "127.0.0.1:0", p)
	near, _ := caller{from: "127.0.7.1", password: "word"}.opens(t, l)
	near.Close()
	if err := k.accepted(near, &p); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v, want %v", err, net.ErrClosed)
	}
	raw, err := l.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := k.listener(t.Context(), "tcp4", "127.0.0.1:0", raw, nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v, want %v", err, net.ErrClosed)
	}
	if err := k.dialer(raw, &p, netip.AddrPortFrom(loopback4, 179)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v, want %v", err, net.ErrClosed)
	}
	if err := k.rekey([]Peer{p}, nil); err != nil {
		t.Error(err)
	}
}
