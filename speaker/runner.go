package speaker

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/ribtap/ribtap/bgp"
)

// firstOctetTime is how long whoever connects may wait with the first octet.
const firstOctetTime = 30 * time.Second

// lastWordTime is how long a neighbour is still heard that takes nothing more.
const lastWordTime = 5 * time.Second

// longestPause bounds the idle hold time; a session that lasts as long makes good
// for failures before it.
const longestPause = 2 * time.Minute

// command is what others want of an FSM.
type command struct {
	event fsmEvent
	say   bgp.Notification
	text  string // why
	// removed: the peer is taken out of the configuration. stop: the speaker stops.
	removed, stop bool
	// announce: what is announced has changed. There is no event then.
	announce bool
	// fresh: dial again without the pause that failures have earned.
	fresh bool
}

// runner drives one FSM: it tells step what happens and does what step says. For a
// peer that is dialled there is one for as long as the peer is enabled; for an
// accepted connection there is one until its end. Nothing that a Receiver does
// holds it up.
type runner struct {
	nb       *neighbor
	dials    bool // m.dials, which never changes
	commands chan command
	done     chan struct{} // closed when it takes no more commands
	stopped  atomic.Bool   // it was told to end

	m        machine
	deadline [timerCount]time.Time
	clock    *time.Timer
	holdFor  time.Duration // of the hold timer, since holdFrom
	holdFrom time.Time

	attempt *attempt // the dial under way

	c       *conn
	mute    time.Time // when a connection that takes nothing more is given up; zero: it does
	old     []*conn   // dropped, and their receivers not finished yet
	session *Session
	ending  ending
	failed  int       // times in a row without a session that lasted
	bare    bool      // the next OPEN has no capabilities
	beacon  time.Time // when what is announced changes next; zero for never

	// For status and collisions, under neighbor.mu.
	seen view
}

// view is what others may see of a runner.
type view struct {
	state   State
	since   time.Time
	conn    *conn // nil without
	session *Session
	claimed bool // its OPEN has been accepted
}

func newRunner(nb *neighbor, dials bool) *runner {
	p := nb.config()
	r := &runner{
		nb: nb, dials: dials, commands: make(chan command, 16), done: make(chan struct{}),
		m: machine{state: Idle, dials: dials, connectRetry: p.ConnectRetry},
	}
	r.seen = view{state: Idle, since: time.Now()}
	if !dials {
		r.seen.state = Active // it counts from the start
	}
	return r
}

// tell passes a command on; it waits for a runner that is closing a connection.
func (r *runner) tell(c command) {
	if c.event == evManualStop {
		r.stopped.Store(true)
	}
	select {
	case r.commands <- c:
	case <-r.done:
	}
}

// tryTell passes a command on unless the runner has more of them than it can take.
func (r *runner) tryTell(c command) {
	select {
	case r.commands <- c:
	default:
	}
}

// run is the life of the FSM. nc is the connection that was accepted, or nil.
func (r *runner) run(ctx context.Context, nc net.Conn, local, remote netip.AddrPort) {
	r.clock = time.NewTimer(time.Hour)
	defer r.clock.Stop()
	if nc != nil {
		r.step(ctx, input{event: evAutomaticStartPasv})
		r.connected(ctx, nc, local, remote, false)
	} else {
		// Not all neighbours of all collectors at once.
		r.m.running |= 1 << timerIdleHold
		r.deadline[timerIdleHold] = time.Now().Add(randomUpTo(r.nb.sp.initialDelay()))
	}
	for live := true; live; {
		live = r.wait(ctx)
	}
	close(r.done)
	for _, c := range r.old {
		<-c.ended
	}
}

