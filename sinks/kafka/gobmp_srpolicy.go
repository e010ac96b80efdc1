package kafka

import (
	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/internal/wire"
)

// tunnelSRPolicy is the tunnel type whose TLV describes a candidate path.
const tunnelSRPolicy = 15

// Sub-TLVs of a candidate path (RFC 9830 §2.4). Types from 128 on have a length
// of two octets (RFC 9012 §2).
const (
	srPreference  = 12
	srBindingSID  = 13
	srENLP        = 14
	srPriority    = 15
	srBindingSRv6 = 20
	srLongLength  = 128
	srSegmentList = 128
	srPathName    = 129
	srPolicyName  = 130
)

// srPolicy makes the message of an SR policy's candidate path. Its NLRI is
// bits[1] distinguisher[4] color[4] endpoint[4 or 16] (RFC 9830 §2.1).
func (f *goBMPFormat) srPolicy(e *event.Event, p *goBMPPeerInfo, r *bgp.Route) bool {
	c := wire.NewCursor(r.NLRI.Raw)
	c.Skip(1)
	distinguisher, color := c.Uint32(), c.Uint32()
	endpoint := c.Rest()
	if !c.OK() {
		return false
	}
	v := f.begin(e, p, r)
	v = appendBool(v, "is_ipv4", r.NLRI.Family.AFI() == bgp.AFIIPv4)
	v = appendNonZero(v, "distinguisher", uint64(distinguisher))
	v = appendNonZero(v, "color", uint64(color))
	v = appendBase64(v, "endpoint", endpoint)
	if r.Action == bgp.Announce && !f.reduced {
		v = f.candidatePath(v)
	}
	f.end(v, r)
	return true
}

func appendNonZero(v []byte, name string, n uint64) []byte {
	if n == 0 {
		return v
	}
	return appendNumber(v, name, n)
}

// candidatePath appends what the tunnel encapsulation attribute tells: type[2]
// length[2] sub-TLVs.
func (f *goBMPFormat) candidatePath(v []byte) []byte {
	a, ok := f.update.Attr(bgp.AttrTunnelEncapsulation)
	if !ok {
		return v
	}
	var sub wire.Cursor
	for c := wire.NewCursor(a.Value); !c.Empty() && sub.Empty(); {
		if typ, tlv := c.Uint16(), c.Sub(int(c.Uint16())); typ == tunnelSRPolicy {
			sub = tlv
		}
	}
	lists := sub
	for sub.OK() && !sub.Empty() {
		typ, c := srSubTLV(&sub)
		v = appendSRPolicy(v, typ, c)
	}
	first := true
	for lists.OK() && !lists.Empty() {
		typ, c := srSubTLV(&lists)
		if typ != srSegmentList {
			continue
		}
		if first {
			v, first = append(appendName(v, "segment_list_subtlv"), '['), false
		}
		c.Skip(1)
		v = appendSegmentList(separated(v), c)
	}
	if !first {
		v = append(v, ']')
	}
	return v
}

func srSubTLV(c *wire.Cursor) (typ uint8, value wire.Cursor) {
	typ = c.Uint8()
	if typ >= srLongLength {
		return typ, c.Sub(int(c.Uint16()))
	}
	return typ, c.Sub(int(c.Uint8()))
}

// appendSRPolicy appends a sub-TLV that a candidate path has once. Most begin
// with flags[1] reserved[1]; what is cut short is left out.
func appendSRPolicy(v []byte, typ uint8, c wire.Cursor) []byte {
	const label, sid = 6, 18 // octets of a binding SID
	size := c.Len()
	first := c.Uint8()
	if typ == srPathName || typ == srPolicyName { // reserved[1] name
		return appendSRName(v, typ, c.Rest())
	}
	c.Skip(1)
	if !c.OK() {
		return v
	}
	switch {
	case typ == srPreference:
		if preference := c.Uint32(); c.OK() {
			v = appendNumber(append(appendName(v, "preference_subtlv"), '{'), "flags", uint64(first))
			v = append(appendNonZero(v, "preference", uint64(preference)), '}')
		}
	case typ == srENLP:
		if enlp := c.Uint8(); c.OK() {
			v = appendNonZero(append(appendName(v, "enlp_subtlv"), '{'), "flags", uint64(first))
			v = append(appendNonZero(v, "enlp", uint64(enlp)), '}')
		}
	case typ == srPriority:
		v = appendNonZero(v, "priority_subtlv", uint64(first))
	case typ == srBindingSID && size == label:
		v = appendBindingSID(v, 2, first)
		v = append(appendNonZero(v, "label_bsid", uint64(c.Uint32()>>srLabelShift)), '}', '}')
	case (typ == srBindingSID || typ == srBindingSRv6) && size >= sid:
		v = appendBindingSID(v, 3, first)
		v = append(appendBase64(v, "srv6_bsid", c.Bytes(sid-2)), '}', '}')
	case typ == srBindingSID:
		v = append(appendBindingSID(v, 1, first), '}', '}')
	}
	return v
}

// srLabelShift leaves the label of a label stack entry (RFC 3032 §2.1).
const srLabelShift = 12

// appendBindingSID begins the object; kind is GoBMP's: 1 none, 2 a label, 3 an
// SRv6 SID.
func appendBindingSID(v []byte, kind uint64, flags uint8) []byte {
	v = appendNumber(append(appendName(v, "binding_sid"), '{'), "bsid_type", kind)
	return appendNonZero(append(appendName(v, "bsid"), '{'), "flags", uint64(flags))
}

func appendSRName(v []byte, typ uint8, name []byte) []byte {
	if len(name) == 0 {
		return v
	}
	field := "policy_name"
	if typ == srPathName {
		field = "policy_path_name"
	}
	return appendQuoted(v, field, name)
}
