package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/bufbuild/protocompile"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/collector"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/fixtures"
)

// made is a record that a format made.
type made struct {
	topic    string
	sequence uint64
	key      string
	value    []byte // nil for a tombstone
}

// encode runs the events through the format of cfg.
func encode(t testing.TB, cfg Config, events []event.Event) ([]made, *metrics) {
	t.Helper()
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	f, topics := newFormat(&cfg, m)
	b := newTestBuilder(cfg, m, topics)
	var out []made
	for i := range events {
		b.chunk.reset(len(topics), 1)
		b.begin(&events[i])
		f.append(&events[i], b)
		for topic := range topics {
			l := &b.chunk.loads[topic]
			for j, r := range l.records {
				key, value, headers := split(t, l.body[l.start(j):r.end])
				if headers != fmt.Sprintf("sequence=%d collector=%s schema=%s ", events[i].Sequence, cfg.Collector, topics[topic].schema) {
					t.Fatalf("headers %q", headers)
				}
				out = append(out, made{topics[topic].name, r.sequence, string(key), value})
			}
		}
	}
	return out, m
}

// newTestBuilder has one partition a topic.
func newTestBuilder(cfg Config, m *metrics, topics []topicSpec) *builder {
	b := &builder{chunk: &chunk{}, m: m, now: 1 << 62}
	for i, topic := range topics {
		b.lanes = append(b.lanes, lane{topic: i})
		b.first, b.counts = append(b.first, i), append(b.counts, 1)
		b.tails = append(b.tails, headersTail(cfg.Collector, topic.schema))
	}
	b.chunk.reset(len(topics), 1)
	return b
}

// split takes a record apart, as Kafka's documentation of the message format
// has it.
func split(t testing.TB, b []byte) (key, value []byte, headers string) {
	t.Helper()
	take := func() []byte {
		n, size := binary.Varint(b)
		if size <= 0 || n > int64(len(b)-size) {
			t.Fatalf("length %d of %d octets", n, len(b)-size)
		}
		b = b[size:]
		if n < 0 {
			return nil
		}
		out := b[:n:n]
		b = b[n:]
		return out
	}
	key, value = take(), take()
	n, size := binary.Varint(b)
	b = b[size:]
	for range n {
		name := take()
		headers += fmt.Sprintf("%s=%s ", name, take())
	}
	if len(b) != 0 {
		t.Fatalf("%d octets behind the record", len(b))
	}
	return key, bytes.Clone(value), headers
}

// capture keeps what a collector writes, numbered.
type capture struct{ events []event.Event }

func (c *capture) Write(_ context.Context, batch []event.Event) error {
	for _, e := range batch {
		for _, b := range []*[]byte{&e.Head, &e.PDU, &e.Tail, &e.Sent} {
			*b = bytes.Clone(*b)
		}
		e.Marks, e.Stats = slices.Clone(e.Marks), slices.Clone(e.Stats)
		for i := range e.Stats {
			e.Stats[i].Raw = bytes.Clone(e.Stats[i].Raw)
		}
		e.Sequence = uint64(len(c.events) + 1)
		c.events = append(c.events, e)
	}
	return nil
}

