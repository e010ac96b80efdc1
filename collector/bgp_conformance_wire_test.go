package collector

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/speaker"
	"github.com/ribtap/ribtap/speaker/speakertest"
)

// hexMP is an MP_REACH_NLRI or, without a next hop, an MP_UNREACH_NLRI.
func hexMP(t *testing.T, f bgp.Family, nextHop, nlri string) string {
	hop, items := speakertest.Octets(t, nextHop), speakertest.Octets(t, nlri)
	head := fmt.Sprintf("%04x%02x", uint16(f.AFI()), uint8(f.SAFI()))
	if nextHop == "" {
		return fmt.Sprintf("900f%04x%s%x ", 3+len(items), head, items)
	}
	return fmt.Sprintf("900e%04x%s%02x%x00%x ", 5+len(hop)+len(items), head, len(hop), hop, items)
}

// heardRow is what a neighbour sends in a session, and what becomes of it. The last
// UPDATE is looked at.
type heardRow struct {
	name string
	on   wireKind
	send [][]byte
	// rib is what is held in the end, says what the JSON of the last UPDATE has.
	rib  []string
	says []string
	// flags are the remarks about the last UPDATE, in order; - stands for none.
	flags string
}

func heardRows(t *testing.T) []heardRow {
	up := func(attrs, nlri string) []byte { return hexUpdate(t, "", hexWell+attrs, nlri) }
	mp := func(f bgp.Family, hop, nlri string) []byte {
		return hexUpdate(t, "", hexMP(t, f, hop, nlri)+hexOrigin+hexPath, "")
	}
	gone := func(f bgp.Family, nlri string) []byte { return hexUpdate(t, "", hexMP(t, f, "", nlri), "") }
	all := func(msgs ...[]byte) [][]byte { return msgs }
	const (
		rd      = "0000fde900000001 "
		hop4    = "c0000201"
		hopVPN4 = "0000000000000000 c0000201"
	)
	flap := func() (list [][]byte) {
		for range 20 {
			list = append(list, up("", hexNet), hexUpdate(t, hexNet, "", ""))
		}
		return list
	}
	one := []string{"10.1.1.0/24"}
	return []heardRow{
		// RFC 4271 §3.1: a route replaces the one before it.
		{name: "implicit withdrawal", send: all(up("", hexNet), up("800404 00000007", hexNet)), rib: one, says: []string{`"med":7`, `"changed":true`}},
		{name: "the same again", send: all(up("", hexNet), up("", hexNet)), rib: one, says: []string{`"changed":false`}},
		// RFC 7196 is not applied: every flap is kept.
		{name: "twenty flaps", send: flap(), says: []string{`"action":"withdraw"`, `"changed":true`}},
		{name: "withdrawal of nothing", send: all(hexUpdate(t, hexNet, "", "")), says: []string{`"action":"withdraw"`, `"changed":false`}},

		// RFC 4364, RFC 8277: the label is no part of the key, and is not looked at in a withdrawal.
		{
			name: "VPN", send: all(mp(bgp.IPv4VPN, hopVPN4, "70 000641 "+rd+"0a0101"), mp(bgp.IPv4VPN, hopVPN4, "70 000651 "+rd+"0a0101")), rib: one,
			says: []string{`"labels":[101]`, `"rd":"65001:1"`, `"changed":true`},
		},
		{
			name: "VPN withdrawn", send: all(mp(bgp.IPv4VPN, hopVPN4, "70 000641 "+rd+"0a0101"), gone(bgp.IPv4VPN, "70 800000 "+rd+"0a0101")),
			says: []string{`"action":"withdraw"`, `"changed":true`},
		},
		{name: "VPN over IPv6", send: all(mp(bgp.IPv4VPN, "0000000000000000"+hexHop6, "70 000641 "+rd+"0a0101")), rib: one, says: []string{`"next_hop":"2001:db8::1"`}},
		{
			name: "VPN over IPv6 with a link-local address", send: all(mp(bgp.IPv6VPN, "0000000000000000"+hexHop6+"0000000000000000 fe800000000000000000000000000001", "88 000641 "+rd+"20010db80001")),
			rib: []string{"2001:db8:1::/48"}, says: []string{`"next_hop":"2001:db8::1`},
		},
		{name: "labelled", send: all(mp(bgp.IPv4Labelled, hop4, "30 000641 0a0101")), rib: one, says: []string{`"labels":[100]`}},
		{
			name: "labelled withdrawn", send: all(mp(bgp.IPv4Labelled, hop4, "30 000641 0a0101"), gone(bgp.IPv4Labelled, "30 000000 0a0101")),
			says: []string{`"action":"withdraw"`, `"changed":true`},
		},

		// RFC 8950: the family of the next hop goes by its length.
		{name: "IPv4 over IPv6", send: all(mp(bgp.IPv4Unicast, hexHop6, hexNet)), rib: one, says: []string{`"next_hop":"2001:db8::1"`}},
		{name: "IPv4 over IPv6 with a link-local address", send: all(mp(bgp.IPv4Unicast, hexHop6+"fe800000000000000000000000000001", hexNet)), rib: one},
		{name: "IPv4 in MP_REACH_NLRI", send: all(mp(bgp.IPv4Unicast, hop4, hexNet)), rib: one, says: []string{`"next_hop":"192.0.2.1"`}},
		{name: "IPv6 over a mapped address", send: all(mp(bgp.IPv6Unicast, "00000000000000000000ffffc0000201", hexNet6)), rib: []string{"2001:db8:1::/48"}},

		// RFC 7432, RFC 8955, RFC 9552: what is not understood is kept.
		{name: "EVPN of unknown type", send: all(mp(bgp.EVPN, hop4, "c8 02 abcd")), rib: []string{"0xc802abcd"}},
		{name: "flowspec of an unknown component", send: all(mp(bgp.IPv4Flowspec, hop4, "03 c8 ffff")), rib: []string{"0x03c8ffff"}},
		{name: "link state", send: all(mp(bgp.LS, hop4, "004d0003010203")), rib: []string{"0x004d0003010203"}},

		// RFC 4760 §6 would end the session: the routes are told, and not held.
		{
			name: "a family that was not negotiated", send: all(mp(bgp.IPv6Multicast, hexHop6, hexNet6), up("", hexNet), mp(bgp.IPv6Multicast, hexHop6, hexNet6)),
			rib: one, says: []string{`"refused":true`}, flags: `"anomaly","refused"`,
		},

		// Remarks never drop a route.
		{name: "none", send: all(up("", hexNet)), rib: one, flags: "-"},
		{name: "AS_PATH in the long form", send: all(hexUpdate(t, "", hexOrigin+"50020006 0201 0000fde9"+hexNextHop, hexNet)), rib: one, says: []string{`"as_path":"65001"`}, flags: "-"},
		{name: "our AS in the path", send: all(hexUpdate(t, "", hexOrigin+"40020a 0202 0000fde9 0000fde8"+hexNextHop, hexNet)), rib: one, flags: `"as-loop"`},
		{name: "another first AS, as from a route server", send: all(hexUpdate(t, "", hexOrigin+"400206 0201 0000fdea"+hexNextHop, hexNet)), rib: one, flags: `"first-as"`},
		{name: "AS_SET (RFC 9774)", send: all(hexUpdate(t, "", hexOrigin+"40020c 0201 0000fde9 0101 0000fdea"+hexNextHop, hexNet)), rib: one, flags: `"as-set"`},
		{
			name: "confederation (RFC 5065)", send: all(hexUpdate(t, "", hexOrigin+"40020c 0301 0000fde9 0201 0000fdea"+hexNextHop, hexNet)), rib: one,
			says: []string{`"as_path":"(65001) 65002"`},
		},
		{name: "GRACEFUL_SHUTDOWN (RFC 8326)", send: all(up("c00804 ffff0000", hexNet)), rib: one, flags: `"gshut"`},
		{name: "LLGR_STALE (RFC 9494)", send: all(up("c00804 ffff0006", hexNet)), rib: one, flags: `"llgr-stale"`},
		{name: "BLACKHOLE (RFC 7999)", send: all(up("c00804 ffff029a", hexNet)), rib: one, flags: `"blackhole"`},
		{
			name: "our own router id as the originator (RFC 4456)", on: internal, send: all(up(hexLocalPref+"800904 0aff0001", hexNet)), rib: one,
			flags: `"cluster-loop"`, says: []string{`"originator_id":"10.255.0.1"`},
		},
		{name: "validation state of others (RFC 8097)", send: all(up("c01008 4300000000000002", hexNet)), rib: one, flags: "-"},
		{name: "next hop nowhere", send: all(hexUpdate(t, "", hexOrigin+hexPath+"400304 00000000", hexNet)), rib: one, flags: `"martian"`},

		// RFC 6793 §4.2.3.
		{
			name: "AS4_PATH", on: external2, send: all(hexUpdate(t, "", hexOrigin+"400206 0202 fde9 5ba0"+hexNextHop+"c01106 0201 fa56ea01", hexNet)), rib: one,
			says: []string{`"as_path":"65001 4200000001"`},
		},
		{
			name: "AS4_PATH longer than AS_PATH", on: external2, send: all(hexUpdate(t, "", hexOrigin+hexPath2+hexNextHop+"c0110a 0202 fa56ea01 fa56ea02", hexNet)), rib: one,
			says: []string{`"as_path":"65001"`},
		},
		{
			name: "AS4_PATH and AS4_AGGREGATOR beside an AGGREGATOR of two octets", on: external2,
			send: all(hexUpdate(t, "", hexOrigin+"400206 0202 fde9 5ba0"+hexNextHop+"c00706 fde9 c0000201 c01106 0201 fa56ea01 c01208 fa56ea01 c0000201", hexNet)), rib: one,
			says: []string{`"as_path":"65001 23456"`},
		},

		// RFC 8654 §4: we offered it, whatever the neighbour did.
		{name: "more than 4,096 octets", send: all(hexUpdate(t, "", hexWell+"d0f2ea60"+strings.Repeat("00", 60000), hexNet)), rib: one},
		{name: "65,535 octets", send: all(hexUpdate(t, "", hexWell+fmt.Sprintf("d0f2%04x", 65535-23-20-4-4)+strings.Repeat("00", 65535-23-20-4-4), hexNet)), rib: one},

		// RFC 4724 §2, RFC 4760 §4.
		{name: "End-of-RIB", send: all(hexUpdate(t, "", "", "")), says: []string{`"end_of_rib":"ipv4-unicast"`}},
		{name: "End-of-RIB of IPv6", send: all(gone(bgp.IPv6Unicast, "")), says: []string{`"end_of_rib":"ipv6-unicast"`}},
		{name: "End-of-RIB in the long form", send: all(hexUpdate(t, "", "900f0003 000201", "")), says: []string{`"end_of_rib":"ipv6-unicast"`}},
	}
}

