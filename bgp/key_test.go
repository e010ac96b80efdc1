package bgp_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/ribtap/ribtap/bgp"
)

// checkRoundTrip takes every announced route of u apart and puts it together
// again: key and value give an UPDATE that reads to the same key and value, and
// a withdrawal that reads to the same key.
func checkRoundTrip(t testing.TB, u *bgp.Update, s bgp.Session) (announced int) {
	t.Helper()
	for it := u.Routes(); it.Next(); {
		r := it.Route()
		key := bgp.AppendKey(nil, &r.NLRI)
		checkWithdraw(t, &r.NLRI, key, s)
		if r.Action != bgp.Announce {
			continue
		}
		announced++
		value := u.AppendValue(nil, r)
		v, ok := bgp.ParseValue(value)
		if !ok || v.AS4 != s.AS4 || !bytes.Equal(v.NextHop, r.NextHop) {
			t.Fatalf("value % x: %+v %v", value, v, ok)
		}
		n, ok := bgp.ParseKey(r.NLRI.Family, r.NLRI.HasPathID, key, v.Extra)
		if !ok || n.Prefix != r.NLRI.Prefix || n.PathID != r.NLRI.PathID || n.HasPathID != r.NLRI.HasPathID ||
			n.HasRD != r.NLRI.HasRD || n.HasRD && n.RD != r.NLRI.RD || !bytes.Equal(n.Labels, r.NLRI.Labels) ||
			n.Raw != nil && !bytes.Equal(n.Raw, r.NLRI.Raw) {
			t.Fatalf("%v key % x extra % x: %+v %v, want %+v", r.NLRI.Family, key, v.Extra, n, ok, r.NLRI)
		}
		msg := bgp.AppendAnnounce([]byte("before"), &n, &v)
		msg, ok = bytes.CutPrefix(msg, []byte("before"))
		if !ok || len(msg) == 0 {
			t.Fatalf("no announcement of %+v with %+v", n, v)
		}
		var again bgp.Update
		again.Parse(msg, s)
		back := again.Routes()
		if !back.Next() || back.Route().Action != bgp.Announce || back.Route().NLRI.Family != r.NLRI.Family {
			t.Fatalf("% x: %v %+v", msg, again.Verdict(), again.Findings())
		}
		if got := bgp.AppendKey(nil, &back.Route().NLRI); !bytes.Equal(got, key) {
			t.Fatalf("key % x came back as % x in % x", key, got, msg)
		}
		if got := again.AppendValue(nil, back.Route()); !bytes.Equal(got, value) {
			t.Fatalf("value % x came back as % x in % x", value, got, msg)
		}
		if back.Next() {
			t.Fatalf("more than one route in % x", msg)
		}
	}
	return announced
}

// checkWithdraw holds that a withdrawal of n reads to the key of n.
func checkWithdraw(t testing.TB, n *bgp.NLRI, key []byte, s bgp.Session) {
	t.Helper()
	var b bgp.WithdrawBuilder
	b.Reset(n.Family, bgp.MaxExtendedMessageLen)
	if !b.Add(n) {
		t.Fatalf("no withdrawal of %+v", n)
	}
	var u bgp.Update
	u.Parse(b.Message(), s)
	it := u.Routes()
	if !it.Next() || it.Route().Action != bgp.Withdraw || it.Route().NLRI.Family != n.Family {
		t.Fatalf("% x: %v %+v", b.Message(), u.Verdict(), u.Findings())
	}
	if got := bgp.AppendKey(nil, &it.Route().NLRI); !bytes.Equal(got, key) {
		t.Fatalf("key % x came back as % x in % x", key, got, b.Message())
	}
	if it.Next() {
		t.Fatalf("more than one route in % x", b.Message())
	}
}

// TestRoundTrip runs checkRoundTrip over every case of the tables, with and
// without ADD-PATH, and over the captures of a corpus.
func TestRoundTrip(t *testing.T) {
	var u bgp.Update
	for _, tc := range verdictCases(t) {
		s := tc.session
		if s == (bgp.Session{}) {
			s = as4
		}
		u.Parse(tc.msg, s)
		checkRoundTrip(t, &u, s)
	}
	layouts := 0
	for _, tc := range layoutCases() {
		s := as4
		if tc.addPath {
			s.AddPath = s.AddPath.With(tc.family)
		}
		u.Parse(update(t, "", mpReach(t, tc.family, tc.nextHop, tc.nlri)+origin+path, ""), s)
		layouts += checkRoundTrip(t, &u, s)
	}
	if layouts < 25 {
		t.Errorf("only %d routes in the layout cases", layouts)
	}
	for _, m := range corpusUpdates(t) {
		s := as4
		s.AS4 = m.as4
		u.Parse(m.msg, s)
		checkRoundTrip(t, &u, s)
	}
}

