package kafka

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
)

// kafka-go's own decoder reads the batches, and finds the checksum right.
func TestBatchIsReadByKafkaGo(t *testing.T) {
	for _, compression := range []string{CompressionZstd, CompressionGzip, CompressionNone} {
		c, err := newCodec(compression)
		if err != nil {
			t.Fatal(err)
		}
		var l load
		tail := headersTail("rt1", "s")
		times := []int64{1000, 2000, 1, 1_790_000_000_000, 0}
		for i, ms := range times {
			value := bytes.Repeat(fmt.Appendf(nil, "value %d ", i), 50*i)
			if i == 2 {
				value = nil
			}
			l.body = appendRecord(l.body, fmt.Appendf(nil, "key %d", i), value, appendHeaders(nil, uint64(i)+7, tail))
			l.records = append(l.records, record{len(l.body), ms, uint64(i) + 7})
		}
		for first := range times { // from each record on
			raw, plain, err := l.batcher.make(c, producer{77, 3}, 9, l.body, l.start(first), l.records[first:])
			if err != nil {
				t.Fatal(err)
			}
			if plain == 0 || maxTime(raw) < times[len(times)-1] {
				t.Errorf("%d octets, time %d", plain, maxTime(raw))
			}
			var set protocol.RecordSet
			if _, err := set.ReadFrom(bytes.NewReader(raw)); err != nil {
				t.Fatalf("%s: %v", compression, err)
			}
			for i := first; ; i++ {
				r, err := set.Records.ReadRecord()
				if errors.Is(err, io.EOF) {
					if i != len(times) {
						t.Errorf("%s: %d records", compression, i-first)
					}
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				key, _ := protocol.ReadAll(r.Key)
				if string(key) != fmt.Sprintf("key %d", i) || r.Time.UnixMilli() != times[i] && times[i] > 0 || r.Offset != int64(i-first) {
					t.Errorf("%s: record %d: %q at %v, offset %d", compression, i, key, r.Time, r.Offset)
				}
				if i == 2 != (r.Value == nil) {
					t.Errorf("%s: record %d: value %v", compression, i, r.Value)
				}
				if len(r.Headers) != 3 || string(r.Headers[0].Value) != fmt.Sprint(i+7) || r.Headers[2].Key != "schema" {
					t.Errorf("%s: headers %v", compression, r.Headers)
				}
			}
		}
		// The same records are the same octets.
		one, _, _ := l.batcher.make(c, producer{77, 3}, 9, l.body, 0, l.records)
		one = bytes.Clone(one)
		two, _, _ := new(batcher).make(c, producer{77, 3}, 9, l.body, 0, l.records)
		if !bytes.Equal(one, two) {
			t.Errorf("%s: two batches of the same records differ", compression)
		}
	}
}

func TestSequenceBeginsAgain(t *testing.T) {
	for _, tt := range []struct {
		seq  int32
		n    int
		want int32
	}{{0, 5, 5}, {math.MaxInt32 - 1, 1, math.MaxInt32}, {math.MaxInt32, 1, 0}, {math.MaxInt32 - 2, 5, 2}} {
		if got := after(tt.seq, tt.n); got != tt.want {
			t.Errorf("after(%d, %d) = %d, want %d", tt.seq, tt.n, got, tt.want)
		}
	}
}

// The values are those of Kafka's own test of its function.
func TestMurmur2(t *testing.T) {
	for key, want := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string": -1486304829, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107,
	} {
		if got := int32(murmur2([]byte(key))); got != want {
			t.Errorf("%q: %d, want %d", key, got, want)
		}
	}
}

