package sqlite

import (
	"database/sql/driver"
	"errors"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/history"
)

// knownIdentities bounds the maps of routers, peers and speakers; when one is
// full it starts again, and what is missing is looked up.
const knownIdentities = 1 << 16

type routerKey struct{ name, address string }

type peerKey struct {
	router                 int64
	typ                    event.PeerType
	distinguisher, address string
}

type ribKey struct {
	peer int64
	view event.RIB
}

type speakerKey struct {
	rib   int64
	asn   uint32
	bgpID string
}

// ribState is what is known of a rib row.
type ribState struct {
	id   int64
	last int64 // received time of the newest route, in microseconds
	// plain is set as long as no route had a path identifier or came with an
	// earlier time than one before it: then the last change of an NLRI that a
	// speaker made before some time says what it had at that time.
	plain bool
	// saved are last and plain as they are in the file.
	savedLast  int64
	savedPlain bool
}

// speaker is the answer to who said something.
type speaker struct {
	id   int64
	peer int64
	rib  *ribState
}

// said is an event's origin as it comes: pointers, because Router and Peer
// values are immutable and live for a session.
type said struct {
	router *event.Router
	peer   *event.Peer
	view   event.RIB
}

// identities finds and makes the rows that say who said something.
type identities struct {
	collector string

	routers  map[routerKey]int64
	peers    map[peerKey]int64
	ribs     map[ribKey]*ribState
	speakers map[speakerKey]int64
	said     map[said]speaker
	// last is the latest answer: most events come from the peer before.
	lastSaid    said
	lastSpeaker speaker
	touched     []*ribState // ribs whose last is not saved

	findRouter, addRouter   *statement
	findPeer, addPeer       *statement
	findRIB, addRIB         *statement
	findSpeaker, addSpeaker *statement
	saveRIB, heardOf        *statement
}

func (d *identities) prepare(c driver.Conn) error {
	return prepareAll(c, []query{
		{&d.findRouter, "SELECT id FROM router WHERE collector = ? AND name = ? AND address = ?"},
		{&d.addRouter, "INSERT INTO router (collector, name, address) VALUES (?, ?, ?) RETURNING id"},
		{&d.findPeer, "SELECT id FROM peer WHERE router = ? AND type = ? AND distinguisher = ? AND address = ?"},
		{&d.addPeer, "INSERT INTO peer (router, type, distinguisher, address) VALUES (?, ?, ?, ?) RETURNING id"},
		{&d.findRIB, "SELECT id, last, plain FROM rib WHERE peer = ? AND view = ?"},
		{&d.addRIB, "INSERT INTO rib (peer, view, last, plain) VALUES (?, ?, 0, 1) RETURNING id"},
		{&d.findSpeaker, "SELECT id FROM speaker WHERE rib = ? AND asn = ? AND bgp_id = ?"},
		{&d.addSpeaker, "INSERT INTO speaker (rib, asn, bgp_id) VALUES (?, ?, ?) RETURNING id"},
		{&d.saveRIB, "UPDATE rib SET last = ?, plain = ? WHERE id = ?"},
		{&d.heardOf, "UPDATE peer SET speaker = ? WHERE id = ? AND speaker IS NULL"},
	})
}

// query is a statement to prepare and where it goes.
type query struct {
	to  **statement
	sql string
}

func prepareAll(c driver.Conn, queries []query) (err error) {
	for _, q := range queries {
		if *q.to, err = prepare(c, q.sql); err != nil {
			return err
		}
	}
	return nil
}

// forget empties the maps, because rows that they know may be rolled back.
func (d *identities) forget() {
	d.routers = map[routerKey]int64{}
	d.peers = map[peerKey]int64{}
	d.ribs = map[ribKey]*ribState{}
	d.speakers = map[speakerKey]int64{}
	d.said = map[said]speaker{}
	d.lastSaid, d.lastSpeaker = said{}, speaker{}
	d.touched = d.touched[:0]
}

// room empties a full map.
func room[K comparable, V any](m map[K]V) {
	if len(m) >= knownIdentities {
		clear(m)
	}
}

// findOrAdd is the id of the row with the key; it is made if there is none.
func findOrAdd(find, add *statement, key ...driver.Value) (int64, error) {
	id, found, err := find.integer(key...)
	if found || err != nil {
		return id, err
	}
	id, found, err = add.integer(key...)
	if err == nil && !found {
		err = errors.New("sqlite: INSERT … RETURNING returned nothing")
	}
	return id, err
}

