package load

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"

	"github.com/ribtap/ribtap/bgp"
)

// AS path lengths with prepending, in per cent.
var fullPathLengths = shares{2, []float64{6, 22, 32, 21, 11, 5, 3}}

var tier1 = []uint32{174, 701, 1299, 2914, 3257, 3320, 3356, 3491, 5511, 6453, 6461, 6762, 6830, 6939, 7018, 9002, 12956, 20485}

const (
	flagOptional   = 0x80
	flagTransitive = 0x40
	flagExtended   = 0x10
)

// fullAttributes draws attribute sets with the make-up of an eBGP full feed.
type fullAttributes struct {
	r               *rand.Rand
	origins, middle []uint32
	byRank          *rand.Zipf // some origins announce much more than others
	lengths         chooser
}

func newFullAttributes(r *rand.Rand) *fullAttributes {
	g := &fullAttributes{r: r, lengths: newChooser(fullPathLengths)}
	seen := map[uint32]bool{}
	draw := func() uint32 {
		for {
			a := uint32(1 + r.IntN(64495))
			if r.Float64() < .45 {
				a = uint32(131072 + r.IntN(270000))
			}
			if !seen[a] {
				seen[a] = true
				return a
			}
		}
	}
	for range 76000 {
		g.origins = append(g.origins, draw())
	}
	for range 2500 {
		g.middle = append(g.middle, draw())
	}
	g.byRank = rand.NewZipf(r, 1.08, 20, uint64(len(g.origins)-1))
	return g
}

func (g *fullAttributes) next() fullSet {
	origin := byte(0)
	if x := g.r.Float64(); x < .10 {
		origin = 2
	} else if x < .11 {
		origin = 1
	}
	s := fullSet{head: appendAttribute(nil, flagTransitive, bgp.AttrOrigin, []byte{origin})}
	path, last, hasSet := g.path()
	s.firstAS = len(s.head) + 3 + 2
	s.head = appendAttribute(s.head, flagTransitive, bgp.AttrASPath, path)
	s.tail = g.aggregation(s.tail, last, hasSet)
	s.tail = g.communities(s.tail)
	return s
}

// path makes an AS_PATH: room for the peer's AS, transit, the origin, which is
// sometimes prepended, and rarely an AS_SET.
func (g *fullAttributes) path() (v []byte, last uint32, hasSet bool) {
	r := g.r
	n := g.lengths.draw(r)
	last = g.origins[g.byRank.Uint64()]
	prepends := 0
	if n > 2 && r.Float64() < .13 {
		prepends = 1 + r.IntN(n-2)
	}
	v = []byte{2, byte(n), 0, 0, 0, 0}
	for i := 1; i < n; i++ {
		switch {
		case i >= n-1-prepends:
			v = binary.BigEndian.AppendUint32(v, last)
		case i == 1:
			v = binary.BigEndian.AppendUint32(v, tier1[r.IntN(len(tier1))])
		default:
			v = binary.BigEndian.AppendUint32(v, g.middle[r.IntN(len(g.middle))])
		}
	}
	if hasSet = r.Float64() < .0015; hasSet {
		k := 1 + r.IntN(3)
		v = append(v, 1, byte(k))
		for range k {
			v = binary.BigEndian.AppendUint32(v, g.origins[r.IntN(len(g.origins))])
		}
	}
	return v, last, hasSet
}

// aggregation appends MULTI_EXIT_DISC, ATOMIC_AGGREGATE and AGGREGATOR.
func (g *fullAttributes) aggregation(b []byte, last uint32, hasSet bool) []byte {
	r := g.r
	if r.Float64() < .25 {
		b = appendAttribute(b, flagOptional, bgp.AttrMultiExitDisc, binary.BigEndian.AppendUint32(nil, uint32(r.IntN(400))))
	}
	aggregated := hasSet || r.Float64() < .07
	if hasSet || aggregated && r.Float64() < .6 {
		b = appendAttribute(b, flagTransitive, bgp.AttrAtomicAggregate, nil)
	}
	if aggregated {
		v := binary.BigEndian.AppendUint32(nil, last)
		b = appendAttribute(b, flagOptional|flagTransitive, bgp.AttrAggregator, binary.BigEndian.AppendUint32(v, r.Uint32()|1))
	}
	return b
}

// communities appends COMMUNITIES, EXTENDED_COMMUNITIES, LARGE_COMMUNITY and
// ONLY_TO_CUSTOMER, which many programs do not know.
func (g *fullAttributes) communities(b []byte) []byte {
	r := g.r
	const flags = flagOptional | flagTransitive
	if r.Float64() < .75 {
		k := min(1+int(r.ExpFloat64()*5), 30)
		var list []uint32
		for range k {
			high := tier1[r.IntN(len(tier1))]
			if r.Float64() < .4 {
				high = g.middle[r.IntN(len(g.middle))] & 0xffff
			}
			list = append(list, high<<16|uint32(r.IntN(3000)))
		}
		slices.Sort(list)
		var v []byte
		for _, c := range slices.Compact(list) {
			v = binary.BigEndian.AppendUint32(v, c)
		}
		b = appendAttribute(b, flags, bgp.AttrCommunities, v)
	}
	if r.Float64() < .03 {
		v := binary.BigEndian.AppendUint16([]byte{0, 2}, uint16(1+r.IntN(64000))) // a route target
		b = appendAttribute(b, flags, bgp.AttrExtCommunities, binary.BigEndian.AppendUint32(v, uint32(r.IntN(5000))))
	}
	if r.Float64() < .15 {
		as, function := g.middle[r.IntN(len(g.middle))], uint32(r.IntN(100))
		var v []byte
		for range 1 + r.IntN(6) {
			v = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(v, as), function)
			v = binary.BigEndian.AppendUint32(v, uint32(r.IntN(70000)))
			function++
		}
		b = appendAttribute(b, flags, bgp.AttrLargeCommunity, v)
	}
	if r.Float64() < .02 {
		b = appendAttribute(b, flags, bgp.AttrOTC, binary.BigEndian.AppendUint32(nil, tier1[r.IntN(len(tier1))]))
	}
	return b
}

// appendAttribute appends a path attribute, with a length of two octets only
// where it needs one.
func appendAttribute(b []byte, flags, code byte, value []byte) []byte {
	if len(value) > 255 {
		b = binary.BigEndian.AppendUint16(append(b, flags|flagExtended, code), uint16(len(value)))
	} else {
		b = append(b, flags, code, byte(len(value)))
	}
	return append(b, value...)
}
