package mrtdump

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
)

// RIB is where table dumps come from.
type RIB interface {
	// Snapshot returns the state of one moment. It is called from a goroutine
	// of its own, while the sink writes.
	Snapshot(ctx context.Context) (Table, error)
}

// Table is the state of a RIB at one moment.
type Table interface {
	// Peers lists the peers' views; TableEntry.Peer is an index into it.
	Peers() []TablePeer
	// Routes calls fn for each NLRI of each family, a family's in key order
	// (bgp.AppendKey), and returns the first error of fn. What it hands over is
	// valid during the call. The labels of n, and its item where the key is a
	// part of it, are those of each entry's value.
	Routes(fn func(n *bgp.NLRI, entries []TableEntry) error) error
	// Close is called once, when the table is not needed any more.
	Close()
}

// TablePeer is one view of a peer's routes.
type TablePeer struct {
	Peer *event.Peer
	RIB  event.RIB
}

// TableEntry is what one peer's view has of an NLRI.
type TableEntry struct {
	Peer       int
	Originated event.Time // 0 when nobody knows
	Value      bgp.Value
}

// dumper begins a table dump at each multiple of the RIB interval. due and
// close are called by the sink's goroutine.
type dumper struct {
	s      *Sink
	rib    RIB
	next   int64 // seconds
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	done   chan struct{} // closed when the last one ended; nil before the first
}

func newDumper(s *Sink, rib RIB) *dumper {
	d := &dumper{s: s, rib: rib}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.schedule(s.started)
	return d
}

func (d *dumper) span() int64 { return int64(d.s.cfg.RIBInterval.Seconds()) }

func (d *dumper) schedule(sec int64) {
	d.next = floor(sec, d.s.cfg.RIBInterval) + d.span()
}

// due begins the dump whose time has come. One that is later than half an
// interval, or whose predecessor still runs, is left out and counted.
func (d *dumper) due(now time.Time) {
	sec := now.Unix()
	if d.rib == nil {
		return
	}
	if sec < d.next {
		if d.next-sec > d.span() { // the clock went back
			d.schedule(sec)
		}
		return
	}
	start := floor(sec, d.s.cfg.RIBInterval)
	d.schedule(sec)
	if sec-start > d.span()/2 || d.running() {
		d.s.m.skipped.WithLabelValues(skipSnapshot).Inc()
		d.s.log.Warn("MRT table dump left out", "start", time.Unix(start, 0).UTC(), "late", now.Sub(time.Unix(start, 0)), "running", d.running())
		return
	}
	done := make(chan struct{})
	d.done = done
	d.wg.Go(func() {
		defer close(done)
		if err := d.dump(start); err != nil && d.ctx.Err() == nil {
			d.s.m.failures.WithLabelValues(typeRIBs).Inc()
			d.s.log.Error("MRT table dump failed", "error", err)
		}
	})
}

func (d *dumper) running() bool {
	if d.done == nil {
		return false
	}
	select {
	case <-d.done:
		return false
	default:
		return true
	}
}

// close ends a dump under way and waits for it.
func (d *dumper) close() {
	d.cancel()
	d.wg.Wait()
}

// dump writes one file for each tree that has peers, and one for the main tree.
func (d *dumper) dump(start int64) error {
	began := d.s.now()
	table, err := d.rib.Snapshot(d.ctx)
	if err != nil {
		return fmt.Errorf("mrtdump: snapshot: %w", err)
	}
	defer table.Close()
	peers := table.Peers()
	used := viewSet(0).with(event.AdjRIBInPre)
	for i := range peers {
		used = used.with(peers[i].RIB)
	}
	w := &tableWriter{ctx: d.ctx, m: d.s.m, at: make([]treeIndex, len(peers))}
	defer w.abandon()
	for view := event.AdjRIBInPre; int(view) < views; view++ {
		if used.has(view) {
			if err := d.begin(w, view, start, uint32(d.s.now().Unix()), peers); err != nil {
				return err
			}
		}
	}
	if err := table.Routes(w.route); err != nil {
		return fmt.Errorf("mrtdump: table dump: %w", err)
	}
	for _, t := range w.trees {
		if err := d.finish(t, start); err != nil {
			return err
		}
		d.s.m.finished(typeRIBs, t.octets, d.s.now().Sub(began))
	}
	return nil
}

// begin opens the dump of one tree, with its PEER_INDEX_TABLE.
func (d *dumper) begin(w *tableWriter, view event.RIB, start int64, sec uint32, peers []TablePeer) error {
	cfg := &d.s.cfg
	t := &treeDump{view: view, sec: sec, final: cfg.ribsBase(view, start) + endings[cfg.Compression]}
	part := d.s.path(t.final + partSuffix)
	if err := d.s.disk.MkdirAll(filepath.Dir(part)); err != nil {
		return fmt.Errorf("mrtdump: %w", err)
	}
	w.trees = append(w.trees, t)
	var err error
	if t.out, err = newPacker(d.s.disk, part, cfg.Compression); err != nil {
		return fmt.Errorf("mrtdump: %s: %w", t.final, err)
	}
	if err := w.peerIndex(t, peers); err != nil {
		return fmt.Errorf("mrtdump: %s: %w", t.final, err)
	}
	return nil
}

// finish gives a tree's dump its name, its line in the index and, where the
// layout has one, the link to the newest.
func (d *dumper) finish(t *treeDump, start int64) error {
	s := d.s
	final := s.path(t.final)
	_, err := s.disk.Size(final)
	again := err == nil
	if err = t.end(s.m); err == nil {
		t.octets, err = t.out.finish(final)
	}
	if err != nil {
		return fmt.Errorf("mrtdump: %s: %w", t.final, err)
	}
	line := indexLine{view: t.view, kind: typeRIBs, final: t.final, start: start, span: ribSpan, now: s.now().Unix(), again: again}
	if err := s.index.add(&line); err != nil {
		return err
	}
	return d.link(t)
}

// link points latest-bview at the dump.
func (d *dumper) link(t *treeDump) error {
	s := d.s
	latest := layouts[s.cfg.Layout].latest
	if latest == "" {
		return nil
	}
	tree := s.path(s.cfg.collector(t.view))
	target, err := filepath.Rel(tree, s.path(t.final))
	if err != nil {
		return fmt.Errorf("mrtdump: %w", err)
	}
	name := filepath.Join(tree, latest+endings[s.cfg.Compression])
	if err := s.disk.Remove(name + partSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("mrtdump: %w", err)
	}
	if err := s.disk.Symlink(target, name+partSuffix); err != nil {
		return fmt.Errorf("mrtdump: %w", err)
	}
	if err := s.disk.Rename(name+partSuffix, name); err != nil {
		return fmt.Errorf("mrtdump: %w", err)
	}
	return nil
}
