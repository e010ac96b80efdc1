package collector

import (
	"encoding/hex"
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

// Parts of UPDATEs, in hexadecimal.
const (
	hexOrigin    = "40010100 "
	hexPath      = "400206 0201 0000fde9 "
	hexPath2     = "400204 0201 fde9 "
	hexNextHop   = "400304 c0000201 "
	hexLocalPref = "400504 00000064 "
	hexWell      = hexOrigin + hexPath + hexNextHop
	hexWell2     = hexOrigin + hexPath2 + hexNextHop
	hexNet       = "18 0a0101 "       // 10.1.1.0/24
	hexNet6      = "30 20010db80001 " // 2001:db8:1::/48
	hexHop6      = "20010db8000000000000000000000001 "
	hexReach6    = "800e1c 0002 01 10 " + hexHop6 + "00 " + hexNet6
	hexUnreach6  = "800f0a 0002 01 " + hexNet6
)

// hexUpdate is an UPDATE of its three fields.
func hexUpdate(t *testing.T, withdrawn, attrs, nlri string) []byte {
	t.Helper()
	w, a, n := speakertest.Octets(t, withdrawn), speakertest.Octets(t, attrs), speakertest.Octets(t, nlri)
	body := append([]byte{byte(len(w) >> 8), byte(len(w))}, w...)
	body = append(append(body, byte(len(a)>>8), byte(len(a))), a...)
	return speakertest.Message(bgp.MessageUpdate, append(body, n...))
}

// Kinds of sessions on which an UPDATE comes.
type wireKind int

const (
	external  wireKind = iota
	internal           // AS 65000, as ours
	external2          // without four-octet AS numbers
	paths              // with path identifiers
)

// open returns the AS number and the change to an OPEN.
func (k wireKind) open() (asn uint32, change func(*bgp.OpenParams)) {
	return map[wireKind]uint32{internal: 65000}[k] + map[bool]uint32{true: 65001}[k != internal], func(o *bgp.OpenParams) {
		switch k {
		case external2:
			o.AS4 = false
		case paths:
			for _, f := range o.Families {
				o.AddPath = append(o.AddPath, bgp.AddPath{Family: f, Mode: bgp.AddPathSend})
			}
		default:
		}
	}
}

// base is what the neighbour announces before, with another next hop.
func (k wireKind) base(t *testing.T) []byte {
	attrs := "400304 c0000209 " + hexOrigin
	id := ""
	switch k {
	case internal:
		attrs += hexPath + hexLocalPref
	case external2:
		attrs += hexPath2
	case paths:
		attrs += hexPath
		id = "00000001"
	default:
		attrs += hexPath
	}
	reach := speakertest.Octets(t, "0002 01 10 20010db8000000000000000000000009 00"+id+hexNet6)
	return hexUpdate(t, "", fmt.Sprintf("800e%02x%x", len(reach), reach)+attrs, id+hexNet+id+"10 0a02")
}

// wireRow is an UPDATE, what RFC 7606 makes of it, and what the neighbour hears.
type wireRow struct {
	name string
	on   wireKind
	msg  []byte
	// verdict is ok, discard, withdraw or reset.
	verdict string
	// reset is the NOTIFICATION: code and subcode, and its data.
	subcode uint8
	data    string
	// gone are the prefixes that the RIB has no more, new those that came.
	gone, new []string
}

func wireRows(t *testing.T) []wireRow {
	up := func(attrs string) []byte { return hexUpdate(t, "", attrs, hexNet) }
	mp := func(attrs string) []byte { return hexUpdate(t, "", attrs, "") }
	broken := func(msg []byte, at int, with ...byte) []byte {
		out := slices.Clone(msg)
		copy(out[at:], with)
		return out
	}
	net, net6 := []string{"10.1.1.0/24"}, []string{"2001:db8:1::/48"}
	ok := func(name string, on wireKind, msg []byte) wireRow {
		return wireRow{name: name, on: on, msg: msg, verdict: "ok"}
	}
	discard := func(name string, on wireKind, msg []byte) wireRow {
		return wireRow{name: name, on: on, msg: msg, verdict: "discard"}
	}
	withdraw := func(name string, on wireKind, msg []byte) wireRow {
		return wireRow{name: name, on: on, msg: msg, verdict: "withdraw", gone: net}
	}
	withdraw6 := func(name string, on wireKind, msg []byte) wireRow {
		return wireRow{name: name, on: on, msg: msg, verdict: "withdraw", gone: net6}
	}
	reset := func(name string, msg []byte, subcode uint8, data string) wireRow {
		return wireRow{name: name, msg: msg, verdict: "reset", subcode: subcode, data: data}
	}
	return []wireRow{
		// §3(a), RFC 4271 §6.3: lengths of the message.
		reset("withdrawn routes overrun", broken(up(hexWell), 19, 3, 0xe8), 1, ""),
		reset("attributes overrun", broken(up(hexWell), 21, 0xff, 0xff), 1, ""),

		// §3(c): flags.
		withdraw("ORIGIN optional", external, up("c0010100"+hexPath+hexNextHop)),
		withdraw("AS_PATH not transitive", external, up(hexOrigin+"000206 0201 0000fde9"+hexNextHop)),
		withdraw("NEXT_HOP optional", external, up(hexOrigin+hexPath+"c00304 c0000201")),
		withdraw("MED transitive", external, up(hexWell+"c00404 00000001")),
		withdraw("LOCAL_PREF optional", internal, up(hexWell+"c00504 00000064")),
		withdraw("ATOMIC_AGGREGATE optional", external, up(hexWell+"c00600")),
		withdraw("AGGREGATOR well-known", external, up(hexWell+"400708 0000fde9 c0000201")),
		withdraw("COMMUNITIES not transitive", external, up(hexWell+"800804 00010002")),
		withdraw("ORIGINATOR_ID transitive", internal, up(hexWell+hexLocalPref+"c00904 c0000201")),
		withdraw("CLUSTER_LIST transitive", internal, up(hexWell+hexLocalPref+"c00a04 c0000201")),
		withdraw("EXTENDED COMMUNITIES not transitive", external, up(hexWell+"801008 0002000100000001")),
		withdraw("LARGE_COMMUNITY not transitive", external, up(hexWell+"80200c 000000010000000200000003")),
		withdraw("OTC not transitive", external, up(hexWell+"802304 0000fde9")),
		ok("low flag bits", external, up("4f0101 00 4f0206 0201 0000fde9 4f0304 c0000201")),
		reset("MP_REACH_NLRI transitive", mp("c00e1c 0002 01 10"+hexHop6+"00"+hexNet6+hexOrigin+hexPath), 4,
			"c00e1c 0002 01 10"+hexHop6+"00"+hexNet6),
		reset("MP_UNREACH_NLRI well-known", mp("400f0a 0002 01"+hexNet6), 4, "400f0a 0002 01"+hexNet6),
		reset("unknown well-known attribute", up(hexWell+"40c804 01020304"), 2, "40c804 01020304"),
		reset("unknown well-known attribute, long form", up(hexWell+"50c80004 01020304"), 2, "50c80004 01020304"),

		// §3(d): missing attributes.
		withdraw("no attributes", external, up("")),
		withdraw("no ORIGIN", external, up(hexPath+hexNextHop)),
		withdraw("no AS_PATH", external, up(hexOrigin+hexNextHop)),
		withdraw("no NEXT_HOP", external, up(hexOrigin+hexPath)),
		withdraw("no LOCAL_PREF", internal, up(hexWell)),
		ok("no NEXT_HOP beside MP_REACH_NLRI", external, mp(hexReach6+hexOrigin+hexPath)),
		withdraw6("no ORIGIN with MP_REACH_NLRI", external, mp(hexReach6+hexPath)),

		// §3(g): the same attribute twice.
		discard("ORIGIN twice", external, up(hexWell+"40010103")),
		discard("COMMUNITIES twice", external, up(hexWell+"c00804 00010002 c00804 00010003")),
		reset("MP_REACH_NLRI twice", mp(hexReach6+hexReach6+hexOrigin+hexPath), 1, ""),
		reset("MP_UNREACH_NLRI twice", mp(hexUnreach6+hexUnreach6), 1, ""),

		// §3(h): the strongest of several.
		withdraw("discard and withdraw", external, up(hexWell+"40060100 c00805 0001000200")),
		reset("withdraw and reset", up("40010103"+hexPath+hexNextHop+"800f02 0002"), 9, "800f02 0002"),

		// §3(i), (j), §5.3: NLRI.
		reset("prefix length 33", hexUpdate(t, "", hexWell, hexNet+"21 0a01010101"), 10, ""),
		reset("NLRI cut", hexUpdate(t, "", hexWell, hexNet+"18 0a01"), 10, ""),
		reset("withdrawal cut", hexUpdate(t, "19 0a0101", "", ""), 10, ""),
		reset("IPv6 prefix length 129", mp("800e27 0002 01 10"+hexHop6+"00 81"+strings.Repeat("00", 17)+hexOrigin+hexPath), 9,
			"800e27 0002 01 10"+hexHop6+"00 81"+strings.Repeat("00", 17)),
		reset("IPv6 withdrawal of length 129", mp("800f15 0002 01 81"+strings.Repeat("00", 17)), 9, "800f15 0002 01 81"+strings.Repeat("00", 17)),
		{name: "stray bits of a prefix", msg: hexUpdate(t, "", hexWell, "14 0a01ff"), verdict: "ok", new: []string{"10.1.240.0/20"}},

		// §4: the attribute area.
		withdraw("one octet left", external, up(hexWell+"c0")),
		withdraw("two octets left", external, up(hexWell+"c008")),
		withdraw("three octets left of the long form", external, up(hexWell+"d00800")),
		withdraw("last attribute overruns", external, up(hexWell+"d008ffff00010002")),
		withdraw6("overrun behind MP_REACH_NLRI", external, mp(hexReach6+hexOrigin+hexPath+"c008ff")),
		reset("MP_REACH_NLRI overruns", up(hexWell+"800eff000201"), 9, "800eff000201"),
		withdraw("ORIGIN of no octets", external, up("400100"+hexPath+hexNextHop)),
		withdraw("COMMUNITIES of no octets", external, up(hexWell+"c00800")),

		// §5.2: nothing reachable.
		reset("error without reachable NLRI", hexUpdate(t, hexNet, "4001020000", ""), 5, "4001020000"),
		reset("overrun without reachable NLRI", mp(hexWell+"c008ff"), 5, "c008ff"),
		{name: "discard without reachable NLRI", msg: hexUpdate(t, hexNet, "40060100", ""), verdict: "discard", gone: net},

		// §7, attribute by attribute.
		withdraw("ORIGIN 3", external, up("40010103"+hexPath+hexNextHop)),
		withdraw("ORIGIN of 2", external, up("4001020000"+hexPath+hexNextHop)),
		withdraw("AS_PATH segment type 0", external, up(hexOrigin+"400206 0001 0000fde9"+hexNextHop)),
		withdraw("AS_PATH segment type 5", external, up(hexOrigin+"400206 0501 0000fde9"+hexNextHop)),
		withdraw("AS_PATH overrun", external, up(hexOrigin+"400206 02ff 0000fde9"+hexNextHop)),
		withdraw("AS_PATH underrun", external, up(hexOrigin+"400207 0201 0000fde9 02"+hexNextHop)),
		withdraw("AS_PATH segment of none", external, up(hexOrigin+"400202 0200"+hexNextHop)),
		ok("AS_PATH empty", external, up(hexOrigin+"400200"+hexNextHop)),
		ok("AS_SET", external, up(hexOrigin+"40020c 0201 0000fde9 0101 0000fdea"+hexNextHop)),
		withdraw("AS 0 in AS_PATH", external, up(hexOrigin+"40020a 0202 0000fde9 00000000"+hexNextHop)),
		withdraw("NEXT_HOP of 5", external, up(hexOrigin+hexPath+"400305 c000020101")),
		ok("NEXT_HOP 0.0.0.0", external, up(hexOrigin+hexPath+"400304 00000000")),
		withdraw("MED of 3", external, up(hexWell+"800403 000001")),
		discard("LOCAL_PREF from external", external, up(hexWell+hexLocalPref)),
		discard("LOCAL_PREF of 3 from external", external, up(hexWell+"400503 000064")),
		withdraw("LOCAL_PREF of 3", internal, up(hexWell+"400503 000064")),
		discard("ATOMIC_AGGREGATE of 1", external, up(hexWell+"40060100")),
		discard("AGGREGATOR of 6", external, up(hexWell+"c00706 fde9 c0000201")),
		discard("AGGREGATOR of 8", external2, up(hexWell2+"c00708 0000fde9 c0000201")),
		ok("AGGREGATOR of 6, two-octet AS numbers", external2, up(hexWell2+"c00706 fde9 c0000201")),
		discard("AGGREGATOR with AS 0", external, up(hexWell+"c00708 00000000 c0000201")),
		withdraw("COMMUNITIES of 5", external, up(hexWell+"c00805 0001000200")),
		discard("ORIGINATOR_ID from external", external, up(hexWell+"800904 c0000201")),
		withdraw("ORIGINATOR_ID of 3", internal, up(hexWell+hexLocalPref+"800903 c00002")),
		discard("CLUSTER_LIST from external", external, up(hexWell+"800a04 c0000201")),
		withdraw("CLUSTER_LIST of 5", internal, up(hexWell+hexLocalPref+"800a05 c000020100")),
		reset("MP_REACH_NLRI of none", mp("800e00"+hexOrigin+hexPath), 9, "800e00"),
		reset("MP_REACH_NLRI of 4", mp("800e04 00020100"+hexOrigin+hexPath), 9, "800e04 00020100"),
		reset("MP next hop overruns", mp("800e08 0002 01 c8 20010db8"+hexOrigin+hexPath), 9, "800e08 0002 01 c8 20010db8"),
		reset("IPv6 next hop of 4", mp("800e10 0002 01 04 c0000201 00"+hexNet6+hexOrigin+hexPath), 9, "800e10 0002 01 04 c0000201 00"+hexNet6),
		ok("reserved octet of MP_REACH_NLRI", external, mp("800e1c 0002 01 10"+hexHop6+"ff"+hexNet6+hexOrigin+hexPath)),
		reset("MP_UNREACH_NLRI of 2", mp("800f02 0002"), 9, "800f02 0002"),
		withdraw("EXTENDED COMMUNITIES of 9", external, up(hexWell+"c01009 000200010000000100")),
		ok("unknown extended community", external, up(hexWell+"c01008 ff99000000000001")),
		withdraw("IPv6 EXTENDED COMMUNITIES of 21", external, up(hexWell+"c01915"+strings.Repeat("00", 21))),
		withdraw("ATTR_SET of 3", external, up(hexWell+"c08003 0000fd")),
		withdraw("ATTR_SET whose attribute overruns", external, up(hexWell+"c08007 0000fde9 400102")),
		ok("ATTR_SET", external, up(hexWell+"c08008 0000fde9 40010100")),

		// Attributes of later RFCs.
		discard("AS4_PATH on a session with four octets", external, up(hexWell+"c01106 0201 0000fde9")),
		discard("AS4_PATH malformed", external2, up(hexWell2+"c01104 0201 fde9")),
		discard("AS 0 in AS4_PATH", external2, up(hexWell2+"c01106 0201 00000000")),
		discard("AS4_AGGREGATOR of 7", external2, up(hexWell2+"c01207 0000fde9c00002")),
		discard("AIGP of 10", external, up(hexWell+"801a0a 01000a 00000000000001")),
		discard("AIGP transitive", external, up(hexWell+"c01a0b 01000b 0000000000000001")),
		discard("BGP-LS overruns", external, up(hexWell+"801d06 0400 0009 0102")),
		withdraw("LARGE_COMMUNITY of 13", external, up(hexWell+"c0200d"+strings.Repeat("01", 13))),
		withdraw("OTC of 3", external, up(hexWell+"c02303 00fde9")),
		discard("PREFIX_SID overruns", external, up(hexWell+"c02805 01 0007 0000")),
		ok("TUNNEL_ENCAP of unknown type", external, up(hexWell+"c01704 ffff 0000")),
		ok("unknown optional attributes", external, up(hexWell+"80f1020102 c0f200 e0f30101")),

		// RFC 7911: path identifiers.
		{
			name: "path identifiers", on: paths, msg: hexUpdate(t, "", hexWell, "00000001"+hexNet+"00000002"+hexNet), verdict: "ok",
			new: []string{"10.1.1.0/24"},
		},
		{
			name: "path identifier cut", on: paths, msg: hexUpdate(t, "", hexWell, "00000001"+hexNet+"0000"), verdict: "reset", subcode: 10,
		},
		{
			name: "path identifier not there", on: paths, msg: up(hexWell), verdict: "reset", subcode: 10,
		},
		{name: "withdrawal of an unknown path", on: paths, msg: hexUpdate(t, "00000009"+hexNet, "", ""), verdict: "ok"},
	}
}

var wireVerdicts = map[string]bgp.Verdict{
	"ok": bgp.VerdictOK, "discard": bgp.VerdictAttributeDiscard, "withdraw": bgp.VerdictTreatAsWithdraw, "reset": bgp.VerdictSessionReset,
}

// TestConformance7606 sends every malformed UPDATE of RFC 7606 over a session of its
// own: the event has the octets and the verdict, the RIB is as the verdict says, and
// the session goes on, or ends with the NOTIFICATION of RFC 4271 §6.3.
func TestConformance7606(t *testing.T) {
	w := newWireRig(t)
	for i, row := range wireRows(t) {
		from := fmt.Sprintf("127.76.%d.%d", i/200, i%200+1)
		t.Run(row.name, func(t *testing.T) {
			asn, change := row.on.open()
			p := w.session(t, from, asn, change)
			p.Send(row.on.base(t))
			settle(t, p)
			want := w.rib(t, from)
			if diff := cmp.Diff([]string{"10.1.1.0/24", "10.2.0.0/16", "2001:db8:1::/48"}, want); diff != "" {
				t.Fatalf("RIB state before (-want +got):\n%s", diff)
			}
			p.Send(row.msg)
			if row.verdict == "reset" {
				row.ends(t, w, p, from)
				return
			}
			p.Send(hexUpdate(t, map[bool]string{true: "00000007"}[row.on == paths]+"08 0b", "", "")) // nothing is withdrawn
			settle(t, p)
			row.told(t, w, from)
			want = append(slices.DeleteFunc(want, func(s string) bool { return slices.Contains(row.gone, s) }), row.new...)
			slices.Sort(want)
			if diff := cmp.Diff(want, w.rib(t, from)); diff != "" {
				t.Errorf("RIB state (-want +got):\n%s", diff)
			}
		})
	}
}

// told looks at the event of the UPDATE.
func (row *wireRow) told(t *testing.T, w *wireRig, from string) {
	t.Helper()
	e := w.stream.await(t, from, "the UPDATE", func(e *event.Event) bool { return slices.Equal(e.PDU, row.msg) })
	var u bgp.Update
	u.Parse(e.PDU, e.Session)
	if u.Verdict() != wireVerdicts[row.verdict] {
		t.Errorf("the event's verdict is %v, want %s: %+v", u.Verdict(), row.verdict, u.Findings())
	}
	if dropped := e.Flags&event.FlagDropped != 0; dropped != (row.verdict == "reset") {
		t.Errorf("dropped is %v", dropped)
	}
	words := string(event.AppendJSON(nil, e))
	name := map[string]string{"discard": "attribute-discard", "withdraw": "treat-as-withdraw", "reset": "session-reset"}[row.verdict]
	if name != "" && !strings.Contains(words, `"verdict":"`+name+`"`) || name == "" && strings.Contains(words, `"verdict"`) {
		t.Errorf("JSON %s", words)
	}
	if cause := strings.Contains(words, `"cause":"treat-as-withdraw"`); cause != (row.verdict == "withdraw") {
		t.Errorf("JSON %s", words)
	}
}

// ends looks at the end of the session, and at what is left of it.
func (row *wireRow) ends(t *testing.T, w *wireRig, p *speakertest.Peer, from string) {
	t.Helper()
	p.ExpectNotification(bgp.ErrorUpdateMessage, row.subcode, row.data)
	p.Close()
	row.told(t, w, from)
	down := w.stream.await(t, from, "the end of the session", func(e *event.Event) bool { return e.Kind == event.KindPeerDown })
	want := fmt.Sprintf("03%02x%s", row.subcode, strings.ReplaceAll(row.data, " ", ""))
	if got := hex.EncodeToString(down.PDU[bgp.HeaderLen:]); got != want || down.Reason != speaker.DownLocalNotification {
		t.Errorf("peer-down reason %d with %s, want %s", down.Reason, got, want)
	}
	w.stream.await(t, from, "the last withdrawal", func(e *event.Event) bool {
		return e.Sequence > down.Sequence && e.Flags&event.FlagInferred != 0 && len(w.rib(t, from)) == 0
	})
}
