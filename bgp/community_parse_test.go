package bgp_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	gobgp "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"github.com/ribtap/ribtap/bgp"
)

func TestParseCommunity(t *testing.T) {
	for text, want := range map[string]uint32{
		"65000:1": 65000<<16 | 1, "0:0": 0, "65535:65535": 0xffffffff, "no-export": 0xffffff01, "graceful-shutdown": 0xffff0000,
	} {
		if got, err := bgp.ParseCommunity(text); err != nil || got != want {
			t.Errorf("%s: got %x %v, want %x", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":          "not two numbers",
		"65000":     "not two numbers as 65000:1, and not a well-known name",
		"65000:1:2": "not two numbers",
		"65536:1":   "65536 is above 65535",
		"1:65536":   "65536 is above 65535",
		"a:1":       `"a" is not a number`,
		"1:":        `"" is not a number`,
		"-1:1":      `"-1" is not a number`,
		"noexport":  "not a well-known name",
	} {
		if got, err := bgp.ParseCommunity(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %x %v, want %s", text, got, err, want)
		}
	}
}

func TestParseLargeCommunity(t *testing.T) {
	if got, err := bgp.ParseLargeCommunity("4200000000:1:4294967295"); err != nil || got != [3]uint32{4200000000, 1, 4294967295} {
		t.Errorf("got %v %v", got, err)
	}
	for text, want := range map[string]string{
		"65000:1":        "not three numbers as 65000:1:2",
		"1:2:3:4":        "not three numbers",
		"1:2:4294967296": "4294967296 is above 4294967295",
		"1:x:3":          `"x" is not a number`,
	} {
		if got, err := bgp.ParseLargeCommunity(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v %v, want %s", text, got, err, want)
		}
	}
}

func TestParseExtCommunity(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"target:65000:1", "0002fde800000001"},
		{"rt:65000:1", "0002fde800000001"},
		{"rt:0.65000:1", "02020000fde80001"},
		{"rt:4200000000:1", "0202fa56ea000001"},
		{"rt:1.1:1", "0202000100010001"},
		{"rt:192.0.2.1:1", "0102c00002010001"},
		{"origin:65000:4294967295", "0003fde8ffffffff"},
		{"color:100", "030b000000000064"},
		{"color:co1:100", "030b400000000064"},
		{"encap:vxlan", "030c000000000008"},
		{"default-gateway", "030d000000000000"},
		{"link-bandwidth:65000:125000000", "4004fde84cee6b28"},
		{"0x0102030405060708", "0102030405060708"},
	} {
		c, err := bgp.ParseExtCommunity(tt.text)
		if got := fmt.Sprintf("%x", c); err != nil || got != tt.want {
			t.Errorf("%s: got %s %v, want %s", tt.text, got, err, tt.want)
		}
	}
	for _, tt := range []struct{ text, want string }{
		{"", `"" is not a type`},
		{"65000:1", `"65000" is not a type, such as rt, soo or color`},
		{"rt", "is not an AS number or address, a colon, and a number"},
		{"rt:65000", `"65000" is not an AS number or address`},
		{"rt:65000:4294967296", "4294967296 is above 4294967295"},
		{"rt:4200000000:65536", "65536 is above 65535"},
		{"rt:192.0.2.1:65536", "65536 is above 65535"},
		{"rt:4294967296:1", "4294967296 is above 4294967295"},
		{"rt:192.0.2.300:1", `"192.0.2.300" is not an IPv4 address`},
		{"rt:1.x:1", `"1.x" is not an AS number`},
		{"rt:x:1", `"x" is not a number`},
		{"rt:[2001:db8::1]:1", "have 20 octets"},
		{"link-bandwidth:4200000000:1", "4200000000 is above 65535"},
		{"ospf-router:65000:1", "ospf-router has no form with an AS number of two octets"},
		{"ovs:maybe", `"maybe" is not a number, nor a word for one`},
		{"default-gateway:1", "default-gateway has no value"},
		{"0x01", "not 16 digits in hex"},
		{"router-mac:00:00", "is not a MAC address"},
		{"esi-label:00", "is not 12 digits in hex"},
		{"ospf-route:1:2:3", `"1" is not an area`},
	} {
		if c, err := bgp.ParseExtCommunity(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %x %v, want %s", tt.text, c, err, tt.want)
		}
	}
}

// TestExtCommunityRoundTrip reads back the text of any octets.
func TestExtCommunityRoundTrip(t *testing.T) {
	r := draw()
	known := 0
	for range 40000 {
		var c [8]byte
		binary.BigEndian.PutUint64(c[:], r.Uint64())
		if r.IntN(4) > 0 { // the assigned types are few
			c[0] = []byte{0, 1, 2, 3, 6, 8, 0x40, 0x43, 0x80, 0x81, 0x82}[r.IntN(11)]
			c[1] = byte(r.IntN(14))
		}
		text := extText(t, c)
		if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") || strings.Contains(text, "-") && strings.Contains(text, ":-") {
			continue // rates that are none
		}
		got, err := bgp.ParseExtCommunity(text)
		if err != nil {
			t.Fatal(err)
		}
		if back := extText(t, got); back != text {
			t.Fatalf("%x reads %s, which is %x and reads %s", c, text, got, back)
		}
		if !strings.HasPrefix(text, "0x") {
			known++
		}
	}
	if known < 5000 {
		t.Errorf("%d of a known type", known)
	}
}

func TestParseRouteTargetAgainstGoBGP(t *testing.T) {
	r := draw()
	for range 2000 {
		text := fmt.Sprintf("%d:%d", r.Uint32N(65536), r.Uint32())
		switch r.IntN(3) {
		case 0:
			text = fmt.Sprintf("%d.%d:%d", 1+r.IntN(65535), r.IntN(65536), r.IntN(65536)) // GoBGP cuts 65536 to 65535
		case 1:
			text = fmt.Sprintf("%d.%d.%d.%d:%d", r.IntN(256), r.IntN(256), r.IntN(256), r.IntN(256), r.IntN(65536))
		}
		theirs, err := gobgp.ParseRouteTarget(text)
		if err != nil {
			t.Fatal(err)
		}
		want, err := theirs.Serialize()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := bgp.ParseExtCommunity("rt:" + text); err != nil || string(got[:]) != string(want) {
			t.Fatalf("%s: got %x %v, GoBGP %x", text, got, err, want)
		}
	}
}

// FuzzParseCommunities: no text panics, and what is accepted as an extended
// community comes back as a text that means the same.
func FuzzParseCommunities(f *testing.F) {
	for _, text := range []string{"rt:65000:1", "soo:192.0.2.1:1", "color:co1:5", "traffic-action:sample+4", "mac-mobility:sticky:1", "ospf-route:0.0.0.1:1:1", "no-export", "1:2:3", "traffic-rate 1e3"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = bgp.ParseCommunity(text)
		_, _ = bgp.ParseLargeCommunity(text)
		_, _ = bgp.ParseFlowAction(text)
		c, err := bgp.ParseExtCommunity(text)
		if err != nil {
			return
		}
		back := extText(t, c)
		if again, err := bgp.ParseExtCommunity(back); err != nil || again != c && !strings.Contains(text, "0x") && extText(t, again) != back {
			t.Fatalf("%q is %x, reads %q, is %x %v", text, c, back, again, err)
		}
	})
}
