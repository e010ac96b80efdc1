package bgp

import (
	"net/netip"

	"github.com/ribtap/ribtap/internal/wire"
)

// openVersion is the protocol version in every OPEN (RFC 4271 §4.2).
const openVersion = 4

// ASTrans stands for a four-octet AS number in a two-octet field (RFC 6793 §9).
const ASTrans = 23456

// Types of optional parameters.
const (
	paramCapabilities = 2   // RFC 5492 §4
	paramExtended     = 255 // RFC 9072 §2
)

// Offsets of an OPEN's fields in the message.
const (
	openVersionAt  = HeaderLen
	openASAt       = HeaderLen + 1
	openHoldTimeAt = HeaderLen + 3
	openBGPIDAt    = HeaderLen + 5
	openParamsAt   = HeaderLen + 10
)

// Open is a view of an OPEN message (RFC 4271 §4.2).
type Open struct {
	Version uint8
	// AS is the sender's AS number: that of its four-octet AS capability if it
	// has a readable one (RFC 6793 §4.1), else AS2.
	AS uint32
	// AS2 is the My Autonomous System field.
	AS2 uint16
	// HoldTime is in seconds.
	HoldTime uint16
	BGPID    netip.Addr
	// params holds the optional parameters, with two-octet lengths if extended,
	// and starts at offset paramsAt of the message.
	params   []byte
	paramsAt int
	extended bool
}

// ParseOpen reads a whole OPEN message with its header.
//
// The Open holds whatever could be read, also when there is an error: a speaker
// refuses the message, a station shows what its router put up with. The error is
// a *MessageError about the first thing that RFC 4271 §6.2, RFC 5492, RFC 6286
// §2.1, RFC 7607 §2, RFC 9072 or RFC 9234 §4.2 refuses; its Structural method
// tells a message that could not be read whole from one with a refused value.
// The Open and everything taken from it point into msg.
//
// Any number of Capabilities parameters count as one list; duplicates, and
// capabilities that nobody knows, are no errors (RFC 5492 §4).
func ParseOpen(msg []byte) (Open, error) {
	c, headerErr := parseMessage(msg, MessageOpen)
	if headerErr != nil && headerErr.Subcode == subHeaderBadType {
		return Open{}, headerErr
	}
	o, bodyErr := parseOpenBody(msg, c)
	for _, e := range [...]*MessageError{headerErr, bodyErr, o.checkFields(), o.checkCapabilities()} {
		if e != nil {
			return o, e
		}
	}
	return o, nil
}

// parseOpenBody reads the fields; c stands behind the header of msg.
func parseOpenBody(msg []byte, c wire.Cursor) (Open, *MessageError) {
	o := Open{Version: c.Uint8(), AS2: c.Uint16(), HoldTime: c.Uint16()}
	id, ok := netip.AddrFromSlice(c.Bytes(4))
	paramsLen := int(c.Uint8())
	o.AS = uint32(o.AS2)
	if !c.OK() {
		return o, headerError(msg, MessageOpen, subHeaderBadLength, len(msg), 0, "OPEN cut short")
	}
	if ok {
		o.BGPID = id
	}
	overrun := o.readParams(&c, paramsLen)
	if v, ok := o.fourOctetAS(); ok {
		o.AS = v
	}
	switch {
	case overrun:
		return o, openError(subUnspecific, openParamsAt, "optional parameters overrun the message")
	case c.Len() > 0:
		return o, openError(subUnspecific, o.paramsAt+len(o.params), "octets behind the optional parameters")
	}
	return o, nil
}

// readParams finds the optional parameters in either encoding. The first
// parameter's type decides, whatever the one-octet length says (RFC 9072 §2).
func (o *Open) readParams(c *wire.Cursor, n int) (overrun bool) {
	o.paramsAt = openParamsAt
	if n == 0 {
		return false
	}
	if peek := *c; peek.Uint8() == paramExtended {
		n = int(peek.Uint16())
		if !peek.OK() {
			c.Rest()
			return true
		}
		*c = peek
		o.extended = true
		o.paramsAt += 3
	}
	overrun = n > c.Len()
	o.params = c.Bytes(min(n, c.Len()))
	return overrun
}

func openError(subcode uint8, offset int, reason string) *MessageError {
	return &MessageError{Type: MessageOpen, Code: ErrorOpenMessage, Subcode: subcode, Offset: offset, Reason: reason}
}

