//go:build integration

// Package integration runs ribtap as a user would, against real BGP speakers
// on loopback, and compares what it tells with what the speakers tell of
// themselves. Daemons of two generations take part: Debian's own packages, and
// a newer release unpacked beside them; scripts/install-test-deps.sh brings both.
//
// A Lab owns everything that one test starts. Nothing waits for a fixed time:
// a test states a condition and how long it may take to become true.
package integration

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// update makes the tests that record write their recordings into fixtures/bmp.
var update = flag.Bool("update", false, "write the recordings in fixtures/bmp anew")

// Lab is the folder and the processes of one test.
type Lab struct {
	t     *testing.T
	dir   string
	procs []*Proc
}

// NewLab makes a Lab that ends with the test. Its folder is below /tmp, which
// is also there for speakers of the newer generation.
func NewLab(t *testing.T) *Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("integration tests run as root: BGP daemons and chroot need it")
	}
	//nolint:usetesting // speakers in a chroot share /tmp alone, and sockets need a short path
	dir, err := os.MkdirTemp("/tmp", "ribtap-lab-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	l := &Lab{t: t, dir: dir}
	t.Cleanup(l.close)
	return l
}

// Run runs a part of the lab's test as a subtest, which then is the one that
// fails.
func (l *Lab) Run(name string, part func(t *testing.T)) bool {
	whole := l.t
	defer func() { l.t = whole }()
	return whole.Run(name, func(t *testing.T) {
		l.t = t
		part(t)
	})
}

// close ends all processes, newest first; when the test failed it shows what
// they wrote, and keeps the folder.
func (l *Lab) close() {
	for _, p := range slices.Backward(l.procs) {
		p.Kill()
	}
	if !l.t.Failed() {
		_ = os.RemoveAll(l.dir)
		return
	}
	for _, p := range l.procs {
		l.t.Logf("last output of %s:\n%s", p.name, p.tail(4096))
	}
	l.t.Logf("everything is in %s", l.dir)
}

// path names a file of the lab.
func (l *Lab) path(name string) string { return filepath.Join(l.dir, name) }

// write makes a file of the lab and returns its path.
func (l *Lab) write(name, text string) string {
	l.t.Helper()
	path := l.path(name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		l.t.Fatal(err)
	}
	return path
}

// await tries until cond returns nil, and fails the test with its last error
// when that takes too long.
func (l *Lab) await(what string, within time.Duration, cond func() error) {
	l.t.Helper()
	deadline := time.Now().Add(within)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := cond()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("waited %v for %s: %v", within, what, err)
		}
		for _, p := range l.procs {
			if !p.expectedEnd.Load() && p.ended() {
				l.t.Fatalf("%s ended while waiting for %s", p.name, what)
			}
		}
		<-tick.C
	}
}

// ports are those that this test run gave out. They lie below the range from
// which the kernel takes local ports, so that no outgoing connection has one
// while its daemon is down for a moment.
var ports struct {
	mu    sync.Mutex
	given map[int]bool
}

const (
	firstPort = 12000
	portCount = 20000
)

// freePort is a TCP port on which nothing listens at any of the addresses; it
// is given out once.
func (l *Lab) freePort(addrs ...string) int {
	l.t.Helper()
	ports.mu.Lock()
	defer ports.mu.Unlock()
	for range 100 {
		port := firstPort + rand.IntN(portCount)
		if !ports.given[port] && isFree(port, addrs) {
			if ports.given == nil {
				ports.given = map[int]bool{}
			}
			ports.given[port] = true
			return port
		}
	}
	l.t.Fatalf("no port is free on all of %v", addrs)
	return 0
}

func isFree(port int, addrs []string) bool {
	for _, a := range addrs {
		ln, err := net.Listen("tcp", net.JoinHostPort(a, fmt.Sprint(port)))
		if err != nil {
			return false
		}
		ln.Close()
	}
	return true
}

