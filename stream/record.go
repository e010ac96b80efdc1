package stream

import (
	"encoding/binary"
	"net/netip"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/internal/wire"
)

// An event's record, inside a block's payload:
//
//	length[4] kind[1] source[1] rib[1] cause[1] flags(u) fields(u) received(s) field…
//
// (u) is an unsigned and (s) a zigzag variable-length integer. fields has a bit
// for each field that follows, and they follow in the order of the bits. A
// later minor version appends fields behind the ones known here; length lets an
// older reader pass over them.
const (
	fieldPeer     = 1 << iota // index in the block's peers, from 1
	fieldObserved             // (s) difference to received
	fieldHead
	fieldPDU
	fieldMarks
	fieldSession // only when it differs from the event before
	fieldRouter  // only when it is not the peer's: index in the block's routers, from 1; 0 is none
	fieldTail
	fieldSent
	fieldReason
	fieldText
	fieldGap
	fieldStats
)

const (
	sessionAS4 = 1 << iota
	sessionExtendedMessage
)

// appendBytes appends a length and b.
func appendBytes[T []byte | string](dst []byte, b T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func appendAddr(dst []byte, a netip.Addr) []byte {
	var buf [16 + 32]byte // address and the usual zone
	b, _ := a.AppendBinary(buf[:0])
	return appendBytes(dst, b)
}

// fieldsOf returns which fields e needs.
func (e *encoder) fieldsOf(ev *event.Event) uint64 {
	var f uint64
	set := func(is bool, bit uint64) {
		if is {
			f |= bit
		}
	}
	set(ev.Peer != nil, fieldPeer)
	set(ev.Observed != 0, fieldObserved)
	set(len(ev.Head) != 0, fieldHead)
	set(len(ev.PDU) != 0, fieldPDU)
	set(len(ev.Marks) != 0, fieldMarks)
	set(ev.Session != e.session, fieldSession)
	if ev.Peer == nil {
		set(ev.Router != nil, fieldRouter)
	} else {
		set(ev.Router != ev.Peer.Router, fieldRouter)
	}
	set(len(ev.Tail) != 0, fieldTail)
	set(len(ev.Sent) != 0, fieldSent)
	set(ev.Reason|ev.FSMCode != 0, fieldReason)
	set(ev.Text != "", fieldText)
	set(ev.Lost != 0 || ev.Start != 0 || ev.End != 0, fieldGap)
	set(len(ev.Stats) != 0, fieldStats)
	return f
}

// appendEvent appends the record of ev. Times are differences to the event
// before; they wrap, so that every pair of times survives.
func (e *encoder) appendEvent(dst []byte, ev *event.Event) []byte {
	dst, at := wire.BeginLength32(dst)
	dst = append(dst, byte(ev.Kind), byte(ev.Source), byte(ev.RIB), byte(ev.Cause))
	dst = binary.AppendUvarint(dst, uint64(ev.Flags))
	fields := e.fieldsOf(ev)
	dst = binary.AppendUvarint(dst, fields)
	dst = binary.AppendVarint(dst, int64(ev.Received-e.time))
	e.time = ev.Received
	if fields&fieldPeer != 0 {
		dst = binary.AppendUvarint(dst, e.peers.index(ev.Peer))
	}
	if fields&fieldObserved != 0 {
		dst = binary.AppendVarint(dst, int64(ev.Observed-ev.Received))
	}
	if fields&fieldHead != 0 {
		dst = appendBytes(dst, ev.Head)
	}
	if fields&fieldPDU != 0 {
		dst = appendBytes(dst, ev.PDU)
	}
	if fields&fieldMarks != 0 {
		dst = binary.AppendUvarint(dst, uint64(len(ev.Marks)))
		for _, m := range ev.Marks {
			dst = append(dst, byte(m))
		}
	}
	if fields&fieldSession != 0 {
		dst = appendSession(dst, ev.Session)
		e.session = ev.Session
	}
	if fields&fieldRouter != 0 {
		dst = binary.AppendUvarint(dst, e.routers.index(ev.Router))
	}
	if fields >= fieldTail {
		dst = appendRareFields(dst, ev, fields)
	}
	wire.EndLength32(dst, at)
	return dst
}

// appendRareFields appends the fields that nearly no event has.
func appendRareFields(dst []byte, ev *event.Event, fields uint64) []byte {
	if fields&fieldTail != 0 {
		dst = appendBytes(dst, ev.Tail)
	}
	if fields&fieldSent != 0 {
		dst = appendBytes(dst, ev.Sent)
	}
	if fields&fieldReason != 0 {
		dst = binary.AppendUvarint(dst, uint64(ev.Reason))
		dst = binary.AppendUvarint(dst, uint64(ev.FSMCode))
	}
	if fields&fieldText != 0 {
		dst = appendBytes(dst, ev.Text)
	}
	if fields&fieldGap != 0 {
		dst = binary.AppendUvarint(dst, ev.Lost)
		dst = binary.AppendVarint(dst, int64(ev.Start))
		dst = binary.AppendVarint(dst, int64(ev.End))
	}
	if fields&fieldStats != 0 {
		dst = binary.AppendUvarint(dst, uint64(len(ev.Stats)))
		for i := range ev.Stats {
			dst = appendStat(dst, &ev.Stats[i])
		}
	}
	return dst
}

// appendStat appends a statistic, with a length for fields to come.
func appendStat(dst []byte, s *event.Stat) []byte {
	dst, at := wire.BeginLength32(dst)
	dst = binary.AppendUvarint(dst, uint64(s.Type))
	dst = appendBytes(dst, s.Name)
	dst = binary.AppendUvarint(dst, uint64(s.Family))
	dst = binary.AppendUvarint(dst, s.Value)
	ok := byte(0)
	if s.OK {
		ok = 1
	}
	dst = append(dst, ok)
	dst = appendBytes(dst, s.Raw)
	wire.EndLength32(dst, at)
	return dst
}

func appendSession(dst []byte, s bgp.Session) []byte {
	var bits byte
	if s.AS4 {
		bits |= sessionAS4
	}
	if s.ExtendedMessage {
		bits |= sessionExtendedMessage
	}
	dst = append(dst, bits, byte(s.Peering))
	return binary.AppendUvarint(dst, uint64(s.AddPath))
}

func appendRouter(dst []byte, r *event.Router) []byte {
	dst = appendBytes(dst, r.Name)
	dst = appendAddr(dst, r.Address)
	dst = appendBytes(dst, r.SysName)
	dst = appendBytes(dst, r.SysDescr)
	return binary.AppendUvarint(dst, r.Session)
}

// appendPeer appends all of p but its Router.
func appendPeer(dst []byte, p *event.Peer) []byte {
	dst = append(dst, byte(p.Type))
	dst = append(dst, p.Distinguisher[:]...)
	dst = appendAddr(dst, p.Address)
	dst = binary.AppendUvarint(dst, uint64(p.ASN))
	dst = appendAddr(dst, p.BGPID)
	dst = appendAddr(dst, p.LocalAddress)
	dst = binary.AppendUvarint(dst, uint64(p.LocalASN))
	dst = appendBytes(dst, p.Table)
	return binary.AppendUvarint(dst, uint64(p.Epoch))
}

// fail makes the cursor bad for good.
func fail(c *wire.Cursor) { c.Skip(-1) }

func readUvarint(c *wire.Cursor) uint64 {
	b := c.Uint8()
	if b < 0x80 {
		return uint64(b)
	}
	v := uint64(b & 0x7f)
	for shift := uint(7); shift < 64; shift += 7 {
		b = c.Uint8()
		if shift == 63 && b > 1 {
			break
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v
		}
	}
	fail(c)
	return 0
}

func readVarint(c *wire.Cursor) int64 {
	v := readUvarint(c)
	return int64(v>>1) ^ -int64(v&1)
}

// readUint reads a number that is at most limit.
func readUint(c *wire.Cursor, limit uint64) uint64 {
	v := readUvarint(c)
	if v > limit {
		fail(c)
		return 0
	}
	return v
}

func readBytes(c *wire.Cursor) []byte {
	return c.Bytes(int(readUint(c, uint64(c.Len()))))
}

func readAddr(c *wire.Cursor) netip.Addr {
	var a netip.Addr
	if err := a.UnmarshalBinary(readBytes(c)); err != nil {
		fail(c)
	}
	return a
}

func readSession(c *wire.Cursor) bgp.Session {
	bits := c.Uint8()
	return bgp.Session{
		AS4:             bits&sessionAS4 != 0,
		ExtendedMessage: bits&sessionExtendedMessage != 0,
		Peering:         bgp.Peering(c.Uint8()),
		AddPath:         bgp.FamilySet(readUvarint(c)),
	}
}

// next reads the next record into ev, which it overwrites whole. It reports
// false at the end and at a record that cannot be read; the two differ in
// d.events.Empty.
//
// The slices in ev point into the block; Marks and Stats lie in the decoder's
// arenas until the next reuse.
func (d *decoder) next(ev *event.Event) bool {
	c := d.events.Sub(int(d.events.Uint32()))
	*ev = event.Event{
		Kind:   event.Kind(c.Uint8()),
		Source: event.Source(c.Uint8()),
		RIB:    event.RIB(c.Uint8()),
		Cause:  event.Cause(c.Uint8()),
		Flags:  event.Flags(readUint(&c, 0xffff)),
	}
	fields := readUvarint(&c)
	d.time += event.Time(readVarint(&c))
	ev.Received = d.time
	if fields&fieldPeer != 0 {
		ev.Peer = pick(&c, d.peers)
		if ev.Peer != nil {
			ev.Router = ev.Peer.Router
		}
	}
	if fields&fieldObserved != 0 {
		ev.Observed = ev.Received + event.Time(readVarint(&c))
	}
	if fields&fieldHead != 0 {
		ev.Head = readBytes(&c)
	}
	if fields&fieldPDU != 0 {
		ev.PDU = readBytes(&c)
	}
	if fields&fieldMarks != 0 {
		ev.Marks = d.readMarks(&c)
	}
	if fields&fieldSession != 0 {
		d.session = readSession(&c)
	}
	ev.Session = d.session
	if fields&fieldRouter != 0 {
		ev.Router = pick(&c, d.routers)
	}
	if fields >= fieldTail {
		d.readRareFields(&c, ev, fields)
	}
	return c.OK()
}

func (d *decoder) readRareFields(c *wire.Cursor, ev *event.Event, fields uint64) {
	if fields&fieldTail != 0 {
		ev.Tail = readBytes(c)
	}
	if fields&fieldSent != 0 {
		ev.Sent = readBytes(c)
	}
	if fields&fieldReason != 0 {
		ev.Reason = uint16(readUint(c, 0xffff))
		ev.FSMCode = uint16(readUint(c, 0xffff))
	}
	if fields&fieldText != 0 {
		ev.Text = d.cache.text(readBytes(c))
	}
	if fields&fieldGap != 0 {
		ev.Lost = readUvarint(c)
		ev.Start = event.Time(readVarint(c))
		ev.End = event.Time(readVarint(c))
	}
	if fields&fieldStats != 0 {
		ev.Stats = d.readStats(c)
	}
}

// readStats fills the arena for statistics, which works like that for marks.
func (d *decoder) readStats(c *wire.Cursor) []event.Stat {
	from := len(d.stats)
	for range readUint(c, uint64(c.Len())) {
		sub := c.Sub(int(c.Uint32()))
		s := event.Stat{
			Type:   uint16(readUint(&sub, 0xffff)),
			Name:   d.cache.text(readBytes(&sub)),
			Family: bgp.Family(readUint(&sub, 0xffffffff)),
			Value:  readUvarint(&sub),
			OK:     sub.Uint8() != 0,
			Raw:    readBytes(&sub),
		}
		if !sub.OK() {
			fail(c)
			return nil
		}
		d.stats = append(d.stats, s)
	}
	return d.stats[from:len(d.stats):len(d.stats)]
}

// readMarks copies into the arena. When the arena grows, marks handed out
// before stay in the array they are in.
func (d *decoder) readMarks(c *wire.Cursor) []event.Mark {
	from := len(d.marks)
	for _, m := range readBytes(c) {
		d.marks = append(d.marks, event.Mark(m))
	}
	return d.marks[from:len(d.marks):len(d.marks)]
}

// pick reads an index into a block's table, from 1; 0 is none.
func pick[T any](c *wire.Cursor, table []*T) *T {
	i := readUint(c, uint64(len(table)))
	if i == 0 {
		return nil
	}
	return table[i-1]
}

func parseRouter(b []byte) (*event.Router, bool) {
	c := wire.NewCursor(b)
	r := &event.Router{
		Name:     string(readBytes(&c)),
		Address:  readAddr(&c),
		SysName:  string(readBytes(&c)),
		SysDescr: string(readBytes(&c)),
		Session:  readUvarint(&c),
	}
	return r, c.OK()
}

func parsePeer(b []byte, r *event.Router) (*event.Peer, bool) {
	c := wire.NewCursor(b)
	p := &event.Peer{Router: r, Type: event.PeerType(c.Uint8())}
	copy(p.Distinguisher[:], c.Bytes(len(p.Distinguisher)))
	p.Address = readAddr(&c)
	p.ASN = uint32(readUint(&c, 0xffffffff))
	p.BGPID = readAddr(&c)
	p.LocalAddress = readAddr(&c)
	p.LocalASN = uint32(readUint(&c, 0xffffffff))
	p.Table = string(readBytes(&c))
	p.Epoch = uint32(readUint(&c, 0xffffffff))
	return p, c.OK()
}
