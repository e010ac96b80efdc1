//go:build drill

package drill

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ribtap/ribtap/fixtures"
	"github.com/ribtap/ribtap/internal/load"
	"github.com/ribtap/ribtap/sinks/kafka/kafkatest"
	"github.com/ribtap/ribtap/sinks/postgres/postgrestest"
)

// TestConsume: workers of a consumer group fill PostgreSQL from Kafka, while
// routers come, change and go. One worker is killed in a transaction, one more
// is added, PostgreSQL crashes, a worker is frozen in a transaction until the
// others have its partitions, and is then let go on. At the end every view is
// what the collector's own SQLite has.
func TestConsume(t *testing.T) {
	routers, routes, limit := scale(12, 30), scale(3000, 20_000), time.Duration(scale(2, 15))*time.Minute
	server, broker := postgrestest.StartServer(t), kafkatest.Start(t)
	dsn := server.Database(t)
	topic := fmt.Sprintf("consume-%d", time.Now().UnixNano())
	env := []string{"RIBTAP_SINKS_KAFKA_BROKERS=" + broker.Addr, "RIBTAP_SINKS_KAFKA_TOPIC=" + topic, "RIBTAP_SINKS_KAFKA_FORMAT=protobuf"}
	d := launch(t, filepath.Join(t.TempDir(), "data"), slices.Concat(env, []string{"RIBTAP_BMP_SWEEP_QUIET=1s", "RIBTAP_SINKS_MRT_ENABLED=false"})...)
	<-d.announced
	if d.bmp == "" {
		t.Fatalf("ribtap does not start: %s", d.last(4000))
	}
	group := &workers{t: t, dsn: dsn, env: append(env, "RIBTAP_SINKS_POSTGRES_DSN="+dsn), topic: topic}
	one, two := group.start(), group.start()

	begin := time.Now()
	load := startRouters(t, d.bmp, routers, routes)
	group.reach(5000, limit)
	one.strike(syscall.SIGKILL, limit)
	three := group.start()
	reached := group.reach(group.position()+5000, limit)
	server.Restart(t)
	t.Logf("after %v: %d events stored, PostgreSQL crashed", time.Since(begin).Round(time.Millisecond), reached)
	group.reach(reached+5000, limit)
	two.strike(syscall.SIGSTOP, limit)
	frozen := time.Now()
	group.owned(limit, three)
	t.Logf("a frozen worker's partitions were another's after %v", time.Since(frozen).Round(time.Millisecond))
	group.reach(group.position()+5000, limit)
	two.signal(syscall.SIGCONT)

	sent := load.end()
	for _, octets := range recordings(t) {
		lost := connect(t, d.bmp)
		sent += send(t, lost, octets)
		_ = lost.Close()
	}
	d.settle(sent, limit)
	published := time.Now()
	d.stop()
	lite := openStore(t, d.dir)
	last := integer(t, lite, "SELECT sequence FROM position")
	group.reach(last, limit)
	t.Logf("%d events of %d routers in %v, stored %v after the last was published", last, routers, time.Since(begin).Round(time.Millisecond),
		time.Since(published).Round(time.Millisecond))
	if at := group.position(); at != last {
		t.Errorf("the offsets add up to %d, the events to %d", at, last)
	}
	two.serves("/readyz", "ready")
	three.serves("/metrics", "ribtap_consume_lag_records{partition=")
	two.stop()
	three.stop()
	group.compare(lite)

	// All once more, with two workers in another database: how fast it goes.
	again := &workers{t: t, dsn: server.Database(t), topic: topic}
	again.env = append(slices.Clone(env), "RIBTAP_SINKS_POSTGRES_DSN="+again.dsn)
	begin = time.Now()
	fast := []*process{again.start("--group", "again"), again.start("--group", "again")}
	again.reach(last, limit)
	took := time.Since(begin)
	t.Logf("2 workers: %d events, %d rows in %v, %.0f events/s, %.0f rows/s", last, integer(t, lite, "SELECT count(*) FROM route_history"),
		took.Round(time.Millisecond), float64(last)/took.Seconds(), float64(integer(t, lite, "SELECT count(*) FROM route_history"))/took.Seconds())
	for _, w := range fast {
		w.stop()
	}
	again.compare(lite)
}

