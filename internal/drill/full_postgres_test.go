//go:build drill

package drill

import (
	"net/url"
	"strings"
	"testing"

	"github.com/ribtap/ribtap/sinks/postgres/postgrestest"
)

// TestPostgresDiskFull: a database whose disk is full lags, and has everything
// once there is room.
func TestPostgresDiskFull(t *testing.T) {
	server := postgrestest.StartServer(t)
	dsn := server.Database(t)
	disk := smallDisk(t, "40")
	if err := server.Own(disk); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	admin(t, strings.Replace(dsn, u.Path, "/postgres", 1), "CREATE TABLESPACE small LOCATION '"+disk+"'",
		"ALTER DATABASE "+u.Path[1:]+" SET TABLESPACE small")
	p := newPatient(t, "RIBTAP_SINKS_POSTGRES_DSN="+dsn)
	p.settle(p.sent, limit)
	release := fill(t, disk)
	p.speak(3000)
	p.ails("postgres", "disk-full", "the server's disk is full", "No space left on device", "make room there")
	release()
	p.recovers("postgres")
	p.stop()
	agreePostgres(t, p.dir, dsn)
}
