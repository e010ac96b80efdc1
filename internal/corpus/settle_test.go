package corpus_test

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/ribtap/ribtap/bgp"
)

// settleStream compares a stream message by message.
func settleStream(r *result, ours []message, theirs []theirMessage, left int) {
	for i := range theirs {
		r.theirs.addMessage(r.kind, &theirs[i])
	}
	r.theirs.messages = len(theirs)
	for i := range min(len(ours), len(theirs)) {
		settleMessage(r, i, &ours[i], &theirs[i])
	}
	switch {
	case len(ours) == len(theirs):
	case left > 0:
		r.differs("tshark-framing", 1)
	default:
		r.fail("%d messages, tshark has %d", len(ours), len(theirs))
	}
}

func (c *counts) addMessage(k kind, m *theirMessage) {
	switch {
	case k == kindBMP && m.typ == bmpPeerUp:
		c.up++
	case k == kindBMP && m.typ == bmpPeerDown:
		c.down++
	}
	for _, w := range m.routes {
		if w.sign == '+' {
			c.announce++
		} else {
			c.withdraw++
		}
	}
	if m.eor {
		c.eor++
	}
}

func settleMessage(r *result, i int, our *message, their *theirMessage) {
	if their.size != len(our.octets) || their.typ != int(our.typ) {
		r.fail("message %d: type %d of %d octets, tshark: %d of %d", i, our.typ, len(our.octets), their.typ, their.size)
		return
	}
	if our.peer != "" && their.peer != "" && our.peer != their.peer {
		r.fail("message %d: peer %s, tshark: %s", i, our.peer, their.peer)
	}
	same := sameRoutes(our, their)
	taw := slices.ContainsFunc(our.routes, func(w wireRoute) bool { return w.taw })
	malformed := their.malformed && !our.findings // else both find something wrong
	if same && our.eor == their.eor && !malformed && our.reason == "" && !taw {
		return
	}
	if class := streamClass(r.kind, our, their, same); class != "" {
		r.differs(class, 1)
		return
	}
	a, b := routeTexts(our.routes, true), routeTexts(their.routes, true)
	r.fail("message %d of type %d (%s; tshark: malformed %v, path identifiers %v): End-of-RIB %v, tshark %v; only here %v, only tshark %v: %x", i,
		our.typ, our.reason, their.malformed, their.pathIDs, our.eor, their.eor, minus(a, b), minus(b, a), our.octets[:min(len(our.octets), 300)])
}

// sameRoutes reports whether both have the same NLRI, octet for octet, and the
// same text for those of which tshark prints one.
func sameRoutes(our *message, their *theirMessage) bool {
	if slices.Equal(routeTexts(our.routes, true), routeTexts(their.routes, true)) {
		return true
	}
	// tshark 4.0 has a format string in place of the text of VPN-IPv6 prefixes.
	return slices.Equal(routeTexts(our.routes, false), routeTexts(their.routes, false)) &&
		!slices.ContainsFunc(their.routes, func(w wireRoute) bool { return w.prefix != "" })
}

// streamClass says which known difference a message shows, or "".
func streamClass(k kind, our *message, their *theirMessage, same bool) string {
	hasFamily := func(f func(bgp.Family) bool) bool {
		return slices.ContainsFunc(our.routes, func(w wireRoute) bool { return f(w.family) })
	}
	switch {
	case k == kindBMP && our.version != 3:
		return "tshark-bmp4"
	case our.reason != "" && !our.update:
		return "tshark-unknown"
	case our.reason != "":
		return droppedClass(our, their)
	case slices.ContainsFunc(our.routes, func(w wireRoute) bool { return w.taw }):
		return "tshark-treat-as-withdraw"
	case k == kindBMP && our.typ == bmpPeerUp && their.malformed && peerUpHasInformation(our.octets):
		return "tshark-peer-up-information"
	case k == kindBGP && our.typ == bgp.MessageOpen && their.malformed && len(our.octets) > 32 && our.octets[28] == 255 && our.octets[29] == 255:
		return "tshark-rfc9072"
	case k == kindBGP && our.typ == bgp.MessageRouteRefresh && their.malformed && len(our.octets) > bgp.HeaderLen+4:
		return "tshark-orf"
	case same && their.malformed && our.oddNextHop:
		return "tshark-next-hop-length"
	case hasFamily(our.session.AddPath.Has):
		return "tshark-add-path"
	case hasFamily(func(f bgp.Family) bool { return f == bgp.RTC }):
		return "tshark-rtc"
	case hasFamily(func(f bgp.Family) bool { return !hasPrefix(f) }):
		return "tshark-family"
	case same && our.eor == their.eor:
		return "tshark-remark"
	}
	return ""
}

// droppedClass is streamClass for an UPDATE of which nothing was used here.
func droppedClass(our *message, their *theirMessage) string {
	var u bgp.Update
	s := our.session
	s.AddPath = ^bgp.FamilySet(0)
	if u.Parse(pduOf(our), s); u.Verdict() < bgp.VerdictSessionReset && their.pathIDs {
		return "tshark-guesses-add-path"
	}
	return "tshark-dropped-message"
}

// pduOf is the BGP message of a Route Monitoring message, or of a BGP stream.
func pduOf(m *message) []byte {
	const headers = 48 // RFC 7854 §4.1, §4.2
	if m.version == 0 {
		return m.octets
	}
	pdu := m.octets[min(headers, len(m.octets)):]
	if len(pdu) < bgp.HeaderLen {
		return pdu
	}
	return pdu[:min(int(binary.BigEndian.Uint16(pdu[16:])), len(pdu))]
}

// peerUpHasInformation reports whether anything follows the OPENs.
func peerUpHasInformation(b []byte) bool {
	const fixed = 48 + 20 // headers, local address and ports
	if len(b) < fixed {
		return false
	}
	b = b[fixed:]
	for range 2 {
		if len(b) < bgp.HeaderLen {
			return false
		}
		b = b[min(int(binary.BigEndian.Uint16(b[16:])), len(b)):]
	}
	return len(b) > 0
}

// hasPrefix reports whether tshark shows the family's NLRI one by one.
func hasPrefix(f bgp.Family) bool {
	switch f.SAFI() {
	case 1, 2, 4, 128, 129:
		return f.AFI() == bgp.AFIIPv4 || f.AFI() == bgp.AFIIPv6
	}
	return false
}

// minus is what a has and b has not.
func minus(a, b []string) []string {
	var out []string
	for _, s := range a {
		if !slices.Contains(b, s) {
			out = append(out, s)
		}
	}
	return out
}

// routeTexts lists routes for comparison, in order of text.
func routeTexts(routes []wireRoute, prefix bool) []string {
	var out []string
	for _, w := range routes {
		s := fmt.Sprintf("%c%s %s", w.sign, w.family, w.item)
		if prefix && w.prefix != "" {
			s += " " + w.prefix
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}
