//go:build integration

package postgres_test

import (
	"context"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/history/historytest"
	"github.com/ribtap/ribtap/migrations"
	"github.com/ribtap/ribtap/sinks/postgres"
	"github.com/ribtap/ribtap/sinks/postgres/postgrestest"
)

// From empty and again; and by many at the same time, of whom one takes a step.
func TestMigrate(t *testing.T) {
	want, err := migrations.Postgres()
	if err != nil {
		t.Fatal(err)
	}
	dsn := postgrestest.Start(t)
	ctx := context.Background()
	taken := make([]int, 6)
	var wait sync.WaitGroup
	for i := range taken {
		wait.Go(func() {
			steps, err := postgres.Migrate(ctx, dsn)
			if err != nil {
				t.Error(err)
			}
			taken[i] = len(steps)
		})
	}
	wait.Wait()
	sum := 0
	for _, n := range taken {
		sum += n
	}
	if sum != len(want) {
		t.Errorf("%v steps were taken, want %d", taken, len(want))
	}
	s := storeAt(t, dsn)
	s.want("SELECT version, name FROM schema_migration", "1|history")
	s.write(historytest.PeerUp(event.AdjRIBInPre))
	s.exec("INSERT INTO schema_migration VALUES (99, 'later')")
	if _, err := postgres.Migrate(ctx, dsn); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("a newer schema: %v", err)
	}
}

// viewColumns are those of SQLite's views (sinks/sqlite/views_test.go); nlri is
// PostgreSQL's alone.
func TestViewColumns(t *testing.T) {
	s := newStore(t)
	var names []string
	for view, columns := range s.columns() {
		names = append(names, view)
		for _, c := range columns {
			want := map[string]string{
				"sequence": "int8", "received_at": "timestamptz", "observed_at": "timestamptz", "since": "timestamptz", "prefix": "cidr",
				"router_address": "inet", "peer_address": "inet", "peer_bgp_id": "inet", "local_address": "inet", "peer_asn": "int8",
				"path_id": "int8", "changed": "bool", "inferred": "bool", "atomic_aggregate": "bool", "value": "numeric", "lost": "numeric",
				"raw": "bytea", "sent_open": "bytea", "received_open": "bytea", "med": "int8", "local_pref": "int8", "origin_as": "int8",
			}[c.name]
			if want != "" && c.typ != want {
				t.Errorf("%s.%s is %s, want %s", view, c.name, c.typ, want)
			}
		}
	}
	if len(names) != 11 {
		t.Errorf("views: %v", names)
	}
	list := func(q string) string { return strings.Join(s.lines(q), " ") }
	if a, b := list("SELECT attname FROM pg_attribute WHERE attrelid = 'routes'::regclass AND attnum > 0 ORDER BY attnum"),
		list("SELECT column_name FROM information_schema.columns WHERE table_name = 'routes' ORDER BY ordinal_position"); a != b || !strings.HasSuffix(a, " rpki nlri") {
		t.Errorf("routes: %s", a)
	}
}

// Each thing that may be wrong at the start is one line that says what to do,
// without the password.
func TestOpenErrors(t *testing.T) {
	server := postgrestest.StartServer(t)
	dsn := server.Database(t)
	change := func(f func(u *url.URL, q url.Values)) string {
		u, err := url.Parse(dsn)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		f(u, q)
		u.RawQuery = q.Encode()
		return u.String()
	}
	s := &store{tb: t, dsn: dsn}
	s.exec("CREATE ROLE nobody LOGIN PASSWORD 'right'")
	server.RequirePassword(t, "nobody")
	for name, c := range map[string]struct {
		dsn    string
		want   []string
		reason string
	}{
		"password": {change(func(u *url.URL, _ url.Values) { u.User = url.UserPassword("nobody", "hunter2") }), []string{"refuses user", "password"}, "auth"},
		"user":     {change(func(u *url.URL, _ url.Values) { u.User = url.UserPassword("nemo", "hunter2") }), []string{"nemo", "does not exist"}, "auth"},
		"database": {change(func(u *url.URL, _ url.Values) { u.Path = "/nowhere" }), []string{"nowhere", "createdb"}, "no-database"},
		"server":   {change(func(_ *url.URL, q url.Values) { q.Set("host", "/nonexistent") }), []string{"cannot connect to /nonexistent"}, "network"},
		"port": {
			change(func(u *url.URL, q url.Values) { u.Host = "127.0.0.1:1"; q.Del("host"); q.Del("port") }),
			[]string{"cannot connect to 127.0.0.1:1", "refused"},
			"network",
		},
		"permission": {change(func(u *url.URL, _ url.Values) { u.User = url.UserPassword("nobody", "right") }), []string{"permission denied", "ribtap migrate"}, "permission"},
	} {
		t.Run(name, func(t *testing.T) {
			err := newSink(t, c.dsn).Open(context.Background())
			if err == nil {
				t.Fatal("no error")
			}
			text := err.Error()
			for _, w := range c.want {
				if !strings.Contains(text, w) {
					t.Errorf("%q is not in: %s", w, text)
				}
			}
			if strings.Contains(text, "\n") || strings.Contains(text, "hunter2") || !strings.HasPrefix(text, "postgres: open: ") {
				t.Errorf("not one clean line: %q", text)
			}
			if r, ok := err.(interface{ RetryReason() string }); !ok || r.RetryReason() != c.reason {
				t.Errorf("reason of %v", err)
			}
		})
	}
}

