package bgp

import (
	"encoding/binary"
	"net/netip"

	"github.com/ribtap/ribtap/internal/wire"
)

// Sizes of an OPEN's parts in octets.
const (
	maxCapabilityLen    = 255
	maxShortParamsLen   = 255
	maxOpenParamsLen    = MaxMessageLen - openParamsAt - 3
	shortParamHeaderLen = 2
	longParamHeaderLen  = 3
	maxGracefulFamilies = (maxCapabilityLen - 2) / 4
)

// OpenParams says what AppendOpen writes. Lists of families may be empty; an
// empty field sends no capability unless it says otherwise.
type OpenParams struct {
	AS       uint32
	HoldTime uint16 // seconds
	BGPID    netip.Addr
	// Families get a multiprotocol capability each.
	Families []Family
	// AS4 sends the four-octet AS capability.
	AS4             bool
	RouteRefresh    bool
	EnhancedRefresh bool
	ExtendedMessage bool
	AddPath         []AddPath
	ExtendedNextHop []ExtendedNextHop
	// Role is sent if it is not nil.
	Role *Role
	// GracefulRestart is sent if it is not nil; with no families it asks peers
	// for End-of-RIB markers and offers to be a helper (RFC 4724 §3).
	GracefulRestart *GracefulRestartParams
	// LLGR is sent if it is not nil.
	LLGR []GracefulFamily
	// Host and Domain go into the FQDN capability if one of them is not empty.
	Host, Domain string
	// SoftwareVersion is sent if it is not empty.
	SoftwareVersion string
	// Other capabilities are sent as they are, behind the rest.
	Other []Capability
}

// GracefulRestartParams is what AppendOpen writes into a graceful restart
// capability.
type GracefulRestartParams struct {
	Restarting   bool
	Notification bool
	Time         uint16 // seconds, at most 4,095
	// Families holds at most 63; the rest is left out, since of two graceful
	// restart capabilities only one would count.
	Families []GracefulFamily
}

// AppendOpen appends an OPEN message with one Capabilities parameter, in the
// extended form of RFC 9072 when 255 octets are too few and only then. A list
// that is too long for one capability goes on in another of the same code;
// names and versions are cut to the 64 and 255 octets that their fields hold.
// AppendOpen panics when the capabilities do not fit a message of 4,096 octets:
// the caller bounds them.
func AppendOpen(dst []byte, p OpenParams) []byte {
	dst, start := beginMessage(dst, MessageOpen)
	dst = append(dst, openVersion)
	as2 := uint16(ASTrans)
	if p.AS <= 0xffff {
		as2 = uint16(p.AS)
	}
	dst = binary.BigEndian.AppendUint16(dst, as2)
	dst = binary.BigEndian.AppendUint16(dst, p.HoldTime)
	id := [4]byte{}
	if p.BGPID.Is4() {
		id = p.BGPID.As4()
	}
	dst = append(dst, id[:]...)
	dst = appendParams(dst, &p)
	endMessage(dst, start)
	return dst
}

// appendParams writes the capabilities behind the longest head that they may
// need, and moves them forward when the short one does.
func appendParams(dst []byte, p *OpenParams) []byte {
	at := len(dst)
	const longHead, shortHead = 4 + longParamHeaderLen, 1 + shortParamHeaderLen
	dst = append(dst, 0xff, paramExtended, 0, 0, paramCapabilities, 0, 0)
	dst = p.appendCapabilities(dst)
	n := len(dst) - at - longHead
	switch {
	case n == 0:
		return append(dst[:at], 0)
	case n+shortParamHeaderLen <= maxShortParamsLen:
		copy(dst[at+shortHead:], dst[at+longHead:])
		copy(dst[at:], []byte{byte(n + shortParamHeaderLen), paramCapabilities, byte(n)})
		return dst[:at+shortHead+n]
	case n+longParamHeaderLen > maxOpenParamsLen:
		panic("bgp: capabilities longer than an OPEN message")
	}
	binary.BigEndian.PutUint16(dst[at+2:], uint16(n+longParamHeaderLen))
	binary.BigEndian.PutUint16(dst[at+5:], uint16(n))
	return dst
}

