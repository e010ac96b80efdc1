//go:build integration

package postgres_test

import (
	"context"
	"strings"
	"testing"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/event/eventtest"
	"github.com/ribtap/ribtap/history/historytest"
)

// FuzzWrite stores whatever octets a router may send. The store takes every
// event, and never because the server refused one.
func FuzzWrite(f *testing.F) {
	s := newStore(f)
	for i, e := range historytest.Scenario(1)[:60] {
		var marks []byte
		for _, m := range e.Marks {
			marks = append(marks, byte(m))
		}
		f.Add(byte(e.Kind), byte(e.Source)|byte(e.RIB)<<5|4, uint64(i), e.PDU, marks, e.Text)
	}
	f.Add(byte(event.KindRoute), byte(9), uint64(1)<<63, announce(attributes([]uint32{65001}), prefixes("2001:db8::/32")...), []byte{}, "")
	f.Add(byte(event.KindPeerUp), byte(1), uint64(0), historytest.Open(65001, 90, "198.51.100.1"), []byte{}, historytest.Hostile)
	db := connect(f, s.dsn)
	f.Fuzz(func(t *testing.T, kind, source byte, time uint64, pdu, marks []byte, text string) {
		if kind > byte(event.KindState) || kind == 0 {
			return
		}
		e := event.Event{
			Sequence: s.sink.Position() + 1, Kind: event.Kind(kind), Source: event.Source(source & 3), RIB: event.RIB(source >> 5),
			Received: t0, Observed: event.Time(time >> 2), Router: historytest.Router, Peer: historytest.Peer, PDU: pdu, Head: pdu, Sent: pdu,
			Text: text, Session: bgp.Session{AS4: source&4 != 0, AddPath: bgp.FamilySet(time & 3)}, Reason: uint16(time),
			Lost: time, Start: event.Time(time >> 3), End: event.Time(time >> 4),
			Stats: []event.Stat{{Type: uint16(time), Name: text, Value: time, OK: source&8 != 0, Raw: pdu}},
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
		for _, reason := range linesOf(t, db, "SELECT reason FROM anomaly ORDER BY id DESC LIMIT 1") {
			if strings.Contains(reason, "SQLSTATE") || strings.Contains(reason, "panic") {
				t.Fatal(reason)
			}
		}
	})
}
