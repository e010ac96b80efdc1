package bmp

// TerminationReason says why a router ends its BMP session (RFC 7854 §4.5).
type TerminationReason uint16

// Termination reasons.
const (
	TerminationAdministrative TerminationReason = iota // the router may come back
	TerminationUnspecified
	TerminationOutOfResources
	TerminationRedundant // another connection of the router does the work
	TerminationPermanent // the router does not come back by itself
)

var terminationReasons = [...]string{
	TerminationAdministrative: "session administratively closed",
	TerminationUnspecified:    "unspecified reason",
	TerminationOutOfResources: "out of resources",
	TerminationRedundant:      "redundant connection",
	TerminationPermanent:      "session permanently administratively closed",
}

// String returns the reason in words; empty for one that no RFC defines.
func (r TerminationReason) String() string {
	if int(r) < len(terminationReasons) {
		return terminationReasons[r]
	}
	return ""
}

// Termination is a view of a Termination message (RFC 7854 §4.5).
type Termination struct {
	// Reason is valid iff HasReason.
	Reason    TerminationReason
	HasReason bool
	info      []byte
	Anomalies Anomalies
}

// ParseTermination reads the body of m. It has no errors but that m is of
// another type: the session is over whatever the message says.
func ParseTermination(m *Message) (Termination, error) {
	if _, _, err := m.body(TypeTermination); err != nil {
		return Termination{}, err
	}
	end := Termination{info: m.Body}
	if _, ok := checkTLVs(m.Body); !ok {
		end.Anomalies |= AnomalyTLVOverrun
	}
	value, ok := findTLV(end.Info(), TerminationReasonCode)
	if !ok {
		end.Anomalies |= AnomalyTerminationReason
		return end, nil
	}
	code, ok := TLV{Value: value}.code()
	if !ok {
		end.Anomalies |= AnomalyCodeLength
		return end, nil
	}
	end.Reason, end.HasReason = TerminationReason(code), true
	return end, nil
}

// Info iterates over all TLVs, of SpaceTermination.
func (end *Termination) Info() TLVs { return NewTLVs(end.info) }
