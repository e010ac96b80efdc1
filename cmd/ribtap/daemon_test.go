package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ribtap/ribtap/bmp"
)

// TestDaemonEndToEnd: a router connects, is heard, and goes; the stream has all
// of it; the daemon ends with 0 and the stream verifies.
func TestDaemonEndToEnd(t *testing.T) {
	dir := isolated(t)
	d := startDaemon(t, filepath.Join(dir, "data"))
	rec := writeFile(t, dir, "edge1.bmp", demoRecordings(time.Now())[0])
	ribtap(t, "replay", rec, "--to", d.bmp, "--down").must(t, exitOK)

	kinds := map[string]int{}
	lines := d.follow(t, func(line string) bool { return strings.HasPrefix(line, `{"kind":"router-down"`) }, "--from", "1")
	sequence := uint64(0)
	for _, line := range lines {
		var e struct {
			Kind     string
			Sequence uint64
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		kinds[e.Kind]++
		if e.Sequence != sequence+1 {
			t.Errorf("sequence %d follows %d", e.Sequence, sequence)
		}
		sequence = e.Sequence
	}
	if kinds["router-up"] != 1 || kinds["peer-up"] != 2 || kinds["peer-down"] != 2 || kinds["router-down"] != 1 || kinds["stats"] != 2 || kinds["route"] < 900 {
		t.Errorf("kinds: %v", kinds)
	}

	var st status
	if err := json.Unmarshal([]byte(ribtap(t, "status", "-o", "json", "--url", d.http).must(t, exitOK).stdout), &st); err != nil {
		t.Fatal(err)
	}
	if st.Collector != "rt1" || st.Stream.LastSequence < sequence || st.PeersUp != 0 || st.Routes != 0 || len(st.Sinks) == 0 {
		t.Errorf("status: %+v", st)
	}
	if out := ribtap(t, "status", "--url", d.http).must(t, exitOK).stdout; !strings.Contains(out, "SINK") {
		t.Errorf("status table: %s", out)
	}
	if code := d.stop(t); code != exitOK {
		t.Errorf("exit code %d: %s", code, d.stderr())
	}
	ribtap(t, "stream", "verify", "--data-dir", d.dir).must(t, exitOK)
	out := ribtap(t, "stream", "inspect", "--data-dir", d.dir, "203.0.113.0/24", "--rib", "adj-rib-in-pre", "--asn", "AS64511").must(t, exitOK).stdout
	if n := strings.Count(out, "\n"); n != 5 { // four announcements, and the withdrawal at the end
		t.Errorf("%d events of the moved prefix:\n%s", n, out)
	}
}

// TestTailFilters: the stream is filtered at the daemon.
func TestTailFilters(t *testing.T) {
	dir := isolated(t)
	d := startDaemon(t, filepath.Join(dir, "data"))
	for _, rec := range demoRecordings(time.Now()) {
		ribtapIn(t, rec, "replay", "-", "--to", d.bmp, "--down").must(t, exitOK)
	}
	until := func(n int) func(string) bool {
		return func(string) bool { n--; return n == 0 }
	}
	args := []string{"--from", "1", "198.51.100.0/24", "--router", "edge2.demo", "--peer", "192.0.2.22", "--rib", "adj-rib-in-post"}
	for i, line := range d.follow(t, until(9), args...) { // five announcements, four withdrawals between
		if got := strings.Contains(line, `"action":"announce"`); got != (i%2 == 0) {
			t.Errorf("line %d: %s", i, line)
		}
	}
	args = append(args, "--community", "64500:1000", "--as-path", "_64497$", "--origin-as", "64497", "--family", "ipv4-unicast", "--match", "exact")
	for _, line := range d.follow(t, until(5), args...) {
		if !strings.Contains(line, `"as_path":"64520 64497"`) {
			t.Errorf("line: %s", line)
		}
	}
}

// TestReadyAndAuthorization goes through the HTTP side with a token.
func TestReadyAndAuthorization(t *testing.T) {
	dir := isolated(t)
	token := writeFile(t, dir, "token", []byte("0123456789abcdef0123\n"))
	d := startDaemon(t, filepath.Join(dir, "data"), "--http-token-file", token)
	for path, want := range map[string]int{
		"/healthz": 200, "/readyz": 200, "/metrics": 401, "/v1/status": 401, "/v1/tail": 401, "/nothing": 404,
		"/ribtap.v1.CollectorService/GetStatus": 401, "/ribtap.v1.CollectorService/Watch": 401, "/ribtap.v1.CollectorService/Sync": 401,
	} {
		resp, err := http.Get("http://" + d.http + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s answers %d, want %d", path, resp.StatusCode, want)
		}
	}
	r := ribtap(t, "status", "--url", d.http).must(t, exitFailure)
	if !strings.Contains(r.stderr, "--token-file") {
		t.Errorf("stderr: %s", r.stderr)
	}
	ribtap(t, "status", "--url", d.http, "--token-file", token).must(t, exitOK)
	t.Setenv("RIBTAP_TOKEN_FILE", token)
	ribtap(t, "status", "--url", d.http).must(t, exitOK)
}

// TestLoopbackGuards: without a token, foreign pages get nowhere.
func TestLoopbackGuards(t *testing.T) {
	dir := isolated(t)
	d := startDaemon(t, filepath.Join(dir, "data"))
	for _, c := range []struct {
		method, host, origin string
		want                 int
	}{
		{"GET", "", "", 200},
		{"GET", "localhost:1", "", 200},
		{"GET", "rebound.example.net", "", 403},
		{"POST", "", "http://rebound.example.net", 403},
	} {
		path := "/v1/status"
		if c.method == "POST" {
			path = "/v1/import"
		}
		req, err := http.NewRequest(c.method, "http://"+d.http+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = c.host
		if c.origin != "" {
			req.Header.Set("Origin", c.origin)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%+v answers %d", c, resp.StatusCode)
		}
	}
}

// TestMetricNames holds the names that dashboards use.
func TestMetricNames(t *testing.T) {
	dir := isolated(t)
	d := startDaemon(t, filepath.Join(dir, "data"))
	ribtapIn(t, demoRecordings(time.Now())[0], "replay", "-", "--to", d.bmp).must(t, exitOK)
	d.follow(t, func(line string) bool { return strings.Contains(line, `"kind":"router-down"`) }, "--from", "1")
	resp, err := http.Get("http://" + d.http + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		`ribtap_bmp_messages_total{type="route-monitoring"}`, "ribtap_bmp_sessions", `ribtap_bgp_sessions{state="established"}`, `ribtap_events_total{kind="route"}`,
		"ribtap_stream_last_sequence", `ribtap_sink_committed_sequence{sink="sqlite"}`, `ribtap_sink_lag_events{sink="sqlite"}`,
		`ribtap_sink_lag_seconds{sink="sqlite"}`, "ribtap_build_info",
	} {
		if !bytes.Contains(text, []byte("\n"+name)) {
			t.Errorf("no %s", name)
		}
	}
}

// TestCannotStart: what cannot work is said before a session is accepted.
func TestCannotStart(t *testing.T) {
	dir := isolated(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free := []string{"--bmp-listen", "127.0.0.1:0", "--http-listen", ""}
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"http port taken":    {[]string{"--http-listen", taken.Addr().String(), "--bmp-listen", "127.0.0.1:0"}, exitFailure, "address already in use"},
		"bmp port taken":     {[]string{"--http-listen", "", "--bmp-listen", taken.Addr().String()}, exitFailure, "address already in use"},
		"bgp port taken":     {append([]string{"--bgp-listen", taken.Addr().String()}, free...), exitFailure, "bgp.listen"},
		"no such config":     {append(free, "--config", "missing.yaml"), exitConfig, "missing.yaml"},
		"bad address":        {[]string{"--bmp-listen", "nowhere"}, exitConfig, "bmp.listen (flag --bmp-listen)"},
		"data_dir is file":   {append(free, "--data-dir", writeFile(t, dir, "file", nil)), exitFailure, "data_dir"},
		"open without token": {[]string{"--http-listen", "0.0.0.0:0"}, exitConfig, "http.token_file"},
		"no such flag":       {[]string{"--bmp-lisen", "x"}, exitUsage, "unknown flag"},
		"argument":           {[]string{"what"}, exitUsage, "what"},
	} {
		t.Run(name, func(t *testing.T) {
			r := ribtap(t, append([]string{"run"}, c.args...)...).must(t, c.code)
			if !strings.Contains(r.stderr, c.says) || strings.Contains(r.stderr, "  BMP ") || r.stdout != "" {
				t.Errorf("stderr: %s\nstdout: %s", r.stderr, r.stdout)
			}
		})
	}
}

func TestDataDirInUse(t *testing.T) {
	dir := isolated(t)
	d := startDaemon(t, filepath.Join(dir, "data"))
	r := ribtap(t, "run", "--data-dir", d.dir, "--bmp-listen", "127.0.0.1:0", "--http-listen", "").must(t, exitFailure)
	if !strings.Contains(r.stderr, "in use by another ribtap") {
		t.Errorf("stderr: %s", r.stderr)
	}
}

// TestReload: what can be applied is, the rest is named, and a wrong file
// changes nothing.
func TestReload(t *testing.T) {
	dir := isolated(t)
	path := writeFile(t, dir, "ribtap.yaml", []byte("log: {level: info}\n"))
	var text bytes.Buffer
	a := &app{stderr: io.Discard, flags: overrides{"data_dir": {"data-dir", filepath.Join(dir, "data")}}}
	s, err := a.config()
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(&text, nil))
	n, err := openNode(t.Context(), s, slog.New(slog.DiscardHandler), nodeOffline)
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	level := new(slog.LevelVar)
	s.setLevel(level)
	live := newLiveConfig(a, n, level, log)

	writeFile(t, dir, filepath.Base(path), []byte("log: {level: debug}\nbmp: {allow: [10.0.0.0/8], max_sessions: 5}\n"))
	live.reload()
	if level.Level() != slog.LevelDebug {
		t.Error("the level did not change")
	}
	if got := text.String(); !strings.Contains(got, `changed="bmp.allow log.level"`) || !strings.Contains(got, `needs_restart=bmp.max_sessions`) {
		t.Errorf("log: %s", got)
	}
	text.Reset()
	s = live.s
	writeFile(t, dir, filepath.Base(path), []byte("log: {level: warn}\nnonsense: 1\n"))
	if live.reload(); live.s != s || level.Level() != slog.LevelDebug {
		t.Error("a wrong configuration took effect")
	}
	if !strings.Contains(text.String(), "nonsense") {
		t.Errorf("log: %s", text.String())
	}
}

// TestDemo: the demo plays by itself and leaves nothing behind.
func TestDemoRecordingsAreSound(t *testing.T) {
	dir := isolated(t)
	for i, rec := range demoRecordings(time.Now()) {
		r := ribtapIn(t, rec, "import", "-", "--router", []string{"a", "b"}[i], "--data-dir", filepath.Join(dir, "data")).must(t, exitOK)
		if !strings.Contains(r.stderr, " 0 damaged") {
			t.Errorf("stderr: %s", r.stderr)
		}
	}
	out := ribtap(t, "stream", "inspect", "--data-dir", filepath.Join(dir, "data")).must(t, exitOK).stdout
	for _, word := range []string{"findings", `"anomaly"`, `"kind":"unknown"`, `"peer-unknown"`} {
		if i := strings.Index(out, word); i >= 0 {
			t.Errorf("%s in %s", word, out[max(0, i-600):i+100])
		}
	}
}

// TestReplayTermination: a router that says goodbye in its recording is hung up on,
// which is how the recording ends and no failure.
func TestReplayTermination(t *testing.T) {
	ours, theirs := net.Pipe()
	go func() {
		r := bmp.NewReader(theirs, 1<<16)
		for {
			raw, err := r.Next()
			if err != nil {
				return
			}
			if m, err := bmp.Parse(raw); err == nil && m.Type == bmp.TypeTermination {
				_ = theirs.Close()
				return
			}
		}
	}()
	rec := bmp.AppendInitiation(nil, bmp.TextTLV(bmp.InfoSysDescr, "x"), bmp.TextTLV(bmp.InfoSysName, "r"))
	rec = bmp.AppendTermination(rec, bmp.TextTLV(bmp.TerminationString, "bye"))
	if _, err := replay(t.Context(), ours, bytes.NewReader(rec), replayOptions{Hold: time.Hour}); err != nil {
		t.Error(err)
	}
}

// TestUnreachable: commands that need the daemon say so with 5.
func TestUnreachable(t *testing.T) {
	isolated(t)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := gone.Addr().String()
	gone.Close()
	file := writeFile(t, t.TempDir(), "new.yaml", nil)
	commands := [][]string{
		{"status"},
		{"tail"},
		{"peer", "refresh", "x"},
		{"announce", "192.0.2.0/24", "--all"},
		{"withdraw", "192.0.2.0/24", "--all"},
		{"announce", "--list"},
		{"config", "apply", file},
		{"config", "rollback", "1"},
	}
	for _, args := range commands {
		r := ribtap(t, append(args, "--url", addr)...).must(t, exitUnreachable)
		if strings.Count(r.stderr, "\n") != 1 || r.stdout != "" {
			t.Errorf("%v: %s", args, r.stderr)
		}
	}
}

// TestTailCut: a client that falls behind is cut with a reason, by lag.
func TestTailCut(t *testing.T) {
	dir := isolated(t)
	a := &app{stderr: io.Discard, flags: overrides{"data_dir": {"data-dir", filepath.Join(dir, "data")}}}
	s, err := a.config()
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	n, err := openNode(t.Context(), s, log, nodeOffline)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer n.stop()
	srv := &server{node: n, log: log, stopping: t.Context().Done(), tails: newTails(n.reg)}
	srv.tails.limits.lag = 10
	im := newImporter(n.col, s.DataDir)
	add := func(name string, updates int) {
		f, err := os.Open(writeFile(t, dir, name, testUpdates(updates)))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := im.run(t.Context(), f, name, "r", nil); err != nil {
			t.Error(err)
		}
	}
	add("first", 3)
	// The writer stands for a client that reads one batch and then sleeps while
	// much more comes.
	w := &slowWriter{header: http.Header{}, onWrite: func(writes int) {
		if writes == 1 {
			add("second", 100_000)
		}
	}}
	out := newLineWriter(w, framing{})
	m := &matcher{}
	reason := srv.follow(t.Context(), out, 1, m, false)
	if !strings.Contains(reason, "too slow") || !strings.Contains(reason, "from=") {
		t.Errorf("reason: %q", reason)
	}
}

// slowWriter is a client; onWrite is called in each Write with their number.
type slowWriter struct {
	header  http.Header
	writes  int
	onWrite func(int)
}

func (w *slowWriter) Header() http.Header              { return w.header }
func (w *slowWriter) WriteHeader(int)                  {}
func (w *slowWriter) FlushError() error                { return nil }
func (w *slowWriter) SetWriteDeadline(time.Time) error { return nil }

func (w *slowWriter) Write(b []byte) (int, error) {
	w.writes++
	w.onWrite(w.writes)
	return len(b), nil
}

// TestHelpNamesEveryCommand holds the commands that scripts call.
func TestHelpNamesEveryCommand(t *testing.T) {
	isolated(t)
	help := ribtap(t, "help").must(t, exitOK).stdout
	for _, name := range []string{
		"run", "demo", "import", "replay", "routes", "history", "diff", "peers", "routers", "stats", "status", "tail",
		"announce", "withdraw", "peer", "config", "stream", "snippet", "doctor", "version", "completion",
	} {
		if !slices.ContainsFunc(strings.Split(help, "\n"), func(l string) bool { return strings.HasPrefix(l, "  "+name+" ") }) {
			t.Errorf("help does not name %s", name)
		}
	}
}
