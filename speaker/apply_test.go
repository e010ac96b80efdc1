package speaker

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/speaker/speakertest"
)

// TestApplyKnowsEveryField: a field of Peer that Apply does not compare would be
// changed in silence.
func TestApplyKnowsEveryField(t *testing.T) {
	byHand := map[string]bool{"Name": true, "Address": true, "Zone": true, "Disabled": true, "RemoteASN": true}
	typ := reflect.TypeFor[Peer]()
	for field := range typ.Fields() {
		name := field.Name
		if _, ok := effects[name]; ok == byHand[name] {
			t.Errorf("what a change of %s does is said %v", name, ok)
		}
		delete(byHand, name)
	}
	if len(effects)+5 != typ.NumField() || len(byHand) != 0 {
		t.Error("a field is not there any more")
	}
}

func changeText(list []Change) string {
	var b strings.Builder
	for _, c := range list {
		fmt.Fprintf(&b, "%s %s%v;", c.Peer, c.Action, c.Fields)
	}
	return b.String()
}

// TestApply changes one thing at a time under a session that is up.
func TestApply(t *testing.T) {
	for _, tc := range []struct {
		name    string
		change  func(*Config)
		want    string
		subcode uint8 // of Cease; 0: the session stays
	}{
		{"nothing", func(*Config) {}, "", 0},
		{"announce", func(c *Config) {
			c.Peers[0].Announce = []Announcement{{Family: bgp.IPv4Unicast, Prefix: netip.MustParsePrefix("10.0.0.0/8")}}
		}, "one updated[Announce];", 0},
		{"drain", func(c *Config) { c.Peers[0].Drain = true }, "one updated[Drain];", 0},
		{"retry", func(c *Config) { c.Peers[0].ConnectRetry = time.Minute }, "one pending[ConnectRetry];", 0},
		{"two at once", func(c *Config) { c.Peers[0].ConnectRetry, c.Peers[0].Drain = time.Minute, true }, "one pending[ConnectRetry Drain];", 0},
		{"hold time", func(c *Config) { c.Peers[0].HoldTime = time.Minute }, "one restarted[HoldTime];", 6},
		{"families", func(c *Config) { c.Peers[0].Families = []bgp.Family{bgp.EVPN} }, "one restarted[Families];", 6},
		{"our AS", func(c *Config) { c.ASN = 65099 }, "one restarted[Config];", 6},
		{"their AS, still the same", func(c *Config) { c.Peers[0].RemoteASN = ASNList(65001) }, "one updated[RemoteASN];", 0},
		{"their AS, another", func(c *Config) { c.Peers[0].RemoteASN = ASNList(65002) }, "one restarted[RemoteASN];", 6},
		{"disabled", func(c *Config) { c.Peers[0].Disabled = true }, "one disabled[];", 2},
		{"renamed", func(c *Config) { c.Peers[0].Name = "two" }, "one removed[];two added[];", 3},
		{"moved", func(c *Config) { c.Peers[0].Address = netip.MustParsePrefix("192.0.2.9/32") }, "one removed[];one added[];", 3},
		{"another peer", func(c *Config) {
			p := c.Peers[0]
			p.Name, p.Address = "two", netip.MustParsePrefix("192.0.2.9/32")
			c.Peers = append(c.Peers, p)
		}, "two added[];", 0},
		{"listen", func(c *Config) { c.Listen = []string{"127.0.0.1:1"} }, " pending[Listen];", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newEngineRig(t, engineConfig(enginePeer()))
				p := r.session()
				cfg := engineConfig(enginePeer())
				tc.change(&cfg)
				changes, err := r.s.Apply(cfg)
				if got := changeText(changes); err != nil || got != tc.want {
					t.Errorf("%q %v, want %q", got, err, tc.want)
				}
				if tc.name == "announce" {
					p.ExpectHex(bgp.MessageUpdate, "0000 0014 40010100 40020602010000fde8 400304c0000264 080a")
				}
				if tc.subcode == 0 {
					p.ExpectNothing(10 * time.Second)
					return
				}
				p.ExpectNotification(6, tc.subcode, "")
			})
		})
	}
}

// engineRefusal is a kernel that takes no keys.
type engineRefusal struct{ protection }

