package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write golden files anew")

// configResult is what want.json holds of a case.
type configResult struct {
	Problems []string   `json:"problems,omitempty"`
	Warnings []string   `json:"warnings,omitempty"`
	Set      []shownKey `json:"set,omitempty"` // the keys that are not at their default
}

// isolate takes the machine's own configuration away from a test.
func isolate(t *testing.T) {
	t.Helper()
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "RIBTAP_") {
			t.Setenv(name, "") // so that it is restored
			os.Unsetenv(name)
		}
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", "")
}

// TestConfigGolden loads every fixtures/config/<case>/in.yaml.
func TestConfigGolden(t *testing.T) {
	root, err := filepath.Abs("../../fixtures/config")
	if err != nil {
		t.Fatal(err)
	}
	cases, err := os.ReadDir(root)
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, c := range cases {
		t.Run(c.Name(), func(t *testing.T) {
			isolate(t)
			t.Chdir(filepath.Join(root, c.Name()))
			got := loadResult("in.yaml", nil)
			var text bytes.Buffer
			e := encoder(&text)
			e.SetIndent("", "  ")
			if err := e.Encode(got); err != nil {
				t.Fatal(err)
			}
			golden(t, "want.json", text.Bytes())
		})
	}
}

func loadResult(path string, flags overrides) configResult {
	s, err := loadConfig(path, flags)
	if ce, ok := errors.AsType[*configError](err); ok {
		return configResult{Problems: ce.problems}
	}
	var r configResult
	r.Warnings = s.warnings
	for _, k := range s.shown() {
		if k.Origin != "default" {
			r.Set = append(r.Set, k)
		}
	}
	return r
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got), -update writes it anew:\n%s", path, diff)
	}
}

// TestConfigPrecedence: flag over environment over file over default, and each
// value says where it came from.
func TestConfigPrecedence(t *testing.T) {
	isolate(t)
	t.Chdir(t.TempDir())
	yaml := "collector: {name: file}\nlog: {level: warn}\nbmp: {listen: ['127.0.0.1:1']}\ndata_dir: file\n"
	if err := os.WriteFile("ribtap.yaml", []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("RIBTAP_COLLECTOR_NAME", "env")
	t.Setenv("RIBTAP_BMP_LISTEN", "127.0.0.1:2, [::1]:2")
	t.Setenv("RIBTAP_BMP_MAX_SESSIONS", "7")
	t.Setenv("RIBTAP_STREAM_MAX_SIZE", "1GiB")
	t.Setenv("RIBTAP_SINKS_SQLITE_ENABLED", "false")
	t.Setenv("RIBTAP_DATA_DIR", "") // empty counts as unset
	s, err := loadConfig("", overrides{"collector.name": {"collector", "flag"}})
	if err != nil {
		t.Fatal(err)
	}
	if s.Collector.Name != "flag" || s.Log.Level != "warn" || s.DataDir != "file" || s.BMP.MaxSessions != 7 ||
		s.Stream.MaxSize != 1<<30 || s.Sinks.SQLite.Enabled || !cmp.Equal(s.BMP.Listen, []string{"127.0.0.1:2", "[::1]:2"}) {
		t.Errorf("loaded %+v", s.Config)
	}
	want := map[string]string{
		"collector.name": "flag --collector", "log.level": "file ribtap.yaml:2", "bmp.listen": "env RIBTAP_BMP_LISTEN",
		"data_dir": "file ribtap.yaml:4", "http.listen": "default", "bmp.max_sessions": "env RIBTAP_BMP_MAX_SESSIONS",
	}
	for key, origin := range want {
		if s.origins[key] != origin {
			t.Errorf("%s comes from %q, want %q", key, s.origins[key], origin)
		}
	}
}

// TestConfigEveryKeyFromEnvironment: no key is out of the environment's reach.
func TestConfigEveryKeyFromEnvironment(t *testing.T) {
	isolate(t)
	t.Chdir(t.TempDir())
	keys, _ := configKeys()
	for _, k := range keys {
		t.Run(k.path, func(t *testing.T) {
			t.Setenv(k.env(), "\x01")
			s, err := loadConfig("", nil)
			if err == nil && s.origins[k.path] == "env "+k.env() {
				return
			}
			if err == nil || !strings.Contains(err.Error(), k.path) {
				t.Errorf("%s has no effect: %v", k.env(), err)
			}
		})
	}
}

// TestConfigDefaults: without anything configured the defaults hold, whole, and
// are valid and local.
func TestConfigDefaults(t *testing.T) {
	isolate(t)
	t.Chdir(t.TempDir())
	s, err := loadConfig("", nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(DefaultConfig(), s.Config); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
	for _, a := range append(append([]string{s.HTTP.Listen}, s.BMP.Listen...), s.BGP.Listen...) {
		if host, _ := splitListen(a); !isLoopback(host) {
			t.Errorf("%s is not on loopback", a)
		}
	}
}

// TestConfigExample: the example shipped is what `config example` prints, and
// sets every key to its default.
func TestConfigExample(t *testing.T) {
	isolate(t)
	var text bytes.Buffer
	if err := writeExample(&text); err != nil {
		t.Fatal(err)
	}
	golden(t, "../../ribtap.example.yaml", text.Bytes())
	s, err := loadConfig("../../ribtap.example.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(DefaultConfig(), s.Config); diff != "" {
		t.Errorf("the example differs from the defaults (-want +got):\n%s", diff)
	}
	for key, origin := range s.origins {
		if origin == "default" {
			t.Errorf("%s is not in the example", key)
		}
	}
}

// TestConfigShowIsConfig: what `config show` prints loads again to the same.
func TestConfigShowIsConfig(t *testing.T) {
	isolate(t)
	s, err := loadConfig("../../fixtures/config/usual/in.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, withOrigin := range []bool{false, true} {
		var text bytes.Buffer
		if err := s.writeShown(&text, withOrigin); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "shown.yaml")
		if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		again, err := loadConfig(path, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, text.String())
		}
		if diff := cmp.Diff(s.Config, again.Config); diff != "" {
			t.Errorf("shown configuration differs (-want +got):\n%s", diff)
		}
	}
}

