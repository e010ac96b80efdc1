package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// cursor is the row that says how far the store is and who may move it. The
// first statement of every transaction changes it, so that of two writers one
// waits for the other, and then finds that the row is no longer as it left it.
type cursor interface {
	// take makes the writer of that name the only one.
	take(ctx context.Context, conn *pgx.Conn, writer string) error
	// again is called instead when a writer connects anew.
	again(ctx context.Context, conn *pgx.Conn, writer string) error
	// find reads the position and the writer.
	find(ctx context.Context, conn *pgx.Conn) (position uint64, writer string, err error)
	// move moves the position, unless it is elsewhere or another's.
	move(ctx context.Context, conn *pgx.Conn, writer string, from, to uint64) (bool, error)
	// moved is called when a transaction with a move was committed.
	moved()
	// wentBack says what to do when the store has less than it confirmed.
	wentBack() string
}

// collectorCursor is the sequence of a collector whose stream is written here
// by itself.
type collectorCursor struct {
	name string
	who  *identities // is told the number of the collector's row
}

func (c *collectorCursor) take(ctx context.Context, conn *pgx.Conn, writer string) error {
	if err := ready(ctx, conn); err != nil {
		return err
	}
	tag, err := conn.Exec(ctx, "INSERT INTO collector AS c (name, writer) VALUES ($1, $2) "+
		"ON CONFLICT (name) DO UPDATE SET writer = excluded.writer WHERE c.topic IS NULL", c.name, writer)
	if err != nil || tag.RowsAffected() == 1 {
		return err
	}
	_, other, err := c.find(ctx, conn)
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: %s; leave sinks.postgres.dsn out of this collector's configuration, or name another database", ErrOtherWriter, other)
}

func (c *collectorCursor) again(context.Context, *pgx.Conn, string) error { return nil }

func (c *collectorCursor) find(ctx context.Context, conn *pgx.Conn) (position uint64, writer string, err error) {
	var at int64
	err = conn.QueryRow(ctx, "SELECT id, sequence, coalesce(writer, '') FROM collector WHERE name = $1", c.name).
		Scan(&c.who.collector, &at, &writer)
	return uint64(at), writer, err
}

func (c *collectorCursor) move(ctx context.Context, conn *pgx.Conn, writer string, from, to uint64) (bool, error) {
	tag, err := conn.Exec(ctx, "UPDATE collector SET sequence = $1 WHERE id = $2 AND sequence = $3 AND writer = $4",
		int64(to), c.who.collector, int64(from), writer)
	return tag.RowsAffected() == 1, err
}

func (c *collectorCursor) moved() {}

func (c *collectorCursor) wentBack() string { return "it is filled in from the stream" }

// ready brings the schema and its names up to date.
func ready(ctx context.Context, conn *pgx.Conn) error {
	if _, err := migrate(ctx, conn); err != nil {
		return err
	}
	return nameNumbers(ctx, conn)
}

// partitionCursor is the offset in a partition of a Kafka topic, with the last
// sequence of each collector in it.
type partitionCursor struct {
	topic     string
	partition int32

	numbers map[string]int32 // of collectors' rows, by name
	last    map[int32]uint64 // sequences of collectors, committed
	next    map[int32]uint64 // and those of the transaction under way
}

const (
	// backendHere is the server process of this connection.
	backendHere = "pid = pg_backend_pid(), started = (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())"
	thisOne     = " WHERE topic = $1 AND partition = $2"
)

// take takes the partition from whoever had it. A transaction of that one which
// is under way ends first; if it does not end, as that of a frozen process, it
// is ended.
func (c *partitionCursor) take(ctx context.Context, conn *pgx.Conn, writer string) error {
	const attempts = 3
	// ON CONFLICT alone would wait for a transaction that changes the row.
	_, err := conn.Exec(ctx, "INSERT INTO kafka_partition (topic, partition) SELECT $1, $2 "+
		"WHERE NOT EXISTS (SELECT FROM kafka_partition"+thisOne+") ON CONFLICT DO NOTHING", c.topic, c.partition)
	for i := 0; err == nil; i++ {
		err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '2s'"); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "UPDATE kafka_partition SET writer = $3, "+backendHere+thisOne, c.topic, c.partition, writer)
			return err
		})
		var pg *pgconn.PgError
		if err == nil || i == attempts || !errors.As(err, &pg) || pg.Code != "55P03" {
			return err
		}
		_, err = conn.Exec(ctx, "SELECT pg_terminate_backend(a.pid) FROM kafka_partition AS p "+
			"JOIN pg_stat_activity AS a ON a.pid = p.pid AND a.backend_start = p.started"+thisOne, c.topic, c.partition)
	}
	return err
}

