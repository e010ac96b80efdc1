package event

import (
	"strconv"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/internal/wire"
)

var verdictNames = [...]string{
	bgp.VerdictOK: "ok", bgp.VerdictAttributeDiscard: "attribute-discard",
	bgp.VerdictTreatAsWithdraw: "treat-as-withdraw", bgp.VerdictSessionReset: "session-reset",
}

// appendUpdate appends what the UPDATE, parsed already, says: its routes, its
// attributes once for all of them, and what is wrong with it.
func (enc *Encoder) appendUpdate(dst []byte, e *Event, readable bool) []byte {
	u := &enc.update
	if readable {
		if f, ok := u.EndOfRIB(); ok {
			dst = appendStringField(dst, "end_of_rib", f.String())
		}
		dst = enc.appendRoutes(dst, e)
		dst = enc.appendAttributes(dst)
	}
	findings := u.Findings()
	if len(findings) == 0 {
		return dst
	}
	dst = appendField(dst, "verdict")
	dst = appendQuoted(dst, verdictNames[u.Verdict()])
	dst = append(dst, `,"findings":[`...)
	for i := range findings {
		f := &findings[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"verdict":"`...)
		dst = append(dst, verdictNames[f.Verdict]...)
		dst = append(dst, '"')
		if f.Attr != 0 {
			dst = append(dst, `,"attribute":`...)
			dst = strconv.AppendUint(dst, uint64(f.Attr), 10)
		}
		dst = append(dst, `,"code":`...)
		dst = strconv.AppendUint(dst, uint64(f.Code), 10)
		dst = append(dst, `,"subcode":`...)
		dst = strconv.AppendUint(dst, uint64(f.Subcode), 10)
		dst = append(dst, `,"offset":`...)
		dst = strconv.AppendInt(dst, int64(f.Offset), 10)
		dst = appendStringField(dst, "reason", f.Reason)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

func (enc *Encoder) appendRoutes(dst []byte, e *Event) []byte {
	it := enc.update.Routes()
	n := 0
	for ; it.Next(); n++ {
		if n == 0 {
			dst = append(dst, `,"routes":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = enc.appendRoute(dst, e, it.Route(), e.Mark(n))
	}
	if n > 0 {
		dst = append(dst, ']')
	}
	return dst
}

func (enc *Encoder) appendRoute(dst []byte, e *Event, r *bgp.Route, m Mark) []byte {
	n := &r.NLRI
	dst = append(dst, `{"action":"`...)
	dst = append(dst, r.Action.String()...)
	dst = append(dst, '"')
	dst = appendField(dst, "family")
	dst = appendQuoted(dst, n.Family.String())
	dst = appendField(dst, "prefix")
	enc.text = n.AppendText(enc.text[:0])
	dst = appendBytes(dst, enc.text)
	if n.HasPathID {
		dst = append(dst, `,"path_id":`...)
		dst = strconv.AppendUint(dst, uint64(n.PathID), 10)
	}
	if n.HasRD {
		dst = appendField(dst, "rd")
		enc.text = n.RD.AppendText(enc.text[:0])
		dst = appendBytes(dst, enc.text)
	}
	// In a withdrawal the field holds a compatibility value (RFC 8277 §2.4).
	if r.Action == bgp.Announce && len(n.Labels) > 0 {
		dst = appendLabels(dst, n.Labels)
	}
	dst = append(dst, `,"changed":`...)
	dst = strconv.AppendBool(dst, m&MarkChanged != 0)
	if m&MarkRefused != 0 {
		dst = append(dst, `,"refused":true`...)
	}
	if len(r.NextHop) > 0 {
		enc.text = bgp.AppendNextHop(enc.text[:0], n.Family, r.NextHop)
		if len(enc.text) > 0 {
			dst = appendBytes(appendField(dst, "next_hop"), enc.text)
		}
	}
	if c := e.RouteCause(r); c != e.Cause {
		dst = appendQuoted(appendField(dst, "cause"), c.String())
	}
	return append(dst, '}')
}

// appendLabels appends the labels of a stack, top first (RFC 8277 §2).
func appendLabels(dst, fields []byte) []byte {
	c := wire.NewCursor(fields)
	dst = append(dst, `,"labels":[`...)
	for first := true; c.Len() >= 3; first = false {
		if !first {
			dst = append(dst, ',')
		}
		const lowBits = 4 // traffic class and bottom-of-stack
		dst = strconv.AppendUint(dst, uint64(c.Uint24()>>lowBits), 10)
	}
	return append(dst, ']')
}

// inWords are the attributes that have a field of their own, or that are in
// the routes or in another attribute's field.
var inWords = [256]bool{
	bgp.AttrOrigin: true, bgp.AttrASPath: true, bgp.AttrNextHop: true, bgp.AttrMultiExitDisc: true,
	bgp.AttrLocalPref: true, bgp.AttrAtomicAggregate: true, bgp.AttrAggregator: true,
	bgp.AttrCommunities: true, bgp.AttrOriginatorID: true, bgp.AttrClusterList: true,
	bgp.AttrMPReachNLRI: true, bgp.AttrMPUnreachNLRI: true, bgp.AttrExtCommunities: true,
	bgp.AttrAS4Path: true, bgp.AttrAS4Aggregator: true, bgp.AttrIPv6ExtCommunities: true,
	bgp.AttrAIGP: true, bgp.AttrLargeCommunity: true, bgp.AttrOTC: true,
}

// appendAttributes appends the path attributes; nothing when there are none.
func (enc *Encoder) appendAttributes(dst []byte) []byte {
	u := &enc.update
	start := len(dst)
	dst = append(dst, `,"attributes":{`...)
	open := len(dst)
	if o, ok := u.Origin(); ok {
		dst = appendQuoted(appendField(dst, "origin"), o.String())
	}
	if _, ok := u.Attr(bgp.AttrASPath); ok {
		enc.text = u.AppendASPath(enc.text[:0])
		dst = appendBytes(appendField(dst, "as_path"), enc.text)
		if asn, ok := u.OriginAS(); ok {
			dst = appendNumber(dst, "origin_as", uint64(asn))
		}
	}
	if v, ok := u.MED(); ok {
		dst = appendNumber(dst, "med", uint64(v))
	}
	if v, ok := u.LocalPref(); ok {
		dst = appendNumber(dst, "local_pref", uint64(v))
	}
	enc.text = u.AppendCommunities(enc.text[:0])
	dst = appendWords(dst, "communities", enc.text)
	enc.text = u.AppendLargeCommunities(enc.text[:0])
	dst = appendWords(dst, "large_communities", enc.text)
	enc.text = u.AppendExtCommunities(enc.text[:0])
	dst = appendWords(dst, "ext_communities", enc.text)
	if asn, addr, ok := u.Aggregator(); ok {
		enc.text = strconv.AppendUint(enc.text[:0], uint64(asn), 10)
		enc.text = addr.AppendTo(append(enc.text, ' '))
		dst = appendBytes(appendField(dst, "aggregator"), enc.text)
	}
	if u.AtomicAggregate() {
		dst = append(dst, `,"atomic_aggregate":true`...)
	}
	if v, ok := u.OTC(); ok {
		dst = appendNumber(dst, "otc", uint64(v))
	}
	if a, ok := u.OriginatorID(); ok {
		enc.text = a.AppendTo(enc.text[:0])
		dst = appendBytes(appendField(dst, "originator_id"), enc.text)
	}
	enc.text = u.AppendClusterList(enc.text[:0])
	dst = appendWords(dst, "cluster_list", enc.text)
	if v, ok := u.AIGP(); ok {
		dst = appendNumber(dst, "aigp", v)
	}
	dst = enc.appendOther(dst)
	if len(dst) == open {
		return dst[:start]
	}
	// The first field brought a comma that has nothing before it.
	copy(dst[open:], dst[open+1:])
	return append(dst[:len(dst)-1], '}')
}

// appendOther appends the attributes without a field of their own, as bytes.
func (enc *Encoder) appendOther(dst []byte) []byte {
	it := enc.update.Attrs()
	n := 0
	for a, ok := it.Next(); ok; a, ok = it.Next() {
		if inWords[a.Code] {
			continue
		}
		if n == 0 {
			dst = append(dst, `,"other":[`...)
		} else {
			dst = append(dst, ',')
		}
		n++
		dst = append(dst, `{"code":`...)
		dst = strconv.AppendUint(dst, uint64(a.Code), 10)
		dst = appendNumber(dst, "flags", uint64(a.Flags))
		dst = appendHexField(dst, "value", a.Value)
		dst = append(dst, '}')
	}
	if n > 0 {
		dst = append(dst, ']')
	}
	return dst
}

func appendNumber(dst []byte, name string, v uint64) []byte {
	return strconv.AppendUint(appendField(dst, name), v, 10)
}
