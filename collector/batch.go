package collector

import "github.com/ribtap/ribtap/event"

// A batch takes memory for the bytes of its events in chunks, each twice as large
// as the one before: a session that says little costs little, and a busy one has
// what one read of its socket brings.
const (
	firstChunk = 4 << 10
	arenaChunk = 256 << 10
	firstMarks = 64
	marksChunk = 4096
)

// batch gathers events until they are written together. Their bytes live in
// the batch's own memory, which reset makes free for the next one.
type batch struct {
	events []event.Event
	bytes  []byte
	marks  []event.Mark
	octets int64
}

// add appends an empty event. The pointer is good until the next add.
func (b *batch) add() *event.Event {
	b.events = append(b.events, event.Event{})
	return &b.events[len(b.events)-1]
}

// copy keeps p for as long as the batch lives.
func (b *batch) copy(p []byte) []byte {
	if len(p) == 0 {
		return nil
	}
	if cap(b.bytes)-len(b.bytes) < len(p) {
		// The events so far go on pointing into the old chunk.
		b.bytes = make([]byte, 0, max(min(2*cap(b.bytes), arenaChunk), firstChunk, len(p)))
	}
	at := len(b.bytes)
	b.bytes = append(b.bytes, p...)
	b.octets += int64(len(p))
	return b.bytes[at:len(b.bytes):len(b.bytes)]
}

// keepMarks keeps marks in their shortest form: none if nothing changed, one
// if they are all alike.
func (b *batch) keepMarks(marks []event.Mark) []event.Mark {
	if len(marks) == 0 {
		return nil
	}
	same := true
	for _, m := range marks[1:] {
		if m != marks[0] {
			same = false
			break
		}
	}
	if same {
		if marks[0] == 0 {
			return nil
		}
		marks = marks[:1]
	}
	if cap(b.marks)-len(b.marks) < len(marks) {
		b.marks = make([]event.Mark, 0, max(min(2*cap(b.marks), marksChunk), firstMarks, len(marks)))
	}
	at := len(b.marks)
	b.marks = append(b.marks, marks...)
	return b.marks[at:len(b.marks):len(b.marks)]
}

// reset empties the batch; what its events pointed to may be overwritten.
func (b *batch) reset() {
	clear(b.events)
	b.events, b.bytes, b.marks = b.events[:0], b.bytes[:0], b.marks[:0]
	b.octets = 0
}
