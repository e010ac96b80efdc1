package bgp_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	gobgp "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"github.com/ribtap/ribtap/bgp"
)

// The tests here let GoBGP write what this package reads, and read what it
// writes. Each draws from a fixed seed.

func draw() *rand.Rand { return rand.New(rand.NewPCG(7, 11)) }

func pick[T any](r *rand.Rand, from []T) []T {
	var out []T
	for _, v := range from {
		if r.IntN(2) == 0 {
			out = append(out, v)
		}
	}
	return out
}

var drawnFamilies = []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast, bgp.IPv4VPN, bgp.EVPN, bgp.IPv4Flowspec}

func gobgpFamily(f bgp.Family) gobgp.RouteFamily {
	return gobgp.AfiSafiToRouteFamily(uint16(f.AFI()), uint8(f.SAFI()))
}

// drawOpen makes an OPEN of both kinds with the same meaning.
func drawOpen(r *rand.Rand) (bgp.OpenParams, []gobgp.ParameterCapabilityInterface) {
	p := bgp.OpenParams{
		AS: 1 + r.Uint32N(1<<(8+r.UintN(24))), HoldTime: uint16(3 + r.IntN(65533)),
		BGPID: netip.AddrFrom4([4]byte{1, byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())}),
		AS4:   true, Families: pick(r, drawnFamilies), RouteRefresh: r.IntN(2) == 0, EnhancedRefresh: r.IntN(2) == 0,
	}
	var caps []gobgp.ParameterCapabilityInterface
	add := func(c gobgp.ParameterCapabilityInterface) { caps = append(caps, c) }
	for _, f := range p.Families {
		add(gobgp.NewCapMultiProtocol(gobgpFamily(f)))
	}
	if p.RouteRefresh {
		add(gobgp.NewCapRouteRefresh())
	}
	if r.IntN(2) == 0 {
		p.ExtendedNextHop = []bgp.ExtendedNextHop{{bgp.IPv4Unicast, bgp.AFIIPv6}}
		add(gobgp.NewCapExtendedNexthop([]*gobgp.CapExtendedNexthopTuple{gobgp.NewCapExtendedNexthopTuple(gobgp.RF_IPv4_UC, gobgp.AFI_IP6)}))
	}
	if r.IntN(2) == 0 {
		p.GracefulRestart = &bgp.GracefulRestartParams{Restarting: r.IntN(2) == 0, Notification: r.IntN(2) == 0, Time: uint16(r.IntN(4096))}
		var tuples []*gobgp.CapGracefulRestartTuple
		for _, f := range pick(r, drawnFamilies) {
			g := bgp.GracefulFamily{Family: f, Forwarding: r.IntN(2) == 0}
			p.GracefulRestart.Families = append(p.GracefulRestart.Families, g)
			tuples = append(tuples, gobgp.NewCapGracefulRestartTuple(gobgpFamily(f), g.Forwarding))
		}
		add(gobgp.NewCapGracefulRestart(p.GracefulRestart.Restarting, p.GracefulRestart.Notification, p.GracefulRestart.Time, tuples))
	}
	add(gobgp.NewCapFourOctetASNumber(p.AS))
	var tuples []*gobgp.CapAddPathTuple
	for _, f := range pick(r, drawnFamilies) {
		a := bgp.AddPath{Family: f, Mode: bgp.AddPathMode(1 + r.IntN(3))}
		p.AddPath = append(p.AddPath, a)
		tuples = append(tuples, gobgp.NewCapAddPathTuple(gobgpFamily(f), gobgp.BGPAddPathMode(a.Mode)))
	}
	if len(tuples) > 0 {
		add(gobgp.NewCapAddPath(tuples))
	}
	if p.EnhancedRefresh {
		add(gobgp.NewCapEnhancedRouteRefresh())
	}
	var long []*gobgp.CapLongLivedGracefulRestartTuple
	for _, f := range pick(r, drawnFamilies) {
		g := bgp.GracefulFamily{Family: f, Forwarding: r.IntN(2) == 0, StaleTime: r.Uint32N(1 << 24)}
		p.LLGR = append(p.LLGR, g)
		long = append(long, gobgp.NewCapLongLivedGracefulRestartTuple(gobgpFamily(f), g.Forwarding, g.StaleTime))
	}
	if len(long) > 0 {
		add(gobgp.NewCapLongLivedGracefulRestart(long))
	}
	if r.IntN(2) == 0 {
		p.Host, p.Domain = "rt1", "example.net"
		add(gobgp.NewCapFQDN("rt1", "example.net"))
	}
	if r.IntN(2) == 0 {
		p.SoftwareVersion = "ribtap/1"
		add(gobgp.NewCapSoftwareVersion("ribtap/1"))
	}
	return p, caps
}

