package kafka

import (
	"net/netip"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/internal/wire"
)

// EVPN route types (RFC 7432 §7, RFC 9136 §3.1), which differ in what stands
// behind the route distinguisher:
//
//	1 ESI[10] tag[4] label[3]
//	2 ESI[10] tag[4] bits[1] MAC bits[1] address label[3] label[0 or 3]
//	3 tag[4] bits[1] address
//	4 ESI[10] bits[1] address
//	5 ESI[10] tag[4] bits[1] prefix[4 or 16] gateway[4 or 16] label[3]
const (
	evpnEthernetAD = 1
	evpnMACIP      = 2
	evpnMulticast  = 3
	evpnSegment    = 4
	evpnIPPrefix   = 5
)

// evpn makes the message of an EVPN route, and reports whether the type is one
// that GoBMP's message has fields for.
func (f *goBMPFormat) evpn(e *event.Event, p *goBMPPeerInfo, r *bgp.Route) bool {
	item := wire.NewCursor(r.NLRI.Raw)
	typ := item.Uint8()
	c := item.Sub(int(item.Uint8()))
	c.Skip(len(r.NLRI.RD))
	if typ < evpnEthernetAD || typ > evpnIPPrefix || !r.NLRI.HasRD {
		return false
	}
	v := f.begin(e, p, r)
	v = appendAddr(v, "remote_bgp_id", e.Peer.BGPID)
	v = appendBool(v, "is_ipv4", true) // GoBMP's: the family is not IPv6
	v = appendGoBMPRD(v, r.NLRI.RD)
	v = appendNumber(v, "route_type", uint64(typ))
	if typ != evpnMulticast {
		v = appendESI(v, &c)
	}
	if typ != evpnSegment {
		v = appendBase64(v, "eth_tag", c.Bytes(4))
	}
	switch typ {
	case evpnMACIP:
		v = appendEVPNMAC(v, &c)
		v = appendEVPNAddress(v, &c)
	case evpnMulticast, evpnSegment:
		v = appendEVPNAddress(v, &c)
	case evpnIPPrefix:
		v = appendEVPNPrefix(v, &c)
	}
	labels := c.Rest()
	v = appendLabels(v, "labels", labels)
	v = appendRawLabels(v, labels)
	if r.Action == bgp.Announce {
		if f.text = f.update.AppendClusterList(f.text[:0]); len(f.text) > 0 {
			v = appendPlain(v, "cluster_list", f.text)
		}
		v = f.pmsiTunnel(v)
	}
	f.end(v, r)
	return c.OK()
}

// appendESI appends an Ethernet segment identifier as GoBMP writes it: decimal
// octets of at least two digits.
func appendESI(v []byte, c *wire.Cursor) []byte {
	const size, ten = 10, 10
	v = append(appendName(v, "eth_segment_id"), '"')
	for i, x := range c.Bytes(size) {
		if i > 0 {
			v = append(v, ':')
		}
		if x < ten {
			v = append(v, '0')
		}
		v = appendUint(v, uint64(x))
	}
	return append(v, '"')
}

func appendEVPNMAC(v []byte, c *wire.Cursor) []byte {
	bits := c.Uint8()
	v = append(appendName(v, "mac"), '"')
	v = appendMAC(v, c.Bytes(int(bits)/8), "0123456789abcdef")
	return appendNumber(append(v, '"'), "mac_len", uint64(bits))
}

// appendEVPNAddress reads bits[1] address, of which a MAC route may have none.
func appendEVPNAddress(v []byte, c *wire.Cursor) []byte {
	bits := c.Uint8()
	a, ok := netip.AddrFromSlice(c.Bytes(int(bits) / 8))
	if !ok {
		return v
	}
	return appendNumber(appendAddr(v, "ip_address", a), "ip_len", uint64(bits))
}

// appendEVPNPrefix reads bits[1] prefix gateway; what is left tells the family.
func appendEVPNPrefix(v []byte, c *wire.Cursor) []byte {
	const v4, v6, label = 4, 16, 3
	bits, size := c.Uint8(), v4
	if c.Len() >= 2*v6+label {
		size = v6
	}
	prefix, _ := netip.AddrFromSlice(c.Bytes(size)) // invalid if cut short, and then left out
	gateway, _ := netip.AddrFromSlice(c.Bytes(size))
	v = appendAddr(v, "ip_address", prefix)
	if bits != 0 {
		v = appendNumber(v, "ip_len", uint64(bits))
	}
	return appendAddr(v, "gw_address", gateway)
}

// appendRawLabels appends the label fields as numbers of 24 bits, which a VNI
// is.
func appendRawLabels(v, fields []byte) []byte {
	c := wire.NewCursor(fields)
	if c.Len() < 3 {
		return v
	}
	v = append(appendName(v, "rawlabels"), '[')
	for c.Len() >= 3 {
		v = appendUint(separated(v), uint64(c.Uint24()))
	}
	return append(v, ']')
}
