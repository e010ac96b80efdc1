package stream

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
)

// cursorDir is where, in the log's directory, followers keep their positions.
const cursorDir = "cursors"

// cursor is a follower's saved position.
type cursor struct {
	// start is the first sequence that the follower was promised.
	start uint64
	// committed is the last one that it has; of a Sink, which knows better,
	// it is only for people.
	committed uint64
}

const cursorFormat = "ribtap-cursor 1\nstart %d\ncommitted %d\n"

func appendCursor(dst []byte, c cursor) []byte {
	from := len(dst)
	dst = fmt.Appendf(dst, cursorFormat, c.start, c.committed)
	return fmt.Appendf(dst, "crc %08x\n", crc32.Checksum(dst[from:], castagnoli))
}

func parseCursor(b []byte) (cursor, bool) {
	var c cursor
	_, err := fmt.Sscanf(string(b), cursorFormat, &c.start, &c.committed)
	return c, err == nil && string(appendCursor(nil, c)) == string(b)
}

// maxCursorLen is more than any cursor file has.
const maxCursorLen = 256

var errCursor = errors.New("stream: the cursor file does not verify")

// loadCursor returns the zero cursor when there is no file, and errCursor when
// it is damaged.
func (l *Log) loadCursor(name string) (cursor, error) {
	f, err := l.fs.Open(l.cursorPath(name))
	if errors.Is(err, fs.ErrNotExist) {
		return cursor{}, nil
	}
	if err != nil {
		return cursor{}, fmt.Errorf("stream: cursor: %w", err)
	}
	b := make([]byte, maxCursorLen)
	n, _ := f.ReadAt(b, 0)
	if err := f.Close(); err != nil {
		return cursor{}, fmt.Errorf("stream: cursor: %w", err)
	}
	c, ok := parseCursor(b[:n])
	if !ok {
		return cursor{}, errCursor
	}
	return c, nil
}

// saveCursor replaces the file by another, so that there is always a whole one.
func (l *Log) saveCursor(name string, c cursor) error {
	path := l.cursorPath(name)
	f, err := l.fs.Create(path + ".new")
	if err != nil {
		return fmt.Errorf("stream: cursor: %w", err)
	}
	_, err = f.WriteAt(appendCursor(nil, c), 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = l.fs.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("stream: cursor: %w", err)
	}
	return nil
}

func (l *Log) cursorPath(name string) string { return filepath.Join(l.cfg.Dir, cursorDir, name) }
