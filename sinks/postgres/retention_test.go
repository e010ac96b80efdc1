//go:build integration

package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/history/historytest"
	"github.com/ribtap/ribtap/sinks/postgres"
)

// dailyChanges are changes of a few routes over days, each at a random time of
// its day; some routes change once and stay.
func dailyChanges(days int, seed uint64) []event.Event {
	rng := rand.New(rand.NewPCG(seed, 9))
	var out []event.Event
	start := t0.Std().Truncate(day)
	for d := range days {
		for i := range 200 {
			p := prefixes(fmt.Sprintf("20.%d.0.0/16", rng.IntN(60)), fmt.Sprintf("2001:db8:%x::/48", rng.IntN(60)))[i%2]
			if d > 0 && p.Addr().Is4() && p.Addr().As4()[1] < 10 {
				continue // these say something on the first day only
			}
			e := routeEvent(0, announce(attributes([]uint32{65001, rng.Uint32N(50)}), p))
			if rng.IntN(3) == 0 {
				e = routeEvent(0, withdraw([]netip.Prefix{p}...))
			}
			peer := *historytest.Peer
			peer.Address = netip.AddrFrom4([4]byte{198, 51, 100, byte(rng.IntN(3))})
			e.Peer = &peer
			e.Received = event.At(start.Add(time.Duration(d)*day + time.Duration(i)*time.Minute))
			out = append(out, e)
		}
		flow := historytest.Reach(1, 133, nil, []byte{5, 1, 24, 10, 0, byte(d)}, attributes([]uint32{65001}))
		flow.Received = event.At(start.Add(time.Duration(d)*day + 23*time.Hour))
		gone := historytest.Unreach(1, 133, []byte{5, 1, 24, 10, 0, byte(d - 2)})
		gone.Received = flow.Received + second
		out = append(out, flow, gone)
	}
	return historytest.Number(0, out)
}

