package sqlite_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/event/eventtest"
	"github.com/ribtap/ribtap/sinks/sqlite"
)

var _ interface {
	event.Sink
	event.Idler
} = (*sqlite.Sink)(nil)

func TestHistoryAndRoutes(t *testing.T) {
	s := newStore(t)
	set := attributes([]uint32{65001, 3356, 15169}, communities(65001<<16|1, 65001<<16|2))
	other := attributes([]uint32{65001, 15169})
	s.write(
		routeEvent(0, announce(set, prefixes("10.0.0.0/8", "10.1.0.0/16")...)),
		routeEvent(0, announce(set, prefixes("2001:db8::/32")...)),
	)
	s.write(routeEvent(0, announce(other, prefixes("10.1.0.0/16")...)))
	s.write(routeEvent(0, withdraw(prefixes("10.0.0.0/8")...)))
	s.want("SELECT sequence, position, received_at, observed_at, collector, router, router_address, peer_address, peer_asn, peer_bgp_id, "+
		"peer_distinguisher, rib, family, prefix, path_id, rd, labels, action, cause, changed FROM route_history ORDER BY sequence, position",
		"1|0|2025-06-15T15:06:41.123456Z|2025-06-15T15:06:41.121956Z|rt1|r1|192.0.2.1|198.51.100.1|65001|198.51.100.1|-|adj-rib-in-pre|ipv4-unicast|10.0.0.0/8|-|-|-|announce|update|1",
		"1|1|2025-06-15T15:06:41.123456Z|2025-06-15T15:06:41.121956Z|rt1|r1|192.0.2.1|198.51.100.1|65001|198.51.100.1|-|adj-rib-in-pre|ipv4-unicast|10.1.0.0/16|-|-|-|announce|update|1",
		"2|0|2025-06-15T15:06:42.123456Z|2025-06-15T15:06:42.121956Z|rt1|r1|192.0.2.1|198.51.100.1|65001|198.51.100.1|-|adj-rib-in-pre|ipv6-unicast|2001:db8::/32|-|-|-|announce|update|1",
		"3|0|2025-06-15T15:06:43.123456Z|2025-06-15T15:06:43.121956Z|rt1|r1|192.0.2.1|198.51.100.1|65001|198.51.100.1|-|adj-rib-in-pre|ipv4-unicast|10.1.0.0/16|-|-|-|announce|update|1",
		"4|0|2025-06-15T15:06:44.123456Z|2025-06-15T15:06:44.121956Z|rt1|r1|192.0.2.1|198.51.100.1|65001|198.51.100.1|-|adj-rib-in-pre|ipv4-unicast|10.0.0.0/8|-|-|-|withdraw|update|1",
	)
	s.want("SELECT sequence, prefix, origin, as_path, origin_as, next_hop, med, local_pref, communities, large_communities, ext_communities, "+
		"aggregator, atomic_aggregate, otc, flags, rpki FROM route_history WHERE sequence <> 3 ORDER BY sequence, position",
		"1|10.0.0.0/8|igp|65001 3356 15169|15169|198.51.100.1|-|-|65001:1 65001:2|-|-|-|0|-|-|-",
		"1|10.1.0.0/16|igp|65001 3356 15169|15169|198.51.100.1|-|-|65001:1 65001:2|-|-|-|0|-|-|-",
		"2|2001:db8::/32|igp|65001 3356 15169|15169|2001:db8::1|-|-|65001:1 65001:2|-|-|-|0|-|-|-",
		"4|10.0.0.0/8|-|-|-|-|-|-|-|-|-|-|-|-|-|-",
	)
	s.want("SELECT sequence, prefix, since, changed, as_path FROM routes ORDER BY prefix",
		"3|10.1.0.0/16|2025-06-15T15:06:43.123456Z|1|65001 15169",
		"2|2001:db8::/32|2025-06-15T15:06:42.123456Z|1|65001 3356 15169",
	)
	s.want("SELECT count(*) FROM attr", "3") // one for each next hop, and one other
	v4 := attribute(0x40, 3, []byte{198, 51, 100, 1})
	s.want("SELECT id, as4, raw FROM attr ORDER BY id",
		"1|1|"+hexOf(append(append([]byte{}, set...), v4...)), "2|1|"+hexOf(set), "3|1|"+hexOf(append(append([]byte{}, other...), v4...)))
	s.want("SELECT count(DISTINCT hash) FROM attr", "3")
	if p := s.sink.Position(); p != 4 {
		t.Errorf("position %d", p)
	}
	s.want("SELECT sequence FROM position", "4")
}

