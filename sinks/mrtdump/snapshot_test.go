package mrtdump

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/mrt"
)

// fakeRIB is a table made of messages, as a collector's RIB keeps it.
type fakeRIB struct {
	peers  []TablePeer
	routes []fakeRoute
	err    error
	// wait, if set, holds a Snapshot up until it is closed.
	wait chan struct{}
	// closed counts calls of Table.Close.
	closed int
}

type fakeRoute struct {
	n       bgp.NLRI
	entries []TableEntry
}

// add keeps the one route of an UPDATE, as peer's.
func (f *fakeRIB) add(t *testing.T, peer int, s bgp.Session, pdu []byte) {
	t.Helper()
	var u bgp.Update
	u.Parse(bytes.Clone(pdu), s)
	it := u.Routes()
	if !it.Next() {
		t.Fatalf("no route: %v", u.Findings())
	}
	r := it.Route()
	key := bgp.AppendKey(nil, &r.NLRI)
	v, ok := bgp.ParseValue(u.AppendValue(nil, r))
	if !ok {
		t.Fatal("value")
	}
	n, ok := bgp.ParseKey(r.NLRI.Family, r.NLRI.HasPathID, key, v.Extra)
	if !ok {
		t.Fatal("key")
	}
	e := TableEntry{Peer: peer, Originated: event.At(at0.Add(time.Duration(-peer) * time.Second)), Value: v}
	if last := len(f.routes) - 1; last >= 0 && bytes.Equal(key, bgp.AppendKey(nil, &f.routes[last].n)) {
		f.routes[last].entries = append(f.routes[last].entries, e)
		return
	}
	f.routes = append(f.routes, fakeRoute{n, []TableEntry{e}})
}

