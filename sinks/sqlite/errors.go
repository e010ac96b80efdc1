package sqlite

import (
	"errors"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/ribtap/ribtap/history"
)

var (
	// ErrClosed is returned by a Sink that was not opened or is closed.
	ErrClosed = errors.New("sqlite: the store is not open")
	// ErrOtherWriter is returned when another process wrote to the store.
	ErrOtherWriter = errors.New("sqlite: another process writes to the store")
	// ErrNotNumbered is returned for an event that has no sequence.
	ErrNotNumbered = errors.New("sqlite: event without a sequence")
)

// isPoison reports whether err is about a value that was to be stored, so that
// the same batch would fail again; all else may pass.
func isPoison(err error) bool {
	var p *history.PanicError
	if errors.As(err, &p) {
		return true
	}
	var e *driver.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() & 0xff {
	case lib.SQLITE_CONSTRAINT, lib.SQLITE_TOOBIG, lib.SQLITE_MISMATCH, lib.SQLITE_RANGE:
		return true
	}
	return false
}
