package bgp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// flowLimits are what a component's values may be, and in how many octets at
// least they are written (RFC 8955 §4.2.2, RFC 8956 §3).
var flowLimits = [flowLast + 1]struct {
	max    uint64
	octets int
}{
	3:  {0xff, 1},
	4:  {0xffff, 1},
	5:  {0xffff, 1},
	6:  {0xffff, 1},
	7:  {0xff, 1},
	8:  {0xff, 1},
	9:  {0xfff, 1}, // the data offset is no flag
	10: {0xffff, 1},
	11: {0x3f, 1},
	12: {0x0f, 1},
	13: {0xfffff, 4},
}

const (
	flowProtocol   = 3
	flowFragment   = 12
	flowLabel      = 13
	flowDontBit    = 1 // of flowFragment; IPv6 has none (RFC 8956 §3.6)
	maxFlowspecLen = 0xfff
)

// flowProtocols are words for the numbers that filters have to do with (IANA
// protocol-numbers).
var flowProtocols = map[string]uint64{
	"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "ah": 51, "icmp6": 58, "ospf": 89, "pim": 103, "sctp": 132,
}

// ParseFlowspec reads a flow specification in words, as NLRI.AppendText writes
// it, and returns the item as it stands on the wire (RFC 8955 §4, RFC 8956 §3):
//
//	destination 10.9.0.0/16 protocol ==17 destination-port >53
//	packet-length >8000 <=8080
//	source-port ==80|==443 tcp-flags =syn&!ack
//
// Conditions are joined by | for alternatives and by & or a space when they hold
// together. A number without a relation, or behind =, is ==; protocols have
// their usual words too. Components may come in any order, each once; the item
// has them in the order of their types. f is IPv4Flowspec or IPv6Flowspec.
func ParseFlowspec(f Family, text string) ([]byte, error) {
	item, err := parseFlowspec(f, text)
	if err != nil {
		return nil, fmt.Errorf("bgp: flow specification %q: %w", text, err)
	}
	return item, nil
}

func parseFlowspec(f Family, text string) ([]byte, error) {
	if f != IPv4Flowspec && f != IPv6Flowspec {
		return nil, fmt.Errorf("family %v has no text form", f)
	}
	var parts [flowLast + 1][]byte
	words := strings.Fields(text)
	if len(words) == 0 {
		return nil, errors.New("no component")
	}
	for len(words) > 0 {
		name := words[0]
		typ := flowType(name)
		if typ == 0 {
			return nil, fmt.Errorf("%q is not a component; those are %s", name, flowNames())
		}
		n := 1
		for n < len(words) && flowType(words[n]) == 0 {
			n++
		}
		if n == 1 {
			return nil, fmt.Errorf("%s says nothing", name)
		}
		if parts[typ] != nil {
			return nil, fmt.Errorf("%s is there twice", name)
		}
		part, err := parseFlowComponent(f.AFI(), typ, words[1:n])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		parts[typ], words = part, words[n:]
	}
	value := slices.Concat(parts[:]...)
	switch {
	case len(value) > maxFlowspecLen:
		return nil, fmt.Errorf("%d octets are more than %d", len(value), maxFlowspecLen)
	case len(value) >= flowLongLength:
		return append(binary.BigEndian.AppendUint16(nil, flowLongLength<<8|uint16(len(value))), value...), nil
	}
	return append([]byte{byte(len(value))}, value...), nil
}

// flowType returns the type of a component, 0 when there is none of the name.
func flowType(name string) int {
	for typ := range flowComponents {
		if flowComponents[typ].form != 0 && flowComponents[typ].name == name {
			return typ
		}
	}
	return 0
}

func flowNames() string {
	var names []string
	for _, c := range flowComponents {
		if c.form != 0 {
			names = append(names, c.name)
		}
	}
	return strings.Join(names, ", ")
}

