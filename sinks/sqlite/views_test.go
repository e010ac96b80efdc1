package sqlite_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/sinks/sqlite"
)

const (
	routeColumns = "sequence position received_at observed_at collector router router_address peer_address peer_asn peer_bgp_id " +
		"peer_distinguisher rib family prefix path_id rd labels"
	attrColumns = " changed origin as_path origin_as next_hop med local_pref communities large_communities ext_communities " +
		"aggregator atomic_aggregate otc flags rpki"
	statColumns = "sequence position received_at observed_at collector router router_address peer_address peer_asn peer_bgp_id " +
		"peer_distinguisher rib type name family value raw"
)

// viewColumns are the columns of the views: the contract with users.
var viewColumns = map[string]string{
	"route_history": routeColumns + " action cause" + attrColumns,
	"routes":        routeColumns + " since" + attrColumns,
	"peer_history": "sequence received_at observed_at collector router router_address peer_address peer_asn peer_bgp_id " +
		"peer_distinguisher rib event cause inferred reason_code reason fsm_code notification_code notification_subcode " +
		"notification epoch local_address local_asn local_port remote_port table_name hold_time sent_capabilities " +
		"received_capabilities sent_open received_open",
	"router_history": "sequence received_at collector router router_address event cause inferred reason_code reason session sys_name sys_descr",
	"peer_stats":     statColumns,
	"peer_stats_now": statColumns,
	"gaps":           "sequence received_at collector router router_address cause lost start_at end_at detail",
	"imports":        "sequence received_at collector router router_address detail",
	"anomalies":      "sequence received_at collector router router_address peer_address kind reason raw",
	"routers":        "collector router router_address state since session sys_name sys_descr reason peers peers_up",
	"peers": "collector router router_address peer_address peer_asn peer_bgp_id peer_distinguisher peer_type table_name ribs state " +
		"since epoch local_address local_asn local_port remote_port hold_time sent_capabilities received_capabilities reason stats_sequence",
}

func TestViewColumns(t *testing.T) {
	s := newStore(t)
	db := s.db()
	for view, want := range viewColumns {
		got := lines(t, db, "SELECT name FROM pragma_table_info('"+view+"') ORDER BY cid")
		if strings.Join(got, " ") != want {
			t.Errorf("%s:\n got %s\nwant %s", view, strings.Join(got, " "), want)
		}
	}
	got := lines(t, db, "SELECT name FROM sqlite_schema WHERE type = 'view'")
	if len(got) != len(viewColumns) {
		t.Errorf("views: %v", got)
	}
}

// The JSON of a Reader's rows has the views' columns in the views' order.
func TestRowsHaveTheViewsColumns(t *testing.T) {
	for view, row := range map[string]any{
		"route_history": sqlite.Change{}, "routes": sqlite.Route{}, "peer_history": sqlite.PeerEvent{},
		"router_history": sqlite.RouterEvent{}, "peer_stats": sqlite.PeerStat{}, "gaps": sqlite.Gap{}, "imports": sqlite.Import{},
		"anomalies": sqlite.Anomaly{}, "routers": sqlite.Router{}, "peers": sqlite.Peer{},
	} {
		b, err := json.Marshal(row)
		if err != nil {
			t.Fatal(err)
		}
		d := json.NewDecoder(bytes.NewReader(b))
		var names []string
		for key := false; ; key = !key {
			tok, err := d.Token()
			if err != nil {
				break
			}
			if s, ok := tok.(string); ok && key {
				names = append(names, s)
			}
		}
		if got := strings.Join(names, " "); got != viewColumns[view] {
			t.Errorf("%s:\n got %s\nwant %s", view, got, viewColumns[view])
		}
	}
}

