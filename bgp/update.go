package bgp

import "github.com/ribtap/ribtap/internal/wire"

// Verdict is what RFC 7606 §2 makes of an UPDATE; a later value is stronger.
type Verdict uint8

// Values of Verdict.
const (
	VerdictOK               Verdict = iota
	VerdictAttributeDiscard         // the route counts, without the attribute
	VerdictTreatAsWithdraw          // every announced NLRI counts as withdrawn
	VerdictSessionReset             // the message cannot be read; none of its routes count
)

// String returns ok, attribute-discard, treat-as-withdraw or session-reset.
func (v Verdict) String() string {
	switch v {
	case VerdictOK:
		return "ok"
	case VerdictAttributeDiscard:
		return "attribute-discard"
	case VerdictTreatAsWithdraw:
		return "treat-as-withdraw"
	case VerdictSessionReset:
		return "session-reset"
	}
	return "unknown"
}

// Finding is one error found in an UPDATE.
type Finding struct {
	Verdict Verdict
	Attr    uint8 // attribute code, 0 when the error is not in an attribute
	Code    uint8 // NOTIFICATION error code a speaker would send (RFC 4271 §6.3)
	Subcode uint8
	Offset  int    // in the message
	Reason  string // a constant text, fit for a metric label
}

// Update is a view of one UPDATE message. Parse fills it; it may be reused and
// then allocates nothing. It points into the message. The zero Update has no
// attributes and no routes. One goroutine uses it at a time.
type Update struct {
	session Session
	// attrs holds the whole path attributes, in wire order, without what stands
	// behind one that overruns.
	attrs []byte
	// nextHop is the value of NEXT_HOP, whatever is wrong with it.
	nextHop []byte
	// fields are the NLRI fields that are not empty, in wire order: at most
	// Withdrawn Routes, one MP_REACH_NLRI, one MP_UNREACH_NLRI, NLRI.
	fields  [4]field
	nfields uint8

	verdict   Verdict
	nfindings uint8
	attrsCut  bool // the attribute area ended inside an attribute
	reachable bool // there are announced NLRI
	endOfRIB  bool
	eorFamily Family

	// seen are the codes among attrs, discarded those of which the first does
	// not count.
	seen, discarded attrSet
	// first is where in attrs the first attribute of a code begins; valid iff
	// seen has the code.
	first [maxIndexedAttr + 1]uint16

	findings [8]Finding
}

// maxIndexedAttr is the last attribute code that Attr finds without a walk.
const maxIndexedAttr = AttrPrefixSID

// field is one stretch of NLRI, all of one family and action.
type field struct {
	nlri    []byte
	nextHop []byte
	family  Family
	offset  int // of nlri in the message
	action  Action
	layout  layout
	addPath bool
	attr    uint8 // MP_REACH_NLRI, MP_UNREACH_NLRI, or 0 for a field outside of the attributes
}

// Parse reads msg, a whole UPDATE with its 19-octet header, in context s, and
// judges it. After Parse, Routes never meets an error: what cannot be read is
// in the verdict. The size is not compared with s.ExtendedMessage: that is
// SplitMessage's part, and a BMP or MRT exporter may have joined messages.
func (u *Update) Parse(msg []byte, s Session) {
	u.session = s
	u.attrs, u.nextHop = nil, nil
	u.nfields, u.nfindings = 0, 0
	u.verdict, u.attrsCut, u.reachable, u.endOfRIB = VerdictOK, false, false, false
	u.seen, u.discarded = attrSet{}, attrSet{}

	left, p := wire.NewPosition(msg).Uint64()
	right, p := p.Uint64()
	length, p := p.Uint16()
	typ, p := p.Uint8()
	if left&right != allOnes || int(length) != len(msg) || length < minUpdateLen || typ != MessageUpdate {
		u.badHeader(left&right, int(length), typ, len(msg))
		return
	}
	at := p.Offset()
	n, p := p.Uint16()
	withdrawn, p := p.Bytes(int(n))
	n, p = p.Uint16()
	attrs, p := p.Bytes(int(n))
	if !p.OK() {
		u.found(Finding{Verdict: reset, Code: ErrorUpdateMessage, Subcode: subMalformedAttributeList, Offset: at, Reason: reasonLengths})
		return
	}
	nlriAt, nlri := p.Offset(), p.Rest()

	if len(withdrawn) > 0 {
		u.addClassic(Withdraw, withdrawn, at+2, nil)
	}
	u.readAttrs(attrs, nlriAt-len(attrs))
	if len(nlri) > 0 {
		u.addClassic(Announce, nlri, nlriAt, u.nextHop)
	}
	u.judge(len(nlri) > 0)
	if u.verdict != VerdictSessionReset && len(msg) == minUpdateLen {
		u.endOfRIB, u.eorFamily = true, IPv4Unicast
	}
}

// badHeader says why msg is not one whole UPDATE; size is that of the message.
func (u *Update) badHeader(marker uint64, length int, typ uint8, size int) {
	f := Finding{Verdict: reset, Code: ErrorMessageHeader}
	switch {
	case size < HeaderLen || length != size || length < minUpdateLen && typ == MessageUpdate:
		f.Subcode, f.Reason, f.Offset = subHeaderBadLength, reasonMessageLength, markerLen
	case marker != allOnes:
		f.Subcode, f.Reason = subHeaderNotSynchronized, reasonMarker
	default:
		f.Subcode, f.Reason, f.Offset = subHeaderBadType, reasonMessageType, typeAt
	}
	u.found(f)
}

// readAttrs walks the path attributes, which stand at base in the message.
func (u *Update) readAttrs(area []byte, base int) {
	u.attrs = area
	for p := wire.NewPosition(area); p.More(); {
		start := p
		var a Attr
		if a, p = cutAttr(p); !p.OK() {
			u.attrs = start.Since(wire.NewPosition(area))
			u.attrsCut = true
			u.attrOverrun(a.Code, base+start.Offset())
			return
		}
		code := a.Code
		if u.seen.has(code) {
			u.duplicate(code, base+start.Offset())
			continue
		}
		u.seen.add(code)
		if int(code) < len(u.first) {
			u.first[code] = uint16(start.Offset())
		}
		u.checkAttr(a.Flags, code, a.Value, base+p.Offset()-len(a.Value))
	}
}

// Verdict returns the strongest verdict of all findings.
func (u *Update) Verdict() Verdict { return u.verdict }

// Findings lists what was found, in the order found, at most eight. The slice
// is the Update's own.
func (u *Update) Findings() []Finding { return u.findings[:u.nfindings:u.nfindings] }

// EndOfRIB reports the family whose End-of-RIB marker this UPDATE is (RFC 4724
// §2): an UPDATE of nothing but the minimum, or of nothing but an MP_UNREACH_NLRI
// without NLRI.
func (u *Update) EndOfRIB() (Family, bool) { return u.eorFamily, u.endOfRIB }

// Routes iterates over the routes in wire order: the Withdrawn Routes field,
// then MP_REACH_NLRI and MP_UNREACH_NLRI as they stand among the attributes,
// then the NLRI field. The verdict is applied: under treat-as-withdraw an
// announcement comes out as a withdrawal, under session-reset nothing comes out.
// The iterator reads from u, which must not be parsed again meanwhile.
//
//	it := u.Routes() // not in the for clause, which copies it for every route
//	for it.Next() {
//		r := it.Route()
//	}
func (u *Update) Routes() RouteIter { return RouteIter{u: u} }
