package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/internal/wire"
)

// A block is one write:
//
//	mark[4] crc[4] length[4] count[4] first[8] written[8] flags[4] payload[length]
//
// and its payload can be read without any other block:
//
//	events-length[4] event… routers(u) (length[4] router)… peers(u) (router-index(u) length[4] peer)…
const (
	blockHeaderLen = 36
	// blockTarget is the payload size after which a batch goes on in another
	// block: large enough for one disk write, small enough to lose little when
	// a bit flips.
	blockTarget = 1 << 20
	// maxEventLen bounds the octets of one event, a whole MRT record of the
	// largest size that is accepted.
	maxEventLen = 128 << 20
)

// Flags of a block.
const (
	// blockSkip: the sequences before first were given up on purpose, and the
	// first event is the gap that says so.
	blockSkip = 1 << iota
	// blockEnd: no events; first is the sequence that comes next. Written by
	// Close, it is what makes damage to the last events noticeable.
	blockEnd
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is a block's header.
type header struct {
	mark, crc, length, count uint32
	first                    uint64
	written                  event.Time
	flags                    uint32
}

// next returns the sequence that follows the block.
func (h *header) next() uint64 { return h.first + uint64(h.count) }

// parseHeader reads the header at the start of b, which has at least its length.
func parseHeader(b []byte) header {
	c := wire.NewCursor(b)
	return header{
		mark: c.Uint32(), crc: c.Uint32(), length: c.Uint32(), count: c.Uint32(),
		first: c.Uint64(), written: event.Time(c.Uint64()), flags: c.Uint32(),
	}
}

func appendHeader(dst []byte, h *header) []byte {
	dst = binary.BigEndian.AppendUint32(dst, h.mark)
	dst = binary.BigEndian.AppendUint32(dst, h.crc)
	dst = binary.BigEndian.AppendUint32(dst, h.length)
	dst = binary.BigEndian.AppendUint32(dst, h.count)
	dst = binary.BigEndian.AppendUint64(dst, h.first)
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.written))
	return binary.BigEndian.AppendUint32(dst, h.flags)
}

// sum returns a block's checksum: of the payload, then of the header without
// the checksum. In this order the long part can be summed before the sequence
// is known. head is the encoded header.
func sum(payloadSum uint32, head []byte) uint32 {
	s := crc32.Update(payloadSum, castagnoli, head[:4])
	return crc32.Update(s, castagnoli, head[8:blockHeaderLen])
}

// plausible reports whether h can be the header of a block with at most room
// octets of payload and sequences below limit.
func (h *header) plausible(room int64, limit uint64) bool {
	if int64(h.length) > room || h.first == 0 || h.first > limit || uint64(h.count) > limit-h.first {
		return false
	}
	if h.flags&blockEnd != 0 {
		return h.count == 0 && h.length == 0
	}
	return h.count > 0 && h.length >= 4
}

// table numbers the distinct pointers of a block from 1; 0 is nil.
type table[T any] struct {
	list  []*T
	byPtr map[*T]uint64
}

// tableScan is the number of entries up to which looking through them costs
// less than a map.
const tableScan = 8

func (t *table[T]) index(p *T) uint64 {
	if p == nil {
		return 0
	}
	n := len(t.list)
	if n <= tableScan {
		for i := n - 1; i >= 0; i-- {
			if t.list[i] == p {
				return uint64(i) + 1
			}
		}
	} else if i, ok := t.byPtr[p]; ok {
		return i
	}
	t.list = append(t.list, p)
	if n++; n > tableScan {
		t.grow()
	}
	return uint64(n)
}

// grow puts what is not in the map yet there.
func (t *table[T]) grow() {
	if t.byPtr == nil {
		t.byPtr = make(map[*T]uint64)
	}
	for i := len(t.byPtr); i < len(t.list); i++ {
		t.byPtr[t.list[i]] = uint64(i) + 1
	}
}

func (t *table[T]) reset() {
	clear(t.list) // lets old sessions go
	t.list = t.list[:0]
	clear(t.byPtr)
}

