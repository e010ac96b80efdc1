package kafka

import (
	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/internal/wire"
)

// goBMPCapabilities are the names of capabilities by code, as the registry had
// them when GoBMP took them over.
var goBMPCapabilities = [256]string{
	1:   "Multiprotocol Extensions for BGP-4",
	2:   "Route Refresh Capability for BGP-4",
	3:   "Outbound Route Filtering Capability",
	4:   "Multiple routes to a destination capability (deprecated)",
	5:   "Extended Next Hop Encoding",
	6:   "BGP Extended Message",
	7:   "BGPsec Capability",
	8:   "Multiple Labels Capability",
	9:   "BGP Role (TEMPORARY)",
	64:  "Graceful Restart Capability",
	65:  "Support for 4-octet AS number capability",
	67:  "Support for Dynamic Capability (capability specific)",
	68:  "Multisession BGP Capability",
	69:  "ADD-PATH Capability",
	70:  "Enhanced Route Refresh Capability",
	71:  "Long-Lived Graceful Restart (LLGR) Capability",
	72:  "Routing Policy Distribution",
	73:  "FQDN Capability",
	128: "Prestandard Route Refresh (deprecated)",
	129: "Prestandard Outbound Route Filtering (deprecated)",
	130: "Prestandard Outbound Route Filtering (deprecated)",
	131: "Prestandard Multisession (deprecated)",
	184: "Prestandard FQDN (deprecated)",
	185: "Prestandard OPERATIONAL message (deprecated)",
}

// GoBMP's words for the families of a capability; others have none.
var (
	goBMPAFIs  = map[uint16]string{1: "IPv4", 2: "IPv6", 16388: "BGP-LS"}
	goBMPSAFIs = map[uint8]string{
		1: "Unicast", 2: "Multicast", 4: "MPLS Labels", 70: "BGP EVPN", 71: "BGP-LS", 72: "BGP-LS-VPN", 128: "MPLS-labeled VPN",
	}
)

// capabilities appends the capabilities of an OPEN as an object by code.
func (f *goBMPFormat) capabilities(v []byte, name string, o *bgp.Open) []byte {
	var codes [256]bool
	open := false
	for it := o.Capabilities(); ; {
		c, ok := it.Next()
		if !ok {
			break
		}
		if codes[c.Code] {
			continue
		}
		codes[c.Code] = true
		if !open {
			v, open = append(appendName(v, name), '{'), true
		}
		f.text = appendUint(f.text[:0], uint64(c.Code))
		v = append(appendName(v, string(f.text)), '[')
		v = append(appendCapabilities(v, o.Capabilities(), c.Code), ']')
	}
	if open {
		v = append(v, '}')
	}
	return v
}

// appendCapabilities appends every capability of a code.
func appendCapabilities(v []byte, it bgp.CapabilityIter, code uint8) []byte {
	for c, ok := it.Next(); ok; c, ok = it.Next() {
		if c.Code != code {
			continue
		}
		v = appendBase64(append(separated(v), '{'), "capability_value", c.Value)
		v = append(appendName(v, "capability_descr"), '"')
		if s := goBMPCapabilities[code]; s != "" {
			v = append(v, s...)
		} else {
			v = appendUint(append(v, "Unknown capability "...), uint64(code))
		}
		if code == bgp.CapMultiprotocol {
			v = appendCapabilityFamily(v, c.Value)
		}
		v = append(v, '"', '}')
	}
	return v
}

// appendCapabilityFamily reads AFI[2] reserved[1] SAFI[1] (RFC 4760 §8).
func appendCapabilityFamily(v, value []byte) []byte {
	c := wire.NewCursor(value)
	afi := c.Uint16()
	c.Skip(1)
	safi := c.Uint8()
	if !c.OK() {
		return v
	}
	v = appendUint(append(v, " : afi="...), uint64(afi))
	v = appendUint(append(v, " safi="...), uint64(safi))
	v = append(append(v, ' '), goBMPSAFIs[safi]...)
	return append(append(v, ' '), goBMPAFIs[afi]...)
}
