package collector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/mrt"
)

// ImportMRT reads a file of MRT records, compressed or not, as the history of
// one router: the collector that wrote it. Each record counts as received when
// its own collector received it. A table dump replaces the state of the peers
// in its index: what is not in it any more is withdrawn, with cause import.
//
// Damaged records are in the report. An error is one of the event stream, or of
// reading r.
func (c *Collector) ImportMRT(ctx context.Context, r io.Reader, opt ImportOptions) (ImportReport, error) {
	im := &mrtImport{s: &session{c: c, source: event.SourceMRT}, opt: opt, byView: map[*view]*dumped{}}
	im.s.imported = &im.rep
	plain, format, err := mrt.Decompress(r)
	if err != nil {
		return im.rep, im.readError(err)
	}
	if format != mrt.Plain {
		ahead := mrt.NewAhead(plain)
		defer ahead.Close()
		plain = ahead
	}
	im.s.enter(routerKey{name: opt.Router}, "")
	rd := mrt.NewReader(plain)
	for {
		end, err := im.batch(ctx, rd)
		if err != nil {
			return im.rep, err
		}
		if end {
			break
		}
		if opt.Progress != nil {
			opt.Progress(im.rep.Records)
		}
	}
	im.rep.Skipped += int(rd.Padding())
	return im.rep, c.endImport(ctx, im.s, opt, &im.rep)
}

type mrtImport struct {
	s     *session
	opt   ImportOptions
	rep   ImportReport
	index mrt.PeerIndexTable
	rib   mrt.RIB
	pdu   []byte
	// dumped are the views that the table dump under way speaks of, in the order
	// in which it names them.
	dumped []*dumped
	byView map[*view]*dumped
	// slots are the peers of the dump's index, once an entry named them.
	slots []slot
	last  event.Time
}

// dumped is a view that a table dump speaks of.
type dumped struct {
	v  *view
	cl *claim // who spoke for it last
}

// slot is what a peer of a table dump's index stands for.
type slot struct {
	peer mrt.IndexPeer
	p    *peer
	cl   *claim
	d    *dumped
}

// readError keeps damage of the file's container in the report.
func (im *mrtImport) readError(err error) error {
	var me *mrt.Error
	if errors.As(err, &me) {
		im.rep.fault(me)
		return nil
	}
	return fmt.Errorf("collector: reading %s: %w", im.opt.File, err)
}

// batch reads records until a batch of events has gathered, and writes it.
func (im *mrtImport) batch(ctx context.Context, rd *mrt.Reader) (end bool, err error) {
	c, s := im.s.c, im.s
	c.gate.RLock()
	defer c.gate.RUnlock()
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.w.now = c.now()
	for n := 0; n < progressEvery && len(s.b.events) < batchEvents && s.b.octets < batchOctets; n++ {
		if ctx.Err() != nil {
			return true, ctx.Err()
		}
		rec, rerr := rd.Next()
		if rerr != nil {
			im.endDump()
			if !errors.Is(rerr, io.EOF) {
				err = im.readError(rerr)
			}
			end = true
			break
		}
		im.rep.Records++
		im.record(&rec)
	}
	im.rep.Announced, im.rep.Withdrawn = s.w.announced, s.w.withdrawn
	if werr := c.write(ctx, &s.b); werr != nil {
		return true, werr
	}
	return end, err
}

func (im *mrtImport) record(rec *mrt.Record) {
	at := event.Time(rec.Nanoseconds())
	var err error
	switch rec.Class() {
	case mrt.ClassMessage:
		im.endDump()
		err = im.message(rec, at)
	case mrt.ClassStateChange:
		im.endDump()
		err = im.stateChange(rec, at)
	case mrt.ClassPeerIndex:
		im.endDump()
		err = im.peerIndex(rec)
	case mrt.ClassRIB:
		err = im.ribRecord(rec, at)
	case mrt.ClassTableEntry:
		err = im.tableEntry(rec, at)
	case mrt.ClassOther:
		im.rep.Skipped++
	}
	im.last = at
	if err != nil {
		im.damaged(rec, at, err)
	}
}

// dropped is the error of a record of which nothing counts.
func dropped(rec *mrt.Record, reason string, err error) error {
	return &mrt.Error{Verdict: mrt.Drop, Offset: rec.Offset, Type: rec.Type, Subtype: rec.Subtype, Reason: reason, Err: err}
}

