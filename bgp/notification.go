package bgp

import (
	"strconv"
	"unicode/utf8"

	"github.com/ribtap/ribtap/internal/wire"
)

// NOTIFICATION error codes (IANA bgp-parameters, BGP Error (Notification) Codes).
const (
	ErrorMessageHeader uint8 = 1 // RFC 4271 §6.1
	ErrorOpenMessage   uint8 = 2 // RFC 4271 §6.2
	ErrorUpdateMessage uint8 = 3 // RFC 4271 §6.3
	ErrorHoldTimer     uint8 = 4 // RFC 4271 §6.5
	ErrorFSM           uint8 = 5 // RFC 6608
	ErrorCease         uint8 = 6 // RFC 4486
	ErrorRouteRefresh  uint8 = 7 // RFC 7313 §5
	ErrorSendHoldTimer uint8 = 8 // RFC 9687
)

// Subcodes of ErrorCease.
const (
	CeaseMaxPrefixes         uint8 = 1  // RFC 4486
	CeaseAdminShutdown       uint8 = 2  // RFC 4486, RFC 9003
	CeasePeerDeconfigured    uint8 = 3  // RFC 4486
	CeaseAdminReset          uint8 = 4  // RFC 4486, RFC 9003
	CeaseConnectionRejected  uint8 = 5  // RFC 4486
	CeaseConfigurationChange uint8 = 6  // RFC 4486
	CeaseCollisionResolution uint8 = 7  // RFC 4486
	CeaseOutOfResources      uint8 = 8  // RFC 4486
	CeaseHardReset           uint8 = 9  // RFC 8538
	CeaseBFDDown             uint8 = 10 // RFC 9384
)

// Other subcodes that this package raises itself.
const (
	subUnspecific       uint8 = 0  // RFC 4271 §6.2
	subOpenVersion      uint8 = 1  // RFC 4271 §6.2
	subOpenPeerAS       uint8 = 2  // RFC 4271 §6.2
	subOpenBGPID        uint8 = 3  // RFC 4271 §6.2
	subOpenParameter    uint8 = 4  // RFC 4271 §6.2
	subOpenHoldTime     uint8 = 6  // RFC 4271 §6.2
	subOpenRole         uint8 = 11 // RFC 9234 §4.2
	subRefreshBadLength uint8 = 1  // RFC 7313 §5
)

// Sizes in octets.
const (
	minNotificationLen     = HeaderLen + 2
	maxNotificationDataLen = MaxMessageLen - minNotificationLen
	// maxCommunicationLen is what RFC 8203 allowed; RFC 9003 allows 255.
	maxCommunicationLen = 128
)

// errorRow names an error code and its subcodes, from 0.
type errorRow struct {
	name     string
	subcodes []string
}

var errorRows = [...]errorRow{
	ErrorMessageHeader: {"Message Header Error", []string{"", "Connection Not Synchronized", "Bad Message Length", "Bad Message Type"}},
	ErrorOpenMessage: {"OPEN Message Error", []string{
		"", "Unsupported Version Number", "Bad Peer AS", "Bad BGP Identifier", "Unsupported Optional Parameter",
		"Authentication Failure", "Unacceptable Hold Time", "Unsupported Capability", "", "", "", "Role Mismatch",
	}},
	ErrorUpdateMessage: {"UPDATE Message Error", []string{
		"", "Malformed Attribute List", "Unrecognized Well-known Attribute", "Missing Well-known Attribute",
		"Attribute Flags Error", "Attribute Length Error", "Invalid ORIGIN Attribute", "AS Routing Loop",
		"Invalid NEXT_HOP Attribute", "Optional Attribute Error", "Invalid Network Field", "Malformed AS_PATH",
	}},
	ErrorHoldTimer: {"Hold Timer Expired", nil},
	ErrorFSM: {"Finite State Machine Error", []string{
		"", "Receive Unexpected Message in OpenSent State", "Receive Unexpected Message in OpenConfirm State",
		"Receive Unexpected Message in Established State",
	}},
	ErrorCease: {"Cease", []string{
		"", "Maximum Number of Prefixes Reached", "Administrative Shutdown", "Peer De-configured", "Administrative Reset",
		"Connection Rejected", "Other Configuration Change", "Connection Collision Resolution", "Out of Resources",
		"Hard Reset", "BFD Down",
	}},
	ErrorRouteRefresh:  {"ROUTE-REFRESH Message Error", []string{"", "Invalid Message Length"}},
	ErrorSendHoldTimer: {"Send Hold Timer Expired", nil},
}

// AppendErrorName appends IANA's names of an error code and subcode, such as
// Cease/Administrative Shutdown. Subcode 0 adds nothing; a number stands for
// what has no name.
func AppendErrorName(dst []byte, code, subcode uint8) []byte {
	var row errorRow
	if int(code) < len(errorRows) {
		row = errorRows[code]
	}
	if row.name == "" {
		dst = append(dst, "Error "...)
		dst = strconv.AppendUint(dst, uint64(code), 10)
	} else {
		dst = append(dst, row.name...)
	}
	if subcode == 0 {
		return dst
	}
	dst = append(dst, '/')
	if int(subcode) < len(row.subcodes) && row.subcodes[subcode] != "" {
		return append(dst, row.subcodes[subcode]...)
	}
	return strconv.AppendUint(dst, uint64(subcode), 10)
}

