package speakertest

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/ribtap/ribtap/bgp"
)

// Message puts a sound header before a body, which may be anything.
func Message(typ uint8, body []byte) []byte {
	msg := make([]byte, 0, bgp.HeaderLen+len(body))
	for range 16 {
		msg = append(msg, 0xff)
	}
	msg = binary.BigEndian.AppendUint16(msg, uint16(bgp.HeaderLen+len(body)))
	return append(append(msg, typ), body...)
}

// HexMessage is Message with a body in hexadecimal.
func HexMessage(t testing.TB, typ uint8, body string) []byte {
	t.Helper()
	return Message(typ, Octets(t, body))
}

// Keepalive is the message.
func Keepalive() []byte { return Message(bgp.MessageKeepalive, nil) }

// Open is the OPEN of a neighbour with everything that a modern one has: IPv4 and
// IPv6 unicast, four-octet AS numbers and route refresh. The functions change it.
func Open(asn uint32, id string, change ...func(*bgp.OpenParams)) []byte {
	o := bgp.OpenParams{
		AS: asn, HoldTime: 90, BGPID: netip.MustParseAddr(id), AS4: true, RouteRefresh: true,
		Families: []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast},
	}
	for _, f := range change {
		f(&o)
	}
	return bgp.AppendOpen(nil, o)
}

// Handshake brings a session up with the neighbour's OPEN and returns ours. It
// takes either order of the OPENs.
func (p *Peer) Handshake(open []byte) []byte {
	p.t.Helper()
	p.Send(open)
	ours := p.Expect(bgp.MessageOpen)
	p.Expect(bgp.MessageKeepalive)
	p.Send(Keepalive())
	return ours
}
