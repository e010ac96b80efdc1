//go:build drill

package drill

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"iter"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ribtap/ribtap/mrt"
)

// archiveFiles are the finished files of updates, Adj-RIB-In before policy, in
// the order of their time.
func archiveFiles(t *testing.T, dataDir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dataDir, "mrt", "rt1", "*", "updates.*.gz"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	return files
}

// archived are the BGP messages of the archive, with their records' times.
func archived(t *testing.T, dataDir string) iter.Seq2[int64, *mrt.Message] {
	return func(yield func(int64, *mrt.Message) bool) {
		for _, name := range archiveFiles(t, dataDir) {
			if !archivedIn(t, name, yield) {
				return
			}
		}
	}
}

func archivedIn(t *testing.T, name string, yield func(int64, *mrt.Message) bool) bool {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	plain, _, err := mrt.Decompress(f)
	if err != nil {
		t.Fatal(err)
	}
	for rd := mrt.NewReader(plain); ; {
		rec, err := rd.Next()
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if rec.Class() != mrt.ClassMessage {
			continue
		}
		var m mrt.Message
		if err := m.Parse(&rec); err != nil || m.Anomaly != "" {
			t.Fatalf("%s at %d: %v %s", name, rec.Offset, err, m.Anomaly)
		}
		if !yield(rec.Nanoseconds(), &m) {
			return false
		}
	}
}

// dumped is a line of bgpdump -m about a route.
type dumped struct {
	peer     netip.Addr
	announce bool
	prefix   string
	med      string
}

// eachDumped calls fn for every route that bgpdump finds in the archive. A word
// of warning from bgpdump fails the test.
func eachDumped(t *testing.T, dataDir string, fn func(dumped)) {
	t.Helper()
	for _, name := range archiveFiles(t, dataDir) {
		cmd := exec.Command("bgpdump", "-m", name)
		var words bytes.Buffer
		cmd.Stderr = &words
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			// BGP4MP_ET|time|A|peer|asn|prefix|path|origin|next hop|local-pref|med|…
			col := strings.Split(lines.Text(), "|")
			if len(col) < 6 || col[2] == "STATE" {
				continue
			}
			d := dumped{announce: col[2] == "A", prefix: col[5]}
			if d.peer, err = netip.ParseAddr(col[3]); err != nil {
				t.Fatalf("bgpdump: %s", lines.Text())
			}
			if d.announce {
				d.med = col[10]
			}
			fn(d)
		}
		if err := errors.Join(lines.Err(), cmd.Wait()); err != nil {
			t.Fatalf("bgpdump %s: %v", name, err)
		}
		// It always says which file it read.
		for line := range strings.Lines(words.String()) {
			if !strings.Contains(line, "[info]") {
				t.Fatalf("bgpdump %s: %s", name, line)
			}
		}
	}
}
