package bgp_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	gobgp "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"github.com/ribtap/ribtap/bgp"
)

func TestParseFlowspec(t *testing.T) {
	for _, tt := range []struct {
		text, item, canonical string
		family                bgp.Family
	}{
		{"destination 10.9.0.0/16 protocol ==17 destination-port >53", "0a 01 10 0a09 03 81 11 05 82 35", "", bgp.IPv4Flowspec},
		{"destination-port >53 protocol udp destination 10.9.0.0/16", "0a 01 10 0a09 03 81 11 05 82 35", "destination 10.9.0.0/16 protocol ==17 destination-port >53", bgp.IPv4Flowspec},
		{"packet-length >8000 <=8080", "07 0a 12 1f40 d5 1f90", "packet-length >8000&<=8080", bgp.IPv4Flowspec},
		{"port =80|=443", "06 04 01 50 91 01bb", "port ==80|==443", bgp.IPv4Flowspec},
		{"port 80 | 443", "06 04 01 50 91 01bb", "port ==80|==443", bgp.IPv4Flowspec},
		{"source 192.0.2.1", "06 02 20 c0000201", "source 192.0.2.1/32", bgp.IPv4Flowspec},
		{"destination 0.0.0.0/0", "02 01 00", "", bgp.IPv4Flowspec},
		{"tcp-flags =syn&!ack fragment is-fragment", "08 09 01 02 c2 10 0c 80 02", "tcp-flags =syn&!ack fragment is-fragment", bgp.IPv4Flowspec},
		{"tcp-flags syn+ack|=0x100", "06 09 00 12 91 0100", "", bgp.IPv4Flowspec},
		{"tcp-flags !=fin", "03 09 83 01", "", bgp.IPv4Flowspec},
		{"protocol false|true", "05 03 00 00 87 00", "", bgp.IPv4Flowspec},
		{"icmp-type ==8 icmp-code !=0 dscp <46", "09 07 81 08 08 86 00 0b 84 2e", "", bgp.IPv4Flowspec},
		{"destination 2001:db8::/32 flow-label ==5", "0d 01 20 00 20010db8 0d a1 00000005", "", bgp.IPv6Flowspec},
		{"destination ::1234:5678:9a00:0/64-104", "08 01 68 40 123456789a", "", bgp.IPv6Flowspec}, // RFC 8956 §3.8.2
		{"source ::1234:5678:9a00:0/65-104", "08 02 68 41 2468acf134", "", bgp.IPv6Flowspec},
		{"source 2001:db8::1", "13 02 80 00 20010db8000000000000000000000001", "source 2001:db8::1/128", bgp.IPv6Flowspec},
	} {
		item, err := bgp.ParseFlowspec(tt.family, tt.text)
		if want := octets(t, tt.item); err != nil || string(item) != string(want) {
			t.Errorf("%s:\ngot  %x %v\nwant %x", tt.text, item, err, want)
			continue
		}
		if tt.canonical == "" {
			tt.canonical = tt.text
		}
		if got := nlriText(t, tt.family, fmt.Sprintf("%x", item)); got != tt.canonical {
			t.Errorf("%s comes back as %s, want %s", tt.text, got, tt.canonical)
		}
	}
}

