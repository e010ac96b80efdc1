//go:build drill

package drill

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver, to read the store as any other program would

	"github.com/ribtap/ribtap/fixtures"
	"github.com/ribtap/ribtap/sinks/kafka/kafkatest"
	"github.com/ribtap/ribtap/sinks/postgres/postgrestest"
)

// TestStoresAgree: a table, churn, real routers' recordings and a lost session
// are the same rows in SQLite and PostgreSQL, and the same changes in Kafka.
func TestStoresAgree(t *testing.T) {
	n4, n6 := scale(20_000, 1_000_000), scale(5_000, 230_000)
	dsn, broker := postgrestest.Start(t), kafkatest.Start(t)
	topic := fmt.Sprintf("stores-%d", time.Now().UnixNano())
	d := launch(t, filepath.Join(t.TempDir(), "data"), "RIBTAP_SINKS_POSTGRES_DSN="+dsn,
		"RIBTAP_SINKS_KAFKA_BROKERS="+broker.Addr, "RIBTAP_SINKS_KAFKA_TOPIC="+topic)
	<-d.announced
	if d.bmp == "" {
		t.Fatalf("ribtap does not start: %s", d.last(4000))
	}
	begin, limit := time.Now(), 10*time.Minute
	table := newTable(0, n4, n6)
	conn := connect(t, d.bmp)
	octets := table.AppendTable(table.AppendOpen(nil, routerName(0)))
	octets = append(octets, churn(table, table.Len()/10)...)
	sent := send(t, conn, octets)
	names, err := fixtures.Recordings()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		recording, err := fixtures.Recording(name)
		if err != nil {
			t.Fatal(err)
		}
		lost := connect(t, d.bmp)
		sent += send(t, lost, recording)
		_ = lost.Close()
	}
	d.settle(sent, limit)
	t.Logf("%d routes and %d recordings in all stores after %v; %d MB peak memory", table.Len(), len(names),
		time.Since(begin).Round(time.Millisecond), d.peakRSS()>>20)
	conn.Close()
	d.stop()

	agree(t, d.dir, dsn, broker, topic)
}

// agree compares the stores of a daemon that has stopped.
func agree(t *testing.T, dataDir, dsn string, broker *kafkatest.Broker, topic string) {
	t.Helper()
	agreePostgres(t, dataDir, dsn)
	agreeKafka(t, dataDir, broker.Consume(t, topic))
}

// agreePostgres compares the rows in SQLite and PostgreSQL.
func agreePostgres(t *testing.T, dataDir, dsn string) {
	t.Helper()
	lite := openStore(t, dataDir)
	pg, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Close()
	for _, view := range []struct{ name, columns string }{
		{"route_history", changeColumns}, {"routes", routeColumns},
	} {
		one := digestRows(t, lite, "SELECT "+view.columns+" FROM "+view.name)
		two := digestRows(t, pg, "SELECT "+inPostgres.Replace(view.columns)+" FROM "+view.name)
		if one != two || one.lines == 0 {
			t.Errorf("%s: SQLite has %d rows, PostgreSQL %d, which are equal: %t", view.name, one.lines, two.lines, one.sum == two.sum)
		}
		t.Logf("%s: %d rows", view.name, one.lines)
	}
}

// agreeKafka compares the changes in SQLite and in the records of a topic, where
// every event is once, and those of a router in order.
func agreeKafka(t *testing.T, dataDir string, records []kafkatest.Record) {
	t.Helper()
	lite := openStore(t, dataDir)
	changed := digestRows(t, lite, "SELECT "+kafkaColumns+" FROM route_history WHERE changed")
	if got := digestRecords(t, records); got != changed {
		t.Errorf("changes: SQLite has %d, Kafka %d, which are equal: %t", changed.lines, got.lines, got.sum == changed.sum)
	}
	if last := integer(t, lite, "SELECT sequence FROM position"); int64(len(records)) != last {
		t.Errorf("%d records of %d events", len(records), last)
	}
	inOrder(t, records)
	t.Logf("%d records, %d changes in them", len(records), changed.lines)
}

