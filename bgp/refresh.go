package bgp

// Subtypes of a ROUTE-REFRESH message (RFC 7313 §3.2).
const (
	RefreshRequest uint8 = 0
	RefreshBegin   uint8 = 1 // BoRR
	RefreshEnd     uint8 = 2 // EoRR
)

// refreshLen is the length of a ROUTE-REFRESH without ORF entries (RFC 2918 §3).
const refreshLen = HeaderLen + 4

// Refresh is a view of a ROUTE-REFRESH message (RFC 2918 §3, RFC 7313 §3.2).
type Refresh struct {
	Family  Family
	Subtype uint8
	// ORF holds the outbound route filter entries of a request, unread
	// (RFC 5291 §5).
	ORF []byte
}

// ParseRefresh reads a whole ROUTE-REFRESH message with its header. With an
// error, a *MessageError, it returns as much as there was to read. Families and
// subtypes that are unknown are no error: a speaker ignores them.
func ParseRefresh(msg []byte) (Refresh, error) {
	c, merr := parseMessage(msg, MessageRouteRefresh)
	afi := AFI(c.Uint16())
	subtype := c.Uint8()
	r := Refresh{Family: NewFamily(afi, SAFI(c.Uint8())), Subtype: subtype, ORF: c.Rest()}
	marked := subtype == RefreshBegin || subtype == RefreshEnd
	if merr == nil && (!c.OK() || marked && len(r.ORF) > 0) {
		merr = &MessageError{
			Type: MessageRouteRefresh, Code: ErrorRouteRefresh, Subcode: subRefreshBadLength,
			Offset: min(len(msg), refreshLen), Reason: "ROUTE-REFRESH of a wrong length", Data: msg,
		}
	}
	if merr != nil {
		return r, merr
	}
	return r, nil
}

// AppendRefresh appends a ROUTE-REFRESH message.
func AppendRefresh(dst []byte, r Refresh) []byte {
	dst, at := beginMessage(dst, MessageRouteRefresh)
	dst = append(dst, byte(r.Family.AFI()>>8), byte(r.Family.AFI()), r.Subtype, byte(r.Family.SAFI()))
	dst = append(dst, r.ORF...)
	endMessage(dst, at)
	return dst
}
