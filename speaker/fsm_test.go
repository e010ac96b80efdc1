package speaker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ribtap/ribtap/bgp"
)

// fsmCase is one row of the transition table: what an FSM in a state makes of an
// event.
type fsmCase struct {
	name string
	m    machine
	in   input
	next State
	want string // actions
}

func running(list ...timer) (t timers) {
	for _, x := range list {
		t |= 1 << x
	}
	return t
}

// Machines in each state, as they come there.
var (
	fsmIdle        = machine{state: Idle, dials: true, connectRetry: 30 * time.Second}
	fsmPaused      = machine{state: Idle, dials: true, connectRetry: 30 * time.Second, running: running(timerIdleHold)}
	fsmConnect     = machine{state: Connect, dials: true, connectRetry: 30 * time.Second, running: running(timerConnectRetry)}
	fsmActive      = machine{state: Active, dials: true, connectRetry: 30 * time.Second, running: running(timerConnectRetry)}
	fsmPassive     = machine{state: Active, delayOpen: 5 * time.Second}
	fsmAtOnce      = machine{state: Active}
	fsmDelaying    = machine{state: Active, delayOpen: 5 * time.Second, running: running(timerDelayOpen)}
	fsmAnswering   = machine{state: Active, delayOpen: 5 * time.Second, answers: true, running: running(timerDelayOpen)}
	fsmDialDelay   = machine{state: Connect, dials: true, delayOpen: 5 * time.Second, connectRetry: 30 * time.Second, running: running(timerDelayOpen)}
	fsmOpenSent    = machine{state: OpenSent, opened: true, running: running(timerHold)}
	fsmOpenDialled = machine{state: OpenSent, dials: true, connectRetry: 30 * time.Second, opened: true, running: running(timerHold)}
	fsmConfirm     = machine{state: OpenConfirm, opened: true, hold: 90 * time.Second, sendHold: 480 * time.Second, running: running(timerHold, timerKeepalive)}
	fsmConfirmZero = machine{state: OpenConfirm, opened: true, sendHold: 480 * time.Second, running: running(timerHold)}
	fsmUp          = machine{
		state: Established, opened: true, hold: 90 * time.Second, sendHold: 480 * time.Second,
		running: running(timerHold, timerKeepalive, timerSendHold),
	}
	fsmUpDialled = machine{
		state: Established, dials: true, opened: true, hold: 90 * time.Second, sendHold: 480 * time.Second,
		running: running(timerHold, timerKeepalive, timerSendHold),
	}
	fsmUpZero = machine{state: Established, opened: true, sendHold: 480 * time.Second}
)

func saying(e fsmEvent, code, subcode uint8) input {
	return input{event: e, say: bgp.Notification{Code: code, Subcode: subcode}}
}

func on(e fsmEvent) input { return input{event: e} }

const (
	stopsOpenSent = "stop hold; close"
	stopsConfirm  = "stop hold; stop keepalive; close"
	stopsUp       = "stop hold; stop keepalive; stop send-hold; close"
)

