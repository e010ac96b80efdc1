package speaker

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/speaker/speakertest"
)

// TestCollision crosses two connections in both orders of their OPENs, with the
// neighbour's identifier below, above and like ours, which is 192.0.2.100 in AS
// 65000: the connection of the side with the higher one stays (RFC 4271 §6.8), and
// if they are alike that of the larger AS (RFC 6286 §2.3).
func TestCollision(t *testing.T) {
	for _, tc := range []struct {
		name string
		asn  uint32
		id   string
		ours bool // our own connection stays
	}{
		{"theirs is lower", 65001, "192.0.2.1", true},
		{"theirs is higher", 65001, "192.0.2.200", false},
		{"alike, and their AS is larger", 65001, "192.0.2.100", false},
		{"alike, and their AS is smaller", 64999, "192.0.2.100", true},
	} {
		for _, acceptedFirst := range []bool{true, false} {
			t.Run(tc.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newEngineRig(t, engineConfig(enginePeer(active)))
					dialled := r.answer()
					dialled.Expect(bgp.MessageOpen)
					accepted := r.call("192.0.2.1")
					accepted.Expect(bgp.MessageOpen)
					first, second := accepted, dialled
					if !acceptedFirst {
						first, second = dialled, accepted
					}
					open := speakertest.Open(tc.asn, tc.id)
					first.Send(open)
					first.Expect(bgp.MessageKeepalive)
					second.Send(open)
					stays, goes := accepted, dialled
					if tc.ours {
						stays, goes = dialled, accepted
					}
					if stays != first {
						stays.Expect(bgp.MessageKeepalive)
					}
					goes.ExpectNotification(6, 7, "")
					stays.Send(speakertest.Keepalive())
					if s := <-r.h.up; s.Dialled != tc.ours {
						t.Errorf("the session that is up was dialled: %v", s.Dialled)
					}
				})
			})
		}
	}
}

// TestCollisionEstablished: a session stays, whoever comes.
func TestCollisionEstablished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer()))
		p := r.session()
		again := r.call("192.0.2.1")
		again.Send(speakertest.Open(65001, "192.0.2.200"))
		again.Expect(bgp.MessageOpen)
		again.ExpectNotification(6, 7, "")
		p.ExpectNothing(time.Second)
		p.Send(speakertest.Keepalive())
		if st := r.s.Peers()[0]; st.State != Established || st.Sessions != 1 || st.Connections != 2 {
			t.Errorf("%+v", st)
		}
	})
}

// TestCollisionGracefulRestart: of a neighbour that can restart gracefully a new
// connection says that it has (RFC 4724 §4.2).
func TestCollisionGracefulRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer()))
		graceful := func(o *bgp.OpenParams) { o.GracefulRestart = &bgp.GracefulRestartParams{Time: 120} }
		old := r.session(graceful)
		// Not before it is known who that is.
		again := r.call("192.0.2.1")
		old.ExpectNothing(time.Second)
		again.Handshake(speakertest.Open(65001, "192.0.2.1", graceful))
		old.ExpectClosed()
		<-r.h.up
		r.down(DownLocal, 17, "")
		r.want("up 192.0.2.1 65001", "down 2 17 false", "up 192.0.2.1 65001")
	})
}

// TestCollisionThird: of three connections one is too many.
func TestCollisionThird(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer(active)))
		dialled := r.answer()
		dialled.Expect(bgp.MessageOpen)
		accepted := r.call("192.0.2.1")
		accepted.Expect(bgp.MessageOpen)
		r.call("192.0.2.1").ExpectNotification(6, 5, "")
		accepted.Close()
		synctest.Wait()
		r.call("192.0.2.1").Expect(bgp.MessageOpen)
	})
}

// TestCollisionLaterOfTwoAccepted: a neighbour that begins anew while its last
// connection hangs in the handshake.
func TestCollisionLaterOfTwoAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer()))
		first, second := r.call("192.0.2.1"), r.call("192.0.2.1")
		open := speakertest.Open(65001, "192.0.2.1")
		first.Send(open)
		first.Expect(bgp.MessageOpen, bgp.MessageKeepalive)
		second.Send(open)
		second.Expect(bgp.MessageOpen, bgp.MessageKeepalive)
		first.ExpectNotification(6, 7, "")
	})
}

// TestCollisionNoDialBesideSession: a neighbour with a session is not dialled.
func TestCollisionNoDialBesideSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := engineConfig(enginePeer(func(p *Peer) { p.Active = true }))
		cfg.InitialDelay = 1
		r := newEngineRig(t, cfg)
		dialled := r.answer()
		p := r.call("192.0.2.1")
		p.Handshake(speakertest.Open(65001, "192.0.2.200"))
		<-r.h.up
		dialled.Expect(bgp.MessageOpen)
		dialled.Close()
		for range 20 {
			time.Sleep(29 * time.Second)
			p.Send(speakertest.Keepalive())
		}
		if st := r.s.Peers()[0]; st.Attempts != 1 || st.State != Established {
			t.Errorf("%+v", st)
		}
		p.Send(bgp.AppendCeaseText(nil, bgp.CeaseAdminReset, ""))
		begun := time.Now()
		r.answer()
		between(t, "the next dial", time.Since(begun), 0, 30*time.Second)
	})
}
