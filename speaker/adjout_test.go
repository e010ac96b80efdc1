package speaker

import (
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/ribtap/ribtap/bgp"
)

var _ exporter = (*adjOut)(nil)

// prefixes makes n announcements of /24 with these attributes.
func prefixes(n int, like Announcement) []Announcement {
	list := make([]Announcement, n)
	for i := range list {
		list[i] = like
		list[i].Family = bgp.IPv4Unicast
		list[i].Prefix = netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(16 + i>>16), byte(i >> 8), byte(i), 0}), 24)
	}
	return list
}

// outSessionUp returns an Adj-RIB-Out whose neighbour has all of the list.
func outSessionUp(t testing.TB, s *Session, p *Peer) (*adjOut, *receiver) {
	t.Helper()
	a, n := newAdjOut(), newReceiver(t, s)
	a.begin(s)
	a.set(p)
	n.drain(a, 1<<16)
	n.check(p)
	return a, n
}

// change gives the neighbour another list, and returns what came as messages,
// announcements and withdrawals.
func (r *receiver) change(a *adjOut, p *Peer) string {
	r.t.Helper()
	messages, announced, withdrawn := r.messages, r.announced, r.withdrawn
	a.set(p)
	r.drain(a, 1<<16)
	r.check(p)
	return fmt.Sprintf("%d messages +%d -%d", r.messages-messages, r.announced-announced, r.withdrawn-withdrawn)
}

func (r *receiver) check(p *Peer) {
	r.t.Helper()
	if want := shouldHave(r.s, p); !maps.Equal(r.routes, want) {
		r.t.Fatalf("got %d routes, want %d\ngot  %.500v\nwant %.500v", len(r.routes), len(want), r.routes, want)
	}
}

// TestManyPrefixes packs 100,000 prefixes of the same attributes.
func TestManyPrefixes(t *testing.T) {
	const n, item = 100_000, 4
	for _, extended := range []bool{false, true} {
		s := outSession(t, outParams{extended: extended})
		p := &Peer{Announce: prefixes(n, Announcement{Communities: []uint32{1}})}
		a, r := outSessionUp(t, s, p)
		attrs := 4 + 3 + 2 + 4 + 7 + 7 // ORIGIN, AS_PATH of one, NEXT_HOP, COMMUNITIES
		room := (r.max - bgp.HeaderLen - 4 - attrs) / item
		if want := (n + room - 1) / room; r.messages != want {
			t.Errorf("%d messages, %d are enough", r.messages, want)
		}
		if r.repeated > 0 {
			t.Errorf("%d routes came twice", r.repeated)
		}
		full := r.messages
		r.alone = true
		med := uint32(123)
		for what, p := range map[string]*Peer{
			"MED":         {Announce: prefixes(n, Announcement{Communities: []uint32{1}, MED: &med})},
			"communities": {Announce: prefixes(n, Announcement{Communities: []uint32{2}})},
			"drain":       {Announce: p.Announce, Drain: true},
		} {
			before := r.messages
			a.set(p)
			r.drain(a, 1<<16)
			if r.withdrawn > 0 || r.messages-before > full+1 {
				t.Errorf("%s: %d messages and %d withdrawals for a change of all of %d messages", what, r.messages-before, r.withdrawn, full)
			}
		}
		before := r.messages
		a.set(&Peer{})
		r.drain(a, 1<<16)
		room = (r.max - bgp.HeaderLen - 4) / item
		if want := (n + room - 1) / room; r.messages-before != want || len(r.routes) > 0 {
			t.Errorf("%d messages take all back but %d, %d are enough", r.messages-before, len(r.routes), want)
		}
		a.set(&Peer{})
		for i := range a.families {
			if len(a.families[i].routes) > 0 {
				t.Errorf("%d routes are kept of which the neighbour has none", len(a.families[i].routes))
			}
		}
	}
}

