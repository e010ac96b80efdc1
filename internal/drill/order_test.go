//go:build drill

package drill

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/internal/load"
)

// storm is a router that announces and withdraws a few routes for as long as it
// is let. Its steps can be told again, so that none of them is kept.
type storm struct {
	name  string
	table *load.Table
	seed  uint64
	steps int
	// told checks what a sink has, row for row.
	told  *load.Storm
	count int
}

const stormRoutes = 1000

func newStorm(router, steps int) *storm {
	return &storm{name: routerName(router), table: newTable(router, stormRoutes, 0), seed: uint64(router), steps: steps}
}

// send sends everything over a connection.
func (s *storm) send(conn net.Conn) error {
	w := bufio.NewWriterSize(conn, 64<<10)
	b := s.table.AppendOpen(nil, s.name)
	storm := load.NewStorm(stormRoutes, s.seed)
	for range s.steps {
		if _, err := w.Write(b); err != nil {
			return err
		}
		b = s.table.AppendStep(b[:0], storm.Next())
	}
	if _, err := w.Write(b); err != nil {
		return err
	}
	return w.Flush()
}

// begin begins to check a sink.
func (s *storm) begin() { s.told, s.count = load.NewStorm(stormRoutes, s.seed), 0 }

// is holds the next row of a sink against the next message that was sent.
func (s *storm) is(announce bool, prefix, med string) error {
	s.count++
	want := s.told.Next()
	is := fmt.Sprint(announce, prefix, med)
	wantMED := ""
	if want.MED != 0 {
		wantMED = strconv.FormatUint(uint64(want.MED), 10)
	}
	if w := fmt.Sprint(want.MED != 0, s.table.Prefix(want.Route).String(), wantMED); is != w {
		return fmt.Errorf("%s: message %d is %s, sent was %s", s.name, s.count, is, w)
	}
	return nil
}

// end reports what is missing.
func (s *storm) end() error {
	if s.count != s.steps {
		return fmt.Errorf("%s: %d of %d messages", s.name, s.count, s.steps)
	}
	return nil
}

// TestOrder: several routers send as fast as TCP takes it; every sink has every
// message of each of them, in the order in which it was sent, and the last state
// is the one that was sent last.
func TestOrder(t *testing.T) {
	const sessions = 8
	steps := scale(20_000, 1_000_000)
	storms := make([]*storm, sessions)
	byPeer := map[netip.Addr]*storm{}
	for i := range storms {
		storms[i] = newStorm(i, steps)
		byPeer[storms[i].table.Peer.Address] = storms[i]
	}
	d := start(t, filepath.Join(t.TempDir(), "data"))
	begin := time.Now()
	var senders sync.WaitGroup
	for _, s := range storms {
		conn := connect(t, d.bmp)
		senders.Go(func() {
			if err := s.send(conn); err != nil {
				t.Error(err)
			}
		})
	}
	senders.Wait()
	const opening = 2 // Initiation and Peer Up
	d.hears(sessions*uint64(opening+steps), 10*time.Minute)
	sent := time.Since(begin)
	st := d.settle(sessions*uint64(opening+steps), 10*time.Minute)
	settled := time.Since(begin)
	n := float64(sessions * steps)
	t.Logf("%d × %d messages: in the stream at %.0f/s, in all sinks at %.0f/s; %d MB peak memory, stream %d MB, on disk %d MB",
		sessions, steps, n/sent.Seconds(), n/settled.Seconds(), d.peakRSS()>>20, st.Stream.Bytes>>20, sizeOf(t, d.dir)>>20)
	if st.Gaps != 0 {
		t.Errorf("%d gaps", st.Gaps)
	}

	t.Run("routes", func(t *testing.T) { checkLastState(t, d.dir, storms) })
	t.Run("route_history", func(t *testing.T) { checkHistory(t, d.dir, storms) })
	d.stop()
	t.Run("mrt", func(t *testing.T) {
		check := newChecker(t, storms)
		var u bgp.Update
		for _, m := range archived(t, d.dir) {
			u.Parse(m.PDU, m.Session())
			for it := u.Routes(); it.Next(); {
				med := ""
				if v, ok := u.MED(); ok {
					med = strconv.FormatUint(uint64(v), 10)
				}
				check.is(byPeer[m.PeerIP], it.Route().Action == bgp.Announce, it.Route().NLRI.Prefix.String(), med)
			}
		}
		check.end()
	})
	t.Run("bgpdump", func(t *testing.T) {
		check := newChecker(t, storms)
		eachDumped(t, d.dir, func(l dumped) { check.is(byPeer[l.peer], l.announce, l.prefix, l.med) })
		check.end()
	})
}

// checker checks one sink against all storms.
type checker struct {
	t      *testing.T
	storms []*storm
}

func newChecker(t *testing.T, storms []*storm) checker {
	for _, s := range storms {
		s.begin()
	}
	return checker{t, storms}
}

func (c checker) is(s *storm, announce bool, prefix, med string) {
	if s == nil {
		c.t.Fatal("a message of a peer that there is not")
	}
	if err := s.is(announce, prefix, med); err != nil {
		c.t.Fatal(err)
	}
}

func (c checker) end() {
	for _, s := range c.storms {
		if err := s.end(); err != nil {
			c.t.Error(err)
		}
	}
}

func checkHistory(t *testing.T, dataDir string, storms []*storm) {
	byName := map[string]*storm{}
	for _, s := range storms {
		byName[s.name+" "+s.table.Peer.Address.String()] = s
	}
	rows, err := openStore(t, dataDir).Query(
		`SELECT sequence, position, router, peer_address, action, prefix, ifnull(med, ''), changed FROM route_history ORDER BY sequence, position`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	check := newChecker(t, storms)
	var before uint64
	for rows.Next() {
		var sequence, position uint64
		var router, peer, action, prefix, med string
		var changed bool
		if err := rows.Scan(&sequence, &position, &router, &peer, &action, &prefix, &med, &changed); err != nil {
			t.Fatal(err)
		}
		if sequence <= before || position != 0 || !changed {
			t.Fatalf("row %d/%d (changed=%v) follows %d", sequence, position, changed, before)
		}
		before = sequence
		check.is(byName[router+" "+peer], action == "announce", prefix, med)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	check.end()
}

// checkLastState holds the view routes against the last message about each route.
func checkLastState(t *testing.T, dataDir string, storms []*storm) {
	rows, err := openStore(t, dataDir).Query(`SELECT router, prefix, med FROM routes`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	is := map[string]uint32{}
	for rows.Next() {
		var router, prefix string
		var med uint32
		if err := rows.Scan(&router, &prefix, &med); err != nil {
			t.Fatal(err)
		}
		is[router+" "+prefix] = med
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	want := 0
	for _, s := range storms {
		all := load.NewStorm(stormRoutes, s.seed)
		for range s.steps {
			all.Next()
		}
		for i := range stormRoutes {
			med := all.MED(i)
			if med != 0 {
				want++
			}
			if key := s.name + " " + s.table.Prefix(i).String(); is[key] != med {
				t.Errorf("%s: MED %d, want %d (0: withdrawn)", key, is[key], med)
			}
		}
	}
	if len(is) != want {
		t.Errorf("%d routes, want %d", len(is), want)
	}
}
