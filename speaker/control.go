package speaker

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ribtap/ribtap/bgp"
)

// ErrNoPeer says that no peer has the name.
var ErrNoPeer = errors.New("speaker: no such peer")

// ErrNoSession says that what was asked for needs a session that is Established.
var ErrNoSession = errors.New("speaker: no session is established")

// ErrRefreshNotNegotiated says that the neighbour takes no ROUTE-REFRESH, or none
// for the family.
var ErrRefreshNotNegotiated = errors.New("speaker: route refresh was not negotiated")

// ResetKind says how a session begins anew.
type ResetKind uint8

// Values of ResetKind.
const (
	ResetSoftIn  ResetKind = iota // ask for all of the neighbour's routes
	ResetSoftOut                  // announce all of ours once more
	ResetHard                     // end the session: Cease, Administrative Reset; within a Hard Reset where RFC 8538 holds
)

var resetNames = [...]string{"soft-in", "soft-out", "hard"}

// String returns soft-in, soft-out or hard.
func (k ResetKind) String() string {
	if int(k) < len(resetNames) {
		return resetNames[k]
	}
	return "unknown"
}

// ParseResetKind is the inverse of String.
func ParseResetKind(text string) (ResetKind, error) {
	i := slices.Index(resetNames[:], text)
	if i < 0 {
		return 0, fmt.Errorf("speaker: %q is not soft-in, soft-out or hard", text)
	}
	return ResetKind(i), nil
}

// Enable lets a peer have sessions again, also one that is kept from them for too
// many prefixes, as does a hard reset. Here and below a peer is named by its
// name, which for a range means all of its neighbours.
func (s *Speaker) Enable(name string) error { return s.able(name, false, "") }

// Disable ends a peer's sessions with Cease, Administrative Shutdown, and keeps it
// from having any. text, which may be empty, is for the neighbour's operator (RFC
// 9003) and is cut to 128 octets. The next Apply brings back what the
// configuration says.
func (s *Speaker) Disable(name, text string) error { return s.able(name, true, text) }

func (s *Speaker) able(name string, disabled bool, text string) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	cfg := s.configured().clone()
	i := slices.IndexFunc(cfg.Peers, func(p Peer) bool { return p.Name == name })
	if i < 0 {
		return ErrNoPeer
	}
	cfg.Peers[i].Disabled = disabled
	if _, err := s.apply(cfg, text); err != nil || disabled {
		return err
	}
	list, _ := s.named(name)
	freeAll(list) // apply has not, if the peer was enabled already
	return nil
}

// Reset begins a peer's sessions anew. text is for the neighbour's operator and
// goes with a hard reset alone.
func (s *Speaker) Reset(name string, kind ResetKind, text string) error {
	if kind == ResetSoftIn {
		return s.Refresh(name)
	}
	list, e := s.named(name)
	if e == nil {
		return ErrNoPeer
	}
	if kind == ResetHard {
		freeAll(list)
		tellAll(list, command{
			event: evAutomaticStop, say: ceaseOf(bgp.CeaseAdminReset, text), text: "reset", fresh: true,
		})
		return nil
	}
	err := ErrNoSession
	for _, nb := range list {
		if c, session := nb.established(); c != nil {
			err = nil
			for _, f := range session.Families {
				c.out.resend(session, f)
			}
		}
	}
	return err
}

// Refresh asks a peer's neighbours for all of their routes of the families, all
// that were negotiated if none is given (RFC 2918).
func (s *Speaker) Refresh(name string, families ...bgp.Family) error {
	list, e := s.named(name)
	if e == nil {
		return ErrNoPeer
	}
	some := false
	for _, nb := range list {
		c, session := nb.established()
		if c == nil {
			continue
		}
		some = true
		if err := refresh(c, session, families); err != nil {
			return err
		}
	}
	if !some {
		return ErrNoSession
	}
	return nil
}

func refresh(c *conn, s *Session, families []bgp.Family) error {
	received, _ := bgp.ParseOpen(s.Received)
	if !received.Has(bgp.CapRouteRefresh) {
		return ErrRefreshNotNegotiated
	}
	if len(families) == 0 {
		families = s.Families
	}
	var msgs []byte
	for _, f := range families {
		if !slices.Contains(s.Families, f) {
			return ErrRefreshNotNegotiated
		}
		msgs = bgp.AppendRefresh(msgs, bgp.Refresh{Family: f})
	}
	return c.out.send(msgs)
}

// established returns the neighbour's session and its connection, nil without.
func (nb *neighbor) established() (*conn, *Session) {
	nb.mu.Lock()
	defer nb.mu.Unlock()
	for _, r := range nb.runners {
		if r.seen.state == Established {
			return r.seen.conn, r.seen.session
		}
	}
	return nil, nil
}

// tellAll passes a command to all FSMs of the neighbours.
func tellAll(list []*neighbor, c command) {
	for _, nb := range list {
		for _, r := range nb.all() {
			r.tell(c)
		}
	}
}