// wait takes one event, and reports false at the end of the FSM's life.
func (r *runner) wait(ctx context.Context) bool {
	r.arm()
	r.ending = ending{}
	var (
		toFSM            chan report
		drained, written chan struct{}
		result           chan dialResult
	)
	if r.attempt != nil {
		result = r.attempt.result
	}
	if r.c != nil {
		toFSM, drained = r.c.toFSM, r.c.drained
		if r.mute.IsZero() {
			written = r.c.written
		}
	}
	select {
	case <-r.clock.C:
		r.expire(ctx)
	case what := <-toFSM:
		r.heard(ctx, what)
	case <-drained:
		r.judgeHold(ctx, true)
	case <-written:
		// What the neighbour has said last may still have to be read.
		r.mute = time.Now().Add(lastWordTime)
	case d := <-result:
		r.dialEnded(ctx, d)
	case c := <-r.commands:
		r.obey(ctx, c)
	case <-ctx.Done():
		r.obey(context.WithoutCancel(ctx), command{
			event: evManualStop, say: ceaseOf(bgp.CeaseAdminShutdown, ""), text: "the speaker stops", stop: true,
		})
		return false
	}
	r.reap()
	return r.m.state != Idle || r.m.running.has(timerIdleHold)
}

// reap forgets connections whose receiver has finished.
func (r *runner) reap() {
	kept := r.old[:0]
	for _, c := range r.old {
		select {
		case <-c.ended:
		default:
			kept = append(kept, c)
		}
	}
	r.old = kept
}

// arm sets the clock to the first deadline.
func (r *runner) arm() {
	next := time.Hour
	for _, at := range [...]time.Time{r.beacon, r.mute} {
		if !at.IsZero() {
			next = min(next, time.Until(at))
		}
	}
	for t := range r.deadline {
		if r.m.running.has(timer(t)) && !r.deadline[t].IsZero() {
			next = min(next, time.Until(r.deadline[t]))
		}
	}
	r.clock.Reset(max(next, 0))
}

// expire tells the FSM of the timers that have run out.
func (r *runner) expire(ctx context.Context) {
	now := time.Now()
	if !r.beacon.IsZero() && !now.Before(r.beacon) {
		r.announce()
	}
	if r.c != nil && !r.mute.IsZero() && !now.Before(r.mute) {
		r.failTCP(ctx, r.c.writeErr)
	}
	for t := range timerCount {
		if !r.m.running.has(t) || r.deadline[t].IsZero() || now.Before(r.deadline[t]) {
			continue
		}
		switch t {
		case timerHold:
			r.judgeHold(ctx, false)
		case timerSendHold:
			r.judgeSendHold(ctx)
		default:
			r.step(ctx, input{event: timerEvents[t]})
		}
	}
}