func TestRowsChangesAndAll(t *testing.T) {
	set := attributes([]uint32{65001})
	for _, c := range []struct {
		rows string
		want []string
	}{
		{sqlite.RowsChanges, []string{"1|announce|1", "3|announce|0", "5|withdraw|1"}},
		{sqlite.RowsAll, []string{"1|announce|1", "2|announce|0", "3|announce|0", "4|announce|0", "5|withdraw|1", "6|withdraw|0"}},
	} {
		t.Run(c.rows, func(t *testing.T) {
			s := newStore(t, func(cfg *sqlite.Config) { cfg.Rows = c.rows })
			marked := func(pdu []byte, m ...event.Mark) event.Event {
				e := routeEvent(0, pdu)
				e.Marks = m
				return e
			}
			p := prefixes("10.0.0.0/8")
			s.write(
				marked(announce(set, p...), event.MarkChanged|event.MarkState),
				marked(announce(set, p...)),
				marked(announce(set, p...), event.MarkState), // back, unchanged, after its session was lost
				marked(announce(set, p...), 0),
				marked(withdraw(p...), event.MarkChanged|event.MarkState),
				marked(withdraw(p...), 0),
			)
			s.want("SELECT sequence, action, changed FROM route_history ORDER BY sequence", c.want...)
			s.want("SELECT count(*) FROM routes", "0")
		})
	}
}

// A remark without a change of state gets a row and leaves the route alone.
func TestNotedLeavesTheRoute(t *testing.T) {
	s := newStore(t)
	p := prefixes("10.0.0.0/8")
	s.write(routeEvent(0, announce(attributes([]uint32{65001}), p...)))
	e := routeEvent(0, withdraw(p...))
	e.Marks = []event.Mark{event.MarkNoted}
	s.write(e)
	s.want("SELECT action, changed FROM route_history ORDER BY sequence", "announce|1", "withdraw|0")
	s.want("SELECT sequence FROM routes", "1")
	r := s.reader()
	if got := all(t, r.Routes(context.Background(), sqlite.Query{At: (t0 + 100*second).Std()})); len(got) != 1 {
		t.Errorf("%d routes at the end", len(got))
	}
}

// One UPDATE may hold one route many times; the last one counts.
func TestSameRouteTwiceInOneUpdate(t *testing.T) {
	s := newStore(t)
	p := prefixes("10.0.0.0/8")
	nlri := appendPrefix(appendPrefix(nil, p[0]), p[0])
	attrs := append(attributes([]uint32{65001}), attribute(0x40, 3, []byte{198, 51, 100, 1})...)
	s.write(routeEvent(0, updateMessage(appendPrefix(nil, p[0]), attrs, nlri)), routeEvent(0, withdraw(p...)),
		routeEvent(0, updateMessage(appendPrefix(nil, p[0]), attrs, nlri)))
	s.want("SELECT sequence, position, action FROM route_history ORDER BY sequence, position",
		"1|0|withdraw", "1|1|announce", "1|2|announce", "2|0|withdraw", "3|0|withdraw", "3|1|announce", "3|2|announce")
	s.want("SELECT sequence, position FROM routes", "3|2")
}

func TestPathIdentifiersAreRoutesOfTheirOwn(t *testing.T) {
	s := newStore(t)
	attrs := append(attributes([]uint32{65001}), attribute(0x40, 3, []byte{198, 51, 100, 1})...)
	withID := func(id uint32, withdrawn bool) event.Event {
		nlri := append(binary.BigEndian.AppendUint32(nil, id), appendPrefix(nil, prefixes("10.0.0.0/8")[0])...)
		m := updateMessage(nil, attrs, nlri)
		if withdrawn {
			m = updateMessage(nlri, nil, nil)
		}
		e := routeEvent(0, m)
		e.Session.AddPath = e.Session.AddPath.With(257)
		return e
	}
	const largest = math.MaxUint32
	s.write(withID(largest, false), withID(2, false), withID(0, false), routeEvent(0, announce(attributes([]uint32{65001}), prefixes("10.0.0.0/8")...)))
	s.write(withID(2, true))
	s.want("SELECT path_id FROM routes ORDER BY path_id", "-", "0", "4294967295")
	s.want("SELECT path_id FROM route_history ORDER BY sequence", "4294967295", "2", "0", "-", "2")
	var ids []string
	for _, r := range all(t, s.reader().Routes(t.Context(), sqlite.Query{})) {
		if r.PathID == nil {
			ids = append(ids, "-")
			continue
		}
		ids = append(ids, fmt.Sprint(*r.PathID))
	}
	same(t, ids, []string{"-", "0", "4294967295"})
	s.want("SELECT count(*) FROM nlri", "1")
}