var fsmCases = []fsmCase{
	{"start", fsmIdle, on(evManualStart), Connect, "start connect-retry 30s; dial"},
	{"automatic start", fsmIdle, on(evAutomaticStart), Connect, "start connect-retry 30s; dial"},
	{"idle hold over", fsmPaused, on(evIdleHoldExpires), Connect, "start connect-retry 30s; dial"},
	{"passive start", machine{state: Idle}, on(evManualStartPassive), Active, ""},
	{"automatic passive start", machine{state: Idle}, on(evAutomaticStartPasv), Active, ""},
	{"stop in a pause", fsmPaused, on(evManualStop), Idle, "stop idle-hold"},
	{"a connection while idle", fsmIdle, on(evTCPConfirmed), Idle, "close"},
	{"what is left of a session", fsmIdle, on(evUpdate), Idle, ""},
	{"a timer that was stopped", fsmIdle, on(evHoldExpires), Idle, ""},

	{"connected", fsmConnect, on(evTCPRequestAcked), OpenSent, "stop connect-retry; OPEN; start hold 4m0s"},
	{"refused", fsmConnect, on(evTCPFails), Idle, "stop connect-retry; close; start idle-hold"},
	{"dial takes too long", fsmConnect, on(evConnectRetryExpires), Connect, "close; start connect-retry 30s; dial"},
	{"start again", fsmConnect, on(evManualStart), Connect, ""},
	{"stop while dialling", fsmConnect, on(evManualStop), Idle, "stop connect-retry; close"},
	{"reset while dialling", fsmConnect, saying(evAutomaticStop, 6, 4), Idle, "stop connect-retry; close; start idle-hold"},
	{"failed while delaying", fsmDialDelay, on(evTCPFails), Active, "stop delay-open; close; start connect-retry 30s"},
	{"delay over", fsmDialDelay, on(evDelayOpenExpires), OpenSent, "OPEN; start hold 4m0s"},

	{"retry", fsmActive, on(evConnectRetryExpires), Connect, "close; start connect-retry 30s; dial"},
	{"stop while active", fsmActive, on(evManualStop), Idle, "stop connect-retry; close"},
	{"accepted, with a delay", fsmPassive, on(evTCPConfirmed), Active, "start delay-open 5s"},
	{"accepted, without", fsmAtOnce, on(evTCPConfirmed), OpenSent, "OPEN; start hold 4m0s"},
	{"OPEN in time", fsmDelaying, input{event: evOpenDelayed, hold: 90 * time.Second}, OpenConfirm, "stop delay-open; OPEN; KEEPALIVE; start hold 1m30s; start keepalive 30s"},
	{"OPEN in time, no hold time", fsmDelaying, on(evOpenDelayed), OpenConfirm, "stop delay-open; OPEN; KEEPALIVE; start hold 4m0s"},
	{"no OPEN in time", fsmDelaying, on(evDelayOpenExpires), OpenSent, "OPEN; start hold 4m0s"},
	{"no OPEN to answer", fsmAnswering, on(evDelayOpenExpires), Idle, "close"},
	{"bad OPEN before ours", fsmDelaying, saying(evOpenError, 2, 2), Idle, "OPEN; 2/2; stop delay-open; close"},
	{"bad header before ours", fsmDelaying, saying(evHeaderError, 1, 1), Idle, "OPEN; 1/1; stop delay-open; close"},
	{"collision before our OPEN", fsmDelaying, on(evCollisionDump), Idle, "OPEN; 6/7; stop delay-open; close"},
	{"KEEPALIVE before OPEN", fsmDelaying, on(evKeepalive), Idle, "stop delay-open; close"},
	{"UPDATE before OPEN", fsmDelaying, on(evUpdate), Idle, "stop delay-open; close"},
	{"NOTIFICATION before OPEN", fsmDelaying, on(evNotification), Idle, "stop delay-open; close"},
	{"gone before OPEN", fsmDelaying, on(evTCPFails), Idle, "stop delay-open; close"},
	{"stop before OPEN", fsmDelaying, saying(evManualStop, 6, 2), Idle, "stop delay-open; close"},

	{"OPEN", fsmOpenSent, input{event: evOpen, hold: 90 * time.Second}, OpenConfirm, "KEEPALIVE; start hold 1m30s; start keepalive 30s"},
	{"OPEN without hold time", fsmOpenSent, on(evOpen), OpenConfirm, "KEEPALIVE; start hold 4m0s"},
	{"bad OPEN", fsmOpenSent, saying(evOpenError, 2, 6), Idle, "2/6; " + stopsOpenSent},
	{"bad header", fsmOpenSent, saying(evHeaderError, 1, 2), Idle, "1/2; " + stopsOpenSent},
	{"no OPEN", fsmOpenSent, on(evHoldExpires), Idle, "4/0; close"},
	{"collision", fsmOpenSent, on(evCollisionDump), Idle, "6/7; " + stopsOpenSent},
	{"version refused", fsmOpenSent, on(evNotificationVersion), Idle, stopsOpenSent},
	{"NOTIFICATION is never answered", fsmOpenSent, on(evNotification), Idle, stopsOpenSent},
	{"KEEPALIVE instead of OPEN", fsmOpenSent, on(evKeepalive), Idle, "5/1+04; " + stopsOpenSent},
	{"UPDATE instead of OPEN", fsmOpenSent, on(evUpdate), Idle, "5/1+02; " + stopsOpenSent},
	{"REFRESH instead of OPEN", fsmOpenSent, on(evRefresh), Idle, "5/1+05; " + stopsOpenSent},
	{"accepted and gone", fsmOpenSent, on(evTCPFails), Idle, stopsOpenSent},
	{"dialled and gone", fsmOpenDialled, on(evTCPFails), Active, "stop hold; close; start connect-retry 30s"},
	{"stop", fsmOpenSent, saying(evManualStop, 6, 2), Idle, "6/2; " + stopsOpenSent},
	{"reset of a dialled one", fsmOpenDialled, saying(evAutomaticStop, 6, 4), Idle, "6/4; " + stopsOpenSent + "; start idle-hold"},
	{"stop of a dialled one", fsmOpenDialled, saying(evManualStop, 6, 2), Idle, "6/2; " + stopsOpenSent},
	{"another connection", fsmOpenSent, on(evTCPConfirmed), OpenSent, ""},

	{"KEEPALIVE", fsmConfirm, on(evKeepalive), Established, "start hold 1m30s; start send-hold 8m0s; established"},
	{"KEEPALIVE without hold time", fsmConfirmZero, on(evKeepalive), Established, "stop hold; established"},
	{"no KEEPALIVE, no hold time", fsmConfirmZero, on(evHoldExpires), Idle, "4/0; close"},
	{"time for a KEEPALIVE", fsmConfirm, on(evKeepaliveExpires), OpenConfirm, "KEEPALIVE; start keepalive 30s"},
	{"no KEEPALIVE", fsmConfirm, on(evHoldExpires), Idle, "4/0; stop keepalive; close"},
	{"collision in OpenConfirm", fsmConfirm, on(evCollisionDump), Idle, "6/7; " + stopsConfirm},
	{"second OPEN", fsmConfirm, on(evOpen), Idle, "5/2+01; " + stopsConfirm},
	{"second OPEN, a bad one", fsmConfirm, saying(evOpenError, 2, 2), Idle, "5/2+01; " + stopsConfirm},
	{"UPDATE before KEEPALIVE", fsmConfirm, on(evUpdate), Idle, "5/2+02; " + stopsConfirm},
	{"bad UPDATE before KEEPALIVE", fsmConfirm, saying(evUpdateError, 3, 1), Idle, "5/2+02; " + stopsConfirm},
	{"REFRESH before KEEPALIVE", fsmConfirm, on(evRefresh), Idle, "5/2+05; " + stopsConfirm},
	{"refused", fsmConfirm, on(evNotification), Idle, stopsConfirm},
	{"version refused", fsmConfirm, on(evNotificationVersion), Idle, stopsConfirm},
	{"gone", fsmConfirm, on(evTCPFails), Idle, stopsConfirm},
	{"bad header", fsmConfirm, saying(evHeaderError, 1, 3), Idle, "1/3; " + stopsConfirm},
	{"stop", fsmConfirm, saying(evManualStop, 6, 3), Idle, "6/3; " + stopsConfirm},
	{"reset", fsmConfirm, saying(evAutomaticStop, 6, 6), Idle, "6/6; " + stopsConfirm},

	{"UPDATE", fsmUp, on(evUpdate), Established, "start hold 1m30s"},
	{"KEEPALIVE", fsmUp, on(evKeepalive), Established, "start hold 1m30s"},
	{"REFRESH", fsmUp, on(evRefresh), Established, "start hold 1m30s"},
	{"UPDATE without hold time", fsmUpZero, on(evUpdate), Established, ""},
	{"time for a KEEPALIVE", fsmUp, on(evKeepaliveExpires), Established, "KEEPALIVE; start keepalive 30s"},
	{"silence", fsmUp, on(evHoldExpires), Idle, "4/0; stop keepalive; stop send-hold; close"},
	{"nothing can be sent", fsmUp, on(evSendHoldExpires), Idle, "8/0; stop hold; stop keepalive; close"},
	{"fatal UPDATE", fsmUp, saying(evUpdateError, 3, 1), Idle, "3/1; " + stopsUp},
	{"bad header", fsmUp, saying(evHeaderError, 1, 1), Idle, "1/1; " + stopsUp},
	{"OPEN", fsmUp, on(evOpen), Idle, "5/3+01; " + stopsUp},
	{"bad OPEN", fsmUp, saying(evOpenError, 2, 1), Idle, "5/3+01; " + stopsUp},
	{"NOTIFICATION", fsmUp, on(evNotification), Idle, stopsUp},
	{"NOTIFICATION of a version", fsmUp, on(evNotificationVersion), Idle, stopsUp},
	{"gone", fsmUp, on(evTCPFails), Idle, stopsUp},
	{"gone, dialled", fsmUpDialled, on(evTCPFails), Idle, stopsUp + "; start idle-hold"},
	{"collision", fsmUp, on(evCollisionDump), Idle, "6/7; " + stopsUp},
	{"the neighbour is here again", fsmUp, on(evTCPConfirmed), Idle, stopsUp},
	{"stop", fsmUp, saying(evManualStop, 6, 2), Idle, "6/2; " + stopsUp},
	{"removed", fsmUp, saying(evManualStop, 6, 3), Idle, "6/3; " + stopsUp},
	{"reset", fsmUp, saying(evAutomaticStop, 6, 4), Idle, "6/4; " + stopsUp},
	{"stop, dialled", fsmUpDialled, saying(evManualStop, 6, 2), Idle, "6/2; " + stopsUp},
	{"reset, dialled", fsmUpDialled, saying(evAutomaticStop, 6, 4), Idle, "6/4; " + stopsUp + "; start idle-hold"},
}

