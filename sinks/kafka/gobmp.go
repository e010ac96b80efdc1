package kafka

import (
	"crypto/md5" //nolint:gosec // GoBMP's hash
	"encoding/hex"
	"strconv"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/internal/wire"
)

// GoBMP's topics that this format fills, in the order of their numbers.
const (
	goBMPPeer = iota
	goBMPUnicast4
	goBMPUnicast6
	goBMPVPN4
	goBMPVPN6
	goBMPEVPN
	goBMPSRPolicy4
	goBMPSRPolicy6
	goBMPFlowspec4
	goBMPFlowspec6
	goBMPStatistics
)

var goBMPNames = [...]string{
	goBMPPeer: "peer", goBMPUnicast4: "unicast_prefix_v4", goBMPUnicast6: "unicast_prefix_v6",
	goBMPVPN4: "l3vpn_v4", goBMPVPN6: "l3vpn_v6", goBMPEVPN: "evpn",
	goBMPSRPolicy4: "sr_policy_v4", goBMPSRPolicy6: "sr_policy_v6",
	goBMPFlowspec4: "flowspec_v4", goBMPFlowspec6: "flowspec_v6", goBMPStatistics: "statistics",
}

func goBMPTopics(prefix string) []topicSpec {
	if prefix != "" {
		prefix += "."
	}
	out := make([]topicSpec, len(goBMPNames))
	for i, n := range goBMPNames {
		out[i] = topicSpec{name: prefix + "gobmp.parsed." + n, schema: schemaGoBMP}
	}
	return out
}

// goBMPFamilies says to which topic a family's routes go; what is not here has
// no message in this format.
var goBMPFamilies = map[bgp.Family]int{
	bgp.IPv4Unicast: goBMPUnicast4, bgp.IPv6Unicast: goBMPUnicast6,
	bgp.IPv4Labelled: goBMPUnicast4, bgp.IPv6Labelled: goBMPUnicast6,
	bgp.IPv4VPN: goBMPVPN4, bgp.IPv6VPN: goBMPVPN6, bgp.EVPN: goBMPEVPN,
	bgp.IPv4SRPolicy: goBMPSRPolicy4, bgp.IPv6SRPolicy: goBMPSRPolicy6,
	bgp.IPv4Flowspec: goBMPFlowspec4, bgp.IPv6Flowspec: goBMPFlowspec6,
	bgp.IPv4VPNFlow: goBMPFlowspec4, bgp.IPv6VPNFlow: goBMPFlowspec6,
}

// goBMPFormat has GoBMP's JSON: one record for each route, peer change and
// statistics report. The key is the router's hash, and that of the rule for flow
// specifications. testdata/gobmp holds what GoBMP itself writes.
type goBMPFormat struct {
	m     *metrics
	peers map[*event.Peer]*goBMPPeerInfo

	update     bgp.Update
	value      []byte
	text       []byte
	attributes []byte
	reduced    bool // the routes of this UPDATE come without their attributes
	spec       []byte
	key        []byte // of the last flow specification
}

// goBMPPeerInfo is what the records of a peer have in common.
type goBMPPeerInfo struct {
	routerHash, peerHash string
	routerIP, peerIP     string
	key                  []byte
	table                []byte // JSON text, empty without
	rd                   string
}

func newGoBMPFormat(m *metrics) *goBMPFormat {
	return &goBMPFormat{m: m, peers: map[*event.Peer]*goBMPPeerInfo{}}
}

func (f *goBMPFormat) peer(p *event.Peer) *goBMPPeerInfo {
	if i := f.peers[p]; i != nil {
		return i
	}
	if len(f.peers) >= maxCached {
		clear(f.peers)
	}
	hash := routerHash(p.Router.Address)
	i := &goBMPPeerInfo{routerHash: hex.EncodeToString(hash[:]), peerHash: goBMPPeerHash(p), rd: "0:0"}
	i.key = []byte(i.routerHash)
	if p.Router.Address.IsValid() {
		i.routerIP = p.Router.Address.Unmap().WithZone("").String()
	}
	if p.Address.IsValid() {
		i.peerIP = p.Address.String()
	}
	if p.Type == event.PeerRD || p.Distinguisher != (bgp.RD{}) {
		i.rd = string(p.Distinguisher.AppendText(nil))
	}
	if p.Table != "" {
		i.table = jsonText(p.Table)
	}
	f.peers[p] = i
	return i
}

// goBMPPeerHash is the MD5 of distinguisher, address as in the per-peer header,
// AS number in decimal, and BGP identifier.
func goBMPPeerHash(p *event.Peer) string {
	var address [16]byte
	if p.Address.Is4() {
		a := p.Address.As4()
		copy(address[12:], a[:])
	} else if p.Address.Is6() {
		address = p.Address.As16()
	}
	var id [4]byte
	if p.BGPID.Is4() {
		id = p.BGPID.As4()
	}
	b := append(append([]byte(nil), p.Distinguisher[:]...), address[:]...)
	b = strconv.AppendUint(b, uint64(p.ASN), 10)
	sum := md5.Sum(append(b, id[:]...)) //nolint:gosec // GoBMP's hash
	return hex.EncodeToString(sum[:])
}