// ErrorName is AppendErrorName as a string.
func ErrorName(code, subcode uint8) string { return string(AppendErrorName(nil, code, subcode)) }

// Notification is a view of a NOTIFICATION message (RFC 4271 §4.5).
type Notification struct {
	Code, Subcode uint8
	Data          []byte
}

// ParseNotification reads a whole NOTIFICATION message with its header. With
// an error, a *MessageError, it returns as much as there was to read. A
// speaker never answers a NOTIFICATION, whatever is wrong with it (RFC 4271 §6.4).
func ParseNotification(msg []byte) (Notification, error) {
	c, merr := parseMessage(msg, MessageNotification)
	n := Notification{Code: c.Uint8(), Subcode: c.Uint8(), Data: c.Rest()}
	if merr == nil && !c.OK() {
		merr = headerError(msg, MessageNotification, subHeaderBadLength, len(msg), 0, "NOTIFICATION cut short")
	}
	if merr != nil {
		return n, merr
	}
	return n, nil
}

// HardReset returns the NOTIFICATION that a Cease/Hard Reset encapsulates
// (RFC 8538 §3.1). It is the zero Notification when a hard reset has no data.
func (n Notification) HardReset() (Notification, bool) {
	if n.Code != ErrorCease || n.Subcode != CeaseHardReset {
		return Notification{}, false
	}
	return parseEncapsulated(n.Data), true
}

// AppendCommunication appends the shutdown communication of an administrative
// shutdown or reset (RFC 9003 §2), cleaned as CleanText does; nothing for any
// other NOTIFICATION. A length octet that claims more than there is counts as
// what there is. A hard reset speaks with the words it encapsulates.
func (n Notification) AppendCommunication(dst []byte) []byte {
	if inner, ok := n.HardReset(); ok {
		n = inner
	}
	if n.Code != ErrorCease || (n.Subcode != CeaseAdminShutdown && n.Subcode != CeaseAdminReset) {
		return dst
	}
	return CleanText(dst, communication(n.Data))
}

// AppendText appends the error's names and, behind a colon, the shutdown
// communication if there is one: Cease/Administrative Shutdown: maintenance.
// The NOTIFICATION inside a hard reset follows in parentheses.
func (n Notification) AppendText(dst []byte) []byte {
	dst = AppendErrorName(dst, n.Code, n.Subcode)
	if inner, ok := n.HardReset(); ok && inner.Code != 0 {
		dst = append(dst, " ("...)
		dst = AppendErrorName(dst, inner.Code, inner.Subcode)
		dst = append(dst, ')')
	}
	colon := len(dst)
	dst = append(dst, ": "...)
	text := len(dst)
	if dst = n.AppendCommunication(dst); len(dst) == text {
		return dst[:colon]
	}
	return dst
}

// AppendNotification appends a NOTIFICATION message. Data beyond what 4,096
// octets can hold is cut off, since the peer may not know extended messages.
func AppendNotification(dst []byte, n Notification) []byte {
	dst, at := beginMessage(dst, MessageNotification)
	dst = append(dst, n.Code, n.Subcode)
	dst = append(dst, n.Data[:min(len(n.Data), maxNotificationDataLen)]...)
	endMessage(dst, at)
	return dst
}

// AppendCeaseText appends a Cease message of the subcode that carries a
// shutdown communication (RFC 9003 §2). The text is cleaned and cut between
// characters to the 128 octets that speakers of RFC 8203 accept too. Subcodes
// that carry none get none.
func AppendCeaseText(dst []byte, subcode uint8, text string) []byte {
	n := Notification{Code: ErrorCease, Subcode: subcode}
	if text != "" && (subcode == CeaseAdminShutdown || subcode == CeaseAdminReset) {
		var buf [1 + 2*maxCommunicationLen]byte
		b := cutText(CleanText(buf[:1], []byte(text)), 1+maxCommunicationLen)
		b[0] = byte(len(b) - 1)
		n.Data = b
	}
	return AppendNotification(dst, n)
}

// cutText shortens valid UTF-8 to at most n octets without breaking a character.
func cutText(b []byte, n int) []byte {
	if len(b) <= n {
		return b
	}
	for n > 0 && !utf8.RuneStart(b[n]) {
		n--
	}
	return b[:n]
}

// communication cuts the text out of a shutdown communication (RFC 9003 §2).
func communication(data []byte) []byte {
	c := wire.NewCursor(data)
	n := int(c.Uint8())
	return c.Bytes(min(n, c.Len()))
}

// parseEncapsulated reads the data of a hard reset (RFC 8538 §3.1).
func parseEncapsulated(data []byte) Notification {
	c := wire.NewCursor(data)
	n := Notification{Code: c.Uint8(), Subcode: c.Uint8(), Data: c.Rest()}
	if !c.OK() {
		return Notification{}
	}
	return n
}