// roles is what docs/operations.md tells an administrator to run.
const roles = `
CREATE ROLE ribtap_writer LOGIN;
CREATE ROLE ribtap_reader LOGIN;
GRANT USAGE ON SCHEMA public TO ribtap_writer, ribtap_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO ribtap_writer, ribtap_reader;
GRANT INSERT, UPDATE, DELETE ON collector, cause, rib_name, family, router, peer, rib, speaker, attr, route_change, route_base,
  horizon, route, peer_event, router_event, peer_stat, gap, import, anomaly, kafka_partition, kafka_sequence TO ribtap_writer;
GRANT EXECUTE ON FUNCTION add_partition(date), detach_partition(date), drop_partitions() TO ribtap_writer;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO ribtap_writer, ribtap_reader;
`

// A writer without a right to the schema writes, makes and drops partitions; a
// reader reads and nothing else.
func TestRoles(t *testing.T) {
	server := postgrestest.StartServer(t)
	dsn := server.Database(t)
	if _, err := postgres.Migrate(context.Background(), dsn); err != nil {
		t.Fatal(err)
	}
	owner := &store{tb: t, dsn: dsn}
	owner.exec("REVOKE ALL ON SCHEMA public FROM PUBLIC")
	linesOf(t, owner.db(), roles+"; SELECT 1")
	as := func(role string) string { return strings.Replace(dsn, "//ribtap:", "//"+role+":", 1) }
	s := storeAt(t, as("ribtap_writer"))
	s.write(historytest.Scenario(1)...)
	if err := newSink(t, s.dsn, func(c *postgres.Config) { c.Retention = day }).Retain(context.Background(), t0.Std().Add(3*day)); err != nil {
		t.Fatal(err)
	}
	var c topic
	c.add("rt2", historytest.Scenario(1)...)
	if err := c.write(openPartition(t, newPartitions(t, as("ribtap_writer")), 0), 0, len(c.events)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.db().Exec(context.Background(), "CREATE TABLE mine ()"); err == nil {
		t.Error("the writer makes tables")
	}
	r := &store{tb: t, dsn: as("ribtap_reader")}
	for view := range owner.columns() {
		r.lines("SELECT * FROM " + view)
	}
	if n := r.lines("SELECT count(*) > 0 FROM routes_at('infinity')"); n[0] != "t" {
		t.Error("the reader sees nothing")
	}
	for _, q := range []string{"DELETE FROM route", "SELECT add_partition('2030-01-01')", "SELECT drop_partitions()", "INSERT INTO gap SELECT * FROM gap"} {
		if _, err := r.db().Exec(context.Background(), q); err == nil {
			t.Errorf("the reader may %s", q)
		}
	}
}

const day = 24 * time.Hour

// A question about prefixes is a search of an index in every partition.
func TestContainmentUsesTheIndex(t *testing.T) {
	s := lookingGlass(t)
	// Partitions of a test are too small to be worth an index; a scan that is left
	// now is one that no index could take the place of.
	s.exec("SET enable_seqscan = off")
	for _, q := range []string{
		"SELECT * FROM route_history WHERE prefix = '10.1.0.0/16'",
		"SELECT * FROM route_history WHERE prefix <<= '10.0.0.0/14'",
		"SELECT * FROM route_history WHERE prefix = ANY (covering('10.1.2.3'))",
		"SELECT * FROM routes WHERE prefix = '10.1.0.0/16'",
		"SELECT * FROM routes WHERE prefix <<= '10.0.0.0/14'",
		"SELECT * FROM routes WHERE prefix <<= '2001:db8::/44'",
		"SELECT * FROM routes WHERE prefix = ANY (covering('10.1.2.3'))",
		"SELECT * FROM routes_at('2025-06-20') WHERE prefix = '10.1.0.0/16'",
		"SELECT * FROM routes_at('2025-06-20') WHERE prefix <<= '10.0.0.0/14'",
		"SELECT * FROM routes_at('2025-06-20') WHERE prefix = ANY (covering('10.1.2.3')) AND peer_address = '198.51.100.1'",
	} {
		plan := s.lines("EXPLAIN " + q)
		for _, l := range plan {
			if m := regexp.MustCompile(`Seq Scan on route_?(change|base)?\b|using route_rib`).FindString(l); m != "" {
				t.Errorf("%s\n%s", q, l)
			}
		}
		if !strings.Contains(strings.Join(plan, "\n"), "Index Cond: ((((prefix)::inet") && !regexp.MustCompile(`Index Cond: \(+prefix\)::inet`).MatchString(strings.Join(plan, "\n")) {
			t.Errorf("%s\n%s", q, strings.Join(plan, "\n"))
		}
	}
	s.want("SELECT covering('192.0.2.128/2')", "{0.0.0.0/0,128.0.0.0/1,192.0.0.0/2}")
	s.want("SELECT array_length(covering('2001:db8::1'), 1), (covering('2001:db8::1'))[33]", "129|2001:db8::/32")
}
