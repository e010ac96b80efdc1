//go:build drill

package drill

import (
	"database/sql"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ribtap/ribtap/internal/load"
)

// limit is the most that a repair may take until everything is well.
const limit = time.Minute

// patient is a daemon with a router that speaks, for tests of what goes wrong
// with one of its stores.
type patient struct {
	*daemon
	t     *testing.T
	conn  net.Conn
	table *load.Table
	rng   *rand.Rand
	sent  uint64 // messages, each of which is an event
	heard int    // octets of the daemon's words that were looked at
}

// newPatient starts a daemon and gives it a table.
func newPatient(t *testing.T, env ...string) *patient {
	t.Helper()
	return newPatientIn(t, filepath.Join(t.TempDir(), "data"), env...)
}

func newPatientIn(t *testing.T, dir string, env ...string) *patient {
	t.Helper()
	d := launch(t, dir, env...)
	<-d.announced
	if d.bmp == "" {
		t.Fatalf("ribtap does not start: %s", d.last(4000))
	}
	p := &patient{daemon: d, t: t, conn: connect(t, d.bmp), table: newTable(0, 300, 50), rng: rand.New(rand.NewPCG(1, 2))}
	p.sent = send(t, p.conn, p.table.AppendTable(p.table.AppendOpen(nil, routerName(0))))
	return p
}

// acquainted makes a data directory whose sinks were reached once, with a stream
// that is empty: only then may they be away when ribtap starts.
func acquainted(t *testing.T, env ...string) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	d := launch(t, dir, env...)
	<-d.announced
	if d.bmp == "" {
		t.Fatalf("ribtap does not start: %s", d.last(4000))
	}
	d.stop()
	return dir
}

// speak has the router change so many routes.
func (p *patient) speak(n int) {
	p.t.Helper()
	p.sent += send(p.t, p.conn, p.changes(n))
}

// changes are so many messages of the router's.
func (p *patient) changes(n int) (b []byte) {
	for range n {
		i := p.rng.IntN(p.table.Len())
		if p.rng.IntN(4) == 0 && p.table.Line(i) != "" {
			b = p.table.AppendWithdraw(b, i)
		} else {
			b = p.table.AppendChange(b, i, p.rng.IntN(1<<20))
		}
	}
	return b
}

// ails waits until it shows everywhere that a sink fails for a reason, after some
// attempts, in one line that has all the words; the other sinks have everything.
func (p *patient) ails(sink, reason string, words ...string) {
	p.t.Helper()
	const attempts = 3
	retries := fmt.Sprintf("ribtap_sink_retries_total{reason=%q,sink=%q}", reason, sink)
	before := p.metric(retries)
	await(p.t, sink+" to fail: "+reason, 30*time.Second, func() error {
		s, err := p.status()
		if err != nil {
			return err
		}
		for _, row := range s.Sinks {
			switch {
			case row.Name != sink:
				if row.Committed != s.Stream.Last || s.Stream.Last < p.sent {
					return fmt.Errorf("%s is at %d, the stream at %d of %d", row.Name, row.Committed, s.Stream.Last, p.sent)
				}
			case row.Healthy || row.LagEvents == 0:
				return fmt.Errorf("healthy: %t, lag %d", row.Healthy, row.LagEvents)
			case lacks(row.Error, words) != "":
				return fmt.Errorf("it says: %s", row.Error)
			case strings.Contains(row.Error, "\n"):
				p.t.Fatalf("more than one line: %q", row.Error)
			}
		}
		if n := p.metric(retries); n < before+attempts {
			return fmt.Errorf("%s is %v", retries, n)
		}
		return nil
	})
	if lag := p.metric(fmt.Sprintf("ribtap_sink_lag_events{sink=%q}", sink)); lag == 0 {
		p.t.Errorf("%s has no lag in the metrics", sink)
	}
	p.shows(words...)
	p.says(words...)
}

// shows checks that `ribtap status` has all the words.
func (p *patient) shows(words ...string) {
	p.t.Helper()
	out, err := command(p.t, p.dir, "status", "--url", p.http).CombinedOutput()
	if err != nil || lacks(string(out), words) != "" {
		p.t.Errorf("ribtap status lacks some of %q: %v\n%s", words, err, out)
	}
}

// says checks that exactly one line of the log since the last call has all the
// words.
func (p *patient) says(words ...string) {
	p.t.Helper()
	p.mu.Lock()
	text := p.words.String()[p.heard:]
	p.mu.Unlock()
	p.heard += len(text)
	p.hasLine(text, words...)
}

// hasLine checks that exactly one line of a log has all the words.
func (p *patient) hasLine(text string, words ...string) {
	p.t.Helper()
	var with []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "time=") && lacks(line, words) == "" {
			with = append(with, line)
		}
	}
	if len(with) != 1 {
		p.t.Errorf("%d lines with %q, want 1:\n%s", len(with), words, text)
		return
	}
	p.t.Logf("%s", strings.TrimSpace(with[0]))
}

// lacks returns the first word that a text has not.
func lacks(text string, words []string) string {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return w
		}
	}
	return ""
}

// recovers waits until every sink has everything, and checks that the daemon says
// that the one is well again.
func (p *patient) recovers(sink string) {
	p.t.Helper()
	p.settle(p.sent, limit)
	await(p.t, sink+" to be healthy", 10*time.Second, func() error {
		s, err := p.status()
		for _, row := range s.Sinks {
			if row.Name == sink && (!row.Healthy || row.Error != "") {
				return fmt.Errorf("it says: %s", row.Error)
			}
		}
		return err
	})
	p.says("a sink is well again", "sink="+sink)
}

// metric is the value of a metric; 0 if it is not there.
func (p *patient) metric(name string) float64 {
	p.t.Helper()
	resp, err := http.Get("http://" + p.http + "/metrics")
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				p.t.Fatal(err)
			}
			return v
		}
	}
	return 0
}

// admin runs statements in a database.
func admin(t *testing.T, dsn string, statements ...string) {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}
