package kafka

import (
	"net/netip"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/internal/wire"
)

// protoFormat has one record for each event, with the Event message of
// proto/ribtap/v1/event.proto, fields in the order of their numbers.
type protoFormat struct {
	keys      *keys
	collector string
	routers   map[*event.Router][]byte
	peers     map[*event.Peer][]byte
	addPath   map[bgp.FamilySet][]byte // packed

	update           bgp.Update
	value, sub, text []byte
}

func (f *protoFormat) append(e *event.Event, out *builder) {
	f.value = f.appendEvent(f.value[:0], e)
	out.emit(0, f.keys.of(e.Router), f.value)
}

// appendEvent appends the fields of Event; a field with its zero value is left
// out, as proto3 has it.
func (f *protoFormat) appendEvent(b []byte, e *event.Event) []byte {
	b = appendVarint(b, 1, e.Sequence)
	b = appendVarint(b, 2, uint64(e.Kind))
	b = appendVarint(b, 3, uint64(e.Received))
	b = appendVarint(b, 4, uint64(e.Observed))
	b = appendVarint(b, 5, uint64(e.Source))
	b = appendText(b, 6, f.collector)
	if e.Router != nil {
		b = appendOctets(b, 7, f.router(e.Router))
	}
	if e.Peer != nil {
		b = appendOctets(b, 8, f.peer(e.Peer))
	}
	b = appendVarint(b, 9, uint64(e.RIB))
	b = appendVarint(b, 10, uint64(e.Cause))
	b = appendVarint(b, 11, uint64(e.Flags))
	f.sub = f.appendSession(f.sub[:0], &e.Session)
	b = appendOctets(b, 12, f.sub)
	b = appendOctets(b, 13, e.Head)
	b = appendOctets(b, 14, e.Sent)
	b = appendOctets(b, 15, e.PDU)
	b = appendOctets(b, 16, e.Tail)
	if len(e.Marks) > 0 {
		b = protowire.AppendTag(b, 17, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(len(e.Marks)))
		for _, m := range e.Marks {
			b = append(b, byte(m))
		}
	}
	for i := range e.Stats {
		f.sub = appendStat(f.sub[:0], &e.Stats[i])
		b = protowire.AppendTag(b, 18, protowire.BytesType)
		b = protowire.AppendBytes(b, f.sub)
	}
	b = appendVarint(b, 19, uint64(e.Reason))
	b = appendVarint(b, 20, uint64(e.FSMCode))
	b = appendText(b, 21, e.Text)
	b = appendVarint(b, 22, e.Lost)
	b = appendVarint(b, 23, uint64(e.Start))
	b = appendVarint(b, 24, uint64(e.End))
	if !e.Update(&f.update) {
		return b
	}
	for it, i := f.update.Routes(), 0; it.Next(); i++ {
		f.appendRoute(e, it.Route(), e.Mark(i))
		b = protowire.AppendTag(b, 32, protowire.BytesType)
		b = protowire.AppendBytes(b, f.sub)
	}
	f.appendAttributes(e)
	b = appendOctets(b, 33, f.sub)
	if family, ok := f.update.EndOfRIB(); ok {
		f.text = family.AppendText(f.text[:0])
		b = appendOctets(b, 34, f.text)
	}
	return b
}

func (f *protoFormat) router(r *event.Router) []byte {
	if b := f.routers[r]; b != nil {
		return b
	}
	if f.routers == nil || len(f.routers) >= maxCached {
		f.routers = map[*event.Router][]byte{}
	}
	b := appendText([]byte{}, 1, r.Name)
	b = appendAddress(b, 2, r.Address)
	b = appendText(b, 3, r.SysName)
	b = appendText(b, 4, r.SysDescr)
	b = appendVarint(b, 5, r.Session)
	f.routers[r] = b
	return b
}

func (f *protoFormat) peer(p *event.Peer) []byte {
	if b := f.peers[p]; b != nil {
		return b
	}
	if f.peers == nil || len(f.peers) >= maxCached {
		f.peers = map[*event.Peer][]byte{}
	}
	b := appendVarint([]byte{}, 1, uint64(p.Type))
	b = appendAddress(b, 2, p.Address)
	b = appendVarint(b, 3, uint64(p.ASN))
	b = appendAddress(b, 4, p.BGPID)
	if p.Distinguisher != (bgp.RD{}) {
		b = appendOctets(b, 5, p.Distinguisher[:])
	}
	b = appendText(b, 6, p.Table)
	b = appendAddress(b, 7, p.LocalAddress)
	b = appendVarint(b, 8, uint64(p.LocalASN))
	b = appendVarint(b, 9, uint64(p.Epoch))
	f.peers[p] = b
	return b
}

