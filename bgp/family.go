package bgp

import (
	"fmt"
	"strconv"
	"strings"
)

// AFI is an address family identifier (IANA address-family-numbers).
type AFI uint16

// SAFI is a subsequent address family identifier (RFC 4760 §6).
type SAFI uint8

// Address families that a codec row or a test names.
const (
	AFIIPv4  AFI = 1
	AFIIPv6  AFI = 2
	AFIL2VPN AFI = 25
	AFILS    AFI = 16388
)

// Family is an address family: AFI in the upper bits, SAFI in the lowest eight.
type Family uint32

// NewFamily joins an AFI and a SAFI.
func NewFamily(a AFI, s SAFI) Family { return Family(a)<<8 | Family(s) }

// AFI returns the address family identifier.
func (f Family) AFI() AFI { return AFI(f >> 8) }

// SAFI returns the subsequent address family identifier.
func (f Family) SAFI() SAFI { return SAFI(f) }

// The families of which the codec knows more than the numbers. Any other
// Family value is legal and travels as opaque bytes.
const (
	IPv4Unicast   = Family(1<<8 | 1)
	IPv4Multicast = Family(1<<8 | 2)
	IPv4Labelled  = Family(1<<8 | 4)
	IPv4MVPN      = Family(1<<8 | 5)
	IPv4SRPolicy  = Family(1<<8 | 73)
	IPv4MUP       = Family(1<<8 | 85)
	IPv4VPN       = Family(1<<8 | 128)
	IPv4VPNMcast  = Family(1<<8 | 129)
	RTC           = Family(1<<8 | 132)
	IPv4Flowspec  = Family(1<<8 | 133)
	IPv4VPNFlow   = Family(1<<8 | 134)
	IPv6Unicast   = Family(2<<8 | 1)
	IPv6Multicast = Family(2<<8 | 2)
	IPv6Labelled  = Family(2<<8 | 4)
	IPv6MVPN      = Family(2<<8 | 5)
	IPv6SRPolicy  = Family(2<<8 | 73)
	IPv6MUP       = Family(2<<8 | 85)
	IPv6VPN       = Family(2<<8 | 128)
	IPv6VPNMcast  = Family(2<<8 | 129)
	IPv6Flowspec  = Family(2<<8 | 133)
	IPv6VPNFlow   = Family(2<<8 | 134)
	VPLS          = Family(25<<8 | 65)
	EVPN          = Family(25<<8 | 70)
	L2VPNFlowspec = Family(25<<8 | 134)
	LS            = Family(16388<<8 | 71)
	LSVPN         = Family(16388<<8 | 72)
)

// layout says how the NLRI of a family is cut into items and what is in them.
type layout uint8

const (
	layoutOpaque   layout = iota // the whole field is one item
	layoutPrefix                 // bits[1] prefix                     RFC 4271 §4.3
	layoutLabelled               // bits[1] labels[3n] prefix          RFC 8277 §2
	layoutVPN                    // bits[1] labels[3n] RD[8] prefix    RFC 4364 §4.3.4
	layoutEVPN                   // type[1] length[1] value            RFC 7432 §7
	layoutTL8                    // type[1] length[1] value            RFC 6514 §4
	layoutTL16                   // type[2] length[2] value            RFC 9552 §5.2
	layoutLen16                  // length[2] value                    RFC 4761 §3.2.2
	layoutBits                   // bits[1] value, no address in it    RFC 4684 §4, RFC 9830
	layoutFlowspec               // length[1 or 2] components          RFC 8955 §4.1
	layoutMUP                    // arch[1] type[2] length[1] value    draft-ietf-bess-mup-safi
)

// familyRow is what the codec knows of a family. A new family is a row here
// and, if its layout is new, one file nlri_x.go.
type familyRow struct {
	family Family
	bit    uint8 // in FamilySet; stored on disk, so never changed or reused
	name   string
	layout layout
}

