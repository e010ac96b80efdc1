package speaker

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/speaker/speakertest"
)

// announces10 is a session's peer with one route; its UPDATE is exportBody.
func announces10(p *Peer) {
	p.Families = []bgp.Family{bgp.IPv4Unicast}
	p.Announce = []Announcement{{Family: bgp.IPv4Unicast, Prefix: netip.MustParsePrefix("10.0.0.0/8")}}
}

const exportBody = "0000 0014 40010100 40020602010000fde8 400304c0000264 080a"

// exportSession brings a session up and stands behind our End-of-RIB.
func (r *engineRig) exportSession() *speakertest.Peer {
	r.t.Helper()
	p := r.call("192.0.2.1")
	p.Handshake(speakertest.Open(65001, "192.0.2.1", func(o *bgp.OpenParams) {
		o.Families, o.EnhancedRefresh = []bgp.Family{bgp.IPv4Unicast}, true
	}))
	<-r.h.up
	return p
}

// TestExportRefresh announces, is asked again, and takes back.
func TestExportRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer(announces10)))
		p := r.exportSession()
		p.ExpectHex(bgp.MessageUpdate, exportBody)
		p.ExpectHex(bgp.MessageUpdate, "00000000")
		p.Send(speakertest.HexMessage(t, bgp.MessageRouteRefresh, "00010001"))
		p.ExpectHex(bgp.MessageRouteRefresh, "00010101")
		p.ExpectHex(bgp.MessageUpdate, exportBody)
		p.ExpectHex(bgp.MessageRouteRefresh, "00010201")
		if st := r.s.Peers()[0]; st.Advertised != 1 || st.Withdrawn != 0 {
			t.Errorf("%+v", st)
		}
		if _, err := r.s.Apply(engineConfig(enginePeer(announces10, func(p *Peer) { p.Announce = nil }))); err != nil {
			t.Fatal(err)
		}
		p.ExpectHex(bgp.MessageUpdate, "0002 080a 0000")
		p.ExpectNothing(time.Second)
		if st := r.s.Peers()[0]; st.Advertised != 0 || st.Withdrawn != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// TestExportBeacon: a route comes and goes by its schedule, while the session is up.
// The time of the bubble begins at midnight.
func TestExportBeacon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer(announces10, func(p *Peer) {
			p.HoldTime = 0
			p.Announce[0].Beacon = &Beacon{Up: 2 * time.Hour, Down: time.Hour}
		})))
		p := r.exportSession()
		p.Patience = 3 * time.Hour
		p.ExpectHex(bgp.MessageUpdate, exportBody)
		p.ExpectHex(bgp.MessageUpdate, "00000000")
		midnight := time.Now().Truncate(3 * time.Hour)
		for range 5 {
			p.ExpectHex(bgp.MessageUpdate, "0002 080a 0000")
			between(t, "withdrawn", time.Since(midnight), 2*time.Hour, 2*time.Hour+time.Second)
			p.ExpectHex(bgp.MessageUpdate, exportBody)
			midnight = midnight.Add(3 * time.Hour)
			between(t, "announced", time.Since(midnight), 0, time.Second)
		}
	})
}

// TestExportLarge announces more than a write takes, to a neighbour that is slow,
// and keeps its KEEPALIVEs in between.
func TestExportLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const routes = 60000
		r := newEngineRig(t, engineConfig(enginePeer(func(p *Peer) {
			p.Families = []bgp.Family{bgp.IPv4Unicast}
			for i := range routes {
				p.Announce = append(p.Announce, Announcement{
					Family: bgp.IPv4Unicast, MED: new(uint32(i)),
					Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24),
				})
			}
		})))
		p := r.exportSession()
		for range 30 { // one read of 64 KiB every 20 s
			resume := p.StopReading()
			time.Sleep(20 * time.Second)
			p.Send(speakertest.Keepalive())
			resume()
		}
		updates, keepalives := 0, 0
		for updates < routes+1 {
			switch msg := p.Next(); bgp.MessageType(msg) {
			case bgp.MessageUpdate:
				updates++
			case bgp.MessageKeepalive:
				keepalives++
			default:
				t.Fatalf("got %x", msg)
			}
		}
		if keepalives < 15 {
			t.Errorf("%d KEEPALIVEs in 10 minutes, before the last route", keepalives)
		}
		if st := r.s.Peers()[0]; st.Advertised != routes || st.State != Established {
			t.Errorf("%d routes, %v", st.Advertised, st.State)
		}
	})
}
