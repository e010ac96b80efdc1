package postgres

import (
	"context"
	"errors"
	"net/netip"

	"github.com/jackc/pgx/v5"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/history"
)

// knownIdentities bounds the maps of routers, peers and speakers; when one is
// full it starts again, and what is missing is looked up.
const knownIdentities = 1 << 16

type routerKey struct {
	collector     int32
	name, address string
}

type peerKey struct {
	router                 int32
	typ                    event.PeerType
	distinguisher, address string
}

type ribKey struct {
	peer   int32
	view   event.RIB
	family bgp.Family
}

// allFamilies is the family of what is said of a RIB view as a whole.
const allFamilies bgp.Family = 0

type speakerKey struct {
	rib   int32
	asn   uint32
	bgpID string
}

// peerRow is what is known of a peer row.
type peerRow struct {
	id      int32
	state   history.PeerState
	speaker bool // the column is set
}

// ribRow is what is known of a rib row, which is of one family.
type ribRow struct {
	id   int32
	last int64 // received time of the newest route, in microseconds; 0: none
	// saved is last as it is in the store.
	saved int64
}

// speaker is the answer to who said something.
type speaker struct {
	id   int32
	peer *peerRow
	rib  *ribRow
}

// said is an event's origin as it comes: pointers, because Router and Peer
// values are immutable and live for a session.
type said struct {
	collector int32
	router    *event.Router
	peer      *event.Peer
	view      event.RIB
	family    bgp.Family
}

// identities finds and makes the rows that say who said something. It works
// inside the transaction under way, and what it knows of an aborted one is
// forgotten.
type identities struct {
	collector int32 // of the events that come

	routers  map[routerKey]int32
	peers    map[peerKey]*peerRow
	ribs     map[ribKey]*ribRow
	speakers map[speakerKey]int32
	said     map[said]speaker
	// last is the latest answer: most events come from the peer before.
	lastSaid    said
	lastSpeaker speaker
	touched     []*ribRow // ribs whose last is not saved
}

// forget empties the maps.
func (d *identities) forget() {
	d.routers = map[routerKey]int32{}
	d.peers = map[peerKey]*peerRow{}
	d.ribs = map[ribKey]*ribRow{}
	d.speakers = map[speakerKey]int32{}
	d.said = map[said]speaker{}
	d.lastSaid, d.lastSpeaker = said{}, speaker{}
	d.touched = d.touched[:0]
}

// full reports whether it is time to forget, once all is flushed.
func (d *identities) full() bool {
	return max(len(d.routers), len(d.peers), len(d.ribs), len(d.speakers), len(d.said)) >= knownIdentities
}

// inet is the text of an address for a column of that type, without an IPv6
// zone, which the type has not; null for an invalid one.
func inet(a netip.Addr) any {
	if !a.IsValid() {
		return nil
	}
	return a.WithZone("").String()
}

// findOrAdd makes a statement that returns the row of a key; it is made if there
// is none. It returns nothing when somebody else has just made it.
func findOrAdd(table, returning, key, values, equal string) string {
	return "WITH old AS (SELECT " + returning + " FROM " + table + " WHERE " + equal + "), " +
		"new AS (INSERT INTO " + table + " (" + key + ") SELECT " + values + " WHERE NOT EXISTS (SELECT FROM old) ON CONFLICT DO NOTHING RETURNING " + returning + ") " +
		"SELECT * FROM old UNION ALL SELECT * FROM new"
}

var (
	findRouter = findOrAdd("router", "id", "collector, name, address", "$1::int, $2::text, $3::inet",
		"collector = $1::int AND name = $2::text AND address IS NOT DISTINCT FROM $3::inet")
	findPeer = findOrAdd("peer",
		"id, coalesce(up, 0) AS up, coalesce((extract(epoch FROM since) * 1000000)::bigint, 0) AS since, coalesce(session, 0) AS session, "+
			"coalesce(epoch, 0) AS epoch, speaker IS NOT NULL AS heard",
		"router, type, distinguisher, address", "$1::int, $2::smallint, $3::text, $4::inet",
		"router = $1::int AND type = $2::smallint AND distinguisher = $3::text AND address IS NOT DISTINCT FROM $4::inet")
	findRIB = findOrAdd("rib", "id, coalesce((extract(epoch FROM last) * 1000000)::bigint, 0) AS last", "peer, view, family", "$1::int, $2::smallint, $3::int",
		"peer = $1::int AND view = $2::smallint AND family = $3::int")
	findSpeaker = findOrAdd("speaker", "id", "rib, asn, bgp_id", "$1::int, $2::bigint, $3::inet",
		"rib = $1::int AND asn = $2::bigint AND bgp_id IS NOT DISTINCT FROM $3::inet")
)

