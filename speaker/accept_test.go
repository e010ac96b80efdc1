package speaker

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/speaker/speakertest"
)

func TestAcceptMatch(t *testing.T) {
	peer := func(name, address, zone string) Peer {
		return enginePeer(func(p *Peer) { p.Name, p.Address, p.Zone = name, netip.MustParsePrefix(address), zone })
	}
	cfg := engineConfig(peer("all", "0.0.0.0/0", ""), peer("net", "192.0.2.0/24", ""), peer("host", "192.0.2.1/32", ""),
		peer("local", "fe80::/10", ""), peer("eth0", "fe80::/10", "eth0"), peer("six", "2001:db8::/32", ""))
	r := newEngineRig(t, cfg)
	for addr, want := range map[string]string{
		"192.0.2.1": "host", "192.0.2.2": "net", "198.51.100.1": "all", "fe80::1%eth1": "local", "fe80::1%eth0": "eth0",
		"2001:db8::1": "six", "2001:db9::1": "",
	} {
		got := ""
		if e := r.s.table.find(netip.MustParseAddr(addr)); e != nil {
			got = e.peer.Name
		}
		if got != want {
			t.Errorf("%s is %q, want %q", addr, got, want)
		}
	}
}

// refused checks the counter of refused connections.
func (r *engineRig) refused(reason string, want float64) {
	r.t.Helper()
	if got := testutil.ToFloat64(r.s.metrics.refused.WithLabelValues(reason)); got != want {
		r.t.Errorf("%v connections refused for %s, want %v", got, reason, want)
	}
}

func TestAcceptUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer()))
		r.call("198.51.100.1").ExpectClosed()
		r.refused(refusedUnknown, 1)

		cfg := engineConfig(enginePeer())
		cfg.RefuseUnknown, cfg.AcceptRateUnknown = true, 2
		r = newEngineRig(t, cfg)
		one, two, three := r.call("198.51.100.1"), r.call("198.51.100.2"), r.call("198.51.100.3")
		three.ExpectClosed()
		one.ExpectNotification(6, 5, "")
		two.ExpectNotification(6, 5, "")
		time.Sleep(time.Second)
		r.call("198.51.100.3").ExpectNotification(6, 5, "")
		r.refused(refusedUnknown, 4)
	})
}

func TestAcceptLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := engineConfig(
			enginePeer(func(p *Peer) { p.Name, p.Address, p.Limit = "net", netip.MustParsePrefix("198.51.100.0/24"), 2 }),
			enginePeer(func(p *Peer) { p.Name, p.Address = "host", netip.MustParsePrefix("198.51.100.9/32") }),
			enginePeer(func(p *Peer) { p.Disabled = true }))
		cfg.MaxSessions, cfg.AcceptRate = 4, 5
		r := newEngineRig(t, cfg)
		r.call("192.0.2.1").ExpectClosed()
		r.refused(refusedDisabled, 1)

		one := r.call("198.51.100.1")
		two := r.call("198.51.100.2")
		one.Handshake(speakertest.Open(65001, "198.51.100.1"))
		two.Handshake(speakertest.Open(65001, "198.51.100.2"))
		r.call("198.51.100.3").ExpectNotification(6, 5, "")
		r.refused(refusedRange, 1)
		r.call("198.51.100.9").Handshake(speakertest.Open(65001, "198.51.100.9")) // not of the range
		r.call("198.51.100.9").ExpectNothing(time.Second)
		for range 2 {
			r.call("198.51.100.9").ExpectNotification(6, 5, "")
		}
		r.refused(refusedThird, 2)

		// Whoever goes makes room, and is forgotten for somebody else alone.
		names := func() (list string) {
			for _, st := range r.s.Peers() {
				list += " " + st.Name + " " + st.Address.String() + " " + st.State.String()
			}
			return list
		}
		const all = " net invalid IP active net 198.51.100.1 established net 198.51.100.2 established host 198.51.100.9 established one 192.0.2.1 idle"
		if got := names(); got != all {
			t.Errorf("peers%s", got)
		}
		one.Close()
		synctest.Wait()
		if got := names(); got != strings.Replace(all, "1 established", "1 active", 1) {
			t.Errorf("peers%s", got)
		}
		time.Sleep(time.Second)
		r.call("198.51.100.3").Handshake(speakertest.Open(65001, "198.51.100.3"))
		synctest.Wait()
		if got := names(); got != strings.ReplaceAll(strings.Replace(all, "100.2", "100.3", 1), "100.1", "100.2") {
			t.Errorf("peers%s", got)
		}
	})
}

func TestAcceptRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := engineConfig(enginePeer())
		cfg.AcceptRate = 3
		r := newEngineRig(t, cfg)
		for range 3 { // an accepted connection is never damped, only counted
			p := r.call("192.0.2.1")
			p.Send(speakertest.Open(65001, "192.0.2.1"))
			p.Expect(bgp.MessageOpen)
			p.Close()
			synctest.Wait()
		}
		r.call("192.0.2.1").ExpectClosed()
		r.refused(refusedRate, 1)
		time.Sleep(time.Second)
		r.session()
	})
}

func TestAcceptMaxSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := engineConfig(enginePeer(func(p *Peer) { p.Address = netip.MustParsePrefix("192.0.2.0/24") }))
		cfg.MaxSessions = 1
		r := newEngineRig(t, cfg)
		p := r.session()
		r.call("192.0.2.2").ExpectClosed()
		r.refused(refusedSessions, 1)
		p.Send(bgp.AppendCeaseText(nil, bgp.CeaseAdminReset, ""))
		p.ExpectClosed()
		synctest.Wait()
		r.session()
	})
}

func TestRate(t *testing.T) {
	var r rate
	now := time.Unix(1000, 0)
	allowed := 0
	for range 100 {
		if r.allow(now, 10) {
			allowed++
		}
		now = now.Add(10 * time.Millisecond)
	}
	if allowed != 19 {
		t.Errorf("%d in a second, want the ten of the burst and nine that came back", allowed)
	}
}
