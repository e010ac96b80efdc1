//go:build integration

package integration

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
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

// told is what a source told of a peer's routes, one entry a route and change:
// what it repeats, and withdrawals of nothing, leave no trace. So an archive,
// which holds every message, compares with a history of changes.
type told struct {
	last map[string]map[string]string // by peer and prefix
	list map[string][]string          // by peer and prefix together
}

func newTold() *told { return &told{map[string]map[string]string{}, map[string][]string{}} }

// route notes an announcement, or a withdrawal when attrs is empty.
func (t *told) route(peer, prefix, attrs string) {
	if t.last[peer] == nil {
		t.last[peer] = map[string]string{}
	}
	if t.last[peer][prefix] == attrs {
		return
	}
	t.last[peer][prefix] = attrs
	key := peer + " " + prefix
	t.list[key] = append(t.list[key], attrs)
}

// down withdraws all routes of a peer.
func (t *told) down(peer string) {
	for prefix := range t.last[peer] {
		t.route(peer, prefix, "")
	}
}

func (t *told) lines() (out []string) {
	for key, list := range t.list {
		for i, attrs := range list {
			if attrs == "" {
				attrs = "withdrawn"
			}
			out = append(out, fmt.Sprintf("%s %d: %s", key, i, attrs))
		}
	}
	return out
}

// checkArchive compares the archive of a collector that has stopped with its
// history: the same routes came, changed and went, the same peers went down.
func checkArchive(t *testing.T, rt *Ribtap) {
	t.Helper()
	updates, tables := archive(t, rt, "lab")
	if len(updates) == 0 {
		t.Fatal("no file of updates")
	}
	got, want := newTold(), newTold()
	var states, downs []string
	lines := 0
	for _, path := range updates {
		for _, line := range bgpdump(t, path) {
			lines++
			// BGP4MP_ET|time|A|peer|as|prefix|path|origin|next hop|pref|med|communities|…
			f := strings.Split(line, "|")
			switch {
			case len(f) > 11 && f[2] == "A":
				got.route(f[3]+" "+f[4], f[5], fmt.Sprintf("%s %s %s med %s [%s]", f[6], f[7], f[8], f[10], sorted(f[11])))
			case len(f) > 5 && f[2] == "W":
				got.route(f[3]+" "+f[4], f[5], "")
			case len(f) > 6 && f[2] == "STATE" && f[6] != established:
				// A peer that went down has no routes any more.
				got.down(f[3] + " " + f[4])
				states = append(states, f[3]+" "+f[4])
			}
		}
	}
	rows := must(query[Route](rt, "SELECT * FROM route_history WHERE rib = 'adj-rib-in-pre' ORDER BY sequence, position"))(t)
	for i := range rows {
		r, attrs := &rows[i], ""
		if r.Action == "announce" {
			a := r.attrs()
			if a.MED == "" {
				a.MED = "0" // as bgpdump shows none
			}
			attrs = fmt.Sprintf("%s %s %s med %s [%s]", a.ASPath, a.Origin, a.NextHop, a.MED, a.Communities)
		}
		want.route(r.PeerAddress+" "+itoa(r.PeerASN), r.Prefix, attrs)
	}
	for _, e := range must(query[PeerEvent](rt, `SELECT * FROM peer_history
		WHERE event = 'down' AND (rib IS NULL OR rib = 'adj-rib-in-pre') AND peer_address || ' ' || peer_asn NOT IN
		(SELECT peer_address || ' ' || peer_asn FROM peers WHERE peer_type = 'loc-rib') ORDER BY sequence`))(t) {
		downs = append(downs, e.PeerAddress+" "+itoa(e.PeerASN))
	}
	if err := same("STATE lines of the archive against history", states, downs); err != nil {
		t.Error(err)
	}
	if err := same("routes of the archive against history", got.lines(), want.lines()); err != nil {
		t.Error(err)
	}
	for _, path := range tables {
		bgpdump(t, path)
	}
	// Every other view has a tree of its own.
	for _, tree := range []string{"lab.adj-rib-in-post", "lab.loc-rib"} {
		if _, err := os.Stat(filepath.Join(rt.dataDir(), "mrt", tree)); err != nil {
			continue
		}
		more, dumps := archive(t, rt, tree)
		for _, path := range append(more, dumps...) {
			lines += len(bgpdump(t, path))
		}
	}
	t.Logf("%d lines of bgpdump, %d of them about changes before policy", lines, len(want.lines()))
}

// established is the state's code in a STATE line of bgpdump (RFC 6396 §4.4.1).
const established = "6"
