package event

import (
	"net/netip"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/internal/wire"
)

// ProtoEncoder appends events as the message Event of
// api/proto/ribtap/v1/proto, fields in the order of their numbers. It keeps
// what it made of routers and peers, by pointer. The zero value is ready; it is
// for one goroutine.
type ProtoEncoder struct {
	// Collector is the name in the field of that name.
	Collector string

	routers map[*Router][]byte
	peers   map[*Peer][]byte
	addPath map[bgp.FamilySet][]byte // packed

	update    bgp.Update
	sub, text []byte
}

// protoCached bounds a cache by pointer, which fills with every reconnect.
const protoCached = 1 << 13

// Append appends the fields of Event; a field with its zero value is left out, as
// proto3 has it.
func (f *ProtoEncoder) Append(b []byte, e *Event) []byte {
	b = protoVarint(b, 1, e.Sequence)
	b = protoVarint(b, 2, uint64(e.Kind))
	b = protoVarint(b, 3, uint64(e.Received))
	b = protoVarint(b, 4, uint64(e.Observed))
	b = protoVarint(b, 5, uint64(e.Source))
	b = protoText(b, 6, f.Collector)
	if e.Router != nil {
		b = protoOctets(b, 7, f.router(e.Router))
	}
	if e.Peer != nil {
		b = protoOctets(b, 8, f.peer(e.Peer))
	}
	b = protoVarint(b, 9, uint64(e.RIB))
	b = protoVarint(b, 10, uint64(e.Cause))
	b = protoVarint(b, 11, uint64(e.Flags))
	f.sub = f.appendSession(f.sub[:0], &e.Session)
	b = protoOctets(b, 12, f.sub)
	b = protoOctets(b, 13, e.Head)
	b = protoOctets(b, 14, e.Sent)
	b = protoOctets(b, 15, e.PDU)
	b = protoOctets(b, 16, e.Tail)
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
	b = protoVarint(b, 19, uint64(e.Reason))
	b = protoVarint(b, 20, uint64(e.FSMCode))
	b = protoText(b, 21, e.Text)
	b = protoVarint(b, 22, e.Lost)
	b = protoVarint(b, 23, uint64(e.Start))
	b = protoVarint(b, 24, uint64(e.End))
	if !e.Update(&f.update) {
		return b
	}
	for it, i := f.update.Routes(), 0; it.Next(); i++ {
		f.appendRoute(e, it.Route(), e.Mark(i))
		b = protowire.AppendTag(b, 32, protowire.BytesType)
		b = protowire.AppendBytes(b, f.sub)
	}
	f.appendAttributes(e)
	b = protoOctets(b, 33, f.sub)
	if family, ok := f.update.EndOfRIB(); ok {
		f.text = family.AppendText(f.text[:0])
		b = protoOctets(b, 34, f.text)
	}
	return b
}

func (f *ProtoEncoder) router(r *Router) []byte {
	if b := f.routers[r]; b != nil {
		return b
	}
	if f.routers == nil || len(f.routers) >= protoCached {
		f.routers = map[*Router][]byte{}
	}
	b := protoText([]byte{}, 1, r.Name)
	b = protoAddress(b, 2, r.Address)
	b = protoText(b, 3, r.SysName)
	b = protoText(b, 4, r.SysDescr)
	b = protoVarint(b, 5, r.Session)
	f.routers[r] = b
	return b
}

func (f *ProtoEncoder) peer(p *Peer) []byte {
	if b := f.peers[p]; b != nil {
		return b
	}
	if f.peers == nil || len(f.peers) >= protoCached {
		f.peers = map[*Peer][]byte{}
	}
	b := protoVarint([]byte{}, 1, uint64(p.Type))
	b = protoAddress(b, 2, p.Address)
	b = protoVarint(b, 3, uint64(p.ASN))
	b = protoAddress(b, 4, p.BGPID)
	if p.Distinguisher != (bgp.RD{}) {
		b = protoOctets(b, 5, p.Distinguisher[:])
	}
	b = protoText(b, 6, p.Table)
	b = protoAddress(b, 7, p.LocalAddress)
	b = protoVarint(b, 8, uint64(p.LocalASN))
	b = protoVarint(b, 9, uint64(p.Epoch))
	f.peers[p] = b
	return b
}

func (f *ProtoEncoder) appendSession(b []byte, s *bgp.Session) []byte {
	b = protoFlag(b, 1, s.AS4)
	b = protoFlag(b, 2, s.ExtendedMessage)
	b = protoVarint(b, 3, uint64(s.Peering))
	if s.AddPath == 0 {
		return b
	}
	packed, ok := f.addPath[s.AddPath]
	if !ok {
		if f.addPath == nil || len(f.addPath) >= protoCached {
			f.addPath = map[bgp.FamilySet][]byte{}
		}
		for _, family := range s.AddPath.Families() {
			packed = protowire.AppendVarint(packed, uint64(family))
		}
		f.addPath[s.AddPath] = packed
	}
	return protoOctets(b, 4, packed)
}

