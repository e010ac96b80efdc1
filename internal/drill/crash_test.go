//go:build drill

package drill

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/internal/load"
	"github.com/ribtap/ribtap/sinks/kafka/kafkatest"
	"github.com/ribtap/ribtap/sinks/postgres/postgrestest"
	"github.com/ribtap/ribtap/stream"
)

// TestCrash kills the daemon at random moments while routers send, and starts it
// again. Each time, nothing that the stream had is lost, the store is sound and
// has the rows of the stream's events, each once; the routers' dumps after each
// restart change only what did change; and the archive has every message once.
func TestCrash(t *testing.T) { crash(t, filepath.Join(t.TempDir(), "data")) }

// TestCrashStores is the same with PostgreSQL and Kafka, which in the end have
// what SQLite has: each row and each record once.
func TestCrashStores(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	dsn, broker := postgrestest.Start(t), kafkatest.Start(t)
	topic := fmt.Sprintf("crash-%d", time.Now().UnixNano())
	crash(t, dir, "RIBTAP_SINKS_POSTGRES_DSN="+dsn, "RIBTAP_SINKS_KAFKA_BROKERS="+broker.Addr, "RIBTAP_SINKS_KAFKA_TOPIC="+topic)
	agree(t, dir, dsn, broker, topic)
}

// crash is the drill on a data directory, with more configuration.
func crash(t *testing.T, dir string, more ...string) {
	t.Helper()
	kills, routes := scale(4, 30), scale(5_000, 50_000)
	config := append(slices.Clone(crashConfig), more...)
	const seed = 1
	rng := rand.New(rand.NewPCG(seed, seed))
	routers := []*flapper{newFlapper(0, routes), newFlapper(1, routes)}
	check := &crashCheck{t: t, dir: dir}
	for kill := range kills {
		d := launch(t, dir, config...)
		life := time.Duration(rng.IntN(1500)) * time.Millisecond
		word := "start"
		if kill%4 != 1 {
			// Not one of those that may die while they start.
			word = "accepting sessions"
			<-d.announced
		}
		time.AfterFunc(life, func() { _ = d.cmd.Process.Kill() })
		acknowledged := live(d, routers)
		check.afterKill(acknowledged)
		t.Logf("kill %d, %v after %s: %d events, of which the store has %d", kill+1, life, word, check.stream, check.checked)
	}

	begin := time.Now()
	d := launch(t, dir, config...)
	<-d.announced
	if d.bmp == "" {
		t.Fatalf("ribtap does not start: %s", d.last(4000))
	}
	t.Logf("start after the last kill: %v", time.Since(begin).Round(time.Millisecond))
	// Without churn now, so that it can be said what must be there. What was
	// withdrawn while nobody listened goes with the sweep of stale routes.
	var want digest
	for _, r := range routers {
		conn := connect(t, d.bmp)
		send(t, conn, r.table.AppendTable(r.table.AppendOpen(nil, r.name)))
		of := digestOf(r.table)
		want.lines, want.sum = want.lines+of.lines, want.sum+of.sum
	}
	await(t, "the routers' routes", time.Minute, func() error {
		s, err := d.status()
		if err == nil && s.Routes != want.lines {
			err = fmt.Errorf("%d routes, want %d", s.Routes, want.lines)
		}
		return err
	})
	st := d.settle(check.stream, 5*time.Minute)
	is(t, d, "the routers' tables", want)
	if st.Gaps != 0 {
		t.Errorf("%d gaps", st.Gaps)
	}
	d.stop()
	check.atEnd()
	t.Logf("%d kills, %d events, %d rows, %d announcements of which %d changed nothing; stream %d MB, on disk %d MB",
		kills, check.stream, check.rows, check.announced, check.unchanged, st.Stream.Bytes>>20, sizeOf(t, dir)>>20)
}

// crashConfig makes MRT files turn over, and stale routes go, while a drill runs.
var crashConfig = []string{"RIBTAP_SINKS_MRT_UPDATES_INTERVAL=1m", "RIBTAP_BMP_SWEEP_QUIET=1s"}

// flapper is a router whose routes change all the time.
type flapper struct {
	name  string
	table *load.Table
	rng   *rand.Rand
}

func newFlapper(router, routes int) *flapper {
	return &flapper{
		name: routerName(router), table: newTable(router, routes*4/5, routes/5), rng: rand.New(rand.NewPCG(uint64(router), 3)),
	}
}

// Changes come in bursts, at a rate that a store keeps up with.
const (
	burst      = 50
	burstEvery = 5 * time.Millisecond
)

