package load

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"sort"
)

// Full is a table shaped like that of a full feed of 2024/2025 in what a
// collector's cost depends on: lengths of prefixes, prefixes beside one another,
// how many share an attribute set (a heavy tail), how many go into one UPDATE
// (4.6 on average), AS paths and communities. Any number of peers announces it,
// each with its own next hop and first AS. The same sizes and seed give the same
// octets. It does not change once it is made.
type Full struct {
	sets    []fullSet
	groups  []fullGroup // those of IPv4 first
	groups4 int
	chunks  []fullChunk // UPDATEs, those of IPv4 first
	chunks4 int
	n4, n6  int
	seed    uint64
}

// fullSet is one distinct set of path attributes as octets, to which a peer adds
// its next hop and its AS.
type fullSet struct {
	head    []byte // ORIGIN and AS_PATH
	firstAS int    // offset in head of the path's first AS
	tail    []byte // attributes of higher types than NEXT_HOP
}

// fullGroup is the prefixes of one family that share an attribute set.
type fullGroup struct {
	set, first int // first: index in the table of its first prefix
	prefixes   []netip.Prefix
}

// fullChunk is the part of a group that goes into one UPDATE.
type fullChunk struct{ group, from, to int }

const (
	// routesPerSet is that of a full table: 180,000 sets for 1,230,000 routes.
	routesPerSet = 1_230_000.0 / 180_000
	// meanChunk is the mean of the geometric bound on prefixes in one UPDATE.
	meanChunk = 12
	maxChunk  = 300
)

// NewFull makes a table of n4 IPv4 and n6 IPv6 prefixes.
func NewFull(n4, n6 int, seed uint64) *Full {
	t := &Full{n4: n4, n6: n6, seed: seed}
	r := rand.New(rand.NewPCG(seed, 0x7461626c65))
	sets := max(2, int(float64(n4+n6)/routesPerSet))
	sets4 := sets * n4 / (n4 + n6)
	g := newFullAttributes(r)
	for seen := map[string]bool{}; len(t.sets) < sets; {
		s := g.next()
		if key := string(s.head) + string(s.tail); !seen[key] {
			seen[key] = true
			t.sets = append(t.sets, s)
		}
	}
	sizes4, sizes6 := groupSizes(r, n4, sets4), groupSizes(r, n6, sets-sets4)
	t.addGroups(newFullPrefixes(r, false), sizes4, 0, 0)
	t.groups4 = len(t.groups)
	t.addGroups(newFullPrefixes(r, true), sizes6, sets4, n4)
	t.pack(r)
	return t
}

// Len returns how many routes each peer announces.
func (t *Full) Len() int { return t.n4 + t.n6 }

func (t *Full) addGroups(p *fullPrefixes, sizes []int, set, first int) {
	for i, n := range sizes {
		t.groups = append(t.groups, fullGroup{set + i, first, p.run(n)})
		first += n
	}
}

// groupSizes shares n prefixes among k sets: each gets one, the rest go by
// Pareto weights.
func groupSizes(r *rand.Rand, n, k int) []int {
	k = min(k, n)
	sizes, upTo := make([]int, k), make([]float64, k)
	sum := 0.0
	for i := range sizes {
		sizes[i] = 1
		sum += math.Min(math.Pow(1-r.Float64(), -1/1.1), 2000)
		upTo[i] = sum
	}
	for range n - k {
		sizes[min(sort.SearchFloat64s(upTo, r.Float64()*sum), k-1)]++
	}
	return sizes
}

// pack cuts the groups into UPDATEs and mixes their order within a family, as a
// router does that walks its table by prefix.
func (t *Full) pack(r *rand.Rand) {
	for i, g := range t.groups {
		if i == t.groups4 {
			t.chunks4 = len(t.chunks)
		}
		for from := 0; from < len(g.prefixes); {
			n := 1 + int(math.Log(1-r.Float64())/math.Log(1-1.0/meanChunk))
			to := min(from+min(n, maxChunk), len(g.prefixes))
			t.chunks = append(t.chunks, fullChunk{i, from, to})
			from = to
		}
	}
	if t.groups4 == len(t.groups) {
		t.chunks4 = len(t.chunks)
	}
	for _, part := range [][]fullChunk{t.chunks[:t.chunks4], t.chunks[t.chunks4:]} {
		r.Shuffle(len(part), func(i, j int) { part[i], part[j] = part[j], part[i] })
	}
}

// shares says how often consecutive values come, in any unit.
type shares struct {
	first   int
	weights []float64
}

// Prefix lengths of a full table of 2024/2025, in per cent.
var (
	fullLengths4 = shares{8, []float64{.0016, .0015, .004, .01, .03, .06, .12, .21, 1.35, .85, 1.4, 2.5, 4.4, 5.2, 11, 10, 62.9}}
	fullLengths6 = shares{20, []float64{
		.01, 0, .02, 0, .05, 0, .05, 0, .2, 2.6, .4, .3, 10.5, 1.2, 1.2, .6, 6, .4, .9, .5, 10.5, .7, 2, .7, 10, 1.1, 3.3, 3.3, 43.5,
	}}
)

// chooser draws from shares.
type chooser struct {
	first int
	upTo  []float64
}

func newChooser(s shares) chooser {
	c := chooser{first: s.first}
	sum := 0.0
	for _, w := range s.weights {
		sum += w
		c.upTo = append(c.upTo, sum)
	}
	return c
}

func (c chooser) draw(r *rand.Rand) int {
	x := r.Float64() * c.upTo[len(c.upTo)-1]
	return c.first + min(sort.SearchFloat64s(c.upTo, x), len(c.upTo)-1)
}
