package bgp

import (
	"math"
	"math/bits"

	"github.com/ribtap/ribtap/internal/wire"
)

// allOnes is half of the marker of a message header.
const allOnes = math.MaxUint64

// UPDATE message error subcodes (RFC 4271 §6.3).
const (
	subMalformedAttributeList uint8 = 1
	subUnrecognizedWellKnown  uint8 = 2
	subMissingWellKnown       uint8 = 3
	subAttributeFlags         uint8 = 4
	subAttributeLength        uint8 = 5
	subInvalidOrigin          uint8 = 6
	subOptionalAttribute      uint8 = 9
	subInvalidNetworkField    uint8 = 10
	subMalformedASPath        uint8 = 11
)

// Reasons of findings. They are metric labels: constant, few, and stable.
const (
	reasonMessageLength = "message-length"
	reasonMarker        = "marker"
	reasonMessageType   = "message-type"
	reasonLengths       = "section-length-overrun"
	reasonAttrStray     = "attribute-stray-octets"
	reasonAttrOverrun   = "attribute-overrun"
	reasonAttrDuplicate = "attribute-duplicate"
	reasonAttrFlags     = "attribute-flags"
	reasonAttrLength    = "attribute-length"
	reasonAttrContent   = "attribute-content"
	reasonAttrUnknown   = "unknown-well-known-attribute"
	reasonAttrMissing   = "missing-well-known-attribute"
	reasonAttrExternal  = "internal-attribute-from-external-peer"
	reasonAttrOld       = "as4-attribute-on-as4-session"
	reasonASPathSegment = "as-path-segment"
	reasonASZero        = "as-zero"
	reasonNextHopLength = "next-hop-length"
)

// found records a finding. When the list is full a stronger finding takes the
// place of the last one, so that the reason of the verdict is never lost. It is
// kept out of its callers, where it would stand a dozen times in the way of
// messages that nothing is found in.
//
//go:noinline
func (u *Update) found(f Finding) {
	stronger := f.Verdict > u.verdict
	if stronger {
		u.verdict = f.Verdict
	}
	switch {
	case int(u.nfindings) < len(u.findings):
		u.findings[u.nfindings] = f
		u.nfindings++
	case stronger:
		u.findings[len(u.findings)-1] = f
	}
}

// attrFound records a finding in an attribute and discards the attribute when
// that is the verdict.
//
//go:noinline
func (u *Update) attrFound(v Verdict, code, subcode uint8, at int, reason string) {
	if v == VerdictAttributeDiscard {
		u.discarded.add(code)
	}
	u.found(Finding{Verdict: v, Attr: code, Code: ErrorUpdateMessage, Subcode: subcode, Offset: at, Reason: reason})
}

// attrOverrun judges an attribute area that ends inside an attribute (RFC 7606
// §4); code is 0 when not even that could be read. An MP attribute that was
// reached but cannot be read leaves NLRI unknown (RFC 7606 §5.3).
func (u *Update) attrOverrun(code uint8, at int) {
	switch code {
	case AttrMPReachNLRI, AttrMPUnreachNLRI:
		u.attrFound(reset, code, subOptionalAttribute, at, reasonAttrOverrun)
	case 0: // code 0 is reserved: fewer than two octets were left
		u.attrFound(taw, 0, subMalformedAttributeList, at, reasonAttrStray)
	default:
		u.attrFound(taw, code, subAttributeLength, at, reasonAttrOverrun)
	}
}

// duplicate judges an attribute that was there before (RFC 7606 §3(g)). The
// first one goes on counting.
func (u *Update) duplicate(code uint8, at int) {
	v := discard
	if code == AttrMPReachNLRI || code == AttrMPUnreachNLRI {
		v = reset
	}
	u.found(Finding{
		Verdict: v, Attr: code, Code: ErrorUpdateMessage, Subcode: subMalformedAttributeList,
		Offset: at, Reason: reasonAttrDuplicate,
	})
}