func TestSessions(t *testing.T) {
	s := newStore(t)
	up := event.Event{Kind: event.KindRouterUp, Source: event.SourceBMP, Router: testRouter}
	s.write(up, peerUp(event.AdjRIBInPre), peerUp(event.AdjRIBInPost))
	s.want("SELECT event, cause, inferred, reason, epoch, local_address, local_asn, local_port, remote_port, hold_time, sent_capabilities, "+
		"received_capabilities, lower(hex(received_open)), rib FROM peer_history ORDER BY sequence",
		"up|update|0|-|1|198.51.100.2|65000|49153|179|90|multiprotocol ipv4-unicast, four-octet-as 65000|multiprotocol ipv4-unicast, four-octet-as 65001|"+
			hexOf(open(65001, 180, "198.51.100.1"))+"|adj-rib-in-pre",
		"up|update|0|-|1|198.51.100.2|65000|49153|179|90|multiprotocol ipv4-unicast, four-octet-as 65000|multiprotocol ipv4-unicast, four-octet-as 65001|"+
			hexOf(open(65001, 180, "198.51.100.1"))+"|adj-rib-in-post",
	)
	const peers = "SELECT peer_address, peer_asn, peer_type, ribs, state, since, epoch, reason FROM peers"
	s.want(peers, "198.51.100.1|65001|global|adj-rib-in-pre adj-rib-in-post|up|2025-06-15T15:06:42.123456Z|1|-")

	// One view ends, the session goes on.
	down := event.Event{
		Kind: event.KindPeerDown, Source: event.SourceBMP, RIB: event.AdjRIBInPost, Router: testRouter, Peer: testPeer, Reason: 5,
		Cause: event.CausePeerDown,
	}
	s.write(down)
	s.want("SELECT ribs, state FROM peers", "adj-rib-in-pre|up")

	down.RIB, down.Reason, down.PDU = event.AdjRIBInPre, 3, message(3, append([]byte{6, 2, 4}, "work"...))
	s.write(down)
	s.want("SELECT sequence, event, cause, inferred, reason_code, reason, fsm_code, notification_code, notification_subcode, notification FROM peer_history WHERE event = 'down'",
		"4|down|peer-down|0|5|"+reason(down, 5)+"|-|-|-|-",
		"5|down|peer-down|0|3|"+reason(down, 3)+"|-|6|2|Cease/Administrative Shutdown: work",
	)
	s.want("SELECT state, since, reason FROM peers", "down|2025-06-15T15:06:45.123456Z|Cease/Administrative Shutdown: work")

	// An inferred end has no code of the router.
	s.write(peerUp(event.AdjRIBInPre), event.Event{
		Kind: event.KindPeerDown, Router: testRouter, Peer: testPeer, Cause: event.CauseSessionLost, Flags: event.FlagInferred,
	}, event.Event{Kind: event.KindRouterDown, Router: testRouter, Cause: event.CauseSessionLost, Flags: event.FlagInferred})
	s.want("SELECT rib, cause, inferred, reason_code, reason FROM peer_history WHERE sequence = 7", "-|session-lost|1|-|session-lost")
	s.want("SELECT router, router_address, state, since, session, sys_name, sys_descr, reason, peers, peers_up FROM routers",
		"r1|192.0.2.1|down|2025-06-15T15:06:48.123456Z|1|r1|test|session-lost|1|0")
	s.want("SELECT sequence, event, cause, inferred, reason_code, reason, session FROM router_history",
		"1|up|update|0|-|-|1", "8|down|session-lost|1|-|session-lost|1")

	r := s.reader()
	ctx := context.Background()
	if got := all(t, r.PeerHistory(ctx, sqlite.Query{Newest: true, Limit: 2})); len(got) != 2 || got[0].Sequence != 7 || !got[0].Inferred {
		t.Errorf("peer history: %+v", got)
	}
	if got := all(t, r.Routers(ctx, sqlite.Query{Router: "192.0.2.1"})); len(got) != 1 || got[0].State != "down" {
		t.Errorf("routers: %+v", got)
	}
	if got := all(t, r.Peers(ctx, sqlite.Query{Peer: testPeer.Address, ASN: 65001})); len(got) != 1 || *got[0].LocalPort != 49153 {
		t.Errorf("peers: %+v", got)
	}
	if got := all(t, r.Peers(ctx, sqlite.Query{ASN: 65002})); len(got) != 0 {
		t.Errorf("peers of another AS: %+v", got)
	}
	if got := all(t, r.RouterHistory(ctx, sqlite.Query{From: (t0 + 7*second).Std(), To: (t0 + 9*second).Std()})); len(got) != 1 || got[0].Event != "down" {
		t.Errorf("router history: %+v", got)
	}
}

func reason(e event.Event, code uint16) string {
	e.Reason = code
	return e.ReasonText()
}