// TestDifference changes the list while the session is up.
func TestDifference(t *testing.T) {
	s := outSession(t, outParams{internal: true})
	med, pref := uint32(123), uint32(123)
	a, r := outSessionUp(t, s, &Peer{Announce: prefixes(10, Announcement{})})
	for _, step := range []struct {
		name string
		peer Peer
		want string
	}{
		{"the same", Peer{Announce: prefixes(10, Announcement{})}, "0 messages +0 -0"},
		{"another MED", Peer{Announce: prefixes(10, Announcement{MED: &med})}, "1 messages +10 -0"},
		{"and LOCAL_PREF", Peer{Announce: prefixes(10, Announcement{MED: &med, LocalPref: &pref})}, "1 messages +10 -0"},
		{"drain", Peer{Announce: prefixes(10, Announcement{MED: &med, LocalPref: &pref}), Drain: true}, "1 messages +10 -0"},
		{"drain no more", Peer{Announce: prefixes(10, Announcement{MED: &med, LocalPref: &pref})}, "1 messages +10 -0"},
		{"one less", Peer{Announce: prefixes(9, Announcement{MED: &med, LocalPref: &pref})}, "1 messages +0 -1"},
		{"two more", Peer{Announce: prefixes(11, Announcement{MED: &med, LocalPref: &pref})}, "1 messages +2 -0"},
		{"nothing", Peer{}, "1 messages +0 -11"},
		{"nothing again", Peer{}, "0 messages +0 -0"},
	} {
		if got := r.change(a, &step.peer); got != step.want {
			t.Errorf("%s: %s, want %s", step.name, got, step.want)
		}
	}
	if got := a.stats(); got.advertised != 0 || got.withdrawn != 12 {
		t.Errorf("stats %+v", got)
	}
	if r.endOfRIB[bgp.IPv4Unicast] != 1 || r.endOfRIB[bgp.IPv6Unicast] != 1 {
		t.Errorf("End-of-RIB %v", r.endOfRIB)
	}
}

// TestGrouped puts routes of equal attributes together however they are listed,
// and what goes before what comes.
func TestGrouped(t *testing.T) {
	s := outSession(t, outParams{local: "2001:db8::1"})
	a, r := outSessionUp(t, s, &Peer{Announce: prefixes(100, Announcement{})})
	var list []Announcement
	for i := range 6000 {
		med := uint32(i % 3)
		list = append(list, Announcement{
			Family: bgp.IPv6Unicast, MED: &med,
			Prefix: netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 8), byte(i)}), 48),
		})
	}
	const fixed, item = bgp.HeaderLen + 4 + 4 + 5 + 16 + 4 + 9 + 7, 7 // with MED
	room := (bgp.MaxMessageLen - fixed) / item
	want := fmt.Sprintf("%d messages +6000 -100", 1+3*((2000+room-1)/room))
	if got := r.change(a, &Peer{Announce: list}); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	list = append(list[1:], prefixes(1, Announcement{})...)
	r.wire = nil
	if got, want := r.change(a, &Peer{Announce: list}), "2 messages +1 -1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	// Another prefix of the family takes its place.
	list[0].Prefix = netip.MustParsePrefix("2001:db9::/48")
	r.wire = nil
	if got, want := r.change(a, &Peer{Announce: list}), "2 messages +1 -1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if r.wire[bgp.HeaderLen+4+1] != bgp.AttrMPUnreachNLRI {
		t.Errorf("what comes is before what goes: %x", r.wire)
	}
}

