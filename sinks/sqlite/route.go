package sqlite

import (
	"cmp"
	"database/sql/driver"
	"slices"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/history"
)

// stagedMost bounds how many changes of current routes are collected before
// they are written, in the order of the table instead of that of the wire.
const stagedMost = 1 << 16

// staged is a change of a current route that is not yet written.
type staged struct {
	nlri, rib, pathID int64 // pathID is the identifier + 1; 0: none
	change            int64
	received          int64 // as sinceEpoch makes it
	delta             driver.Value
	speaker, code     int64
	attr, labels      driver.Value
	// late is set when the RIB had a newer route when this one came, as happens
	// when an old file is imported.
	late bool
}

// routes writes route_change and route.
type routes struct {
	all bool // rows for what changed nothing, too

	change     *inserter
	upsert     *inserter
	remove     *statement
	upsertLate *statement
	removeLate *statement
	addSpan    *statement
	lastSpan   *statement

	stage []staged
	order []int32 // of stage
	span  span

	update bgp.Update
	text   []byte
}

// span is a row of the table of that name: what is being filled.
type span struct{ first, last, min, max, changes int64 }

// spanChanges is how many changes a span covers before the next one begins.
const spanChanges = 8192

const (
	changeColumns = "id, received, delta, speaker, nlri, path_id, code, attr, labels"
	routeColumns  = "nlri, rib, path_id, change, speaker, attr"
	onConflict    = " ON CONFLICT DO UPDATE SET change = excluded.change, speaker = excluded.speaker, attr = excluded.attr"
	// nothingNewer holds when history knows nothing later about the route.
	nothingNewer = " NOT EXISTS (SELECT 1 FROM route_change AS c JOIN speaker AS s ON s.id = c.speaker " +
		"WHERE c.nlri = ?1 AND s.rib = ?2 AND c.path_id = ?3 AND c.received > ?5)"
)

func (t *routes) prepare(c driver.Conn) (err error) {
	if t.change, err = newInserter(c, "INSERT INTO route_change ("+changeColumns+")", 9, ""); err != nil {
		return err
	}
	if t.upsert, err = newInserter(c, "INSERT INTO route ("+routeColumns+")", 6, onConflict); err != nil {
		return err
	}
	return prepareAll(c, []query{
		{&t.remove, "DELETE FROM route WHERE nlri = ? AND rib = ? AND path_id = ?"},
		{
			&t.upsertLate,
			"INSERT INTO route (" + routeColumns + ") SELECT ?1, ?2, ?3, ?4, ?6, ?7 WHERE" + nothingNewer + onConflict,
		},
		{&t.removeLate, "DELETE FROM route WHERE nlri = ?1 AND rib = ?2 AND path_id = ?3 AND ?4 = ?4 AND" + nothingNewer},
		{&t.addSpan, "INSERT OR REPLACE INTO span (first, last, min_received, max_received, changes) VALUES (?, ?, ?, ?, ?)"},
		{&t.lastSpan, "SELECT first, last, min_received, max_received, changes FROM span ORDER BY first DESC LIMIT 1"},
	})
}

// reset forgets all but what the file says.
func (t *routes) reset() error {
	t.change.drop()
	t.upsert.drop()
	t.stage = t.stage[:0]
	t.span = span{}
	var row [5]driver.Value
	found, err := t.lastSpan.query(row[:])
	if !found || err != nil {
		return err
	}
	for i, to := range [...]*int64{&t.span.first, &t.span.last, &t.span.min, &t.span.max, &t.span.changes} {
		*to, _ = row[i].(int64)
	}
	return nil
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
	who, err := s.who.speaker(e)
	if err != nil {
		return err
	}
	row := staged{rib: who.rib.id, speaker: who.id, received: sinceEpoch(e.Received), delta: history.Delta(e)}
	row.late = history.Late(e, who.rib.last)
	s.attrs.read.Begin()
	rows, paths := 0, false
	it := t.update.Routes()
	for i := 0; it.Next(); i++ {
		m := e.Mark(i)
		if m == 0 && !t.all {
			continue
		}
		if i >= 1<<history.PositionBits {
			return s.Anomaly(e, history.AnomalyRefused, "more than 65,536 routes")
		}
		row.change = int64(e.Sequence)<<history.PositionBits | int64(i)
		r := it.Route()
		if err := s.oneRoute(e, r, m, row); err != nil {
			return err
		}
		rows++
		paths = paths || history.PathID(&r.NLRI) != history.NoPathID
	}
	s.who.heard(who.rib, history.Micros(e.Received), paths)
	s.uncounted.Row("route_change", rows)
	return s.considerBulk()
}

