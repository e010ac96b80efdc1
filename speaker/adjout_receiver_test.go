package speaker

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	gobgp "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"github.com/ribtap/ribtap/bgp"
)

// outParams is what tests vary of a session.
type outParams struct {
	internal, as2, extended, nextHop6, addPath, refresh bool
	local                                               string // 192.0.2.1
	asn                                                 uint32 // 65001
	role                                                *bgp.Role
	families                                            []bgp.Family // IPv4 and IPv6 unicast
}

// outSession settles on what both sides would.
func outSession(t testing.TB, p outParams) *Session {
	t.Helper()
	if p.local == "" {
		p.local = "192.0.2.1"
	}
	if p.asn == 0 {
		p.asn = 65001
	}
	if p.families == nil {
		p.families = []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast}
	}
	us := bgp.OpenParams{AS: p.asn, BGPID: netip.MustParseAddr("198.51.100.1"), Families: p.families, AS4: true, ExtendedMessage: true, EnhancedRefresh: true, Role: p.role}
	us.ExtendedNextHop = []bgp.ExtendedNextHop{{Family: bgp.IPv4Unicast, NextHopAFI: bgp.AFIIPv6}}
	them := bgp.OpenParams{AS: 65002, BGPID: netip.MustParseAddr("198.51.100.2"), Families: p.families, AS4: !p.as2, ExtendedMessage: p.extended, EnhancedRefresh: p.refresh}
	if p.internal {
		them.AS = p.asn
	}
	if p.nextHop6 {
		them.ExtendedNextHop = us.ExtendedNextHop
	}
	if p.addPath {
		for _, f := range p.families {
			if f.SAFI() != 1 {
				continue // GoBGP takes those of IPv4 unicast into flow specifications
			}
			us.AddPath = append(us.AddPath, bgp.AddPath{Family: f, Mode: bgp.AddPathSend})
			them.AddPath = append(them.AddPath, bgp.AddPath{Family: f, Mode: bgp.AddPathReceive})
		}
	}
	s := &Session{
		Peer: &Peer{Role: p.role}, Sent: bgp.AppendOpen(nil, us), Received: bgp.AppendOpen(nil, them),
		LocalASN: us.AS, RemoteASN: them.AS, LocalID: us.BGPID, RemoteID: them.BGPID,
		Local: netip.AddrPortFrom(netip.MustParseAddr(p.local), 179), Remote: netip.MustParseAddrPort("192.0.2.2:50000"),
	}
	sent, err := bgp.ParseOpen(s.Sent)
	if err != nil {
		t.Fatal(err)
	}
	received, err := bgp.ParseOpen(s.Received)
	if err != nil {
		t.Fatal(err)
	}
	s.Receive, s.Transmit = bgp.Receive(&sent, &received), bgp.Transmit(&sent, &received)
	s.Families = bgp.AppendCommonFamilies(nil, &sent, &received)
	return s
}

// receiver is a neighbour: it reads what comes, with both codecs, and keeps what
// it has been told. Routes are family and NLRI, and their attributes in words.
type receiver struct {
	t        testing.TB
	s        *Session
	max      int
	routes   map[string]string
	endOfRIB map[bgp.Family]int
	// onEndOfRIB is called for each marker.
	onEndOfRIB func(bgp.Family)

	messages, announced, withdrawn, octets int
	alone                                  bool // without GoBGP, which takes most of the time
	// repeated counts announcements that said nothing new.
	repeated int
	wire     []byte
}

func newReceiver(t testing.TB, s *Session) *receiver {
	r := &receiver{t: t, s: s, max: bgp.MaxMessageLen, routes: map[string]string{}, endOfRIB: map[bgp.Family]int{}}
	if s.Transmit.ExtendedMessage {
		r.max = bgp.MaxExtendedMessageLen
	}
	return r
}

