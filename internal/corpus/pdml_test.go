package corpus_test

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"

	"github.com/ribtap/ribtap/bgp"
)

// pdml reads tshark's PDML line by line: one element a line.
type pdml struct {
	out      [][]theirMessage
	streams  [][]byte
	k        kind
	stream   int
	stack    []element
	at       int // where the message stands in the buffer that pos counts in
	start    int // and in the stream
	cur      *theirMessage
	offset   []int // of the next message in each stream
	afi      int
	safi     int
	attrs    []string
	inBGP    bool
	route    *wireRoute
	peerType string
	bits     int
	addr     string
}

type element struct {
	name      string
	pos, size int
}

// attribute takes an attribute out of an element's line.
func attribute(line, name string) string {
	_, rest, ok := strings.Cut(line, " "+name+`="`)
	if !ok {
		return ""
	}
	v, _, _ := strings.Cut(rest, `"`)
	return v
}

func (p *pdml) line(s string) {
	s = strings.TrimSpace(s)
	switch {
	case strings.HasPrefix(s, "</field") || strings.HasPrefix(s, "</proto"):
		p.close()
	case strings.HasPrefix(s, "<field") || strings.HasPrefix(s, "<proto"):
		e := element{name: attribute(s, "name")}
		e.pos, _ = strconv.Atoi(attribute(s, "pos"))
		e.size, _ = strconv.Atoi(attribute(s, "size"))
		proto := strings.HasPrefix(s, "<proto")
		p.open(e, proto, attribute(s, "show"), s)
		p.stack = append(p.stack, e)
		if strings.HasSuffix(s, "/>") {
			p.close()
		}
	case strings.HasPrefix(s, "</packet"):
		p.stack, p.cur, p.inBGP, p.route = p.stack[:0], nil, false, nil
	}
}

// parent is the name of the n-th element above, 1 for the direct parent.
func (p *pdml) parent(n int) string {
	if len(p.stack) < n {
		return ""
	}
	return p.stack[len(p.stack)-n].name
}

func isContainer(name string) (sign byte, mp, ok bool) {
	switch name {
	case "bgp.update.withdrawn_routes":
		return '-', false, true
	case "bgp.update.nlri":
		return '+', false, true
	case "bgp.update.path_attribute.mp_reach_nlri":
		return '+', true, true
	case "bgp.update.path_attribute.mp_unreach_nlri":
		return '-', true, true
	}
	return 0, false, false
}

func (p *pdml) open(e element, proto bool, show, line string) {
	outer := p.k.String()
	switch {
	case e.name == "_ws.malformed":
		if p.cur != nil {
			p.cur.malformed = true
		}
		return
	case proto && e.name == outer && len(p.stack) == 0:
		p.begin(e)
	}
	if p.cur == nil {
		if e.name == "ip.src" {
			if a, err := netip.ParseAddr(show); err == nil && a.As4()[0] == 10 {
				b := a.As4()
				p.stream = int(b[1])<<16 | int(b[2])<<8 | int(b[3])
			}
		}
		return
	}
	if proto && e.name == "bgp" {
		p.inBGP = true
		p.attrs = p.attrs[:0]
	}
	switch e.name {
	case "bmp.peer.ip.addr", "bmp.peer.ipv6.addr":
		if p.cur.peer == "" && p.peerType != "3" {
			p.cur.peer = show
		}
	case "bmp.peer.type":
		p.peerType = show
	case "bmp.type":
		p.cur.typ, _ = strconv.Atoi(show)
	case "bgp.type":
		if p.k == kindBGP {
			p.cur.typ, _ = strconv.Atoi(show)
		}
		if show == "2" && p.inBGP {
			p.cur.eor = true // until something is in it
		}
	case "bgp.update.path_attribute.type_code":
		p.attrs = append(p.attrs, show)
		if show != "15" || len(p.attrs) > 1 {
			p.cur.eor = false
		}
	case "bgp.update.path_attribute.mp_reach_nlri.afi", "bgp.update.path_attribute.mp_unreach_nlri.afi":
		p.afi, _ = strconv.Atoi(show)
	case "bgp.update.path_attribute.mp_reach_nlri.safi", "bgp.update.path_attribute.mp_unreach_nlri.safi":
		p.safi, _ = strconv.Atoi(show)
	}
	if strings.Contains(line, "Malformed") && strings.HasPrefix(e.name, "_ws.") {
		p.cur.malformed = true
	}
	sign, mp, ok := isContainer(p.parent(1))
	if ok && !proto && !strings.HasPrefix(e.name, "_ws.") {
		p.item(e, sign, mp)
	}
	if p.route != nil {
		p.detail(e.name, show)
	}
}

// begin starts a message; the stream's own octets say which.
func (p *pdml) begin(e element) {
	p.out[p.stream] = append(p.out[p.stream], theirMessage{size: e.size, typ: -1})
	p.cur = &p.out[p.stream][len(p.out[p.stream])-1]
	p.at = e.pos
	if p.offset == nil {
		p.offset = make([]int, len(p.streams))
	}
	p.start = p.offset[p.stream]
	p.offset[p.stream] += e.size
}

// item starts a route.
func (p *pdml) item(e element, sign byte, mp bool) {
	w := wireRoute{sign: sign, family: bgp.IPv4Unicast}
	if mp {
		w.family = bgp.NewFamily(bgp.AFI(p.afi), bgp.SAFI(p.safi))
	}
	at := p.start + e.pos - p.at
	if b := p.streams[p.stream]; at >= 0 && e.size >= 0 && at+e.size <= len(b) {
		w.item = hex.EncodeToString(b[at : at+e.size])
	}
	p.cur.eor = false
	p.cur.routes = append(p.cur.routes, w)
	p.route = &p.cur.routes[len(p.cur.routes)-1]
	p.bits, p.addr = -1, ""
}

// detail takes what is said of the route.
func (p *pdml) detail(name, show string) {
	switch name {
	case "bgp.nlri_path_id":
		p.cur.pathIDs = true
	case "bgp.prefix_length":
		p.bits, _ = strconv.Atoi(show)
	case "bgp.label_stack":
		p.bits -= 24 * len(strings.Split(show, ","))
	case "bgp.rd":
		p.bits -= 64
	case "bgp.nlri_prefix", "bgp.withdrawn_prefix", "bgp.mp_reach_nlri_ipv4_prefix", "bgp.mp_unreach_nlri_ipv4_prefix",
		"bgp.mp_reach_nlri_ipv6_prefix", "bgp.mp_unreach_nlri_ipv6_prefix":
		p.addr = show
	}
}

func (p *pdml) close() {
	if len(p.stack) == 0 {
		return
	}
	e := p.stack[len(p.stack)-1]
	p.stack = p.stack[:len(p.stack)-1]
	if _, _, ok := isContainer(p.parent(1)); ok && p.route != nil {
		if a, err := netip.ParseAddr(p.addr); err == nil {
			p.route.prefix = netip.PrefixFrom(a, p.bits).Masked().String()
		}
		p.route = nil
	}
	if e.name == "bgp" {
		p.inBGP = false
	}
	if len(p.stack) == 0 {
		p.cur = nil
	}
}
