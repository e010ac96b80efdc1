package speaker

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/speaker/speakertest"
)

func TestSessionPassive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer()))
		p := r.call("192.0.2.1")
		p.ExpectNothing(4 * time.Second) // our OPEN waits for theirs
		theirs := speakertest.Open(65001, "192.0.2.1", func(o *bgp.OpenParams) { o.ExtendedMessage = true })
		ours := p.Handshake(theirs)
		s := <-r.h.up
		p.ExpectHex(bgp.MessageUpdate, "00000000")
		p.ExpectHex(bgp.MessageUpdate, "0000 0006 800f03 000201")
		if string(s.Sent) != string(ours) || string(s.Received) != string(theirs) {
			t.Error("the OPENs of the session are not those on the wire")
		}
		if s.Peer.Name != "one" || s.RemoteASN != 65001 || s.LocalASN != 65000 || s.HoldTime != 90*time.Second || s.Dialled ||
			!s.Receive.AS4 || !s.Receive.ExtendedMessage || s.Receive.Peering != bgp.PeeringExternal || s.Remote.Port() != 40000 ||
			!slices.Equal(s.Families, []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast}) {
			t.Errorf("session %+v", s)
		}
		// Two UPDATEs in one piece, the second cut in the middle of its header.
		p.SendHex("ffffffffffffffffffffffffffffffff 0017 02 00000000 ffffffffffffffffffffffffffffffff 001e")
		p.SendHex("02 0000 0007 900f0003 000201")
		synctest.Wait()
		r.want("up 192.0.2.1 65001", "UPDATE 00000000", "flush", "UPDATE 00000007900f0003000201", "flush")
	})
}

func TestSessionOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer()))
		p := r.session()
		p.Send(speakertest.HexMessage(t, bgp.MessageUpdate, "0000 0007 900f0003 000201"), speakertest.Keepalive(),
			speakertest.HexMessage(t, bgp.MessageUpdate, "00000000"))
		synctest.Wait()
		p.Send(bgp.AppendCeaseText(nil, bgp.CeaseAdminShutdown, "bye"))
		p.ExpectClosed()
		r.down(DownRemoteNotification, 0, "060203627965")
		r.want("up 192.0.2.1 65001", "UPDATE 00000007900f0003000201", "UPDATE 00000000", "flush", "down 3 0 false")
	})
}

// TestSessionEndings has every way in which a session ends, with what the
// neighbour sees and what a BMP Peer Down would say.
func TestSessionEndings(t *testing.T) {
	update := func(t *testing.T, p *speakertest.Peer) {
		p.Send(speakertest.HexMessage(t, bgp.MessageUpdate, "00000000"))
	}
	for _, tc := range []struct {
		name          string
		do            func(t *testing.T, r *engineRig, p *speakertest.Peer)
		code, subcode uint8 // 0: none is sent
		data          string
		reason, event uint8
	}{
		{"closed", func(_ *testing.T, _ *engineRig, p *speakertest.Peer) { p.Close() }, 0, 0, "", DownRemote, 0},
		{"bad marker", func(_ *testing.T, _ *engineRig, p *speakertest.Peer) {
			p.SendHex("ffffffffffffffffffffffffffffff00 0013 04")
		}, 1, 1, "", DownLocalNotification, 0},
		{"length 18", func(_ *testing.T, _ *engineRig, p *speakertest.Peer) {
			p.SendHex("ffffffffffffffffffffffffffffffff 0012 04")
		}, 1, 2, "0012", DownLocalNotification, 0},
		{"KEEPALIVE of 20 octets", func(_ *testing.T, _ *engineRig, p *speakertest.Peer) {
			p.Send(speakertest.Message(bgp.MessageKeepalive, []byte{0}))
		}, 1, 2, "0014", DownLocalNotification, 0},
		{"type 9", func(_ *testing.T, _ *engineRig, p *speakertest.Peer) {
			p.Send(speakertest.Message(9, nil))
		}, 1, 3, "09", DownLocalNotification, 0},
		{"OPEN", func(_ *testing.T, _ *engineRig, p *speakertest.Peer) {
			p.Send(speakertest.Open(65001, "192.0.2.1"))
		}, 5, 3, "01", DownLocalNotification, 0},
		{"fatal UPDATE", func(t *testing.T, r *engineRig, p *speakertest.Peer) {
			r.h.fault = &Fault{Code: bgp.ErrorUpdateMessage, Subcode: 1, Data: []byte{7}, Reason: "bad"}
			update(t, p)
		}, 3, 1, "07", DownLocalNotification, 0},
		{"too many prefixes", func(t *testing.T, r *engineRig, p *speakertest.Peer) {
			r.h.fault = &Fault{Code: bgp.ErrorCease, Subcode: bgp.CeaseMaxPrefixes}
			update(t, p)
		}, 6, 1, "", DownLocalNotification, 0},
		{"program cannot go on", func(t *testing.T, r *engineRig, p *speakertest.Peer) {
			r.h.flushErr = errors.New("disk")
			update(t, p)
		}, 6, 8, "", DownLocalNotification, 0},
		{"disabled", func(t *testing.T, r *engineRig, _ *speakertest.Peer) {
			if err := r.s.Disable("one", "maintenance"); err != nil {
				t.Error(err)
			}
		}, 6, 2, "0b 6d61696e74656e616e6365", DownLocalNotification, 0},
		{"reset", func(t *testing.T, r *engineRig, _ *speakertest.Peer) {
			if err := r.s.Reset("192.0.2.1", ResetHard, "T-42"); err != nil {
				t.Error(err)
			}
		}, 6, 4, "04 542d3432", DownLocalNotification, 0},
		{"removed", func(t *testing.T, r *engineRig, _ *speakertest.Peer) {
			if _, err := r.s.Apply(engineConfig()); err != nil {
				t.Error(err)
			}
		}, 6, 3, "", DownDeconfigured, 0},
		{"changed", func(t *testing.T, r *engineRig, _ *speakertest.Peer) {
			if _, err := r.s.Apply(engineConfig(enginePeer(func(p *Peer) { p.HoldTime = time.Minute }))); err != nil {
				t.Error(err)
			}
		}, 6, 6, "", DownLocalNotification, 0},
		{"the speaker stops", func(_ *testing.T, r *engineRig, _ *speakertest.Peer) { go r.stop() }, 6, 2, "", DownLocalNotification, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newEngineRig(t, engineConfig(enginePeer()))
				p := r.session()
				tc.do(t, r, p)
				notification := ""
				if tc.code == 0 {
					p.ExpectClosed()
				} else {
					p.ExpectNotification(tc.code, tc.subcode, tc.data)
					notification = string(speakertestHex(tc.code, tc.subcode, tc.data))
				}
				r.down(tc.reason, tc.event, notification)
				lines := r.h.all()
				stop := strings.HasSuffix(lines[len(lines)-1], "true")
				if want := tc.name == "the speaker stops" || tc.name == "program cannot go on"; stop != want {
					t.Errorf("stop %v", stop)
				}
			})
		})
	}
}

