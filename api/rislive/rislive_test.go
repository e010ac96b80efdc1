package rislive

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/history/historytest"
)

func messageOf(t *testing.T, e event.Event) string {
	t.Helper()
	enc := Encoder{Host: "rt1"}
	m, ok := enc.Message(&e)
	if !ok {
		return ""
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Messages are as the manual of RIS Live has them.
func TestMessages(t *testing.T) {
	set := append(historytest.Attribute(0x40, 1, []byte{0}), historytest.Attribute(0x40, 2, []byte{2, 2, 0, 0, 0xfd, 0xe9, 0, 0, 0x0d, 0x05, 1, 2, 0, 0, 0, 1, 0, 0, 0, 2})...)
	set = append(set, historytest.Attribute(0x40, 3, []byte{198, 51, 100, 1})...)
	set = append(set, historytest.Attribute(0x80, 4, []byte{0, 0, 0, 5})...)
	set = append(set, historytest.Attribute(0xc0, 7, []byte{0, 0, 0xfd, 0xe9, 192, 0, 2, 9})...)
	set = append(set, historytest.Communities(65000<<16|7)...)
	update := historytest.RouteEvent(255, historytest.UpdateMessage([]byte{8, 9}, set, []byte{8, 10, 16, 10, 1}))
	head := `{"timestamp":1750000255.123456,"peer":"198.51.100.1","peer_asn":"65001","id":"198.51.100.1-00000000000000ff","host":"rt1",`
	v6 := historytest.RouteEvent(255, historytest.Announce(historytest.Attributes([]uint32{65001}), historytest.Prefixes("2001:db8::/32")...))
	post := update
	post.RIB = event.AdjRIBInPost
	up, down := update, update
	up.Kind, down.Kind = event.KindPeerUp, event.KindPeerDown
	vpn := historytest.Reach(1, 128, append(make([]byte, 8), 198, 51, 100, 1), []byte{88 + 16, 0, 0x06, 0x41, 0, 0, 0xfd, 0xe8, 0, 0, 0, 1, 10, 1}, historytest.Attributes([]uint32{65001}))
	end := historytest.RouteEvent(255, historytest.UpdateMessage(nil, nil, nil))
	for name, c := range map[string]struct {
		e    event.Event
		want string
	}{
		"update": {update, head + `"type":"UPDATE","path":[65001,3333,[1,2]],"community":[[65000,7]],"origin":"igp","med":5,"aggregator":"65001:192.0.2.9",` +
			`"announcements":[{"next_hop":"198.51.100.1","prefixes":["10.0.0.0/8","10.1.0.0/16"]}],"withdrawals":["9.0.0.0/8"]}`},
		"withdrawal": {historytest.RouteEvent(255, historytest.Withdraw(historytest.Prefixes("10.0.0.0/8")...)), head + `"type":"UPDATE","withdrawals":["10.0.0.0/8"]}`},
		"up":         {up, head + `"type":"RIS_PEER_STATE","state":"connected"}`},
		"down":       {down, head + `"type":"RIS_PEER_STATE","state":"down"}`},
		"post":       {post, ""},
		"vpn":        {vpn, ""},
		"end":        {end, ""},
	} {
		if got := messageOf(t, c.e); got != c.want {
			t.Errorf("%s is\n%s, want\n%s", name, got, c.want)
		}
	}
	if got := messageOf(t, v6); !strings.Contains(got, `"prefixes":["2001:db8::/32"]`) {
		t.Errorf("IPv6: %s", got)
	}
	if raw := Raw(&update); !strings.HasPrefix(raw, "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF") || len(raw) != 2*len(update.PDU) {
		t.Errorf("raw: %s", raw)
	}
	double := append(netip.MustParseAddr("2001:db8::1").AsSlice(), netip.MustParseAddr("fe80::1").AsSlice()...)
	enc := Encoder{}
	if got := enc.nextHop(&bgp.Route{NextHop: double, NLRI: bgp.NLRI{Family: bgp.IPv6Unicast}}); got != "2001:db8::1,fe80::1" {
		t.Errorf("two next hops: %s", got)
	}
}

// Subscriptions of the manual, and what they take of one message.
func TestSubscriptions(t *testing.T) {
	e := historytest.RouteEvent(1, historytest.Announce(historytest.Attributes([]uint32{65001, 3333, 1103}), historytest.Prefixes("10.1.0.0/16")...))
	enc := Encoder{Host: "rt1"}
	m, ok := enc.Message(&e)
	if !ok {
		t.Fatal("no message")
	}
	for text, want := range map[string]bool{
		`{}`: true, `null`: true, ``: true,
		`{"host":"rt1"}`: true, `{"host":"rrc21"}`: false,
		`{"type":"UPDATE"}`: true, `{"type":"RIS_PEER_STATE"}`: false, `{"type":"OPEN"}`: false,
		`{"peer":"198.51.100.1"}`: true, `{"peer":"198.51.100.2"}`: false,
		`{"require":"announcements"}`: true, `{"require":"withdrawals"}`: false, `{"require":"med"}`: false,
		`{"path":"3333"}`: true, `{"path":3333}`: true, `{"path":"3333,1103"}`: true, `{"path":"1103,3333"}`: false,
		`{"path":"^65001"}`: true, `{"path":"^3333"}`: false, `{"path":"1103$"}`: true, `{"path":"3333$"}`: false, `{"path":"^65001,3333,1103$"}`: true,
		`{"prefix":"10.1.0.0/16"}`: true, `{"prefix":"10.0.0.0/8"}`: true, `{"prefix":"10.0.0.0/8","moreSpecific":false}`: false,
		`{"prefix":"10.1.2.0/24"}`: false, `{"prefix":"10.1.2.0/24","lessSpecific":true}`: true, `{"prefix":["9.0.0.0/8","10.0.0.0/8"]}`: true, `{"prefix":"::/0"}`: false,
		`{"prefix":"10.1.2.3","lessSpecific":true}`:       true,
		`{"socketOptions":{"includeRaw":true},"x":"new"}`: true,
	} {
		s, err := ParseSubscription([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := s.Match(&m); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	for _, text := range []string{`{"peer":"x"}`, `{"type":"update"}`, `{"require":"nothing"}`, `{"path":"a"}`, `{"path":[1]}`, `{"prefix":"10.0.0.0/33"}`, `{"prefix":7}`, `[]`, `{`} {
		if _, err := ParseSubscription([]byte(text)); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}
