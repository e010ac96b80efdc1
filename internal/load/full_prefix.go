package load

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
)

// fullPrefixes draws distinct prefixes, two of three beside the one before.
type fullPrefixes struct {
	r       *rand.Rand
	v6      bool
	lengths chooser
	used    map[netip.Prefix]bool
}

func newFullPrefixes(r *rand.Rand, v6 bool) *fullPrefixes {
	p := &fullPrefixes{r: r, v6: v6, used: map[netip.Prefix]bool{}, lengths: newChooser(fullLengths4)}
	if v6 {
		p.lengths = newChooser(fullLengths6)
	}
	return p
}

// run draws n prefixes for one attribute set.
func (p *fullPrefixes) run(n int) []netip.Prefix {
	out := make([]netip.Prefix, 0, n)
	var last netip.Prefix
	for len(out) < n {
		bits := p.lengths.draw(p.r)
		var c netip.Prefix
		if last.IsValid() && p.r.Float64() < .65 {
			c = following(last, bits)
		} else {
			c = p.random(bits)
		}
		for tries := 0; !c.IsValid() || p.used[c]; tries++ {
			if tries > 30 { // that length is exhausted
				bits = p.lengths.draw(p.r)
			}
			c = p.random(bits)
		}
		p.used[c] = true
		out = append(out, c)
		last = c
	}
	return out
}

func (p *fullPrefixes) random(bits int) netip.Prefix {
	for {
		var c netip.Prefix
		if p.v6 {
			var a [16]byte
			binary.BigEndian.PutUint64(a[:], p.r.Uint64())
			a[0] = []byte{0x20, 0x24, 0x26, 0x28, 0x2a}[p.r.IntN(5)]
			if a[0] == 0x20 {
				a[1] = 0x01
			} else {
				a[1] &= 0x0f
			}
			c, _ = netip.AddrFrom16(a).Prefix(bits)
			return c
		}
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], p.r.Uint32())
		if c, _ = netip.AddrFrom4(a).Prefix(bits); usable4(c) {
			return c
		}
	}
}

// notUnicast are blocks that a full table has no routes in.
var notUnicast = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("100.64.0.0/10"),
}

func usable4(p netip.Prefix) bool {
	a := p.Addr().As4()
	if a[0] == 0 || a[0] >= 224 {
		return false
	}
	for _, b := range notUnicast {
		if b.Overlaps(p) {
			return false
		}
	}
	return true
}

// following is the block of the given length behind p, or no prefix where that
// would leave unicast space.
func following(p netip.Prefix, bits int) netip.Prefix {
	if p.Addr().Is4() {
		a := p.Addr().As4()
		step := uint64(1) << (32 - min(p.Bits(), bits))
		v := (uint64(binary.BigEndian.Uint32(a[:]))/step + 1) * step
		if v >= 224<<24 {
			return netip.Prefix{}
		}
		binary.BigEndian.PutUint32(a[:], uint32(v))
		c, _ := netip.AddrFrom4(a).Prefix(bits)
		if !usable4(c) {
			return netip.Prefix{}
		}
		return c
	}
	a := p.Addr().As16()
	step := uint64(1) << (64 - min(p.Bits(), bits))
	v := (binary.BigEndian.Uint64(a[:])/step + 1) * step
	if v>>61 != 1 { // 2000::/3
		return netip.Prefix{}
	}
	binary.BigEndian.PutUint64(a[:], v)
	c, _ := netip.AddrFrom16(a).Prefix(bits)
	return c
}
