package bmp_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/bmp"
	"github.com/ribtap/ribtap/internal/corpus"
)

// readFile reads a file of a folder.
func readFile(tb testing.TB, dir, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// recordings returns the names of all *.bmp files, from the corpus's data folder.
func recordings(tb testing.TB) []string {
	tb.Helper()
	root := corpus.Data()
	if root == "" {
		return nil
	}
	var names []string
	err := filepath.WalkDir(filepath.Join(root, "bmp"), func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".bmp") {
			name, _ := filepath.Rel(root, path)
			names = append(names, filepath.ToSlash(name))
		}
		return err
	})
	if err != nil || len(names) == 0 {
		tb.Fatalf("%d recordings, %v", len(names), err)
	}
	return names
}

// typeCount matches a message type in the table of recordings.
var typeCount = regexp.MustCompile(`(Initiation|PeerUp|PeerDown|RouteMonitoring|Statistics|Termination|RouteMirroring)=(\d+)`)

var tableTypes = map[string]bmp.Type{
	"RouteMonitoring": bmp.TypeRouteMonitoring, "Statistics": bmp.TypeStatistics, "PeerDown": bmp.TypePeerDown,
	"PeerUp": bmp.TypePeerUp, "Initiation": bmp.TypeInitiation, "Termination": bmp.TypeTermination,
	"RouteMirroring": bmp.TypeRouteMirroring,
}

// tableOf reads the row of a recording: how many messages of each type it has.
func tableOf(tb testing.TB, readme, name string) (total int, counts map[bmp.Type]int) {
	tb.Helper()
	for line := range strings.Lines(readme) {
		cell := strings.Split(line, "|")
		if len(cell) < 7 || strings.TrimSpace(cell[1]) != name {
			continue
		}
		total, err := strconv.Atoi(strings.ReplaceAll(strings.TrimSpace(cell[3]), ",", ""))
		if err != nil {
			tb.Fatal(err)
		}
		counts = map[bmp.Type]int{}
		types, _, _ := strings.Cut(cell[6], ";")
		for _, m := range typeCount.FindAllStringSubmatch(types, -1) {
			counts[tableTypes[m[1]]], _ = strconv.Atoi(m[2])
		}
		return total, counts
	}
	tb.Fatalf("no row for %s", name)
	return 0, nil
}

// recordedAnomalies says what the recordings have that is odd: a Huawei router
// puts TLVs of type 0xea62 behind its UPDATEs, and FRRouting's local routes come
// as those of AS 0.
var recordedAnomalies = map[string]map[bmp.Anomalies]int{
	"bmp-multi-sources.s17p58985.bmp": {bmp.AnomalyTrailing: 200},
	"bmp-multi-sources.s18p58555.bmp": {bmp.AnomalyPeerAS: 1},
	"bmp-multi-sources.s19p51765.bmp": {bmp.AnomalyPeerAS: 4},
}

// TestRecordings frames every recording of real routers, compares the counts
// with those that another program found, reads every body and writes it again.
func TestRecordings(t *testing.T) {
	for _, name := range recordings(t) {
		t.Run(name, func(t *testing.T) {
			raw := readFile(t, corpus.Data(), name)
			total, want := tableOf(t, string(readFile(t, corpus.Data(), "README.md")), name)
			all, err := readAll(bmp.NewReader(bytes.NewReader(raw), 0))
			if err != io.EOF { //nolint:errorlint // the contract is io.EOF itself
				t.Fatalf("end: %v", err)
			}
			if len(all) != total {
				t.Errorf("%d messages, want %d", len(all), total)
			}
			got := map[bmp.Type]int{}
			odd := map[bmp.Anomalies]int{}
			for i, msg := range all {
				m := parse(t, msg)
				got[m.Type]++
				found, again, err := body(m)
				if err != nil {
					t.Errorf("message %d: %v", i, err)
				}
				for one := range found.All() {
					odd[one]++
				}
				if !bytes.Equal(again, msg) {
					t.Errorf("message %d of type %s is not written again as it was", i, m.Type)
				}
			}
			for typ, n := range want {
				if got[typ] != n {
					t.Errorf("%d messages of type %s, want %d", got[typ], typ, n)
				}
				delete(got, typ)
			}
			if want := recordedAnomalies[filepath.Base(name)]; !maps.Equal(odd, want) {
				t.Errorf("anomalies %v, want %v", odd, want)
			}
			if len(got) != 0 {
				t.Errorf("more types than the table has: %v", got)
			}
		})
	}
}

