package speaker

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ribtap/ribtap/bgp"
)

func TestAnnouncementValidate(t *testing.T) {
	prefix := func(f bgp.Family, text string) Announcement {
		return Announcement{Family: f, Prefix: netip.MustParsePrefix(text)}
	}
	addr, addrPrefix := netip.MustParseAddr, netip.MustParsePrefix
	good := prefix(bgp.IPv4Unicast, "10.0.0.0/8")
	with := func(change func(*Announcement)) Announcement {
		a := good
		change(&a)
		return a
	}
	for _, tt := range []struct {
		a    Announcement
		want string
	}{
		{good, ""},
		{prefix(bgp.IPv6Unicast, "2001:db8::/32"), ""},
		{prefix(bgp.IPv4Unicast, "0.0.0.0/0"), ""},
		{Announcement{Family: bgp.IPv6Flowspec, Flow: "source 2001:db8::/32"}, ""},
		{Announcement{}, "announcement without a prefix: family afi-0-safi-0 cannot be announced"},
		{Announcement{Family: bgp.EVPN}, "family l2vpn-evpn cannot be announced"},
		{Announcement{Family: bgp.IPv4Unicast}, "family ipv4-unicast needs a prefix"},
		{prefix(bgp.IPv4Unicast, "10.0.0.1/8"), "announcement 10.0.0.1/8: the prefix has host bits; 10.0.0.0/8 has not"},
		{prefix(bgp.IPv6Unicast, "10.0.0.0/8"), "the prefix is not one of ipv6-unicast"},
		{prefix(bgp.IPv4Unicast, "2001:db8::/32"), "the prefix is not one of ipv4-unicast"},
		{with(func(a *Announcement) { a.Flow = "port 1" }), "prefix 10.0.0.0/8 and a flow at once"},
		{with(func(a *Announcement) { a.Origin = 3 }), "origin 3 is not one of RFC 4271"},
		{with(func(a *Announcement) { a.ASPath = []uint32{1, 0} }), "AS 0 in the path (RFC 7607)"},
		{with(func(a *Announcement) { a.NextHop = addr("0.0.0.0") }), "next hop 0.0.0.0 is not an address of a router"},
		{with(func(a *Announcement) { a.NextHop = addr("224.0.0.1") }), "next hop 224.0.0.1 is not an address of a router"},
		{with(func(a *Announcement) { a.NextHop = addr("fe80::1%eth0") }), "without a zone"},
		{with(func(a *Announcement) { a.NextHop = addr("2001:db8::1") }), ""},
		{with(func(a *Announcement) { a.NextHop, a.LinkLocal = addr("2001:db8::1"), addr("fe80::1") }), ""},
		{with(func(a *Announcement) { a.NextHop, a.LinkLocal = addr("2001:db8::1"), addr("2001:db8::2") }), "2001:db8::2 is not an IPv6 link-local address"},
		{with(func(a *Announcement) { a.LinkLocal = addr("fe80::1") }), "link-local next hop fe80::1 goes beside a global IPv6 one"},
		{with(func(a *Announcement) {
			a.Family, a.Prefix, a.NextHop = bgp.IPv6Unicast, addrPrefix("2001:db8::/32"), addr("192.0.2.1")
		}), "next hop 192.0.2.1 of an IPv6 prefix"},
		{with(func(a *Announcement) { a.Beacon = &Beacon{Up: time.Hour, Down: time.Hour} }), ""},
		{with(func(a *Announcement) { a.Beacon = &Beacon{Up: time.Hour} }), "a beacon is up and down for 1s at least"},
		{with(func(a *Announcement) { a.Beacon = &Beacon{Up: time.Hour, Down: 10000 * time.Hour} }), "a year at most"},
		{with(func(a *Announcement) { a.Beacon = &Beacon{time.Hour, time.Hour, 2 * time.Hour} }), "the offset of a beacon is below"},
		{Announcement{Family: bgp.IPv4Flowspec, Flow: "prot 6"}, `"prot" is not a component`},
		{Announcement{Family: bgp.IPv4Flowspec}, "no component"},
		{Announcement{Family: bgp.IPv4Flowspec, Flow: "port 1", NextHop: addr("192.0.2.1")}, "a flow has neither prefix nor next hop"},
	} {
		err := tt.a.Validate()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: got %v, want %s", tt.a, err, tt.want)
		}
	}
	both := prefix(bgp.IPv4Unicast, "10.0.0.1/8")
	both.Origin = 9
	if err := both.Validate(); err == nil || strings.Count(err.Error(), "announcement 10.0.0.1/8: ") != 2 {
		t.Errorf("not everything is said: %v", err)
	}
}

func TestAddCommunity(t *testing.T) {
	var a Announcement
	for _, text := range []string{"65000:1", "no-export", "65000:1:2", "target:65000:1", "color:100", "0x0002fde800000001", "default-gateway"} {
		if err := a.AddCommunity(text); err != nil {
			t.Error(err)
		}
	}
	if len(a.Communities) != 2 || len(a.LargeCommunities) != 1 || len(a.ExtendedCommunities) != 4 {
		t.Errorf("%+v", a)
	}
	for text, want := range map[string]string{
		"65000":      `bgp: community "65000": not two numbers`,
		"1:2:x":      `bgp: large community "1:2:x": "x" is not a number`,
		"1:2:3:4":    `bgp: community "1:2:3:4"`,
		"tarket:1:2": `bgp: extended community "tarket:1:2": "tarket" is not a type`,
	} {
		if err := a.AddCommunity(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
	if err := a.AddFlowAction("mark 46"); err != nil || len(a.ExtendedCommunities) != 5 {
		t.Errorf("%v", err)
	}
	if err := a.AddFlowAction("mark 99"); err == nil || len(a.ExtendedCommunities) != 5 {
		t.Error("mark 99 is taken")
	}
}