// recordings are the events of real routers' BMP sessions.
func recordings(t testing.TB) []event.Event {
	t.Helper()
	names, err := fixtures.Recordings()
	if err != nil {
		t.Fatal(err)
	}
	out := &capture{}
	c, err := collector.New(collector.DefaultConfig(), out, quiet(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Restore(func(uint64, func([]event.Event) error) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := fixtures.Recording(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.ImportBMP(context.Background(), bytes.NewReader(b), collector.ImportOptions{Router: name, File: name}); err != nil {
			t.Fatal(err)
		}
	}
	if len(out.events) < 100 {
		t.Fatalf("%d events", len(out.events))
	}
	return out.events
}

func testConfig() Config {
	cfg := DefaultConfig()
	cfg.Brokers, cfg.StateDir = []string{"127.0.0.1:9092"}, "x"
	return cfg
}

func TestJSONIsTheEvents(t *testing.T) {
	events := append(recordings(t), crashBatch(10_000, 300)...)
	got, _ := encode(t, testConfig(), events)
	if len(got) != len(events) {
		t.Fatalf("%d records of %d events", len(got), len(events))
	}
	for i := range events {
		if want := event.AppendJSON(nil, &events[i]); !bytes.Equal(got[i].value, want) {
			t.Fatalf("got %s\nwant %s", got[i].value, want)
		}
	}
}

// strict makes a schema that allows no field which it does not name.
func strict(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, ok := v["properties"].(map[string]any); ok {
			v["additionalProperties"] = false
		}
		for _, x := range v {
			strict(x)
		}
	case []any:
		for _, x := range v {
			strict(x)
		}
	}
}

func schemaOf(t testing.TB, pointer string) *jsonschema.Schema {
	t.Helper()
	b, err := os.ReadFile("../../docs/kafka.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	strict(doc)
	c := jsonschema.NewCompiler()
	if err := c.AddResource("kafka.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("kafka.schema.json" + pointer)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSchema(t *testing.T) {
	cfg := testConfig()
	cfg.Raw = true
	cfg.TopicState = "ribtap.routes"
	events := append(recordings(t), crashBatch(10_000, 100)...)
	got, _ := encode(t, cfg, events)
	schemas := map[string]*jsonschema.Schema{cfg.Topic: schemaOf(t, ""), cfg.TopicState: schemaOf(t, "#/$defs/route")}
	counts := map[string]int{}
	for _, r := range append(got, made{topic: "oversize", value: appendOversize(nil, 7, 1<<20)}) {
		if r.value == nil {
			continue
		}
		s := schemas[r.topic]
		if s == nil {
			s = schemaOf(t, "#/$defs/oversize")
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(r.value))
		if err != nil {
			t.Fatalf("%v: %s", err, r.value)
		}
		if err := s.Validate(doc); err != nil {
			t.Fatalf("%v: %s", err, r.value)
		}
		counts[r.topic]++
	}
	t.Logf("records: %v", counts)
}

// protoEvent decodes with protobuf's own decoder and a descriptor compiled from
// the published schema.
func protoEvent(t testing.TB) func(b []byte) protoreflect.Message {
	t.Helper()
	c := protocompile.Compiler{Resolver: &protocompile.SourceResolver{ImportPaths: []string{"../../api/proto"}}}
	files, err := c.Compile(context.Background(), "ribtap/v1/event.proto")
	if err != nil {
		t.Fatal(err)
	}
	desc := files[0].Messages().ByName("Event")
	return func(b []byte) protoreflect.Message {
		m := dynamicpb.NewMessage(desc)
		if err := proto.Unmarshal(b, m); err != nil {
			t.Fatalf("%v: %x", err, b)
		}
		return m
	}
}

func TestProtobuf(t *testing.T) {
	cfg := testConfig()
	cfg.Format = FormatProtobuf
	events := append(recordings(t), crashBatch(10_000, 300)...)
	got, _ := encode(t, cfg, events)
	if len(got) != len(events) {
		t.Fatalf("%d records of %d events", len(got), len(events))
	}
	decode := protoEvent(t)
	kinds := map[string]int{}
	for i := range events {
		e := &events[i]
		m := decode(got[i].value)
		if unknown := unknownFields(m); unknown > 0 {
			t.Fatalf("event %d: %d octets of unknown fields", e.Sequence, unknown)
		}
		if diff := cmp.Diff(wantProto(e), gotProto(m)); diff != "" {
			t.Fatalf("event %d (-want +got):\n%s", e.Sequence, diff)
		}
		kinds[e.Kind.String()]++
	}
	t.Logf("events: %v", kinds)
}

func unknownFields(m protoreflect.Message) int {
	n := len(m.GetUnknown())
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Message() == nil:
		case fd.IsList():
			for i := range v.List().Len() {
				n += unknownFields(v.List().Get(i).Message())
			}
		default:
			n += unknownFields(v.Message())
		}
		return true
	})
	return n
}

// gotProto and wantProto say the same of a message and of an event, in words.
func gotProto(m protoreflect.Message) []string {
	var out []string
	get := func(m protoreflect.Message, name protoreflect.Name) protoreflect.Value {
		return m.Get(m.Descriptor().Fields().ByName(name))
	}
	for name := range strings.FieldsSeq("sequence kind received_at observed_at source collector rib cause flags head sent pdu tail marks reason fsm_code text lost start end") {
		v := get(m, protoreflect.Name(name))
		if b, ok := v.Interface().([]byte); ok {
			out = append(out, fmt.Sprintf("%s %x", name, b))
		} else {
			out = append(out, fmt.Sprintf("%s %v", name, v))
		}
	}
	if m.Has(m.Descriptor().Fields().ByName("router")) {
		r := get(m, "router").Message()
		out = append(out, fmt.Sprintf("router %s %x %s %s %d", get(r, "name"), get(r, "address").Bytes(), get(r, "sys_name"), get(r, "sys_descr"), get(r, "session").Uint()))
	}
	if m.Has(m.Descriptor().Fields().ByName("peer")) {
		p := get(m, "peer").Message()
		out = append(out, fmt.Sprintf("peer %d %x %d %x %x %s %x %d %d", get(p, "type").Uint(), get(p, "address").Bytes(), get(p, "asn").Uint(), get(p, "bgp_id").Bytes(),
			get(p, "distinguisher").Bytes(), get(p, "table"), get(p, "local_address").Bytes(), get(p, "local_asn").Uint(), get(p, "epoch").Uint()))
	}
	s := get(m, "session").Message()
	text := fmt.Sprintf("session %v %v %d", get(s, "as4").Bool(), get(s, "extended_message").Bool(), get(s, "peering").Uint())
	out = append(out, text+numbers(get(s, "add_path").List()))
	for l, i := get(m, "stats").List(), 0; i < l.Len(); i++ {
		st := l.Get(i).Message()
		out = append(out, fmt.Sprintf("stat %d %s %d %v %d %x", get(st, "type").Uint(), get(st, "name"), get(st, "family").Uint(),
			st.Has(st.Descriptor().Fields().ByName("value")), get(st, "value").Uint(), get(st, "raw").Bytes()))
	}
	for l, i := get(m, "routes").List(), 0; i < l.Len(); i++ {
		r := l.Get(i).Message()
		text := fmt.Sprintf("route withdraw=%v %s %s path_id=%v,%d rd=%s changed=%v next_hop=%s cause=%d", get(r, "withdraw").Bool(), get(r, "family"), get(r, "prefix"),
			r.Has(r.Descriptor().Fields().ByName("path_id")), get(r, "path_id").Uint(), get(r, "rd"), get(r, "changed").Bool(), get(r, "next_hop"), get(r, "cause").Enum())
		out = append(out, text+numbers(get(r, "labels").List()))
	}
	a := get(m, "attributes").Message()
	for name := range strings.FieldsSeq("origin as_path communities large_communities ext_communities aggregator originator_id cluster_list flags") {
		out = append(out, name+" "+get(a, protoreflect.Name(name)).String())
	}
	for name := range strings.FieldsSeq("origin_as med local_pref otc aigp") {
		out = append(out, fmt.Sprintf("%s %v %d", name, a.Has(a.Descriptor().Fields().ByName(protoreflect.Name(name))), get(a, protoreflect.Name(name)).Uint()))
	}
	return append(out, fmt.Sprintf("atomic %v", get(a, "atomic_aggregate").Bool()), "eor "+get(m, "end_of_rib").String())
}

// numbers are those of a list, each behind a space.
func numbers(l protoreflect.List) string {
	var b strings.Builder
	for i := range l.Len() {
		fmt.Fprintf(&b, " %d", l.Get(i).Uint())
	}
	return b.String()
}

func wantProto(e *event.Event) []string {
	marks := make([]byte, len(e.Marks))
	for i, m := range e.Marks {
		marks[i] = byte(m)
	}
	out := []string{
		fmt.Sprint("sequence ", e.Sequence), fmt.Sprintf("kind %d", e.Kind), fmt.Sprintf("received_at %d", e.Received), fmt.Sprintf("observed_at %d", e.Observed),
		fmt.Sprintf("source %d", e.Source), "collector rt1", fmt.Sprintf("rib %d", e.RIB), fmt.Sprintf("cause %d", e.Cause), fmt.Sprintf("flags %d", e.Flags),
		fmt.Sprintf("head %x", e.Head), fmt.Sprintf("sent %x", e.Sent), fmt.Sprintf("pdu %x", e.PDU), fmt.Sprintf("tail %x", e.Tail), fmt.Sprintf("marks %x", marks),
		fmt.Sprint("reason ", e.Reason), fmt.Sprint("fsm_code ", e.FSMCode), "text " + e.Text, fmt.Sprint("lost ", e.Lost), fmt.Sprintf("start %d", e.Start), fmt.Sprintf("end %d", e.End),
	}
	if r := e.Router; r != nil {
		out = append(out, fmt.Sprintf("router %s %x %s %s %d", r.Name, r.Address.AsSlice(), r.SysName, r.SysDescr, r.Session))
	}
	if p := e.Peer; p != nil {
		rd := p.Distinguisher[:]
		if p.Distinguisher == (bgp.RD{}) {
			rd = nil
		}
		out = append(out, fmt.Sprintf("peer %d %x %d %x %x %s %x %d %d", p.Type, p.Address.AsSlice(), p.ASN, p.BGPID.AsSlice(), rd, p.Table, p.LocalAddress.AsSlice(), p.LocalASN, p.Epoch))
	}
	text := fmt.Sprintf("session %v %v %d", e.Session.AS4, e.Session.ExtendedMessage, e.Session.Peering)
	for _, f := range e.Session.AddPath.Families() {
		text += fmt.Sprintf(" %d", f)
	}
	out = append(out, text)
	for _, s := range e.Stats {
		if !s.OK {
			s.Value = 0
		}
		out = append(out, fmt.Sprintf("stat %d %s %d %v %d %x", s.Type, s.Name, s.Family, s.OK, s.Value, s.Raw))
	}
	// What the routes and attributes are comes from the JSON form.
	var j struct {
		Routes []struct {
			Action, Family, Prefix, RD, NextHop, Cause string
			PathID                                     *uint32
			Labels                                     []uint32
			Changed                                    bool
		}
		Attributes struct {
			Origin, Aggregator string
			AsPath             string `json:"as_path"`
			OriginatorID       string `json:"originator_id"`
			Communities        []string
			Large              []string `json:"large_communities"`
			Ext                []string `json:"ext_communities"`
			Clusters           []string `json:"cluster_list"`
			OriginAS           *uint64  `json:"origin_as"`
			Med, Otc, Aigp     *uint64
			LocalPref          *uint64 `json:"local_pref"`
			Atomic             bool    `json:"atomic_aggregate"`
		}
		EndOfRIB string `json:"end_of_rib"`
	}
	text = string(event.AppendJSON(nil, e))
	text = strings.NewReplacer(`"next_hop":`, `"NextHop":`, `"path_id":`, `"PathID":`).Replace(text)
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		panic(err)
	}
	var u bgp.Update
	var flags []byte
	if e.Update(&u) && e.Peer != nil {
		flags = u.Flags(e.Peer.LocalASN, e.Peer.ASN).AppendText(nil)
		it := u.Routes()
		for i := range j.Routes {
			it.Next()
			j.Routes[i].Cause = fmt.Sprint(int(e.RouteCause(it.Route())))
		}
	}
	for _, r := range j.Routes {
		id := uint32(0)
		if r.PathID != nil {
			id = *r.PathID
		}
		text := fmt.Sprintf("route withdraw=%v %s %s path_id=%v,%d rd=%s changed=%v next_hop=%s cause=%s", r.Action == "withdraw", r.Family, r.Prefix, r.PathID != nil, id, r.RD, r.Changed, r.NextHop, r.Cause)
		if len(r.Labels) > 0 {
			text += " " + strings.Trim(fmt.Sprint(r.Labels), "[]")
		}
		out = append(out, text)
	}
	a := j.Attributes
	out = append(out, "origin "+a.Origin, "as_path "+a.AsPath, "communities "+strings.Join(a.Communities, " "), "large_communities "+strings.Join(a.Large, " "),
		"ext_communities "+strings.Join(a.Ext, " "), "aggregator "+a.Aggregator, "originator_id "+a.OriginatorID, "cluster_list "+strings.Join(a.Clusters, " "), "flags "+string(flags))
	for _, v := range []struct {
		name string
		v    *uint64
	}{{"origin_as", a.OriginAS}, {"med", a.Med}, {"local_pref", a.LocalPref}, {"otc", a.Otc}, {"aigp", a.Aigp}} {
		n := uint64(0)
		if v.v != nil {
			n = *v.v
		}
		out = append(out, fmt.Sprintf("%s %v %d", v.name, v.v != nil, n))
	}
	return append(out, fmt.Sprintf("atomic %v", a.Atomic), "eor "+j.EndOfRIB)
}