// TestConsumeRefuses: what cannot work is one line, and an exit code.
func TestConsumeRefuses(t *testing.T) {
	broker, dsn := kafkatest.Start(t), postgrestest.Start(t)
	topic := fmt.Sprintf("refuses-%d", time.Now().UnixNano())
	d := launch(t, filepath.Join(t.TempDir(), "data"), "RIBTAP_SINKS_KAFKA_BROKERS="+broker.Addr, "RIBTAP_SINKS_KAFKA_TOPIC="+topic)
	<-d.announced
	table := newTable(0, 100, 0)
	d.settle(send(t, connect(t, d.bmp), table.AppendTable(table.AppendOpen(nil, routerName(0)))), time.Minute)
	for _, c := range []struct {
		name, want string
		code       int
		env        []string
	}{
		{"no brokers", "sinks.kafka.brokers is empty", 3, []string{"RIBTAP_SINKS_POSTGRES_DSN=" + dsn}},
		{"no DSN", "sinks.postgres.dsn is empty", 3, []string{"RIBTAP_SINKS_KAFKA_BROKERS=" + broker.Addr}},
		{"format", "sinks.kafka.format: protobuf", 3, []string{
			"RIBTAP_SINKS_KAFKA_BROKERS=" + broker.Addr, "RIBTAP_SINKS_POSTGRES_DSN=" + dsn, "RIBTAP_SINKS_KAFKA_FORMAT=gobmp-json",
		}},
		{"no broker", "127.0.0.1:1", 1, []string{"RIBTAP_SINKS_KAFKA_BROKERS=127.0.0.1:1", "RIBTAP_SINKS_POSTGRES_DSN=" + dsn}},
		{"no server", "cannot connect", 1, []string{"RIBTAP_SINKS_KAFKA_BROKERS=" + broker.Addr, "RIBTAP_SINKS_POSTGRES_DSN=postgres://127.0.0.1:1/x"}},
		{"JSON in the topic", "set sinks.kafka.format: protobuf on the collectors", 1, []string{
			"RIBTAP_SINKS_KAFKA_BROKERS=" + broker.Addr, "RIBTAP_SINKS_POSTGRES_DSN=" + dsn, "RIBTAP_SINKS_KAFKA_TOPIC=" + topic,
		}},
	} {
		cmd := command(t, filepath.Join(t.TempDir(), "none"), "consume")
		cmd.Env = append(cmd.Env, c.env...)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != c.code || strings.Count(string(out), "\n") != 1 || !strings.Contains(string(out), c.want) {
			t.Errorf("%s: %v, want exit code %d and one line with %q:\n%s", c.name, err, c.code, c.want, out)
		}
	}
	d.stop()
}

func recordings(t *testing.T) (out [][]byte) {
	t.Helper()
	names, err := fixtures.Recordings()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		octets, err := fixtures.Recording(name)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, octets)
	}
	return out
}

// changing are routers whose routes change, and whose sessions are lost now
// and then, until end is called.
type changing struct {
	stop chan struct{}
	wait sync.WaitGroup
	sent atomic.Uint64
}

func startRouters(t *testing.T, to string, routers, routes int) *changing {
	c := &changing{stop: make(chan struct{})}
	for n := range routers {
		c.wait.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(n), 11))
			table := newTable(n, routes*4/5, routes/5)
			for session := 0; ; session++ {
				conn, err := net.Dial("tcp", to)
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(func() { _ = conn.Close() })
				if c.session(t, conn, table, routerName(n), rng) {
					return // and stays connected
				}
				_ = conn.Close()
			}
		})
	}
	return c
}

// session dumps the table and changes it for a while; it is true at the end.
func (c *changing) session(t *testing.T, conn net.Conn, table *load.Table, name string, rng *rand.Rand) bool {
	b := table.AppendTable(table.AppendOpen(nil, name))
	every := time.NewTicker(20 * time.Millisecond)
	defer every.Stop()
	for range 150 + rng.IntN(300) {
		if _, err := conn.Write(b); err != nil {
			t.Error(err)
			return true
		}
		c.sent.Add(messages(b))
		b = b[:0]
		for range rng.IntN(8) {
			if i := rng.IntN(table.Len()); rng.IntN(4) == 0 && table.Line(i) != "" {
				b = table.AppendWithdraw(b, i)
			} else {
				b = table.AppendChange(b, i, rng.IntN(1<<20))
			}
		}
		select {
		case <-c.stop:
			return true
		case <-every.C:
		}
	}
	return false
}

// end returns how many messages were sent.
func (c *changing) end() uint64 {
	close(c.stop)
	c.wait.Wait()
	return c.sent.Load()
}

// workers are those that write into one database.
type workers struct {
	t     *testing.T
	dsn   string
	env   []string
	topic string
}

// process is a `ribtap consume`.
type process struct {
	of    *workers
	cmd   *exec.Cmd
	ended chan struct{}
	http  string
	words lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (w *workers) start(args ...string) *process {
	w.t.Helper()
	p := &process{of: w, ended: make(chan struct{})}
	p.cmd = command(w.t, filepath.Join(w.t.TempDir(), "none"), append([]string{"consume", "--http-listen", "127.0.0.1:0"}, args...)...)
	p.cmd.Env = append(p.cmd.Env, w.env...)
	p.cmd.Stderr = &p.words
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait()
	}()
	w.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		if s := p.words.String(); w.t.Failed() {
			w.t.Logf("worker %d:\n%s", p.cmd.Process.Pid, s[max(0, len(s)-6000):])
		}
	})
	await(w.t, "the worker's address", 30*time.Second, func() error {
		if _, rest, ok := strings.Cut(p.words.String(), "  HTTP  http://"); ok && strings.Contains(rest, "/") {
			p.http, _, _ = strings.Cut(rest, "/")
			return nil
		}
		return fmt.Errorf("it says: %s", p.words.String())
	})
	return p
}