// router returns the id of a router's row.
func (d *identities) router(r *event.Router) (int64, error) {
	k := routerKey{r.Name, history.AddrText(r.Address)}
	if id, ok := d.routers[k]; ok {
		return id, nil
	}
	id, err := findOrAdd(d.findRouter, d.addRouter, d.collector, history.Cleaned(k.name), k.address)
	if err == nil {
		room(d.routers)
		d.routers[k] = id
	}
	return id, err
}

// routerOrNull is router for an event that may have none.
func (d *identities) routerOrNull(r *event.Router) (driver.Value, error) {
	if r == nil {
		return nil, nil
	}
	return d.router(r)
}

// speaker returns who said e, an event with a peer.
func (d *identities) speaker(e *event.Event) (speaker, error) {
	k := said{e.Router, e.Peer, e.RIB}
	if k == d.lastSaid {
		return d.lastSpeaker, nil
	}
	s, ok := d.said[k]
	if !ok {
		var err error
		if s, err = d.lookUp(e); err != nil {
			return s, err
		}
		room(d.said)
		d.said[k] = s
	}
	d.lastSaid, d.lastSpeaker = k, s
	return s, nil
}

// lookUp is speaker by value.
func (d *identities) lookUp(e *event.Event) (s speaker, err error) {
	if s.peer, err = d.peer(e); err != nil {
		return s, err
	}
	if s.rib, err = d.rib(ribKey{s.peer, e.RIB}); err != nil {
		return s, err
	}
	k := speakerKey{s.rib.id, e.Peer.ASN, history.AddrText(e.Peer.BGPID)}
	if s.id = d.speakers[k]; s.id != 0 {
		return s, nil
	}
	if s.id, err = findOrAdd(d.findSpeaker, d.addSpeaker, k.rib, int64(k.asn), k.bgpID); err != nil {
		return s, err
	}
	room(d.speakers)
	d.speakers[k] = s.id
	err = d.heardOf.exec(s.id, s.peer)
	return s, err
}

func (d *identities) peer(e *event.Event) (int64, error) {
	router, err := d.router(e.Router)
	if err != nil {
		return 0, err
	}
	k := peerKey{router: router, typ: e.Peer.Type, address: history.AddrText(e.Peer.Address)}
	if e.Peer.Distinguisher != (bgp.RD{}) {
		k.distinguisher = string(e.Peer.Distinguisher.AppendText(nil))
	}
	if id, ok := d.peers[k]; ok {
		return id, nil
	}
	id, err := findOrAdd(d.findPeer, d.addPeer, k.router, int64(k.typ), k.distinguisher, k.address)
	if err == nil {
		room(d.peers)
		d.peers[k] = id
	}
	return id, err
}

func (d *identities) rib(k ribKey) (*ribState, error) {
	if r, ok := d.ribs[k]; ok {
		return r, nil
	}
	var row [3]driver.Value
	found, err := d.findRIB.query(row[:], k.peer, int64(k.view))
	if err != nil {
		return nil, err
	}
	r := &ribState{plain: true, savedPlain: true}
	if found {
		r.id, _ = row[0].(int64)
		r.last, _ = row[1].(int64)
		r.plain = row[2] == int64(1)
		r.savedLast, r.savedPlain = r.last, r.plain
	} else if r.id, _, err = d.addRIB.integer(k.peer, int64(k.view)); err != nil {
		return nil, err
	}
	if len(d.ribs) >= knownIdentities {
		// What was not saved yet must be found again in the file.
		if err := d.save(); err != nil {
			return nil, err
		}
		clear(d.ribs)
		clear(d.said)
		d.lastSaid = said{}
	}
	d.ribs[k] = r
	return r, nil
}

// heard notes that the RIB had a route at a time, and whether with a path
// identifier.
func (d *identities) heard(r *ribState, received int64, paths bool) {
	was := *r
	r.plain = r.plain && !paths && received >= r.last
	r.last = max(r.last, received)
	if was != *r && was.isSaved() {
		d.touched = append(d.touched, r)
	}
}

func (r *ribState) isSaved() bool { return r.last == r.savedLast && r.plain == r.savedPlain }

// save writes down what heard noted.
func (d *identities) save() error {
	for _, r := range d.touched {
		if r.isSaved() {
			continue
		}
		if err := d.saveRIB.exec(r.last, r.plain, r.id); err != nil {
			return err
		}
		r.savedLast, r.savedPlain = r.last, r.plain
	}
	d.touched = d.touched[:0]
	return nil
}
