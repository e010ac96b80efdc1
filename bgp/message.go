package bgp

import (
	"fmt"

	"github.com/ribtap/ribtap/internal/wire"
)

// Message types (RFC 4271 §4.1, RFC 2918 §3).
const (
	MessageOpen         uint8 = 1
	MessageUpdate       uint8 = 2
	MessageNotification uint8 = 3
	MessageKeepalive    uint8 = 4
	MessageRouteRefresh uint8 = 5
)

// Sizes of whole messages in octets.
const (
	// MaxMessageLen bounds every message of a session without extended
	// messages, and OPEN and KEEPALIVE always (RFC 4271 §4.1, RFC 8654 §4).
	MaxMessageLen = 4096
	// MaxExtendedMessageLen bounds the others (RFC 8654 §4).
	MaxExtendedMessageLen = 65535
)

var messageNames = [...]string{"", "OPEN", "UPDATE", "NOTIFICATION", "KEEPALIVE", "ROUTE-REFRESH"}

// MessageName returns the name of a message type, or type-N.
func MessageName(t uint8) string {
	if int(t) < len(messageNames) && t != 0 {
		return messageNames[t]
	}
	return fmt.Sprintf("type-%d", t)
}

// MessageError says why a message is not what it should be, in the terms of
// the NOTIFICATION that a speaker would answer with (RFC 4271 §6).
type MessageError struct {
	Type    uint8 // of the message, a Message constant
	Code    uint8 // NOTIFICATION error code, an Error constant
	Subcode uint8
	Offset  int    // in the message
	Reason  string // a constant text, fit for a metric label
	// Data is the NOTIFICATION's data field; it may point into the message.
	Data []byte
}

// Error names the message, the octet, and the NOTIFICATION error in words.
func (e *MessageError) Error() string {
	return fmt.Sprintf("bgp: %s: %s at octet %d (%s)",
		MessageName(e.Type), e.Reason, e.Offset, ErrorName(e.Code, e.Subcode))
}

// Structural reports whether lengths or types in the message contradict each
// other, so that a part of it could not be read. Otherwise all of it was read
// and holds a value that a speaker refuses.
func (e *MessageError) Structural() bool {
	switch e.Code {
	case ErrorMessageHeader:
		return e.Subcode != subHeaderNotSynchronized
	case ErrorOpenMessage:
		return e.Subcode == subUnspecific
	}
	return true
}

// headerError is a Message Header Error about n octets of msg at the offset.
func headerError(msg []byte, typ, subcode uint8, offset, n int, reason string) *MessageError {
	c := wire.NewCursor(msg)
	c.Skip(offset)
	return &MessageError{
		Type: typ, Code: ErrorMessageHeader, Subcode: subcode, Offset: offset,
		Reason: reason, Data: c.Bytes(n),
	}
}

// parseMessage gives the body of msg, a whole message that should be of the
// type. It reads on behind a wrong marker or length, so that a station can show
// what a router passed on; the body is empty when the type is another one.
func parseMessage(msg []byte, want uint8) (wire.Cursor, *MessageError) {
	const lengthAt, typeAt = 16, 18
	c := wire.NewCursor(msg)
	var merr *MessageError
	for i, m := range c.Bytes(lengthAt) {
		if m != 0xff {
			merr = headerError(msg, want, subHeaderNotSynchronized, i, 0, "marker is not all ones")
			break
		}
	}
	length, typ := int(c.Uint16()), c.Uint8()
	switch {
	case !c.OK():
		return wire.Cursor{}, headerError(msg, want, subHeaderBadLength, len(msg), 0, "header cut short")
	case typ != want:
		return wire.Cursor{}, headerError(msg, typ, subHeaderBadType, typeAt, 1, "not the expected message type")
	case length != len(msg):
		merr = headerError(msg, want, subHeaderBadLength, lengthAt, 2, "length is not that of the message")
	}
	if length >= HeaderLen && length < len(msg) {
		c = c.Sub(length - HeaderLen)
	}
	return c, merr
}

// AppendKeepalive appends a KEEPALIVE message (RFC 4271 §4.4).
func AppendKeepalive(dst []byte) []byte {
	dst, at := beginMessage(dst, MessageKeepalive)
	endMessage(dst, at)
	return dst
}
