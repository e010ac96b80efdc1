//go:build drill

package drill

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// smallDisk is a directory on a file system of its own, which has so many MB.
// A full disk is one thing that nothing short of a mount gives.
func smallDisk(t *testing.T, megabytes string) string {
	t.Helper()
	// Not t.TempDir, whose parent other users cannot pass.
	dir, err := os.MkdirTemp("", "ribtap-disk-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) }) // it is empty
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0777,size="+megabytes+"m"); err != nil {
		t.Fatalf("mounting a small file system: %v: this test needs root", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes all the room that is left below a directory, until release.
func fill(t *testing.T, dir string) (release func()) {
	t.Helper()
	name := filepath.Join(dir, "balloon")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}
