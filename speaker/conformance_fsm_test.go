package speaker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/speaker/speakertest"
)

// walk is one row of the transition table of RFC 4271 §8.2.2, on the wire: an FSM
// that is brought to a state by a neighbour hears something, and the neighbour
// hears what comes of it.
type walk struct {
	name    string
	from    State
	dialled bool // the connection is ours
	do      func(w *walker)
	// hears are the messages that come, in order, separated by semicolons: OPEN,
	// KEEPALIVE, EOR for both End-of-RIB, a NOTIFICATION as code/subcode with its
	// data, behind which the connection ends; closed, without a word; or nothing,
	// for a second.
	hears string
	to    State
	// down is what the receiver of an Established session is told: the reason and
	// the event of RFC 7854 §4.9.
	down string
}

// walker is the neighbour of one row.
type walker struct {
	t *testing.T
	r *engineRig
	p *speakertest.Peer
	// refuse makes dials fail, if set.
	refuse atomic.Bool
	dialed atomic.Int64
}

func newWalker(t *testing.T, row *walk) *walker {
	w := &walker{t: t}
	peer := enginePeer()
	if row.dialled {
		peer = enginePeer(active)
	}
	w.r = newEngineRig(t, engineConfig(peer), func(r *engineRig) {
		connect := r.s.connect
		r.s.connect = func(ctx context.Context, p *Peer, to netip.AddrPort) (net.Conn, error) {
			w.dialed.Add(1)
			if w.refuse.Load() {
				return nil, errors.New("refused")
			}
			return connect(ctx, p, to)
		}
	})
	if row.dialled {
		w.toDialled(row.from)
	} else {
		w.toAccepted(row.from)
	}
	synctest.Wait()
	if got := w.r.s.Peers()[0].State; got != row.from {
		t.Fatalf("began in %v", got)
	}
	return w
}

// toAccepted has the neighbour call: up to OpenSent it has said nothing.
func (w *walker) toAccepted(s State) {
	if s == Idle {
		w.ok(w.r.s.Disable("one", ""))
		return
	}
	w.p = w.r.call("192.0.2.1")
	if s == OpenSent {
		time.Sleep(5 * time.Second)
		w.p.Expect(bgp.MessageOpen)
	}
	if s > OpenSent {
		w.p.Send(walkOpen())
		w.p.Expect(bgp.MessageOpen, bgp.MessageKeepalive)
	}
	if s == Established {
		w.confirm()
	}
}

// toDialled has the neighbour take our call. In Connect it does not answer yet.
func (w *walker) toDialled(s State) {
	if s == Connect {
		return
	}
	w.p = w.r.answer()
	w.p.Expect(bgp.MessageOpen)
	switch {
	case s == Active:
		w.p.Close() // in OpenSent
	case s > OpenSent:
		w.p.Send(walkOpen())
		w.p.Expect(bgp.MessageKeepalive)
	}
	if s == Established {
		w.confirm()
	}
}

func (w *walker) confirm() {
	w.p.Send(speakertest.Keepalive())
	<-w.r.h.up
	w.p.Expect(bgp.MessageUpdate, bgp.MessageUpdate)
}

func walkOpen() []byte { return speakertest.Open(65001, "192.0.2.1") }

func (w *walker) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Error(err)
	}
}

// hears checks what the neighbour hears.
func (w *walker) hears(list string) {
	w.t.Helper()
	for what := range strings.SplitSeq(list, "; ") {
		switch what {
		case "":
		case "OPEN":
			w.p.Expect(bgp.MessageOpen)
		case "KEEPALIVE":
			w.p.Expect(bgp.MessageKeepalive)
		case "EOR":
			w.p.ExpectHex(bgp.MessageUpdate, "00000000")
			w.p.ExpectHex(bgp.MessageUpdate, "00000006800f03000201")
		case "closed":
			w.p.ExpectClosed()
		case "nothing":
			w.p.ExpectNothing(time.Second)
		default:
			var code, subcode uint8
			number, data, _ := strings.Cut(what, " ")
			if _, err := fmt.Sscanf(number, "%d/%d", &code, &subcode); err != nil {
				w.t.Fatalf("%q: %v", what, err)
			}
			w.p.ExpectNotification(code, subcode, data)
		}
	}
}

// Things that a neighbour, an operator or time does.

func says(msg []byte) func(*walker) { return func(w *walker) { w.p.Send(msg) } }

func saysHex(t *testing.T, typ uint8, body string) func(*walker) {
	return says(speakertest.HexMessage(t, typ, body))
}