func actionTexts(actions []action) string {
	list := make([]string, len(actions))
	for i, a := range actions {
		list[i] = a.String()
	}
	return strings.Join(list, "; ")
}

func TestFSMTable(t *testing.T) {
	for _, tc := range fsmCases {
		t.Run(fmt.Sprintf("%s/%d %s", tc.m.state, tc.in.event, tc.name), func(t *testing.T) {
			next, actions := step(tc.m, tc.in)
			if got := actionTexts(actions); got != tc.want {
				t.Errorf("does   %s\nshould %s", got, tc.want)
			}
			if next.state != tc.next {
				t.Errorf("goes to %s, should to %s", next.state, tc.next)
			}
		})
	}
}

var fsmEvents = []fsmEvent{
	evManualStart, evManualStop, evAutomaticStart, evManualStartPassive, evAutomaticStartPasv, evAutomaticStop,
	evConnectRetryExpires, evHoldExpires, evKeepaliveExpires, evDelayOpenExpires, evIdleHoldExpires,
	evTCPRequestAcked, evTCPConfirmed, evTCPFails, evOpen, evOpenDelayed, evHeaderError, evOpenError,
	evCollisionDump, evNotificationVersion, evNotification, evKeepalive, evUpdate, evUpdateError,
	evSendHoldExpires, evRefresh, 6, 7, 14, 15, 30, 255,
}

