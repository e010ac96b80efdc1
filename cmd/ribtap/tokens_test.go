package main

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// TestTokenFile: what may stand in it, and what is wrong with what may not.
func TestTokenFile(t *testing.T) {
	dir := t.TempDir()
	sum := sha256.Sum256([]byte("the-hashed-reader-token"))
	good := "# readers\nread a-reader-token-of-24\n\nread sha256:" + hex.EncodeToString(sum[:]) + "\ncontrol a-control-token-of-24\n  an-unmarked-token-of-24  \n"
	list, err := readTokens(writeFile(t, dir, "good", []byte(good)))
	if err != nil || len(list) != 4 {
		t.Fatalf("%+v, %v", list, err)
	}
	for shown, want := range map[string]scope{
		"a-reader-token-of-24": scopeRead, "the-hashed-reader-token": scopeRead, "a-control-token-of-24": scopeControl, "an-unmarked-token-of-24": scopeControl,
		"": scopeNone, "a-reader-token-of-2": scopeNone, "sha256:" + hex.EncodeToString(sum[:]): scopeNone, "read a-reader-token-of-24": scopeNone,
	} {
		if got := allows(list, shown); got != want {
			t.Errorf("%q: %v, want %v", shown, got, want)
		}
	}
	if got := own(list); got != "a-control-token-of-24" {
		t.Errorf("a client shows %q", got)
	}
	for text, want := range map[string]string{
		"":                             "no token in it",
		"# nothing\n":                  "no token in it",
		"short":                        ":1: a token has at least 16 characters",
		"\nwrite a-reader-token-of-24": `:2: "write" is neither read nor control`,
		"read a b":                     ":1: a line has one token",
		"sha256:abcd":                  ":1: behind sha256:",
	} {
		_, err := readTokens(writeFile(t, dir, "bad", []byte(text)))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "a-reader-token") {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	if _, err := readTokens(filepath.Join(dir, "none")); err == nil {
		t.Error("a file that is not there has tokens")
	}
}

// TestReadersMayNotOrder: a token to read gets every answer, and no order through.
func TestReadersMayNotOrder(t *testing.T) {
	dir := isolated(t)
	sum := sha256.Sum256([]byte("the-hashed-reader-token"))
	d := startDaemon(t, filepath.Join(dir, "data"), "--http-token-file",
		writeFile(t, dir, "tokens", []byte("control "+testToken+"\nread sha256:"+hex.EncodeToString(sum[:])+"\n")))
	base := "http://" + d.http
	for path, methods := range described(t, base, "the-hashed-reader-token") {
		for method := range methods {
			path := strings.NewReplacer("{name}", "x", "{action}", "reset", "{number}", "1").Replace(path)
			if path == "/v1/tail" || path == "/v1/events" || path == "/v1/stream/" || path == "/v1/ws/" {
				continue // answers for ever
			}
			r, _ := ask(t, strings.ToUpper(method), base+path, "the-hashed-reader-token")
			if forbidden := r.StatusCode == http.StatusForbidden; forbidden != (method == "post") {
				t.Errorf("%s %s: %s", method, path, r.Status)
			}
		}
	}
	ribtap(t, "announce", "--list", "--url", d.http, "--token-file", writeFile(t, dir, "mine", []byte("the-hashed-reader-token"))).must(t, exitOK)
	ribtap(t, "status", "--url", d.http, "--token-file", writeFile(t, dir, "mine", []byte(testToken))).must(t, exitOK)
}
