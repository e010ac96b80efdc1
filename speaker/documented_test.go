package speaker

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentedTests: the tests that docs/speaker-tests.md names are there.
func TestDocumentedTests(t *testing.T) {
	const root = ".."
	page, err := os.ReadFile(filepath.Join(root, "docs", "speaker-tests.md"))
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	decl := regexp.MustCompile(`(?m)^func (Test\w+|Fuzz\w+)\(`)
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range decl.FindAllSubmatch(text, -1) {
			have[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\b(Test|Fuzz)[A-Z]\w+`).FindAllString(string(page), -1)
	if len(named) < 200 {
		t.Errorf("the page names %d tests", len(named))
	}
	for _, n := range named {
		if !have[n] {
			t.Errorf("%s is named and is not there", n)
		}
	}
}