// obmpFrame is a frame taken apart by the documented offsets.
func obmpFrame(t testing.TB, b []byte) (fields map[string]string, bmp []byte) {
	t.Helper()
	be := binary.BigEndian
	n := int(be.Uint16(b[38:]))
	m := int(be.Uint16(b[72+n:]))
	if be.Uint32(b) != 0x4F424D50 || b[4] != 1 || b[5] != 7 || b[13] != 12 || int(be.Uint16(b[6:])) != 78+n+m || be.Uint32(b[74+n+m:]) != 1 {
		t.Fatalf("header %x", b[:78+n+m])
	}
	bmp = b[78+n+m:]
	if int(be.Uint32(b[8:])) != len(bmp) {
		t.Fatalf("length %d, message of %d", be.Uint32(b[8:]), len(bmp))
	}
	return map[string]string{
		"flags": fmt.Sprintf("%02x", b[12]), "seconds": fmt.Sprint(be.Uint32(b[14:])), "micros": fmt.Sprint(be.Uint32(b[18:])),
		"collector_hash": fmt.Sprintf("%x", b[22:38]), "collector": string(b[40 : 40+n]),
		"router_hash": fmt.Sprintf("%x", b[40+n:56+n]), "router_ip": fmt.Sprintf("%x", b[56+n:72+n]), "router": string(b[74+n : 74+n+m]),
	}, bmp
}

