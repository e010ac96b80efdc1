package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// ledger remembers which files were imported, by content, so that a file that
// is imported twice adds nothing. It is a file of JSON lines below data_dir; a
// torn last line is taken for missing.
type ledger struct {
	mu   sync.Mutex
	path string
}

// ledgerEntry is one line.
type ledgerEntry struct {
	// SHA256 is that of the file as it is, compressed if it is.
	SHA256 string    `json:"sha256"`
	Router string    `json:"router,omitempty"`
	Name   string    `json:"name"`
	Bytes  int64     `json:"bytes"`
	At     time.Time `json:"at"`
	// Done is false for an import that began; a line with true follows when it
	// has come to its end.
	Done   bool  `json:"done"`
	Events int64 `json:"events,omitempty"`
	Routes int64 `json:"routes,omitempty"`
}

func openLedger(dataDir string) *ledger {
	return &ledger{path: filepath.Join(dataDir, "imports.jsonl")}
}

// find returns the last entry of the content under the router name; ok is
// false when it was never begun.
func (l *ledger) find(sum, router string) (e ledgerEntry, ok bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := os.Open(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return e, false, nil
	}
	if err != nil {
		return e, false, fmt.Errorf("import ledger: %w", err)
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var line ledgerEntry
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.SHA256 == sum && line.Router == router {
			e, ok = line, true
		}
	}
	if err := lines.Err(); err != nil {
		return e, false, fmt.Errorf("import ledger %s: %w", l.path, err)
	}
	return e, ok, nil
}

// add appends an entry and has it on disk when it returns.
func (l *ledger) add(e ledgerEntry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("import ledger: %w", err)
	}
	f, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("import ledger: %w", err)
	}
	defer func() { _ = f.Close() }() // Sync has said all
	if torn, err := endsTorn(f); err != nil {
		return fmt.Errorf("import ledger %s: %w", l.path, err)
	} else if torn {
		line = append([]byte{'\n'}, line...)
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("import ledger %s: %w", l.path, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("import ledger %s: %w", l.path, err)
	}
	return nil
}

// endsTorn reports whether a crash left the last line without its end.
func endsTorn(f *os.File) (bool, error) {
	st, err := f.Stat()
	if err != nil || st.Size() == 0 {
		return false, err
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], st.Size()-1); err != nil {
		return false, err
	}
	return last[0] != '\n', nil
}

// hashFile returns the SHA-256 of all of f and leaves f at its start.
func hashFile(f *os.File) (sum string, size int64, err error) {
	h := sha256.New()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", 0, err
	}
	size, err = io.Copy(h, f)
	if err != nil {
		return "", 0, err
	}
	_, err = f.Seek(0, io.SeekStart)
	return hex.EncodeToString(h.Sum(nil)), size, err
}

// spool copies r to a temporary file below dir, so that a content that comes
// once, on a pipe or a connection, can be hashed before it is imported. The
// file has no name any more when spool returns; closing it frees it. At most
// limit octets are taken.
func spool(dir string, r io.Reader, limit int64) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	f, err := os.CreateTemp(dir, "import-*.tmp")
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("spool: %w", err), f.Close())
	}
	n, err := io.Copy(f, io.LimitReader(r, limit+1))
	if err == nil && n > limit {
		err = fmt.Errorf("more than %s", humanBytes(limit))
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("spool: %w", err), f.Close())
	}
	return f, nil
}

// isBMPRecording reports whether a file's first octets are those of a BMP
// message (RFC 7854 §4.1) rather than of an MRT record: version 3 or 4, a
// length that fits a message and a known type. In an MRT record the same place
// holds a time stamp of the early 1970s.
func isBMPRecording(head []byte) bool {
	if len(head) < 6 || bytes.HasPrefix(head, []byte{0x1f, 0x8b}) {
		return false
	}
	length := uint32(head[1])<<24 | uint32(head[2])<<16 | uint32(head[3])<<8 | uint32(head[4])
	return (head[0] == 3 || head[0] == 4) && length >= 6 && length < 64<<20 && head[5] <= 8
}
