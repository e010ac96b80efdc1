package bgp

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// parseValue is the inverse of appendValue: the six octets behind type and
// subtype. why says what is wrong with the text.
func (r *extRow) parseValue(text string) (v [6]byte, why string) {
	var n uint32
	switch r.form {
	case formAS2, formAS2Float, formIPv4, formAS4:
		return r.parsePair(text)
	case formLow1:
		n, why = r.parseWord(text, 8)
		v[5] = byte(n)
	case formLow2:
		n, why = r.parseWord(text, 16)
		binary.BigEndian.PutUint16(v[4:], uint16(n))
	case formLow4:
		n, why = parseNumber(text, 32)
		binary.BigEndian.PutUint32(v[2:], n)
	case formFlags:
		n, why = r.parseFlags(text)
		binary.BigEndian.PutUint32(v[2:], n)
	case formHex:
		if b, err := hex.DecodeString(text); err != nil || copy(v[:], b) != len(b) || len(b) != len(v) {
			return v, fmt.Sprintf("%q is not 12 digits in hex", text)
		}
	case formMAC:
		b, err := net.ParseMAC(text)
		if err != nil || len(b) != len(v) {
			return v, fmt.Sprintf("%q is not a MAC address", text)
		}
		copy(v[:], b)
	case formMobility:
		if rest, ok := strings.CutPrefix(text, "sticky:"); ok {
			v[0], text = 1, rest
		}
		n, why = parseNumber(text, 32)
		binary.BigEndian.PutUint32(v[2:], n)
	case formColor:
		return parseColor(text)
	case formOSPFRoute:
		return parseOSPFRoute(text)
	case formNone:
		if text != "" {
			why = fmt.Sprintf("%s has no value", r.name)
		}
	}
	return v, why
}

// parsePair reads an AS number or address, a colon, and a number.
func (r *extRow) parsePair(text string) (v [6]byte, why string) {
	admin, number, ok := strings.Cut(text, ":")
	if !ok {
		return v, fmt.Sprintf("%q is not two numbers", text)
	}
	var n uint32
	switch r.form {
	case formIPv4:
		a, err := netip.ParseAddr(admin)
		if err != nil || !a.Is4() {
			return v, fmt.Sprintf("%q is not an IPv4 address", admin)
		}
		copy(v[:], a.AsSlice())
	case formAS4:
		if n, why = parseNumber(admin, 32); why != "" {
			return v, why
		}
		binary.BigEndian.PutUint32(v[:], n)
	default:
		if n, why = parseNumber(admin, 16); why != "" {
			return v, why
		}
		binary.BigEndian.PutUint16(v[:], uint16(n))
		if r.form == formAS2Float {
			n, why = parseRate(number)
		} else {
			n, why = parseNumber(number, 32)
		}
		binary.BigEndian.PutUint32(v[2:], n)
		return v, why
	}
	n, why = parseNumber(number, 16)
	binary.BigEndian.PutUint16(v[4:], uint16(n))
	return v, why
}

// parseRate reads octets or packets per second, as an IEEE number.
func parseRate(text string) (bits uint32, why string) {
	f, err := strconv.ParseFloat(text, 32)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) || f < 0 {
		return 0, fmt.Sprintf("%q is not a rate", text)
	}
	return math.Float32bits(float32(f)), ""
}

func (r *extRow) parseWord(text string, bits int) (n uint32, why string) {
	if at := slices.Index(r.words, text); at >= 0 && text != "" {
		return uint32(at), ""
	}
	n, why = parseNumber(text, bits)
	if why != "" && len(r.words) > 0 {
		why += ", nor a word for one"
	}
	return n, why
}

func (r *extRow) parseFlags(text string) (n uint32, why string) {
	for part := range strings.SplitSeq(text, "+") {
		if at := slices.Index(r.words, part); at >= 0 {
			n |= 1 << at
			continue
		}
		v, bad := parseNumber(part, 32)
		if bad != "" {
			return 0, fmt.Sprintf("%q is not one of %s, or a number", part, strings.Join(r.words, ", "))
		}
		n |= v
	}
	return n, ""
}

func parseColor(text string) (v [6]byte, why string) {
	if rest, ok := strings.CutPrefix(text, "co"); ok {
		bits, color, _ := strings.Cut(rest, ":")
		n, why := parseNumber(bits, 2)
		if why != "" {
			return v, why
		}
		v[0], text = byte(n<<6), color
	}
	n, why := parseNumber(text, 32)
	binary.BigEndian.PutUint32(v[2:], n)
	return v, why
}

func parseOSPFRoute(text string) (v [6]byte, why string) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return v, fmt.Sprintf("%q is not area:type:options", text)
	}
	a, err := netip.ParseAddr(parts[0])
	if err != nil || !a.Is4() {
		return v, fmt.Sprintf("%q is not an area", parts[0])
	}
	copy(v[:], a.AsSlice())
	for i, part := range parts[1:] {
		n, why := parseNumber(part, 8)
		if why != "" {
			return v, why
		}
		v[4+i] = byte(n)
	}
	return v, ""
}
