package sqlite

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
)

// Match says which prefixes a Query is about.
type Match uint8

// Values of Match.
const (
	// MatchExact: the prefix itself.
	MatchExact Match = iota
	// MatchLongest: in each RIB (router, peer, RIB view), family and route
	// distinguisher, the longest prefix that covers the one asked for and has a
	// route there, as a packet would find it; in History, that has a row in the
	// window of time. Other filters are applied to what was found so.
	MatchLongest
	// MatchLonger: the prefix and all inside it.
	MatchLonger
	// MatchShorter: the prefix and all that cover it.
	MatchShorter
)

var matchNames = [...]string{"exact", "longest", "longer", "shorter"}

// String returns exact, longest, longer or shorter.
func (m Match) String() string {
	if int(m) < len(matchNames) {
		return matchNames[m]
	}
	return "unknown"
}

// ParseMatch is the inverse of String.
func ParseMatch(s string) (Match, error) {
	for i, n := range matchNames {
		if n == s {
			return Match(i), nil
		}
	}
	return 0, fmt.Errorf("sqlite: %q is none of %s", s, strings.Join(matchNames[:], ", "))
}

// Query says which rows a Reader gives. The zero Query is about all of them.
// Peers and Routers look at Router, Peer and ASN only; the other lists of
// sessions, statistics and gaps at the times, RIB and Limit too.
type Query struct {
	// Prefix is what Match is about; invalid for every prefix.
	Prefix netip.Prefix
	Match  Match
	// NLRI is the text of an NLRI as the column prefix has it, for families
	// whose NLRI is not a prefix; it is used when Prefix is invalid.
	NLRI string

	// At asks Routes for the routes as they were at that time, by the time
	// received; the zero time for now.
	At time.Time
	// From and To bound the time received of the other lists: not before From,
	// not after To; the zero time is no bound.
	From, To time.Time

	Router string // name or address
	Peer   netip.Addr
	ASN    uint32 // the peer's
	RIB    event.RIB
	Family bgp.Family

	OriginAS uint32
	// Community is one community, large or extended community as the columns
	// show it.
	Community string
	// ASPath is searched for in the column as_path; CompileASPath makes one.
	ASPath *regexp.Regexp

	// Newest turns the order of History and of the session lists around, so
	// that a Limit keeps the newest rows.
	Newest bool
	// Limit bounds the rows; 0 does not.
	Limit int
}

// ParseTarget sets Prefix, Match and NLRI from what a person types: a prefix,
// an address (the longest match for it), or the text of another NLRI.
func (q *Query) ParseTarget(s string) {
	if p, err := netip.ParsePrefix(s); err == nil {
		q.Prefix, q.Match = p.Masked(), MatchExact
	} else if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		q.Prefix, q.Match = netip.PrefixFrom(a, a.BitLen()), MatchLongest
	} else {
		q.NLRI = s
	}
}

// CompileASPath compiles a regular expression for AS paths, in which an
// underscore stands for the path's beginning or end or for what separates AS
// numbers and sets, as in BGPStream and in routers. An underscore within
// brackets or behind a backslash stands for itself.
func CompileASPath(expr string) (*regexp.Regexp, error) {
	const separator = `(?:^|$|[ ,{}()\[\]])`
	var b strings.Builder
	inClass, escaped := false, false
	for _, c := range expr {
		switch {
		case escaped:
			escaped = false
		case c == '\\':
			escaped = true
		case c == '[':
			inClass = true
		case c == ']':
			inClass = false
		case c == '_' && !inClass:
			b.WriteString(separator)
			continue
		}
		b.WriteRune(c)
	}
	re, err := regexp.Compile(b.String())
	if err != nil {
		return nil, fmt.Errorf("sqlite: AS path expression: %w", err)
	}
	return re, nil
}

// where is a condition in SQL and its arguments.
type where struct {
	terms []string
	args  []any
}

func (w *where) add(term string, args ...any) {
	w.terms = append(w.terms, term)
	w.args = append(w.args, args...)
}

// String returns the WHERE clause, or nothing.
func (w *where) String() string {
	if len(w.terms) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.terms, " AND ")
}

// addrKey is the column addr of an address.
func addrKey(a netip.Addr) []byte {
	if a.Is4() {
		b := a.As4()
		return append([]byte{4}, b[:]...)
	}
	b := a.As16()
	return append([]byte{6}, b[:]...)
}

// lastAddr is the highest address of a prefix.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// byNLRI reports whether the query names NLRI, which are looked up first.
func (q *Query) byNLRI() bool { return q.Prefix.IsValid() || q.NLRI != "" }

// nlri adds the condition on the table nlri, called n. Each form is one or
// more searches of an index.
func (q *Query) nlri(w *where) {
	switch p := q.Prefix.Masked(); {
	case !q.Prefix.IsValid():
		if q.NLRI != "" {
			w.add("n.prefix = ?", q.NLRI)
		}
	case q.Match == MatchExact:
		w.add("n.addr = ? AND n.plen = ?", addrKey(p.Addr()), p.Bits())
	case q.Match == MatchLonger:
		w.add("n.addr BETWEEN ? AND ? AND n.plen >= ?", addrKey(p.Addr()), addrKey(lastAddr(p)), p.Bits())
	default:
		var args []any
		for bits := p.Bits(); bits >= 0; bits-- {
			args = append(args, addrKey(netip.PrefixFrom(p.Addr(), bits).Masked().Addr()), bits)
		}
		w.add("(n.addr, n.plen) IN (VALUES "+strings.Repeat("(?,?),", p.Bits())+"(?,?))", args...)
	}
	if q.Family != 0 {
		w.add("n.family = ?", int64(q.Family))
	}
}