func leaves(w *walker) { w.p.Close() }

func passes(d time.Duration) func(*walker) { return func(*walker) { time.Sleep(d) } }

func disables(w *walker) { w.ok(w.r.s.Disable("one", "")) }
func resets(w *walker)   { w.ok(w.r.s.Reset("one", ResetHard, "")) }

func applies(cfg Config) func(*walker) {
	return func(w *walker) {
		_, err := w.r.s.Apply(cfg)
		w.ok(err)
	}
}

// finds has the receiver find fault with an UPDATE.
func finds(f Fault) func(*walker) {
	return func(w *walker) {
		w.r.h.fault = &f
		w.p.Send(speakertest.HexMessage(w.t, bgp.MessageUpdate, "00000000"))
	}
}

// listens has the neighbour go on with KEEPALIVEs for a time in which the hold time
// of 90 s would run out: it must be restarted by every message. When the next
// KEEPALIVE comes is chance by then, so nothing more is asked of what is heard.
func listens(t *testing.T, typ uint8, body string) func(*walker) {
	return func(w *walker) {
		for range 4 {
			time.Sleep(60 * time.Second)
			w.p.Send(speakertest.HexMessage(t, typ, body))
			for synctest.Wait(); w.p.Waiting() > 0; {
				w.p.NextBut() // KEEPALIVEs, and answers to a ROUTE-REFRESH
			}
		}
	}
}

