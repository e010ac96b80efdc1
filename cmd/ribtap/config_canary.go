package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ribtap/ribtap/speaker"
)

// canary says how a candidate is observed before it is kept; a Window of 0 keeps
// it at once.
type canary struct {
	Window time.Duration
	// MaxChange is by how many per cent the accepted routes of a peer, or of all
	// together, may move.
	MaxChange float64
}

// Bounds of canary.
const (
	minCanary = time.Second
	maxCanary = time.Hour
)

func (c canary) validate() error {
	if c.Window != 0 && (c.Window < minCanary || c.Window > maxCanary) {
		return usagef("--canary %v is not between %v and %v", c.Window, minCanary, maxCanary)
	}
	if !(c.MaxChange >= 0 && c.MaxChange <= 1e6) { // also NaN
		return usagef("--max-change %v%% is not a percentage", c.MaxChange)
	}
	return nil
}

// applied is what came of a candidate.
type applied struct {
	outcome
	Kept    bool   `json:"kept"`
	Why     string `json:"why"`    // it was reverted
	Number  int    `json:"number"` // of the snapshot
	Warning string `json:"warning"`
}

// canaryProgress is a moment of the observation.
type canaryProgress struct {
	Left        float64 `json:"seconds_left"`
	Established int     `json:"established"`
	Routes      int     `json:"routes"`
}

