package bgp

import "github.com/ribtap/ribtap/internal/wire"

// Bits of an attribute's flags octet; the lower four mean nothing and are
// ignored (RFC 4271 §4.3).
const (
	AttrFlagOptional   uint8 = 0x80
	AttrFlagTransitive uint8 = 0x40
	AttrFlagPartial    uint8 = 0x20
	AttrFlagExtended   uint8 = 0x10
)

const (
	wellKnown     = AttrFlagTransitive
	nonTransitive = AttrFlagOptional
	transitive    = AttrFlagOptional | AttrFlagTransitive
)

// attrRule says what the value of an attribute must look like.
type attrRule uint8

const (
	ruleUnknown    attrRule = iota // no row: RFC 4271 §5 for unrecognized attributes
	ruleOpaque                     // kept as it is: never an error, whatever its flags and length
	ruleLength                     // exactly size octets
	ruleMultiple                   // a multiple of size octets, not 0
	ruleOrigin                     // RFC 7606 §7.1
	ruleNextHop                    // RFC 7606 §7.3
	ruleASPath                     // RFC 7606 §7.2
	ruleAS4Path                    // RFC 6793 §6
	ruleAggregator                 // RFC 7606 §7.7
	ruleTLV8                       // type[1] length[2] value…, length of the value alone (RFC 8669 §3)
	ruleAIGP                       // type[1] length[2] value…, length of the whole (RFC 7311 §3)
	ruleTLV16                      // type[2] length[2] value… (RFC 9552 §5.3)
	ruleAttrSet                    // AS number[4], then path attributes (RFC 7606 §7.16)
	ruleMPReach                    // RFC 7606 §7.11
	ruleMPUnreach                  // RFC 7606 §7.12
)

// attrRow is what the codec knows of a path attribute. A new attribute is a row
// here and, for its accessor, one file attr_x.go.
type attrRow struct {
	flags uint8    // the optional and transitive bits it must have; not for opaque ones
	rule  attrRule // of the value
	size  uint8    // octets, for ruleLength and ruleMultiple
	// value is the verdict of a value that breaks the rule, flag that of wrong
	// flags.
	value, flag Verdict
	// internal attributes count from internal peers only: from an external one
	// they are discarded (RFC 7606 §7.5, §7.9, §7.10).
	internal bool
	// old attributes are for sessions without four-octet AS numbers only: on
	// others they are discarded (RFC 6793 §4.1).
	old bool
}

const (
	discard = VerdictAttributeDiscard
	taw     = VerdictTreatAsWithdraw
	reset   = VerdictSessionReset
)

// attrRows is indexed by attribute code.
var attrRows = [256]attrRow{
	AttrOrigin:              {flags: wellKnown, rule: ruleOrigin, value: taw, flag: taw},
	AttrASPath:              {flags: wellKnown, rule: ruleASPath, value: taw, flag: taw},
	AttrNextHop:             {flags: wellKnown, rule: ruleNextHop, size: 4, value: taw, flag: taw},
	AttrMultiExitDisc:       {flags: nonTransitive, rule: ruleLength, size: 4, value: taw, flag: taw},
	AttrLocalPref:           {flags: wellKnown, rule: ruleLength, size: 4, value: taw, flag: taw, internal: true},
	AttrAtomicAggregate:     {flags: wellKnown, rule: ruleLength, size: 0, value: discard, flag: taw},
	AttrAggregator:          {flags: transitive, rule: ruleAggregator, value: discard, flag: taw},
	AttrCommunities:         {flags: transitive, rule: ruleMultiple, size: 4, value: taw, flag: taw},
	AttrOriginatorID:        {flags: nonTransitive, rule: ruleLength, size: 4, value: taw, flag: taw, internal: true},
	AttrClusterList:         {flags: nonTransitive, rule: ruleMultiple, size: 4, value: taw, flag: taw, internal: true},
	11:                      {rule: ruleOpaque}, // deprecated, RFC 6938
	12:                      {rule: ruleOpaque}, // deprecated, RFC 6938
	13:                      {rule: ruleOpaque}, // deprecated, RFC 6938
	AttrMPReachNLRI:         {flags: nonTransitive, rule: ruleMPReach, value: reset, flag: reset},
	AttrMPUnreachNLRI:       {flags: nonTransitive, rule: ruleMPUnreach, value: reset, flag: reset},
	AttrExtCommunities:      {flags: transitive, rule: ruleMultiple, size: 8, value: taw, flag: taw},
	AttrAS4Path:             {flags: transitive, rule: ruleAS4Path, value: discard, flag: taw, old: true},
	AttrAS4Aggregator:       {flags: transitive, rule: ruleAggregator, value: discard, flag: taw, old: true},
	19:                      {rule: ruleOpaque}, // deprecated
	20:                      {rule: ruleOpaque}, // deprecated, RFC 6037
	21:                      {rule: ruleOpaque}, // deprecated
	AttrPMSITunnel:          {rule: ruleOpaque},
	AttrTunnelEncapsulation: {rule: ruleOpaque},
	24:                      {rule: ruleOpaque},
	AttrIPv6ExtCommunities:  {flags: transitive, rule: ruleMultiple, size: 20, value: taw, flag: taw},
	// RFC 7311 §3 makes a transitive AIGP malformed, so discarded.
	AttrAIGP:           {flags: nonTransitive, rule: ruleAIGP, value: discard, flag: discard},
	27:                 {rule: ruleOpaque},
	28:                 {rule: ruleOpaque}, // deprecated, RFC 7447
	AttrBGPLS:          {flags: nonTransitive, rule: ruleTLV16, value: discard, flag: taw},
	AttrLargeCommunity: {flags: transitive, rule: ruleMultiple, size: 12, value: taw, flag: taw},
	AttrBGPsecPath:     {rule: ruleOpaque},
	34:                 {rule: ruleOpaque},
	AttrOTC:            {flags: transitive, rule: ruleLength, size: 4, value: taw, flag: taw},
	AttrDPath:          {rule: ruleOpaque},
	37:                 {rule: ruleOpaque},
	38:                 {rule: ruleOpaque},
	39:                 {rule: ruleOpaque},
	AttrPrefixSID:      {flags: transitive, rule: ruleTLV8, value: discard, flag: taw},
	AttrAttrSet:        {flags: transitive, rule: ruleAttrSet, value: taw, flag: taw},
	129:                {rule: ruleOpaque}, // deprecated, RFC 8093
}

