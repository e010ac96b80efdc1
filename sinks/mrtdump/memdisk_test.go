package mrtdump

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

var (
	errDead   = errors.New("the process is dead")
	errFailed = errors.New("no space left on device")
)

// memDisk is a disk in memory. Every change is a step; at one of them the
// process dies, or the step fails once. Afterwards crash says what is left.
type memDisk struct {
	mu    sync.Mutex
	files map[string]*inode // as the process sees them
	saved map[string]*inode // as the directories are synced
	dirs  map[string]bool

	steps, dieAt, failAt int
	dead                 bool
}

type inode struct {
	data, synced []byte
	link         string
}

func newMemDisk() *memDisk {
	return &memDisk{files: map[string]*inode{}, saved: map[string]*inode{}, dirs: map[string]bool{}}
}

// crash returns the disk that the next process finds. After a mere kill that is
// all; a power failure leaves what was synced, and with it, by chance, other
// changes.
func (d *memDisk) crash(power bool, chance *rand.Rand) *memDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := newMemDisk()
	n.dirs = maps.Clone(d.dirs)
	names := map[string]bool{}
	for name := range d.files {
		names[name] = true
	}
	for name := range d.saved {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		node := d.files[name]
		if power && (chance == nil || chance.IntN(2) == 0) {
			node = d.saved[name]
		}
		if node == nil {
			continue
		}
		data := node.data
		if power && (chance == nil || chance.IntN(2) == 0) {
			data = node.synced
		}
		kept := &inode{data: slices.Clone(data), synced: slices.Clone(data), link: node.link}
		n.files[name], n.saved[name] = kept, kept
	}
	return n
}

// step counts a change and says whether it may be made.
func (d *memDisk) step() error {
	if d.dead {
		return errDead
	}
	d.steps++
	switch d.steps {
	case d.dieAt:
		d.dead = true
		return errDead
	case d.failAt:
		return errFailed
	}
	return nil
}

func (d *memDisk) MkdirAll(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dirs[dir] {
		return nil
	}
	if err := d.step(); err != nil {
		return err
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		d.dirs[dir] = true
	}
	return nil
}

func notExist(name string) error {
	return &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func (d *memDisk) Open(name string, flag int) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return nil, errDead
	}
	node := d.files[name]
	if node == nil && flag&os.O_CREATE == 0 || !d.dirs[filepath.Dir(name)] {
		return nil, notExist(name)
	}
	if node == nil || flag&os.O_TRUNC != 0 {
		if err := d.step(); err != nil {
			return nil, err
		}
	}
	if node == nil {
		node = &inode{}
		d.files[name] = node
	}
	if flag&os.O_TRUNC != 0 {
		node.data = nil
	}
	return &memFile{d: d, node: node}, nil
}

func (d *memDisk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	if d.files[from] == nil {
		return notExist(from)
	}
	d.files[to] = d.files[from]
	delete(d.files, from)
	return nil
}

func (d *memDisk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files[name] == nil {
		return notExist(name)
	}
	if err := d.step(); err != nil {
		return err
	}
	delete(d.files, name)
	return nil
}

func (d *memDisk) Symlink(target, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	d.files[name] = &inode{link: target}
	return nil
}

func (d *memDisk) SyncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	maps.DeleteFunc(d.saved, func(name string, _ *inode) bool { return filepath.Dir(name) == dir })
	for name, node := range d.files {
		if filepath.Dir(name) == dir {
			d.saved[name] = node
		}
	}
	return nil
}

func (d *memDisk) Size(name string) (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return 0, errDead
	}
	if d.files[name] == nil {
		return 0, notExist(name)
	}
	return int64(len(d.files[name].data)), nil
}

func (d *memDisk) Temporaries(string) (names []string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name := range d.files {
		if isTemporary(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

type memFile struct {
	d    *memDisk
	node *inode
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.dead {
		return 0, errDead
	}
	if off >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes half when the process dies in it, or the disk is full.
func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	wasDead := f.d.dead
	err := f.d.step()
	if wasDead {
		return 0, err
	}
	if err != nil {
		p = p[:len(p)/2]
	}
	if need := int(off) + len(p) - len(f.node.data); need > 0 {
		f.node.data = append(f.node.data, make([]byte, need)...)
	}
	return copy(f.node.data[off:], p), err
}

func (f *memFile) Truncate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.step(); err != nil {
		return err
	}
	data := make([]byte, size)
	copy(data, f.node.data)
	f.node.data = data
	return nil
}

func (f *memFile) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.step(); err != nil {
		return err
	}
	f.node.synced = slices.Clone(f.node.data)
	return nil
}

func (f *memFile) Close() error { return nil }
