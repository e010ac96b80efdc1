package drill

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ribtap/ribtap/sinks/kafka/kafkatest"
	"github.com/ribtap/ribtap/sinks/postgres/postgrestest"
)

// scale returns small, or full with RIBTAP_DRILL=full.
func scale(small, full int) int {
	if os.Getenv("RIBTAP_DRILL") == "full" {
		return full
	}
	return small
}

// binDir holds the ribtap under test, which buildOnce makes when it is needed.
var (
	binDir    string
	buildOnce = sync.OnceValue(func() error {
		dir, err := os.MkdirTemp("", "ribtap-drill-")
		if err != nil {
			return err
		}
		binDir = dir
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "ribtap"), "github.com/ribtap/ribtap/cmd/ribtap")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building ribtap: %w\n%s", err, out)
		}
		return nil
	})
)

func TestMain(m *testing.M) {
	code := kafkatest.Main(m)
	postgrestest.Stop()
	if binDir != "" {
		_ = os.RemoveAll(binDir)
	}
	os.Exit(code)
}

// command is a ribtap command line on a data directory, with nothing of the
// environment that could configure it.
func command(tb testing.TB, dataDir string, args ...string) *exec.Cmd {
	tb.Helper()
	if err := buildOnce(); err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(binDir, "ribtap"), append(args, "--data-dir", dataDir)...)
	cmd.Dir = filepath.Dir(dataDir)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "TMPDIR=" + os.TempDir()}
	return cmd
}

// daemon is a `ribtap run` on ports of the system's choice.
type daemon struct {
	tb        testing.TB
	dir       string // the data directory
	bmp, http string
	cmd       *exec.Cmd
	// announced is closed when the daemon said where it listens, or ended.
	announced chan struct{}
	// ended is closed when the process is gone and its last words are read.
	ended chan struct{}
	mu    sync.Mutex
	words strings.Builder
}

// launch starts a daemon, with configuration from the environment, and does not
// wait for it. The data directory lies below one of its own, where commands run.
func launch(tb testing.TB, dir string, env ...string) *daemon {
	tb.Helper()
	d := &daemon{tb: tb, dir: dir, announced: make(chan struct{}), ended: make(chan struct{})}
	d.cmd = command(tb, dir, "run", "--bmp-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0")
	d.cmd.Env = append(d.cmd.Env, env...)
	out, err := d.cmd.StderrPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() {
		defer close(d.ended)
		said := false
		for lines := bufio.NewScanner(out); lines.Scan(); {
			said = d.hear(lines.Text(), said)
		}
		_ = d.cmd.Wait()
		if !said {
			close(d.announced)
		}
	}()
	tb.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		<-d.ended
		if _, log, _ := strings.Cut(d.last(4000), "\ntime="); tb.Failed() && log != "" {
			tb.Logf("the last words of ribtap:\ntime=%s", log)
		}
	})
	return d
}

// hear takes a line of the daemon's, and reports whether it has announced itself.
func (d *daemon) hear(line string, said bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.words.WriteString(line + "\n")
	if rest, ok := strings.CutPrefix(line, "  BMP   "); ok {
		d.bmp = rest
	}
	if rest, ok := strings.CutPrefix(line, "  HTTP  http://"); ok {
		d.http, _, _ = strings.Cut(rest, "/")
	}
	if !said && strings.HasPrefix(line, "  data  ") {
		close(d.announced)
		return true
	}
	return said
}

// last returns the end of what the daemon said.
func (d *daemon) last(n int) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.words.String()
	return s[max(0, len(s)-n):]
}

// start returns a daemon that accepts sessions.
func start(tb testing.TB, dir string) *daemon {
	tb.Helper()
	d := launch(tb, dir)
	<-d.announced
	if d.bmp == "" {
		tb.Fatalf("ribtap does not start: %s", d.last(4000))
	}
	return d
}

// stop ends the daemon with SIGTERM; it must drain and exit with 0.
func (d *daemon) stop() {
	d.tb.Helper()
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.ended:
	case <-time.After(time.Minute):
		d.tb.Fatal("ribtap does not end")
	}
	if code := d.cmd.ProcessState.ExitCode(); code != 0 {
		d.tb.Fatalf("ribtap run ended with exit code %d, want 0", code)
	}
}

// status is what `ribtap status -o json` says.
type status struct {
	Stream struct {
		First uint64 `json:"first_sequence"`
		Last  uint64 `json:"last_sequence"`
		Bytes int64  `json:"bytes"`
		Error string `json:"error"`
	} `json:"stream"`
	Sinks []struct {
		Name       string  `json:"name"`
		Committed  uint64  `json:"committed_sequence"`
		LagEvents  uint64  `json:"lag_events"`
		LagSeconds float64 `json:"lag_seconds"`
		Healthy    bool    `json:"healthy"`
		Error      string  `json:"last_error"`
	} `json:"sinks"`
	PeersUp int    `json:"peers_up"`
	Routes  int    `json:"routes"`
	Gaps    uint64 `json:"gaps"`
}

func (d *daemon) status() (s status, err error) {
	resp, err := http.Get("http://" + d.http + "/v1/status")
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	return s, json.NewDecoder(resp.Body).Decode(&s)
}

// hears waits until the stream has at least so many events.
func (d *daemon) hears(events uint64, limit time.Duration) {
	d.tb.Helper()
	await(d.tb, "the events in the stream", limit, func() error {
		s, err := d.status()
		if err == nil && s.Stream.Last < events {
			err = fmt.Errorf("%d events, want %d", s.Stream.Last, events)
		}
		return err
	})
}

// settle waits until the stream has at least so many events and every sink has
// committed all of them.
func (d *daemon) settle(events uint64, limit time.Duration) status {
	d.tb.Helper()
	var s status
	await(d.tb, "the sinks to have all", limit, func() (err error) {
		if s, err = d.status(); err != nil {
			return err
		}
		if s.Stream.Last < events {
			return fmt.Errorf("%d events, want %d", s.Stream.Last, events)
		}
		for _, sink := range s.Sinks {
			if sink.Committed != s.Stream.Last {
				return fmt.Errorf("sink %s is at %d of %d: %s", sink.Name, sink.Committed, s.Stream.Last, sink.Error)
			}
		}
		return nil
	})
	return s
}

// await asks again and again until cond is content.
func await(tb testing.TB, what string, limit time.Duration, cond func() error) {
	tb.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(limit); ; <-again.C {
		err := cond()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			tb.Fatalf("no sign of %s after %v: %v", what, limit, err)
		}
	}
}

// peakRSS is the daemon's largest resident memory so far, in octets.
func (d *daemon) peakRSS() int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		d.tb.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		d.tb.Fatal(err)
	}
	return kb << 10
}

// sizeOf is how many octets the files below a path have.
func sizeOf(tb testing.TB, path string) (n int64) {
	tb.Helper()
	err := filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return n
}
