package kafka

import (
	"slices"
	"time"

	"github.com/ribtap/ribtap/event"
)

const (
	// chunkBytes is about how much a chunk's records have.
	chunkBytes = 3 << 20
	// keepBytes is the most memory that an idle lane keeps.
	keepBytes = 4 * chunkBytes
	// batchBytes is the most that a batch's records have, unless it is one.
	batchBytes = 900_000
	// roundBatches is how many batches a lane sends between two states; the
	// broker remembers five (KIP-98).
	roundBatches = 4
)

// lane is a partition of a topic.
type lane struct {
	laneState
	topic     int
	partition int
	seen      int // records of the floor's event that were left out
}

// load is what a chunk has for a lane.
type load struct {
	body    []byte
	records []record
	done    int   // records that are acknowledged
	cuts    []int // batches of the rest
	again   bool  // the first of them was sent before
	batcher batcher
}

// chunk is a run of events as records.
type chunk struct {
	from, to uint64
	sum      uint64
	loads    []load // one for each lane
	bytes    int
	records  int
	want     *chunkState // it is to become what this says
	// Set by a flight that failed.
	reinit, recut, lost bool
}

func (c *chunk) reset(lanes int, from uint64) {
	c.from, c.to, c.sum, c.bytes, c.records, c.want = from, from-1, 0, 0, 0, nil
	c.reinit, c.recut, c.lost = false, false, false
	if len(c.loads) != lanes {
		c.loads = make([]load, lanes)
	}
	for i := range c.loads {
		l := &c.loads[i]
		if cap(l.body) > keepBytes {
			l.body = nil // of an event with very many routes
		}
		l.body, l.records, l.cuts, l.done = l.body[:0], l.records[:0], l.cuts[:0], 0
		l.again = false
	}
}

// mix adds an event to the sum that tells whether the same numbers are the same
// events.
func (c *chunk) mix(e *event.Event) {
	const prime = 1099511628211 // FNV
	for _, v := range [...]uint64{e.Sequence, uint64(e.Received), uint64(e.Kind), uint64(len(e.PDU))} {
		c.sum = (c.sum ^ v) * prime
		c.sum ^= c.sum >> 29
	}
}

// full reports whether the next event goes to another chunk.
func (c *chunk) full() bool {
	if c.want != nil {
		return c.to >= c.want.To
	}
	return c.bytes >= chunkBytes
}

// unsent reports whether records wait.
func (c *chunk) unsent() bool {
	return slices.ContainsFunc(c.loads, func(l load) bool { return l.done < len(l.records) })
}

// cut cuts what is not acknowledged of a lane into batches.
func (l *load) cut(limit int) {
	l.cuts = l.cuts[:0]
	limit = min(limit-batchHeader, batchBytes)
	start, n, size := l.start(l.done), 0, 0
	for _, r := range l.records[l.done:] {
		own := r.end - start + recordOverhead
		start = r.end
		if n > 0 && size+own > limit {
			l.cuts = append(l.cuts, n)
			n, size = 0, 0
		}
		n++
		size += own
	}
	if n > 0 {
		l.cuts = append(l.cuts, n)
	}
}

// start is where the octets of record i begin.
func (l *load) start(i int) int {
	if i == 0 {
		return 0
	}
	return l.records[i-1].end
}

// adopt takes the cuts of a state; false when they are not of these records.
func (l *load) adopt(s *cutsState) bool {
	total := s.Done
	for _, n := range s.Cuts {
		if n < 1 {
			return false
		}
		total += n
	}
	if total != len(l.records) || s.Done < 0 {
		return false
	}
	l.done, l.cuts = s.Done, append(l.cuts[:0], s.Cuts...)
	return true
}

// matches reports whether the chunk is the one that a state tells of, and takes
// over how it was cut.
func (c *chunk) matches(s *chunkState) bool {
	if c.from != s.From || c.to != s.To || c.sum != s.Sum {
		return false
	}
	for i := range s.Lanes {
		if l := s.Lanes[i].Lane; l < 0 || l >= len(c.loads) {
			return false
		}
	}
	for i := range c.loads {
		j := slices.IndexFunc(s.Lanes, func(l cutsState) bool { return l.Lane == i })
		switch {
		case j >= 0:
			if !c.loads[i].adopt(&s.Lanes[j]) {
				return false
			}
		case len(c.loads[i].records) > 0:
			return false
		}
	}
	return true
}

// state describes the chunk.
func (c *chunk) state() *chunkState {
	s := &chunkState{From: c.from, To: c.to, Sum: c.sum}
	for i := range c.loads {
		if l := &c.loads[i]; len(l.records) > 0 {
			s.Lanes = append(s.Lanes, cutsState{Lane: i, Done: l.done, Cuts: slices.Clone(l.cuts)})
		}
	}
	return s
}