// checkAttr applies the attribute's row to it; at is where its value stands in
// the message.
func (u *Update) checkAttr(flags, code uint8, value []byte, at int) {
	row := &attrRows[code]
	switch {
	case row.rule <= ruleOpaque:
		if row.rule == ruleUnknown && flags&AttrFlagOptional == 0 {
			u.attrFound(reset, code, subUnrecognizedWellKnown, at, reasonAttrUnknown)
		}
		return
	case row.internal && u.session.Peering == PeeringExternal:
		u.attrFound(discard, code, subOptionalAttribute, at, reasonAttrExternal)
		return
	case row.old && u.session.AS4:
		u.attrFound(discard, code, subOptionalAttribute, at, reasonAttrOld)
		return
	case flags&(AttrFlagOptional|AttrFlagTransitive) != row.flags:
		u.attrFound(row.flag, code, subAttributeFlags, at, reasonAttrFlags)
		return
	}
	n, size := len(value), int(row.size)
	switch row.rule {
	case ruleLength:
		if n != size {
			u.attrFound(u.lengthVerdict(row), code, subAttributeLength, at, reasonAttrLength)
		}
	case ruleMultiple:
		// The size is a constant in every case: a division would cost more than
		// the rest.
		if n == 0 || !multiple(n, row.size) {
			u.attrFound(u.lengthVerdict(row), code, subAttributeLength, at, reasonAttrLength)
		}
	case ruleNextHop:
		u.nextHop = value
		if n != size {
			u.attrFound(row.value, code, subAttributeLength, at, reasonAttrLength)
		}
	case ruleOrigin:
		u.checkOrigin(row, code, value, at)
	case ruleASPath, ruleAS4Path:
		if reason := checkASPath(value, u.session.AS4 || row.rule == ruleAS4Path); reason != "" {
			u.attrFound(row.value, code, subMalformedASPath, at, reason)
		}
	case ruleAggregator:
		u.checkAggregator(row, code, value, at)
	case ruleTLV8, ruleAIGP, ruleTLV16:
		if !checkTLVs(row.rule, value) {
			u.attrFound(row.value, code, subOptionalAttribute, at, reasonAttrLength)
		}
	case ruleAttrSet:
		if !checkAttrSet(value) {
			u.attrFound(row.value, code, subOptionalAttribute, at, reasonAttrLength)
		}
	case ruleMPReach:
		u.readMPReach(value, at)
	case ruleMPUnreach:
		u.readMPUnreach(value, at)
	case ruleUnknown, ruleOpaque:
	}
}

// multiple reports whether n is a multiple of size.
func multiple(n int, size uint8) bool {
	switch size {
	case 4:
		return n&3 == 0
	case 8:
		return n&7 == 0
	}
	return n%int(size) == 0
}

// lengthVerdict weakens the verdict of an attribute that only internal peers
// may send while nobody knows which side the peer is on: RFC 7606 §7.5 discards
// it from an external one.
func (u *Update) lengthVerdict(row *attrRow) Verdict {
	if row.internal && u.session.Peering != PeeringInternal {
		return discard
	}
	return row.value
}

func (u *Update) checkOrigin(row *attrRow, code uint8, value []byte, at int) {
	c := wire.NewCursor(value)
	v := c.Uint8()
	switch {
	case len(value) != 1:
		u.attrFound(row.value, code, subAttributeLength, at, reasonAttrLength)
	case v > 2:
		u.attrFound(row.value, code, subInvalidOrigin, at, reasonAttrContent)
	}
}

func (u *Update) checkAggregator(row *attrRow, code uint8, value []byte, at int) {
	wide := u.session.AS4 || code == AttrAS4Aggregator
	c := wire.NewCursor(value)
	as, want := uint32(0), 0
	if wide {
		as, want = c.Uint32(), 8
	} else {
		as, want = uint32(c.Uint16()), 6
	}
	switch {
	case len(value) != want:
		u.attrFound(row.value, code, subAttributeLength, at, reasonAttrLength)
	case as == 0:
		u.attrFound(row.value, code, subOptionalAttribute, at, reasonASZero)
	}
}

