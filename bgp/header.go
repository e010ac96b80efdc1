package bgp

import (
	"encoding/binary"
	"math"

	"github.com/ribtap/ribtap/internal/wire"
)

// HeaderLen is the size of the header of every BGP message (RFC 4271 §4.1).
const HeaderLen = 19

// Positions in the header (RFC 4271 §4.1).
const (
	markerLen = 16
	typeAt    = 18
)

// minUpdateLen is the size of the smallest UPDATE (RFC 4271 §4.3).
const minUpdateLen = HeaderLen + 4

// Message header error subcodes (RFC 4271 §6.1).
const (
	subHeaderNotSynchronized uint8 = 1
	subHeaderBadLength       uint8 = 2
	subHeaderBadType         uint8 = 3
)

// typeRow is what the header check knows of a message type.
type typeRow struct {
	min, max int // octets of a whole message; max 0: as far as the session allows
}

// messageTypes is indexed by message type; a row with min 0 is no type. OPEN
// and KEEPALIVE stay small on sessions with extended messages (RFC 8654 §4).
var messageTypes = [...]typeRow{
	MessageOpen:         {29, MaxMessageLen},
	MessageUpdate:       {minUpdateLen, 0},
	MessageNotification: {21, 0},
	MessageKeepalive:    {HeaderLen, HeaderLen},
	MessageRouteRefresh: {23, 0},
}

// SplitMessage cuts the first whole message off a byte stream. limit is the
// largest message the session allows, MaxMessageLen or MaxExtendedMessageLen.
// When b does not yet hold a whole message, msg is nil, rest is b and err is
// nil; what can be told from the octets at hand is told at once, so a lying
// length does not wait for 64 KiB. err is a *MessageError, and rest is then b.
// msg and rest point into b.
func SplitMessage(b []byte, limit int) (msg, rest []byte, err error) {
	c := wire.NewCursor(b)
	for i := 0; i < markerLen && !c.Empty(); i++ {
		if c.Uint8() != 0xff {
			return nil, b, &MessageError{
				Code: ErrorMessageHeader, Subcode: subHeaderNotSynchronized, Offset: i, Reason: reasonMarker,
			}
		}
	}
	length, typ := int(c.Uint16()), c.Uint8()
	if !c.OK() {
		return nil, b, nil
	}
	if e := checkHeader(length, typ, limit); e != nil {
		return nil, b, e
	}
	if len(b) < length {
		return nil, b, nil
	}
	whole := wire.NewCursor(b)
	return whole.Bytes(length), whole.Rest(), nil
}

// checkHeader applies RFC 4271 §6.1 to the length and type of a message.
func checkHeader(length int, typ uint8, limit int) *MessageError {
	known := int(typ) < len(messageTypes) && messageTypes[typ].min != 0
	fits := length >= HeaderLen && length <= limit
	if known && fits {
		row := messageTypes[typ]
		fits = length >= row.min && (row.max == 0 || length <= row.max)
	}
	switch {
	case !fits:
		return &MessageError{
			Type: typ, Code: ErrorMessageHeader, Subcode: subHeaderBadLength, Offset: markerLen,
			Reason: reasonMessageLength, Data: binary.BigEndian.AppendUint16(nil, uint16(length)),
		}
	case !known:
		return &MessageError{
			Type: typ, Code: ErrorMessageHeader, Subcode: subHeaderBadType, Offset: typeAt,
			Reason: reasonMessageType, Data: []byte{typ},
		}
	}
	return nil
}

// MessageType returns the type of a message with a whole header, else 0.
func MessageType(msg []byte) uint8 {
	c := wire.NewCursor(msg)
	c.Skip(HeaderLen - 1)
	return c.Uint8()
}

// beginMessage appends a header whose length endMessage fills in; at is where
// the message starts in dst.
func beginMessage(dst []byte, typ uint8) (out []byte, at int) {
	at = len(dst)
	dst = binary.BigEndian.AppendUint64(dst, math.MaxUint64)
	dst = binary.BigEndian.AppendUint64(dst, math.MaxUint64)
	return append(dst, 0, 0, typ), at
}

// endMessage writes the length of the message that starts at at. The caller
// has bounded it.
func endMessage(dst []byte, at int) {
	if len(dst)-at > MaxExtendedMessageLen {
		panic("bgp: message of more than 65535 octets")
	}
	binary.BigEndian.PutUint16(dst[at+markerLen:], uint16(len(dst)-at))
}
