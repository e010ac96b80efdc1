package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ribtap/ribtap/api/web"
)

const testToken = "0123456789abcdef0123"

// heard is an answer without its body.
type heard struct {
	StatusCode int
	Status     string
	Header     http.Header
}

// ask makes a request and returns its status and text.
func ask(t *testing.T, method, url, token string) (heard, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return heard{r.StatusCode, r.Status, r.Header}, string(b)
}

// described are the operations of openapi.json.
func described(t *testing.T, base, token string) map[string]map[string]struct{ Parameters []struct{ Name, In string } } {
	t.Helper()
	var api struct {
		OpenAPI string
		Paths   map[string]map[string]struct{ Parameters []struct{ Name, In string } }
	}
	r, text := ask(t, "GET", base+"/v1/openapi.json", token)
	if err := json.Unmarshal([]byte(text), &api); err != nil || r.StatusCode != http.StatusOK || api.OpenAPI != "3.1.0" {
		t.Fatalf("%s, %v: %.200s", r.Status, err, text)
	}
	return api.Paths
}

// TestEveryEndpointWantsTheToken: without it, or with another, nothing is said.
func TestEveryEndpointWantsTheToken(t *testing.T) {
	dir := isolated(t)
	d := startDaemon(t, filepath.Join(dir, "data"), "--http-token-file", writeFile(t, dir, "token", []byte(testToken)))
	base := "http://" + d.http
	paths := described(t, base, testToken)
	if len(paths) < 25 {
		t.Errorf("only %d paths are described", len(paths))
	}
	for path, methods := range paths {
		for method := range methods {
			for _, token := range []string{"", "wrong", testToken + "0"} {
				r, text := ask(t, strings.ToUpper(method), base+strings.NewReplacer("{name}", "x", "{action}", "reset", "{number}", "1").Replace(path), token)
				if r.StatusCode != http.StatusUnauthorized || strings.Contains(text, "rt1") {
					t.Errorf("%s %s with token %q: %s %.100s", method, path, token, r.Status, text)
				}
			}
		}
	}
	for _, path := range []string{"/ribtap.v1.CollectorService/GetStatus"} {
		if r, _ := ask(t, "POST", base+path, ""); r.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %s", path, r.Status)
		}
	}
	// The pages' files say nothing, and ask for the token themselves.
	for _, path := range append([]string{"/app.js", "/style.css", "/icon.svg", "/vendor/LICENSE.htm", "/nothing"}, web.Pages...) {
		r, text := ask(t, "GET", base+path, "")
		want := http.StatusOK
		if path == "/nothing" || path == "/vendor/LICENSE.htm" {
			want = http.StatusNotFound
		}
		if r.StatusCode != want || strings.Contains(text, "rt1") {
			t.Errorf("%s: %s", path, r.Status)
		}
		csp := r.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") ||
			r.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", path, r.Header)
		}
	}
	if r, _ := ask(t, "POST", base+"/sessions", testToken); r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST to a page: %s", r.Status)
	}
	// The token is in no output.
	_, config := ask(t, "GET", base+"/v1/config", testToken)
	if strings.Contains(config, testToken) || !strings.Contains(config, "http.token_file") || strings.Contains(d.stderr(), testToken) {
		t.Errorf("the token is shown: %s %s", config, d.stderr())
	}
}

