package bgp_test

import (
	"runtime"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"github.com/ribtap/ribtap/bgp"
)

// benchMessage is an UPDATE of common size: about 100 octets, five prefixes.
type benchMessage struct {
	name string
	msg  []byte
}

func benchMessages(tb testing.TB) []benchMessage {
	const longPath = "40021a 0206 0000fde9 00000d1c 000032e6 0000ca63 00001b1b 00004e42"
	five := net24 + "18 0a0102 18 0a0103 16 0a0104 18 0a0801"
	return []benchMessage{
		{"five", update(tb, "", origin+longPath+nextHop+"c00808 00010002 00030004", five)},
		{"one-v6", update(tb, "", mpReach(tb, bgp.IPv6Unicast, nh6, doc48)+origin+longPath+"c00808 00010002 00030004", "")},
		{"vpn", update(tb, "", mpReach(tb, bgp.IPv4VPN, nhVPN4, "70"+label+rd1+"0a0101 70"+label+rd1+"0a0102")+origin+path+"c01008 0002fde900000064", "")},
		{"withdraw", update(tb, five, "", "")},
		{"evpn", update(tb, "", mpReach(tb, bgp.EVPN, nh4, "0311"+rd1+"00000000 20 c0000201 0221"+rd1+esi+"00000000 30 020000000001 00 000650")+origin+path, "")},
	}
}

// BenchmarkParse parses an UPDATE and walks its routes.
func BenchmarkParse(b *testing.B) {
	for _, m := range benchMessages(b) {
		b.Run(m.name, func(b *testing.B) {
			b.SetBytes(int64(len(m.msg)))
			b.ReportAllocs()
			var u bgp.Update
			for b.Loop() {
				u.Parse(m.msg, as4)
				n := 0
				it := u.Routes()
				for it.Next() {
					n++
				}
				if n == 0 {
					b.Fatal(u.Findings())
				}
			}
		})
	}
}

// BenchmarkParseGoBGP is the same work by gobgp.
func BenchmarkParseGoBGP(b *testing.B) {
	for _, m := range benchMessages(b) {
		b.Run(m.name, func(b *testing.B) {
			b.SetBytes(int64(len(m.msg)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := gobgp.ParseBGPMessage(m.msg); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDecodeRatio decodes the same messages in turns, to the last route and
// with every attribute judged, with gobgp's parser, and with nothing but
// framing. x-gobgp is how many times as fast as gobgp it is, x-floor how many
// times as long as framing it takes.
func BenchmarkDecodeRatio(b *testing.B) {
	messages := benchMessages(b)
	for _, m := range messages {
		b.Run(m.name, func(b *testing.B) { decodeRatio(b, []benchMessage{m}) })
	}
	b.Run("all", func(b *testing.B) { decodeRatio(b, messages) })
}

func decodeRatio(b *testing.B, messages []benchMessage) {
	var u bgp.Update
	own := func(msg []byte) {
		u.Parse(msg, as4)
		routes := u.Routes()
		for routes.Next() {
			routes.Route()
		}
	}
	const rounds = 20_000
	measure := func(decode func(msg []byte)) time.Duration {
		runtime.GC() // what another decoder left behind is not this one's work
		begin := time.Now()
		for range rounds {
			for i := range messages {
				decode(messages[i].msg)
			}
		}
		return time.Since(begin)
	}
	var ours, theirs, floor time.Duration
	n := 0
	for b.Loop() {
		n++
		ours += measure(own)
		theirs += measure(func(msg []byte) {
			if _, err := gobgp.ParseBGPMessage(msg); err != nil {
				b.Fatal(err)
			}
		})
		floor += measure(func(msg []byte) {
			if _, _, err := bgp.SplitMessage(msg, bgp.MaxMessageLen); err != nil {
				b.Fatal(err)
			}
		})
	}
	b.ReportMetric(float64(ours.Nanoseconds())/float64(n*rounds*len(messages)), "ns/message")
	b.ReportMetric(theirs.Seconds()/ours.Seconds(), "x-gobgp")
	b.ReportMetric(ours.Seconds()/floor.Seconds(), "x-floor")
	b.ReportMetric(testing.AllocsPerRun(100, func() { own(messages[0].msg) }), "own-allocs/message")
	b.ReportMetric(0, "ns/op") // all three together
}

// BenchmarkKeyValue is what a RIB does with every route.
func BenchmarkKeyValue(b *testing.B) {
	var u bgp.Update
	u.Parse(benchMessages(b)[0].msg, as4)
	var key, value []byte
	b.ReportAllocs()
	for b.Loop() {
		it := u.Routes()
		for it.Next() {
			key = bgp.AppendKey(key[:0], &it.Route().NLRI)
			value = u.AppendValue(value[:0], it.Route())
		}
	}
}

// TestAllocations holds that the hot path allocates nothing in the steady
// state.
func TestAllocations(t *testing.T) {
	var u bgp.Update
	var key, value, msg []byte
	var b bgp.WithdrawBuilder
	messages := benchMessages(t)
	allocs := testing.AllocsPerRun(100, func() {
		for _, m := range messages {
			u.Parse(m.msg, as4)
			it := u.Routes()
			for it.Next() {
				r := it.Route()
				key = bgp.AppendKey(key[:0], &r.NLRI)
				value = u.AppendValue(value[:0], r)
				v, _ := bgp.ParseValue(value)
				n, _ := bgp.ParseKey(r.NLRI.Family, r.NLRI.HasPathID, key, v.Extra)
				b.Reset(n.Family, bgp.MaxMessageLen)
				if r.Action == bgp.Announce {
					msg = bgp.AppendAnnounce(msg[:0], &n, &v)
					if len(msg) == 0 || !b.Add(&n) || b.Message() == nil {
						t.Fatal("a route cannot be written out")
					}
				}
			}
			for it := u.Attrs(); ; {
				if _, ok := it.Next(); !ok {
					break
				}
			}
			u.Attr(bgp.AttrCommunities)
			if _, _, err := bgp.SplitMessage(m.msg, bgp.MaxMessageLen); err != nil {
				t.Fatal(err)
			}
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// TestAllocationsHostile holds that an error costs no memory either.
func TestAllocationsHostile(t *testing.T) {
	cases := verdictCases(t)
	var u bgp.Update
	allocs := testing.AllocsPerRun(20, func() {
		for i := range cases {
			u.Parse(cases[i].msg, as4)
			it := u.Routes()
			for it.Next() {
				it.Route()
			}
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
