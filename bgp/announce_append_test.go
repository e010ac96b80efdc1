package bgp_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	gobgp "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"github.com/ribtap/ribtap/bgp"
)

func TestAppendAttributes(t *testing.T) {
	med, pref := uint32(5), uint32(200)
	p := bgp.AttributeParams{
		Origin: bgp.OriginEGP, ASPath: []uint32{65001, 4200000000}, NextHop: netip.MustParseAddr("192.0.2.1"), MED: &med, LocalPref: &pref,
		Communities: []uint32{bgp.GracefulShutdown}, ExtCommunities: [][8]byte{{0, 2, 0xfd, 0xe8, 0, 0, 0, 1}},
		LargeCommunities: [][3]uint32{{65000, 1, 2}}, OTC: 65001,
	}
	const tail = "c00804 ffff0000 c01008 0002fde800000001 "
	const large = "c0200c 0000fde8 00000001 00000002 c02304 0000fde9"
	head := "400101 01 40020a 0202 0000fde9 fa56ea00 400304 c0000201 800404 00000005 400504 000000c8 "
	got, ok := bgp.AppendAttributes([]byte{1}, &p, true)
	if want := append([]byte{1}, octets(t, head+tail+large)...); !ok || !bytes.Equal(got, want) {
		t.Errorf("four octets:\ngot  %x\nwant %x", got, want)
	}
	head = "400101 01 400206 0202 fde9 5ba0 400304 c0000201 800404 00000005 400504 000000c8 "
	const as4Path = "c0110a 0202 0000fde9 fa56ea00 "
	got, ok = bgp.AppendAttributes(nil, &p, false)
	if want := octets(t, head+tail+as4Path+large); !ok || !bytes.Equal(got, want) {
		t.Errorf("two octets:\ngot  %x\nwant %x", got, want)
	}
	got, ok = bgp.AppendAttributes(nil, &bgp.AttributeParams{ASPath: []uint32{65001}}, false)
	if want := octets(t, "400101 00 400204 0201 fde9"); !ok || !bytes.Equal(got, want) {
		t.Errorf("two octets are enough:\ngot  %x\nwant %x", got, want)
	}
	got, ok = bgp.AppendAttributes(nil, &bgp.AttributeParams{}, true)
	if want := octets(t, "400101 00 400200"); !ok || !bytes.Equal(got, want) {
		t.Errorf("nothing:\ngot  %x\nwant %x", got, want)
	}
	if got, ok = bgp.AppendAttributes([]byte{7}, &bgp.AttributeParams{Communities: make([]uint32, 16384)}, true); ok || len(got) != 1 {
		t.Errorf("65536 octets of communities: %d octets, %v", len(got), ok)
	}
	long := bgp.AttributeParams{ASPath: slices.Repeat([]uint32{65001}, 300)}
	got, _ = bgp.AppendAttributes(nil, &long, true)
	if want := octets(t, "400101 00 5002 04b4 02ff"); !bytes.HasPrefix(got, want) || !bytes.Equal(got[len(want)+4*255:][:2], []byte{2, 45}) {
		t.Errorf("300 AS numbers: %x", got)
	}
}

// buildAnnouncements packs the NLRI, a message whenever one is full.
func buildAnnouncements(t testing.TB, f bgp.Family, attrs, nextHop []byte, limit int, list []bgp.NLRI) (msgs [][]byte) {
	t.Helper()
	var b bgp.AnnounceBuilder
	b.Reset(f, attrs, nextHop, limit)
	for i := range list {
		if b.Add(&list[i]) {
			continue
		}
		msgs = append(msgs, slices.Clone(b.Message()))
		b.Reset(f, attrs, nextHop, limit)
		if !b.Add(&list[i]) {
			t.Fatalf("%v does not fit %d octets", list[i], limit)
		}
	}
	return append(msgs, slices.Clone(b.Message()))
}

func TestAnnounceBuilder(t *testing.T) {
	r := draw()
	v4, v6 := octets(t, "c0000201"), octets(t, "20010db8000000000000000000000001")
	for _, tt := range []struct {
		family  bgp.Family
		nextHop []byte
	}{
		{bgp.IPv4Unicast, nil},
		{bgp.IPv4Unicast, v4},
		{bgp.IPv4Unicast, v6},
		{bgp.IPv6Unicast, v6},
		{bgp.IPv6Unicast, append(slices.Clone(v6), v6...)},
		{bgp.IPv4Flowspec, nil},
		{bgp.IPv6Flowspec, nil},
	} {
		for _, limit := range []int{bgp.MaxMessageLen, bgp.MaxExtendedMessageLen, 200} {
			for _, addPath := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v/%d/%d/%v", tt.family, len(tt.nextHop), limit, addPath), func(t *testing.T) {
					p := bgp.AttributeParams{ASPath: []uint32{65001}, Communities: []uint32{1, 2, 3}}
					if tt.family == bgp.IPv4Unicast && len(tt.nextHop) == 0 {
						p.NextHop = netip.AddrFrom4([4]byte(v4))
					}
					attrs, _ := bgp.AppendAttributes(nil, &p, true)
					list := drawNLRI(t, r, tt.family, addPath)
					msgs := buildAnnouncements(t, tt.family, attrs, tt.nextHop, limit, list)
					checkAnnouncements(t, msgs, limit, list, tt.nextHop, attrs, addPath)
				})
			}
		}
	}
}

