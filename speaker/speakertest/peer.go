// Package speakertest is a BGP neighbour that does as it is told: it sends exactly
// the octets that a test gives it, and says which octets come back. It knows no
// protocol but how messages are cut, and works over any connection, so that a test
// may use net.Pipe under virtual time or TCP.
package speakertest

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ribtap/ribtap/bgp"
)

// patience is how long a Peer waits for what it expects, unless told otherwise.
const patience = 10 * time.Second

// queue is how many messages a Peer keeps that nobody has asked for.
const queue = 1 << 16

// Peer is the scripted neighbour. One goroutine uses it.
type Peer struct {
	// Patience is how long the Peer waits for what it expects.
	Patience time.Duration

	t    testing.TB
	conn net.Conn
	came chan []byte
	gate chan struct{} // full while nothing is to be read
	err  error         // why came was closed
}

// New speaks over the connection, which the Peer closes when the test ends.
func New(t testing.TB, conn net.Conn) *Peer {
	t.Helper()
	p := &Peer{Patience: patience, t: t, conn: conn, came: make(chan []byte, queue), gate: make(chan struct{}, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.pump()
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return p
}

// Dial connects by TCP, from a source address if one is given.
func Dial(t testing.TB, address, source string) *Peer {
	t.Helper()
	d := net.Dialer{Timeout: patience}
	if source != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(source)}
	}
	conn, err := d.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return New(t, conn)
}

// Accept takes one connection of a listener.
func Accept(t testing.TB, l net.Listener) *Peer {
	t.Helper()
	if tl, ok := l.(*net.TCPListener); ok {
		if err := tl.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return New(t, conn)
}

// pump cuts what comes into messages by their own length.
func (p *Peer) pump() {
	defer close(p.came)
	var buf []byte
	chunk := make([]byte, 64<<10)
	for {
		n, err := p.conn.Read(chunk)
		p.gate <- struct{}{}
		<-p.gate
		buf = append(buf, chunk[:n]...)
		for {
			msg, rest, serr := bgp.SplitMessage(buf, bgp.MaxExtendedMessageLen)
			if serr != nil {
				p.err = serr
				return
			}
			if msg == nil {
				break
			}
			p.came <- bytes.Clone(msg)
			buf = rest
		}
		if err != nil {
			p.err = err
			return
		}
	}
}

// Conn is the connection, for what a Peer cannot do.
func (p *Peer) Conn() net.Conn { return p.conn }

// Send sends the octets, several messages or a part of one.
func (p *Peer) Send(parts ...[]byte) {
	p.t.Helper()
	_ = p.conn.SetWriteDeadline(time.Now().Add(patience))
	if _, err := p.conn.Write(bytes.Join(parts, nil)); err != nil {
		p.t.Fatalf("peer: %v", err)
	}
	_ = p.conn.SetWriteDeadline(time.Time{})
}

// SendHex sends octets that are given in hexadecimal; spaces do not count.
func (p *Peer) SendHex(text string) {
	p.t.Helper()
	p.Send(Octets(p.t, text))
}

// Next returns the next message, whatever it is.
func (p *Peer) Next() []byte {
	p.t.Helper()
	select {
	case msg, ok := <-p.came:
		if ok {
			return msg
		}
		p.t.Fatalf("peer: no message: %v", p.err)
	case <-time.After(p.Patience):
		p.t.Fatalf("peer: no message in %v", p.Patience)
	}
	return nil
}

// NextBut returns the next message that is not of the types.
func (p *Peer) NextBut(types ...byte) []byte {
	p.t.Helper()
	for {
		msg := p.Next()
		if bytes.IndexByte(types, bgp.MessageType(msg)) < 0 {
			return msg
		}
	}
}

// Expect wants the next messages to have these types, and returns the last one.
func (p *Peer) Expect(types ...uint8) (msg []byte) {
	p.t.Helper()
	for _, want := range types {
		msg = p.Next()
		if got := bgp.MessageType(msg); got != want {
			p.t.Fatalf("peer: got %s, want %s: %x", bgp.MessageName(got), bgp.MessageName(want), msg)
		}
	}
	return msg
}

// ExpectHex wants the next message to have exactly this body behind its header.
func (p *Peer) ExpectHex(typ uint8, body string) {
	p.t.Helper()
	msg := p.Expect(typ)
	if got := hex.EncodeToString(msg[bgp.HeaderLen:]); got != strings.ReplaceAll(body, " ", "") {
		p.t.Fatalf("peer: %s has %s, want %s", bgp.MessageName(typ), got, body)
	}
}

// ExpectNotification wants a NOTIFICATION, behind KEEPALIVEs if there are any, and
// then the end of the connection.
func (p *Peer) ExpectNotification(code, subcode uint8, data string) {
	p.t.Helper()
	msg := p.NextBut(bgp.MessageKeepalive)
	n, err := bgp.ParseNotification(msg)
	if err != nil {
		p.t.Fatalf("peer: want a NOTIFICATION: %v: %x", err, msg)
	}
	if got := hex.EncodeToString(n.Data); n.Code != code || n.Subcode != subcode || got != strings.ReplaceAll(data, " ", "") {
		p.t.Fatalf("peer: NOTIFICATION %d/%d %s, want %d/%d %s", n.Code, n.Subcode, got, code, subcode, data)
	}
	p.ExpectClosed()
}

// ExpectClosed wants no further message but the end of the connection.
func (p *Peer) ExpectClosed() {
	p.t.Helper()
	select {
	case msg, ok := <-p.came:
		if ok {
			p.t.Fatalf("peer: want the end, got %x", msg)
		}
		if !errors.Is(p.err, io.EOF) && !errors.Is(p.err, io.ErrClosedPipe) {
			p.t.Logf("peer: the end is %v", p.err)
		}
	case <-time.After(p.Patience):
		p.t.Fatalf("peer: still connected after %v", p.Patience)
	}
}

// ExpectNothing wants no message for a time.
func (p *Peer) ExpectNothing(d time.Duration) {
	p.t.Helper()
	select {
	case msg, ok := <-p.came:
		if !ok {
			p.t.Fatalf("peer: closed: %v", p.err)
		}
		p.t.Fatalf("peer: want nothing, got %x", msg)
	case <-time.After(d):
	}
}

// Waiting returns how many messages nobody has asked for yet.
func (p *Peer) Waiting() int { return len(p.came) }

// StopReading leaves what comes on the connection until the function that it
// returns is called. One read that was under way may still end.
func (p *Peer) StopReading() (resume func()) {
	p.gate <- struct{}{}
	return func() { <-p.gate }
}

// Close ends the connection.
func (p *Peer) Close() { _ = p.conn.Close() }

// Octets reads hexadecimal; spaces do not count.
func Octets(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
