package collector

import (
	"encoding/binary"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/internal/wire"
	"github.com/ribtap/ribtap/speaker"
)

// faultOf says what the NOTIFICATION is that an UPDATE which cannot be read ends
// its session with; msg is the UPDATE that u was parsed from.
func faultOf(u *bgp.Update, msg []byte) *speaker.Fault {
	for _, f := range u.Findings() {
		if f.Verdict == bgp.VerdictSessionReset {
			return &speaker.Fault{Code: f.Code, Subcode: f.Subcode, Data: faultData(u, &f, msg), Reason: f.Reason}
		}
	}
	return &speaker.Fault{Code: bgp.ErrorUpdateMessage, Reason: "unreadable"}
}

// faultData returns the data of the NOTIFICATION: the attribute at fault, with its
// type and length, where RFC 4271 §6.3 asks for it.
func faultData(u *bgp.Update, f *bgp.Finding, msg []byte) []byte {
	const malformedList, malformedPath = 1, 11 // subcodes without data
	if f.Attr == 0 || f.Subcode == malformedList || f.Subcode == malformedPath {
		return nil
	}
	for it := u.Attrs(); ; {
		a, ok := it.Next()
		if !ok {
			return cutAttribute(msg, f.Offset)
		}
		if a.Code != f.Attr {
			continue
		}
		data := []byte{a.Flags, a.Code, byte(len(a.Value))}
		if a.Flags&bgp.AttrFlagExtended != 0 {
			data = binary.BigEndian.AppendUint16(data[:2], uint16(len(a.Value)))
		}
		return append(data, a.Value...)
	}
}

// cutAttribute returns what there is of an attribute that overruns the Total
// Attribute Length and begins at an offset of the UPDATE.
func cutAttribute(msg []byte, at int) []byte {
	withdrawn, p := wire.NewPosition(msg).Skip(bgp.HeaderLen).Uint16()
	total, p := p.Skip(int(withdrawn)).Uint16()
	left := p.Offset() + int(total) - at
	data, p := wire.NewPosition(msg).Skip(at).Bytes(max(left, 0))
	if !p.OK() {
		return nil
	}
	return append([]byte(nil), data...)
}
