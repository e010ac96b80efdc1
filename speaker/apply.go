package speaker

import (
	"reflect"
	"slices"

	"github.com/ribtap/ribtap/bgp"
)

// Change is what became of a peer with a new configuration.
type Change struct {
	Peer   string // empty for what concerns all
	Action ChangeAction
	// Fields of Peer or Config that differ, by their names in Go.
	Fields []string
}

// ChangeAction says what was done.
type ChangeAction string

// Values of ChangeAction.
const (
	Added     ChangeAction = "added"
	Removed   ChangeAction = "removed"   // Cease, Peer De-configured
	Enabled   ChangeAction = "enabled"   //
	Disabled  ChangeAction = "disabled"  // Cease, Administrative Shutdown
	Restarted ChangeAction = "restarted" // Cease, Other Configuration Change
	Updated   ChangeAction = "updated"   // at once, without the session noticing
	Pending   ChangeAction = "pending"   // with the next session; of Listen, with the next start
)

// effect says when a changed field counts.
type effect uint8

const (
	effectRestart effect = iota // was said in the OPEN, or is a part of the connection
	effectNow
	effectNext // with the next session
)

// effects has every field of Peer but those that Apply sees to one by one: Name,
// Address, Zone, Disabled, and RemoteASN.
var effects = map[string]effect{
	"LocalASN": effectRestart, "RouterID": effectRestart, "Mirror": effectRestart,
	"HoldTime": effectRestart, "Families": effectRestart, "AddPath": effectRestart,
	"ExtendedMessages": effectRestart, "ExtendedNextHop": effectRestart, "EnhancedRefresh": effectRestart,
	"GracefulRestart": effectRestart, "LLGR": effectRestart, "Role": effectRestart, "RoleStrict": effectRestart,
	"Password": effectNow, "AO": effectNow, "TTLMin": effectNow,
	"Announce": effectNow, "Drain": effectNow, "Limit": effectNow, "Active": effectNow,
	"Port": effectNext, "Source": effectNext, "ConnectRetry": effectNext, "DelayOpen": effectNext,
	"MinHoldTime": effectNext, "SendHold": effectNext, "MaxPrefixes": effectNext,
}

// Apply brings a configuration into force and says what it did for it. Only what
// must restart does: what was said in an OPEN cannot be taken back. With an error
// nothing has changed. Listen counts with the next start.
func (s *Speaker) Apply(cfg Config) ([]Change, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s.applying.Lock()
	defer s.applying.Unlock()
	return s.apply(cfg.clone(), "")
}

