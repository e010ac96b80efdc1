package bmp

// maxSysName is what a sysName may be at most (RFC 1213, SIZE (0..255)).
const maxSysName = 255

// Initiation is a view of an Initiation message (RFC 7854 §4.3).
type Initiation struct {
	// SysDescr and SysName are the router's own words, as sent, nil if it sent
	// none; of several the first counts.
	SysDescr, SysName []byte
	info              []byte
	Anomalies         Anomalies
}

// ParseInitiation reads the body of m. Its error, of ClassDrop: a TLV reaches
// behind the message's end.
func ParseInitiation(m *Message) (Initiation, error) {
	_, at, err := m.body(TypeInitiation)
	if err != nil {
		return Initiation{}, err
	}
	if cut, ok := checkTLVs(m.Body); !ok {
		return Initiation{}, m.drop(at+cut, ReasonTLVOverrun)
	}
	in := Initiation{info: m.Body}
	in.SysDescr, _ = findTLV(in.Info(), InfoSysDescr)
	in.SysName, _ = findTLV(in.Info(), InfoSysName)
	switch n := len(in.SysName); {
	case n == 0:
		in.Anomalies |= AnomalyNoSysName
	case n > maxSysName:
		in.Anomalies |= AnomalySysNameLong
	}
	return in, nil
}

// Info iterates over all information TLVs, of SpaceInitiation; several may have
// the same type.
func (in *Initiation) Info() TLVs { return NewTLVs(in.info) }
