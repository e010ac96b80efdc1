package speaker

import (
	"time"

	"github.com/ribtap/ribtap/bgp"
)

// openHold is how long an OPEN may take (RFC 4271 §8.2.2: "a large value").
const openHold = 4 * time.Minute

// machine is the FSM of one connection (RFC 4271 §8.2.2), or of one that is to be
// dialled. It is a plain value: step returns another one.
type machine struct {
	state State
	// dials says that it makes its connections itself, again and again; otherwise
	// it has the one that was accepted and ends in Idle.
	dials bool
	// connectRetry, delayOpen and sendHold are those of Peer, sendHold as chosen.
	connectRetry, delayOpen, sendHold time.Duration
	// answers says that our OPEN cannot be made before theirs is there.
	answers bool

	running timers        // which timers run
	opened  bool          // our OPEN was sent on this connection
	hold    time.Duration // settled on; 0: no timers
}

// timers is a set of timers.
type timers uint8

func (t timers) has(x timer) bool { return t&(1<<x) != 0 }

// stepper collects the actions of one step.
type stepper struct {
	machine
	actions []action
}

// step is the transition of RFC 4271 §8.2.2 for one event: the next machine, and
// what is to be done, in this order. It has no side effect.
func step(m machine, in input) (machine, []action) {
	s := stepper{machine: m}
	for t, e := range timerEvents {
		if e != in.event {
			continue
		}
		if !m.running.has(timer(t)) {
			return m, nil // it was stopped after it had expired
		}
		s.running &^= 1 << t
	}
	switch m.state {
	case Connect, Active:
		s.connecting(in)
	case OpenSent:
		s.openSent(in)
	case OpenConfirm:
		s.openConfirm(in)
	case Established:
		s.established(in)
	default:
		s.idle(in)
	}
	return s.machine, s.actions
}

func (s *stepper) do(d deed) { s.actions = append(s.actions, action{do: d}) }

func (s *stepper) start(t timer, after time.Duration) {
	s.running |= 1 << t
	s.actions = append(s.actions, action{do: doStart, timer: t, after: after})
}

func (s *stepper) stop(list ...timer) {
	for _, t := range list {
		if s.running.has(t) {
			s.running &^= 1 << t
			s.actions = append(s.actions, action{do: doStop, timer: t})
		}
	}
}

// notify sends a NOTIFICATION, but never before our OPEN.
func (s *stepper) notify(n bgp.Notification) {
	if s.opened {
		s.actions = append(s.actions, action{do: doNotify, say: n})
	}
}

// toIdle ends the connection. A machine that dials goes on after the idle hold
// time, unless it was stopped.
func (s *stepper) toIdle(again bool) {
	s.stop(timerConnectRetry, timerHold, timerKeepalive, timerDelayOpen, timerIdleHold, timerSendHold)
	s.do(doClose)
	s.state, s.opened, s.hold = Idle, false, 0
	if s.dials && again {
		s.start(timerIdleHold, 0)
	}
}

// fail says why and ends the connection.
func (s *stepper) fail(n bgp.Notification) {
	s.notify(n)
	s.toIdle(true)
}

// unexpected is RFC 6608: the subcode names the state, the data the message.
func (s *stepper) unexpected(e fsmEvent) {
	n := bgp.Notification{Code: bgp.ErrorFSM, Data: []byte{e.messageType()}}
	switch s.state {
	case OpenSent:
		n.Subcode = 1
	case OpenConfirm:
		n.Subcode = 2
	default:
		n.Subcode = 3
	}
	s.fail(n)
}

var (
	holdExpired     = bgp.Notification{Code: bgp.ErrorHoldTimer}
	sendHoldExpired = bgp.Notification{Code: bgp.ErrorSendHoldTimer}
	collision       = bgp.Notification{Code: bgp.ErrorCease, Subcode: bgp.CeaseCollisionResolution}
)

func (s *stepper) idle(in input) {
	switch in.event {
	case evManualStart, evAutomaticStart, evIdleHoldExpires:
		if s.dials {
			s.stop(timerIdleHold)
			s.dial()
		}
	case evManualStartPassive, evAutomaticStartPasv:
		s.stop(timerIdleHold)
		s.state = Active
	case evManualStop:
		s.stop(timerIdleHold)
	case evTCPConfirmed, evTCPRequestAcked:
		s.do(doClose) // nobody asked for it
	default:
	}
}

func (s *stepper) dial() {
	s.state = Connect
	s.start(timerConnectRetry, s.connectRetry)
	s.do(doDial)
}

