package main

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
)

var errShort = errors.New("a message is shorter than it says")

// attributes are decoded once for each distinct set.
type attributes struct {
	asPath, communities string
	raw                 []byte
}

// event is what a collector would hand on for one prefix.
type event struct {
	seconds, microseconds uint32
	peer                  *[peerLen]byte
	attrs                 *attributes // nil for a withdrawal
	prefix                netip.Prefix
}

const (
	batchSize = 1024
	headerLen = 6  // of BMP
	peerLen   = 42 // the per-peer header
	bgpLen    = 19 // the header of BGP
)

// pipeline makes events of messages and hands them to a consumer.
type pipeline struct {
	sets  map[string]*attributes
	peers map[string]*[peerLen]byte
	batch []event
	key   []byte
	out   chan []event
	free  chan []event
	made  chan counts
}

func newPipeline() *pipeline {
	p := &pipeline{
		sets: map[string]*attributes{}, peers: map[string]*[peerLen]byte{}, batch: make([]event, 0, batchSize),
		out: make(chan []event, 8), free: make(chan []event, 16), made: make(chan counts, 1),
	}
	go p.consume()
	return p
}

// consume counts, as the least that something behind the events can do.
func (p *pipeline) consume() {
	var n counts
	for b := range p.out {
		for i := range b {
			if b[i].attrs != nil {
				n.Announced++
			} else {
				n.Withdrawn++
			}
		}
		clear(b)
		select {
		case p.free <- b[:0]:
		default:
		}
	}
	p.made <- n
}

func (p *pipeline) flush() {
	p.out <- p.batch
	select {
	case p.batch = <-p.free:
	default:
		p.batch = make([]event, 0, batchSize)
	}
}

func (p *pipeline) end() counts {
	p.flush()
	close(p.out)
	return <-p.made
}

// message makes the events of a Route Monitoring message; others have none.
func (p *pipeline) message(m []byte) error {
	if m[headerLen-1] != 0 {
		return nil
	}
	if len(m) < headerLen+peerLen+bgpLen+4 {
		return errShort
	}
	const identity = peerLen - 8 // without the time
	header := m[headerLen : headerLen+peerLen]
	peer := p.peers[string(header[:identity])]
	if peer == nil {
		peer = (*[peerLen]byte)(append([]byte(nil), header...))
		p.peers[string(header[:identity])] = peer
	}
	e := event{seconds: binary.BigEndian.Uint32(header[identity:]), microseconds: binary.BigEndian.Uint32(header[identity+4:]), peer: peer}
	withdrawn, rest, ok1 := field(m[headerLen+peerLen+bgpLen:])
	attrs, nlri, ok2 := field(rest)
	if !ok1 || !ok2 {
		return errShort
	}
	return p.update(e, withdrawn, attrs, nlri)
}

// field cuts a field with a length of two octets.
func field(b []byte) (value, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	if len(b) < n {
		return nil, nil, false
	}
	return b[2:n], b[n:], true
}

// attribute cuts one path attribute.
func attribute(b []byte) (whole, value, rest []byte, ok bool) {
	if len(b) < 3 {
		return nil, nil, nil, false
	}
	n, head := int(b[2]), 3
	if b[0]&0x10 != 0 {
		if len(b) < 4 {
			return nil, nil, nil, false
		}
		n, head = int(binary.BigEndian.Uint16(b[2:])), 4
	}
	if len(b) < head+n {
		return nil, nil, nil, false
	}
	return b[:head+n], b[head : head+n], b[head+n:], true
}

func (p *pipeline) update(e event, withdrawn, attrs, nlri []byte) error {
	// The key of a set is its octets, with the next hop of MP_REACH_NLRI and
	// without the prefixes.
	p.key = p.key[:0]
	var reach, unreach []byte
	for rest := attrs; len(rest) > 0; {
		whole, v, more, ok := attribute(rest)
		if !ok {
			return errShort
		}
		switch whole[1] {
		case 14:
			if len(v) < 5 || len(v) < 5+int(v[3]) {
				return errShort
			}
			p.key = append(p.key, v[:4+int(v[3])]...)
			reach = v[5+int(v[3]):]
		case 15:
			if len(v) < 3 {
				return errShort
			}
			unreach = v[3:]
		default:
			p.key = append(p.key, whole...)
		}
		rest = more
	}
	err := errors.Join(p.emit(e, withdrawn, false), p.emit(e, unreach, true))
	if err != nil || len(reach)+len(nlri) == 0 {
		return err
	}
	if e.attrs = p.sets[string(p.key)]; e.attrs == nil {
		e.attrs = decode(p.key, attrs)
		p.sets[string(p.key)] = e.attrs
	}
	return errors.Join(p.emit(e, reach, true), p.emit(e, nlri, false))
}

// emit hands on an event for each prefix.
func (p *pipeline) emit(e event, nlri []byte, v6 bool) error {
	size := 4
	if v6 {
		size = 16
	}
	for len(nlri) > 0 {
		bits := int(nlri[0])
		n := (bits + 7) / 8
		if n > size || len(nlri) < 1+n {
			return errShort
		}
		if v6 {
			var a [16]byte
			copy(a[:], nlri[1:1+n])
			e.prefix = netip.PrefixFrom(netip.AddrFrom16(a), bits)
		} else {
			var a [4]byte
			copy(a[:], nlri[1:1+n])
			e.prefix = netip.PrefixFrom(netip.AddrFrom4(a), bits)
		}
		p.batch = append(p.batch, e)
		if len(p.batch) == batchSize {
			p.flush()
		}
		nlri = nlri[1+n:]
	}
	return nil
}

// decode makes the texts that a database or JSON would want.
func decode(key, attrs []byte) *attributes {
	s := &attributes{raw: append([]byte(nil), key...)}
	for len(attrs) > 0 {
		whole, v, rest, _ := attribute(attrs)
		switch whole[1] {
		case 2:
			s.asPath = pathText(v)
		case 8:
			var text []byte
			for ; len(v) >= 4; v = v[4:] {
				text = strconv.AppendUint(append(text, ' '), uint64(binary.BigEndian.Uint16(v)), 10)
				text = strconv.AppendUint(append(text, ':'), uint64(binary.BigEndian.Uint16(v[2:])), 10)
			}
			s.communities = string(text)
		}
		attrs = rest
	}
	return s
}

func pathText(v []byte) string {
	var text []byte
	for len(v) >= 2 {
		n := 2 + 4*int(v[1])
		for i := 2; i < n && i+4 <= len(v); i += 4 {
			text = strconv.AppendUint(append(text, ' '), uint64(binary.BigEndian.Uint32(v[i:])), 10)
		}
		v = v[min(n, len(v)):]
	}
	return string(text)
}
