package speaker

import (
	"errors"
	"slices"
	"sync"

	"github.com/ribtap/ribtap/bgp"
)

// Sizes of what waits to be written, in octets.
const (
	// maxQueued bounds control messages; what comes beyond is refused.
	maxQueued = 64 << 10
	// exportChunk is how much is announced in one write. Control messages, a
	// KEEPALIVE above all, go in between.
	exportChunk = 64 << 10
)

var errQueueFull = errors.New("speaker: the neighbour takes no messages")

// outbox is what a writer has to write. Nobody who fills it ever waits.
type outbox struct {
	mu        sync.Mutex
	queue     []byte // whole messages
	keepalive bool   // one is due; however long the writer is stuck, one is enough
	last      bool   // the queue ends in the last message
	session   *Session
	set       *Peer        // what to announce, if it has changed
	families  []bgp.Family // to announce once more
	wake      chan struct{}

	export exporter // the writer's own, but for its stats
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// send queues messages.
func (o *outbox) send(msgs []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last || len(o.queue)+len(msgs) > maxQueued {
		return errQueueFull
	}
	o.queue = append(o.queue, msgs...)
	o.signal()
	return nil
}

// sendKeepalive queues a KEEPALIVE unless one waits.
func (o *outbox) sendKeepalive() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.keepalive = true
	o.signal()
}

// finish queues the last message, or ends at once with nil.
func (o *outbox) finish(notification []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.last {
		o.queue = append(o.queue, notification...)
		o.last = true
	}
	o.signal()
}

// begin starts the announcements of a session.
func (o *outbox) begin(s *Session) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.session = s
}

// announce says what they are.
func (o *outbox) announce(p *Peer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.set = p
	o.signal()
}

// resend asks for all of a family once more; families that were not negotiated
// have nothing to be resent.
func (o *outbox) resend(s *Session, f bgp.Family) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if slices.Contains(s.Families, f) && !slices.Contains(o.families, f) {
		o.families = append(o.families, f)
		o.signal()
	}
}

// job is a part of what there is to announce.
type job struct {
	begin  *Session
	set    *Peer
	resend bgp.Family
}

// take returns the control messages that wait, or, if there are none and the
// exporter has nothing half done, the next job.
func (o *outbox) take(exporting bool) (msgs []byte, j job, last bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	msgs, last = o.queue, o.last
	o.queue = nil
	if o.keepalive && !last {
		msgs = bgp.AppendKeepalive(msgs)
	}
	o.keepalive = false
	if exporting || last || len(msgs) > 0 || o.session == nil {
		return msgs, job{}, last
	}
	switch {
	case o.set != nil:
		j.set = o.set
		j.begin, o.set = o.session, nil
	case len(o.families) > 0:
		j.resend = o.families[0]
		o.families = o.families[1:]
	}
	return msgs, j, last
}

// writer writes what the outbox has, control messages first.
type writer struct {
	*conn
	begun     bool
	exporting bool
	enhanced  bool       // RFC 7313 holds
	marked    bgp.Family // the family that ends with EoRR
	mark      []byte     // BoRR, which stands before its first route
}

// write runs until the last message is written or the connection is closed.
func (c *conn) write() {
	defer close(c.written)
	w := &writer{conn: c}
	for {
		msgs, j, last := c.out.take(w.exporting)
		switch {
		case len(msgs) > 0:
		case last:
			return
		case w.start(j) || w.exporting:
			msgs = w.export()
		default:
			<-c.out.wake
			continue
		}
		if err := w.put(msgs); err != nil {
			c.writeErr = err
			return
		}
		if last {
			return
		}
	}
}

// start begins a job and reports whether there is one.
func (w *writer) start(j job) bool {
	switch {
	case j.set != nil:
		if !w.begun {
			w.begun = true
			w.begin(j.begin)
		}
		w.out.export.set(j.set)
	case j.resend != 0:
		w.out.export.resend(j.resend)
		if w.enhanced {
			w.marked = j.resend
			w.mark = bgp.AppendRefresh(nil, bgp.Refresh{Family: w.marked, Subtype: bgp.RefreshBegin})
		}
	default:
		return false
	}
	w.exporting = true
	return true
}

func (w *writer) begin(s *Session) {
	sent, _ := bgp.ParseOpen(s.Sent)
	received, _ := bgp.ParseOpen(s.Received)
	w.enhanced = sent.Has(bgp.CapEnhancedRefresh) && received.Has(bgp.CapEnhancedRefresh)
	w.out.export.begin(s)
}

// export returns the next announcements, with EoRR behind those of a refresh.
func (w *writer) export() []byte {
	msgs, done := w.out.export.next(exportChunk)
	if w.mark != nil {
		msgs, w.mark = append(w.mark, msgs...), nil
	}
	if !done {
		return msgs
	}
	w.exporting = false
	if w.marked != 0 {
		msgs = bgp.AppendRefresh(slices.Clip(msgs), bgp.Refresh{Family: w.marked, Subtype: bgp.RefreshEnd})
		w.marked = 0
	}
	return msgs
}

// put writes whole messages and counts them.
func (w *writer) put(msgs []byte) error {
	if len(msgs) == 0 {
		return nil
	}
	if _, err := w.nc.Write(msgs); err != nil {
		return err
	}
	w.lastSent.Store(int64(w.age()))
	for len(msgs) > 0 {
		msg, rest, err := bgp.SplitMessage(msgs, bgp.MaxExtendedMessageLen)
		if err != nil || msg == nil {
			panic("speaker: wrote what is no message")
		}
		w.count(&w.nb.sent, sent, bgp.MessageType(msg))
		msgs = rest
	}
	return nil
}