// hostileCase is one entry of the manifest of hostile inputs.
type hostileCase struct {
	ID, Proto, File, Prelude string
	Sentinel                 string `json:"sentinel_file"`
	Expect                   struct {
		Class    string
		Sentinel bool
	}
}

func hostileCases(tb testing.TB) []hostileCase {
	tb.Helper()
	if corpus.Hostile() == "" {
		return nil
	}
	var manifest struct{ Cases []hostileCase }
	if err := json.Unmarshal(readFile(tb, corpus.Hostile(), "manifest.json"), &manifest); err != nil {
		tb.Fatal(err)
	}
	var cases []hostileCase
	for _, c := range manifest.Cases {
		if c.Proto == "bmp" {
			cases = append(cases, c)
		}
	}
	if len(cases) == 0 {
		tb.Fatal("the manifest has no BMP case")
	}
	return cases
}

// judgedAbove are the cases whose fault is not BMP's: here they are sound. The
// function shows that the BGP codec finds the fault in what was handed to it; it
// is nil where only the peer's history tells.
var judgedAbove = map[string]func(*bmp.Message) bool{
	"bmp-pup-open-cap-overrun":    badOpen,
	"bmp-pup-open-extended-lie":   badOpen,
	"bmp-rmon-reset-mpreach":      badUpdate(0),
	"bmp-rmon-addpath-missing-id": badUpdate(bgp.FamilySet(0).With(bgp.IPv4Unicast)),
	"bmp-pdn-shutdown-text-lies":  nil, // the text of a NOTIFICATION
	"bmp-pup-as-mismatch":         nil, // the AS of an OPEN is not the header's
	"bmp-pup-twice":               nil, // up already
	"bmp-pdn-twice":               nil, // down already
	"bmp-pph-v-flag-set-on-v4":    nil, // never up
	"bmp-pdn-unknown-peer":        nil, // never up
	"bmp-stat-unknown-peer":       nil, // never up
}

// badOpen reports whether an OPEN of a Peer Up cannot be read whole.
func badOpen(m *bmp.Message) bool {
	up, err := bmp.ParsePeerUp(m)
	if err != nil {
		return false
	}
	for _, open := range [][]byte{up.Sent, up.Received} {
		var e *bgp.MessageError
		if _, err := bgp.ParseOpen(open); errors.As(err, &e) && e.Structural() {
			return true
		}
	}
	return false
}

// badUpdate reports whether no route may be taken from an UPDATE.
func badUpdate(addPath bgp.FamilySet) func(*bmp.Message) bool {
	return func(m *bmp.Message) bool {
		rm, err := bmp.ParseRouteMonitoring(m)
		if err != nil {
			return false
		}
		var u bgp.Update
		u.Parse(rm.PDU, bgp.Session{AS4: !m.Peer.LegacyASPath(), AddPath: addPath})
		return u.Verdict() == bgp.VerdictSessionReset
	}
}

// outcome is what became of one hostile stream.
type outcome struct {
	drops      []error       // of the case's messages
	anomalies  bmp.Anomalies // of the case's messages
	unknown    int           // of the case's messages
	above      bool          // the BGP codec found the fault in one of them
	terminated bool
	reached    []byte // what came behind the case, read without a fault
	end        error
}