func TestParseFlowspecErrors(t *testing.T) {
	for _, tt := range []struct {
		text, want string
		family     bgp.Family
	}{
		{"", "no component", bgp.IPv4Flowspec},
		{"dst 10.0.0.0/8", `"dst" is not a component; those are destination, source,`, bgp.IPv4Flowspec},
		{"destination", "destination says nothing", bgp.IPv4Flowspec},
		{"protocol source 10.0.0.0/8", "protocol says nothing", bgp.IPv4Flowspec},
		{"protocol 6 protocol 17", "protocol is there twice", bgp.IPv4Flowspec},
		{"destination 10.9.0.1/16", "destination: 10.9.0.1/16 has bits behind its length; 10.9.0.0/16 has not", bgp.IPv4Flowspec},
		{"destination 10.9.0.0/33", `destination: "10.9.0.0/33" is not a prefix`, bgp.IPv4Flowspec},
		{"destination 2001:db8::/32", "destination: 2001:db8::/32 is not an IPv4 prefix", bgp.IPv4Flowspec},
		{"destination 10.0.0.0/8 10.1.0.0/16", "destination: one prefix", bgp.IPv4Flowspec},
		{"source 10.0.0.0/8", "source: 10.0.0.0/8 is not an IPv6 prefix", bgp.IPv6Flowspec},
		{"source fe80::1%eth0", `source: "fe80::1%eth0" is not a prefix`, bgp.IPv6Flowspec},
		{"source 2001:db8::/16-64", "source: 2001:db8:: has bits before the offset 16", bgp.IPv6Flowspec},
		{"source ::/64-64", "source: offset 64 is not before length 64", bgp.IPv6Flowspec},
		{"source ::/x-64", `source: "x" is not an offset`, bgp.IPv6Flowspec},
		{"protocol 256", "protocol: 256 is above 255", bgp.IPv4Flowspec},
		{"protocol tpc", `protocol: "tpc" is not a number`, bgp.IPv4Flowspec},
		{"port tcp", `port: "tcp" is not a number`, bgp.IPv4Flowspec},
		{"destination-port >65536", "destination-port: >65536 is above 65535", bgp.IPv4Flowspec},
		{"destination-port >", "destination-port: no number behind >", bgp.IPv4Flowspec},
		{"destination-port => 5", "destination-port: no number behind =>", bgp.IPv4Flowspec},
		{"destination-port =>5", "destination-port: => is not one of == != < <= > >=", bgp.IPv4Flowspec},
		{"destination-port >5&", "destination-port: a condition is missing", bgp.IPv4Flowspec},
		{"destination-port 80||443", "destination-port: a condition is missing", bgp.IPv4Flowspec},
		{"destination-port 80 443", "destination-port: 80 and 443 never hold together; alternatives are joined by |", bgp.IPv4Flowspec},
		{"port 99999999999999999999", `port: "99999999999999999999" is not a number`, bgp.IPv4Flowspec},
		{"dscp 64", "dscp: 64 is above 63", bgp.IPv4Flowspec},
		{"tcp-flags sin", `tcp-flags: "sin" is not one of fin, syn,`, bgp.IPv4Flowspec},
		{"tcp-flags 0xg", `tcp-flags: "0xg" is not a number in hex`, bgp.IPv4Flowspec},
		{"tcp-flags 0x1000", "tcp-flags: 0x1000 is above 4095", bgp.IPv4Flowspec},
		{"fragment dont-fragment", "fragment: IPv6 has no dont-fragment", bgp.IPv6Flowspec},
		{"flow-label 5", "flow-label: only IPv6 has flow labels", bgp.IPv4Flowspec},
		{"flow-label 1048576", "flow-label: 1048576 is above 1048575", bgp.IPv6Flowspec},
		{"port 1" + strings.Repeat("|1", 3000), "octets are more than 4095", bgp.IPv4Flowspec},
		{"port 1", "family ipv4-unicast has no text form", bgp.IPv4Unicast},
	} {
		item, err := bgp.ParseFlowspec(tt.family, tt.text)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "bgp: flow specification ") {
			t.Errorf("%.60s: got %x, %v\nwant %s", tt.text, item, err, tt.want)
		}
	}
}