func TestOpenAgainstGoBGP(t *testing.T) {
	r := draw()
	for range 2000 {
		p, caps := drawOpen(r)
		as2 := uint16(bgp.ASTrans)
		if p.AS < 65536 {
			as2 = uint16(p.AS)
		}
		theirs, err := gobgp.NewBGPOpenMessage(as2, p.HoldTime, p.BGPID.String(),
			[]gobgp.OptionParameterInterface{gobgp.NewOptionParameterCapability(caps)}).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		ours := bgp.AppendOpen(nil, p)
		if !slices.Equal(ours, theirs) {
			t.Fatalf("%+v\nours   %x\ntheirs %x", p, ours, theirs)
		}
		checkGoBGPReads(t, ours, &p)
		o, err := bgp.ParseOpen(theirs)
		if err != nil {
			t.Fatal(err)
		}
		checkOpen(t, &o, &p)
	}
}

// checkGoBGPReads compares what GoBGP reads in msg with p.
func checkGoBGPReads(t *testing.T, msg []byte, p *bgp.OpenParams) {
	t.Helper()
	m, err := gobgp.ParseBGPMessage(msg)
	if err != nil {
		t.Fatal(err)
	}
	o := m.Body.(*gobgp.BGPOpen)
	if o.HoldTime != p.HoldTime || o.ID.String() != p.BGPID.String() {
		t.Errorf("GoBGP reads %+v, want %+v", o, p)
	}
}

// checkOpen compares what this package reads with p.
func checkOpen(t *testing.T, o *bgp.Open, p *bgp.OpenParams) {
	t.Helper()
	families := p.Families
	if len(families) == 0 {
		families = []bgp.Family{bgp.IPv4Unicast}
	}
	if o.AS != p.AS || o.HoldTime != p.HoldTime || o.BGPID != p.BGPID ||
		!slices.Equal(o.AppendFamilies(nil), families) || !slices.Equal(o.AppendAddPaths(nil), p.AddPath) ||
		!slices.Equal(o.AppendLLGR(nil), p.LLGR) || !slices.Equal(o.AppendExtendedNextHops(nil), p.ExtendedNextHop) ||
		o.Has(bgp.CapRouteRefresh) != p.RouteRefresh || o.Has(bgp.CapEnhancedRefresh) != p.EnhancedRefresh {
		t.Errorf("read %s\nof %+v", openText(o), p)
	}
	gr, ok := o.GracefulRestart()
	if ok != (p.GracefulRestart != nil) || ok && (gr.Time != p.GracefulRestart.Time || gr.Restarting != p.GracefulRestart.Restarting ||
		gr.Notification != p.GracefulRestart.Notification || !slices.Equal(gr.AppendFamilies(nil), p.GracefulRestart.Families)) {
		t.Errorf("graceful restart %+v of %+v", gr, p.GracefulRestart)
	}
	host, domain, _ := o.FQDN()
	version, _ := o.SoftwareVersion()
	if string(host) != p.Host || string(domain) != p.Domain || string(version) != p.SoftwareVersion {
		t.Errorf("names %s %s %s of %+v", host, domain, version, p)
	}
}