// judgeHold decides whether the hold time is over: only if nothing came in time,
// and there is nothing left to read. A reader that is kept by its receiver cannot
// say so, and meanwhile nothing is decided.
func (r *runner) judgeHold(ctx context.Context, drained bool) {
	if r.c == nil || !r.m.running.has(timerHold) {
		return
	}
	until := r.holdFrom.Add(r.holdFor)
	if r.session != nil {
		if last := r.c.up.Add(time.Duration(r.c.lastReceived.Load())); last.After(r.holdFrom) {
			until = last.Add(r.holdFor)
		}
	} else if !r.m.dials && !r.c.octets.Load() {
		until = earlier(until, r.c.up.Add(firstOctetTime))
	}
	switch {
	case time.Now().Before(until):
		r.deadline[timerHold] = until
	case drained:
		r.ending.text = "hold timer expired"
		r.step(ctx, input{event: evHoldExpires})
	default:
		r.deadline[timerHold] = time.Time{} // until the reader has answered
		r.c.probe.Store(true)
		_ = r.c.nc.SetReadDeadline(time.Now())
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// judgeSendHold is RFC 9687 §3: nothing could be written for the whole time.
func (r *runner) judgeSendHold(ctx context.Context) {
	until := r.c.up.Add(time.Duration(r.c.lastSent.Load()) + r.m.sendHold)
	if time.Now().Before(until) {
		r.deadline[timerSendHold] = until
		return
	}
	r.ending.text = "send hold timer expired"
	r.step(ctx, input{event: evSendHoldExpires})
}

// obey does what others want.
func (r *runner) obey(ctx context.Context, c command) {
	if c.announce {
		r.announce()
		return
	}
	r.ending.text, r.ending.removed, r.ending.stop = c.text, c.removed, c.stop
	if c.fresh {
		r.failed = 0
	}
	r.step(ctx, input{event: c.event, say: c.say})
	if c.fresh && r.m.running.has(timerIdleHold) {
		r.startTimer(timerIdleHold, max(time.Second, r.nb.holdLeft()))
	}
}

// step lets the FSM decide and does what it says.
func (r *runner) step(ctx context.Context, in input) {
	r.ending.event = in.event
	next, actions := step(r.m, in)
	r.m = next
	for _, a := range actions {
		r.act(ctx, a)
	}
	r.show()
}

func (r *runner) act(ctx context.Context, a action) {
	switch a.do {
	case doDial:
		r.dial(ctx)
	case doOpen:
		r.makeOpen(identityFor(r.nb.sp.configured(), r.c.peer, 0))
		_ = r.c.out.send(r.c.open)
	case doKeepalive:
		r.c.out.sendKeepalive()
	case doNotify:
		say := a.say
		if r.session != nil && r.session.notifies() && endsRoutes(say) {
			say = hardReset(say)
		}
		r.ending.said, r.ending.notification = bgp.AppendNotification(nil, say), say
	case doClose:
		r.close()
	case doStart:
		r.startTimer(a.timer, a.after)
	case doStop:
		r.deadline[a.timer] = time.Time{}
	case doEstablished:
		r.establish()
	}
}

func (r *runner) startTimer(t timer, after time.Duration) {
	now := time.Now()
	switch t {
	case timerConnectRetry:
		after = shorten(after)
	case timerKeepalive:
		// Not more than one a second (RFC 4271 §4.4).
		after = max(shorten(after), time.Second)
	case timerHold:
		r.holdFor, r.holdFrom = after, now
		if r.m.state == OpenSent && !r.m.dials && !r.c.octets.Load() {
			after = min(after, time.Until(r.c.up.Add(firstOctetTime)))
		}
	case timerIdleHold:
		if after == 0 {
			after = max(r.pause(), r.nb.holdLeft())
		}
	default:
	}
	r.deadline[t] = now.Add(after)
}

// shorten takes up to a quarter off, at random (RFC 4271 §10).
func shorten(d time.Duration) time.Duration {
	return d - randomUpTo(d/4)
}

func randomUpTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d)
}

// pause is the idle hold time: 1 s, and twice as long after each failure.
func (r *runner) pause() time.Duration {
	d := min(time.Second<<min(r.failed, 7), longestPause)
	r.failed++
	return d
}

// connected is event 16 or 17.
func (r *runner) connected(ctx context.Context, nc net.Conn, local, remote netip.AddrPort, dials bool) {
	r.nb.connections.Add(1)
	r.nb.sp.metrics.connections.Inc()
	r.m.connectRetry = r.nb.config().ConnectRetry
	c := newConn(r, nc, local, remote, dials)
	r.c = c
	e := evTCPRequestAcked
	r.m.delayOpen, r.m.answers = 0, false
	if !dials {
		e = evTCPConfirmed
		r.m.delayOpen, r.m.answers = c.peer.DelayOpen, c.peer.Mirror
	}
	go c.read(ctx)
	go c.write()
	r.step(ctx, input{event: e})
}

// show lets others see how it stands.
func (r *runner) show() {
	r.nb.mu.Lock()
	defer r.nb.mu.Unlock()
	if r.seen.state != r.m.state {
		r.seen.state, r.seen.since = r.m.state, time.Now()
	}
	r.seen.conn, r.seen.session = r.c, r.session
	if r.c == nil {
		r.seen.claimed = false
	}
}