// play reads a stream whose case begins and ends at the given octets.
func play(r *bmp.Reader, from, to int64, above func(*bmp.Message) bool) (o outcome) {
	for {
		at := r.Offset()
		raw, err := r.Next()
		if err != nil {
			o.end = err
			return o
		}
		m, err := bmp.Parse(raw)
		found := m.Anomalies
		if err == nil {
			found, _, err = body(&m)
		}
		switch {
		case at >= to && err == nil:
			o.reached = append(o.reached, raw...)
		case at >= from && at < to:
			if err != nil {
				o.drops = append(o.drops, err)
				continue
			}
			o.anomalies |= found
			o.above = o.above || above != nil && above(&m)
			if !m.Known {
				o.unknown++
			}
			if m.Type == bmp.TypeTermination {
				o.terminated = true
				o.end = io.EOF // the station hangs up
				return o
			}
		case err != nil:
			o.drops = append(o.drops, fmt.Errorf("outside the case: %w", err))
		}
	}
}

// check compares an outcome with what the manifest expects.
func (o outcome) check(c hostileCase) error {
	finds, above := judgedAbove[c.ID]
	if finds != nil && !o.above {
		return errors.New("the BGP codec does not find the fault")
	}
	var e *bmp.Error
	framing := asError(o.end, &e) && e.Class == bmp.ClassFraming
	truncated := asError(o.end, &e) && e.Class == bmp.ClassTruncated
	for _, err := range o.drops {
		if !asError(err, &e) || e.Class != bmp.ClassDrop {
			return fmt.Errorf("dropped with %w", err)
		}
	}
	dropped := len(o.drops) > 0
	ok := false
	switch c.Expect.Class {
	case "close":
		ok = framing || o.terminated && !dropped
	case "partial":
		ok = truncated && !dropped
	case "drop":
		ok = dropped != above
	case "ok", "withdraw":
		ok = !dropped && o.anomalies == 0
	case "warn":
		ok = !dropped && (o.anomalies == 0) == above
	case "skip":
		ok = !dropped && (o.unknown > 0 || o.anomalies&bmp.AnomalyPeerType != 0)
	default:
		return fmt.Errorf("class %q is not known here", c.Expect.Class)
	}
	if !ok || c.Expect.Class != "close" && framing || c.Expect.Class != "partial" && truncated {
		return fmt.Errorf("want %s: drops %v, anomalies %v, terminated %v, end %w", c.Expect.Class, o.drops, o.anomalies, o.terminated, o.end)
	}
	return nil
}

func asError(err error, e **bmp.Error) bool {
	got, ok := err.(*bmp.Error) //nolint:errorlint // the package's own errors come unwrapped
	*e = got
	return ok
}

func TestHostile(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range hostileCases(t) {
		seen[c.ID] = true
		t.Run(c.ID, func(t *testing.T) {
			var stream, sentinel []byte
			if c.Prelude != "" {
				stream = readFile(t, corpus.Hostile(), c.Prelude)
			}
			from := int64(len(stream))
			stream = append(stream, readFile(t, corpus.Hostile(), c.File)...)
			to := int64(len(stream))
			if c.Sentinel != "" {
				sentinel = readFile(t, corpus.Hostile(), c.Sentinel)
				stream = append(stream, sentinel...)
			}
			for name, src := range map[string]io.Reader{
				"whole":    bytes.NewReader(stream),
				"bytewise": iotest.OneByteReader(bytes.NewReader(stream)),
			} {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				o := play(bmp.NewReader(src, 0), from, to, judgedAbove[c.ID])
				runtime.ReadMemStats(&after)
				if err := o.check(c); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if c.Expect.Sentinel && (len(sentinel) == 0 || !bytes.Equal(o.reached, sentinel)) {
					t.Errorf("%s: sentinel not reached, but %d octets of %d; end %v", name, len(o.reached), len(sentinel), o.end)
				}
				if n, limit := after.TotalAlloc-before.TotalAlloc, uint64(64*len(stream)+1<<20); n > limit {
					t.Errorf("%s: %d octets allocated for %d, limit %d", name, n, len(stream), limit)
				}
			}
		})
	}
	for id := range judgedAbove {
		if len(seen) > 0 && !seen[id] {
			t.Errorf("case %s is excepted and not in the manifest", id)
		}
	}
}