// checkASPath returns why a path is malformed (RFC 7606 §7.2, RFC 7607 §2), or
// "". An empty path is well formed.
func checkASPath(value []byte, wide bool) string {
	for p := wire.NewPosition(value); p.More(); {
		var typ, count uint8
		typ, p = p.Uint8()
		count, p = p.Uint8()
		if typ < 1 || typ > 4 || count == 0 {
			return reasonASPathSegment
		}
		for ; count > 0; count-- {
			var as uint32
			if wide {
				as, p = p.Uint32()
			} else {
				var as2 uint16
				as2, p = p.Uint16()
				as = uint32(as2)
			}
			if as == 0 {
				if !p.OK() {
					return reasonASPathSegment
				}
				return reasonASZero
			}
		}
	}
	return ""
}

// checkTLVs reports whether the TLVs fill the value exactly.
func checkTLVs(rule attrRule, value []byte) bool {
	c := wire.NewCursor(value)
	for !c.Empty() {
		switch rule {
		case ruleTLV8:
			c.Skip(1)
			c.Skip(int(c.Uint16()))
		case ruleTLV16:
			c.Skip(2)
			c.Skip(int(c.Uint16()))
		default:
			const header, aigp = 3, 1
			typ, n := c.Uint8(), int(c.Uint16())
			if n < header || typ == aigp && n != header+8 {
				return false
			}
			c.Skip(n - header)
		}
	}
	return c.OK()
}

// checkAttrSet reports whether an AS number and path attributes fill the value
// exactly (RFC 6368 §5). What the attributes hold is another AS's matter.
func checkAttrSet(value []byte) bool {
	_, p := wire.NewPosition(value).Uint32()
	for p.More() {
		_, p = cutAttr(p)
	}
	return p.OK()
}

// readMPReach takes the NLRI field out of MP_REACH_NLRI (RFC 4760 §3).
func (u *Update) readMPReach(value []byte, at int) {
	afi, p := wire.NewPosition(value).Uint16()
	safi, p := p.Uint8()
	size, p := p.Uint8()
	nextHop, p := p.Bytes(int(size))
	p = p.Skip(1) // RFC 4760 §3: reserved, ignored whatever RFC 2858 meant by it
	family := NewFamily(AFI(afi), SAFI(safi))
	if !p.OK() {
		u.attrFound(reset, AttrMPReachNLRI, subOptionalAttribute, at, reasonAttrLength)
		return
	}
	l := layoutOf(family)
	if !nextHopLengthOK(family, l, len(nextHop)) {
		u.attrFound(reset, AttrMPReachNLRI, subOptionalAttribute, at, reasonNextHopLength)
		return
	}
	f := u.newField()
	f.action, f.attr = Announce, AttrMPReachNLRI
	f.family, f.layout = family, l
	f.nextHop, f.offset, f.nlri = nextHop, at+p.Offset(), p.Rest()
	u.addField(f)
}

// readMPUnreach takes the NLRI field out of MP_UNREACH_NLRI (RFC 4760 §4).
func (u *Update) readMPUnreach(value []byte, at int) {
	afi, p := wire.NewPosition(value).Uint16()
	safi, p := p.Uint8()
	family := NewFamily(AFI(afi), SAFI(safi))
	if !p.OK() {
		u.attrFound(reset, AttrMPUnreachNLRI, subOptionalAttribute, at, reasonAttrLength)
		return
	}
	f := u.newField()
	f.action, f.attr = Withdraw, AttrMPUnreachNLRI
	f.family, f.layout = family, layoutOf(family)
	f.nextHop, f.offset, f.nlri = nil, at+p.Offset(), p.Rest()
	u.endOfRIB, u.eorFamily = len(f.nlri) == 0, f.family
	u.addField(f)
}

// nextHopLengthOK reports whether a family's next hop may have n octets. The
// VPN rows hold what RFC 4364, RFC 4659 and RFC 8950 say, the forms without RD
// of RFC 5549 §3, and IPv4 without RD: routers send all of them.
func nextHopLengthOK(f Family, l layout, n int) bool {
	switch l {
	case layoutOpaque, layoutFlowspec:
		return true
	case layoutVPN:
		return n == 12 || n == 24 || n == 48 || n == 16 || n == 32
	case layoutPrefix, layoutLabelled:
		return n == 16 || n == 32 || n == 4 && f.AFI() == AFIIPv4
	case layoutEVPN, layoutTL8, layoutTL16, layoutLen16, layoutBits, layoutMUP:
	}
	return n >= 4 && n <= 32
}

