package rpki

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"unicode/utf8"
)

// Types of PDUs (RFC 8210 §5).
const (
	pduSerialNotify  = 0
	pduSerialQuery   = 1
	pduResetQuery    = 2
	pduCacheResponse = 3
	pduIPv4          = 4
	pduIPv6          = 6
	pduEndOfData     = 7
	pduCacheReset    = 8
	pduRouterKey     = 9
	pduErrorReport   = 10
	pduASPA          = 11
)

// Codes of an Error Report (RFC 8210 §12) that change what a client does.
const (
	errorNoData             = 2
	errorUnsupportedVersion = 4
)

const (
	headerLen = 8
	// pduMost bounds a PDU: an Error Report has a PDU and a text inside.
	pduMost = 64 << 10
)

// pdu is one PDU: the header's fields, and what follows it.
type pdu struct {
	version, kind uint8
	session       uint16 // or zero, flags, an error code
	body          []byte
}

// readPDU reads one. An error is one of r, or says that it is no PDU.
func readPDU(r io.Reader) (p pdu, err error) {
	var h [headerLen]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return p, err
	}
	p = pdu{version: h[0], kind: h[1], session: binary.BigEndian.Uint16(h[2:])}
	n := binary.BigEndian.Uint32(h[4:])
	if n < headerLen || n > pduMost {
		return p, fmt.Errorf("a PDU of type %d has the length %d", p.kind, n)
	}
	p.body = make([]byte, n-headerLen)
	if _, err := io.ReadFull(r, p.body); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return p, err
	}
	return p, nil
}

func appendHeader(b []byte, version, kind uint8, session uint16, length int) []byte {
	b = append(b, version, kind)
	b = binary.BigEndian.AppendUint16(b, session)
	return binary.BigEndian.AppendUint32(b, uint32(length))
}

func appendResetQuery(b []byte, version uint8) []byte {
	return appendHeader(b, version, pduResetQuery, 0, headerLen)
}

func appendSerialQuery(b []byte, version uint8, session uint16, serial uint32) []byte {
	return binary.BigEndian.AppendUint32(appendHeader(b, version, pduSerialQuery, session, headerLen+4), serial)
}

// appendErrorReport tells the cache what is wrong with a PDU of its.
func appendErrorReport(b []byte, version uint8, code uint16, text string) []byte {
	b = appendHeader(b, version, pduErrorReport, code, headerLen+8+len(text))
	b = binary.BigEndian.AppendUint32(b, 0) // the PDU is not sent back
	b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
	return append(b, text...)
}

// prefix reads an IPv4 or IPv6 Prefix PDU (§5.6, §5.7).
func (p *pdu) prefix() (v VRP, announce bool, err error) {
	size := 4
	if p.kind == pduIPv6 {
		size = 16
	}
	if len(p.body) != 4+size+4 {
		return v, false, fmt.Errorf("a prefix PDU of type %d has %d octets", p.kind, headerLen+len(p.body))
	}
	addr, _ := netip.AddrFromSlice(p.body[4 : 4+size])
	bits, most := int(p.body[1]), p.body[2]
	if bits > 8*size || int(most) < bits || int(most) > 8*size {
		return v, false, fmt.Errorf("a prefix PDU says %s/%d up to /%d", addr, bits, most)
	}
	prefix := netip.PrefixFrom(addr, bits)
	if prefix != prefix.Masked() {
		return v, false, fmt.Errorf("a prefix PDU has bits behind the length: %s", prefix)
	}
	return VRP{prefix, most, binary.BigEndian.Uint32(p.body[4+size:])}, p.body[0]&1 == 1, nil
}

// aspa reads an ASPA PDU: a customer and how many providers it names. Up to version 10
// of the draft flags, families and the number of providers stand behind the header;
// since then the flags stand in it.
func (p *pdu) aspa() (customer uint32, providers int, announce bool, err error) {
	n := len(p.body)
	switch {
	case n >= 8 && n%4 == 0 && int(binary.BigEndian.Uint16(p.body[2:])) == n/4-2:
		return binary.BigEndian.Uint32(p.body[4:]), n/4 - 2, p.body[0]&1 == 1, nil
	case n >= 4 && n%4 == 0:
		return binary.BigEndian.Uint32(p.body), n/4 - 1, p.session>>8&1 == 1, nil
	}
	return 0, 0, false, fmt.Errorf("an ASPA PDU has %d octets", headerLen+n)
}

// timing is what a cache wants of its clients, in seconds (§6).
type timing struct{ refresh, retry, expire uint32 }

// What version 0 does not say, and the bounds of what is said (§6).
var usualTiming = timing{3600, 600, 7200}

// endOfData reads an End of Data PDU (§5.8).
func (p *pdu) endOfData() (serial uint32, t timing, err error) {
	switch {
	case p.version == 0 && len(p.body) == 4:
		return binary.BigEndian.Uint32(p.body), usualTiming, nil
	case p.version > 0 && len(p.body) == 16:
		t = timing{binary.BigEndian.Uint32(p.body[4:]), binary.BigEndian.Uint32(p.body[8:]), binary.BigEndian.Uint32(p.body[12:])}
		t.refresh, t.retry, t.expire = min(max(t.refresh, 1), 86400), min(max(t.retry, 1), 7200), min(max(t.expire, 600), 172800)
		return binary.BigEndian.Uint32(p.body), t, nil
	}
	return 0, t, fmt.Errorf("an End of Data of version %d has %d octets", p.version, headerLen+len(p.body))
}

// report reads an Error Report (§5.11).
func (p *pdu) report() error {
	text := ""
	if len(p.body) >= 8 {
		inner := binary.BigEndian.Uint32(p.body)
		if rest := p.body[4:]; uint64(len(rest)) >= uint64(inner)+4 {
			rest = rest[inner:]
			if n := binary.BigEndian.Uint32(rest); uint64(len(rest)) >= 4+uint64(n) && utf8.Valid(rest[4:4+n]) {
				text = string(rest[4 : 4+n])
			}
		}
	}
	return &cacheError{p.session, p.version, text}
}

// cacheError is an Error Report of the cache.
type cacheError struct {
	code    uint16
	version uint8
	text    string
}

func (e *cacheError) Error() string {
	return fmt.Sprintf("the cache reports error %d: %q", e.code, e.text)
}