// drain takes all there is, in portions of the limit.
func (r *receiver) drain(a exporter, limit int) {
	r.t.Helper()
	for done := false; !done; {
		var msgs []byte
		msgs, done = a.next(limit)
		r.read(msgs, limit)
		if len(msgs) == 0 && !done {
			r.t.Fatal("next brings nothing and is not done")
		}
	}
	if msgs, done := a.next(limit); len(msgs) > 0 || !done {
		r.t.Fatalf("%d octets after done", len(msgs))
	}
}

func (r *receiver) read(msgs []byte, limit int) {
	r.t.Helper()
	if len(msgs) > max(limit, r.max) {
		r.t.Fatalf("%d octets, the limit is %d", len(msgs), limit)
	}
	r.wire = append(r.wire, msgs...)
	for len(msgs) > 0 {
		msg, rest, err := bgp.SplitMessage(msgs, r.max)
		if err != nil || msg == nil {
			r.t.Fatalf("%d octets left: %v", len(msgs), err)
		}
		r.update(msg)
		msgs = rest
	}
}

func (r *receiver) update(msg []byte) {
	r.t.Helper()
	var u bgp.Update
	u.Parse(msg, r.s.Transmit)
	if len(u.Findings()) > 0 {
		r.t.Fatalf("%+v in % x", u.Findings(), msg)
	}
	if f, ok := u.EndOfRIB(); ok {
		r.endOfRIB[f]++
		if r.onEndOfRIB != nil {
			r.onEndOfRIB(f)
		}
		return
	}
	r.messages++
	r.octets += len(msg)
	var ours []string
	var family bgp.Family
	words := ""
	for it := u.Routes(); it.Next(); {
		route := it.Route()
		family = route.NLRI.Family
		name := routeName(&route.NLRI)
		if route.Action == bgp.Withdraw {
			if _, ok := r.routes[name]; !ok {
				r.t.Fatalf("withdrawal of %s, which is not there", name)
			}
			delete(r.routes, name)
			r.withdrawn++
			ours = append(ours, "-"+name)
			continue
		}
		if words == "" { // those of all routes of the message
			words = attrWords(&u, route)
		}
		if r.routes[name] == words {
			r.repeated++
		}
		r.routes[name] = words
		r.announced++
		ours = append(ours, "+"+name+" "+words)
	}
	if len(ours) == 0 {
		r.t.Fatalf("an UPDATE without routes: % x", msg)
	}
	if r.alone {
		return
	}
	if theirs := gobgpWords(r.t, msg, family, r.s); !slices.Equal(ours, theirs) {
		r.t.Fatalf("ours   %s\nGoBGP  %s", strings.Join(ours, "\n       "), strings.Join(theirs, "\n       "))
	}
}

func routeName(n *bgp.NLRI) string {
	if n.Prefix.IsValid() {
		return n.Family.String() + " " + n.Prefix.String()
	}
	return fmt.Sprintf("%v %x", n.Family, n.Raw)
}

// attrWords writes the attributes of a route.
func attrWords(u *bgp.Update, r *bgp.Route) string {
	origin, _ := u.Origin()
	hops := []string{"via"}
	for b := range slices.Chunk(r.NextHop, 16) {
		a, _ := netip.AddrFromSlice(b)
		hops = append(hops, a.String())
	}
	out := fmt.Sprintf("origin %d path %s %s", origin, u.AppendASPath(nil), strings.Join(hops, " "))
	if v, ok := u.MED(); ok {
		out += fmt.Sprintf(" med %d", v)
	}
	if v, ok := u.LocalPref(); ok {
		out += fmt.Sprintf(" pref %d", v)
	}
	out += fmt.Sprintf(" [%s] [%s]", u.AppendCommunities(nil), u.AppendLargeCommunities(nil))
	ext, _ := u.Attr(bgp.AttrExtCommunities)
	out += fmt.Sprintf(" ext %x", ext.Value)
	if v, ok := u.OTC(); ok {
		out += fmt.Sprintf(" otc %d", v)
	}
	return out
}

