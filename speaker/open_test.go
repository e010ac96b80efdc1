package speaker

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/speaker/speakertest"
)

const (
	openAS65001 = "04 fde9 005a c0000201" // version 4, AS 65001, hold time 90, 192.0.2.1
	openMP4     = "0104 00010001"
	openMP6     = "0104 00020001"
)

// TestOpenOurs has our OPEN octet by octet.
func TestOpenOurs(t *testing.T) {
	role := bgp.RoleCustomer
	for _, tc := range []struct {
		name   string
		change func(*Peer)
		want   string // behind version, AS, hold time and identifier
	}{
		{"default", func(*Peer) {}, "32 02 30" + "0104 00010001 0104 00020001 0200" +
			"0506 000100010002" + "0600" + "4002 4000" + "4104 0000fde8" + "4508 00010101 00020101" + "4600" + "4700"},
		{"nothing", func(p *Peer) {
			p.Families = []bgp.Family{bgp.EVPN}
			p.AddPath, p.ExtendedMessages, p.ExtendedNextHop, p.EnhancedRefresh, p.GracefulRestart = false, false, false, false, false
		}, "10 02 0e" + "0104 00190046 0200 4104 0000fde8"},
		{"role", func(p *Peer) {
			p.Families = []bgp.Family{bgp.RTC} // no ADD-PATH, no next hop of another family
			p.ExtendedMessages, p.EnhancedRefresh, p.GracefulRestart, p.Role = false, false, false, &role
		}, "13 02 11" + "0104 00010084 0200 0901 03 4104 0000fde8"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := enginePeer(tc.change)
			cfg := engineConfig(p)
			got := appendOpen(nil, &p, identityFor(&cfg, &p, 65001), false)
			o, err := bgp.ParseOpen(got)
			if err != nil || o.HoldTime != 180 || o.BGPID != cfg.RouterID || o.AS != 65000 {
				t.Fatalf("%+v %v", o, err)
			}
			if want := speakertest.Octets(t, tc.want); string(got[bgp.HeaderLen+9:]) != string(want) {
				t.Errorf("got  %x\nwant %x", got[bgp.HeaderLen+9:], want)
			}
		})
	}
}

// TestOpenAllFamilies offers everything there is: it must fit, in the long form of
// RFC 9072, and be read as it was meant.
func TestOpenAllFamilies(t *testing.T) {
	p := enginePeer(func(p *Peer) { p.Families = bgp.Families() })
	for safi := bgp.SAFI(200); len(p.Families) < maxFamilies; safi++ {
		p.Families = append(p.Families, bgp.NewFamily(bgp.AFIIPv6, safi))
	}
	cfg := engineConfig(p)
	msg := appendOpen(nil, &p, identityFor(&cfg, &p, 0), false)
	o, err := bgp.ParseOpen(msg)
	if err != nil {
		t.Fatal(err)
	}
	if got := o.AppendFamilies(nil); len(got) != maxFamilies {
		t.Errorf("%d families", len(got))
	}
	if msg[bgp.HeaderLen+10] != 255 {
		t.Error("short form")
	}
	for _, c := range []uint8{3, 67, 130} { // ORF and dynamic capability
		if o.Has(c) {
			t.Errorf("capability %d", c)
		}
	}
}

