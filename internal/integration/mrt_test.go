//go:build integration

package integration

import (
	"bytes"
	"io/fs"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// bgpdump reads a file and returns its lines. A word on its standard error that
// is not about opening and closing fails the test.
func bgpdump(t *testing.T, path string) []string {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command("bgpdump", "-m", path)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("bgpdump %s: %v: %s", path, missing(err), errs.String())
	}
	for line := range strings.Lines(errs.String()) {
		if !bgpdumpBanner.MatchString(line) {
			t.Errorf("bgpdump %s: %s", path, line)
		}
	}
	return strings.FieldsFunc(out.String(), func(r rune) bool { return r == '\n' })
}

// bgpdumpBanner is what bgpdump 1.6 always says.
var bgpdumpBanner = regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[info\] logging to syslog\s*$`)

// archive lists the MRT files of the archive, update files and table dumps.
func archive(t *testing.T, rt *Ribtap, tree string) (updates, tables []string) {
	t.Helper()
	root := filepath.Join(rt.dataDir(), "mrt", tree)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.Type()&fs.ModeSymlink != 0 || d.IsDir():
		case strings.HasPrefix(d.Name(), "updates."):
			updates = append(updates, path)
		case strings.HasPrefix(d.Name(), "bview."):
			tables = append(tables, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(updates, tables...) {
		if strings.HasSuffix(path, ".tmp") || strings.HasSuffix(path, ".part") {
			t.Errorf("%s was not finished", path)
		}
	}
	return updates, tables
}

// checkArchive compares the archive of a collector that has stopped with its
// history.
func checkArchive(t *testing.T, rt *Ribtap) {
	updates, tables := archive(t, rt, "lab")
	if len(updates) == 0 {
		t.Fatal("no file of updates")
	}
	var got, want []string
	for _, path := range updates {
		for _, line := range bgpdump(t, path) {
			// BGP4MP_ET|time|A|peer|as|prefix|path|origin|next hop|…
			f := strings.Split(line, "|")
			if len(f) > 5 && (f[2] == "A" || f[2] == "W") {
				got = append(got, strings.Join(f[2:6], " ")+attrsOfLine(f))
			}
		}
	}
	rows := must(query[Route](rt, "SELECT * FROM route_history WHERE rib = 'adj-rib-in-pre' ORDER BY sequence, position"))(t)
	for _, r := range rows {
		word := "W"
		more := ""
		if r.Action == "announce" {
			a := r.attrs()
			word, more = "A", " "+a.ASPath+" "+a.Origin+" "+a.NextHop
		}
		want = append(want, strings.Join([]string{word, r.PeerAddress, itoa(r.PeerASN), r.Prefix}, " ")+more)
	}
	if err := same("A and W lines of the archive against history", got, want); err != nil {
		t.Error(err)
	}
	for _, path := range tables {
		bgpdump(t, path)
	}
	// Every other view has a tree of its own.
	more, dumps := archive(t, rt, "lab.adj-rib-in-post")
	for _, path := range append(more, dumps...) {
		bgpdump(t, path)
	}
	t.Logf("%d lines in %d files of updates, %d table dumps", len(got), len(updates), len(tables))
}

func attrsOfLine(f []string) string {
	if f[2] != "A" || len(f) < 9 {
		return ""
	}
	return " " + f[6] + " " + f[7] + " " + f[8]
}
