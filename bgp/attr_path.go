package bgp

import "github.com/ribtap/ribtap/internal/wire"

// SegmentType is the type of an AS path segment (RFC 4271 §4.3, RFC 5065 §3).
type SegmentType uint8

// Values of SegmentType.
const (
	ASSet            SegmentType = 1
	ASSequence       SegmentType = 2
	ASConfedSequence SegmentType = 3
	ASConfedSet      SegmentType = 4
)

// confed reports whether the segment counts for nothing in the length of a
// path (RFC 5065 §5.3).
func (t SegmentType) confed() bool { return t == ASConfedSequence || t == ASConfedSet }

// set reports whether the order of the segment's AS numbers means nothing.
func (t SegmentType) set() bool { return t == ASSet || t == ASConfedSet }

// PathSegment is one segment of an AS path, a view.
type PathSegment struct {
	Type SegmentType
	as4  bool
	asns wire.Cursor
}

// Len returns how many AS numbers are left in the segment.
func (s *PathSegment) Len() int { return s.asns.Len() / asLen(s.as4) }

// Next returns the segment's next AS number; ok is false at the end.
func (s *PathSegment) Next() (asn uint32, ok bool) {
	asn = readAS(&s.asns, s.as4)
	return asn, s.asns.OK()
}

// hops is what the segment counts in the length of a path (RFC 4271 §9.1.2.2,
// RFC 5065 §5.3).
func (s *PathSegment) hops() int {
	switch {
	case s.Type.confed():
		return 0
	case s.Type == ASSet:
		return 1
	}
	return s.Len()
}

func asLen(as4 bool) int {
	if as4 {
		return 4
	}
	return 2
}

// nextSegment reads one segment. What follows a segment that is not one, or
// that overruns, cannot be told; ok is false there and at the end.
func nextSegment(c *wire.Cursor, as4 bool) (s PathSegment, ok bool) {
	if c.Empty() {
		return PathSegment{}, false
	}
	s = PathSegment{Type: SegmentType(c.Uint8()), as4: as4}
	s.asns = c.Sub(int(c.Uint8()) * asLen(as4))
	return s, c.OK() && s.Type >= ASSet && s.Type <= ASConfedSet
}

// ASPath walks the segments of an AS path without allocating.
type ASPath struct {
	path, as4Path wire.Cursor
	as4           bool
	// merged is set when AS4_PATH follows after lead AS numbers of AS_PATH.
	merged bool
	lead   int
	// joined is set while every segment before this one was taken whole.
	joined bool
}

// ASPath returns the AS path, merged with AS4_PATH on a session without AS4
// (RFC 6793 §4.2.3). ok is false when the UPDATE has no AS_PATH, or the verdict
// discards it. The path of a malformed AS_PATH ends where it cannot be read.
func (u *Update) ASPath() (p ASPath, ok bool) {
	a, ok := u.Attr(AttrASPath)
	if !ok {
		return ASPath{}, false
	}
	p = ASPath{path: wire.NewCursor(a.Value), as4: u.session.AS4}
	if u.session.AS4 || !u.as4PathCounts() {
		return p, true
	}
	as4, ok := u.Attr(AttrAS4Path)
	if !ok {
		return p, true
	}
	p.as4Path = wire.NewCursor(as4.Value)
	n, ok1 := pathHops(p.path, false)
	n4, ok2 := pathHops(p.as4Path, true)
	if ok1 && ok2 && n >= n4 {
		p.merged, p.lead, p.joined = true, n-n4, true
	}
	return p, true
}

// as4PathCounts applies the rule that a speaker without four-octet AS numbers
// which aggregates makes AS4_PATH and AS4_AGGREGATOR stale.
func (u *Update) as4PathCounts() bool {
	if _, ok := u.Attr(AttrAS4Aggregator); !ok {
		return true
	}
	asn, _, ok := u.aggregator(AttrAggregator, false)
	return !ok || asn == ASTrans
}

// pathHops returns the length of a path; ok is false for a malformed one.
func pathHops(c wire.Cursor, as4 bool) (n int, ok bool) {
	for !c.Empty() {
		s, ok := nextSegment(&c, as4)
		if !ok {
			return 0, false
		}
		n += s.hops()
	}
	return n, true
}

// Next returns the next segment; ok is false at the end.
func (p *ASPath) Next() (s PathSegment, ok bool) {
	if !p.merged {
		return nextSegment(&p.path, p.as4)
	}
	if p.joined {
		if s, ok = p.nextLeading(); ok {
			return s, true
		}
		p.joined = false
	}
	for {
		s, ok = nextSegment(&p.as4Path, true)
		// Confederation segments do not belong there (RFC 6793 §3).
		if !ok || !s.Type.confed() {
			return s, ok
		}
	}
}

// nextLeading returns the next segment of the leading part of AS_PATH, the last
// one cut to the AS numbers that are wanted of it. A confederation segment goes
// along when it leads or follows one that was taken whole.
func (p *ASPath) nextLeading() (s PathSegment, ok bool) {
	s, ok = nextSegment(&p.path, false)
	hops := s.hops()
	switch {
	case !ok:
		return s, false
	case hops == 0 || hops <= p.lead:
		p.lead -= hops
		return s, true
	case p.lead == 0:
		return s, false
	}
	s.asns = s.asns.Sub(p.lead * asLen(false))
	p.lead, p.joined = 0, false
	return s, true
}

// delimiters holds what opens and closes a segment in text, by type.
var delimiters = [...][2]byte{ASSet: {'{', '}'}, ASConfedSequence: {'(', ')'}, ASConfedSet: {'[', ']'}}

// AppendASPath appends bgpdump's text of the path: AS numbers with single
// spaces, sets as {1,2}, confederation sequences as (1 2) and sets as [1,2].
func (u *Update) AppendASPath(dst []byte) []byte {
	p, ok := u.ASPath()
	if !ok {
		return dst
	}
	space := false
	for s, ok := p.Next(); ok; s, ok = p.Next() {
		// bgpdump puts no space behind a segment without AS numbers.
		if space {
			dst = append(dst, ' ')
		}
		space = s.Len() > 0
		dst = s.appendText(dst)
	}
	return dst
}

func (s *PathSegment) appendText(dst []byte) []byte {
	between := byte(' ')
	if s.Type.set() {
		between = ','
	}
	if s.Type != ASSequence {
		dst = append(dst, delimiters[s.Type][0])
	}
	for i := 0; ; i++ {
		asn, ok := s.Next()
		if !ok {
			break
		}
		if i > 0 {
			dst = append(dst, between)
		}
		dst = appendUint(dst, asn)
	}
	if s.Type != ASSequence {
		dst = append(dst, delimiters[s.Type][1])
	}
	return dst
}

// OriginAS returns the last AS number of the path. ok is false for an empty
// path, for one that ends in an AS_SET of several, and for one that ends in a
// confederation segment: such a route comes from the confederation itself,
// whose number is not in the path (RFC 6811 §2).
func (u *Update) OriginAS() (uint32, bool) {
	p, ok := u.ASPath()
	if !ok {
		return 0, false
	}
	var last PathSegment
	for s, ok := p.Next(); ok; s, ok = p.Next() {
		last = s
	}
	if last.Len() == 0 || last.Type.confed() || last.Type == ASSet && last.Len() > 1 {
		return 0, false
	}
	last.asns.Skip(last.asns.Len() - asLen(last.as4))
	return last.Next()
}
