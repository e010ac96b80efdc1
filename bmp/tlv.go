package bmp

import (
	"encoding/binary"

	"github.com/ribtap/ribtap/internal/wire"
)

// Space is a namespace of TLV types.
type Space uint8

// Values of Space.
const (
	SpaceInitiation  Space = iota + 1 // RFC 7854 §4.4
	SpacePeerUp                       // RFC 9736 §3; also Peer Down reason 6 (RFC 9069 §5.3)
	SpaceTermination                  // RFC 7854 §4.5
	SpaceMirroring                    // RFC 7854 §4.7
)

// TLV types of SpaceInitiation and SpacePeerUp. InfoString is in both.
const (
	InfoString     = 0
	InfoSysDescr   = 1 // SpaceInitiation
	InfoSysName    = 2 // SpaceInitiation
	InfoTableName  = 3 // SpacePeerUp
	InfoAdminLabel = 4 // SpacePeerUp
)

// TLV types of SpaceTermination.
const (
	TerminationString     = 0
	TerminationReasonCode = 1
)

// TLV types of SpaceMirroring.
const (
	MirrorMessage     = 0
	MirrorInformation = 1
)

// tlvNames has a row for each TLV type that an RFC defines (IANA bmp-parameters).
var tlvNames = []struct {
	space Space
	typ   uint16
	name  string
}{
	{SpaceInitiation, InfoString, "string"},
	{SpaceInitiation, InfoSysDescr, "sysdescr"},
	{SpaceInitiation, InfoSysName, "sysname"},
	{SpacePeerUp, InfoString, "string"},
	{SpacePeerUp, InfoTableName, "table-name"},   // RFC 9069 §4.3
	{SpacePeerUp, InfoAdminLabel, "admin-label"}, // RFC 9736 §3.4
	{SpaceTermination, TerminationString, "string"},
	{SpaceTermination, TerminationReasonCode, "reason"},
	{SpaceMirroring, MirrorMessage, "bgp-message"},
	{SpaceMirroring, MirrorInformation, "information"},
}

// TLVName names a TLV type; empty for one that no RFC defines.
func TLVName(s Space, typ uint16) string {
	for i := range tlvNames {
		if r := &tlvNames[i]; r.space == s && r.typ == typ {
			return r.name
		}
	}
	return ""
}

// TLV is a view of one information TLV. Text is as the router sent it: it may
// hold NUL, control characters and invalid UTF-8, and be 65,535 octets long.
type TLV struct {
	Type  uint16
	Value []byte
}

// TextTLV makes a TLV of text.
func TextTLV(typ uint16, text string) TLV { return TLV{Type: typ, Value: []byte(text)} }

// CodeTLV makes a TLV of a two-octet code.
func CodeTLV(typ, code uint16) TLV {
	return TLV{Type: typ, Value: binary.BigEndian.AppendUint16(nil, code)}
}

// TLVs iterates over the TLVs of a message without allocating. It is a small
// value: copy it to iterate again.
type TLVs struct{ c wire.Cursor }

// NewTLVs returns an iterator over b.
func NewTLVs(b []byte) TLVs { return TLVs{c: wire.NewCursor(b)} }

// Next returns the next TLV; ok is false at the end, and before a TLV that
// reaches behind it.
func (t *TLVs) Next() (v TLV, ok bool) {
	if t.c.Empty() {
		return TLV{}, false
	}
	v.Type = t.c.Uint16()
	v.Value = t.c.Bytes(int(t.c.Uint16()))
	if !t.c.OK() {
		return TLV{}, false
	}
	return v, true
}

// OK reports whether every TLV so far was whole.
func (t *TLVs) OK() bool { return t.c.OK() }

// checkTLVs walks all of b. When a TLV is cut, ok is false and at is where it
// begins.
func checkTLVs(b []byte) (at int, ok bool) {
	t := NewTLVs(b)
	for {
		at = t.c.Offset()
		if _, more := t.Next(); !more {
			return at, t.OK()
		}
	}
}

// findTLV returns the value of the first TLV of a type.
func findTLV(t TLVs, typ uint16) (value []byte, ok bool) {
	for {
		v, more := t.Next()
		if !more {
			return nil, false
		}
		if v.Type == typ {
			return v.Value, true
		}
	}
}

// code reads a two-octet code.
func (v TLV) code() (uint16, bool) {
	c := wire.NewCursor(v.Value)
	n := c.Uint16()
	return n, c.OK() && c.Empty()
}