func TestValidate(t *testing.T) {
	cfg := testConfig()
	if err := cfg.Validate(); err != nil {
		t.Errorf("default: %v", err)
	}
	for want, change := range map[string]func(*Config){
		"brokers is empty":              func(c *Config) { c.Brokers = nil },
		`brokers "host": use host:port`: func(c *Config) { c.Brokers = []string{"host"} },
		`topic ""`:                      func(c *Config) { c.Topic = "" },
		`topic "a b"`:                   func(c *Config) { c.Topic = "a b" },
		"topic_state and topic":         func(c *Config) { c.TopicState = c.Topic },
		`format "avro"`:                 func(c *Config) { c.Format = "avro" },
		`compression "lzo"`:             func(c *Config) { c.Compression = "lzo" },
		"partitions 0":                  func(c *Config) { c.Partitions = 0 },
		"replication -1":                func(c *Config) { c.Replication = -1 },
		"retention -1ns":                func(c *Config) { c.Retention = -1 },
		"state_dir is empty":            func(c *Config) { c.StateDir = "" },
		`collector ""`:                  func(c *Config) { c.Collector = "" },
		"timeout 0s":                    func(c *Config) { c.Timeout = 0 },
		"cert and key go together":      func(c *Config) { c.TLS.Enabled, c.TLS.Cert = true, "x" },
		"enabled is false":              func(c *Config) { c.TLS.CA = "x" },
		"no mechanism":                  func(c *Config) { c.SASL.Username = "x" },
		`sasl.mechanism "gssapi"`:       func(c *Config) { c.SASL = SASL{Mechanism: "gssapi", Username: "x", Password: "y"} },
		"either password":               func(c *Config) { c.SASL = SASL{Mechanism: SASLPlain, Username: "x"} },
	} {
		cfg := testConfig()
		change(&cfg)
		err := cfg.Validate()
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestReasons(t *testing.T) {
	dial := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{dial, ReasonNetwork},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), ReasonTimeout},
		{kafkago.TopicAuthorizationFailed, ReasonPermission},
		{kafkago.OutOfOrderSequenceNumber, ReasonSequence},
		{fmt.Errorf("x: %w", kafkago.MessageSizeTooLarge), ReasonSize},
		{io.ErrUnexpectedEOF, ReasonNetwork},
		{kafkago.KafkaStorageError, ReasonDisk},
		{errors.New("what"), ReasonOther},
	} {
		err := fault(tt.err, "doing")
		var e *Error
		if !errors.As(err, &e) || e.RetryReason() != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%v: %v", tt.err, err)
		}
	}
}

// A state of a chunk is of the same cuts when it comes back.
func TestChunkState(t *testing.T) {
	c := &chunk{}
	c.reset(2, 5)
	fill := func() {
		for range 100 {
			l := &c.loads[1]
			l.body = append(l.body, make([]byte, 100)...)
			l.records = append(l.records, record{len(l.body), 0, 5})
		}
	}
	fill()
	c.to, c.sum = 9, 99
	c.loads[1].cut(3000)
	if n := len(c.loads[1].cuts); n < 4 || n > 6 {
		t.Fatalf("cuts %v", c.loads[1].cuts)
	}
	first := c.loads[1].cuts[0]
	if c.loads[1].boundary(first+1) || !c.loads[1].boundary(first) || c.loads[1].done != first {
		t.Fatalf("done %d, cuts %v", c.loads[1].done, c.loads[1].cuts)
	}
	st := c.state()
	c.reset(2, 5)
	fill()
	c.to, c.sum = 9, 99
	if !c.matches(st) || c.loads[1].done != first {
		t.Errorf("the same chunk does not match: %+v", st)
	}
	c.sum++
	if c.matches(st) {
		t.Error("other events match")
	}
	c.sum--
	st.Lanes[0].Cuts[0]++
	if c.matches(st) {
		t.Error("other cuts match")
	}
	// What is there is left out, and the rest keeps its order.
	l := &load{}
	for i := range 5 {
		l.body = append(l.body, fmt.Sprint(i)...)
		l.records = append(l.records, record{len(l.body), int64(i), uint64(i)})
	}
	if n := l.drop(map[written]int{{1, 1}: 1, {3, 3}: 1, {9, 9}: 1}); n != 2 || string(l.body) != "024" || len(l.records) != 3 || l.records[2] != (record{3, 4, 4}) {
		t.Errorf("dropped %d: %q %v", n, l.body, l.records)
	}
}

func TestSubstitute(t *testing.T) {
	var l load
	tail := headersTail("rt1", "s")
	for i, n := range []int{5, 5000, 5} {
		l.body = appendRecord(l.body, []byte("key"), bytes.Repeat([]byte{'x'}, n), appendHeaders(nil, uint64(i)+1, tail))
		l.records = append(l.records, record{len(l.body), 0, uint64(i) + 1})
	}
	size := l.records[1].end - l.records[0].end
	if err := l.substitute(1, headersTail("rt1", schemaOversize)); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"xxxxx", fmt.Sprintf(`{"kind":"oversize","sequence":2,"octets":%d}`, size), "xxxxx"} {
		key, value, headers := split(t, l.body[l.start(i):l.records[i].end])
		if string(key) != "key" || string(value) != want || !strings.HasPrefix(headers, fmt.Sprintf("sequence=%d ", i+1)) {
			t.Errorf("record %d: %s %s %s", i, key, value, headers)
		}
	}
}