// gobgpWords writes what GoBGP reads, as update does.
func gobgpWords(t testing.TB, msg []byte, f bgp.Family, s *Session) (out []string) {
	t.Helper()
	var options []*gobgp.MarshallingOption
	if s.Transmit.AddPath.Has(f) {
		modes := map[gobgp.RouteFamily]gobgp.BGPAddPathMode{}
		for _, f := range s.Transmit.AddPath.Families() {
			modes[gobgp.AfiSafiToRouteFamily(uint16(f.AFI()), uint8(f.SAFI()))] = gobgp.BGP_ADD_PATH_BOTH
		}
		options = append(options, &gobgp.MarshallingOption{AddPath: modes})
	}
	m, err := gobgp.ParseBGPMessage(slices.Clone(msg), options...)
	if err != nil {
		t.Fatalf("GoBGP: %v: % x", err, msg)
	}
	u := m.Body.(*gobgp.BGPUpdate)
	name := func(f bgp.Family, n gobgp.AddrPrefixInterface) string {
		if f.SAFI() == 1 {
			return f.String() + " " + n.String()
		}
		raw, err := n.Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%v %x", f, raw)
	}
	for _, n := range u.WithdrawnRoutes {
		out = append(out, "-"+name(bgp.IPv4Unicast, n))
	}
	var origin, med, pref, otc, hops, path, as4Path, communities, large, ext string
	var announced []string
	for _, a := range u.PathAttributes {
		switch a := a.(type) {
		case *gobgp.PathAttributeOrigin:
			origin = fmt.Sprint(a.Value)
		case *gobgp.PathAttributeAsPath:
			path = gobgp.AsPathString(a)
		case *gobgp.PathAttributeAs4Path:
			as4Path = gobgp.AsPathString(gobgp.NewPathAttributeAsPath(as4Params(a)))
		case *gobgp.PathAttributeNextHop:
			hops = " " + a.Value.String()
		case *gobgp.PathAttributeMultiExitDisc:
			med = fmt.Sprintf(" med %d", a.Value)
		case *gobgp.PathAttributeLocalPref:
			pref = fmt.Sprintf(" pref %d", a.Value)
		case *gobgp.PathAttributeCommunities:
			for _, c := range a.Value {
				communities += fmt.Sprintf(" %d:%d", c>>16, c&0xffff)
			}
		case *gobgp.PathAttributeLargeCommunities:
			for _, c := range a.Values {
				large += " " + c.String()
			}
		case *gobgp.PathAttributeExtendedCommunities:
			for _, c := range a.Value {
				raw, err := c.Serialize()
				if err != nil {
					t.Fatal(err)
				}
				ext += fmt.Sprintf("%x", raw)
			}
		case *gobgp.PathAttributeMpReachNLRI:
			if len(a.Nexthop) > 0 && !a.Nexthop.IsUnspecified() {
				hops = " " + a.Nexthop.String()
			}
			if len(a.LinkLocalNexthop) > 0 {
				hops += " " + a.LinkLocalNexthop.String()
			}
			f := bgp.NewFamily(bgp.AFI(a.AFI), bgp.SAFI(a.SAFI))
			for _, n := range a.Value {
				announced = append(announced, name(f, n))
			}
		case *gobgp.PathAttributeMpUnreachNLRI:
			f := bgp.NewFamily(bgp.AFI(a.AFI), bgp.SAFI(a.SAFI))
			for _, n := range a.Value {
				out = append(out, "-"+name(f, n))
			}
		case *gobgp.PathAttributeUnknown:
			if a.GetType() == gobgp.BGPAttrType(bgp.AttrOTC) {
				otc = fmt.Sprintf(" otc %d", uint32(a.Value[0])<<24|uint32(a.Value[1])<<16|uint32(a.Value[2])<<8|uint32(a.Value[3]))
			}
		default:
			t.Fatalf("attribute %v", a)
		}
	}
	for _, n := range u.NLRI {
		announced = append(announced, name(bgp.IPv4Unicast, n))
	}
	if as4Path != "" {
		if strings.Count(path, " ") != strings.Count(as4Path, " ") || !strings.Contains(path, "23456") {
			t.Fatalf("AS_PATH %s beside AS4_PATH %s", path, as4Path)
		}
		path = as4Path
	}
	for _, n := range announced {
		out = append(out, fmt.Sprintf("+%s origin %s path %s via%s%s%s [%s] [%s] ext %s%s", n, origin, path, hops, med, pref,
			strings.TrimSpace(communities), strings.TrimSpace(large), ext, otc))
	}
	return out
}

