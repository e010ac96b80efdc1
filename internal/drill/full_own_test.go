//go:build drill

package drill

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestOwnDiskFull: while the disk of the data directory is full, routers are not
// read, so that they keep what they have to say; everything that was taken is
// there afterwards, once, and it goes on by itself when there is room.
func TestOwnDiskFull(t *testing.T) {
	disk := smallDisk(t, "200")
	p := newPatientIn(t, filepath.Join(disk, "data"))
	p.settle(p.sent, limit)
	release := fill(t, disk)
	// More than the sockets' buffers take. Small pieces: what fits somewhere does.
	octets := p.changes(150_000)
	p.sent += messages(octets)
	done := make(chan error, 1)
	go func() {
		_, err := p.conn.Write(octets)
		done <- err
	}()
	var held uint64
	await(t, "the stream to be full", limit, func() error {
		s, err := p.status()
		if err != nil {
			return err
		}
		held = s.Stream.Last
		if !strings.Contains(s.Stream.Error, "no space left on device") || p.metric("ribtap_stream_blocked") != 1 {
			return fmt.Errorf("it says %q, blocked: %v", s.Stream.Error, p.metric("ribtap_stream_blocked"))
		}
		for _, sink := range s.Sinks {
			if sink.LagEvents > 0 && sink.Healthy {
				return fmt.Errorf("%s lags by %d and says nothing", sink.Name, sink.LagEvents)
			}
		}
		return nil
	})
	time.Sleep(3 * time.Second) // of attempts
	s, err := p.status()
	if err != nil || s.Stream.Last != held || held >= p.sent {
		t.Errorf("the stream goes on from %d to %d: %v", held, s.Stream.Last, err)
	}
	select {
	case err := <-done:
		t.Errorf("the router could say everything: %v", err)
	default:
	}
	p.shows("NOT WELL", "stream: append: ", "no space left on device")
	if resp, err := http.Get("http://" + p.http + "/readyz"); err != nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("/readyz: %v, %v", resp, err)
	} else {
		resp.Body.Close()
	}
	if p.metric(`ribtap_stream_errors_total{operation="append"}`) == 0 {
		t.Error("no error is counted")
	}
	p.says("stream: the disk refuses", "operation=append", "no space left on device")
	for _, sink := range s.Sinks {
		t.Logf("%s: %+v", sink.Name, sink)
	}

	release()
	if err := <-done; err != nil {
		t.Error(err)
	}
	p.settle(p.sent, limit)
	p.says("stream: the disk is well again", "operation=append")
	if s, err = p.status(); err != nil || s.Gaps != 0 || s.Stream.Error != "" {
		t.Errorf("%+v, %v", s, err)
	}
	p.stop()
	is(t, p.daemon, "the table", digestOf(p.table))
	(&crashCheck{t: t, dir: p.dir}).atEnd()
}