// The identity of a peer is not its AS number or BGP identifier: routes of its
// last session end in the next one.
func TestPeerThatChangedItsASNumber(t *testing.T) {
	s := newStore(t)
	p := prefixes("10.0.0.0/8")
	s.write(routeEvent(0, announce(attributes([]uint32{65001}), p...)))
	again := *testPeer
	again.ASN, again.Epoch = 65009, 2
	e := routeEvent(0, withdraw(p...))
	e.Peer, e.Cause = &again, event.CauseStaleSweep
	s.write(e)
	s.want("SELECT count(*) FROM routes", "0")
	s.want("SELECT peer_asn, action, cause FROM route_history ORDER BY sequence", "65001|announce|update", "65009|withdraw|stale-sweep")
	r := s.reader()
	if got := all(t, r.Routes(context.Background(), sqlite.Query{At: (t0 + 100*second).Std(), ASN: 65001})); len(got) != 0 {
		t.Errorf("still there: %+v", got)
	}
}

func TestPositionIsPassedOver(t *testing.T) {
	s := newStore(t)
	set := attributes([]uint32{65001})
	batch := []event.Event{
		routeEvent(1, announce(set, prefixes("10.0.0.0/8")...)),
		routeEvent(2, announce(set, prefixes("10.1.0.0/16")...)),
		routeEvent(3, announce(set, prefixes("10.2.0.0/16")...)),
	}
	ctx := context.Background()
	for _, part := range [][]event.Event{batch[:2], batch, batch[:1], batch} {
		if err := s.sink.Write(ctx, part); err != nil {
			t.Fatal(err)
		}
	}
	s.want("SELECT sequence FROM route_history ORDER BY sequence", "1", "2", "3")
	s.want("SELECT count(*) FROM anomalies", "0")
	if err := s.sink.Write(ctx, []event.Event{routeEvent(0, nil)}); !errors.Is(err, sqlite.ErrNotNumbered) {
		t.Errorf("without a sequence: %v", err)
	}
}

// A write that ends early leaves nothing, and the same batch counts once when
// it is written again.
func TestCancelledWriteLeavesNothing(t *testing.T) {
	s := newStore(t)
	set := attributes([]uint32{65001})
	stats := event.Event{
		Sequence: 2, Received: t0, Kind: event.KindStats, Router: testRouter, Peer: testPeer, Stats: []event.Stat{{Type: 1, Value: 1, OK: true}},
	}
	batch := []event.Event{routeEvent(1, announce(set, prefixes("10.0.0.0/8")...)), stats, routeEvent(3, announce(set, prefixes("10.1.0.0/16")...))}
	const count = "SELECT (SELECT count(*) FROM route_change), (SELECT count(*) FROM nlri), (SELECT count(*) FROM speaker), " +
		"(SELECT count(*) FROM peer_stat), (SELECT count(*) FROM anomaly), (SELECT sequence FROM position)"
	for looks := range 4 {
		ctx, cancel := context.WithCancel(context.Background())
		if err := s.sink.Write(&cancelAfter{ctx, cancel, looks}, batch); looks < 3 && !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled after %d looks: %v", looks, err)
		} else if looks == 3 && err != nil {
			t.Fatal(err)
		}
		cancel()
		if looks < 3 {
			s.want(count, "0|0|0|0|0|0")
		}
	}
	s.want(count, "2|2|2|1|0|3")
}

