package mrtdump

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/mrt"
)

// at0 is the start of an interval of five minutes: 2026-11-24 04:00 UTC.
var at0 = time.Date(2026, 11, 24, 4, 0, 0, 0, time.UTC)

// clock is the time that a test sets.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = t
}

func testConfig(dir string) Config {
	cfg := DefaultConfig()
	cfg.Dir = dir
	return cfg
}

func testLog(t testing.TB) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

var (
	router = &event.Router{Name: "r1", Address: addr("198.51.100.1"), Session: 1}
	peerA  = &event.Peer{
		Router: router, Address: addr("192.0.2.10"), ASN: 4200000001, BGPID: addr("192.0.2.10"),
		LocalAddress: addr("192.0.2.1"), LocalASN: 64512, Epoch: 1,
	}
	peerB = &event.Peer{
		Router: router, Address: addr("2001:db8::10"), ASN: 65001, BGPID: addr("192.0.2.11"),
		LocalAddress: addr("2001:db8::1"), LocalASN: 64512, Epoch: 1,
	}
	peerLoc = &event.Peer{Router: router, Type: event.PeerLocRIB, Address: addr("0.0.0.0"), ASN: 64512, BGPID: addr("192.0.2.99"), Epoch: 1}
	// peerC never had a Peer Up.
	peerC = &event.Peer{Router: router, Address: addr("192.0.2.30"), ASN: 65003, BGPID: addr("192.0.2.30")}
)

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func prefixes(list ...string) (b []byte) {
	for _, p := range list {
		b = mrt.AppendPrefix(b, netip.MustParsePrefix(p))
	}
	return b
}

func asPath(as ...uint32) []byte {
	b := []byte{0x40, 2, byte(2 + 4*len(as)), 2, byte(len(as))}
	for _, a := range as {
		b = binary.BigEndian.AppendUint32(b, a)
	}
	return b
}

var (
	originIGP = []byte{0x40, 1, 1, 0}
	nextHop4  = []byte{0x40, 3, 4, 192, 0, 2, 10}
	nextHop6  = addr("2001:db8::10").AsSlice()
)

func update(withdrawn, attrs, nlri []byte) []byte {
	m := bytes.Repeat([]byte{0xff}, 16)
	m = binary.BigEndian.AppendUint16(m, uint16(23+len(withdrawn)+len(attrs)+len(nlri)))
	m = append(m, 2)
	m = binary.BigEndian.AppendUint16(m, uint16(len(withdrawn)))
	m = append(m, withdrawn...)
	m = binary.BigEndian.AppendUint16(m, uint16(len(attrs)))
	m = append(m, attrs...)
	return append(m, nlri...)
}

func mpReach6(nlri []byte) []byte {
	v := join([]byte{0, 2, 1, 16}, nextHop6, []byte{0}, nlri)
	return join([]byte{0x80, 14, byte(len(v))}, v)
}

// announce is an event of one announced IPv4 prefix.
func announce(p *event.Peer, rib event.RIB, prefix string) event.Event {
	return event.Event{
		Kind: event.KindRoute, Source: event.SourceBMP, RIB: rib, Router: p.Router, Peer: p, Session: bgp.Session{AS4: true},
		PDU: update(nil, join(originIGP, asPath(65001), nextHop4), prefixes(prefix)),
	}
}

// withdraw is an event of one withdrawn IPv4 prefix.
func withdraw(p *event.Peer, rib event.RIB, prefix string) event.Event {
	return event.Event{
		Kind: event.KindRoute, Source: event.SourceBMP, RIB: rib, Router: p.Router, Peer: p, Session: bgp.Session{AS4: true},
		PDU: update(prefixes(prefix), nil, nil),
	}
}

// inferred makes of an event one that the collector concluded.
func inferred(e event.Event, cause event.Cause) event.Event {
	e.Source, e.Cause, e.Flags = event.SourceCollector, cause, event.FlagInferred
	return e
}

func peerEvent(k event.Kind, p *event.Peer) event.Event {
	return event.Event{Kind: k, Source: event.SourceBMP, Router: p.Router, Peer: p}
}

// timed gives events their times, as seconds after at0, and their sequences.
func timed(first uint64, seconds []float64, events ...event.Event) []event.Event {
	if len(seconds) != len(events) {
		panic(fmt.Sprintf("%d times for %d events", len(seconds), len(events)))
	}
	for i := range events {
		events[i].Sequence = first + uint64(i)
		events[i].Received = event.At(at0.Add(time.Duration(seconds[i] * float64(time.Second))))
	}
	return events
}

// lines is what a file says, one line per route or state change, through our
// own reader: time, kind, peer, prefix.
func lines(t testing.TB, r io.Reader) (out []string) {
	t.Helper()
	content, _, err := mrt.Decompress(r)
	if err != nil {
		t.Fatal(err)
	}
	rd := mrt.NewReader(content)
	var u bgp.Update
	for {
		rec, err := rd.Next()
		if err == io.EOF { //nolint:errorlint // the contract says io.EOF itself
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		head := fmt.Sprintf("%s.%06d", time.Unix(int64(rec.Timestamp), 0).UTC().Format("15:04:05"), rec.Microseconds)
		switch rec.Class() {
		case mrt.ClassMessage:
			var m mrt.Message
			if err := m.Parse(&rec); err != nil {
				t.Fatal(err)
			}
			u.Parse(m.PDU, m.Session())
			for it := u.Routes(); it.Next(); {
				n := it.Route().NLRI
				text := fmt.Sprintf("%s %s %s AS%d %s", head, it.Route().Action, m.PeerIP, m.PeerAS, n.Prefix)
				if n.HasPathID {
					text += fmt.Sprintf(" path %d", n.PathID)
				}
				out = append(out, text)
			}
		case mrt.ClassStateChange:
			var s mrt.StateChange
			if err := s.Parse(&rec); err != nil {
				t.Fatal(err)
			}
			out = append(out, fmt.Sprintf("%s state %s AS%d %s to %s", head, s.PeerIP, s.PeerAS, s.Old, s.New))
		default:
			t.Fatalf("record %d/%d in a file of updates", rec.Type, rec.Subtype)
		}
	}
}

// archive reads all finished files of updates: path below dir to lines.
func archive(t testing.TB, dir string) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasPrefix(d.Name(), "updates.") {
			return err
		}
		if isTemporary(name) {
			t.Errorf("%s is left over", name)
			return nil
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		rel, err := filepath.Rel(dir, name)
		out[filepath.ToSlash(rel)] = lines(t, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// indexLines reads a tree's csvfile without its last column and without dir.
func indexLines(t testing.TB, dir, tree string) (out []string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, tree, indexName))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimPrefix(line, dir+"/")
		out = append(out, line[:strings.LastIndexByte(line, ',')])
	}
	return out
}

// bgpdump returns what bgpdump -m prints of a file. Anything but its greeting
// on stderr is an error. ok is false on a machine without bgpdump.
func bgpdump(t testing.TB, name string) (out []string, ok bool) {
	t.Helper()
	program, err := exec.LookPath("bgpdump")
	if err != nil {
		return nil, false
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(program, "-m", name)
	cmd.Env = append(os.Environ(), "TZ=UTC")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Errorf("bgpdump %s: %v", name, err)
	}
	for line := range strings.Lines(stderr.String()) {
		if !strings.Contains(line, "[info] logging to syslog") {
			t.Errorf("bgpdump warns of %s: %s", name, line)
		}
	}
	out = slices.Collect(strings.Lines(stdout.String()))
	for i := range out {
		out[i] = strings.TrimSuffix(out[i], "\n")
	}
	return out, true
}
