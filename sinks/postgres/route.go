package postgres

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/history"
)

// longestKey is how long a key may be that stands for itself; a longer one is
// known by its SHA-256, because an index takes no more than 2,704 octets.
const longestKey = sha256.Size - 1

// stagedMost bounds how many changes of current routes are collected before
// they are sent and merged, while the next are collected: few enough for both
// sides to have work, and many enough for the round trips not to count.
const stagedMost = 1 << 13

// routeID is what a route is known by.
type routeID struct {
	prefix netip.Prefix
	key    string // column key of table route
	rib    int32  // of one family
}

// staged is a change of a route.
type staged struct {
	routeID
	received, observed int64
	event              int64 // the column
	pathID             int64
	attr               int64 // valid for an announcement
	speaker            int32
	code               byte
	// fresh says that the route was not there before what is staged of it.
	fresh            bool
	nlri, rd, labels string // empty: null
}

// The column code: seven bits, because text of a "char" with the eighth set is not
// valid UTF-8, and a dump with it could not be restored.
const (
	codeAnnounce   = 1
	codeMarks      = 3 // event.MarkChanged and event.MarkState
	codeMarksShift = 1
	codeReal       = codeMarks << codeMarksShift // see history.CodeReal
	codeCause      = 15
	codeCauseShift = 3
)

const _ = uint(codeCause - 1 - event.CauseCorrupt) // all causes have room

// codeOf is the column code; a cause without a name is the largest.
func codeOf(e *event.Event, r *bgp.Route, m event.Mark) byte {
	c := byte(m)&codeMarks<<codeMarksShift | byte(min(e.RouteCause(r), codeCause))<<codeCauseShift
	if r.Action == bgp.Announce {
		c |= codeAnnounce
	}
	return c
}

func (r *staged) announce() bool { return r.code&codeAnnounce != 0 }

// routes collects the rows of route_change, route and attr.
type routes struct {
	all bool // rows for what changed nothing, too

	change copyRows
	attrs  attrs

	// Changes of current routes: of several changes of one route the last one
	// decides. late are those for which the RIB had a newer route when they came,
	// as happens when an old file is imported; of them the newest decides.
	stage, late     []staged
	staged, latened map[routeID]int
	// merge and mergeLate are for what stage and late become.
	merge, mergeLate mergeRows

	sending delivery // what was collected before

	families map[bgp.Family]bool // that have a name
	family   bgp.Family          // the last one

	update    bgp.Update
	key, text []byte
}

const (
	changeColumns = "received, event, attr, speaker, delay, code, prefix, more"
	routeColumns  = "received, event, attr, rib, speaker, delay, code, prefix, key, more"
)

func (t *routes) init(known int) {
	t.change = newChangeRows()
	t.attrs.init(known)
	t.sending.change, t.sending.attrs = newChangeRows(), newAttrRows()
	for _, m := range []*mergeRows{&t.merge, &t.mergeLate, &t.sending.merge, &t.sending.mergeLate} {
		m.copyRows = copyRows{into: copyStage, columns: 10}
		m.fresh = copyRows{into: "COPY route (" + routeColumns + ") FROM STDIN BINARY", columns: 10}
	}
	t.forget()
}

// forget drops what is not committed.
func (t *routes) forget() {
	t.change.clear()
	t.attrs.forget()
	t.sending.clear()
	t.stage, t.late = t.stage[:0], t.late[:0]
	t.staged, t.latened = map[routeID]int{}, map[routeID]int{}
	t.families, t.family = map[bgp.Family]bool{}, 0
	for _, f := range bgp.Families() {
		t.families[f] = true
	}
}

// sequenceMost is the largest sequence that column event has room for: 140 million
// million events of a collector.
const sequenceMost = 1<<(63-history.PositionBits) - 1

// Route implements history.Store.
func (s *Sink) Route(e *event.Event) error {
	t := &s.routes
	if e.Flags&event.FlagDropped == 0 && !history.AnyWanted(e, t.all) {
		return nil
	}
	t.update.Parse(e.PDU, e.Session)
	if e.Flags&event.FlagDropped != 0 || t.update.Verdict() == bgp.VerdictSessionReset {
		return s.Anomaly(e, history.AnomalyUnreadable, history.Unreadable(&t.update))
	}
	if e.Sequence > sequenceMost {
		return s.Anomaly(e, history.AnomalyRefused, "the sequence is too large")
	}
	t.attrs.read.Begin()
	var who speaker
	var late bool
	var family bgp.Family
	rows := 0
	it := t.update.Routes()
	for i := 0; it.Next(); i++ {
		m := e.Mark(i)
		if m == 0 && !t.all {
			continue
		}
		if i >= 1<<history.PositionBits {
			return s.Anomaly(e, history.AnomalyRefused, "more than 65,536 routes")
		}
		r := it.Route()
		if rows == 0 || r.NLRI.Family != family {
			var err error
			if who, err = s.speaker(e, r.NLRI.Family); err != nil {
				return err
			}
			family, late = r.NLRI.Family, history.Late(e, who.rib.last)
			s.who.heard(who.rib, history.Micros(e.Received))
			s.nameFamily(family)
		}
		row := staged{
			received: history.Micros(e.Received), observed: observedMicros(e), event: int64(e.Sequence)<<history.PositionBits | int64(i),
			speaker: who.id, routeID: routeID{rib: who.rib.id},
		}
		if err := t.add(e, r, m, row, late); err != nil {
			return err
		}
		rows++
	}
	if rows == 0 {
		who, err := s.speaker(e, allFamilies)
		if err != nil {
			return err
		}
		s.who.heard(who.rib, history.Micros(e.Received))
	}
	s.uncounted.Row("route_change", rows)
	if t.change.full() || t.attrs.rows.full() || len(t.stage)+len(t.late) >= stagedMost {
		return s.flushRoutes()
	}
	return nil
}

