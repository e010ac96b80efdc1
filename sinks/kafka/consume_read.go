package kafka

import (
	"fmt"
	"strconv"

	"github.com/ribtap/ribtap/event"
)

// Reasons why a record is not an event.
const (
	unreadableValue    = "value"    // the octets are not the message
	unreadableFormat   = "format"   // it is of another format
	unreadableOversize = "oversize" // it stands for an event that was too large
)

// nobody is the collector of a record that names none.
const nobody = "unknown"

// reading is what a record is.
type reading struct {
	event      event.Event
	collector  string
	unreadable string // why it is no event; empty for one
	what       string // in words
}

// read makes an event of every record. One that cannot be read becomes an event
// of KindUnknown without a sequence, with the record's octets, and a note about
// an event that was too large becomes a gap in its place.
func (d *Decoder) read(r *rawRecord) (out reading) {
	out.collector = r.collector
	if out.collector == "" {
		out.collector = nobody
	}
	sequence, err := strconv.ParseUint(r.sequence, 10, 64)
	switch {
	case r.schema == schemaOversize && err == nil:
		out.unreadable, out.what = unreadableOversize, "the event was too large for the topic; its collector's stream has it"
		out.event = event.Event{
			Sequence: sequence, Kind: event.KindGap, Received: event.At(r.time), Cause: event.CauseOverflow, Lost: 1, Text: out.what,
		}
		return out
	case r.schema != "" && r.schema != schemaProtobuf:
		out.unreadable, out.what = unreadableFormat, fmt.Sprintf("records with the schema %q", r.schema)
	default:
		e, collector, err := d.Decode(r.value)
		if err == nil && e.Sequence == 0 {
			err = fmt.Errorf("%w: no sequence", errValue)
		}
		if err == nil {
			out.event = e
			if collector != "" {
				out.collector = collector
			}
			return out
		}
		out.unreadable, out.what = unreadableValue, err.Error()
		if r.schema == "" {
			out.unreadable, out.what = unreadableFormat, "records that are not ribtap's ("+err.Error()+")"
		}
	}
	out.event = event.Event{
		Kind: event.KindUnknown, Received: event.At(r.time), PDU: r.value,
		Text: fmt.Sprintf("record at offset %d, event %q: %s", r.offset, r.sequence, out.what),
	}
	return out
}
