package collector

import (
	"encoding/json"
	"fmt"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/rib"
)

// Dump is the RIB state of all peers at one moment: after event Sequence. It
// holds memory until Close.
type Dump struct {
	Sequence uint64
	// Peers lists the views; a DumpEntry names one by its index.
	Peers []DumpPeer
	snap  *rib.Snapshot
}

// DumpPeer is one view of one peer.
type DumpPeer struct {
	Peer *event.Peer
	RIB  event.RIB
}

// DumpEntry is one route of an NLRI.
type DumpEntry struct {
	Peer  int
	Value bgp.Value
}

// Dump takes the state; the session goroutines wait only while columns of
// route numbers are copied.
func (c *Collector) Dump() (*Dump, error) {
	c.gate.Lock()
	d := &Dump{snap: c.db.Snapshot()}
	if c.cfg.Position != nil {
		d.Sequence = c.cfg.Position()
	}
	c.gate.Unlock()
	for _, name := range d.snap.Views() {
		var n viewName
		if err := json.Unmarshal(name, &n); err != nil {
			d.Close()
			return nil, fmt.Errorf("collector: view name: %w", err)
		}
		d.Peers = append(d.Peers, DumpPeer{Peer: n.peer(n.router()), RIB: n.RIB})
	}
	return d, nil
}

// Close frees what the dump holds.
func (d *Dump) Close() { d.snap.Close() }

// Spaces lists the families, with and without path identifiers, in the dump.
func (d *Dump) Spaces() []rib.Space { return d.snap.Spaces() }

// Each calls fn for each NLRI of the space that some view has, in the order of
// keys, with its active routes. The arguments are good during the call.
func (d *Dump) Each(s rib.Space, fn func(n *bgp.NLRI, entries []DumpEntry) error) error {
	var out []DumpEntry
	return d.snap.Each(s, func(key []byte, entries []rib.Entry) error {
		out = out[:0]
		var nlri bgp.NLRI
		for _, e := range entries {
			if !e.Active {
				continue
			}
			v, ok := bgp.ParseValue(e.Value)
			if !ok {
				return fmt.Errorf("collector: a value of %s in the RIB does not parse", s.Family)
			}
			if len(out) == 0 {
				if nlri, ok = bgp.ParseKey(s.Family, s.AddPath, key, v.Extra); !ok {
					return fmt.Errorf("collector: a key of %s in the RIB does not parse", s.Family)
				}
			}
			out = append(out, DumpEntry{Peer: e.View, Value: v})
		}
		if len(out) == 0 {
			return nil
		}
		return fn(&nlri, out)
	})
}

// came are the marks of a route that was not there before.
var came = []event.Mark{event.MarkChanged | event.MarkState}

// Events calls fn with an event for each route: the UPDATE that announces it alone,
// made of what the RIB has. It has no sequence and no times. The event is good
// during the call.
func (d *Dump) Events(fn func(e *event.Event) error) error {
	var msg []byte
	for _, s := range d.Spaces() {
		err := d.Each(s, func(n *bgp.NLRI, entries []DumpEntry) error {
			for i := range entries {
				v := &entries[i].Value
				if msg = bgp.AppendAnnounce(msg[:0], n, v); len(msg) == 0 {
					return fmt.Errorf("collector: a route of %s in the RIB does not fit a message", s.Family)
				}
				p := &d.Peers[entries[i].Peer]
				e := event.Event{
					Kind: event.KindRoute, Flags: event.FlagInferred | event.FlagSnapshot, RIB: p.RIB, Router: p.Peer.Router, Peer: p.Peer,
					Session: bgp.Session{AS4: v.AS4, ExtendedMessage: len(msg) > bgp.MaxMessageLen}, PDU: msg, Marks: came,
				}
				if s.AddPath {
					e.Session.AddPath = e.Session.AddPath.With(s.Family)
				}
				if err := fn(&e); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