// damaged keeps a record that cannot be read as it came.
func (im *mrtImport) damaged(rec *mrt.Record, at event.Time, err error) {
	im.rep.fault(err)
	reason := mrt.EntryReason(err)
	var me *mrt.Error
	if errors.As(err, &me) {
		reason = me.Reason
	}
	im.s.c.m.decodeErrors.WithLabelValues(reason).Inc()
	e := im.s.b.add()
	e.Received, e.Kind, e.Source, e.Router, e.Text = at, event.KindUnknown, event.SourceMRT, im.s.ev, reason
	e.Head = im.s.b.copy(mrt.AppendRecord(nil, rec))
}

// speaker returns the import's claim of a peer, making it where the file names
// the peer for the first time.
func (im *mrtImport) speaker(addr netip.Addr, asn uint32, id netip.Addr, h *mrt.PeerHeader) (*peer, *claim) {
	s := im.s
	p := s.r.peer(peerKey{addr: addr})
	if cl := p.claimOf(s); cl != nil && cl.ev.ASN == asn {
		return p, cl
	} else if cl != nil {
		p.drop(cl)
	}
	s.r.claims++
	ev := &event.Peer{Router: s.ev, Address: addr, ASN: asn, BGPID: id, Epoch: p.epoch}
	cl := &claim{by: s, order: s.r.claims, ev: ev}
	if h != nil {
		ev.LocalASN = h.LocalAS
		if !h.LocalIP.IsUnspecified() {
			ev.LocalAddress = h.LocalIP
		}
		switch h.LocalAS {
		case 0:
		case h.PeerAS:
			cl.in.Peering = bgp.PeeringInternal
		default:
			cl.in.Peering = bgp.PeeringExternal
		}
	}
	p.claims = append(p.claims, cl)
	p.last = ev
	return p, cl
}

// viewOf returns the peer's one view in a file, owned by the claim; unlike a
// router's new session, a further file goes on where the last one ended.
func (im *mrtImport) viewOf(p *peer, cl *claim) *view {
	v := im.s.r.view(p, event.AdjRIBInPre, cl.ev)
	if v.owner != cl {
		v.own(cl)
	}
	return v
}

func (im *mrtImport) peerEvent(kind event.Kind, cl *claim, at event.Time) *event.Event {
	e := im.s.b.add()
	e.Received, e.Observed, e.Kind, e.Source, e.Router, e.Peer = at, at, kind, event.SourceMRT, im.s.ev, cl.ev
	return e
}

func (im *mrtImport) message(rec *mrt.Record, at event.Time) error {
	var m mrt.Message
	if err := m.Parse(rec); err != nil {
		return err
	}
	s := im.s
	pdu, _, err := bgp.SplitMessage(m.PDU, len(m.PDU))
	if err != nil {
		return dropped(rec, "bgp-message", err)
	}
	p, cl := im.speaker(m.PeerIP, m.PeerAS, netip.Addr{}, &m.PeerHeader)
	if bgp.MessageType(pdu) != bgp.MessageUpdate || m.Sent {
		e := im.peerEvent(event.KindState, cl, at)
		e.PDU, e.Text = s.b.copy(pdu), "message of the session"
		im.rep.Skipped++
		return nil
	}
	v := im.viewOf(p, cl)
	e := im.peerEvent(event.KindRoute, cl, at)
	e.RIB = event.AdjRIBInPre
	e.Session = m.Session()
	e.Session.Peering = cl.in.Peering
	e.PDU, e.Tail = s.b.copy(pdu), s.b.copy(m.Trailing)
	if m.Anomaly != "" {
		s.anomaly(e, m.Anomaly)
	}
	s.c.route(v, cl, e, &s.w, &s.b)
	if e.Flags&event.FlagDropped != 0 {
		im.rep.fault(dropped(rec, e.Text, nil))
	}
	return nil
}

func (im *mrtImport) stateChange(rec *mrt.Record, at event.Time) error {
	var sc mrt.StateChange
	if err := sc.Parse(rec); err != nil {
		return err
	}
	p, cl := im.speaker(sc.PeerIP, sc.PeerAS, netip.Addr{}, &sc.PeerHeader)
	switch {
	case sc.New == mrt.Established && sc.Old != mrt.Established:
		p.epoch++
		ev := *cl.ev
		ev.Epoch = p.epoch
		cl.ev, p.last = &ev, &ev
		im.peerEvent(event.KindPeerUp, cl, at).RIB = event.AdjRIBInPre
	case sc.Old == mrt.Established && sc.New != mrt.Established:
		e := im.peerEvent(event.KindPeerDown, cl, at)
		e.RIB, e.Cause = event.AdjRIBInPre, event.CausePeerDown
		if v := p.views[event.AdjRIBInPre]; v != nil {
			im.s.r.end(&im.s.b, v, &ending{cause: event.CausePeerDown, ev: cl.ev}, maxRoutes, at)
		}
	default:
		im.peerEvent(event.KindState, cl, at).Text = fmt.Sprintf("%s to %s", sc.Old, sc.New)
	}
	im.rep.Skipped++
	return nil
}

