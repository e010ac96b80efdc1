// Package corpus_test compares ribtap, from a file's octets to the routes of
// its events, with decoders that other people wrote: bgpdump for MRT, tshark
// for BMP and BGP, gobgp for the UPDATEs of all of them. It reads any folder,
// named by RIBTAP_CORPUS, and without one it has nothing to do.
//
// A difference is either of a class in classes, whose condition is computed from
// the message's content, or a failure. docs/corpus.md is for its reader.
package corpus_test

import (
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/ribtap/ribtap/internal/corpus"
)

// programs are the independent decoders that are no Go packages.
var programs = []string{"bgpdump", "tshark"}

// TestCorpus reads every file under RIBTAP_CORPUS.
func TestCorpus(t *testing.T) {
	if corpus.Dir() == "" {
		return
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("%s is missing; scripts/install-test-deps.sh installs it", p)
		}
	}
	files, err := collect(corpus.Dir())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.kind == kindSkip {
			t.Logf("skip %s: %s", f.name, f.note)
		}
	}
	results := compareMRT(t, files)
	results = append(results, compareStreams(t, files, kindBMP)...)
	results = append(results, compareStreams(t, files, kindBGP)...)
	known := readKnown(t)
	for _, r := range results {
		t.Log(r.line())
		for _, u := range r.unexplained[:min(len(r.unexplained), maxShown)] {
			t.Errorf("%s: %s", r.name, u)
		}
		if n := len(r.unexplained) - maxShown; n > 0 {
			t.Errorf("%s: %d more", r.name, n)
		}
		known.check(t, r)
	}
	summarize(t, results)
	known.update(t, results)
}

// maxShown bounds what is printed of one file's unexplained differences.
const maxShown = 12

// counts are one decoder's totals of a file.
type counts struct {
	announce, withdraw      int
	up, down, eor, messages int
}

func (c *counts) add(o counts) {
	c.announce += o.announce
	c.withdraw += o.withdraw
	c.up += o.up
	c.down += o.down
	c.eor += o.eor
	c.messages += o.messages
}

func (c counts) String() string {
	return fmt.Sprintf("+%d -%d eor %d up %d down %d", c.announce, c.withdraw, c.eor, c.up, c.down)
}

// result is what came of one file.
type result struct {
	name, sum    string // of the content
	kind         kind
	decoder      string
	ours, theirs counts
	// families counts announced and withdrawn NLRI here, by name of the family.
	families map[string]counts
	// unread counts the messages of which nothing could be used here.
	unread int
	// differ counts differences by class; gobgp's are among them.
	differ map[string]int
	// updates counts the messages that gobgp was given, same those of which it
	// and the codec say the same.
	updates, same int
	unexplained   []string
}

func newResult(f *file, decoder string) *result {
	return &result{name: f.name, sum: f.sum, kind: f.kind, decoder: decoder, families: map[string]counts{}, differ: map[string]int{}}
}

func (r *result) fail(format string, args ...any) {
	r.unexplained = append(r.unexplained, fmt.Sprintf(format, args...))
}

// differs counts a difference of a class that must be in the table.
func (r *result) differs(class string, n int) {
	if _, ok := classes[class]; !ok {
		r.fail("class %q is not in the table", class)
	}
	r.differ[class] += n
}

func (r *result) verdict() string {
	switch {
	case len(r.unexplained) > 0:
		return "UNEXPLAINED"
	case len(r.differ) == 0:
		return "same"
	}
	var b strings.Builder
	for _, c := range slices.Sorted(maps.Keys(r.differ)) {
		fmt.Fprintf(&b, " %s=%d", c, r.differ[c])
	}
	return "explained:" + b.String()
}

func (r *result) line() string {
	return fmt.Sprintf("%s %s: ours %s, %s %s, unread %d, gobgp %d/%d; %s",
		r.kind, r.name, r.ours, r.decoder, r.theirs, r.unread, r.same, r.updates, r.verdict())
}

// summarize prints the totals of each kind of file and of each class.
func summarize(t *testing.T, results []*result) {
	t.Helper()
	for _, k := range []kind{kindMRT, kindBMP, kindBGP} {
		var ours, theirs counts
		var files, equal, unread, updates, same int
		families := map[string]counts{}
		for _, r := range results {
			if r.kind != k {
				continue
			}
			files++
			ours.add(r.ours)
			theirs.add(r.theirs)
			unread += r.unread
			updates += r.updates
			same += r.same
			if len(r.differ) == 0 && len(r.unexplained) == 0 {
				equal++
			}
			for f, n := range r.families {
				total := families[f]
				total.add(n)
				families[f] = total
			}
		}
		if files == 0 {
			continue
		}
		t.Logf("total %s: %d files, %d without any difference; %d messages or records, %d unread; ours %s; theirs %s; gobgp agrees on %d of %d UPDATEs",
			k, files, equal, ours.messages, unread, ours, theirs, same, updates)
		for _, f := range slices.Sorted(maps.Keys(families)) {
			t.Logf("total %s %s: +%d -%d", k, f, families[f].announce, families[f].withdraw)
		}
	}
	total, in := map[string]int{}, map[string]int{}
	for _, r := range results {
		for c, n := range r.differ {
			total[c] += n
			in[c]++
		}
	}
	for _, c := range slices.Sorted(maps.Keys(total)) {
		t.Logf("class %s: %d in %d files; right: %s: %s", c, total[c], in[c], classes[c].right, classes[c].why)
	}
}
