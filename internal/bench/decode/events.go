package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/mrt"
)

// report is what decodeEvents counts, by the names of collector.ImportReport.
type report struct{ Announced, Withdrawn, Damaged uint64 }

// decoder makes an event of each message of a file.
type decoder struct {
	report
	peers  map[mrt.IndexPeer]*event.Peer
	index  mrt.PeerIndexTable
	rib    mrt.RIB
	update bgp.Update
	pdus   []byte
	events []event.Event
}

// batch is how many events stand together before they are dropped.
const batch = 1024

func decodeEvents(f io.Reader) (report, error) {
	d := &decoder{peers: map[mrt.IndexPeer]*event.Peer{}}
	plain, _, err := mrt.Decompress(f)
	if err != nil {
		return report{}, err
	}
	for rd := mrt.NewReader(plain); ; {
		rec, err := rd.Next()
		if errors.Is(err, io.EOF) {
			return d.report, nil
		}
		if err != nil {
			return d.report, err
		}
		if err := d.record(&rec); err != nil {
			return d.report, fmt.Errorf("record at %d: %w", rec.Offset, err)
		}
		if len(d.events) >= batch {
			d.events, d.pdus = d.events[:0], d.pdus[:0]
		}
	}
}

func (d *decoder) record(rec *mrt.Record) error {
	switch rec.Class() {
	case mrt.ClassPeerIndex:
		return d.index.Parse(rec)
	case mrt.ClassMessage:
		var m mrt.Message
		if err := m.Parse(rec); err != nil {
			return err
		}
		pdu, _, err := bgp.SplitMessage(m.PDU, len(m.PDU))
		if err != nil || bgp.MessageType(pdu) != bgp.MessageUpdate || m.Sent {
			return err
		}
		e := d.event(rec, mrt.IndexPeer{Address: m.PeerIP, ASN: m.PeerAS})
		e.Session = m.Session()
		start := len(d.pdus)
		d.pdus = append(d.pdus, pdu...)
		d.routes(e, d.pdus[start:len(d.pdus):len(d.pdus)])
	case mrt.ClassRIB:
		if err := d.rib.Parse(rec, &d.index); err != nil {
			return err
		}
		for it := d.rib.Entries(); it.Next(); {
			en := it.Entry()
			start := len(d.pdus)
			pdus, err := mrt.AppendUpdate(d.pdus, en)
			if err != nil {
				return err
			}
			d.pdus = pdus
			e := d.event(rec, en.Peer)
			e.Observed, e.Session, e.Flags = event.Time(en.Originated)*1e9, en.Session(), event.FlagSnapshot
			d.routes(e, pdus[start:len(pdus):len(pdus)])
		}
	case mrt.ClassStateChange, mrt.ClassTableEntry, mrt.ClassOther:
		// Not in the files that are measured: the counts would differ.
	}
	return nil
}

// event is the next event, of a peer.
func (d *decoder) event(rec *mrt.Record, who mrt.IndexPeer) *event.Event {
	p := d.peers[who]
	if p == nil {
		p = &event.Peer{Address: who.Address, ASN: who.ASN, BGPID: who.BGPID}
		d.peers[who] = p
	}
	d.events = append(d.events, event.Event{
		Received: event.Time(rec.Nanoseconds()), Kind: event.KindRoute, Source: event.SourceMRT, Peer: p, RIB: event.AdjRIBInPre,
	})
	return &d.events[len(d.events)-1]
}

// routes decodes and checks a message, all of it.
func (d *decoder) routes(e *event.Event, pdu []byte) {
	e.PDU = pdu
	d.update.Parse(pdu, e.Session)
	if d.update.Verdict() == bgp.VerdictSessionReset {
		d.Damaged++
	}
	for it := d.update.Routes(); it.Next(); {
		if it.Route().Action == bgp.Announce {
			d.Announced++
		} else {
			d.Withdrawn++
		}
	}
}