// peerIndex begins a table dump: its peers have what follows and nothing else.
func (im *mrtImport) peerIndex(rec *mrt.Record) error {
	if err := im.index.Parse(rec); err != nil {
		return err
	}
	im.slots = slices.Grow(im.slots[:0], len(im.index.Peers))[:len(im.index.Peers)]
	clear(im.slots)
	for _, ip := range im.index.Peers {
		p, cl := im.speaker(ip.Address, ip.ASN, ip.BGPID, nil)
		im.dump(p, cl)
	}
	im.rep.Skipped++
	return nil
}

// dump notes that a table dump speaks of the peer.
func (im *mrtImport) dump(p *peer, cl *claim) *dumped {
	v := im.viewOf(p, cl)
	d := im.byView[v]
	if d == nil {
		v.restart(im.s.c.now())
		d = &dumped{v: v}
		im.dumped, im.byView[v] = append(im.dumped, d), d
	}
	d.cl = cl
	return d
}

// dumpOf returns the claim and the view of an entry of a table dump.
func (im *mrtImport) dumpOf(en *mrt.Entry) (*claim, *view) {
	if i := int(en.PeerIndex); i < len(im.slots) {
		if sl := &im.slots[i]; sl.peer == en.Peer && sl.d.cl == sl.cl && sl.d.v.owner == sl.cl && sl.p.claimOf(im.s) == sl.cl {
			return sl.cl, sl.d.v
		}
	}
	p, cl := im.speaker(en.Peer.Address, en.Peer.ASN, en.Peer.BGPID, nil)
	d := im.dump(p, cl)
	if i := int(en.PeerIndex); i < len(im.slots) {
		im.slots[i] = slot{en.Peer, p, cl, d}
	}
	return cl, d.v
}

// endDump withdraws what the table dump did not name.
func (im *mrtImport) endDump() {
	for _, d := range im.dumped {
		im.s.r.end(&im.s.b, d.v, &ending{cause: event.CauseImport, ev: d.cl.ev, onlyStale: true}, maxRoutes, im.last)
	}
	im.dumped = im.dumped[:0]
	clear(im.byView)
	clear(im.slots)
}

func (im *mrtImport) ribRecord(rec *mrt.Record, at event.Time) error {
	if err := im.rib.Parse(rec, &im.index); err != nil {
		return err
	}
	if im.rib.Anomaly != "" {
		im.s.c.m.anomalies.WithLabelValues(im.rib.Anomaly).Inc()
	}
	if im.rib.NoPeer > 0 {
		im.rep.fault(dropped(rec, fmt.Sprintf("%d entries of peers that are not in the index", im.rib.NoPeer), nil))
	}
	for it := im.rib.Entries(); it.Next(); {
		if err := im.entry(it.Entry(), at); err != nil {
			return dropped(rec, mrt.EntryReason(err), err)
		}
	}
	return nil
}

func (im *mrtImport) tableEntry(rec *mrt.Record, at event.Time) error {
	var te mrt.TableEntry
	if err := te.Parse(rec); err != nil {
		return err
	}
	if te.Anomaly != "" {
		im.s.c.m.anomalies.WithLabelValues(te.Anomaly).Inc()
	}
	if err := im.entry(&te.Entry, at); err != nil {
		return dropped(rec, mrt.EntryReason(err), err)
	}
	return nil
}

// entry makes one route of a table dump an event.
func (im *mrtImport) entry(en *mrt.Entry, at event.Time) error {
	pdu, err := mrt.AppendUpdate(im.pdu[:0], en)
	if err != nil {
		return err
	}
	im.pdu = pdu
	s := im.s
	cl, v := im.dumpOf(en)
	e := im.peerEvent(event.KindRoute, cl, at)
	e.RIB, e.Flags = event.AdjRIBInPre, event.FlagSnapshot
	e.Observed = event.Time(en.Originated) * 1e9
	e.Session = en.Session()
	e.PDU = s.b.copy(pdu)
	s.c.route(v, cl, e, &s.w, &s.b)
	return nil
}
