package history

import (
	"fmt"
	"runtime/debug"

	"github.com/ribtap/ribtap/event"
)

// Store writes the rows of one event after the other.
type Store interface {
	Route(e *event.Event) error
	RouterEvent(e *event.Event) error
	PeerEvent(e *event.Event) error
	Stats(e *event.Event) error
	Gap(e *event.Event) error
	Import(e *event.Event) error
	// Anomaly keeps an event as it came. reason is one of the constants below,
	// text says more; it may be empty.
	Anomaly(e *event.Event, reason, text string) error
}

// Reasons of anomalies, as metrics have them.
const (
	AnomalyUnknown    = "unknown-message"
	AnomalyUnreadable = "unreadable-update"
	AnomalyRefused    = "refused"
)

// PanicError is a panic while an event was turned into rows: a bug, which must
// not stop the history.
type PanicError struct {
	Value any
	Stack []byte
}

// Error implements error.
func (e *PanicError) Error() string { return fmt.Sprintf("history: panic: %v", e.Value) }

// Write hands an event to the method for its kind. A panic is returned as a
// *PanicError.
func Write(s Store, e *event.Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Value: p, Stack: debug.Stack()}
		}
	}()
	switch e.Kind {
	case event.KindRoute:
		return s.Route(e)
	case event.KindRouterUp, event.KindRouterDown:
		return s.RouterEvent(e)
	case event.KindPeerUp, event.KindPeerDown, event.KindState:
		if keepalive(e) {
			return nil
		}
		return s.PeerEvent(e)
	case event.KindStats:
		return s.Stats(e)
	case event.KindGap:
		return s.Gap(e)
	case event.KindImport:
		return s.Import(e)
	case event.KindUnknown:
		return s.Anomaly(e, AnomalyUnknown, e.Text)
	case event.KindMirror, event.KindRefresh:
		// Of these the history keeps nothing; the stream and the MRT files do.
		return nil
	}
	return s.Anomaly(e, AnomalyUnknown, "unknown kind of event")
}

// AnomalyRow is a row of anomalies without sequence, time and collector.
type AnomalyRow struct {
	Router, RouterAddress, PeerAddress any
	Kind                               string
	Reason, Raw                        any
}

// ReadAnomaly makes the row of an event that is kept as it came.
func ReadAnomaly(e *event.Event, reason, text string) AnomalyRow {
	row := AnomalyRow{Kind: e.Kind.String()}
	if e.Router != nil {
		row.Router, row.RouterAddress = Clean(e.Router.Name), Clean(AddrText(e.Router.Address))
	}
	if e.Peer != nil {
		row.PeerAddress = Clean(AddrText(e.Peer.Address))
	}
	if text == "" {
		text = reason
	}
	row.Reason = Clean(text)
	raw := make([]byte, 0, len(e.Head)+len(e.Sent)+len(e.PDU)+len(e.Tail))
	for _, part := range [...][]byte{e.Head, e.Sent, e.PDU, e.Tail} {
		raw = append(raw, part...)
	}
	row.Raw = BytesOrNull(raw)
	return row
}

// Counts are the rows and anomalies of a transaction under way: they count when
// it is committed. The zero Counts is ready.
type Counts struct {
	Rows      map[string]int // by table
	Anomalies map[string]int // by reason
}

// Row notes n rows of a table.
func (c *Counts) Row(table string, n int) {
	if c.Rows == nil {
		c.Rows = map[string]int{}
	}
	c.Rows[table] += n
}

// Anomaly notes an anomaly.
func (c *Counts) Anomaly(reason string) {
	if c.Anomalies == nil {
		c.Anomalies = map[string]int{}
	}
	c.Anomalies[reason]++
}

// Clear forgets what is noted.
func (c *Counts) Clear() {
	clear(c.Rows)
	clear(c.Anomalies)
}