// TestCloseLeavesOneFile: after Close the file alone is the whole history.
func TestCloseLeavesOneFile(t *testing.T) {
	s := newStore(t)
	s.write(routeEvent(0, announce(attributes([]uint32{65001}), prefixes("10.0.0.0/8")...)))
	if err := s.sink.Close(); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "copy.db")
	b, err := os.ReadFile(s.path)
	if err == nil {
		err = os.WriteFile(copied, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.path = copied
	s.want("SELECT prefix FROM routes", "10.0.0.0/8")
}

func TestReopenGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	set := attributes([]uint32{65001})
	for i := range uint64(3) {
		s := openSink(t, path)
		if s.Position() != i {
			t.Fatalf("position %d after %d events", s.Position(), i)
		}
		// The same NLRI and attributes each time, which no memory knows.
		e := routeEvent(i+1, announce(set, prefixes("10.0.0.0/8")...))
		if err := eventtest.Trash(s).Write(context.Background(), []event.Event{e}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	st := &store{tb: t, path: path}
	st.want("SELECT (SELECT count(*) FROM nlri), (SELECT count(*) FROM attr), (SELECT count(*) FROM speaker), (SELECT count(*) FROM route_change)", "1|1|1|3")
	st.want("PRAGMA integrity_check", "ok")
}

func TestPathWithSpecialCharacters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?c#d%20e&mode=x.db")
	s := &store{tb: t, path: path, sink: openSink(t, path)}
	s.write(routeEvent(0, announce(attributes([]uint32{65001}), prefixes("10.0.0.0/8")...)))
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	if got := all(t, s.reader().Routes(context.Background(), sqlite.Query{})); len(got) != 1 {
		t.Errorf("%d routes", len(got))
	}
	t.Chdir(filepath.Dir(path))
	if _, err := sqlite.OpenReader(filepath.Base(path)); err != nil {
		t.Error(err)
	}
}

func TestSecondWriterIsAnError(t *testing.T) {
	s := newStore(t)
	set := attributes([]uint32{65001})
	s.write(routeEvent(0, announce(set, prefixes("10.0.0.0/8")...)))
	second := openSink(t, s.path)
	if err := second.Write(context.Background(), []event.Event{routeEvent(2, announce(set, prefixes("10.1.0.0/16")...))}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err := s.sink.Write(context.Background(), []event.Event{routeEvent(2, announce(set, prefixes("10.2.0.0/16")...))})
		if !errors.Is(err, sqlite.ErrOtherWriter) {
			t.Fatalf("got %v", err)
		}
	}
	s.want("SELECT count(*) FROM routes", "2")
}

func TestNotOpen(t *testing.T) {
	cfg := sqlite.DefaultConfig()
	cfg.Path, cfg.Collector = filepath.Join(t.TempDir(), "no", "folder", "h.db"), "rt1"
	s, err := sqlite.New(cfg, quiet(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(context.Background(), nil); !errors.Is(err, sqlite.ErrClosed) {
		t.Errorf("Write: %v", err)
	}
	if err := s.Idle(context.Background(), time.Time{}); !errors.Is(err, sqlite.ErrClosed) {
		t.Errorf("Idle: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := s.Open(context.Background()); err == nil || !strings.HasPrefix(err.Error(), "sqlite: ") {
		t.Errorf("Open: %v", err)
	}
	if _, err := sqlite.OpenReader(cfg.Path); err == nil {
		t.Error("a reader of nothing")
	}
}

func TestValidate(t *testing.T) {
	for name, change := range map[string]func(*sqlite.Config){
		"path":      func(c *sqlite.Config) { c.Path = "" },
		"collector": func(c *sqlite.Config) { c.Collector = "" },
		"rows":      func(c *sqlite.Config) { c.Rows = "some" },
		"cache":     func(c *sqlite.Config) { c.PageCache = 1 },
		"known":     func(c *sqlite.Config) { c.KnownNLRI = -1 },
		"anomalies": func(c *sqlite.Config) { c.Anomalies = 0 },
	} {
		cfg := sqlite.DefaultConfig()
		cfg.Path, cfg.Collector = "x", "y"
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&cfg)
		if err := cfg.Validate(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// An event that the store refuses is kept raw; those around it are written.
func TestPoison(t *testing.T) {
	reg := prometheus.NewRegistry()
	path := filepath.Join(t.TempDir(), "history.db")
	cfg := sqlite.DefaultConfig()
	cfg.Path, cfg.Collector = path, "rt1"
	sink, err := sqlite.New(cfg, quiet(), reg)
	if err != nil {
		t.Fatal(err)
	}
	if err := sink.Open(context.Background()); err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	s := &store{tb: t, path: path, sink: sink}
	set := attributes([]uint32{65001})
	s.write(routeEvent(0, announce(set, prefixes("10.0.0.0/8")...)))
	poison(t, path)
	bad := routeEvent(0, announce(set, prefixes("10.0.0.0/8", "10.66.0.0/16", "10.2.0.0/16")...))
	bad.Head = []byte("head")
	pdu := bad.PDU
	nobody := routeEvent(0, announce(set, prefixes("10.3.0.0/16")...))
	nobody.Peer, nobody.Router = nil, nil // breaks the event's own promise
	s.write(
		routeEvent(0, announce(set, prefixes("10.1.0.0/16")...)), bad, nobody,
		routeEvent(0, announce(set, prefixes("10.2.0.0/16", "10.4.0.0/16")...)),
	)
	s.want("SELECT sequence, prefix FROM routes ORDER BY prefix",
		"1|10.0.0.0/8", "2|10.1.0.0/16", "5|10.2.0.0/16", "5|10.4.0.0/16")
	s.want("SELECT sequence, prefix FROM route_history ORDER BY sequence, position",
		"1|10.0.0.0/8", "2|10.1.0.0/16", "5|10.2.0.0/16", "5|10.4.0.0/16")
	s.want("SELECT sequence, router, kind, reason LIKE '%poison%', reason LIKE '%panic%' FROM anomalies ORDER BY sequence",
		"3|r1|route|1|0", "4|-|route|0|1")
	s.want("SELECT lower(hex(raw)) FROM anomalies WHERE sequence = 3", strings.ToLower(hexOf(append([]byte("head"), pdu...))))
	s.want("SELECT sequence FROM position", "5")
	s.want("PRAGMA integrity_check", "ok")
	if n, err := testutil.GatherAndCount(reg, "ribtap_sqlite_anomalies_total"); n != 1 || err != nil {
		t.Errorf("anomaly metrics: %d, %v", n, err)
	}
}

func TestAnomaliesAreBounded(t *testing.T) {
	s := newStore(t, func(c *sqlite.Config) { c.Anomalies = 3 })
	for range 10 {
		s.write(event.Event{Kind: event.KindUnknown, Source: event.SourceBMP, Router: testRouter, Head: []byte{9}, Text: "bmp: type 9"})
	}
	s.want("SELECT sequence, reason, raw FROM anomalies ORDER BY sequence", "8|bmp: type 9|09", "9|bmp: type 9|09", "10|bmp: type 9|09")
}

// An UPDATE that cannot be read is kept raw and brings no rows.
func TestUnreadableUpdate(t *testing.T) {
	s := newStore(t)
	set := attributes([]uint32{65001})
	m := announce(set, prefixes("10.0.0.0/8")...)
	e := routeEvent(0, m[:len(m)-1])
	e.PDU[17]-- // the length is right, the prefix is cut
	e.Flags = event.FlagDropped
	s.write(e, routeEvent(0, announce(set, prefixes("10.1.0.0/16")...)))
	s.want("SELECT prefix FROM route_history", "10.1.0.0/16")
	s.want("SELECT sequence, peer_address, length(raw) FROM anomalies", "1|198.51.100.1|"+itoa(len(m)-1))
}

// What a speaker found out about a route is in the column flags beside what its
// attributes say, and is part of the set.
func TestFlagsOfEvent(t *testing.T) {
	s := newStore(t)
	gshut := attributes([]uint32{65001}, communities(0xffff0000))
	var events []event.Event
	for i, f := range []event.Flags{0, event.FlagOTCLeak, event.FlagClusterLoop | event.FlagOTCLeak | event.FlagTrailing, 0} {
		e := routeEvent(0, announce(gshut, prefixes(fmt.Sprintf("10.0.%d.0/24", i))...))
		e.Flags = f
		events = append(events, e)
	}
	s.write(events...)
	s.want("SELECT flags FROM routes ORDER BY sequence", "gshut", "gshut otc-leak", "gshut otc-leak cluster-loop", "gshut")
	s.want("SELECT count(*) FROM attr", "3")
}
