package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/history"
)

// The queries below read numbers from the tables where the views show texts;
// who said something comes from a map, which saves a join of five tables a row.
const (
	columnsOfRow  = "c.received, c.delta, c.speaker, n.family, n.prefix, c.path_id - 1, n.rd, c.labels, c.code, n.plen, c.nlri, c.attr"
	columnsOfAttr = "a.origin, a.as_path, a.origin_as, a.next_hop, a.med, a.local_pref, a.communities, a.large_communities, " +
		"a.ext_communities, a.aggregator, a.atomic_aggregate, a.otc, a.flags"
	joinAttr = " LEFT JOIN attr AS a ON a.id = c.attr"
)

// row is one route or change as the tables have it.
type row struct {
	change, received, speaker, code int64
	delta                           *int64
	family                          int64
	prefix, rd                      string
	pathID                          int64
	labels                          *string
	plen                            *int
	nlri                            int64
	attr                            *int64
	attrs                           Attributes
}

// columnsOfRow and columnsOfAttr as places in a row that begins with c.id.
const (
	valuesOfRow  = 13
	valuesOfAttr = 13
)

// scan takes a row of "SELECT c.id, " + columnsOfRow, with columnsOfAttr behind
// them if the row is long enough.
func (r *row) scan(v []driver.Value) {
	r.change, r.received, r.delta, r.speaker = number(v[0]), number(v[1])+changeEpoch, numberOrNull[int64](v[2]), number(v[3])
	r.family, r.prefix, r.pathID, r.rd = number(v[4]), text(v[5]), number(v[6]), text(v[7])
	r.labels, r.code, r.plen, r.nlri, r.attr = textOrNull(v[8]), number(v[9]), numberOrNull[int](v[10]), number(v[11]), numberOrNull[int64](v[12])
	if len(v) > valuesOfRow && r.attr != nil {
		r.attrs.scan(v[valuesOfRow:])
	}
}

// scan takes columnsOfAttr of a set that there is.
func (a *Attributes) scan(v []driver.Value) {
	*a = Attributes{
		Origin: textOrNull(v[0]), ASPath: textOrNull(v[1]), OriginAS: numberOrNull[uint32](v[2]), NextHop: textOrNull(v[3]),
		MED: numberOrNull[uint32](v[4]), LocalPref: numberOrNull[uint32](v[5]), Communities: textOrNull(v[6]),
		LargeCommunities: textOrNull(v[7]), ExtCommunities: textOrNull(v[8]), Aggregator: textOrNull(v[9]),
		OTC: numberOrNull[uint32](v[11]), Flags: textOrNull(v[12]),
	}
	atomic := number(v[10]) != 0
	a.AtomicAggregate = &atomic
}

func number(v driver.Value) int64 {
	n, _ := v.(int64)
	return n
}

func numberOrNull[T int | int64 | uint32](v driver.Value) *T {
	n, ok := v.(int64)
	if !ok {
		return nil
	}
	t := T(n)
	return &t
}

func text(v driver.Value) string {
	s, _ := v.(string)
	return s
}

func textOrNull(v driver.Value) *string {
	s, ok := v.(string)
	if !ok {
		return nil
	}
	return &s
}

// who says of a speaker what the views say.
type who struct {
	rib                               int64
	plain                             bool // see ribState
	view                              event.RIB
	collector, router                 string
	routerAddress, peerAddress, bgpID *string
	distinguisher                     *string
	asn                               uint32
}

