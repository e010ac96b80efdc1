package bgp_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/ribtap/ribtap/bgp"
)

// openMessage frames fixed fields and optional parameters in hexadecimal; the
// length octet of the parameters is made here.
func openMessage(t testing.TB, fixed, params string) []byte {
	t.Helper()
	p := octets(t, params)
	body := append(octets(t, fixed), byte(len(p)))
	return message(bgp.MessageOpen, append(body, p...))
}

// param makes one Capabilities parameter of capabilities in hexadecimal.
func param(t testing.TB, capabilities string) string {
	t.Helper()
	c := octets(t, capabilities)
	return fmt.Sprintf("02%02x%x", len(c), c)
}

// params makes one Capabilities parameter for each capability.
func params(t testing.TB, capabilities ...string) string {
	t.Helper()
	var b strings.Builder
	for _, c := range capabilities {
		b.WriteString(param(t, c))
	}
	return b.String()
}

// fixed is version 4, AS 65001, hold time 180, 192.0.2.10.
const fixed = "04 fde9 00b4 c000020a"

// openText says what is in an OPEN.
func openText(o *bgp.Open) string {
	return fmt.Sprintf("%d %d %v: %s", o.AS, o.HoldTime, o.BGPID, bgp.AppendCapabilities(nil, o))
}

