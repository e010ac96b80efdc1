package bgp

import "encoding/binary"

// AppendEndOfRIB appends the End-of-RIB marker of a family (RFC 4724 §2): an
// UPDATE with nothing in it for IPv4 unicast, else with an empty
// MP_UNREACH_NLRI alone.
func AppendEndOfRIB(dst []byte, f Family) []byte {
	dst, at := beginMessage(dst, MessageUpdate)
	if f == IPv4Unicast {
		dst = append(dst, 0, 0, 0, 0)
	} else {
		dst = append(dst, 0, 0, 0, 6, AttrFlagOptional, AttrMPUnreachNLRI, 3)
		dst = binary.BigEndian.AppendUint16(dst, uint16(f.AFI()))
		dst = append(dst, byte(f.SAFI()))
	}
	endMessage(dst, at)
	return dst
}