// parseFlowComponent returns type and operands of one component.
func parseFlowComponent(afi AFI, typ int, words []string) ([]byte, error) {
	dst := []byte{byte(typ)}
	switch {
	case typ == flowLabel && afi != AFIIPv6:
		return nil, errors.New("only IPv6 has flow labels")
	case flowComponents[typ].form != flowPrefix:
		return appendFlowConditions(dst, afi, typ, strings.Join(words, " "))
	case len(words) > 1:
		return nil, fmt.Errorf("one prefix, not %q", strings.Join(words, " "))
	case afi == AFIIPv4:
		return appendFlowPrefix4(dst, words[0])
	}
	return appendFlowPrefix6(dst, words[0])
}

// appendFlowPrefix4 appends bits[1] prefix…; an address alone is a prefix of 32.
func appendFlowPrefix4(dst []byte, word string) ([]byte, error) {
	p, err := parseHostPrefix(word)
	switch {
	case err != nil:
		return nil, err
	case !p.Addr().Is4():
		return nil, fmt.Errorf("%s is not an IPv4 prefix", word)
	case p != p.Masked():
		return nil, fmt.Errorf("%s has bits behind its length; %s has not", word, p.Masked())
	}
	n := len(dst) + 1 + octets(p.Bits())
	return appendAddr(append(dst, byte(p.Bits())), p.Addr())[:n], nil
}

func parseHostPrefix(word string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(word); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(word)
	if err != nil {
		return p, fmt.Errorf("%q is not a prefix", word)
	}
	return p, nil
}

// appendFlowPrefix6 appends bits[1] offset[1] pattern… (RFC 8956 §3.1).
func appendFlowPrefix6(dst []byte, word string) ([]byte, error) {
	address, length, _ := strings.Cut(word, "/")
	from, to, ranged := strings.Cut(length, "-")
	offset := 0
	if ranged {
		n, err := strconv.ParseUint(from, 10, 8)
		if err != nil {
			return nil, fmt.Errorf("%q is not an offset", from)
		}
		offset, word = int(n), address+"/"+to
	}
	p, err := parseHostPrefix(word)
	switch {
	case err != nil:
		return nil, err
	case !p.Addr().Is6():
		return nil, fmt.Errorf("%s is not an IPv6 prefix", word)
	case p != p.Masked():
		return nil, fmt.Errorf("%s has bits behind its length; %s has not", word, p.Masked())
	case offset >= p.Bits() && offset > 0:
		return nil, fmt.Errorf("offset %d is not before length %d", offset, p.Bits())
	case offset > 0 && netip.PrefixFrom(p.Addr(), offset).Masked().Addr() != netip.IPv6Unspecified():
		return nil, fmt.Errorf("%s has bits before the offset %d", address, offset)
	}
	dst = append(dst, byte(p.Bits()), byte(offset))
	return appendPattern(dst, p.Addr(), offset, p.Bits()), nil
}

// appendPattern appends the bits of a from the offset to the end, from the first
// bit of the first octet on: the inverse of placePattern.
func appendPattern(dst []byte, a netip.Addr, offset, end int) []byte {
	b := a.As16()
	shift := offset % 8
	for i := range octets(end - offset) {
		at := offset/8 + i
		v := b[at] << shift
		if at+1 < len(b) {
			v |= b[at+1] >> (8 - shift)
		}
		dst = append(dst, v)
	}
	return dst
}

// appendFlowConditions appends operator[1] value[1, 2 or 4] for each condition.
func appendFlowConditions(dst []byte, afi AFI, typ int, text string) ([]byte, error) {
	last := 0
	var before flowCondition
	for join := byte(0); ; {
		word, next, rest := cutCondition(text)
		c, err := parseCondition(afi, typ, word)
		if err != nil {
			return nil, err
		}
		if join == ' ' && c.only(&before) {
			return nil, fmt.Errorf("%s and %s never hold together; alternatives are joined by |", before.word, word)
		}
		if join == '&' || join == ' ' {
			c.op |= flowAnd
		}
		last = len(dst)
		dst = c.append(dst, flowLimits[typ].octets)
		if next == 0 {
			dst[last] |= flowEndOfList
			return dst, nil
		}
		before, join, text = c, next, rest
	}
}

