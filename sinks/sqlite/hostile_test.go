package sqlite_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/event/eventtest"
	"github.com/ribtap/ribtap/sinks/sqlite"
)

// Text of routers with NUL, invalid UTF-8 and control characters never stops
// the store, and what comes out is clean.
func TestHostileText(t *testing.T) {
	const bad = "a\x00b\xff\xfe\x1b[31mc\n'; DROP TABLE route; --"
	router := &event.Router{Name: bad, Address: netip.MustParseAddr("192.0.2.1"), SysName: bad, SysDescr: bad, Session: 1}
	peer := *testPeer
	peer.Router, peer.Table = router, bad
	s := newStore(t)
	up := peerUp(event.AdjRIBInPre)
	up.Router, up.Peer, up.Text = router, &peer, bad
	// A capability with the same in its text (FQDN, draft-walton-bgp-hostname).
	caps := append([]byte{73, byte(2 + len(bad)), byte(len(bad))}, bad...)
	caps = append(caps, 0)
	body := []byte{4, 0xfd, 0xe9, 0, 180, 198, 51, 100, 1, byte(2 + len(caps)), 2, byte(len(caps))}
	up.PDU = message(1, append(body, caps...))
	route := routeEvent(0, announce(attributes([]uint32{65001}), prefixes("10.0.0.0/8")...))
	route.Router, route.Peer = router, &peer
	down := event.Event{
		Kind: event.KindPeerDown, Source: event.SourceBMP, Router: router, Peer: &peer, Reason: 1,
		PDU: message(3, append([]byte{6, 2, byte(len(bad))}, bad...)),
	}
	s.write(event.Event{Kind: event.KindRouterUp, Source: event.SourceBMP, Router: router, Text: bad}, up, route, down,
		event.Event{Kind: event.KindStats, Router: router, Peer: &peer, Stats: []event.Stat{{Type: 1, Name: bad, Value: 1, OK: true}}},
		event.Event{Kind: event.KindGap, Text: bad}, event.Event{Kind: event.KindImport, Text: bad},
		event.Event{Kind: event.KindUnknown, Router: router, Peer: &peer, Text: bad, PDU: []byte(bad)},
		event.Event{Kind: 200, Router: router, Text: bad},
	)
	for view := range viewColumns {
		for _, l := range s.lines("SELECT * FROM " + view) {
			if !utf8.ValidString(l) || strings.ContainsAny(l, "\x00\x1b\n") {
				t.Errorf("%s: %q", view, l)
			}
		}
	}
	s.want("SELECT count(*) FROM routes", "1")
	s.want("SELECT count(*) FROM anomalies", "2")
	r := s.reader()
	peers := all(t, r.Peers(context.Background(), sqlite.Query{}))
	if len(peers) != 1 || !strings.HasPrefix(peers[0].Router, "a\uFFFDb\uFFFD") {
		t.Errorf("peers: %+v", peers)
	}
	// What was cleaned is found again, by this sink and by the next one.
	s.write(route)
	if err := s.sink.Close(); err != nil {
		t.Fatal(err)
	}
	s.sink = openSink(t, s.path)
	s.write(route)
	s.want("SELECT count(*) FROM router", "1")
}

// One UPDATE with thousands of prefixes and thousands of communities is stored
// in about its own size, not in their product.
func TestAmplification(t *testing.T) {
	var list []uint32
	for i := range uint32(8000) {
		list = append(list, 65001<<16|i)
	}
	var nlri []byte
	for i := range 8000 {
		nlri = append(nlri, 24, 10, byte(i>>8), byte(i))
	}
	attrs := append(attributes([]uint32{65001}, communities(list...)), attribute(0x40, 3, []byte{198, 51, 100, 1})...)
	s := newStore(t)
	e := routeEvent(0, updateMessage(nil, attrs, nlri))
	e.Session.ExtendedMessage = true
	s.write(e)
	s.want("SELECT (SELECT count(*) FROM route), (SELECT count(*) FROM attr)", "8000|1")
	s.want("SELECT (SELECT page_count * page_size < 4000000 FROM pragma_page_count, pragma_page_size)", "1")
}