// TestOpenTheirs has every OPEN that is refused, and with which octets.
func TestOpenTheirs(t *testing.T) {
	role := bgp.RoleCustomer
	for _, tc := range []struct {
		name    string
		peer    func(*Peer)
		open    string // the body
		subcode uint8  // 0: accepted
		data    string
	}{
		{"sound", nil, openAS65001 + "08 0206" + openMP4, 0, ""},
		{"no parameters at all", nil, openAS65001 + "00", 0, ""},
		{"version 3", nil, "03 fde9 005a c0000201 00", 1, "0004"},
		{"AS 0", nil, "04 0000 005a c0000201 00", 2, ""},
		{"AS 0 in the capability", nil, openAS65001 + "08 0206 4104 00000000", 2, ""},
		{"AS_TRANS alone", nil, "04 5ba0 005a c0000201 00", 2, ""},
		{"AS_TRANS with a number", nil, "04 5ba0 005a c0000201 08 0206 4104 fa56ea01", 0, ""},
		{"not our neighbour's AS", func(p *Peer) { p.RemoteASN = ASNList(65002, 65003) }, openAS65001 + "00", 2, ""},
		{"one of two", func(p *Peer) { p.RemoteASN = ASNList(65002, 65001) }, openAS65001 + "00", 0, ""},
		{"external wanted", func(p *Peer) { p.RemoteASN, _ = ParseASNs("external"); p.LocalASN = 65001 }, openAS65001 + "00", 2, ""},
		{"internal wanted", func(p *Peer) { p.RemoteASN, _ = ParseASNs("internal") }, openAS65001 + "00", 2, ""},
		{"identifier 0", nil, "04 fde9 005a 00000000 00", 3, ""},
		{"our identifier, external", nil, "04 fde9 005a c0000264 00", 0, ""},
		{"our identifier, internal", nil, "04 fde8 005a c0000264 00", 3, ""},
		{"hold time 1", nil, "04 fde9 0001 c0000201 00", 6, ""},
		{"hold time 2", nil, "04 fde9 0002 c0000201 00", 6, ""},
		{"hold time 3", nil, "04 fde9 0003 c0000201 00", 0, ""},
		{"hold time 0", nil, "04 fde9 0000 c0000201 00", 0, ""},
		{"hold time below ours", func(p *Peer) { p.MinHoldTime = time.Minute }, "04 fde9 003b c0000201 00", 6, ""},
		{"parameter type 1", nil, openAS65001 + "02 0100", 4, ""},
		{"parameters overrun", nil, openAS65001 + "08 0206 0104", 0xff, ""},
		{
			"no family in common", func(p *Peer) { p.Families = []bgp.Family{bgp.EVPN, bgp.IPv6VPN} }, openAS65001 + "08 0206" + openMP4, 7,
			"0104 00190046 0104 00020080",
		},
		{"IPv4 unsaid is not IPv6", func(p *Peer) { p.Families = []bgp.Family{bgp.IPv6Unicast} }, openAS65001 + "00", 7, openMP6},
		{"role does not pair", func(p *Peer) { p.Role = &role }, openAS65001 + "05 0203 0901 03", 11, ""},
		{"role pairs", func(p *Peer) { p.Role = &role }, openAS65001 + "05 0203 0901 00", 0, ""},
		{"no role", func(p *Peer) { p.Role = &role }, openAS65001 + "00", 0, ""},
		{"no role, strict", func(p *Peer) { p.Role, p.RoleStrict = &role, true }, openAS65001 + "00", 11, ""},
		{"two roles", func(p *Peer) { p.Role = &role }, openAS65001 + "0a 0203 0901 00 0203 0901 04", 11, ""},
		{"roles are not for internal sessions", func(p *Peer) { p.Role, p.LocalASN = &role, 65001 }, openAS65001 + "05 0203 0901 03", 0, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// Answering and not, the outcome is the same.
				for _, delay := range []time.Duration{5 * time.Second, 0} {
					peer := enginePeer(func(p *Peer) { p.DelayOpen = delay })
					if tc.peer != nil {
						tc.peer(&peer)
					}
					r := newEngineRig(t, engineConfig(peer))
					p := r.call("192.0.2.1")
					if delay == 0 {
						p.Expect(bgp.MessageOpen)
					}
					p.SendHex("ffffffffffffffffffffffffffffffff")
					body := speakertest.Octets(t, tc.open)
					p.Send([]byte{0, byte(bgp.HeaderLen + len(body)), bgp.MessageOpen}, body)
					if delay > 0 {
						p.Expect(bgp.MessageOpen)
					}
					switch tc.subcode {
					case 0:
						p.Expect(bgp.MessageKeepalive)
					case 0xff:
						p.ExpectNotification(2, 0, tc.data)
					default:
						p.ExpectNotification(2, tc.subcode, tc.data)
					}
					r.stop()
				}
			})
		})
	}
}

// TestOpenInTheWrongPlace sends what is no OPEN where one is due (RFC 6608).
func TestOpenInTheWrongPlace(t *testing.T) {
	update := speakertest.HexMessage(t, bgp.MessageUpdate, "00000000")
	refresh := speakertest.HexMessage(t, bgp.MessageRouteRefresh, "00010001")
	open := speakertest.Open(65001, "192.0.2.1")
	for _, tc := range []struct {
		name          string
		first, then   []byte // then comes behind our KEEPALIVE
		code, subcode uint8
		data          string
	}{
		{"KEEPALIVE first", speakertest.Keepalive(), nil, 5, 1, "04"},
		{"UPDATE first", update, nil, 5, 1, "02"},
		{"ROUTE-REFRESH first", refresh, nil, 5, 1, "05"},
		{"UPDATE unconfirmed", open, update, 5, 2, "02"},
		{"OPEN unconfirmed", open, open, 5, 2, "01"},
		{"ROUTE-REFRESH unconfirmed", open, refresh, 5, 2, "05"},
		{"garbage first", make([]byte, 19), nil, 1, 1, ""},
		{"garbage unconfirmed", open, make([]byte, 19), 1, 1, ""},
		{"4097 octets", speakertest.Message(bgp.MessageUpdate, make([]byte, 4097-19)), nil, 1, 2, "1001"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newEngineRig(t, engineConfig(enginePeer(func(p *Peer) { p.DelayOpen = 0 })))
				p := r.call("192.0.2.1")
				p.Expect(bgp.MessageOpen)
				go p.Conn().Write(tc.first)
				if tc.then != nil {
					p.Expect(bgp.MessageKeepalive)
					p.Send(tc.then)
				}
				p.ExpectNotification(tc.code, tc.subcode, tc.data)
				r.want()
			})
		})
	}
}

// TestOpenBare is a neighbour that refuses capabilities (RFC 5492 §3).
func TestOpenBare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer(active)))
		p := r.answer()
		p.Expect(bgp.MessageOpen)
		p.Send(speakertest.HexMessage(t, bgp.MessageNotification, "0204"))
		p.ExpectClosed()
		p = r.answer()
		p.ExpectHex(bgp.MessageOpen, "04 fde8 00b4 c0000264 00")
		p.SendHex("ffffffffffffffffffffffffffffffff 001d 01" + openAS65001 + "00")
		p.Send(speakertest.Keepalive())
		s := <-r.h.up
		if len(s.Families) != 1 || s.Families[0] != bgp.IPv4Unicast || s.Receive.AS4 || !s.Dialled || s.Local.Addr() != netip.MustParseAddr("192.0.2.100") {
			t.Errorf("%+v", s)
		}
	})
}
