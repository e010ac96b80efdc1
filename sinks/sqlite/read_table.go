package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"runtime"
	"sync"
)

// A whole table is read by several connections, a stretch of NLRI each, because
// one spends about 6 µs on a route. They see the same state of the store, and
// what they read is handed over in the order of the NLRI.
const (
	tableReaders = 4
	// stretchRoutes is about how many routes a reader takes at once, if each
	// speaker has one of each NLRI. Many have few, so that NLRI there are stretchLeast
	// at least, or there would be more statements than routes; and stretchMost at most.
	stretchRoutes = 1 << 13
	stretchLeast  = 1 << 7
	stretchMost   = 1 << 12
	// fewRoutes is how many one connection reads sooner than several.
	fewRoutes = 1 << 14
	// A reader whose turn has not come waits when it has so many pieces of rows.
	pieceRows   = 1 << 10
	piecesAhead = 8
)

// reading is one connection's part of a read.
type reading struct {
	c driver.Conn
	s *speakers
	// nlris bounds the NLRI; nil does not.
	nlris *[2]int64

	sets    map[int64]Attributes
	setByID *statement
}

// found is a row that a reader found.
type found struct {
	w *who
	r *row
}

// stretch is what a reader is to read next. Rows come through out, which is closed
// behind them; then err is set.
type stretch struct {
	nlris [2]int64
	out   chan []found
	err   error
}

// readFunc hands over the rows of a reading.
type readFunc func(ctx context.Context, rd *reading, f rowFunc) error

// table is read for whole tables: each is called for one stretch after another,
// by several goroutines, and f by this one.
func (r *Reader) table(ctx context.Context, q Query, each readFunc, f rowFunc) error {
	return r.together(ctx, q, min(tableReaders, runtime.GOMAXPROCS(0)), func(all []*reading) error {
		var last int64
		err := eachRow(ctx, all[0].c, statementText{sql: "SELECT max(id) FROM nlri"}, func(v []driver.Value) error {
			last = number(v[0])
			return nil
		})
		if err != nil {
			return err
		}
		wanted, err := all[0].s.wantedAll()
		if err != nil {
			return err
		}
		step := int64(min(max(stretchRoutes/max(len(wanted.ids), 1), stretchLeast), r.stretchMost))
		if last <= step {
			return each(ctx, all[0], f)
		}
		ctx, cancel := context.WithCancel(ctx)
		var g sync.WaitGroup
		defer g.Wait()
		defer cancel()
		inOrder, work := make(chan *stretch, len(all)), make(chan *stretch)
		g.Go(func() {
			defer close(work)
			defer close(inOrder)
			for first := int64(0); first <= last; first += step {
				st := &stretch{nlris: [2]int64{first, first + step - 1}, out: make(chan []found, piecesAhead)}
				// One that is in order has a reader, who closes it whatever happens.
				for _, to := range []chan *stretch{work, inOrder} {
					select {
					case to <- st:
					case <-ctx.Done():
						return
					}
				}
			}
		})
		for _, rd := range all {
			g.Go(func() {
				for st := range work {
					st.read(ctx, rd, each)
				}
			})
		}
		for st := range inOrder {
			for piece := range st.out {
				for _, one := range piece {
					if err := f(one.w, one.r); err != nil {
						return err
					}
				}
			}
			if st.err != nil {
				return st.err
			}
		}
		return ctx.Err()
	})
}

// read reads the stretch.
func (st *stretch) read(ctx context.Context, rd *reading, each readFunc) {
	defer close(st.out)
	rd.nlris = &st.nlris
	piece := make([]found, 0, pieceRows)
	send := func() error {
		select {
		case st.out <- piece:
			piece = make([]found, 0, pieceRows)
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	st.err = each(ctx, rd, func(w *who, r *row) error {
		if piece = append(piece, found{w, r}); len(piece) < pieceRows {
			return nil
		}
		return send()
	})
	if st.err == nil && len(piece) > 0 {
		st.err = send()
	}
}

// togetherTries is how often connections are begun anew because a writer has
// committed in between; then one must do.
const togetherTries = 8

// together runs f with up to n connections that see the same state of the store,
// with the speakers loaded. They are the driver's own: database/sql would spend as
// much time on handing over a row as the engine on finding it.
func (r *Reader) together(ctx context.Context, q Query, n int, f func(all []*reading) error) error {
	err := r.hold(ctx, n, func(all []driver.Conn) error {
		var same int
		var end func()
		for try := 0; ; try++ {
			var err error
			if same, end, err = begin(ctx, all); err != nil {
				return err
			}
			if same == len(all) || try == togetherTries {
				break
			}
			end()
		}
		// Nothing was written; an error of the end says nothing about what was read.
		defer end()
		var readings []*reading
		for _, c := range all[:same] {
			rd := &reading{c: c, s: &speakers{query: q}, sets: map[int64]Attributes{}}
			if err := rd.s.load(ctx, c); err != nil {
				return err
			}
			readings = append(readings, rd)
		}
		defer func() {
			for _, rd := range readings {
				if rd.setByID != nil {
					_ = rd.setByID.stmt.Close()
				}
			}
		}()
		return f(readings)
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sqlite: read: %w", err)
	}
	return nil
}

// hold calls f with n connections' own of the driver, which are held meanwhile.
func (r *Reader) hold(ctx context.Context, n int, f func(all []driver.Conn) error) error {
	conns := make([]*sql.Conn, 0, n)
	defer func() {
		for _, c := range conns {
			_ = c.Close() // gives it back
		}
	}()
	for range n {
		c, err := r.db.Conn(ctx)
		if err != nil {
			return err
		}
		conns = append(conns, c)
	}
	return raw(conns, nil, f)
}

// raw is hold for connections, of which some are held.
func raw(conns []*sql.Conn, held []driver.Conn, f func(all []driver.Conn) error) error {
	if len(conns) == 0 {
		return f(held)
	}
	return conns[0].Raw(func(c any) error { return raw(conns[1:], append(held, c.(driver.Conn)), f) })
}

// begin begins a transaction on each connection and counts how many, from the
// first on, see the same state: every commit of a writer moves the position.
func begin(ctx context.Context, all []driver.Conn) (same int, end func(), err error) {
	var txs []driver.Tx
	end = func() {
		for _, tx := range txs {
			_ = tx.Rollback()
		}
	}
	var positions []int64
	for _, c := range all {
		tx, err := c.(driver.ConnBeginTx).BeginTx(ctx, driver.TxOptions{ReadOnly: true})
		if err != nil {
			end()
			return 0, nil, err
		}
		txs = append(txs, tx)
		err = eachRow(ctx, c, statementText{sql: "SELECT sequence FROM position"}, func(v []driver.Value) error {
			positions = append(positions, number(v[0]))
			return nil
		})
		if err != nil {
			end()
			return 0, nil, err
		}
		if len(positions) != len(txs) {
			end()
			return 0, nil, errors.New("the store has no position")
		}
		if positions[same] == positions[0] {
			same++
		} else {
			break
		}
	}
	return same, end, nil
}
