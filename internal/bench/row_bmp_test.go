//go:build bench

package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ribtap/ribtap/internal/load"
	"github.com/ribtap/ribtap/sinks/kafka/kafkatest"
	"github.com/ribtap/ribtap/sinks/postgres/postgrestest"
)

// session is one router's BMP session and what is in it.
type session struct {
	octets []byte
	counts load.FullCounts
}

// fullSession is a full table of one peer, 100,000 UPDATEs of churn, and five
// Statistics Reports.
var fullSession = sync.OnceValue(func() session {
	r := load.NewFull(size(20_000, 1_000_000), size(4_600, 230_000), 1).Router(0, 1)
	b := r.AppendTable(r.AppendOpen(nil), 0)
	for range 5 {
		b = r.AppendStats(r.AppendChurn(b, size(400, 20_000)))
	}
	return session{b, r.Counts}
})

// collectorUnderTest is a program that takes a BMP session.
type collectorUnderTest struct {
	name string
	// start starts it and returns its address, and check, which is called when it
	// seems to have nothing more to do, still runs, and its session is open. It
	// fails the test when the result is wrong, and returns an error when the
	// program only waits for something and will go on.
	start func(t *testing.T) (p *process, addr string, check func(t *testing.T, s session) error)
}

// cost is what a run of a program cost.
type cost struct {
	wall, cpu     time.Duration
	peak, written int64
	routes        uint64 // announced and withdrawn
}

// perCPU is routes in a second of CPU time.
func (c cost) perCPU() float64 { return float64(c.routes) / c.cpu.Seconds() }

// String is a cell of the table.
func (c cost) String() string {
	return fmt.Sprintf("%s routes/CPU-s (%.2f CPU s, %.2f s, %d MB RSS, %d MB written)",
		thousands(c.perCPU()), c.cpu.Seconds(), c.wall.Seconds(), c.peak/1e6, c.written/1e6)
}

// thousands writes a large number.
func thousands(x float64) string {
	if x >= 10e6 {
		return fmt.Sprintf("%.1f M", x/1e6)
	}
	return fmt.Sprintf("%.0f k", x/1e3)
}

// takeSession runs a program with a session.
func takeSession(t *testing.T, c *collectorUnderTest, s session) cost {
	t.Helper()
	p, addr, check := c.start(t)
	conn := connect(t, addr, 0)
	before, begin := p.used(), time.Now()
	send(t, conn, s.octets)
	var last time.Time
	var u usage
	await(t, c.name+" to have all", time.Hour, func() error {
		last, u = p.idle(time.Hour)
		return check(t, s)
	})
	u = u.since(before)
	_ = conn.Close()
	p.kill()
	return cost{last.Sub(begin), max(u.cpu, tick), u.peak, u.written, s.counts.Announced + s.counts.Withdrawn}
}

