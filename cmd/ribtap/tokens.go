package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
)

// scope is what a token lets its bearer do.
type scope int

const (
	scopeNone scope = iota
	scopeRead
	scopeControl // that, too, and orders to the speaker, configurations, imports
)

// token is one of http.token_file.
type token struct {
	sum   [sha256.Size]byte
	scope scope
	plain string // empty when the file has only its hash
}

// minToken is the fewest characters of a token worth the name.
const minToken = 16

// readTokens reads a file of tokens, one a line: the token alone or behind its scope,
// read or control, as it is or as sha256: and its hash. Alone it is one of control.
func readTokens(path string) (list []token, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", path, errors.Unwrap(err))
	}
	number := 0
	for line := range strings.Lines(string(b)) {
		number++
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		t, err := parseToken(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, number, err)
		}
		list = append(list, t)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s has no token in it; make one with: openssl rand -hex 24", path)
	}
	return list, nil
}

func parseToken(line string) (t token, err error) {
	words := strings.Fields(line)
	t.scope = scopeControl
	if len(words) == 2 {
		switch words[0] {
		case "read":
			t.scope = scopeRead
		case "control":
		default:
			return t, fmt.Errorf("%q is neither read nor control", words[0])
		}
		words = words[1:]
	}
	if len(words) != 1 {
		return t, errors.New("a line has one token, with read or control in front of it or nothing")
	}
	if h, ok := strings.CutPrefix(words[0], "sha256:"); ok {
		sum, err := hex.DecodeString(h)
		if err != nil || len(sum) != sha256.Size {
			return t, errors.New("behind sha256: are not the 64 hexadecimal digits of a hash")
		}
		copy(t.sum[:], sum)
		return t, nil
	}
	if len(words[0]) < minToken {
		return t, fmt.Errorf("a token has at least %d characters, for example from: openssl rand -hex 24", minToken)
	}
	t.plain, t.sum = words[0], sha256.Sum256([]byte(words[0]))
	return t, nil
}

// allows is what a token that somebody shows lets them do.
func allows(list []token, shown string) (most scope) {
	sum := sha256.Sum256([]byte(shown))
	for i := range list {
		if subtle.ConstantTimeCompare(sum[:], list[i].sum[:]) == 1 {
			most = max(most, list[i].scope)
		}
	}
	return most
}

// own is the token of the file that a client of this machine shows: the one that lets
// it do the most; empty if the file has only hashes.
func own(list []token) string {
	best := token{}
	for _, t := range list {
		if t.plain != "" && t.scope > best.scope {
			best = t
		}
	}
	return best.plain
}
