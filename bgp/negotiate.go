package bgp

import "slices"

// Receive returns the decode context of the messages that a speaker reads, from
// the OPEN that it sent and the one that it received. Four-octet AS numbers need
// both sides (RFC 6793 §4.1); extended messages only its own readiness (RFC 8654
// §4); ADD-PATH its own to receive and the other's to send (RFC 7911 §4). Equal
// AS numbers make the peering internal.
func Receive(sent, received *Open) Session {
	s := Session{
		AS4:             sent.Has(CapFourOctetAS) && received.Has(CapFourOctetAS),
		ExtendedMessage: sent.Has(CapExtendedMessage),
		Peering:         PeeringExternal,
	}
	if sent.AS == received.AS {
		s.Peering = PeeringInternal
	}
	var buf [maxCapabilityLen / 4]AddPath
	s.AddPath = addPathSet(sent.AppendAddPaths(buf[:0]), AddPathReceive) &
		addPathSet(received.AppendAddPaths(buf[:0]), AddPathSend)
	return s
}

// Transmit returns the decode context of the messages that the same speaker
// writes, which are those of its Adj-RIB-Out (RFC 8671).
func Transmit(sent, received *Open) Session { return Receive(received, sent) }

// addPathSet returns the families that have the bit of the mode. Of a family
// that was named twice the last mode counts.
func addPathSet(as []AddPath, bit AddPathMode) FamilySet {
	var set FamilySet
	for _, a := range as {
		one := FamilySet(0).With(a.Family)
		set &^= one
		if a.Mode&bit != 0 {
			set |= one
		}
	}
	return set
}

// AppendCommonFamilies appends the families that both sides speak, in the order
// of a.
func AppendCommonFamilies(dst []Family, a, b *Open) []Family {
	var bufA, bufB [64]Family
	theirs := b.AppendFamilies(bufB[:0])
	for _, f := range a.AppendFamilies(bufA[:0]) {
		if slices.Contains(theirs, f) {
			dst = append(dst, f)
		}
	}
	return dst
}
