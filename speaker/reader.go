package speaker

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/ribtap/ribtap/bgp"
)

// Sizes of the reader's buffer in octets. It grows when a read has filled it.
const (
	firstBuffer   = 8 << 10
	sessionBuffer = 64<<10 + bgp.MaxMessageLen
	maxBuffer     = 256 << 10
)

// A receiver is flushed after so many messages or octets at the latest.
const (
	flushMessages = 2048
	flushOctets   = 1 << 20
)

// Bounds of a probe: how long a read waits for octets that are on the socket
// already, and how many reads a single message may take.
const (
	probeTime  = 50 * time.Millisecond
	probeReads = 16
)

// errDropped says that the FSM has dropped the connection.
var errDropped = errors.New("speaker: connection dropped")

// reader takes messages off a connection: those of the handshake go to the FSM one
// by one, those of the session straight to its receiver. While the receiver
// blocks, nothing is read.
type reader struct {
	*conn
	buf      []byte // read and not yet cut
	store    []byte // buf is a part of it
	limit    int    // of a message
	received time.Time
	probing  int // reads since the runner asked, without a whole message

	session  *Session // of an Established FSM
	receiver Receiver
	turn     *turn
	messages int // since the last Flush
	octets   int
	refresh  bool // enhanced route refresh holds (RFC 7313)
}

// read runs until the connection is dropped, and then ends the session.
func (c *conn) read(ctx context.Context) {
	defer close(c.ended)
	r := &reader{conn: c, store: make([]byte, firstBuffer), limit: bgp.MaxMessageLen, turn: newTurn()}
	for err := error(nil); err == nil; {
		err = r.next(ctx)
	}
	c.sp.turns.give(r.turn)
	<-c.closing
	r.end(ctx)
}

// next takes one message. An error says that the FSM has dropped the connection.
func (r *reader) next(ctx context.Context) error {
	if ctx.Err() != nil {
		return errDropped // what is left here the next session will say again
	}
	msg, rest, err := bgp.SplitMessage(r.buf, r.limit)
	switch {
	case err != nil:
		return r.tell(report{err: err})
	case msg == nil:
		return r.fill(ctx)
	}
	r.buf = rest
	typ := bgp.MessageType(msg)
	r.count(&r.nb.received, received, typ)
	if r.session == nil || typ == bgp.MessageOpen || typ == bgp.MessageNotification {
		if err := r.tell(report{msg: append([]byte(nil), msg...)}); err != nil {
			return err
		}
		if r.session != nil && r.receiver == nil {
			return r.begin(ctx)
		}
		return nil
	}
	// Events 26 and 27 in Established only restart the hold timer, which goes by
	// this time.
	r.lastReceived.Store(int64(r.received.Sub(r.up)))
	if r.probing > 0 {
		r.answer() // it was read since the runner asked
	}
	if typ == bgp.MessageKeepalive {
		return nil
	}
	return r.deliver(ctx, msg)
}

// tell gives the FSM its turn and waits for what it decides.
func (r *reader) tell(what report) error {
	select {
	case r.toFSM <- what:
	case <-r.closing:
		return errDropped
	}
	select {
	case s := <-r.reply:
		r.session = s
		return nil
	case <-r.closing:
		return errDropped
	}
}

// begin waits until the neighbour's last session has ended, and starts this one.
func (r *reader) begin(ctx context.Context) error {
	if r.session.Receive.ExtendedMessage {
		r.limit = bgp.MaxExtendedMessageLen
	}
	r.grow(sessionBuffer)
	sent, _ := bgp.ParseOpen(r.session.Sent)
	received, _ := bgp.ParseOpen(r.session.Received)
	r.refresh = sent.Has(bgp.CapEnhancedRefresh) && received.Has(bgp.CapEnhancedRefresh)
	select {
	case r.nb.slot <- struct{}{}:
	case <-r.closing:
		return errDropped
	}
	receiver, err := r.sp.handler.Up(ctx, r.session)
	if err != nil {
		<-r.nb.slot
		return r.tell(report{program: err})
	}
	r.receiver = receiver
	return nil
}

