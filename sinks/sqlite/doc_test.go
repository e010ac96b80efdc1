package sqlite_test

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the plans in docs/sql.md anew")

// TestDocumentedQueries runs every query of docs/sql.md and compares the plan
// that stands below it.
func TestDocumentedQueries(t *testing.T) {
	const path = "../../docs/sql.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	db := lookingGlass(t).db()
	n := 0
	block := regexp.MustCompile("(?s)```sql\n(.*?)```\n(?:\n```text\n(.*?)```\n)?")
	fresh := block.ReplaceAllStringFunc(string(text), func(s string) string {
		n++
		m := block.FindStringSubmatch(s)
		lines(t, db, m[1])
		want := shortPlan(plan(t, db, m[1]))
		if m[2] != want && !*update {
			t.Errorf("the plan of\n%sis\n%snot\n%s", m[1], want, m[2])
		}
		return "```sql\n" + m[1] + "```\n\n```text\n" + want + "```\n"
	})
	if n < 10 {
		t.Errorf("%d queries, want ten at least", n)
	}
	if !strings.Contains(fresh, "SEARCH n USING INDEX nlri_prefix (prefix=?)") {
		t.Error("no query finds a prefix by its index")
	}
	if *update {
		if err := os.WriteFile(path, []byte(fresh), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// shortPlan leaves out what every row of a view takes: names by their number.
func shortPlan(p string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(p, "\n") {
		if !strings.Contains(line, "USING INTEGER PRIMARY KEY (rowid=?)") {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}
