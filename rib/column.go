package rib

import "slices"

// A column's word for a key: 0 for nothing remembered.
const (
	wordActive = 1 << 31
	wordStale  = 1 << 30
	wordValue  = wordStale - 1
	valueBits  = 30
)

const (
	pageIDs    = 256
	pageHeader = 36 // octets of a page besides its words
)

// pages maps key ids to words. A page covers 256 ids; while few of them are
// used it keeps the low octets of the ids, sorted and packed by four into the
// first words, and the ids' words behind them.
type pages struct {
	dir   []uint32 // per 256 ids: 0, or 1 + the place in list
	list  []page
	n     int
	bytes int64 // of memory
}

type page struct {
	words []uint32
	n     uint16
}

// pageSizes are the lengths of a page's words: room for 4, 16, 64 and all ids.
var pageSizes = [...]int{5, 20, 80, pageIDs}

func (p *page) dense() bool { return len(p.words) == pageIDs }

// room is how many ids a page fits.
func room(words int) int {
	if words == pageIDs {
		return pageIDs
	}
	return words * 4 / 5
}

// body returns the words of a page's ids.
func (p *page) body() []uint32 {
	if p.dense() {
		return p.words
	}
	return p.words[room(len(p.words))/4:]
}

// low returns the low octet of the i-th id of a page that is not dense.
func (p *page) low(i int) uint8 { return uint8(p.words[i>>2] >> (8 * (i & 3))) }

func (p *page) setLow(i int, low uint8) {
	shift := 8 * (i & 3)
	p.words[i>>2] = p.words[i>>2]&^(0xff<<shift) | uint32(low)<<shift
}

// search returns the place of the first id not below low.
func (p *page) search(low uint8) int {
	i, j := 0, int(p.n)
	for i < j {
		m := (i + j) / 2
		if p.low(m) < low {
			i = m + 1
		} else {
			j = m
		}
	}
	return i
}

// slot returns the word of an id, nil if there is none. It is valid until the
// next set or clear.
func (ps *pages) slot(id uint32) *uint32 {
	no := id / pageIDs
	if int(no) >= len(ps.dir) || ps.dir[no] == 0 {
		return nil
	}
	p := &ps.list[ps.dir[no]-1]
	low := uint8(id)
	if p.dense() {
		if w := &p.words[low]; *w != 0 {
			return w
		}
		return nil
	}
	if i := p.search(low); i < int(p.n) && p.low(i) == low {
		return &p.body()[i]
	}
	return nil
}

// next returns the first id not below id that has a word, and the word; nil if
// there is none.
func (ps *pages) next(id uint32) (uint32, *uint32) {
	low := int(uint8(id))
	for no := int(id / pageIDs); no < len(ps.dir); no, low = no+1, 0 {
		if ps.dir[no] == 0 {
			continue
		}
		p := &ps.list[ps.dir[no]-1]
		if !p.dense() {
			if i := p.search(uint8(low)); i < int(p.n) {
				return uint32(no)*pageIDs + uint32(p.low(i)), &p.body()[i]
			}
			continue
		}
		for i, w := range p.words[low:] {
			if w != 0 {
				return uint32(no*pageIDs + low + i), &p.words[low+i]
			}
		}
	}
	return 0, nil
}

// set enters the word of an id that has none.
func (ps *pages) set(id, word uint32) {
	no := int(id / pageIDs)
	if no >= len(ps.dir) {
		before := cap(ps.dir)
		ps.dir = append(ps.dir, make([]uint32, no+1-len(ps.dir))...)
		ps.bytes += int64(4 * (cap(ps.dir) - before))
	}
	if ps.dir[no] == 0 {
		ps.list = append(ps.list, page{words: make([]uint32, pageSizes[0])})
		ps.dir[no] = uint32(len(ps.list))
		ps.bytes += int64(4*pageSizes[0] + pageHeader)
	}
	p := &ps.list[ps.dir[no]-1]
	if !p.dense() && int(p.n) == room(len(p.words)) {
		ps.resize(p, +1)
	}
	ps.n++
	p.n++
	low := uint8(id)
	if p.dense() {
		p.words[low] = word
		return
	}
	n := int(p.n) - 1
	p.n--
	at := p.search(low)
	p.n++
	for i := n; i > at; i-- {
		p.setLow(i, p.low(i-1))
	}
	p.setLow(at, low)
	body := p.body()
	copy(body[at+1:n+1], body[at:n])
	body[at] = word
}

// clear takes out the word of an id that has one.
func (ps *pages) clear(id uint32) {
	p := &ps.list[ps.dir[id/pageIDs]-1]
	low := uint8(id)
	ps.n--
	p.n--
	if p.dense() {
		p.words[low] = 0
	} else {
		n := int(p.n)
		p.n++
		at := p.search(low)
		p.n--
		for i := at; i < n; i++ {
			p.setLow(i, p.low(i+1))
		}
		body := p.body()
		copy(body[at:n], body[at+1:n+1])
		body[n] = 0
	}
	// Half of the smaller page stays free, so that a few routes that come and
	// go do not resize it each time.
	if k := slices.Index(pageSizes[:], len(p.words)); k > 0 && int(p.n) <= room(pageSizes[k-1])/2 {
		ps.resize(p, -1)
	}
	if ps.n == 0 && len(ps.list) > 16 {
		ps.reset()
	}
}

// resize moves the words of a page to the next larger or smaller form.
func (ps *pages) resize(p *page, step int) {
	k := slices.Index(pageSizes[:], len(p.words)) + step
	to := page{words: make([]uint32, pageSizes[k]), n: p.n}
	ps.bytes += int64(4 * (len(to.words) - len(p.words)))
	from := p.body()
	body := to.body()
	switch {
	case to.dense():
		for i := range int(p.n) {
			to.words[p.low(i)] = from[i]
		}
	case p.dense():
		i := 0
		for low, w := range from {
			if w != 0 {
				to.setLow(i, uint8(low))
				body[i] = w
				i++
			}
		}
	default:
		for i := range int(p.n) {
			to.setLow(i, p.low(i))
			body[i] = from[i]
		}
	}
	*p = to
}

// reset forgets everything and gives the memory back.
func (ps *pages) reset() {
	ps.dir, ps.list, ps.n = nil, nil, 0
	ps.bytes = 0
}

// copyTo makes dst a copy that shares nothing.
func (ps *pages) copyTo(dst *pages) {
	total := 0
	for i := range ps.list {
		total += len(ps.list[i].words)
	}
	words := make([]uint32, 0, total)
	dst.n = ps.n
	dst.dir = slices.Clone(ps.dir)
	dst.list = slices.Clone(ps.list)
	for i := range dst.list {
		from := len(words)
		words = append(words, dst.list[i].words...)
		dst.list[i].words = words[from:len(words):len(words)]
	}
}