// drawNLRI makes some hundred NLRI of a family.
func drawNLRI(t testing.TB, r *rand.Rand, f bgp.Family, addPath bool) (list []bgp.NLRI) {
	t.Helper()
	for range 600 {
		n := bgp.NLRI{Family: f, HasPathID: addPath}
		if addPath {
			n.PathID = r.Uint32()
		}
		switch f {
		case bgp.IPv4Unicast:
			n.Prefix = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())}), r.IntN(33)).Masked()
		case bgp.IPv6Unicast:
			n.Prefix = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, byte(r.Uint32()), byte(r.Uint32()), 15: 1}), r.IntN(129)).Masked()
		default:
			text, _ := drawFlow(r, f)
			n.Raw, _ = bgp.ParseFlowspec(f, text)
			if len(n.Raw) > 100 {
				continue
			}
		}
		list = append(list, n)
	}
	return list
}

func checkAnnouncements(t *testing.T, msgs [][]byte, limit int, list []bgp.NLRI, nextHop, attrs []byte, addPath bool) {
	t.Helper()
	s := bgp.Session{AS4: true, Peering: bgp.PeeringExternal}
	var options []*gobgp.MarshallingOption
	if addPath {
		s.AddPath = s.AddPath.With(list[0].Family)
		rf := gobgp.RouteFamily(uint32(list[0].Family.AFI())<<16 | uint32(list[0].Family.SAFI()))
		options = append(options, &gobgp.MarshallingOption{AddPath: map[gobgp.RouteFamily]gobgp.BGPAddPathMode{rf: gobgp.BGP_ADD_PATH_BOTH}})
	}
	var u bgp.Update
	for i, msg := range msgs {
		if len(msg) > limit {
			t.Fatalf("message of %d octets, the limit is %d", len(msg), limit)
		}
		u.Parse(msg, s)
		if u.Verdict() != bgp.VerdictOK {
			t.Fatalf("%+v", u.Findings())
		}
		if _, err := gobgp.ParseBGPMessage(msg, options...); err != nil {
			t.Fatalf("GoBGP: %v", err)
		}
		it := u.Routes()
		for it.Next() {
			got, want := it.Route(), list[0]
			list = list[1:]
			if got.NLRI.Prefix != want.Prefix || got.NLRI.PathID != want.PathID || want.Raw != nil && !bytes.Equal(got.NLRI.Raw, want.Raw) {
				t.Fatalf("got %+v, want %+v", got.NLRI, want)
			}
			if got.Multiprotocol && !bytes.Equal(got.NextHop, nextHop) {
				t.Fatalf("next hop %x, want %x", got.NextHop, nextHop)
			}
		}
		var plain []byte
		for all := u.Attrs(); ; {
			a, ok := all.Next()
			if !ok {
				break
			}
			if a.Code != bgp.AttrMPReachNLRI {
				plain = append(append(plain, a.Flags, a.Code, byte(len(a.Value))), a.Value...)
			}
		}
		if !bytes.Equal(plain, attrs) {
			t.Fatalf("attributes %x, want %x", plain, attrs)
		}
		const longest = 104 + 4
		if i < len(msgs)-1 && len(msg) < limit-longest {
			t.Errorf("message %d of %d has %d of %d octets", i, len(msgs), len(msg), limit)
		}
	}
	if len(list) > 0 {
		t.Fatalf("%d are missing", len(list))
	}
}

func TestAnnounceBuilderRefuses(t *testing.T) {
	var b bgp.AnnounceBuilder
	n := bgp.NLRI{Family: bgp.IPv4Unicast, Prefix: netip.MustParsePrefix("10.0.0.0/8")}
	b.Reset(bgp.IPv6Unicast, nil, octets(t, "20010db8000000000000000000000001"), bgp.MaxMessageLen)
	if b.Add(&n) || b.Message() != nil {
		t.Error("an IPv4 prefix among IPv6 ones")
	}
	b.Reset(bgp.IPv4Unicast, make([]byte, 4096), nil, bgp.MaxMessageLen)
	if b.Add(&n) || b.Message() != nil || b.Len() != 0 {
		t.Error("more attributes than a message holds")
	}
	b.Reset(bgp.IPv4Unicast, nil, nil, bgp.MaxMessageLen)
	withID := n
	withID.HasPathID = true
	if !b.Add(&n) || b.Add(&withID) || b.Len() != 1 {
		t.Error("with and without a path identifier")
	}
	if !bytes.Equal(b.Message(), b.Message()) {
		t.Error("Message changes the message")
	}
	if !b.Add(&n) || len(b.Message()) != 23+4 {
		t.Error("Add after Message")
	}
}
