package mrt

import "io"

const (
	aheadChunk  = 256 << 10
	aheadChunks = 4
)

// Ahead reads a slow reader, such as a decompressor, in a goroutine of its own, a
// MiB ahead at most, so that what it gives is decoded meanwhile. It gives the same
// octets, then the same error. Close it: Close waits for a Read under way and ends
// the goroutine.
type Ahead struct {
	r       io.Reader
	full    chan chunk
	free    chan []byte
	stop    chan struct{}
	started bool
	cur     []byte // what is left of the chunk at hand
	whole   []byte
	err     error
}

// chunk is what one turn of the goroutine read, and why there is no more.
type chunk struct {
	b   []byte
	err error
}

// NewAhead returns a reader of r, which it does not touch before the first Read.
func NewAhead(r io.Reader) *Ahead {
	return &Ahead{r: r, full: make(chan chunk, aheadChunks), free: make(chan []byte, aheadChunks), stop: make(chan struct{})}
}

// Read implements io.Reader.
func (a *Ahead) Read(p []byte) (int, error) {
	if !a.started {
		a.started = true
		for range aheadChunks {
			a.free <- make([]byte, aheadChunk)
		}
		go a.run()
	}
	for len(a.cur) == 0 {
		if a.err != nil {
			return 0, a.err
		}
		if a.whole != nil {
			a.free <- a.whole
			a.whole = nil
		}
		c, ok := <-a.full
		if !ok {
			a.err = io.ErrClosedPipe
			continue
		}
		a.cur, a.whole, a.err = c.b, c.b[:cap(c.b)], c.err
	}
	n := copy(p, a.cur)
	a.cur = a.cur[n:]
	return n, nil
}

// Close ends the goroutine.
func (a *Ahead) Close() {
	select {
	case <-a.stop:
		return
	default:
	}
	close(a.stop)
	if a.started {
		for ok := true; ok; { // until the goroutine closes it
			_, ok = <-a.full
		}
	}
	a.cur, a.err = nil, io.ErrClosedPipe
}

func (a *Ahead) run() {
	defer close(a.full)
	for {
		select {
		case <-a.stop:
			return
		case b := <-a.free:
			n, err := 0, error(nil)
			for n < len(b) && err == nil {
				var k int
				k, err = a.r.Read(b[n:])
				n += k
			}
			select {
			case a.full <- chunk{b[:n], err}:
			case <-a.stop:
				return
			}
			if err != nil {
				return
			}
		}
	}
}
