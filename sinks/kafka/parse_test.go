package kafka

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ribtap/ribtap/event"
)

// An event that went through the format protobuf is the same event.
func TestDecoder(t *testing.T) {
	cfg := testConfig()
	cfg.Format = FormatProtobuf
	events := append(recordings(t), crashBatch(10_000, 300)...)
	gap := event.Event{Sequence: 5, Kind: event.KindGap, Cause: event.CauseOverflow, Lost: 7, Start: 1, End: 2, Text: "x"}
	events = append(events, gap)
	got, _ := encode(t, cfg, events)
	var d Decoder
	routers, peers := map[*event.Router]*event.Router{}, map[*event.Peer]*event.Peer{}
	addr := cmp.Comparer(func(a, b event.Router) bool { return a == b })
	peer := cmp.Comparer(func(a, b event.Peer) bool {
		same := *a.Router == *b.Router
		a.Router, b.Router = nil, nil
		return same && a == b
	})
	for i := range events {
		e, name, err := d.Decode(got[i].value)
		if err != nil {
			t.Fatal(err)
		}
		if name != "rt1" {
			t.Errorf("collector %q", name)
		}
		if diff := cmp.Diff(events[i], e, addr, peer, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("event %d (-want +got):\n%s", i, diff)
		}
		// What was one pointer is one pointer.
		if r := routers[events[i].Router]; r != nil && r != e.Router {
			t.Errorf("event %d: another router", i)
		}
		if p := peers[events[i].Peer]; p != nil && p != e.Peer {
			t.Errorf("event %d: another peer", i)
		}
		routers[events[i].Router], peers[events[i].Peer] = e.Router, e.Peer
	}
}

func FuzzDecoder(f *testing.F) {
	var enc event.ProtoEncoder
	for i := range uint64(10) {
		e := crashEvent(i + 1)
		f.Add(enc.Append(nil, &e))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var d Decoder
		e, _, err := d.Decode(b)
		if err != nil {
			return
		}
		// What can be read can be written, and is then read as the same.
		enc := event.ProtoEncoder{}
		again, _, err := d.Decode(enc.Append(nil, &e))
		if err != nil || again.Sequence != e.Sequence || string(again.PDU) != string(e.PDU) || again.Session != e.Session {
			t.Fatalf("%v: %+v", err, again)
		}
	})
}