func (w *who) key(r *row) RouteKey {
	k := RouteKey{
		Sequence: uint64(r.change) >> history.PositionBits, Position: uint32(r.change & (1<<history.PositionBits - 1)),
		ReceivedAt: Time(r.received), Collector: w.collector, Router: w.router, RouterAddress: w.routerAddress,
		PeerAddress: w.peerAddress, PeerASN: w.asn, PeerBGPID: w.bgpID, PeerDistinguisher: w.distinguisher,
		Family: bgp.Family(r.family).String(), Prefix: r.prefix, Labels: r.labels,
	}
	if r.delta != nil {
		t := Time(r.received + *r.delta)
		k.ObservedAt = &t
	}
	if w.view != event.RIBNone {
		v := w.view.String()
		k.RIB = &v
	}
	if r.pathID != history.NoPathID {
		id := uint32(r.pathID)
		k.PathID = &id
	}
	if r.rd != "" {
		k.RD = &r.rd
	}
	return k
}

// speakers is what is known of the speakers, and which of them a query wants.
type speakers struct {
	query  Query
	all    map[int64]*who
	chosen *chosen // nil until wantedAll
}

const speakersQuery = "SELECT s.id, s.rib, b.plain, b.view, r.collector, r.name, nullif(r.address, ''), nullif(p.address, ''), " +
	"nullif(s.bgp_id, ''), nullif(p.distinguisher, ''), s.asn FROM speaker AS s JOIN rib AS b ON b.id = s.rib " +
	"JOIN peer AS p ON p.id = b.peer JOIN router AS r ON r.id = p.router"

func (s *speakers) load(ctx context.Context, c driver.Conn) error {
	s.all = map[int64]*who{}
	return eachRow(ctx, c, statementText{sql: speakersQuery}, func(v []driver.Value) error {
		s.all[number(v[0])] = &who{
			rib: number(v[1]), plain: number(v[2]) != 0, view: event.RIB(number(v[3])), collector: text(v[4]), router: text(v[5]),
			routerAddress: textOrNull(v[6]), peerAddress: textOrNull(v[7]), bgpID: textOrNull(v[8]), distinguisher: textOrNull(v[9]),
			asn: uint32(number(v[10])),
		}
		return nil
	})
}

// wanted returns who the speaker is; nil when the query is about others.
func (s *speakers) wanted(id int64) (*who, error) {
	w := s.all[id]
	if w == nil {
		return nil, fmt.Errorf("speaker %d is missing", id)
	}
	q := &s.query
	switch {
	case q.RIB != event.RIBNone && w.view != q.RIB,
		q.ASN != 0 && w.asn != q.ASN,
		q.Router != "" && w.router != q.Router && (w.routerAddress == nil || *w.routerAddress != q.Router),
		q.Peer.IsValid() && (w.peerAddress == nil || *w.peerAddress != q.Peer.String()):
		return nil, nil
	}
	return w, nil
}

// maxSpeakers bounds how many speakers a statement names.
const maxSpeakers = 500

// chosen are the speakers that a query is about.
type chosen struct {
	ids   []int64
	list  string // of ids, for a statement; empty when there are too many to name
	plain bool   // all of them are
}

// wantedAll finds them, once.
func (s *speakers) wantedAll() (*chosen, error) {
	if s.chosen != nil {
		return s.chosen, nil
	}
	c := &chosen{plain: true}
	for id := range s.all {
		w, err := s.wanted(id)
		if err != nil {
			return nil, err
		}
		if w != nil {
			c.ids, c.plain = append(c.ids, id), c.plain && w.plain
		}
	}
	slices.Sort(c.ids)
	if len(c.ids) <= maxSpeakers {
		// What no speaker has is asked for as what is of none.
		b := []byte("NULL")
		for _, id := range c.ids {
			b = strconv.AppendInt(append(b, ", "...), id, 10)
		}
		c.list = string(b)
	}
	s.chosen = c
	return c, nil
}

// only lets the statement leave out the rows of a table of speakers that the query
// is not about, before it joins anything to them. wanted decides all the same.
func (s *speakers) only(w *where, table string) error {
	q := &s.query
	if q.RIB == event.RIBNone && q.ASN == 0 && q.Router == "" && !q.Peer.IsValid() {
		return nil
	}
	c, err := s.wantedAll()
	if err == nil && c.list != "" {
		w.add("+" + table + ".speaker IN (" + c.list + ")")
	}
	return err
}

