package mrtdump

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/ribtap/ribtap/event"
)

// project is the word for us in BGPStream's second column.
const project = "ribtap"

// ribSpan is the time in seconds that a table dump is said to take; BGPStream
// uses it to put files in order.
const ribSpan = 120

// index appends to the csvfile of each tree. The writer of updates and the
// writer of table dumps use it at the same time.
type index struct {
	cfg  Config
	disk disk
	mu   sync.Mutex
}

// indexLine is a finished file.
type indexLine struct {
	view        event.RIB
	kind        string // typeUpdates or typeRIBs
	final       string // below Dir
	start, span int64  // seconds
	now         int64  // when the line is added, in seconds
	// again is set when the file may have a line: its finish died, or it was
	// finished early and went on.
	again bool
}

// add appends the file's line, once. A torn line at the end, of an append that
// died, is cut off.
func (x *index) add(l *indexLine) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	path, err := filepath.Abs(filepath.Join(x.cfg.Dir, l.final))
	if err != nil {
		return fmt.Errorf("mrtdump: csvfile: %w", err)
	}
	collector := x.cfg.collector(l.view)
	name := filepath.Join(x.cfg.Dir, collector, indexName)
	f, err := x.disk.Open(name, os.O_CREATE)
	if err != nil {
		return fmt.Errorf("mrtdump: csvfile: %w", err)
	}
	columns := fmt.Sprintf(",%s,%s,%s,%d,%d,%d\n", project, l.kind, collector, l.start, l.span, l.now)
	err = x.append(f, name, quote(path), columns, l.again)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("mrtdump: csvfile: %w", err)
	}
	return nil
}

func (x *index) append(f file, name, path, columns string, again bool) error {
	size, err := x.disk.Size(name)
	if err != nil {
		return err
	}
	keep, err := wholeLines(f, size)
	if err != nil {
		return err
	}
	if again {
		content := make([]byte, keep)
		if _, err := f.ReadAt(content, 0); err != nil && keep > 0 {
			return err
		}
		if strings.Contains("\n"+string(content), "\n"+path+",") {
			return nil
		}
	}
	if keep != size {
		if err := f.Truncate(keep); err != nil {
			return err
		}
	}
	if _, err := f.WriteAt([]byte(path+columns), keep); err != nil {
		return err
	}
	if err := f.Sync(); err != nil || keep > 0 {
		return err
	}
	return x.disk.SyncDir(filepath.Dir(name))
}

// wholeLines returns the length of the file up to its last newline.
func wholeLines(f file, size int64) (int64, error) {
	const step = 4096
	for end := size; end > 0; {
		start := max(0, end-step)
		b := make([]byte, end-start)
		if _, err := f.ReadAt(b, start); err != nil {
			return 0, err
		}
		if i := strings.LastIndexByte(string(b), '\n'); i >= 0 {
			return start + int64(i) + 1, nil
		}
		end = start
	}
	return 0, nil
}

// quote puts a path in quotes where CSV needs them.
func quote(path string) string {
	if strings.ContainsAny(path, "\",\r\n") {
		return `"` + strings.ReplaceAll(path, `"`, `""`) + `"`
	}
	return path
}
