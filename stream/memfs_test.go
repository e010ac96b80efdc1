package stream

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// memFS is a disk that forgets: what was written but not synced, and what was
// done to a directory that was not synced, may be gone after crash. Directory
// operations survive in order, as a journal keeps them; octets of a file do not.
type memFS struct {
	mu      sync.Mutex
	files   map[string]*memInode
	durable map[string]*memInode
	journal []func(map[string]*memInode) // directory operations that are not durable
	locked  bool
	// limit is how many octets all files together may have; 0: any number.
	limit int64
	// fault is asked before every operation (create, open, write, truncate,
	// sync, syncdir, rename, remove, read, list) and may make it fail.
	fault func(op, name string) error
	syncs map[*memInode]int
}

type memInode struct{ data, durable []byte }

func newMemFS() *memFS {
	return &memFS{files: map[string]*memInode{}, durable: map[string]*memInode{}, syncs: map[*memInode]int{}}
}

func (m *memFS) begin(op, name string) (func(), error) {
	m.mu.Lock()
	if m.fault != nil {
		if err := m.fault(op, name); err != nil {
			m.mu.Unlock()
			return nil, &fs.PathError{Op: op, Path: name, Err: err}
		}
	}
	return m.mu.Unlock, nil
}

// change does something to the directory, now and in the journal.
func (m *memFS) change(f func(map[string]*memInode)) {
	f(m.files)
	m.journal = append(m.journal, f)
}

func (m *memFS) MkdirAll(string) error { return nil }

func (m *memFS) Create(name string) (file, error) {
	end, err := m.begin("create", name)
	if err != nil {
		return nil, err
	}
	defer end()
	if old, ok := m.files[name]; ok {
		old.data = nil
		return &memFile{m, old, name}, nil
	}
	ino := &memInode{}
	m.change(func(d map[string]*memInode) { d[name] = ino })
	return &memFile{m, ino, name}, nil
}

func (m *memFS) OpenWrite(name string) (file, error) { return m.Open(name) }

func (m *memFS) Open(name string) (file, error) {
	end, err := m.begin("open", name)
	if err != nil {
		return nil, err
	}
	defer end()
	ino, ok := m.files[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return &memFile{m, ino, name}, nil
}

func (m *memFS) Rename(from, to string) error {
	end, err := m.begin("rename", from)
	if err != nil {
		return err
	}
	defer end()
	ino := m.files[from]
	m.change(func(d map[string]*memInode) {
		delete(d, from)
		d[to] = ino
	})
	return nil
}

func (m *memFS) Remove(name string) error {
	end, err := m.begin("remove", name)
	if err != nil {
		return err
	}
	defer end()
	m.change(func(d map[string]*memInode) { delete(d, name) })
	return nil
}

func (m *memFS) List(dir string) ([]fileInfo, error) {
	end, err := m.begin("list", dir)
	if err != nil {
		return nil, err
	}
	defer end()
	var out []fileInfo
	for name, ino := range m.files {
		if filepath.Dir(name) == dir {
			out = append(out, fileInfo{filepath.Base(name), int64(len(ino.data))})
		}
	}
	return out, nil
}

func (m *memFS) SyncDir(dir string) error {
	end, err := m.begin("syncdir", dir)
	if err != nil {
		return err
	}
	defer end()
	m.durable, m.journal = maps.Clone(m.files), nil
	return nil
}

func (m *memFS) Lock(dir string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locked {
		return nil, fmt.Errorf("%w: %s", ErrLocked, dir)
	}
	m.locked = true
	return memLock{m}, nil
}

type memLock struct{ m *memFS }

func (l memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	l.m.locked = false
	return nil
}

// crash returns the disk as it may be found after the power failed.
func (m *memFS) crash(rng *rand.Rand) *memFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir := maps.Clone(m.durable)
	for _, f := range m.journal[:rng.IntN(len(m.journal)+1)] {
		f(dir)
	}
	after := newMemFS()
	for name, ino := range dir {
		b := ino.afterCrash(rng)
		after.files[name] = &memInode{data: b, durable: slices.Clone(b)}
	}
	after.durable = maps.Clone(after.files)
	return after
}

// memSector is what a disk writes as a whole.
const memSector = 512

func (i *memInode) afterCrash(rng *rand.Rand) []byte {
	switch rng.IntN(4) {
	case 0:
		return slices.Clone(i.durable)
	case 1:
		return slices.Clone(i.data)
	}
	lo, hi := min(len(i.durable), len(i.data)), max(len(i.durable), len(i.data))
	out := make([]byte, lo+rng.IntN(hi-lo+1))
	for at := 0; at < len(out); at += memSector {
		from := i.durable
		if rng.IntN(2) == 0 {
			from = i.data
		}
		if at < len(from) {
			copy(out[at:min(at+memSector, len(out))], from[at:])
		}
	}
	return out
}

// only returns the contents of the only file with the suffix, to be changed in
// place.
func (m *memFS) only(suffix string) *memInode {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found *memInode
	for name, ino := range m.files {
		if strings.HasSuffix(name, suffix) {
			if found != nil {
				panic("several files end in " + suffix)
			}
			found = ino
		}
	}
	return found
}

func (m *memFS) names(suffix string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for name := range m.files {
		if strings.HasSuffix(name, suffix) {
			out = append(out, filepath.Base(name))
		}
	}
	slices.Sort(out)
	return out
}

// with returns a disk that holds one segment.
func memWith(name string, data []byte) *memFS {
	m := newMemFS()
	m.files[name] = &memInode{data: data, durable: data}
	m.durable = maps.Clone(m.files)
	return m
}

type memFile struct {
	m    *memFS
	ino  *memInode
	name string
}

func (f *memFile) ReadAt(b []byte, off int64) (int, error) {
	end, err := f.m.begin("read", f.name)
	if err != nil {
		return 0, err
	}
	defer end()
	if off >= int64(len(f.ino.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.ino.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(b []byte, off int64) (int, error) {
	end, err := f.m.begin("write", f.name)
	if err != nil {
		if errors.Is(err, errHalf) { // half of it gets there
			f.ino.write(b[:len(b)/2], off)
			return len(b) / 2, err
		}
		return 0, err
	}
	defer end()
	if f.m.limit > 0 {
		free := f.m.limit
		for _, ino := range f.m.files {
			free -= int64(len(ino.data))
		}
		if room := free + int64(len(f.ino.data)) - off; room < int64(len(b)) {
			n := max(0, room)
			f.ino.write(b[:n], off)
			return int(n), syscall.ENOSPC
		}
	}
	f.ino.write(b, off)
	return len(b), nil
}

// errHalf is a fault of a write that has half of its octets written.
var errHalf = errors.New("half")

func (i *memInode) write(b []byte, off int64) {
	if need := int(off) + len(b); need > len(i.data) {
		i.data = append(i.data, make([]byte, need-len(i.data))...)
	}
	copy(i.data[off:], b)
}

func (f *memFile) Truncate(size int64) error {
	end, err := f.m.begin("truncate", f.name)
	if err != nil {
		return err
	}
	defer end()
	f.ino.data = slices.Clone(f.ino.data[:min(size, int64(len(f.ino.data)))])
	return nil
}

func (f *memFile) Size() (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return int64(len(f.ino.data)), nil
}

func (f *memFile) Sync() error {
	f.m.mu.Lock()
	f.m.syncs[f.ino]++
	f.m.mu.Unlock()
	end, err := f.m.begin("sync", f.name)
	if err != nil {
		return err
	}
	defer end()
	f.ino.durable = slices.Clone(f.ino.data)
	return nil
}

func (f *memFile) Close() error { return nil }
