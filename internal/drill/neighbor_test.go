//go:build drill

package drill

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/sinks/postgres/postgrestest"
)

// speaks is a configuration with a BGP speaker, and where it listens.
func speaks(tb testing.TB, more string) (env, addr string) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	addr = l.Addr().String()
	_ = l.Close()
	return speaksAt(tb, addr, more), addr
}

func speaksAt(tb testing.TB, addr, more string) (env string) {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "ribtap.yaml")
	text := fmt.Sprintf("bgp:\n  listen: [%q]\n  asn: 64512\n  router_id: 192.0.2.1\n%s", addr, more)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return "RIBTAP_CONFIG=" + path
}

// neighbor is a router that has a BGP session with ribtap. It speaks for itself
// and not with package speaker: what it sends is written down here.
type neighbor struct {
	conn net.Conn
	// late is the longest time between two messages of ribtap's, in nanoseconds.
	late atomic.Int64
	end  chan error // why the session ended
}

// neighborHold is the hold time of all neighbors.
const neighborHold = 9 * time.Second

// meet opens a session from an address and returns once it is Established.
func meet(from, to string, asn uint32) (*neighbor, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 20 * time.Second}
	conn, err := d.Dial("tcp", to)
	if err != nil {
		return nil, err
	}
	open := bgp.AppendOpen(nil, bgp.OpenParams{
		AS: asn, HoldTime: uint16(neighborHold / time.Second), BGPID: netip.MustParseAddr(from), Families: []bgp.Family{bgp.IPv4Unicast}, AS4: true,
	})
	if _, err := conn.Write(bgp.AppendKeepalive(open)); err != nil {
		return nil, err
	}
	n := &neighbor{conn: conn, end: make(chan error, 1)}
	r := bufio.NewReaderSize(conn, 4096)
	for _, want := range []uint8{bgp.MessageOpen, bgp.MessageKeepalive} {
		typ, body, err := readMessage(r)
		if err != nil || typ != want {
			return nil, fmt.Errorf("message of type %d (% x), want %d: %w", typ, body, want, err)
		}
	}
	go n.listen(r)
	go n.keepAlive()
	return n, nil
}

func readMessage(r io.Reader) (typ uint8, body []byte, err error) {
	var head [bgp.HeaderLen]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	const lengthAt, typeAt = 16, 18
	body = make([]byte, int(binary.BigEndian.Uint16(head[lengthAt:]))-len(head))
	_, err = io.ReadFull(r, body)
	return head[typeAt], body, err
}

func (n *neighbor) listen(r io.Reader) {
	last := time.Now()
	for {
		typ, body, err := readMessage(r)
		now := time.Now()
		if d := int64(now.Sub(last)); d > n.late.Load() {
			n.late.Store(d)
		}
		last = now
		if err == nil && typ == bgp.MessageNotification {
			err = fmt.Errorf("NOTIFICATION % x", body)
		}
		if err != nil {
			n.end <- err
			return
		}
	}
}

func (n *neighbor) keepAlive() {
	msg := bgp.AppendKeepalive(nil)
	for {
		time.Sleep(neighborHold / 3)
		if _, err := n.conn.Write(msg); err != nil {
			return
		}
	}
}

// tableOf is a table of so many /32 in UPDATEs of 100, with a path of its own.
func tableOf(routes int, asn uint32) (msgs []byte) {
	attrs := []byte{0x40, 1, 1, 0, 0x40, 2, 10, 2, 2}
	attrs = binary.BigEndian.AppendUint32(attrs, asn)
	attrs = binary.BigEndian.AppendUint32(attrs, 65000)
	attrs = append(attrs, 0x40, 3, 4, 192, 0, 2, 9)
	const each = 100
	for at := 0; at < routes; at += each {
		start := len(msgs)
		msgs = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(msgs, 1<<64-1), 1<<64-1)
		msgs = append(msgs, 0, 0, bgp.MessageUpdate, 0, 0)
		msgs = append(binary.BigEndian.AppendUint16(msgs, uint16(len(attrs))), attrs...)
		for i := at; i < min(at+each, routes); i++ {
			msgs = binary.BigEndian.AppendUint32(append(msgs, 32), 100<<24|uint32(i))
		}
		binary.BigEndian.PutUint16(msgs[start+16:], uint16(len(msgs)-start))
	}
	return msgs
}