// connecting is Connect and Active, which differ in whether a connection is being
// made, and hence in what its failure means.
func (s *stepper) connecting(in input) {
	switch in.event {
	case evManualStart, evAutomaticStart, evManualStartPassive, evAutomaticStartPasv, evIdleHoldExpires:
	case evManualStop:
		s.toIdle(false)
	case evConnectRetryExpires:
		s.stop(timerDelayOpen)
		s.do(doClose)
		s.dial()
	case evTCPRequestAcked, evTCPConfirmed:
		s.stop(timerConnectRetry)
		if s.delayOpen > 0 {
			s.start(timerDelayOpen, s.delayOpen)
			return
		}
		s.open()
	case evDelayOpenExpires:
		if s.answers {
			s.toIdle(true)
			return
		}
		s.stop(timerConnectRetry)
		s.open()
	case evTCPFails:
		if s.state == Connect && s.running.has(timerDelayOpen) {
			s.toActive()
			return
		}
		s.toIdle(true)
	case evOpen, evOpenDelayed:
		if !s.running.has(timerDelayOpen) {
			s.toIdle(true)
			return
		}
		s.stop(timerConnectRetry, timerDelayOpen)
		s.do(doOpen)
		s.opened = true
		s.confirm(in.hold)
	case evHeaderError, evOpenError:
		s.failBeforeOpen(in.say)
	case evCollisionDump:
		s.failBeforeOpen(collision)
	default:
		s.toIdle(true)
	}
}

// failBeforeOpen answers somebody who has connected and spoken: a NOTIFICATION
// comes behind our OPEN or not at all.
func (s *stepper) failBeforeOpen(n bgp.Notification) {
	if s.running.has(timerDelayOpen) {
		s.do(doOpen)
		s.opened = true
	}
	s.fail(n)
}

// toActive waits for the next dial.
func (s *stepper) toActive() {
	s.stop(timerHold, timerKeepalive, timerDelayOpen)
	s.do(doClose)
	s.state, s.opened, s.hold = Active, false, 0
	s.start(timerConnectRetry, s.connectRetry)
}

func (s *stepper) open() {
	s.do(doOpen)
	s.opened = true
	s.state = OpenSent
	s.start(timerHold, openHold)
}

// confirm answers an OPEN that has been accepted.
func (s *stepper) confirm(hold time.Duration) {
	s.do(doKeepalive)
	s.state, s.hold = OpenConfirm, hold
	if hold == 0 {
		// No timers, once the session is up. RFC 4271 would wait for the first
		// KEEPALIVE for ever; we wait for it as long as for an OPEN.
		s.start(timerHold, openHold)
		return
	}
	s.start(timerHold, hold)
	s.start(timerKeepalive, hold/3)
}

func (s *stepper) openSent(in input) {
	switch in.event {
	case evOpen:
		s.confirm(in.hold)
	case evTCPFails:
		if s.dials {
			s.toActive()
			return
		}
		s.toIdle(true)
	default:
		s.afterOpen(in)
	}
}

func (s *stepper) openConfirm(in input) {
	switch in.event {
	case evKeepalive:
		s.state = Established
		if s.hold == 0 {
			s.stop(timerHold)
		}
		s.restartHold()
		if s.hold > 0 && s.sendHold > 0 {
			s.start(timerSendHold, s.sendHold)
		}
		s.do(doEstablished)
	default:
		s.afterOpen(in)
	}
}

func (s *stepper) established(in input) {
	switch in.event {
	case evKeepalive, evUpdate, evRefresh:
		s.restartHold()
	case evUpdateError:
		s.fail(in.say)
	case evSendHoldExpires:
		s.fail(sendHoldExpired)
	case evTCPConfirmed, evTCPRequestAcked:
		// The neighbour has restarted and is here again: the old session ends
		// without a word, and its routes are kept (RFC 4724 §4.2).
		s.toIdle(true)
	default:
		s.afterOpen(in)
	}
}

func (s *stepper) restartHold() {
	if s.hold > 0 {
		s.start(timerHold, s.hold)
	}
}

// afterOpen is what OpenSent, OpenConfirm and Established have in common.
func (s *stepper) afterOpen(in input) {
	switch in.event {
	case evManualStop:
		s.notify(in.say)
		s.toIdle(false)
	case evAutomaticStop, evHeaderError:
		s.fail(in.say)
	case evHoldExpires:
		s.fail(holdExpired)
	case evKeepaliveExpires:
		s.do(doKeepalive)
		s.start(timerKeepalive, s.hold/3)
	case evOpenError:
		if s.state == OpenSent {
			s.fail(in.say)
			return
		}
		s.unexpected(in.event)
	case evCollisionDump:
		s.fail(collision)
	case evTCPFails, evNotificationVersion, evNotification:
		s.toIdle(true)
	case evOpen, evOpenDelayed, evKeepalive, evUpdate, evUpdateError, evRefresh:
		s.unexpected(in.event)
	default: // starts, timers of other states, and a connection that is another's
	}
}