var wireFamilies = []bgp.Family{
	bgp.IPv4Unicast, bgp.IPv6Unicast, bgp.IPv4VPN, bgp.IPv6VPN, bgp.IPv4Labelled, bgp.EVPN, bgp.IPv4Flowspec, bgp.LS, bgp.RTC,
}

func offering(families ...bgp.Family) func(*bgp.OpenParams) {
	return func(o *bgp.OpenParams) { o.Families = families }
}

// TestConformanceHeard sends what is in order, or strange and no error, over a session.
func TestConformanceHeard(t *testing.T) {
	w := newWireRig(t, func(p *speaker.Peer) { p.Families = wireFamilies })
	for i, row := range heardRows(t) {
		from := fmt.Sprintf("127.42.0.%d", i+1)
		t.Run(row.name, func(t *testing.T) {
			asn, change := row.on.open()
			p := w.session(t, from, asn, offering(wireFamilies...), change)
			for _, msg := range row.send {
				p.Send(msg)
			}
			settle(t, p)
			if diff := cmp.Diff(row.rib, w.rib(t, from)); diff != "" {
				t.Errorf("RIB state (-want +got):\n%s", diff)
			}
			var kept []*event.Event
			w.stream.await(t, from, "all UPDATEs", func(e *event.Event) bool {
				if e.Kind == event.KindRoute {
					kept = append(kept, e)
				}
				return len(kept) == len(row.send)
			})
			for i, e := range kept {
				if !bytes.Equal(e.PDU, row.send[i]) {
					t.Errorf("UPDATE %d is not kept as it came: %x", i, e.PDU)
				}
			}
			words := string(event.AppendJSON(nil, kept[len(kept)-1]))
			for _, want := range row.says {
				if !strings.Contains(words, want) {
					t.Errorf("no %s in %s", want, words)
				}
			}
			switch {
			case row.flags == "-" && strings.Contains(words, `"flags"`), row.flags != "" && row.flags != "-" && !strings.Contains(words, `"flags":[`+row.flags+`]`):
				t.Errorf("flags %s in %s", row.flags, words)
			}
		})
	}
}