// oneRoute writes the rows of one route; row has what is the event's.
func (s *Sink) oneRoute(e *event.Event, r *bgp.Route, m event.Mark, row staged) (err error) {
	t := &s.routes
	if row.nlri, err = s.nlris.id(&r.NLRI); err != nil {
		return err
	}
	row.pathID = history.PathID(&r.NLRI) - history.NoPathID
	row.code = history.Code(e, r, m)
	if r.Action == bgp.Announce {
		id, err := s.attrs.of(e, &t.update, r)
		if err != nil {
			return err
		}
		row.attr = id
		row.labels = t.labels(r.NLRI.Labels)
	}
	err = t.change.add(row.change, row.received, row.delta, row.speaker, row.nlri, row.pathID, row.code, row.attr, row.labels)
	if err != nil {
		return err
	}
	if err := t.cover(row.change, history.Micros(e.Received)); err != nil {
		return err
	}
	if row.code&history.CodeReal == 0 {
		return nil
	}
	t.stage = append(t.stage, row)
	if len(t.stage) < stagedMost {
		return nil
	}
	return s.flushRoutes()
}

// labels is the column of that name.
func (t *routes) labels(fields []byte) driver.Value {
	if len(fields) == 0 {
		return nil
	}
	t.text = history.AppendLabels(t.text[:0], fields)
	return history.TextOrNull(t.text)
}

// flushRoutes writes what is staged and what the inserters hold.
func (s *Sink) flushRoutes() error {
	for _, in := range [...]*inserter{s.nlris.insert, s.attrs.insert, s.routes.change} {
		if err := in.flush(); err != nil {
			return err
		}
	}
	if err := s.routes.apply(); err != nil {
		return err
	}
	return s.nlris.learn()
}

// apply brings the table route up to date. Of several changes of one route the
// last decides, so that the order between different routes is free: they are
// written in the order of the table, announcements many at a time.
func (t *routes) apply() error {
	t.order = t.order[:0]
	for i := range t.stage {
		t.order = append(t.order, int32(i))
	}
	compare := func(a, b int32) int { return t.stage[a].compare(&t.stage[b]) }
	if !slices.IsSortedFunc(t.order, compare) {
		slices.SortFunc(t.order, compare)
	}
	for i, at := range t.order {
		r := &t.stage[at]
		if !r.late && i+1 < len(t.order) && r.sameRoute(&t.stage[t.order[i+1]]) {
			continue
		}
		if err := t.write(r); err != nil {
			return err
		}
	}
	clear(t.stage) // lets go of the values
	t.stage = t.stage[:0]
	return t.upsert.flush()
}

// compare orders late changes behind all others, then by route, then by time.
func (r *staged) compare(o *staged) int {
	if r.late != o.late {
		if o.late {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(r.nlri, o.nlri), cmp.Compare(r.rib, o.rib), cmp.Compare(r.pathID, o.pathID),
		cmp.Compare(r.change, o.change))
}

// sameRoute reports whether o is another change, not a late one, of r's route.
func (r *staged) sameRoute(o *staged) bool {
	return !o.late && r.nlri == o.nlri && r.rib == o.rib && r.pathID == o.pathID
}

func (t *routes) write(r *staged) error {
	announce := r.code&history.CodeAction == int64(bgp.Announce)
	switch {
	case r.late:
		return t.writeLate(r, announce)
	case announce:
		return t.upsert.add(r.nlri, r.rib, r.pathID, r.change, r.speaker, r.attr)
	}
	err := t.remove.exec(r.nlri, r.rib, r.pathID)
	return err
}

// writeLate lets a late change through unless history knows something newer.
// All of this stretch's history is written by now.
func (t *routes) writeLate(r *staged, announce bool) error {
	if err := t.upsert.flush(); err != nil {
		return err
	}
	if announce {
		err := t.upsertLate.exec(r.nlri, r.rib, r.pathID, r.change, r.received, r.speaker, r.attr)
		return err
	}
	err := t.removeLate.exec(r.nlri, r.rib, r.pathID, r.change, r.received)
	return err
}

// cover notes a change in the span being filled.
func (t *routes) cover(change, received int64) error {
	sp := &t.span
	if sp.changes >= spanChanges {
		if err := t.saveSpan(); err != nil {
			return err
		}
		*sp = span{}
	}
	if sp.changes == 0 {
		*sp = span{first: change, min: received, max: received}
	}
	sp.last, sp.min, sp.max = change, min(sp.min, received), max(sp.max, received)
	sp.changes++
	return nil
}

// saveSpan writes the span being filled.
func (t *routes) saveSpan() error {
	sp := &t.span
	if sp.changes == 0 {
		return nil
	}
	err := t.addSpan.exec(sp.first, sp.last, sp.min, sp.max, sp.changes)
	return err
}