func TestOBMP(t *testing.T) {
	cfg := testConfig()
	cfg.Format = FormatOBMPRaw
	e := crashEvent(3)
	got, _ := encode(t, cfg, []event.Event{e})
	fields, bmp := obmpFrame(t, got[0].value)
	want := map[string]string{
		"flags": "80", "seconds": "1790000000", "micros": "126456", "collector": "rt1", "collector_hash": md5sum("rt1"),
		"router_hash": md5sum("192.0.2.4"), "router_ip": "c0000204000000000000000000000000", "router": "edge3",
	}
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got[0].key != md5sum("192.0.2.4") {
		t.Errorf("key %q", got[0].key)
	}
	if !bytes.Equal(bmp, append(bytes.Clone(e.Head), e.PDU...)) {
		t.Errorf("message %x", bmp)
	}
}

// All messages of a recording come out as they went in.
func TestOBMPKeepsRecordings(t *testing.T) {
	cfg := testConfig()
	cfg.Format = FormatOBMPRaw
	got, _ := encode(t, cfg, recordings(t))
	byRouter := map[string][]byte{}
	for _, r := range got {
		fields, bmp := obmpFrame(t, r.value)
		byRouter[fields["router"]] = append(byRouter[fields["router"]], bmp...)
	}
	names, err := fixtures.Recordings()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		want, err := fixtures.Recording(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(byRouter[name], want) {
			t.Errorf("%s: %d octets of %d", name, len(byRouter[name]), len(want))
		}
	}
}