// TestRoundTripRandom runs checkRoundTrip over random routes of every layout
// with a prefix, and random items of the others.
func TestRoundTripRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, f := range bgp.Families() {
		for i := range 200 {
			s := as4
			n := bgp.NLRI{Family: f}
			if i%2 == 0 {
				n.HasPathID, n.PathID = true, rnd.Uint32()
				s.AddPath = s.AddPath.With(f)
			}
			v := bgp.Value{AS4: true, Attrs: octets(t, origin+path)}
			nextHopLen := 4
			if f.AFI() == bgp.AFIIPv6 {
				nextHopLen = 16
			}
			switch f.SAFI() {
			case 4, 128, 129:
				v.Extra = octets(t, strings.Repeat("000640", rnd.IntN(2))+label)
				if f.SAFI() != 4 {
					nextHopLen += 8
					n.HasRD, n.RD = true, bgp.RD(octets(t, fmt.Sprintf("%016x", rnd.Uint64())))
				}
				n.Prefix = randomPrefix(rnd, f)
			case 1, 2:
				n.Prefix = randomPrefix(rnd, f)
			default:
				n.Raw = randomItem(t, rnd, f)
				if f == bgp.EVPN {
					v.Extra = n.Raw
				}
			}
			v.NextHop = octets(t, strings.Repeat("c0", nextHopLen))
			var u bgp.Update
			u.Parse(bgp.AppendAnnounce(nil, &n, &v), s)
			if u.Verdict() != bgp.VerdictOK {
				t.Fatalf("%v %+v: %+v", f, n, u.Findings())
			}
			if got := checkRoundTrip(t, &u, s); got != 1 {
				t.Fatalf("%v: %d routes", f, got)
			}
		}
	}
}

func randomPrefix(rnd *rand.Rand, f bgp.Family) netip.Prefix {
	var a [16]byte
	for i := range a {
		a[i] = byte(rnd.Uint32())
	}
	addr := netip.AddrFrom16(a)
	if f.AFI() == bgp.AFIIPv4 {
		addr = netip.AddrFrom4([4]byte(a[:4]))
	}
	p, err := addr.Prefix(rnd.IntN(addr.BitLen() + 1))
	if err != nil {
		panic(err)
	}
	return p
}

// randomItem makes an item of a family without a prefix.
func randomItem(t testing.TB, rnd *rand.Rand, f bgp.Family) []byte {
	value := make([]byte, 8+rnd.IntN(60))
	for i := range value {
		value[i] = byte(rnd.Uint32())
	}
	n := len(value)
	switch f {
	case bgp.EVPN:
		return append([]byte{byte(rnd.IntN(12)), byte(n)}, value...)
	case bgp.IPv4MVPN, bgp.IPv6MVPN:
		return append([]byte{byte(rnd.IntN(8)), byte(n)}, value...)
	case bgp.LS, bgp.LSVPN:
		return append([]byte{0, byte(rnd.IntN(8)), 0, byte(n)}, value...)
	case bgp.VPLS:
		return append([]byte{0, byte(n)}, value...)
	case bgp.RTC, bgp.IPv4SRPolicy, bgp.IPv6SRPolicy:
		return append([]byte{byte(8 * min(n, 31))}, value[:min(n, 31)]...)
	case bgp.IPv4MUP, bgp.IPv6MUP:
		return append([]byte{1, 0, byte(rnd.IntN(5)), byte(n)}, value...)
	case bgp.IPv4Flowspec, bgp.IPv6Flowspec:
		return octets(t, "03 03 81 11")
	case bgp.IPv4VPNFlow, bgp.IPv6VPNFlow, bgp.L2VPNFlowspec:
		return octets(t, "0b"+rd1+"03 81 11")
	default:
		t.Fatalf("no item of %v", f)
		return nil
	}
}