// nameFamily makes the row of a family that has no name of its own.
func (s *Sink) nameFamily(f bgp.Family) {
	t := &s.routes
	if f == t.family {
		return
	}
	t.family = f
	if !t.families[f] {
		s.later.Queue("INSERT INTO family (id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING", int32(f), f.String())
		t.families[f] = true
	}
}

// add encodes one route; row has what is the event's.
func (t *routes) add(e *event.Event, r *bgp.Route, m event.Mark, row staged, late bool) error {
	n := &r.NLRI
	row.prefix, row.pathID, row.code = n.Prefix, history.PathID(n), codeOf(e, r, m)
	t.key = history.AppendKey(t.key[:0], n)
	key := t.key
	if history.Plain(n, key) {
		key = nil
	} else {
		if len(key) > longestKey {
			sum := sha256.Sum256(key)
			key = sum[:]
		}
		if !n.Prefix.IsValid() {
			row.nlri = string(n.AppendText(nil))
		}
		if n.HasRD {
			row.rd = string(n.RD.AppendText(nil))
		}
	}
	row.name(key)
	if r.Action == bgp.Announce {
		if err := t.attrs.add(e, &t.update, r); err != nil {
			return err
		}
		row.attr = t.attrs.number
		if len(n.Labels) > 0 {
			t.text = history.AppendLabels(t.text[:0], n.Labels)
			row.labels = string(t.text)
		}
	}
	row.encode(&t.change, false)
	switch {
	case row.code&codeReal == 0:
	case late:
		t.keepLate(&row)
	default:
		t.keep(&row)
	}
	return nil
}

// name makes the column key of table route: nothing where the prefix says all,
// else an octet that is 1 if a path identifier of four octets follows, and 0 if
// not; then the NLRI's key.
func (r *staged) name(key []byte) {
	if r.pathID == history.NoPathID && len(key) == 0 {
		return
	}
	var b [1 + 4 + sha256.Size]byte
	name := b[:1]
	if r.pathID != history.NoPathID {
		b[0] = 1
		name = binary.BigEndian.AppendUint32(name, uint32(r.pathID))
	}
	r.key = string(append(name, key...))
}

// nlriKey is the key that name was given.
func (r *staged) nlriKey() string {
	switch {
	case r.key == "":
		return ""
	case r.pathID != history.NoPathID:
		return r.key[5:]
	}
	return r.key[1:]
}

// delay is the column of that name; without ok, observed is null or too far away.
func (r *staged) delay() (us int32, ok bool) {
	d := r.received - r.observed
	return int32(d), r.observed != 0 && d == int64(int32(d))
}

// encode writes the row for route_change, or for stage_route.
func (r *staged) encode(c *copyRows, current bool) {
	c.begin()
	c.time(r.received)
	c.int8(r.event)
	if r.announce() {
		c.int8(r.attr)
	} else {
		c.null()
	}
	if current {
		c.int4(r.rib)
	}
	c.int4(r.speaker)
	if delay, ok := r.delay(); ok {
		c.int4(delay)
	} else {
		c.null()
	}
	c.char(r.code)
	c.cidr(r.prefix)
	if current {
		c.text(r.key)
	}
	r.encodeMore(c)
}

// encodeMore writes the column more, a route_more.
func (r *staged) encodeMore(c *copyRows) {
	_, near := r.delay()
	far := r.observed != 0 && !near
	if r.key == "" && r.labels == "" && r.nlri == "" && r.rd == "" && !far {
		c.null()
		return
	}
	start := c.beginRecord(6)
	c.field(pgtype.Int8OID)
	if r.pathID == history.NoPathID {
		c.null()
	} else {
		c.int8(r.pathID)
	}
	c.field(pgtype.TimestamptzOID)
	if far {
		c.time(r.observed)
	} else {
		c.null()
	}
	c.field(pgtype.TextOID)
	c.textOrNull(r.nlri)
	c.field(pgtype.TextOID)
	c.textOrNull(r.rd)
	c.field(pgtype.ByteaOID)
	c.textOrNull(r.nlriKey())
	c.field(pgtype.TextOID)
	c.textOrNull(r.labels)
	c.endRecord(start)
}

func (t *routes) keep(r *staged) {
	if i, ok := t.staged[r.routeID]; ok {
		r.fresh = t.stage[i].fresh
		t.stage[i] = *r
		return
	}
	r.fresh = r.announce() && r.code>>codeMarksShift&byte(event.MarkState) != 0
	t.staged[r.routeID] = len(t.stage)
	t.stage = append(t.stage, *r)
}

func (t *routes) keepLate(r *staged) {
	if i, ok := t.latened[r.routeID]; ok {
		if r.received >= t.late[i].received {
			t.late[i] = *r
		}
		return
	}
	t.latened[r.routeID] = len(t.late)
	t.late = append(t.late, *r)
}

// order is that of the index of table route.
func order(a, b staged) int {
	return cmp.Or(a.prefix.Addr().Compare(b.prefix.Addr()), cmp.Compare(a.prefix.Bits(), b.prefix.Bits()), cmp.Compare(a.rib, b.rib),
		strings.Compare(a.key, b.key))
}
