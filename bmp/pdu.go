package bmp

import (
	"math"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/internal/wire"
)

// What is looked at in BGP messages: sizes of fixed parts, and the version in
// every OPEN.
const (
	minOpen         = bgp.HeaderLen + 10 // RFC 4271 §4.2
	minNotification = bgp.HeaderLen + 2  // RFC 4271 §4.5
	openVersion     = 4                  // RFC 4271 §4.2
)

// pdu is a view of one BGP message inside a BMP message.
type pdu struct {
	bytes  []byte
	kind   uint8
	marker bool // the marker is all ones
}

// takePDU reads the BGP message that c stands at, by its header's length field.
// When there is none it returns the reason and leaves c where it was.
func takePDU(c *wire.Cursor) (p pdu, reason string) {
	if c.Empty() {
		return pdu{}, ReasonNoPDU
	}
	look := *c
	high, low := look.Uint64(), look.Uint64()
	p.marker = high == math.MaxUint64 && low == math.MaxUint64
	n := int(look.Uint16())
	p.kind = look.Uint8()
	switch {
	case !look.OK():
		return pdu{}, ReasonBGPHeader
	case n < bgp.HeaderLen:
		return pdu{}, ReasonBGPLength
	case n > c.Len():
		return pdu{}, ReasonBGPOverrun
	}
	p.bytes = c.Bytes(n)
	return p, ""
}

// takeOpen is takePDU for an OPEN, whose fixed part is then there.
func takeOpen(c *wire.Cursor) (open []byte, found Anomalies, reason string) {
	look := *c
	p, reason := takePDU(&look)
	switch {
	case reason != "":
		return nil, 0, reason
	case p.kind != bgp.MessageOpen:
		return nil, 0, ReasonNotOpen
	case len(p.bytes) < minOpen:
		return nil, 0, ReasonOpenShort
	}
	if !p.marker {
		found |= AnomalyBGPMarker
	}
	body := wire.NewCursor(p.bytes)
	body.Skip(bgp.HeaderLen)
	if body.Uint8() != openVersion {
		found |= AnomalyOpenVersion
	}
	*c = look
	return p.bytes, found, ""
}
