package bgp_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/ribtap/ribtap/bgp"
)

func TestAppendOpenRoundTrip(t *testing.T) {
	role := bgp.RoleRS
	p := bgp.OpenParams{
		AS: 4200000000, HoldTime: 90, BGPID: netip.MustParseAddr("192.0.2.1"),
		Families: []bgp.Family{bgp.IPv4Unicast, bgp.EVPN}, AS4: true,
		RouteRefresh: true, EnhancedRefresh: true, ExtendedMessage: true,
		AddPath:         []bgp.AddPath{{bgp.IPv4Unicast, bgp.AddPathReceive}},
		ExtendedNextHop: []bgp.ExtendedNextHop{{bgp.IPv4Unicast, bgp.AFIIPv6}},
		Role:            &role,
		GracefulRestart: &bgp.GracefulRestartParams{Notification: true, Time: 120},
		LLGR:            []bgp.GracefulFamily{{Family: bgp.IPv4Unicast, StaleTime: 3600}},
		Host:            "rt1", Domain: "example.net", SoftwareVersion: "ribtap",
		Other: []bgp.Capability{{Code: 239, Value: []byte{1}}},
	}
	const want = "4200000000 90 192.0.2.1: multiprotocol ipv4-unicast, multiprotocol l2vpn-evpn, route-refresh, " +
		"extended-next-hop ipv4-unicast via ipv6, extended-message, role rs, graceful-restart 120s notification, " +
		"four-octet-as 4200000000, add-path ipv4-unicast receive, enhanced-route-refresh, " +
		"long-lived-graceful-restart ipv4-unicast 3600s, fqdn rt1.example.net, software-version ribtap, capability-239 0x01"
	msg := bgp.AppendOpen([]byte("before"), p)[len("before"):]
	o, err := bgp.ParseOpen(msg)
	if err != nil {
		t.Fatal(err)
	}
	if got := openText(&o); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if o.AS2 != bgp.ASTrans {
		t.Errorf("AS2 %d", o.AS2)
	}

	msg = bgp.AppendOpen(nil, bgp.OpenParams{AS: 65000, HoldTime: 180, BGPID: p.BGPID})
	if got := fmt.Sprintf("%x", msg[19:]); got != "04fde800b4c000020100" {
		t.Errorf("without capabilities: %s", got)
	}
}

// TestAppendOpenExtended finds the border between the two forms of optional
// parameters (RFC 9072 §2).
func TestAppendOpenExtended(t *testing.T) {
	p := bgp.OpenParams{AS: 65000, BGPID: netip.MustParseAddr("192.0.2.1")}
	for n := range 600 {
		p.Other = nil
		for left := n; left >= 2; {
			v := min(left-2, 255)
			p.Other = append(p.Other, bgp.Capability{Code: 239, Value: make([]byte, v)})
			left -= v + 2
		}
		length := 0
		for _, c := range p.Other {
			length += 2 + len(c.Value)
		}
		msg := bgp.AppendOpen(nil, p)
		o, err := bgp.ParseOpen(msg)
		if err != nil {
			t.Fatalf("%d octets: %v", length, err)
		}
		got := 0
		for it, c := o.Capabilities(), (bgp.Capability{}); ; got += 2 + len(c.Value) {
			var ok bool
			if c, ok = it.Next(); !ok {
				break
			}
		}
		if got != length {
			t.Fatalf("%d octets of capabilities, want %d", got, length)
		}
		if extended := len(msg) > 29 && msg[29] == 255; extended != (length+2 > 255) {
			t.Errorf("%d octets: extended %v", length, extended)
		}
	}
}

func TestAppendOpenTooLong(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("an OPEN of more than 4096 octets")
		}
	}()
	p := bgp.OpenParams{AS: 65000}
	for range 16 {
		p.Other = append(p.Other, bgp.Capability{Code: 239, Value: make([]byte, 255)})
	}
	bgp.AppendOpen(nil, p)
}

// TestHugeLists reads lists that fill a message in capabilities of the greatest
// length, with the stack buffers of text and negotiation.
func TestHugeLists(t *testing.T) {
	var as []bgp.AddPath
	var gs []bgp.GracefulFamily
	for i := range 200 {
		f := bgp.NewFamily(bgp.AFI(i+1), 1)
		as = append(as, bgp.AddPath{Family: f, Mode: bgp.AddPathBoth})
		gs = append(gs, bgp.GracefulFamily{Family: f, StaleTime: 1<<24 - 1})
	}
	o, err := bgp.ParseOpen(bgp.AppendOpen(nil, bgp.OpenParams{
		AS: 1, BGPID: netip.MustParseAddr("192.0.2.1"), AddPath: as, LLGR: gs,
		GracefulRestart: &bgp.GracefulRestartParams{Time: 65535, Families: gs},
	}))
	if err != nil {
		t.Fatal(err)
	}
	if got := o.AppendAddPaths(nil); !slices.Equal(got, as) {
		t.Errorf("%d tuples", len(got))
	}
	if got := o.AppendLLGR(nil); !slices.Equal(got, gs) {
		t.Errorf("%d tuples", len(got))
	}
	gr, _ := o.GracefulRestart()
	if got := gr.AppendFamilies(nil); len(got) != 63 || gr.Time != 4095 || gr.Restarting {
		t.Errorf("%d families, %+v", len(got), gr)
	}
	if s := bgp.Receive(&o, &o); s.AddPath != bgp.FamilySet(0).With(bgp.IPv4Unicast).With(bgp.IPv6Unicast) {
		t.Errorf("session %v", s.AddPath.Families())
	}
	if text := string(bgp.AppendCapabilities(nil, &o)); strings.Count(text, "-safi-") != 198+198+61 {
		t.Errorf("%d families in the text", strings.Count(text, "-safi-"))
	}
}