// compare runs all programs, one after the other and again, and returns the
// medians of each.
func compare(t *testing.T, cs []*collectorUnderTest, s session) []cost {
	t.Helper()
	all := make([][]cost, len(cs))
	for i := range runs(t) {
		for k, c := range cs {
			// A subtest's files go when it ends.
			t.Run(fmt.Sprintf("%s-%d", c.name, i+1), func(t *testing.T) {
				one := takeSession(t, c, s)
				t.Log(one)
				all[k] = append(all[k], one)
			})
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	out := make([]cost, len(cs))
	for k := range cs {
		out[k] = medians(all[k])
	}
	return out
}

// medians takes the median of each figure.
func medians(all []cost) cost {
	pick := func(f func(c cost) int64) int64 {
		var vs []int64
		for _, c := range all {
			vs = append(vs, f(c))
		}
		return median(vs)
	}
	return cost{
		wall:    time.Duration(pick(func(c cost) int64 { return int64(c.wall) })),
		cpu:     time.Duration(pick(func(c cost) int64 { return int64(c.cpu) })),
		peak:    pick(func(c cost) int64 { return c.peak }),
		written: pick(func(c cost) int64 { return c.written }),
		routes:  all[0].routes,
	}
}

// ribtapWith is ribtap with configuration from the environment, which must have
// everything where it belongs.
func ribtapWith(env func(t *testing.T) []string) *collectorUnderTest {
	return &collectorUnderTest{"ribtap", func(t *testing.T) (*process, string, func(*testing.T, session) error) {
		d := startRibtap(t, dataDir(t), env(t)...)
		return d.process, d.bmp, func(t *testing.T, s session) error {
			if err := d.caughtUp(s.counts.Messages); err != nil {
				return err
			}
			st, err := d.status()
			if err == nil && st.Routes != s.counts.Routes {
				t.Errorf("%d routes, want %d", st.Routes, s.counts.Routes)
			}
			return err
		}
	}}
}

// gobmp is GoBMP with its file publisher, which writes a line of JSON for each
// route.
var gobmp = &collectorUnderTest{"gobmp", func(t *testing.T) (*process, string, func(*testing.T, session) error) {
	port, file := freePort(t), filepath.Join(t.TempDir(), "messages.json")
	p := run(t, nil, peerProgram(t, "gobmp"), "-dump=file", "-msg-file="+file, "-source-port="+strconv.Itoa(port),
		"-destination-port="+strconv.Itoa(freePort(t)), "-performance-port="+strconv.Itoa(freePort(t)), "-log_dir="+t.TempDir())
	p.listens(port)
	// Peers have the same actions, and End-of-RIBs, of which it writes one for
	// every UPDATE that withdraws only.
	out := &output{file: file, prefix: `"prefix":`, announced: `"action":"add"`, withdrawn: `"action":"del"`}
	return p, "127.0.0.1:" + strconv.Itoa(port), out.check
}}

// pmbmpd is pmacct's BMP daemon with its JSON log, a line for each route.
var pmbmpd = &collectorUnderTest{"pmbmpd", func(t *testing.T) (*process, string, func(*testing.T, session) error) {
	port, dir := freePort(t), t.TempDir()
	file, conf := filepath.Join(dir, "log.json"), filepath.Join(dir, "pmbmpd.conf")
	text := fmt.Sprintf("daemonize: false\nbmp_daemon_ip: 127.0.0.1\nbmp_daemon_port: %d\nbmp_daemon_max_peers: 16\n"+
		"bmp_daemon_msglog_file: %s\nbmp_daemon_msglog_output: json\n", port, file)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p := run(t, nil, peerProgram(t, "pmbmpd"), "-f", conf)
	p.listens(port)
	out := &output{file: file, prefix: `"ip_prefix":`, announced: `"log_type": "update"`, withdrawn: `"log_type": "withdraw"`}
	return p, "127.0.0.1:" + strconv.Itoa(port), out.check
}}

// floor is internal/bench/floor.
var floor = &collectorUnderTest{"floor", func(t *testing.T) (*process, string, func(*testing.T, session) error) {
	port := freePort(t)
	addr := "127.0.0.1:" + strconv.Itoa(port)
	p := run(t, nil, program("floor"), addr)
	p.listens(port)
	return p, addr, func(*testing.T, session) error { return nil }
}}

// output is a file with a line for each announced and withdrawn route, which
// some words tell apart. Lines without the word prefix are of something else.
type output struct {
	file, prefix, announced, withdrawn string
	lines                              uint64 // when it was read before
}

// check wants a line for each route. A file that has grown since the last time
// may be that of a program which the machine did not let run.
func (o *output) check(t *testing.T, s session) error {
	t.Helper()
	f, err := os.Open(o.file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var a, w uint64
	lines := bufio.NewScanner(f)
	for lines.Buffer(nil, 1<<20); lines.Scan(); {
		switch b := lines.Bytes(); {
		case !bytes.Contains(b, []byte(o.prefix)):
		case bytes.Contains(b, []byte(o.announced)):
			a++
		case bytes.Contains(b, []byte(o.withdrawn)):
			w++
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if a == s.counts.Announced && w == s.counts.Withdrawn {
		return nil
	}
	err = fmt.Errorf("%d routes announced and %d withdrawn in its output, want %d and %d", a, w, s.counts.Announced, s.counts.Withdrawn)
	if a+w > o.lines {
		o.lines = a + w
		return err
	}
	t.Error(err)
	return nil
}

// times is how many times the routes a CPU second of the others are wanted; 0:
// whatever it is.
type times struct{ gobmp, pmbmpd, floor float64 }

// bmpStream: BMP to RIB and durable stream.
func bmpStream(t *testing.T) []line {
	const most = 300e6
	bare := ribtapWith(func(*testing.T) []string { return without("sqlite", "mrt") })
	c := compare(t, []*collectorUnderTest{bare, gobmp, pmbmpd, floor}, fullSession())
	l := againstPeers("full table and churn into the stream", c, "≥ 20 × GoBMP, ≥ 12 × pmbmpd, ≥ 1/3 of the floor; < 300 MB RSS", times{20, 12, 1. / 3})
	l.met = l.met && c[0].peak < most
	return []line{l}
}

// againstPeers is the line of ribtap, GoBMP, pmbmpd and the floor, in this order.
func againstPeers(stage string, c []cost, want target, least times) line {
	gobmp, pmbmpd, floor := c[0].perCPU()/c[1].perCPU(), c[0].perCPU()/c[2].perCPU(), c[0].perCPU()/c[3].perCPU()
	return line{
		stage: stage, ribtap: c[0].String(),
		peers:  fmt.Sprintf("GoBMP %v; pmbmpd %v; floor %v", c[1], c[2], c[3]),
		ratio:  fmt.Sprintf("%.1f × GoBMP, %.1f × pmbmpd, %.2f of the floor", gobmp, pmbmpd, floor),
		target: want, met: gobmp >= least.gobmp && pmbmpd >= least.pmbmpd && floor >= least.floor,
	}
}

// bmpSQLiteMRT: the same with what `ribtap run` writes without a configuration.
func bmpSQLiteMRT(t *testing.T) []line {
	all := ribtapWith(func(*testing.T) []string { return nil })
	c := compare(t, []*collectorUnderTest{all, gobmp, pmbmpd, floor}, fullSession())
	return []line{againstPeers("the same with SQLite and MRT files", c, "≥ 5 × GoBMP", times{gobmp: 5})}
}

// bmpPostgres: the same into PostgreSQL, whose own CPU time is not counted.
func bmpPostgres(t *testing.T) []line {
	sink := ribtapWith(func(t *testing.T) []string {
		return append(without("sqlite", "mrt"), "RIBTAP_SINKS_POSTGRES_DSN="+postgrestest.Start(t))
	})
	c := compare(t, []*collectorUnderTest{sink, gobmp}, fullSession())
	return []line{againstGoBMP("the same with PostgreSQL", c)}
}

// bmpKafka: the same into Kafka, whose own CPU time is not counted.
func bmpKafka(t *testing.T) []line {
	sink := ribtapWith(func(t *testing.T) []string {
		return append(without("sqlite", "mrt"), "RIBTAP_SINKS_KAFKA_BROKERS="+kafkatest.Start(t).Addr, "RIBTAP_SINKS_KAFKA_TOPIC="+filepath.Base(t.Name()))
	})
	c := compare(t, []*collectorUnderTest{sink, gobmp}, fullSession())
	return []line{againstGoBMP("the same with Kafka", c)}
}

func againstGoBMP(stage string, c []cost) line {
	return line{
		stage: stage, ribtap: c[0].String(), peers: fmt.Sprintf("GoBMP to a file %v", c[1]),
		ratio: fmt.Sprintf("%.1f × GoBMP", c[0].perCPU()/c[1].perCPU()),
	}
}