// newField returns the place of the next field. It holds what a message before
// left there: the caller sets everything but addPath.
func (u *Update) newField() *field { return &u.fields[u.nfields] }

// addClassic takes over the Withdrawn Routes or the NLRI field, which is not
// empty.
func (u *Update) addClassic(a Action, nlri []byte, at int, nextHop []byte) {
	f := u.newField()
	f.action, f.attr = a, 0
	f.family, f.layout = IPv4Unicast, layoutPrefix
	f.nextHop, f.offset, f.nlri = nextHop, at, nlri
	u.addField(f)
}

// addField checks the field that newField gave, and keeps it when there is
// something in it.
func (u *Update) addField(f *field) {
	if len(f.nlri) == 0 {
		return
	}
	u.reachable = u.reachable || f.action == Announce
	f.addPath = u.session.AddPath.Has(f.family)
	if at, reason := f.check(); reason != "" {
		sub := subInvalidNetworkField
		if f.attr != 0 {
			sub = subOptionalAttribute
		}
		u.attrFound(reset, f.attr, sub, f.offset+at, reason)
		return
	}
	u.nfields++
}

// The well-known mandatory attributes (RFC 4271 §5), as bits of attrSet[0].
const (
	mandatoryAlways   = 1<<AttrOrigin | 1<<AttrASPath
	mandatoryClassic  = 1 << AttrNextHop
	mandatoryInternal = 1 << AttrLocalPref
)

// onlyMPUnreach is what is seen in an End-of-RIB marker.
var onlyMPUnreach = attrSet{1 << AttrMPUnreachNLRI}

// judge applies the rules that need the whole UPDATE; classic says that the
// NLRI field is not empty.
func (u *Update) judge(classic bool) {
	switch {
	case u.reachable && !u.attrsCut:
		if u.mandatory(classic)&^u.seen[0] != 0 {
			u.missingMandatory(classic)
		}
	case !u.reachable && u.verdict == VerdictTreatAsWithdraw:
		u.escalate()
	}
	// The marker is an MP_UNREACH_NLRI that is empty and alone (RFC 4724 §2).
	u.endOfRIB = u.endOfRIB && u.seen == onlyMPUnreach && u.nfields == 0 && u.verdict != VerdictSessionReset
}

// mandatory returns the codes that RFC 4271 §5 wants, as bits. A table dump has a
// router's own routes too, which need none of them, and BGPsec_Path stands for
// AS_PATH (RFC 8205 §3).
func (u *Update) mandatory(classic bool) uint64 {
	want := uint64(mandatoryAlways)
	if classic {
		want |= mandatoryClassic
	}
	switch u.session.Peering {
	case PeeringTable:
		return 0
	case PeeringInternal:
		want |= mandatoryInternal
	case PeeringUnknown, PeeringExternal:
	}
	if u.seen.has(AttrBGPsecPath) {
		want &^= 1 << AttrASPath
	}
	return want
}

// missingMandatory finds missing well-known attributes (RFC 7606 §3(d)). A missing
// NEXT_HOP takes nothing away from a route that did not come over the session
// itself: FRR's Loc-RIB is sent without (RFC 9069 asks for none in particular).
func (u *Update) missingMandatory(classic bool) {
	for missing := u.mandatory(classic) &^ u.seen[0]; missing != 0; missing &= missing - 1 {
		code, verdict := uint8(bits.TrailingZeros64(missing)), taw
		if code == AttrNextHop && u.session.Peering == PeeringUnknown {
			verdict = discard
		}
		u.attrFound(verdict, code, subMissingWellKnown, HeaderLen, reasonAttrMissing)
	}
}

// escalate turns treat-as-withdraw into session-reset in an UPDATE without
// reachable NLRI: nobody can tell which routes to withdraw (RFC 7606 §5.2).
func (u *Update) escalate() {
	u.verdict = VerdictSessionReset
	for i := range u.findings[:u.nfindings] {
		if u.findings[i].Verdict == VerdictTreatAsWithdraw {
			u.findings[i].Verdict = VerdictSessionReset
		}
	}
}