// attributes reports whether the query's filters on attributes let a row
// through. A withdrawal has none to compare.
func (q *Query) attributes(a *Attributes) bool {
	switch {
	case q.OriginAS != 0 && (a.OriginAS == nil || *a.OriginAS != q.OriginAS),
		q.ASPath != nil && (a.ASPath == nil || !q.ASPath.MatchString(*a.ASPath)):
		return false
	}
	return q.Community == "" || hasWord(a.Communities, q.Community) || hasWord(a.LargeCommunities, q.Community) ||
		hasWord(a.ExtCommunities, q.Community)
}

// hasWord reports whether a text of words separated by spaces has a word.
func hasWord(text *string, word string) bool {
	if text == nil {
		return false
	}
	rest, found := *text, true
	for w := ""; found; {
		w, rest, found = strings.Cut(rest, " ")
		if w == word {
			return true
		}
	}
	return false
}

// longest lets only the longest prefixes of a RIB through.
type longest map[longestKey]int

type longestKey struct {
	rib, family int64
	rd          string
}

// keep takes rows in the order of falling length.
func (l longest) keep(rib int64, r *row) bool {
	if r.plen == nil {
		return false
	}
	k := longestKey{rib, r.family, r.rd}
	n, ok := l[k]
	if !ok {
		n = *r.plen
		l[k] = n
	}
	return n == *r.plen
}

// errEnough ends a read early.
var errEnough = errors.New("enough")

// rowFunc takes a row that the query's filters on speakers let through; the row
// is valid during the call.
type rowFunc func(w *who, r *row) error

// read runs f in one state of the store.
func (r *Reader) read(ctx context.Context, q Query, f func(rd *reading) error) error {
	return r.together(ctx, q, 1, func(all []*reading) error { return f(all[0]) })
}

