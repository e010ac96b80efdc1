package bgp

import (
	"fmt"
	"strconv"
	"strings"
)

// maxDSCP is the largest differentiated services code point (RFC 2474 §3).
const maxDSCP = 63

// ParseFlowAction reads what to do with the packets of a flow specification, and
// returns the extended community that says it (RFC 8955 §7):
//
//	traffic-rate 24000          octets a second; behind an AS number: 65000:24000
//	traffic-rate-packets 100    packets a second
//	traffic-action sample       or terminal, or both
//	redirect 65000:1            to a VRF by its route target
//	mark 46                     with a DSCP; also traffic-marking
//	discard                     which is traffic-rate 0
//
// A colon may stand for the space, as in an extended community's own text.
func ParseFlowAction(text string) ([8]byte, error) {
	words := strings.Fields(text)
	if len(words) == 1 {
		name, rest, ok := strings.Cut(words[0], ":")
		if words = []string{name}; ok {
			words = append(words, rest)
		}
	}
	bad := func(why string) ([8]byte, error) {
		return [8]byte{}, fmt.Errorf("bgp: flow action %q: %s", text, why)
	}
	if len(words) == 0 {
		return bad("no action")
	}
	name, values := words[0], words[1:]
	if name == "discard" && len(values) == 0 {
		name, values = "traffic-rate", []string{"0"}
	}
	if len(values) == 0 {
		return bad(name + " says nothing")
	}
	value := strings.Join(values, "+")
	switch name {
	case "traffic-rate", "traffic-rate-packets":
		if !strings.Contains(value, ":") {
			value = "0:" + value
		}
	case "mark", "traffic-marking":
		if n, err := strconv.ParseUint(value, 10, 64); err != nil || n > maxDSCP {
			return bad(fmt.Sprintf("%q is not a DSCP of 0 to %d", value, maxDSCP))
		}
	case "traffic-action", "redirect":
	default:
		return bad(fmt.Sprintf("%q is not an action; those are traffic-rate, traffic-rate-packets, traffic-action, redirect, mark, discard", name))
	}
	c, err := ParseExtCommunity(name + ":" + value)
	if err != nil {
		return bad(strings.TrimPrefix(err.Error(), "bgp: "))
	}
	return c, nil
}
