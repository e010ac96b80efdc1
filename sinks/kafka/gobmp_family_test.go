package kafka

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ribtap/ribtap/event"
)

func octets(t testing.TB, words ...string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(words, ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// reach makes an UPDATE that announces by MP_REACH_NLRI.
func reach(afi uint16, safi byte, nextHop, nlri []byte, attrs ...[]byte) []byte {
	v := append(binary.BigEndian.AppendUint16(nil, afi), safi, byte(len(nextHop)))
	v = append(append(append(v, nextHop...), 0), nlri...)
	all := bytes.Join(append([][]byte{attribute(0x40, 1, 0), attribute(0x40, 2, 2, 1, 0, 0, 0xfd, 0xf3), attribute(0x80, 14, v...)}, attrs...), nil)
	return updateMessage(nil, all, nil)
}

// What GoBMP has no answer to compare with: it cannot read these, or nobody sends
// them to it in testdata.
func TestGoBMPFamilies(t *testing.T) {
	nextHop := []byte{192, 0, 2, 11}
	tunnel := func(words ...string) []byte {
		b := octets(t, words...)
		return attribute(0xc0, 23, append(binary.BigEndian.AppendUint16([]byte{0, 15}, uint16(len(b))), b...)...)
	}
	policy := octets(t, "60", "00000007", "00000064", "c0000207")
	for _, tt := range []struct {
		name string
		pdu  []byte
		want []string // parts of each message; none for a route that has none
	}{
		{
			"IPv6 rule with an offset (RFC 8956 §3.8.2)", reach(2, 133, nil, octets(t, "09", "01", "58", "40", "12345a", "038106")),
			[]string{`"is_ipv4":false`, `"spec":[{"type":1,"prefix_len":88,"prefix_offset":64,"prefix":"EjRa"},{"type":3,"op_val_pairs":[{"operator":{"end_of_list_bit":true,"value_length":1,"equal":true},"value":"Bg=="}]}]`},
		},
		{
			"VPN rule", reach(1, 134, nil, octets(t, "0d", "0000fe4d00000009", "01180a0800")),
			[]string{`"rd":"65101:9"`, `"spec":[{"type":1,"prefix_len":24,"prefix":"CggA"}]`, `"is_ipv4":true`},
		},
		{"rule for the default route", reach(1, 133, nil, octets(t, "02", "0100")), []string{`"spec":[{"type":1,"prefix_len":0,"prefix":""}]`}},
		{"unknown component", reach(1, 133, nil, octets(t, "05", "63", "01020304")), nil},
		{"EVPN of an unknown type", reach(25, 70, nextHop, octets(t, "09", "09", "0000fe4d00000005", "00")), nil},
		{"EVPN prefix cut short", reach(25, 70, nextHop, octets(t, "05", "0a", "0000fe4d00000005", "0000")), nil},
		{
			"EVPN with another RD", reach(25, 70, nextHop, octets(t, "03", "11", "0001c000020100ff", "00000000", "20", "0a090002")),
			[]string{`"vpn_rd":"192.0.2.1:255"`, `"vpn_rd_type":1`, `"eth_tag":"AAAAAA=="`, `"route_type":3`},
		},
		{
			"SR policy with names", reach(1, 73, nextHop, policy, tunnel("810005", "00", "70617468", "820007", "00", "706f6c696379")),
			[]string{`"policy_path_name":"path"`, `"policy_name":"policy"`, `"endpoint":"wAACBw=="`, `"color":100`, `"distinguisher":7`},
		},
		{
			"SR policy with an SRv6 binding SID (RFC 9830 §2.4.3)", reach(1, 73, nextHop, policy, tunnel("1412", "4000", "20010db8000000000000000000000c01")),
			[]string{`"binding_sid":{"bsid_type":3,"bsid":{"flags":64,"srv6_bsid":"IAENuAAAAAAAAAAAAAAMAQ=="}}`},
		},
		{
			"SR policy whose last sub-TLV is cut short", reach(1, 73, nextHop, policy, tunnel("0c06", "0000", "00000064", "0d06", "00")),
			[]string{`"preference_subtlv":{"flags":0,"preference":100}`},
		},
		{
			"SR policy with a segment of another type", reach(1, 73, nextHop, policy, tunnel("800014", "00", "0509", "000000000000000000", "0106", "0000", "03e91000")),
			[]string{`"segment_list_subtlv":[{"segments":[{"segment_type":1,"flags":{"v_flag":false,"a_flag":false,"s_flag":false,"b_flag":false},"label":16017}]}]`},
		},
	} {
		cfg := testConfig()
		cfg.Format = FormatGoBMPJSON
		got, m := encode(t, cfg, []event.Event{routeEvent(1, 0, tt.pdu, both2)})
		if tt.want == nil {
			if len(got) != 0 || testutil.ToFloat64(m.skipped.WithLabelValues(skipFormat)) != 1 {
				t.Errorf("%s: %d records", tt.name, len(got))
			}
			continue
		}
		if len(got) != 1 {
			t.Errorf("%s: %d records", tt.name, len(got))
			continue
		}
		for _, part := range tt.want {
			if !strings.Contains(string(got[0].value), part) {
				t.Errorf("%s: no %s in\n%s", tt.name, part, got[0].value)
			}
		}
	}
}

// Each rule is a record, and its key is the rule's.
func TestGoBMPFlowspecKeys(t *testing.T) {
	cfg := testConfig()
	cfg.Format = FormatGoBMPJSON
	rules := octets(t, "05", "01180a1600", "05", "01180a1700")
	got, _ := encode(t, cfg, []event.Event{routeEvent(1, 0, reach(1, 133, nil, rules), both2), routeEvent(2, 1, reach(1, 133, nil, rules), both2)})
	if len(got) != 4 || got[0].key == got[1].key || got[0].key != got[2].key || got[1].key != got[3].key {
		t.Fatalf("%d records: %+v", len(got), got)
	}
	if want := md5sum(`[{"type":1,"prefix_len":24,"prefix":"ChYA"}]`); got[0].key != want || !strings.Contains(string(got[0].value), `"spec_hash":"`+want+`"`) {
		t.Errorf("key %s: %s", got[0].key, got[0].value)
	}
}

// Many policies that share a long candidate path do not become as many copies.
func TestGoBMPPathsAreBounded(t *testing.T) {
	var nlri, list []byte
	for i := range 1500 {
		nlri = append(binary.BigEndian.AppendUint32(append(nlri, 96), uint32(i)), 0, 0, 0, 100, 192, 0, 2, 7)
	}
	for range 4000 {
		list = append(list, octets(t, "0106", "0000", "03e91000")...)
	}
	list = append(binary.BigEndian.AppendUint16([]byte{128}, uint16(len(list)+1)), append([]byte{0}, list...)...)
	path := attribute(0xc0, 23, append(binary.BigEndian.AppendUint16([]byte{0, 15}, uint16(len(list))), list...)...)
	mp := append([]byte{0, 1, 73, 4, 192, 0, 2, 11, 0}, nlri...)
	e := routeEvent(1, 0, updateMessage(nil, bytes.Join([][]byte{attribute(0x40, 1, 0), attribute(0x40, 2), attribute(0x80, 14, mp...), path}, nil), nil), both2)
	e.Session.ExtendedMessage = true
	cfg := testConfig()
	cfg.Format = FormatGoBMPJSON
	got, m := encode(t, cfg, []event.Event{e})
	total := 0
	for _, r := range got {
		total += len(r.value)
	}
	if len(got) != 1500 || total > 2<<20 || testutil.ToFloat64(m.reduced) != 1 {
		t.Errorf("%d records of %d octets", len(got), total)
	}
}

// updatesOf are the UPDATEs of testdata, as seeds.
func updatesOf(t testing.TB) (pdus [][]byte) {
	t.Helper()
	for _, name := range []string{"families", "by-hand"} {
		b, err := os.ReadFile(fmt.Sprintf("testdata/gobmp/%s.bmp", name))
		if err != nil {
			t.Fatal(err)
		}
		for len(b) > 0 {
			n := binary.BigEndian.Uint32(b[1:])
			if b[5] == 0 {
				pdus = append(pdus, b[48:n])
			}
			b = b[n:]
		}
	}
	return pdus
}