// The end of an older connection of a router says nothing about a peer that is
// up on a newer one.
func TestPeerOnTwoConnections(t *testing.T) {
	s := newStore(t)
	newer := *testRouter
	newer.Session = 2
	newPeer := *testPeer
	newPeer.Router, newPeer.Epoch = &newer, 2
	second := peerUp(event.AdjRIBInPre)
	second.Router, second.Peer = &newer, &newPeer
	s.write(peerUp(event.AdjRIBInPre), second, event.Event{
		Kind: event.KindPeerDown, Router: testRouter, Peer: testPeer, Cause: event.CauseSuperseded, Flags: event.FlagInferred,
	})
	s.want("SELECT state, epoch FROM peers", "up|2")
}

// An MRT file tells of a session without a Peer Up.
func TestStateEvents(t *testing.T) {
	s := newStore(t)
	state := func(text string, pdu []byte) event.Event {
		return event.Event{Kind: event.KindState, Source: event.SourceMRT, Router: testRouter, Peer: testPeer, Text: text, PDU: pdu}
	}
	const message4 = "message of the session"
	s.write(
		state("Active to OpenSent", nil), state(message4, message(4, nil)), state(message4, open(65001, 90, "198.51.100.1")),
		state(message4, message(3, []byte{6, 4})),
	)
	s.want("SELECT sequence, event, reason, notification_code, notification FROM peer_history",
		"1|state|Active to OpenSent|-|-", "3|state|"+bgp.MessageName(1)+"|-|-",
		"4|state|"+bgp.MessageName(3)+"|6|Cease/Administrative Reset")
	s.want("SELECT state FROM peers", "unknown")
}

func TestPeerWithoutPeerUp(t *testing.T) {
	s := newStore(t)
	s.write(routeEvent(0, announce(attributes([]uint32{65001}), prefixes("10.0.0.0/8")...)))
	s.want("SELECT peer_address, peer_asn, ribs, state, since FROM peers", "198.51.100.1|65001|adj-rib-in-pre|unknown|-")
	s.want("SELECT router, state, peers, peers_up FROM routers", "r1|unknown|1|0")
}

func TestStats(t *testing.T) {
	s := newStore(t)
	s.write(event.Event{
		Kind: event.KindStats, Source: event.SourceBMP, RIB: event.AdjRIBInPre, Router: testRouter, Peer: testPeer,
		Stats: []event.Stat{
			{Type: 7, Name: "adj-rib-in routes", Value: 1<<64 - 1, OK: true, Raw: bytes.Repeat([]byte{0xff}, 8)},
			{Type: 9, Name: "per-family", Family: bgp.IPv6Unicast, Value: 1<<63 - 1, OK: true, Raw: []byte{1}},
			{Type: 999, Raw: []byte{1, 2, 3}},
			{Type: 10, Value: 1 << 63, OK: true},
			{Type: 11, OK: true},
		},
	})
	s.want("SELECT sequence, position, type, name, family, value, typeof(value), raw FROM peer_stats ORDER BY position",
		"1|0|7|adj-rib-in routes|-|18446744073709551615|text|ffffffffffffffff",
		"1|1|9|per-family|ipv6-unicast|9223372036854775807|integer|01",
		"1|2|999|-|-|-|null|010203",
		"1|3|10|-|-|9223372036854775808|text|-",
		"1|4|11|-|-|0|integer|-",
	)
	// A text is greater than every integer, so ordinary comparisons hold.
	s.want("SELECT type FROM peer_stats WHERE value > 9000000000000000000 ORDER BY position", "7", "9", "10")
	s.write(event.Event{
		Kind: event.KindStats, Source: event.SourceBMP, RIB: event.AdjRIBInPre, Router: testRouter, Peer: testPeer,
		Stats: []event.Stat{{Type: 7, Value: 5, OK: true}},
	})
	r := s.reader()
	got := all(t, r.PeerStats(context.Background(), sqlite.Query{Peer: testPeer.Address}))
	if len(got) != 6 || *got[0].Value != 1<<64-1 || *got[1].Value != 1<<63-1 || got[2].Value != nil {
		t.Errorf("got %+v", got)
	}
	if b, err := json.Marshal(got[0].Value); err != nil || string(b) != "18446744073709551615" {
		t.Errorf("JSON %s, %v", b, err)
	}
	if now := all(t, r.LastPeerStats(context.Background(), sqlite.Query{})); len(now) != 1 || *now[0].Value != 5 {
		t.Errorf("last report: %+v", now)
	}
	s.want("SELECT stats_sequence FROM peers", "2")
}