// Every address, AS number, time and count at its end goes in and out.
func TestExtremes(t *testing.T) {
	s := newStore(t)
	peer := *testPeer
	peer.ASN, peer.Epoch, peer.LocalASN = 1<<32-1, 1<<32-1, 1<<32-1
	peer.Address, peer.BGPID, peer.LocalAddress = netip.Addr{}, netip.Addr{}, netip.Addr{}
	peer.Type, peer.Distinguisher = event.PeerRD, bgp.RD{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	med := attribute(0x80, 4, []byte{0xff, 0xff, 0xff, 0xff})
	e := routeEvent(0, announce(attributes([]uint32{1<<32 - 1}, med), prefixes("0.0.0.0/0", "255.255.255.255/32")...))
	e.Peer, e.RIB = &peer, event.LocRIB
	e.Received, e.Observed = t0, event.Time(4294967295)*second+999_999_000
	six := routeEvent(0, announce(attributes(nil), prefixes("::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128")...))
	six.Peer, six.RIB = &peer, event.RIB(99)
	s.write(e, six)
	s.want("SELECT observed_at, peer_address, peer_asn, peer_distinguisher, rib, prefix, med, origin_as FROM route_history WHERE sequence = 1",
		"2106-02-07T06:28:15.999999Z|-|4294967295|0xffffffffffffffff|loc-rib|0.0.0.0/0|4294967295|4294967295",
		"2106-02-07T06:28:15.999999Z|-|4294967295|0xffffffffffffffff|loc-rib|255.255.255.255/32|4294967295|4294967295")
	s.want("SELECT rib, prefix, as_path, origin_as FROM routes WHERE family = 'ipv6-unicast'",
		"-|::/0||-", "-|ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128||-")
	r := s.reader()
	for target, want := range map[string]int{
		"0.0.0.0/0": 2, "::/0": 2, "255.255.255.255/32": 1, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128": 1,
	} {
		q := sqlite.Query{Prefix: netip.MustParsePrefix(target), Match: sqlite.MatchLonger}
		if got := all(t, r.Routes(context.Background(), q)); len(got) != want {
			t.Errorf("inside %s: %d routes", target, len(got))
		}
		q.Match = sqlite.MatchLongest
		if got := all(t, r.Routes(context.Background(), q)); len(got) != 1 || got[0].Prefix != target {
			t.Errorf("longest of %s: %+v", target, got)
		}
	}
}

// A table that comes in bulk has its indexes when it is over, however it ends.
func TestBulk(t *testing.T) {
	const indexes = "SELECT count(*), (SELECT count(*) FROM deferred_index) FROM sqlite_schema WHERE type = 'index' AND name IN ('nlri_prefix', 'nlri_addr', 'attr_hash')"
	tab := newTable(10_000, 7)
	batches := tab.Batches(1, 5_000)
	check := func(t *testing.T, s *store) {
		t.Helper()
		s.want(indexes, "3|0")
		s.want("SELECT count(*), count(DISTINCT prefix) FROM routes", fmt.Sprintf("%d|%d", len(tab.Prefixes), len(tab.Prefixes)))
		s.want("SELECT count(*) = count(DISTINCT hash) FROM attr", "1")
		s.want("PRAGMA integrity_check", "ok")
	}
	load := func(t *testing.T) *store {
		s := newStore(t)
		for _, b := range batches {
			if err := s.sink.Write(context.Background(), b); err != nil {
				t.Fatal(err)
			}
		}
		if !s.sink.BulkRunning() {
			t.Fatal("no bulk load")
		}
		s.want(indexes, "0|3")
		s.seq = s.sink.Position()
		return s
	}
	again := func(s *store) { s.write(routeEvent(0, announce(attributes([]uint32{65001, 5}), tab.Prefixes[77]))) }
	t.Run("few", func(t *testing.T) {
		s := load(t)
		again(s)
		check(t, s)
	})
	t.Run("idle", func(t *testing.T) {
		s := load(t)
		if err := s.sink.Idle(context.Background(), time.Time{}); err != nil {
			t.Fatal(err)
		}
		check(t, s)
	})
	t.Run("close", func(t *testing.T) {
		s := load(t)
		if err := s.sink.Close(); err != nil {
			t.Fatal(err)
		}
		check(t, s)
	})
	t.Run("killed", func(t *testing.T) {
		s := load(t)
		// A second sink finds the file as a kill would leave it.
		next := &store{tb: t, path: s.path, sink: openSink(t, s.path), seq: s.seq}
		check(t, next)
		again(next)
		check(t, next)
	})
	t.Run("cancelled in the middle", func(t *testing.T) {
		s := newStore(t)
		ctx, cancel := context.WithCancel(context.Background())
		cancelled := append(append([]event.Event{}, batches[0]...), batches[1]...)
		if err := s.sink.Write(&cancelAfter{ctx, cancel, len(cancelled) * 3 / 4}, cancelled); err == nil {
			t.Fatal("no error")
		}
		if s.sink.BulkRunning() {
			t.Error("still a bulk load")
		}
		s.want(indexes, "3|0")
		for _, b := range batches {
			if err := s.sink.Write(context.Background(), b); err != nil {
				t.Fatal(err)
			}
		}
		s.seq = s.sink.Position()
		again(s)
		check(t, s)
	})
	t.Run("more than is known", func(t *testing.T) {
		s := newStore(t, func(c *sqlite.Config) { c.KnownNLRI, c.KnownAttrs = 4000, 4000 })
		for _, b := range batches {
			if err := s.sink.Write(context.Background(), b); err != nil {
				t.Fatal(err)
			}
		}
		check(t, s)
	})
}

// cancelAfter ends after some looks at it.
type cancelAfter struct {
	context.Context
	cancel context.CancelFunc
	looks  int
}

func (c *cancelAfter) Err() error {
	if c.looks == 0 {
		c.cancel()
	}
	c.looks--
	return c.Context.Err()
}

// After a restart nothing is known; the routes of a whole table are found again
// without a second row for any NLRI or attribute set.
func TestTableAgainAfterRestart(t *testing.T) {
	tab := newTable(5_000, 9)
	s := newStore(t)
	writeAllTest(t, s, tab.Batches(1, 1_000))
	want := s.lines("SELECT (SELECT count(*) FROM nlri), (SELECT count(*) FROM attr)")
	if err := s.sink.Close(); err != nil {
		t.Fatal(err)
	}
	s.sink = openSink(t, s.path)
	writeAllTest(t, s, tab.Batches(100_000, 1_000))
	same(t, s.lines("SELECT (SELECT count(*) FROM nlri), (SELECT count(*) FROM attr)"), want)
	if err := s.sink.Close(); err != nil {
		t.Fatal(err)
	}
	s.sink = openSink(t, s.path)
	writeAllTest(t, s, tab.Withdrawals(200_000, 500))
	if n := s.sink.LookUps(); n > 1000 {
		t.Errorf("%d NLRI were looked up one by one", n)
	}
	s.want("SELECT (SELECT count(*) FROM route), (SELECT count(*) FROM route_change)", fmt.Sprintf("0|%d", 3*len(tab.Prefixes)))
	same(t, s.lines("SELECT (SELECT count(*) FROM nlri), (SELECT count(*) FROM attr)"), want)
	s.want("SELECT sum(changes) FROM span", fmt.Sprint(3*len(tab.Prefixes)))
	s.want("PRAGMA integrity_check", "ok")
}

func writeAllTest(t *testing.T, s *store, batches [][]event.Event) {
	t.Helper()
	for _, b := range batches {
		if err := eventtest.Trash(s.sink).Write(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
}

// What changed nothing costs nothing; what changed something costs the boxing
// of its values on the way to the driver.
func TestAllocations(t *testing.T) {
	tab := newTable(2_000, 3)
	s := newStore(t)
	writeAllTest(t, s, tab.Batches(1, 1<<20))
	seq := s.sink.Position()
	batch := tab.Batches(1, 1<<20)[0]
	write := func(marks []event.Mark) float64 {
		return testing.AllocsPerRun(5, func() {
			for i := range batch {
				seq++
				batch[i].Sequence, batch[i].Marks = seq, marks
			}
			if err := s.sink.Write(context.Background(), batch); err != nil {
				t.Fatal(err)
			}
		}) / float64(len(tab.Prefixes))
	}
	if n := write(nil); n > 0.05 {
		t.Errorf("%.2f allocations a route that did not change", n)
	}
	if n := write(changed); n > 14 {
		t.Errorf("%.2f allocations a route that changed", n)
	}
}
