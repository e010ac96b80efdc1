package sqlite

import (
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"math"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/history"
)

// nlris finds and makes nlri rows.
type nlris struct {
	known *history.Known
	next  int64 // id of the next row
	fresh int   // rows made since the transaction began
	// missed counts look-ups in the file since known was last reset.
	missed int

	insert     *inserter
	findPrefix *statement
	findKey    *statement
	addFamily  *statement
	all        *statement
	count      *statement
	families   map[bgp.Family]bool

	key, text []byte
	addr      [17]byte
}

const nlriColumns = "id, family, prefix, rd, addr, plen, key"

func (t *nlris) prepare(c driver.Conn) (err error) {
	if t.insert, err = newInserter(c, "INSERT INTO nlri ("+nlriColumns+")", 7, ""); err != nil {
		return err
	}
	return prepareAll(c, []query{
		{&t.findPrefix, "SELECT id FROM nlri WHERE addr = ? AND plen = ? AND family = ? AND key IS NULL"},
		{&t.findKey, "SELECT id FROM nlri WHERE family = ? AND key = ?"},
		{&t.addFamily, "INSERT OR IGNORE INTO family VALUES (?, ?)"},
		{&t.all, "SELECT id, family, addr, plen, key FROM nlri"},
		{&t.count, "SELECT coalesce(max(id), 0) FROM nlri"},
	})
}

// reset forgets all but what the file says.
func (t *nlris) reset() error {
	last, _, err := t.count.integer()
	if err != nil {
		return err
	}
	t.insert.drop()
	t.known.Reset(last == 0)
	t.next, t.fresh, t.missed = last+1, 0, 0
	t.families = map[bgp.Family]bool{}
	return nil
}

// id returns the id of the NLRI's row; the path identifier is not part of it.
func (t *nlris) id(n *bgp.NLRI) (int64, error) {
	t.key = binary.BigEndian.AppendUint32(t.key[:0], uint32(n.Family))
	t.key = history.AppendKey(t.key, n)
	f := t.known.Fingerprint(t.key)
	if id := t.known.Find(f); id != 0 {
		return int64(id), nil
	}
	return t.missing(n, f)
}

// missing looks the NLRI up in the file and makes its row if there is none.
func (t *nlris) missing(n *bgp.NLRI, f history.Fingerprint) (int64, error) {
	addr := t.appendAddr(n)
	key := t.key[4:]
	if !t.known.Complete() {
		id, err := t.lookUp(n, addr, key)
		if err != nil {
			return 0, err
		}
		if id != 0 {
			t.known.Add(f, uint32(id))
			return id, nil
		}
	}
	id := t.next
	if id > math.MaxUint32 {
		return 0, errors.New("sqlite: more than 4,294,967,295 NLRI")
	}
	if !t.families[n.Family] {
		if err := t.addFamily.exec(int64(n.Family), n.Family.String()); err != nil {
			return 0, err
		}
		t.families[n.Family] = true
	}
	if err := t.add(id, n, addr, key); err != nil {
		return 0, err
	}
	t.next++
	t.fresh++
	t.known.Add(f, uint32(id))
	return id, nil
}

func (t *nlris) lookUp(n *bgp.NLRI, addr, key []byte) (id int64, err error) {
	t.missed++
	// Rows that wait in the inserter are in known.
	if history.Plain(n, key) {
		id, _, err = t.findPrefix.integer(addr, int64(n.Prefix.Bits()), int64(n.Family))
	} else {
		id, _, err = t.findKey.integer(int64(n.Family), key)
	}
	return id, err
}

func (t *nlris) add(id int64, n *bgp.NLRI, addr, key []byte) error {
	t.text = n.AppendText(t.text[:0])
	prefix, rd := string(t.text), ""
	if n.HasRD {
		rd = string(n.RD.AppendText(t.text[:0]))
	}
	row := [...]driver.Value{id, int64(n.Family), prefix, rd, nil, nil, nil}
	if len(addr) > 0 {
		row[4], row[5] = append([]byte(nil), addr...), int64(n.Prefix.Bits())
	}
	if !history.Plain(n, key) {
		row[6] = append([]byte{}, key...)
	}
	return t.insert.add(row[:]...)
}

// appendAddr returns the addr column: valid until the next call, empty for an
// NLRI without a prefix.
func (t *nlris) appendAddr(n *bgp.NLRI) []byte {
	if !n.Prefix.IsValid() {
		return nil
	}
	if a := n.Prefix.Addr(); a.Is4() {
		b := a.As4()
		return append(append(t.addr[:0], 4), b[:]...)
	}
	b := n.Prefix.Addr().As16()
	return append(append(t.addr[:0], 6), b[:]...)
}

// learnAfter is the part of the rows that may be looked up one by one before
// reading all of them is less work.
const learnAfter = 32

// learn reads all rows once so many look-ups missed that it pays: after a
// restart a peer that goes down takes a million NLRI with it. The inserter holds
// nothing.
func (t *nlris) learn() error {
	rows := t.next - 1
	if t.known.Complete() || t.known.Forgot() || int64(t.missed)*learnAfter < rows || rows > int64(t.known.Capacity()) {
		return nil
	}
	t.known.Reset(true)
	t.missed = 0
	err := t.all.each(5, func(row []driver.Value) error {
		id, _ := row[0].(int64)
		family, _ := row[1].(int64)
		t.key = binary.BigEndian.AppendUint32(t.key[:0], uint32(family))
		if key, ok := row[4].([]byte); ok {
			t.key = append(t.key, key...)
		} else {
			addr, _ := row[2].([]byte)
			plen, _ := row[3].(int64)
			t.key = append(append(t.key, addr[min(1, len(addr)):]...), byte(plen))
		}
		t.known.Add(t.known.Fingerprint(t.key), uint32(id))
		return nil
	})
	if err != nil {
		t.known.Reset(false)
	}
	return err
}
