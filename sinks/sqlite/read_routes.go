package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
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

// fields are those of "SELECT c.id, " + columnsOfRow.
func (r *row) fields() []any {
	return []any{
		&r.change, &r.received, &r.delta, &r.speaker, &r.family, &r.prefix, &r.pathID, &r.rd, &r.labels, &r.code, &r.plen,
		&r.nlri, &r.attr,
	}
}

// fields are those of columnsOfAttr.
func (a *Attributes) fields() []any {
	return []any{
		&a.Origin, &a.ASPath, &a.OriginAS, &a.NextHop, &a.MED, &a.LocalPref, &a.Communities, &a.LargeCommunities,
		&a.ExtCommunities, &a.Aggregator, &a.AtomicAggregate, &a.OTC, &a.Flags,
	}
}

// who says of a speaker what the views say.
type who struct {
	rib                               int64
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
	query Query
	all   map[int64]*who
}

const speakersQuery = "SELECT s.id, s.rib, b.view, r.collector, r.name, nullif(r.address, ''), nullif(p.address, ''), " +
	"nullif(s.bgp_id, ''), nullif(p.distinguisher, ''), s.asn FROM speaker AS s JOIN rib AS b ON b.id = s.rib " +
	"JOIN peer AS p ON p.id = b.peer JOIN router AS r ON r.id = p.router"

func (s *speakers) load(ctx context.Context, tx *sql.Tx) error {
	rows, err := tx.QueryContext(ctx, speakersQuery)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err has said what there is to say
	s.all = map[int64]*who{}
	for rows.Next() {
		var id int64
		w := &who{}
		err := rows.Scan(&id, &w.rib, &w.view, &w.collector, &w.router, &w.routerAddress, &w.peerAddress, &w.bgpID,
			&w.distinguisher, &w.asn)
		if err != nil {
			return err
		}
		s.all[id] = w
	}
	return rows.Err()
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

// only lets the statement leave out the rows of a table of speakers that the query
// is not about, before it joins anything to them. wanted decides all the same.
func (s *speakers) only(w *where, table string) error {
	q := &s.query
	if q.RIB == event.RIBNone && q.ASN == 0 && q.Router == "" && !q.Peer.IsValid() {
		return nil
	}
	var ids []string
	for id := range s.all {
		who, err := s.wanted(id)
		if err != nil {
			return err
		}
		if who != nil {
			ids = append(ids, strconv.FormatInt(id, 10))
		}
	}
	if len(ids) <= maxSpeakers {
		w.add("+" + table + ".speaker IN (" + strings.Join(ids, ", ") + ")")
	}
	return nil
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

// read runs f in one state of the store with the speakers loaded.
func (r *Reader) read(ctx context.Context, q Query, f func(tx *sql.Tx, s *speakers) error) error {
	tx, err := r.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("sqlite: read: %w", err)
	}
	s := &speakers{query: q}
	if err = s.load(ctx, tx); err == nil {
		err = f(tx, s)
	}
	// Nothing was written; an error of the end says nothing about what was read.
	_ = tx.Rollback()
	if errors.Is(err, errEnough) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sqlite: read: %w", err)
	}
	return nil
}

// each runs a query and hands over its rows; attrs says that they have the
// columns of attr.
func (s *speakers) each(ctx context.Context, tx *sql.Tx, sq statementText, attrs bool, f rowFunc) error {
	rows, err := tx.QueryContext(ctx, sq.sql, sq.args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err has said what there is to say
	for rows.Next() {
		// A new one each time: rows that were handed out point into it.
		r := &row{}
		fields := r.fields()
		if attrs {
			fields = append(fields, r.attrs.fields()...)
		}
		if err := rows.Scan(fields...); err != nil {
			return err
		}
		r.received += changeEpoch
		w, err := s.wanted(r.speaker)
		if err != nil {
			return err
		}
		if w == nil {
			continue
		}
		if err := f(w, r); err != nil {
			return err
		}
	}
	return rows.Err()
}

// eachAt hands over the routes that there were at q.At: of each route the last
// change before, unless it is a withdrawal.
func (s *speakers) eachAt(ctx context.Context, tx *sql.Tx, q Query, f rowFunc) error {
	byID, err := tx.PrepareContext(ctx, "SELECT "+columnsOfAttr+" FROM attr AS a WHERE a.id = ?")
	if err != nil {
		return err
	}
	defer func() { _ = byID.Close() }()
	g := group{last: map[routeID]*row{}}
	sets := map[int64]Attributes{} // many routes share one
	// A peer may have had another AS number when a route ended, so this filter
	// waits until the last change is found.
	asn := s.query.ASN
	s.query.ASN = 0
	give := func() error {
		defer g.reset()
		for _, k := range g.order {
			r := g.last[k]
			w := s.all[r.speaker]
			if r.attr == nil || asn != 0 && w.asn != asn {
				continue
			}
			set, ok := sets[*r.attr]
			if !ok {
				if err := byID.QueryRowContext(ctx, *r.attr).Scan(set.fields()...); err != nil {
					return err
				}
				if len(sets) >= maxSets {
					clear(sets)
				}
				sets[*r.attr] = set
			}
			r.attrs = set
			if err := f(w, r); err != nil {
				return err
			}
		}
		return nil
	}
	var w where
	if err := s.only(&w, "c"); err != nil {
		return err
	}
	err = s.each(ctx, tx, q.at(w), false, func(w *who, r *row) error {
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

// maxSets bounds how many attribute sets eachAt has in memory, at about 1 kB.
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
		err := r.read(ctx, q, func(tx *sql.Tx, s *speakers) error {
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
			if q.At.IsZero() {
				var w where
				if err := s.only(&w, "t"); err != nil {
					return err
				}
				return s.each(ctx, tx, q.routesNow(w), true, give)
			}
			return s.eachAt(ctx, tx, q, give)
		})
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
		err := r.read(ctx, q, func(tx *sql.Tx, s *speakers) error {
			var w where
			if err := s.only(&w, "c"); err != nil {
				return err
			}
			var longestOf longest
			if q.Prefix.IsValid() && q.Match == MatchLongest {
				longestOf = longest{}
				err := s.each(ctx, tx, q.lengths(w), false, func(w *who, r *row) error {
					longestOf.keep(w.rib, r)
					return nil
				})
				if err != nil {
					return err
				}
			}
			return s.each(ctx, tx, q.history(w), true, func(w *who, r *row) error {
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
	return statementText{"SELECT c.id, " + columnsOfRow + ", " + columnsOfAttr + from + joinAttr + w.String() + order, w.args}
}

// lengths finds which RIB has which lengths in the window of time.
func (q *Query) lengths(w where) statementText {
	q.nlri(&w)
	q.window(&w)
	return statementText{"SELECT c.id, " + columnsOfRow + q.fromNLRI() + w.String() + q.order(), w.args}
}

// at finds the changes of state up to q.At, NLRI after NLRI.
func (q *Query) at(w where) statementText {
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
