//go:build integration

package deploy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// command runs a program to its end.
func command(t *testing.T, argv ...string) string {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = ".."
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", argv, err, out)
	}
	return string(out)
}

func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "ribtap")
	command(t, "go", "build", "-o", binary, "./cmd/ribtap")
	return binary
}

// answers waits for an HTTP answer.
func answers(t *testing.T, url string) string {
	t.Helper()
	var err error
	for range 200 {
		var r *http.Response
		if r, err = http.Get(url); err == nil {
			b, rerr := io.ReadAll(r.Body)
			_ = r.Body.Close()
			if rerr == nil && r.StatusCode == http.StatusOK {
				return string(b)
			}
			err = fmt.Errorf("%s %s", r.Status, b)
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%s: %v", url, err)
	return ""
}

// The package is installed in a Debian root that has nothing but a shell; what its unit
// starts answers there; removed, it leaves data and configuration.
func TestDebianPackage(t *testing.T) {
	command(t, "make", "build")
	command(t, "scripts/packages.sh", "1.2.3", "deb")
	debs, err := filepath.Glob("../dist/ribtap_1.2.3_*.deb")
	if err != nil || len(debs) != 1 {
		t.Fatalf("%v, %v", debs, err)
	}
	root := t.TempDir()
	deb, err := filepath.Abs(debs[0])
	if err != nil {
		t.Fatal(err)
	}
	command(t, "mmdebstrap", "--quiet", "--variant=essential", "bookworm", root)
	command(t, "cp", deb, filepath.Join(root, "ribtap.deb"))
	in := func(argv ...string) string {
		t.Helper()
		return command(t, append([]string{"chroot", root}, argv...)...)
	}
	in("dpkg", "-i", "/ribtap.deb")
	unit, err := os.ReadFile(filepath.Join(root, "usr/lib/systemd/system/ribtap.service"))
	if err != nil {
		t.Fatal(err)
	}
	start := regexp.MustCompile(`(?m)^ExecStart=(.*)$`).FindSubmatch(unit)
	if start == nil {
		t.Fatalf("the unit starts nothing:\n%s", unit)
	}
	http, bmp := freePort(t), freePort(t)
	argv := append(strings.Fields(string(start[1])), "--http-listen", http, "--bmp-listen", bmp, "--bgp-listen", "127.0.0.1:0")
	cmd := exec.Command("chroot", append([]string{root}, argv...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	t.Cleanup(func() {
		if !stopped {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	answers(t, "http://"+http+"/readyz")
	if page := answers(t, "http://"+http+"/"); !strings.Contains(page, "app.js") {
		t.Errorf("the page is %s", page)
	}
	if s := in("/usr/bin/ribtap", "status", "--url", http); !strings.Contains(s, "rt1") {
		t.Errorf("status: %s", s)
	}
	if s := in("/usr/bin/ribtap", "version"); !strings.Contains(s, "VERSION") {
		t.Errorf("version: %s", s)
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	stopped = true
	if err := cmd.Wait(); err != nil {
		t.Errorf("the service ends with %v", err)
	}
	in("dpkg", "-r", "ribtap")
	for path, want := range map[string]bool{"var/lib/ribtap/history.db": true, "etc/ribtap/ribtap.yaml": true, "usr/bin/ribtap": false, "usr/lib/systemd/system/ribtap.service": false} {
		if _, err := os.Stat(filepath.Join(root, path)); (err == nil) != want {
			t.Errorf("after its removal %s: %v", path, err)
		}
	}
}

// systemd finds nothing wrong with the units.
func TestUnits(t *testing.T) {
	dir := t.TempDir()
	binary := build(t)
	for _, name := range []string{"ribtap.service", "ribtap.socket"} {
		b, err := os.ReadFile("systemd/" + name)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(string(b), "/usr/bin/ribtap", binary)), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", filepath.Join(dir, "ribtap.service"), filepath.Join(dir, "ribtap.socket")).CombinedOutput()
	if err != nil || strings.Contains(string(out), "ribtap") {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
}

// The service manager is told when routers may come, that all is well, and the end.
func TestNotify(t *testing.T) {
	binary := build(t)
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	station := freePort(t)
	cmd := exec.Command(binary, "run", "--data-dir", t.TempDir(), "--bmp-listen", station, "--bgp-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=400000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	var told []string
	await := func(what string) {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4096)
		for {
			n, err := conn.Read(b)
			if err != nil {
				t.Fatalf("not told %s: %v; told %q", what, err, told)
			}
			told = append(told, string(b[:n]))
			if strings.Contains(string(b[:n]), what) {
				return
			}
		}
	}
	await("READY=1")
	c, err := net.Dial("tcp", station)
	if err != nil {
		t.Errorf("ready, and nobody at %s: %v", station, err)
	} else {
		_ = c.Close()
	}
	for range 3 {
		await("WATCHDOG=1")
	}
	if s := strings.Join(told, "\n"); !strings.Contains(s, "STATUS=0 routers, 0 peers up") {
		t.Errorf("told %s", s)
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	await("STOPPING=1")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// systemd's sockets are used for all three ports: ribtap starts with the first
// connection, which none of the listeners refuses, and answers there.
func TestSocketActivation(t *testing.T) {
	binary := build(t)
	station, speaker, api := freePort(t), freePort(t), freePort(t)
	cmd := exec.Command("systemd-socket-activate", "-l", station, "-l", speaker, "-l", api, binary, "run", "--data-dir", t.TempDir(),
		"--bmp-listen", station, "--bgp-listen", speaker, "--http-listen", api)
	log := &strings.Builder{}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	defer func() {
		if !ended {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}()
	answers(t, "http://"+api+"/readyz")
	for _, addr := range []string{station, speaker} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if s := answers(t, "http://"+api+"/v1/config"); !strings.Contains(s, station) {
		t.Errorf("config: %s", s)
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	ended = true
	if err := cmd.Wait(); err != nil || strings.Contains(log.String(), "in use") || strings.Contains(log.String(), "no listen address is for") {
		t.Errorf("%v: %s", err, log)
	}
}
