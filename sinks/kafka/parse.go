package kafka

import (
	"errors"
	"fmt"
	"net/netip"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
)

// Decoder turns the values of records of the format protobuf back into events,
// for those who read the topic. It keeps routers and peers, so that equal ones
// are the same pointers; one goroutine uses it at a time.
type Decoder struct {
	routers map[string]*event.Router
	peers   map[peerOf]*event.Peer
}

type peerOf struct {
	router *event.Router
	peer   string
}

var errValue = errors.New("kafka: not a ribtap.v1.Event")

// Decode returns the event of a value, and the name of the collector that
// published it. The event's slices of octets point into the value.
func (d *Decoder) Decode(value []byte) (e event.Event, collector string, err error) {
	var router, peer []byte
	err = fields(value, func(field int, n uint64, b []byte) error {
		switch field {
		case 1:
			e.Sequence = n
		case 2:
			e.Kind = event.Kind(n)
		case 3:
			e.Received = event.Time(n)
		case 4:
			e.Observed = event.Time(n)
		case 5:
			e.Source = event.Source(n)
		case 6:
			collector = string(b)
		case 7:
			router = b
		case 8:
			peer = b
		case 9:
			e.RIB = event.RIB(n)
		case 10:
			e.Cause = event.Cause(n)
		case 11:
			e.Flags = event.Flags(n)
		case 12:
			return parseSession(&e.Session, b)
		case 13:
			e.Head = b
		case 14:
			e.Sent = b
		case 15:
			e.PDU = b
		case 16:
			e.Tail = b
		case 17:
			e.Marks = make([]event.Mark, len(b))
			for i, m := range b {
				e.Marks[i] = event.Mark(m)
			}
		case 18:
			s, err := parseStat(b)
			e.Stats = append(e.Stats, s)
			return err
		case 19:
			e.Reason = uint16(n)
		case 20:
			e.FSMCode = uint16(n)
		case 21:
			e.Text = string(b)
		case 22:
			e.Lost = n
		case 23:
			e.Start = event.Time(n)
		case 24:
			e.End = event.Time(n)
		}
		return nil
	})
	if err == nil && (e.Kind == 0 || peer != nil && router == nil) {
		err = errValue
	}
	if err == nil && router != nil {
		e.Router, err = d.router(router)
	}
	if err == nil && peer != nil {
		e.Peer, err = d.peer(e.Router, peer)
	}
	return e, collector, err
}

// fields calls fn for each field, with its number or its octets.
func fields(b []byte, fn func(field int, n uint64, b []byte) error) error {
	for len(b) > 0 {
		field, typ, size := protowire.ConsumeTag(b)
		if size < 0 {
			return fmt.Errorf("%w: %w", errValue, protowire.ParseError(size))
		}
		b = b[size:]
		var n uint64
		var octets []byte
		switch typ {
		case protowire.VarintType:
			n, size = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			octets, size = protowire.ConsumeBytes(b)
		default:
			size = protowire.ConsumeFieldValue(field, typ, b)
		}
		if size < 0 {
			return fmt.Errorf("%w: field %d: %w", errValue, field, protowire.ParseError(size))
		}
		if err := fn(int(field), n, octets[:len(octets):len(octets)]); err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}

func (d *Decoder) router(b []byte) (*event.Router, error) {
	if r := d.routers[string(b)]; r != nil {
		return r, nil
	}
	if d.routers == nil || len(d.routers) >= maxCached {
		d.routers = map[string]*event.Router{}
	}
	r := &event.Router{}
	err := fields(b, func(field int, n uint64, v []byte) (err error) {
		switch field {
		case 1:
			r.Name = string(v)
		case 2:
			r.Address, err = parseAddress(v)
		case 3:
			r.SysName = string(v)
		case 4:
			r.SysDescr = string(v)
		case 5:
			r.Session = n
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	d.routers[string(b)] = r
	return r, nil
}

func (d *Decoder) peer(r *event.Router, b []byte) (*event.Peer, error) {
	key := peerOf{r, string(b)}
	if p := d.peers[key]; p != nil {
		return p, nil
	}
	if d.peers == nil || len(d.peers) >= maxCached {
		d.peers = map[peerOf]*event.Peer{}
	}
	p := &event.Peer{Router: r}
	err := fields(b, func(field int, n uint64, v []byte) (err error) {
		switch field {
		case 1:
			p.Type = event.PeerType(n)
		case 2:
			p.Address, err = parseAddress(v)
		case 3:
			p.ASN = uint32(n)
		case 4:
			p.BGPID, err = parseAddress(v)
		case 5:
			if len(v) != len(p.Distinguisher) {
				return fmt.Errorf("%w: distinguisher of %d octets", errValue, len(v))
			}
			p.Distinguisher = bgp.RD(v)
		case 6:
			p.Table = string(v)
		case 7:
			p.LocalAddress, err = parseAddress(v)
		case 8:
			p.LocalASN = uint32(n)
		case 9:
			p.Epoch = uint32(n)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	d.peers[key] = p
	return p, nil
}

func parseSession(s *bgp.Session, b []byte) error {
	return fields(b, func(field int, n uint64, v []byte) error {
		switch field {
		case 1:
			s.AS4 = n != 0
		case 2:
			s.ExtendedMessage = n != 0
		case 3:
			s.Peering = bgp.Peering(n)
		case 4:
			for len(v) > 0 {
				family, size := protowire.ConsumeVarint(v)
				if size < 0 {
					return fmt.Errorf("%w: %w", errValue, protowire.ParseError(size))
				}
				s.AddPath = s.AddPath.With(bgp.Family(family))
				v = v[size:]
			}
		}
		return nil
	})
}

func parseStat(b []byte) (s event.Stat, err error) {
	err = fields(b, func(field int, n uint64, v []byte) error {
		switch field {
		case 1:
			s.Type = uint16(n)
		case 2:
			s.Name = string(v)
		case 3:
			s.Family = bgp.Family(n)
		case 4:
			s.Value, s.OK = n, true
		case 5:
			s.Raw = v
		}
		return nil
	})
	return s, err
}

func parseAddress(b []byte) (netip.Addr, error) {
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		return a, fmt.Errorf("%w: address of %d octets", errValue, len(b))
	}
	return a, nil
}