// span is a block in an encoder's buffer.
type span struct {
	start      int // of the header
	header     header
	payloadSum uint32
}

// encoder turns a batch into blocks. It is reused.
type encoder struct {
	buf    []byte
	blocks []span
	count  int // events in all blocks

	// State of the block that is being built.
	at      int // where the events' length stands
	open    bool
	time    event.Time
	session bgp.Session
	routers table[event.Router]
	peers   table[event.Peer]
}

// encode replaces the encoder's contents by the blocks of batch, complete but
// for mark, first and checksum. It does not keep anything of batch.
func (e *encoder) encode(batch []event.Event, written event.Time) error {
	e.buf, e.blocks, e.count, e.open = e.buf[:0], e.blocks[:0], len(batch), false
	for i := range batch {
		if n := size(&batch[i]); n > maxEventLen {
			e.routers.reset()
			e.peers.reset()
			return fmt.Errorf("stream: a %s event of %d octets is larger than %d", batch[i].Kind, n, maxEventLen)
		}
		if !e.open {
			e.begin(written)
		}
		e.buf = e.appendEvent(e.buf, &batch[i])
		e.blocks[len(e.blocks)-1].header.count++
		if len(e.buf)-e.at >= blockTarget {
			e.end()
		}
	}
	if e.open {
		e.end()
	}
	return nil
}

// size is what of an event has no bound of its own.
func size(ev *event.Event) int {
	n := len(ev.Head) + len(ev.PDU) + len(ev.Tail) + len(ev.Sent) + len(ev.Marks) + len(ev.Text)
	for i := range ev.Stats {
		n += len(ev.Stats[i].Name) + len(ev.Stats[i].Raw)
	}
	return n
}

func (e *encoder) begin(written event.Time) {
	e.open = true
	e.blocks = append(e.blocks, span{start: len(e.buf), header: header{written: written}})
	var zero [blockHeaderLen]byte
	e.buf = append(e.buf, zero[:]...)
	e.buf, e.at = wire.BeginLength32(e.buf)
	e.time, e.session = written, bgp.Session{}
}

func (e *encoder) end() {
	wire.EndLength32(e.buf, e.at)
	e.open = false
	for _, p := range e.peers.list {
		e.routers.index(p.Router)
	}
	e.buf = binary.AppendUvarint(e.buf, uint64(len(e.routers.list)))
	for _, r := range e.routers.list {
		e.buf = appendRouter(e.beginEntry(), r)
		e.endEntry()
	}
	e.buf = binary.AppendUvarint(e.buf, uint64(len(e.peers.list)))
	for _, p := range e.peers.list {
		e.buf = binary.AppendUvarint(e.buf, e.routers.index(p.Router))
		e.buf = appendPeer(e.beginEntry(), p)
		e.endEntry()
	}
	e.routers.reset()
	e.peers.reset()
	b := &e.blocks[len(e.blocks)-1]
	payload := e.buf[b.start+blockHeaderLen:]
	b.header.length = uint32(len(payload))
	b.payloadSum = crc32.Checksum(payload, castagnoli)
}

// beginEntry and endEntry put a four-octet length before a table's entry.
func (e *encoder) beginEntry() []byte {
	e.buf, e.at = wire.BeginLength32(e.buf)
	return e.buf
}

func (e *encoder) endEntry() { wire.EndLength32(e.buf, e.at) }

// encodeEnd replaces the encoder's contents by a block that says which sequence
// comes next.
func (e *encoder) encodeEnd(written event.Time) {
	e.buf, e.blocks, e.count = e.buf[:0], e.blocks[:0], 0
	e.blocks = append(e.blocks, span{header: header{written: written, flags: blockEnd}})
	var zero [blockHeaderLen]byte
	e.buf = append(e.buf, zero[:]...)
}