// TestKeyOrder holds that keys sort by address, then length, then path
// identifier.
func TestKeyOrder(t *testing.T) {
	for _, f := range []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast, bgp.IPv4Labelled} {
		rnd := rand.New(rand.NewPCG(3, 4))
		nlri := make([]bgp.NLRI, 300)
		for i := range nlri {
			p := randomPrefix(rnd, f)
			if i > 0 && i%3 == 0 {
				p = nlri[i-1].Prefix
			}
			if i > 0 && i%5 == 0 {
				p = netip.PrefixFrom(nlri[i-1].Prefix.Addr(), p.Addr().BitLen())
			}
			nlri[i] = bgp.NLRI{Family: f, Prefix: p, HasPathID: true, PathID: uint32(rnd.IntN(3) << (8 * rnd.IntN(4)))}
		}
		byKey := slices.Clone(nlri)
		slices.SortStableFunc(byKey, func(a, b bgp.NLRI) int {
			return bytes.Compare(bgp.AppendKey(nil, &a), bgp.AppendKey(nil, &b))
		})
		slices.SortStableFunc(nlri, func(a, b bgp.NLRI) int {
			return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()), cmp.Compare(a.PathID, b.PathID))
		})
		for i := range nlri {
			if nlri[i].Prefix != byKey[i].Prefix || nlri[i].PathID != byKey[i].PathID {
				t.Fatalf("%v: %v is %v by key", f, nlri[i], byKey[i])
			}
		}
	}
}

// TestEVPNKey holds which fields of an EVPN route make another route.
func TestEVPNKey(t *testing.T) {
	const (
		tag  = "00000064 "
		tag2 = "00000065 "
		esi2 = "99887766554433221100 "
		mac  = "30 020000000001 "
		lab  = "006410 "
		lab2 = "00c810 "
		rd2  = "0000fde900000002 "
	)
	item := func(typ string, value string) []byte {
		v := octets(t, value)
		return append(append(octets(t, typ), byte(len(v))), v...)
	}
	tests := []struct {
		name string
		a, b []byte
		same bool
	}{
		{"1: label", item("01", rd1+esi+tag+lab), item("01", rd1+esi+tag+lab2), true},
		{"1: ESI", item("01", rd1+esi+tag+lab), item("01", rd1+esi2+tag+lab), false},
		{"2: ESI and labels", item("02", rd1+esi+tag+mac+"00"+lab), item("02", rd1+esi2+tag+mac+"00"+lab2+lab), true},
		{"2: tag", item("02", rd1+esi+tag+mac+"00"+lab), item("02", rd1+esi+tag2+mac+"00"+lab), false},
		{"2: IP", item("02", rd1+esi+tag+mac+"20 c0000201"+lab), item("02", rd1+esi+tag+mac+"20 c0000202"+lab), false},
		{"2: with and without IP", item("02", rd1+esi+tag+mac+"20 c0000201"+lab), item("02", rd1+esi+tag+mac+"00"+lab), false},
		{"3: RD", item("03", rd1+tag+"20 c0000201"), item("03", rd2+tag+"20 c0000201"), false},
		{"4: ESI", item("04", rd1+esi+"20 c0000201"), item("04", rd1+esi2+"20 c0000201"), false},
		{"5: ESI, gateway, label", item("05", rd1+esi+tag+"18 0a010100 00000000"+lab), item("05", rd1+esi2+tag+"18 0a010100 c0000201"+lab2), true},
		{"5: stray bits", item("05", rd1+esi+tag+"18 0a0101ff 00000000"+lab), item("05", rd1+esi+tag+"18 0a010100 00000000"+lab), true},
		{
			"5: IPv6", item("05", rd1+esi+tag+"30 20010db80001"+strings.Repeat("ff", 10)+strings.Repeat("00", 16)+lab),
			item("05", rd1+esi2+tag+"30 20010db80001"+strings.Repeat("00", 10)+strings.Repeat("01", 16)+lab2), true,
		},
		{"5: length", item("05", rd1+esi+tag+"18 0a010100 00000000"+lab), item("05", rd1+esi+tag+"10 0a010000 00000000"+lab), false},
		{"6: any octet", item("06", rd1+lab), item("06", rd1+lab2), false},
		{"malformed 2", item("02", rd1), item("02", rd1+"00"), false},
		{"malformed 5", item("05", rd1+esi+tag+"21 0a010100 00000000"+lab), item("05", rd1+esi+tag+"21 0a010100 00000000"+lab2), false},
	}
	for _, tc := range tests {
		a := bgp.AppendKey(nil, &bgp.NLRI{Family: bgp.EVPN, Raw: tc.a})
		b := bgp.AppendKey(nil, &bgp.NLRI{Family: bgp.EVPN, Raw: tc.b})
		if bytes.Equal(a, b) != tc.same {
			t.Errorf("%s: % x and % x", tc.name, a, b)
		}
	}
}

