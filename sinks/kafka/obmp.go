package kafka

import (
	"crypto/md5" //nolint:gosec // OpenBMP's hash
	"encoding/binary"
	"encoding/hex"
	"net/netip"

	"github.com/ribtap/ribtap/event"
)

// An OpenBMP 1.7 binary frame, big-endian; N is the length of the collector's
// name, M that of the router's:
//
//	0 "OBMP"  4 major 1  5 minor 7  6 header length = 78+N+M  8 message length
//	12 flags  13 object type  14 seconds  18 microseconds  22 collector hash
//	38 N  40 collector  40+N router hash  56+N router address  72+N M
//	74+N router  74+N+M row count 1  78+N+M the BMP message
const (
	obmpMagic        = "OBMP"
	obmpMajor        = 1
	obmpMinor        = 7
	obmpHeader       = 78
	obmpFlagRouter   = 0x80 // about a router; readers want it
	obmpFlagIPv6     = 0x40 // the router's address is IPv6
	obmpTypeRaw      = 12
	maxRouterName    = 1024
	obmpAddressBytes = 16
)

// obmpFormat has one record for each BMP message that came, as it came.
type obmpFormat struct {
	m         *metrics
	collector string
	hash      [md5.Size]byte
	routers   map[*event.Router]*obmpRouter
	value     []byte
}

type obmpRouter struct {
	key   []byte // the hash as hexadecimal text
	hash  [md5.Size]byte
	flags byte
	addr  [obmpAddressBytes]byte
	name  string
}

func newOBMPFormat(collector string, m *metrics) *obmpFormat {
	return &obmpFormat{
		m: m, collector: collector, hash: md5.Sum([]byte(collector)), //nolint:gosec // as above
		routers: map[*event.Router]*obmpRouter{},
	}
}

func (f *obmpFormat) router(r *event.Router) *obmpRouter {
	if o := f.routers[r]; o != nil {
		return o
	}
	if len(f.routers) >= maxCached {
		clear(f.routers)
	}
	o := &obmpRouter{hash: routerHash(r.Address), flags: obmpFlagRouter, name: r.Name[:min(len(r.Name), maxRouterName)]}
	o.key = hex.AppendEncode(nil, o.hash[:])
	if r.Address.IsValid() {
		a := r.Address.Unmap()
		if a.Is6() {
			o.flags |= obmpFlagIPv6
		}
		copy(o.addr[:], a.AsSlice())
	}
	f.routers[r] = o
	return o
}

// routerHash is GoBMP's: of the address as text.
func routerHash(a netip.Addr) [md5.Size]byte {
	if !a.IsValid() {
		return md5.Sum(nil) //nolint:gosec // as above
	}
	return md5.Sum([]byte(a.Unmap().WithZone("").String())) //nolint:gosec // as above
}

func (f *obmpFormat) append(e *event.Event, out *builder) {
	if e.Source != event.SourceBMP || e.Router == nil || len(e.Head) == 0 || e.Flags&event.FlagInferred != 0 {
		f.m.skipped.WithLabelValues(skipFormat).Inc()
		return
	}
	r := f.router(e.Router)
	n := len(e.Head) + len(e.Sent) + len(e.PDU) + len(e.Tail)
	put := binary.BigEndian
	b := append(f.value[:0], obmpMagic...)
	b = append(b, obmpMajor, obmpMinor)
	b = put.AppendUint16(b, uint16(obmpHeader+len(f.collector)+len(r.name)))
	b = put.AppendUint32(b, uint32(n))
	b = append(b, r.flags, obmpTypeRaw)
	const second, micro = 1_000_000_000, 1000
	b = put.AppendUint32(b, uint32(e.Received/second))
	b = put.AppendUint32(b, uint32(e.Received%second/micro))
	b = append(b, f.hash[:]...)
	b = put.AppendUint16(b, uint16(len(f.collector)))
	b = append(b, f.collector...)
	b = append(b, r.hash[:]...)
	b = append(b, r.addr[:]...)
	b = put.AppendUint16(b, uint16(len(r.name)))
	b = append(b, r.name...)
	b = put.AppendUint32(b, 1)
	b = append(append(append(append(b, e.Head...), e.Sent...), e.PDU...), e.Tail...)
	f.value = b
	out.emit(0, r.key, b)
}
