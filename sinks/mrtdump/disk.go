package mrtdump

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Endings of temporary names. Nothing else with them is looked at.
const (
	tmpSuffix  = ".tmp"  // an open file of updates, plain MRT
	partSuffix = ".part" // a file on its way to its name
)

// disk is what the archive asks of a file system; tests have one that dies, or
// forgets what was not synced.
type disk interface {
	// MkdirAll makes a directory and its parents, durably.
	MkdirAll(dir string) error
	// Open opens for reading and writing; flag may have os.O_CREATE and os.O_TRUNC.
	Open(name string, flag int) (file, error)
	Rename(from, to string) error
	Remove(name string) error
	Symlink(target, name string) error
	SyncDir(dir string) error
	Size(name string) (int64, error)
	// Temporaries lists the files below dir that end in tmpSuffix or partSuffix.
	Temporaries(dir string) ([]string, error)
}

type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Sync() error
}

// osDisk is the operating system's.
type osDisk struct{}

func (osDisk) MkdirAll(dir string) error {
	if _, err := os.Stat(dir); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := (osDisk{}).MkdirAll(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return osDisk{}.SyncDir(parent)
}

func (osDisk) Open(name string, flag int) (file, error) {
	f, err := os.OpenFile(name, os.O_RDWR|flag, 0o644)
	if err != nil {
		return nil, err // not f, which would be a nil *os.File in an interface
	}
	return f, nil
}

func (osDisk) Rename(from, to string) error      { return os.Rename(from, to) }
func (osDisk) Remove(name string) error          { return os.Remove(name) }
func (osDisk) Symlink(target, name string) error { return os.Symlink(target, name) }

func (osDisk) SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (osDisk) Size(name string) (int64, error) {
	info, err := os.Stat(name)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (osDisk) Temporaries(dir string) (names []string, err error) {
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() && isTemporary(name) {
			names = append(names, name)
		}
		return nil
	})
	return names, err
}

func isTemporary(name string) bool {
	return strings.HasSuffix(name, tmpSuffix) || strings.HasSuffix(name, partSuffix)
}

// replaceFile writes a small file whole: to a temporary name, synced, renamed,
// and the directory synced.
func replaceFile(d disk, name string, content []byte) error {
	part := name + partSuffix
	f, err := d.Open(part, os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(content, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := d.Rename(part, name); err != nil {
		return err
	}
	return d.SyncDir(filepath.Dir(name))
}

// readFile returns a whole file.
func readFile(d disk, name string) ([]byte, error) {
	size, err := d.Size(name)
	if err != nil {
		return nil, err
	}
	f, err := d.Open(name, 0)
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	_, err = f.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b, errors.Join(err, f.Close())
}