// What is dropped does not change what routes_at says about any time after it,
// and the history after it is as it was.
func TestRetention(t *testing.T) {
	s := newStore(t)
	// Another one than the sink, whose clock is the real one.
	keeper := newSink(t, s.dsn, func(c *postgres.Config) { c.Retention = 3 * day })
	for _, b := range cut(dailyChanges(10, 1), 300) {
		if err := s.sink.Write(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
	start := t0.Std().Truncate(day)
	at := func(d float64) string {
		return "SELECT * FROM routes_at('" + start.Add(time.Duration(d*float64(day))).Format(time.RFC3339) + "') ORDER BY sequence, position"
	}
	s.want("SELECT count(*) FROM route_change_default", "0")
	before, days := map[float64][]string{}, 10
	for d := 0.; d <= float64(days); d += .25 {
		before[d] = s.lines(at(d))
	}
	history := func(d int) string {
		return "SELECT * FROM route_history WHERE received_at >= '" + start.Add(time.Duration(d)*day).Format(time.RFC3339) + "' ORDER BY sequence, position"
	}
	all := s.lines(history(0))
	for _, keep := range []int{0, 2, 2, 3, 7} { // the oldest day that stays
		want := s.lines(history(keep))
		if err := keeper.Retain(context.Background(), start.Add(time.Duration(keep)*day+3*day+time.Hour)); err != nil {
			t.Fatal(err)
		}
		same(t, s.lines(history(0)), want)
		for d := float64(keep); d <= float64(days); d += .25 {
			if got := s.lines(at(d)); !slices.Equal(got, before[d]) {
				t.Fatalf("horizon at day %d: %d routes at day %v, want %d", keep, len(got), d, len(before[d]))
			}
		}
		s.want(fmt.Sprintf("SELECT count(*) FROM partitions() AS p WHERE p < '%s'", start.Add(time.Duration(keep)*day).Format(time.DateOnly)), "0")
		s.want("SELECT count(*) FROM pg_class WHERE relname LIKE 'route_change_p%' AND relkind = 'r' AND NOT relispartition", "0")
	}
	if len(all) == len(s.lines(history(0))) {
		t.Error("nothing was dropped")
	}
	s.sameRoutes("SELECT sequence, nlri, as_path FROM routes ORDER BY sequence, position", "SELECT sequence, nlri, as_path FROM routes_at('infinity') ORDER BY sequence, position")

	// An old file that is imported now says nothing about what is there, and goes
	// at the next opportunity.
	routes := s.lines("SELECT * FROM routes ORDER BY sequence, position")
	old := routeEvent(0, announce(attributes([]uint32{65001, 77}), prefixes("20.11.0.0/16", "77.0.0.0/8")...))
	old.Source, old.Received = event.SourceMRT, event.At(start.Add(time.Hour))
	old.Peer = historytest.Peer
	s.seq = s.sink.Position()
	s.write(old)
	same(t, s.lines("SELECT * FROM routes ORDER BY sequence, position"), routes)
	s.want("SELECT count(*) FROM route_history WHERE as_path LIKE '% 77'", "2")
	if err := keeper.Retain(context.Background(), start.Add(10*day+time.Hour)); err != nil {
		t.Fatal(err)
	}
	s.want("SELECT count(*) FROM route_history WHERE as_path LIKE '% 77'", "0")
	same(t, s.lines(at(10)), before[10])

	// Attribute sets of today stay, those of long ago go unless something has them.
	const unused = "SELECT count(*) FROM attr AS a WHERE NOT EXISTS (SELECT FROM route_change WHERE attr = a.id) AND NOT EXISTS (SELECT FROM route_base WHERE attr = a.id)"
	if n := s.lines(unused); n[0] == "0" {
		t.Error("all attribute sets are in use")
	}
	s.exec("UPDATE attr SET seen = '2025-06-15'")
	if err := keeper.Retain(context.Background(), start.Add(12*day+time.Hour)); err != nil {
		t.Fatal(err)
	}
	s.want(unused, "0")
	same(t, s.lines(at(10)), before[10])
	s.want("SELECT count(*) FROM route_change AS c WHERE c.attr IS NOT NULL AND NOT EXISTS (SELECT FROM attr AS a WHERE a.id = c.attr)", "0")
	s.want("SELECT count(*) FROM route_base AS c WHERE NOT EXISTS (SELECT FROM attr AS a WHERE a.id = c.attr)", "0")
}

// A set that is stored is seen anew by each process that uses it.
func TestAttributeSetsAreSeen(t *testing.T) {
	s := newStore(t)
	e := routeEvent(0, announce(attributes([]uint32{65001}), prefixes("10.0.0.0/8")...))
	s.write(e)
	s.exec("UPDATE attr SET seen = '2025-06-15'")
	next := storeAt(t, s.dsn)
	next.write(e)
	s.want("SELECT count(*), min(seen) = (now() AT TIME ZONE 'UTC')::date FROM attr", "1|t")
}

// Retention does not keep a writer waiting, and a reader that does not end only
// delays it.
func TestRetentionWhileWriting(t *testing.T) {
	s := newStore(t)
	keeper := newSink(t, s.dsn, func(c *postgres.Config) { c.Retention = day })
	for _, b := range cut(dailyChanges(12, 2), 500) {
		if err := s.sink.Write(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
	reader := connect(t, s.dsn)
	linesOf(t, reader, "BEGIN; SELECT count(*) FROM route_history")
	done := make(chan error)
	go func() { done <- keeper.Retain(context.Background(), t0.Std().Add(20*day)) }()
	var slowest time.Duration
	released := time.After(3 * time.Second)
	for running := true; running; {
		start := time.Now()
		if err := s.sink.Write(context.Background(), numbered(s.sink.Position(), 20)); err != nil {
			t.Fatal(err)
		}
		slowest = max(slowest, time.Since(start))
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			running = false
		case <-released:
			linesOf(t, reader, "ROLLBACK; SELECT 1")
		default:
		}
	}
	t.Logf("the slowest write took %v", slowest)
	if slowest > 2*time.Second {
		t.Errorf("a write waited %v", slowest)
	}
	s.want("SELECT count(*) FROM partitions() AS p WHERE p < '2025-07-01'", "0")
	s.want("SELECT count(*) > 0 FROM route_base", "t")
}

// Partitions are there before they are needed, and wild times do not make more
// of them than a batch may.
func TestPartitions(t *testing.T) {
	s := newStore(t)
	if err := s.sink.Idle(context.Background(), time.Now()); err != nil {
		t.Fatal(err)
	}
	s.want("SELECT count(*) FROM partitions() AS p WHERE p BETWEEN (now() AT TIME ZONE 'UTC')::date AND (now() AT TIME ZONE 'UTC')::date + 3", "4")
	var wild []event.Event
	for i := range 200 {
		e := routeEvent(0, announce(attributes([]uint32{65001}), prefixes("10.0.0.0/8")...))
		e.Received = event.Time(i) * 86_400 * 200 * second
		wild = append(wild, e)
	}
	wild[3].Received = -1 << 62
	s.write(wild...)
	s.want("SELECT count(*) FROM route_history", "200")
	s.want("SELECT count(*) BETWEEN 60 AND 70 FROM partitions()", "t")
	s.want("SELECT count(*) > 100 FROM route_change_default", "t")
	// What the default partition has stays there, and a partition for its day is
	// done without.
	s.write(wild[199])
	s.want("SELECT count(*) FROM route_history", "201")
}