// TestOctets shows whole sessions on the wire.
func TestOctets(t *testing.T) {
	const marker = "ffffffffffffffffffffffffffffffff "
	everything := Announcement{
		Family: bgp.IPv4Unicast, Prefix: netip.MustParsePrefix("203.0.113.0/24"), ASPath: []uint32{4200000000},
		Communities: []uint32{65001<<16 | 1}, LargeCommunities: [][3]uint32{{65001, 1, 2}}, ExtendedCommunities: [][8]byte{{0, 2, 0xfd, 0xe9, 0, 0, 0, 1}},
	}
	for _, tt := range []struct {
		name string
		s    outParams
		p    Peer
		want string
	}{
		{"nothing to say", outParams{}, Peer{}, marker + "0017 02 0000 0000 " + marker + "001d 02 0000 0006 800f03 0002 01"},
		{
			"route targets, external",
			outParams{families: []bgp.Family{bgp.IPv4VPN, bgp.RTC}},
			Peer{Drain: true},
			marker + "0032 02 0000 001b 900e000a 0001 84 04 c0000201 00 00 400101 00 400206 0201 0000fde9 " +
				marker + "001d 02 0000 0006 800f03 0001 84 " + marker + "001d 02 0000 0006 800f03 0001 80",
		},
		{
			"route targets, internal over IPv6",
			outParams{internal: true, local: "2001:db8::1", families: []bgp.Family{bgp.RTC}},
			Peer{},
			marker + "003f 02 0000 0028 900e0016 0001 84 10 20010db8000000000000000000000001 00 00 400101 00 400200 400504 00000064 " +
				marker + "001d 02 0000 0006 800f03 0001 84",
		},
		{
			"all attributes towards two octets",
			outParams{as2: true, families: []bgp.Family{bgp.IPv4Unicast}},
			Peer{Announce: []Announcement{everything}, Drain: true},
			marker + "0061 02 0000 0046 400101 00 400206 0202 fde9 5ba0 400304 c0000201 c00808 fde90001 ffff0000 c01008 0002fde900000001 " +
				"c0110a 0202 0000fde9 fa56ea00 c0200c 0000fde9 00000001 00000002 18 cb0071 " + marker + "0017 02 0000 0000",
		},
		{
			"flow",
			outParams{families: []bgp.Family{bgp.IPv4Flowspec}},
			Peer{Announce: []Announcement{{Family: bgp.IPv4Flowspec, Flow: "destination 10.9.0.0/16 protocol ==17 destination-port >53", ExtendedCommunities: [][8]byte{{0x80, 6}}}}},
			marker + "0043 02 0000 002c 900e0010 0001 85 00 00 0a 01 10 0a09 03 81 11 05 82 35 400101 00 400206 0201 0000fde9 c01008 8006000000000000 " +
				marker + "001d 02 0000 0006 800f03 0001 85",
		},
	} {
		_, r := outSessionUp(t, outSession(t, tt.s), &tt.p)
		want := strings.ReplaceAll(tt.want, " ", "")
		if got := hex.EncodeToString(r.wire); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, got, want)
		}
	}
}

func TestNextHops(t *testing.T) {
	v4 := Announcement{Family: bgp.IPv4Unicast, Prefix: netip.MustParsePrefix("203.0.113.0/24")}
	v6 := Announcement{Family: bgp.IPv6Unicast, Prefix: netip.MustParsePrefix("2001:db8:1::/48")}
	with := func(a Announcement, hop, linkLocal string) Announcement {
		a.NextHop = netip.MustParseAddr(hop)
		if linkLocal != "" {
			a.LinkLocal = netip.MustParseAddr(linkLocal)
		}
		return a
	}
	for _, tt := range []struct {
		name string
		s    outParams
		a    Announcement
		want string // "" when it is not announced
	}{
		{"IPv4", outParams{}, v4, "192.0.2.1"},
		{"IPv4, mapped", outParams{local: "::ffff:192.0.2.9"}, v4, "192.0.2.9"},
		{"IPv4, explicit", outParams{}, with(v4, "192.0.2.7", ""), "192.0.2.7"},
		{"IPv4 over IPv6", outParams{local: "2001:db8::1"}, v4, "198.51.100.1"},
		{"IPv4 over IPv6, RFC 8950", outParams{local: "2001:db8::1", nextHop6: true}, v4, "2001:db8::1"},
		{"IPv4 over a link-local session, RFC 8950", outParams{local: "fe80::1%eth0", nextHop6: true}, v4, "fe80::1"},
		{"IPv4 with an IPv6 one", outParams{}, with(v4, "2001:db8::7", ""), ""},
		{"IPv4 with an IPv6 one, RFC 8950", outParams{nextHop6: true}, with(v4, "2001:db8::7", "fe80::7"), "2001:db8::7 fe80::7"},
		{"IPv4 with the neighbour's", outParams{}, with(v4, "192.0.2.2", ""), ""},
		{"IPv6", outParams{local: "2001:db8::1"}, v6, "2001:db8::1"},
		{"IPv6 over a link-local session", outParams{local: "fe80::1%eth0"}, v6, "fe80::1"},
		{"IPv6 over IPv4", outParams{}, v6, ""},
		{"IPv6 over IPv4, explicit", outParams{}, with(v6, "::1", ""), "::1"},
		{"IPv6 with a link-local one", outParams{}, with(v6, "2001:db8::7", "fe80::7"), "2001:db8::7 fe80::7"},
	} {
		a, r := newAdjOut(), newReceiver(t, outSession(t, tt.s))
		a.begin(r.s)
		a.set(&Peer{Announce: []Announcement{tt.a}})
		r.drain(a, 1<<16)
		got := ""
		for _, words := range r.routes {
			_, got, _ = strings.Cut(words, " via ")
			got, _, _ = strings.Cut(got, " [")
		}
		if left := a.stats().left; got != tt.want || left[leftNextHop] != uint64(1-len(r.routes)) {
			t.Errorf("%s: got %s, %v left out, want %s", tt.name, got, left, tt.want)
		}
	}
}

