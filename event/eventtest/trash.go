// Package eventtest holds what tests of sources and sinks share.
package eventtest

import (
	"bytes"
	"context"
	"slices"

	"github.com/ribtap/ribtap/event"
)

// Trash returns a Writer that hands each batch on as a copy and spoils the copy
// as soon as Write returns, so that a slice which was kept against the contract
// of event.Writer holds garbage. It panics when the batch was modified.
func Trash(w event.Writer) event.Writer { return &trash{w: w} }

type trash struct{ w event.Writer }

func (t *trash) Write(ctx context.Context, batch []event.Event) error {
	c := make([]event.Event, len(batch))
	for i := range batch {
		c[i] = Clone(&batch[i])
	}
	err := t.w.Write(ctx, c)
	for i := range batch {
		if !same(&batch[i], &c[i]) {
			panic("eventtest: Write modified the batch")
		}
		spoil(&c[i])
	}
	return err
}

// Clone copies an event with all that it refers to but its Router and Peer.
func Clone(e *event.Event) event.Event {
	c := *e
	for _, b := range octets(&c) {
		*b = bytes.Clone(*b)
	}
	c.Marks = slices.Clone(e.Marks)
	c.Stats = slices.Clone(e.Stats)
	for i := range c.Stats {
		c.Stats[i].Raw = bytes.Clone(e.Stats[i].Raw)
	}
	return c
}

// octets lists the event's own slices of octets.
func octets(e *event.Event) []*[]byte { return []*[]byte{&e.Head, &e.PDU, &e.Tail, &e.Sent} }

func same(a, b *event.Event) bool {
	ao, bo := octets(a), octets(b)
	for i := range ao {
		if !bytes.Equal(*ao[i], *bo[i]) {
			return false
		}
	}
	stats := slices.EqualFunc(a.Stats, b.Stats, func(x, y event.Stat) bool {
		return x.Type == y.Type && x.Value == y.Value && bytes.Equal(x.Raw, y.Raw)
	})
	return stats && slices.Equal(a.Marks, b.Marks) && a.Sequence == b.Sequence && a.Received == b.Received &&
		a.Kind == b.Kind && a.RIB == b.RIB && a.Cause == b.Cause && a.Flags == b.Flags &&
		a.Router == b.Router && a.Peer == b.Peer && a.Session == b.Session
}

// spoil overwrites what must not be kept; Router and Peer may be.
func spoil(e *event.Event) {
	for _, b := range octets(e) {
		for i := range *b {
			(*b)[i] = 0xdb
		}
	}
	for i := range e.Marks {
		e.Marks[i] = 0xff
	}
	for i := range e.Stats {
		for j := range e.Stats[i].Raw {
			e.Stats[i].Raw[j] = 0xdb
		}
		e.Stats[i] = event.Stat{Type: 0xdbdb}
	}
	*e = event.Event{Sequence: 0xdbdbdbdb, Kind: 0xdb, Source: 0xdb, RIB: 0xdb}
}