// cutCondition returns the first condition of the text, and what joins it to the
// rest: |, &, a space, or 0 when there is none.
func cutCondition(text string) (word string, join byte, rest string) {
	at := strings.IndexAny(text, " &|")
	if at < 0 {
		return text, 0, ""
	}
	word, rest = text[:at], strings.TrimLeft(text[at:], " ")
	if rest == "" {
		return word, 0, ""
	}
	if rest[0] == '&' || rest[0] == '|' {
		return word, rest[0], strings.TrimLeft(rest[1:], " ")
	}
	return word, ' ', rest
}

// flowCondition is an operator without the bits that join it, and its value.
type flowCondition struct {
	word   string
	op     uint8
	value  uint64
	number bool
}

const flowEqual = 1 // ==, as the three bits of a numeric operator

// only reports whether both conditions name one value, and not the same.
func (c *flowCondition) only(other *flowCondition) bool {
	return c.number && c.op == flowEqual && other.op&flowRelation == flowEqual && c.value != other.value
}

// append appends operator and value in at least so many octets.
func (c *flowCondition) append(dst []byte, least int) []byte {
	switch {
	case c.value > 0xffff || least == 4:
		return binary.BigEndian.AppendUint32(append(dst, c.op|2<<flowLengthShift), uint32(c.value))
	case c.value > 0xff:
		return binary.BigEndian.AppendUint16(append(dst, c.op|1<<flowLengthShift), uint16(c.value))
	}
	return append(dst, c.op, byte(c.value))
}

func parseCondition(afi AFI, typ int, word string) (flowCondition, error) {
	if word == "" {
		return flowCondition{}, errors.New("a condition is missing")
	}
	c := flowCondition{word: word}
	var err error
	row := &flowComponents[typ]
	if row.form == flowNumber {
		c.number = true
		err = c.parseNumber(typ)
	} else {
		err = c.parseBits(row.bits)
	}
	switch {
	case err != nil:
		return c, err
	case c.value > flowLimits[typ].max:
		return c, fmt.Errorf("%s is above %d", word, flowLimits[typ].max)
	case typ == flowFragment && afi == AFIIPv6 && c.value&flowDontBit != 0:
		return c, errors.New("IPv6 has no dont-fragment")
	}
	return c, nil
}

// parseNumber reads a relation and a number, or true or false.
func (c *flowCondition) parseNumber(typ int) error {
	at := strings.IndexFunc(c.word, func(r rune) bool { return !strings.ContainsRune("=!<>", r) })
	if at < 0 {
		return fmt.Errorf("no number behind %s", c.word)
	}
	relation, number := c.word[:at], c.word[at:]
	switch relation {
	case "":
		if number == flowRelations[0] || number == flowRelations[flowRelation] {
			c.op = uint8(slices.Index(flowRelations[:], number))
			return nil
		}
		c.op = flowEqual
	case "=":
		c.op = flowEqual
	default:
		op := slices.Index(flowRelations[:], relation)
		if op < 0 {
			return fmt.Errorf("%s is not one of == != < <= > >=", relation)
		}
		c.op = uint8(op)
	}
	if typ == flowProtocol {
		if n, ok := flowProtocols[number]; ok {
			c.value = n
			return nil
		}
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return fmt.Errorf("%q is not a number", number)
	}
	c.value = n
	return nil
}

// parseBits reads ! and = before names of bits joined by plus signs, or before a
// number in hex.
func (c *flowCondition) parseBits(bits []string) error {
	word := c.word
	if rest, ok := strings.CutPrefix(word, "!"); ok {
		c.op, word = c.op|flowNot, rest
	}
	if rest, ok := strings.CutPrefix(word, "="); ok {
		c.op, word = c.op|flowMatch, rest
	}
	if digits, ok := strings.CutPrefix(word, "0x"); ok {
		n, err := strconv.ParseUint(digits, 16, 64)
		if err != nil {
			return fmt.Errorf("%q is not a number in hex", word)
		}
		c.value = n
		return nil
	}
	for name := range strings.SplitSeq(word, "+") {
		bit := slices.Index(bits, name)
		if bit < 0 {
			return fmt.Errorf("%q is not one of %s, or a number in hex", name, strings.Join(bits, ", "))
		}
		c.value |= 1 << bit
	}
	return nil
}
