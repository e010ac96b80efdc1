package kafka

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/history/historytest"
)

// Every kind of event that the stores know comes through the format protobuf as
// it was, but for text that is not UTF-8, which stores clean anyway.
func TestDecoderOfScenario(t *testing.T) {
	cfg := testConfig()
	cfg.Format = FormatProtobuf
	events := historytest.Scenario(5)
	got, _ := encode(t, cfg, events)
	var d Decoder
	text := cmp.Comparer(func(a, b string) bool { return valid(a) == valid(b) })
	kinds := map[event.Kind]int{}
	for i := range events {
		r := d.read(&rawRecord{value: got[i].value, schema: schemaProtobuf})
		if r.unreadable != "" || r.collector != "rt1" {
			t.Fatalf("event %d of %q: %s", i, r.collector, r.what)
		}
		if diff := cmp.Diff(events[i], r.event, text, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{}), cmp.Comparer(sameRouter)); diff != "" {
			t.Fatalf("event %d (-want +got):\n%s", i, diff)
		}
		kinds[events[i].Kind]++
	}
	for k := event.KindRouterUp; k <= event.KindState; k++ {
		if kinds[k] == 0 {
			t.Logf("no event of kind %s", k)
		}
	}
}

// What is no event is kept with its octets; what stands for one is a gap.
func TestRecordsThatAreNoEvents(t *testing.T) {
	var d Decoder
	for _, c := range []struct {
		name   string
		record rawRecord
		want   string
		event  event.Event
	}{
		{
			"octets",
			rawRecord{offset: 7, value: []byte{0xff}, schema: schemaProtobuf, collector: "rt2", sequence: "9"},
			unreadableValue,
			event.Event{Kind: event.KindUnknown, PDU: []byte{0xff}},
		},
		{"tombstone", rawRecord{schema: schemaProtobuf}, unreadableValue, event.Event{Kind: event.KindUnknown}},
		{
			"JSON",
			rawRecord{value: []byte("{}"), schema: schemaJSON, collector: "rt2", sequence: "9"},
			unreadableFormat,
			event.Event{Kind: event.KindUnknown, PDU: []byte("{}")},
		},
		{"a stranger's", rawRecord{value: []byte("{}")}, unreadableFormat, event.Event{Kind: event.KindUnknown, PDU: []byte("{}")}},
		{
			"too large",
			rawRecord{value: appendOversize(nil, 9, 2_000_000), schema: schemaOversize, collector: "rt2", sequence: "9"},
			unreadableOversize,
			event.Event{Kind: event.KindGap, Sequence: 9, Lost: 1, Cause: event.CauseOverflow},
		},
		{
			"no sequence",
			rawRecord{value: []byte{0x10, 5}, schema: schemaProtobuf},
			unreadableValue,
			event.Event{Kind: event.KindUnknown, PDU: []byte{0x10, 5}},
		},
	} {
		got := d.read(&c.record)
		want := c.record.collector
		if want == "" {
			want = nobody
		}
		if got.unreadable != c.want || got.collector != want || got.what == "" || got.event.Text == "" {
			t.Errorf("%s: %q of %q: %s", c.name, got.unreadable, got.collector, got.what)
		}
		got.event.Text = ""
		got.event.Received = 0
		if diff := cmp.Diff(c.event, got.event, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func sameRouter(a, b event.Router) bool {
	for _, r := range []*event.Router{&a, &b} {
		r.Name, r.SysName, r.SysDescr = valid(r.Name), valid(r.SysName), valid(r.SysDescr)
	}
	return a == b
}

// valid is the text as Protobuf can have it.
func valid(s string) string { return strings.ToValidUTF8(s, "\ufffd") }