func (c *partitionCursor) again(ctx context.Context, conn *pgx.Conn, writer string) error {
	_, err := conn.Exec(ctx, "UPDATE kafka_partition SET "+backendHere+thisOne+" AND writer = $3", c.topic, c.partition, writer)
	return err
}

func (c *partitionCursor) find(ctx context.Context, conn *pgx.Conn) (position uint64, writer string, err error) {
	var at int64
	err = conn.QueryRow(ctx, "SELECT next_offset, coalesce(writer, '') FROM kafka_partition"+thisOne, c.topic, c.partition).Scan(&at, &writer)
	if err != nil {
		return 0, "", err
	}
	rows, err := conn.Query(ctx, "SELECT c.id, c.name, greatest(k.sequence, c.sequence) FROM kafka_sequence AS k "+
		"JOIN collector AS c ON c.id = k.collector WHERE k.topic = $1 AND k.partition = $2", c.topic, c.partition)
	if err != nil {
		return 0, "", err
	}
	c.numbers, c.last = map[string]int32{}, map[int32]uint64{}
	var id int32
	var name string
	var sequence int64
	_, err = pgx.ForEachRow(rows, []any{&id, &name, &sequence}, func() error {
		c.numbers[name], c.last[id] = id, uint64(sequence)
		return nil
	})
	return uint64(at), writer, err
}

func (c *partitionCursor) move(ctx context.Context, conn *pgx.Conn, writer string, from, to uint64) (bool, error) {
	ids, sequences := make([]int32, 0, len(c.next)), make([]int64, 0, len(c.next))
	for id, n := range c.next {
		ids, sequences = append(ids, id), append(sequences, int64(n))
	}
	var n int
	err := conn.QueryRow(ctx, "WITH moved AS (UPDATE kafka_partition SET next_offset = $3"+thisOne+" AND next_offset = $4 AND writer = $5 RETURNING topic, partition), "+
		"noted AS (INSERT INTO kafka_sequence (topic, partition, collector, sequence) "+
		"SELECT m.topic, m.partition, n.collector, n.sequence FROM moved AS m, unnest($6::int[], $7::bigint[]) AS n (collector, sequence) "+
		"ON CONFLICT (topic, partition, collector) DO UPDATE SET sequence = excluded.sequence) SELECT count(*) FROM moved",
		c.topic, c.partition, int64(to), int64(from), writer, ids, sequences).Scan(&n)
	return n == 1, err
}

func (c *partitionCursor) moved() {
	maps.Copy(c.last, c.next)
	clear(c.next)
}

func (c *partitionCursor) wentBack() string { return "it is filled in from the topic" }

// meet returns the number of a collector's row, and takes the collector over
// from a process that wrote here for it: what that one has stored is not
// stored again, and it is told so at its next write.
func (c *partitionCursor) meet(ctx context.Context, conn *pgx.Conn, name string) (int32, error) {
	if id, ok := c.numbers[name]; ok {
		return id, nil
	}
	_, err := conn.Exec(ctx, "INSERT INTO collector AS c (name, topic, writer) VALUES ($1, $2, $3) "+
		"ON CONFLICT (name) DO UPDATE SET topic = excluded.topic, writer = excluded.writer WHERE c.topic IS DISTINCT FROM excluded.topic",
		name, c.topic, "ribtap consume, topic "+c.topic)
	if err != nil {
		return 0, err
	}
	var id int32
	var sequence int64
	if err := conn.QueryRow(ctx, "SELECT id, sequence FROM collector WHERE name = $1", name).Scan(&id, &sequence); err != nil {
		return 0, err
	}
	c.numbers[name] = id
	if c.last[id] == 0 {
		c.last[id] = uint64(sequence)
	}
	return id, nil
}
