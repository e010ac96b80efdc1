package speaker

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/speaker/speakertest"
)

var tooMany = &Fault{Code: bgp.ErrorCease, Subcode: bgp.CeaseMaxPrefixes, Data: []byte{0, 1, 1, 0, 0, 0, 1}, Reason: "too many"}

// overLimit ends a session for its number of prefixes.
func (r *engineRig) overLimit(p *speakertest.Peer) {
	r.t.Helper()
	r.h.fault = tooMany
	p.Send(speakertest.HexMessage(r.t, bgp.MessageUpdate, "00000000"))
	p.ExpectNotification(6, 1, "0001 01 00000001")
	r.down(DownLocalNotification, 0, "060100010100000001")
	r.h.fault = nil
}

// TestConformanceLimitHoldsDown: whoever had too many prefixes gets no session for
// limitHold, however often it calls; others of the same range do.
func TestConformanceLimitHoldsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer(func(p *Peer) { p.Address = netip.MustParsePrefix("192.0.2.0/24") })))
		begun := time.Now()
		r.overLimit(r.session())
		calls := 0
		for ; time.Since(begun) < limitHold-3*time.Second; time.Sleep(time.Second) {
			r.call("192.0.2.1").ExpectNotification(6, 1, "")
			calls++
		}
		if n := testutil.ToFloat64(r.s.metrics.refused.WithLabelValues(refusedHeld)); int(n) != calls || calls < 100 {
			t.Errorf("%v refused of %d calls", n, calls)
		}
		other := r.call("192.0.2.2")
		other.Handshake(speakertest.Open(65001, "192.0.2.2"))
		<-r.h.up
		time.Sleep(time.Until(begun.Add(limitHold + 3*time.Second)))
		p := r.call("192.0.2.1")
		p.Handshake(speakertest.Open(65001, "192.0.2.1"))
		<-r.h.up
	})
}

// TestConformanceLimitHoldsDialling: nor is it dialled.
func TestConformanceLimitHoldsDialling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer(active)))
		p := r.answer()
		p.Handshake(speakertest.Open(65001, "192.0.2.1"))
		<-r.h.up
		p.Expect(bgp.MessageUpdate, bgp.MessageUpdate)
		begun := time.Now()
		r.overLimit(p)
		r.answer()
		between(t, "the next dial", time.Since(begun), limitHold, limitHold+2*time.Second)
	})
}

// TestConformanceLimitHoldEnds has what ends it before its time: an operator who
// wants the session, or raises the limit. A configuration that changes otherwise,
// or does not, ends nothing.
func TestConformanceLimitHoldEnds(t *testing.T) {
	apply := func(t *testing.T, r *engineRig, peer Peer) {
		t.Helper()
		if _, err := r.s.Apply(engineConfig(peer)); err != nil {
			t.Error(err)
		}
	}
	limited := func(n int) func(*Peer) {
		return func(p *Peer) {
			p.MaxPrefixes = []PrefixLimit{{Family: bgp.IPv4Unicast, Max: n, Action: LimitTerminate}}
		}
	}
	for _, tc := range []struct {
		name string
		do   func(t *testing.T, r *engineRig, base []func(*Peer))
		ends bool
	}{
		{"enable", func(t *testing.T, r *engineRig, _ []func(*Peer)) {
			if err := r.s.Enable("one"); err != nil {
				t.Error(err)
			}
		}, true},
		{"disable and enable", func(t *testing.T, r *engineRig, _ []func(*Peer)) {
			if err := r.s.Disable("one", ""); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			if err := r.s.Enable("one"); err != nil {
				t.Error(err)
			}
		}, true},
		{"reset hard", func(t *testing.T, r *engineRig, _ []func(*Peer)) {
			if err := r.s.Reset("one", ResetHard, ""); err != nil {
				t.Error(err)
			}
		}, true},
		{"a higher limit", func(t *testing.T, r *engineRig, base []func(*Peer)) {
			apply(t, r, enginePeer(append(base, limited(2))...))
		}, true},
		{"disabled and enabled by the configuration", func(t *testing.T, r *engineRig, base []func(*Peer)) {
			apply(t, r, enginePeer(append(base, limited(1), func(p *Peer) { p.Disabled = true })...))
			apply(t, r, enginePeer(append(base, limited(1))...))
		}, true},
		{"the same configuration", func(t *testing.T, r *engineRig, base []func(*Peer)) {
			apply(t, r, enginePeer(append(base, limited(1))...))
		}, false},
		{"drain", func(t *testing.T, r *engineRig, base []func(*Peer)) {
			apply(t, r, enginePeer(append(base, limited(1), func(p *Peer) { p.Drain = true })...))
		}, false},
		{"soft reset", func(_ *testing.T, r *engineRig, _ []func(*Peer)) {
			_ = r.s.Reset("one", ResetSoftOut, "")
			_ = r.s.Reset("one", ResetSoftIn, "")
		}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newEngineRig(t, engineConfig(enginePeer(limited(1))))
				r.overLimit(r.session())
				tc.do(t, r, nil)
				p := r.call("192.0.2.1")
				if !tc.ends {
					p.ExpectNotification(6, 1, "")
					return
				}
				p.Handshake(speakertest.Open(65001, "192.0.2.1"))
				<-r.h.up
			})
			synctest.Test(t, func(t *testing.T) {
				dialled := []func(*Peer){active}
				r := newEngineRig(t, engineConfig(enginePeer(active, limited(1))))
				p := r.answer()
				p.Handshake(speakertest.Open(65001, "192.0.2.1"))
				<-r.h.up
				p.Expect(bgp.MessageUpdate, bgp.MessageUpdate)
				r.overLimit(p)
				begun := time.Now()
				tc.do(t, r, dialled)
				r.answer()
				if d := time.Since(begun); (d < 5*time.Second) != tc.ends {
					t.Errorf("dialled after %v", d)
				}
			})
		})
	}
}

// TestConformanceLimitHoldsWhoHasCalled: a second connection that was there before
// does not become the next session.
func TestConformanceLimitHoldsWhoHasCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer()))
		p := r.session()
		second := r.call("192.0.2.1")
		time.Sleep(6 * time.Second)
		second.Expect(bgp.MessageOpen)
		r.overLimit(p)
		second.Send(speakertest.Open(65001, "192.0.2.1"))
		second.ExpectNotification(6, 1, "")
	})
}