// connFunc gives a connection once nothing else uses it.
type connFunc func() (*pgx.Conn, error)

// ask runs one of these statements. Only consumers of Kafka make rows of one
// collector at the same time, and of one router only when it changes hands: a
// second look then finds what the other one has committed.
func ask(ctx context.Context, free connFunc, sql string, args []any, to ...any) error {
	conn, err := free()
	if err != nil {
		return err
	}
	err = conn.QueryRow(ctx, sql, args...).Scan(to...)
	if errors.Is(err, pgx.ErrNoRows) {
		err = conn.QueryRow(ctx, sql, args...).Scan(to...)
	}
	return err
}

// router returns the id of a router's row.
func (d *identities) router(ctx context.Context, free connFunc, r *event.Router) (int32, error) {
	k := routerKey{d.collector, r.Name, history.AddrText(r.Address)}
	if id, ok := d.routers[k]; ok {
		return id, nil
	}
	var id int32
	err := ask(ctx, free, findRouter, []any{d.collector, history.Cleaned(k.name), inet(r.Address)}, &id)
	if err == nil {
		d.routers[k] = id
	}
	return id, err
}

// speaker returns who said e, an event with a peer, of a family.
func (d *identities) speaker(ctx context.Context, free connFunc, later *pgx.Batch, e *event.Event, f bgp.Family) (speaker, error) {
	k := said{d.collector, e.Router, e.Peer, e.RIB, f}
	if k == d.lastSaid {
		return d.lastSpeaker, nil
	}
	s, ok := d.said[k]
	if !ok {
		var err error
		if s, err = d.lookUp(ctx, free, later, e, f); err != nil {
			return s, err
		}
		d.said[k] = s
	}
	d.lastSaid, d.lastSpeaker = k, s
	return s, nil
}

// lookUp is speaker by value.
func (d *identities) lookUp(ctx context.Context, free connFunc, later *pgx.Batch, e *event.Event, f bgp.Family) (s speaker, err error) {
	if s.peer, err = d.peer(ctx, free, e); err != nil {
		return s, err
	}
	if s.rib, err = d.rib(ctx, free, ribKey{s.peer.id, e.RIB, f}); err != nil {
		return s, err
	}
	k := speakerKey{s.rib.id, e.Peer.ASN, history.AddrText(e.Peer.BGPID)}
	if s.id = d.speakers[k]; s.id != 0 {
		return s, nil
	}
	if err = ask(ctx, free, findSpeaker, []any{k.rib, int64(k.asn), inet(e.Peer.BGPID)}, &s.id); err != nil {
		return s, err
	}
	d.speakers[k] = s.id
	if !s.peer.speaker {
		later.Queue("UPDATE peer SET speaker = $1 WHERE id = $2 AND speaker IS NULL", s.id, s.peer.id)
		s.peer.speaker = true
	}
	return s, nil
}

func (d *identities) peer(ctx context.Context, free connFunc, e *event.Event) (*peerRow, error) {
	router, err := d.router(ctx, free, e.Router)
	if err != nil {
		return nil, err
	}
	k := peerKey{router: router, typ: e.Peer.Type, address: history.AddrText(e.Peer.Address)}
	if e.Peer.Distinguisher != (bgp.RD{}) {
		k.distinguisher = string(e.Peer.Distinguisher.AppendText(nil))
	}
	if p, ok := d.peers[k]; ok {
		return p, nil
	}
	p := &peerRow{}
	err = ask(ctx, free, findPeer, []any{router, int16(k.typ), k.distinguisher, inet(e.Peer.Address)},
		&p.id, &p.state.Up, &p.state.Since, &p.state.Session, &p.state.Epoch, &p.speaker)
	if err == nil {
		d.peers[k] = p
	}
	return p, err
}

func (d *identities) rib(ctx context.Context, free connFunc, k ribKey) (*ribRow, error) {
	if r, ok := d.ribs[k]; ok {
		return r, nil
	}
	r := &ribRow{}
	err := ask(ctx, free, findRIB, []any{k.peer, int16(k.view), int32(k.family)}, &r.id, &r.last)
	if err == nil {
		r.saved = r.last
		d.ribs[k] = r
	}
	return r, err
}

// heard notes that the RIB had a route at a time.
func (d *identities) heard(r *ribRow, received int64) {
	if received <= r.last {
		return
	}
	if r.last == r.saved {
		d.touched = append(d.touched, r)
	}
	r.last = received
}

// save queues what heard noted.
func (d *identities) save(later *pgx.Batch) {
	for _, r := range d.touched {
		if r.last != r.saved {
			later.Queue("UPDATE rib SET last = $1 WHERE id = $2", at(r.last), r.id)
			r.saved = r.last
		}
	}
	d.touched = d.touched[:0]
}
