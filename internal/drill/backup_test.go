//go:build drill

package drill

import (
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ribtap/ribtap/sinks/postgres/postgrestest"
)

// vault keeps and restores the state of a database behind the back of whoever
// writes there.
type vault struct {
	t           *testing.T
	name, maint string
}

func newVault(t *testing.T, dsn string) *vault {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return &vault{t, u.Path[1:], strings.Replace(dsn, u.Path, "/postgres", 1)}
}

// quiet runs statements while nobody is connected to the database.
func (v *vault) quiet(statements ...string) {
	v.t.Helper()
	admin(v.t, v.maint, "ALTER DATABASE "+v.name+" ALLOW_CONNECTIONS false",
		"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '"+v.name+"'")
	admin(v.t, v.maint, statements...)
}

func (v *vault) backUp() {
	v.t.Helper()
	v.quiet("CREATE DATABASE backup TEMPLATE "+v.name, "ALTER DATABASE "+v.name+" ALLOW_CONNECTIONS true")
}

func (v *vault) restore() {
	v.t.Helper()
	v.quiet("DROP DATABASE "+v.name, "ALTER DATABASE backup RENAME TO "+v.name)
}

// TestDatabaseFromBackup: a database that comes back with less than it had, from
// before a restart of ribtap, gets what it lacks out of the stream, once and
// without a restart; and so does an empty one in its place.
func TestDatabaseFromBackup(t *testing.T) {
	server := postgrestest.StartServer(t)
	dsn := server.Database(t)
	v := newVault(t, dsn)
	dir := filepath.Join(t.TempDir(), "data")
	p := newPatientIn(t, dir, "RIBTAP_SINKS_POSTGRES_DSN="+dsn)
	p.speak(2000)
	p.settle(p.sent, limit)
	v.backUp()
	p.speak(2000)
	p.settle(p.sent, limit)
	p.stop()
	p = newPatientIn(t, dir, "RIBTAP_SINKS_POSTGRES_DSN="+dsn)
	p.settle(0, limit)

	was := p.settle(0, limit).Stream.Last
	v.restore()
	p.speak(9000) // more than a batch
	p.settle(was+9000, limit)
	p.says("level=WARN", "the store lost what it had confirmed", fmt.Sprintf("was at %d", was), "it is filled in from the stream")

	v.quiet("DROP DATABASE "+v.name, "CREATE DATABASE "+v.name)
	p.speak(1)
	p.settle(was+9001, limit)
	p.says("level=WARN", "the store lost what it had confirmed", "it is at 0")
	if s, err := p.status(); err != nil || s.Gaps != 0 {
		t.Errorf("%d gaps, %v", s.Gaps, err)
	}
	p.stop()
	agreePostgres(t, dir, dsn)
	(&crashCheck{t: t, dir: dir}).atEnd()
}

// TestBackupTooOld: what a database lacks and the stream has no more is a gap, in
// the database and in the metrics.
func TestBackupTooOld(t *testing.T) {
	server := postgrestest.StartServer(t)
	dsn := server.Database(t)
	v := newVault(t, dsn)
	p := newPatient(t, "RIBTAP_SINKS_POSTGRES_DSN="+dsn, "RIBTAP_STREAM_MAX_SIZE=1MiB")
	kept := p.settle(p.sent, limit).Stream.Last
	v.backUp()
	for range 5 {
		p.speak(4000)
		p.settle(p.sent, limit)
	}
	s, err := p.status()
	if err != nil || s.Stream.First <= kept {
		t.Fatalf("the stream still begins at %d, %v", s.Stream.First, err)
	}
	v.restore()
	p.speak(10)
	p.settle(p.sent, limit)
	p.says("level=WARN", "the store lost what it had confirmed")
	if n := p.metric(`ribtap_gaps_total{cause="overflow"}`); n != 1 {
		t.Errorf("%v gaps in the metrics", n)
	}
	if s, err = p.status(); err != nil || s.Gaps != 1 {
		t.Errorf("%d gaps, %v", s.Gaps, err)
	}
	p.stop()
	pg, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Close()
	var lost, first, next uint64
	err = pg.QueryRow("SELECT lost, sequence, (SELECT min(sequence) FROM route_history WHERE sequence > $1) FROM gaps", kept).Scan(&lost, &first, &next)
	if err != nil || first-kept != lost || next <= first {
		t.Errorf("gap of %d up to %d, behind %d and before %d: %v", lost, first, kept, next, err)
	}
	lite := openStore(t, p.dir)
	query := fmt.Sprint("SELECT sequence, position, prefix, action FROM route_history WHERE sequence > ", first)
	if one, two := digestRows(t, lite, query), digestRows(t, pg, strings.Replace(query, "prefix", "nlri", 1)); one != two || one.lines == 0 {
		t.Errorf("behind the gap SQLite has %d rows, PostgreSQL %d", one.lines, two.lines)
	}
}
