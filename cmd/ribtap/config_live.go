package main

import (
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ribtap/ribtap/speaker"
)

// liveConfig is the configuration of a daemon that runs, and the only one who
// changes it: by SIGHUP, by `config apply` and by `config rollback`.
type liveConfig struct {
	n       *node
	path    string // of --config
	flags   overrides
	level   *slog.LevelVar
	log     *slog.Logger
	started *settings // what the parts have that cannot be changed
	kept    *snapshots

	mu sync.Mutex
	s  *settings // in force
	// watching is set while a candidate is in force and not yet kept.
	watching bool
}

func newLiveConfig(a *app, n *node, level *slog.LevelVar, log *slog.Logger) *liveConfig {
	l := &liveConfig{
		n: n, path: a.configPath, flags: a.flags, level: level, log: log, started: n.s, s: n.s, kept: newSnapshots(n.s.DataDir),
	}
	l.note(configEntry{By: "start"}, n.s)
	return l
}

// reloadable are the keys outside of the bgp section that take effect without a
// restart.
var reloadable = map[string]func(l *liveConfig, s *settings){
	"log.level": func(l *liveConfig, s *settings) { s.setLevel(l.level) },
	"bmp.allow": func(l *liveConfig, s *settings) { l.n.col.SetAllow(s.allow()) },
}

// fixedBGP are the keys of the bgp section that need a restart.
var fixedBGP = []string{"bgp.listen", "bgp.router_id", "bgp.on_reset_error"}

// outcome says what a configuration changed.
type outcome struct {
	Changed []string `json:"changed"`
	Restart []string `json:"needs_restart"`
	Peers   []string `json:"peers"` // what became of BGP peers, in words

	peers []speaker.Change
}

// bring makes next the configuration in force. With an error nothing has
// changed. The caller holds l.mu.
func (l *liveConfig) bring(next *settings) (outcome, error) {
	var out outcome
	keys, _ := configKeys()
	var apply []func(*liveConfig, *settings)
	speaks := l.n.bgp != nil
	for _, k := range keys {
		differs := func(from *settings) bool {
			return !reflect.DeepEqual(k.value(&from.Config).Interface(), k.value(&next.Config).Interface())
		}
		do, ok := reloadable[k.path]
		bgp := strings.HasPrefix(k.path, "bgp.") && speaks && !slices.Contains(fixedBGP, k.path)
		switch {
		case !ok && !bgp:
			if differs(l.started) {
				out.Restart = append(out.Restart, k.path)
			}
		case differs(l.s):
			out.Changed = append(out.Changed, k.path)
			if ok {
				apply = append(apply, do)
			}
		}
	}
	if speaks {
		changes, err := l.n.bgp.configure(&next.bgp)
		if err != nil {
			return outcome{}, err
		}
		out.peers = changes
		if l.n.bgp.silent != nil && len(next.BGP.Peers) > 0 && !slices.Contains(out.Restart, "bgp.listen") {
			out.Restart = append(out.Restart, "bgp.listen") // it was taken when we started
		}
	}
	for _, do := range apply {
		do(l, next)
	}
	l.s = next
	for _, c := range out.peers {
		l.log.Info("bgp peer changed", "peer", c.Peer, "action", string(c.Action), "fields", strings.Join(c.Fields, " "))
		out.Peers = append(out.Peers, strings.TrimSpace(c.Peer+" "+string(c.Action)))
	}
	slices.Sort(out.Changed)
	return out, nil
}

// reload reads the configuration again. With one that is wrong nothing changes.
func (l *liveConfig) reload() {
	next, err := loadConfig(l.path, l.flags)
	if err == nil {
		err = next.speaks()
	}
	if err != nil {
		l.log.Error("configuration not reloaded: it is wrong", "error", oneLine(err.Error()))
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watching {
		l.log.Error("configuration not reloaded: a candidate is being observed", "error", errWatching.Error())
		return
	}
	out, err := l.bring(next)
	if err != nil {
		l.log.Error("configuration not reloaded: it cannot be applied", "error", oneLine(err.Error()))
		return
	}
	l.log.Info("configuration reloaded", "changed", strings.Join(out.Changed, " "), "needs_restart", strings.Join(out.Restart, " "))
	l.note(configEntry{By: "reload", Changed: out.Changed, Restart: out.Restart}, next)
}

var errWatching = &refusal{"a candidate configuration is being observed; wait for its end"}

// note keeps a configuration that is in force.
func (l *liveConfig) note(e configEntry, s *settings) int {
	e.At, e.Kept = time.Now().UTC(), true
	n, err := l.kept.record(e, s.text)
	if err != nil {
		l.log.Warn("configuration not kept for a rollback", "error", err)
	}
	return n
}

// noteReverted keeps the reason why one is not.
func (l *liveConfig) noteReverted(e configEntry) {
	e.At = time.Now().UTC()
	if _, err := l.kept.record(e, nil); err != nil {
		l.log.Warn("configuration history not written", "error", err)
	}
}

// fileWarning says why what was kept will not be there after a restart.
func (l *liveConfig) fileWarning(s *settings) string {
	if s.file == "" {
		return "in force until the daemon ends: it has no config file"
	}
	if err := writeConfigFile(s.file, s.text); err != nil {
		return fmt.Sprintf("in force until the daemon ends: %s cannot be written: %v", s.file, err)
	}
	return ""
}
