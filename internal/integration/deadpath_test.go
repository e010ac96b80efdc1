//go:build integration

package integration

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ribtap/ribtap/fixtures"
)

// TestDeadPath cuts the wire between a router and the collector: nobody sends a
// FIN or an RST, and BMP has no keepalive, but the routes must not stay.
func TestDeadPath(t *testing.T) {
	const ours, theirs = "198.51.100.1", "198.51.100.2"
	name := fmt.Sprintf("far%d", os.Getpid())
	l := NewLab(t)
	far := l.farHost(name, ours, theirs)
	port := l.freePort(ours)
	t.Setenv("RIBTAP_BMP_LISTEN", fmt.Sprintf("%s:%d", ours, port))
	rt := l.StartRibtap(fmt.Sprintf("  allow: [%q]\n  keepalive: 1s", theirs))

	conn, err := far.dial(fmt.Sprintf("%s:%d", ours, port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	recording, err := fixtures.Recording("frr-8.4")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(recording); err != nil {
		t.Fatal(err)
	}
	l.await("the router's routes", 20*time.Second, func() error {
		if s, err := rt.Status(); err != nil || s.Routes == 0 {
			return fmt.Errorf("no routes yet: %+v, %w", s, err)
		}
		return nil
	})
	alive := rt.settle()
	must(output("ip", "-n", name, "link", "set", "far", "down"))(t)
	start := time.Now()
	l.await("the routes to go", 30*time.Second, rt.isDown)
	t.Logf("the path was found dead after %v", time.Since(start).Round(100*time.Millisecond))
	rt.settle()
	for _, r := range must(rt.changes(alive.sequence))(t) {
		if r.Action != "withdraw" || r.Cause != "session-lost" {
			t.Errorf("row after the cut: %+v", r)
		}
	}
	if rows := must(rt.Routes())(t); len(rows) != 0 {
		t.Errorf("%d routes are left", len(rows))
	}
}

// farHost is a host behind a wire of its own: a network namespace and a pair of
// virtual interfaces.
type farHost struct{ netns string }

// farHost makes the host; the wire has our address on this side and theirs,
// on an interface called far, on the other.
func (l *Lab) farHost(name, ours, theirs string) farHost {
	l.t.Helper()
	near := "near" + name
	l.t.Cleanup(func() {
		// The wire goes with its near end; a namespace may live on for a while.
		_, _ = output("ip", "link", "del", near)
		_, _ = output("ip", "netns", "del", name)
	})
	for _, args := range [][]string{
		{"netns", "add", name},
		{"link", "add", near, "type", "veth", "peer", "name", "far", "netns", name},
		{"addr", "add", ours + "/30", "dev", near},
		{"link", "set", near, "up"},
		{"-n", name, "addr", "add", theirs + "/30", "dev", "far"},
		{"-n", name, "link", "set", "far", "up"},
	} {
		must(output(append([]string{"ip"}, args...)...))(l.t)
	}
	return farHost{"/run/netns/" + name}
}

// dial opens a TCP connection from the far host.
func (f farHost) dial(to string) (conn net.Conn, err error) {
	// The thread goes into the namespace and back. It must not end: processes of
	// the lab die with the thread that started them (Pdeathsig).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ours, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(ours)
	theirs, err := unix.Open(f.netns, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(theirs)
	if err := unix.Setns(theirs, unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	conn, err = net.DialTimeout("tcp", to, 10*time.Second)
	if back := unix.Setns(ours, unix.CLONE_NEWNET); back != nil {
		panic("the test's thread stays in another network namespace: " + back.Error())
	}
	return conn, err
}
