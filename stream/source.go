package stream

import (
	"cmp"
	"slices"
)

// segmentList is segments in order, by which both sources find theirs.
type segmentList []*segment

// search returns the index of the segment that begins with first, or of where
// it would stand.
func (s segmentList) search(first uint64) (int, bool) {
	return slices.BinarySearchFunc(s, first, func(s *segment, first uint64) int { return cmp.Compare(s.first, first) })
}

// extent returns the state of the i-th segment; end is what is known of the
// last one.
func (s segmentList) extent(i int, end extent) (extent, bool) {
	if i < 0 || i >= len(s) {
		return extent{}, false
	}
	e := extent{id: s[i], first: s[i].first, size: s[i].size, oldest: i == 0}
	if i < len(s)-1 {
		e.sealed, e.limit = true, s[i+1].first
	} else {
		e.limit, e.written = end.limit, end.written
	}
	return e, true
}

// exact, before and behind are the indexes that a source's three questions
// ask for; an index outside the list says that there is no such segment.
func (s segmentList) exact(first uint64) int {
	if i, ok := s.search(first); ok {
		return i
	}
	return -1
}

func (s segmentList) before(seq uint64) int {
	i, ok := s.search(seq)
	if !ok {
		i = max(0, i-1)
	}
	return i
}

func (s segmentList) behind(first uint64) int {
	i, ok := s.search(first)
	if ok {
		i++
	}
	return i
}

// liveSource is the source of a Log's readers.
type liveSource struct{ l *Log }

func (s liveSource) ask(which func(segmentList) int) (extent, bool) {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	list := segmentList(s.l.segments)
	return list.extent(which(list), extent{limit: s.l.last + 1, written: s.l.written})
}

func (s liveSource) segment(first uint64) (extent, bool) {
	return s.ask(func(list segmentList) int { return list.exact(first) })
}

func (s liveSource) locate(seq uint64) (extent, bool) {
	return s.ask(func(list segmentList) int { return list.before(seq) })
}

func (s liveSource) after(first uint64) (extent, bool) {
	return s.ask(func(list segmentList) int { return list.behind(first) })
}

func (s liveSource) open(first uint64) (file, error) { return s.l.fs.Open(s.l.path(first)) }
func (s liveSource) finished() bool                  { return s.l.closed.Load() }

// dirSource is a directory as it stood when it was listed. Nobody says where
// its last segment's events end, so a torn tail is simply the end.
type dirSource struct {
	fs       filesystem
	segments segmentList
}

func (s dirSource) segment(first uint64) (extent, bool) {
	return s.segments.extent(s.segments.exact(first), extent{limit: noLimit})
}

func (s dirSource) locate(seq uint64) (extent, bool) {
	return s.segments.extent(s.segments.before(seq), extent{limit: noLimit})
}

func (s dirSource) after(first uint64) (extent, bool) {
	return s.segments.extent(s.segments.behind(first), extent{limit: noLimit})
}

func (s dirSource) open(first uint64) (file, error) {
	return s.fs.Open(s.segments[s.segments.exact(first)].name)
}

func (dirSource) finished() bool { return true }
