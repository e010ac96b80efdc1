package main

import (
	"context"
	"path/filepath"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/collector"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/sinks/mrtdump"
)

func (s *settings) mrtConfig() mrtdump.Config {
	c := s.Sinks.MRT
	dir := c.Dir
	if dir == "" {
		dir = filepath.Join(s.DataDir, "mrt")
	}
	return mrtdump.Config{
		Dir: dir, Collector: s.Collector.Name, Layout: c.Layout, Compression: c.Compression,
		UpdatesInterval: c.UpdatesInterval.Std(), RIBInterval: c.RIBInterval.Std(),
	}
}

// closeGrace is how long the open files may take to be finished.
const closeGrace = 20 * time.Second

func openMRT(_ context.Context, n *node) (event.Sink, func() error, error) {
	if !n.s.Sinks.MRT.Enabled {
		return nil, nil, nil
	}
	sink, err := mrtdump.New(n.s.mrtConfig(), n.log, n.reg, ribSource{n.col, n.restored})
	if err != nil {
		return nil, nil, err
	}
	return sink, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
		defer cancel()
		return sink.Close(ctx)
	}, nil
}

// ribSource gives the archive its table dumps: collector and sink do not know
// each other.
type ribSource struct {
	col      *collector.Collector
	restored <-chan struct{}
}

// Snapshot waits until a restart has its RIB state back, so that no dump shows
// an empty table.
func (r ribSource) Snapshot(ctx context.Context) (mrtdump.Table, error) {
	select {
	case <-r.restored:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	d, err := r.col.Dump()
	if err != nil {
		return nil, err
	}
	return ribTable{d}, nil
}

type ribTable struct{ dump *collector.Dump }

func (t ribTable) Close() { t.dump.Close() }

func (t ribTable) Peers() []mrtdump.TablePeer {
	out := make([]mrtdump.TablePeer, len(t.dump.Peers))
	for i, p := range t.dump.Peers {
		out[i] = mrtdump.TablePeer{Peer: p.Peer, RIB: p.RIB}
	}
	return out
}

func (t ribTable) Routes(fn func(n *bgp.NLRI, entries []mrtdump.TableEntry) error) error {
	var out []mrtdump.TableEntry
	for _, space := range t.dump.Spaces() {
		err := t.dump.Each(space, func(n *bgp.NLRI, entries []collector.DumpEntry) error {
			out = out[:0]
			for _, e := range entries {
				out = append(out, mrtdump.TableEntry{Peer: e.Peer, Value: e.Value})
			}
			return fn(n, out)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
