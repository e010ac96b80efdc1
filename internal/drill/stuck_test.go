//go:build drill

package drill

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// TestStuckSink: while another program keeps the history locked, the routers are
// read, the stream grows and the archive goes on; afterwards the history catches
// up, complete and in order.
func TestStuckSink(t *testing.T) {
	s := newStorm(0, scale(50_000, 1_000_000))
	d := start(t, filepath.Join(t.TempDir(), "data"))
	db, err := sql.Open("sqlite", "file:"+filepath.Join(d.dir, "history.db")+"?_txlock=immediate&_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	lock, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	conn := connect(t, d.bmp)
	if err := s.send(conn); err != nil {
		t.Fatal(err)
	}
	const opening = 2 // Initiation and Peer Up
	events := uint64(opening + s.steps)
	d.hears(events, time.Minute)
	var lag uint64
	await(t, "the archive to have all", 5*time.Minute, func() error {
		st, err := d.status()
		if err != nil {
			return err
		}
		for _, sink := range st.Sinks {
			switch {
			case sink.Name == "sqlite":
				lag = sink.LagEvents
			case sink.Committed < events:
				return fmt.Errorf("%s is at %d of %d", sink.Name, sink.Committed, events)
			}
		}
		return nil
	})
	if lag != events {
		t.Errorf("the locked history lags by %d events, should by %d", lag, events)
	}
	t.Logf("%d events while the history was locked: %d MB peak memory", events, d.peakRSS()>>20)
	if err := lock.Rollback(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	d.settle(events, 5*time.Minute)
	t.Logf("caught up %v after the lock was gone", time.Since(begin).Round(time.Millisecond))
	checkLastState(t, d.dir, []*storm{s})
	checkHistory(t, d.dir, []*storm{s})
}
