package bgp_test

import (
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ribtap/ribtap/bgp"
)

func TestParseNotification(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"hold timer", "04 00", "Hold Timer Expired"},
		{"shutdown without words", "06 02", "Cease/Administrative Shutdown"},
		{"shutdown with no words", "06 02 00", "Cease/Administrative Shutdown"},
		{"shutdown", "06 02 0b 6d61696e74656e616e6365", "Cease/Administrative Shutdown: maintenance"},
		{"reset in UTF-8", "06 04 06 5ac3bc726968", "Cease/Administrative Reset: Zürih"},
		{"length lies", "06 02 c8 627965", "Cease/Administrative Shutdown: bye"},
		{"octets behind the words", "06 02 03 627965 ffff", "Cease/Administrative Shutdown: bye"},
		{"NUL and no UTF-8", "06 02 05 610062ff0a", "Cease/Administrative Shutdown: a\uFFFDb\uFFFD\uFFFD"},
		{"words where none belong", "06 03 03 627965", "Cease/Peer De-configured"},
		{"hard reset", "06 09 06 02 03 627965", "Cease/Hard Reset (Cease/Administrative Shutdown): bye"},
		{"hard reset without reason", "06 09", "Cease/Hard Reset"},
		{"hard reset cut", "06 09 06", "Cease/Hard Reset"},
		{"hard reset in a hard reset", "06 09 06 09 06 09", "Cease/Hard Reset (Cease/Hard Reset)"},
		{"BFD", "06 0a", "Cease/BFD Down"},
		{"send hold timer", "08 00", "Send Hold Timer Expired"},
		{"role", "02 0b", "OPEN Message Error/Role Mismatch"},
		{"refresh", "07 01", "ROUTE-REFRESH Message Error/Invalid Message Length"},
		{"unknown subcode", "03 4d", "UPDATE Message Error/77"},
		{"deprecated subcode", "02 08", "OPEN Message Error/8"},
		{"unknown code", "63 02", "Error 99/2"},
		{"code 0", "00 00", "Error 0"},
		{"unspecific", "05 00", "Finite State Machine Error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n, err := bgp.ParseNotification(message(bgp.MessageNotification, octets(t, tt.body)))
			if err != nil {
				t.Fatal(err)
			}
			if got := string(n.AppendText([]byte("x "))); got != "x "+tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			_, words, _ := strings.Cut(tt.want, ": ")
			if got := string(n.AppendCommunication(nil)); got != words {
				t.Errorf("communication %q, want %q", got, words)
			}
		})
	}
}

func TestParseNotificationErrors(t *testing.T) {
	for name, msg := range map[string][]byte{
		"20 octets": message(bgp.MessageNotification, octets(t, "06")),
		"header":    message(bgp.MessageNotification, nil),
		"nothing":   nil,
		"an UPDATE": message(bgp.MessageUpdate, octets(t, "0602 0000")),
	} {
		n, err := bgp.ParseNotification(msg)
		var merr *bgp.MessageError
		if !errors.As(err, &merr) || !merr.Structural() {
			t.Errorf("%s: error %v", name, err)
		}
		if n.Subcode != 0 || len(n.Data) > 0 {
			t.Errorf("%s: %+v", name, n)
		}
	}
}

func TestHardReset(t *testing.T) {
	n := bgp.Notification{Code: bgp.ErrorCease, Subcode: bgp.CeaseHardReset, Data: octets(t, "0300ff")}
	if inner, ok := n.HardReset(); !ok || inner.Code != 3 || inner.Subcode != 0 || string(inner.Data) != "\xff" {
		t.Errorf("got %+v %v", inner, ok)
	}
	n.Code = bgp.ErrorHoldTimer
	if _, ok := n.HardReset(); ok {
		t.Error("a hold timer is no hard reset")
	}
}

func TestAppendNotification(t *testing.T) {
	want := bgp.Notification{Code: 2, Subcode: 1, Data: []byte{0, 4}}
	msg := bgp.AppendNotification([]byte("before"), want)[len("before"):]
	if got := hex.EncodeToString(msg[16:]); got != "00170302010004" {
		t.Errorf("got %s", got)
	}
	n, err := bgp.ParseNotification(msg)
	if err != nil || n.Code != 2 || n.Subcode != 1 || !slices.Equal(n.Data, want.Data) {
		t.Errorf("got %+v, %v", n, err)
	}
	want.Data = make([]byte, 65535)
	if got := len(bgp.AppendNotification(nil, want)); got != bgp.MaxMessageLen {
		t.Errorf("%d octets", got)
	}
}

