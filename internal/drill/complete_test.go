//go:build drill

package drill

import (
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ribtap/ribtap/internal/load"
)

// TestMixedUpdate: all four fields of one UPDATE become rows, and an UPDATE that
// only withdraws is no End-of-RIB.
func TestMixedUpdate(t *testing.T) {
	d := start(t, filepath.Join(t.TempDir(), "data"))
	const n4, n6 = 10, 10
	table := newTable(0, n4, n6)
	conn := connect(t, d.bmp)
	b := table.AppendTable(table.AppendOpen(nil, routerName(0)))
	// What the mixed message announces is new then, whatever its attributes.
	b = table.AppendWithdraw(table.AppendWithdraw(b, 1), n4+1)
	sent := send(t, conn, b)
	mixed := sent + 1 // one message is one event
	b = table.AppendMixed(b[:0], 0, n4, 1, n4+1, 7)
	for i := 2; i < 6; i++ {
		b = table.AppendWithdraw(table.AppendWithdraw(b, i), n4+i)
	}
	sent += send(t, conn, b)
	d.settle(sent, time.Minute)

	db := openStore(t, d.dir)
	rows, err := db.Query(`SELECT position, action, family, prefix FROM route_history WHERE sequence = ? ORDER BY position`, mixed)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []string
	for rows.Next() {
		var position int
		var action, family, prefix string
		if err := rows.Scan(&position, &action, &family, &prefix); err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(position, " ", action, " ", family, " ", prefix))
	}
	want := []string{
		"0 withdraw ipv4-unicast " + table.Prefix(0).String(),
		"1 announce ipv6-unicast " + table.Prefix(n4+1).String(),
		"2 withdraw ipv6-unicast " + table.Prefix(n4).String(),
		"3 announce ipv4-unicast " + table.Prefix(1).String(),
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %s\nwant %s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if n := integer(t, db, `SELECT count(*) FROM route_history WHERE action = 'withdraw'`); n != 2+2+2*4 {
		t.Errorf("%d withdrawals, want 12", n)
	}
	if got, example := routesDigest(t, d.dir); got != digestOf(table) {
		t.Errorf("%d routes such as %s, want %d", got.lines, example, digestOf(table).lines)
	}
	out, err := command(t, d.dir, "stream", "inspect").Output()
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(out), `"end_of_rib":`); n != 2 {
		t.Errorf("%d End-of-RIB, 2 were sent", n)
	}
}

// TestFullTable: a full table is there to the last route, with all attributes;
// the past can be asked for; and while the table is taken away again, another
// router's changes are in the store within a second.
func TestFullTable(t *testing.T) {
	n4, n6 := scale(50_000, 1_000_000), scale(10_000, 230_000)
	table := newTable(0, n4, n6)
	d := start(t, filepath.Join(t.TempDir(), "data"))
	conn := connect(t, d.bmp)
	limit := 5 * time.Minute

	octets := table.AppendTable(table.AppendOpen(nil, routerName(0)))
	begin := time.Now()
	sent := send(t, conn, octets)
	d.hears(sent, limit)
	inStream := time.Since(begin)
	d.settle(sent, limit)
	n := float64(table.Len())
	t.Logf("table of %d routes, %d messages, %d MB: in the stream at %.0f routes/s, in all sinks at %.0f routes/s; %d MB peak memory, on disk %d B a route",
		table.Len(), sent, len(octets)>>20, n/inStream.Seconds(), n/time.Since(begin).Seconds(), d.peakRSS()>>20, sizeOf(t, d.dir)/int64(n))
	first := digestOf(table)
	is(t, d, "the table", first)
	// The daemon and this test share a clock, and nothing is under way.
	before := time.Now()

	changes := table.Len() / 10
	sent += send(t, conn, churn(table, changes))
	d.settle(sent, limit)
	second := digestOf(table)
	is(t, d, "the table after churn", second)
	is(t, d, "the table before churn", first, "--at", before.Format(time.RFC3339Nano))

	other := watchSmall(t, d)
	is(t, d, "the other router", digest{lines: 1, sum: 0}, "--router", routerName(1))
	quiet := other.worst(time.Now().Add(-time.Hour))
	down := time.Now()
	send(t, conn, table.AppendPeerDown(nil))
	await(t, "the withdrawal of all routes", limit, func() error {
		if n := integer(t, other.db, `SELECT count(*) FROM routes WHERE router = ?`, routerName(0)); n > 0 {
			return fmt.Errorf("%d routes", n)
		}
		return nil
	})
	gone := time.Since(down)
	t.Logf("peer down: %d routes withdrawn in %v; lag of another router's changes at most %v meanwhile, %v before; %d changes seen",
		second.lines, gone.Round(time.Millisecond), other.worst(down).Round(time.Millisecond), quiet.Round(time.Millisecond), other.seen)
	if worst := other.worst(down); worst >= time.Second {
		t.Errorf("the other router's changes took up to %v to be in the store", worst)
	}
	if n := integer(t, other.db, `SELECT count(*) FROM route_history WHERE cause = 'peer-down' AND action = 'withdraw' AND changed`); n != int64(second.lines) {
		t.Errorf("%d routes withdrawn by peer-down, want %d", n, second.lines)
	}
	is(t, d, "the table before its end", second, "--at", down.Format(time.RFC3339Nano), "--router", routerName(0))

	// The peer returns, and then goes and returns at once: its Peer Up comes behind
	// the end of its table, and others' changes in between.
	send(t, conn, table.AppendTable(table.AppendPeerUp(nil)))
	await(t, "the table to return", limit, func() error { return other.has(second.lines) })
	flap := time.Now()
	send(t, conn, table.AppendPeerUp(table.AppendPeerDown(nil)))
	await(t, "the third Peer Up", limit, func() error {
		if n := integer(t, other.db, `SELECT count(*) FROM peer_history WHERE router = ? AND event = 'up'`, routerName(0)); n < 3 {
			return fmt.Errorf("%d Peer Ups", n)
		}
		return other.has(0)
	})
	other.end()
	t.Logf("peer down and up: after %v; lag of another router's changes at most %v meanwhile", time.Since(flap).Round(time.Millisecond),
		other.worst(flap).Round(time.Millisecond))
	if worst := other.worst(flap); worst >= time.Second {
		t.Errorf("the other router's changes took up to %v to be in the store", worst)
	}
	send(t, conn, table.AppendTable(nil))
	await(t, "the table to return again", limit, func() error { return other.has(second.lines) })
	is(t, d, "the table after all", second, "--router", routerName(0))
}

