package collector

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/rib"
)

// A saved state is: the magic, a length[4], as many octets of JSON (stateHead),
// then rib's own form of all views. It is the state after event Sequence; what
// came later is read back from the stream.
const stateMagic = "ribtap-state-1\n"

type stateHead struct {
	Sequence uint64 `json:"sequence"`
	Session  uint64 `json:"session"`
	// At is when the last event before the snapshot was written.
	At event.Time `json:"at"`
	// Open are the routers with a live session.
	Open []openRouter `json:"open"`
}

type openRouter struct {
	Addr    netip.Addr `json:"addr"`
	Key     string     `json:"key"`
	Name    string     `json:"name"`
	Descr   string     `json:"descr,omitempty"`
	Session uint64     `json:"session"`
}

// viewName identifies a view over restarts; it is rib's name of the view.
type viewName struct {
	Addr    netip.Addr     `json:"addr"`
	Key     string         `json:"key"`
	Name    string         `json:"name"`
	Descr   string         `json:"descr,omitempty"`
	Session uint64         `json:"session"`
	Type    event.PeerType `json:"type"`
	RD      bgp.RD         `json:"rd"`
	Peer    netip.Addr     `json:"peer"`
	ASN     uint32         `json:"asn"`
	BGPID   netip.Addr     `json:"bgp_id"`
	Local   netip.Addr     `json:"local"`
	LocalAS uint32         `json:"local_asn"`
	Table   string         `json:"table,omitempty"`
	Epoch   uint32         `json:"epoch"`
	RIB     event.RIB      `json:"rib"`
}

func appendViewName(dst []byte, ev *event.Peer, which event.RIB) []byte {
	b, err := json.Marshal(viewName{
		Addr: ev.Router.Address, Key: ev.Router.SysName, Name: ev.Router.Name, Descr: ev.Router.SysDescr, Session: ev.Router.Session,
		Type: ev.Type, RD: ev.Distinguisher, Peer: ev.Address, ASN: ev.ASN, BGPID: ev.BGPID,
		Local: ev.LocalAddress, LocalAS: ev.LocalASN, Table: ev.Table, Epoch: ev.Epoch, RIB: which,
	})
	if err != nil {
		panic("collector: a view's name has no JSON form: " + err.Error())
	}
	return append(dst, b...)
}

func (n *viewName) router() *event.Router {
	return &event.Router{Name: n.Name, Address: n.Addr, SysName: n.Key, SysDescr: n.Descr, Session: n.Session}
}

func (n *viewName) peer(r *event.Router) *event.Peer {
	return &event.Peer{
		Router: r, Type: n.Type, Distinguisher: n.RD, Address: n.Peer, ASN: n.ASN, BGPID: n.BGPID,
		LocalAddress: n.Local, LocalASN: n.LocalAS, Table: n.Table, Epoch: n.Epoch,
	}
}

// runSnapshots saves the state from time to time and once more at the end.
func (c *Collector) runSnapshots(ctx context.Context) error {
	t := time.NewTicker(janitorInterval)
	defer t.Stop()
	last := c.now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		if c.now().Sub(last) < c.cfg.SnapshotInterval && c.written.Load() < c.cfg.SnapshotBytes {
			continue
		}
		last = c.now()
		if err := c.SaveState(); err != nil {
			c.log.Error("cannot save the RIB state: a restart will take longer", "path", c.cfg.SnapshotPath, "error", err)
		}
	}
}

// SaveState writes the RIB state to the configured file. It may be called once
// more after Run has returned.
func (c *Collector) SaveState() error {
	if c.cfg.SnapshotPath == "" || c.failed.Load() {
		return nil
	}
	c.gate.Lock()
	head := stateHead{Sequence: c.cfg.Position(), Session: c.sessionID.Load(), At: event.At(c.now()), Open: c.openRouters()}
	snap := c.db.Snapshot()
	c.written.Store(0)
	c.gate.Unlock()
	defer snap.Close()
	return writeState(c.cfg.SnapshotPath, head, snap)
}