func (p *process) signal(sig syscall.Signal) {
	p.of.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.of.t.Fatal(err)
	}
}

// stop ends the worker; it must exit with 0.
func (p *process) stop() {
	t := p.of.t
	t.Helper()
	begin := time.Now()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		t.Fatal("a worker does not end")
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("ribtap consume ended with exit code %d, want 0", code)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("a worker took %v to end", took)
	}
}

// strike sends the signal while the worker has a transaction under way.
func (p *process) strike(sig syscall.Signal, limit time.Duration) {
	p.of.t.Helper()
	db := p.of.open()
	defer db.Close()
	await(p.of.t, "a transaction of the worker", limit, func() error {
		var n int
		err := db.QueryRow("SELECT count(*) FROM kafka_partition AS p JOIN pg_stat_activity AS a ON a.pid = p.pid "+
			"WHERE p.writer LIKE $1 AND a.xact_start IS NOT NULL", fmt.Sprintf("%%, process %d,%%", p.cmd.Process.Pid)).Scan(&n)
		if err == nil && n == 0 {
			err = fmt.Errorf("none")
		}
		return err
	})
	p.signal(sig)
}

// owned waits until all partitions that have events are a worker's.
func (w *workers) owned(limit time.Duration, p *process) {
	w.t.Helper()
	db := w.open()
	defer db.Close()
	await(w.t, "one worker to have all partitions", limit, func() error {
		var others int
		err := db.QueryRow("SELECT count(*) FROM kafka_partition WHERE writer NOT LIKE $1", fmt.Sprintf("%%, process %d,%%", p.cmd.Process.Pid)).Scan(&others)
		if err == nil && others > 0 {
			err = fmt.Errorf("%d are others'", others)
		}
		return err
	})
}

func (w *workers) open() *sql.DB {
	w.t.Helper()
	db, err := sql.Open("pgx", w.dsn)
	if err != nil {
		w.t.Fatal(err)
	}
	return db
}

// position is how many records are stored, of all partitions.
func (w *workers) position() int64 {
	w.t.Helper()
	db := w.open()
	defer db.Close()
	return integer(w.t, db, "SELECT coalesce(sum(next_offset), 0) FROM kafka_partition WHERE topic = $1", w.topic)
}

// reach waits until so many records are stored, and returns how many there are.
func (w *workers) reach(records int64, limit time.Duration) (at int64) {
	w.t.Helper()
	db := w.open()
	defer db.Close()
	await(w.t, "the records in PostgreSQL", limit, func() error {
		err := db.QueryRow("SELECT coalesce(sum(next_offset), 0) FROM kafka_partition WHERE topic = $1", w.topic).Scan(&at)
		if err == nil && at < records {
			err = fmt.Errorf("%d of %d", at, records)
		}
		return err
	})
	return at
}

// serves asks the worker for a page.
func (p *process) serves(path, want string) {
	t := p.of.t
	t.Helper()
	await(t, path, time.Minute, func() error {
		resp, err := http.Get("http://" + p.http + path)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err == nil && !strings.Contains(string(b), want) {
			err = fmt.Errorf("%s: no %q in it: %.300s", resp.Status, want, b)
		}
		return err
	})
}

// compare holds every view against that of SQLite, whole.
func (w *workers) compare(lite *sql.DB) {
	w.t.Helper()
	pg := w.open()
	defer pg.Close()
	for _, view := range []string{
		"route_history", "routes", "peer_history", "peers", "router_history", "routers", "peer_stats", "gaps", "anomalies",
	} {
		rows, err := pg.Query("SELECT column_name, udt_name FROM information_schema.columns WHERE table_name = $1 ORDER BY ordinal_position", view)
		if err != nil {
			w.t.Fatal(err)
		}
		var here, there []string
		for rows.Next() {
			var name, typ string
			if err := rows.Scan(&name, &typ); err != nil {
				w.t.Fatal(err)
			}
			mine, theirs := name+"::text", name
			switch {
			case name == "nlri", name == "ribs": // the order of ribs is not SQLite's
				continue
			case name == "prefix":
				mine = "nlri"
			case typ == "timestamptz":
				mine = utc(name)
			case typ == "bool":
				mine = name + "::int::text"
			case typ == "inet":
				mine = "host(" + name + ")"
			case typ == "bytea":
				mine, theirs = "upper(encode("+name+", 'hex'))", "hex("+name+")"
			}
			here, there = append(here, mine), append(there, theirs)
		}
		if err := rows.Err(); err != nil || len(here) == 0 {
			w.t.Fatalf("%s: %d columns: %v", view, len(here), err)
		}
		got := digestRows(w.t, pg, "SELECT "+strings.Join(here, ", ")+" FROM "+view)
		want := digestRows(w.t, lite, "SELECT "+strings.Join(there, ", ")+" FROM "+view)
		if got != want {
			w.t.Errorf("%s: PostgreSQL has %d rows, SQLite %d, which are equal: %t", view, got.lines, want.lines, got.sum == want.sum)
		}
		w.t.Logf("%s: %d rows", view, want.lines)
	}
}