// TestNotSent counts what cannot be announced on the session.
func TestNotSent(t *testing.T) {
	s := outSession(t, outParams{families: []bgp.Family{bgp.IPv4Unicast, bgp.IPv4Flowspec}})
	large := make([]uint32, 1100)
	for i := range large {
		large[i] = uint32(i)
	}
	list := prefixes(3, Announcement{})
	list = append(list,
		Announcement{Family: bgp.IPv6Unicast, Prefix: netip.MustParsePrefix("2001:db8::/32")},
		Announcement{Family: bgp.IPv4Unicast, Prefix: netip.MustParsePrefix("10.0.0.0/8"), NextHop: netip.MustParseAddr("::1")},
		Announcement{Family: bgp.IPv4Unicast, Prefix: netip.MustParsePrefix("10.1.0.0/16"), Communities: large},
		Announcement{Family: bgp.IPv4Unicast, Prefix: netip.MustParsePrefix("10.2.0.0/16"), Communities: make([]uint32, 1)},
		Announcement{Family: bgp.IPv4Unicast, Prefix: netip.MustParsePrefix("10.2.0.0/16")},
		Announcement{Family: bgp.IPv4Unicast, Prefix: netip.MustParsePrefix("10.3.0.0/16"), Beacon: &Beacon{}},
		Announcement{Family: bgp.IPv4Unicast, Prefix: netip.MustParsePrefix("2001:db8::/32")},
		Announcement{Family: bgp.IPv4Flowspec, Flow: "nonsense"},
	)
	a, r := newAdjOut(), newReceiver(t, s)
	a.begin(s)
	a.set(&Peer{Announce: list})
	r.drain(a, 1<<16)
	want := leftCounts{leftFamily: 1, leftNextHop: 1, leftTooLarge: 1, leftDuplicate: 1, leftBeacon: 1, leftInvalid: 2}
	if got := a.stats().left; got != want || len(r.routes) != 4 {
		t.Errorf("got %v with %d routes, want %v", got, len(r.routes), want)
	}
	for why := leftFamily; why < leftCount; why++ {
		if why.String() == "" || want[why] == 0 {
			t.Errorf("reason %d has no name or no case here", why)
		}
	}
	if words := r.routes["ipv4-unicast 10.2.0.0/16"]; strings.Contains(words, "0:0") {
		t.Errorf("of two of one route the first counts: %s", words)
	}
	// A route that can be announced no more does not stay as it was.
	list[0].Communities = large
	if a.set(&Peer{Announce: list[:3]}); len(r.routes) != 4 {
		t.Fatal(r.routes)
	}
	r.drain(a, 1<<16)
	if len(r.routes) != 2 {
		t.Errorf("%d routes", len(r.routes))
	}
	// A session with longer messages has room.
	s = outSession(t, outParams{extended: true})
	_, r = outSessionUp(t, s, &Peer{Announce: list[:3]})
	if len(r.routes) != 3 {
		t.Errorf("%d routes", len(r.routes))
	}
}