// TestBadQuestions: every list refuses what it does not understand, with the reason.
func TestBadQuestions(t *testing.T) {
	dir := isolated(t)
	d := startDaemon(t, filepath.Join(dir, "data"))
	base := "http://" + d.http
	bad := map[string]string{
		"prefix": "10.0.0.0/33", "match": "most", "peer": "x", "asn": "0", "origin-as": "70000000000", "rib": "in", "family": "ipv4-unicats", "as-path": "(",
		"at": "yesterday", "from": "yesterday", "to": "2026-13-01", "newest": "maybe", "limit": "0", "format": "xml", "to-at": "never", "last": "-1h",
	}
	asked := 0
	for path, methods := range described(t, base, "") {
		op, ok := methods["get"]
		if !ok || path == "/v1/tail" || path == "/v1/events" || len(op.Parameters) == 0 {
			continue
		}
		sides := ""
		if path == "/v1/diff" {
			sides = "&at=-1h"
		}
		for _, p := range op.Parameters {
			value, ok := bad[p.Name]
			if !ok || p.Name == "at" && sides != "" {
				continue
			}
			asked++
			r, text := ask(t, "GET", fmt.Sprintf("%s%s?%s=%s%s", base, path, p.Name, value, sides), "")
			if r.StatusCode != http.StatusBadRequest || !strings.Contains(text, value) && p.Name != "as-path" && p.Name != "prefix" || strings.Count(text, "\n") != 1 {
				t.Errorf("%s with %s=%s: %s %q", path, p.Name, value, r.Status, text)
			}
		}
		r, text := ask(t, "GET", base+path+"?limitt=1", "")
		if r.StatusCode != http.StatusBadRequest || !strings.Contains(text, "limitt is no parameter here; nearest is ") {
			t.Errorf("%s: %s %q", path, r.Status, text)
		}
		if r, text = ask(t, "GET", base+path+"?limit=1&limit=2", ""); r.StatusCode != http.StatusBadRequest {
			t.Errorf("%s with two limits: %s %q", path, r.Status, text)
		}
	}
	if asked < 60 {
		t.Errorf("only %d bad questions", asked)
	}
	for _, path := range []string{"/v1/history?from=2026-01-02&to=2026-01-01", "/v1/diff", "/v1/diff?to-rib=loc-rib", "/v1/routes?limit=10001", "/v1/routes?match=longer"} {
		if r, text := ask(t, "GET", base+path, ""); r.StatusCode != http.StatusBadRequest || strings.Contains(text, "--") {
			t.Errorf("%s: %s %q", path, r.Status, text)
		}
	}
	if r, text := ask(t, "GET", base+"/v1/nothing", ""); r.StatusCode != http.StatusNotFound {
		t.Errorf("%s %q", r.Status, text)
	}
}