func (f *goBMPFormat) append(e *event.Event, out *builder) {
	switch {
	case e.Peer == nil || e.Flags&event.FlagNonOwner != 0:
	case e.Kind == event.KindRoute:
		f.routes(e, out)
		return
	case e.Kind == event.KindPeerUp, e.Kind == event.KindPeerDown:
		f.state(e, out)
		return
	case e.Kind == event.KindStats:
		f.statistics(e, out)
		return
	}
	f.m.skipped.WithLabelValues(skipFormat).Inc()
}

// pathExpansion is how much longer a segment list is as JSON.
const pathExpansion = 16

func (f *goBMPFormat) routes(e *event.Event, out *builder) {
	if !e.Update(&f.update) {
		f.m.skipped.WithLabelValues(skipFormat).Inc()
		return
	}
	u, p := &f.update, f.peer(e.Peer)
	if family, ok := u.EndOfRIB(); ok {
		if topic, ok := goBMPFamilies[family]; ok {
			v := f.common(append(f.value[:0], '{'), e, p, "add")
			v = appendBool(v, "is_ipv4", family.AFI() != bgp.AFIIPv6)
			v = appendBool(v, "is_nexthop_ipv4", family.AFI() != bgp.AFIIPv6)
			f.value = append(appendBool(v, "is_eor", true), '}')
			out.emit(topic, p.key, f.value)
		}
		return
	}
	total := 0
	for it := u.Routes(); it.Next(); {
		total++
	}
	f.attributes = f.baseAttributes(f.attributes[:0])
	size := len(f.attributes)
	if a, ok := u.Attr(bgp.AttrTunnelEncapsulation); ok {
		size += pathExpansion * len(a.Value)
	}
	if f.reduced = size*total > maxExpansion; f.reduced {
		f.m.reduced.Inc()
		f.attributes = append(f.reducedAttributes(f.attributes[:0]), '}')
	}
	for it := u.Routes(); it.Next(); {
		r := it.Route()
		topic, ok := goBMPFamilies[r.NLRI.Family]
		key := p.key
		switch {
		case !ok:
		case topic == goBMPEVPN:
			ok = f.evpn(e, p, r)
		case topic == goBMPSRPolicy4, topic == goBMPSRPolicy6:
			ok = f.srPolicy(e, p, r)
		case topic == goBMPFlowspec4, topic == goBMPFlowspec6:
			key, ok = f.flowspec(e, p, r)
		case r.NLRI.Prefix.IsValid():
			f.route(e, p, r)
		default:
			ok = false
		}
		if !ok {
			f.m.skipped.WithLabelValues(skipFormat).Inc()
			continue
		}
		out.emit(topic, key, f.value)
	}
}

// common appends the fields that all messages about routes have.
func (f *goBMPFormat) common(v []byte, e *event.Event, p *goBMPPeerInfo, action string) []byte {
	v = appendPlain(v, "action", action)
	v = appendPlain(v, "router_hash", p.routerHash)
	if p.routerIP != "" {
		v = appendPlain(v, "router_ip", p.routerIP)
	}
	v = appendPlain(v, "peer_hash", p.peerHash)
	if p.peerIP != "" {
		v = appendPlain(v, "peer_ip", p.peerIP)
	}
	v = appendNumber(v, "peer_type", uint64(e.Peer.Type))
	if e.Peer.ASN != 0 {
		v = appendNumber(v, "peer_asn", uint64(e.Peer.ASN))
	}
	v = appendNanos(v, "timestamp", timeOf(e))
	return f.views(v, e, p)
}

// timeOf is the router's clock, or ours if it sent none.
func timeOf(e *event.Event) event.Time {
	if e.Observed != 0 {
		return e.Observed
	}
	return e.Received
}

// views appends the five booleans and the table.
func (f *goBMPFormat) views(v []byte, e *event.Event, p *goBMPPeerInfo) []byte {
	v = appendBool(v, "is_adj_rib_in_post_policy", e.RIB == event.AdjRIBInPost)
	v = appendBool(v, "is_adj_rib_out_post_policy", e.RIB == event.AdjRIBOutPost)
	v = appendBool(v, "is_adj_rib_out", e.RIB == event.AdjRIBOutPre || e.RIB == event.AdjRIBOutPost)
	v = appendBool(v, "is_loc_rib", e.Peer.Type == event.PeerLocRIB || e.RIB == event.LocRIB)
	v = appendBool(v, "is_loc_rib_filtered", e.RIB == event.LocRIB && locRIBFiltered(e.Head))
	if len(p.table) > 0 {
		v = append(appendName(v, "table_name"), p.table...)
	}
	return v
}

