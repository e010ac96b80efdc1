//go:build integration

package deploy

import (
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	yaml "go.yaml.in/yaml/v3"

	"github.com/ribtap/ribtap/bmp"
	"github.com/ribtap/ribtap/history/historytest"
)

// run starts a program that ends with the test.
func run(t *testing.T, argv ...string) {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	logFile, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = logFile, logFile
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if b, err := os.ReadFile(logFile.Name()); t.Failed() && err == nil {
			t.Logf("%s:\n%.3000s", argv[0], b)
		}
	})
}

func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// strange says to the station what its metrics have no series for until it was said
// once: what cannot be read, an UPDATE with an error, a message out of place.
func strange(t *testing.T, addr string) {
	t.Helper()
	say := func(b []byte) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	say([]byte("GET / HTTP/1.1\r\n\r\n"))
	peer := &bmp.PeerHeader{Address: netip.MustParseAddr("192.0.2.77"), ASN: 65001, BGPID: netip.MustParseAddr("192.0.2.77")}
	b := bmp.AppendInitiation(nil, bmp.TextTLV(bmp.InfoSysDescr, "x"), bmp.TextTLV(bmp.InfoSysName, "strange"))
	attrs := historytest.Attributes([]uint32{65001})
	b = bmp.AppendRouteMonitoring(b, peer, historytest.Announce(attrs, historytest.Prefixes("10.9.0.0/16")...))
	attrs[3] = 9 // ORIGIN
	say(bmp.AppendRouteMonitoring(b, peer, historytest.Announce(attrs, historytest.Prefixes("10.9.0.0/16")...)))
}

// prometheus is a real one that scrapes a real ribtap with the demo in it.
func prometheus(t *testing.T) (ask func(path string, params url.Values, v any)) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "ribtap")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/ribtap/ribtap/cmd/ribtap").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	station, api, prom := freePort(t), freePort(t), freePort(t)
	run(t, binary, "demo", "--data-dir", t.TempDir(), "--bmp-listen", station, "--http-listen", api, "--bgp-listen", "127.0.0.1:0")
	dir := t.TempDir()
	text, err := os.ReadFile("prometheus/prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	config := strings.NewReplacer("15s", "1s", "127.0.0.1:8080", api).Replace(string(text))
	rules, err := os.ReadFile("prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"prometheus.yml": []byte(config + "\n"), "rules.yml": rules} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "prometheus", "--config.file", filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path", t.TempDir(), "--web.listen-address", prom)
	ask = func(path string, params url.Values, v any) {
		t.Helper()
		r, err := http.Get("http://" + prom + "/api/v1/" + path + "?" + params.Encode())
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		answer := struct {
			Status, Error string
			Data          any
		}{Data: v}
		if err := json.NewDecoder(r.Body).Decode(&answer); err != nil || answer.Status != "success" {
			t.Fatalf("%s %v: %v %s", path, params, err, answer.Error)
		}
	}
	await := func(what string, ok func() bool) {
		t.Helper()
		for range 300 {
			if ok() {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Fatalf("%s: waited for in vain", what)
	}
	await("ribtap", func() bool {
		conn, err := net.Dial("tcp", station)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	strange(t, station)
	await("Prometheus", func() bool {
		conn, err := net.Dial("tcp", prom)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	await("samples", func() bool {
		var v struct{ Result []json.RawMessage }
		ask("query", url.Values{"query": {"count_over_time(ribtap_routes[1m]) > 8"}}, &v)
		return len(v.Result) > 0
	})
	return ask
}

// Every expression of the dashboard has an answer, and every metric of the alerts.
func TestExpressions(t *testing.T) {
	ask := prometheus(t)
	values := func(expr string) int {
		t.Helper()
		var v struct{ Result []json.RawMessage }
		ask("query", url.Values{"query": {expr}}, &v)
		return len(v.Result)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	text, err := os.ReadFile("grafana/dashboards/ribtap.json")
	if err == nil {
		err = json.Unmarshal(text, &board)
	}
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			asked++
			expr := strings.NewReplacer("$__rate_interval", "30s", "$instance", ".*").Replace(target.Expr)
			if values(expr) == 0 {
				t.Errorf("the panel %q has nothing to show: %s", p.Title, expr)
			}
		}
	}
	if asked < 25 {
		t.Errorf("only %d expressions", asked)
	}

	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	text, err = os.ReadFile("prometheus/rules.yml")
	if err == nil {
		err = yaml.Unmarshal(text, &rules)
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("promtool", "check", "rules", "prometheus/rules.yml").CombinedOutput(); err != nil {
		t.Errorf("promtool: %v: %s", err, out)
	}
	for _, r := range rules.Groups[0].Rules {
		values(r.Expr) // can be evaluated
		for _, metric := range regexp.MustCompile(`\b(ribtap_\w+|up)\b`).FindAllString(r.Expr, -1) {
			if values(metric) == 0 {
				t.Errorf("%s is about %s, which there is not", r.Alert, metric)
			}
		}
	}
	var loaded struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError, State string }
		}
	}
	ask("rules", nil, &loaded)
	if len(loaded.Groups) != 1 || len(loaded.Groups[0].Rules) != len(rules.Groups[0].Rules) {
		t.Errorf("Prometheus has the rules %+v", loaded)
	}
	for _, r := range loaded.Groups[0].Rules {
		if r.Health == "err" || r.State == "firing" {
			t.Errorf("%s is %s, %s: %s", r.Name, r.State, r.Health, r.LastError)
		}
	}
}