// stateModel is a table that is kept by the marks of events.
func stateModel(events []event.Event) map[string]string {
	table := map[string]string{}
	var u bgp.Update
	for i := range events {
		e := &events[i]
		if !e.Update(&u) {
			continue
		}
		for it, j := u.Routes(), 0; it.Next(); j++ {
			r := it.Route()
			if e.Mark(j)&(event.MarkChanged|event.MarkState) == 0 {
				continue
			}
			id := ""
			if r.NLRI.HasPathID {
				id = fmt.Sprint(r.NLRI.PathID)
			}
			rd := ""
			if r.NLRI.HasRD {
				rd = string(r.NLRI.RD.AppendText(nil)) + " "
			}
			peer, dist := "", ""
			if e.Peer.Address.IsValid() {
				peer = e.Peer.Address.String()
			}
			if e.Peer.Distinguisher != (bgp.RD{}) {
				dist = string(e.Peer.Distinguisher.AppendText(nil))
			}
			key := strings.Join([]string{"rt1", e.Router.Name, peer, dist, e.RIB.String(), r.NLRI.Family.String(), rd + string(r.NLRI.AppendText(nil)), id}, "|")
			if r.Action == bgp.Withdraw {
				delete(table, key)
			} else {
				table[key] = fmt.Sprintf("%d %s", e.Sequence, u.AppendASPath(nil))
			}
		}
	}
	return table
}

