package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/migrations"
)

// oldest is the oldest server that has UNIQUE NULLS NOT DISTINCT.
const oldest = 150000

// parseDSN reads a DSN; its error does not show a password.
func parseDSN(dsn string) (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("postgres: DSN: %s", oneLine(err))
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "ribtap"
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 10 * time.Second
	}
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 4,
	}}
	cfg.DialFunc = dialer.DialContext
	return cfg, nil
}

// connect makes a connection and looks at the server's version.
func connect(ctx context.Context, cfg *pgx.ConnConfig) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	var version int
	err = conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&version)
	if err == nil && version < oldest {
		err = fmt.Errorf("the server is PostgreSQL %d, 15 or newer is needed", version/10000)
	}
	if err != nil {
		return nil, errors.Join(err, hangUp(conn))
	}
	return conn, nil
}

// hangUp closes a connection whatever state it is in, without waiting for a
// server that does not answer.
func hangUp(conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	// An error of the good-bye says nothing about what was done before.
	_ = conn.Close(ctx)
	return nil
}

// Migrate brings the schema of the database up to date and returns the steps
// that it took. Any number of processes may call it at the same time. The error
// is one line that says what to do.
func Migrate(ctx context.Context, dsn string) ([]migrations.Migration, error) {
	cfg, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	conn, err := connect(ctx, cfg)
	if err != nil {
		return nil, failed("migrate", explain(&cfg.Config, err))
	}
	steps, err := migrate(ctx, conn)
	return steps, errors.Join(failed("migrate", explainOr(&cfg.Config, err)), hangUp(conn))
}

func explainOr(cfg *pgconn.Config, err error) error {
	if err == nil {
		return nil
	}
	return explain(cfg, err)
}

// migrate applies the steps that the database has not, each in a transaction.
func migrate(ctx context.Context, conn *pgx.Conn) (done []migrations.Migration, err error) {
	steps, err := migrations.Postgres()
	if err != nil {
		return nil, err
	}
	version, err := schemaVersion(ctx, conn)
	if err != nil {
		return nil, err
	}
	if version > len(steps) {
		return nil, fmt.Errorf("the schema's version %d is newer than this program's %d", version, len(steps))
	}
	for _, step := range steps[version:] {
		took, err := apply(ctx, conn, step)
		if err != nil {
			return done, fmt.Errorf("step %d (%s): %w", step.Version, step.Name, err)
		}
		if took {
			done = append(done, step)
		}
	}
	return done, nil
}

// schemaVersion is the number of steps that were taken.
func schemaVersion(ctx context.Context, conn *pgx.Conn) (version int, err error) {
	var there bool
	err = conn.QueryRow(ctx, "SELECT to_regclass('schema_migration') IS NOT NULL").Scan(&there)
	if err == nil && there {
		err = conn.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM schema_migration").Scan(&version)
	}
	return version, err
}

// apply takes one step, unless another process has taken it meanwhile.
func apply(ctx context.Context, conn *pgx.Conn, step migrations.Migration) (took bool, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtext('ribtap migrations'))"); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "CREATE TABLE IF NOT EXISTS schema_migration "+
			"(version integer PRIMARY KEY, name text NOT NULL, applied timestamptz NOT NULL DEFAULT now())")
		if err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, "INSERT INTO schema_migration (version, name) VALUES ($1, $2) ON CONFLICT DO NOTHING", step.Version, step.Name)
		if took = tag.RowsAffected() == 1; err != nil || !took {
			return err
		}
		// Without parameters a string may hold many statements.
		return conn.PgConn().Exec(ctx, step.SQL).Close()
	})
	return took, err
}

// nameNumbers writes down the names of the numbers that rows carry, so that
// the views can show them. It writes nothing that is there.
func nameNumbers(ctx context.Context, conn *pgx.Conn) error {
	var causes, views, families numbered
	for c := event.CauseUpdate; c <= event.CauseCorrupt; c++ {
		causes.add(int32(c), c.String())
	}
	for v := event.AdjRIBInPre; v <= event.AdjRIBOutPost; v++ {
		views.add(int32(v), v.String())
	}
	for _, f := range bgp.Families() {
		families.add(int32(f), f.String())
	}
	for table, n := range map[string]*numbered{"cause": &causes, "rib_name": &views, "family": &families} {
		_, err := conn.Exec(ctx, "INSERT INTO "+table+" AS t (id, name) SELECT * FROM unnest($1::int[], $2::text[]) AS n (id, name) "+
			"WHERE NOT EXISTS (SELECT FROM "+table+" AS o WHERE o.id = n.id AND o.name = n.name) "+
			"ORDER BY 1 ON CONFLICT (id) DO UPDATE SET name = excluded.name", n.ids, n.names)
		if err != nil {
			return err
		}
	}
	return nil
}

// numbered are numbers and their names.
type numbered struct {
	ids   []int32
	names []string
}

func (n *numbered) add(id int32, name string) {
	n.ids, n.names = append(n.ids, id), append(n.names, name)
}

// settings are the session's. Merging a batch into a large table is to use the
// table's index whatever the planner thinks of a temporary table that it knows
// nothing about; and a server must not hold locks for a client that was frozen.
var settings = []string{
	"SET TimeZone = 'UTC'",
	"SET jit = off",
	"SET enable_hashjoin = off",
	"SET enable_mergejoin = off",
	"SET idle_in_transaction_session_timeout = '60s'",
	"SET tcp_keepalives_idle = 15",
	"SET tcp_keepalives_interval = 5",
	"SET tcp_keepalives_count = 4",
}

// temporaries are the tables through which rows are merged: they belong to the
// connection and are empty between transactions.
var temporaries = []string{
	"CREATE TEMPORARY TABLE stage_attr (LIKE attr INCLUDING DEFAULTS) ON COMMIT DELETE ROWS",
	"CREATE TEMPORARY TABLE stage_route (LIKE route) ON COMMIT DELETE ROWS",
}

// prepareSession readies a connection for writing.
func prepareSession(ctx context.Context, conn *pgx.Conn) error {
	script := strings.Join(settings, ";\n") + ";\n" + strings.Join(temporaries, ";\n")
	return conn.PgConn().Exec(ctx, script).Close()
}

// at is a column of time; 0 is null.
func at(us int64) any {
	if us == 0 {
		return nil
	}
	return time.UnixMicro(us).UTC()
}

// Ping connects to a database, and reports its version or, in one line, what is wrong.
func Ping(ctx context.Context, dsn string) (version string, err error) {
	cfg, err := parseDSN(dsn)
	if err != nil {
		return "", err
	}
	conn, err := connect(ctx, cfg)
	if err != nil {
		return "", explain(&cfg.Config, err)
	}
	err = conn.QueryRow(ctx, "SHOW server_version").Scan(&version)
	return version, errors.Join(err, hangUp(conn))
}