// apply is Apply for a configuration that is ours and sound; text goes with an
// administrative shutdown. The caller holds s.applying.
func (s *Speaker) apply(cfg *Config, text string) ([]Change, error) {
	old := s.configured()
	if err := s.protect.rekey(old.Peers, cfg.Peers); err != nil {
		return nil, err
	}
	s.mu.Lock()
	before := s.table.byName
	s.cfg.Store(cfg)
	s.table = newTable(s.entries(cfg, before))
	after := s.table.byName
	var changes []Change
	var later []func()
	if !slices.Equal(old.Listen, cfg.Listen) {
		changes = append(changes, Change{Action: Pending, Fields: []string{"Listen"}})
	}
	for i := range old.Peers {
		if e := before[old.Peers[i].Name]; after[e.peer.Name] == nil || !samePlace(e.peer, after[e.peer.Name].peer) {
			changes = append(changes, Change{Peer: e.peer.Name, Action: Removed})
			later = append(later, stopper(e.view().neighbors, bgp.CeasePeerDeconfigured, "", "the peer was removed", true))
		}
	}
	for i := range cfg.Peers {
		e := after[cfg.Peers[i].Name]
		b := before[e.peer.Name]
		if b == nil || !samePlace(b.peer, e.peer) {
			changes = append(changes, Change{Peer: e.peer.Name, Action: Added})
			continue
		}
		c, do := e.change(old, cfg, b.peer, text)
		if c.Action != "" {
			changes = append(changes, c)
		}
		later = append(later, do...)
	}
	s.mu.Unlock()
	for _, do := range later {
		do()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range after {
		for _, nb := range e.neighbors {
			s.startDialling(nb)
		}
	}
	return changes, nil
}

// samePlace reports whether two configurations are about the same neighbours.
func samePlace(a, b *Peer) bool { return a.Address == b.Address && a.Zone == b.Zone }

// stopper ends the FSMs of neighbours for good.
func stopper(list []*neighbor, subcode uint8, words, text string, removed bool) func() {
	return func() {
		tellAll(list, command{event: evManualStop, say: ceaseOf(subcode, words), text: text, removed: removed})
	}
}

// change compares a peer with what it was, and returns what is to be done when
// nothing is locked.
func (e *entry) change(oldCfg, cfg *Config, was *Peer, text string) (c Change, later []func()) {
	c.Peer = e.peer.Name
	list := e.view().neighbors
	restart := false
	for name, when := range e.peer.differences(was) {
		c.Fields = append(c.Fields, name)
		switch {
		case when == effectRestart:
			restart = true
		case c.Action != Pending && when == effectNow:
			c.Action = Updated
		default:
			c.Action = Pending
		}
	}
	slices.Sort(c.Fields)
	if identityFor(oldCfg, was, 0) != identityFor(cfg, e.peer, 0) {
		restart = true
		if len(c.Fields) == 0 {
			c.Fields = []string{"Config"}
		}
	}
	var strangers []*neighbor
	if !reflect.DeepEqual(was.RemoteASN, e.peer.RemoteASN) {
		c.Fields = append(c.Fields, "RemoteASN")
		if c.Action == "" {
			c.Action = Updated
		}
		for _, nb := range list {
			if _, s := nb.established(); s != nil && !e.peer.RemoteASN.Has(s.RemoteASN, s.LocalASN) {
				strangers = append(strangers, nb)
			}
		}
	}
	if all := list; was.Disabled && !e.peer.Disabled || !reflect.DeepEqual(was.MaxPrefixes, e.peer.MaxPrefixes) {
		later = append(later, func() { freeAll(all) })
	}
	switch {
	case !was.Disabled && e.peer.Disabled:
		c.Action = Disabled
		return c, append(later, stopper(list, bgp.CeaseAdminShutdown, text, "disabled", false))
	case was.Disabled && !e.peer.Disabled:
		c.Action = Enabled
		return c, later
	case e.peer.Disabled:
		return c, nil
	case !restart:
		list = append([]*neighbor(nil), strangers...)
	}
	if len(list) > 0 && (restart || len(strangers) > 0) {
		c.Action = Restarted
		later = append(later, func() {
			tellAll(list, command{
				event: evAutomaticStop, say: ceaseOf(bgp.CeaseConfigurationChange, ""), text: "the configuration has changed", fresh: true,
			})
		})
	}
	if restart {
		c.Action = Restarted
		return c, later
	}
	return c, append(later, e.live(was)...)
}

// live brings changes to sessions that go on.
func (e *entry) live(was *Peer) (later []func()) {
	p, list := e.peer, e.view().neighbors
	if was.Active && !p.Active {
		later = append(later, func() {
			for _, nb := range list {
				for _, r := range nb.all() {
					if r.dials {
						r.tell(command{event: evManualStop, say: ceaseOf(bgp.CeaseConfigurationChange, ""), text: "the peer is passive now"})
					}
				}
			}
		})
	}
	if !reflect.DeepEqual(was.Announce, p.Announce) || was.Drain != p.Drain {
		later = append(later, func() { tellAll(list, command{announce: true}) })
	}
	return later
}

// differences returns the fields of effects that differ.
func (p *Peer) differences(was *Peer) map[string]effect {
	list := map[string]effect{}
	a, b := reflect.ValueOf(p).Elem(), reflect.ValueOf(was).Elem()
	for name, when := range effects {
		if !reflect.DeepEqual(a.FieldByName(name).Interface(), b.FieldByName(name).Interface()) {
			list[name] = when
		}
	}
	return list
}
