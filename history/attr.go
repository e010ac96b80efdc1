package history

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strconv"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
)

// HashLen is how much of a SHA-256 names an attribute set: 128 bits.
const HashLen = 16

// AttrColumns are the columns of an attribute set, in the order of
// Attrs.Columns. The last two are the size of AS numbers in raw, and the
// attributes as received but MP_REACH_NLRI and MP_UNREACH_NLRI.
const AttrColumns = "origin, as_path, origin_as, next_hop, med, local_pref, communities, large_communities, " +
	"ext_communities, aggregator, atomic_aggregate, otc, flags, as4, raw"

// AttrCount is the number of AttrColumns.
const AttrCount = 15

// Attrs reads the attribute sets of announced routes. Begin is called for each
// UPDATE, then Key for each of its routes, then Columns if the set is not stored
// yet. The zero Attrs is ready.
type Attrs struct {
	// Hash names the set: two sets with equal columns, and only those, have the
	// same. Valid after Key.
	Hash [HashLen]byte

	// same says that Hash is that of the UPDATE at hand, which nearly always has
	// one next hop.
	same    bool
	family  bgp.Family
	nextHop []byte
	flags   bgp.RouteFlags
	flagged bool
	verdict event.Flags // of the event, those of verdicts

	value, key, text []byte
	parsed           bgp.Value
}

// verdicts are what a speaker found out about the routes of an UPDATE with what it
// knows of its own session; the column flags has them beside what the attributes
// say by themselves.
const verdicts = event.FlagOTCLeak | event.FlagClusterLoop

// Begin forgets the UPDATE before.
func (t *Attrs) Begin() { t.same, t.flagged = false, false }

// Key computes the Hash of the attributes of r, an announced route of u; e is
// their event. It reports whether r has those of the route before.
func (t *Attrs) Key(e *event.Event, u *bgp.Update, r *bgp.Route) (same bool, err error) {
	if t.same && r.NLRI.Family == t.family && bytes.Equal(r.NextHop, t.nextHop) {
		return true, nil
	}
	if !t.flagged {
		t.flags, t.flagged = u.Flags(e.Peer.LocalASN, e.Peer.ASN), true
	}
	t.value = u.AppendValue(t.value[:0], r)
	var ok bool
	if t.parsed, ok = bgp.ParseValue(t.value); !ok {
		return false, errors.New("history: a stored value does not parse")
	}
	// The key is all that the columns depend on.
	t.key = append(t.key[:0], octet(t.parsed.AS4), byte(e.Session.Peering))
	t.key = binary.BigEndian.AppendUint32(t.key, uint32(t.flags))
	t.key = binary.BigEndian.AppendUint32(t.key, uint32(r.NLRI.Family))
	t.key = append(t.key, byte(len(r.NextHop)))
	t.key = append(t.key, r.NextHop...)
	t.key = append(t.key, t.parsed.Attrs...)
	if t.verdict = e.Flags & verdicts; t.verdict != 0 {
		t.key = binary.BigEndian.AppendUint16(t.key, uint16(t.verdict))
	}
	sum := sha256.Sum256(t.key)
	t.Hash = [HashLen]byte(sum[:])
	t.same, t.family, t.nextHop = true, r.NLRI.Family, append(t.nextHop[:0], r.NextHop...)
	return false, nil
}

func octet(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// Columns decodes the set that the last call of Key was about.
func (t *Attrs) Columns(u *bgp.Update, r *bgp.Route) (c [AttrCount]any) {
	if o, ok := u.Origin(); ok {
		c[0] = o.String()
	}
	if _, ok := u.Attr(bgp.AttrASPath); ok {
		t.text = u.AppendASPath(t.text[:0])
		c[1] = string(t.text)
	}
	if asn, ok := u.OriginAS(); ok {
		c[2] = int64(asn)
	}
	t.text = bgp.AppendNextHop(t.text[:0], r.NLRI.Family, r.NextHop)
	c[3] = TextOrNull(t.text)
	if m, ok := u.MED(); ok {
		c[4] = int64(m)
	}
	if p, ok := u.LocalPref(); ok {
		c[5] = int64(p)
	}
	t.text = u.AppendCommunities(t.text[:0])
	c[6] = TextOrNull(t.text)
	t.text = u.AppendLargeCommunities(t.text[:0])
	c[7] = TextOrNull(t.text)
	t.text = u.AppendExtCommunities(t.text[:0])
	c[8] = TextOrNull(t.text)
	if asn, addr, ok := u.Aggregator(); ok {
		t.text = append(strconv.AppendUint(t.text[:0], uint64(asn), 10), ' ')
		t.text = addr.AppendTo(t.text)
		c[9] = string(t.text)
	}
	c[10] = u.AtomicAggregate()
	if asn, ok := u.OTC(); ok {
		c[11] = int64(asn)
	}
	t.text = t.flags.AppendText(t.text[:0])
	if t.verdict != 0 && len(t.text) > 0 {
		t.text = append(t.text, ' ')
	}
	t.text = t.verdict.AppendText(t.text)
	c[12] = TextOrNull(t.text)
	c[13] = t.parsed.AS4
	c[14] = append([]byte{}, t.parsed.Attrs...)
	return c
}