// TestNeighbors has many sessions at once, each with a table, while strangers
// knock and a sink stands still: every session stays, every keepalive comes in
// time, every route is there.
func TestNeighbors(t *testing.T) {
	sessions, routes := scale(40, 200), scale(500, 10_000)
	knocks, knocking := scale(200, 1000), time.Duration(scale(5, 30))*time.Second
	env, addr := speaks(t, "  accept_rate: 1000\n  peers: [{name: lab, address: 127.8.0.0/16, remote_asn: any, limit: 1000, hold_time: 9s}]\n")
	p := launch(t, filepath.Join(t.TempDir(), "data"), env)
	<-p.announced
	if p.bmp == "" {
		t.Fatalf("ribtap does not start: %s", p.last(4000))
	}
	begin := time.Now()
	all := make([]*neighbor, sessions)
	var wait sync.WaitGroup
	for i := range all {
		wait.Go(func() {
			asn := 65001 + uint32(i)
			n, err := meet(fmt.Sprintf("127.8.%d.%d", i/200, 1+i%200), addr, asn)
			if err != nil {
				t.Errorf("session %d: %v", i, err)
				return
			}
			all[i] = n
			if _, err := n.conn.Write(tableOf(routes, asn)); err != nil {
				t.Errorf("session %d: %v", i, err)
			}
		})
	}
	wait.Wait()
	if t.Failed() {
		return
	}
	t.Logf("%d sessions after %v", sessions, time.Since(begin).Round(time.Millisecond))
	knocked := knock(addr, knocks, knocking)
	await(t, "all routes", 3*time.Minute, func() error {
		s, err := p.status()
		if err == nil && s.Routes != sessions*routes {
			err = fmt.Errorf("%d routes of %d", s.Routes, sessions*routes)
		}
		return err
	})
	t.Logf("%d routes after %v; %d strangers", sessions*routes, time.Since(begin).Round(time.Millisecond), <-knocked)
	time.Sleep(neighborHold + time.Second) // what is late shows
	worst := time.Duration(0)
	for i, n := range all {
		select {
		case err := <-n.end:
			t.Errorf("session %d ended: %v", i, err)
		default:
		}
		worst = max(worst, time.Duration(n.late.Load()))
	}
	// A keepalive is due after a third of the hold time at the latest.
	t.Logf("the longest silence of ribtap's was %v, hold time %v; %d MB peak", worst.Round(time.Millisecond), neighborHold, p.peakRSS()>>20)
	if worst > neighborHold/3+time.Second {
		t.Errorf("a keepalive was %v late", worst-neighborHold/3)
	}
	p.stop()
}

// knock connects from addresses that nobody knows.
func knock(addr string, perSecond int, length time.Duration) <-chan int {
	done := make(chan int, 1)
	go func() {
		n := 0
		every := time.NewTicker(time.Second / time.Duration(perSecond))
		defer every.Stop()
		var wait sync.WaitGroup
		slots := make(chan struct{}, 200)
		for end := time.Now().Add(length); time.Now().Before(end); <-every.C {
			slots <- struct{}{}
			n++
			from := net.IPv4(127, 9, byte(n>>8), byte(1+n&0x7f))
			wait.Go(func() {
				defer func() { <-slots }()
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: 10 * time.Second}
				conn, err := d.Dial("tcp", addr)
				if err != nil {
					return
				}
				_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
				_, _ = conn.Read(make([]byte, 1))
				_ = conn.Close()
			})
		}
		wait.Wait()
		done <- n
	}()
	return done
}

// TestNeighborsOutliveASink: a database that stands still for longer than any
// hold time costs no session.
func TestNeighborsOutliveASink(t *testing.T) {
	frozen := time.Duration(scale(12, 600)) * time.Second
	env, addr := speaks(t, "  peers: [{name: lab, address: 127.8.0.0/16, remote_asn: any, hold_time: 9s}]\n")
	server := postgrestest.StartServer(t)
	dsn := server.Database(t)
	p := launch(t, filepath.Join(t.TempDir(), "data"), env, "RIBTAP_SINKS_POSTGRES_DSN="+dsn)
	<-p.announced
	if p.bmp == "" {
		t.Fatalf("ribtap does not start: %s", p.last(4000))
	}
	n, err := meet("127.8.0.1", addr, 65001)
	if err != nil {
		t.Fatal(err)
	}
	table := tableOf(1000, 65001)
	if _, err := n.conn.Write(table); err != nil {
		t.Fatal(err)
	}
	p.settle(10, time.Minute)
	server.Signal(t, syscall.SIGSTOP)
	for end := time.Now().Add(frozen); time.Now().Before(end); time.Sleep(time.Second) {
		if _, err := n.conn.Write(table); err != nil {
			t.Fatal(err)
		}
	}
	server.Signal(t, syscall.SIGCONT)
	select {
	case err := <-n.end:
		t.Fatalf("the session ended: %v", err)
	default:
	}
	if late := time.Duration(n.late.Load()); late > neighborHold/3+time.Second {
		t.Errorf("ribtap was silent for %v", late)
	}
	s := p.settle(10+10*uint64(frozen/time.Second)/2, 2*time.Minute)
	t.Logf("%d events; frozen for %v", s.Stream.Last, frozen)
	if s.Routes != 1000 || s.Gaps != 0 {
		t.Errorf("%d routes, %d gaps", s.Routes, s.Gaps)
	}
	p.stop()
}
