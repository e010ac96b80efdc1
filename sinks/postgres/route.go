package postgres

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/history"
)

// longestKey is how long a key may be that stands for itself; a longer one is
// known by its SHA-256, because an index takes no more than 2,704 octets.
const longestKey = sha256.Size - 1

// stagedMost bounds how many changes of current routes are collected before
// they are merged.
const stagedMost = 1 << 16

// routeID is what a route is known by.
type routeID struct {
	prefix netip.Prefix
	key    string // empty where the prefix says all
	pathID int64
	rib    int32
	family int32
}

// staged is a change of a current route that is not yet merged.
type staged struct {
	routeID
	received, observed int64
	sequence           int64
	position           int32
	speaker            int32
	code               int16
	attr               [history.HashLen]byte // valid for an announcement
	nlri, rd, labels   string                // empty: null
}

func (r *staged) announce() bool { return r.code&history.CodeAction == int16(bgp.Announce) }

// routes collects the rows of route_change, route and attr.
type routes struct {
	all bool // rows for what changed nothing, too

	change copyRows
	route  copyRows
	attr   copyRows

	// Changes of current routes: of several changes of one route the last one
	// decides. late are those for which the RIB had a newer route when they came,
	// as happens when an old file is imported; of them the newest decides.
	stage, late     []staged
	staged, latened map[routeID]int
	merged          bool // stage_route was used in this transaction

	// known are attribute sets that are committed. They are forgotten every day:
	// one that no writer made sure of for long, and that nothing refers to, is
	// deleted with the history that did.
	known    *history.Known
	knownDay int64
	fresh    map[[history.HashLen]byte]struct{}

	families map[bgp.Family]bool // that have a name
	family   bgp.Family          // the last one

	update    bgp.Update
	read      history.Attrs
	key, text []byte
}

const (
	changeColumns = "received, sequence, observed, path_id, speaker, position, family, code, attr, prefix, nlri, rd, key, labels"
	routeColumns  = "received, sequence, observed, path_id, rib, speaker, position, family, code, attr, prefix, nlri, rd, key, labels"
	attrColumns   = "id, " + history.AttrColumns
)

func (t *routes) init(known int) {
	t.change = copyRows{into: "COPY route_change (" + changeColumns + ") FROM STDIN BINARY", columns: 14}
	t.route = copyRows{into: "COPY stage_route (" + routeColumns + ") FROM STDIN BINARY", columns: 15}
	t.attr = copyRows{into: "COPY stage_attr (" + attrColumns + ") FROM STDIN BINARY", columns: 1 + history.AttrCount}
	t.known = history.NewKnown(known)
	t.forget()
}

// forget drops what is not committed.
func (t *routes) forget() {
	t.change.clear()
	t.route.clear()
	t.attr.clear()
	t.stage, t.late = t.stage[:0], t.late[:0]
	t.staged, t.latened = map[routeID]int{}, map[routeID]int{}
	t.fresh = map[[history.HashLen]byte]struct{}{}
	t.families, t.family = map[bgp.Family]bool{}, 0
	for _, f := range bgp.Families() {
		t.families[f] = true
	}
	t.read.Begin()
}

// fingerprint: the hash is a good one already.
func fingerprint(hash *[history.HashLen]byte) history.Fingerprint {
	return history.Fingerprint{Hi: binary.BigEndian.Uint64(hash[:]), Lo: binary.BigEndian.Uint32(hash[8:])}
}

// today forgets the attribute sets that were made sure of on another day.
func (t *routes) today(day int64) {
	if day != t.knownDay {
		t.known.Reset(false)
		t.knownDay = day
	}
}