// fsmWatch follows one FSM and says which promise it breaks.
type fsmWatch struct {
	opens                 int // on this connection
	silent                bool
	heardOpen, heardAlive bool
	told                  timers
}

func (w *fsmWatch) watch(before, after machine, in input, actions []action) string {
	switch in.event {
	case evOpen, evOpenDelayed:
		w.heardOpen = true
	case evKeepalive:
		w.heardAlive = w.heardOpen
	default:
	}
	for _, a := range actions {
		switch a.do {
		case doOpen:
			if w.opens++; w.opens > 1 {
				return "two OPENs on one connection"
			}
			fallthrough
		case doKeepalive:
			if w.silent {
				return "a message behind a NOTIFICATION"
			}
		case doNotify:
			if w.opens == 0 || w.silent {
				return "a NOTIFICATION before OPEN or behind another"
			}
			w.silent = true
		case doClose:
			w.opens, w.silent, w.heardOpen, w.heardAlive = 0, false, false, false
		case doStart:
			w.told |= 1 << a.timer
		case doStop:
			w.told &^= 1 << a.timer
		case doEstablished:
			if w.opens != 1 || !w.heardOpen || !w.heardAlive || before.state != OpenConfirm {
				return "Established without OPEN and KEEPALIVE of both sides"
			}
		default:
		}
	}
	for i, e := range timerEvents {
		if e == in.event && !slices.ContainsFunc(actions, func(a action) bool { return a.do == doStart && a.timer == timer(i) }) {
			w.told &^= 1 << i // it has run out
		}
	}
	switch {
	case w.told != after.running:
		return fmt.Sprintf("timers %b run, and %b were asked for", after.running, w.told)
	case after.state == Idle && after.running&^(1<<timerIdleHold) != 0:
		return "a timer runs in Idle"
	case w.silent:
		return "a NOTIFICATION and no end"
	case (after.state >= OpenSent) != (w.opens == 1) && after.state != Idle:
		return "OpenSent or later is not where our OPEN was sent"
	case after.state == Established && before.state != Established && before.state != OpenConfirm:
		return "Established from nowhere"
	case after.state == Established && after.hold == 0 && after.running != 0:
		return "a timer runs without a hold time"
	}
	return ""
}