// TestRoom fills a message to the last octet.
func TestRoom(t *testing.T) {
	s := outSession(t, outParams{})
	for communities := 990; communities < 1020; communities++ {
		list := prefixes(1, Announcement{})
		for i := range communities {
			list[0].Communities = append(list[0].Communities, uint32(i))
		}
		a, r := newAdjOut(), newReceiver(t, s)
		a.begin(s)
		a.set(&Peer{Announce: list})
		r.drain(a, 1<<16)
		const fixed = bgp.HeaderLen + 4 + 4 + 9 + 7 + 4 + 4
		if fits := fixed+4*communities <= bgp.MaxMessageLen; fits != (len(r.routes) == 1) {
			t.Errorf("%d communities: %d routes, fits %v", communities, len(r.routes), fits)
		}
	}
}

func TestResend(t *testing.T) {
	for _, enhanced := range []bool{false, true} {
		testResend(t, enhanced)
	}
}

func testResend(t *testing.T, enhanced bool) {
	t.Helper()
	s := outSession(t, outParams{families: []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast, bgp.RTC}, local: "2001:db8::1", refresh: enhanced})
	p := &Peer{Announce: append(prefixes(2000, Announcement{}), Announcement{Family: bgp.IPv6Unicast, Prefix: netip.MustParsePrefix("2001:db8:1::/48")})}
	a, r := outSessionUp(t, s, p)
	for family, want := range map[bgp.Family]int{bgp.IPv4Unicast: 2000, bgp.IPv6Unicast: 1, bgp.RTC: 1, bgp.EVPN: 0} {
		if family == bgp.RTC && !enhanced {
			want = 0
		}
		before := r.repeated
		a.resend(family)
		a.resend(family)
		r.drain(a, 1<<16)
		if got := r.repeated - before; got != want {
			t.Errorf("%v: %d routes came again, want %d", family, got, want)
		}
	}
	r.check(p)
	// In the middle of another, and of a change.
	a.resend(bgp.IPv4Unicast)
	msgs, _ := a.next(0)
	r.read(msgs, 0)
	a.resend(bgp.IPv4Unicast)
	before := r.repeated
	p.Announce = p.Announce[1000:]
	a.set(p)
	r.drain(a, 1<<16)
	if got := r.repeated - before; got != 1000 {
		t.Errorf("%d routes came again, want 1000", got)
	}
	r.check(p)
	if got := a.stats().advertised; got != 1002 {
		t.Errorf("%d advertised", got)
	}
	for f, n := range r.endOfRIB {
		if n != 1 {
			t.Errorf("%d End-of-RIB of %v", n, f)
		}
	}
}

// TestStatsFromElsewhere is for the race detector.
func TestStatsFromElsewhere(t *testing.T) {
	s := outSession(t, outParams{})
	a := newAdjOut()
	a.begin(s)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = a.stats()
			}
		}
	})
	r := newReceiver(t, s)
	for n := range 20 {
		a.set(&Peer{Announce: prefixes(n*10, Announcement{})})
		r.drain(a, 1<<16)
	}
	close(stop)
	wg.Wait()
}

// TestSendingAllocates: nothing for a route, once the buffers are there.
func TestSendingAllocates(t *testing.T) {
	s := outSession(t, outParams{})
	a := newAdjOut()
	a.begin(s)
	a.set(&Peer{Announce: prefixes(5000, Announcement{})})
	all := func() {
		a.resend(bgp.IPv4Unicast)
		for done := false; !done; {
			_, done = a.next(1 << 16)
		}
	}
	all()
	if n := testing.AllocsPerRun(5, all); n > 10 {
		t.Errorf("%v allocations", n)
	}
}

func TestRoles(t *testing.T) {
	for role, want := range map[bgp.Role]bool{
		bgp.RoleProvider: true, bgp.RolePeer: true, bgp.RoleRS: true, bgp.RoleCustomer: false, bgp.RoleRSClient: false,
	} {
		s := outSession(t, outParams{role: &role})
		_, r := outSessionUp(t, s, &Peer{Announce: prefixes(1, Announcement{})})
		for _, words := range r.routes {
			if strings.Contains(words, "otc 65001") != want {
				t.Errorf("%v: %s", role, words)
			}
		}
	}
}
