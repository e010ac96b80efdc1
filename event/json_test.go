package event_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
)

var update = flag.Bool("update", false, "write golden files anew")

var (
	testRouter = &event.Router{Name: "edge1", Address: netip.MustParseAddr("192.0.2.1"), SysName: "edge1.example.net", SysDescr: "test \"router\"\n", Session: 7}
	testPeer   = &event.Peer{
		Router: testRouter, Type: event.PeerRD, Distinguisher: bgp.RD{0, 0, 0xfd, 0xe8, 0, 0, 0, 1},
		Address: netip.MustParseAddr("192.0.2.11"), ASN: 65011, BGPID: netip.MustParseAddr("10.0.0.11"),
		LocalAddress: netip.MustParseAddr("192.0.2.1"), LocalASN: 65001, Table: "blue", Epoch: 2,
	}
	testTime = event.Time(1767225600_123456_789)
)

// msg frames the body of a BGP message.
func msg(typ byte, body ...byte) []byte {
	m := append(bytes.Repeat([]byte{0xff}, 16), byte((19+len(body))>>8), byte(19+len(body)), typ)
	return append(m, body...)
}

// updateMsg makes an UPDATE of its three fields.
func updateMsg(withdrawn, attrs, nlri []byte) []byte {
	body := append([]byte{byte(len(withdrawn) >> 8), byte(len(withdrawn))}, withdrawn...)
	body = append(append(body, byte(len(attrs)>>8), byte(len(attrs))), attrs...)
	return msg(bgp.MessageUpdate, append(body, nlri...)...)
}

func richUpdate() []byte {
	attrs := bytes.Join([][]byte{
		{0x40, 1, 1, 0}, // ORIGIN igp
		{0x40, 2, 10, 2, 2, 0, 0, 0xfd, 0xf3, 0, 0, 0xfd, 0xe8},  // AS_PATH 65011 65000
		{0x40, 3, 4, 192, 0, 2, 11},                              // NEXT_HOP
		{0x80, 4, 4, 0, 0, 0, 50},                                // MED
		{0x40, 5, 4, 0, 0, 0, 100},                               // LOCAL_PREF
		{0x40, 6, 0},                                             // ATOMIC_AGGREGATE
		{0xc0, 7, 8, 0, 0, 0xfd, 0xe8, 10, 0, 0, 1},              // AGGREGATOR
		{0xc0, 8, 8, 0xfd, 0xe8, 0, 1, 0xff, 0xff, 0, 0},         // 65000:1 GRACEFUL_SHUTDOWN
		{0x80, 9, 4, 10, 0, 0, 9},                                // ORIGINATOR_ID
		{0x80, 10, 4, 10, 0, 0, 8},                               // CLUSTER_LIST
		{0xc0, 16, 8, 0, 2, 0xfd, 0xe8, 0, 0, 0, 1},              // rt:65000:1
		{0xc0, 32, 12, 0, 0, 0xfd, 0xe8, 0, 0, 0, 1, 0, 0, 0, 2}, // 65000:1:2
		{0xc0, 35, 4, 0, 0, 0xfd, 0xe8},                          // OTC
		{0xc0, 99, 3, 1, 2, 3},                                   // nobody's
	}, nil)
	return updateMsg([]byte{24, 198, 51, 100}, attrs, []byte{16, 10, 1, 8, 11})
}