func appendStat(b []byte, s *Stat) []byte {
	b = protoVarint(b, 1, uint64(s.Type))
	b = protoText(b, 2, s.Name)
	b = protoVarint(b, 3, uint64(s.Family))
	if s.OK {
		b = protoPresent(b, 4, s.Value)
	}
	return protoOctets(b, 5, s.Raw)
}

// appendRoute puts a Route into f.sub.
func (f *ProtoEncoder) appendRoute(e *Event, r *bgp.Route, m Mark) {
	n := &r.NLRI
	b := protoFlag(f.sub[:0], 1, r.Action == bgp.Withdraw)
	f.text = n.Family.AppendText(f.text[:0])
	b = protoOctets(b, 2, f.text)
	f.text = n.AppendText(f.text[:0])
	b = protoOctets(b, 3, f.text)
	if n.HasPathID {
		b = protoPresent(b, 4, uint64(n.PathID))
	}
	if n.HasRD {
		f.text = n.RD.AppendText(f.text[:0])
		b = protoOctets(b, 5, f.text)
	}
	if r.Action == bgp.Announce && len(n.Labels) > 0 {
		const lowBits = 4 // traffic class and bottom of stack
		f.text = f.text[:0]
		for c := wire.NewCursor(n.Labels); c.Len() >= 3; {
			f.text = protowire.AppendVarint(f.text, uint64(c.Uint24()>>lowBits))
		}
		b = protoOctets(b, 6, f.text)
	}
	b = protoFlag(b, 7, m&MarkChanged != 0)
	if len(r.NextHop) > 0 {
		f.text = bgp.AppendNextHop(f.text[:0], n.Family, r.NextHop)
		b = protoOctets(b, 8, f.text)
	}
	f.sub = protoVarint(b, 9, uint64(e.RouteCause(r)))
}

// appendAttributes puts the Attributes into f.sub; nothing without any.
func (f *ProtoEncoder) appendAttributes(e *Event) {
	u := &f.update
	b := f.sub[:0]
	if o, ok := u.Origin(); ok {
		b = protoText(b, 1, o.String())
	}
	f.text = u.AppendASPath(f.text[:0])
	b = protoOctets(b, 2, f.text)
	if v, ok := u.OriginAS(); ok {
		b = protoPresent(b, 3, uint64(v))
	}
	if v, ok := u.MED(); ok {
		b = protoPresent(b, 4, uint64(v))
	}
	if v, ok := u.LocalPref(); ok {
		b = protoPresent(b, 5, uint64(v))
	}
	f.text = u.AppendCommunities(f.text[:0])
	b = protoOctets(b, 6, f.text)
	f.text = u.AppendLargeCommunities(f.text[:0])
	b = protoOctets(b, 7, f.text)
	f.text = u.AppendExtCommunities(f.text[:0])
	b = protoOctets(b, 8, f.text)
	if asn, addr, ok := u.Aggregator(); ok {
		f.text = addr.AppendTo(append(strconv.AppendUint(f.text[:0], uint64(asn), 10), ' '))
		b = protoOctets(b, 9, f.text)
	}
	b = protoFlag(b, 10, u.AtomicAggregate())
	if v, ok := u.OTC(); ok {
		b = protoPresent(b, 11, uint64(v))
	}
	if a, ok := u.OriginatorID(); ok {
		f.text = a.AppendTo(f.text[:0])
		b = protoOctets(b, 12, f.text)
	}
	f.text = u.AppendClusterList(f.text[:0])
	b = protoOctets(b, 13, f.text)
	if v, ok := u.AIGP(); ok {
		b = protoPresent(b, 14, v)
	}
	if e.Peer != nil {
		f.text = u.Flags(e.Peer.LocalASN, e.Peer.ASN).AppendText(f.text[:0])
		b = protoOctets(b, 15, f.text)
	}
	f.sub = b
}

func protoVarint(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protoPresent(b, field, v)
}

// protoPresent is for an optional field, whose zero is a value.
func protoPresent(b []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func protoFlag(b []byte, field protowire.Number, v bool) []byte {
	if !v {
		return b
	}
	return protoPresent(b, field, 1)
}

func protoOctets(b []byte, field protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

// appendText appends text; proto3 takes only valid UTF-8.
func protoText(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), strings.ToValidUTF8(s, "\ufffd"))
}

func protoAddress(b []byte, field protowire.Number, a netip.Addr) []byte {
	if !a.IsValid() {
		return b
	}
	return protoOctets(b, field, a.AsSlice())
}
