package kafka

import (
	"crypto/md5" //nolint:gosec // GoBMP's hash
	"encoding/base64"
	"encoding/hex"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/internal/wire"
)

// noAttributes is base_attrs of a route that goes; its hash is that of nothing.
const noAttributes = `{"base_attr_hash":"d41d8cd98f00b204e9800998ecf8427e","is_atomic_agg":false}`

// reducedAttributes begins the object with its hash alone.
func (f *goBMPFormat) reducedAttributes(v []byte) []byte {
	h := f.text[:0]
	for it := f.update.Attrs(); ; {
		a, ok := it.Next()
		if !ok {
			break
		}
		if a.Code != bgp.AttrMPReachNLRI && a.Code != bgp.AttrMPUnreachNLRI {
			h = append(append(h, a.Code), a.Value...)
		}
	}
	f.text = h
	sum := md5.Sum(h) //nolint:gosec // GoBMP's hash
	v = append(appendName(append(v, '{'), "base_attr_hash"), '"')
	v = append(hex.AppendEncode(v, sum[:]), '"')
	return appendBool(v, "is_atomic_agg", f.update.AtomicAggregate())
}

// baseAttributes makes the object base_attrs.
func (f *goBMPFormat) baseAttributes(v []byte) []byte {
	u := &f.update
	v = f.reducedAttributes(v)
	if o, ok := u.Origin(); ok {
		v = appendPlain(v, "origin", o.String())
	}
	if path, ok := u.ASPath(); ok {
		n := 0
		for seg, ok := path.Next(); ok; seg, ok = path.Next() {
			for asn, ok := seg.Next(); ok; asn, ok = seg.Next() {
				if n == 0 {
					v = append(appendName(v, "as_path"), '[')
				} else {
					v = append(v, ',')
				}
				v = appendUint(v, uint64(asn))
				n++
			}
		}
		if n > 0 {
			v = appendNumber(append(v, ']'), "as_path_count", uint64(n))
		}
	}
	if a, ok := u.Attr(bgp.AttrNextHop); ok {
		f.text = bgp.AppendNextHop(f.text[:0], bgp.IPv4Unicast, a.Value)
		if len(f.text) > 0 {
			v = appendQuoted(v, "nexthop", f.text)
		}
	}
	if x, ok := u.MED(); ok && x != 0 {
		v = appendNumber(v, "med", uint64(x))
	}
	if x, ok := u.LocalPref(); ok && x != 0 {
		v = appendNumber(v, "local_pref", uint64(x))
	}
	if a, ok := u.Attr(bgp.AttrAggregator); ok {
		v = appendBase64(v, "aggregator", a.Value)
	}
	if a, ok := u.Attr(bgp.AttrCommunities); ok {
		f.text = f.text[:0]
		for c := wire.NewCursor(a.Value); c.Len() >= 4; {
			if len(f.text) > 0 {
				f.text = append(f.text, ' ')
			}
			f.text = append(appendUint(f.text, uint64(c.Uint16())), ':')
			f.text = appendUint(f.text, uint64(c.Uint16()))
		}
		v = appendList(v, "community_list", f.text)
	}
	if a, ok := u.OriginatorID(); ok {
		f.text = a.AppendTo(f.text[:0])
		v = appendPlain(v, "originator_id", f.text)
	}
	if f.text = u.AppendClusterList(f.text[:0]); len(f.text) > 0 {
		v = appendPlain(v, "cluster_list", f.text)
	}
	v = f.extCommunities(v)
	v = f.pmsiTunnel(v)
	f.text = u.AppendLargeCommunities(f.text[:0])
	v = appendList(v, "large_community_list", f.text)
	if a, ok := u.Attr(bgp.AttrAIGP); ok {
		v = appendAIGP(v, a.Value)
	}
	if x, ok := u.OTC(); ok && x != 0 {
		v = appendNumber(v, "otc", uint64(x))
	}
	return append(v, '}')
}

// appendBase64 appends a field with octets in base64, as Go writes a []byte;
// nothing for none.
func appendBase64(v []byte, name string, b []byte) []byte {
	if len(b) == 0 {
		return v
	}
	v = append(appendName(v, name), '"')
	return append(base64.StdEncoding.AppendEncode(v, b), '"')
}

// appendAIGP appends the TLVs of an AIGP attribute: type[1] length[2] value, the
// length with its own three octets; type 1 is the metric (RFC 7311 §3).
func appendAIGP(v, value []byte) []byte {
	const head, metric = 3, 1
	c := wire.NewCursor(value)
	v = append(append(appendName(v, "aigp"), '{'), `"tlvs":[`...)
	for c.Len() >= head {
		typ, size := c.Uint8(), c.Uint16()
		tlv := c.Sub(int(size) - head)
		if !tlv.OK() {
			break
		}
		v = separated(v)
		v = appendNumber(append(v, '{'), "type", uint64(typ))
		v = appendNumber(v, "length", uint64(size))
		if x := tlv.Uint64(); typ == metric && tlv.OK() && x != 0 {
			v = appendNumber(v, "value", x)
		}
		v = append(v, '}')
	}
	return append(v, ']', '}')
}

// separated appends a comma unless a list begins.
func separated(v []byte) []byte {
	if len(v) > 0 && v[len(v)-1] != '[' {
		v = append(v, ',')
	}
	return v
}

// pmsiTunnel appends the PMSI tunnel attribute: flags[1] type[1] label[3]
// identifier (RFC 6514 §5).
func (f *goBMPFormat) pmsiTunnel(v []byte) []byte {
	a, ok := f.update.Attr(bgp.AttrPMSITunnel)
	if !ok {
		return v
	}
	c := wire.NewCursor(a.Value)
	flags, typ, label := c.Uint8(), c.Uint8(), c.Uint24()
	if !c.OK() {
		return v
	}
	v = appendNumber(append(appendName(v, "pmsi_tunnel"), '{'), "flags", uint64(flags))
	v = appendNumber(v, "tunnel_type", uint64(typ))
	v = appendNumber(v, "mpls_label", uint64(label>>labelLowBits))
	return append(appendBase64(v, "tunnel_identifier", c.Rest()), '}')
}
