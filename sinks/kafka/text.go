package kafka

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/internal/wire"
)

// jsonText is s as a JSON string; for what is kept, as it allocates.
func jsonText(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		return []byte(`""`) // no string makes it fail
	}
	return b
}

func appendUint(dst []byte, v uint64) []byte { return strconv.AppendUint(dst, v, 10) }

// appendName appends a comma, unless the object begins, and the name of a field.
func appendName(dst []byte, name string) []byte {
	if n := len(dst); n > 0 && dst[n-1] != '{' && dst[n-1] != '[' && dst[n-1] != ',' {
		dst = append(dst, ',')
	}
	dst = append(dst, '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

// appendPlain appends a field with text of our own making: ASCII without quotes.
func appendPlain[T string | []byte](dst []byte, name string, s T) []byte {
	dst = append(appendName(dst, name), '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

func appendNumber(dst []byte, name string, v uint64) []byte {
	return appendUint(appendName(dst, name), v)
}

func appendBool(dst []byte, name string, v bool) []byte {
	return strconv.AppendBool(appendName(dst, name), v)
}

func appendTime(dst []byte, name string, t event.Time) []byte {
	if t == 0 {
		return dst
	}
	dst = append(appendName(dst, name), '"')
	dst = event.AppendTime(dst, t)
	return append(dst, '"')
}

// appendNanos appends a field with a time as Go's RFC3339Nano has it.
func appendNanos(dst []byte, name string, t event.Time) []byte {
	dst = append(appendName(dst, name), '"')
	dst = t.Std().AppendFormat(dst, time.RFC3339Nano)
	return append(dst, '"')
}

// labelLowBits are the traffic class and the bottom of stack in a label field of
// three octets (RFC 3032 §2.1).
const labelLowBits = 4

// appendLabels appends a field with the labels of a stack, top first (RFC 8277
// §2); nothing without labels.
func appendLabels(dst []byte, name string, fields []byte) []byte {
	if len(fields) == 0 {
		return dst
	}
	dst = append(appendName(dst, name), '[')
	for c, first := wire.NewCursor(fields), true; c.Len() >= 3; first = false {
		if !first {
			dst = append(dst, ',')
		}
		dst = appendUint(dst, uint64(c.Uint24()>>labelLowBits))
	}
	return append(dst, ']')
}

// appendList appends a field with a list of the words of s, which are parted by
// spaces; nothing without words.
func appendList(dst []byte, name string, s []byte) []byte {
	if len(s) == 0 {
		return dst
	}
	dst = append(appendName(dst, name), '[', '"')
	for _, c := range s {
		if c == ' ' {
			dst = append(dst, '"', ',', '"')
		} else {
			dst = append(dst, c)
		}
	}
	return append(dst, '"', ']')
}

// appendQuoted appends a field with text that may hold anything; nothing for
// none. The NLRI of unknown families and flow specifications are ASCII, but
// nobody promises that.
func appendQuoted(dst []byte, name string, s []byte) []byte {
	dst = append(appendName(dst, name), '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ' || c >= 0x7f:
			dst = append(dst, '?')
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// appendRD appends a field with a route distinguisher.
func appendRD(dst []byte, name string, rd bgp.RD) []byte {
	dst = append(appendName(dst, name), '"')
	dst = rd.AppendText(dst)
	return append(dst, '"')
}
