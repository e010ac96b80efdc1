package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ribtap/ribtap/stream"
)

func lastSequence(t *testing.T, dir string) uint64 {
	t.Helper()
	rep, err := stream.Verify(filepath.Join(dir, "stream"))
	if err != nil {
		t.Fatal(err)
	}
	return rep.Last
}

func countRoutes(t *testing.T, dir string, args ...string) int {
	t.Helper()
	out := ribtap(t, append([]string{"routes", "--data-dir", dir, "-o", "ndjson"}, args...)...).must(t, exitOK).stdout
	return strings.Count(out, "\n")
}

// TestImport: a file's routes are in the history when the command ends; the
// same content again adds nothing, whatever its name.
func TestImport(t *testing.T) {
	dir := isolated(t)
	data := filepath.Join(dir, "data")
	file := writeFile(t, dir, "updates.mrt", testUpdates(200))
	r := ribtap(t, "import", file, "--data-dir", data, "--router", "rrc99").must(t, exitOK)
	if !strings.Contains(r.stderr, "200 records, 200 routes announced, 0 withdrawn") || r.stdout != "" {
		t.Errorf("stderr: %s", r.stderr)
	}
	if n := countRoutes(t, data, "--router", "rrc99"); n != 200 {
		t.Errorf("%d routes", n)
	}
	before := lastSequence(t, data)
	again := writeFile(t, dir, "other-name.mrt", testUpdates(200))
	r = ribtap(t, "import", again, "-o", "json", "--data-dir", data, "--router", "rrc99").must(t, exitOK)
	var results []importResult
	if err := json.Unmarshal([]byte(r.stdout), &results); err != nil || len(results) != 1 || !results[0].Known || results[0].Announced != 0 {
		t.Errorf("%v: %s", err, r.stdout)
	}
	if !strings.Contains(r.stderr, "imported already") {
		t.Errorf("stderr: %s", r.stderr)
	}
	if n := countRoutes(t, data); n != 200 {
		t.Errorf("%d routes after the second import", n)
	}
	// Opening the data directory may tell of the time in which nothing ran.
	out := ribtap(t, "stream", "inspect", "--data-dir", data, "--from", "1").must(t, exitOK).stdout
	if n := strings.Count(out, `"kind":"route"`); n != 200 {
		t.Errorf("%d route events after the second import (last sequence was %d)", n, before)
	}
}

// TestImportWhileDaemonRuns: the daemon does the work.
func TestImportWhileDaemonRuns(t *testing.T) {
	dir := isolated(t)
	d := startDaemon(t, filepath.Join(dir, "data"))
	t.Setenv("RIBTAP_HTTP_LISTEN", d.http)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(testUpdates(50))
	z.Close()
	file := writeFile(t, dir, "updates.gz", packed.Bytes())
	r := ribtap(t, "import", file, "--data-dir", d.dir).must(t, exitOK)
	if !strings.Contains(r.stderr, "50 routes announced") {
		t.Errorf("stderr: %s", r.stderr)
	}
	r = ribtapIn(t, packed.Bytes(), "import", "-", "--url", d.http).must(t, exitOK)
	if !strings.Contains(r.stderr, "imported already") {
		t.Errorf("stderr: %s", r.stderr)
	}
	if leftover, _ := filepath.Glob(filepath.Join(d.dir, "import-*")); len(leftover) > 0 {
		t.Errorf("left behind: %v", leftover)
	}
	d.stop(t)
	if n := countRoutes(t, d.dir); n != 50 {
		t.Errorf("%d routes", n)
	}
	// With the daemon gone the same content is known all the same.
	r = ribtap(t, "import", file, "--data-dir", d.dir).must(t, exitOK)
	if !strings.Contains(r.stderr, "imported already") {
		t.Errorf("stderr: %s", r.stderr)
	}
}

// TestImportUnreachable: a locked directory whose daemon has no API.
func TestImportUnreachable(t *testing.T) {
	dir := isolated(t)
	d := startDaemon(t, filepath.Join(dir, "data"))
	file := writeFile(t, dir, "updates.mrt", testUpdates(1))
	r := ribtap(t, "import", file, "--data-dir", d.dir, "--url", "127.0.0.1:1").must(t, exitUnreachable)
	if !strings.Contains(r.stderr, "127.0.0.1:1") {
		t.Errorf("stderr: %s", r.stderr)
	}
	t.Setenv("RIBTAP_HTTP_LISTEN", "127.0.0.1:1")
	ribtap(t, "import", file, "--data-dir", d.dir).must(t, exitUnreachable)
}