// drawFlow makes the text of a flow specification in the canonical form, and the
// same in GoBGP's words, where a space means or. It has no IPv6 offsets: GoBGP
// writes what is before the offset too, which RFC 8956 §3.1 does not.
func drawFlow(r *rand.Rand, f bgp.Family) (ours, theirs string) {
	var a, b []string
	numbers := func(name string, limit uint64) {
		x, y := "", ""
		for i := range 1 + r.IntN(4) {
			join := ""
			if i > 0 {
				join = "|"
				y += " "
				if r.IntN(2) == 0 {
					join = "&"
					y += "&"
				}
			}
			c := []string{"==", "!=", "<", "<=", ">", ">="}[r.IntN(6)] + fmt.Sprint(r.Uint64N(limit+1)>>r.IntN(16))
			x, y = x+join+c, y+c
		}
		a, b = append(a, name+" "+x), append(b, name+" "+y)
	}
	prefix := func(name string) {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())}), r.IntN(33))
		word := p.Masked().String()
		other := word
		if f == bgp.IPv6Flowspec {
			var raw [16]byte
			for i := range raw {
				raw[i] = byte(r.Uint32())
			}
			p = netip.PrefixFrom(netip.AddrFrom16(raw), r.IntN(129)).Masked()
			word, other = p.String(), p.String()
		}
		a, b = append(a, name+" "+word), append(b, name+" "+other)
	}
	for _, part := range []func(){
		func() { prefix("destination") },
		func() { prefix("source") },
		func() { numbers("protocol", 255) },
		func() { numbers("port", 65535) },
		func() { numbers("destination-port", 65535) },
		func() { numbers("source-port", 65535) },
		func() { numbers("icmp-type", 255) },
		func() { numbers("icmp-code", 255) },
		func() {
			flags := []string{"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"}
			i := r.IntN(7)
			j := i + 1 + r.IntN(7-i)
			a = append(a, "tcp-flags ="+flags[i]+"+"+flags[j]+"|!"+flags[j])
			const letters = "FSRPAUEC"
			b = append(b, fmt.Sprintf("tcp-flags =%c%c !%c", letters[i], letters[j], letters[j]))
		},
		func() { numbers("packet-length", 65535) },
		func() { numbers("dscp", 63) },
		func() {
			a, b = append(a, "fragment =is-fragment&!first-fragment"), append(b, "fragment =is-fragment &!first-fragment")
		},
	} {
		if r.IntN(3) == 0 {
			part()
		}
	}
	if len(a) == 0 {
		numbers("protocol", 255)
	}
	return strings.Join(a, " "), strings.Join(b, " ")
}

// TestParseFlowspecAgainstGoBGP compares octets with GoBGP's parser and writer,
// and the text that comes back with the one that went in.
func TestParseFlowspecAgainstGoBGP(t *testing.T) {
	r := draw()
	for i := range 4000 {
		f, rf := bgp.IPv4Flowspec, gobgp.RF_FS_IPv4_UC
		if i%2 == 1 {
			f, rf = bgp.IPv6Flowspec, gobgp.RF_FS_IPv6_UC
		}
		text, other := drawFlow(r, f)
		item, err := bgp.ParseFlowspec(f, text)
		if err != nil {
			t.Fatal(err)
		}
		if got := nlriText(t, f, fmt.Sprintf("%x", item)); got != text {
			t.Fatalf("got  %s\nwant %s", got, text)
		}
		rules, err := gobgp.ParseFlowSpecComponents(rf, other)
		if err != nil {
			t.Fatalf("%s: %v", other, err)
		}
		var theirs []byte
		if f == bgp.IPv4Flowspec {
			theirs, err = gobgp.NewFlowSpecIPv4Unicast(rules).Serialize()
		} else {
			theirs, err = gobgp.NewFlowSpecIPv6Unicast(rules).Serialize()
		}
		if err != nil || string(theirs) != string(item) {
			t.Fatalf("%s\nGoBGP: %s\nours   %x\ntheirs %x %v", text, other, item, theirs, err)
		}
	}
}

