package mrtdump

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
)

const (
	stateName    = "state.json"
	stateVersion = 1
)

// state is what a restart goes on from; see the package comment.
type state struct {
	Version  int    `json:"version"`
	Position uint64 `json:"position"`
	// Interval is the start of the current interval in seconds, 0 for none yet.
	Interval int64 `json:"interval"`
	// Open are the open files, all of one interval.
	Open []openState `json:"open,omitempty"`
	// Views are the peers with routes in other trees than their home.
	Views []viewsState `json:"views,omitempty"`
}

type openState struct {
	View  string `json:"view"`
	Base  string `json:"base"`  // below Dir, without ending
	Final string `json:"final"` // below Dir
	Start int64  `json:"start"`
	Span  int64  `json:"span"`
	Size  int64  `json:"size"`
}

type viewsState struct {
	Peer  peerKey `json:"peer"`
	Views viewSet `json:"views"`
}

// peerKey is a peer's identity over reconnects; see event.Peer.
type peerKey struct {
	Router        string         `json:"router"`
	RouterAddress string         `json:"router_address"`
	Type          event.PeerType `json:"type"`
	Distinguisher bgp.RD         `json:"rd"`
	Address       string         `json:"address"`
}

func keyOf(p *event.Peer) peerKey {
	return peerKey{
		Router: p.Router.Name, RouterAddress: p.Router.Address.String(),
		Type: p.Type, Distinguisher: p.Distinguisher, Address: p.Address.String(),
	}
}

// viewSet is a set of views: bit n is event.RIB n.
type viewSet uint8

func (v viewSet) has(r event.RIB) bool     { return v&(1<<r) != 0 }
func (v viewSet) with(r event.RIB) viewSet { return v | 1<<r }

// loadState reads state.json; a directory without one is a new archive.
func loadState(d disk, dir string) (state, error) {
	name := filepath.Join(dir, stateName)
	b, err := readFile(d, name)
	if errors.Is(err, fs.ErrNotExist) {
		return state{Version: stateVersion}, nil
	}
	if err != nil {
		return state{}, fmt.Errorf("mrtdump: %w", err)
	}
	var st state
	if err := json.Unmarshal(b, &st); err != nil {
		return state{}, fmt.Errorf("mrtdump: %s: %w", name, err)
	}
	if st.Version != stateVersion {
		return state{}, fmt.Errorf("mrtdump: %s is of version %d, this program knows %d", name, st.Version, stateVersion)
	}
	return st, nil
}

// saveState makes st the archive's state, durably and as a whole.
func saveState(d disk, dir string, st *state) error {
	b, err := json.Marshal(st)
	if err != nil {
		return fmt.Errorf("mrtdump: %w", err)
	}
	if err := replaceFile(d, filepath.Join(dir, stateName), append(b, '\n')); err != nil {
		return fmt.Errorf("mrtdump: %w", err)
	}
	return nil
}
