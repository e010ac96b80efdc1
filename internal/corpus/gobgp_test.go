package corpus_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	gobgp "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"github.com/ribtap/ribtap/bgp"
)

// compareGoBGP gives an UPDATE to gobgp's parser and compares verdict, NLRI and
// next hops. Both get the same context, but for the width of AS numbers, which
// gobgp guesses.
func compareGoBGP(r *result, pdu []byte, s bgp.Session) {
	if bgp.MessageType(pdu) != bgp.MessageUpdate {
		return
	}
	r.updates++
	var u bgp.Update
	u.Parse(pdu, s)
	theirs, refusal, panicked := parseGoBGP(slices.Clone(pdu), s)
	ours := ourTexts(&u)
	class, ok := gobgpClass(&u, ours, theirs, refusal, panicked)
	switch {
	case ok && class == "":
		r.same++
	case ok:
		r.differs(class, 1)
	default:
		r.fail("gobgp: %q, only it has %v; here %s, %v, only here %v: %x",
			refusal, minus(theirs, ours), u.Verdict(), u.Findings(), minus(ours, theirs), pdu[:min(len(pdu), 300)])
	}
}

// gobgpClass says in what the two differ, "" for nothing; ok is false for a
// difference that is not known.
func gobgpClass(u *bgp.Update, ours, theirs []string, refusal string, panicked bool) (class string, ok bool) {
	verdict := u.Verdict()
	switch {
	case panicked:
		return "gobgp-panic", true
	case refusal != "" && verdict >= bgp.VerdictTreatAsWithdraw:
		return "", true // both find the UPDATE malformed
	case refusal != "":
		return refusalClass(u, refusal)
	case verdict == bgp.VerdictSessionReset:
		return "gobgp-accepts", true
	case verdict < bgp.VerdictTreatAsWithdraw:
		return "", slices.Equal(ours, theirs)
	case !slices.Equal(ours, withoutNextHops(theirs)):
		return "", false
	}
	return "gobgp-treat-as-withdraw", true
}

// refusalClass says why gobgp refuses an UPDATE that is read here.
func refusalClass(u *bgp.Update, refusal string) (class string, ok bool) {
	for it := u.Attrs(); ; {
		a, more := it.Next()
		if !more {
			break
		}
		if a.Flags&0x0f != 0 {
			return "gobgp-unused-flags", true
		}
	}
	for it := u.Routes(); it.Next(); {
		r := it.Route()
		switch n := len(r.NextHop); {
		case r.NLRI.HasRD && (n == 16 || n == 32) && strings.Contains(refusal, "nexthop length"):
			return "gobgp-vpn-next-hop", true
		case !r.NLRI.Prefix.IsValid():
			return "gobgp-family", true
		}
	}
	if f, ok := u.EndOfRIB(); ok && !f.Known() {
		return "gobgp-family", true
	}
	return "gobgp-attribute", u.Verdict() == bgp.VerdictAttributeDiscard
}

// withoutNextHops is what ourTexts says of an UPDATE without a next hop.
func withoutNextHops(routes []string) []string {
	var out []string
	for _, r := range routes {
		r, _, _ = strings.Cut(r, " via ")
		out = append(out, r)
	}
	return out
}

// ourTexts lists the routes; those of an UPDATE that is treated as a
// withdrawal as announced, without next hop.
func ourTexts(u *bgp.Update) []string {
	var out []string
	for it := u.Routes(); it.Next(); {
		r := it.Route()
		n := &r.NLRI
		sign := "-"
		if r.Action == bgp.Announce || r.TreatAsWithdraw {
			sign = "+"
		}
		b := fmt.Appendf(nil, "%s%s", sign, n.Family)
		if n.PathID != 0 { // gobgp cannot tell 0 from none
			b = fmt.Appendf(b, " id %d", n.PathID)
		}
		if n.Prefix.IsValid() {
			b = fmt.Appendf(b, " %s", n.Prefix)
		}
		if n.HasRD && n.Prefix.IsValid() {
			b = fmt.Appendf(b, " rd %x", n.RD)
		}
		if sign == "+" && len(n.Labels) > 0 {
			b = fmt.Appendf(b, " labels%s", labelText(n.Labels))
		}
		if u.Verdict() < bgp.VerdictTreatAsWithdraw && sign == "+" && n.Prefix.IsValid() {
			b = fmt.Appendf(b, " via %s", unmapped(nextHopText(r)))
		}
		out = append(out, string(b))
	}
	slices.Sort(out)
	return out
}

// unmapped writes an IPv4-mapped address as gobgp's net.IP does.
func unmapped(hop string) string {
	if a, err := netip.ParseAddr(hop); err == nil {
		return a.Unmap().String()
	}
	return hop
}

