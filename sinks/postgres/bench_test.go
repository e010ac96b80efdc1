//go:build integration

package postgres_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/history/historytest"
	"github.com/ribtap/ribtap/sinks/postgres"
	"github.com/ribtap/ribtap/sinks/postgres/postgrestest"
)

// benchRoutes is the size of the table in the benchmarks.
func benchRoutes() int {
	n, err := strconv.Atoi(os.Getenv("RIBTAP_BENCH_ROUTES"))
	if err != nil {
		return 200_000
	}
	return n
}

// BenchmarkAgainstCopy writes a table with the sink, and then the very same rows
// with nothing but binary COPY, in the same transactions into the same tables
// with the same indexes; ratio is how fast the sink is in units of the latter.
// The table is written twice: the second time each route replaces one, which
// COPY alone cannot do, so there the raw side is the history's rows only.
func BenchmarkAgainstCopy(b *testing.B) {
	n := benchRoutes()
	tab := historytest.NewTable(n, 1)
	for _, routes := range []int{1_000, 10_000, 60_000} {
		b.Run(fmt.Sprintf("batch=%d", routes), func(b *testing.B) {
			for range b.N {
				s := newStore(b)
				var elapsed [2]time.Duration
				for i, first := range []uint64{1, 10_000_000} {
					batches := tab.Batches(first, routes)
					if i > 0 { // they are there already
						for _, batch := range batches {
							for k := range batch {
								batch[k].Marks = []event.Mark{event.MarkChanged}
							}
						}
					}
					elapsed[i] = timed(b, func() { writeAll(b, s.sink, batches) })
				}
				raw := rawOf(b, s)
				target := postgrestest.Start(b)
				if _, err := postgres.Migrate(context.Background(), target); err != nil {
					b.Fatal(err)
				}
				conn := connect(b, target)
				linesOf(b, conn, "SELECT add_partition('2025-06-15'::date + n) FROM generate_series(0, 200) AS n")
				size := len(tab.Batches(1, routes))
				first := timed(b, func() { raw.load(b, conn, 0, n, size, "attr", "route_change", "route") })
				second := timed(b, func() { raw.load(b, conn, n, 2*n, size, "route_change") })
				b.ReportMetric(float64(n)/elapsed[0].Seconds(), "new/s")
				b.ReportMetric(float64(n)/first.Seconds(), "copy/s")
				b.ReportMetric(first.Seconds()/elapsed[0].Seconds(), "ratio")
				b.ReportMetric(float64(n)/elapsed[1].Seconds(), "again/s")
				b.ReportMetric(second.Seconds()/elapsed[1].Seconds(), "again-ratio")
				octets, err := strconv.Atoi(s.lines("SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'route_change'::regclass")[0])
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(octets)/float64(2*n), "octets/change")
			}
		})
	}
}

func timed(b *testing.B, f func()) time.Duration {
	b.Helper()
	start := time.Now()
	f()
	return time.Since(start)
}

func writeAll(b testing.TB, s *postgres.Sink, batches [][]event.Event) {
	b.Helper()
	for _, batch := range batches {
		if err := s.Write(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
	}
}

// raw are a store's rows in binary form.
type raw map[string][][]byte

// rawOf reads them in the order in which they were written.
func rawOf(b *testing.B, s *store) raw {
	b.Helper()
	out := raw{}
	for table, q := range map[string]string{
		"attr":         "SELECT a.* FROM attr AS a JOIN (SELECT attr, min(event) AS n FROM route_change GROUP BY 1) AS c ON c.attr = a.id ORDER BY c.n",
		"route_change": "SELECT * FROM route_change ORDER BY event",
		"route":        "SELECT * FROM route ORDER BY event",
	} {
		var buf bytes.Buffer
		if _, err := s.db().PgConn().CopyTo(context.Background(), &buf, "COPY ("+q+") TO STDOUT BINARY"); err != nil {
			b.Fatal(err)
		}
		rest := buf.Bytes()[19:]
		for columns := binary.BigEndian.Uint16(rest); columns != 0xffff; columns = binary.BigEndian.Uint16(rest) {
			end := 2
			for range columns {
				n := int(int32(binary.BigEndian.Uint32(rest[end:])))
				end += 4 + max(n, 0)
			}
			out[table] = append(out[table], rest[:end])
			rest = rest[end:]
		}
	}
	return out
}

// load copies the changes from one number to another in a number of
// transactions, and a share of the other tables along with them.
func (r raw) load(b *testing.B, conn *pgx.Conn, from, to, transactions int, tables ...string) {
	b.Helper()
	ctx := context.Background()
	for i := range transactions {
		tx, err := conn.Begin(ctx)
		if err != nil {
			b.Fatal(err)
		}
		for _, table := range tables {
			rows := r[table]
			if table == "route_change" {
				rows = rows[from:to]
			}
			part := rows[len(rows)*i/transactions : len(rows)*(i+1)/transactions]
			buf := []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")
			for _, row := range part {
				buf = append(buf, row...)
			}
			buf = append(buf, 0xff, 0xff)
			if _, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(buf), "COPY "+table+" FROM STDIN BINARY"); err != nil {
				b.Fatal(err)
			}
		}
		if err := tx.Commit(ctx); err != nil {
			b.Fatal(err)
		}
	}
}