// checkFields judges the values of the fixed fields.
func (o *Open) checkFields() *MessageError {
	switch {
	case o.Version != openVersion:
		e := openError(subOpenVersion, openVersionAt, "version is not 4")
		e.Data = []byte{0, openVersion}
		return e
	case o.AS2 == 0 || o.AS == 0:
		return openError(subOpenPeerAS, openASAt, "AS number 0")
	case o.HoldTime == 1 || o.HoldTime == 2:
		return openError(subOpenHoldTime, openHoldTimeAt, "hold time below three seconds")
	case o.BGPID.IsUnspecified():
		return openError(subOpenBGPID, openBGPIDAt, "BGP Identifier 0.0.0.0")
	}
	return nil
}

// checkCapabilities judges the optional parameters and every capability that
// has a rule.
func (o *Open) checkCapabilities() *MessageError {
	it := o.Capabilities()
	role, hasRole := Role(0), false
	for c, ok := it.Next(); ok; c, ok = it.Next() {
		if !c.wellFormed() {
			return openError(subUnspecific, it.at, "capability of a wrong length")
		}
		if r, ok := c.Role(); ok {
			if hasRole && r != role {
				return openError(subOpenRole, it.at, "different BGP roles")
			}
			role, hasRole = r, true
		}
	}
	if it.fault == nil {
		return nil
	}
	return openError(it.fault.subcode, it.faultAt, it.fault.reason)
}

// Capability is one capability of an OPEN, a view (RFC 5492 §4).
type Capability struct {
	Code  uint8
	Value []byte
}

// CapabilityIter walks the capabilities of an OPEN without allocating.
type CapabilityIter struct {
	params   wire.Cursor
	paramsAt int
	list     wire.Cursor // what is left of the current Capabilities parameter
	at       int         // of the current capability in the message
	extended bool
	fault    *openFault
	faultAt  int
}

// openFault is something in the optional parameters that a walk passes over.
type openFault struct {
	subcode uint8
	reason  string
}

var (
	faultCapability = &openFault{subUnspecific, "capability overruns its parameter"}
	faultParameter  = &openFault{subUnspecific, "optional parameter overruns the parameters"}
	faultType       = &openFault{subOpenParameter, "unknown optional parameter"}
)

// Capabilities iterates over the capabilities in wire order. What cannot be
// read is passed over: the rest of a parameter behind a capability that
// overruns it, and all behind a parameter that overruns.
func (o *Open) Capabilities() CapabilityIter {
	return CapabilityIter{params: wire.NewCursor(o.params), paramsAt: o.paramsAt, extended: o.extended}
}

// Next returns the next capability; ok is false at the end.
func (it *CapabilityIter) Next() (c Capability, ok bool) {
	for {
		if !it.list.Empty() {
			it.at = it.paramsAt + it.params.Offset() - it.list.Len()
			c = Capability{Code: it.list.Uint8(), Value: it.list.Bytes(int(it.list.Uint8()))}
			if it.list.OK() {
				return c, true
			}
			it.blame(faultCapability, it.at)
		}
		if !it.nextParam() {
			return Capability{}, false
		}
	}
}

// nextParam moves to the next Capabilities parameter.
func (it *CapabilityIter) nextParam() bool {
	for !it.params.Empty() {
		at := it.paramsAt + it.params.Offset()
		typ := it.params.Uint8()
		n := 0
		if it.extended {
			n = int(it.params.Uint16())
		} else {
			n = int(it.params.Uint8())
		}
		list := it.params.Sub(n)
		if !it.params.OK() {
			it.blame(faultParameter, at)
			return false
		}
		if typ == paramCapabilities {
			it.list = list
			return true
		}
		it.blame(faultType, at)
	}
	return false
}

// blame notes the first fault.
func (it *CapabilityIter) blame(f *openFault, at int) {
	if it.fault == nil {
		it.fault, it.faultAt = f, at
	}
}

// Capability returns the first capability with the code.
func (o *Open) Capability(code uint8) (Capability, bool) {
	it := o.Capabilities()
	for c, ok := it.Next(); ok; c, ok = it.Next() {
		if c.Code == code {
			return c, true
		}
	}
	return Capability{}, false
}

// Has reports whether there is a capability with the code.
func (o *Open) Has(code uint8) bool {
	_, ok := o.Capability(code)
	return ok
}
