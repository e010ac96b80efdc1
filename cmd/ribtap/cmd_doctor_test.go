package main

import (
	"encoding/json"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// TestDoctor: what would keep the collector from working is said, and said to scripts.
func TestDoctor(t *testing.T) {
	dir := isolated(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	config := writeFile(t, dir, "doctor.yaml", []byte("data_dir: "+filepath.Join(dir, "data")+"\n"+
		"bmp: {listen: ["+taken.Addr().String()+"]}\nbgp: {listen: [\"127.0.0.1:0\"]}\nhttp: {listen: \"127.0.0.1:0\"}\n"+
		"sinks:\n  postgres: {dsn: \"postgres://ribtap@127.0.0.1:1/x?connect_timeout=2\"}\n  kafka: {brokers: [\"127.0.0.1:1\"]}\n"))
	of := func(args ...string) map[string]finding {
		var list []finding
		code := exitOK
		if len(args) == 0 {
			args, code = []string{"--config", config}, exitFailure
		}
		if err := json.Unmarshal([]byte(ribtap(t, append([]string{"doctor", "-o", "json"}, args...)...).must(t, code).stdout), &list); err != nil {
			t.Fatal(err)
		}
		found := map[string]finding{}
		for _, f := range list {
			found[f.Check] = f
		}
		return found
	}
	found := of()
	for check, want := range map[string]string{
		"configuration": doctorOK, "daemon": doctorWarning, "bmp.listen": doctorFailure, "bgp.listen": doctorOK, "http.listen": doctorOK,
		"sinks.postgres": doctorFailure, "sinks.kafka": doctorFailure,
	} {
		if f := found[check]; f.Result != want || f.Detail == "" || strings.Contains(f.Detail, "\n") {
			t.Errorf("%s: %+v, want %s", check, f, want)
		}
	}
	if f := found["bmp.listen"]; !strings.Contains(f.Detail, taken.Addr().String()) || !strings.Contains(f.Detail, "in use") {
		t.Errorf("the taken port: %+v", f)
	}
	if f := found["data_dir"]; !strings.Contains(f.Detail, "GiB are free") {
		t.Errorf("the disk: %+v", f)
	}

	d := startDaemon(t, filepath.Join(dir, "data"))
	found = of("--data-dir", d.dir, "--config", writeFile(t, dir, "other.yaml", []byte("http: {listen: \""+d.http+"\"}\n")))
	if f := found["daemon"]; f.Result != doctorOK {
		t.Errorf("beside a daemon: %+v", f)
	}
	if f, ok := found["bmp.listen"]; ok {
		t.Errorf("the daemon's own port is looked at: %+v", f)
	}
}
