//go:build integration

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/event/eventtest"
	"github.com/ribtap/ribtap/history/historytest"
	"github.com/ribtap/ribtap/sinks/postgres"
	"github.com/ribtap/ribtap/sinks/postgres/postgrestest"
)

// numbered are n events behind last: one route each, a statistic, a session.
func numbered(last uint64, n int) []event.Event {
	var out []event.Event
	for i := range n {
		seq := last + uint64(i) + 1
		p := prefixes(fmt.Sprintf("10.%d.%d.0/24", seq/256%256, seq%256))
		switch seq % 5 {
		case 4:
			out = append(out, routeEvent(0, withdraw(prefixes(fmt.Sprintf("10.%d.%d.0/24", (seq-2)/256%256, (seq-2)%256))...)))
		case 3:
			out = append(out, event.Event{
				Kind: event.KindStats, Source: event.SourceBMP, RIB: event.AdjRIBInPre, Router: historytest.Router, Peer: historytest.Peer,
				Stats: []event.Stat{{Type: 7, Value: seq, OK: true}},
			})
		case 0:
			out = append(out, historytest.PeerUp(event.AdjRIBInPre))
		default:
			out = append(out, routeEvent(0, announce(attributes([]uint32{65001, uint32(seq)}), p...)))
		}
	}
	return historytest.Number(last, out)
}

// whole checks that the store has each event up to its position once, none
// behind, and the current routes that follow from them.
func (s *store) whole() {
	s.tb.Helper()
	s.want("SELECT count(*) - count(DISTINCT sequence), count(*) - (SELECT sequence FROM collector), max(sequence) - (SELECT sequence FROM collector) FROM ("+
		"SELECT sequence FROM route_history UNION ALL SELECT sequence FROM peer_stats UNION ALL SELECT sequence FROM peer_history) AS e", "0|0|0")
	s.want("SELECT count(*) FROM anomalies", "0")
	s.sameRoutes("SELECT sequence, position, peer_address, rib, path_id, nlri, as_path FROM routes ORDER BY 1, 2",
		"SELECT sequence, position, peer_address, rib, path_id, nlri, as_path FROM routes_at('infinity') ORDER BY 1, 2")
	s.want("SELECT count(*) FROM route_history WHERE action = 'announce' AND as_path IS NULL", "0")
}

func (s *store) sameRoutes(a, b string) {
	s.tb.Helper()
	same(s.tb, s.lines(a), s.lines(b))
}

// The connection ends at every message of a transaction in turn, before the
// server got it or before its answer came back; each event counts once.
func TestCutAtEveryMessage(t *testing.T) {
	dsn := postgrestest.Start(t)
	p, through := newProxy(t, dsn)
	s := storeAt(t, through)
	s.dsn = dsn // to look at it
	ctx := context.Background()
	for _, forward := range []bool{false, true} {
		failures := 0
		for n := 1; ; n++ {
			batch := numbered(s.sink.Position(), 20)
			p.arm(n, forward)
			err := eventtest.Trash(s.sink).Write(ctx, batch)
			cut := p.disarm()
			if !cut {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			if err != nil {
				failures++
				if e := new(postgres.Error); !errors.As(err, &e) || e.RetryReason() != "network" || strings.Contains(err.Error(), "\n") {
					t.Errorf("cut %d: %v", n, err)
				}
			}
			if err := eventtest.Trash(s.sink).Write(ctx, batch); err != nil {
				// The server may be busy with the end of the transaction that was cut.
				if err = eventtest.Trash(s.sink).Write(ctx, batch); err != nil {
					t.Fatalf("cut %d, again: %v", n, err)
				}
			}
		}
		if failures < 10 {
			t.Errorf("only %d cuts", failures)
		}
		s.whole()
	}
}

// Backends are terminated at any moment while events are written.
func TestTerminatedBackends(t *testing.T) {
	s := newStore(t)
	stop := make(chan struct{})
	var wait sync.WaitGroup
	killer := connect(t, s.dsn)
	wait.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(30+rand.IntN(200)) * time.Millisecond):
				_, _ = killer.Exec(context.Background(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ribtap' AND datname = current_database()")
			}
		}
	})
	failures := 0
	for range 40 {
		batch := numbered(s.sink.Position(), 200)
		for s.sink.Position() < batch[len(batch)-1].Sequence {
			if err := eventtest.Trash(s.sink).Write(context.Background(), batch); err != nil {
				failures++
				time.Sleep(time.Duration(failures%20) * time.Millisecond)
			}
		}
	}
	close(stop)
	wait.Wait()
	if failures == 0 {
		t.Error("nothing failed")
	}
	t.Logf("%d failed attempts", failures)
	s.whole()
}

