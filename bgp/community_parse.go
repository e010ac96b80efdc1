package bgp

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// communityNames are words for well-known communities (IANA
// bgp-well-known-communities).
var communityNames = map[string]uint32{
	"graceful-shutdown":   GracefulShutdown,
	"accept-own":          0xffff0001,
	"llgr-stale":          0xffff0006,
	"no-llgr":             0xffff0007,
	"blackhole":           0xffff029a,
	"no-export":           0xffffff01,
	"no-advertise":        0xffffff02,
	"no-export-subconfed": 0xffffff03,
	"no-peer":             0xffffff04,
}

// GracefulShutdown is the community of routes that are about to go (RFC 8326 §4).
const GracefulShutdown uint32 = 0xffff0000

// ParseCommunity reads a community as 65000:1, or a well-known one by its name
// such as no-export (RFC 1997).
func ParseCommunity(text string) (uint32, error) {
	if c, ok := communityNames[text]; ok {
		return c, nil
	}
	bad := func(why string) (uint32, error) {
		return 0, fmt.Errorf("bgp: community %q: %s", text, why)
	}
	high, low, ok := strings.Cut(text, ":")
	if !ok || strings.Contains(low, ":") {
		return bad("not two numbers as 65000:1, and not a well-known name")
	}
	a, why := parseNumber(high, 16)
	if why != "" {
		return bad(why)
	}
	b, why := parseNumber(low, 16)
	if why != "" {
		return bad(why)
	}
	return a<<16 | b, nil
}

// ParseLargeCommunity reads a large community as 65000:1:2 (RFC 8092 §5).
func ParseLargeCommunity(text string) (c [3]uint32, err error) {
	parts := strings.Split(text, ":")
	if len(parts) != len(c) {
		return c, fmt.Errorf("bgp: large community %q: not three numbers as 65000:1:2", text)
	}
	for i, part := range parts {
		n, why := parseNumber(part, 32)
		if why != "" {
			return [3]uint32{}, fmt.Errorf("bgp: large community %q: %s", text, why)
		}
		c[i] = n
	}
	return c, nil
}

// parseNumber reads a decimal number of so many bits, at most 32; why says what
// is wrong with it.
func parseNumber(text string, bits int) (n uint32, why string) {
	v, err := strconv.ParseUint(text, 10, 64)
	switch {
	case err != nil:
		return 0, fmt.Sprintf("%q is not a number", text)
	case v>>bits != 0:
		return 0, fmt.Sprintf("%s is above %d", text, uint64(1)<<bits-1)
	}
	return uint32(v), ""
}

// extAliases are other programs' words for types.
var extAliases = map[string]string{
	"target": "rt", "origin": "soo", "mark": "traffic-marking",
}

// ParseExtCommunity reads an extended community as AppendExtCommunities writes
// it: rt:65000:1, soo:192.0.2.1:1, rt:4200000000:1, color:100,
// traffic-rate:0:24000, 0x0002fde800000001 (RFC 4360). An AS number that fits two
// octets takes two, and four when it is written 0.65000. target, origin and mark
// are other words for rt, soo and traffic-marking. The IPv6 address specific ones
// of 20 octets (RFC 5701) are not among them.
func ParseExtCommunity(text string) (c [8]byte, err error) {
	if digits, ok := strings.CutPrefix(text, "0x"); ok {
		v, err := strconv.ParseUint(digits, 16, 64)
		if err != nil || len(digits) != 2*extCommunityLen {
			return c, fmt.Errorf("bgp: extended community %q: not 16 digits in hex", text)
		}
		binary.BigEndian.PutUint64(c[:], v)
		return c, nil
	}
	name, value, _ := strings.Cut(text, ":")
	if alias, ok := extAliases[name]; ok {
		name = alias
	}
	value, row, why := extRowFor(name, value)
	if why == "" {
		binary.BigEndian.PutUint16(c[:], row.typ)
		var v [6]byte
		if v, why = row.parseValue(value); why == "" {
			copy(c[2:], v[:])
			return c, nil
		}
	}
	return [8]byte{}, fmt.Errorf("bgp: extended community %q: %s", text, why)
}

// extRowFor returns the row of the name whose form the value has. value comes
// back with an AS number in asdot form as one number.
func extRowFor(name, value string) (_ string, row *extRow, why string) {
	var rows [formNone + 1]*extRow
	known := false
	for i := range extRows {
		if r := &extRows[i]; r.name == name && rows[r.form] == nil {
			rows[r.form], known, row = r, true, r
		}
	}
	switch {
	case !known:
		return value, nil, fmt.Sprintf("%q is not a type, such as rt, soo or color", name)
	case rows[formAS2] == nil && rows[formIPv4] == nil && rows[formAS4] == nil:
		return value, row, ""
	case strings.HasPrefix(value, "["):
		return value, nil, "IPv6 address specific communities have 20 octets, and are not announced"
	}
	admin, number, ok := strings.Cut(value, ":")
	if !ok {
		return value, nil, fmt.Sprintf("%q is not an AS number or address, a colon, and a number", value)
	}
	form := formAS2
	switch strings.Count(admin, ".") {
	case 3:
		form = formIPv4
	case 1:
		high, low, _ := strings.Cut(admin, ".")
		a, whyHigh := parseNumber(high, 16)
		b, whyLow := parseNumber(low, 16)
		if whyHigh+whyLow != "" {
			return value, nil, fmt.Sprintf("%q is not an AS number", admin)
		}
		form, value = formAS4, strconv.FormatUint(uint64(a<<16|b), 10)+":"+number
	default:
		asn, why := parseNumber(admin, 32)
		if why != "" {
			return value, nil, why
		}
		if asn > 0xffff || rows[formAS2] == nil && rows[formAS4] != nil {
			form = formAS4
		}
	}
	if rows[form] == nil {
		return value, nil, fmt.Sprintf("%s has no form with %s", name, extAdmins[form])
	}
	return value, rows[form], ""
}

var extAdmins = [...]string{
	formAS2: "an AS number of two octets", formIPv4: "an IPv4 address", formAS4: "an AS number of four octets",
}