// deliver hands over an UPDATE or a ROUTE-REFRESH.
func (r *reader) deliver(ctx context.Context, msg []byte) error {
	r.messages++
	r.octets += len(msg)
	fault := r.receiver.Message(r.received, msg)
	if fault == nil && bgp.MessageType(msg) == bgp.MessageRouteRefresh {
		fault = r.refreshed(msg)
	}
	if fault != nil {
		return r.tell(report{fault: fault})
	}
	if r.messages%turnMessages == 0 && r.turn.over(time.Now()) {
		r.sp.turns.give(r.turn)
		r.sp.turns.take(r.turn)
	}
	if r.messages >= flushMessages || r.octets >= flushOctets {
		return r.flush(ctx)
	}
	return nil
}

// refreshed answers a ROUTE-REFRESH with what we announce (RFC 2918 §4). A
// neighbour asks again and again for nothing: one answer of a family waits at most.
func (r *reader) refreshed(msg []byte) *Fault {
	m, err := bgp.ParseRefresh(msg)
	if err != nil {
		var merr *bgp.MessageError
		if !r.refresh || !errors.As(err, &merr) {
			return nil // RFC 2918 has no error for it
		}
		return &Fault{Code: merr.Code, Subcode: merr.Subcode, Data: append([]byte(nil), merr.Data...), Reason: merr.Reason}
	}
	if m.Subtype == bgp.RefreshRequest {
		r.out.resend(r.session, m.Family)
	}
	return nil
}

func (r *reader) flush(ctx context.Context) error {
	if r.messages == 0 {
		return nil
	}
	r.messages, r.octets = 0, 0
	if err := r.receiver.Flush(ctx); err != nil {
		return r.tell(report{program: err})
	}
	return nil
}

// fill reads more octets, behind a Flush, since it may wait for them.
func (r *reader) fill(ctx context.Context) error {
	if r.receiver != nil {
		if err := r.flush(ctx); err != nil {
			return err
		}
	}
	if len(r.buf) == len(r.store) {
		r.grow(2 * len(r.store))
	}
	if r.dropped() {
		return errDropped
	}
	n := copy(r.store, r.buf)
	r.sp.turns.give(r.turn)
	m, err := r.readSome(r.store[n:])
	if r.dropped() {
		return errDropped
	}
	r.buf = r.store[:n+m]
	if m > 0 {
		r.received = time.Now()
		r.conn.octets.Store(true)
		if r.receiver != nil {
			r.sp.turns.take(r.turn)
		}
		if n+m == len(r.store) && r.session != nil {
			r.grow(min(2*len(r.store), maxBuffer))
		}
		return nil
	}
	if err != nil {
		return r.tell(report{err: err})
	}
	return nil
}

// readSome reads, and answers a probe: the hold timer may only run out for what
// was not sent, never for what was not read. A read that finds nothing within
// probeTime says so; and so does a message that has come meanwhile.
func (r *reader) readSome(b []byte) (int, error) {
	if !r.probe.Load() {
		n, err := r.nc.Read(b)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || r.dropped() {
			return n, err
		}
	}
	// The deadline was the runner's call: there is a probe, or the end. It may
	// come once more in the middle of this read, which then was too short.
	begun := time.Now()
	_ = r.nc.SetReadDeadline(begun.Add(probeTime))
	n, err := r.nc.Read(b)
	_ = r.nc.SetReadDeadline(time.Time{})
	if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		if r.probing++; r.probing > probeReads {
			r.answer()
		}
		return n, err
	}
	if time.Since(begun) >= probeTime {
		r.answer()
	}
	return 0, nil
}

// dropped reports whether the FSM has dropped the connection. What was read before
// is still delivered. What is read now is not: the runner drains the socket, and
// between the two the octets are no stream any more.
func (r *reader) dropped() bool {
	select {
	case <-r.closing:
		return true
	default:
		return false
	}
}

// answer tells the runner that nothing was left to read.
func (r *reader) answer() {
	r.probing = 0
	if r.probe.CompareAndSwap(true, false) {
		r.drained <- struct{}{}
	}
}

func (r *reader) grow(size int) {
	if size <= len(r.store) {
		return
	}
	store := make([]byte, size)
	n := copy(store, r.buf)
	r.store, r.buf = store, store[:n]
}

// end is the last that the receiver hears.
func (r *reader) end(ctx context.Context) {
	if r.receiver == nil {
		return
	}
	down := r.down
	if r.messages > 0 {
		if err := r.receiver.Flush(ctx); err != nil {
			down.Stop = true // what it lacks it must not call withdrawn
		}
	}
	if err := r.receiver.Down(ctx, down); err != nil {
		r.nb.log().Error("session not ended cleanly", "error", err)
	}
	<-r.nb.slot
}