// TestParseFlowspecOffsets takes patterns from every bit to every other.
func TestParseFlowspecOffsets(t *testing.T) {
	r := draw()
	for end := 1; end <= 128; end++ {
		for offset := range end {
			var raw [16]byte
			for bit := offset; bit < end; bit++ {
				raw[bit/8] |= byte(r.IntN(2)) << (7 - bit%8)
			}
			text := fmt.Sprintf("source %v/%d-%d", netip.AddrFrom16(raw), offset, end)
			if offset == 0 {
				text = fmt.Sprintf("source %v/%d", netip.AddrFrom16(raw), end)
			}
			item, err := bgp.ParseFlowspec(bgp.IPv6Flowspec, text)
			if err != nil || len(item) != 4+(end-offset+7)/8 {
				t.Fatalf("%s: %x %v", text, item, err)
			}
			if got := nlriText(t, bgp.IPv6Flowspec, fmt.Sprintf("%x", item)); got != text {
				t.Fatalf("%s comes back as %s", text, got)
			}
		}
	}
}

// FuzzParseFlowspec: no text panics, and what is accepted comes back as a text
// that means the same.
func FuzzParseFlowspec(f *testing.F) {
	f.Add("destination 10.9.0.0/16 protocol ==17 destination-port >53", false)
	f.Add("source ::1234:5678:9a00:0/65-104 flow-label 5|>=7&!=9", true)
	f.Add("tcp-flags =syn&!ack fragment 0x2 dscp true", false)
	f.Fuzz(func(t *testing.T, text string, v6 bool) {
		family := bgp.IPv4Flowspec
		if v6 {
			family = bgp.IPv6Flowspec
		}
		item, err := bgp.ParseFlowspec(family, text)
		if err != nil {
			return
		}
		back := nlriText(t, family, fmt.Sprintf("%x", item))
		again, err := bgp.ParseFlowspec(family, back)
		if err != nil || string(again) != string(item) {
			t.Fatalf("%q is %x, reads %q, is %x %v", text, item, back, again, err)
		}
	})
}

func TestParseFlowAction(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"traffic-rate 24000", "traffic-rate:0:24000"},
		{"traffic-rate 65000:24000", "traffic-rate:65000:24000"},
		{"traffic-rate:0:24000", "traffic-rate:0:24000"},
		{"traffic-rate-packets 100", "traffic-rate-packets:0:100"},
		{"traffic-action sample", "traffic-action:sample"},
		{"traffic-action sample terminal", "traffic-action:terminal+sample"},
		{"redirect 6:302", "redirect:6:302"},
		{"redirect 192.0.2.1:302", "redirect:192.0.2.1:302"},
		{"redirect 4200000000:302", "redirect:4200000000:302"},
		{"mark 46", "traffic-marking:46"},
		{"discard", "traffic-rate:0:0"},
	} {
		c, err := bgp.ParseFlowAction(tt.text)
		if got := extText(t, c); err != nil || got != tt.want {
			t.Errorf("%s: got %s %v, want %s", tt.text, got, err, tt.want)
		}
	}
	for _, tt := range []struct{ text, want string }{
		{"", "no action"},
		{"drop", "drop says nothing"},
		{"drop it", `"drop" is not an action; those are traffic-rate,`},
		{"mark", "mark says nothing"},
		{"mark 64", `"64" is not a DSCP of 0 to 63`},
		{"traffic-rate fast", `"fast" is not a rate`},
		{"traffic-rate -1", `"-1" is not a rate`},
		{"traffic-rate NaN", `"NaN" is not a rate`},
		{"traffic-rate 1 2", `"1+2" is not a rate`},
		{"traffic-action loud", `"loud" is not one of terminal, sample, or a number`},
		{"redirect 65000", `"65000" is not an AS number or address, a colon, and a number`},
		{"redirect [2001:db8::1]:1", "IPv6 address specific communities have 20 octets"},
	} {
		if c, err := bgp.ParseFlowAction(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %x %v, want %s", tt.text, c, err, tt.want)
		}
	}
}

// extText returns the text of an extended community as it is received.
func extText(t testing.TB, c [8]byte) string {
	t.Helper()
	var u bgp.Update
	u.Parse(update(t, "", wellKnown+fmt.Sprintf("c01008%x", c), net24), as4)
	return string(u.AppendExtCommunities(nil))
}