// apply brings a candidate into force, observes it if asked to, and keeps it or
// brings back what was. name is that of its file. The error says that nothing
// changed; it is a *configError for a candidate that is wrong. It goes on
// whatever becomes of the one who asked; ctx is the daemon's.
func (l *liveConfig) apply(ctx context.Context, by, name string, text []byte, c canary, tell func(canaryProgress)) (applied, error) {
	next, err := parseConfig(name, text, l.flags)
	if err == nil {
		err = next.speaks()
	}
	if err != nil {
		return applied{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watching {
		return applied{}, errWatching
	}
	old := l.s
	next.file = old.file
	before := l.n.bgp.observe()
	out, err := l.bring(next)
	if err != nil {
		return applied{}, err
	}
	entry := configEntry{By: by, Changed: out.Changed, Restart: out.Restart}
	if c.Window > 0 {
		l.watching = true
		l.mu.Unlock()
		why := l.watch(ctx, c, before, l.n.bgp.prove(out.peers), tell)
		l.mu.Lock()
		l.watching = false
		if why != "" {
			return l.revert(old, next, out, entry, why), nil
		}
	}
	l.log.Info("configuration applied", "audit", by, "changed", strings.Join(out.Changed, " "), "needs_restart", strings.Join(out.Restart, " "))
	a := applied{outcome: out, Kept: true, Number: l.note(entry, next)}
	if a.Warning = l.fileWarning(next); a.Warning != "" {
		l.log.Warn("configuration is not lasting", "reason", a.Warning)
	}
	return a, nil
}

// revert brings back what was in force instead of next. The caller holds l.mu.
func (l *liveConfig) revert(old, next *settings, out outcome, entry configEntry, why string) applied {
	if _, err := l.bring(old); err != nil {
		why += "; and the configuration before cannot be brought back: " + oneLine(err.Error())
	}
	l.log.Warn("configuration reverted", "audit", entry.By, "why", why, "changed", strings.Join(out.Changed, " "))
	entry.Why = why
	l.noteReverted(entry)
	a := applied{outcome: out, Why: why}
	if text, err := os.ReadFile(old.file); err == nil && bytes.Equal(text, next.text) && !bytes.Equal(text, old.text) {
		a.Warning = old.file + " still holds it: mend it before the next start, or SIGHUP"
	}
	return a
}

// sight is what is seen of a neighbour.
type sight struct {
	name        string
	enabled, up bool
	synced      bool // its first dump is complete
	routes      int  // accepted into the RIB
	heard       time.Time
}

// observe looks at all neighbours; nil without a speaker.
func (b *bgpNode) observe() map[netip.Addr]sight {
	if b == nil {
		return nil
	}
	out := map[netip.Addr]sight{}
	for _, p := range b.sp.Peers() {
		if p.Address.IsValid() {
			out[p.Address.Unmap().WithZone("")] = sight{
				name: p.Name, enabled: p.Enabled, up: p.State == speaker.Established, heard: p.LastReceived,
			}
		}
	}
	for _, st := range b.source.Status() {
		s, ok := out[st.Peer.Address]
		if !ok {
			continue
		}
		s.synced = len(st.Families) > 0
		for _, f := range st.Families {
			s.routes += f.Routes
			s.synced = s.synced && f.InitialSync.String() != "none"
		}
		out[st.Peer.Address] = s
	}
	return out
}

// proofs are the peers that must be heard of after a time, by name.
type proofs map[string]time.Time

// prove asks peers whose key has changed for their routes. A session goes on with
// the new key at both its ends, or is as good as dead until its hold time is over:
// only an answer shows that the neighbour has the key as well.
func (b *bgpNode) prove(changes []speaker.Change) proofs {
	out := proofs{}
	for _, c := range changes {
		if c.Action == speaker.Updated && (slices.Contains(c.Fields, "Password") || slices.Contains(c.Fields, "AO")) {
			out[c.Peer] = time.Time{}
		}
	}
	if len(out) == 0 {
		return out
	}
	// What came before the change has been read then.
	time.Sleep(keyChangeSettles)
	for name := range out {
		out[name] = time.Now()
		if err := b.sp.Refresh(name); err != nil && !errors.Is(err, speaker.ErrNoSession) {
			b.log.Warn("peer not asked for its routes; its next message has to show that it has the new key", "peer", name, "error", err)
		}
	}
	return out
}

const keyChangeSettles = 200 * time.Millisecond

const canaryEvery = 500 * time.Millisecond

// watch observes until the window ends, and says why the candidate is to go, or
// nothing. It ends early when a peer that has said all it has to say differs too
// much, several times in a row.
func (l *liveConfig) watch(ctx context.Context, c canary, before map[netip.Addr]sight, keys proofs, tell func(canaryProgress)) string {
	end := time.NewTimer(c.Window)
	defer end.Stop()
	tick := time.NewTicker(canaryEvery)
	defer tick.Stop()
	deadline := time.Now().Add(c.Window)
	for bad := 0; ; {
		select {
		case <-ctx.Done():
			return "the collector stopped before the observation ended"
		case <-end.C:
			return c.judge(before, l.n.bgp.observe(), keys, true)
		case <-tick.C:
		}
		now := l.n.bgp.observe()
		p := canaryProgress{Left: time.Until(deadline).Seconds()}
		for _, s := range now {
			p.Routes += s.routes
			if s.up {
				p.Established++
			}
		}
		tell(p)
		const often = 3
		if why := c.judge(before, now, keys, false); why == "" {
			bad = 0
		} else if bad++; bad == often {
			return why
		}
	}
}

// judge compares what is seen with what was. Peers that the candidate takes out
// or disables count only in the sum of all. Before the end only what will not
// get better by itself counts.
func (c canary) judge(before, now map[netip.Addr]sight, keys proofs, end bool) string {
	was, is := 0, 0
	var reasons []string
	for addr, b := range before {
		n := now[addr]
		since, keyed := keys[b.name]
		was, is = was+b.routes, is+n.routes
		switch {
		case !n.enabled || n.name == "":
		case b.up && !n.up:
			if end {
				reasons = append(reasons, fmt.Sprintf("peer %s (%s): its session did not come back within %v", b.name, addr, c.Window))
			}
		case end && b.up && keyed && !n.heard.After(since):
			reasons = append(reasons, fmt.Sprintf("peer %s (%s): nothing was heard with the new key within %v", b.name, addr, c.Window))
		case n.up && (end || n.synced) && c.exceeds(b.routes, n.routes):
			reasons = append(reasons, fmt.Sprintf("peer %s (%s): accepted routes went from %d to %d, more than %v%%", b.name, addr, b.routes, n.routes, c.MaxChange))
		}
	}
	if end && len(reasons) == 0 && c.exceeds(was, is) {
		reasons = append(reasons, fmt.Sprintf("accepted routes of all peers went from %d to %d, more than %v%%", was, is, c.MaxChange))
	}
	slices.Sort(reasons)
	return strings.Join(reasons, "; ")
}

// exceeds reports whether a number of routes moved too much. From none it may go
// anywhere: there is nothing to compare with.
func (c canary) exceeds(was, is int) bool {
	if was == 0 {
		return false
	}
	return 100*max(is-was, was-is) > int(c.MaxChange*float64(was))
}
