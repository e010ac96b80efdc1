//go:build integration

package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/history"
	"github.com/ribtap/ribtap/history/historytest"
	"github.com/ribtap/ribtap/sinks/postgres"
)

// A row of the history has no octet more than it needs: 24 of them are
// PostgreSQL's own, and a row takes a multiple of eight.
func TestRowSize(t *testing.T) {
	s := newStore(t)
	set := attributes([]uint32{65001})
	s.write(
		routeEvent(0, announce(set, prefixes("10.0.0.0/8")...)), routeEvent(0, announce(set, prefixes("2001:db8::/32")...)),
		routeEvent(0, withdraw(prefixes("10.0.0.0/8")...)), routeEvent(0, withdraw(prefixes("2001:db8::/32")...)),
	)
	// Not sorted: a row that was has another header.
	s.want("SELECT event >> 16, pg_column_size(c) FROM route_change AS c", "1|64", "2|76", "3|56", "4|68")
}

// Equal keys stand in the index once, so it is a few octets a row.
func TestIndexSize(t *testing.T) {
	s := newStore(t)
	var events []event.Event
	for i := range 40_000 {
		events = append(events, routeEvent(0, withdraw(prefixes(fmt.Sprintf("10.%d.%d.0/24", i%20, i/20%50))...)))
	}
	s.write(events...)
	s.want("SELECT count(*), count(DISTINCT prefix) FROM route_change", "40000|1000")
	s.want("SELECT pg_relation_size('route_change_p20250615_prefix_idx') / 40000 < 12", "t")
}

// observed_at is what it was, however far from received_at.
func TestObserved(t *testing.T) {
	const microsecond = event.Time(time.Microsecond)
	s := newStore(t)
	var events []event.Event
	var want []string
	for i, d := range []event.Time{
		0, microsecond, -microsecond, 1500 * 1000 * microsecond, 1<<31*microsecond - microsecond, 1 << 31 * microsecond, -1 << 31 * microsecond,
		-1<<31*microsecond - microsecond, event.Time(400 * day), -event.Time(400 * day),
	} {
		e := routeEvent(0, announce(attributes([]uint32{65001}), prefixes(fmt.Sprintf("10.0.%d.0/24", i))...))
		e.Received = t0
		e.Observed = e.Received - d
		events = append(events, e)
		want = append(want, e.Observed.Std().UTC().Format("2006-01-02 15:04:05.999999+00"))
	}
	unknown := routeEvent(0, announce(attributes([]uint32{65001}), prefixes("10.1.0.0/16")...))
	unknown.Received, unknown.Observed = t0, 0
	s.write(append(events, unknown)...)
	want = append(want, "-")
	s.want("SELECT observed_at FROM route_history ORDER BY sequence", want...)
	s.want("SELECT observed_at FROM routes ORDER BY sequence", want...)
	s.want("SELECT observed_at FROM routes_at('infinity') ORDER BY sequence", want...)
	s.want("SELECT count(*) FROM route_change WHERE (more).observed IS NOT NULL", "4")
}

// An UPDATE may be of two families, whose routes belong to two RIBs of one view.
func TestTwoFamilies(t *testing.T) {
	s := newStore(t)
	set := attributes([]uint32{65001})
	reach := historytest.Attribute(0x80, 14, append([]byte{0, 2, 1, 16, 15: 1, 16: 1, 17: 1, 18: 1, 19: 1, 20: 0}, 32, 0x20, 0x01, 0x0d, 0xb8))
	both := routeEvent(0, historytest.UpdateMessage(nil, append(set, reach...), historytest.AppendPrefix(nil, prefixes("10.0.0.0/8")[0])))
	s.write(historytest.PeerUp(event.AdjRIBInPre), both)
	for _, view := range []string{"route_history", "routes", "routes_at('infinity')"} {
		s.want("SELECT family, prefix, rib FROM "+view+" ORDER BY prefix",
			"ipv4-unicast|10.0.0.0/8|adj-rib-in-pre", "ipv6-unicast|2001:db8::/32|adj-rib-in-pre")
	}
	s.want("SELECT ribs FROM peers", "adj-rib-in-pre")
}

// A sequence that the column has no room for is not stored as another one.
func TestSequenceTooLarge(t *testing.T) {
	s := newStore(t)
	s.seq = 1<<47 - 2
	e := routeEvent(0, announce(attributes([]uint32{65001}), prefixes("10.0.0.0/8")...))
	s.write(e, e)
	s.want("SELECT sequence, position FROM route_history", "140737488355327|0")
	s.want("SELECT sequence, reason FROM anomalies", "140737488355328|the sequence is too large")
}

// A set whose number is another one's in the store gets another number, in every
// process, also if that is taken, too; no route ever has another's attributes.
func TestNumberTaken(t *testing.T) {
	s := newStore(t)
	route := func(prefix string) event.Event {
		return routeEvent(0, announce(attributes([]uint32{65001}), prefixes(prefix)...))
	}
	s.write(route("10.0.0.0/16"))
	for i := range 2 {
		// What has the set's numbers now is another set.
		s.exec("UPDATE attr SET tail = tail + 1, as_path = 'another'")
		next := storeAt(t, s.dsn)
		next.write(route(fmt.Sprintf("10.%d.0.0/16", 2*i+1)), route(fmt.Sprintf("10.%d.0.0/16", 2*i+2)))
		next.write(route("10.99.0.0/16"))
		s.want("SELECT count(*) FROM attr WHERE as_path <> 'another'", "1")
		s.want(fmt.Sprintf("SELECT DISTINCT as_path FROM route_history WHERE sequence > %d", s.seq), "65001")
		s.want(fmt.Sprintf("SELECT count(*) FROM route_history WHERE sequence > %d", s.seq), "3")
		s.want("SELECT DISTINCT as_path FROM route_history WHERE sequence = 1", "another")
		s.seq = next.seq
	}
	s.want("SELECT count(*) FROM attr", "3")
	s.want("SELECT count(*) FROM anomalies", "0")
}

// A dump is text, and gives the same rows back.
func TestRowsAsText(t *testing.T) {
	s := newStore(t, func(c *postgres.Config) { c.Rows = history.RowsAll })
	events := historytest.Scenario(1)
	for cause := range 256 {
		e := routeEvent(0, announce(attributes([]uint32{65001}), prefixes("10.0.0.0/8")...))
		e.Cause, e.Marks = event.Cause(cause), []event.Mark{event.Mark(cause & 3)}
		e.Sequence = 0
		events = append(events, e)
	}
	s.write(events...)
	for _, table := range []string{"route_change", "route", "attr"} {
		var text bytes.Buffer
		if _, err := s.db().PgConn().CopyTo(context.Background(), &text, "COPY (SELECT * FROM "+table+") TO STDOUT"); err != nil {
			t.Fatal(err)
		}
		if !utf8.Valid(text.Bytes()) {
			t.Errorf("%s: not UTF-8", table)
		}
		s.exec("CREATE TEMPORARY TABLE again (LIKE " + table + ")")
		if _, err := s.db().PgConn().CopyFrom(context.Background(), &text, "COPY again FROM STDIN"); err != nil {
			t.Error(err)
		}
		s.want("SELECT count(*) > 0, count(*) = (SELECT count(*) FROM again) FROM "+table, "t|t")
		s.want("SELECT count(*) FROM (SELECT t::text FROM "+table+" AS t EXCEPT SELECT t::text FROM again AS t) AS e", "0")
		s.exec("DROP TABLE again")
	}
	s.want("SELECT cause, count(*) FROM route_history WHERE as_path = '65001' AND cause IS NULL GROUP BY 1", "-|244")
}
