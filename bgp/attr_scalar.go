package bgp

import (
	"net/netip"

	"github.com/ribtap/ribtap/internal/wire"
)

// The accessors give one attribute each; ok is false when the UPDATE has none,
// the verdict discards it, or its value is not what its RFC says. They read the
// message again at each call and allocate nothing.

// Origin is the ORIGIN attribute (RFC 4271 §5.1.1).
type Origin uint8

// Values of Origin.
const (
	OriginIGP Origin = iota
	OriginEGP
	OriginIncomplete
)

// String returns igp, egp or incomplete, and unknown for a value that RFC 4271
// has not.
func (o Origin) String() string {
	switch o {
	case OriginIGP:
		return "igp"
	case OriginEGP:
		return "egp"
	case OriginIncomplete:
		return "incomplete"
	}
	return "unknown"
}

// value returns a cursor over the value of an attribute of n octets.
func (u *Update) value(code uint8, n int) (wire.Cursor, bool) {
	a, ok := u.Attr(code)
	if !ok || len(a.Value) != n {
		return wire.Cursor{}, false
	}
	return wire.NewCursor(a.Value), true
}

// uint32Value returns the value of an attribute of four octets.
func (u *Update) uint32Value(code uint8) (uint32, bool) {
	c, ok := u.value(code, 4)
	return c.Uint32(), ok
}

// Origin returns the ORIGIN.
func (u *Update) Origin() (Origin, bool) {
	c, ok := u.value(AttrOrigin, 1)
	o := Origin(c.Uint8())
	if !ok || o > OriginIncomplete {
		return 0, false
	}
	return o, true
}

// MED returns the MULTI_EXIT_DISC (RFC 4271 §5.1.4).
func (u *Update) MED() (uint32, bool) { return u.uint32Value(AttrMultiExitDisc) }

// LocalPref returns the LOCAL_PREF (RFC 4271 §5.1.5).
func (u *Update) LocalPref() (uint32, bool) { return u.uint32Value(AttrLocalPref) }

// OTC returns the AS number of the Only to Customer attribute (RFC 9234 §5).
func (u *Update) OTC() (uint32, bool) { return u.uint32Value(AttrOTC) }

// OriginatorID returns the ORIGINATOR_ID (RFC 4456 §8).
func (u *Update) OriginatorID() (netip.Addr, bool) {
	c, ok := u.value(AttrOriginatorID, 4)
	if !ok {
		return netip.Addr{}, false
	}
	return netip.AddrFromSlice(c.Rest())
}

// AIGP returns the accumulated IGP metric, which is the first AIGP TLV of the
// attribute (RFC 7311 §3).
func (u *Update) AIGP() (uint64, bool) {
	const header, metric, length = 3, 1, 11
	a, ok := u.Attr(AttrAIGP)
	if !ok {
		return 0, false
	}
	for c := wire.NewCursor(a.Value); !c.Empty(); {
		typ, n := c.Uint8(), int(c.Uint16())
		// The length counts the TLV's own header; less would never end.
		v := c.Sub(n - header)
		if typ == metric && n == length && v.OK() {
			return v.Uint64(), true
		}
	}
	return 0, false
}

// AtomicAggregate reports whether ATOMIC_AGGREGATE is there (RFC 4271 §5.1.6).
func (u *Update) AtomicAggregate() bool {
	_, ok := u.Attr(AttrAtomicAggregate)
	return ok
}

// Aggregator returns the AGGREGATOR (RFC 4271 §5.1.7). On a session without
// AS4, AS4_AGGREGATOR stands in for one that says AS_TRANS (RFC 6793 §4.2.3).
func (u *Update) Aggregator() (asn uint32, addr netip.Addr, ok bool) {
	if u.session.AS4 {
		return u.aggregator(AttrAggregator, true)
	}
	asn, addr, ok = u.aggregator(AttrAggregator, false)
	if ok && asn == ASTrans {
		if asn4, addr4, ok := u.aggregator(AttrAS4Aggregator, true); ok {
			return asn4, addr4, true
		}
	}
	return asn, addr, ok
}

// aggregator reads AGGREGATOR or AS4_AGGREGATOR.
func (u *Update) aggregator(code uint8, as4 bool) (asn uint32, addr netip.Addr, ok bool) {
	size := 2 + 4
	if as4 {
		size = 4 + 4
	}
	c, ok := u.value(code, size)
	if !ok {
		return 0, netip.Addr{}, false
	}
	asn = readAS(&c, as4)
	addr, ok = netip.AddrFromSlice(c.Rest())
	return asn, addr, ok
}

// readAS reads an AS number of four octets or two.
func readAS(c *wire.Cursor, as4 bool) uint32 {
	if as4 {
		return c.Uint32()
	}
	return uint32(c.Uint16())
}
