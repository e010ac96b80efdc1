package speaker

import (
	"time"

	"github.com/ribtap/ribtap/bgp"
)

// fsmEvent is what an FSM is told, by the numbers of RFC 4271 §8.1 and RFC 9687
// §3.2, which are also those of a BMP Peer Down (RFC 7854 §4.9).
type fsmEvent uint8

const (
	evManualStart         fsmEvent = 1
	evManualStop          fsmEvent = 2
	evAutomaticStart      fsmEvent = 3
	evManualStartPassive  fsmEvent = 4
	evAutomaticStartPasv  fsmEvent = 5
	evAutomaticStop       fsmEvent = 8
	evConnectRetryExpires fsmEvent = 9
	evHoldExpires         fsmEvent = 10
	evKeepaliveExpires    fsmEvent = 11
	evDelayOpenExpires    fsmEvent = 12
	evIdleHoldExpires     fsmEvent = 13
	evTCPRequestAcked     fsmEvent = 16
	evTCPConfirmed        fsmEvent = 17
	evTCPFails            fsmEvent = 18
	evOpen                fsmEvent = 19
	evOpenDelayed         fsmEvent = 20 // OPEN with the DelayOpenTimer running
	evHeaderError         fsmEvent = 21
	evOpenError           fsmEvent = 22
	evCollisionDump       fsmEvent = 23
	evNotificationVersion fsmEvent = 24
	evNotification        fsmEvent = 25
	evKeepalive           fsmEvent = 26
	evUpdate              fsmEvent = 27
	evUpdateError         fsmEvent = 28
	evSendHoldExpires     fsmEvent = 29
	evRefresh             fsmEvent = 128 // ROUTE-REFRESH, to which no RFC gives a number
	lastFSMEvent                   = evSendHoldExpires
	firstUnnumberedEvent           = evRefresh
)

// number is the event in a BMP Peer Down: 0 for what has none.
func (e fsmEvent) number() uint8 {
	if e >= firstUnnumberedEvent {
		return 0
	}
	return uint8(e)
}

// messageType is the type of the message that the event stands for, 0 without.
func (e fsmEvent) messageType() uint8 {
	switch e {
	case evOpen, evOpenDelayed, evOpenError:
		return bgp.MessageOpen
	case evKeepalive:
		return bgp.MessageKeepalive
	case evUpdate, evUpdateError:
		return bgp.MessageUpdate
	case evRefresh:
		return bgp.MessageRouteRefresh
	default:
		return 0
	}
}

// input is an event with what belongs to it.
type input struct {
	event fsmEvent
	// hold was settled on; of evOpen and evOpenDelayed.
	hold time.Duration
	// say is the NOTIFICATION for events 21, 22 and 28, and the Cease for 2 and 8.
	say bgp.Notification
}

// timer is one of RFC 4271 §8 or RFC 9687.
type timer uint8

const (
	timerConnectRetry timer = iota
	timerHold
	timerKeepalive
	timerDelayOpen
	timerIdleHold
	timerSendHold
	timerCount
)

// timerEvents are told when a timer expires.
var timerEvents = [timerCount]fsmEvent{
	timerConnectRetry: evConnectRetryExpires,
	timerHold:         evHoldExpires,
	timerKeepalive:    evKeepaliveExpires,
	timerDelayOpen:    evDelayOpenExpires,
	timerIdleHold:     evIdleHoldExpires,
	timerSendHold:     evSendHoldExpires,
}

// deed is what an action does.
type deed uint8

const (
	doDial        deed = iota + 1 // begin to connect
	doOpen                        // send our OPEN
	doKeepalive                   // send a KEEPALIVE
	doNotify                      // send a NOTIFICATION, the last message of a connection
	doClose                       // drop the connection, or the attempt to make one
	doStart                       // start or restart a timer
	doStop                        // stop a timer
	doEstablished                 // hand the session over
)

// action is what an FSM wants to be done.
type action struct {
	do    deed
	timer timer
	after time.Duration // of doStart; 0 with timerIdleHold: as long as the dialler sees fit
	say   bgp.Notification
}