// attrSet is a set of attribute codes.
type attrSet [4]uint64

func (s *attrSet) has(code uint8) bool { return s[code>>6]&(1<<(code&63)) != 0 }
func (s *attrSet) add(code uint8)      { s[code>>6] |= 1 << (code & 63) }

// Attr is one path attribute, a view.
type Attr struct {
	Flags uint8
	Code  uint8
	Value []byte
}

// cutAttr reads one path attribute. When the position that it returns is bad the
// attribute has what could be read.
func cutAttr(p wire.Position) (Attr, wire.Position) {
	head, p := p.Uint16()
	short, value := p.Uint8()
	size := int(short)
	if uint8(head>>8)&AttrFlagExtended != 0 {
		var long uint16
		long, value = p.Uint16()
		size = int(long)
	}
	end := value.Skip(size)
	return Attr{Flags: uint8(head >> 8), Code: uint8(head), Value: end.Since(value)}, end
}

// AttrIter walks all path attributes as received, discarded ones included.
type AttrIter struct{ p wire.Position }

// Attrs iterates over the path attributes in wire order. Behind an attribute
// that overruns the Total Attribute Length there is none.
func (u *Update) Attrs() AttrIter { return AttrIter{p: wire.NewPosition(u.attrs)} }

// Next returns the next attribute; ok is false at the end.
func (it *AttrIter) Next() (a Attr, ok bool) {
	if !it.p.More() {
		return Attr{}, false
	}
	if a, it.p = cutAttr(it.p); !it.p.OK() {
		return Attr{}, false
	}
	return a, true
}

// Attr returns the first attribute with the code, unless the verdict discards
// it. Its value has the form that its RFC demands, unless the verdict is
// treat-as-withdraw or session-reset.
func (u *Update) Attr(code uint8) (Attr, bool) {
	if !u.seen.has(code) || u.discarded.has(code) {
		return Attr{}, false
	}
	p := wire.NewPosition(u.attrs)
	if int(code) < len(u.first) {
		p = p.Skip(int(u.first[code]))
	}
	for p.More() {
		var a Attr
		if a, p = cutAttr(p); p.OK() && a.Code == code {
			return a, true
		}
	}
	return Attr{}, false
}

// appendPlainAttrs appends attrs without MP_REACH_NLRI and MP_UNREACH_NLRI.
// Octets that are no whole attribute are appended as they are.
func appendPlainAttrs(dst, attrs []byte) []byte {
	for p := wire.NewPosition(attrs); p.More(); {
		start := p
		var a Attr
		if a, p = cutAttr(p); !p.OK() {
			return append(dst, start.Rest()...)
		}
		if a.Code != AttrMPReachNLRI && a.Code != AttrMPUnreachNLRI {
			dst = append(dst, p.Since(start)...)
		}
	}
	return dst
}

// findPlainAttr returns the value of the first attribute with the code.
func findPlainAttr(attrs []byte, code uint8) ([]byte, bool) {
	it := AttrIter{p: wire.NewPosition(attrs)}
	for a, ok := it.Next(); ok; a, ok = it.Next() {
		if a.Code == code {
			return a.Value, true
		}
	}
	return nil, false
}