// TestConformanceOpenForms brings sessions up with OPENs of every form that is in
// use; the peer-up has both OPENs as they were.
func TestConformanceOpenForms(t *testing.T) {
	w := newWireRig(t)
	const mp4, mp6, as4 = "0104 00010001 ", "0104 00020001 ", "4104 0000fde9 "
	param := func(caps ...string) (out string) { // a parameter for each
		for _, c := range caps {
			out += fmt.Sprintf("02%02x%s", len(speakertest.Octets(t, c)), c)
		}
		return out
	}
	for i, row := range []struct {
		name, params string // with their length in front
		families     string
		caps         string
	}{
		{"no parameters", "00", "ipv4-unicast", ""},
		{"one parameter", "14 0212 " + mp4 + mp6 + as4, "ipv4-unicast,ipv6-unicast", ""},
		{"a parameter for each capability", "%" + param(mp4, mp6, "8000", "0200", "4600", as4, "0600", "4508 00010101 00020101", "8207 00010001 01 8003",
			"4300", "4906 04 66727231 00", "400a c078 00010180 00020180", "4700"), "ipv4-unicast,ipv6-unicast", "fqdn frr1"},
		{"twice the same", "%" + param(mp4, mp4, "0200", "0200", as4), "ipv4-unicast", ""},
		{"unknown capability", "%" + param(mp4, "ef03 010203"), "ipv4-unicast", "capability-239 0x010203"},
		{"empty parameter", "%" + param("", mp6), "ipv6-unicast", ""},
		{"the long form (RFC 9072)", "ff ff 0009 02 0006 " + mp4, "ipv4-unicast", ""},
		{"the long form with a length that is not 255", "01 ff 0009 02 0006 " + mp4, "ipv4-unicast", ""},
		{"the long form of nothing", "ff ff 0000", "ipv4-unicast", ""},
		{"path identifiers of unknown mode (RFC 7911)", "%" + param(mp4, "4508 00010107 00020100"), "ipv4-unicast", ""},
	} {
		from := fmt.Sprintf("127.43.0.%d", i+1)
		t.Run(row.name, func(t *testing.T) {
			params := row.params
			if rest, ok := strings.CutPrefix(params, "%"); ok {
				params = fmt.Sprintf("%02x%s", len(speakertest.Octets(t, rest)), rest)
			}
			theirs := speakertest.HexMessage(t, bgp.MessageOpen, "04 fde9 005a c0000201"+params)
			p := speakertest.Dial(t, w.address, from)
			ours := p.Handshake(theirs)
			e := w.stream.await(t, from, "peer-up", func(e *event.Event) bool { return e.Kind == event.KindPeerUp })
			if !bytes.Equal(e.PDU, theirs) || !bytes.Equal(e.Sent, ours) {
				t.Errorf("the OPENs are %x and %x", e.PDU, e.Sent)
			}
			o, _ := bgp.ParseOpen(e.PDU)
			if got := string(bgp.AppendCapabilities(nil, &o)); !strings.Contains(got, row.caps) {
				t.Errorf("capabilities %s", got)
			}
			var families []string
			p.Send(bgp.AppendKeepalive(nil))
			for range strings.SplitSeq(row.families, ",") { // End-of-RIB of each
				var u bgp.Update
				u.Parse(p.Expect(bgp.MessageUpdate), bgp.Session{AS4: true})
				f, _ := u.EndOfRIB()
				families = append(families, f.String())
			}
			if got := strings.Join(families, ","); got != row.families {
				t.Errorf("families %s, want %s", got, row.families)
			}
		})
	}
}