// seal numbers the blocks from first on and marks them for a segment. It may be
// called again for another segment.
func (e *encoder) seal(first uint64, mark, flags uint32) {
	for i := range e.blocks {
		b := &e.blocks[i]
		h := b.header
		h.mark, h.first = mark, first
		if i == 0 {
			h.flags |= flags
		}
		// A header's place in the buffer is overwritten by appending to an
		// empty slice that begins there.
		head := appendHeader(e.buf[b.start:b.start:b.start+blockHeaderLen], &h)
		h.crc = sum(b.payloadSum, head)
		appendHeader(head[:0], &h)
		first = h.next()
	}
}

// decoder reads the payload of a block.
type decoder struct {
	events  wire.Cursor
	time    event.Time
	session bgp.Session
	routers []*event.Router
	peers   []*event.Peer
	marks   []event.Mark // arena
	stats   []event.Stat // arena
	cache   interner
}

// reuse gives up the marks and statistics of all events read so far.
func (d *decoder) reuse() { d.marks, d.stats = d.marks[:0], d.stats[:0] }

var errPayload = errors.New("stream: a block's payload cannot be read")

// open begins with the payload of a block that was written at base.
func (d *decoder) open(payload []byte, base event.Time) error {
	c := wire.NewCursor(payload)
	n := c.Uint32()
	if n > math.MaxInt32 {
		return errPayload
	}
	d.events = c.Sub(int(n))
	d.time, d.session = base, bgp.Session{}
	d.routers, d.peers = d.routers[:0], d.peers[:0]
	for range readUint(&c, uint64(c.Len())) {
		r, ok := d.cache.router(c.Bytes(entryLen(&c)))
		if !ok || !c.OK() {
			return errPayload
		}
		d.routers = append(d.routers, r)
	}
	for range readUint(&c, uint64(c.Len())) {
		r := pick(&c, d.routers)
		p, ok := d.cache.peer(r, c.Bytes(entryLen(&c)))
		if !ok || !c.OK() {
			return errPayload
		}
		d.peers = append(d.peers, p)
	}
	if !c.OK() {
		return errPayload
	}
	return nil
}

// entryLen reads a table entry's length; -1, which no cursor can read, stands
// for one that is too large.
func entryLen(c *wire.Cursor) int {
	n := c.Uint32()
	if uint64(n) > uint64(c.Len()) {
		return -1
	}
	return int(n)
}

// maxInterned bounds how many routers and peers a reader remembers.
const maxInterned = 1 << 16

// interner gives equal routers and peers the same pointer, whichever block they
// come from, so that a sink may compare pointers.
type interner struct {
	routers map[string]*event.Router
	peers   map[peerKey]*event.Peer
	texts   map[string]string
}

type peerKey struct {
	router  *event.Router
	encoded string
}

func (in *interner) router(b []byte) (*event.Router, bool) {
	if r, ok := in.routers[string(b)]; ok {
		return r, true
	}
	r, ok := parseRouter(b)
	if !ok {
		return nil, false
	}
	if in.routers == nil || len(in.routers) >= maxInterned {
		in.routers = make(map[string]*event.Router)
	}
	in.routers[string(b)] = r
	return r, true
}

func (in *interner) peer(r *event.Router, b []byte) (*event.Peer, bool) {
	if p, ok := in.peers[peerKey{r, string(b)}]; ok {
		return p, true
	}
	p, ok := parsePeer(b, r)
	if !ok {
		return nil, false
	}
	if in.peers == nil || len(in.peers) >= maxInterned {
		in.peers = make(map[peerKey]*event.Peer)
	}
	in.peers[peerKey{r, string(b)}] = p
	return p, true
}

// maxTexts and maxTextLen bound the texts that a reader remembers.
const (
	maxTexts   = 1 << 10
	maxTextLen = 128
)

// text returns b as a string, the same one for texts that come again and again.
func (in *interner) text(b []byte) string {
	if t, ok := in.texts[string(b)]; ok {
		return t
	}
	t := string(b)
	if len(b) > maxTextLen {
		return t
	}
	if in.texts == nil || len(in.texts) >= maxTexts {
		in.texts = make(map[string]string)
	}
	in.texts[t] = t
	return t
}