// is holds what `ribtap routes` lists against what it should; a sum of 0 leaves
// it at the number.
func is(t *testing.T, d *daemon, what string, want digest, args ...string) {
	t.Helper()
	begin := time.Now()
	got, example := routesDigest(t, d.dir, args...)
	if want.sum == 0 {
		got.sum = 0
	}
	if got != want {
		t.Errorf("%s: %d routes such as %s (digest %x), want %d (%x)", what, got.lines, example, got.sum, want.lines, want.sum)
	}
	t.Logf("%s: %d routes listed in %v", what, got.lines, time.Since(begin).Round(time.Millisecond))
}

// churn changes and withdraws routes of the table.
func churn(table *load.Table, n int) (b []byte) {
	rng := rand.New(rand.NewPCG(7, 7))
	for range n {
		i := rng.IntN(table.Len())
		if rng.IntN(4) == 0 && table.Line(i) != "" {
			b = table.AppendWithdraw(b, i)
		} else {
			b = table.AppendChange(b, i, rng.IntN(1<<20))
		}
	}
	return b
}

// small is a router that changes one route again and again, while somebody
// looks when the store has each change.
type small struct {
	db   *sql.DB
	stop chan struct{}
	done sync.WaitGroup
	seen int

	mu   sync.Mutex
	sent []time.Time // by MED-1
	lags []lag
}

// lag says when the oldest change was sent that was not in the store at a time.
type lag struct{ at, sent time.Time }

const changeEvery = 5 * time.Millisecond

// watchSmall starts the second router, and returns when its first change is in
// the store.
func watchSmall(t *testing.T, d *daemon) *small {
	t.Helper()
	s := &small{db: openStore(t, d.dir), stop: make(chan struct{})}
	table := newTable(1, 1, 0)
	conn := connect(t, d.bmp)
	send(t, conn, table.AppendOpen(nil, routerName(1)))
	s.done.Go(func() {
		every := time.NewTicker(changeEvery)
		defer every.Stop()
		for med := uint32(1); ; med++ {
			s.mu.Lock()
			s.sent = append(s.sent, time.Now())
			s.mu.Unlock()
			if _, err := conn.Write(table.AppendMED(nil, 0, med)); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-s.stop:
				return
			case <-every.C:
			}
		}
	})
	await(t, "the second router", time.Minute, func() error { return s.look(table.Prefix(0).String()) })
	s.done.Go(func() {
		every := time.NewTicker(changeEvery)
		defer every.Stop()
		for {
			if err := s.look(table.Prefix(0).String()); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-s.stop:
				return
			case <-every.C:
			}
		}
	})
	t.Cleanup(s.end)
	return s
}

// has is nil when the store has so many routes of the first router.
func (s *small) has(routes int) error {
	var n int
	err := s.db.QueryRow(`SELECT count(*) FROM routes WHERE router = ?`, routerName(0)).Scan(&n)
	if err == nil && n != routes {
		err = fmt.Errorf("%d routes, want %d", n, routes)
	}
	return err
}

// look finds the newest change in the store, and how old the oldest is that is
// not there.
func (s *small) look(prefix string) error {
	var med int
	if err := s.db.QueryRow(`SELECT med FROM routes WHERE prefix = ? AND router = ?`, prefix, routerName(1)).Scan(&med); err != nil {
		return err
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if med > len(s.sent) {
		return errors.New("a change is in the store that was not sent")
	}
	s.seen = med
	if med < len(s.sent) {
		s.lags = append(s.lags, lag{at: now, sent: s.sent[med]})
	}
	return nil
}

// worst is the longest lag seen since a time.
func (s *small) worst(since time.Time) (d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lags {
		if l.at.After(since) {
			d = max(d, l.at.Sub(l.sent))
		}
	}
	return d
}

// end stops sending and looking.
func (s *small) end() {
	s.mu.Lock()
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
	s.mu.Unlock()
	s.done.Wait()
}
