package bgp

import (
	"encoding/hex"
	"strconv"

	"github.com/ribtap/ribtap/internal/wire"
)

// AppendText appends the capability in words, such as
//
//	add-path ipv4-unicast receive
//
// A capability that the codec has no words for, or whose value breaks its RFC's
// rule, ends in 0x and its value.
func (c Capability) AppendText(dst []byte) []byte {
	row := &capabilityRows[c.Code]
	if row.name == "" {
		dst = append(dst, "capability-"...)
		dst = strconv.AppendUint(dst, uint64(c.Code), 10)
	} else {
		dst = append(dst, row.name...)
	}
	if row.text != nil && c.wellFormed() {
		return row.text(dst, c.Value)
	}
	if len(c.Value) == 0 {
		return dst
	}
	dst = append(dst, " 0x"...)
	return hex.AppendEncode(dst, c.Value)
}

// AppendCapabilities appends all capabilities of an OPEN in words, in the order
// received, separated by a comma and a space:
//
//	multiprotocol ipv4-unicast, route-refresh, four-octet-as 65001
//
// What a router wrote into them is cleaned as CleanText does.
func AppendCapabilities(dst []byte, o *Open) []byte {
	start := len(dst)
	it := o.Capabilities()
	for c, ok := it.Next(); ok; c, ok = it.Next() {
		if len(dst) > start {
			dst = append(dst, ", "...)
		}
		dst = c.AppendText(dst)
	}
	return dst
}

// AppendText appends the family's String.
func (f Family) AppendText(dst []byte) []byte {
	if r, ok := f.row(); ok {
		return append(dst, r.name...)
	}
	dst = append(dst, "afi-"...)
	dst = strconv.AppendUint(dst, uint64(f.AFI()), 10)
	dst = append(dst, "-safi-"...)
	return strconv.AppendUint(dst, uint64(f.SAFI()), 10)
}

func appendFamilyText(dst, value []byte) []byte {
	return readMultiprotocol(value).AppendText(append(dst, ' '))
}

func appendExtendedNextHopText(dst, value []byte) []byte {
	for v := wire.NewCursor(value); !v.Empty(); {
		e := readExtendedNextHop(&v)
		dst = e.Family.AppendText(append(dst, ' '))
		dst = append(dst, " via "...)
		dst = appendAFIText(dst, e.NextHopAFI)
	}
	return dst
}

func appendAFIText(dst []byte, a AFI) []byte {
	switch a {
	case AFIIPv4:
		return append(dst, "ipv4"...)
	case AFIIPv6:
		return append(dst, "ipv6"...)
	default:
		return strconv.AppendUint(append(dst, "afi-"...), uint64(a), 10)
	}
}

func appendRoleText(dst, value []byte) []byte {
	v := wire.NewCursor(value)
	r := v.Uint8()
	if int(r) < len(roleNames) {
		return append(append(dst, ' '), roleNames[r]...)
	}
	return strconv.AppendUint(append(dst, " role-"...), uint64(r), 10)
}

func appendGracefulRestartText(dst, value []byte) []byte {
	gr := readGracefulRestart(value)
	dst = strconv.AppendUint(append(dst, ' '), uint64(gr.Time), 10)
	dst = append(dst, 's')
	if gr.Restarting {
		dst = append(dst, " restarting"...)
	}
	if gr.Notification {
		dst = append(dst, " notification"...)
	}
	var buf [maxCapabilityLen / 4]GracefulFamily
	for _, g := range gr.AppendFamilies(buf[:0]) {
		dst = g.Family.AppendText(append(dst, ' '))
		dst = appendForwarding(dst, g)
	}
	return dst
}

func appendForwarding(dst []byte, g GracefulFamily) []byte {
	if g.Forwarding {
		dst = append(dst, " forwarding"...)
	}
	return dst
}

func appendLLGRText(dst, value []byte) []byte {
	var buf [maxCapabilityLen / 7]GracefulFamily
	for _, g := range appendLLGR(buf[:0], value) {
		dst = g.Family.AppendText(append(dst, ' '))
		dst = strconv.AppendUint(append(dst, ' '), uint64(g.StaleTime), 10)
		dst = appendForwarding(append(dst, 's'), g)
	}
	return dst
}

func appendFourOctetASText(dst, value []byte) []byte {
	v := wire.NewCursor(value)
	return strconv.AppendUint(append(dst, ' '), uint64(v.Uint32()), 10)
}

func appendAddPathText(dst, value []byte) []byte {
	for v := wire.NewCursor(value); !v.Empty(); {
		dst = family(&v).AppendText(append(dst, ' '))
		dst = append(dst, ' ')
		switch m := AddPathMode(v.Uint8()); m {
		case AddPathReceive, AddPathSend, AddPathBoth:
			dst = append(dst, m.String()...)
		default:
			dst = strconv.AppendUint(append(dst, "mode-"...), uint64(m), 10)
		}
	}
	return dst
}

func appendFQDNText(dst, value []byte) []byte {
	host, domain, ok := readFQDN(value)
	if !ok {
		return hex.AppendEncode(append(dst, " 0x"...), value)
	}
	if len(host)+len(domain) > 0 {
		dst = CleanText(append(dst, ' '), host)
	}
	if len(domain) > 0 {
		dst = CleanText(append(dst, '.'), domain)
	}
	return dst
}

func appendSoftwareVersionText(dst, value []byte) []byte {
	if v := readSoftwareVersion(value); len(v) > 0 {
		dst = CleanText(append(dst, ' '), v)
	}
	return dst
}