// compacted is what is left of the records of the state topic.
func compacted(t testing.TB, records []made) map[string]string {
	t.Helper()
	table := map[string]string{}
	for _, r := range records {
		if r.value == nil {
			delete(table, r.key)
			continue
		}
		var v struct {
			Sequence uint64
			ASPath   string `json:"as_path"`
		}
		if err := json.Unmarshal(r.value, &v); err != nil {
			t.Fatalf("%v: %s", err, r.value)
		}
		table[r.key] = fmt.Sprintf("%d %s", v.Sequence, v.ASPath)
	}
	return table
}

func TestStateTopic(t *testing.T) {
	cfg := testConfig()
	cfg.TopicState = "ribtap.routes"
	// Without the last events, so that routes are left.
	events := recordings(t)
	for _, cut := range []int{0, len(events) / 3, len(events) / 2} {
		part := events[:len(events)-cut]
		got, _ := encode(t, cfg, part)
		got = slices.DeleteFunc(got, func(m made) bool { return m.topic != cfg.TopicState })
		want := stateModel(part)
		if diff := cmp.Diff(want, compacted(t, got)); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
		t.Logf("%d records leave %d routes", len(got), len(want))
	}
	got, _ := encode(t, cfg, []event.Event{crashEvent(1)})
	want := `{"collector":"rt1","router":"edge1","router_address":"192.0.2.2","peer_address":"198.51.100.2","peer_asn":65011,"peer_bgp_id":"10.0.0.11",` +
		`"rib":"adj-rib-in-pre","family":"ipv4-unicast","prefix":"10.0.1.0/24","sequence":1,"since":"2026-09-21T14:13:20.124456Z","observed_at":"2026-09-21T14:13:19.124456Z",` +
		`"next_hop":"192.0.2.11","origin":"igp","as_path":"65011 65000 1","origin_as":1,"med":50,"communities":["65000:1","65535:65281"],` +
		`"large_communities":["65000:1:2"],"ext_communities":["rt:65000:1"]}`
	var a, b any
	if err := json.Unmarshal(got[1].value, &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(want), &b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b, a); diff != "" {
		t.Errorf("-want +got:\n%s\n%s", diff, got[1].value)
	}
	if got[1].key != "rt1|edge1|198.51.100.2||adj-rib-in-pre|ipv4-unicast|10.0.1.0/24|" {
		t.Errorf("key %q", got[1].key)
	}
}