func labelText(b []byte) string {
	var out strings.Builder
	for ; len(b) >= 3; b = b[3:] {
		fmt.Fprintf(&out, " %d", (uint32(b[0])<<16|uint32(b[1])<<8|uint32(b[2]))>>4)
	}
	return out.String()
}

// parseGoBGP lists the routes of an UPDATE as gobgp reads them.
func parseGoBGP(pdu []byte, s bgp.Session) (out []string, refusal string, panicked bool) {
	defer func() {
		if p := recover(); p != nil {
			out, refusal, panicked = nil, fmt.Sprint(p), true
		}
	}()
	opt := &gobgp.MarshallingOption{AddPath: map[gobgp.RouteFamily]gobgp.BGPAddPathMode{}}
	for _, f := range s.AddPath.Families() {
		opt.AddPath[gobgp.AfiSafiToRouteFamily(uint16(f.AFI()), uint8(f.SAFI()))] = gobgp.BGP_ADD_PATH_BOTH
	}
	m, err := gobgp.ParseBGPMessage(pdu, opt)
	if err != nil {
		return nil, err.Error(), false
	}
	u, ok := m.Body.(*gobgp.BGPUpdate)
	if !ok {
		return nil, "not an UPDATE", false
	}
	return gobgpTexts(u), "", false
}

func gobgpTexts(u *gobgp.BGPUpdate) []string {
	var out []string
	hop := ""
	for _, n := range u.WithdrawnRoutes {
		out = append(out, gobgpText("-", bgp.IPv4Unicast, n, ""))
	}
	for _, a := range u.PathAttributes {
		switch a := a.(type) {
		case *gobgp.PathAttributeNextHop:
			hop = unmapped(a.Value.String())
		case *gobgp.PathAttributeMpReachNLRI:
			f := bgp.NewFamily(bgp.AFI(a.AFI), bgp.SAFI(a.SAFI))
			for _, n := range a.Value {
				out = append(out, gobgpText("+", f, n, unmapped(a.Nexthop.String())))
			}
		case *gobgp.PathAttributeMpUnreachNLRI:
			f := bgp.NewFamily(bgp.AFI(a.AFI), bgp.SAFI(a.SAFI))
			for _, n := range a.Value {
				out = append(out, gobgpText("-", f, n, ""))
			}
		}
	}
	for _, n := range u.NLRI {
		out = append(out, gobgpText("+", bgp.IPv4Unicast, n, hop))
	}
	slices.Sort(out)
	return out
}

func gobgpText(sign string, f bgp.Family, n gobgp.AddrPrefixInterface, hop string) string {
	b := fmt.Appendf(nil, "%s%s", sign, f)
	id := ""
	if n.PathIdentifier() != 0 || n.PathLocalIdentifier() != 0 {
		id = fmt.Sprintf(" id %d", n.PathIdentifier())
	}
	b = append(b, id...)
	var prefix, rd string
	var labels []uint32
	switch n := n.(type) {
	case *gobgp.IPAddrPrefix:
		prefix = n.String()
	case *gobgp.IPv6AddrPrefix:
		prefix = n.String()
	case *gobgp.LabeledVPNIPAddrPrefix:
		prefix, labels, rd = n.IPPrefix(), n.Labels.Labels, gobgpRD(n.RD)
	case *gobgp.LabeledVPNIPv6AddrPrefix:
		prefix, labels, rd = n.IPPrefix(), n.Labels.Labels, gobgpRD(n.RD)
	case *gobgp.LabeledIPAddrPrefix:
		prefix, labels = gobgpPrefix(n.Prefix, n.Length, n.Labels, f), n.Labels.Labels
	case *gobgp.LabeledIPv6AddrPrefix:
		prefix, labels = gobgpPrefix(n.Prefix, n.Length, n.Labels, f), n.Labels.Labels
	default:
		return string(b)
	}
	if p, err := netip.ParsePrefix(prefix); err == nil {
		prefix = p.Masked().String()
	}
	b = append(append(b, ' '), prefix...)
	b = append(b, rd...)
	if sign == "+" && len(labels) > 0 {
		b = append(b, " labels"...)
		for _, l := range labels {
			b = fmt.Appendf(b, " %d", l)
		}
	}
	if sign == "+" {
		b = fmt.Appendf(b, " via %s", hop)
	}
	return string(b)
}

func gobgpRD(rd gobgp.RouteDistinguisherInterface) string {
	raw, err := rd.Serialize()
	if err != nil {
		return " rd " + err.Error()
	}
	return fmt.Sprintf(" rd %x", raw)
}

func gobgpPrefix(addr fmt.Stringer, length uint8, labels gobgp.MPLSLabelStack, _ bgp.Family) string {
	return fmt.Sprintf("%s/%d", addr, int(length)-8*labels.Len())
}
