package bmp

import (
	"fmt"
	"io"
)

// Class says how far the damage of an Error goes.
type Class uint8

// Values of Class.
const (
	ClassDrop      Class = iota + 1 // this message is unreadable; the stream is sound
	ClassFraming                    // nobody can say where the next message begins
	ClassTruncated                  // the stream ended inside a message
)

// String returns drop, framing or truncated.
func (c Class) String() string {
	switch c {
	case ClassDrop:
		return "drop"
	case ClassFraming:
		return "framing"
	case ClassTruncated:
		return "truncated"
	}
	return "unknown"
}

// Values of Error.Reason.
const (
	ReasonVersion      = "bmp-version"        // neither 3 nor 4
	ReasonLengthShort  = "bmp-length-short"   // less than the common header itself
	ReasonLengthLong   = "bmp-length-long"    // more than the Reader's limit
	ReasonLengthLies   = "bmp-length-lies"    // Parse was given more or less than the header says
	ReasonTruncated    = "bmp-truncated"      // EOF inside a message
	ReasonMessageType  = "bmp-message-type"   // a body parser was given another type's message
	ReasonPeerHeader   = "peer-header-short"  // the per-peer header is cut
	ReasonBodyShort    = "body-short"         // a fixed part of the body is cut
	ReasonNoPDU        = "bgp-missing"        // no octet where a BGP message belongs
	ReasonBGPHeader    = "bgp-header-short"   // fewer octets than a BGP header
	ReasonBGPMarker    = "bgp-marker"         // the marker is not all ones
	ReasonBGPLength    = "bgp-length-short"   // the BGP length is less than its header
	ReasonBGPOverrun   = "bgp-length-overrun" // the BGP length is more than there is
	ReasonNotUpdate    = "bgp-not-update"     // another BGP message where an UPDATE belongs
	ReasonNotOpen      = "bgp-not-open"       // another BGP message where an OPEN belongs
	ReasonOpenShort    = "bgp-open-short"     // an OPEN without its fixed part
	ReasonTLVOverrun   = "tlv-overrun"        // a TLV reaches behind the message's end
	ReasonStatsMissing = "stats-missing"      // fewer statistics than the count says
)

// Error is a message that cannot be read, or a stream that cannot be followed.
// It unwraps to io.ErrUnexpectedEOF when its class is ClassTruncated.
type Error struct {
	Class Class
	// Type is the message's type; valid iff Class == ClassDrop.
	Type Type
	// Offset is where the fault is: in octets from the start of the message for
	// ClassDrop, else where the message begins, from the start of the stream.
	Offset int64
	// Reason is one of the constants above, fit for a metric label.
	Reason string
	// Have of Want octets of the message were there; Want is the common header
	// alone while that is incomplete. Valid iff Class == ClassTruncated.
	Have, Want int
}

// Error describes the fault in one line.
func (e *Error) Error() string {
	switch e.Class {
	case ClassDrop:
		return fmt.Sprintf("bmp: %s dropped: %s at octet %d", e.Type, e.Reason, e.Offset)
	case ClassTruncated:
		return fmt.Sprintf("bmp: message at octet %d cut after %d of %d octets: %v", e.Offset, e.Have, e.Want, io.ErrUnexpectedEOF)
	case ClassFraming:
	}
	return fmt.Sprintf("bmp: framing lost at octet %d: %s", e.Offset, e.Reason)
}

// Unwrap returns io.ErrUnexpectedEOF for ClassTruncated, else nil.
func (e *Error) Unwrap() error {
	if e.Class == ClassTruncated {
		return io.ErrUnexpectedEOF
	}
	return nil
}