// TestParseKeyRefuses holds that what is no key is refused.
func TestParseKeyRefuses(t *testing.T) {
	tests := []struct {
		name       string
		family     bgp.Family
		addPath    bool
		key, extra string
	}{
		{"empty", bgp.IPv4Unicast, false, "", ""},
		{"short", bgp.IPv4Unicast, false, "0a010100", ""},
		{"long", bgp.IPv4Unicast, false, "0a01010018 00", ""},
		{"length 33", bgp.IPv4Unicast, false, "0a01010021", ""},
		{"path identifier missing", bgp.IPv4Unicast, true, "0a01010018", ""},
		{"path identifier alone", bgp.LS, true, "00000001", ""},
		{"RD missing", bgp.IPv4VPN, false, "0a01010018", label},
		{"two items", bgp.LS, false, "00010000 00010000", ""},
		{"EVPN without item", bgp.EVPN, false, "000b00", ""},
		{"EVPN of another item", bgp.EVPN, false, "000b00", "0c00"},
	}
	for _, tc := range tests {
		if n, ok := bgp.ParseKey(tc.family, tc.addPath, octets(t, tc.key), octets(t, tc.extra)); ok {
			t.Errorf("%s: %+v", tc.name, n)
		}
	}
	if v, ok := bgp.ParseValue([]byte{1, 4, 0, 0, 1}); ok {
		t.Errorf("value %+v", v)
	}
}

// TestAppendAnnounce holds which form a route takes.
func TestAppendAnnounce(t *testing.T) {
	prefix := netip.MustParsePrefix("10.1.1.0/24")
	n := bgp.NLRI{Family: bgp.IPv4Unicast, Prefix: prefix}
	classic := octets(t, wellKnown)
	tests := []struct {
		name string
		n    bgp.NLRI
		v    bgp.Value
		want string // routes of the message, "" for no message
	}{
		{"NEXT_HOP", n, bgp.Value{Attrs: classic, NextHop: octets(t, nh4)}, "+10.1.1.0/24 via=c0000201"},
		{"NEXT_HOP alone", n, bgp.Value{Attrs: classic}, "+10.1.1.0/24 via=c0000201"},
		{"another next hop", n, bgp.Value{Attrs: classic, NextHop: octets(t, nh6)}, "+10.1.1.0/24 via=20010db8000000000000000000000001 mp"},
		{"no NEXT_HOP", n, bgp.Value{Attrs: octets(t, origin+path), NextHop: octets(t, nh4)}, "+10.1.1.0/24 via=c0000201 mp"},
		{
			"MP attributes in the value", n,
			bgp.Value{Attrs: octets(t, mpReach(t, bgp.IPv6Unicast, nh6, doc48)+wellKnown+mpUnreach(t, bgp.IPv6Unicast, doc48))},
			"+10.1.1.0/24 via=c0000201",
		},
		{"host bits", bgp.NLRI{Family: bgp.IPv4Unicast, Prefix: netip.MustParsePrefix("10.1.1.9/24")}, bgp.Value{Attrs: classic}, "+10.1.1.0/24 via=c0000201"},
		{
			"long item",
			bgp.NLRI{Family: bgp.LS, Raw: append(octets(t, "0001 0200"), make([]byte, 512)...)},
			bgp.Value{Attrs: octets(t, origin+path), NextHop: octets(t, nh4)},
			"+ls:00010200" + strings.Repeat("00", 512) + " via=c0000201 mp",
		},
		{"prefix of another family", bgp.NLRI{Family: bgp.IPv6Unicast, Prefix: prefix}, bgp.Value{Attrs: classic, NextHop: octets(t, nh6)}, ""},
		{"no prefix", bgp.NLRI{Family: bgp.IPv4Unicast}, bgp.Value{Attrs: classic}, ""},
		{"no label", bgp.NLRI{Family: bgp.IPv4Labelled, Prefix: prefix}, bgp.Value{Attrs: classic, NextHop: octets(t, nh4)}, ""},
		{"too many labels", bgp.NLRI{Family: bgp.IPv4Labelled, Prefix: prefix, Labels: make([]byte, 33)}, bgp.Value{Attrs: classic, NextHop: octets(t, nh4)}, ""},
		{"too many attributes", n, bgp.Value{Attrs: append(slices.Clone(classic), make([]byte, 65535)...)}, ""},
		{"item too long", bgp.NLRI{Family: bgp.LS, Raw: make([]byte, 70000)}, bgp.Value{Attrs: classic, NextHop: octets(t, nh4)}, ""},
	}
	for _, tc := range tests {
		tc.v.AS4 = true
		msg := bgp.AppendAnnounce(nil, &tc.n, &tc.v)
		if tc.want == "" {
			if len(msg) != 0 {
				t.Errorf("%s: % x", tc.name, msg)
			}
			continue
		}
		var u bgp.Update
		u.Parse(msg, as4)
		if got := routes(&u); !slices.Equal(got, []string{tc.want}) {
			t.Errorf("%s: %v %+v", tc.name, got, u.Findings())
		}
	}
}

