//go:build bench

package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ribtap/ribtap/sinks/kafka/kafkatest"
	"github.com/ribtap/ribtap/sinks/postgres/postgrestest"
)

// rows are the rows of the table, in its order.
var rows = []struct {
	name    string
	measure func(t *testing.T) []line
}{
	{"bmp-stream", bmpStream},
	{"bmp-sqlite-mrt", bmpSQLiteMRT},
	{"bmp-postgres", bmpPostgres},
	{"bmp-kafka", bmpKafka},
	{"mrt-import", mrtImport},
	{"slow-sink", slowSink},
	{"sessions", sessions},
	{"rib-memory", ribMemory},
	{"restart", restart},
	{"latency", latency},
	{"pages", pages},
}

// line is a line of the table. A row may have several.
type line struct {
	stage  string // what was measured
	ribtap string
	peers  string // figures of the others
	ratio  string // ribtap's to theirs
	target target
	met    bool
}

// target is what is wanted, in words; without one nobody asks whether it is met.
type target string

func (l line) String() string {
	met := "–"
	if l.target != "" {
		met = map[bool]string{true: "yes", false: "**no**"}[l.met]
	}
	cells := []string{l.stage, l.ribtap, l.peers, l.ratio, string(l.target), met}
	for i, c := range cells {
		if c == "" {
			cells[i] = "–"
		}
	}
	return "| " + strings.Join(cells, " | ") + " |"
}

const tableHead = `| stage | ribtap | peers and floors | ratio | target | met |
|---|---|---|---|---|---|`

// TestSystem measures the rows and prints the table. It fails when a program
// gives a wrong result, not when one is slow.
func TestSystem(t *testing.T) {
	want, err := regexp.Compile(os.Getenv("ROW"))
	if err != nil {
		t.Fatalf("ROW: %v", err)
	}
	var table strings.Builder
	table.WriteString(tableHead)
	measured := 0
	for _, row := range rows {
		if !want.MatchString(row.name) {
			continue
		}
		measured++
		t.Run(row.name, func(t *testing.T) {
			for _, l := range row.measure(t) {
				l.stage = row.name + ": " + l.stage
				t.Log(l)
				fmt.Fprintf(&table, "\n%v", l)
			}
		})
	}
	if measured == 0 {
		t.Fatalf("no row is named like %s", want)
	}
	fmt.Println(table.String())
}

// small reports whether this is a check of the benchmarks themselves.
func small() bool { return os.Getenv("SIZE") == "small" }

// size is how much of something there is.
func size(tiny, full int) int {
	if small() {
		return tiny
	}
	return full
}

// runs is how often what is compared runs.
func runs(t *testing.T) int {
	t.Helper()
	if v := os.Getenv("RUNS"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			t.Fatalf("RUNS=%s is not a number of runs", v)
		}
		return n
	}
	return size(1, 5)
}

// binDir holds the programs of this project that are measured.
var binDir string

func TestMain(m *testing.M) {
	os.Exit(build(m))
}

func build(m *testing.M) int {
	var err error
	if binDir, err = os.MkdirTemp("", "ribtap-bench-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(binDir) }()
	cmd := exec.Command("go", "build", "-o", binDir+"/",
		"github.com/ribtap/ribtap/cmd/ribtap", "github.com/ribtap/ribtap/internal/bench/floor", "github.com/ribtap/ribtap/internal/bench/decode")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the programs: %v\n%s", err, out)
		return 1
	}
	defer postgrestest.Stop()
	return kafkatest.Main(m)
}

// program is the path of one of this project's programs.
func program(name string) string { return filepath.Join(binDir, name) }

// peerProgram is the path of a peer.
func peerProgram(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("BENCH_PEERS")
	if p := filepath.Join(dir, name); dir != "" && isFile(p) {
		return p
	}
	p, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v; run scripts/install-bench-peers.sh, and set BENCH_PEERS to its directory", err)
	}
	return p
}

func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

// median sorts.
func median[T int64 | float64](vs []T) T {
	slices.Sort(vs)
	return vs[len(vs)/2]
}
