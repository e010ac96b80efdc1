package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/bmp"
	"github.com/ribtap/ribtap/event"
)

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"now": "2026-01-31T12:00:00Z", "-1h": "2026-01-31T11:00:00Z", "-7d": "2026-01-24T12:00:00Z", "-90s": "2026-01-31T11:58:30Z",
		"2026-01-01": "2026-01-01T00:00:00Z", "2026-01-01 10:11": "2026-01-01T10:11:00Z", "2026-01-01T10:11:12.5+02:00": "2026-01-01T08:11:12.5Z",
	} {
		got, err := parseTime(text, now)
		if err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("%q is %v, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-", "yesterday", "1h", "2026-13-01", "-1y", "12:00"} {
		if got, err := parseTime(text, now); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

// TestProgress holds the lines on a terminal and off it.
func TestProgress(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		tty  bool
		want string
	}{
		{true, "\r\x1b[Kf [######..................]  25% of 40 MiB, 10 MiB/s, 3s left, 7 records\r\x1b[Kf [############............]  50% of 40 MiB, 10 MiB/s, 2s left, 8 records\r\x1b[K"},
		{false, "f  50% of 40 MiB, 3413 KiB/s, 6s left, 8 records\n"},
	} {
		var b bytes.Buffer
		now := start
		p := newProgress(&b, "f", 40<<20)
		p.tty, p.now, p.start, p.shown = c.tty, func() time.Time { return now }, start, start
		now = start.Add(time.Second)
		p.update(10<<20, "7 records")
		p.update(11<<20, "too soon")
		now = start.Add(2 * time.Second)
		if !c.tty {
			now = start.Add(6 * time.Second)
		}
		p.update(20<<20, "8 records")
		p.finish()
		if b.String() != c.want {
			t.Errorf("tty %v:\n got %q\nwant %q", c.tty, b.String(), c.want)
		}
	}
	p := newProgress(io.Discard, "stdin", 0)
	if line := p.line(p.start.Add(time.Second), 5<<20, ""); line != "stdin 5120 KiB, 5120 KiB/s" {
		t.Errorf("unknown total: %q", line)
	}
}

// testRow is a row of all the types that the history's rows have.
type testRow struct {
	embeddedRow
	At      time.Time `json:"at"`
	Missing *string   `json:"missing"`
	ASN     *uint32   `json:"asn"`
	List    []string  `json:"list"`
	On      bool      `json:"on"`
	hidden  int
}

type embeddedRow struct {
	Name string `json:"name"`
}

// TestOutput holds every format, with text that wants to break out of it.
func TestOutput(t *testing.T) {
	asn := uint32(65000)
	rows := []testRow{
		{embeddedRow{"a,\"b\"\x1b[31m\n<x>"}, time.Date(2026, 1, 1, 1, 0, 0, 0, time.FixedZone("", 3600)), nil, &asn, []string{"x", "y"}, true, 0},
		{embeddedRow{"é"}, time.Time{}, nil, nil, nil, false, 1},
	}
	columns := []column{{"NAME", "name", narrow}, {"ASN", "asn", narrow}, {"AT", "at", wide}, {"LIST", "list", narrow}}
	for format, want := range map[string]string{
		"table":  "NAME            ASN    LIST\na,\"b\"?[31m?<x>  65000  x y\né               -      -\n",
		"wide":   "NAME            ASN    AT                    LIST\na,\"b\"?[31m?<x>  65000  2026-01-01T00:00:00Z  x y\né               -      -                     -\n",
		"ndjson": `{"name":"a,\"b\"\u001b[31m\n<x>","at":"2026-01-01T01:00:00+01:00","missing":null,"asn":65000,"list":["x","y"],"on":true}` + "\n" + `{"name":"é","at":"0001-01-01T00:00:00Z","missing":null,"asn":null,"list":null,"on":false}` + "\n",
		"csv":    "name,at,missing,asn,list,on\n\"a,\"\"b\"\"\x1b[31m\n<x>\",2026-01-01T00:00:00Z,,65000,x y,true\né,,,,,false\n",
	} {
		var b bytes.Buffer
		if err := writeAll(&app{stdout: &b, output: format}, columns, rows); err != nil {
			t.Fatal(err)
		}
		if b.String() != want {
			t.Errorf("%s:\n got %q\nwant %q", format, b.String(), want)
		}
	}
	for _, n := range []int{0, 1, 2} {
		var b bytes.Buffer
		if err := writeAll(&app{stdout: &b, output: "json"}, columns, rows[:n]); err != nil {
			t.Fatal(err)
		}
		var back []map[string]any
		if err := json.Unmarshal(b.Bytes(), &back); err != nil || len(back) != n {
			t.Errorf("%d rows: %v: %s", n, err, b.String())
		}
	}
	broken := func(yield func(testRow, error) bool) {
		_ = yield(rows[0], nil) && yield(testRow{}, errors.New("disk"))
	}
	for _, format := range outputFormats {
		var b bytes.Buffer
		if err := writeRows(&app{stdout: &b, output: format}, columns, broken); err == nil {
			t.Errorf("%s: no error", format)
		}
		if json.Valid(b.Bytes()) && format == "json" {
			t.Errorf("a part of the rows is valid JSON: %s", b.String())
		}
	}
}

// TestFilter goes through every filter with one event.
func TestFilter(t *testing.T) {
	attrs := demoAttr(nil, 0x40, bgp.AttrOrigin, 0)
	attrs = demoAttr(attrs, 0x40, bgp.AttrASPath, 2, 2, 0, 0, 0xfd, 0xf3, 0, 0, 0xfd, 0xe8)
	attrs = demoAttr(attrs, 0x40, bgp.AttrNextHop, 192, 0, 2, 11)
	attrs = demoAttr(attrs, 0xc0, bgp.AttrCommunities, 0xfd, 0xe8, 0, 1)
	nlri := &bgp.NLRI{Family: bgp.IPv4Unicast, Prefix: netip.MustParsePrefix("10.1.0.0/16")}
	router := &event.Router{Name: "edge1", Address: netip.MustParseAddr("192.0.2.1")}
	e := &event.Event{
		Kind: event.KindRoute, RIB: event.AdjRIBInPre, Router: router, Session: bgp.Session{AS4: true},
		Peer: &event.Peer{Router: router, Address: netip.MustParseAddr("192.0.2.11"), ASN: 65011},
		PDU:  bgp.AppendAnnounce(nil, nlri, &bgp.Value{AS4: true, Attrs: attrs}),
	}
	for query, want := range map[string]bool{
		"":                                   true,
		"router=edge1":                       true,
		"router=192.0.2.1":                   true,
		"router=edge2":                       false,
		"peer=192.0.2.11":                    true,
		"peer=::ffff:192.0.2.11":             true,
		"peer=192.0.2.12":                    false,
		"asn=65011":                          true,
		"asn=AS65011":                        true,
		"asn=0.65011":                        true,
		"asn=65000":                          false,
		"origin-as=65000":                    true,
		"origin-as=65011":                    false,
		"rib=adj-rib-in-pre":                 true,
		"rib=loc-rib":                        false,
		"family=ipv4-unicast":                true,
		"family=ipv6-unicast":                false,
		"community=65000:1":                  true,
		"community=65000:2":                  false,
		"as-path=_65011_65000$":              true,
		"as-path=^65000":                     false,
		"prefix=10.1.0.0/16":                 true,
		"prefix=10.1.2.3/16":                 true,
		"prefix=10.1.0.0/17":                 false,
		"prefix=10.1.2.3":                    true,
		"prefix=10.2.2.3":                    false,
		"prefix=10.0.0.0/8&match=longer":     true,
		"prefix=10.0.0.0/8&match=shorter":    false,
		"prefix=10.1.128.0/20&match=shorter": true,
		"prefix=10.1.128.0/20&match=longest": true,
		"prefix=::/0&match=longer":           false,
		"prefix=[evpn text]":                 false,
	} {
		v, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parseFilter(v)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if got := (&matcher{filter: f}).event(e); got != want {
			t.Errorf("%s: %v", query, got)
		}
		if _, err := f.query(); err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
	down := &event.Event{Kind: event.KindPeerDown, Router: router, Peer: e.Peer}
	if m := (&matcher{filter: filter{OriginAS: 1}}); m.event(down) {
		t.Error("a Peer Down has no origin")
	}
	if m := (&matcher{filter: filter{Router: "edge1"}}); !m.event(down) || m.event(&event.Event{Kind: event.KindGap}) {
		t.Error("events of a router are those with it")
	}
	for _, query := range []string{"peer=x", "asn=x", "asn=0", "asn=4294967296", "origin-as=-1", "rib=x", "family=ipv4", "as-path=(", "match=near", "match=longer", "prefix=10.0.0/8", "prefix=10.0.0.0/33"} {
		v, _ := url.ParseQuery(query)
		if _, err := parseFilter(v); err == nil {
			t.Errorf("%s is accepted", query)
		} else if ee, ok := errors.AsType[*exitError](err); !ok || ee.code != exitUsage {
			t.Errorf("%s: %v is no usage error", query, err)
		}
	}
}

// TestMatcherAllocs: events pass a filter without allocating.
func TestMatcherAllocs(t *testing.T) {
	e := &event.Event{Kind: event.KindRoute, Session: bgp.Session{AS4: true}, PDU: testUpdates(1)[44:]}
	f, err := parseFilter(url.Values{"prefix": {"198.18.0.0/15"}, "match": {"longer"}})
	if err != nil {
		t.Fatal(err)
	}
	m := &matcher{filter: f}
	m.event(e)
	if n := testing.AllocsPerRun(100, func() { m.event(e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestSnippets: every vendor's is there and whole.
func TestSnippets(t *testing.T) {
	isolated(t)
	for _, v := range snippetVendors {
		for _, name := range append([]string{v.name, strings.ToUpper(v.name)}, v.alias...) {
			out := ribtap(t, "snippet", name, "--to", "203.0.113.7:11020", "--asn", "64999").must(t, exitOK).stdout
			if strings.Contains(out, "{{") || !strings.Contains(out, "203.0.113.7") || !strings.Contains(out, "11020") {
				t.Errorf("%s:\n%s", name, out)
			}
			out = ribtap(t, "snippet", name, "--bgp", "--to", "203.0.113.7:11020", "--asn", "64999").must(t, exitOK).stdout
			if strings.Contains(out, "{{") || !strings.Contains(out, "203.0.113.7") || !strings.Contains(out, "64999") || !strings.Contains(out, "64512") ||
				!strings.Contains(out, "11020") && !strings.Contains(out, "port\n# 179 alone") && !strings.Contains(out, "port 179 alone") {
				t.Errorf("%s by BGP:\n%s", name, out)
			}
		}
	}
	ribtap(t, "snippet", "frr").must(t, exitOK)
	if out := ribtap(t, "snippet", "frr", "--bgp").must(t, exitOK).stdout; !strings.Contains(out, "port 1790") {
		t.Errorf("by BGP:\n%s", out)
	}
	ribtap(t, "snippet", "zebra").must(t, exitUsage)
	t.Setenv("RIBTAP_BMP_LISTEN", "0.0.0.0:11019")
	ribtap(t, "snippet", "frr").must(t, exitUsage)
}

// TestReplaySpeed: a recording takes its own time divided by the speed.
func TestReplaySpeed(t *testing.T) {
	rec := demoRecordings(time.Unix(1767225600, 0))[0]
	for _, c := range []struct {
		speed float64
		want  time.Duration
	}{{0, 0}, {1, 10 * time.Minute}, {60, 10 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			got := make(chan []byte, 1)
			go func() {
				b, _ := io.ReadAll(far)
				got <- b
			}()
			start := time.Now()
			rep, err := replay(t.Context(), near, bytes.NewReader(rec), replayOptions{Speed: c.speed})
			if err != nil {
				t.Fatal(err)
			}
			took := time.Since(start)
			if took < c.want*95/100 || took > c.want*120/100 {
				t.Errorf("speed %v took %v, want about %v", c.speed, took, c.want)
			}
			if b := <-got; !bytes.Equal(b, rec) || rep.Octets != int64(len(rec)) || rep.Peers != 2 {
				t.Errorf("%d octets arrived of %d; %v", len(b), len(rec), rep)
			}
		})
	}
}

// TestReplayMRT: an MRT file becomes a sound BMP session.
func TestReplayMRT(t *testing.T) {
	near, far := net.Pipe()
	types := make(chan map[bmp.Type]int, 1)
	go func() {
		seen := map[bmp.Type]int{}
		defer func() { types <- seen }()
		rd := bmp.NewReader(far, 0)
		for {
			raw, err := rd.Next()
			if err != nil {
				return
			}
			m, err := bmp.Parse(raw)
			if err != nil || m.Anomalies != 0 {
				t.Errorf("%v %v", err, m.Anomalies)
			}
			if m.Type == bmp.TypePeerUp {
				if up, err := bmp.ParsePeerUp(&m); err != nil || up.Anomalies != 0 {
					t.Errorf("peer up: %v %v", err, up.Anomalies)
				}
			}
			seen[m.Type]++
		}
	}()
	rep, err := replay(t.Context(), near, bytes.NewReader(testUpdates(20)), replayOptions{Name: "r", Descr: "d", Down: true})
	if err != nil || rep.Damaged != 0 || rep.Peers != 1 {
		t.Fatalf("%v %v", rep, err)
	}
	seen := <-types
	want := map[bmp.Type]int{bmp.TypeInitiation: 1, bmp.TypePeerUp: 1, bmp.TypeRouteMonitoring: 20, bmp.TypePeerDown: 1, bmp.TypeTermination: 1}
	for typ, n := range want {
		if seen[typ] != n {
			t.Errorf("%d messages of type %d, want %d", seen[typ], typ, n)
		}
	}
}

// TestReplayStationGone: a station that closes ends the replay with a reason.
func TestReplayStationGone(t *testing.T) {
	near, far := net.Pipe()
	far.Close()
	if _, err := replay(context.Background(), near, bytes.NewReader(testUpdates(2000)), replayOptions{Hold: time.Hour}); err == nil {
		t.Error("no error")
	}
	isolated(t)
	r := ribtap(t, "replay", "nothing", "--to", "127.0.0.1:1").must(t, exitFailure)
	if !strings.Contains(r.stderr, "nothing") {
		t.Errorf("stderr: %s", r.stderr)
	}
	ribtap(t, "replay", "nothing").must(t, exitUsage)
	ribtap(t, "replay", "nothing", "--to", "nowhere").must(t, exitUsage)
}

func TestNearest(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"listen", "listn", 1}, {"same", "same", 0}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
	if got := nearest("evpn", familyNames()); got != "l2vpn-evpn" {
		t.Errorf("nearest to evpn is %s", got)
	}
}
