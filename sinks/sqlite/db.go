package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/migrations"
)

const (
	driverName = "sqlite"
	// pageSize is a compromise: larger pages load a table faster, smaller ones
	// write less when single routes change all over it.
	pageSize = 4096
	// checkpointPages is how much WAL, in pages, a commit leaves before it
	// copies it into the file: small enough for a stall of milliseconds.
	checkpointPages = 4096
	// walKept is how many octets of WAL file stay allocated.
	walKept = 64 << 20
	// busyTimeout is how long to wait for another process's lock, in
	// milliseconds. Readers never hold one that a writer waits for.
	busyTimeout = 10_000
)

// dataSource makes the driver's name of a file; pragmas are run on connecting.
func dataSource(path, mode string, pragmas ...string) string {
	q := url.Values{"mode": {mode}, "_pragma": pragmas}
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}
	return u.String()
}

// openWriter opens the file for writing, makes it if there is none, and brings
// its schema up to date.
func openWriter(ctx context.Context, cfg *Config) (*sql.DB, *sql.Conn, error) {
	db, err := sql.Open(driverName, dataSource(cfg.Path, "rwc",
		fmt.Sprintf("busy_timeout(%d)", busyTimeout),
		fmt.Sprintf("page_size(%d)", pageSize),
		"journal_mode(wal)",
		"synchronous(normal)",
		fmt.Sprintf("cache_size(-%d)", cfg.PageCache>>10),
		fmt.Sprintf("wal_autocheckpoint(%d)", checkpointPages),
		fmt.Sprintf("journal_size_limit(%d)", walKept),
		"temp_store(memory)",
	))
	if err != nil {
		return nil, nil, fmt.Errorf("sqlite: open %s: %w", cfg.Path, err)
	}
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(ctx)
	if err == nil {
		if err = migrate(ctx, conn); err == nil {
			err = nameNumbers(ctx, conn)
		}
		if err != nil {
			err = errors.Join(err, conn.Close())
		}
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("sqlite: open %s: %w", cfg.Path, err), db.Close())
	}
	return db, conn, nil
}

// migrate applies the steps that the file has not, each in a transaction.
func migrate(ctx context.Context, conn *sql.Conn) error {
	steps, err := migrations.SQLite()
	if err != nil {
		return err
	}
	version, err := schemaVersion(ctx, conn)
	if err != nil {
		return err
	}
	if version > len(steps) {
		return fmt.Errorf("schema version %d is newer than this program's %d", version, len(steps))
	}
	for _, step := range steps[version:] {
		script := fmt.Sprintf("BEGIN IMMEDIATE;\n%s\nPRAGMA user_version = %d;\nCOMMIT;", step.SQL, step.Version)
		if _, err := conn.ExecContext(ctx, script); err != nil {
			_, rollback := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
			return fmt.Errorf("migration %d (%s): %w", step.Version, step.Name, errors.Join(err, rollback))
		}
	}
	return nil
}

// querier is a connection or a pool of them.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func schemaVersion(ctx context.Context, q querier) (version int, err error) {
	err = q.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
	return version, err
}

// nameNumbers writes down the names of the numbers that rows carry, so that
// the views can show them.
func nameNumbers(ctx context.Context, conn *sql.Conn) error {
	var script strings.Builder
	row := func(table string, id int, name string) {
		fmt.Fprintf(&script, "INSERT OR REPLACE INTO %s VALUES (%d, '%s');\n", table, id, name)
	}
	script.WriteString("BEGIN IMMEDIATE;\n")
	for c := event.CauseUpdate; c <= event.CauseCorrupt; c++ {
		row("cause", int(c), c.String())
	}
	for v := event.AdjRIBInPre; v <= event.AdjRIBOutPost; v++ {
		row("rib_name", int(v), v.String())
	}
	for _, f := range bgp.Families() {
		row("family", int(f), f.String())
	}
	script.WriteString("COMMIT;")
	_, err := conn.ExecContext(ctx, script.String())
	return err
}

// openReader opens an existing file for reading.
func openReader(path string) (*sql.DB, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("sqlite: no store: %w", err)
	}
	db, err := sql.Open(driverName, dataSource(path, "ro",
		fmt.Sprintf("busy_timeout(%d)", busyTimeout),
		"query_only(1)",
		"cache_size(-16384)",
		"temp_store(memory)",
	))
	if err != nil {
		return nil, fmt.Errorf("sqlite: open %s: %w", path, err)
	}
	return db, nil
}
