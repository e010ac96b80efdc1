package speaker

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/ribtap/ribtap/bgp"
)

// conn is one connection under an FSM. The runner owns it; it has a reader and a
// writer, which the runner waits for.
type conn struct {
	nc            net.Conn
	sp            *Speaker
	nb            *neighbor
	peer          *Peer
	local, remote netip.AddrPort
	dialled       bool
	up            time.Time

	open  []byte // ours, when it has been made
	heard []byte // theirs, when it has been accepted

	toFSM   chan report   // from the reader
	reply   chan *Session // to the reader: go on, with the session once there is one
	drained chan struct{} // from the reader: nothing was left to read
	closing chan struct{} // closed when the FSM has dropped the connection
	down    Down          // written before closing is closed
	probe   atomic.Bool   // the runner wants to know whether anything is left to read

	// Times since up, in nanoseconds.
	lastReceived, lastSent atomic.Int64
	octets                 atomic.Bool // something was received

	out   outbox
	ended chan struct{} // closed when the reader has ended
	// written is closed when the writer has ended; writeErr is set before.
	written  chan struct{}
	writeErr error
}

// report is what the reader tells the FSM.
type report struct {
	msg []byte // a message of the handshake, or an OPEN or NOTIFICATION
	err error  // of the connection, or a *bgp.MessageError
	// fault is the receiver's; program an error of the handler.
	fault   *Fault
	program error
}

func newConn(r *runner, nc net.Conn, local, remote netip.AddrPort, dialled bool) *conn {
	return &conn{
		nc: nc, sp: r.nb.sp, nb: r.nb, peer: r.nb.config(), local: local, remote: remote, dialled: dialled, up: time.Now(),
		toFSM: make(chan report), reply: make(chan *Session), drained: make(chan struct{}, 1),
		closing: make(chan struct{}), written: make(chan struct{}), ended: make(chan struct{}),
		out: outbox{wake: make(chan struct{}, 1), export: newExporter()},
	}
}

// age returns the time since the connection came up.
func (c *conn) age() time.Duration { return time.Since(c.up) }

// Times that closing takes at most, each.
const (
	lastWriteTime = time.Second
	drainTime     = time.Second
	drainPoll     = 20 * time.Millisecond // between looks at the reader
)

// finish waits until what was queued, with a NOTIFICATION at its end, is on its
// way, and reports whether it is.
func (c *conn) finish(notification []byte) bool {
	// A writer that is stuck comes back with an error.
	_ = c.nc.SetWriteDeadline(time.Now().Add(lastWriteTime))
	c.out.finish(notification)
	<-c.written
	return c.writeErr == nil
}

// drop ends the connection. Behind a NOTIFICATION the neighbour gets time to read
// it: closing a socket with unread octets would take it back.
func (c *conn) drop(d Down, gently bool) {
	c.down = d
	close(c.closing)
	_ = c.nc.SetReadDeadline(time.Now())
	c.out.finish(nil)
	if gently {
		drain(c.nc)
	}
	_ = c.nc.Close()
	<-c.written
}

// drain waits until the neighbour closes too, for a short time.
func drain(nc net.Conn) {
	if half, ok := nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	// Not by a read deadline: the reader may still be about to change it.
	defer time.AfterFunc(drainTime, func() { _ = nc.Close() }).Stop()
	var buf [4096]byte
	for {
		// The reader may have begun another read when the connection was dropped:
		// it must find out, too.
		_ = nc.SetReadDeadline(time.Now().Add(drainPoll))
		if _, err := nc.Read(buf[:]); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
}

// count notes a message in both directions' counters.
func (c *conn) count(n *counters, dir direction, typ uint8) {
	n.add(typ)
	c.sp.metrics.message(typ, dir)
}

// counters are MessageCounts that two goroutines may use.
type counters struct {
	byType [bgp.MessageRouteRefresh + 1]atomic.Uint64
}

func (n *counters) add(typ uint8) {
	if int(typ) < len(n.byType) {
		n.byType[typ].Add(1)
	}
}

func (n *counters) counts() MessageCounts {
	return MessageCounts{
		Opens:         n.byType[bgp.MessageOpen].Load(),
		Updates:       n.byType[bgp.MessageUpdate].Load(),
		Notifications: n.byType[bgp.MessageNotification].Load(),
		Keepalives:    n.byType[bgp.MessageKeepalive].Load(),
		Refreshes:     n.byType[bgp.MessageRouteRefresh].Load(),
	}
}