// inOrder checks that each event is in the topic once, and in each partition the
// events in the order of the stream.
func inOrder(t *testing.T, records []kafkatest.Record) {
	t.Helper()
	last := map[int]uint64{}
	seen := make(map[uint64]bool, len(records))
	twice, inverted := 0, 0
	for _, r := range records {
		n, err := strconv.ParseUint(r.Headers["sequence"], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if seen[n] {
			twice++
		} else if n < last[r.Partition] {
			inverted++
		}
		seen[n] = true
		last[r.Partition] = max(last[r.Partition], n)
	}
	if twice+inverted > 0 {
		t.Errorf("%d of %d records are there twice, %d out of order", twice, len(records), inverted)
	}
}

// Columns that both stores are asked for.
const (
	kafkaColumns  = "sequence, position, action, family, prefix, as_path, next_hop, med, communities"
	sharedColumns = "sequence, position, received_at, observed_at, collector, router, router_address, peer_address, peer_asn, " +
		"peer_bgp_id, peer_distinguisher, rib, family, prefix, path_id, rd, labels, changed, origin, as_path, origin_as, next_hop, " +
		"med, local_pref, communities, large_communities, ext_communities, aggregator, atomic_aggregate, otc, flags"
	changeColumns = sharedColumns + ", action, cause"
	routeColumns  = sharedColumns + ", since"
)

// inPostgres turns columns with types of PostgreSQL's into the text that SQLite
// has.
var inPostgres = strings.NewReplacer(
	"received_at", utc("received_at"), "observed_at", utc("observed_at"), "since", utc("since"),
	"router_address", "host(router_address)", "peer_address", "host(peer_address)", "peer_bgp_id", "host(peer_bgp_id)",
	"prefix", "nlri", "changed", "changed::int", "atomic_aggregate", "atomic_aggregate::int", "next_hop", "next_hop::text",
)

func utc(column string) string {
	return "to_char(" + column + ` AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
}

// digestRows is the digest of a query's rows, null an empty word.
func digestRows(t *testing.T, db *sql.DB, query string) (d digest) {
	t.Helper()
	rows, err := db.QueryContext(context.Background(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	values := make([]sql.NullString, len(columns))
	fields := make([]any, len(columns))
	for i := range values {
		fields[i] = &values[i]
	}
	var line bytes.Buffer
	for rows.Next() {
		if err := rows.Scan(fields...); err != nil {
			t.Fatal(err)
		}
		line.Reset()
		for _, v := range values {
			line.WriteString(v.String + "|")
		}
		d.add(line.String())
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return d
}

// digestRecords is the digest of what changed in the topic's events, written as
// digestRows writes kafkaColumns.
func digestRecords(t *testing.T, records []kafkatest.Record) (d digest) {
	t.Helper()
	type event struct {
		Kind     string
		Sequence uint64
		Routes   []struct {
			Action, Family, Prefix string
			NextHop                string `json:"next_hop"`
			Changed                bool
		}
		Attributes struct {
			ASPath      string `json:"as_path"`
			MED         *uint32
			Communities []string
		}
	}
	for _, r := range records {
		var e event
		if err := json.Unmarshal(r.Value, &e); err != nil {
			t.Fatalf("%v: %s", err, r.Value)
		}
		if r.Headers["sequence"] != fmt.Sprint(e.Sequence) {
			t.Errorf("header sequence %s of event %d", r.Headers["sequence"], e.Sequence)
		}
		for i, n := range e.Routes {
			if !n.Changed {
				continue
			}
			path, med, communities := "", "", ""
			if n.Action == "announce" {
				path, communities = e.Attributes.ASPath, strings.Join(e.Attributes.Communities, " ")
				if e.Attributes.MED != nil {
					med = fmt.Sprint(*e.Attributes.MED)
				}
			}
			d.add(fmt.Sprintf("%d|%d|%s|%s|%s|%s|%s|%s|%s|", e.Sequence, i, n.Action, n.Family, n.Prefix, path, n.NextHop, med, communities))
		}
	}
	return d
}