func (p *OpenParams) appendCapabilities(dst []byte) []byte {
	for _, f := range p.Families {
		dst = append(dst, CapMultiprotocol, 4, byte(f.AFI()>>8), byte(f.AFI()), 0, byte(f.SAFI()))
	}
	if p.RouteRefresh {
		dst = append(dst, CapRouteRefresh, 0)
	}
	dst = p.appendExtendedNextHops(dst)
	if p.ExtendedMessage {
		dst = append(dst, CapExtendedMessage, 0)
	}
	if p.Role != nil {
		dst = append(dst, CapRole, 1, byte(*p.Role))
	}
	if p.GracefulRestart != nil {
		dst = p.GracefulRestart.append(dst)
	}
	if p.AS4 {
		dst = binary.BigEndian.AppendUint32(append(dst, CapFourOctetAS, 4), p.AS)
	}
	dst = p.appendAddPaths(dst)
	if p.EnhancedRefresh {
		dst = append(dst, CapEnhancedRefresh, 0)
	}
	dst = p.appendLLGR(dst)
	dst = p.appendNames(dst)
	for _, c := range p.Other {
		dst = append(dst, c.Code, byte(min(len(c.Value), maxCapabilityLen)))
		dst = append(dst, c.Value[:min(len(c.Value), maxCapabilityLen)]...)
	}
	return dst
}

// appendItems writes capabilities of the code, each with head and then as many
// of the n items of size octets as fit.
func appendItems(dst []byte, code uint8, head []byte, n, size int, item func(dst []byte, i int) []byte) []byte {
	perCapability := (maxCapabilityLen - len(head)) / size
	for i := 0; ; {
		m := min(n-i, perCapability)
		dst = append(dst, code, byte(len(head)+m*size))
		dst = append(dst, head...)
		for end := i + m; i < end; i++ {
			dst = item(dst, i)
		}
		if i == n {
			return dst
		}
	}
}

func appendFamily(dst []byte, f Family) []byte {
	return append(dst, byte(f.AFI()>>8), byte(f.AFI()), byte(f.SAFI()))
}

func (p *OpenParams) appendExtendedNextHops(dst []byte) []byte {
	if len(p.ExtendedNextHop) == 0 {
		return dst
	}
	return appendItems(dst, CapExtendedNextHop, nil, len(p.ExtendedNextHop), 6, func(dst []byte, i int) []byte {
		e := p.ExtendedNextHop[i]
		dst = binary.BigEndian.AppendUint16(dst, uint16(e.Family.AFI()))
		dst = binary.BigEndian.AppendUint16(dst, uint16(e.Family.SAFI()))
		return binary.BigEndian.AppendUint16(dst, uint16(e.NextHopAFI))
	})
}

func (p *OpenParams) appendAddPaths(dst []byte) []byte {
	if len(p.AddPath) == 0 {
		return dst
	}
	return appendItems(dst, CapAddPath, nil, len(p.AddPath), 4, func(dst []byte, i int) []byte {
		return append(appendFamily(dst, p.AddPath[i].Family), byte(p.AddPath[i].Mode))
	})
}

func (p *OpenParams) appendLLGR(dst []byte) []byte {
	if p.LLGR == nil {
		return dst
	}
	return appendItems(dst, CapLLGR, nil, len(p.LLGR), 7, func(dst []byte, i int) []byte {
		dst = append(appendFamily(dst, p.LLGR[i].Family), forwardingBit(p.LLGR[i]))
		return wire.AppendUint24(dst, p.LLGR[i].StaleTime)
	})
}

func forwardingBit(g GracefulFamily) byte {
	if g.Forwarding {
		return gracefulForwarding
	}
	return 0
}

func (g *GracefulRestartParams) append(dst []byte) []byte {
	head := min(g.Time, gracefulTime)
	if g.Restarting {
		head |= gracefulRestarting
	}
	if g.Notification {
		head |= gracefulNotification
	}
	return appendItems(dst, CapGracefulRestart, []byte{byte(head >> 8), byte(head)}, min(len(g.Families), maxGracefulFamilies), 4, func(dst []byte, i int) []byte {
		return append(appendFamily(dst, g.Families[i].Family), forwardingBit(g.Families[i]))
	})
}

// maxNameLen is the size of a name in the FQDN capability.
const maxNameLen = 64

func (p *OpenParams) appendNames(dst []byte) []byte {
	if p.Host != "" || p.Domain != "" {
		host := p.Host[:min(len(p.Host), maxNameLen)]
		domain := p.Domain[:min(len(p.Domain), maxNameLen)]
		dst = append(dst, CapFQDN, byte(2+len(host)+len(domain)), byte(len(host)))
		dst = append(append(dst, host...), byte(len(domain)))
		dst = append(dst, domain...)
	}
	if v := p.SoftwareVersion; v != "" {
		v = v[:min(len(v), maxCapabilityLen-1)]
		dst = append(dst, CapSoftwareVersion, byte(1+len(v)), byte(len(v)))
		dst = append(dst, v...)
	}
	return dst
}