// locRIBFiltered reads the F flag of a per-peer header (RFC 9069 §4.2), which
// stands behind the common header and the peer type.
func locRIBFiltered(head []byte) bool {
	const before, flagF = 7, 0x80
	c := wire.NewCursor(head)
	c.Bytes(before)
	return c.Len() > 0 && c.Uint8()&flagF != 0
}

// begin begins the message of a route with what all families have.
func (f *goBMPFormat) begin(e *event.Event, p *goBMPPeerInfo, r *bgp.Route) []byte {
	action := "add"
	if r.Action == bgp.Withdraw {
		action = "del"
	}
	v := f.common(append(f.value[:0], '{'), e, p, action)
	if r.Action == bgp.Withdraw {
		// GoBMP's readers find the object there too, and a route that goes has
		// none of the attributes that others of the UPDATE come with.
		return append(appendName(v, "base_attrs"), noAttributes...)
	}
	v = append(appendName(v, "base_attrs"), f.attributes...)
	if asn, ok := f.update.OriginAS(); ok {
		v = appendNumber(v, "origin_as", uint64(asn))
	}
	f.text = bgp.AppendNextHop(f.text[:0], r.NLRI.Family, r.NextHop)
	if len(f.text) > 0 {
		v = appendQuoted(v, "nexthop", f.text)
	}
	return v
}

// end appends what all families have at the end.
func (f *goBMPFormat) end(v []byte, r *bgp.Route) {
	v = appendBool(v, "is_nexthop_ipv4", nextHop4(r.NLRI.Family, r.NextHop))
	if r.NLRI.HasPathID && r.NLRI.PathID != 0 {
		v = appendNumber(v, "path_id", uint64(r.NLRI.PathID))
	}
	f.value = append(v, '}')
}

// route makes the message of a route with a prefix.
func (f *goBMPFormat) route(e *event.Event, p *goBMPPeerInfo, r *bgp.Route) {
	n := &r.NLRI
	vpn := n.HasRD
	addr := n.Prefix.Addr()
	v := f.begin(e, p, r)
	v = append(appendName(v, "hash"), '"')
	v = f.appendRouteHash(v, p, n, vpn)
	v = append(v, '"')
	f.text = addr.AppendTo(f.text[:0])
	v = appendPlain(v, "prefix", f.text)
	if n.Prefix.Bits() > 0 {
		v = appendNumber(v, "prefix_len", uint64(n.Prefix.Bits()))
	}
	v = appendBool(v, "is_ipv4", addr.Is4())
	if r.Action == bgp.Announce {
		if vpn {
			f.text = f.update.AppendClusterList(f.text[:0])
			if len(f.text) > 0 {
				v = appendPlain(v, "cluster_list", f.text)
			}
		} else {
			v = f.color(v)
		}
		v = f.originValidation(v)
	}
	v = appendLabels(v, "labels", n.Labels)
	if vpn {
		v = appendGoBMPRD(v, n.RD)
	}
	f.end(v, r)
}

// appendGoBMPRD appends a route distinguisher and its type.
func appendGoBMPRD(v []byte, rd bgp.RD) []byte {
	c := wire.NewCursor(rd[:])
	return appendNumber(appendRD(v, "vpn_rd", rd), "vpn_rd_type", uint64(c.Uint16()))
}

// nextHop4 reports whether a next hop is IPv4: of 4 octets, or 12 with a
// distinguisher.
func nextHop4(family bgp.Family, nh []byte) bool {
	if len(nh) == 0 {
		return family.AFI() != bgp.AFIIPv6
	}
	const v4, v4VPN = 4, 12
	return len(nh) == v4 || len(nh) == v4VPN
}

// appendRouteHash appends the MD5 of what identifies a route, each part behind
// it with a zero octet.
func (f *goBMPFormat) appendRouteHash(dst []byte, p *goBMPPeerInfo, n *bgp.NLRI, vpn bool) []byte {
	t := f.text[:0]
	if vpn {
		t = append(t, "l3vpn\x00"...)
	} else {
		t = append(t, "unicast\x00"...)
	}
	t = append(append(t, p.routerHash...), 0)
	t = append(append(t, p.peerHash...), 0)
	if vpn {
		t = append(n.RD.AppendText(t), 0)
		t = append(appendUint(t, uint64(n.RD[0])<<8|uint64(n.RD[1])), 0)
	}
	t = append(n.Prefix.Addr().AppendTo(t), 0)
	t = append(appendUint(t, uint64(n.Prefix.Bits())), 0)
	t = append(strconv.AppendBool(t, n.Prefix.Addr().Is4()), 0)
	t = append(appendUint(t, uint64(n.PathID)), 0)
	for c, first := wire.NewCursor(n.Labels), true; c.Len() >= 3; first = false {
		if !first {
			t = append(t, ',')
		}
		t = appendUint(t, uint64(c.Uint24()>>labelLowBits))
	}
	t = append(t, 0)
	f.text = t
	sum := md5.Sum(t) //nolint:gosec // GoBMP's hash
	return hex.AppendEncode(dst, sum[:])
}
