//go:build integration

package postgres_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/history/historytest"
)

var update = flag.Bool("update", false, "write the plans in docs/sql-postgres.md anew")

// lookingGlass is a store with enough in it for plans to be those of a large one:
// all in one partition, because one of a few rows is read whole.
func lookingGlass(t *testing.T) *store {
	s := newStore(t)
	for _, b := range historytest.NewTable(30_000, 5).Batches(1, 10_000) {
		s.seq = s.sink.Position()
		s.write(b...)
	}
	s.write(historytest.PeerUp(event.AdjRIBInPre), routeEvent(0, announce(attributes([]uint32{65001}), prefixes("10.1.0.0/16")...)))
	s.exec("DO $$ DECLARE t regclass; BEGIN FOR t IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'route_change'::regclass " +
		"AND inhrelid <> 'route_change_p20250615'::regclass LOOP EXECUTE 'DROP TABLE ' || t; END LOOP; END $$")
	s.exec("ANALYZE")
	return s
}

// TestDocumentedQueries runs every query of docs/sql-postgres.md, the PostgreSQL form
// of docs/sql.md's questions, and compares the plan that stands below it.
func TestDocumentedQueries(t *testing.T) {
	const path = "../../docs/sql-postgres.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := lookingGlass(t)
	n := 0
	block := regexp.MustCompile("(?s)```sql\n(.*?)```\n(?:\n```text\n(.*?)```\n)?")
	fresh := block.ReplaceAllStringFunc(string(text), func(b string) string {
		n++
		m := block.FindStringSubmatch(b)
		s.lines(m[1])
		want := shortPlan(s.lines("EXPLAIN (COSTS OFF) " + m[1]))
		if m[2] != want && !*update {
			t.Errorf("the plan of\n%sis\n%snot\n%s", m[1], want, m[2])
		}
		return "```sql\n" + m[1] + "```\n\n```text\n" + want + "```\n"
	})
	if n < 10 {
		t.Errorf("%d queries, want ten at least", n)
	}
	if *update {
		if err := os.WriteFile(path, []byte(fresh), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// shortPlan keeps how the large tables are read: which partitions there are is
// of no interest, and names are looked up by number in every query.
func shortPlan(plan []string) string {
	var out []string
	seen := map[string]bool{}
	read := regexp.MustCompile(`(Parallel )?(Seq Scan|Index Scan|Index Only Scan|Bitmap Heap Scan|Bitmap Index Scan)( using \w+)? on (\w+)`)
	partition := regexp.MustCompile(`route_change_(p\d+|default)`)
	for _, l := range plan {
		m := read.FindStringSubmatch(l)
		if m == nil {
			continue
		}
		step := partition.ReplaceAllString(strings.TrimPrefix(m[0], "Parallel "), "route_change")
		if !regexp.MustCompile(`on route(_\w+)?$|route_change|peer_stat|peer_event|gap`).MatchString(step) || seen[step] {
			continue
		}
		seen[step] = true
		out = append(out, step+"\n")
	}
	if len(out) == 0 {
		return fmt.Sprintln("small tables only")
	}
	return strings.Join(out, "")
}
