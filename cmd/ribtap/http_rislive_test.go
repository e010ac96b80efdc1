package main

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// TestRISLive: a client subscribes, hears what it asked for and nothing else, and is
// told what it gets wrong.
func TestRISLive(t *testing.T) {
	dir := isolated(t)
	d := startDaemon(t, filepath.Join(dir, "data"))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, r, err := websocket.Dial(ctx, "ws://"+d.http+"/v1/ws/?client=test", nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Body != nil {
		r.Body.Close()
	}
	defer conn.CloseNow()
	say := func(text string) {
		t.Helper()
		if err := conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	hear := func() string {
		t.Helper()
		_, b, err := conn.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for in, want := range map[string]string{
		`{"type":"ping","data":null}`:                  `{"type":"pong","data":null}`,
		`{"type":"request_rrc_list","data":null}`:      `{"type":"ris_rrc_list","data":["rt1"]}`,
		`{"type":"x"}`:                                 `{"type":"ris_error","data":{"message":"type \"x\" is not one of ris_subscribe, ris_unsubscribe, request_rrc_list, ping"}}`,
		`{"type":"ris_subscribe","data":{"peer":"x"}}`: `{"type":"ris_error","data":{"message":"peer \"x\" is not an IP address"}}`,
		`{"type":"ris_subscribe","data":{"prefix":"0.0.0.0/0","path":"^64511","socketOptions":{"acknowledge":true,"includeRaw":true}}}`: `{"type":"ris_subscribe_ok","data":{"socketOptions":{"includeRaw":true,"acknowledge":true},` +
			`"subscription":{"path":"^64511","prefix":["0.0.0.0/0"]}}}`,
	} {
		say(in)
		if got := hear(); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	// The lines of the HTTP stream are the same messages.
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+d.http+"/v1/stream/?format=json&client=test", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-RIS-Subscribe", `{"prefix":"0.0.0.0/0","path":"^64511","socketOptions":{"includeRaw":true}}`)
	stream, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	ribtapIn(t, demoRecordings(time.Now())[0], "replay", "-", "--to", d.bmp).must(t, exitOK)
	lines := bufio.NewScanner(stream.Body)
	for range 3 {
		got := hear()
		var m struct {
			Type string
			Data struct {
				Host, Type, Raw string
				Path            []int
				Announcements   []struct{ Prefixes []string }
			}
		}
		if err := json.Unmarshal([]byte(got), &m); err != nil {
			t.Fatal(err)
		}
		data := &m.Data
		if m.Type != "ris_message" || data.Host != "rt1" || data.Type != "UPDATE" || len(data.Path) == 0 || data.Path[0] != 64511 || !strings.HasPrefix(data.Raw, "FFFF") ||
			len(data.Announcements) == 0 {
			t.Errorf("heard %s", got)
		}
		if !lines.Scan() || lines.Text() != got {
			t.Errorf("the line is\n%s, the frame\n%s", lines.Text(), got)
		}
	}
	// Without a subscription nothing more comes but what is asked for.
	say(`{"type":"ris_unsubscribe","data":{}}`)
	ribtapIn(t, demoRecordings(time.Now())[0], "replay", "-", "--to", d.bmp).must(t, exitOK)
	say(`{"type":"ping"}`)
	for {
		if got := hear(); strings.Contains(got, "pong") {
			break
		}
	}
	for _, c := range []struct{ header, path string }{{`{"peer":"x"}`, "/v1/stream/"}, {"", "/v1/stream/?format=xml"}, {"", "/v1/stream/?fromat=json"}} {
		bad, err := http.NewRequestWithContext(ctx, "GET", "http://"+d.http+c.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		bad.Header.Set("X-RIS-Subscribe", c.header)
		r, err := http.DefaultClient.Do(bad)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != http.StatusBadRequest {
			t.Errorf("%+v: %s", c, r.Status)
		}
	}
}