// drop takes the records out that are in the topic, and so counts the rest from
// nothing done; it returns how many were there.
func (l *load) drop(there map[written]int) int {
	body, records := []byte(nil), []record(nil)
	start, dropped := l.start(l.done), 0
	for _, r := range l.records[l.done:] {
		part := l.body[start:r.end]
		start = r.end
		k := written{r.sequence, r.time}
		if there[k] > 0 {
			there[k]--
			dropped++
			continue
		}
		body = append(body, part...)
		records = append(records, record{end: len(body), time: r.time, sequence: r.sequence})
	}
	l.body, l.records, l.done = body, records, 0
	return dropped
}

// boundary reports whether n more records end a batch, and takes these batches
// off.
func (l *load) boundary(n int) bool {
	k, sum := 0, 0
	for ; k < len(l.cuts) && sum < n; k++ {
		sum += l.cuts[k]
	}
	if sum != n {
		return false
	}
	l.done += n
	l.cuts = l.cuts[k:]
	return true
}

// builder turns events into the records of a chunk.
type builder struct {
	chunk  *chunk
	lanes  []lane
	first  []int // number of a topic's first lane
	counts []int // partitions of a topic
	tails  [][]byte
	m      *metrics
	now    int64 // milliseconds

	headers  []byte
	sequence uint64
	time     int64
	source   event.Source
}

// maxAhead is how far in the future a record's time may be; a broker refuses
// one hour (message.timestamp.after.max.ms).
const maxAhead = 30 * time.Minute

// begin prepares for the records of an event.
func (b *builder) begin(e *event.Event) {
	b.sequence, b.source = e.Sequence, e.Source
	t := e.Received
	if t == 0 {
		t = e.Observed
	}
	b.time = max(0, int64(t)/int64(time.Millisecond))
	if b.time > b.now+maxAhead.Milliseconds() {
		b.time = b.now
	}
	b.chunk.to = e.Sequence
	b.chunk.mix(e)
}

// emit adds a record of the event; a nil value is a tombstone. It keeps neither
// key nor value.
func (b *builder) emit(topic int, key, value []byte) {
	i := b.first[topic] + partitionOf(key, b.counts[topic])
	l := &b.lanes[i]
	if b.below(l) {
		b.m.skipped.WithLabelValues(skipPresent).Inc()
		return
	}
	to := &b.chunk.loads[i]
	before := len(to.body)
	b.headers = appendHeaders(b.headers[:0], b.sequence, b.tails[topic])
	to.body = appendRecord(to.body, key, value, b.headers)
	to.records = append(to.records, record{len(to.body), b.time, b.sequence})
	b.chunk.records++
	b.chunk.bytes += len(to.body) - before
}

// below reports whether the lane had the record before there was a state. An
// event behind the topic's times is of another stream that counts anew, and so
// may be an imported one, whose time says nothing.
func (b *builder) below(l *lane) bool {
	if l.Floor == 0 || b.sequence > l.Floor || b.time > l.FloorTime || b.source == event.SourceMRT {
		return false
	}
	if b.sequence < l.Floor {
		return true
	}
	l.seen++
	return l.seen <= l.FloorRecords
}

// substitute replaces a record that the topic does not take by one that says so.
func (l *load) substitute(i int, tail []byte) error {
	start := l.start(i)
	r := &l.records[i]
	key, err := keyOf(l.body[start:r.end])
	if err != nil {
		return err
	}
	value := appendOversize(nil, r.sequence, r.end-start)
	part := appendRecord(nil, slices.Clone(key), value, appendHeaders(nil, r.sequence, tail))
	if len(part) > r.end-start {
		return nil // it is small already; whatever is wrong is not its size
	}
	// What is behind the new end is in no record any more, so it stays in the
	// body as part of nothing: the records behind begin where they did.
	rest := slices.Clone(l.body[r.end:])
	shrunk := r.end - start - len(part)
	l.body = append(append(l.body[:start], part...), rest...)
	for j := i; j < len(l.records); j++ {
		l.records[j].end -= shrunk
	}
	return nil
}

// appendOversize appends the value of a record that stands for one that was too
// large.
func appendOversize(dst []byte, sequence uint64, octets int) []byte {
	dst = append(dst, `{"kind":"oversize","sequence":`...)
	dst = appendUint(dst, sequence)
	dst = append(dst, `,"octets":`...)
	dst = appendUint(dst, uint64(octets))
	return append(dst, '}')
}
