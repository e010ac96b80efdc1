package sqlite

import (
	"bytes"
	"crypto/sha256"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"math"
	"strconv"

	"github.com/ribtap/ribtap/bgp"
)

// hashLen is how much of a SHA-256 names an attribute set: 128 bits.
const hashLen = 16

const attrColumns = "id, hash, origin, as_path, origin_as, next_hop, med, local_pref, communities, large_communities, " +
	"ext_communities, aggregator, atomic_aggregate, otc, flags, as4, raw"

// attrs finds and makes attr rows.
type attrs struct {
	known *known
	next  int64

	insert *inserter
	find   *statement
	count  *statement

	// id is the answer for the UPDATE at hand, which nearly always has one next
	// hop; valid iff id != 0.
	id      int64
	family  bgp.Family
	nextHop []byte
	flags   bgp.RouteFlags
	flagged bool

	hash             [sha256.Size]byte
	value, key, text []byte
}

func (t *attrs) prepare(c driver.Conn) (err error) {
	if t.insert, err = newInserter(c, "INSERT INTO attr ("+attrColumns+")", 17, ""); err != nil {
		return err
	}
	return prepareAll(c, []query{
		{&t.find, "SELECT id FROM attr WHERE hash = ?"},
		{&t.count, "SELECT coalesce(max(id), 0) FROM attr"},
	})
}

// reset forgets all but what the file says.
func (t *attrs) reset() error {
	last, _, err := t.count.integer()
	if err != nil {
		return err
	}
	t.insert.drop()
	t.known.reset(last == 0)
	t.next = last + 1
	t.begin()
	return nil
}

// begin forgets the answer for the UPDATE before.
func (t *attrs) begin() { t.id, t.flagged = 0, false }

// of returns the id of the row with the attributes of an announced route. local
// and peer are the AS numbers of the session's two sides.
func (t *attrs) of(u *bgp.Update, s bgp.Session, r *bgp.Route, local, peer uint32) (int64, error) {
	if t.id != 0 && r.NLRI.Family == t.family && bytes.Equal(r.NextHop, t.nextHop) {
		return t.id, nil
	}
	if !t.flagged {
		t.flags, t.flagged = u.Flags(local, peer), true
	}
	t.value = u.AppendValue(t.value[:0], r)
	v, ok := bgp.ParseValue(t.value)
	if !ok {
		return 0, errors.New("sqlite: a stored value does not parse")
	}
	// The key is all that the columns depend on.
	t.key = append(t.key[:0], boolByte(v.AS4), byte(s.Peering))
	t.key = binary.BigEndian.AppendUint32(t.key, uint32(t.flags))
	t.key = binary.BigEndian.AppendUint32(t.key, uint32(r.NLRI.Family))
	t.key = append(t.key, byte(len(r.NextHop)))
	t.key = append(t.key, r.NextHop...)
	t.key = append(t.key, v.Attrs...)
	t.hash = sha256.Sum256(t.key)
	id, err := t.byHash(t.hash[:hashLen], u, r, &v)
	if err != nil {
		return 0, err
	}
	t.id, t.family, t.nextHop = id, r.NLRI.Family, append(t.nextHop[:0], r.NextHop...)
	return id, nil
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func (t *attrs) byHash(hash []byte, u *bgp.Update, r *bgp.Route, v *bgp.Value) (int64, error) {
	// The hash is a good fingerprint already.
	f := fingerprint{hi: binary.BigEndian.Uint64(hash), lo: binary.BigEndian.Uint32(hash[8:])}
	if id := t.known.find(f); id != 0 {
		return int64(id), nil
	}
	if !t.known.complete() {
		id, found, err := t.find.integer(hash)
		if err != nil {
			return 0, err
		}
		if found {
			t.known.add(f, uint32(id))
			return id, nil
		}
	}
	id := t.next
	if id > math.MaxUint32 {
		return 0, errors.New("sqlite: more than 4,294,967,295 attribute sets")
	}
	if err := t.add(id, hash, u, r, v); err != nil {
		return 0, err
	}
	t.next++
	t.known.add(f, uint32(id))
	return id, nil
}

// add decodes the attributes and makes their row.
func (t *attrs) add(id int64, hash []byte, u *bgp.Update, r *bgp.Route, v *bgp.Value) error {
	row := [17]driver.Value{0: id, 1: bytes.Clone(hash)}
	if o, ok := u.Origin(); ok {
		row[2] = o.String()
	}
	if _, ok := u.Attr(bgp.AttrASPath); ok {
		row[3] = string(u.AppendASPath(t.text[:0]))
	}
	if asn, ok := u.OriginAS(); ok {
		row[4] = int64(asn)
	}
	t.text = bgp.AppendNextHop(t.text[:0], r.NLRI.Family, r.NextHop)
	row[5] = textOrNull(t.text)
	if m, ok := u.MED(); ok {
		row[6] = int64(m)
	}
	if p, ok := u.LocalPref(); ok {
		row[7] = int64(p)
	}
	t.text = u.AppendCommunities(t.text[:0])
	row[8] = textOrNull(t.text)
	t.text = u.AppendLargeCommunities(t.text[:0])
	row[9] = textOrNull(t.text)
	t.text = u.AppendExtCommunities(t.text[:0])
	row[10] = textOrNull(t.text)
	if asn, addr, ok := u.Aggregator(); ok {
		t.text = append(strconv.AppendUint(t.text[:0], uint64(asn), 10), ' ')
		row[11] = string(addr.AppendTo(t.text))
	}
	row[12] = u.AtomicAggregate()
	if asn, ok := u.OTC(); ok {
		row[13] = int64(asn)
	}
	t.text = t.flags.AppendText(t.text[:0])
	row[14] = textOrNull(t.text)
	row[15] = v.AS4
	row[16] = append([]byte{}, v.Attrs...)
	return t.insert.add(row[:]...)
}
