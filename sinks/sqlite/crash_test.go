package sqlite_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/sinks/sqlite"
)

// writerEnv names the store that the test binary writes when it is started as
// a writer of its own.
const writerEnv = "RIBTAP_TEST_SQLITE_WRITER"

func TestMain(m *testing.M) {
	if path := os.Getenv(writerEnv); path != "" {
		if err := writeForEver(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// crashEvent is the event of a sequence in the crash tests: every event brings
// one row, an NLRI of its own every second time, and withdraws what the one
// five before it announced every third time.
func crashEvent(seq uint64) event.Event {
	p := func(n uint64) string { return fmt.Sprintf("10.%d.%d.0/24", n/256%256, n%256) }
	if seq%3 == 0 && seq > 5 {
		return routeEvent(seq, withdraw(prefixes(p((seq-5)/2))...))
	}
	return routeEvent(seq, announce(attributes([]uint32{65001, uint32(seq%50) + 1}), prefixes(p(seq/2))...))
}

func crashBatch(first uint64, n int) []event.Event {
	batch := make([]event.Event, n)
	for i := range batch {
		batch[i] = crashEvent(first + uint64(i))
	}
	return batch
}

// writeForEver writes a batch for each octet on standard input and says how far
// the store is, until the process is killed.
func writeForEver(path string) error {
	cfg := sqlite.DefaultConfig()
	cfg.Path, cfg.Collector = path, "rt1"
	s, err := sqlite.New(cfg, quiet(), prometheus.NewRegistry())
	if err != nil {
		return err
	}
	if err := s.Open(context.Background()); err != nil {
		return err
	}
	for i := 0; ; i++ {
		if _, err := os.Stdin.Read(make([]byte, 1)); err != nil {
			return err
		}
		if err := s.Write(context.Background(), crashBatch(s.Position()+1, 1+i%37)); err != nil {
			return err
		}
		fmt.Println(s.Position())
	}
}

// whole checks that the store has each event up to its position once, none
// behind, and the current routes that follow from them.
func whole(t *testing.T, s *store) (position uint64) {
	t.Helper()
	s.want("PRAGMA integrity_check", "ok")
	s.want("SELECT count(*) FROM anomalies", "0")
	db := s.db()
	if err := db.QueryRow("SELECT sequence FROM position").Scan(&position); err != nil {
		t.Fatal(err)
	}
	same(t, lines(t, db, "SELECT count(*), count(DISTINCT sequence), coalesce(max(sequence), 0) FROM route_history"),
		[]string{fmt.Sprintf("%d|%d|%d", position, position, position)})
	same(t, lines(t, db, "SELECT count(*), count(DISTINCT prefix) FROM nlri"), lines(t, db, "SELECT count(DISTINCT prefix), count(DISTINCT prefix) FROM nlri"))
	// The last change of each route decides whether it is there.
	same(t, lines(t, db, "SELECT sequence, prefix, as_path FROM routes ORDER BY sequence"),
		lines(t, db, `SELECT sequence, prefix, as_path FROM route_history AS h WHERE action = 'announce' AND sequence =
			(SELECT max(c.id >> 16) FROM nlri AS n JOIN route_change AS c ON c.nlri = n.id WHERE n.prefix = h.prefix) ORDER BY sequence`))
	return position
}

// A writer is killed again and again while this process reads.
func TestKilledWriter(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "history.db")
	s := &store{tb: t, path: path}
	said := uint64(0)
	for round := range 5 {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), writerEnv+"="+path)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Some batches ahead, so that it writes while this process reads, and
		// when it is killed.
		ahead := func(n int) {
			if _, err := in.Write(make([]byte, n)); err != nil {
				t.Fatal(err)
			}
		}
		ahead(5)
		lines := bufio.NewScanner(out)
		for i := 0; i < 30+round && lines.Scan(); i++ {
			if _, err := fmt.Sscan(lines.Text(), &said); err != nil {
				t.Fatal(err)
			}
			ahead(1)
			readWhileWritten(t, path, said)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
			if _, err := fmt.Sscan(lines.Text(), &said); err != nil {
				break // a line that the kill cut off
			}
		}
		_ = cmd.Wait() // it was killed
		if position := whole(t, s); position < said {
			t.Fatalf("position %d, but the writer had said %d", position, said)
		}
	}
}

// readWhileWritten reads in one state of the store what another process writes.
func readWhileWritten(t *testing.T, path string, said uint64) {
	t.Helper()
	r, err := sqlite.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	before, err := r.Position(context.Background())
	if err != nil || before < said {
		t.Fatalf("position %d behind %d, %v", before, said, err)
	}
	n := uint64(0)
	for c, err := range r.History(context.Background(), sqlite.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; c.Sequence != n {
			t.Fatalf("row %d has sequence %d", n, c.Sequence)
		}
	}
	if n < before {
		t.Fatalf("%d rows after position %d", n, before)
	}
}

// The power goes at any octet of the file that SQLite writes ahead: what is
// left is the store as it was after some batch, and goes on from there.
func TestCutWriteAheadLog(t *testing.T) {
	s := newStore(t)
	s.write(crashBatch(1, 20)...)
	if err := s.sink.Close(); err != nil {
		t.Fatal(err)
	}
	s.sink = openSink(t, s.path)
	for i := range 12 {
		s.write(crashBatch(s.seq+1, 5+i)...)
	}
	main, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	wal, err := os.ReadFile(s.path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	const stride = 3*4120 + 1357 // pages have 4,096 octets, and 24 of header
	positions := map[uint64]bool{}
	for cut := 0; cut <= len(wal); cut += stride {
		path := filepath.Join(t.TempDir(), "cut.db")
		if err := os.WriteFile(path, main, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+"-wal", wal[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		again := &store{tb: t, path: path, sink: openSink(t, path)}
		again.seq = whole(t, again)
		if again.seq != again.sink.Position() {
			t.Fatalf("cut at %d: position %d in the file, %d in the sink", cut, again.seq, again.sink.Position())
		}
		positions[again.seq] = true
		again.write(crashBatch(again.seq+1, int(s.seq-again.seq)+3)...)
		if got := whole(t, again); got != s.seq+3 {
			t.Fatalf("cut at %d: position %d at the end", cut, got)
		}
		if err := again.sink.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(positions) < 10 || !positions[20] {
		t.Errorf("the cuts left positions %v", positions)
	}
}

// A disk that fills up in the middle of a batch leaves the store as it was; the
// same batch counts once when there is room again.
func TestFullDisk(t *testing.T) {
	s := newStore(t)
	s.write(crashBatch(1, 10)...)
	limit := func(pages int) {
		if err := s.sink.LimitPages(pages); err != nil {
			t.Fatal(err)
		}
	}
	limit(1) // not below what there is
	batch := crashBatch(11, 5000)
	err := s.sink.Write(context.Background(), batch)
	if err == nil || !strings.Contains(err.Error(), "full") {
		t.Fatalf("got %v", err)
	}
	if s.sink.Position() != 10 || whole(t, s) != 10 {
		t.Fatalf("position %d", s.sink.Position())
	}
	limit(1 << 30)
	if err := s.sink.Write(context.Background(), batch); err != nil {
		t.Fatal(err)
	}
	if got := whole(t, s); got != 5010 {
		t.Errorf("position %d", got)
	}
}
