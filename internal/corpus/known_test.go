package corpus_test

import (
	"bufio"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what the files under RIBTAP_CORPUS give to testdata/known.txt")

const knownPath = "testdata/known.txt"

// known is what public files gave when their differences were looked into, by
// the sum of their content: a file that gives anything else has to be looked
// into again, whether its differences fit a class or have gone.
type known map[string]string

// fact is what is remembered of a file.
func (r *result) fact() string {
	var b strings.Builder
	fmt.Fprintf(&b, "+%d -%d eor %d up %d down %d unread %d", r.ours.announce, r.ours.withdraw, r.ours.eor, r.ours.up, r.ours.down, r.unread)
	for _, c := range slices.Sorted(maps.Keys(r.differ)) {
		fmt.Fprintf(&b, " %s=%d", c, r.differ[c])
	}
	return b.String()
}

func readKnown(t *testing.T) known {
	t.Helper()
	f, err := os.Open(knownPath)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	k := known{}
	for s := bufio.NewScanner(f); s.Scan(); {
		if col := strings.SplitN(s.Text(), "\t", 3); len(col) == 3 && !strings.HasPrefix(col[0], "#") {
			k[col[0]] = col[2]
		}
	}
	return k
}

// check compares a file with what is known of it, if anything is.
func (k known) check(t *testing.T, r *result) {
	t.Helper()
	if want, ok := k[r.sum]; ok && want != r.fact() && !*update {
		t.Errorf("%s: known as %q, now %q", r.name, want, r.fact())
	}
}

// update writes the table of what the files present give; it keeps no others.
func (k known) update(t *testing.T, results []*result) {
	t.Helper()
	if !*update || t.Failed() {
		return
	}
	lines := []string{}
	for _, r := range results {
		// Files of the same octets, as small captures have, are one line.
		line := fmt.Sprintf("%s\t%s\t%s", r.sum, r.name, r.fact())
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, r.sum+"\t") }) {
			lines = append(lines, line)
		}
	}
	slices.SortFunc(lines, func(a, b string) int {
		return strings.Compare(strings.SplitN(a, "\t", 3)[1], strings.SplitN(b, "\t", 3)[1])
	})
	head := "# sum of the content, name, and what ribtap reads with the known differences by class.\n# go test -run Corpus -update writes it; see docs/corpus.md.\n"
	if err := os.WriteFile(knownPath, []byte(head+strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}