func (f *fakeRIB) Snapshot(ctx context.Context) (Table, error) {
	if f.wait != nil {
		select {
		case <-f.wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return f, f.err
}

func (f *fakeRIB) Peers() []TablePeer { return f.peers }

func (f *fakeRIB) Routes(fn func(n *bgp.NLRI, entries []TableEntry) error) error {
	for i := range f.routes {
		if err := fn(&f.routes[i].n, f.routes[i].entries); err != nil {
			return err
		}
	}
	return nil
}

func (f *fakeRIB) Close() { f.closed++ }

// fullRIB has every kind of family and subtype, in three trees.
func fullRIB(t *testing.T) *fakeRIB {
	f := &fakeRIB{peers: []TablePeer{{peerA, event.AdjRIBInPre}, {peerB, event.AdjRIBInPre}, {peerA, event.AdjRIBInPost}, {peerLoc, event.LocRIB}}}
	as4, as2 := bgp.Session{AS4: true}, bgp.Session{}
	v4 := announce(peerA, event.AdjRIBInPre, "198.51.100.0/24").PDU
	two := update(nil, join(originIGP, []byte{0x40, 2, 6, 2, 2, 0xfd, 0xe9, 0x5b, 0xa0}, nextHop4,
		[]byte{0xc0, 17, 6, 2, 1, 0xfa, 0x56, 0xea, 1}), prefixes("198.51.100.0/24"))
	f.add(t, 0, as4, v4)
	f.add(t, 1, as2, two)
	f.add(t, 2, as4, v4)
	f.add(t, 3, as4, v4)
	ap := bgp.Session{AS4: true, AddPath: bgp.FamilySet(0).With(bgp.IPv4Unicast)}
	for id := byte(1); id <= 2; id++ {
		f.add(t, 0, ap, update(nil, join(originIGP, asPath(65001), nextHop4), join([]byte{0, 0, 0, id}, prefixes("198.51.101.0/24"))))
	}
	f.add(t, 1, as4, update(nil, join(originIGP, asPath(65001), mpReach6(prefixes("2001:db8:62::/48"))), nil))
	vpn := func(label byte) []byte {
		nlri := join([]byte{112, 0, label, 1, 0, 0, 0xfd, 0xe8, 0, 0, 0, 1}, []byte{198, 51, 100})
		v := join([]byte{0, 1, 128, 12}, make([]byte, 8), []byte{192, 0, 2, 10, 0}, nlri)
		return update(nil, join(originIGP, asPath(65001), []byte{0x80, 14, byte(len(v))}, v), nil)
	}
	f.add(t, 0, as4, vpn(0x10))
	f.add(t, 1, as4, vpn(0x20))
	return f
}

// dumpLines is what a table dump says, one line per entry.
func dumpLines(t *testing.T, name string) (out []string) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	content, _, err := mrt.Decompress(f)
	if err != nil {
		t.Fatal(err)
	}
	rd := mrt.NewReader(content)
	var peers mrt.PeerIndexTable
	var rib mrt.RIB
	for {
		rec, err := rd.Next()
		if err != nil {
			return out
		}
		switch rec.Class() {
		case mrt.ClassPeerIndex:
			if err := peers.Parse(&rec); err != nil {
				t.Fatal(err)
			}
			for _, p := range peers.Peers {
				out = append(out, fmt.Sprintf("peer %s AS%d %s", p.Address, p.ASN, p.BGPID))
			}
		case mrt.ClassRIB:
			if err := rib.Parse(&rec, &peers); err != nil {
				t.Fatal(err)
			}
			for it := rib.Entries(); it.Next(); {
				e := it.Entry()
				text := fmt.Sprintf("%d %d %s %x peer %d", rec.Subtype, rib.Sequence, rib.Family, rib.NLRI, e.PeerIndex)
				if e.HasPathID {
					text += fmt.Sprintf(" path %d", e.PathID)
				}
				out = append(out, text)
			}
		default:
			t.Fatalf("record %d/%d", rec.Type, rec.Subtype)
		}
	}
}

// wait returns when the dump under way has ended.
func (r *rig) wait() {
	if done := r.dumps.done; done != nil {
		<-done
	}
}

func TestTableDump(t *testing.T) {
	rib := fullRIB(t)
	cfg := testConfig(t.TempDir())
	cfg.RIBInterval = 2 * time.Hour
	r := newRig(t, cfg, rib)
	r.idle(7199)
	r.wait()
	if rib.closed != 0 {
		t.Fatal("a dump before its time")
	}
	r.idle(7201)
	r.wait()
	r.idle(7300)
	r.wait()
	if rib.closed != 1 {
		t.Errorf("%d tables closed", rib.closed)
	}
	r.close()
	name := "2026.11/bview.20261124.0600.gz"
	want := map[string][]string{
		"rt1": {
			"peer 192.0.2.10 AS4200000001 192.0.2.10", "peer 2001:db8::10 AS65001 192.0.2.11",
			"2 0 ipv4-unicast 18c63364 peer 0", "2 0 ipv4-unicast 18c63364 peer 1",
			"8 1 ipv4-unicast 18c63365 peer 0 path 1", "8 1 ipv4-unicast 18c63365 peer 0 path 2",
			"4 2 ipv6-unicast 3020010db80062 peer 1",
			"6 3 l3vpn-ipv4-unicast 700010010000fde800000001c63364 peer 0",
			"6 4 l3vpn-ipv4-unicast 700020010000fde800000001c63364 peer 1",
		},
		"rt1.adj-rib-in-post": {"peer 192.0.2.10 AS4200000001 192.0.2.10", "2 0 ipv4-unicast 18c63364 peer 0"},
		"rt1.loc-rib":         {"peer 198.51.100.1 AS64512 192.0.2.99", "2 0 ipv4-unicast 18c63364 peer 0"},
	}
	for tree, w := range want {
		path := filepath.Join(cfg.Dir, tree, name)
		if diff := cmp.Diff(w, dumpLines(t, path)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tree, diff)
		}
		if target, err := os.Readlink(filepath.Join(cfg.Dir, tree, "latest-bview.gz")); target != name {
			t.Errorf("%s: latest-bview.gz is %q, %v", tree, target, err)
		}
		line := tree + "/" + name + ",ribtap,ribs," + tree + ",1795500000,120"
		if index := indexLines(t, cfg.Dir, tree); !slices.Contains(index, line) {
			t.Errorf("%s: csvfile %q", tree, index)
		}
	}
	if got, ok := bgpdump(t, filepath.Join(cfg.Dir, "rt1", name)); ok {
		if diff := cmp.Diff([]string{
			"TABLE_DUMP2|1795500001|B|192.0.2.10|4200000001|198.51.100.0/24|65001|IGP|192.0.2.10|0|0||NAG||",
			"TABLE_DUMP2|1795500001|B|2001:db8::10|65001|198.51.100.0/24|65001 4200000001|IGP|192.0.2.10|0|0||NAG||",
			"TABLE_DUMP2_AP|1795500001|B|192.0.2.10|4200000001|198.51.101.0/24|1|65001|IGP|192.0.2.10|0|0||NAG||",
			"TABLE_DUMP2_AP|1795500001|B|192.0.2.10|4200000001|198.51.101.0/24|2|65001|IGP|192.0.2.10|0|0||NAG||",
			"TABLE_DUMP2|1795500001|B|2001:db8::10|65001|2001:db8:62::/48|65001|IGP|2001:db8::10|0|0||NAG||",
		}, got); diff != "" {
			t.Errorf("bgpdump (-want +got):\n%s", diff)
		}
	}
}

