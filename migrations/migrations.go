// Package migrations holds the SQL that makes and changes the stores' schemas:
// one folder for each dialect, one numbered file for each step. Files leave,
// nothing enters; the package refuses to know drivers and connections. A file
// that was released is never edited: a change is a new number.
package migrations

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

//go:embed sqlite/*.sql postgres/*.sql
var files embed.FS

// Migration is one step. It is applied in a transaction of its own, after all
// lower versions.
type Migration struct {
	Version int    // from 1, without holes
	Name    string // what the file name says behind the number
	SQL     string // one or more statements
}

// SQLite returns the steps of the SQLite store in order.
func SQLite() ([]Migration, error) { return load(files, "sqlite") }

// Postgres returns the steps of the PostgreSQL store in order.
func Postgres() ([]Migration, error) { return load(files, "postgres") }

// load reads NNNN_name.sql files of a folder.
func load(fsys fs.FS, dir string) ([]Migration, error) {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	var steps []Migration
	for _, e := range entries {
		number, name, ok := strings.Cut(strings.TrimSuffix(e.Name(), ".sql"), "_")
		version, err := strconv.Atoi(number)
		if !ok || err != nil || path.Ext(e.Name()) != ".sql" {
			return nil, fmt.Errorf("migrations: %s/%s is not named NNNN_name.sql", dir, e.Name())
		}
		text, err := fs.ReadFile(fsys, path.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("migrations: %w", err)
		}
		steps = append(steps, Migration{Version: version, Name: name, SQL: string(text)})
	}
	slices.SortFunc(steps, func(a, b Migration) int { return a.Version - b.Version })
	for i, s := range steps {
		if s.Version != i+1 {
			return nil, fmt.Errorf("migrations: %s has no step %d", dir, i+1)
		}
	}
	return steps, nil
}
