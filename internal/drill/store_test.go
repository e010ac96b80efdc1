//go:build drill

package drill

import (
	"database/sql"
	"encoding/csv"
	"hash/fnv"
	"io"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // the driver, to read the store as any other program would

	"github.com/ribtap/ribtap/internal/load"
)

// openStore opens the history as any other program would, for reading.
func openStore(t *testing.T, dataDir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dataDir, "history.db")+"?mode=ro&_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// integer is the value of a query that has one.
func integer(t *testing.T, db *sql.DB, query string, args ...any) (n int64) {
	t.Helper()
	if err := db.QueryRow(query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// checkIntegrity runs SQLite's own check of the file.
func checkIntegrity(t *testing.T, db *sql.DB) {
	t.Helper()
	var word string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&word); err != nil || word != "ok" {
		t.Fatalf("integrity_check: %s, %v", word, err)
	}
}

// digest is the number of lines and the sum of their hashes: equal for equal
// sets of lines in any order.
type digest struct {
	lines int
	sum   uint64
}

func (d *digest) add(line string) {
	h := fnv.New64a()
	_, _ = io.WriteString(h, line)
	d.lines++
	d.sum += h.Sum64()
}

// digestOf is that of a table's lines.
func digestOf(table *load.Table) (d digest) {
	for i := range table.Len() {
		if line := table.Line(i); line != "" {
			d.add(line)
		}
	}
	return d
}

// routesDigest is that of what `ribtap routes` lists.
func routesDigest(t *testing.T, dataDir string, args ...string) (d digest, example string) {
	t.Helper()
	cmd := command(t, dataDir, append([]string{"routes", "-o", "csv"}, args...)...)
	var words strings.Builder
	cmd.Stderr = &words
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	rows := csv.NewReader(out)
	rows.ReuseRecord = true
	var columns []int
	for {
		row, err := rows.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if columns == nil {
			columns = indexes(t, row, "prefix", "next_hop", "origin", "as_path", "med", "communities", "large_communities")
			continue
		}
		var line []string
		for _, c := range columns {
			line = append(line, row[c])
		}
		example = strings.Join(line, "|")
		d.add(example)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("ribtap routes: %v: %s", err, words.String())
	}
	return d, example
}

// indexes finds columns by name.
func indexes(t *testing.T, header []string, names ...string) (out []int) {
	t.Helper()
	at := map[string]int{}
	for i, name := range header {
		at[name] = i
	}
	for _, name := range names {
		i, ok := at[name]
		if !ok {
			t.Fatalf("no column %s in %v", name, header)
		}
		out = append(out, i)
	}
	return out
}
