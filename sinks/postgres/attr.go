package postgres

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/history"
)

// attrs gives attribute sets their numbers, and collects the rows of those that
// may be missing. A set is known by its 16-octet hash. Its number is the first
// half of that, so that any number of writers agree on it without talking, also
// after a restore and after retention deleted the set. The other half stands
// beside it in the row (tail): the server refuses a set whose number belongs to
// another one, however that came about, and the transaction is done again with
// the next number of the set.
type attrs struct {
	rows copyRows

	// known are sets that are committed. They are forgotten every day: one that no
	// writer made sure of for long, and that nothing refers to, is deleted with the
	// history that did.
	known    *history.Known
	knownDay int64
	// fresh are those of the transaction under way, by number.
	fresh map[int64][history.HashLen]byte
	// taken says how many numbers of a set belong to others. It holds as long as
	// known at least.
	taken map[[history.HashLen]byte]uint32

	number int64 // of the set that read is about
	read   history.Attrs
}

// takenMost bounds taken. To add to it takes two sets whose hashes begin alike,
// which cost whoever makes them some billions of hashes.
const takenMost = 1 << 16

const (
	attrColumns     = "id, tail, " + history.AttrColumns
	attrColumnCount = 2 + history.AttrCount
)

// In the order of their numbers, so that two writers never wait for each other.
const mergeAttrs = "INSERT INTO attr AS a (" + attrColumns + ") SELECT " + attrColumns + " FROM stage_attr ORDER BY id " +
	"ON CONFLICT (id) DO UPDATE SET seen = greatest(a.seen, excluded.seen), tail = same_attr(a.id, a.tail, excluded.tail) " +
	"WHERE a.seen < excluded.seen OR a.tail <> excluded.tail"

// errNumberTaken says that a set's number is another's; the next attempt uses
// another number.
var errNumberTaken = errors.New("the number of an attribute set is taken")

func (t *attrs) init(known int) {
	t.rows = newAttrRows()
	t.known = history.NewKnown(known)
	t.taken = map[[history.HashLen]byte]uint32{}
	t.forget()
}

// forget drops what is not committed.
func (t *attrs) forget() {
	t.rows.clear()
	t.fresh = map[int64][history.HashLen]byte{}
	t.read.Begin()
}

// today forgets the sets that were made sure of on another day.
func (t *attrs) today(day int64) {
	if day != t.knownDay || len(t.taken) > takenMost {
		t.known.Reset(false)
		clear(t.taken)
		t.knownDay = day
	}
}

// committed remembers the sets of the transaction that was committed.
func (t *attrs) committed() {
	for _, hash := range t.fresh {
		t.known.Add(t.known.Fingerprint(hash[:]), 1)
	}
	clear(t.fresh)
}

// numberOf is the first number of the set that is not known to be another's.
func (t *attrs) numberOf(hash *[history.HashLen]byte) int64 {
	n := t.taken[*hash]
	if n == 0 {
		return int64(binary.BigEndian.Uint64(hash[:]))
	}
	sum := sha256.Sum256(binary.BigEndian.AppendUint32(hash[:history.HashLen:history.HashLen], n))
	return int64(binary.BigEndian.Uint64(sum[:]))
}

// add finds the number of the route's attribute set, and makes the row of the set
// if it may be missing.
func (t *attrs) add(e *event.Event, u *bgp.Update, r *bgp.Route) error {
	same, err := t.read.Key(e, u, r)
	if same || err != nil {
		return err
	}
	hash := &t.read.Hash
	t.number = t.numberOf(hash)
	if t.known.Find(t.known.Fingerprint(hash[:])) != 0 {
		return nil
	}
	if t.isFresh(hash) {
		return nil
	}
	t.rows.begin()
	t.rows.int8(t.number)
	t.rows.int8(int64(binary.BigEndian.Uint64(hash[8:])))
	for _, v := range t.read.Columns(u, r) {
		t.rows.value(v)
	}
	return nil
}

// isFresh reports whether the set has a row in this transaction, and else takes
// its number, the next one if another set of the transaction has that.
func (t *attrs) isFresh(hash *[history.HashLen]byte) bool {
	for {
		other, ok := t.fresh[t.number]
		if !ok {
			t.fresh[t.number] = *hash
			return false
		}
		if other == *hash {
			return true
		}
		t.taken[*hash]++
		t.number = t.numberOf(hash)
	}
}

// refused looks whether the server refused a number, and then gives it up.
func (t *attrs) refused(err error) error {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || pg.Code != "RT001" {
		return err
	}
	number, parseErr := strconv.ParseInt(pg.Detail, 10, 64)
	hash, ok := t.fresh[number]
	if parseErr != nil || !ok {
		return err
	}
	t.taken[hash]++
	return errors.Join(errNumberTaken, err)
}