// TestConformanceNotifications has a neighbour say every NOTIFICATION there is: the
// peer-down has its octets, and the routes go, or stay where RFC 8538 has them stay.
func TestConformanceNotifications(t *testing.T) {
	w := newWireRig(t)
	type row struct {
		body string
		text string
		n    bool // the N bit of both sides
		keep bool // the routes are stale and not gone
		flag bool // the event is marked
	}
	rows := []row{
		{body: "0401", text: "Hold Timer Expired/1"},
		{body: "0602", text: "Cease/Administrative Shutdown", n: true, keep: true},
		{body: "0400", text: "Hold Timer Expired", n: true, keep: true},
		{body: "0609 0602 03 627965", text: "Cease/Hard Reset (Cease/Administrative Shutdown): bye", n: true},
		{body: "0609", text: "Cease/Hard Reset", n: true},
		{body: "0602 03 627965", text: "Cease/Administrative Shutdown: bye"},
		{body: "0602 c8 627965", text: "Cease/Administrative Shutdown: bye", flag: true},
		{body: "0604 01 ff", text: "Cease/Administrative Reset: \uFFFD", flag: false},
		{body: "6302", text: "Error 99/2"},
	}
	for code, names := range map[int][]string{
		1: {"Connection Not Synchronized", "Bad Message Length", "Bad Message Type"},
		2: {"Unsupported Version Number", "Bad Peer AS", "Bad BGP Identifier", "Unsupported Optional Parameter"},
		3: {"Malformed Attribute List", "Unrecognized Well-known Attribute", "Missing Well-known Attribute", "Attribute Flags Error", "Attribute Length Error"},
		5: {"Receive Unexpected Message in OpenSent State", "Receive Unexpected Message in OpenConfirm State", "Receive Unexpected Message in Established State"},
		6: {
			"Maximum Number of Prefixes Reached", "Administrative Shutdown", "Peer De-configured", "Administrative Reset", "Connection Rejected",
			"Other Configuration Change", "Connection Collision Resolution", "Out of Resources", "Hard Reset", "BFD Down",
		},
		7: {"Invalid Message Length"},
	} {
		for i, name := range names {
			rows = append(rows, row{body: fmt.Sprintf("%02x%02x", code, i+1), text: bgp.ErrorName(uint8(code), 0) + "/" + name})
		}
	}
	rows = append(rows, row{body: "0800", text: "Send Hold Timer Expired"}, row{body: "0500", text: "Finite State Machine Error"})
	for i, row := range rows {
		from := fmt.Sprintf("127.44.0.%d", i+1)
		t.Run(row.body, func(t *testing.T) {
			p := w.session(t, from, 65001, func(o *bgp.OpenParams) {
				o.GracefulRestart = &bgp.GracefulRestartParams{
					Time: 120, Notification: row.n, Families: []bgp.GracefulFamily{{Family: bgp.IPv4Unicast, Forwarding: true}},
				}
			})
			p.Send(hexUpdate(t, "", hexWell, hexNet))
			settle(t, p)
			said := speakertest.HexMessage(t, bgp.MessageNotification, row.body)
			p.Send(said)
			p.ExpectClosed()
			down := w.stream.await(t, from, "peer-down", func(e *event.Event) bool { return e.Kind == event.KindPeerDown })
			if !slices.Equal(down.PDU, said) || down.Reason != speaker.DownRemoteNotification || down.Text != "received "+row.text {
				t.Errorf("peer-down %d %x %q, want %q", down.Reason, down.PDU, down.Text, row.text)
			}
			if got := down.Flags&event.FlagAnomaly != 0; got != row.flag {
				t.Errorf("anomaly %v", got)
			}
			e := w.stream.await(t, from, "what becomes of the routes", func(e *event.Event) bool { return e.Sequence > down.Sequence })
			if stale := e.Kind == event.KindRefresh; stale != row.keep || e.Flags&event.FlagInferred == 0 {
				t.Errorf("%v", e.Kind)
			}
			if held := len(w.rib(t, from)) > 0; held != row.keep {
				t.Errorf("held is %v", held)
			}
		})
	}
}

