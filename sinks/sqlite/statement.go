package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"

	_ "modernc.org/sqlite" // the database/sql driver
)

// Statements are the driver's own, without database/sql between: it would copy
// and check every one of the hundreds of arguments of a multi-row INSERT. They
// are used only inside sql.Conn.Raw, on the one connection that made them, and
// run without a context, because the driver starts a goroutine for each one
// that could be cancelled: Write looks at its context between events.

// rowsAtOnce is how many rows one INSERT writes; more gains nothing.
const rowsAtOnce = 50

// statement is one prepared statement.
type statement struct {
	stmt driver.Stmt
	args []driver.NamedValue
}

func prepare(c driver.Conn, query string) (*statement, error) {
	stmt, err := c.Prepare(query)
	if err != nil {
		return nil, fmt.Errorf("sqlite: prepare %.60s: %w", query, err)
	}
	return &statement{stmt: stmt}, nil
}

// bind numbers the arguments.
func (s *statement) bind(args []driver.Value) []driver.NamedValue {
	s.args = s.args[:0]
	for i, v := range args {
		s.args = append(s.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return s.args
}

// exec runs the statement.
func (s *statement) exec(args ...driver.Value) error {
	_, err := s.stmt.(driver.StmtExecContext).ExecContext(context.Background(), s.bind(args))
	return err
}

// query runs the statement and fills dest with its first row; found is false
// when there is none.
func (s *statement) query(dest []driver.Value, args ...driver.Value) (found bool, err error) {
	rows, err := s.stmt.(driver.StmtQueryContext).QueryContext(context.Background(), s.bind(args))
	if err != nil {
		return false, err
	}
	err = rows.Next(dest)
	if found = err == nil; errors.Is(err, io.EOF) {
		err = nil
	}
	return found, errors.Join(err, rows.Close())
}

// integer is query for one integer; 0 when it is null or there is no row.
func (s *statement) integer(args ...driver.Value) (v int64, found bool, err error) {
	var dest [1]driver.Value
	found, err = s.query(dest[:], args...)
	v, _ = dest[0].(int64)
	return v, found, err
}

// each runs the statement and hands over every row of n columns, valid during
// the call.
func (s *statement) each(n int, f func(row []driver.Value) error, args ...driver.Value) error {
	rows, err := s.stmt.(driver.StmtQueryContext).QueryContext(context.Background(), s.bind(args))
	if err != nil {
		return err
	}
	row := make([]driver.Value, n)
	for {
		if err = rows.Next(row); err != nil {
			break
		}
		if err = f(row); err != nil {
			break
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, rows.Close())
}

// inserter collects rows for multi-row INSERTs.
type inserter struct {
	many, one *statement
	columns   int
}

// newInserter prepares head VALUES (…), (…)… tail, one parameter a column.
func newInserter(c driver.Conn, head string, columns int, tail string) (*inserter, error) {
	row := "(" + strings.Repeat("?,", columns-1) + "?)"
	one, err := prepare(c, head+" VALUES "+row+tail)
	if err != nil {
		return nil, err
	}
	many, err := prepare(c, head+" VALUES "+strings.Repeat(row+",", rowsAtOnce-1)+row+tail)
	if err != nil {
		return nil, err
	}
	many.args = make([]driver.NamedValue, 0, columns*rowsAtOnce)
	return &inserter{many: many, one: one, columns: columns}, nil
}

// add takes a row. Slices in it are kept until the next flush.
func (in *inserter) add(row ...driver.Value) error {
	args := in.many.args
	for _, v := range row {
		args = append(args, driver.NamedValue{Ordinal: len(args) + 1, Value: v})
	}
	in.many.args = args
	if len(args) < in.columns*rowsAtOnce {
		return nil
	}
	in.many.args = args[:0]
	_, err := in.many.stmt.(driver.StmtExecContext).ExecContext(context.Background(), args)
	return err
}

// flush writes what is left.
func (in *inserter) flush() error {
	args := in.many.args
	in.many.args = args[:0]
	for len(args) > 0 {
		row := args[:in.columns]
		for i := range row {
			row[i].Ordinal = i + 1
		}
		if _, err := in.one.stmt.(driver.StmtExecContext).ExecContext(context.Background(), row); err != nil {
			return err
		}
		args = args[in.columns:]
	}
	return nil
}

// drop forgets the rows that were not written.
func (in *inserter) drop() { in.many.args = in.many.args[:0] }
