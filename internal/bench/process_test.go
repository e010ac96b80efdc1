//go:build bench

package bench

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is a running program in a process group of its own.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  string // file with what it says
	gone chan struct{}
}

// run starts a program with nothing of the environment that could configure it.
// It ends with the test at the latest.
func run(t *testing.T, env []string, argv ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(argv[0], argv[1:]...), gone: make(chan struct{})}
	p.cmd.Dir = t.TempDir()
	p.log = filepath.Join(p.cmd.Dir, "log")
	// A file, because a pipe would cost the program more.
	out, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.cmd.Dir, "TMPDIR=" + os.TempDir()}, env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.gone)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("the last words of %s: %s", filepath.Base(argv[0]), p.words())
		}
	})
	return p
}

// words is the end of what the program said.
func (p *process) words() string {
	b, _ := os.ReadFile(p.log) // its directory may be gone
	return string(b[max(0, len(b)-2000):])
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// kill ends the whole group at once and waits.
func (p *process) kill() {
	_ = syscall.Kill(-p.pid(), syscall.SIGKILL) // it may be gone
	<-p.gone
}

// stop asks the program to end, and makes it after a while.
func (p *process) stop() {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.gone:
	case <-time.After(time.Minute):
		p.kill()
	}
}

// ended reports whether the program has ended.
func (p *process) ended() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

// usage is what a process group has used so far.
type usage struct {
	cpu     time.Duration // with that of children that were waited for
	peak    int64         // octets: the largest VmHWM of its processes
	now     int64         // octets resident, of all its processes
	written int64         // octets that went to a file system
}

const tick = 10 * time.Millisecond // of /proc/PID/stat; USER_HZ is 100 on Linux

// used adds up the group.
func (p *process) used() (u usage) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // gone
		}
		// Behind the name, which may contain anything: see proc_pid_stat(5).
		field := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		const group, utime, cstime, rss = 5 - 3, 14 - 3, 17 - 3, 24 - 3
		if len(field) <= rss || field[group] != strconv.Itoa(p.pid()) {
			continue
		}
		for _, f := range field[utime : cstime+1] {
			u.cpu += time.Duration(number(f)) * tick
		}
		u.now += number(field[rss]) * int64(os.Getpagesize())
		dir := filepath.Dir(path)
		u.peak = max(u.peak, value(dir+"/status", "VmHWM:")<<10)
		u.written += value(dir+"/io", "write_bytes:")
	}
	return u
}

func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

// value is the number behind a word in a file of /proc; 0 where it is not.
func value(path, word string) int64 {
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == word {
			return number(f[1])
		}
	}
	return 0
}

// since is what was used after an earlier moment, with the peak until now.
func (u usage) since(before usage) usage {
	u.cpu -= before.cpu
	u.written -= before.written
	return u
}

// idle waits until the group has nothing to do: until neither its CPU time nor
// what it writes has moved for a second by more than idling explains. It returns
// the last moment at which one of them did, and what was used until then.
func (p *process) idle(limit time.Duration) (last time.Time, u usage) {
	p.t.Helper()
	const (
		window = 100 * time.Millisecond
		quiet  = time.Second
		busy   = window * 15 / 100
	)
	again := time.NewTicker(window)
	defer again.Stop()
	u = p.used()
	last = time.Now()
	for before, begin := u, last; time.Since(last) < quiet; {
		<-again.C
		now := p.used()
		if p.ended() {
			p.t.Fatalf("%s has ended", p.cmd.Path)
		}
		if now.cpu-before.cpu > busy || now.written-before.written > 1<<20 {
			last, u = time.Now(), now
		}
		before = now
		if time.Since(begin) > limit {
			p.t.Fatalf("%s is still busy after %v", p.cmd.Path, limit)
		}
	}
	return last, u
}

// finish waits for a program that ends by itself, and says what it used.
func (p *process) finish(limit time.Duration) (wall time.Duration, u usage) {
	p.t.Helper()
	begin := time.Now()
	again := time.NewTicker(tick)
	defer again.Stop()
	for !p.ended() {
		// The system's own figure of an ended process begins with its parent's memory.
		u.peak = max(u.peak, value(fmt.Sprintf("/proc/%d/status", p.pid()), "VmHWM:")<<10)
		if time.Since(begin) > limit {
			p.t.Fatalf("%s has not ended after %v", p.cmd.Path, limit)
		}
		select {
		case <-p.gone:
		case <-again.C:
		}
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Fatalf("%s: exit code %d: %s", p.cmd.Path, code, p.words())
	}
	r := p.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	const block = 512
	u.cpu, u.written = time.Duration(r.Utime.Nano()+r.Stime.Nano()), r.Oublock*block
	return time.Since(begin), u
}

// freePort is a port of the loopback interface that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// listens waits until somebody listens on a port. To connect would be a session.
func (p *process) listens(port int) {
	p.t.Helper()
	want, listening := fmt.Sprintf(":%04X", port), "0A"
	await(p.t, fmt.Sprintf("%s on port %d", p.cmd.Path, port), time.Minute, func() error {
		for _, path := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
			text, _ := os.ReadFile(path)
			for line := range strings.Lines(string(text)) {
				if f := strings.Fields(line); len(f) > 3 && strings.HasSuffix(f[1], want) && f[3] == listening {
					return nil
				}
			}
		}
		if p.ended() {
			p.t.Fatalf("%s has ended: %s", p.cmd.Path, p.words())
		}
		return fmt.Errorf("nobody listens")
	})
}

// await asks again and again until cond is content.
func await(t *testing.T, what string, limit time.Duration, cond func() error) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(limit); ; <-again.C {
		err := cond()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("no sign of %s after %v: %v", what, limit, err)
		}
	}
}