func walks(t *testing.T) []walk {
	const restPassive = Active // who may call is waited for
	keepalive := says(speakertest.Keepalive())
	update, refresh := saysHex(t, bgp.MessageUpdate, "00000000"), saysHex(t, bgp.MessageRouteRefresh, "00010001")
	ceased, version := saysHex(t, bgp.MessageNotification, "0602"), saysHex(t, bgp.MessageNotification, "0201 0004")
	garbage := says(make([]byte, bgp.HeaderLen))
	short := says(speakertest.Octets(t, strings.Repeat("ff", 16)+"0012 04"))
	unknown := says(speakertest.Message(7, nil))
	badOpen := saysHex(t, bgp.MessageOpen, "04 fde9 0001 c0000201 00") // a hold time of 1 s
	removed := applies(engineConfig())
	changed := func(p Peer) func(*walker) { p.HoldTime = time.Minute; return applies(engineConfig(p)) }
	passive, dialled := changed(enginePeer()), changed(enginePeer(active))
	return []walk{
		{"a connection of a disabled peer", Idle, false, func(w *walker) { w.p = w.r.call("192.0.2.1") }, "closed", Idle, ""},
		{"enabled", Idle, false, func(w *walker) { w.ok(w.r.s.Enable("one")) }, "", restPassive, ""},
		{"enabled, to dial", Idle, false, func(w *walker) {
			applies(engineConfig(enginePeer(active)))(w)
			w.p = w.r.answer()
		}, "OPEN; nothing", OpenSent, ""},

		{"connected", Connect, true, func(w *walker) { w.p = w.r.answer() }, "OPEN; nothing", OpenSent, ""},
		{"refused", Connect, true, func(w *walker) {
			w.refuse.Store(true)
			time.Sleep(40 * time.Second) // the dial under way is given up
			w.refuse.Store(false)
			n := w.dialed.Load()
			w.p = w.r.answer()
			if n < 2 || w.dialed.Load() != n+1 {
				w.t.Errorf("%d dials, then %d", n, w.dialed.Load())
			}
		}, "OPEN; nothing", OpenSent, ""},
		{"ConnectRetry", Connect, true, func(w *walker) {
			time.Sleep(31 * time.Second)
			if n := w.dialed.Load(); n != 2 {
				w.t.Errorf("%d dials", n)
			}
		}, "", Connect, ""},
		{"stop", Connect, true, func(w *walker) {
			disables(w)
			time.Sleep(time.Hour)
			if n := w.dialed.Load(); n != 1 {
				w.t.Errorf("%d dials", n)
			}
		}, "", Idle, ""},

		{"accepted, waiting for OPEN", Active, false, passes(0), "nothing", Active, ""},
		{"DelayOpen over", Active, false, passes(5 * time.Second), "OPEN; nothing", OpenSent, ""},
		{"OPEN", Active, false, says(walkOpen()), "OPEN; KEEPALIVE; nothing", OpenConfirm, ""},
		{"bad OPEN", Active, false, badOpen, "OPEN; 2/6", restPassive, ""},
		{"bad marker", Active, false, garbage, "OPEN; 1/1", restPassive, ""},
		{"bad length", Active, false, short, "OPEN; 1/2 0012", restPassive, ""},
		{"unknown type", Active, false, unknown, "OPEN; 1/3 07", restPassive, ""},
		{"KEEPALIVE", Active, false, keepalive, "closed", restPassive, ""},
		{"UPDATE", Active, false, update, "closed", restPassive, ""},
		{"ROUTE-REFRESH", Active, false, refresh, "closed", restPassive, ""},
		{"NOTIFICATION", Active, false, ceased, "closed", restPassive, ""},
		{"stop", Active, false, disables, "closed", Idle, ""},
		{"TCP fails", Active, false, leaves, "", restPassive, ""},
		{"ConnectRetry", Active, true, func(w *walker) { w.p = w.r.answer() }, "OPEN; nothing", OpenSent, ""},
		{"stop, dialled", Active, true, func(w *walker) {
			disables(w)
			time.Sleep(time.Hour)
			if n := w.dialed.Load(); n != 1 {
				w.t.Errorf("%d dials", n)
			}
		}, "", Idle, ""},

		{"OPEN", OpenSent, false, says(walkOpen()), "KEEPALIVE; nothing", OpenConfirm, ""},
		{"OPEN, dialled", OpenSent, true, says(walkOpen()), "KEEPALIVE; nothing", OpenConfirm, ""},
		{"bad OPEN", OpenSent, false, badOpen, "2/6", restPassive, ""},
		{"hold time", OpenSent, true, passes(4 * time.Minute), "4/0", Idle, ""},
		{"TCP fails", OpenSent, false, leaves, "", restPassive, ""},
		{"TCP fails, dialled", OpenSent, true, leaves, "", Active, ""},
		{"bad marker", OpenSent, false, garbage, "1/1", restPassive, ""},
		{"bad length", OpenSent, false, short, "1/2 0012", restPassive, ""},
		{"unknown type", OpenSent, false, unknown, "1/3 07", restPassive, ""},
		{"KEEPALIVE", OpenSent, false, keepalive, "5/1 04", restPassive, ""},
		{"UPDATE", OpenSent, false, update, "5/1 02", restPassive, ""},
		{"ROUTE-REFRESH", OpenSent, false, refresh, "5/1 05", restPassive, ""},
		{"NOTIFICATION", OpenSent, false, ceased, "closed", restPassive, ""},
		{"NOTIFICATION of the version", OpenSent, false, version, "closed", restPassive, ""},
		{"stop", OpenSent, false, disables, "6/2", Idle, ""},
		{"reset", OpenSent, false, resets, "6/4", restPassive, ""},
		{"change", OpenSent, false, passive, "6/6", restPassive, ""},
		{"stop, dialled", OpenSent, true, disables, "6/2", Idle, ""},

		{"KEEPALIVE", OpenConfirm, false, keepalive, "EOR; nothing", Established, ""},
		{"KEEPALIVE, dialled", OpenConfirm, true, keepalive, "EOR; nothing", Established, ""},
		{"keepalive time", OpenConfirm, false, passes(31 * time.Second), "KEEPALIVE; nothing", OpenConfirm, ""},
		{"hold time", OpenConfirm, false, passes(90 * time.Second), "4/0", restPassive, ""},
		{"TCP fails", OpenConfirm, false, leaves, "", restPassive, ""},
		{"TCP fails, dialled", OpenConfirm, true, leaves, "", Idle, ""},
		{"OPEN", OpenConfirm, false, says(walkOpen()), "5/2 01", restPassive, ""},
		{"bad OPEN", OpenConfirm, false, badOpen, "5/2 01", restPassive, ""},
		{"UPDATE", OpenConfirm, false, update, "5/2 02", restPassive, ""},
		{"ROUTE-REFRESH", OpenConfirm, false, refresh, "5/2 05", restPassive, ""},
		{"bad marker", OpenConfirm, false, garbage, "1/1", restPassive, ""},
		{"unknown type", OpenConfirm, false, unknown, "1/3 07", restPassive, ""},
		{"NOTIFICATION", OpenConfirm, false, ceased, "closed", restPassive, ""},
		{"NOTIFICATION of the version", OpenConfirm, false, version, "closed", restPassive, ""},
		{"a later connection", OpenConfirm, false, func(w *walker) {
			later := w.r.call("192.0.2.1")
			later.Send(walkOpen())
			later.Expect(bgp.MessageOpen, bgp.MessageKeepalive)
		}, "6/7", OpenConfirm, ""},
		{"stop", OpenConfirm, false, disables, "6/2", Idle, ""},
		{"reset", OpenConfirm, false, resets, "6/4", restPassive, ""},
		{"change, dialled", OpenConfirm, true, dialled, "6/6", Idle, ""},

		{"UPDATE", Established, false, listens(t, bgp.MessageUpdate, "00000000"), "", Established, ""},
		{"KEEPALIVE", Established, false, listens(t, bgp.MessageKeepalive, ""), "", Established, ""},
		{"ROUTE-REFRESH", Established, false, listens(t, bgp.MessageRouteRefresh, "00010001"), "", Established, ""},
		{"keepalive time", Established, false, passes(31 * time.Second), "KEEPALIVE; nothing", Established, ""},
		{"hold time", Established, false, passes(90 * time.Second), "4/0", restPassive, "1 0 0400"},
		{"OPEN", Established, false, says(walkOpen()), "5/3 01", restPassive, "1 0 050301"},
		{"bad OPEN", Established, false, badOpen, "5/3 01", restPassive, "1 0 050301"},
		{"bad marker", Established, false, garbage, "1/1", restPassive, "1 0 0101"},
		{"bad length", Established, false, short, "1/2 0012", restPassive, "1 0 01020012"},
		{"unknown type", Established, false, unknown, "1/3 07", restPassive, "1 0 010307"},
		{"NOTIFICATION", Established, false, ceased, "closed", restPassive, "3 0 0602"},
		{"NOTIFICATION of the version", Established, false, version, "closed", restPassive, "3 0 02010004"},
		{"NOTIFICATION of one octet", Established, false, saysHex(t, bgp.MessageNotification, "06"), "1/2 0014", restPassive, "1 0 01020014"},
		{"TCP fails", Established, false, leaves, "", restPassive, "4 0 "},
		{"TCP fails, dialled", Established, true, leaves, "", Idle, "4 0 "},
		{"fatal UPDATE", Established, false, finds(Fault{Code: 3, Subcode: 1}), "3/1", restPassive, "1 0 0301"},
		{"too many prefixes", Established, false, finds(Fault{Code: 6, Subcode: 1, Data: []byte{0, 1, 1}}), "6/1 000101", restPassive, "1 0 0601000101"},
		{"the program cannot go on", Established, false, func(w *walker) {
			w.r.h.flushErr = errors.New("disk")
			w.p.Send(speakertest.HexMessage(t, bgp.MessageUpdate, "00000000"))
		}, "6/8", restPassive, "1 0 0608"},
		{"another connection", Established, false, func(w *walker) {
			other := w.r.call("192.0.2.1")
			other.Send(walkOpen())
			other.Expect(bgp.MessageOpen)
			other.ExpectNotification(6, 7, "")
		}, "nothing", Established, ""},
		{"stop", Established, false, disables, "6/2", Idle, "1 0 0602"},
		{"stop, dialled", Established, true, disables, "6/2", Idle, "1 0 0602"},
		{"reset", Established, false, resets, "6/4", restPassive, "1 0 0604"},
		{"change", Established, false, passive, "6/6", restPassive, "1 0 0606"},
		{"another AS is wanted", Established, false, applies(engineConfig(enginePeer(func(p *Peer) { p.RemoteASN = ASNList(65002) }))), "6/6", restPassive, "1 0 0606"},
		{"removed", Established, false, removed, "6/3", 0, "5 0 0603"},
		{"the speaker stops", Established, false, func(w *walker) { go w.r.stop() }, "6/2", restPassive, "1 0 0602"},
	}
}

// TestConformanceFSM walks every row.
func TestConformanceFSM(t *testing.T) {
	for _, row := range walks(t) {
		t.Run(row.from.String()+"/"+row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWalker(t, &row)
				row.do(w)
				w.hears(row.hears)
				synctest.Wait()
				var got State
				if list := w.r.s.Peers(); len(list) > 0 {
					got = list[0].State
				}
				if got != row.to {
					t.Errorf("goes to %v, should to %v", got, row.to)
				}
				if row.down == "" {
					if len(w.r.h.downs) > 0 {
						t.Errorf("a session that goes on has ended: %+v", <-w.r.h.downs)
					}
					return
				}
				var reason, event uint8
				var notification string
				_, _ = fmt.Sscan(row.down, &reason, &event, &notification)
				w.r.down(reason, event, notification)
			})
		})
	}
}