// One message with very many routes and very long attributes does not become a
// record of attributes a route.
func TestExpansionIsBounded(t *testing.T) {
	var list []string
	for i := range 3000 {
		list = append(list, fmt.Sprintf("10.%d.%d.0/24", i/256, i%256))
	}
	var long []byte
	for range 7000 {
		long = append(long, 0xff, 0xff, 0xff, 0x01)
	}
	attrs := append(attributes(65011, 65000), attribute(0xc0, 8, long...)...)
	// Two attributes of a code: the second counts for nothing, so take the first away.
	attrs = bytes.Replace(attrs, attribute(0xc0, 8, 0xfd, 0xe8, 0, 1, 0xff, 0xff, 0xff, 1), nil, 1)
	e := routeEvent(1, 0, updateMessage(nil, attrs, nlri(list...)), both2)
	e.Session.ExtendedMessage = true
	for _, format := range []string{FormatJSON, FormatGoBMPJSON} {
		cfg := testConfig()
		cfg.Format = format
		if format == FormatJSON {
			cfg.TopicState = "ribtap.routes"
		}
		got, m := encode(t, cfg, []event.Event{e})
		total, routes := 0, 0
		for _, r := range got {
			total += len(r.value)
			if r.topic != cfg.Topic {
				routes++
			}
		}
		if routes != 3000 || total > 4<<20 || testutil.ToFloat64(m.reduced) != 1 {
			t.Errorf("%s: %d records of routes, %d octets", format, routes, total)
		}
	}
}

// In the steady state a route costs no allocation.
func TestAllocations(t *testing.T) {
	for _, format := range []string{FormatJSON, FormatProtobuf, FormatOBMPRaw, FormatGoBMPJSON} {
		cfg := testConfig()
		cfg.Format = format
		cfg.TopicState = "ribtap.routes"
		m, err := newMetrics(nil)
		if err != nil {
			t.Fatal(err)
		}
		f, topics := newFormat(&cfg, m)
		b := newTestBuilder(cfg, m, topics)
		events := crashBatch(1, 500)
		for i, pdu := range updatesOf(t) {
			events = append(events, routeEvent(uint64(501+i), 0, pdu, both2))
		}
		run := func() {
			b.chunk.reset(len(topics), 1)
			for i := range events {
				b.begin(&events[i])
				f.append(&events[i], b)
			}
		}
		run()
		if n := testing.AllocsPerRun(5, run); n > 0 {
			t.Errorf("%s: %.1f allocations for %d events", format, n, len(events))
		}
	}
}

// Whatever the octets are, the values are what they say they are.
func FuzzFormats(f *testing.F) {
	for i := range uint64(20) {
		f.Add(crashEvent(i+1).PDU, uint8(i))
	}
	for _, pdu := range updatesOf(f) {
		f.Add(pdu, uint8(1)) // AS numbers of four octets
	}
	decode := protoEvent(f)
	f.Fuzz(func(t *testing.T, pdu []byte, x uint8) {
		e := routeEvent(1, int(x%routersOfTests), pdu, both2)
		e.Session.AS4, e.Session.AddPath = x&1 != 0, bgp.FamilySet(x)
		for _, format := range []string{FormatJSON, FormatProtobuf, FormatGoBMPJSON} {
			cfg := testConfig()
			cfg.Format, cfg.TopicState = format, "ribtap.routes"
			got, _ := encode(t, cfg, []event.Event{e})
			for _, r := range got {
				switch {
				case !utf8.ValidString(r.key):
					t.Fatalf("key %q", r.key)
				case r.value == nil:
				case format == FormatProtobuf && r.topic == cfg.Topic:
					decode(r.value)
				case !json.Valid(r.value):
					t.Fatalf("%s: %s", format, r.value)
				}
			}
		}
	})
}
