//go:build bench

package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/bmp"
	"github.com/ribtap/ribtap/internal/load"
	"github.com/ribtap/ribtap/mrt"
)

// mrtFile is a file to import and what its row wants: decoding's share of the CPU
// time of bgpdump -m.
type mrtFile struct {
	kind, path string
	target     target
	most       float64
}

// mrtImport: a table dump and a file of updates, decoded to events, imported
// whole, and read by bgpdump.
func mrtImport(t *testing.T) (lines []line) {
	files := []mrtFile{
		{kind: "table dump", target: "decode to events ≤ 0.06 × bgpdump -m", most: 0.06},
		{kind: "updates", target: "decode to events ≤ 0.12 × bgpdump -m", most: 0.12},
	}
	if dir := os.Getenv("BENCH_MRT"); dir != "" {
		files[0].path = plainCopy(t, largest(t, dir, "rib", "bview"))
		files[1].path = plainCopy(t, largest(t, dir, "update"))
	} else {
		files[0].path, files[1].path = writeTableDump(t), writeUpdates(t)
	}
	for _, f := range files {
		lines = append(lines, importOf(t, f))
	}
	return lines
}

func importOf(t *testing.T, f mrtFile) line {
	t.Helper()
	routes := bgpdumpRoutes(t, f.path)
	programs := []struct {
		name string
		argv func(t *testing.T) []string
	}{
		{"events", func(*testing.T) []string { return []string{program("decode"), "-events", f.path} }},
		{"decode", func(*testing.T) []string { return []string{program("decode"), f.path} }},
		{"import", func(t *testing.T) []string {
			return []string{program("ribtap"), "import", "--data-dir", dataDir(t), f.path}
		}},
		{"bgpdump", func(*testing.T) []string { return []string{"sh", "-c", "exec bgpdump -m " + f.path + " >/dev/null"} }},
	}
	all := make([][]cost, len(programs))
	for i := range runs(t) {
		for k, c := range programs {
			t.Run(fmt.Sprintf("%s-%s-%d", strings.Fields(f.kind)[0], c.name, i+1), func(t *testing.T) {
				p := run(t, nil, c.argv(t)...)
				wall, u := p.finish(time.Hour)
				if c.name == "decode" || c.name == "events" {
					decodedAll(t, p, routes)
				}
				one := cost{wall, max(u.cpu, time.Millisecond), u.peak, u.written, routes}
				t.Log(one)
				all[k] = append(all[k], one)
			})
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	events, decode, whole, theirs := medians(all[0]), medians(all[1]), medians(all[2]), medians(all[3])
	share := func(c cost) float64 { return c.cpu.Seconds() / theirs.cpu.Seconds() }
	return line{
		stage:  f.kind + ", " + filepath.Base(f.path),
		ribtap: fmt.Sprintf("decode to events %v; to events and RIB %v; ribtap import with all it writes %v", events, decode, whole),
		peers:  fmt.Sprintf("bgpdump -m %v", theirs),
		ratio:  fmt.Sprintf("events %.3f, with the RIB %.3f, import %.2f of its CPU time", share(events), share(decode), share(whole)),
		target: f.target, met: share(events) <= f.most,
	}
}

// decodedAll checks what decode printed.
func decodedAll(t *testing.T, p *process, routes uint64) {
	t.Helper()
	var rep struct{ Announced, Withdrawn, Damaged uint64 }
	if err := json.Unmarshal([]byte(p.words()), &rep); err != nil || rep.Damaged > 0 || rep.Announced+rep.Withdrawn != routes {
		t.Errorf("decode found %+v, bgpdump %d routes; %v", rep, routes, err)
	}
}

// bgpdumpRoutes counts the routes that bgpdump finds.
func bgpdumpRoutes(t *testing.T, path string) uint64 {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "sh", "-c", `bgpdump -m "$1" 2>/dev/null | grep -c '|[ABW]|'`, "sh", path).Output()
	n := number(strings.TrimSpace(string(out)))
	if err != nil || n == 0 {
		t.Fatalf("bgpdump finds %d routes in %s: %v; run scripts/install-bench-peers.sh", n, path, err)
	}
	return uint64(n)
}

// largest is the largest file below a directory whose name has one of the words.
func largest(t *testing.T, dir string, words ...string) (path string) {
	t.Helper()
	most := int64(-1)
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		for _, w := range words {
			if err == nil && info.Size() > most && strings.Contains(e.Name(), w) {
				path, most = p, info.Size()
			}
		}
		return err
	})
	if err != nil || path == "" {
		t.Fatalf("no file named like %v below %s; %v", words, dir, err)
	}
	return path
}

// plainCopy decompresses a file, so that only its records are measured.
func plainCopy(t *testing.T, path string) string {
	t.Helper()
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	plain, _, err := mrt.Decompress(in)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(path)
	out, err := os.Create(filepath.Join(t.TempDir(), strings.TrimSuffix(name, filepath.Ext(name))))
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(out, plain)
	if err := errors.Join(err, out.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Name()
}

const madeAt = 1_750_000_000 // seconds, of the records that are made

// writeTableDump makes a TABLE_DUMP_V2 file of one peer with a full table.
func writeTableDump(t *testing.T) string {
	t.Helper()
	peer := netip.MustParseAddr("203.0.0.1")
	b, err := mrt.AppendPeerIndexTable(nil, madeAt, &mrt.PeerIndexTable{
		CollectorID: netip.MustParseAddr("192.0.2.1"), View: "made", Peers: []mrt.IndexPeer{{BGPID: peer, Address: peer, ASN: 3356}},
	})
	if err != nil {
		t.Fatal(err)
	}
	h := mrt.RIBHeader{Seconds: madeAt}
	err = load.NewFull(size(20_000, 1_000_000), size(4_600, 230_000), 1).Router(0, 1).EachRoute(0, func(p netip.Prefix, nextHop, attrs []byte) (err error) {
		h.Family, h.NLRI = bgp.IPv4Unicast, mrt.AppendPrefix(h.NLRI[:0], p)
		if p.Addr().Is6() {
			h.Family = bgp.IPv6Unicast
		}
		b, err = mrt.AppendRIB(b, &h, []mrt.RIBEntry{{Originated: madeAt, AS4: true, NextHop: nextHop, Attrs: attrs}})
		h.Sequence++
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, "made.rib", b)
}

// writeUpdates makes a BGP4MP_ET file of a full session's UPDATEs.
func writeUpdates(t *testing.T) string {
	t.Helper()
	var b []byte
	for rd := bmp.NewReader(bytes.NewReader(fullSession().octets), 0); ; {
		raw, err := rd.Next()
		if errors.Is(err, io.EOF) {
			return writeFile(t, "made.updates", b)
		}
		if err != nil {
			t.Fatal(err)
		}
		m, err := bmp.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if m.Type != bmp.TypeRouteMonitoring {
			continue
		}
		rm, err := bmp.ParseRouteMonitoring(&m)
		if err != nil {
			t.Fatal(err)
		}
		h := mrt.PeerHeader{PeerAS: m.Peer.ASN, LocalAS: 64496, PeerIP: m.Peer.Address, LocalIP: netip.MustParseAddr("203.0.0.254")}
		b = mrt.AppendMessageET(b, m.Peer.Seconds, m.Peer.Microseconds, &h, true, false, rm.PDU)
	}
}

func writeFile(t *testing.T, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