func TestParseOpen(t *testing.T) {
	for _, tt := range []struct {
		name, fixed, params, want string
	}{
		{"no parameters", fixed, "", "65001 180 192.0.2.10: "},
		{
			"BIRD: one parameter", "04 fde9 00f0 7f000002",
			param(t, "0104 00010001 0104 00020001 0200 0506 000100010002 0600 4006 012c 00010100 4104 0000fde9 4508 00010103 00020103 4600 4700"),
			"65001 240 127.0.0.2: multiprotocol ipv4-unicast, multiprotocol ipv6-unicast, route-refresh, " +
				"extended-next-hop ipv4-unicast via ipv6, extended-message, graceful-restart 300s ipv4-unicast, four-octet-as 65001, " +
				"add-path ipv4-unicast both ipv6-unicast both, enhanced-route-refresh, long-lived-graceful-restart",
		},
		{
			"FRR: one parameter for each capability", "04 5ba0 00b4 7f000003",
			params(t, "0104 00010001", "0104 00020001", "8000", "0200", "4600", "4104 fa56ea01", "0600", "0901 03", "4508 00010101 00020101",
				"8207 00010001 01 8003", "4300", "4906 04 66727231 00", "400a c078 00010180 00020180", "4700"),
			"4200000001 180 127.0.0.3: multiprotocol ipv4-unicast, multiprotocol ipv6-unicast, route-refresh-cisco, route-refresh, " +
				"enhanced-route-refresh, four-octet-as 4200000001, extended-message, role customer, add-path ipv4-unicast receive ipv6-unicast receive, " +
				"outbound-route-filtering-cisco 0x00010001018003, dynamic-capability, fqdn frr1, " +
				"graceful-restart 120s restarting notification ipv4-unicast forwarding ipv6-unicast forwarding, long-lived-graceful-restart",
		},
		{
			"GoBGP", "04 fde9 005a 0a000001",
			param(t, "0200 490c 05 676f626770 05 6c6f63616c 0104 00010001 4104 0000fde9 0506 000100010002 4504 00010102"),
			"65001 90 10.0.0.1: route-refresh, fqdn gobgp.local, multiprotocol ipv4-unicast, four-octet-as 65001, " +
				"extended-next-hop ipv4-unicast via ipv6, add-path ipv4-unicast send",
		},
		{
			"ExaBGP: restarting", "04 fde9 00b4 7f000005",
			params(t, "0104 00010001", "0104 00010085", "4104 0000fde9", "4002 8078", "4600", "4b0d 0c 4578614247502f342e322e32"),
			"65001 180 127.0.0.5: multiprotocol ipv4-unicast, multiprotocol ipv4-flowspec, four-octet-as 65001, " +
				"graceful-restart 120s restarting, enhanced-route-refresh, software-version ExaBGP/4.2.2",
		},
		{
			"OpenBGPD: graceful restart without families", "04 fde9 005a 7f000006",
			param(t, "0104 00010001 0200 0901 00 4002 8000 4104 0000fde9 4500 4600"),
			"65001 90 127.0.0.6: multiprotocol ipv4-unicast, route-refresh, role provider, graceful-restart 0s restarting, " +
				"four-octet-as 65001, add-path, enhanced-route-refresh",
		},
		{
			"two-octet speaker with two parameters", "04 fde9 000a c0000201",
			params(t, "0104 00020001", "0104 00010001"),
			"65001 10 192.0.2.1: multiprotocol ipv6-unicast, multiprotocol ipv4-unicast",
		},
		{
			"Loc-RIB with empty lists", "04 fde8 00b4 c0000201",
			param(t, "0200 4104 0000fde8 0600 4500 4c00 4002 c078 4700"),
			"65000 180 192.0.2.1: route-refresh, four-octet-as 65000, extended-message, add-path, paths-limit, " +
				"graceful-restart 120s restarting notification, long-lived-graceful-restart",
		},
		{
			"extended parameters", fixed, "ff 000f 02 000c 0104 00010001 4104 0000fde9",
			"65001 180 192.0.2.10: multiprotocol ipv4-unicast, four-octet-as 65001",
		},
		{"unknown capability", fixed, param(t, "ef03 010203 f000"), "65001 180 192.0.2.10: capability-239 0x010203, capability-240"},
		{
			"duplicates", fixed, param(t, "0200 0200 0104 00010001 0104 00010001"),
			"65001 180 192.0.2.10: route-refresh, route-refresh, multiprotocol ipv4-unicast, multiprotocol ipv4-unicast",
		},
		{
			"names that lie", fixed, param(t, "4904 c8ff00fe 4b06 05 46525200 31 4901 05 4b05 03 31323334"),
			"65001 180 192.0.2.10: fqdn 0xc8ff00fe, software-version FRR\uFFFD1, fqdn 0x05, software-version \uFFFD1234",
		},
		{
			"names of other shapes", fixed, param(t, "4901 00 4902 00 00 4906 02 6180 02 6207 4b05 362e392e31 4b00"),
			"65001 180 192.0.2.10: fqdn, fqdn, fqdn a\uFFFD.b\uFFFD, software-version 6.9.1, software-version",
		},
		{
			"odd values", fixed, param(t, "0901 09 4508 00010107 00020101 0506 000100014004 4707 400448 80 000e10"),
			"65001 180 192.0.2.10: role role-9, add-path ipv4-unicast mode-7 ipv6-unicast receive, " +
				"extended-next-hop ipv4-unicast via afi-16388, long-lived-graceful-restart ls-vpn 3600s forwarding",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, err := bgp.ParseOpen(openMessage(t, tt.fixed, tt.params))
			if err != nil {
				t.Error(err)
			}
			if got := openText(&o); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestParseOpenErrors gives OPENs that a speaker refuses, and shows how much of
// them is there nevertheless.
func TestParseOpenErrors(t *testing.T) {
	const as4 = "4104 0000fde9 "
	good := openMessage(t, fixed, param(t, as4))
	edit := func(at int, to ...byte) []byte {
		m := slices.Clone(good)
		copy(m[at:], to)
		return m
	}
	for _, tt := range []struct {
		name       string
		msg        []byte
		errText    string
		structural bool
		want       string
	}{
		{
			"marker", edit(3, 0), "bgp: OPEN: marker is not all ones at octet 3 (Message Header Error/Connection Not Synchronized)",
			false, "65001 180 192.0.2.10: four-octet-as 65001",
		},
		{
			"header length 18", edit(16, 0, 18), "bgp: OPEN: length is not that of the message at octet 16 (Message Header Error/Bad Message Length)",
			true, "65001 180 192.0.2.10: four-octet-as 65001",
		},
		{
			"octets behind the length", append(slices.Clone(good), 1), "bgp: OPEN: length is not that of the message at octet 16 (Message Header Error/Bad Message Length)",
			true, "65001 180 192.0.2.10: four-octet-as 65001",
		},
		{
			"type", edit(18, 2), "bgp: UPDATE: not the expected message type at octet 18 (Message Header Error/Bad Message Type)",
			true, "0 0 invalid IP: ",
		},
		{"header cut", good[:18], "bgp: OPEN: header cut short at octet 18 (Message Header Error/Bad Message Length)", true, "0 0 invalid IP: "},
		{
			"body cut", message(bgp.MessageOpen, octets(t, "04 fde9 00b4 c000")),
			"bgp: OPEN: OPEN cut short at octet 26 (Message Header Error/Bad Message Length)", true, "65001 180 invalid IP: ",
		},
		{"version 3", edit(19, 3), "bgp: OPEN: version is not 4 at octet 19 (OPEN Message Error/Unsupported Version Number)", false, "65001 180 192.0.2.10: four-octet-as 65001"},
		{"AS 0", openMessage(t, "04 0000 00b4 c000020a", ""), "bgp: OPEN: AS number 0 at octet 20 (OPEN Message Error/Bad Peer AS)", false, "0 180 192.0.2.10: "},
		{
			"four-octet AS 0", openMessage(t, fixed, param(t, "4104 00000000")),
			"bgp: OPEN: AS number 0 at octet 20 (OPEN Message Error/Bad Peer AS)", false, "0 180 192.0.2.10: four-octet-as 0",
		},
		{"hold time 1", edit(22, 0, 1), "bgp: OPEN: hold time below three seconds at octet 22 (OPEN Message Error/Unacceptable Hold Time)", false, "65001 1 192.0.2.10: four-octet-as 65001"},
		{"identifier 0", edit(24, 0, 0, 0, 0), "bgp: OPEN: BGP Identifier 0.0.0.0 at octet 24 (OPEN Message Error/Bad BGP Identifier)", false, "65001 180 0.0.0.0: four-octet-as 65001"},
		{
			"parameters overrun", edit(28, 200), "bgp: OPEN: optional parameters overrun the message at octet 29 (OPEN Message Error)",
			true, "65001 180 192.0.2.10: four-octet-as 65001",
		},
		{
			"parameters short", edit(28, 0), "bgp: OPEN: octets behind the optional parameters at octet 29 (OPEN Message Error)",
			true, "65001 180 192.0.2.10: ",
		},
		{
			"parameter overruns", openMessage(t, fixed, param(t, as4)+"02ff 0200"),
			"bgp: OPEN: optional parameter overruns the parameters at octet 37 (OPEN Message Error)", true, "65001 180 192.0.2.10: four-octet-as 65001",
		},
		{
			"unknown parameter", openMessage(t, fixed, "0102 0000"+param(t, as4)),
			"bgp: OPEN: unknown optional parameter at octet 29 (OPEN Message Error/Unsupported Optional Parameter)", false, "65001 180 192.0.2.10: four-octet-as 65001",
		},
		{
			"two faults", openMessage(t, fixed, "0100 02ff 00"),
			"bgp: OPEN: unknown optional parameter at octet 29 (OPEN Message Error/Unsupported Optional Parameter)", false, "65001 180 192.0.2.10: ",
		},
		{
			"capability overruns", openMessage(t, fixed, param(t, "0200 41c8 0000")+param(t, "0600")),
			"bgp: OPEN: capability overruns its parameter at octet 33 (OPEN Message Error)", true, "65001 180 192.0.2.10: route-refresh, extended-message",
		},
		{
			"capability without length", openMessage(t, fixed, param(t, "0200 41")),
			"bgp: OPEN: capability overruns its parameter at octet 33 (OPEN Message Error)", true, "65001 180 192.0.2.10: route-refresh",
		},
		{
			// The AS number must not come out of the next capability.
			"four-octet AS of no octets", openMessage(t, "04 5ba0 00b4 c000020a", param(t, "4100 0104 00010001")),
			"bgp: OPEN: capability of a wrong length at octet 31 (OPEN Message Error)", true, "23456 180 192.0.2.10: four-octet-as, multiprotocol ipv4-unicast",
		},
		{
			"graceful restart of five octets", openMessage(t, fixed, param(t, as4+"4005 0078000101")),
			"bgp: OPEN: capability of a wrong length at octet 37 (OPEN Message Error)", true, "65001 180 192.0.2.10: four-octet-as 65001, graceful-restart 0x0078000101",
		},
		{
			"multiprotocol of five octets", openMessage(t, fixed, param(t, "0105 0001000100")),
			"bgp: OPEN: capability of a wrong length at octet 31 (OPEN Message Error)", true, "65001 180 192.0.2.10: multiprotocol 0x0001000100",
		},
		{
			"two roles", openMessage(t, fixed, param(t, "0901 00 0901 03")),
			"bgp: OPEN: different BGP roles at octet 34 (OPEN Message Error/Role Mismatch)", false, "65001 180 192.0.2.10: role provider, role customer",
		},
		{
			"extended cut", openMessage(t, fixed, "ff"),
			"bgp: OPEN: optional parameters overrun the message at octet 29 (OPEN Message Error)", true, "65001 180 192.0.2.10: ",
		},
		{
			"extended lie", openMessage(t, fixed, "ff ffff 02 0006 4104 0000fde9"),
			"bgp: OPEN: optional parameters overrun the message at octet 29 (OPEN Message Error)", true, "65001 180 192.0.2.10: four-octet-as 65001",
		},
		{
			"extended parameter overruns", openMessage(t, fixed, "ff 0009 02 00ff 4104 0000fde9"),
			"bgp: OPEN: optional parameter overruns the parameters at octet 32 (OPEN Message Error)", true, "65001 180 192.0.2.10: ",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, err := bgp.ParseOpen(tt.msg)
			var merr *bgp.MessageError
			if !errors.As(err, &merr) {
				t.Fatalf("error %v", err)
			}
			if err.Error() != tt.errText {
				t.Errorf("error %q\nwant  %q", err, tt.errText)
			}
			if merr.Structural() != tt.structural {
				t.Errorf("structural %v", merr.Structural())
			}
			if got := openText(&o); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestParseOpenVersionData(t *testing.T) {
	_, err := bgp.ParseOpen(openMessage(t, "05 fde9 00b4 c000020a", ""))
	var merr *bgp.MessageError
	if !errors.As(err, &merr) || merr.Code != 2 || merr.Subcode != 1 || string(merr.Data) != "\x00\x04" {
		t.Errorf("got %+v", merr)
	}
}

// TestOpenViews reads what the capabilities mean.
func TestOpenViews(t *testing.T) {
	o, err := bgp.ParseOpen(openMessage(t, "04 5ba0 00b4 c000020a", params(t,
		"0104 00020001 0104 00010001 0104 00020001", // twice the same
		"0506 000100010002 0506 000100800002",
		"0901 03", "4002 0001", "400a c078 00010180 00020100",
		"4104 fa56ea01", "4510 00010101 00020103 00010004 00010000", "4704 00010002",
		"4707 000101 80 000e10")))
	var merr *bgp.MessageError
	if !errors.As(err, &merr) || merr.Reason != "capability of a wrong length" {
		t.Fatalf("error %v, want that of the list of seven octets", err)
	}
	if o.AS != 4200000001 || o.AS2 != bgp.ASTrans {
		t.Errorf("AS %d, AS2 %d", o.AS, o.AS2)
	}
	if got := o.AppendFamilies(nil); !slices.Equal(got, []bgp.Family{bgp.IPv6Unicast, bgp.IPv4Unicast}) {
		t.Errorf("families %v", got)
	}
	if got := o.AppendExtendedNextHops(nil); !slices.Equal(got, []bgp.ExtendedNextHop{{bgp.IPv4Unicast, bgp.AFIIPv6}, {bgp.IPv4VPN, bgp.AFIIPv6}}) {
		t.Errorf("extended next hops %v", got)
	}
	if r, ok := o.Role(); !ok || r != bgp.RoleCustomer || r.String() != "customer" {
		t.Errorf("role %v %v", r, ok)
	}
	gr, ok := o.GracefulRestart()
	if !ok || !gr.Restarting || !gr.Notification || gr.Time != 120 {
		t.Errorf("graceful restart %+v %v", gr, ok)
	}
	if got := gr.AppendFamilies(nil); !slices.Equal(got, []bgp.GracefulFamily{{Family: bgp.IPv4Unicast, Forwarding: true}, {Family: bgp.IPv6Unicast}}) {
		t.Errorf("graceful families %v", got)
	}
	if got := o.AppendAddPaths(nil); !slices.Equal(got, []bgp.AddPath{{bgp.IPv4Unicast, bgp.AddPathReceive}, {bgp.IPv6Unicast, bgp.AddPathBoth}}) {
		t.Errorf("add-path %v", got)
	}
	if got := o.AppendLLGR(nil); !slices.Equal(got, []bgp.GracefulFamily{{Family: bgp.IPv4Unicast, Forwarding: true, StaleTime: 3600}}) {
		t.Errorf("LLGR %v", got)
	}
	if o.Has(bgp.CapRouteRefresh) || !o.Has(bgp.CapLLGR) {
		t.Error("Has")
	}
	if _, _, ok := o.FQDN(); ok {
		t.Error("a name from nowhere")
	}
	if _, ok := o.SoftwareVersion(); ok {
		t.Error("a version from nowhere")
	}
}

func TestOpenNames(t *testing.T) {
	o, err := bgp.ParseOpen(openMessage(t, fixed, param(t, "490c 05 676f626770 05 6c6f63616c 4b04 03 312e32")))
	if err != nil {
		t.Fatal(err)
	}
	if host, domain, ok := o.FQDN(); !ok || string(host) != "gobgp" || string(domain) != "local" {
		t.Errorf("name %q %q %v", host, domain, ok)
	}
	if v, ok := o.SoftwareVersion(); !ok || string(v) != "1.2" {
		t.Errorf("version %q %v", v, ok)
	}
}

// TestNoMultiprotocol shows the family of a speaker without RFC 4760.
func TestNoMultiprotocol(t *testing.T) {
	o, _ := bgp.ParseOpen(openMessage(t, fixed, param(t, "0200")))
	if got := o.AppendFamilies(nil); !slices.Equal(got, []bgp.Family{bgp.IPv4Unicast}) {
		t.Errorf("families %v", got)
	}
}

func TestNegotiation(t *testing.T) {
	parse := func(p bgp.OpenParams) *bgp.Open {
		p.BGPID = netip.MustParseAddr("192.0.2.1")
		o, err := bgp.ParseOpen(bgp.AppendOpen(nil, p))
		if err != nil {
			t.Fatal(err)
		}
		return &o
	}
	ways := func(as ...bgp.AddPath) []bgp.AddPath { return as }
	v4, v6, vpn := bgp.IPv4Unicast, bgp.IPv6Unicast, bgp.IPv4VPN
	for _, tt := range []struct {
		name              string
		sent, received    bgp.OpenParams
		receive, transmit bgp.Session
	}{
		{
			"nothing",
			bgp.OpenParams{AS: 65000},
			bgp.OpenParams{AS: 65001},
			bgp.Session{Peering: bgp.PeeringExternal},
			bgp.Session{Peering: bgp.PeeringExternal},
		},
		{
			"both four-octet, internal",
			bgp.OpenParams{AS: 4200000000, AS4: true},
			bgp.OpenParams{AS: 4200000000, AS4: true},
			bgp.Session{AS4: true, Peering: bgp.PeeringInternal},
			bgp.Session{AS4: true, Peering: bgp.PeeringInternal},
		},
		{
			"one four-octet",
			bgp.OpenParams{AS: 65000, AS4: true},
			bgp.OpenParams{AS: 65001},
			bgp.Session{Peering: bgp.PeeringExternal},
			bgp.Session{Peering: bgp.PeeringExternal},
		},
		{
			"extended messages go to who offers them",
			bgp.OpenParams{AS: 1, ExtendedMessage: true},
			bgp.OpenParams{AS: 2},
			bgp.Session{ExtendedMessage: true, Peering: bgp.PeeringExternal},
			bgp.Session{Peering: bgp.PeeringExternal},
		},
		{
			"add-path",
			bgp.OpenParams{AS: 1, AddPath: ways(bgp.AddPath{v4, bgp.AddPathReceive}, bgp.AddPath{v6, bgp.AddPathBoth}, bgp.AddPath{vpn, bgp.AddPathSend})},
			bgp.OpenParams{AS: 2, AddPath: ways(bgp.AddPath{v4, bgp.AddPathBoth}, bgp.AddPath{v6, bgp.AddPathReceive}, bgp.AddPath{vpn, bgp.AddPathSend})},
			bgp.Session{Peering: bgp.PeeringExternal, AddPath: bgp.FamilySet(0).With(v4)},
			bgp.Session{Peering: bgp.PeeringExternal, AddPath: bgp.FamilySet(0).With(v6)},
		},
		{
			"add-path named twice, the last counts",
			bgp.OpenParams{AS: 1, AddPath: ways(bgp.AddPath{v4, bgp.AddPathBoth}, bgp.AddPath{v4, bgp.AddPathSend})},
			bgp.OpenParams{AS: 2, AddPath: ways(bgp.AddPath{v4, bgp.AddPathBoth})},
			bgp.Session{Peering: bgp.PeeringExternal},
			bgp.Session{Peering: bgp.PeeringExternal, AddPath: bgp.FamilySet(0).With(v4)},
		},
		{
			"add-path of one mode that is none",
			bgp.OpenParams{AS: 1, AddPath: ways(bgp.AddPath{v4, 3}, bgp.AddPath{v4, 7})},
			bgp.OpenParams{AS: 2, AddPath: ways(bgp.AddPath{v4, bgp.AddPathSend})},
			bgp.Session{Peering: bgp.PeeringExternal, AddPath: bgp.FamilySet(0).With(v4)},
			bgp.Session{Peering: bgp.PeeringExternal},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sent, received := parse(tt.sent), parse(tt.received)
			if got := bgp.Receive(sent, received); got != tt.receive {
				t.Errorf("receive %+v, want %+v", got, tt.receive)
			}
			if got := bgp.Transmit(sent, received); got != tt.transmit {
				t.Errorf("transmit %+v, want %+v", got, tt.transmit)
			}
		})
	}
	a := parse(bgp.OpenParams{AS: 1, Families: []bgp.Family{v6, vpn, v4}})
	b := parse(bgp.OpenParams{AS: 2, Families: []bgp.Family{v4, v6}})
	if got := bgp.AppendCommonFamilies(nil, a, b); !slices.Equal(got, []bgp.Family{v6, v4}) {
		t.Errorf("common families %v", got)
	}
}

// TestOpenAllocates nothing.
func TestOpenAllocates(t *testing.T) {
	msg := openMessage(t, fixed, param(t, "0104 00010001 0104 00020001 0200 0506 000100010002 0600 4006 012c 00010100 4104 0000fde9 4508 00010103 00020103 4600 4700 490c 05 676f626770 05 6c6f63616c"))
	buf := make([]byte, 0, 1024)
	var families [16]bgp.Family
	if n := testing.AllocsPerRun(100, func() {
		o, err := bgp.ParseOpen(msg)
		if err != nil {
			t.Error(err)
		}
		buf = bgp.AppendCapabilities(buf[:0], &o)
		s := bgp.Receive(&o, &o)
		if !s.AddPath.Has(bgp.IPv6Unicast) || len(bgp.AppendCommonFamilies(families[:0], &o, &o)) != 2 {
			t.Error("negotiation")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestNames(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{bgp.CapabilityName(bgp.CapAddPath), "add-path"},
		{bgp.CapabilityName(0), "capability-0"},
		{bgp.RoleRSClient.String(), "rs-client"},
		{bgp.Role(9).String(), "role-9"},
		{bgp.AddPathMode(7).String(), "mode-7"},
		{bgp.MessageName(bgp.MessageRouteRefresh), "ROUTE-REFRESH"},
		{bgp.MessageName(77), "type-77"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %s, want %s", tt.got, tt.want)
		}
	}
}

// FuzzOpen reads whatever claims to be an OPEN and uses all views of it.
func FuzzOpen(f *testing.F) {
	f.Add(openMessage(f, fixed, param(f, "0104 00010001 0200 0506 000100010002 0600 4006 012c 00010100 4104 0000fde9 4508 00010103 00020103 4600 4707 00010180000e10")))
	f.Add(openMessage(f, fixed, "ff 000f 02 000c 01040001 0001 41040000fde9"))
	f.Add(openMessage(f, fixed, param(f, "4904 c8ff00fe 4b06 05 4652520a31 0901 03")))
	f.Add(openMessage(f, "04 5ba0 00b4 c000020a", param(f, "4100 0104 00010001")+"01020000"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		o, err := bgp.ParseOpen(msg)
		if err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
		n := 0
		for it := o.Capabilities(); ; n++ {
			if _, ok := it.Next(); !ok {
				break
			}
		}
		if n > len(msg)/2 {
			t.Errorf("%d capabilities in %d octets", n, len(msg))
		}
		text := bgp.AppendCapabilities(nil, &o)
		if strings.ContainsAny(string(text), "\x00\n\x7f") {
			t.Errorf("control characters in %q", text)
		}
		if err == nil && o.AS == 0 {
			t.Error("AS 0")
		}
		o.AppendExtendedNextHops(nil)
		o.AppendLLGR(nil)
		gr, _ := o.GracefulRestart()
		gr.AppendFamilies(nil)
		o.FQDN()
		o.SoftwareVersion()
		o.Role()
		if bgp.Receive(&o, &o).Peering != bgp.PeeringInternal {
			t.Error("peering with itself is not internal")
		}
		bgp.AppendCommonFamilies(nil, &o, &o)
	})
}
