package speaker

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/ribtap/ribtap/bgp"
)

// Announcement is one route that we announce.
type Announcement struct {
	// Family is IPv4Unicast or IPv6Unicast with Prefix, or IPv4Flowspec or
	// IPv6Flowspec with Flow.
	Family bgp.Family
	Prefix netip.Prefix
	// Flow is in the words of bgp.ParseFlowspec; what to do with the packets is in
	// ExtendedCommunities (AddFlowAction).
	Flow string
	// NextHop invalid: our address of the session, else the router id for IPv4.
	// An IPv6 one for an IPv4 prefix needs a neighbour with RFC 8950.
	NextHop netip.Addr
	// LinkLocal goes beside an IPv6 NextHop towards a neighbour on the same link
	// (RFC 2545 §3).
	LinkLocal netip.Addr
	Origin    uint8
	ASPath    []uint32 // behind our own AS number on external sessions
	MED       *uint32
	LocalPref *uint32 // internal sessions only; nil: 100
	// Communities of all three kinds; their order means nothing, and one that is
	// there twice is sent once.
	Communities         []uint32
	LargeCommunities    [][3]uint32
	ExtendedCommunities [][8]byte
	// Beacon, if not nil, makes the route come and go: it is announced while
	// ActiveAnnouncements says so.
	Beacon *Beacon
}

// Validate reports everything about it that cannot be announced.
func (a *Announcement) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("announcement %s: "+format, append([]any{a}, args...)...))
	}
	switch a.Family {
	case bgp.IPv4Unicast, bgp.IPv6Unicast:
		a.validatePrefix(bad)
	case bgp.IPv4Flowspec, bgp.IPv6Flowspec:
		a.validateFlow(bad)
	default:
		bad("family %v cannot be announced", a.Family)
	}
	if a.Origin > uint8(bgp.OriginIncomplete) {
		bad("origin %d is not one of RFC 4271", a.Origin)
	}
	if slices.Contains(a.ASPath, 0) {
		bad("AS 0 in the path (RFC 7607)")
	}
	if a.Beacon != nil {
		if err := a.Beacon.Validate(); err != nil {
			bad("%w", err)
		}
	}
	return errors.Join(errs...)
}

// String names the route.
func (a *Announcement) String() string {
	switch {
	case a.Flow != "":
		return a.Flow
	case a.Prefix.IsValid():
		return a.Prefix.String()
	}
	return "without a prefix"
}

func (a *Announcement) validatePrefix(bad func(string, ...any)) {
	v4 := a.Family == bgp.IPv4Unicast
	switch p := a.Prefix; {
	case !p.IsValid():
		bad("family %v needs a prefix", a.Family)
		return
	case a.Flow != "":
		bad("prefix %v and a flow at once", p)
	case p.Addr().Is4() != v4:
		bad("the prefix is not one of %v", a.Family)
	case p != p.Masked():
		bad("the prefix has host bits; %v has not", p.Masked())
	}
	switch h := a.NextHop; {
	case !h.IsValid():
	case h.IsUnspecified() || h.IsMulticast() || h.Zone() != "":
		bad("next hop %v is not an address of a router, without a zone", h)
	case h.Is4() && !v4:
		bad("next hop %v of an IPv6 prefix", h)
	}
	switch ll := a.LinkLocal; {
	case !ll.IsValid():
	case !ll.Is6() || !ll.IsLinkLocalUnicast() || ll.Zone() != "":
		bad("%v is not an IPv6 link-local address without a zone", ll)
	case !a.NextHop.Is6() || a.NextHop.IsLinkLocalUnicast():
		bad("link-local next hop %v goes beside a global IPv6 one (RFC 2545)", ll)
	}
}

func (a *Announcement) validateFlow(bad func(string, ...any)) {
	if a.Prefix.IsValid() || a.NextHop.IsValid() || a.LinkLocal.IsValid() {
		bad("a flow has neither prefix nor next hop")
	}
	if _, err := bgp.ParseFlowspec(a.Family, a.Flow); err != nil {
		bad("%w", err)
	}
}

// AddCommunity adds a community of any of the three kinds: 65000:1 or a
// well-known name, 65000:1:2, and with a word or 0x before it an extended one
// such as target:65000:1.
func (a *Announcement) AddCommunity(text string) error {
	switch kindOfCommunity(text) {
	case communityLarge:
		c, err := bgp.ParseLargeCommunity(text)
		if err == nil {
			a.LargeCommunities = append(a.LargeCommunities, c)
		}
		return err
	case communityExtended:
		c, err := bgp.ParseExtCommunity(text)
		if err == nil {
			a.ExtendedCommunities = append(a.ExtendedCommunities, c)
		}
		return err
	default:
		c, err := bgp.ParseCommunity(text)
		if err == nil {
			a.Communities = append(a.Communities, c)
		}
		return err
	}
}

// AddFlowAction adds what to do with the packets of Flow, in the words of
// bgp.ParseFlowAction.
func (a *Announcement) AddFlowAction(text string) error {
	c, err := bgp.ParseFlowAction(text)
	if err == nil {
		a.ExtendedCommunities = append(a.ExtendedCommunities, c)
	}
	return err
}