// openRouters lists the routers with a live session. No session runs meanwhile:
// the gate is held.
func (c *Collector) openRouters() []openRouter {
	c.mu.Lock()
	defer c.mu.Unlock()
	var open []openRouter
	for _, r := range c.routers {
		if len(r.live) > 0 && !r.imported() {
			open = append(open, openRouter{r.key.addr, r.key.name, r.name, r.last.SysDescr, r.last.Session})
		}
	}
	return open
}

func writeState(path string, head stateHead, snap *rib.Snapshot) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("collector: %w", err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	text, err := json.Marshal(head)
	if err != nil {
		return err
	}
	buf := binary.BigEndian.AppendUint32([]byte(stateMagic), uint32(len(text)))
	if _, err = w.Write(append(buf, text...)); err != nil {
		return fmt.Errorf("collector: %w", err)
	}
	if _, err = snap.WriteTo(w); err != nil {
		return err
	}
	if err = errors.Join(w.Flush(), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("collector: %w", err)
	}
	return os.Rename(f.Name(), path)
}

// Restore brings the collector to where it was: the saved state, then every
// event behind it, which replay hands over in order from the given sequence on.
// Batches may be reused after fn returns. It must be called before Run. Routes
// of peers whose sessions ended with the collector are kept as stale until
// their routers connect again.
func (c *Collector) Restore(replay func(from uint64, fn func(batch []event.Event) error) error) error {
	head, err := c.loadState()
	if err != nil {
		// The stream has what it has; a lost state only costs knowing again.
		c.log.Warn("the saved RIB state is not usable; it is rebuilt from the stream alone", "path", c.cfg.SnapshotPath, "error", err)
		c.db = rib.New()
		clear(c.routers)
		head = stateHead{}
	}
	c.sessionID.Store(head.Session)
	rp := &replayer{c: c, last: head.At, open: map[routerKey]*event.Router{}}
	for _, o := range head.Open {
		rp.open[routerKey{addr: o.Addr, name: o.Key}] = &event.Router{Name: o.Name, Address: o.Addr, SysName: o.Key, SysDescr: o.Descr, Session: o.Session}
		c.router(routerKey{addr: o.Addr, name: o.Key}, o.Name)
	}
	if err := replay(head.Sequence+1, rp.batch); err != nil {
		return fmt.Errorf("collector: reading the stream back: %w", err)
	}
	return rp.finish()
}

func (c *Collector) loadState() (head stateHead, err error) {
	if c.cfg.SnapshotPath == "" {
		return head, nil
	}
	f, err := os.Open(c.cfg.SnapshotPath)
	if errors.Is(err, os.ErrNotExist) {
		return head, nil
	}
	if err != nil {
		return head, err
	}
	defer func() { _ = f.Close() }()
	r := bufio.NewReaderSize(f, 1<<20)
	start := make([]byte, len(stateMagic)+4)
	if _, err := io.ReadFull(r, start); err != nil || string(start[:len(stateMagic)]) != stateMagic {
		return head, errors.New("not a saved state")
	}
	n := binary.BigEndian.Uint32(start[len(stateMagic):])
	if n > 1<<16 {
		return head, errors.New("damaged head")
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return head, err
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return head, err
	}
	db, views, err := rib.Load(r)
	if err != nil {
		return head, err
	}
	c.db = db
	now := c.now()
	for _, adj := range views {
		var n viewName
		if err := json.Unmarshal(adj.Name(), &n); err != nil {
			return head, fmt.Errorf("view name: %w", err)
		}
		ev := n.peer(n.router())
		r := c.router(c.keyOf(ev.Router, ev), n.Name)
		p := r.peer(keyOfPeer(ev))
		if n.RIB == event.RIBNone || int(n.RIB) >= len(p.views) {
			return head, errors.New("view of an unknown kind")
		}
		p.epoch = max(p.epoch, n.Epoch)
		p.last, r.last = ev, ev.Router
		p.views[n.RIB] = &view{p: p, rib: n.RIB, adj: adj, ev: ev, since: now, touched: now, eor: map[bgp.Family]bool{}}
	}
	return head, nil
}