// TestQuestions: the lists say what the commands say.
func TestQuestions(t *testing.T) {
	dir := isolated(t)
	data := filepath.Join(dir, "data")
	d := startDaemon(t, data)
	base := "http://" + d.http
	for _, rec := range demoRecordings(time.Now()) {
		ribtapIn(t, rec, "replay", "-", "--to", d.bmp).must(t, exitOK)
	}
	d.caughtUp(t)
	for path, args := range map[string][]string{
		"/v1/routes?at=-0s&limit=10000":                           {"routes", "--at", "now"},
		"/v1/history?limit=10000":                                 {"history"},
		"/v1/history?prefix=198.51.100.0/24&newest=true&limit=10": {"history", "198.51.100.0/24", "--newest", "--limit", "10"},
		"/v1/sessions": {"peers"}, "/v1/session-history": {"peers", "--history"}, "/v1/routers": {"routers"}, "/v1/router-history": {"routers", "--history"},
		"/v1/stats": {"stats"}, "/v1/stats-history": {"stats", "--history"}, "/v1/gaps": {"gaps"}, "/v1/anomalies": {"anomalies"}, "/v1/imports": {"imports"},
	} {
		r, text := ask(t, "GET", base+path, "")
		var got struct{ Rows []json.RawMessage }
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Errorf("%s: %s %v %.200s", path, r.Status, err, text)
			continue
		}
		var want []json.RawMessage
		out := ribtap(t, append(args, "--data-dir", data, "-o", "json")...).must(t, exitOK).stdout
		if err := json.Unmarshal([]byte(out), &want); err != nil {
			t.Fatal(err)
		}
		if len(got.Rows) != len(want) {
			t.Errorf("%s has %d rows, the command %d", path, len(got.Rows), len(want))
			continue
		}
		for i := range want {
			// peers has more columns, of the speaker's own sessions.
			if row := string(got.Rows[i]); row != string(want[i]) && (path != "/v1/sessions" || !strings.HasPrefix(string(want[i]), row[:len(row)-1]+",")) {
				t.Errorf("%s: row %d is\n%s\nwant\n%s", path, i, got.Rows[i], want[i])
				break
			}
		}
	}
	// A limit says that there is more; lines and CSV have all.
	_, text := ask(t, "GET", base+"/v1/history?limit=3", "")
	if !strings.HasSuffix(text, `"more":true}`+"\n") || strings.Count(text, `"sequence"`) != 3 {
		t.Errorf("%.300s", text)
	}
	r, lines := ask(t, "GET", base+"/v1/history?format=ndjson", "")
	_, csv := ask(t, "GET", base+"/v1/history?format=csv", "")
	n := strings.Count(ribtap(t, "history", "--data-dir", data, "-o", "ndjson").must(t, exitOK).stdout, "\n")
	if strings.Count(lines, "\n") != n || strings.Count(csv, "\n") != n+1 || r.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("%d lines, %d of CSV, want %d and a head", strings.Count(lines, "\n"), strings.Count(csv, "\n"), n)
	}
	// What the diff command says, of when the routers were there.
	var rows struct {
		Rows []struct {
			At     string `json:"received_at"`
			Action string
		}
	}
	_, text = ask(t, "GET", base+"/v1/history?limit=10000", "")
	if err := json.Unmarshal([]byte(text), &rows); err != nil {
		t.Fatal(err)
	}
	at := ""
	for _, row := range rows.Rows {
		if row.Action == "announce" {
			at = row.At
		}
	}
	_, text = ask(t, "GET", base+"/v1/diff?rib=adj-rib-in-pre&to-rib=adj-rib-in-post&limit=10000&at="+at, "")
	out := ribtap(t, "diff", "--rib", "adj-rib-in-pre", "--to-rib", "adj-rib-in-post", "--at", at, "--data-dir", data, "-o", "ndjson").must(t, exitFailure).stdout
	if got, want := strings.Count(text, `"change"`), strings.Count(out, "\n"); got != want || want == 0 {
		t.Errorf("%d differences, the command has %d", got, want)
	}
}

// TestServerSentEvents: a browser gets events with their sequence, and goes on
// behind the last one it had.
func TestServerSentEvents(t *testing.T) {
	dir := isolated(t)
	d := startDaemon(t, filepath.Join(dir, "data"))
	ribtapIn(t, demoRecordings(time.Now())[0], "replay", "-", "--to", d.bmp).must(t, exitOK)
	read := func(path, last string) (ids []string) {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+d.http+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Last-Event-ID", last)
		r, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if got := r.Header.Get("Content-Type"); got != "text/event-stream" {
			t.Errorf("%s, %s", r.Status, got)
		}
		var b [1 << 12]byte
		text := ""
		for strings.Count(text, "\n\n") < 4 {
			n, err := r.Body.Read(b[:])
			if text += string(b[:n]); err != nil {
				t.Fatal(err)
			}
		}
		for one := range strings.SplitSeq(text, "\n\n") {
			id, rest, ok := strings.Cut(one, "\n")
			if len(ids) == 4 {
				break
			}
			var e struct{ Sequence uint64 }
			if err := json.Unmarshal([]byte(strings.TrimPrefix(rest, "data: ")), &e); !ok || err != nil || id != fmt.Sprintf("id: %d", e.Sequence) {
				t.Errorf("%q: %v", one, err)
			}
			ids = append(ids, strings.TrimPrefix(id, "id: "))
		}
		return ids
	}
	first := read("/v1/events?from=1", "")
	second := read("/v1/events?from=1", first[1])
	if first[0] != "1" || second[0] != first[2] || second[1] != first[3] {
		t.Errorf("%v, then %v", first, second)
	}
	if r, text := ask(t, "GET", "http://"+d.http+"/v1/events?rib=in", ""); r.StatusCode != http.StatusBadRequest {
		t.Errorf("%s %q", r.Status, text)
	}
}