// TestImportDamaged: what can be read is imported, the rest is counted, told by
// offset, and gives exit code 4.
func TestImportDamaged(t *testing.T) {
	dir := isolated(t)
	good := testUpdates(10)
	cut := writeFile(t, dir, "cut.mrt", good[:len(good)-5])
	r := ribtap(t, "import", cut, "--data-dir", filepath.Join(dir, "a")).must(t, exitPartial)
	if !strings.Contains(r.stderr, "9 routes announced") || !strings.Contains(r.stderr, " 1 damaged") || !strings.Contains(r.stderr, "cut.mrt: damaged: mrt: ") {
		t.Errorf("stderr: %s", r.stderr)
	}
	notMRT := writeFile(t, dir, "text", []byte("this is no routing data at all, only a text of some length\n"))
	ribtap(t, "import", notMRT, "--data-dir", filepath.Join(dir, "b")).must(t, exitPartial)
	empty := writeFile(t, dir, "empty", nil)
	ribtap(t, "import", empty, "--data-dir", filepath.Join(dir, "c")).must(t, exitOK)
}

// TestImportSeveral: one that is missing is said before anything is written.
func TestImportSeveral(t *testing.T) {
	dir := isolated(t)
	data := filepath.Join(dir, "data")
	one := writeFile(t, dir, "one", testUpdates(5))
	r := ribtap(t, "import", one, filepath.Join(dir, "missing"), "--data-dir", data).must(t, exitFailure)
	if !strings.Contains(r.stderr, "missing: no such file") {
		t.Errorf("stderr: %s", r.stderr)
	}
	if _, err := os.Stat(data); err == nil {
		t.Error("data was written")
	}
	two := writeFile(t, dir, "two", demoRecordings(time.Now())[0])
	r = ribtap(t, "import", one, two, "--data-dir", data, "-o", "ndjson").must(t, exitOK)
	if strings.Count(r.stdout, "\n") != 2 {
		t.Errorf("stdout: %s", r.stdout)
	}
}

// TestLedger: a torn last line is a missing one; the next entry is whole.
func TestLedger(t *testing.T) {
	dir := t.TempDir()
	l := openLedger(dir)
	if _, ok, err := l.find("aa", ""); ok || err != nil {
		t.Fatalf("empty ledger: %v %v", ok, err)
	}
	for _, e := range []ledgerEntry{{SHA256: "aa"}, {SHA256: "aa", Done: true}, {SHA256: "bb"}} {
		if err := l.add(e); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := os.ReadFile(l.path)
	if err != nil {
		t.Fatal(err)
	}
	// Cut at every octet: what was whole stays, and an entry can be added.
	for n := range whole {
		if err := os.WriteFile(l.path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		lines := bytes.Count(whole[:n+1], []byte("\n"))
		e, ok, err := l.find("aa", "")
		if err != nil || ok != (lines >= 1) || e.Done != (lines >= 2) {
			// The line's end is not part of what makes it whole.
			if torn := bytes.HasSuffix(whole[:n], []byte("}")); !torn {
				t.Fatalf("cut at %d: %+v %v %v", n, e, ok, err)
			}
		}
		if err := l.add(ledgerEntry{SHA256: "cc", Router: "r", Done: true}); err != nil {
			t.Fatal(err)
		}
		if e, ok, err := l.find("cc", "r"); !ok || !e.Done || err != nil {
			t.Fatalf("cut at %d: the next entry is lost", n)
		}
	}
	if _, ok, _ := l.find("cc", "other"); ok {
		t.Error("found under another router")
	}
}

func TestSpoolLimit(t *testing.T) {
	dir := t.TempDir()
	if _, err := spool(dir, strings.NewReader("12345"), 4); err == nil {
		t.Error("more than the limit")
	}
	f, err := spool(dir, strings.NewReader("1234"), 4)
	if err != nil {
		t.Fatal(err)
	}
	sum, size, err := hashFile(f)
	f.Close()
	if err != nil || size != 4 || !strings.HasPrefix(sum, "03ac674216f3e15c") {
		t.Errorf("%s %d %v", sum, size, err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestRouterFor(t *testing.T) {
	for path, want := range map[string]string{
		"/a/rrc06/2015.04/updates.20150401.0000.gz":             "rrc06",
		"/a/route-views.jinx/bgpdata/UPDATES/updates.gz":        "",
		"/a/ris.rrc06.updates.1427846400.gz":                    "rrc06",
		"/a/routeviews.route-views.jinx.updates.1427846400.bz2": "route-views.jinx",
		"/a/route-views2/RIBS/rib.bz2":                          "route-views2",
		"/home/me/some.mrt":                                     "",
	} {
		if got := routerFor(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// TestImportRouter: a recording's router is the one that it names.
func TestImportRouter(t *testing.T) {
	dir := isolated(t)
	r := ribtapIn(t, demoRecordings(time.Now())[0], "import", "-", "--data-dir", filepath.Join(dir, "data"), "-o", "ndjson").must(t, exitOK)
	if !strings.Contains(r.stdout, `"router":"edge1.demo"`) {
		t.Errorf("stdout: %s", r.stdout)
	}
	r = ribtapIn(t, testUpdates(1), "import", "-", "--data-dir", filepath.Join(dir, "data"), "-o", "ndjson").must(t, exitOK)
	if !strings.Contains(r.stdout, `"router":"mrt"`) {
		t.Errorf("stdout: %s", r.stdout)
	}
}
