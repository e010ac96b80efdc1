package event

import (
	"strconv"

	"github.com/ribtap/ribtap/bgp"
)

// appendOpen appends one OPEN of a Peer Up; nothing when there is none, as
// when the router is not known to have sent one.
func (enc *Encoder) appendOpen(dst []byte, name string, msg []byte) []byte {
	if len(msg) == 0 {
		return dst
	}
	o, err := bgp.ParseOpen(msg)
	dst = append(appendField(dst, name), `{"version":`...)
	dst = strconv.AppendUint(dst, uint64(o.Version), 10)
	dst = appendNumber(dst, "asn", uint64(o.AS))
	dst = appendNumber(dst, "hold_time", uint64(o.HoldTime))
	if o.BGPID.IsValid() {
		enc.text = o.BGPID.AppendTo(enc.text[:0])
		dst = appendBytes(appendField(dst, "bgp_id"), enc.text)
	}
	dst = append(dst, `,"capabilities":[`...)
	it := o.Capabilities()
	first := true
	for c, ok := it.Next(); ok; c, ok = it.Next() {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, `{"code":`...)
		dst = strconv.AppendUint(dst, uint64(c.Code), 10)
		enc.text = c.AppendText(enc.text[:0])
		dst = appendBytes(appendField(dst, "text"), enc.text)
		dst = appendHexField(dst, "value", c.Value)
		dst = append(dst, '}')
	}
	dst = append(dst, ']')
	if err != nil {
		// The router took the OPEN, or it would not report it; the remark stands
		// beside what was read.
		dst = appendStringField(dst, "error", err.Error())
	}
	return append(dst, '}')
}
