package rpki

import (
	"cmp"
	"net/netip"
	"slices"
	"sync/atomic"
)

// VRP is one Validated ROA Payload: the AS may originate the prefix, and what is more
// specific up to the length.
type VRP struct {
	Prefix    netip.Prefix
	MaxLength uint8
	ASN       uint32
}

func compare(a, b VRP) int {
	return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()), cmp.Compare(a.ASN, b.ASN),
		cmp.Compare(a.MaxLength, b.MaxLength))
}

// Validity is the state of a route (RFC 6811 §2).
type Validity uint8

// Values of Validity. Unknown says that there is no table to judge by.
const (
	Unknown Validity = iota
	NotFound
	Valid
	Invalid
)

// String returns unknown, not-found, valid or invalid.
func (v Validity) String() string {
	switch v {
	case NotFound:
		return "not-found"
	case Valid:
		return "valid"
	case Invalid:
		return "invalid"
	case Unknown:
	}
	return "unknown"
}

// set is a table that does not change any more.
type set struct {
	byPrefix map[netip.Prefix][]VRP
	n        int
	// lengths are those that prefixes have, of IPv4 and of IPv6, from long to short.
	lengths [2][]int
}

func newSet(vrps map[VRP]struct{}) *set {
	s := &set{byPrefix: map[netip.Prefix][]VRP{}, n: len(vrps)}
	for v := range vrps {
		s.byPrefix[v.Prefix] = append(s.byPrefix[v.Prefix], v)
	}
	for p, list := range s.byPrefix {
		slices.SortFunc(list, compare)
		family := familyOf(p.Addr())
		if !slices.Contains(s.lengths[family], p.Bits()) {
			s.lengths[family] = append(s.lengths[family], p.Bits())
		}
	}
	for i := range s.lengths {
		slices.SortFunc(s.lengths[i], func(a, b int) int { return b - a })
	}
	return s
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// Table is a set of VRPs that all may ask while it is replaced. The zero Table judges
// nothing.
type Table struct{ now atomic.Pointer[set] }

// Len returns how many VRPs there are, and whether there is a table at all.
func (t *Table) Len() (n int, ok bool) {
	s := t.now.Load()
	if s == nil {
		return 0, false
	}
	return s.n, true
}

// Validate judges a route: the prefix and the AS that its path ends in. A path that
// ends in a set has none: 0, which no VRP allows (RFC 6811 §2, RFC 6483 §4).
func (t *Table) Validate(prefix netip.Prefix, origin uint32) Validity {
	v, _ := t.Explain(prefix, origin)
	return v
}

// Explain is Validate with the VRPs that cover the prefix, the longest first.
func (t *Table) Explain(prefix netip.Prefix, origin uint32) (v Validity, covering []VRP) {
	s := t.now.Load()
	if s == nil {
		return Unknown, nil
	}
	v = NotFound
	prefix = prefix.Masked()
	for _, bits := range s.lengths[familyOf(prefix.Addr())] {
		if bits > prefix.Bits() {
			continue
		}
		for _, vrp := range s.byPrefix[netip.PrefixFrom(prefix.Addr(), bits).Masked()] {
			covering = append(covering, vrp)
			switch {
			case vrp.ASN == origin && origin != 0 && prefix.Bits() <= int(vrp.MaxLength):
				v = Valid
			case v == NotFound:
				v = Invalid
			}
		}
	}
	return v, covering
}