// GoBMP's fields, one by one, as docs/kafka.md lists them.
func TestGoBMP(t *testing.T) {
	cfg := testConfig()
	cfg.Format, cfg.TopicPrefix = FormatGoBMPJSON, "lab"
	router, peer := md5sum("192.0.2.4"), md5sum("\x00\x00\x00\x00\x00\x00\x00\x00"+strings.Repeat("\x00", 12)+"\xc6\x33\x64\x04"+"65011"+"\x0a\x00\x00\x0b")
	open := bgp.AppendOpen(nil, bgp.OpenParams{AS: 65001, HoldTime: 90, BGPID: testPeers[3].BGPID, AS4: true})
	common := fmt.Sprintf(`"router_hash":"%s","router_ip":"192.0.2.4","peer_hash":"%s","peer_type":0,"timestamp":"2026-09-21T14:13:19.126456Z"`, router, peer)
	views := `"is_adj_rib_in_post_policy":false,"is_adj_rib_out_post_policy":false,"is_adj_rib_out":false,"is_loc_rib":false,"is_loc_rib_filtered":false`
	hash := md5sum("unicast\x00" + router + "\x00" + peer + "\x0010.0.1.0\x0024\x00true\x000\x00\x00")
	gone := md5sum("unicast\x00" + router + "\x00" + peer + "\x0010.0.2.0\x0024\x00true\x000\x00\x00")
	attrs := attributes(65011, 65000, 3)
	base := fmt.Sprintf(`{"base_attr_hash":"%s","is_atomic_agg":false,"origin":"igp","as_path":[65011,65000,3],"as_path_count":3,"nexthop":"192.0.2.11","med":50,`+
		`"community_list":["65000:1","65535:65281"],"ext_community_list":["rt=65000:1"],"large_community_list":["65000:1:2"]}`, attrHash(attrs))
	none := fmt.Sprintf(`{"base_attr_hash":"%s","is_atomic_agg":false}`, md5sum(""))
	up := routeEvent(3, 3, nil)
	up.Kind, up.Sent, up.PDU = event.KindPeerUp, open, open
	up.Head = append(bmpHead(3, up.Peer, 0), append(make([]byte, 16), 0, 179, 0x9c, 0x40)...)
	peerHash := md5sum("peer\x00" + router + "\x0010.0.0.11\x00198.51.100.4\x0065011\x000\x000:0\x00")
	caps := `{"65":[{"capability_value":"AAD96Q==","capability_descr":"Support for 4-octet AS number capability"}]}`
	down := routeEvent(3, 3, message(bgp.MessageNotification, []byte{6, 2}))
	down.Kind, down.Reason = event.KindPeerDown, 3
	stats := routeEvent(3, 3, nil)
	stats.Kind = event.KindStats
	stats.Stats = []event.Stat{{Type: 7, Value: 1000, OK: true}, {Type: 0, OK: true}, {Type: 9, Family: bgp.IPv6Unicast, Value: 5, OK: true}, {Type: 8, Raw: []byte{1}}}
	for _, tt := range []struct {
		name  string
		event event.Event
		topic string
		want  []string
	}{
		{"update", routeEvent(3, 3, updateMessage(nlri("10.0.2.0/24"), attrs, nlri("10.0.1.0/24")), both2), "lab.gobmp.parsed.unicast_prefix_v4", []string{
			`{"action":"del",` + common + `,` + views + `,"peer_ip":"198.51.100.4","peer_asn":65011,"hash":"` + gone + `","base_attrs":` + none + `,"prefix":"10.0.2.0","prefix_len":24,"is_ipv4":true,"is_nexthop_ipv4":true}`,
			`{"action":"add",` + common + `,` + views + `,"peer_ip":"198.51.100.4","peer_asn":65011,"hash":"` + hash + `","base_attrs":` + base +
				`,"prefix":"10.0.1.0","prefix_len":24,"is_ipv4":true,"origin_as":3,"nexthop":"192.0.2.11","is_nexthop_ipv4":true}`,
		}},
		{"end-of-rib", routeEvent(3, 3, updateMessage(nil, nil, nil)), "lab.gobmp.parsed.unicast_prefix_v4", []string{
			`{"action":"add",` + common + `,` + views + `,"peer_ip":"198.51.100.4","peer_asn":65011,"is_ipv4":true,"is_nexthop_ipv4":true,"is_eor":true}`,
		}},
		{"peer-up", up, "lab.gobmp.parsed.peer", []string{
			`{"action":"add",` + common + `,` + views + `,"hash":"` + peerHash + `","remote_bgp_id":"10.0.0.11","remote_asn":65011,"remote_ip":"198.51.100.4","peer_rd":"0:0",` +
				`"is_ipv4":true,"local_ip":"198.51.100.254","local_asn":65001,"local_port":179,"remote_port":40000,"adv_holddown":90,"remote_holddown":90,"local_bgp_id":"10.0.0.11",` +
				`"adv_cap":` + caps + `,"recv_cap":` + caps + `,"is_l":false,"is_prepolicy":false}`,
		}},
		{"peer-down", down, "lab.gobmp.parsed.peer", []string{
			`{"action":"down",` + common + `,` + views + `,"hash":"` + peerHash + `","remote_bgp_id":"10.0.0.11","remote_asn":65011,"remote_ip":"198.51.100.4","peer_rd":"0:0",` +
				`"is_ipv4":true,"bmp_reason":3,"info_data":"/////////////////////wAVAwYC","is_l":false,"is_prepolicy":false}`,
		}},
		{"stats", stats, "lab.gobmp.parsed.statistics", []string{
			`{` + common + `,` + views + `,"remote_bgp_id":"10.0.0.11","remote_asn":65011,"remote_ip":"198.51.100.4","peer_rd":"0:0","ads_rib_in":1000,"per_afi_adj_ribs_in":[{"afi":2,"safi":1,"count":5}]}`,
		}},
	} {
		got, _ := encode(t, cfg, []event.Event{tt.event})
		if len(got) != len(tt.want) {
			t.Errorf("%s: %d records", tt.name, len(got))
			continue
		}
		for i, r := range got {
			if r.topic != tt.topic || r.key != router {
				t.Errorf("%s: topic %s, key %s", tt.name, r.topic, r.key)
			}
			if diff := diffJSON(t, tt.want[i], string(r.value)); diff != "" {
				t.Errorf("%s: -want +got:\n%s", tt.name, diff)
			}
		}
	}
}

