//go:build drill

package drill

import (
	"encoding/json"
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

// BenchmarkNeighborTable has a BIRD announce a full table by BGP to ribtap, and
// then another one to a GoBGP that waits for it in the same way. x-gobgp is the
// time until ribtap has the last route in units of that until GoBGP has it; both
// begin when BIRD's session is enabled.
func BenchmarkNeighborTable(b *testing.B) {
	routes := scale(50_000, 1_230_000)
	var ours time.Duration
	b.Run("ribtap", func(b *testing.B) {
		for b.Loop() {
			ours = feedTime(b, routes, func(addr string) func() error { return startCollector(b, addr, routes) })
		}
		b.ReportMetric(ours.Seconds(), "s")
		b.ReportMetric(float64(routes)/ours.Seconds(), "routes/s")
	})
	b.Run("gobgp", func(b *testing.B) {
		var theirs time.Duration
		for b.Loop() {
			theirs = feedTime(b, routes, func(addr string) func() error { return startGoBGP(b, addr, routes) })
		}
		b.ReportMetric(theirs.Seconds(), "s")
		b.ReportMetric(ours.Seconds()/theirs.Seconds(), "x-gobgp")
	})
}

// startCollector starts ribtap, and says when it has the table.
func startCollector(b *testing.B, addr string, routes int) (done func() error) {
	b.Helper()
	d := launch(b, filepath.Join(b.TempDir(), "data"), speaksAt(b, addr, "  peers: [{name: bird, address: 127.0.12.9, remote_asn: external}]\n"))
	<-d.announced
	if d.bmp == "" {
		b.Fatalf("ribtap does not start: %s", d.last(4000))
	}
	return func() error {
		s, err := d.status()
		if err == nil && s.Routes < routes {
			err = fmt.Errorf("%d routes", s.Routes)
		}
		return err
	}
}

// feedTime is how long it takes from BIRD's first word until done is content.
func feedTime(b *testing.B, routes int, start func(addr string) (done func() error)) time.Duration {
	b.Helper()
	addr := "127.0.0.1:" + freePort(b)
	done := start(addr)
	dir := b.TempDir()
	_, port, _ := net.SplitHostPort(addr)
	var table strings.Builder
	for i := range routes {
		fmt.Fprintf(&table, "route %d.%d.%d.%d/32 blackhole { bgp_path.prepend(%d); bgp_path.prepend(%d); };\n",
			20+i>>24, i>>16&0xff, i>>8&0xff, i&0xff, 1000+i%7_000, 100_000+i%30_000)
	}
	conf := fmt.Sprintf(`log stderr all;
router id 10.0.0.12;
protocol device { }
protocol static full {
  ipv4;
  include "%s";
}
protocol bgp up {
  disabled; local 127.0.12.9 port %s as 65101; neighbor 127.0.0.1 port %s as 64512; multihop; strict bind on;
  connect delay time 0; connect retry time 1;
  ipv4 { import none; export filter { bgp_next_hop = 192.0.2.9; accept; }; };
}
`, filepath.Join(dir, "table"), freePort(b), port)
	for name, text := range map[string]string{"table": table.String(), "bird.conf": conf} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	ctl := filepath.Join(dir, "ctl")
	runProgram(b, "bird", "-f", "-c", filepath.Join(dir, "bird.conf"), "-s", ctl)
	ask := func(words ...string) (string, error) {
		out, err := exec.Command("birdc", append([]string{"-s", ctl}, words...)...).CombinedOutput()
		return string(out), err
	}
	await(b, "BIRD's table", time.Minute, func() error {
		out, err := ask("show", "route", "count")
		if err == nil && !strings.Contains(out, strconv.Itoa(routes)+" of") {
			err = fmt.Errorf("%s", out)
		}
		return err
	})
	begin := time.Now()
	if out, err := ask("enable", "up"); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	await(b, "the table at the other end", 15*time.Minute, done)
	return time.Since(begin)
}

func freePort(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	return port
}

// runProgram runs a program until the benchmark ends.
func runProgram(b *testing.B, argv ...string) {
	b.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stderr = b.Output()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		b.Fatalf("%v; run scripts/install-test-deps.sh", err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// startGoBGP starts one that waits for BIRD, and says when it has the table.
func startGoBGP(b *testing.B, addr string, routes int) (done func() error) {
	b.Helper()
	host, port, _ := net.SplitHostPort(addr)
	apiPort := freePort(b)
	conf := filepath.Join(b.TempDir(), "gobgpd.toml")
	text := fmt.Sprintf(`[global.config]
  as = 64512
  router-id = "10.0.0.13"
  port = %s
  local-address-list = [%q]
[[neighbors]]
  [neighbors.config]
    neighbor-address = "127.0.12.9"
    peer-as = 65101
  [neighbors.transport.config]
    passive-mode = true
  [neighbors.ebgp-multihop.config]
    enabled = true
    multihop-ttl = 255
`, port, host)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
	runProgram(b, "gobgpd", "-f", conf, "--api-hosts", "127.0.0.1:"+apiPort, "--log-level", "error", "--pprof-disable")
	ask := func() (n int, err error) {
		out, err := exec.Command("gobgp", "-p", apiPort, "-j", "neighbor", "127.0.12.9").Output()
		if err != nil {
			return 0, err
		}
		var s struct {
			AfiSafis []struct {
				State struct {
					Received int `json:"received"`
				} `json:"state"`
			} `json:"afi_safis"`
		}
		if err := json.Unmarshal(out, &s); err != nil {
			return 0, err
		}
		for _, f := range s.AfiSafis {
			n += f.State.Received
		}
		return n, nil
	}
	await(b, "GoBGP", 20*time.Second, func() error { _, err := ask(); return err })
	return func() error {
		time.Sleep(250 * time.Millisecond) // a question costs it something
		n, err := ask()
		if err == nil && n < routes {
			err = fmt.Errorf("%d routes", n)
		}
		return err
	}
}
