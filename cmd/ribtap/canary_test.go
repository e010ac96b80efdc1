package main

import (
	"encoding/json"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// candidate writes a configuration that differs from twoPeers.
func candidate(t *testing.T, d *testDaemon, was, is string) string {
	t.Helper()
	text := strings.Replace(twoPeers, was, is, 1)
	if text == twoPeers {
		t.Fatalf("%q is not in the configuration", was)
	}
	return writeFile(t, filepath.Dir(d.dir), "candidate.yaml", []byte(text))
}

func (d *testDaemon) apply(t *testing.T, code int, args ...string) result {
	t.Helper()
	return ribtap(t, append(append([]string{"config", "apply"}, args...), "--url", d.http, "--data-dir", d.dir)...).must(t, code)
}

func (d *testDaemon) configHistory(t *testing.T) (list []configEntry) {
	t.Helper()
	out := ribtap(t, "config", "history", "-o", "json", "--data-dir", d.dir).must(t, exitOK).stdout
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

func readText(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestCanaryKeeps: a candidate that moves nothing stays, in the daemon's file too,
// although a session had to begin anew for it; and a rollback brings back what was.
func TestCanaryKeeps(t *testing.T) {
	d, path := startPeered(t, twoPeers)
	two := startNeighbour(t, d, 2, manyPrefixes(10)...)
	d.waitRoutes(t, "two", 10)
	file := candidate(t, d, "remote_asn: 65002", "remote_asn: 65002, hold_time: 60s")
	r := d.apply(t, exitOK, file, "--canary", "3s", "--max-change", "30%")
	if strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, "kept as 2; changed: bgp.peers; peers: two restarted") || r.stdout != "" {
		t.Errorf("stderr: %s", r.stderr)
	}
	if ups, _, _ := two.count(); ups != 2 {
		t.Errorf("%d sessions", ups)
	}
	if got := d.peer(t, "two"); *got.HoldTime != 60 {
		t.Errorf("hold time %d", *got.HoldTime)
	}
	if readText(t, path) != readText(t, file) {
		t.Error("the daemon's file is not the candidate")
	}
	d.waitLog(t, "configuration applied", "audit=apply")

	r = ribtap(t, "config", "rollback", "1", "--url", d.http, "--data-dir", d.dir).must(t, exitOK)
	if !strings.Contains(r.stderr, "kept as 3") || readText(t, path) != twoPeers {
		t.Errorf("stderr: %s\nfile: %s", r.stderr, readText(t, path))
	}
	d.waitRoutes(t, "two", 10)
	if got := d.peer(t, "two"); *got.HoldTime != 180 {
		t.Errorf("hold time %d", *got.HoldTime)
	}
	list := d.configHistory(t)
	if len(list) != 3 || list[0].By != "start" || list[1].By != "apply" || list[2].By != "rollback" || list[2].Number != 3 || !list[2].Kept {
		t.Errorf("history: %+v", list)
	}
	r = ribtap(t, "config", "rollback", "9", "--url", d.http).must(t, exitFailure)
	if !strings.Contains(r.stderr, "those from 1 to 3 are kept") {
		t.Errorf("stderr: %s", r.stderr)
	}
}

// TestCanaryReverts: a session that does not come back brings the configuration
// back that was, and the session with it.
func TestCanaryReverts(t *testing.T) {
	d, path := startPeered(t, twoPeers)
	startNeighbour(t, d, 2, manyPrefixes(10)...)
	d.waitRoutes(t, "two", 10)
	file := candidate(t, d, "remote_asn: 65002", "remote_asn: 65099") // not what the neighbour has
	r := d.apply(t, exitFailure, file, "--canary", "2s")
	if strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, "reverted: peer two (127.0.0.2): its session did not come back within 2s") {
		t.Errorf("stderr: %s", r.stderr)
	}
	d.waitLog(t, "configuration reverted", "audit=apply", "did not come back")
	d.waitRoutes(t, "two", 10)
	if readText(t, path) != twoPeers {
		t.Error("the daemon's file has changed")
	}
	// A file that was edited where it stands is as it was edited.
	if err := os.WriteFile(path, []byte(readText(t, file)), 0o600); err != nil {
		t.Fatal(err)
	}
	if r = d.apply(t, exitFailure, path, "--canary", "1s"); !strings.Contains(r.stderr, path+" still holds it") {
		t.Errorf("stderr: %s", r.stderr)
	}
	list := d.configHistory(t)
	if last := list[len(list)-1]; len(list) != 3 || last.Kept || last.Number != 0 || !strings.Contains(last.Why, "did not come back") {
		t.Errorf("history: %+v", list)
	}
	if _, err := os.Stat(filepath.Join(d.dir, "config", "2.yaml")); err == nil {
		t.Error("what was reverted was kept")
	}
}

// TestCanaryMaxChange: accepted routes that move too much do so as well, as soon as
// it is clear; and taking out a peer counts in the sum of all.
func TestCanaryMaxChange(t *testing.T) {
	d, _ := startPeered(t, twoPeers)
	two := startNeighbour(t, d, 2, manyPrefixes(10)...)
	d.waitRoutes(t, "two", 10)
	done := make(chan result, 1)
	file := candidate(t, d, "bgp:", "log: {level: debug}\nbgp:")
	go func() {
		done <- ribtap(t, "config", "apply", file, "--canary", "30s", "--max-change", "30", "--url", d.http, "-o", "json")
	}()
	d.waitLog(t, "session") // debug or not, the daemon runs
	time.Sleep(600 * time.Millisecond)
	// While a candidate is observed there is no other.
	if r := d.apply(t, exitFailure, file); !strings.Contains(r.stderr, "is being observed") {
		t.Errorf("stderr: %s", r.stderr)
	}
	two.announce(t, manyPrefixes(5)...)
	began := time.Now()
	r := (<-done).must(t, exitFailure)
	if !strings.Contains(r.stderr, "accepted routes went from 10 to 5, more than 30%") || time.Since(began) > 15*time.Second {
		t.Errorf("after %v: %s", time.Since(began), r.stderr)
	}
	var a applied
	if err := json.Unmarshal([]byte(r.stdout), &a); err != nil || a.Kept || a.Why == "" {
		t.Errorf("%v: %s", err, r.stdout)
	}
	file = writeFile(t, filepath.Dir(d.dir), "candidate.yaml", []byte("bgp: {peers: [{name: three, address: 127.0.0.3, remote_asn: external}]}\n"))
	if r := d.apply(t, exitFailure, file, "--canary", "1s"); !strings.Contains(r.stderr, "accepted routes of all peers went from 5 to 0") {
		t.Errorf("stderr: %s", r.stderr)
	}
	d.waitRoutes(t, "two", 5)
	d.apply(t, exitOK, file) // without a canary it is what was asked for
}

// TestCanaryStops: a daemon that ends while it observes has not kept the candidate.
func TestCanaryStops(t *testing.T) {
	d, path := startPeered(t, twoPeers)
	file := candidate(t, d, "remote_asn: 65002", "remote_asn: 65099")
	done := make(chan result, 1)
	go func() { done <- ribtap(t, "config", "apply", file, "--canary", "10m", "--url", d.http) }()
	d.waitLog(t, "bgp peer changed", "peer=two")
	if code := d.stop(t); code != exitOK {
		t.Errorf("exit code %d: %s", code, d.stderr())
	}
	(<-done).must(t, exitFailure)
	d.waitLog(t, "configuration reverted", "the collector stopped")
	if list := d.configHistory(t); len(list) != 2 || list[1].Kept || readText(t, path) != twoPeers {
		t.Errorf("history: %+v", list)
	}
}

// TestApplyWrong: what is wrong changes nothing.
func TestApplyWrong(t *testing.T) {
	d, path := startPeered(t, twoPeers)
	startNeighbour(t, d, 2, "203.0.113.0/24")
	d.waitRoutes(t, "two", 1)
	file := writeFile(t, filepath.Dir(d.dir), "wrong.yaml", []byte("bgp:\n  peers:\n    - {name: two, addrss: 127.0.0.2}\nlog: {level: loud}\n"))
	r := d.apply(t, exitConfig, file)
	if r.stderr != "ribtap: config: wrong.yaml:3: unknown key \"bgp.peers[0].addrss\"; nearest is \"bgp.peers[0].address\"\n" {
		t.Errorf("stderr: %s", r.stderr)
	}
	d.apply(t, exitFailure, filepath.Join(d.dir, "missing.yaml"))
	for _, args := range [][]string{{"--canary", "soon"}, {"--canary", "1ms"}, {"--max-change", "5%"}, {"--canary", "5s", "--max-change", "much"}} {
		d.apply(t, exitUsage, append([]string{file}, args...)...)
	}
	if d.peer(t, "two").State != "up" || readText(t, path) != twoPeers || len(d.configHistory(t)) != 1 {
		t.Error("something changed")
	}
}

// TestApplyWithoutFile: a daemon without a config file keeps what it is given while
// it runs, and says so.
func TestApplyWithoutFile(t *testing.T) {
	dir := isolated(t)
	d := startDaemon(t, filepath.Join(dir, "data"))
	r := d.apply(t, exitOK, writeFile(t, t.TempDir(), "new.yaml", []byte(twoPeers)))
	if !strings.Contains(r.stderr, "two added") || !strings.Contains(r.stderr, "in force until the daemon ends") {
		t.Errorf("stderr: %s", r.stderr)
	}
	startNeighbour(t, d, 2, "203.0.113.0/24")
	d.waitRoutes(t, "two", 1)
}

// TestCanaryJudges goes through what counts and when.
func TestCanaryJudges(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	up := func(routes int) sight { return sight{name: "a", enabled: true, up: true, synced: true, routes: routes} }
	down, dumping, disabled := up(0), up(10), up(0)
	down.up, dumping.synced, disabled.enabled, disabled.up = false, false, false, false
	other := up(900)
	other.name = "b"
	for name, c := range map[string]struct {
		was, is  sight
		now, end string // part of the reason, empty for none
	}{
		"same":            {up(100), up(100), "", ""},
		"a little less":   {up(100), up(70), "", ""},
		"less":            {up(100), up(69), "from 100 to 69", "from 100 to 69"},
		"more":            {up(100), up(131), "from 100 to 131", "from 100 to 131"},
		"from none":       {up(0), up(100), "", ""},
		"down":            {up(100), down, "", "did not come back"},
		"still dumping":   {up(100), dumping, "", "from 100 to 10"},
		"was down":        {down, down, "", ""},
		"disabled":        {up(100), disabled, "", ""},
		"disabled, large": {up(9000), disabled, "", "of all peers went from 9900 to 900"},
	} {
		t.Run(name, func(t *testing.T) {
			can := canary{Window: time.Minute, MaxChange: 30}
			was, is := map[netip.Addr]sight{a: c.was, b: other}, map[netip.Addr]sight{a: c.is, b: other}
			for end, want := range map[bool]string{false: c.now, true: c.end} {
				if got := can.judge(was, is, nil, end); got == "" != (want == "") || !strings.Contains(got, want) {
					t.Errorf("end=%v: %q, want %q", end, got, want)
				}
			}
		})
	}
	for _, c := range []canary{{Window: time.Millisecond}, {Window: 2 * time.Hour}, {MaxChange: -1}, {MaxChange: math.NaN()}} {
		if c.validate() == nil {
			t.Errorf("%+v is valid", c)
		}
	}
}

// TestSnapshotsAreBounded: the last 20 are kept, and the numbers go on.
func TestSnapshotsAreBounded(t *testing.T) {
	s := newSnapshots(t.TempDir())
	for i := range 25 {
		n, err := s.record(configEntry{By: "reload", Kept: true}, []byte(strings.Repeat("#", i)))
		if err != nil || n != i+1 {
			t.Fatalf("number %d, %v", n, err)
		}
	}
	if n, err := s.record(configEntry{By: "reload", Kept: true}, []byte(strings.Repeat("#", 24))); err != nil || n != 25 {
		t.Errorf("the same again is %d, %v", n, err)
	}
	numbers, err := s.numbers()
	if err != nil || len(numbers) != maxSnapshots || numbers[0] != 6 {
		t.Errorf("%v, %v", numbers, err)
	}
	if _, err := s.read(5); err == nil || !strings.Contains(err.Error(), "from 6 to 25") {
		t.Errorf("error: %v", err)
	}
	if info, err := os.Stat(s.path(25)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