// Proc is a process that the lab owns.
type Proc struct {
	name string
	cmd  *exec.Cmd
	out  *os.File
	done chan struct{}
	err  error // valid once done is closed

	expectedEnd flagOnce
}

// flagOnce is a flag that is set by the test and read by await.
type flagOnce struct {
	mu sync.Mutex
	on bool
}

func (f *flagOnce) Set()       { f.mu.Lock(); f.on = true; f.mu.Unlock() }
func (f *flagOnce) Load() bool { f.mu.Lock(); defer f.mu.Unlock(); return f.on }

// start starts a program; its output goes into NAME.log.
func (l *Lab) start(name string, argv ...string) *Proc {
	l.t.Helper()
	out, err := os.OpenFile(l.path(name+".log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o644)
	if err != nil {
		l.t.Fatal(err)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, l.dir
	// Should the test binary be killed, nothing stays behind.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		l.t.Fatalf("%s: %v", name, missing(err))
	}
	p := &Proc{name: name, cmd: cmd, out: out, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	l.procs = append(l.procs, p)
	return p
}

// missing says how to get a program that is not there.
func missing(err error) error {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w; run scripts/install-test-deps.sh", err)
	}
	return err
}

func (p *Proc) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Kill ends the process with SIGKILL and waits for it.
func (p *Proc) Kill() {
	p.expectedEnd.Set()
	if !p.ended() {
		_ = p.cmd.Process.Kill()
	}
	<-p.done
}

// Terminate ends the process with SIGTERM and returns its exit code.
func (p *Proc) Terminate(within time.Duration) (int, error) {
	p.expectedEnd.Set()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return -1, err
	}
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(within):
		return -1, fmt.Errorf("%s did not end within %v of SIGTERM", p.name, within)
	}
}

// tail is the end of what the process wrote.
func (p *Proc) tail(n int64) string {
	st, err := p.out.Stat()
	if err != nil {
		return err.Error()
	}
	b, err := io.ReadAll(io.NewSectionReader(p.out, max(0, st.Size()-n), n))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// output runs a program to its end and returns what it wrote on stdout; what it
// wrote on stderr is in the error.
func output(argv ...string) ([]byte, error) {
	var out, errs bytes.Buffer
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("%s: %w: %s%s", strings.Join(argv, " "), missing(err), clip(errs.String(), 500), clip(out.String(), 500))
	}
	return out.Bytes(), nil
}

// clip bounds a text for a message.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + " …"
}

// generation is a set of speakers.
type generation int

const (
	installed generation = iota // Debian's packages on this machine
	newer                       // unpacked from the following release
)

// newerRoot is where scripts/install-test-deps.sh unpacks the newer speakers.
func newerRoot() string {
	if dir := os.Getenv("RIBTAP_SPEAKERS"); dir != "" {
		return dir
	}
	return "/opt/ribtap-speakers"
}

// command is the command line that runs a program of the generation. A newer
// one needs its own libraries, so it runs in a chroot inside a mount namespace
// that shows this machine's /tmp; exec keeps the process id.
func (g generation) command(t *testing.T, argv ...string) []string {
	t.Helper()
	if g == installed {
		if _, err := exec.LookPath(argv[0]); err != nil {
			t.Fatalf("%v", missing(err))
		}
		return argv
	}
	root := newerRoot()
	if _, err := os.Stat(filepath.Join(root, ".complete")); err != nil {
		t.Fatalf("the newer BGP speakers are not in %s: run scripts/install-test-deps.sh", root)
	}
	const enter = `root=$1; shift
mount --bind /tmp "$root/tmp" && mount --rbind /dev "$root/dev" && mount --rbind /proc "$root/proc" && exec chroot "$root" "$@"`
	return append([]string{"unshare", "--mount", "--propagation", "private", "sh", "-c", enter, "sh", root}, argv...)
}

func itoa(n uint32) string { return fmt.Sprint(n) }
