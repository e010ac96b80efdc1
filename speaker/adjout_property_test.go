package speaker

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/ribtap/ribtap/bgp"
)

// drawList makes a list of announcements that mostly has the prefixes of others.
func drawList(r *rand.Rand) (list []Announcement) {
	for range r.IntN(40) {
		a := Announcement{Family: bgp.IPv4Unicast, Origin: uint8(r.IntN(3))}
		n := byte(r.IntN(60))
		switch r.IntN(5) {
		case 0, 1:
			a.Prefix = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, n, 0, 0}), 16)
			if r.IntN(4) == 0 {
				a.NextHop = netip.MustParseAddr("203.0.113.1")
			}
		case 2, 3:
			a.Family = bgp.IPv6Unicast
			a.Prefix = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, n}), 40)
			if r.IntN(2) == 0 {
				a.NextHop = netip.MustParseAddr("2001:db8::1")
				if r.IntN(2) == 0 {
					a.LinkLocal = netip.MustParseAddr("fe80::1")
				}
			}
		default:
			a.Family = bgp.IPv4Flowspec
			a.Flow = fmt.Sprintf("destination 10.%d.0.0/16 protocol ==17 port >%d", n, r.IntN(2))
			a.ExtendedCommunities = [][8]byte{{0x80, 6, 0, 0, 0, 0, 0, byte(r.IntN(2))}}
		}
		if r.IntN(4) == 0 {
			a.ASPath = []uint32{65010, 4200000000}
		}
		if r.IntN(3) == 0 {
			med := r.Uint32N(3)
			a.MED = &med
		}
		if r.IntN(3) == 0 {
			pref := r.Uint32N(3)
			a.LocalPref = &pref
		}
		if r.IntN(3) == 0 {
			a.Communities = []uint32{65001<<16 | 1, 65001 << 16, 65001<<16 | 1}
			a.LargeCommunities = [][3]uint32{{65001, 1, r.Uint32N(2)}}
		}
		list = append(list, a)
	}
	return list
}

func drawSession(t testing.TB, r *rand.Rand) *Session {
	t.Helper()
	yes := func() bool { return r.IntN(2) == 0 }
	all := []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast, bgp.IPv4Flowspec, bgp.RTC}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	p := outParams{
		internal: yes(), as2: yes(), extended: yes(), nextHop6: yes(), addPath: r.IntN(4) == 0, refresh: yes(),
		families: all[:1+r.IntN(len(all))], local: []string{"192.0.2.1", "2001:db8::9"}[r.IntN(2)],
		asn: []uint32{65001, 4200000001}[r.IntN(2)],
	}
	if p.asn > 0xffff && p.internal {
		p.as2 = false // nobody has such a number without saying so
	}
	if role := bgp.Role(r.IntN(10)); role <= bgp.RolePeer {
		p.role = &role
	}
	return outSession(t, p)
}

// TestAnySequence: after any sequence of lists, drains and refreshes, with reads
// of any size between, the neighbour has what the last list says; its End-of-RIB
// came once, when it had all of the family; and a second run says the same.
func TestAnySequence(t *testing.T) {
	for seed := range uint64(400) {
		first := runSequence(t, seed)
		if again := runSequence(t, seed); !bytes.Equal(first, again) {
			t.Fatalf("seed %d: %d octets, then %d others", seed, len(first), len(again))
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func runSequence(t *testing.T, seed uint64) []byte {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	s := drawSession(t, r)
	a, n, p := newAdjOut(), newReceiver(t, s), &Peer{}
	n.onEndOfRIB = func(f bgp.Family) {
		want := shouldHave(s, p)
		for name := range want {
			if !hasFamily(name, f) {
				delete(want, name)
			}
		}
		got := maps.Clone(n.routes)
		maps.DeleteFunc(got, func(name, _ string) bool { return !hasFamily(name, f) })
		if !maps.Equal(got, want) {
			t.Fatalf("at the End-of-RIB of %v\ngot  %v\nwant %v", f, got, want)
		}
	}
	a.begin(s)
	if msgs, done := a.next(1 << 16); len(msgs) > 0 || !done {
		t.Fatal("something before set")
	}
	for range 1 + r.IntN(12) {
		p = &Peer{Announce: drawList(r), Drain: r.IntN(4) == 0}
		a.set(p)
		if r.IntN(3) == 0 {
			a.resend(append(slices.Clone(s.Families), bgp.EVPN)[r.IntN(len(s.Families)+1)])
		}
		for range r.IntN(4) {
			limit := []int{0, 4096, 10000, 1 << 17}[r.IntN(4)]
			msgs, _ := a.next(limit)
			n.read(msgs, limit)
		}
	}
	n.drain(a, 1<<16)
	if want := shouldHave(s, p); !maps.Equal(n.routes, want) {
		t.Fatalf("seed %d\ngot  %v\nwant %v", seed, n.routes, want)
	}
	if got := a.stats().advertised; got != uint64(len(n.routes)) {
		t.Errorf("%d advertised, the neighbour has %d", got, len(n.routes))
	}
	if got := a.stats().withdrawn; got != uint64(n.withdrawn) {
		t.Errorf("%d withdrawn, the neighbour saw %d", got, n.withdrawn)
	}
	for _, f := range s.Families {
		if n.endOfRIB[f] != 1 {
			t.Errorf("%d End-of-RIB of %v", n.endOfRIB[f], f)
		}
	}
	if len(n.endOfRIB) != len(s.Families) {
		t.Errorf("End-of-RIB of %v on a session with %v", n.endOfRIB, s.Families)
	}
	a.set(p)
	n.drain(a, 1<<16)
	return n.wire
}

func hasFamily(name string, f bgp.Family) bool {
	return len(name) > len(f.String()) && name[:len(f.String())+1] == f.String()+" "
}
