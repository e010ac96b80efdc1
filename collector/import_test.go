package collector

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/bmp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/mrt"
)

var attrs = []byte{0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9, 0x40, 3, 4, 192, 0, 2, 10}

// table is a table dump of one peer.
func table(t *testing.T, at uint32, prefixes ...string) []byte {
	t.Helper()
	b, err := mrt.AppendPeerIndexTable(nil, at, &mrt.PeerIndexTable{
		CollectorID: netip.MustParseAddr("192.0.2.1"),
		Peers:       []mrt.IndexPeer{{BGPID: netip.MustParseAddr("192.0.2.10"), Address: netip.MustParseAddr("192.0.2.10"), ASN: 65001}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range prefixes {
		h := &mrt.RIBHeader{Seconds: at, Sequence: uint32(i), Family: bgp.IPv4Unicast, NLRI: mrt.AppendPrefix(nil, netip.MustParsePrefix(p))}
		if b, err = mrt.AppendRIB(b, h, []mrt.RIBEntry{{Originated: at - 60, AS4: true, Attrs: attrs}}); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func mrtUpdate(at uint32, routes ...string) []byte {
	h := &mrt.PeerHeader{PeerAS: 65001, LocalAS: 65000, PeerIP: netip.MustParseAddr("192.0.2.10"), LocalIP: netip.MustParseAddr("192.0.2.1")}
	msg := update(peerHeader("192.0.2.10", 0), 1, routes...)
	return mrt.AppendMessageET(nil, at, 0, h, true, false, msg[48:])
}

func (r *rig) importMRT(t *testing.T, b []byte) ImportReport {
	t.Helper()
	rep, err := r.c.ImportMRT(t.Context(), bytes.NewReader(b), ImportOptions{Router: "rrc99", File: "f", SHA256: "0"})
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func TestTableThenUpdatesThenTable(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		rep := r.importMRT(t, table(t, 1000, "10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16"))
		if want := (ImportReport{Records: 4, Announced: 3, Skipped: 1}); !cmp.Equal(rep, want) {
			t.Errorf("report %+v, want %+v", rep, want)
		}
		r.want("route 192.0.2.10 +10.0.0.0/8/c/s", "route 192.0.2.10 +10.1.0.0/16/c/s", "route 192.0.2.10 +10.2.0.0/16/c/s", "import rrc99")
		if at := r.rec.kept[0].Received; at != 1000*1e9 {
			t.Errorf("received at %d, want the record's own time", at)
		}

		r.importMRT(t, slices.Concat(mrtUpdate(1100, "+10.3.0.0/16"), mrtUpdate(1200, "-10.1.0.0/16")))
		r.want("route 192.0.2.10 +10.3.0.0/16/c/s", "route 192.0.2.10 -10.1.0.0/16/c/s", "import rrc99")

		// What a further table does not have is gone; the rest is not news.
		r.importMRT(t, table(t, 2000, "10.0.0.0/8", "10.4.0.0/16"))
		r.want("route 192.0.2.10 +10.0.0.0/8", "route 192.0.2.10 +10.4.0.0/16/c/s",
			"route 192.0.2.10 import inferred -10.2.0.0/16/c/s -10.3.0.0/16/c/s", "import rrc99")
		if at := r.rec.kept[len(r.rec.kept)-2].Received; at != 2000*1e9 {
			t.Errorf("swept at %d, want the table's time", at)
		}
	})
}

// What a table dump does not name any more goes in the order of the dump's index.
func TestTableEndsInOrder(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const peers, at = 20, 1000
		r := newRig(t, nil)
		index := &mrt.PeerIndexTable{CollectorID: netip.MustParseAddr("192.0.2.1")}
		var entries []mrt.RIBEntry
		var want []string
		for i := range peers {
			a := netip.AddrFrom4([4]byte{192, 0, 2, byte(200 - i)})
			index.Peers = append(index.Peers, mrt.IndexPeer{BGPID: a, Address: a, ASN: 65001})
			entries = append(entries, mrt.RIBEntry{PeerIndex: uint16(i), Originated: at, AS4: true, Attrs: attrs})
			want = append(want, "route "+a.String()+" import inferred -10.0.0.0/8/c/s")
		}
		dump, err := mrt.AppendPeerIndexTable(nil, at, index)
		if err != nil {
			t.Fatal(err)
		}
		h := &mrt.RIBHeader{Seconds: at, Family: bgp.IPv4Unicast, NLRI: mrt.AppendPrefix(nil, netip.MustParsePrefix("10.0.0.0/8"))}
		full, err := mrt.AppendRIB(bytes.Clone(dump), h, entries)
		if err != nil {
			t.Fatal(err)
		}
		if rep := r.importMRT(t, full); rep.Announced != peers {
			t.Fatalf("report %+v", rep)
		}
		r.rec.take()
		r.importMRT(t, dump)
		r.want(append(want, "import rrc99")...)
	})
}

func TestImportedStateChanges(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		h := &mrt.PeerHeader{PeerAS: 65001, LocalAS: 65000, PeerIP: netip.MustParseAddr("192.0.2.10"), LocalIP: netip.MustParseAddr("192.0.2.1")}
		r.importMRT(t, slices.Concat(
			mrt.AppendStateChangeET(nil, 1000, 5, h, mrt.Active, mrt.Connect),
			mrt.AppendStateChangeET(nil, 1000, 9, h, mrt.OpenConfirm, mrt.Established),
			mrtUpdate(1001, "+10.0.0.0/8"),
			mrt.AppendStateChangeET(nil, 1002, 0, h, mrt.Established, mrt.Idle),
		))
		r.want("state 192.0.2.10", "peer-up 192.0.2.10 epoch 1", "route 192.0.2.10 +10.0.0.0/8/c/s",
			"peer-down 192.0.2.10 peer-down", "route 192.0.2.10 peer-down inferred -10.0.0.0/8/c/s", "import rrc99")
	})
}