// run dumps the table and changes it until the station is gone.
func (r *flapper) run(to string) {
	conn, err := net.Dial("tcp", to)
	if err != nil {
		return // it died in this moment
	}
	defer conn.Close()
	b := r.table.AppendTable(r.table.AppendOpen(nil, r.name))
	every := time.NewTicker(burstEvery)
	defer every.Stop()
	for {
		if _, err := conn.Write(b); err != nil {
			return
		}
		b = b[:0]
		for range burst {
			i := r.rng.IntN(r.table.Len())
			if r.rng.IntN(4) == 0 && r.table.Line(i) != "" {
				b = r.table.AppendWithdraw(b, i)
			} else {
				b = r.table.AppendChange(b, i, r.rng.IntN(1<<20))
			}
		}
		<-every.C
	}
}

// live lets the routers send until the daemon is dead, and returns the last
// sequence that it is known to have had in its stream.
func live(d *daemon, routers []*flapper) (acknowledged uint64) {
	var all sync.WaitGroup
	var last atomic.Uint64
	if <-d.announced; d.bmp != "" {
		for _, r := range routers {
			all.Go(func() { r.run(d.bmp) })
		}
		all.Go(func() {
			for {
				s, err := d.status()
				if err != nil {
					return
				}
				last.Store(s.Stream.Last)
			}
		})
	}
	<-d.ended
	all.Wait()
	return last.Load()
}

// crashCheck holds a data directory's parts against its stream.
type crashCheck struct {
	t   *testing.T
	dir string
	// stream is the stream's last sequence, checked that up to which the store
	// was compared with it.
	stream, checked            uint64
	rows, announced, unchanged int
}

func (c *crashCheck) streamDir() string { return filepath.Join(c.dir, "stream") }

// afterKill checks what a dead daemon left.
func (c *crashCheck) afterKill(acknowledged uint64) {
	c.t.Helper()
	if _, err := os.Stat(c.streamDir()); errors.Is(err, os.ErrNotExist) {
		return // killed before it made anything
	}
	r, err := stream.Verify(c.streamDir())
	if err != nil {
		c.t.Fatal(err)
	}
	if r.Damaged() {
		c.t.Fatalf("the stream is damaged: %+v", r)
	}
	if r.Last < max(acknowledged, c.stream) {
		c.t.Fatalf("the stream ends at %d, had %d", r.Last, max(acknowledged, c.stream))
	}
	c.stream = r.Last
	eachDumped(c.t, c.dir, func(dumped) {})
	db := c.copyStore()
	if db == nil {
		return
	}
	checkIntegrity(c.t, db)
	// The position is no part of the contract, but what a crash is about.
	at := uint64(integer(c.t, db, `SELECT sequence FROM position`))
	if at < c.checked || at > c.stream {
		c.t.Fatalf("the store is at %d, was at %d, the stream ends at %d", at, c.checked, c.stream)
	}
	c.compare(db, c.checked, at)
	c.checked = at
}

// copyStore opens a copy of the store: to look into the original would recover it,
// which is the next daemon's work. It returns nil when there is no schema yet.
func (c *crashCheck) copyStore() *sql.DB {
	c.t.Helper()
	to := c.t.TempDir()
	for _, name := range []string{"history.db", "history.db-wal"} {
		content, err := os.ReadFile(filepath.Join(c.dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), content, 0o600)
		}
		if err != nil {
			c.t.Fatal(err)
		}
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(to, "history.db"))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = db.Close() })
	if integer(c.t, db, `SELECT count(*) FROM sqlite_schema WHERE name = 'position'`) == 0 {
		return nil
	}
	return db
}

