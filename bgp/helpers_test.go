package bgp_test

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/ribtap/ribtap/bgp"
)

// as4 is the session of most cases: four-octet AS numbers, external.
var as4 = bgp.Session{AS4: true, Peering: bgp.PeeringExternal}

// Attributes that tests put together, in hexadecimal.
const (
	origin    = "400101 00 "
	path      = "400206 0201 0000fde9 "
	nextHop   = "400304 c0000201 "
	localPref = "400504 00000064 "
	wellKnown = origin + path + nextHop
)

// octets decodes hexadecimal digits with any white space between them.
func octets(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return b
}

// message frames body as a BGP message.
func message(typ uint8, body []byte) []byte {
	m := []byte(strings.Repeat("\xff", 16))
	m = append(m, byte((19+len(body))>>8), byte(19+len(body)), typ)
	return append(m, body...)
}

// update makes an UPDATE of three areas in hexadecimal.
func update(t testing.TB, withdrawn, attrs, nlri string) []byte {
	t.Helper()
	w, a, n := octets(t, withdrawn), octets(t, attrs), octets(t, nlri)
	body := append([]byte{byte(len(w) >> 8), byte(len(w))}, w...)
	body = append(body, byte(len(a)>>8), byte(len(a)))
	body = append(append(body, a...), n...)
	return message(bgp.MessageUpdate, body)
}

// mpReach makes an MP_REACH_NLRI attribute.
func mpReach(t testing.TB, f bgp.Family, nextHop, nlri string) string {
	t.Helper()
	nh := octets(t, nextHop)
	return mpAttr(t, 14, fmt.Sprintf("%04x%02x%02x%x00%x", uint16(f.AFI()), uint8(f.SAFI()), len(nh), nh, octets(t, nlri)))
}

// mpUnreach makes an MP_UNREACH_NLRI attribute.
func mpUnreach(t testing.TB, f bgp.Family, nlri string) string {
	t.Helper()
	return mpAttr(t, 15, fmt.Sprintf("%04x%02x%x", uint16(f.AFI()), uint8(f.SAFI()), octets(t, nlri)))
}

func mpAttr(t testing.TB, code uint8, value string) string {
	t.Helper()
	return fmt.Sprintf("90%02x%04x%s ", code, len(octets(t, value)), value)
}

// routes writes what Routes yields, one line a route, in a form a reader can
// check: + or -, prefix or item, and what else the route has.
func routes(u *bgp.Update) []string {
	var out []string
	it := u.Routes()
	for it.Next() {
		r := it.Route()
		var b strings.Builder
		b.WriteString(map[bgp.Action]string{bgp.Announce: "+", bgp.Withdraw: "-"}[r.Action])
		if r.NLRI.Prefix.IsValid() {
			fmt.Fprint(&b, r.NLRI.Prefix)
		} else {
			fmt.Fprintf(&b, "%v:%x", r.NLRI.Family, r.NLRI.Raw)
		}
		if r.NLRI.HasPathID {
			fmt.Fprintf(&b, " id=%d", r.NLRI.PathID)
		}
		if r.NLRI.HasRD {
			fmt.Fprintf(&b, " rd=%x", r.NLRI.RD[:])
		}
		if len(r.NLRI.Labels) > 0 {
			fmt.Fprintf(&b, " labels=%x", r.NLRI.Labels)
		}
		if r.NextHop != nil {
			fmt.Fprintf(&b, " via=%x", r.NextHop)
		}
		if r.Multiprotocol {
			b.WriteString(" mp")
		}
		if r.TreatAsWithdraw {
			b.WriteString(" taw")
		}
		out = append(out, b.String())
	}
	return out
}
