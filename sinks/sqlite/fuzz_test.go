package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/event/eventtest"
)

// FuzzWrite stores whatever octets a router may send. The store takes every
// event, and never because it had to give one up.
func FuzzWrite(f *testing.F) {
	path := filepath.Join(f.TempDir(), "history.db")
	s := &store{tb: f, path: path, sink: openSink(f, path)}
	set := attributes([]uint32{65001, 1}, communities(1, 2))
	f.Add(byte(event.KindRoute), byte(1), uint64(0), announce(set, prefixes("10.0.0.0/8", "10.1.0.0/16")...), []byte{3, 1}, "text")
	f.Add(byte(event.KindRoute), byte(9), uint64(1)<<63, announce(set, prefixes("2001:db8::/32")...), []byte{}, "")
	f.Add(byte(event.KindRoute), byte(5), uint64(3), withdraw(prefixes("10.0.0.0/8")...), []byte{2}, "")
	f.Add(byte(event.KindPeerUp), byte(1), uint64(0), open(65001, 90, "198.51.100.1"), []byte{}, "\x00")
	f.Add(byte(event.KindPeerDown), byte(1), uint64(0), message(3, []byte{6, 2, 3, 'a', 0xff, 0}), []byte{}, "")
	f.Add(byte(event.KindState), byte(3), uint64(0), message(4, nil), []byte{}, "Idle to Active")
	f.Add(byte(event.KindUnknown), byte(1), uint64(0), []byte{0xff}, []byte{}, "")
	db := s.db()
	f.Fuzz(func(t *testing.T, kind, source byte, time uint64, pdu, marks []byte, text string) {
		if kind > byte(event.KindState) || kind == 0 {
			return
		}
		e := event.Event{
			Sequence: s.sink.Position() + 1, Kind: event.Kind(kind), Source: event.Source(source & 3), RIB: event.RIB(source >> 5),
			Received: t0, Observed: event.Time(time >> 2), Router: testRouter, Peer: testPeer, PDU: pdu, Head: pdu, Sent: pdu, Text: text,
			Session: bgp.Session{AS4: source&4 != 0, AddPath: bgp.FamilySet(time & 3)},
		}
		for _, m := range marks {
			e.Marks = append(e.Marks, event.Mark(m&7))
		}
		if err := eventtest.Trash(s.sink).Write(context.Background(), []event.Event{e}); err != nil {
			t.Fatal(err)
		}
		if s.sink.Position() != e.Sequence {
			t.Fatalf("position %d after %d", s.sink.Position(), e.Sequence)
		}
		same(t, lines(t, db, "SELECT reason FROM anomaly WHERE sequence = ? AND (reason LIKE 'sqlite:%' OR reason LIKE '%constraint%')", e.Sequence), nil)
	})
}