// TestConformanceLLGRAlone: without graceful restart it counts for nothing (RFC 9494 §4.4).
func TestConformanceLLGRAlone(t *testing.T) {
	w := newWireRig(t)
	p := w.session(t, "127.45.0.1", 65001, func(o *bgp.OpenParams) {
		o.LLGR = []bgp.GracefulFamily{{Family: bgp.IPv4Unicast, Forwarding: true, StaleTime: 3600}}
	})
	p.Send(hexUpdate(t, "", hexWell, hexNet))
	settle(t, p)
	p.Close()
	down := w.stream.await(t, "127.45.0.1", "peer-down", func(e *event.Event) bool { return e.Kind == event.KindPeerDown })
	e := w.stream.await(t, "127.45.0.1", "the withdrawal", func(e *event.Event) bool { return e.Sequence > down.Sequence })
	if e.Kind != event.KindRoute || len(w.rib(t, "127.45.0.1")) != 0 {
		t.Errorf("%v, RIB %v", e.Kind, w.rib(t, "127.45.0.1"))
	}
}

// TestConformanceSizes: what is longer than its type may be ends the session.
func TestConformanceSizes(t *testing.T) {
	extended := newWireRig(t)
	plain := newWireRig(t, func(p *speaker.Peer) { p.ExtendedMessages = false })
	big := hexUpdate(t, "", hexWell+"d0f2 1000"+strings.Repeat("00", 4096), hexNet)
	for i, row := range []struct {
		name string
		w    *wireRig
		msg  []byte
		data string
	}{
		{"UPDATE above 4,096 octets, not offered", plain, big, fmt.Sprintf("%04x", len(big))},
		{"KEEPALIVE of 20 octets", extended, speakertest.Message(bgp.MessageKeepalive, []byte{0}), "0014"},
		{"KEEPALIVE of 5,000 octets", extended, speakertest.Message(bgp.MessageKeepalive, make([]byte, 4981)), "1388"},
		{"OPEN of 5,000 octets", extended, speakertest.Message(bgp.MessageOpen, make([]byte, 4981)), "1388"},
		{"OPEN of 28 octets", extended, speakertest.Message(bgp.MessageOpen, make([]byte, 9)), "001c"},
		{"UPDATE of 22 octets", extended, speakertest.Message(bgp.MessageUpdate, make([]byte, 3)), "0016"},
		{"NOTIFICATION of 20 octets", extended, speakertest.Message(bgp.MessageNotification, make([]byte, 1)), "0014"},
		{"length of 18", extended, speakertest.Octets(t, strings.Repeat("ff", 16)+"0012 02"), "0012"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := row.w.session(t, fmt.Sprintf("127.46.0.%d", i+1), 65001)
			settle(t, p)
			go func() { _, _ = p.Conn().Write(row.msg) }()
			p.ExpectNotification(bgp.ErrorMessageHeader, 2, row.data)
		})
	}
}

// TestConformanceRouteTargets: who negotiates RFC 4684 hears that we want all VPN
// routes, and that this is all.
func TestConformanceRouteTargets(t *testing.T) {
	w := newWireRig(t, func(p *speaker.Peer) { p.Families = []bgp.Family{bgp.IPv4VPN, bgp.RTC} })
	p := speakertest.Dial(t, w.address, "127.47.0.1")
	p.Handshake(speakertest.Open(65001, "127.47.0.1", offering(bgp.IPv4VPN, bgp.RTC)))
	var got []string
	for len(got) < 3 {
		var u bgp.Update
		u.Parse(p.Expect(bgp.MessageUpdate), bgp.Session{AS4: true})
		if f, ok := u.EndOfRIB(); ok {
			got = append(got, "end of "+f.String())
			continue
		}
		for it := u.Routes(); it.Next(); {
			got = append(got, it.Route().NLRI.Family.String()+fmt.Sprintf(" %x", it.Route().NLRI.Raw))
		}
	}
	slices.Sort(got)
	if want := []string{"end of l3vpn-ipv4-unicast", "end of rtc", "rtc 00"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