func as4Params(a *gobgp.PathAttributeAs4Path) (out []gobgp.AsPathParamInterface) {
	for _, p := range a.Value {
		out = append(out, p)
	}
	return out
}

// shouldHave is what a neighbour should have of the list, written anew from the
// rules: of two of one route the last that the session can carry.
func shouldHave(s *Session, p *Peer) map[string]string {
	out := map[string]string{}
	for i := range p.Announce {
		a := &p.Announce[i]
		if !slices.Contains(s.Families, a.Family) || a.Beacon != nil {
			continue
		}
		name := a.Family.String() + " " + a.Prefix.String()
		if a.Flow != "" {
			item, err := bgp.ParseFlowspec(a.Family, a.Flow)
			if err != nil {
				panic(err)
			}
			name = fmt.Sprintf("%v %x", a.Family, item)
		}
		if words, ok := shouldSay(s, p, a); ok {
			out[name] = words
		}
	}
	if slices.Contains(s.Families, bgp.RTC) {
		words, _ := shouldSay(s, &Peer{}, &Announcement{Family: bgp.RTC, NextHop: s.Local.Addr()})
		out["rtc 00"] = words
	}
	return out
}

func shouldSay(s *Session, p *Peer, a *Announcement) (string, bool) {
	internal := s.LocalASN == s.RemoteASN
	hop, nextHop6 := a.NextHop, bothTakeIPv6NextHops(s)
	if !hop.IsValid() && a.Flow == "" {
		hop = s.Local.Addr()
		if a.Family == bgp.IPv4Unicast && hop.Is6() && !nextHop6 {
			hop = s.LocalID
		}
	}
	if a.Family == bgp.IPv4Unicast && hop.Is6() && !nextHop6 || a.Family == bgp.IPv6Unicast && hop.Is4() {
		return "", false
	}
	out := fmt.Sprintf("origin %d path ", a.Origin)
	path := slices.Clone(a.ASPath)
	if !internal {
		path = append([]uint32{s.LocalASN}, path...)
	}
	out += strings.Trim(fmt.Sprint(path), "[]") + " via"
	if hop.IsValid() {
		out += " " + hop.String()
	}
	if a.LinkLocal.IsValid() {
		out += " " + a.LinkLocal.String()
	}
	if a.MED != nil {
		out += fmt.Sprintf(" med %d", *a.MED)
	}
	if internal {
		pref := uint32(100)
		if a.LocalPref != nil {
			pref = *a.LocalPref
		}
		out += fmt.Sprintf(" pref %d", pref)
	}
	set := map[uint32]bool{}
	for _, c := range a.Communities {
		set[c] = true
	}
	if p.Drain {
		set[0xffff0000] = true
	}
	var words []string
	for _, c := range slices.Sorted(maps.Keys(set)) {
		words = append(words, fmt.Sprintf("%d:%d", c>>16, c&0xffff))
	}
	var large []string
	for _, c := range a.LargeCommunities {
		large = append(large, fmt.Sprintf("%d:%d:%d", c[0], c[1], c[2]))
	}
	var ext []string
	for _, c := range a.ExtendedCommunities {
		ext = append(ext, fmt.Sprintf("%x", c))
	}
	slices.Sort(ext)
	out += fmt.Sprintf(" [%s] [%s] ext %s", strings.Join(words, " "), strings.Join(large, " "), strings.Join(slices.Compact(ext), ""))
	if s.Peer.Role != nil && *s.Peer.Role != bgp.RoleCustomer && *s.Peer.Role != bgp.RoleRSClient && !internal && a.Family.SAFI() == 1 {
		out += fmt.Sprintf(" otc %d", s.LocalASN)
	}
	return out, true
}
