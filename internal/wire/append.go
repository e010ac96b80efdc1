package wire

import "encoding/binary"

// AppendUint24 appends the low three octets of v.
func AppendUint24(dst []byte, v uint32) []byte {
	return append(dst, byte(v>>16), byte(v>>8), byte(v))
}

// BeginLength16 appends a two-octet length to be filled in later and returns
// the position to hand to EndLength16.
func BeginLength16(dst []byte) ([]byte, int) {
	return append(dst, 0, 0), len(dst)
}

// EndLength16 writes, at the position that BeginLength16 returned, how many
// octets were appended since. It panics when they are more than 65,535: the
// caller bounds what it appends.
func EndLength16(dst []byte, at int) {
	n := len(dst) - at - 2
	if n > 0xffff {
		panic("wire: more than 65535 octets behind a two-octet length")
	}
	binary.BigEndian.PutUint16(dst[at:], uint16(n))
}

// BeginLength32 is BeginLength16 for a four-octet length.
func BeginLength32(dst []byte) ([]byte, int) {
	return append(dst, 0, 0, 0, 0), len(dst)
}

// EndLength32 writes, at the position that BeginLength32 returned, how many
// octets were appended since.
func EndLength32(dst []byte, at int) {
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
}
