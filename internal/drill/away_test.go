//go:build drill

package drill

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ribtap/ribtap/sinks/postgres/postgrestest"
)

// TestPostgresAwayAtStart: a server that cannot be used when ribtap starts is a
// sink that lags, says why, and catches up once the server is put right. Where
// it never was of use, ribtap does not start.
func TestPostgresAwayAtStart(t *testing.T) {
	server := postgrestest.StartServer(t, "max_connections = 8", "superuser_reserved_connections = 0")
	root := server.Database(t)
	admin(t, root, "CREATE ROLE writer SUPERUSER LOGIN PASSWORD 'right'")
	server.RequirePassword(t, "writer")
	for _, tt := range []struct {
		name   string
		dsn    func(dsn *url.URL)
		hit    func(t *testing.T, dsn, name string)
		mend   func(t *testing.T, dsn, name string)
		reason string
		words  []string
	}{
		{
			name: "down",
			hit:  func(*testing.T, string, string) { server.Kill() },
			mend: func(t *testing.T, _, _ string) { server.Restart(t) }, reason: "network", words: []string{"cannot connect to"},
		},
		{
			name: "wrong password",
			dsn:  func(u *url.URL) { u.User = url.UserPassword("writer", "wrong") },
			mend: func(t *testing.T, dsn, _ string) { admin(t, dsn, "ALTER ROLE writer PASSWORD 'wrong'") }, reason: "auth",
			words: []string{`refuses user`, "writer", "password authentication failed", "check the user, the password and pg_hba.conf"},
		},
		{
			name: "no database",
			hit:  func(t *testing.T, _, name string) { admin(t, root, "DROP DATABASE "+name) },
			mend: func(t *testing.T, _, name string) { admin(t, root, "CREATE DATABASE "+name) }, reason: "no-database",
			words: []string{"does not exist", "create it with createdb"},
		},
		{
			name: "read-only",
			hit: func(t *testing.T, _, name string) {
				admin(t, root, "ALTER DATABASE "+name+" SET default_transaction_read_only = on")
			},
			mend: func(t *testing.T, _, name string) {
				admin(t, root, "ALTER DATABASE "+name+" RESET default_transaction_read_only")
			}, reason: "read-only",
			words: []string{"is read-only", "is it a standby?"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dsn := server.Database(t)
			dir := acquainted(t, "RIBTAP_SINKS_POSTGRES_DSN="+server.Database(t))
			u, err := url.Parse(dsn)
			if err != nil {
				t.Fatal(err)
			}
			if tt.dsn != nil {
				tt.dsn(u)
			}
			name := strings.TrimPrefix(u.Path, "/")
			if tt.hit != nil {
				tt.hit(t, dsn, name)
			}
			refuses(t, tt.words[0], "RIBTAP_SINKS_POSTGRES_DSN="+u.String())
			p := newPatientIn(t, dir, "RIBTAP_SINKS_POSTGRES_DSN="+u.String())
			if said := p.last(1 << 20); !strings.Contains(said, "NOT USABLE YET, tried again: postgres: open: ") {
				t.Errorf("the banner says nothing of it:\n%s", said)
			}
			p.ails("postgres", tt.reason, tt.words...)
			p.speak(100)
			tt.mend(t, dsn, name)
			p.recovers("postgres")
			p.stop()
			agreePostgres(t, p.dir, dsn)
		})
	}
	t.Run("no connections left", func(t *testing.T) {
		dsn := server.Database(t)
		dir := acquainted(t, "RIBTAP_SINKS_POSTGRES_DSN="+dsn)
		db, err := sql.Open("pgx", dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var all []*sql.Conn
		for err == nil {
			var c *sql.Conn
			if c, err = db.Conn(context.Background()); err == nil {
				all = append(all, c)
			}
		}
		p := newPatientIn(t, dir, "RIBTAP_SINKS_POSTGRES_DSN="+dsn)
		p.ails("postgres", "too-many-connections", "too many clients already")
		for _, c := range all {
			c.Close()
		}
		db.Close()
		p.recovers("postgres")
		p.stop()
		agreePostgres(t, p.dir, dsn)
	})
}

// TestFrozenAtStart: a server that does not answer at all does not keep ribtap
// from its routers.
func TestFrozenAtStart(t *testing.T) {
	server := postgrestest.StartServer(t)
	dsn := server.Database(t)
	dir := acquainted(t, "RIBTAP_SINKS_POSTGRES_DSN="+dsn)
	server.Signal(t, syscall.SIGSTOP)
	begin := time.Now()
	p := newPatientIn(t, dir, "RIBTAP_SINKS_POSTGRES_DSN="+dsn)
	if took := time.Since(begin); took > 15*time.Second { // that it took 5 s shows on a machine with time for it
		t.Errorf("it accepted sessions after %v", took)
	}
	p.hears(p.sent, limit)
	if said := p.last(1 << 20); !strings.Contains(said, "NOT USABLE YET, tried again: postgres: open: ") || !strings.Contains(said, "does not answer") {
		t.Errorf("the banner says nothing of it:\n%s", said)
	}
	server.Signal(t, syscall.SIGCONT)
	p.settle(p.sent, limit)
	p.stop()
	agreePostgres(t, p.dir, dsn)
}

// TestKnownStoreAwayAtStart: a database that had a part of the stream gets the
// rest, once, when it is away at a restart.
func TestKnownStoreAwayAtStart(t *testing.T) {
	server := postgrestest.StartServer(t)
	dsn := server.Database(t)
	dir := filepath.Join(t.TempDir(), "data")
	p := newPatientIn(t, dir, "RIBTAP_SINKS_POSTGRES_DSN="+dsn)
	p.settle(p.sent, limit)
	server.Kill()
	p.speak(50)
	p.ails("postgres", "network", "cannot connect to")
	_ = p.cmd.Process.Kill()
	<-p.ended
	p = newPatientIn(t, dir, "RIBTAP_SINKS_POSTGRES_DSN="+dsn)
	p.ails("postgres", "network", "cannot connect to")
	server.Restart(t)
	p.recovers("postgres")
	if s, err := p.status(); err != nil || s.Gaps != 0 {
		t.Errorf("%d gaps, %v", s.Gaps, err)
	}
	p.stop()
	agreePostgres(t, dir, dsn)
}

// TestStoreAheadAwayAtStart: a database that has events of an earlier stream, and
// is away when a new one begins, cannot take what has the same numbers: that is a
// gap in it, with its size; it takes all that follows.
func TestStoreAheadAwayAtStart(t *testing.T) {
	server := postgrestest.StartServer(t)
	for _, tt := range []struct {
		name         string
		before, then int
	}{{"new stream is shorter", 1000, 10}, {"new stream is longer", 10, 1000}} {
		t.Run(tt.name, func(t *testing.T) {
			dsn := server.Database(t)
			p := newPatient(t, "RIBTAP_SINKS_POSTGRES_DSN="+dsn)
			p.speak(tt.before)
			had := p.settle(p.sent, limit).Stream.Last
			p.stop()
			dir := acquainted(t, "RIBTAP_SINKS_POSTGRES_DSN="+server.Database(t))
			server.Kill()
			p = newPatientIn(t, dir, "RIBTAP_SINKS_POSTGRES_DSN="+dsn)
			p.speak(tt.then)
			p.ails("postgres", "network", "cannot connect to")
			lost := min(had, p.sent) + 1 // the end of the first session is an event, and so is the second start
			server.Restart(t)
			p.recovers("postgres")
			p.speak(100)
			at := p.settle(p.sent, limit).Stream.Last
			if n := p.metric(`ribtap_gaps_total{cause="corrupt"}`); n == 0 {
				t.Error("no gap in the metrics")
			}
			p.stop()
			pg, err := sql.Open("pgx", dsn)
			if err != nil {
				t.Fatal(err)
			}
			defer pg.Close()
			var first, is uint64
			if err := pg.QueryRow("SELECT sequence, lost FROM gaps WHERE detail LIKE 'while the store could not be reached%'").Scan(&first, &is); err != nil || is != lost {
				t.Errorf("%d events lost, want %d: %v", is, lost, err)
			}
			query := fmt.Sprint("SELECT sequence, position, prefix, action FROM route_history WHERE sequence >= ", first)
			one, two := digestRows(t, openStore(t, p.dir), query), digestRows(t, pg, strings.Replace(query, "prefix", "nlri", 1))
			if one != two || one.lines < 50 || at < first {
				t.Errorf("behind the gap SQLite has %d rows, PostgreSQL %d", one.lines, two.lines)
			}
		})
	}
}

// TestWrongForGood: what no server can put right ends the start, in one line.
func TestWrongForGood(t *testing.T) {
	refuses(t, "DSN", "RIBTAP_SINKS_POSTGRES_DSN=postgres://db:notaport/x")
	refuses(t, "nowhere.pem", "RIBTAP_SINKS_POSTGRES_DSN=postgres://db/x?sslmode=verify-full&sslrootcert=/nowhere.pem")
}

// refuses checks that ribtap does not start in a new directory, and says why in
// one line, before it listens.
func refuses(t *testing.T, want, env string) {
	t.Helper()
	cmd := command(t, filepath.Join(t.TempDir(), "data"), "run", "--bmp-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0")
	cmd.Env = append(cmd.Env, env)
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() == 0 || strings.Count(string(out), "\n") != 1 || !strings.Contains(string(out), want) {
		t.Errorf("%v, want an exit code and one line with %q:\n%s", err, want, out)
	}
	t.Logf("%s", out)
}
