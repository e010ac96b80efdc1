package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/speaker"
)

// announcement turns an entry into the speaker's form of it.
func (c *AnnounceConfig) announcement() (a speaker.Announcement, err error) {
	if err := c.target(&a); err != nil {
		return a, err
	}
	fail := func(err error) (speaker.Announcement, error) {
		return a, fmt.Errorf("announcement %s: %s", a.String(), strings.Join(problemLines(err), "; "))
	}
	if a.NextHop, err = parseNextHop(c.NextHop); err != nil {
		return fail(err)
	}
	if a.LinkLocal, err = parseNextHop(c.LinkLocal); err != nil {
		return fail(err)
	}
	switch c.Origin {
	case "", "igp":
		a.Origin = uint8(bgp.OriginIGP)
	case "egp":
		a.Origin = uint8(bgp.OriginEGP)
	case "incomplete":
		a.Origin = uint8(bgp.OriginIncomplete)
	default:
		return fail(fmt.Errorf("origin %q is not one of igp, egp, incomplete", c.Origin))
	}
	for _, text := range c.ASPath {
		for word := range strings.FieldsSeq(text) {
			asn, err := parseASN(word)
			if err != nil {
				return fail(fmt.Errorf("as_path: %q is not an AS number", word))
			}
			a.ASPath = append(a.ASPath, asn)
		}
	}
	a.MED, a.LocalPref = c.MED, c.LocalPref
	if err := c.communities(&a); err != nil {
		return fail(err)
	}
	if c.Beacon != (BeaconConfig{}) {
		a.Beacon = &speaker.Beacon{Up: c.Beacon.Up.Std(), Down: c.Beacon.Down.Std(), Offset: c.Beacon.Offset.Std()}
	}
	return a, a.Validate()
}

// parseNextHop reads an address; empty is none.
func parseNextHop(text string) (netip.Addr, error) {
	if text == "" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return a, fmt.Errorf("next hop %q is not an IP address", text)
	}
	return a, nil
}

// target reads what is announced.
func (c *AnnounceConfig) target(a *speaker.Announcement) (err error) {
	switch {
	case c.Prefix != "" && c.Flow != "":
		return fmt.Errorf("announcement %s: prefix and flow exclude each other", c.Prefix)
	case c.Prefix == "" && c.Flow == "":
		return errors.New("an announcement needs a prefix or a flow")
	case c.Flow == "" && (len(c.Actions) > 0 || c.Family != ""):
		return fmt.Errorf("announcement %s: actions and family are those of a flow", c.Prefix)
	case c.Prefix != "":
		if a.Prefix, err = netip.ParsePrefix(c.Prefix); err != nil {
			addr, aerr := netip.ParseAddr(c.Prefix)
			if aerr != nil || addr.Zone() != "" {
				return fmt.Errorf("announcement %q: neither a prefix nor an address", c.Prefix)
			}
			a.Prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		if a.Family = bgp.IPv4Unicast; a.Prefix.Addr().Is6() {
			a.Family = bgp.IPv6Unicast
		}
		return nil
	}
	a.Flow, a.Family = strings.Join(strings.Fields(c.Flow), " "), bgp.IPv4Flowspec
	for word := range strings.FieldsSeq(c.Flow) {
		if p, err := parsePrefix(word); err == nil && p.Addr().Is6() {
			a.Family = bgp.IPv6Flowspec
		}
	}
	if c.Family != "" {
		if a.Family, err = bgp.ParseFamily(c.Family); err != nil || a.Family != bgp.IPv4Flowspec && a.Family != bgp.IPv6Flowspec {
			return fmt.Errorf("announcement %s: family %q is not one of ipv4-flowspec, ipv6-flowspec", c.Flow, c.Family)
		}
	}
	return nil
}

func (c *AnnounceConfig) communities(a *speaker.Announcement) error {
	for _, text := range c.Communities {
		v, err := bgp.ParseCommunity(text)
		if err != nil {
			return err
		}
		a.Communities = append(a.Communities, v)
	}
	for _, text := range c.LargeCommunities {
		v, err := bgp.ParseLargeCommunity(text)
		if err != nil {
			return err
		}
		a.LargeCommunities = append(a.LargeCommunities, v)
	}
	for _, text := range c.ExtCommunities {
		v, err := bgp.ParseExtCommunity(text)
		if err != nil {
			return err
		}
		a.ExtendedCommunities = append(a.ExtendedCommunities, v)
	}
	for _, text := range c.Actions {
		if err := a.AddFlowAction(text); err != nil {
			return err
		}
	}
	return nil
}

// routeKey names what an announcement is about: two of the same are one route.
func routeKey(a *speaker.Announcement) string {
	return strconv.FormatUint(uint64(a.Family), 10) + " " + a.String()
}
