//go:build integration

package docs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestTutorial runs every block of the tutorial in one shell, and looks for what the
// text below a block says that it shows; … stands for anything in a line.
func TestTutorial(t *testing.T) {
	text, err := os.ReadFile("tutorial.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```(sh|text)\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	// The checkout as a newcomer has it, but for the binary, which must not be in the
	// way of other tests.
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var script strings.Builder
	script.WriteString("set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n")
	if err := os.Symlink(filepath.Join(root, "fixtures"), filepath.Join(dir, "fixtures")); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "ribtap"), "./cmd/ribtap")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var parts []string
	for _, b := range blocks {
		if b[1] == "sh" {
			script.WriteString("echo '<<<'\n" + strings.Replace(b[2], "make build\n", "", 1))
			parts = append(parts, "")
		} else {
			parts[len(parts)-1] += b[2]
		}
	}
	cmd := exec.Command("bash", "-c", script.String())
	cmd.Dir = dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 10 * time.Second
	timer := time.AfterFunc(3*time.Minute, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v:\n%s", err, &out)
	}
	shown := strings.Split(out.String(), "<<<\n")[1:]
	if len(shown) != len(parts) || len(parts) < 8 {
		t.Fatalf("%d blocks ran, want %d:\n%s", len(shown), len(parts), &out)
	}
	for i, want := range parts {
		for line := range strings.Lines(want) {
			// Columns are as wide as they are.
			pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(line)), " ", " +")
			pattern = strings.ReplaceAll(strings.ReplaceAll(pattern, "… +", ".*"), "…", ".*")
			if !regexp.MustCompile("(?m)^" + pattern).MatchString(shown[i]) {
				t.Errorf("block %d does not show %q:\n%s", i+1, strings.TrimSpace(line), shown[i])
			}
		}
	}
}