// attrHash is the MD5 of codes and values.
func attrHash(attrs []byte) string {
	var h []byte
	for len(attrs) > 0 {
		n := int(attrs[2])
		h = append(append(h, attrs[1]), attrs[3:3+n]...)
		attrs = attrs[3+n:]
	}
	return md5sum(string(h))
}

func diffJSON(t *testing.T, want, got string) string {
	t.Helper()
	var a, b map[string]any
	if err := json.Unmarshal([]byte(want), &a); err != nil {
		t.Fatalf("%v: %s", err, want)
	}
	if err := json.Unmarshal([]byte(got), &b); err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	return cmp.Diff(a, b)
}

// Of recorded sessions, every route of the families that GoBMP has a topic for
// has its message, and every message is JSON.
func TestGoBMPOfRecordings(t *testing.T) {
	cfg := testConfig()
	cfg.Format = FormatGoBMPJSON
	events := recordings(t)
	got, _ := encode(t, cfg, events)
	counts := map[string]int{}
	for _, r := range got {
		if !json.Valid(r.value) {
			t.Fatalf("%s", r.value)
		}
		counts[r.topic]++
	}
	want := map[string]int{}
	var u bgp.Update
	for i := range events {
		e := &events[i]
		switch {
		case e.Flags&event.FlagNonOwner != 0:
		case e.Kind == event.KindPeerUp || e.Kind == event.KindPeerDown:
			want["gobmp.parsed.peer"]++
		case e.Kind == event.KindStats:
			want["gobmp.parsed.statistics"]++
		case e.Update(&u):
			count := func(f bgp.Family) {
				if topic, ok := goBMPFamilies[f]; ok {
					want["gobmp.parsed."+goBMPNames[topic]]++
				}
			}
			if f, ok := u.EndOfRIB(); ok {
				count(f)
			}
			for it := u.Routes(); it.Next(); {
				count(it.Route().NLRI.Family)
			}
		}
	}
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	t.Logf("records: %v", counts)
}

// A state that was written for other topics of the same format says nothing of
// these: its lanes are by their numbers.
func TestStateOfOtherTopics(t *testing.T) {
	cfg := testConfig()
	cfg.Format, cfg.TopicState, cfg.StateDir = FormatGoBMPJSON, "routes", t.TempDir()
	before := state{
		Version: stateVersion, Target: "gobmp-json rt1 gobmp.parsed.peer routes", Position: 7, ProducerID: 5,
		Partitions: []int{1, 1}, Lanes: []laneState{{Next: 3, Offset: 9}, {Next: 4, Offset: 11}},
	}
	if err := (store{cfg.StateDir}).save(&before); err != nil {
		t.Fatal(err)
	}
	s, err := New(cfg, quiet(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.state.Position != 7 || s.state.ProducerID != noProducer || len(s.state.Lanes) != 0 {
		t.Errorf("%+v", s.state)
	}
}