// TestConfigMasksSecrets looks for a secret in everything shown.
func TestConfigMasksSecrets(t *testing.T) {
	s := &settings{Config: DefaultConfig(), origins: map[string]string{}}
	s.Sinks.Postgres.DSN = "postgres://u:hunter2@db/x"
	b, err := json.Marshal(s.shown())
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte("hunter2")) || !bytes.Contains(b, []byte(masked)) {
		t.Errorf("shown: %s", b)
	}
}

func TestUnknownEnvironmentWarns(t *testing.T) {
	keys, _ := configKeys()
	got := unknownEnv(keys, []string{"RIBTAP_BMP_LISTN=x", "RIBTAP_CONFIG=y", "PATH=z", "RIBTAP_BMP_LISTEN=w"})
	if len(got) != 1 || !strings.Contains(got[0], "RIBTAP_BMP_LISTN") || !strings.Contains(got[0], "nearest is RIBTAP_BMP_LISTEN") {
		t.Errorf("warnings: %q", got)
	}
}

func TestUnits(t *testing.T) {
	for text, want := range map[string]Duration{"0": 0, "100ms": 1e8, "8h": 8 * 3600 * 1e9, "1.5d": 36 * 3600 * 1e9, "2w": 14 * 24 * 3600 * 1e9} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || d != want {
			t.Errorf("%q is %v, %v; want %v", text, d, err, want)
		}
		again, _ := d.MarshalText()
		var back Duration
		if err := back.UnmarshalText(again); err != nil || back != d {
			t.Errorf("%q became %q, which is %v, %v", text, again, back, err)
		}
	}
	for _, text := range []string{"", "5", "-1s", "1y", "d", "9e99d", "nan"} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is %v", text, d)
		}
	}
	for text, want := range map[string]ByteSize{"0": 0, "64GiB": 64 << 30, "500 MB": 5e8, "1.5KiB": 1536, "42": 42, "7B": 7} {
		var b ByteSize
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want {
			t.Errorf("%q is %d, %v; want %d", text, b, err, want)
		}
	}
	for _, text := range []string{"", "GiB", "-1", "1e99TiB", "12 parsecs", "NaN"} {
		var b ByteSize
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is %d", text, b)
		}
	}
}

// TestConfigDocumented: docs/config.md has a row for every key, with its default
// and what it is for.
func TestConfigDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	keys, _ := configKeys()
	def := DefaultConfig()
	for _, k := range keys {
		value, err := flowYAML(plain(k.value(&def)))
		if err != nil {
			t.Fatal(err)
		}
		row := "| `" + k.path + "` | `" + value + "` | " + k.doc + " |\n"
		if !strings.Contains(string(doc), row) {
			t.Errorf("docs/config.md lacks this row:\n%s", row)
		}
	}
}