// committed remembers the attribute sets of the transaction that was committed.
func (t *routes) committed() {
	for hash := range t.fresh {
		t.known.Add(fingerprint(&hash), 1)
	}
	clear(t.fresh)
}

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
	who, err := s.speaker(e)
	if err != nil {
		return err
	}
	row := staged{
		received: history.Micros(e.Received), observed: observedMicros(e), sequence: int64(e.Sequence), speaker: who.id,
		routeID: routeID{rib: who.rib.id},
	}
	late := history.Late(e, who.rib.last)
	t.read.Begin()
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
		row.position = int32(i)
		r := it.Route()
		s.nameFamily(r.NLRI.Family)
		if err := t.add(e, r, m, row, late); err != nil {
			return err
		}
		rows++
	}
	s.who.heard(who.rib, row.received)
	s.uncounted.Row("route_change", rows)
	if t.change.full() || t.attr.full() || len(t.stage)+len(t.late) >= stagedMost {
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
	t.key = history.AppendKey(t.key[:0], n)
	key := t.key
	row.prefix, row.family = n.Prefix, int32(n.Family)
	plain := history.Plain(n, key)
	if !plain {
		if len(key) > longestKey {
			sum := sha256.Sum256(key)
			key = append(t.key[:0], sum[:]...)
		}
		row.key = string(key)
		if !n.Prefix.IsValid() {
			row.nlri = string(n.AppendText(nil))
		}
		if n.HasRD {
			row.rd = string(n.RD.AppendText(nil))
		}
	}
	row.pathID = history.PathID(n)
	row.code = int16(history.Code(e, r, m))
	if r.Action == bgp.Announce {
		if err := t.attributes(e, r); err != nil {
			return err
		}
		row.attr = t.read.Hash
		if len(n.Labels) > 0 {
			t.text = history.AppendLabels(t.text[:0], n.Labels)
			row.labels = string(t.text)
		}
	}
	row.encode(&t.change, false)
	switch {
	case int64(row.code)&history.CodeReal == 0:
	case late:
		t.keepLate(&row)
	default:
		t.keep(&row)
	}
	return nil
}

// attributes makes the row of the route's attribute set, if it may be missing.
func (t *routes) attributes(e *event.Event, r *bgp.Route) error {
	same, err := t.read.Key(e, &t.update, r)
	if same || err != nil {
		return err
	}
	if t.known.Find(fingerprint(&t.read.Hash)) != 0 {
		return nil
	}
	if _, ok := t.fresh[t.read.Hash]; ok {
		return nil
	}
	t.attr.begin()
	t.attr.bytes(t.read.Hash[:])
	for _, v := range t.read.Columns(&t.update, r) {
		t.attr.value(v)
	}
	t.fresh[t.read.Hash] = struct{}{}
	return nil
}

// encode writes the row for route_change, or for stage_route.
func (r *staged) encode(c *copyRows, current bool) {
	c.begin()
	c.time(r.received)
	c.int8(r.sequence)
	c.timeOrNull(r.observed)
	if r.pathID == history.NoPathID && !current {
		c.null()
	} else {
		c.int8(r.pathID)
	}
	if current {
		c.int4(r.rib)
	}
	c.int4(r.speaker)
	c.int4(r.position)
	c.int4(r.family)
	c.int2(r.code)
	if r.announce() {
		c.bytes(r.attr[:])
	} else {
		c.null()
	}
	c.cidr(r.prefix)
	c.textOrNull(r.nlri)
	c.textOrNull(r.rd)
	if r.key == "" && !current {
		c.null()
	} else {
		c.text(r.key)
	}
	c.textOrNull(r.labels)
}

