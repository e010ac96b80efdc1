package bmp

// MirrorCode is what a router remarks on mirrored messages (RFC 7854 §4.7).
type MirrorCode uint16

// Mirroring information codes.
const (
	MirrorErrored MirrorCode = iota // the mirrored message was treated as malformed
	MirrorLost                      // messages were lost before this one
)

// String returns the code in words; empty for one that no RFC defines.
func (c MirrorCode) String() string {
	switch c {
	case MirrorErrored:
		return "errored PDU"
	case MirrorLost:
		return "messages lost"
	}
	return ""
}

// RouteMirroring is a view of a Route Mirroring message (RFC 7854 §4.7). What it
// mirrors is no part of any RIB.
type RouteMirroring struct {
	// PDU is the first mirrored BGP message, as sent and not checked: mirroring
	// is how a router shows messages that it could not read. Nil for none.
	PDU []byte
	// Code is the first information code; valid iff HasCode.
	Code      MirrorCode
	HasCode   bool
	info      []byte
	Anomalies Anomalies
}

// ParseRouteMirroring reads the body of m. Its error, of ClassDrop: a TLV reaches
// behind the message's end.
func ParseRouteMirroring(m *Message) (RouteMirroring, error) {
	_, at, err := m.body(TypeRouteMirroring)
	if err != nil {
		return RouteMirroring{}, err
	}
	if cut, ok := checkTLVs(m.Body); !ok {
		return RouteMirroring{}, m.drop(at+cut, ReasonTLVOverrun)
	}
	mir := RouteMirroring{info: m.Body}
	if len(m.Body) == 0 {
		mir.Anomalies |= AnomalyMirrorEmpty
	}
	mir.PDU, _ = findTLV(mir.Info(), MirrorMessage)
	if value, ok := findTLV(mir.Info(), MirrorInformation); ok {
		code, sound := TLV{Value: value}.code()
		if !sound {
			mir.Anomalies |= AnomalyCodeLength
		}
		mir.Code, mir.HasCode = MirrorCode(code), sound
	}
	return mir, nil
}

// Info iterates over all TLVs, of SpaceMirroring.
func (mir *RouteMirroring) Info() TLVs { return NewTLVs(mir.info) }
