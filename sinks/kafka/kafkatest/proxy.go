package kafkatest

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
)

// produceKey is the API key of Produce requests.
const produceKey = 0

// Proxy stands between clients and a broker, and may lose what the broker
// answers to a Produce request: it cuts the connection instead.
type Proxy struct {
	// Addr is where clients connect to.
	Addr string

	backend string
	ln      net.Listener
	mu      sync.Mutex
	lose    func(answer int) bool
	answers int
	lost    int
	conns   map[net.Conn]struct{}
	closed  bool
}

func newProxy(backend string) (*Proxy, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{Addr: ln.Addr().String(), backend: backend, ln: ln, conns: map[net.Conn]struct{}{}}
	go p.accept()
	return p, nil
}

// Lose sets which answers to Produce requests are lost, by their number from 0;
// nil loses none.
func (p *Proxy) Lose(fn func(answer int) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lose, p.answers, p.lost = fn, 0, 0
}

// Lost returns how many answers were lost since Lose.
func (p *Proxy) Lost() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}

// Close ends the proxy and its connections.
func (p *Proxy) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.ln.Close()
	for c := range p.conns {
		_ = c.Close() // cutting it is the point
	}
}

func (p *Proxy) accept() {
	for {
		c, err := p.ln.Accept()
		if err != nil {
			return
		}
		go p.serve(c)
	}
}

// keep remembers connections for Close; false when that was already.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.conns[c] = struct{}{}
	}
	return !p.closed
}

func (p *Proxy) drop(c net.Conn) {
	_ = c.Close() // cutting it is the point
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}

func (p *Proxy) serve(client net.Conn) {
	defer p.drop(client)
	broker, err := net.Dial("tcp", p.backend)
	if err != nil {
		return
	}
	defer p.drop(broker)
	if !p.keep(client) || !p.keep(broker) {
		return
	}
	// A broker answers a connection's requests in their order.
	keys := make(chan uint16, 1000)
	go func() {
		defer close(keys)
		defer func() { _ = broker.Close() }() // cutting it is the point
		for {
			frame, err := readFrame(client)
			if err != nil {
				return
			}
			keys <- binary.BigEndian.Uint16(frame[4:])
			if _, err := broker.Write(frame); err != nil {
				return
			}
		}
	}()
	for {
		frame, err := readFrame(broker)
		if err != nil {
			return
		}
		if key, ok := <-keys; !ok || key == produceKey && p.loses() {
			return
		}
		if _, err := client.Write(frame); err != nil {
			return
		}
	}
}

func (p *Proxy) loses() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lose == nil {
		return false
	}
	yes := p.lose(p.answers)
	p.answers++
	if yes {
		p.lost++
	}
	return yes
}

// readFrame reads a request or an answer with its length.
func readFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	frame := make([]byte, 4+binary.BigEndian.Uint32(head[:]))
	copy(frame, head[:])
	_, err := io.ReadFull(r, frame[4:])
	return frame, err
}
