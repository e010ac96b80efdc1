package bmp

import (
	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/internal/wire"
)

// Stat is one statistic of a report, a view.
type Stat struct {
	Type uint16
	// Name is the statistic's name; empty for a type that is not in the table.
	Name string
	// Gauge is set for a value that may fall; a counter only rises and wraps.
	Gauge bool
	// HasFamily is set for the per-AFI/SAFI statistics; Family is then valid.
	HasFamily bool
	Family    bgp.Family
	// Value is valid iff OK: the size is the type's. A type that is not in the
	// table is taken for a counter of four octets or a gauge of eight.
	Value uint64
	OK    bool
	// Raw is the value as received.
	Raw []byte
}

// StatsReport is a view of a Statistics Report (RFC 7854 §4.8).
type StatsReport struct {
	// Count is what the router says that it sent; Stats iterates over what it did.
	Count     uint32
	stats     []byte
	Anomalies Anomalies
}

// ParseStatsReport reads the body of m. Its errors, all of ClassDrop: the count
// is cut, a statistic reaches behind the message's end, or there are fewer than
// the count says.
func ParseStatsReport(m *Message) (StatsReport, error) {
	c, at, err := m.body(TypeStatistics)
	if err != nil {
		return StatsReport{}, err
	}
	report := StatsReport{Count: c.Uint32()}
	if !c.OK() {
		return StatsReport{}, m.drop(len(m.Raw), ReasonBodyShort)
	}
	at += c.Offset()
	report.stats = c.Rest()
	t := NewTLVs(report.stats)
	for n := uint32(0); ; n++ {
		cut := t.c.Offset()
		v, more := t.Next()
		switch {
		case more:
			if !statRowOf(v.Type).fits(len(v.Value)) {
				report.Anomalies |= AnomalyStatLength
			}
			continue
		case !t.OK():
			return StatsReport{}, m.drop(at+cut, ReasonTLVOverrun)
		case n < report.Count:
			return StatsReport{}, m.drop(len(m.Raw), ReasonStatsMissing)
		case n > report.Count:
			report.Anomalies |= AnomalyStatsCount
		}
		return report, nil
	}
}

// Stats iterates over the statistics in wire order.
func (r *StatsReport) Stats() StatIter { return StatIter{t: NewTLVs(r.stats)} }

// StatIter walks the statistics of a report without allocating.
type StatIter struct{ t TLVs }

// Next returns the next statistic; ok is false at the end.
func (it *StatIter) Next() (s Stat, ok bool) {
	v, ok := it.t.Next()
	if !ok {
		return Stat{}, false
	}
	return parseStat(v), true
}

// parseStat reads a statistic by its type's row.
func parseStat(v TLV) Stat {
	row := statRowOf(v.Type)
	form := row.form
	if form == formUnknown {
		form = formBySize(len(v.Value))
	}
	s := Stat{
		Type: v.Type, Name: row.name, Raw: v.Value,
		Gauge: form == formGauge || form == formFamilyGauge,
		OK:    form != formUnknown && len(v.Value) == form.size(),
	}
	if !s.OK {
		if row.experimental {
			s.Name = "" // another vendor's use of the same number
		}
		return s
	}
	c := wire.NewCursor(v.Value)
	switch form {
	case formCounter:
		s.Value = uint64(c.Uint32())
	case formFamilyGauge:
		s.HasFamily = true
		s.Family = bgp.NewFamily(bgp.AFI(c.Uint16()), bgp.SAFI(c.Uint8()))
		s.Value = c.Uint64()
	case formGauge, formUnknown:
		s.Value = c.Uint64()
	}
	return s
}

// append appends the statistic as a TLV: Raw if it is set, else the value in the
// type's form.
func (s *Stat) append(dst []byte) []byte {
	if s.Raw != nil {
		return appendTLV(dst, TLV{Type: s.Type, Value: s.Raw})
	}
	form := statRowOf(s.Type).form
	switch {
	case s.HasFamily:
		form = formFamilyGauge
	case form == formUnknown && s.Gauge:
		form = formGauge
	}
	dst = appendUint16(dst, s.Type)
	dst, at := wire.BeginLength16(dst)
	switch form {
	case formFamilyGauge:
		dst = appendUint16(dst, uint16(s.Family.AFI()))
		dst = append(dst, uint8(s.Family.SAFI()))
		dst = appendUint64(dst, s.Value)
	case formGauge:
		dst = appendUint64(dst, s.Value)
	case formCounter, formUnknown:
		dst = appendUint32(dst, uint32(s.Value))
	}
	wire.EndLength16(dst, at)
	return dst
}
