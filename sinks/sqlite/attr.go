package sqlite

import (
	"bytes"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"math"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/history"
)

const attrColumns = "id, hash, " + history.AttrColumns

// attrs finds and makes attr rows.
type attrs struct {
	known *history.Known
	next  int64

	insert *inserter
	find   *statement
	count  *statement

	read history.Attrs
	id   int64 // of read.Hash
}

func (t *attrs) prepare(c driver.Conn) (err error) {
	if t.insert, err = newInserter(c, "INSERT INTO attr ("+attrColumns+")", 2+history.AttrCount, ""); err != nil {
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
	t.known.Reset(last == 0)
	t.next = last + 1
	t.read.Begin()
	return nil
}

// of returns the id of the row with the attributes of an announced route.
func (t *attrs) of(e *event.Event, u *bgp.Update, r *bgp.Route) (int64, error) {
	same, err := t.read.Key(e, u, r)
	if !same && err == nil {
		t.id, err = t.byHash(u, r)
	}
	return t.id, err
}

func (t *attrs) byHash(u *bgp.Update, r *bgp.Route) (int64, error) {
	// The hash is a good fingerprint already.
	hash := t.read.Hash[:]
	f := history.Fingerprint{Hi: binary.BigEndian.Uint64(hash), Lo: binary.BigEndian.Uint32(hash[8:])}
	if id := t.known.Find(f); id != 0 {
		return int64(id), nil
	}
	if !t.known.Complete() {
		id, found, err := t.find.integer(hash)
		if err != nil {
			return 0, err
		}
		if found {
			t.known.Add(f, uint32(id))
			return id, nil
		}
	}
	id := t.next
	if id > math.MaxUint32 {
		return 0, errors.New("sqlite: more than 4,294,967,295 attribute sets")
	}
	row := [2 + history.AttrCount]driver.Value{0: id, 1: bytes.Clone(hash)}
	for i, v := range t.read.Columns(u, r) {
		row[2+i] = v
	}
	if err := t.insert.add(row[:]...); err != nil {
		return 0, err
	}
	t.next++
	t.known.Add(f, uint32(id))
	return id, nil
}