func TestAppendCeaseText(t *testing.T) {
	for _, tt := range []struct {
		subcode    uint8
		text, want string
	}{
		{bgp.CeaseAdminShutdown, "ticket 42", "Cease/Administrative Shutdown: ticket 42"},
		{bgp.CeaseAdminReset, "", "Cease/Administrative Reset"},
		{bgp.CeasePeerDeconfigured, "lost", "Cease/Peer De-configured"},
		{bgp.CeaseAdminShutdown, "two\nlines", "Cease/Administrative Shutdown: two\uFFFDlines"},
		{bgp.CeaseAdminShutdown, strings.Repeat("x", 127) + "ü", "Cease/Administrative Shutdown: " + strings.Repeat("x", 127)},
		{bgp.CeaseAdminShutdown, strings.Repeat("x", 126) + "üx", "Cease/Administrative Shutdown: " + strings.Repeat("x", 126) + "ü"},
		{bgp.CeaseAdminShutdown, strings.Repeat("\x00", 500), "Cease/Administrative Shutdown: " + strings.Repeat("\uFFFD", 42)},
	} {
		n, err := bgp.ParseNotification(bgp.AppendCeaseText(nil, tt.subcode, tt.text))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(n.AppendText(nil)); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
		if len(n.Data) > 129 || len(n.Data) > 0 && int(n.Data[0]) != len(n.Data)-1 {
			t.Errorf("data %x", n.Data)
		}
	}
}

func TestKeepalive(t *testing.T) {
	if got := hex.EncodeToString(bgp.AppendKeepalive([]byte{1})); got != "01"+strings.Repeat("ff", 16)+"001304" {
		t.Errorf("got %s", got)
	}
}

func TestRefresh(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		want       bgp.Refresh
		bad        string // the NOTIFICATION error
	}{
		{"request", "0001 00 01", bgp.Refresh{Family: bgp.IPv4Unicast}, ""},
		{"begin", "0002 01 01", bgp.Refresh{Family: bgp.IPv6Unicast, Subtype: bgp.RefreshBegin}, ""},
		{"end", "0019 02 46", bgp.Refresh{Family: bgp.EVPN, Subtype: bgp.RefreshEnd}, ""},
		{"unknown family", "03e7 00 4d", bgp.Refresh{Family: bgp.NewFamily(999, 77)}, ""},
		{"unknown subtype", "0001 09 01", bgp.Refresh{Family: bgp.IPv4Unicast, Subtype: 9}, ""},
		{"ORF that lies", "0001 00 01 01401388000000", bgp.Refresh{Family: bgp.IPv4Unicast, ORF: octets(t, "01401388000000")}, ""},
		{"begin with more", "0001 01 01 00", bgp.Refresh{Family: bgp.IPv4Unicast, Subtype: bgp.RefreshBegin, ORF: []byte{0}}, "ROUTE-REFRESH Message Error/Invalid Message Length"},
		{"short", "0001 00", bgp.Refresh{Family: bgp.NewFamily(1, 0)}, "ROUTE-REFRESH Message Error/Invalid Message Length"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			msg := message(bgp.MessageRouteRefresh, octets(t, tt.body))
			got, err := bgp.ParseRefresh(msg)
			if got.Family != tt.want.Family || got.Subtype != tt.want.Subtype || !slices.Equal(got.ORF, tt.want.ORF) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			var merr *bgp.MessageError
			switch {
			case tt.bad == "" && err != nil:
				t.Error(err)
			case tt.bad == "":
				if out := bgp.AppendRefresh(nil, got); !slices.Equal(out, msg) {
					t.Errorf("append %x, want %x", out, msg)
				}
			case !errors.As(err, &merr) || bgp.ErrorName(merr.Code, merr.Subcode) != tt.bad || !slices.Equal(merr.Data, msg):
				t.Errorf("error %v", err)
			}
		})
	}
	if _, err := bgp.ParseRefresh(bgp.AppendKeepalive(nil)); err == nil {
		t.Error("a KEEPALIVE is a ROUTE-REFRESH")
	}
}

// TestMessagesAllocate nothing but the errors do.
func TestMessagesAllocate(t *testing.T) {
	shutdown := message(bgp.MessageNotification, octets(t, "06 02 0b 6d61696e74656e616e6365"))
	refresh := bgp.AppendRefresh(nil, bgp.Refresh{Family: bgp.EVPN})
	buf := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() {
		n, _ := bgp.ParseNotification(shutdown)
		buf = n.AppendText(buf[:0])
		r, _ := bgp.ParseRefresh(refresh)
		buf = bgp.AppendRefresh(buf, r)
		buf = bgp.AppendKeepalive(buf)
		buf = bgp.AppendCeaseText(buf, bgp.CeaseAdminReset, "maintenance")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzNotification reads whatever claims to be a NOTIFICATION or ROUTE-REFRESH.
func FuzzNotification(f *testing.F) {
	f.Add(message(bgp.MessageNotification, octets(f, "06 02 c8 627965")))
	f.Add(message(bgp.MessageNotification, octets(f, "06 09 06 04 03 610062")))
	f.Add(message(bgp.MessageRouteRefresh, octets(f, "0001 00 01 01401388000000")))
	f.Fuzz(func(t *testing.T, msg []byte) {
		n, err := bgp.ParseNotification(msg)
		text := n.AppendText(nil)
		if !utf8.Valid(text) || strings.ContainsAny(string(text), "\x00\n") {
			t.Errorf("text %q", text)
		}
		if err == nil && len(msg) <= bgp.MaxMessageLen && !slices.Equal(bgp.AppendNotification(nil, n), msg) {
			t.Errorf("round trip of %x", msg)
		}
		r, err := bgp.ParseRefresh(msg)
		if err == nil && !slices.Equal(bgp.AppendRefresh(nil, r), msg) {
			t.Errorf("round trip of %x", msg)
		}
	})
}
