package kafka

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/collector"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/fixtures"
)

// goBMPTypes are the topics of the message types that GoBMP's file sink writes.
var goBMPTypes = map[int]string{
	1: "statistics", 10: "peer", 14: "evpn", 74: "unicast_prefix_v4", 76: "unicast_prefix_v6", 114: "l3vpn_v4", 116: "l3vpn_v6",
	154: "sr_policy_v4", 156: "sr_policy_v6", 164: "flowspec_v4", 166: "flowspec_v6",
}

// goBMPMessage is one message, of GoBMP or ours.
type goBMPMessage struct {
	topic, key string
	data       map[string]any
}

// id tells which messages to compare: they speak of the same thing, and stand at
// the same place among those that do. GoBMP's End-of-RIB has but the peer.
func (m *goBMPMessage) id() string {
	fields := []string{"action", "peer_type", "peer_asn", "remote_asn", "remote_ip", "is_eor"}
	if m.data["is_eor"] == nil {
		fields = append(fields, "peer_ip", "prefix", "prefix_len", "path_id", "is_adj_rib_in_post_policy", "spec_hash",
			"route_type", "ip_address", "mac", "vpn_rd", "distinguisher", "endpoint")
	}
	if m.topic == "statistics" {
		fields = []string{"remote_ip"}
	}
	var id strings.Builder
	id.WriteString(m.topic)
	for _, f := range fields {
		fmt.Fprintf(&id, " %v", m.data[f])
	}
	return id.String()
}

// TestGoBMPItself compares our messages with what GoBMP wrote of the same octets,
// key by key.
func TestGoBMPItself(t *testing.T) {
	used := map[string]int{}
	for _, name := range []string{"frr-10.3", "bird-3.1", "families", "by-hand"} {
		theirs, ours := goBMPWrote(t, name), weWrite(t, name)
		both := maps.Clone(theirs)
		maps.Copy(both, ours)
		fields, messages := 0, 0
		for _, id := range slices.Sorted(maps.Keys(both)) {
			a, b := theirs[id], ours[id]
			for i := range max(len(a), len(b)) {
				c := goBMPComparison{t: t, used: used, where: name + ": " + id}
				c.messages(at(a, i), at(b, i))
				messages++
				fields += c.fields
			}
		}
		t.Logf("%s: %d messages, %d fields", name, messages, fields)
	}
	for _, d := range slices.Concat(goBMPWrong, goBMPOther) {
		t.Logf("%d times: %s: %s", used[d.name], d.name, d.why)
		if used[d.name] == 0 {
			t.Errorf("%s does not occur", d.name)
		}
	}
}

// at is the message with a number, if there is one.
func at(messages []goBMPMessage, i int) []goBMPMessage {
	return messages[min(i, len(messages)):min(i+1, len(messages))]
}

// goBMPComparison is that of two messages.
type goBMPComparison struct {
	t      *testing.T
	used   map[string]int // by the names of differences
	where  string
	only   string // what kind of message it is, for difference.only
	fields int
}

// messages compares one of GoBMP with one of ours, either of which may be missing.
func (c *goBMPComparison) messages(theirs, ours []goBMPMessage) {
	c.t.Helper()
	if len(theirs) == 0 || len(ours) == 0 {
		for _, m := range theirs {
			c.values(m.topic, m.data, nil)
		}
		for _, m := range ours {
			c.values(m.topic, nil, m.data)
		}
		return
	}
	a, b := theirs[0], ours[0]
	switch {
	case endOfRIB(a.data):
		c.only = "eor"
	case a.data["action"] == "del":
		c.only = "del"
	}
	if strings.HasPrefix(a.topic, "flowspec") && a.key != b.key {
		c.t.Errorf("%s: key %s, GoBMP %s", c.where, b.key, a.key)
	}
	c.values(a.topic, a.data, b.data)
}

// values compares two of any kind. A difference that is not known fails the test.
func (c *goBMPComparison) values(path string, theirs, ours any) {
	c.t.Helper()
	a, aObject := theirs.(map[string]any)
	b, bObject := ours.(map[string]any)
	if aObject && bObject {
		keys := maps.Clone(a)
		maps.Copy(keys, b)
		for k := range keys {
			c.values(path+"."+k, a[k], b[k])
		}
		return
	}
	c.fields++
	if reflect.DeepEqual(theirs, ours) {
		return
	}
	for _, d := range slices.Concat(goBMPWrong, goBMPOther) {
		at := slices.ContainsFunc(d.fields, func(f string) bool { return path == f || strings.HasSuffix(path, "."+f) })
		if at && (d.only == "" || d.only == c.only) && d.same(theirs, ours) {
			c.used[d.name]++
			return
		}
	}
	c.t.Errorf("%s\n%s: GoBMP %v, ours %v", c.where, path, theirs, ours)
}

// goBMPWrote reads what GoBMP's file sink wrote.
func goBMPWrote(t *testing.T, name string) map[string][]goBMPMessage {
	t.Helper()
	b, err := os.ReadFile("testdata/gobmp/" + name + ".jsonl")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]goBMPMessage{}
	for line := range bytes.Lines(b) {
		var m struct {
			Type int            `json:"msg_type"`
			Hash string         `json:"msg_hash"`
			Data map[string]any `json:"msg_data"`
		}
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		one := goBMPMessage{goBMPTypes[m.Type], m.Hash, m.Data}
		out[one.id()] = append(out[one.id()], one)
	}
	return out
}

// weWrite sends the recording through a collector and the format. Conclusions of
// the collector are left out: GoBMP draws none.
func weWrite(t *testing.T, name string) map[string][]goBMPMessage {
	t.Helper()
	recording, err := fixtures.Recording(name)
	if err != nil {
		if recording, err = os.ReadFile("testdata/gobmp/" + name + ".bmp"); err != nil {
			t.Fatal(err)
		}
	}
	cfg := testConfig()
	cfg.Format = FormatGoBMPJSON
	events := slices.DeleteFunc(eventsOf(t, name, recording, netip.MustParseAddr(testRouter)), func(e event.Event) bool {
		return e.Flags&event.FlagInferred != 0
	})
	got, _ := encode(t, cfg, events)
	out := map[string][]goBMPMessage{}
	for _, r := range got {
		one := goBMPMessage{topic: strings.TrimPrefix(r.topic, "gobmp.parsed."), key: r.key}
		if err := json.Unmarshal(r.value, &one.data); err != nil {
			t.Fatalf("%v: %s", err, r.value)
		}
		out[one.id()] = append(out[one.id()], one)
	}
	return out
}

// eventsOf are the events of a recorded BMP session of a router at the address.
func eventsOf(t testing.TB, name string, recording []byte, router netip.Addr) []event.Event {
	t.Helper()
	out := &capture{}
	c, err := collector.New(collector.DefaultConfig(), out, quiet(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ImportBMP(context.Background(), bytes.NewReader(recording), collector.ImportOptions{Router: name, File: name}); err != nil {
		t.Fatal(err)
	}
	// A file does not say where its router was.
	for i := range out.events {
		if r := out.events[i].Router; r != nil {
			r.Address = router
		}
	}
	return out.events
}