// TestTableDumpOfNothing is still a file, with a PEER_INDEX_TABLE.
func TestTableDumpOfNothing(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.Layout, cfg.RIBInterval = LayoutRouteViews, 2*time.Hour
	r := newRig(t, cfg, &fakeRIB{})
	r.idle(7201)
	r.wait()
	r.close()
	name := filepath.Join(cfg.Dir, "rt1/bgpdata/2026.11/RIBS/rib.20261124.0600.gz")
	if got, ok := bgpdump(t, name); ok && len(got) != 0 {
		t.Errorf("bgpdump: %q", got)
	}
	if got := dumpLines(t, name); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

// TestTableDumpNeverBlocks: a slow snapshot neither holds Write up nor is
// doubled, and Close ends it.
func TestTableDumpNeverBlocks(t *testing.T) {
	rib := fullRIB(t)
	rib.wait = make(chan struct{})
	cfg := testConfig(t.TempDir())
	cfg.RIBInterval = 2 * time.Hour
	r := newRig(t, cfg, rib)
	r.idle(7201)
	r.write(timed(1, []float64{7202}, announce(peerA, event.AdjRIBInPre, "203.0.113.0/24"))...)
	r.idle(14401) // its successor's time: left out
	if !r.dumps.running() {
		t.Error("the first dump has ended")
	}
	r.close()
	if names, err := filepath.Glob(filepath.Join(cfg.Dir, "*", "*", "bview*")); len(names) != 0 || err != nil {
		t.Errorf("files %q, %v", names, err)
	}
}

// TestTableDumpFails leaves no file behind, and the next one is written.
func TestTableDumpFails(t *testing.T) {
	rib := fullRIB(t)
	rib.err = errors.New("not now")
	cfg := testConfig(t.TempDir())
	cfg.RIBInterval = 2 * time.Hour
	r := newRig(t, cfg, rib)
	r.idle(7201)
	r.wait()
	rib.err = nil
	r.idle(11000)
	r.idle(18001) // an hour late: left out
	r.wait()
	r.idle(21601)
	r.wait()
	r.close()
	names, err := filepath.Glob(filepath.Join(cfg.Dir, "rt1", "*", "bview*"))
	if len(names) != 1 || err != nil || !strings.HasSuffix(names[0], "bview.20261124.1000.gz") {
		t.Errorf("files %q, %v", names, err)
	}
}

// TestTableDumpDisk lets the disk fail at every step of a dump: it is there
// whole, or not at all.
func TestTableDumpDisk(t *testing.T) {
	for step := 1; ; step++ {
		d := newMemDisk()
		c := &clock{t: at0}
		s, err := newSink(crashConfig(), testLog(t), nil, fullRIB(t), d, c.now)
		if err != nil {
			t.Fatal(err)
		}
		base := d.steps
		d.failAt = base + step
		err = s.dumps.dump(at0.Unix())
		failed := d.steps >= d.failAt
		if (err != nil) != failed {
			t.Errorf("step %d: %v", step, err)
		}
		for name, node := range d.files {
			if strings.HasSuffix(name, "bview.20261124.0400") && len(node.data) == 0 {
				t.Errorf("step %d: %s is empty", step, name)
			}
			if isTemporary(name) && !strings.Contains(name, "latest") {
				t.Errorf("step %d: %s is left over", step, name)
			}
		}
		d.failAt = 0
		if err := s.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if !failed {
			return
		}
	}
}

// TestManyPeersAndEntries goes over the limits of TABLE_DUMP_V2.
func TestManyPeersAndEntries(t *testing.T) {
	f := &fakeRIB{}
	pdu := announce(peerA, event.AdjRIBInPre, "198.51.100.0/24").PDU
	var u bgp.Update
	u.Parse(pdu, bgp.Session{AS4: true})
	it := u.Routes()
	it.Next()
	v, _ := bgp.ParseValue(u.AppendValue(nil, it.Route()))
	route := fakeRoute{n: it.Route().NLRI}
	for i := range maxPeers + 2 {
		f.peers = append(f.peers, TablePeer{peerA, event.AdjRIBInPre})
		route.entries = append(route.entries, TableEntry{Peer: i, Value: v})
	}
	route.entries = append(route.entries, TableEntry{Peer: 5, Value: v}) // one entry too many for one record
	f.routes = []fakeRoute{route}
	cfg := testConfig(t.TempDir())
	r := newRig(t, cfg, f)
	if err := r.dumps.dump(at0.Unix()); err != nil {
		t.Fatal(err)
	}
	r.close()
	out := dumpLines(t, filepath.Join(cfg.Dir, "rt1/2026.11/bview.20261124.0400.gz"))
	if len(out) != maxPeers+maxPeers+1 || !strings.HasPrefix(out[len(out)-1], "2 1 ipv4-unicast 18c63364 peer 5") {
		t.Errorf("%d lines, the last %q", len(out), out[len(out)-1])
	}
}
