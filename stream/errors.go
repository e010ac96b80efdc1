package stream

import (
	"context"
	"errors"
	"net"
	"syscall"
)

// Errors that callers may ask for with errors.Is.
var (
	// ErrClosed is returned by Write after Close, and by a Reader that has
	// delivered everything of a closed log.
	ErrClosed = errors.New("stream: the log is closed")
	// ErrLocked is returned by Open while another process has the log open.
	ErrLocked = errors.New("stream: the log is in use")
	// ErrVersion is returned by Open for a log that a newer ribtap wrote.
	ErrVersion = errors.New("stream: the log was written by a newer version")
)

// noSpace reports whether the file system, or the user's share of it, is full.
func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// retryReason is the label of a failed sink write: few values, whatever the
// error says.
func retryReason(err error) string {
	var netErr net.Error
	var told interface{ RetryReason() string }
	switch {
	case errors.As(err, &told): // the sink knows better
		return told.RetryReason()
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case noSpace(err):
		return "disk-full"
	case errors.As(err, &netErr) && netErr.Timeout():
		return "timeout"
	case errors.As(err, &netErr):
		return "network"
	}
	return "error"
}
