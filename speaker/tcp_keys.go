package speaker

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// key is the shared secret of a range of addresses: a password of TCP MD5, or
// the master key tuples of TCP-AO. The zero key is none. It is never printed.
type key struct {
	password string
	ao       []AOKey
	owner    string // the name of a peer, for errors
}

func keyOf(p *Peer) key { return key{password: p.Password, ao: p.AO, owner: p.Name} }

func (k key) none() bool { return k.password == "" && len(k.ao) == 0 }

func (k key) same(o key) bool { return k.password == o.password && slices.Equal(k.ao, o.ao) }

// kind is what to call it.
func (k key) kind() string {
	switch {
	case len(k.ao) > 0:
		return "TCP-AO keys"
	case k.password != "":
		return "a password"
	}
	return "no password"
}

// keyring says which key counts for whom: that of the longest prefix. No prefix
// of it has an IPv4 address in IPv6 form.
type keyring map[netip.Prefix]key

// canonical is the prefix that the kernel compares with: without the IPv6 form of
// an IPv4 address and without host bits. (A key with host bits would replace the
// one without.)
func canonical(p netip.Prefix) netip.Prefix {
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// host is the prefix of one address.
func host(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	return netip.PrefixFrom(a, a.BitLen())
}

// newKeyring returns the fewest keys that protect the peers: those inside a range
// with the same secret need none of their own, because the memory for keys is
// short (see memoryError). Errors are configurations that no kernel can carry out.
func newKeyring(peers []Peer) (keyring, error) {
	order := make([]*Peer, len(peers))
	for i := range peers {
		order[i] = &peers[i]
	}
	// From wide to narrow, so that whatever covers a peer is there before it.
	slices.SortStableFunc(order, func(a, b *Peer) int {
		return cmp.Compare(canonical(a.Address).Bits(), canonical(b.Address).Bits())
	})
	ring, seen := keyring{}, keyring{}
	for _, p := range order {
		k, at := keyOf(p), canonical(p.Address)
		if err := checkAO(p); err != nil {
			return nil, err
		}
		// Two interfaces may have neighbours with the same link-local address. The
		// kernel looks keys up without the interface.
		if other, ok := seen[at]; ok && !other.same(k) {
			return nil, fmt.Errorf("speaker: peers %s and %s have the same address %s on two interfaces, but %s and %s: "+
				"the kernel keeps one key for both", other.owner, p.Name, at, differ(other, k), differ(k, other))
		}
		seen[at] = k
		cover, covered := ring.find(at)
		switch {
		case covered && cover.same(k):
		case covered && k.none():
			return nil, fmt.Errorf("speaker: peer %s has no password, but its address %s is inside the range of peer %s, which has %s: "+
				"the kernel would drop what is not signed", p.Name, at, cover.owner, cover.kind())
		case covered && (len(cover.ao) > 0) != (len(k.ao) > 0):
			return nil, fmt.Errorf("speaker: peer %s has %s, but its address %s is inside the range of peer %s, which has %s: "+
				"the kernel takes one kind for an address", p.Name, k.kind(), at, cover.owner, cover.kind())
		case !k.none():
			ring[at] = k
		}
	}
	return ring, nil
}

// differ describes k where o is beside it.
func differ(k, o key) string {
	if k.kind() == o.kind() {
		return "another " + k.kind()[len("a "):]
	}
	return k.kind()
}

// find returns the key that counts for a prefix.
func (r keyring) find(p netip.Prefix) (key, bool) {
	for bits := p.Bits(); bits >= 0; bits-- {
		if k, ok := r[netip.PrefixFrom(p.Addr(), bits).Masked()]; ok {
			return k, true
		}
	}
	return key{}, false
}

func (r keyring) haveAO() bool {
	for _, k := range r {
		if len(k.ao) > 0 {
			return true
		}
	}
	return false
}

// carriedBy returns the part of the ring that a socket can use.
func (r keyring) carriedBy(f form) keyring {
	part := keyring{}
	for p, k := range r {
		if f.carries(p.Addr()) {
			part[p] = k
		}
	}
	return part
}

// prefixes returns them from wide to narrow, so that errors are the same each time.
func (r keyring) prefixes() []netip.Prefix {
	return slices.SortedFunc(maps.Keys(r), func(a, b netip.Prefix) int {
		return cmp.Or(cmp.Compare(a.Bits(), b.Bits()), a.Addr().Compare(b.Addr()))
	})
}