// gobgpUpdate parses 10.0.0.0/8 with attributes that GoBGP writes.
func gobgpUpdate(t *testing.T, attrs ...gobgp.PathAttributeInterface) *bgp.Update {
	t.Helper()
	attrs = append([]gobgp.PathAttributeInterface{gobgp.NewPathAttributeOrigin(0), gobgp.NewPathAttributeNextHop("192.0.2.1")}, attrs...)
	msg, err := gobgp.NewBGPUpdateMessage(nil, attrs, []*gobgp.IPAddrPrefix{gobgp.NewIPAddrPrefix(8, "10.0.0.0")}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	u := new(bgp.Update)
	u.Parse(msg, as4)
	return u
}

func TestASPathAgainstGoBGP(t *testing.T) {
	r := draw()
	for range 2000 {
		var segments []gobgp.AsPathParamInterface
		for range r.IntN(5) {
			as := make([]uint32, 1+r.IntN(6))
			for i := range as {
				as[i] = 1 + r.Uint32N(1<<(8+r.UintN(24))-1)
			}
			segments = append(segments, gobgp.NewAs4PathParam(uint8(1+r.IntN(4)), as))
		}
		path := gobgp.NewPathAttributeAsPath(segments)
		u := gobgpUpdate(t, path)
		if got, want := string(u.AppendASPath(nil)), gobgp.AsPathString(path); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
		want, ok := path.Value, false
		if n := len(want); n > 0 {
			last := want[n-1]
			as := last.GetAS()
			ok = last.GetType() == 2 || last.GetType() == 1 && len(as) == 1
			if got, gotOK := u.OriginAS(); gotOK != ok || ok && got != as[len(as)-1] {
				t.Fatalf("%s: origin AS %d %v", gobgp.AsPathString(path), got, gotOK)
			}
		}
	}
}

func TestCommunitiesAgainstGoBGP(t *testing.T) {
	r := draw()
	for range 500 {
		var words, large []string
		var communities []uint32
		var larges []*gobgp.LargeCommunity
		for range 1 + r.IntN(8) {
			c, l := r.Uint32(), gobgp.NewLargeCommunity(r.Uint32(), r.Uint32(), r.Uint32N(10))
			communities, larges = append(communities, c), append(larges, l)
			words, large = append(words, fmt.Sprintf("%d:%d", c>>16, c&0xffff)), append(large, l.String())
		}
		u := gobgpUpdate(t, gobgp.NewPathAttributeCommunities(communities), gobgp.NewPathAttributeLargeCommunities(larges))
		if got, want := string(u.AppendCommunities(nil)), strings.Join(words, " "); got != want {
			t.Fatalf("communities %s, want %s", got, want)
		}
		if got, want := string(u.AppendLargeCommunities(nil)), strings.Join(large, " "); got != want {
			t.Fatalf("large communities %s, want %s", got, want)
		}
	}
}

// TestExtCommunitiesAgainstGoBGP compares the types whose text is the same in
// both but for a prefix.
func TestExtCommunitiesAgainstGoBGP(t *testing.T) {
	r := draw()
	addr := func() string {
		return net.IPv4(byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())).String()
	}
	for range 500 {
		rt, soo := gobgp.EC_SUBTYPE_ROUTE_TARGET, gobgp.EC_SUBTYPE_ROUTE_ORIGIN
		for _, c := range []struct {
			prefix string
			ec     gobgp.ExtendedCommunityInterface
		}{
			{"rt:", gobgp.NewTwoOctetAsSpecificExtended(rt, uint16(r.Uint32()), r.Uint32(), true)},
			{"soo:", gobgp.NewTwoOctetAsSpecificExtended(soo, uint16(r.Uint32()), r.Uint32(), true)},
			{"rt:", gobgp.NewIPv4AddressSpecificExtended(rt, addr(), uint16(r.Uint32()), true)},
			{"soo:", gobgp.NewIPv4AddressSpecificExtended(soo, addr(), uint16(r.Uint32()), true)},
			{"color:", gobgp.NewColorExtended(r.Uint32())},
			{"router-mac:", gobgp.NewRoutersMacExtended("00:00:5e:00:53:01")},
		} {
			u := gobgpUpdate(t, gobgp.NewPathAttributeExtendedCommunities([]gobgp.ExtendedCommunityInterface{c.ec}))
			want := c.prefix + strings.TrimPrefix(c.ec.String(), "router's mac: ")
			if got := string(u.AppendExtCommunities(nil)); got != want {
				t.Fatalf("got %s, want %s", got, want)
			}
		}
	}
}

// TestEVPNTextAgainstGoBGP compares the text of route types 2, 3 and 5.
func TestEVPNTextAgainstGoBGP(t *testing.T) {
	rd := gobgp.NewRouteDistinguisherTwoOctetAS(65000, 1)
	esi := gobgp.EthernetSegmentIdentifier{Type: gobgp.ESI_ARBITRARY, Value: make([]byte, 9)}
	for _, n := range []*gobgp.EVPNNLRI{
		gobgp.NewEVPNMacIPAdvertisementRoute(rd, esi, 5, "00:00:5e:00:53:01", "192.0.2.1", []uint32{1}),
		gobgp.NewEVPNMacIPAdvertisementRoute(rd, esi, 5, "00:00:5e:00:53:01", "2001:db8::1", []uint32{1, 2}),
		gobgp.NewEVPNMulticastEthernetTagRoute(rd, 5, "192.0.2.1"),
		gobgp.NewEVPNIPPrefixRoute(rd, esi, 5, 24, "10.9.0.0", "0.0.0.0", 1),
		gobgp.NewEVPNIPPrefixRoute(rd, esi, 5, 32, "2001:db8::", "::", 1),
	} {
		raw, err := n.Serialize()
		if err != nil {
			t.Fatal(err)
		}
		own := bgp.NLRI{Family: bgp.EVPN, Raw: raw}
		if got := string(own.AppendText(nil)); got != n.String() {
			t.Errorf("got  %s\nwant %s", got, n)
		}
	}
}
