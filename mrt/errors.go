package mrt

import "fmt"

// Verdict says what an error means for the rest of the input.
type Verdict uint8

// Values of Verdict.
const (
	Drop      Verdict = iota + 1 // this record or entry does not count; the next one may
	Truncated                    // the input ended, or was damaged by its container, inside a record
	Stop                         // record boundaries are lost, or the source failed
)

// String returns drop, truncated or stop.
func (v Verdict) String() string {
	switch v {
	case Drop:
		return "drop"
	case Truncated:
		return "truncated"
	case Stop:
		return "stop"
	}
	return "unknown"
}

// Reasons of an Error: constant texts, fit for a metric label.
const (
	ReasonShort         = "short"               // a field reaches past the record's end
	ReasonLength        = "length"              // the record is longer than the limit
	ReasonHeader        = "header"              // the input ends inside a record header
	ReasonBody          = "body"                // the input ends inside a record body
	ReasonPadding       = "padding"             // nothing but empty records
	ReasonRead          = "read"                // the source failed
	ReasonCompression   = "compression"         // the compressed stream is damaged or cut
	ReasonClass         = "class"               // the view does not read this type and subtype
	ReasonAFI           = "afi"                 // neither IPv4 nor IPv6
	ReasonMessageLength = "bgp-length"          // the BGP header's length is not inside the record
	ReasonPrefix        = "prefix-length"       // more bits than the family has
	ReasonNLRI          = "nlri"                // the NLRI cannot be cut out
	ReasonFamily        = "family"              // the family's NLRI has no known layout
	ReasonPeerTable     = "no-peer-index-table" // a RIB record before a readable PEER_INDEX_TABLE
	ReasonPeerIndex     = "peer-index"          // an index that the table does not have
	ReasonAttributes    = "attributes"          // the attributes' lengths do not add up
	ReasonNextHop       = "next-hop"            // no next hop, or one that cannot be read
	ReasonTooLong       = "too-long"            // does not fit a BGP message or a record field
)

// Anomalies: remarks about a view that was read all the same.
const (
	AnomalyTrailing     = "trailing"     // octets behind the last field
	AnomalyState        = "state"        // an FSM state that nobody defined
	AnomalyPeerType     = "peer-type"    // reserved bits in a peer type
	AnomalyMicroseconds = "microseconds" // a million or more
	AnomalyPeerIndex    = "peer-index"   // some entries of a RIB record have no peer
)

// Error is a fault found in the input.
type Error struct {
	Verdict Verdict
	// Offset is where the record starts in the decompressed stream.
	Offset        int64
	Type, Subtype uint16
	Reason        string // one of the constants
	Err           error  // the cause, if another package found the fault
}

// Error names the record by type, subtype and offset.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("mrt: %s: record %d/%d at offset %d: %s: %v", e.Verdict, e.Type, e.Subtype, e.Offset, e.Reason, e.Err)
	}
	return fmt.Sprintf("mrt: %s: record %d/%d at offset %d: %s", e.Verdict, e.Type, e.Subtype, e.Offset, e.Reason)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
