package mrtdump

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/mrt"
)

// flushAt is how much of a batch is gathered before it is written.
const flushAt = 1 << 20

// openFile is the updates file of one view in the current interval.
type openFile struct {
	view        event.RIB
	base, final string // below Dir
	start, span int64  // seconds

	f    file
	size int64 // what counts
	// pending and then ahead octets behind size are of a batch that does not
	// count yet.
	pending []byte
	ahead   int64
	dirty   bool // not synced
	fresh   bool // its directory is not synced
}

// flush writes what is pending behind what counts.
func (o *openFile) flush() error {
	if len(o.pending) == 0 {
		return nil
	}
	o.dirty = true
	if _, err := o.f.WriteAt(o.pending, o.size+o.ahead); err != nil {
		return err
	}
	o.ahead += int64(len(o.pending))
	o.pending = o.pending[:0]
	return nil
}

func (o *openFile) forget() { o.pending, o.ahead = o.pending[:0], 0 }

func (o *openFile) count() { o.size, o.ahead = o.size+o.ahead, 0 }

// path is where something below Dir is.
func (s *Sink) path(name string) string { return filepath.Join(s.cfg.Dir, name) }

// newFile names the updates file of a view and interval.
func (s *Sink) newFile(view event.RIB, start int64) *openFile {
	base := s.cfg.updatesBase(view, start)
	return &openFile{
		view: view, base: base, final: base + endings[s.cfg.Compression],
		start: start, span: int64(s.cfg.UpdatesInterval.Seconds()),
	}
}

// file returns the view's open file. It opens one if there is none; if the
// interval has a finished one, that goes on.
func (s *Sink) file(view event.RIB) (*openFile, error) {
	if o := s.open[view]; o != nil {
		return o, nil
	}
	o := s.newFile(view, s.interval)
	tmp := s.path(o.base + tmpSuffix)
	if err := s.disk.MkdirAll(filepath.Dir(tmp)); err != nil {
		return nil, fmt.Errorf("mrtdump: %w", err)
	}
	flag := os.O_CREATE | os.O_TRUNC
	if _, err := s.disk.Size(s.path(o.final)); err == nil {
		size, err := s.unpack(o.final, tmp)
		if err != nil {
			return nil, fmt.Errorf("mrtdump: go on with %s: %w", o.final, err)
		}
		o.size, flag = size, 0
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("mrtdump: %w", err)
	}
	f, err := s.disk.Open(tmp, flag)
	if err != nil {
		return nil, fmt.Errorf("mrtdump: %w", err)
	}
	o.f, o.fresh = f, true
	s.open[view] = o
	return o, nil
}

// unpack makes tmp of a finished file. The name tmp means that all of it is
// there, so it is renamed to it.
func (s *Sink) unpack(final, tmp string) (size int64, err error) {
	size, err = s.disk.Size(s.path(final))
	if err != nil {
		return 0, err
	}
	in, err := s.disk.Open(s.path(final), 0)
	if err != nil {
		return 0, err
	}
	defer in.Close() //nolint:errcheck // only read
	content, _, err := mrt.Decompress(io.NewSectionReader(in, 0, size))
	if err != nil {
		content = io.MultiReader() // damaged from the first octet
	}
	out, err := s.disk.Open(tmp+partSuffix, os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return 0, err
	}
	w := io.NewOffsetWriter(out, 0)
	read := mrt.NewReader(io.TeeReader(content, w))
	damage := errors.Join(err, readAll(read))
	if damage != nil {
		s.m.failures.WithLabelValues(typeUpdates).Inc()
		s.log.Error("finished MRT file is damaged, its readable part is kept", "file", final, "octets", read.Offset(), "error", damage)
	}
	size = read.Offset()
	err = out.Truncate(size)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return 0, err
	}
	if err := s.disk.Rename(tmp+partSuffix, tmp); err != nil {
		return 0, err
	}
	return size, s.disk.SyncDir(filepath.Dir(tmp))
}

// readAll reads to the end; its error is the file's damage.
func readAll(r *mrt.Reader) error {
	for {
		if _, err := r.Next(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// finish gives the file its name; see the package comment. What counts of it
// is committed. It may be called again after an error.
func (s *Sink) finish(o *openFile) error {
	began := s.now()
	final := s.path(o.final)
	_, err := s.disk.Size(final)
	again := err == nil
	octets, err := s.pack(o, final)
	if err != nil {
		return fmt.Errorf("mrtdump: %s: %w", o.final, err)
	}
	line := indexLine{view: o.view, kind: typeUpdates, final: o.final, start: o.start, span: o.span, now: s.now().Unix(), again: again}
	if err := s.index.add(&line); err != nil {
		return err
	}
	if err := s.disk.Remove(s.path(o.base + tmpSuffix)); err != nil {
		return fmt.Errorf("mrtdump: %w", err)
	}
	_ = o.f.Close() // the file is gone, and its content is synced elsewhere
	s.m.finished(typeUpdates, octets, s.now().Sub(began))
	return nil
}

// pack writes what counts of the file, compressed, under its final name.
func (s *Sink) pack(o *openFile, final string) (octets int64, err error) {
	p, err := newPacker(s.disk, final+partSuffix, compressionOf(o.final))
	if err != nil {
		return 0, err
	}
	if _, err := io.Copy(p, io.NewSectionReader(o.f, 0, o.size)); err != nil {
		p.abandon()
		return 0, err
	}
	return p.finish(final)
}
