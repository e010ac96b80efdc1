package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
)

// A full table that comes into an empty store writes a million keys in no
// order, and with indexes in place each transaction rewrites most of their
// pages. So while that goes on the indexes of nlri and attr are left out and
// made at once at the end, in half the time. Nothing is looked up by them
// meanwhile, because all that is stored is in memory; a reader scans a table
// that is still small, for as long as the load lasts.
const (
	// bulkBegins is how many new NLRI in one transaction begin a bulk load, if
	// no more than bulkStored were stored before.
	bulkBegins = 1 << 12
	bulkStored = 1 << 16
	// bulkEnds is how many new NLRI in one transaction are too few to go on.
	bulkEnds = 1 << 10
)

// bulk leaves indexes out and makes them again.
type bulk struct {
	on, was bool // now, and before the transaction under way
	conn    driver.Conn

	defers, deferred, done *statement
}

func (b *bulk) prepare(c driver.Conn) error {
	b.conn = c
	return prepareAll(c, []query{
		{&b.defers, "INSERT INTO deferred_index SELECT name, sql FROM sqlite_schema WHERE type = 'index' " +
			"AND name IN ('nlri_prefix', 'nlri_addr', 'attr_hash')"},
		{&b.deferred, "SELECT name, sql FROM deferred_index"},
		{&b.done, "DELETE FROM deferred_index"},
	})
}

// considerBulk begins a bulk load when it pays, and ends it when what is in
// memory is no longer all.
func (s *Sink) considerBulk() error {
	whole := s.nlris.known.Complete() && s.attrs.known.Complete()
	switch {
	case s.bulk.on && !whole:
		if err := s.flush(); err != nil {
			return err
		}
		return s.bulk.restore()
	case s.bulk.on || !whole || s.nlris.fresh < bulkBegins || s.nlris.next-int64(s.nlris.fresh) > bulkStored:
		return nil
	}
	return s.bulk.begin()
}

// begin leaves the indexes out; a transaction is under way.
func (b *bulk) begin() error {
	if err := b.defers.exec(); err != nil {
		return err
	}
	b.on = true
	return b.deferred.eachText(func(name, _ string) error { return b.run("DROP INDEX " + name) })
}

// settle ends a bulk load that brought few new NLRI in the transaction under way.
func (b *bulk) settle(fresh int) error {
	if !b.on || fresh >= bulkEnds {
		return nil
	}
	return b.restore()
}

// restore makes the indexes; a transaction is under way.
func (b *bulk) restore() error {
	if err := b.deferred.eachText(func(_, sql string) error { return b.run(sql) }); err != nil {
		return err
	}
	b.on = false
	err := b.done.exec()
	return err
}

// end is restore in a transaction of its own. It also makes what a process
// that was killed left out.
func (b *bulk) end() error {
	left := false
	if err := b.deferred.eachText(func(_, _ string) error { left = true; return nil }); err != nil || !left {
		return err
	}
	if err := b.run("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := b.restore()
	if err == nil {
		err = b.run("COMMIT")
	}
	if err != nil {
		b.on = true
		return errors.Join(err, b.run("ROLLBACK"))
	}
	return nil
}

func (b *bulk) run(sql string) error {
	_, err := b.conn.(driver.ExecerContext).ExecContext(context.Background(), sql, nil)
	return err
}

// eachText reads all rows of two texts, then hands them over, so that f may
// change the schema.
func (s *statement) eachText(f func(a, b string) error) error {
	var all [][2]string
	err := s.each(2, func(row []driver.Value) error {
		a, _ := row[0].(string)
		b, _ := row[1].(string)
		all = append(all, [2]string{a, b})
		return nil
	})
	if err != nil {
		return err
	}
	for _, t := range all {
		if err := f(t[0], t[1]); err != nil {
			return err
		}
	}
	return nil
}
