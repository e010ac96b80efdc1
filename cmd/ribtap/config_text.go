package main

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strconv"
	"strings"

	"github.com/ribtap/ribtap/speaker"
)

// secret is a text that is shown nowhere: not by `config show`, not in logs, not
// in an error.
type secret string

// String hides it.
func (s secret) String() string {
	if s == "" {
		return ""
	}
	return masked
}

// GoString hides it from %#v too.
func (s secret) GoString() string { return s.String() }

// MarshalText hides it.
func (s secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue hides it.
func (s secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// asnSet is a set of AS numbers as a text: any, internal, external, or numbers
// separated by commas.
type asnSet string

// UnmarshalText checks it.
func (a *asnSet) UnmarshalText(b []byte) error {
	if _, err := speaker.ParseASNs(string(b)); err != nil {
		return fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "speaker: "))
	}
	*a = asnSet(b)
	return nil
}

// localASN is our AS number towards a neighbour; mirror is the neighbour's own.
type localASN struct {
	number uint32
	mirror bool
}

// UnmarshalText reads a number or mirror.
func (l *localASN) UnmarshalText(b []byte) error {
	if string(b) == "mirror" {
		*l = localASN{mirror: true}
		return nil
	}
	n, err := strconv.ParseUint(string(b), 10, 32)
	if err != nil {
		return fmt.Errorf("%q is neither an AS number nor mirror", b)
	}
	*l = localASN{number: uint32(n)}
	return nil
}

// MarshalText is the inverse of UnmarshalText.
func (l localASN) MarshalText() ([]byte, error) {
	if l.mirror {
		return []byte("mirror"), nil
	}
	return strconv.AppendUint(nil, uint64(l.number), 10), nil
}

// ttlSecurity is the smallest TTL that counts, 0 for any.
type ttlSecurity uint8

const ttlOnLink = 255

// UnmarshalText reads a truth value or the smallest TTL.
func (t *ttlSecurity) UnmarshalText(b []byte) error {
	switch strings.ToLower(string(b)) {
	case "true", "yes", "on":
		*t = ttlOnLink
		return nil
	case "false", "no", "off":
		*t = 0
		return nil
	}
	n, err := strconv.ParseUint(string(b), 10, 8)
	if err != nil {
		return fmt.Errorf("%q is not true, false, or a TTL of up to 255", b)
	}
	*t = ttlSecurity(n)
	return nil
}

// MarshalText is the inverse of UnmarshalText.
func (t ttlSecurity) MarshalText() ([]byte, error) {
	return strconv.AppendUint(nil, uint64(t), 10), nil
}

// wordHook gives types that are a text of several shapes that text, whatever YAML
// took it for: `remote_asn: 65000`, `remote_asn: [65000, 65001]`, `ttl_security: true`.
func wordHook(_, to reflect.Type, data any) (any, error) {
	_, isList := data.([]any)
	switch to {
	case reflect.TypeFor[secret]():
		if kind := reflect.ValueOf(data).Kind(); isList || kind == reflect.Map {
			return nil, errors.New("must be a text") // and the error says nothing of it
		}
		return data, nil
	case reflect.TypeFor[asnSet](), reflect.TypeFor[localASN](), reflect.TypeFor[ttlSecurity]():
	default:
		return data, nil
	}
	list, ok := data.([]any)
	if !ok {
		return fmt.Sprint(data), nil
	}
	words := make([]string, len(list))
	for i, v := range list {
		words[i] = fmt.Sprint(v)
	}
	return strings.Join(words, ","), nil
}