// jsonCases has at least one event of every kind.
func jsonCases() map[string]event.Event {
	base := func(k event.Kind) event.Event {
		return event.Event{
			Sequence: 42, Received: testTime, Observed: testTime - 1e9, Kind: k, Source: event.SourceBMP,
			Router: testRouter, Peer: testPeer, Session: bgp.Session{AS4: true},
		}
	}
	with := func(k event.Kind, change func(*event.Event)) event.Event {
		e := base(k)
		change(&e)
		return e
	}
	open := bgp.AppendOpen(nil, bgp.OpenParams{
		AS: 4200000001, HoldTime: 90, BGPID: netip.MustParseAddr("10.0.0.11"), AS4: true,
		Families: []bgp.Family{bgp.IPv4Unicast}, AddPath: []bgp.AddPath{{Family: bgp.IPv4Unicast, Mode: bgp.AddPathBoth}},
		Host: "peer\"1",
	})
	return map[string]event.Event{
		"router-up":   with(event.KindRouterUp, func(e *event.Event) { e.Peer, e.Flags = nil, event.FlagRouterNew }),
		"router-down": with(event.KindRouterDown, func(e *event.Event) { e.Peer, e.Reason = nil, 2 }),
		"router-down-inferred": with(event.KindRouterDown, func(e *event.Event) {
			e.Peer, e.Cause, e.Flags, e.Source = nil, event.CauseSessionLost, event.FlagInferred, event.SourceCollector
		}),
		"peer-up":         with(event.KindPeerUp, func(e *event.Event) { e.RIB, e.Sent, e.PDU = event.AdjRIBInPre, open, open }),
		"peer-up-damaged": with(event.KindPeerUp, func(e *event.Event) { e.Sent, e.PDU = open[:25], open }),
		"peer-down": with(event.KindPeerDown, func(e *event.Event) {
			e.Reason, e.PDU = 3, msg(bgp.MessageNotification, append([]byte{6, 2, 4}, "bye\x07"...)...)
		}),
		"peer-down-fsm": with(event.KindPeerDown, func(e *event.Event) { e.Reason, e.FSMCode = 2, 10 }),
		"route": with(event.KindRoute, func(e *event.Event) {
			e.RIB, e.PDU, e.Marks = event.AdjRIBInPost, richUpdate(), []event.Mark{event.MarkChanged | event.MarkState, 0, event.MarkChanged}
		}),
		"route-inferred": with(event.KindRoute, func(e *event.Event) {
			e.RIB, e.Cause, e.Flags, e.Source = event.LocRIB, event.CausePeerDown, event.FlagInferred, event.SourceCollector
			e.PDU, e.Marks = updateMsg([]byte{24, 198, 51, 100}, nil, nil), []event.Mark{event.MarkState | event.MarkChanged}
		}),
		"route-vpn": with(event.KindRoute, func(e *event.Event) {
			e.RIB = event.AdjRIBInPre
			e.PDU = updateMsg(nil, bytes.Join([][]byte{
				{0x40, 1, 1, 2},
				{0x40, 2, 0},
				{0x80, 14, 32, 0, 1, 128, 12, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1, 0, 112, 0, 1, 1, 0, 0, 0xfd, 0xe8, 0, 0, 0, 5, 10, 9, 8},
				{0x40, 5, 4, 0, 0, 0, 100},
			}, nil), nil)
		}),
		"end-of-rib": with(event.KindRoute, func(e *event.Event) { e.RIB, e.PDU = event.AdjRIBInPre, updateMsg(nil, nil, nil) }),
		"route-bad": with(event.KindRoute, func(e *event.Event) {
			e.PDU = updateMsg(nil, []byte{0x40, 1, 1, 9, 0x40, 2, 0, 0x40, 3, 4, 192, 0, 2, 1}, []byte{8, 10})
		}),
		"route-refused": with(event.KindRoute, func(e *event.Event) {
			e.RIB, e.Source, e.Flags = event.AdjRIBInPre, event.SourceBGP, event.FlagAnomaly|event.FlagRefused|event.FlagOTCLeak
			e.PDU, e.Marks = richUpdate(), []event.Mark{0, event.MarkRefused, event.MarkChanged | event.MarkState}
		}),
		"route-broken": with(event.KindRoute, func(e *event.Event) { e.Flags, e.PDU = event.FlagDropped, updateMsg([]byte{99}, nil, nil) }),
		"stats": with(event.KindStats, func(e *event.Event) {
			e.Stats = []event.Stat{
				{Type: 7, Name: "adj-rib-in-routes", Value: 1000, OK: true},
				{Type: 9, Name: "adj-rib-in-routes-family", Family: bgp.IPv6Unicast, Value: 5, OK: true},
				{Type: 65531, Raw: []byte{1, 2, 3}},
			}
		}),
		"mirror":  with(event.KindMirror, func(e *event.Event) { e.PDU = richUpdate() }),
		"refresh": with(event.KindRefresh, func(e *event.Event) { e.PDU = bgp.AppendRefresh(nil, bgp.Refresh{Family: bgp.EVPN, Subtype: 1}) }),
		"refresh-inferred": with(event.KindRefresh, func(e *event.Event) {
			e.RIB, e.Cause, e.Flags, e.Source = event.AdjRIBInPre, event.CauseSessionLost, event.FlagInferred, event.SourceCollector
			e.PDU, e.Text = bgp.AppendRefresh(nil, bgp.Refresh{Family: bgp.IPv4Unicast, Subtype: 1}), "restart time 120 s"
		}),
		"refresh-cut": with(event.KindRefresh, func(e *event.Event) { e.PDU = msg(bgp.MessageRouteRefresh, 0, 1) }),
		"unknown": with(event.KindUnknown, func(e *event.Event) {
			e.Peer, e.Flags, e.Text = nil, event.FlagAnomaly|event.FlagTrailing, "type 9 \x00\x1b[31m\xff\u2028\u202e </script>"
		}),
		"gap": {
			Sequence: 43, Received: testTime, Kind: event.KindGap, Cause: event.CauseOverflow, Flags: event.FlagInferred,
			Lost: 17, Start: testTime - 5e9, End: testTime, Text: "stream full",
		},
		"import": {Sequence: 44, Received: testTime, Kind: event.KindImport, Source: event.SourceMRT, Text: "updates.gz"},
		"state":  with(event.KindState, func(e *event.Event) { e.Source, e.Text = event.SourceMRT, "Established to Idle" }),
		"empty":  {},
	}
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// TestJSONGolden holds the fields, their order and their text.
func TestJSONGolden(t *testing.T) {
	var got bytes.Buffer
	cases := jsonCases()
	for _, name := range sortedNames(cases) {
		e := cases[name]
		line := event.AppendJSON(nil, &e)
		if !json.Valid(line) {
			t.Errorf("%s: invalid JSON: %s", name, line)
			continue
		}
		got.WriteString("# " + name + "\n")
		if err := json.Indent(&got, line, "", "  "); err != nil {
			t.Fatal(err)
		}
		got.WriteByte('\n')
	}
	path := filepath.Join("testdata", "events.golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("golden (-want +got), -update writes it anew:\n%s", diff)
	}
}

// TestJSONKinds fails when a kind has no case above.
func TestJSONKinds(t *testing.T) {
	seen := map[event.Kind]bool{}
	for _, e := range jsonCases() {
		seen[e.Kind] = true
	}
	for k := event.KindRouterUp; k <= event.KindState; k++ {
		if !seen[k] {
			t.Errorf("no case for %v", k)
		}
	}
}

// TestJSONRaw checks that the message can be put together again.
func TestJSONRaw(t *testing.T) {
	e := jsonCases()["route"]
	e.Head, e.Tail = []byte{3, 0}, []byte{9}
	enc := event.Encoder{Raw: true}
	var got struct{ Head, PDU, Tail []byte }
	if err := json.Unmarshal(enc.Append(nil, &e), &got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Head, e.Head) || !bytes.Equal(got.PDU, e.PDU) || !bytes.Equal(got.Tail, e.Tail) {
		t.Errorf("raw parts are %x %x %x", got.Head, got.PDU, got.Tail)
	}
	if strings.Contains(string(event.AppendJSON(nil, &e)), `"pdu"`) {
		t.Error("raw bytes without being asked for")
	}
}

// TestJSONAllocs: the steady state allocates nothing.
func TestJSONAllocs(t *testing.T) {
	for name, e := range jsonCases() {
		switch name {
		case "peer-up-damaged", "refresh-cut":
			continue // error texts allocate; a session has two OPENs, not two a second
		}
		var enc event.Encoder
		buf := enc.Append(nil, &e)
		if n := testing.AllocsPerRun(100, func() { buf = enc.Append(buf[:0], &e) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// FuzzJSON: whatever the bytes hold, the JSON is valid UTF-8 JSON and text
// survives as far as it was valid.
func FuzzJSON(f *testing.F) {
	for _, e := range jsonCases() {
		f.Add(uint8(e.Kind), uint16(e.Flags), e.PDU, e.Sent, e.Text)
	}
	f.Fuzz(func(t *testing.T, kind uint8, flags uint16, pdu, sent []byte, text string) {
		e := event.Event{
			Kind: event.Kind(kind), Flags: event.Flags(flags), PDU: pdu, Sent: sent, Head: sent, Text: text,
			Router: &event.Router{Name: text}, Peer: &event.Peer{Table: text, Type: event.PeerType(kind)},
			Session: bgp.Session{AS4: flags&1 != 0, AddPath: bgp.FamilySet(flags)}, RIB: event.RIB(kind % 6),
			Stats: []event.Stat{{Name: text, Raw: sent}}, Reason: flags, Cause: event.Cause(flags),
		}
		enc := event.Encoder{Raw: true}
		got := enc.Append([]byte("x"), &e)[1:]
		if !json.Valid(got) || !utf8.Valid(got) {
			t.Fatalf("invalid: %q", got)
		}
		var back struct{ Router struct{ Name string } }
		if err := json.Unmarshal(got, &back); err != nil {
			t.Fatal(err)
		}
		if utf8.ValidString(text) && back.Router.Name != text {
			t.Fatalf("%q came back as %q", text, back.Router.Name)
		}
	})
}

func BenchmarkJSON(b *testing.B) {
	e := jsonCases()["route"]
	var enc event.Encoder
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = enc.Append(buf[:0], &e)
	}
	b.SetBytes(int64(len(buf)))
}