// TestFSMPromises feeds random events, in any order, to FSMs of both kinds.
func TestFSMPromises(t *testing.T) {
	reached := map[State]int{}
	for seed := range uint64(4000) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		m := machine{state: Idle, dials: seed%2 == 0, connectRetry: 30 * time.Second, sendHold: 8 * time.Minute, answers: seed%5 == 0}
		if seed%3 > 0 {
			m.delayOpen = 5 * time.Second
		}
		var w fsmWatch
		var trace []string
		for range 200 {
			in := input{event: fsmEvents[rnd.IntN(len(fsmEvents))], say: bgp.Notification{Code: 6, Subcode: 2}}
			if rnd.IntN(3) > 0 { // what leads on
				in.event = map[State]fsmEvent{
					Idle: evAutomaticStartPasv, Connect: evTCPRequestAcked, Active: evTCPConfirmed,
					OpenSent: evOpen, OpenConfirm: evKeepalive, Established: evUpdate,
				}[m.state]
				if m.running.has(timerDelayOpen) {
					in.event = evOpenDelayed
				}
			}
			if rnd.IntN(2) > 0 {
				in.hold = 90 * time.Second
			}
			before := m
			var actions []action
			m, actions = step(m, in)
			trace = append(trace, fmt.Sprintf("%s %d → %s: %s", before.state, in.event, m.state, actionTexts(actions)))
			if broken := w.watch(before, m, in, actions); broken != "" {
				t.Fatalf("seed %d: %s\n%s", seed, broken, strings.Join(trace, "\n"))
			}
			reached[m.state]++
		}
	}
	for s := Idle; s <= Established; s++ {
		if reached[s] < 1000 {
			t.Errorf("%s was reached %d times", s, reached[s])
		}
	}
}

var timerNames = [timerCount]string{"connect-retry", "hold", "keepalive", "delay-open", "idle-hold", "send-hold"}

func dataText(data []byte) string {
	if len(data) == 0 {
		return ""
	}
	return fmt.Sprintf("+%x", data)
}

// String returns the action in the words of the transition tests.
func (a action) String() string {
	switch a.do {
	case doDial:
		return "dial"
	case doOpen:
		return "OPEN"
	case doKeepalive:
		return "KEEPALIVE"
	case doNotify:
		return fmt.Sprintf("%d/%d%s", a.say.Code, a.say.Subcode, dataText(a.say.Data))
	case doClose:
		return "close"
	case doStart:
		if a.after == 0 {
			return "start " + timerNames[a.timer]
		}
		return "start " + timerNames[a.timer] + " " + a.after.String()
	case doStop:
		return "stop " + timerNames[a.timer]
	case doEstablished:
		return "established"
	}
	return "?"
}
