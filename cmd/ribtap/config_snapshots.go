package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// configEntry is one line of the history of the configuration.
type configEntry struct {
	Number  int       `json:"number"` // of the snapshot; 0 for what was reverted
	At      time.Time `json:"at"`
	By      string    `json:"by"` // start, reload, apply, canary or rollback
	Kept    bool      `json:"kept"`
	Why     string    `json:"why"` // it was reverted
	Changed []string  `json:"changed"`
	Restart []string  `json:"needs_restart"`
}

// snapshots keep configurations that were in force as data_dir/config/N.yaml, as
// their files were: the environment and flags are those of whoever reads them.
// Beside them history.ndjson says when and why. Keys may stand in them, so they
// are the owner's alone.
type snapshots struct{ dir string }

func newSnapshots(dataDir string) *snapshots { return &snapshots{filepath.Join(dataDir, "config")} }

const (
	maxSnapshots     = 20
	maxConfigEntries = 200
	historyName      = "history.ndjson"
)

// record adds an entry, and for one that is kept a snapshot, whose number it
// returns. A configuration that is that of the last snapshot adds nothing.
func (s *snapshots) record(e configEntry, text []byte) (int, error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return 0, err
	}
	entries, err := s.entries()
	if err != nil {
		return 0, err
	}
	if e.Kept {
		numbers, err := s.numbers()
		if err != nil {
			return 0, err
		}
		last := 0
		for _, old := range entries {
			last = max(last, old.Number)
		}
		if len(numbers) > 0 {
			newest := numbers[len(numbers)-1]
			last = max(last, newest)
			if was, err := s.read(newest); err == nil && bytes.Equal(was, text) {
				return newest, nil
			}
		}
		e.Number = last + 1
		if err := replaceFile(s.path(e.Number), text, 0o600); err != nil {
			return 0, err
		}
		for len(numbers) >= maxSnapshots {
			if err := os.Remove(s.path(numbers[0])); err != nil {
				return e.Number, err
			}
			numbers = numbers[1:]
		}
	}
	entries = append(entries, e)
	var b bytes.Buffer
	for _, e := range entries[max(0, len(entries)-maxConfigEntries):] {
		if err := encoder(&b).Encode(e); err != nil {
			return e.Number, err
		}
	}
	return e.Number, replaceFile(filepath.Join(s.dir, historyName), b.Bytes(), 0o600)
}

func (s *snapshots) path(n int) string { return filepath.Join(s.dir, strconv.Itoa(n)+".yaml") }

// read returns a snapshot.
func (s *snapshots) read(n int) ([]byte, error) {
	text, err := os.ReadFile(s.path(n))
	if errors.Is(err, fs.ErrNotExist) {
		numbers, _ := s.numbers()
		if len(numbers) == 0 {
			return nil, &refusal{"no configuration was kept yet"}
		}
		return nil, &refusal{fmt.Sprintf("there is no configuration %d; those from %d to %d are kept", n, numbers[0], numbers[len(numbers)-1])}
	}
	return text, err
}

// numbers lists the snapshots, the oldest first.
func (s *snapshots) numbers() ([]int, error) {
	list, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []int
	for _, f := range list {
		if name, ok := strings.CutSuffix(f.Name(), ".yaml"); ok {
			if n, err := strconv.Atoi(name); err == nil && n > 0 {
				out = append(out, n)
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

// entries lists the history, the oldest first. A line that cannot be read, as
// after a full disk, is left out.
func (s *snapshots) entries() ([]configEntry, error) {
	text, err := os.ReadFile(filepath.Join(s.dir, historyName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []configEntry
	for line := range bytes.Lines(text) {
		var e configEntry
		if json.Unmarshal(line, &e) == nil {
			out = append(out, e)
		}
	}
	return out, nil
}

// replaceFile writes a file so that there is the old one or the new one, whole.
func replaceFile(path string, text []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// writeConfigFile puts a configuration that is in force where the next start
// finds it.
func writeConfigFile(path string, text []byte) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	was, err := os.ReadFile(path)
	if err == nil && bytes.Equal(was, text) {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	err = replaceFile(path, text, info.Mode().Perm())
	for _, in := range []error{fs.ErrPermission, syscall.EROFS, syscall.EBUSY} {
		if errors.Is(err, in) { // a directory that takes no new file, or a file that is a mount of its own
			return os.WriteFile(path, text, info.Mode().Perm())
		}
	}
	return err
}