func speakertestHex(code, subcode uint8, data string) []byte {
	const digits = "0123456789abcdef"
	var b []byte
	for _, x := range []byte{code, subcode} {
		b = append(b, digits[x>>4], digits[x&15])
	}
	return append(b, strings.ReplaceAll(data, " ", "")...)
}

func TestSessionUpRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer()), func(r *engineRig) { r.h.upErr = errors.New("full") })
		p := r.call("192.0.2.1")
		p.Handshake(speakertest.Open(65001, "192.0.2.1"))
		if msg := p.NextBut(bgp.MessageUpdate); string(msg[19:]) != "\x06\x08" {
			t.Errorf("got %x", msg)
		}
		r.want()
	})
}

// TestSessionRefresh asks and is asked.
func TestSessionRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer()))
		p := r.session(func(o *bgp.OpenParams) { o.EnhancedRefresh = true })
		p.Send(speakertest.HexMessage(t, bgp.MessageRouteRefresh, "00020001"))
		p.ExpectHex(bgp.MessageRouteRefresh, "00020101")
		p.ExpectHex(bgp.MessageRouteRefresh, "00020201")
		// A family that was not negotiated has no answer, and BoRR is no question.
		p.Send(speakertest.HexMessage(t, bgp.MessageRouteRefresh, "00010084"), speakertest.HexMessage(t, bgp.MessageRouteRefresh, "00010101"))
		p.ExpectNothing(time.Second)
		if err := r.s.Refresh("one", bgp.IPv6Unicast); err != nil {
			t.Error(err)
		}
		p.ExpectHex(bgp.MessageRouteRefresh, "00020001")
		if err := r.s.Refresh("one", bgp.EVPN); !errors.Is(err, ErrRefreshNotNegotiated) {
			t.Error(err)
		}
		if err := r.s.Reset("one", ResetSoftOut, ""); err != nil {
			t.Error(err)
		}
		for _, want := range []string{"00010101", "00010201", "00020101", "00020201"} {
			p.ExpectHex(bgp.MessageRouteRefresh, want)
		}
		if got := r.h.all(); len(got) < 4 || got[1] != "ROUTE-REFRESH 00020001" {
			t.Errorf("heard %q", got)
		}
		// RFC 7313 §5: with BoRR and EoRR the length is checked.
		p.Send(speakertest.HexMessage(t, bgp.MessageRouteRefresh, "0001010100"))
		p.ExpectNotification(7, 1, "ffffffffffffffffffffffffffffffff 0018 05 0001010100")
	})
}

// TestSessionRefreshStorm: while one answer is being written, one more waits, and
// no question after it makes a third.
func TestSessionRefreshStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer()))
		p := r.session(func(o *bgp.OpenParams) { o.EnhancedRefresh = true })
		ask := speakertest.HexMessage(t, bgp.MessageRouteRefresh, "00010001")
		resume := p.StopReading()
		for range 100 {
			p.Send(ask)
			synctest.Wait()
		}
		resume()
		answers := 0
		for synctest.Wait(); p.Waiting() > 0; answers++ {
			p.ExpectHex(bgp.MessageRouteRefresh, "00010101")
			p.ExpectHex(bgp.MessageRouteRefresh, "00010201")
			synctest.Wait()
		}
		// A read that was under way has still taken one.
		if answers < 2 || answers > 3 {
			t.Errorf("%d answers", answers)
		}
	})
}