func (f *protoFormat) appendSession(b []byte, s *bgp.Session) []byte {
	b = appendFlag(b, 1, s.AS4)
	b = appendFlag(b, 2, s.ExtendedMessage)
	b = appendVarint(b, 3, uint64(s.Peering))
	if s.AddPath == 0 {
		return b
	}
	packed, ok := f.addPath[s.AddPath]
	if !ok {
		if f.addPath == nil || len(f.addPath) >= maxCached {
			f.addPath = map[bgp.FamilySet][]byte{}
		}
		for _, family := range s.AddPath.Families() {
			packed = protowire.AppendVarint(packed, uint64(family))
		}
		f.addPath[s.AddPath] = packed
	}
	return appendOctets(b, 4, packed)
}

func appendStat(b []byte, s *event.Stat) []byte {
	b = appendVarint(b, 1, uint64(s.Type))
	b = appendText(b, 2, s.Name)
	b = appendVarint(b, 3, uint64(s.Family))
	if s.OK {
		b = appendPresent(b, 4, s.Value)
	}
	return appendOctets(b, 5, s.Raw)
}

// appendRoute puts a Route into f.sub.
func (f *protoFormat) appendRoute(e *event.Event, r *bgp.Route, m event.Mark) {
	n := &r.NLRI
	b := appendFlag(f.sub[:0], 1, r.Action == bgp.Withdraw)
	f.text = n.Family.AppendText(f.text[:0])
	b = appendOctets(b, 2, f.text)
	f.text = n.AppendText(f.text[:0])
	b = appendOctets(b, 3, f.text)
	if n.HasPathID {
		b = appendPresent(b, 4, uint64(n.PathID))
	}
	if n.HasRD {
		f.text = n.RD.AppendText(f.text[:0])
		b = appendOctets(b, 5, f.text)
	}
	if r.Action == bgp.Announce && len(n.Labels) > 0 {
		const lowBits = 4 // traffic class and bottom of stack
		f.text = f.text[:0]
		for c := wire.NewCursor(n.Labels); c.Len() >= 3; {
			f.text = protowire.AppendVarint(f.text, uint64(c.Uint24()>>lowBits))
		}
		b = appendOctets(b, 6, f.text)
	}
	b = appendFlag(b, 7, m&event.MarkChanged != 0)
	if len(r.NextHop) > 0 {
		f.text = bgp.AppendNextHop(f.text[:0], n.Family, r.NextHop)
		b = appendOctets(b, 8, f.text)
	}
	f.sub = appendVarint(b, 9, uint64(e.RouteCause(r)))
}

// appendAttributes puts the Attributes into f.sub; nothing without any.
func (f *protoFormat) appendAttributes(e *event.Event) {
	u := &f.update
	b := f.sub[:0]
	if o, ok := u.Origin(); ok {
		b = appendText(b, 1, o.String())
	}
	f.text = u.AppendASPath(f.text[:0])
	b = appendOctets(b, 2, f.text)
	if v, ok := u.OriginAS(); ok {
		b = appendPresent(b, 3, uint64(v))
	}
	if v, ok := u.MED(); ok {
		b = appendPresent(b, 4, uint64(v))
	}
	if v, ok := u.LocalPref(); ok {
		b = appendPresent(b, 5, uint64(v))
	}
	f.text = u.AppendCommunities(f.text[:0])
	b = appendOctets(b, 6, f.text)
	f.text = u.AppendLargeCommunities(f.text[:0])
	b = appendOctets(b, 7, f.text)
	f.text = u.AppendExtCommunities(f.text[:0])
	b = appendOctets(b, 8, f.text)
	if asn, addr, ok := u.Aggregator(); ok {
		f.text = addr.AppendTo(append(appendUint(f.text[:0], uint64(asn)), ' '))
		b = appendOctets(b, 9, f.text)
	}
	b = appendFlag(b, 10, u.AtomicAggregate())
	if v, ok := u.OTC(); ok {
		b = appendPresent(b, 11, uint64(v))
	}
	if a, ok := u.OriginatorID(); ok {
		f.text = a.AppendTo(f.text[:0])
		b = appendOctets(b, 12, f.text)
	}
	f.text = u.AppendClusterList(f.text[:0])
	b = appendOctets(b, 13, f.text)
	if v, ok := u.AIGP(); ok {
		b = appendPresent(b, 14, v)
	}
	if e.Peer != nil {
		f.text = u.Flags(e.Peer.LocalASN, e.Peer.ASN).AppendText(f.text[:0])
		b = appendOctets(b, 15, f.text)
	}
	f.sub = b
}

func appendVarint(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return appendPresent(b, field, v)
}

// appendPresent is for an optional field, whose zero is a value.
func appendPresent(b []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func appendFlag(b []byte, field protowire.Number, v bool) []byte {
	if !v {
		return b
	}
	return appendPresent(b, field, 1)
}

func appendOctets(b []byte, field protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

// appendText appends text; proto3 takes only valid UTF-8.
func appendText(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), strings.ToValidUTF8(s, "\ufffd"))
}

func appendAddress(b []byte, field protowire.Number, a netip.Addr) []byte {
	if !a.IsValid() {
		return b
	}
	return appendOctets(b, field, a.AsSlice())
}
