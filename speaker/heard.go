package speaker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ribtap/ribtap/bgp"
)

// heard is what the reader has: the rest of the protocol it does itself.
func (r *runner) heard(ctx context.Context, what report) {
	c := r.c
	switch {
	case what.fault != nil:
		f := what.fault
		in := input{event: evUpdateError, say: bgp.Notification{Code: f.Code, Subcode: f.Subcode, Data: f.Data}}
		if f.Code == bgp.ErrorCease {
			in.event = evAutomaticStop
		}
		r.ending.text = f.Reason
		if f.Code == bgp.ErrorCease && f.Subcode == bgp.CeaseMaxPrefixes {
			r.nb.hold()
			r.ending.text += fmt.Sprintf("; no session for %v", limitHold)
		}
		r.step(ctx, in)
	case what.program != nil:
		r.ending.text, r.ending.stop = what.program.Error(), true
		r.step(ctx, input{event: evAutomaticStop, say: ceaseOf(bgp.CeaseOutOfResources, "")})
	case what.err != nil:
		r.heardError(ctx, what.err)
	default:
		r.message(ctx, what.msg)
	}
	if r.c != c {
		return
	}
	select {
	case c.reply <- r.session:
	case <-ctx.Done(): // the next wait ends the connection, and the reader sees that
	}
}

func (r *runner) heardError(ctx context.Context, err error) {
	var merr *bgp.MessageError
	if errors.As(err, &merr) {
		r.refuse(ctx, evHeaderError, merr)
		return
	}
	r.failTCP(ctx, err)
}

// failTCP is event 18.
func (r *runner) failTCP(ctx context.Context, err error) {
	if err == nil {
		err = errDropped
	}
	r.ending.text, r.ending.remote = err.Error(), closedByRemote(err)
	r.step(ctx, input{event: evTCPFails})
}

func (r *runner) refuse(ctx context.Context, e fsmEvent, merr *bgp.MessageError) {
	r.ending.text = merr.Reason
	r.step(ctx, input{event: e, say: bgp.Notification{Code: merr.Code, Subcode: merr.Subcode, Data: merr.Data}})
}

// message is an OPEN, a NOTIFICATION, or a KEEPALIVE of the handshake; or what
// should not come in this state.
func (r *runner) message(ctx context.Context, msg []byte) {
	switch bgp.MessageType(msg) {
	case bgp.MessageOpen:
		r.openHeard(ctx, msg)
	case bgp.MessageNotification:
		r.notified(ctx, msg)
	case bgp.MessageKeepalive:
		r.step(ctx, input{event: evKeepalive})
	case bgp.MessageUpdate:
		r.step(ctx, input{event: evUpdate})
	default:
		r.step(ctx, input{event: evRefresh})
	}
}

// notified ends the connection by the neighbour's will. A malformed NOTIFICATION
// counts, and is never answered (RFC 4271 §6.4).
func (r *runner) notified(ctx context.Context, msg []byte) {
	n, _ := bgp.ParseNotification(msg)
	r.nb.sp.metrics.notification(n.Code, received)
	r.ending.heard, r.ending.notification = msg, n
	in := input{event: evNotification}
	if n.Code == bgp.ErrorOpenMessage && n.Subcode == 1 {
		in.event = evNotificationVersion
	}
	before := r.m.state
	r.step(ctx, in)
	if r.m.dials && before < Established && n.Code == bgp.ErrorOpenMessage && !r.bare &&
		(n.Subcode == openUnsupportedParameter || n.Subcode == openUnsupportedCapability) {
		r.bare = true // RFC 5492 §3
		if r.m.running.has(timerIdleHold) {
			r.startTimer(timerIdleHold, time.Second)
		}
		return
	}
	if before < Established {
		r.bare = false
	}
}

// openHeard judges the neighbour's OPEN.
func (r *runner) openHeard(ctx context.Context, msg []byte) {
	if r.m.state >= OpenConfirm {
		r.step(ctx, input{event: evOpen})
		return
	}
	theirs, err := bgp.ParseOpen(msg)
	me := identityFor(r.nb.sp.configured(), r.c.peer, theirs.AS)
	r.makeOpen(me)
	var merr *bgp.MessageError
	if errors.As(err, &merr) {
		e := evOpenError
		if merr.Code == bgp.ErrorMessageHeader {
			e = evHeaderError
		}
		r.refuse(ctx, e, merr)
		return
	}
	ours, _ := bgp.ParseOpen(r.c.open)
	if f := checkOpen(r.c.peer, me, &ours, &theirs); f != nil {
		r.ending.text = f.Reason
		r.step(ctx, input{event: evOpenError, say: bgp.Notification{Code: f.Code, Subcode: f.Subcode, Data: f.Data}})
		return
	}
	if r.nb.holdLeft() > 0 { // it had called before it was held
		r.ending.text = "it had too many prefixes a short time ago"
		r.step(ctx, input{event: evAutomaticStop, say: ceaseOf(bgp.CeaseMaxPrefixes, "")})
		return
	}
	if !r.nb.claim(r, me, &theirs) {
		r.ending.text = "another connection of the neighbour is kept"
		r.step(ctx, input{event: evCollisionDump})
		return
	}
	r.c.heard = msg
	in := input{event: evOpen, hold: settle(&ours, &theirs)}
	if r.m.running.has(timerDelayOpen) {
		in.event = evOpenDelayed
	}
	r.m.sendHold = sendHold(r.c.peer, in.hold)
	r.step(ctx, in)
}

// sendHold is the time that the session will have (RFC 9687 §4).
func sendHold(p *Peer, hold time.Duration) time.Duration {
	if p.SendHold > 0 {
		return max(p.SendHold, hold+time.Second)
	}
	return max(8*time.Minute, 2*hold)
}

func (r *runner) makeOpen(me identity) {
	if r.c.open == nil {
		r.c.open = appendOpen(nil, r.c.peer, me, r.bare && r.m.dials)
	}
}