var errEngineRefusal = errors.New("no such option")

func (engineRefusal) rekey(_, _ []Peer) error { return errEngineRefusal }

// TestApplyInvalid changes nothing.
func TestApplyInvalid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer()))
		p := r.session()
		for _, cfg := range []Config{
			engineConfig(enginePeer(), enginePeer()),
			engineConfig(enginePeer(func(p *Peer) { p.HoldTime = time.Second })),
			{},
		} {
			if _, err := r.s.Apply(cfg); err == nil {
				t.Errorf("%+v was applied", cfg)
			}
		}
		// What the kernel refuses is not applied either.
		r.s.protect = engineRefusal{}
		if _, err := r.s.Apply(engineConfig(enginePeer(func(p *Peer) { p.Password, p.HoldTime = "secret", time.Minute }))); !errors.Is(err, errEngineRefusal) {
			t.Error(err)
		}
		p.ExpectNothing(time.Second)
		if got := r.s.configured().Peers[0].HoldTime; got != 180*time.Second {
			t.Errorf("hold time %v", got)
		}
	})
}

// TestApplyKeepsNothingOfTheCaller: what the caller does with its Config later is
// its own affair.
func TestApplyKeepsNothingOfTheCaller(t *testing.T) {
	cfg := engineConfig(enginePeer(announces10, func(p *Peer) {
		p.Role, p.AO, p.RemoteASN = new(bgp.RolePeer), []AOKey{{Key: "k"}}, ASNList(1)
		p.MaxPrefixes = []PrefixLimit{{Family: bgp.IPv4Unicast}}
		a := &p.Announce[0]
		a.MED, a.LocalPref, a.Beacon = new(uint32(1)), new(uint32(1)), &Beacon{Up: time.Hour, Down: time.Hour}
		a.ASPath, a.Communities, a.LargeCommunities, a.ExtendedCommunities = []uint32{1}, []uint32{1}, [][3]uint32{{1}}, [][8]byte{{1}}
	}))
	cfg.Listen = []string{"127.0.0.1:0"}
	shared := sharedWith(reflect.ValueOf(cfg), reflect.ValueOf(*cfg.clone()), "Config")
	if len(shared) > 0 {
		t.Errorf("%v are shared", shared)
	}
}

// sharedWith lists the slices and pointers that two values have in common or that
// the test has left empty.
func sharedWith(a, b reflect.Value, name string) (list []string) {
	switch a.Kind() {
	case reflect.Struct:
		if a.Type() == reflect.TypeFor[netip.Addr]() || a.Type() == reflect.TypeFor[netip.Prefix]() {
			return nil
		}
		for i := range a.NumField() {
			list = append(list, sharedWith(a.Field(i), b.Field(i), name+"."+a.Type().Field(i).Name)...)
		}
	case reflect.Slice:
		if a.Len() == 0 || a.Pointer() == b.Pointer() {
			return []string{name}
		}
		return sharedWith(a.Index(0), b.Index(0), name)
	case reflect.Pointer:
		if a.Pointer() == b.Pointer() {
			return []string{name}
		}
		return sharedWith(a.Elem(), b.Elem(), name)
	default:
	}
	return list
}

// TestControlEnable: a disabled peer is neither dialled nor answered.
func TestControlEnable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer(active)))
		p := r.answer()
		p.Handshake(speakertest.Open(65001, "192.0.2.1"))
		<-r.h.up
		p.Expect(bgp.MessageUpdate, bgp.MessageUpdate)
		if err := r.s.Disable("one", ""); err != nil {
			t.Fatal(err)
		}
		p.ExpectNotification(6, 2, "")
		r.call("192.0.2.1").ExpectClosed()
		select {
		case <-r.dials:
			t.Error("a disabled peer was dialled")
		case <-time.After(time.Hour):
		}
		if st := r.s.Peers()[0]; st.State != Idle || st.Enabled {
			t.Errorf("%+v", st)
		}
		if err := r.s.Enable("one"); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		p = r.answer()
		between(t, "the dial", time.Since(begun), 0, time.Second)
		p.Handshake(speakertest.Open(65001, "192.0.2.1"))
		<-r.h.up
		if st := r.s.Peers()[0]; st.State != Established || !st.Enabled || st.Sessions != 2 || st.Attempts != 2 {
			t.Errorf("%+v", st)
		}
	})
}

func TestControlErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer()))
		for what, err := range map[string][2]error{
			"enable":  {r.s.Enable("two"), ErrNoPeer},
			"disable": {r.s.Disable("two", ""), ErrNoPeer},
			"reset":   {r.s.Reset("two", ResetHard, ""), ErrNoPeer},
			"refresh": {r.s.Refresh("one"), ErrNoSession},
			"out":     {r.s.Reset("one", ResetSoftOut, ""), ErrNoSession},
			"in":      {r.s.Reset("192.0.2.1", ResetSoftIn, ""), ErrNoSession},
		} {
			if !errors.Is(err[0], err[1]) {
				t.Errorf("%s: %v", what, err[0])
			}
		}
		p := r.session(func(o *bgp.OpenParams) { o.RouteRefresh = false })
		if err := r.s.Reset("one", ResetSoftIn, ""); !errors.Is(err, ErrRefreshNotNegotiated) {
			t.Error(err)
		}
		p.ExpectNothing(time.Second)
	})
}

// TestControlStatus has every field of a session that is up.
func TestControlStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer()))
		begun := time.Now()
		p := r.session()
		time.Sleep(10 * time.Second)
		p.Send(speakertest.HexMessage(t, bgp.MessageUpdate, "00000000"), speakertest.Keepalive())
		time.Sleep(10 * time.Second)
		synctest.Wait()
		st := r.s.Peers()[0]
		want := PeerStatus{
			Name: "one", Address: netip.MustParseAddr("192.0.2.1"), Enabled: true, Passive: true, State: Established, Since: begun,
			LocalASN: 65000, RemoteASN: 65001, LocalID: netip.MustParseAddr("192.0.2.100"), RemoteID: netip.MustParseAddr("192.0.2.1"),
			Local: netip.MustParseAddrPort("192.0.2.100:179"), Remote: netip.MustParseAddrPort("192.0.2.1:40000"),
			HoldTime: 90 * time.Second, Keepalive: 30 * time.Second, HoldLeft: 80 * time.Second,
			LastReceived: begun.Add(10 * time.Second), LastSent: st.LastSent,
			Received:    MessageCounts{Opens: 1, Updates: 1, Keepalives: 2},
			Sent:        MessageCounts{Opens: 1, Updates: 2, Keepalives: 1},
			Connections: 1, Sessions: 1,
			Families:         []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast},
			SentCapabilities: st.SentCapabilities, ReceivedCapabilities: "multiprotocol ipv4-unicast, multiprotocol ipv6-unicast, route-refresh, four-octet-as 65001",
		}
		if !reflect.DeepEqual(st, want) {
			t.Errorf("got  %+v\nwant %+v", st, want)
		}
		if !strings.Contains(st.SentCapabilities, "graceful-restart 0s notification") {
			t.Error(st.SentCapabilities)
		}
		families, err := r.reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		for _, f := range families {
			text.WriteString(f.String())
		}
		for _, name := range []string{"ribtap_bgp_sessions", "ribtap_bgp_messages_total"} {
			if !strings.Contains(text.String(), name) {
				t.Errorf("no %s", name)
			}
		}
		if got := r.s.states(); len(got) != 1 || got[0] != Established {
			t.Errorf("states %v", got)
		}
	})
}

// TestApplyActive makes a passive peer an active one and back.
func TestApplyActive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer()))
		if changes, err := r.s.Apply(engineConfig(enginePeer(func(p *Peer) { p.Active = true }))); err != nil || changeText(changes) != "one updated[Active];" {
			t.Errorf("%v %v", changes, err)
		}
		p := r.answer()
		p.Handshake(speakertest.Open(65001, "192.0.2.1"))
		<-r.h.up
		p.Expect(bgp.MessageUpdate, bgp.MessageUpdate)
		if _, err := r.s.Apply(engineConfig(enginePeer())); err != nil {
			t.Error(err)
		}
		p.ExpectNotification(6, 6, "")
		select {
		case <-r.dials:
			t.Error("a passive peer was dialled")
		case <-time.After(time.Hour):
		}
		r.session()
	})
}