func TestDamagedRecordIsKept(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		bad := mrtUpdate(1000, "+10.0.0.0/8")
		bad[len(bad)-2] = 33 // bits of the prefix
		rep := r.importMRT(t, slices.Concat(bad, mrtUpdate(1001, "+10.1.0.0/16"), []byte{1, 2, 3}))
		if rep.Damaged != 2 || rep.Announced != 1 || len(rep.Faults) != 2 {
			t.Errorf("report %+v", rep)
		}
		r.want("route 192.0.2.10 dropped", "route 192.0.2.10 +10.1.0.0/16/c/s", "import rrc99")
	})
}

// TestImportedRecordingOfTwoSessions: a Termination ends the routes of its
// session, and what follows is a session of its own. The Initiation has no time
// and takes that of the first message with one.
func TestImportedRecordingOfTwoSessions(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		h := peerHeader("192.0.2.10", 0)
		one := slices.Concat(initiation("r1"), peerUp(h), update(h, 1, "+10.0.0.0/8"))
		termination := bmp.AppendTermination(nil)
		rep, err := r.c.ImportBMP(t.Context(), bytes.NewReader(slices.Concat(one, termination, one, termination)), ImportOptions{Router: "rec"})
		if err != nil || rep.Announced != 2 || rep.Records != 8 || rep.Damaged != 0 {
			t.Fatalf("%+v, %v", rep, err)
		}
		session := []string{
			"router-up rec", "peer-up 192.0.2.10 epoch 1", "route 192.0.2.10 +10.0.0.0/8/c/s",
			"router-down rec router-down", "peer-down 192.0.2.10 router-down inferred", "route 192.0.2.10 router-down inferred -10.0.0.0/8/c/s",
		}
		second := slices.Clone(session)
		second[1], second[2] = "peer-up 192.0.2.10 epoch 2", "route 192.0.2.10 +10.0.0.0/8/s"
		r.want(slices.Concat(session, second, []string{"import rec"})...)
		for i, e := range r.rec.kept[:12] {
			if e.Received != event.Time(h.Time()) {
				t.Errorf("event %d received at %d, want the router's time %d", i, e.Received, h.Time())
			}
		}
	})
}

func TestImportedRecordingKeepsItsRoutes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		h := peerHeader("192.0.2.10", 0)
		recording := slices.Concat(initiation("r1"), peerUp(h), update(h, 1, "+10.0.0.0/8"))
		rep, err := r.c.ImportBMP(t.Context(), bytes.NewReader(recording), ImportOptions{Router: "rec"})
		if err != nil || rep.Announced != 1 || rep.Records != 3 {
			t.Fatalf("%+v, %v", rep, err)
		}
		r.want("router-up rec", "peer-up 192.0.2.10 epoch 1", "route 192.0.2.10 +10.0.0.0/8/c/s", "import rec")
		if got := r.rec.kept[2].Received; got != event.Time(h.Time()) {
			t.Errorf("received at %d, want the router's time %d", got, h.Time())
		}
		if got := r.c.Stats(); got.Routes != 1 || got.PeersUp != 0 {
			t.Errorf("stats %+v", got)
		}
	})
}