// compare holds the rows of route_history behind one sequence, up to another,
// against those that the stream's events make.
func (c *crashCheck) compare(db *sql.DB, from, to uint64) {
	c.t.Helper()
	rows, err := db.Query(`SELECT sequence, position, router, peer_address, action, prefix, cause, changed, ifnull(as_path, '')
		FROM route_history WHERE sequence > ? AND sequence <= ? ORDER BY sequence, position`, from, to)
	if err != nil {
		c.t.Fatal(err)
	}
	defer rows.Close()
	row := func() string {
		if !rows.Next() {
			return "none"
		}
		var sequence, position uint64
		var router, peer, action, prefix, cause, path string
		var changed bool
		if err := rows.Scan(&sequence, &position, &router, &peer, &action, &prefix, &cause, &changed, &path); err != nil {
			c.t.Fatal(err)
		}
		return fmt.Sprint(sequence, "/", position, " ", router, " ", peer, " ", action, " ", prefix, " ", cause, " ", changed, " ", path)
	}
	var u bgp.Update
	c.rows = 0
	err = stream.Inspect(c.streamDir(), from+1, func(e *event.Event) error {
		if e.Sequence > to {
			return io.EOF
		}
		if !e.Update(&u) {
			return nil
		}
		it := u.Routes()
		for i := 0; it.Next(); i++ {
			if e.Mark(i) == 0 {
				continue
			}
			action, path := "withdraw", ""
			if it.Route().Action == bgp.Announce {
				action, path = "announce", string(u.AppendASPath(nil))
			}
			want := fmt.Sprint(e.Sequence, "/", i, " ", e.Router.Name, " ", e.Peer.Address, " ", action, " ", it.Route().NLRI.Prefix, " ",
				e.RouteCause(it.Route()), " ", e.Mark(i)&event.MarkChanged != 0, " ", path)
			if got := row(); got != want {
				return fmt.Errorf("row %s, want %s", got, want)
			}
			c.rows++
		}
		return nil
	})
	if err != nil && !errors.Is(err, io.EOF) {
		c.t.Fatal(err)
	}
	if extra := row(); extra != "none" {
		c.t.Fatalf("row %s is not of the stream", extra)
	}
	if err := rows.Err(); err != nil {
		c.t.Fatal(err)
	}
}

// atEnd checks all there is, after the daemon ended by itself.
func (c *crashCheck) atEnd() {
	c.t.Helper()
	r, err := stream.Verify(c.streamDir())
	if err != nil || r.Damaged() || r.Last < c.stream {
		c.t.Fatalf("the stream: %+v, %v", r, err)
	}
	c.stream = r.Last
	c.checkMarks()
	db := openStore(c.t, c.dir)
	checkIntegrity(c.t, db)
	// That nobody listened between two lives is known, and all that is missing.
	if n := integer(c.t, db, `SELECT count(*) FROM gaps WHERE cause <> 'collector-stop'`); n != 0 {
		c.t.Errorf("%d gaps", n)
	}
	c.compare(db, 0, c.stream)
	c.checkArchive()
}

// checkMarks holds what the stream says of each route's change against a model of
// the state. No session ended while the daemon lived, so nothing but what the
// routers said, and the sweep, changed a route.
func (c *crashCheck) checkMarks() {
	c.t.Helper()
	state := map[string]string{}
	var u bgp.Update
	var value []byte
	err := stream.Inspect(c.streamDir(), 0, func(e *event.Event) error {
		if !e.Update(&u) {
			return nil
		}
		it := u.Routes()
		for i := 0; it.Next(); i++ {
			r := it.Route()
			key := e.Peer.Address.String() + " " + r.NLRI.Prefix.String()
			before, there := state[key]
			want := there
			if r.Action == bgp.Announce {
				value = u.AppendValue(value[:0], r)
				want = !there || before != string(value)
				state[key] = string(value)
				c.announced++
				if !want {
					c.unchanged++
				}
			} else {
				delete(state, key)
			}
			if is := e.Mark(i)&event.MarkChanged != 0; is != want {
				return fmt.Errorf("event %d, %s of %s: changed is %v, should be %v", e.Sequence, r.NLRI.Prefix, e.Router.Name, is, want)
			}
		}
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// checkArchive holds the archive's messages against the stream's.
func (c *crashCheck) checkArchive() {
	c.t.Helper()
	next, stop := iter.Pull2(archived(c.t, c.dir))
	defer stop()
	var u bgp.Update
	n, routes := 0, 0
	err := stream.Inspect(c.streamDir(), 0, func(e *event.Event) error {
		if e.Kind != event.KindRoute || e.RIB != event.AdjRIBInPre {
			return nil
		}
		is, m, ok := next()
		if !ok {
			return fmt.Errorf("the archive ends after %d messages, before event %d", n, e.Sequence)
		}
		at := int64(e.Received) / 1000 * 1000 // MRT has microseconds
		if is != at || m.PeerIP != e.Peer.Address || !bytes.Equal(m.PDU, e.PDU) {
			return fmt.Errorf("message %d of the archive is of %s at %d, event %d is of %s at %d", n+1, m.PeerIP, is, e.Sequence, e.Peer.Address, at)
		}
		n++
		e.Update(&u)
		for it := u.Routes(); it.Next(); {
			routes++
		}
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	if at, m, more := next(); more {
		c.t.Fatalf("the archive has more than the stream: of %s at %d", m.PeerIP, at)
	}
	dump := 0
	eachDumped(c.t, c.dir, func(dumped) { dump++ })
	if dump != routes {
		c.t.Errorf("bgpdump finds %d routes, want %d", dump, routes)
	}
	c.t.Logf("the archive has %d messages with %d routes in %d files", n, routes, len(archiveFiles(c.t, c.dir)))
}