func TestGapsAndImports(t *testing.T) {
	s := newStore(t)
	s.write(
		event.Event{Kind: event.KindGap, Cause: event.CauseOverflow, Lost: 1<<64 - 1, Start: t0, End: t0 + second, Text: "full\x00disk"},
		event.Event{Kind: event.KindGap, Cause: event.CauseCollectorStop, Router: testRouter},
		event.Event{Kind: event.KindImport, Source: event.SourceMRT, Text: "updates.20250615.gz"},
	)
	s.want("SELECT sequence, collector, router, cause, lost, start_at, end_at, detail FROM gaps",
		"1|rt1|-|overflow|18446744073709551615|2025-06-15T15:06:40.123456Z|2025-06-15T15:06:41.123456Z|full\uFFFDdisk",
		"2|rt1|r1|collector-stop|-|-|-|-")
	s.want("SELECT sequence, collector, detail FROM imports", "3|rt1|updates.20250615.gz")
	r := s.reader()
	if got := all(t, r.Gaps(context.Background(), sqlite.Query{})); len(got) != 2 || *got[0].Lost != 1<<64-1 || got[1].Lost != nil {
		t.Errorf("gaps: %+v", got)
	}
	if got := all(t, r.Imports(context.Background(), sqlite.Query{})); len(got) != 1 {
		t.Errorf("imports: %+v", got)
	}
	if got := all(t, r.Anomalies(context.Background(), sqlite.Query{})); len(got) != 0 {
		t.Errorf("anomalies: %+v", got)
	}
}

// The names that the views show are those of the packages that own them.
func TestNamesOfNumbers(t *testing.T) {
	s := newStore(t)
	db := s.db()
	for c := event.CauseUpdate; c <= event.CauseCorrupt; c++ {
		same(t, lines(t, db, "SELECT name FROM cause WHERE id = ?", int(c)), []string{c.String()})
	}
	for v := event.AdjRIBInPre; v <= event.AdjRIBOutPost; v++ {
		same(t, lines(t, db, "SELECT name FROM rib_name WHERE id = ?", int(v)), []string{v.String()})
	}
}

// Families without a prefix are found by their text; what the codec cannot
// read is stored all the same, under a name that says so.
func TestOtherFamilies(t *testing.T) {
	s := newStore(t)
	reach := func(afi, safi byte, nextHop, nlri []byte) event.Event {
		v := append([]byte{0, afi, safi, byte(len(nextHop))}, nextHop...)
		v = append(append(v, 0), nlri...)
		return routeEvent(0, updateMessage(nil, append(attribute(0x80, 14, v), attributes([]uint32{65001})...), nil))
	}
	v4 := []byte{198, 51, 100, 1}
	vpn := []byte{88 + 16, 0, 0x06, 0x41, 0, 0, 0xfd, 0xe8, 0, 0, 0, 1, 10, 1}
	labelled := []byte{24 + 8, 0, 0x06, 0x41, 10}
	flow := []byte{5, 1, 24, 10, 0, 1}
	opaque := []byte{1, 2, 3}
	s.write(
		reach(1, 128, append(make([]byte, 8), v4...), vpn), reach(1, 4, v4, labelled),
		reach(1, 133, nil, flow), reach(99, 99, v4, opaque),
	)
	s.want("SELECT family, prefix, rd, labels, next_hop FROM route_history WHERE sequence < 3 ORDER BY sequence",
		"l3vpn-ipv4-unicast|10.1.0.0/16|65000:1|100|198.51.100.1",
		"ipv4-labelled-unicast|10.0.0.0/8|-|100|198.51.100.1")
	s.want("SELECT family, prefix <> '', rd, labels FROM route_history WHERE sequence > 2 ORDER BY sequence",
		"ipv4-flowspec|1|-|-", "afi-99-safi-99|1|-|-")
	r := s.reader()
	for _, text := range s.lines("SELECT prefix FROM route_history WHERE sequence > 2") {
		if got := all(t, r.Routes(context.Background(), sqlite.Query{NLRI: text})); len(got) != 1 || got[0].Prefix != text {
			t.Errorf("%s: %+v", text, got)
		}
	}
	// The same again by another sink, which has to find them in the file.
	if err := s.sink.Close(); err != nil {
		t.Fatal(err)
	}
	s.sink = openSink(t, s.path)
	s.write(
		reach(1, 128, append(make([]byte, 8), v4...), vpn), reach(1, 4, v4, labelled),
		reach(1, 133, nil, flow), reach(99, 99, v4, opaque),
	)
	s.want("SELECT count(*) FROM nlri", "4")
	s.want("SELECT count(*) FROM routes", "4")
}
