package main

import (
	"context"
	"slices"
	"sync"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/stream"
)

// hubPages is how many pages a hub has. A client that is farther behind reads the
// stream by itself.
const hubPages = 64

// hub reads the stream once for all clients that want every event, and encodes each
// event once: two hundred browsers would otherwise decode and encode two hundred
// times. It reads while there are clients. A client takes pages at its own pace, and
// nothing waits for it.
type hub struct {
	log *stream.Log

	mu      sync.Mutex
	clients int
	// turn tells the goroutine that reads from one before it that has not ended yet.
	turn   int
	cancel context.CancelFunc
	done   chan struct{}
	// pages are the last ones, in the order of their events without a hole between.
	pages []*page
	next  uint64        // the sequence behind the last page
	more  chan struct{} // closed when there is another page, or the hub fails
	err   error
}

// page is some events in a row, encoded. Where the stream has a hole, so have they.
type page struct {
	sequences     []uint64 // of the events, rising
	lines, events encoded
}

// encoded is a page's events in one framing, and where each begins.
type encoded struct {
	b  []byte
	at []int
}

func (e *encoded) add(f framing, sequence uint64, json []byte) {
	e.at = append(e.at, len(e.b))
	e.b = f.append(e.b, sequence, json)
}

func (p *page) first() uint64 { return p.sequences[0] }
func (p *page) last() uint64  { return p.sequences[len(p.sequences)-1] }

// newPage encodes events.
func newPage(enc *event.Encoder, batch []event.Event) *page {
	p := &page{sequences: make([]uint64, 0, len(batch))}
	var json []byte
	for i := range batch {
		e := &batch[i]
		json = enc.Append(json[:0], e)
		p.sequences = append(p.sequences, e.Sequence)
		p.lines.add(framing{}, e.Sequence, json)
		p.events.add(framing{sse: true}, e.Sequence, json)
	}
	return p
}

// from is the page's part from a sequence on, which is not behind its last one.
func (p *page) from(sequence uint64, f framing) []byte {
	e := &p.lines
	if f.sse {
		e = &p.events
	}
	i, _ := slices.BinarySearch(p.sequences, sequence)
	return e.b[e.at[i]:]
}

func newHub(log *stream.Log) *hub { return &hub{log: log} }

// enter counts a client in; leave must follow.
func (h *hub) enter() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.clients++; h.clients > 1 {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel, h.done = cancel, make(chan struct{})
	h.pages, h.next, h.err = nil, h.log.Last()+1, nil
	h.more = make(chan struct{})
	h.turn++
	go h.read(ctx, h.log.NewReader(h.next), h.turn, h.done) // ends with the last client
}

// leave counts a client out.
func (h *hub) leave() {
	h.mu.Lock()
	h.clients--
	last := h.clients == 0
	done := h.done
	if last {
		h.cancel()
	}
	h.mu.Unlock()
	if last {
		<-done
	}
}

func (h *hub) read(ctx context.Context, rd *stream.Reader, turn int, done chan<- struct{}) {
	defer close(done)
	defer rd.Close()
	var enc event.Encoder
	for {
		batch, err := rd.Next(ctx)
		var p *page
		if err == nil {
			p = newPage(&enc, batch)
		}
		h.mu.Lock()
		if h.turn != turn {
			h.mu.Unlock()
			return
		}
		if h.err = err; err == nil {
			if len(h.pages) == hubPages {
				h.pages = append(h.pages[:0], h.pages[1:]...)
			}
			h.pages, h.next = append(h.pages, p), p.last()+1
		}
		close(h.more)
		h.more = make(chan struct{})
		h.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// wait returns the page with the event of a sequence, once there is one; nil if the
// hub does not have it any more, or never had.
func (h *hub) wait(ctx context.Context, sequence uint64) (*page, error) {
	for {
		h.mu.Lock()
		for _, p := range slices.Backward(h.pages) { // nearly always the last one
			if p.first() <= sequence && sequence <= p.last() {
				h.mu.Unlock()
				return p, nil
			}
		}
		behind, more, err := sequence < h.next, h.more, h.err
		h.mu.Unlock()
		switch {
		case behind:
			return nil, nil //nolint:nilnil // as documented
		case err != nil:
			return nil, err
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// has reports whether wait would return, or wait for, a page with the sequence.
func (h *hub) has(sequence uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return sequence >= h.next || len(h.pages) > 0 && sequence >= h.pages[0].first()
}
