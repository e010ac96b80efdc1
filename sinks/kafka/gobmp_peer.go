package kafka

import (
	"crypto/md5" //nolint:gosec // GoBMP's hash
	"encoding/hex"
	"net/netip"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/internal/wire"
)

// state makes the message of a Peer Up or Peer Down.
func (f *goBMPFormat) state(e *event.Event, out *builder) {
	p := f.peer(e.Peer)
	action := "add"
	if e.Kind == event.KindPeerDown {
		action = "down"
	}
	v := appendPlain(append(f.value[:0], '{'), "action", action)
	v = appendPlain(v, "router_hash", p.routerHash)
	v = append(appendName(v, "hash"), '"')
	v = append(f.appendPeerHash(v, e.Peer, p), '"')
	if p.routerIP != "" {
		v = appendPlain(v, "router_ip", p.routerIP)
	}
	v = appendPlain(v, "peer_hash", p.peerHash)
	v = appendNumber(v, "peer_type", uint64(e.Peer.Type))
	v = appendNanos(v, "timestamp", timeOf(e))
	v = appendAddr(v, "remote_bgp_id", e.Peer.BGPID)
	if e.Peer.ASN != 0 {
		v = appendNumber(v, "remote_asn", uint64(e.Peer.ASN))
	}
	v = appendAddr(v, "remote_ip", e.Peer.Address)
	v = appendPlain(v, "peer_rd", p.rd)
	v = appendBool(v, "is_ipv4", !e.Peer.Address.Is6())
	if e.Kind == event.KindPeerUp {
		v = f.up(v, e)
	} else {
		v = down(v, e)
	}
	v = appendBool(v, "is_l", false)
	v = appendBool(v, "is_prepolicy", false)
	f.value = append(f.views(v, e, p), '}')
	out.emit(goBMPPeer, p.key, f.value)
}

func (f *goBMPFormat) appendPeerHash(dst []byte, peer *event.Peer, p *goBMPPeerInfo) []byte {
	t := append(append(f.text[:0], "peer\x00"...), p.routerHash...)
	t = append(t, 0)
	if peer.BGPID.IsValid() {
		t = peer.BGPID.AppendTo(t)
	}
	t = append(append(append(t, 0), p.peerIP...), 0)
	t = append(appendUint(t, uint64(peer.ASN)), 0)
	t = append(appendUint(t, uint64(peer.Type)), 0)
	t = append(append(t, p.rd...), 0)
	f.text = t
	sum := md5.Sum(t) //nolint:gosec // GoBMP's hash
	return hex.AppendEncode(dst, sum[:])
}

func appendAddr(v []byte, name string, a netip.Addr) []byte {
	if !a.IsValid() {
		return v
	}
	v = append(appendName(v, name), '"')
	return append(a.AppendTo(v), '"')
}

// up appends what a Peer Up tells: ports, and both OPENs.
func (f *goBMPFormat) up(v []byte, e *event.Event) []byte {
	v = appendAddr(v, "local_ip", e.Peer.LocalAddress)
	if e.Peer.LocalASN != 0 {
		v = appendNumber(v, "local_asn", uint64(e.Peer.LocalASN))
	}
	if local, remote, ok := ports(e.Head); ok {
		if local != 0 {
			v = appendNumber(v, "local_port", uint64(local))
		}
		if remote != 0 {
			v = appendNumber(v, "remote_port", uint64(remote))
		}
	}
	v = f.open(v, e.Sent, "adv_cap", "adv_holddown", "local_bgp_id")
	return f.open(v, e.PDU, "recv_cap", "remote_holddown", "")
}

// ports reads the two ports of a Peer Up (RFC 7854 §4.10), which stand behind
// the common header, the per-peer header and the local address.
func ports(head []byte) (local, remote uint16, ok bool) {
	const before, size = 6 + 42 + 16, 4
	c := wire.NewCursor(head)
	if c.Len() < before+size {
		return 0, 0, false
	}
	c.Bytes(before)
	return c.Uint16(), c.Uint16(), true
}

// open appends what an OPEN tells, also one that a speaker would refuse: the
// router put up with it.
func (f *goBMPFormat) open(v, msg []byte, capabilities, hold, id string) []byte {
	if len(msg) == 0 {
		return v
	}
	o, _ := bgp.ParseOpen(msg) // what could be read is there with an error too
	v = appendNonZero(v, hold, uint64(o.HoldTime))
	if id != "" {
		v = appendAddr(v, id, o.BGPID)
	}
	return f.capabilities(v, capabilities, &o)
}

func down(v []byte, e *event.Event) []byte {
	if e.Reason != 0 {
		v = appendNumber(v, "bmp_reason", uint64(e.Reason))
	}
	data := e.PDU
	if len(data) == 0 {
		data = e.Tail
	}
	return appendBase64(v, "info_data", data)
}

// goBMPCounters are the names of statistics by type; the ones with a family are
// objects.
var goBMPCounters = [...]struct {
	name   string
	family bool
}{
	{"prefixes_rejected_inbound", false},
	{"duplicate_prefix", false},
	{"duplicate_withdraws", false},
	{"invalidated_due_cluster", false},
	{"invalidated_due_aspath", false},
	{"invalidated_due_originator_id", false},
	{"invalidated_due_asconfed", false},
	{"ads_rib_in", false},
	{"local_rib", false},
	{"per_afi_adj_ribs_in", true},
	{"per_afi_loc_rib", true},
	{"updates_as_withdraw", false},
	{"prefixes_as_withdraw", false},
	{"duplicate_updates", false},
	{"pre_policy_adj_rib_out", false},
	{"post_policy_adj_rib_out", false},
	{"per_afi_pre_policy_adj_rib_out", true},
	{"per_afi_post_policy_adj_rib_out", true},
}

func (f *goBMPFormat) statistics(e *event.Event, out *builder) {
	p := f.peer(e.Peer)
	v := appendPlain(append(f.value[:0], '{'), "router_hash", p.routerHash)
	if p.routerIP != "" {
		v = appendPlain(v, "router_ip", p.routerIP)
	}
	v = appendPlain(v, "peer_hash", p.peerHash)
	v = appendNumber(v, "peer_type", uint64(e.Peer.Type))
	v = appendNanos(v, "timestamp", timeOf(e))
	v = appendAddr(v, "remote_bgp_id", e.Peer.BGPID)
	if e.Peer.ASN != 0 {
		v = appendNumber(v, "remote_asn", uint64(e.Peer.ASN))
	}
	v = appendAddr(v, "remote_ip", e.Peer.Address)
	v = appendPlain(v, "peer_rd", p.rd)
	for typ := range goBMPCounters {
		v = counter(v, e.Stats, typ)
	}
	f.value = append(f.views(v, e, p), '}')
	out.emit(goBMPStatistics, p.key, f.value)
}

// counter appends the statistics of a type; zero counts as absent, as there.
func counter(v []byte, stats []event.Stat, typ int) []byte {
	c := goBMPCounters[typ]
	open := false
	for i := range stats {
		s := &stats[i]
		if int(s.Type) != typ || !s.OK {
			continue
		}
		if !c.family {
			if s.Value != 0 {
				return appendNumber(v, c.name, s.Value)
			}
			return v
		}
		if open {
			v = append(v, ',')
		} else {
			v, open = append(appendName(v, c.name), '['), true
		}
		v = appendNumber(append(v, '{'), "afi", uint64(s.Family.AFI()))
		v = appendNumber(v, "safi", uint64(s.Family.SAFI()))
		v = append(appendNumber(v, "count", s.Value), '}')
	}
	if open {
		v = append(v, ']')
	}
	return v
}
