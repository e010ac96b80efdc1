package speaker

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"syscall"
)

// guarded is a socket and what protects it now. Its owner holds kernel.mu.
type guarded struct {
	raw  syscall.RawConn
	form form
	// name says which socket it is, in errors.
	name string
	// peer and remote are those of a connection; a listener has none.
	peer   string
	remote netip.Addr
	keys   keyring
	minTTL uint8
	// noGTSM is why a listener cannot keep the SYNs that GTSM needs.
	noGTSM error
}

// state is what can be changed of it.
type state struct {
	keys   keyring
	minTTL uint8
}

func (g *guarded) state() state { return state{keys: maps.Clone(g.keys), minTTL: g.minTTL} }

// apply makes the socket as s says. New keys are there before old ones go, so
// that nobody is without protection in between, but where the kernel takes only
// one kind of key for an address. After an error it is somewhere in between, and
// keys and minTTL say where.
func (g *guarded) apply(s state) error {
	err := control(g.raw, func(fd int) error {
		if err := g.applyKeys(fd, s.keys); err != nil {
			return err
		}
		if g.minTTL == s.minTTL {
			return nil
		}
		g.minTTL = s.minTTL
		return setMinTTL(fd, g.remote, s.minTTL)
	})
	if err != nil {
		return fmt.Errorf("speaker: %s: %w", g.name, err)
	}
	return nil
}

func (g *guarded) applyKeys(fd int, want keyring) error {
	if g.keys.haveAO() || want.haveAO() {
		for _, p := range g.keys.prefixes() {
			if k := g.keys[p]; crosses(p, k, want) {
				if err := g.remove(fd, p, k); err != nil {
					return err
				}
			}
		}
	}
	for _, p := range want.prefixes() {
		k, was := want[p], g.keys[p]
		if k.same(was) {
			continue
		}
		if err := g.install(fd, p, was, k); err != nil {
			all := maps.Clone(g.keys)
			maps.Copy(all, want)
			return memoryError(fmt.Errorf("key for peer %s at %s: %w", k.owner, p, err), all)
		}
	}
	for _, p := range g.keys.prefixes() {
		if _, ok := want[p]; !ok {
			if err := g.remove(fd, p, g.keys[p]); err != nil {
				return err
			}
		}
	}
	return nil
}

// crosses reports whether a key is in the way of one of the other kind.
func crosses(at netip.Prefix, k key, want keyring) bool {
	for p, other := range want {
		if p.Overlaps(at) && (len(k.ao) > 0) != (len(other.ao) > 0) {
			return true
		}
	}
	return false
}

// install puts k in place of was, which is a key of the same kind or none.
func (g *guarded) install(fd int, at netip.Prefix, was, k key) error {
	if len(k.ao) == 0 {
		if err := setMD5(fd, g.form, at, k.password); err != nil {
			return err
		}
		g.keys[at] = k
		return nil
	}
	now := key{owner: k.owner, ao: slices.Clone(was.ao)}
	// Two keys with one id exclude each other, so old ones go first.
	for _, old := range was.ao {
		if slices.Contains(k.ao, old) {
			continue
		}
		if err := delAO(fd, g.form, at, old); err != nil {
			return err
		}
		now.ao = slices.DeleteFunc(now.ao, func(o AOKey) bool { return o == old })
		g.keys[at] = now
	}
	for _, added := range k.ao {
		if slices.Contains(was.ao, added) {
			continue
		}
		if err := addAO(fd, g.form, at, added); err != nil {
			return err
		}
		now.ao = append(now.ao, added)
		g.keys[at] = now
	}
	g.keys[at] = k
	return nil
}

func (g *guarded) remove(fd int, at netip.Prefix, k key) error {
	var errs []error
	if k.password != "" {
		errs = append(errs, setMD5(fd, g.form, at, ""))
	}
	for _, a := range k.ao {
		errs = append(errs, delAO(fd, g.form, at, a))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("deleting the key of peer %s at %s: %w", k.owner, at, err)
	}
	delete(g.keys, at)
	return nil
}