// The server is restarted, and frozen for longer than the timeout.
func TestServerRestartsAndFreezes(t *testing.T) {
	server := postgrestest.StartServer(t)
	s := storeAt(t, server.Database(t), func(c *postgres.Config) { c.Timeout = time.Second })
	ctx := context.Background()
	again := func(batch []event.Event) {
		t.Helper()
		for range 100 {
			if err := s.sink.Write(ctx, batch); err == nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Fatal("it does not come back")
	}
	again(numbered(0, 50))
	server.Restart(t)
	batch := numbered(50, 50)
	if err := s.sink.Write(ctx, batch); err == nil {
		t.Error("a restart was not noticed")
	}
	again(batch)

	server.Signal(t, syscall.SIGSTOP)
	batch = numbered(100, 50)
	start := time.Now()
	err := s.sink.Write(ctx, batch)
	var e *postgres.Error
	if !errors.As(err, &e) || e.RetryReason() != "timeout" || time.Since(start) > 5*time.Second {
		t.Errorf("frozen: %v after %v", err, time.Since(start))
	}
	if err = s.sink.Write(ctx, batch); !errors.As(err, &e) || e.RetryReason() != "timeout" {
		t.Errorf("connecting to a frozen server: %v", err)
	}
	server.Signal(t, syscall.SIGCONT)
	again(batch)
	s.conn = nil
	s.whole()
}

// A read-only server, as after a failover, takes nothing; the sink goes on when
// it can.
func TestReadOnly(t *testing.T) {
	s := newStore(t)
	batch := numbered(0, 50)
	s.exec("DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET default_transaction_read_only = on'; END $$")
	kill := func() {
		s.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ribtap' AND datname = current_database()")
	}
	kill()
	ctx := context.Background()
	_ = s.sink.Write(ctx, batch) // finds the connection gone
	err := s.sink.Write(ctx, batch)
	var e *postgres.Error
	if !errors.As(err, &e) || e.RetryReason() != "read-only" {
		t.Errorf("got %v", err)
	}
	second := newSink(t, s.dsn, func(c *postgres.Config) { c.Collector = "rt2" })
	if err := second.Open(ctx); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("opened: %v", err)
	}
	s.exec("SET transaction_read_only = off; DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' RESET default_transaction_read_only'; END $$")
	if err := s.sink.Write(ctx, batch); err != nil {
		t.Error(err)
	}
	s.whole()
}

// A lock that somebody holds, a deadlock, a write to nowhere: each is an error
// with a reason, and nothing is lost.
func TestReasons(t *testing.T) {
	s := newStore(t, func(c *postgres.Config) { c.Timeout = 2 * time.Second })
	batch := numbered(0, 50)
	other := connect(t, s.dsn)
	ctx := context.Background()
	if _, err := other.Exec(ctx, "BEGIN; LOCK TABLE route"); err != nil {
		t.Fatal(err)
	}
	var e *postgres.Error
	if err := s.sink.Write(ctx, batch); !errors.As(err, &e) || e.RetryReason() != "timeout" {
		t.Errorf("locked: %v", err)
	}
	if _, err := other.Exec(ctx, "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	for code, reason := range map[string]string{"40001": "serialization", "40P01": "deadlock", "53100": "disk-full", "57P01": "shutdown", "42501": "permission"} {
		s.exec("CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '" + code + "'; END $$")
		s.exec("CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON attr FOR EACH STATEMENT EXECUTE FUNCTION refuse()")
		if err := s.sink.Write(ctx, batch); !errors.As(err, &e) || e.RetryReason() != reason {
			t.Errorf("%s: %v", reason, err)
		}
	}
	s.exec("DROP TRIGGER refuse ON attr")
	if err := s.sink.Write(ctx, batch); err != nil {
		t.Error(err)
	}
	s.whole()
}

// A store that has less than it confirmed is not written on, whoever wrote at the
// time of the backup, and neither is an empty one in its place; Open finds where
// it goes on.
func TestStoreThatWentBack(t *testing.T) {
	for _, change := range []string{
		"UPDATE collector SET sequence = 4",
		"UPDATE collector SET sequence = 4, writer = 'who wrote before'",
		"TRUNCATE collector CASCADE",
		"DROP SCHEMA public CASCADE; CREATE SCHEMA public",
	} {
		t.Run(change, func(t *testing.T) {
			s := newStore(t)
			s.write(numbered(0, 10)...)
			s.exec("TRUNCATE router CASCADE; TRUNCATE attr")
			s.exec(change)
			s.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ribtap' AND datname = current_database()")
			batch := numbered(10, 5)
			_ = s.sink.Write(context.Background(), batch) // finds the connection gone
			for range 2 {
				if err := s.sink.Write(context.Background(), batch); !errors.Is(err, postgres.ErrWentBack) {
					t.Errorf("got %v", err)
				}
			}
			if err := s.sink.Close(); err != nil {
				t.Error(err)
			}
			if err := s.sink.Open(context.Background()); err != nil {
				t.Fatal(err)
			}
			s.seq = s.sink.Position()
			if s.seq != 4 && s.seq != 0 {
				t.Errorf("it goes on at %d", s.seq)
			}
			s.write(numbered(s.seq, 15-int(s.seq))...)
			s.want("SELECT sequence FROM collector", "15")
			s.want("SELECT count(*) FROM route_history WHERE action = 'announce' AND as_path IS NULL", "0")
		})
	}
}

// A server too slow for a whole batch within the timeout gets it in parts.
func TestSlowServer(t *testing.T) {
	s := newStore(t, func(c *postgres.Config) { c.Timeout = time.Second })
	s.exec("CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.02); RETURN new; END $$")
	s.exec("CREATE TRIGGER slow BEFORE INSERT ON attr FOR EACH ROW EXECUTE FUNCTION slow()")
	batch := numbered(0, 250)
	failures := 0
	for s.sink.Position() < 250 && failures < 100 {
		if err := eventtest.Trash(s.sink).Write(context.Background(), batch); err != nil {
			failures++
		}
	}
	if failures == 0 || failures == 100 {
		t.Errorf("%d failures", failures)
	}
	s.whole()
}
