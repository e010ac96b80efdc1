package migrations

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestStepsAreNumberedFromOne(t *testing.T) {
	for dialect, f := range map[string]func() ([]Migration, error){"sqlite": SQLite, "postgres": Postgres} {
		steps, err := f()
		if err != nil {
			t.Fatal(err)
		}
		if len(steps) == 0 {
			t.Errorf("%s: no steps", dialect)
		}
		for i, s := range steps {
			if s.Version != i+1 || s.Name == "" || strings.TrimSpace(s.SQL) == "" {
				t.Errorf("%s, step %d: version %d, name %q, %d octets", dialect, i, s.Version, s.Name, len(s.SQL))
			}
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, files := range map[string][]string{
		"a hole":         {"d/0001_a.sql", "d/0003_b.sql"},
		"a double":       {"d/0001_a.sql", "d/01_b.sql"},
		"no number":      {"d/first_a.sql"},
		"no name":        {"d/0001.sql"},
		"not SQL":        {"d/0001_a.txt"},
		"no folder":      {"e/0001_a.sql"},
		"start above 1":  {"d/0002_a.sql"},
		"another suffix": {"d/0001_a.sql.bak"},
	} {
		t.Run(name, func(t *testing.T) {
			fsys := fstest.MapFS{}
			for _, f := range files {
				fsys[f] = &fstest.MapFile{Data: []byte("SELECT 1")}
			}
			if _, err := load(fsys, "d"); err == nil || !strings.HasPrefix(err.Error(), "migrations: ") {
				t.Errorf("got %v", err)
			}
		})
	}
}
