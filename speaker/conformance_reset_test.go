package speaker

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/speaker/speakertest"
)

// TestConformanceHardReset: where both sides have the N bit of graceful restart, a
// Cease alone would leave the routes of both sides stale, so what is meant to end
// them says so (RFC 8538 §4): the data are the NOTIFICATION that is meant.
func TestConformanceHardReset(t *testing.T) {
	gr := func(notification bool) func(*bgp.OpenParams) {
		return func(o *bgp.OpenParams) {
			o.GracefulRestart = &bgp.GracefulRestartParams{Time: 120, Notification: notification}
		}
	}
	for _, tc := range []struct {
		name    string
		ours    func(*Peer)
		theirs  func(*bgp.OpenParams)
		subcode uint8
		data    string
	}{
		{"both have the N bit", func(*Peer) {}, gr(true), 9, "06 04 04 542d3432"},
		{"theirs is without", func(*Peer) {}, gr(false), 4, "04 542d3432"},
		{"no graceful restart of theirs", func(*Peer) {}, func(*bgp.OpenParams) {}, 4, "04 542d3432"},
		{"no graceful restart of ours", func(p *Peer) { p.GracefulRestart, p.LLGR = false, false }, gr(true), 4, "04 542d3432"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newEngineRig(t, engineConfig(enginePeer(tc.ours)))
				p := r.session(tc.theirs)
				if err := r.s.Reset("one", ResetSoftOut, "T-42"); err != nil {
					t.Error(err)
				}
				p.ExpectNothing(time.Second) // there is nothing to announce once more
				if err := r.s.Reset("one", ResetHard, "T-42"); err != nil {
					t.Error(err)
				}
				p.ExpectNotification(6, tc.subcode, tc.data)
				r.down(DownLocalNotification, 0, string(speakertestHex(6, tc.subcode, tc.data)))
			})
		})
	}
}

// TestConformanceHardEnds: what else ends the routes with the session, and what does
// not.
func TestConformanceHardEnds(t *testing.T) {
	for _, tc := range []struct {
		name    string
		end     func(t *testing.T, s *Speaker)
		subcode uint8
		data    string
	}{
		{"disabled", func(t *testing.T, s *Speaker) { check(t, s.Disable("one", "T-43")) }, 9, "06 02 04 542d3433"},
		{"taken out", func(t *testing.T, s *Speaker) { check(t, applied(s, engineConfig())) }, 9, "06 03"},
		{"changed", func(t *testing.T, s *Speaker) {
			check(t, applied(s, engineConfig(enginePeer(func(p *Peer) { p.HoldTime = 33 * time.Second }))))
		}, 6, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newEngineRig(t, engineConfig(enginePeer()))
				p := r.session(func(o *bgp.OpenParams) {
					o.GracefulRestart = &bgp.GracefulRestartParams{Time: 120, Notification: true}
				})
				tc.end(t, r.s)
				p.ExpectNotification(6, tc.subcode, tc.data)
			})
		})
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func applied(s *Speaker, cfg Config) error {
	_, err := s.Apply(cfg)
	return err
}

// TestConformanceHardResetBeforeSession: nothing was negotiated yet.
func TestConformanceHardResetBeforeSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer()))
		p := r.call("192.0.2.1")
		p.Send(speakertest.Open(65001, "192.0.2.1", func(o *bgp.OpenParams) {
			o.GracefulRestart = &bgp.GracefulRestartParams{Time: 120, Notification: true}
		}))
		p.Expect(bgp.MessageOpen, bgp.MessageKeepalive)
		if err := r.s.Reset("one", ResetHard, ""); err != nil {
			t.Error(err)
		}
		p.ExpectNotification(6, 4, "")
	})
}
