package stream

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// filesystem is what the log needs of the disk. Tests put one in its place that
// forgets what was not synced, and fails when told to.
type filesystem interface {
	MkdirAll(dir string) error
	// Create makes an empty file for reading and writing, in place of an old one.
	Create(name string) (file, error)
	// OpenWrite opens a file for reading and writing, Open for reading.
	OpenWrite(name string) (file, error)
	Open(name string) (file, error)
	Rename(from, to string) error
	Remove(name string) error
	// List returns the plain files of a directory.
	List(dir string) ([]fileInfo, error)
	// SyncDir makes creations, renames and removals in dir durable.
	SyncDir(dir string) error
	// Lock takes the directory for this process until the closer is closed.
	Lock(dir string) (io.Closer, error)
}

type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Size() (int64, error)
	// Sync makes the file's octets and its length durable.
	Sync() error
}

type fileInfo struct {
	name string // without directory
	size int64
}

// osFS is the operating system's.
type osFS struct{}

func (osFS) MkdirAll(dir string) error { return os.MkdirAll(dir, 0o750) }

func (osFS) Create(name string) (file, error) {
	return openOS(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
}
func (osFS) OpenWrite(name string) (file, error) { return openOS(name, os.O_RDWR) }
func (osFS) Open(name string) (file, error)      { return openOS(name, os.O_RDONLY) }
func (osFS) Rename(from, to string) error        { return os.Rename(from, to) }
func (osFS) Remove(name string) error            { return os.Remove(name) }
func openOS(name string, flag int) (file, error) {
	f, err := os.OpenFile(name, flag, 0o640)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) List(dir string) ([]fileInfo, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []fileInfo
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted since: the directory may belong to a running log
		}
		if err != nil {
			return nil, err
		}
		if info.Mode().IsRegular() {
			out = append(out, fileInfo{e.Name(), info.Size()})
		}
	}
	return out, nil
}

func (osFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}

// lockName is the file that is locked; it names its owner for people.
const lockName = "LOCK"

func (osFS) Lock(dir string) (io.Closer, error) {
	name := filepath.Join(dir, lockName)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		owner := make([]byte, 256)
		n, _ := f.ReadAt(owner, 0)
		_ = f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("stream: lock %s: %w", name, err)
		}
		who := strings.TrimSpace(string(owner[:n]))
		if who == "" {
			who = "another process"
		}
		return nil, fmt.Errorf("%w: %s is held by %s", ErrLocked, dir, who)
	}
	// What the file says only helps people: it may fail.
	_ = f.Truncate(0)
	_, _ = fmt.Fprintf(f, "process %d (%s)\n", os.Getpid(), filepath.Base(os.Args[0]))
	return f, nil
}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
