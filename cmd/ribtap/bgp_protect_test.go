package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ribtap/ribtap/speaker"
)

const keyedPeer = "bgp: {peers: [{name: two, address: 127.0.0.2, remote_asn: 65002, password_file: key}]}\n"

func withKey(key string) func(*speaker.Peer) {
	return func(p *speaker.Peer) { p.Password = key }
}

// TestKeyFile: a session needs the key of the file, and a new key is taken at
// SIGHUP without the session noticing. No line of the log has a key.
func TestKeyFile(t *testing.T) {
	dir := isolated(t)
	key := writeFile(t, dir, "key", []byte("sesame-one\n"))
	path := writeFile(t, dir, "ribtap.yaml", []byte(strings.Replace(keyedPeer, "key}", key+"}", 1)))
	d := startDaemon(t, filepath.Join(dir, "data"), "--config", path)
	two := startNeighbourAs(t, d, 2, withKey("sesame-one"), "203.0.113.0/24")
	d.waitRoutes(t, "two", 1)
	if err := os.WriteFile(key, []byte("sesame-two\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	hangUp(t)
	d.waitLog(t, "bgp peer changed", "peer=two", "action=updated", "Password")
	if ups, downs, _ := two.count(); ups != 1 || downs != 0 {
		t.Errorf("%d sessions, %d ends", ups, downs)
	}
	two.stop()
	startNeighbourAs(t, d, 2, withKey("sesame-two"), "203.0.113.0/24", "198.51.100.0/24")
	d.waitRoutes(t, "two", 2)
	for _, out := range []string{d.stderr(), ribtap(t, "peers", "-o", "json", "--url", d.http, "--data-dir", d.dir).stdout} {
		if strings.Contains(out, "sesame") {
			t.Errorf("a key is shown:\n%s", out)
		}
	}
}

// TestCanaryProvesKey: a candidate with a key that the neighbour has not got comes
// to light, and the session lives on with the key that is brought back; one with the
// neighbour's new key is kept.
func TestCanaryProvesKey(t *testing.T) {
	dir := isolated(t)
	one, other := writeFile(t, dir, "one", []byte("right")), writeFile(t, dir, "two", []byte("other"))
	path := writeFile(t, dir, "ribtap.yaml", []byte(strings.Replace(keyedPeer, "key}", one+"}", 1)))
	d := startDaemon(t, filepath.Join(dir, "data"), "--config", path)
	two := startNeighbourAs(t, d, 2, withKey("right"), "203.0.113.0/24")
	d.waitRoutes(t, "two", 1)
	file := writeFile(t, dir, "candidate.yaml", []byte(strings.Replace(keyedPeer, "key}", other+"}", 1)))
	r := d.apply(t, exitFailure, file, "--canary", "2s")
	if !strings.Contains(r.stderr, "peer two (127.0.0.2): nothing was heard with the new key within 2s") {
		t.Errorf("stderr: %s", r.stderr)
	}
	two.announce(t, "203.0.113.0/24", "198.51.100.0/24")
	d.waitRoutes(t, "two", 2)

	done := make(chan result, 1)
	go func() { done <- ribtap(t, "config", "apply", file, "--canary", "4s", "--url", d.http) }()
	d.waitLog(t, "bgp peer changed", "Password")
	two.cfg.Peers[0].Password = "other"
	two.apply(t)
	(<-done).must(t, exitOK)
	if ups, downs, _ := two.count(); ups != 1 || downs != 0 {
		t.Errorf("%d sessions, %d ends", ups, downs)
	}
}

// TestRefusedProtection: what the kernel refuses is one line and exit code 1, before
// there is a session. Kernels with TCP-AO do not refuse it.
func TestRefusedProtection(t *testing.T) {
	dir := isolated(t)
	path := writeFile(t, dir, "ribtap.yaml", []byte("bgp: {router_id: 192.0.2.5, peers: [{name: a, address: 127.0.0.9, ao: [{send_id: 1, recv_id: 1, key: sesame}]}]}\n"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	var errs bytes.Buffer
	read := make(chan struct{})
	go func() {
		defer close(read)
		b := make([]byte, 4096)
		for {
			n, err := r.Read(b)
			errs.Write(b[:n])
			if strings.Contains(errs.String(), "  data  ") {
				cancel()
			}
			if err != nil {
				return
			}
		}
	}()
	began := time.Now()
	code := run(ctx, []string{"run", "--config", path, "--data-dir", filepath.Join(dir, "data"), "--bmp-listen", "127.0.0.1:0", "--bgp-listen", "127.0.0.1:0", "--http-listen", ""}, nil, io.Discard, w)
	w.Close()
	<-read
	text := errs.String()
	if code == exitOK && strings.Contains(text, "  BGP   ") {
		return // it has TCP-AO
	}
	if code != exitFailure || strings.Contains(text, "  BMP ") || strings.Contains(text, "sesame") || !strings.Contains(text, "TCP-AO") || strings.Count(text, "ribtap: ") != 1 {
		t.Errorf("exit code %d after %v: %s", code, time.Since(began), text)
	}
}
