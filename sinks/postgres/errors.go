package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ribtap/ribtap/history"
)

var (
	// ErrClosed is returned by a Sink that was not opened or is closed.
	ErrClosed = errors.New("postgres: the store is not open")
	// ErrOtherWriter is returned when a newer Sink writes for the collector.
	ErrOtherWriter = errors.New("postgres: another process writes for this collector")
	// ErrWentBack is returned when the store has less than it once confirmed, as
	// after a failover to a standby that lagged or from a backup. Who goes on must
	// begin with Open, and write what is missing.
	ErrWentBack = errors.New("postgres: the store lost what it had confirmed")
	// ErrNotNumbered is returned for an event that has no sequence.
	ErrNotNumbered = errors.New("postgres: event without a sequence")
)

// Error is a failed attempt: nothing of it counts, and it may be made again.
type Error struct {
	Op     string
	Reason string // one of a few words; see reasonOf
	Err    error
}

// Error is one line.
func (e *Error) Error() string {
	return "postgres: " + e.Op + ": " + oneLine(e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// RetryReason is the label of ribtap_sink_retries_total.
func (e *Error) RetryReason() string { return e.Reason }

// Lost reports whether the position is not where this Sink left it, or is
// another's: who goes on must begin with Open.
func (e *Error) Lost() bool {
	return errors.Is(e.Err, ErrOtherWriter) || errors.Is(e.Err, ErrWentBack)
}

// oneLine is the text of an error without line ends; a failed connection names
// each address that was tried on a line of its own.
func oneLine(err error) string {
	return strings.Join(strings.Fields(strings.TrimPrefix(err.Error(), "postgres: ")), " ")
}

// failed makes an Error; nil stays nil.
func failed(op string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, Reason: reasonOf(err), Err: err}
}

// reasons are words for SQLSTATE codes, and for classes of them (Appendix A of
// PostgreSQL's manual).
var reasons = map[string]string{
	"28":    "auth",
	"3D000": "no-database",
	"42501": "permission",
	"42P01": "schema",
	"25006": "read-only",
	"40001": "serialization",
	"40P01": "deadlock",
	"53100": "disk-full",
	"53200": "memory",
	"53300": "too-many-connections",
	"55P03": "lock",
	"57014": "timeout", // statement_timeout
	"57P03": "starting",
	"57P":   "shutdown",
	"08":    "network",
	"58030": "io",
	"22":    "data",
	"23":    "data",
}

// reasonOf classes an error with few words, whatever its text says.
func reasonOf(err error) string {
	var pg *pgconn.PgError
	var netErr net.Error
	switch {
	case errors.Is(err, ErrOtherWriter):
		return "other-writer"
	case errors.Is(err, ErrWentBack):
		return "went-back"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.As(err, &pg):
		for _, n := range [...]int{5, 3, 2} {
			if r, ok := reasons[pg.Code[:min(n, len(pg.Code))]]; ok {
				return r
			}
		}
		return "error"
	case isTLS(err):
		return "tls"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return "timeout"
	case errors.As(err, &netErr), isConnect(err), pgconn.SafeToRetry(err), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "network"
	}
	return "error"
}

// isTLS reports whether the two sides do not agree about TLS. pgconn has no type
// for a server that offers none.
func isTLS(err error) bool {
	_, verify := errors.AsType[*tls.CertificateVerificationError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	return verify || record || alert || isConnect(err) && strings.Contains(err.Error(), "refused TLS connection")
}

// isMissing reports whether the tables or the collector's row are not there.
func isMissing(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return errors.Is(err, pgx.ErrNoRows) || ok && reasons[pg.Code] == "schema"
}

func isConnect(err error) bool {
	var c *pgconn.ConnectError
	return errors.As(err, &c)
}

// explain says of a failure what to do about it.
func explain(cfg *pgconn.Config, err error) error {
	where := fmt.Sprintf("%s:%d", cfg.Host, cfg.Port)
	if strings.HasPrefix(cfg.Host, "/") {
		where = cfg.Host
	}
	say := func(format string, args ...any) error { return &explained{fmt.Sprintf(where+format, args...), err} }
	reason := reasonOf(err)
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch reason {
		case "auth":
			return say(" refuses user %q: %s: check the user, the password and pg_hba.conf", cfg.User, pg.Message)
		case "no-database":
			return say(": %s: create it with createdb", pg.Message)
		case "permission":
			return say(", database %q: user %q: %s: grant it as in docs/operations.md, or run ribtap migrate as the owner", cfg.Database, cfg.User, pg.Message)
		case "read-only":
			return say(", database %q is read-only: %s: is it a standby?", cfg.Database, pg.Message)
		case "disk-full":
			return say(", database %q: the server's disk is full: %s: make room there", cfg.Database, pg.Message)
		case "too-many-connections":
			return say(": %s: raise max_connections, or end other clients", pg.Message)
		}
		return say(": %s (SQLSTATE %s)", pg.Message, pg.Code)
	}
	switch {
	case reason == "tls":
		return say(": TLS: %s: check sslmode, sslrootcert and the server's certificate", rootOf(err))
	case reason == "timeout":
		return fmt.Errorf("%s does not answer: %w", where, err)
	case isConnect(err) && oneHost(cfg):
		return &explained{fmt.Sprintf("cannot connect to %s: %s", where, rootOf(err)), err}
	case isConnect(err):
		return fmt.Errorf("cannot connect to %s: %w", where, err)
	case reason == "network":
		return say(" ended the connection: %s", rootOf(err))
	}
	return err
}

// oneHost reports whether the DSN names one host, which pgconn may try in more
// than one way.
func oneHost(cfg *pgconn.Config) bool {
	for _, f := range cfg.Fallbacks {
		if f.Host != cfg.Host || f.Port != cfg.Port {
			return false
		}
	}
	return true
}

// rootOf is the text of the innermost error, without the address that the
// caller names and the layers that passed it on.
func rootOf(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return dns.Err
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	} else if verify, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		err = verify.Err
	} else if c, ok := errors.AsType[*pgconn.ConnectError](err); ok && errors.Unwrap(c) != nil {
		err = errors.Unwrap(c)
	}
	return oneLine(err)
}

// explained is an error in other words.
type explained struct {
	text string
	err  error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.err }

// isPoison reports whether err is about a value that was to be stored, so that
// the same batch would fail again; all else may pass. alive says that the
// connection still is.
func isPoison(err error, alive bool) bool {
	var p *history.PanicError
	if errors.As(err, &p) {
		return true
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	switch pg.Code[:min(2, len(pg.Code))] {
	// Data exceptions, integrity constraints, limits of the program (an index row
	// that is too large), an exception of a trigger.
	case "22", "23", "54", "P0":
		return alive
	}
	return false
}