// TestWithdrawBuilder fills messages to their limit and reads them back.
func TestWithdrawBuilder(t *testing.T) {
	for _, f := range []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast, bgp.IPv4VPN, bgp.EVPN} {
		for _, limit := range []int{64, bgp.MaxMessageLen, bgp.MaxExtendedMessageLen, 1 << 20} {
			rnd := rand.New(rand.NewPCG(5, 6))
			var b bgp.WithdrawBuilder
			b.Reset(f, limit)
			if b.Message() != nil {
				t.Fatal("a message of no routes is an End-of-RIB marker")
			}
			var want []string
			for {
				n := bgp.NLRI{Family: f, HasPathID: true, PathID: rnd.Uint32(), Prefix: randomPrefix(rnd, f), Raw: octets(t, "0b02ffff")}
				if !b.Add(&n) {
					break
				}
				if b.Len() == 1 {
					b.Message() // a look in between changes nothing
				}
				want = append(want, fmt.Sprintf("%x", bgp.AppendKey(nil, &n)))
			}
			msg := b.Message()
			if limit = min(limit, bgp.MaxExtendedMessageLen); len(msg) > limit || len(msg) < limit-40 || b.Len() != len(want) {
				t.Errorf("%v: message of %d octets and %d routes, limit %d", f, len(msg), b.Len(), limit)
			}
			var u bgp.Update
			u.Parse(msg, bgp.Session{AddPath: bgp.FamilySet(0).With(f)})
			var got []string
			for it := u.Routes(); it.Next(); {
				got = append(got, fmt.Sprintf("%x", bgp.AppendKey(nil, &it.Route().NLRI)))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%v: %d routes came back of %d, %+v", f, len(got), len(want), u.Findings())
			}
		}
	}
}

// TestWithdrawBuilderRefuses holds what cannot stand in one message.
func TestWithdrawBuilderRefuses(t *testing.T) {
	prefix := netip.MustParsePrefix("10.1.1.0/24")
	var b bgp.WithdrawBuilder
	b.Reset(bgp.IPv4Unicast, bgp.MaxMessageLen)
	if b.Add(&bgp.NLRI{Family: bgp.IPv4Multicast, Prefix: prefix}) {
		t.Error("another family")
	}
	if b.Add(&bgp.NLRI{Family: bgp.IPv4Unicast}) || b.Len() != 0 {
		t.Error("no prefix")
	}
	if !b.Add(&bgp.NLRI{Family: bgp.IPv4Unicast, Prefix: prefix}) || b.Add(&bgp.NLRI{Family: bgp.IPv4Unicast, Prefix: prefix, HasPathID: true}) {
		t.Error("path identifiers beside none")
	}
	odd := bgp.NewFamily(16399, 201)
	b.Reset(odd, bgp.MaxMessageLen)
	if !b.Add(&bgp.NLRI{Family: odd, Raw: []byte{1}}) || b.Add(&bgp.NLRI{Family: odd, Raw: []byte{2}}) {
		t.Error("two items where a reader sees one")
	}
}
