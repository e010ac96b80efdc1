package kafka

import (
	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
)

// maxExpansion bounds the octets that the records of one message have because
// each of its routes repeats the attributes. One UPDATE of 65,535 octets could
// make hundreds of megabytes of them.
const maxExpansion = 8 << 20

// stateFormat has one record for each route that changed: its key is the
// route, its value what is there now, and none when it went away.
type stateFormat struct {
	topic     int
	collector string // JSON text
	m         *metrics
	peers     map[*event.Peer]*statePeer

	update           bgp.Update
	key, value, text []byte
	attributes       []byte
}

// statePeer is what the records of a peer begin with.
type statePeer struct {
	key   []byte // collector|router|peer|distinguisher|
	value []byte // an open object
}

func newStateFormat(collector string, topic int, m *metrics) *stateFormat {
	return &stateFormat{
		topic: topic, collector: collector, m: m,
		peers: map[*event.Peer]*statePeer{},
	}
}

func (f *stateFormat) peer(p *event.Peer) *statePeer {
	if s := f.peers[p]; s != nil {
		return s
	}
	if len(f.peers) >= maxCached {
		clear(f.peers)
	}
	s := &statePeer{key: []byte(clean(f.collector) + "|" + clean(p.Router.Name) + "|")}
	v := append(appendName([]byte{'{'}, "collector"), jsonText(f.collector)...)
	v = append(appendName(v, "router"), jsonText(p.Router.Name)...)
	if p.Router.Address.IsValid() {
		v = appendPlain(v, "router_address", p.Router.Address.String())
	}
	if p.Address.IsValid() {
		s.key = p.Address.AppendTo(s.key)
		v = appendPlain(v, "peer_address", p.Address.String())
	}
	v = appendNumber(v, "peer_asn", uint64(p.ASN))
	if p.BGPID.IsValid() {
		v = appendPlain(v, "peer_bgp_id", p.BGPID.String())
	}
	s.key = append(s.key, '|')
	if p.Distinguisher != (bgp.RD{}) {
		s.key = p.Distinguisher.AppendText(s.key)
		v = appendRD(v, "peer_distinguisher", p.Distinguisher)
	}
	s.key = append(s.key, '|')
	s.value = v
	f.peers[p] = s
	return s
}

func (f *stateFormat) append(e *event.Event, out *builder) {
	if e.Kind != event.KindRoute || e.Peer == nil || len(e.Marks) == 0 || !e.Update(&f.update) {
		return
	}
	p := f.peer(e.Peer)
	total := 0
	for it, i := f.update.Routes(), 0; it.Next(); i++ {
		if e.Mark(i)&(event.MarkChanged|event.MarkState) != 0 && it.Route().Action == bgp.Announce {
			total++
		}
	}
	f.attributes = f.attributes[:0]
	if total > 0 {
		f.attributes = f.appendAttributes(append(f.attributes, ','), e)
		if len(f.attributes) == 1 {
			f.attributes = f.attributes[:0]
		}
		if len(f.attributes)*total > maxExpansion {
			f.m.reduced.Inc()
			f.attributes = append(f.attributes[:0], `,"attributes_omitted":true`...)
		}
	}
	for it, i := f.update.Routes(), 0; it.Next(); i++ {
		if e.Mark(i)&(event.MarkChanged|event.MarkState) == 0 {
			continue
		}
		r := it.Route()
		f.appendKey(p, e.RIB, &r.NLRI)
		if r.Action == bgp.Withdraw {
			out.emit(f.topic, f.key, nil)
			continue
		}
		f.appendValue(p, e, r)
		out.emit(f.topic, f.key, f.value)
	}
}

func (f *stateFormat) appendKey(p *statePeer, rib event.RIB, n *bgp.NLRI) {
	k := append(f.key[:0], p.key...)
	k = append(k, rib.String()...)
	k = append(k, '|')
	k = n.Family.AppendText(k)
	k = append(k, '|')
	if n.HasRD {
		k = append(n.RD.AppendText(k), ' ')
	}
	k = n.AppendText(k)
	k = append(k, '|')
	if n.HasPathID {
		k = appendUint(k, uint64(n.PathID))
	}
	f.key = k
}

// appendValue makes the value: the names are those of the SQL view routes.
func (f *stateFormat) appendValue(p *statePeer, e *event.Event, r *bgp.Route) {
	n := &r.NLRI
	v := append(f.value[:0], p.value...)
	v = appendPlain(v, "rib", e.RIB.String())
	f.text = n.Family.AppendText(f.text[:0])
	v = appendQuoted(v, "family", f.text)
	f.text = n.AppendText(f.text[:0])
	v = appendQuoted(v, "prefix", f.text)
	if n.HasPathID {
		v = appendNumber(v, "path_id", uint64(n.PathID))
	}
	if n.HasRD {
		v = appendRD(v, "rd", n.RD)
	}
	v = appendLabels(v, "labels", n.Labels)
	v = appendNumber(v, "sequence", e.Sequence)
	v = appendTime(v, "since", e.Received)
	v = appendTime(v, "observed_at", e.Observed)
	if f.text = bgp.AppendNextHop(f.text[:0], n.Family, r.NextHop); len(r.NextHop) > 0 && len(f.text) > 0 {
		v = appendQuoted(v, "next_hop", f.text)
	}
	v = append(v, f.attributes...)
	f.value = append(v, '}')
}

// appendAttributes appends the fields of the attributes, each behind a comma.
func (f *stateFormat) appendAttributes(v []byte, e *event.Event) []byte {
	u := &f.update
	if o, ok := u.Origin(); ok {
		v = appendPlain(v, "origin", o.String())
	}
	if _, ok := u.Attr(bgp.AttrASPath); ok {
		f.text = u.AppendASPath(f.text[:0])
		v = appendPlain(v, "as_path", f.text)
		if asn, ok := u.OriginAS(); ok {
			v = appendNumber(v, "origin_as", uint64(asn))
		}
	}
	if x, ok := u.MED(); ok {
		v = appendNumber(v, "med", uint64(x))
	}
	if x, ok := u.LocalPref(); ok {
		v = appendNumber(v, "local_pref", uint64(x))
	}
	f.text = u.AppendCommunities(f.text[:0])
	v = appendList(v, "communities", f.text)
	f.text = u.AppendLargeCommunities(f.text[:0])
	v = appendList(v, "large_communities", f.text)
	f.text = u.AppendExtCommunities(f.text[:0])
	v = appendList(v, "ext_communities", f.text)
	if asn, addr, ok := u.Aggregator(); ok {
		f.text = addr.AppendTo(append(appendUint(f.text[:0], uint64(asn)), ' '))
		v = appendPlain(v, "aggregator", f.text)
	}
	if u.AtomicAggregate() {
		v = appendBool(v, "atomic_aggregate", true)
	}
	if x, ok := u.OTC(); ok {
		v = appendNumber(v, "otc", uint64(x))
	}
	f.text = u.Flags(e.Peer.LocalASN, e.Peer.ASN).AppendText(f.text[:0])
	return appendList(v, "flags", f.text)
}