// eachRow runs a query and hands over its rows, valid during the call.
func eachRow(ctx context.Context, c driver.Conn, sq statementText, f func(v []driver.Value) error) error {
	args := make([]driver.NamedValue, len(sq.args))
	for i, v := range sq.args {
		v, err := driver.DefaultParameterConverter.ConvertValue(v)
		if err != nil {
			return err
		}
		args[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	rows, err := c.(driver.QueryerContext).QueryContext(ctx, sq.sql, args)
	if err != nil {
		return err
	}
	v := make([]driver.Value, len(rows.Columns()))
	for err == nil {
		if err = rows.Next(v); err == nil {
			err = f(v)
		}
		if err == nil {
			err = ctx.Err()
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, rows.Close())
}

// each runs a query of columnsOfRow and hands over its rows.
func (rd *reading) each(ctx context.Context, sq statementText, f rowFunc) error {
	return eachRow(ctx, rd.c, sq, func(v []driver.Value) error {
		w, err := rd.s.wanted(number(v[3]))
		if w == nil || err != nil {
			return err
		}
		// A new one each time: rows that were handed out point into it.
		r := &row{}
		r.scan(v)
		return f(w, r)
	})
}

// now hands over the routes that there are.
func (rd *reading) now(ctx context.Context, q Query, f rowFunc) error {
	var w where
	if err := rd.s.only(&w, "t"); err != nil {
		return err
	}
	rd.within(&w, "t.nlri")
	q.origin(&w, "t")
	return rd.each(ctx, q.routesNow(w), f)
}

// at hands over the routes that there were at q.At: of each route the last change
// before, unless it is a withdrawal.
func (rd *reading) at(ctx context.Context, q Query, f rowFunc) error {
	text, joined, err := rd.textAt(q)
	if err != nil {
		return err
	}
	g := group{last: map[routeID]*row{}}
	give := func() error {
		defer g.reset()
		for _, k := range g.order {
			r := g.last[k]
			w := rd.s.all[r.speaker]
			if r.attr == nil || q.ASN != 0 && w.asn != q.ASN {
				continue
			}
			if !joined {
				set, err := rd.set(*r.attr)
				if err != nil {
					return err
				}
				r.attrs = set
			}
			if err := f(w, r); err != nil {
				return err
			}
		}
		return nil
	}
	err = rd.each(ctx, text, func(w *who, r *row) error {
		if len(g.order) > 0 && r.nlri != g.nlri {
			if err := give(); err != nil {
				return err
			}
		}
		g.add(routeID{w.rib, r.pathID}, r)
		return nil
	})
	if err != nil {
		return err
	}
	return give()
}

// set returns an attribute set; many routes share one.
func (rd *reading) set(id int64) (Attributes, error) {
	if set, ok := rd.sets[id]; ok {
		return set, nil
	}
	if rd.setByID == nil {
		var err error
		if rd.setByID, err = prepare(rd.c, "SELECT "+columnsOfAttr+" FROM attr AS a WHERE a.id = ?"); err != nil {
			return Attributes{}, err
		}
	}
	var columns [valuesOfAttr]driver.Value
	found, err := rd.setByID.query(columns[:], id)
	if err == nil && !found {
		err = fmt.Errorf("attribute set %d is missing", id)
	}
	if err != nil {
		return Attributes{}, err
	}
	if len(rd.sets) >= maxSets {
		clear(rd.sets)
	}
	set := Attributes{}
	set.scan(columns[:])
	rd.sets[id] = set
	return set, nil
}

// maxSets bounds how many attribute sets a reading has in memory, at about 1 kB.
const maxSets = 1 << 15

// routeID is what a route of one NLRI is known by.
type routeID struct{ rib, pathID int64 }

// group collects the changes of one NLRI.
type group struct {
	nlri  int64
	last  map[routeID]*row
	order []routeID
}

func (g *group) reset() {
	clear(g.last)
	g.order = g.order[:0]
}

// add keeps the latest change of each route: by the time received, and among
// those of one time by the order of the wire.
func (g *group) add(k routeID, r *row) {
	g.nlri = r.nlri
	old := g.last[k]
	if old == nil {
		g.order = append(g.order, k)
	}
	if old == nil || r.received > old.received || r.received == old.received && r.change > old.change {
		g.last[k] = r
	}
}

// statementText is a SELECT and its arguments.
type statementText struct {
	sql  string
	args []any
}

// Routes gives the routes that there are, or that there were at q.At; with a
// prefix in the order of falling length (MatchLongest, MatchShorter) or rising
// address (MatchLonger).
func (r *Reader) Routes(ctx context.Context, q Query) iter.Seq2[Route, error] {
	return func(yield func(Route, error) bool) {
		left := q.Limit
		long := longest{}
		give := func(w *who, r *row) error {
			if q.Prefix.IsValid() && q.Match == MatchLongest && !long.keep(w.rib, r) || !q.attributes(&r.attrs) {
				return nil
			}
			route := Route{RouteKey: w.key(r), Since: Time(r.received), Changed: r.code&history.CodeChanged != 0, Attributes: r.attrs}
			if !yield(route, nil) {
				return errEnough
			}
			if left--; left == 0 {
				return errEnough
			}
			return nil
		}
		each := func(ctx context.Context, rd *reading, f rowFunc) error {
			if q.At.IsZero() {
				return rd.now(ctx, q, f)
			}
			return rd.at(ctx, q, f)
		}
		about := q
		if !q.At.IsZero() {
			// A peer may have had another AS number when a route ended, so this filter
			// waits until the last change is found.
			about.ASN = 0
		}
		var err error
		if q.byNLRI() || 0 < q.Limit && q.Limit <= fewRoutes {
			err = r.read(ctx, about, func(rd *reading) error { return each(ctx, rd, give) })
		} else {
			err = r.table(ctx, about, each, give)
		}
		if err != nil {
			yield(Route{}, err)
		}
	}
}

// fromNLRI is the tables of a query on route_change, c. CROSS JOIN tells SQLite to
// begin with the NLRI where the query names them.
func (q *Query) fromNLRI() string {
	if q.byNLRI() {
		return " FROM nlri AS n CROSS JOIN route_change AS c ON c.nlri = n.id"
	}
	return " FROM route_change AS c CROSS JOIN nlri AS n ON n.id = c.nlri"
}

// fromRoute is the tables of a query on route, t, with the changes that made them.
func (q *Query) fromRoute() string {
	const change = " CROSS JOIN route_change AS c ON c.id = t.change"
	if q.byNLRI() {
		return " FROM nlri AS n CROSS JOIN route AS t ON t.nlri = n.id" + change
	}
	return " FROM route AS t" + change + " CROSS JOIN nlri AS n ON n.id = t.nlri"
}

// order is the order of Routes.
func (q *Query) order() string {
	switch {
	case !q.Prefix.IsValid():
		return ""
	case q.Match == MatchLonger:
		return " ORDER BY n.addr, n.plen"
	}
	return " ORDER BY n.plen DESC"
}

func (q *Query) routesNow(w where) statementText {
	q.nlri(&w)
	return statementText{
		"SELECT c.id, " + columnsOfRow + ", " + columnsOfAttr + q.fromRoute() + joinAttr + w.String() + q.order(), w.args,
	}
}

// History gives the rows of route_history, in order. MatchLongest is about
// prefixes that have a row in the window of time.
func (r *Reader) History(ctx context.Context, q Query) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		left := q.Limit
		err := r.read(ctx, q, func(rd *reading) error {
			var w where
			if err := rd.s.only(&w, "c"); err != nil {
				return err
			}
			var longestOf longest
			if q.Prefix.IsValid() && q.Match == MatchLongest {
				longestOf = longest{}
				err := rd.each(ctx, q.lengths(w), func(w *who, r *row) error {
					longestOf.keep(w.rib, r)
					return nil
				})
				if err != nil {
					return err
				}
			}
			return rd.each(ctx, q.history(w), func(w *who, r *row) error {
				if longestOf != nil && !longestOf.keep(w.rib, r) || !q.attributes(&r.attrs) {
					return nil
				}
				c := Change{
					RouteKey: w.key(r), Action: bgp.Action(r.code & history.CodeAction).String(), Cause: event.Cause(r.code >> history.CauseShift).String(),
					Changed: r.code&history.CodeChanged != 0, Attributes: r.attrs,
				}
				if !yield(c, nil) {
					return errEnough
				}
				if left--; left == 0 {
					return errEnough
				}
				return nil
			})
		})
		if err != nil {
			yield(Change{}, err)
		}
	}
}

// window adds the bounds of time on route_change.
func (q *Query) window(w *where) {
	if !q.From.IsZero() {
		w.add("c.received >= ?", q.From.UnixMicro()-changeEpoch)
	}
	if !q.To.IsZero() {
		w.add("c.received <= ?", q.To.UnixMicro()-changeEpoch)
	}
}

// origin lets the statement leave out routes of other origins before it joins
// anything to them, where it reads many. attributes decides all the same.
func (q *Query) origin(w *where, table string) {
	if q.OriginAS != 0 && !q.byNLRI() {
		w.add("+"+table+".attr IN (SELECT id FROM attr WHERE origin_as = ?)", int64(q.OriginAS))
	}
}

func (q *Query) history(w where) statementText {
	order := " ORDER BY c.id"
	if q.Newest {
		order += " DESC"
	}
	from := q.fromNLRI()
	if !q.byNLRI() && (!q.From.IsZero() || !q.To.IsZero()) {
		from = " FROM span AS sp CROSS JOIN route_change AS c ON c.id BETWEEN sp.first AND sp.last CROSS JOIN nlri AS n ON n.id = c.nlri"
		order = strings.Replace(order, "c.id", "sp.first", 1) + strings.Replace(order[len(" ORDER BY"):], " ", ", ", 1)
		if !q.From.IsZero() {
			w.add("sp.max_received >= ?", q.From.UnixMicro())
		}
		if !q.To.IsZero() {
			w.add("sp.min_received <= ?", q.To.UnixMicro())
		}
	}
	q.nlri(&w)
	q.window(&w)
	q.origin(&w, "c")
	return statementText{"SELECT c.id, " + columnsOfRow + ", " + columnsOfAttr + from + joinAttr + w.String() + order, w.args}
}

// lengths finds which RIB has which lengths in the window of time.
func (q *Query) lengths(w where) statementText {
	q.nlri(&w)
	q.window(&w)
	return statementText{"SELECT c.id, " + columnsOfRow + q.fromNLRI() + w.String() + q.order(), w.args}
}

// textAt is the statement for at, and whether its rows are joined with attr.
func (rd *reading) textAt(q Query) (text statementText, joined bool, err error) {
	c, err := rd.s.wantedAll()
	if err != nil {
		return text, false, err
	}
	var w where
	if c.plain && c.list != "" {
		rd.within(&w, "n.id")
		return q.lastAt(w, c.list), q.order() == "", nil
	}
	rd.within(&w, "c.nlri")
	err = rd.s.only(&w, "c")
	return q.allUntil(w), false, err
}

// within restricts a statement to the reading's stretch of NLRI.
func (rd *reading) within(w *where, column string) {
	if rd.nlris != nil {
		w.add(column+" BETWEEN ? AND ?", rd.nlris[0], rd.nlris[1])
	}
}

// lastAt finds of each NLRI the last change of state up to q.At of each of some
// speakers, all of them plain: a search of the index for each. What a sort would
// have to carry has no attributes.
func (q *Query) lastAt(w where, speakers string) statementText {
	at := q.At.UnixMicro() - changeEpoch
	bound, args := "", []any{at}
	if !q.byNLRI() {
		// Spans say where to begin; for a few NLRI that would not pay.
		bound = " AND k.id <= (SELECT max(last) FROM span WHERE min_received <= ?)"
		args = append(args, q.At.UnixMicro())
	}
	q.nlri(&w)
	w.add("c.id = (SELECT k.id FROM route_change AS k WHERE k.nlri = n.id AND k.speaker = v.id AND k.received <= ?"+bound+
		fmt.Sprintf(" AND k.code & %d <> 0 ORDER BY k.id DESC LIMIT 1)", history.CodeReal), args...)
	columns, join, order := "", "", q.order()+", n.id"
	if q.order() == "" {
		columns, join, order = ", "+columnsOfAttr, joinAttr, " ORDER BY n.id"
	}
	return statementText{
		"SELECT c.id, " + columnsOfRow + columns + " FROM nlri AS n CROSS JOIN speaker AS v CROSS JOIN route_change AS c" + join +
			w.String() + " AND v.id IN (" + speakers + ")" + order,
		w.args,
	}
}

// allUntil finds the changes of state up to q.At, NLRI after NLRI.
func (q *Query) allUntil(w where) statementText {
	q.nlri(&w)
	w.add("c.received <= ?", q.At.UnixMicro()-changeEpoch)
	w.add(fmt.Sprintf("c.code & %d <> 0", history.CodeReal))
	order := ", c.nlri"
	if q.order() == "" {
		order = " ORDER BY c.nlri"
	}
	from := q.fromNLRI()
	if !q.byNLRI() {
		// The index gives the order, where the planner would sort.
		from = strings.Replace(from, "route_change AS c", "route_change AS c INDEXED BY route_change_nlri", 1)
	}
	return statementText{"SELECT c.id, " + columnsOfRow + from + w.String() + q.order() + order, w.args}
}
