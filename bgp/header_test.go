package bgp_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/ribtap/ribtap/bgp"
)

func TestSplitMessage(t *testing.T) {
	keepalive := message(bgp.MessageKeepalive, nil)
	sized := func(typ uint8, n int) []byte { return message(typ, make([]byte, n-19)) }
	patched := func(at int, with ...byte) []byte {
		b := slices.Clone(keepalive)
		copy(b[at:], with)
		return b
	}
	tests := []struct {
		name    string
		b       []byte
		max     int
		msg     int // octets of the message, 0 for none
		subcode uint8
		data    []byte
	}{
		{name: "KEEPALIVE and more", b: append(slices.Clone(keepalive), 0xff, 1, 2), msg: 19},
		{name: "nothing", b: nil},
		{name: "18 octets", b: keepalive[:18]},
		{name: "half a message", b: sized(bgp.MessageUpdate, 40)[:39]},
		{name: "largest", b: sized(bgp.MessageUpdate, 4096), msg: 4096},
		{name: "largest extended", b: sized(bgp.MessageUpdate, 65535), max: 65535, msg: 65535},
		{name: "NOTIFICATION", b: sized(bgp.MessageNotification, 21), msg: 21},
		{name: "ROUTE-REFRESH", b: sized(bgp.MessageRouteRefresh, 23), msg: 23},
		{name: "OPEN", b: sized(bgp.MessageOpen, 29), msg: 29},

		{name: "marker", b: patched(15, 0xfe), subcode: 1},
		{name: "marker of one octet", b: []byte{0x16}, subcode: 1},
		{name: "length 18", b: patched(16, 0, 18), subcode: 2, data: []byte{0, 18}},
		{name: "length 65535 at once", b: patched(16, 0xff, 0xff, 2), subcode: 2, data: []byte{0xff, 0xff}},
		{name: "length 4097", b: sized(bgp.MessageUpdate, 4097), subcode: 2, data: []byte{0x10, 1}},
		{name: "KEEPALIVE of 20", b: sized(bgp.MessageKeepalive, 20), subcode: 2, data: []byte{0, 20}},
		{name: "UPDATE of 22", b: sized(bgp.MessageUpdate, 22), subcode: 2, data: []byte{0, 22}},
		{name: "OPEN of 28", b: sized(bgp.MessageOpen, 28), subcode: 2, data: []byte{0, 28}},
		{name: "OPEN of 4097", b: sized(bgp.MessageOpen, 4097), max: 65535, subcode: 2, data: []byte{0x10, 1}},
		{name: "NOTIFICATION of 20", b: sized(bgp.MessageNotification, 20), subcode: 2, data: []byte{0, 20}},
		{name: "ROUTE-REFRESH of 22", b: sized(bgp.MessageRouteRefresh, 22), subcode: 2, data: []byte{0, 22}},
		{name: "type 0", b: patched(18, 0), subcode: 3, data: []byte{0}},
		{name: "type 6", b: patched(18, 6), subcode: 3, data: []byte{6}},
		{name: "type 255", b: patched(18, 255), subcode: 3, data: []byte{255}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			limit := tc.max
			if limit == 0 {
				limit = bgp.MaxMessageLen
			}
			msg, rest, err := bgp.SplitMessage(tc.b, limit)
			if len(msg) != tc.msg || len(rest) != len(tc.b)-tc.msg {
				t.Errorf("message of %d and %d left, want %d", len(msg), len(rest), tc.msg)
			}
			if tc.subcode == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var bad *bgp.MessageError
			if !errors.As(err, &bad) || bad.Code != bgp.ErrorMessageHeader || bad.Subcode != tc.subcode || !bytes.Equal(bad.Data, tc.data) {
				t.Errorf("error %#v, want 1/%d with % x", err, tc.subcode, tc.data)
			}
		})
	}
}

func TestMessageType(t *testing.T) {
	if got := bgp.MessageType(update(t, "", "", "")); got != bgp.MessageUpdate {
		t.Errorf("type %d of an UPDATE", got)
	}
	if got := bgp.MessageType(update(t, "", "", "")[:18]); got != 0 {
		t.Errorf("type %d of 18 octets", got)
	}
}

// FuzzSplitMessage: whatever comes, messages and rest are the stream, no message
// exceeds the limit, and cutting the stream anywhere changes nothing.
func FuzzSplitMessage(f *testing.F) {
	f.Add(append(message(bgp.MessageKeepalive, nil), update(f, "", wellKnown, net24)...), uint16(19))
	f.Add([]byte{0xff, 0xff, 0x16}, uint16(1))
	f.Add(message(9, nil), uint16(5))
	f.Fuzz(func(t *testing.T, b []byte, cut uint16) {
		var whole [][]byte
		rest := b
		var err error
		for {
			var msg []byte
			msg, rest, err = bgp.SplitMessage(rest, bgp.MaxMessageLen)
			if msg == nil {
				break
			}
			if len(msg) < 19 || len(msg) > bgp.MaxMessageLen || cap(msg) != len(msg) {
				t.Fatalf("message of %d octets, capacity %d", len(msg), cap(msg))
			}
			whole = append(whole, msg)
		}
		if got := bytes.Join(append(whole, rest), nil); !bytes.Equal(got, b) {
			t.Fatalf("% x came out as % x", b, got)
		}
		early := b[:min(int(cut), len(b))]
		msg, _, earlyErr := bgp.SplitMessage(early, bgp.MaxMessageLen)
		if msg != nil && (len(whole) == 0 || !bytes.Equal(msg, whole[0])) {
			t.Fatalf("another first message % x in a part", msg)
		}
		if earlyErr != nil && err == nil {
			t.Fatalf("error %v in a part of a good stream", earlyErr)
		}
	})
}
