//go:build drill

package drill

import (
	"os"
	"path/filepath"
	"testing"
)

// TestHistoryDiskFull: the history and the archive on disks of their own, which
// are full one after the other. The sink lags, the rest goes on, and when there
// is room both are what the stream says.
func TestHistoryDiskFull(t *testing.T) {
	history, archive := smallDisk(t, "60"), smallDisk(t, "20")
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(archive, filepath.Join(dir, "mrt")); err != nil {
		t.Fatal(err)
	}
	p := newPatientIn(t, dir, "RIBTAP_SINKS_SQLITE_PATH="+filepath.Join(history, "history.db"))
	p.settle(p.sent, limit)
	for _, full := range []struct {
		sink, disk, reason string
		words              []string
	}{
		{"sqlite", history, "disk-full", []string{"sqlite", "disk is full", "history.db"}},
		{"mrt", archive, "disk-full", []string{"mrtdump", "no space left on device"}},
	} {
		release := fill(t, full.disk)
		p.speak(3000)
		p.ails(full.sink, full.reason, full.words...)
		p.speak(500)
		release()
		p.recovers(full.sink)
	}
	p.stop()
	if err := os.Symlink(filepath.Join(history, "history.db"), filepath.Join(dir, "history.db")); err != nil {
		t.Fatal(err)
	}
	is(t, p.daemon, "the table", digestOf(p.table))
	(&crashCheck{t: t, dir: dir}).atEnd()
}