// families are named as GoBGP names them.
var families = [...]familyRow{
	{IPv4Unicast, 0, "ipv4-unicast", layoutPrefix},
	{IPv6Unicast, 1, "ipv6-unicast", layoutPrefix},
	{IPv4Multicast, 2, "ipv4-multicast", layoutPrefix},
	{IPv6Multicast, 3, "ipv6-multicast", layoutPrefix},
	{IPv4Labelled, 4, "ipv4-labelled-unicast", layoutLabelled},
	{IPv6Labelled, 5, "ipv6-labelled-unicast", layoutLabelled},
	{IPv4VPN, 6, "l3vpn-ipv4-unicast", layoutVPN},
	{IPv6VPN, 7, "l3vpn-ipv6-unicast", layoutVPN},
	{IPv4VPNMcast, 8, "l3vpn-ipv4-multicast", layoutVPN},
	{IPv6VPNMcast, 9, "l3vpn-ipv6-multicast", layoutVPN},
	{EVPN, 10, "l2vpn-evpn", layoutEVPN},
	{VPLS, 11, "l2vpn-vpls", layoutLen16},
	{IPv4Flowspec, 12, "ipv4-flowspec", layoutFlowspec},
	{IPv6Flowspec, 13, "ipv6-flowspec", layoutFlowspec},
	{IPv4VPNFlow, 14, "l3vpn-ipv4-flowspec", layoutFlowspec},
	{IPv6VPNFlow, 15, "l3vpn-ipv6-flowspec", layoutFlowspec},
	{L2VPNFlowspec, 16, "l2vpn-flowspec", layoutFlowspec},
	{LS, 17, "ls", layoutTL16},
	{LSVPN, 18, "ls-vpn", layoutTL16},
	{RTC, 19, "rtc", layoutBits},
	{IPv4SRPolicy, 20, "ipv4-srpolicy", layoutBits},
	{IPv6SRPolicy, 21, "ipv6-srpolicy", layoutBits},
	{IPv4MVPN, 22, "ipv4-mvpn", layoutTL8},
	{IPv6MVPN, 23, "ipv6-mvpn", layoutTL8},
	{IPv4MUP, 24, "ipv4-mup", layoutMUP},
	{IPv6MUP, 25, "ipv6-mup", layoutMUP},
}

// row finds what is known of f; ok is false for a family without a row.
func (f Family) row() (*familyRow, bool) {
	// The two that nearly all routes have come first in the table.
	for i := range families {
		if families[i].family == f {
			return &families[i], true
		}
	}
	return nil, false
}

// Known reports whether the codec can cut the family's NLRI into items.
func (f Family) Known() bool {
	_, ok := f.row()
	return ok
}

// String returns GoBGP's name of the family, or afi-N-safi-M without one.
func (f Family) String() string {
	if r, ok := f.row(); ok {
		return r.name
	}
	return fmt.Sprintf("afi-%d-safi-%d", f.AFI(), f.SAFI())
}

// ParseFamily is the inverse of String.
func ParseFamily(s string) (Family, error) {
	for i := range families {
		if families[i].name == s {
			return families[i].family, nil
		}
	}
	if rest, ok := strings.CutPrefix(s, "afi-"); ok {
		if a, m, ok := strings.Cut(rest, "-safi-"); ok {
			afi, err1 := strconv.ParseUint(a, 10, 16)
			safi, err2 := strconv.ParseUint(m, 10, 8)
			if err1 == nil && err2 == nil {
				return NewFamily(AFI(afi), SAFI(safi)), nil
			}
		}
	}
	return 0, fmt.Errorf("bgp: unknown address family %q", s)
}

// Families lists the families with a row, in the table's order.
func Families() []Family {
	out := make([]Family, len(families))
	for i := range families {
		out[i] = families[i].family
	}
	return out
}

// FamilySet is a set of known families. Its bits are part of stored records
// and do not change between releases.
type FamilySet uint64

// Has reports whether f is in the set; never for a family without a row.
func (s FamilySet) Has(f Family) bool {
	if s == 0 {
		return false
	}
	r, ok := f.row()
	return ok && s&(1<<r.bit) != 0
}

// With returns the set with f added; a family without a row is left out.
func (s FamilySet) With(f Family) FamilySet {
	if r, ok := f.row(); ok {
		s |= 1 << r.bit
	}
	return s
}

// Families lists the set's members in the table's order.
func (s FamilySet) Families() []Family {
	var out []Family
	for i := range families {
		if s&(1<<families[i].bit) != 0 {
			out = append(out, families[i].family)
		}
	}
	return out
}