func (t *routes) keep(r *staged) {
	if i, ok := t.staged[r.routeID]; ok {
		t.stage[i] = *r
		return
	}
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

// order is that of the index of table route, so that merging goes through it
// once.
func order(a, b staged) int {
	return cmp.Or(a.prefix.Addr().Compare(b.prefix.Addr()), cmp.Compare(a.prefix.Bits(), b.prefix.Bits()), cmp.Compare(a.rib, b.rib),
		cmp.Compare(a.family, b.family), cmp.Compare(a.pathID, b.pathID), bytes.Compare([]byte(a.key), []byte(b.key)))
}

// The statements that merge. Each one with a %s is run for routes with a prefix
// and for those without, because NULL = NULL would not use the index.
const (
	// In the order of their numbers, so that two writers never wait for each other.
	mergeAttrs = "INSERT INTO attr AS a (" + attrColumns + ") SELECT " + attrColumns + " FROM stage_attr ORDER BY id " +
		"ON CONFLICT (id) DO UPDATE SET seen = excluded.seen WHERE a.seen < excluded.seen"

	isAnnounce   = "s.code & 3 = 1"
	upsertRoutes = "INSERT INTO route (" + routeColumns + ") SELECT " + routeColumns + " FROM stage_route AS s WHERE " + isAnnounce
	onConflict   = " ON CONFLICT (prefix, rib, family, path_id, key) DO UPDATE SET received = excluded.received, sequence = excluded.sequence, " +
		"observed = excluded.observed, speaker = excluded.speaker, position = excluded.position, code = excluded.code, attr = excluded.attr, " +
		"nlri = excluded.nlri, rd = excluded.rd, labels = excluded.labels"
	deleteRoutes = "DELETE FROM route AS r USING stage_route AS s WHERE NOT (" + isAnnounce + ") AND r.rib = s.rib AND r.family = s.family " +
		"AND r.path_id = s.path_id AND r.key = s.key"
	withPrefix    = " AND s.prefix IS NOT NULL AND r.prefix = s.prefix"
	withoutPrefix = " AND s.prefix IS NULL AND r.prefix IS NULL"

	// nothingNewer holds when history knows nothing later about the route. What
	// is older than the horizon has no say, because what followed may be gone.
	nothingNewer = " AND s.received >= (SELECT at FROM horizon) AND NOT EXISTS (SELECT FROM route_change AS r JOIN speaker AS k ON k.id = r.speaker " +
		"WHERE r.received > s.received AND k.rib = s.rib AND r.family = s.family AND coalesce(r.path_id, -1) = s.path_id " +
		"AND coalesce(r.key, '') = s.key"
)

// flushRoutes sends and merges what was collected.
func (s *Sink) flushRoutes() error {
	t := &s.routes
	if err := t.change.send(s.ctx, s.conn); err != nil {
		return err
	}
	if t.attr.n > 0 {
		if err := t.attr.send(s.ctx, s.conn); err != nil {
			return err
		}
		if err := s.exec(mergeAttrs); err != nil {
			return err
		}
		// More may come in this transaction.
		if err := s.exec("TRUNCATE stage_attr"); err != nil {
			return err
		}
	}
	if err := s.merge(&t.stage, t.staged, false); err != nil {
		return err
	}
	return s.merge(&t.late, t.latened, true)
}

// merge brings the table route up to date with the changes.
func (s *Sink) merge(stage *[]staged, index map[routeID]int, late bool) error {
	t, rows := &s.routes, *stage
	if len(rows) == 0 {
		return nil
	}
	if t.merged {
		if err := s.exec("TRUNCATE stage_route"); err != nil {
			return err
		}
	}
	t.merged = true
	slices.SortFunc(rows, order)
	var announced, withdrawn, other bool
	for i := range rows {
		r := &rows[i]
		r.encode(&t.route, true)
		announced, withdrawn = announced || r.announce(), withdrawn || !r.announce()
		other = other || !r.prefix.IsValid()
	}
	clear(rows) // lets go of the strings
	*stage = rows[:0]
	clear(index)
	if err := t.route.send(s.ctx, s.conn); err != nil {
		return err
	}
	// Of those without a prefix there may be none, then their statements are not
	// worth a round trip.
	kinds := []string{withPrefix, withoutPrefix}
	if !other {
		kinds = kinds[:1]
	}
	if announced && !late {
		if err := s.exec(upsertRoutes + onConflict); err != nil {
			return err
		}
	}
	for _, kind := range kinds {
		if announced && late {
			if err := s.exec(upsertRoutes + nothingNewer + kind + ")" + only(kind) + onConflict); err != nil {
				return err
			}
		}
		if withdrawn {
			q := deleteRoutes + kind
			if late {
				q += nothingNewer + kind + ")"
			}
			if err := s.exec(q); err != nil {
				return err
			}
		}
	}
	return nil
}

// only restricts a late upsert to the routes of a kind, outside its subquery.
func only(kind string) string {
	if kind == withPrefix {
		return " AND s.prefix IS NOT NULL"
	}
	return " AND s.prefix IS NULL"
}
