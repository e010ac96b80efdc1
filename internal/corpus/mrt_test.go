package corpus_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/collector"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/mrt"
)

// compareMRT runs the MRT files through the importer and through bgpdump -m and
// compares the lines that bgpdump prints with those that it should.
func compareMRT(t *testing.T, files []*file) []*result {
	t.Helper()
	var out []*result
	for _, f := range files {
		if f.kind != kindMRT {
			continue
		}
		m := &mrtFile{r: newResult(f, "bgpdump"), left: map[string]*ourLine{}, dropped: map[string]bool{}, sent: map[string]bool{}}
		m.importFile(t, f)
		m.runBgpdump(t, f)
		m.settle()
		out = append(out, m.r)
	}
	return out
}

// ourLine is a line that bgpdump ought to print.
type ourLine struct {
	n     int
	class string // of the difference that is to be expected, or ""
	alt   string // the line that bgpdump prints in its place; empty for any of the same route
}

type mrtFile struct {
	r *result
	// records says of every record, in order, what it is and how many events it
	// makes.
	records []recordKind
	left    map[string]*ourLine // not yet printed by bgpdump
	theirs  []string            // printed by bgpdump and not here
	dropped map[string]bool     // time|peer|AS of messages of which nothing was used
	sent    map[string]bool     // the same of UPDATEs that the collector sent
	damaged bool                // there is a record, or an end, that cannot be read
	u       bgp.Update
	text    []byte
}

type recordKind struct {
	typ, subtype uint16
	events       int
}

// importFile makes our lines.
func (m *mrtFile) importFile(t *testing.T, f *file) {
	t.Helper()
	octets, err := os.ReadFile(f.path)
	if err != nil {
		t.Fatal(err)
	}
	m.readRecords(octets)
	c := newCollector(t, m.event)
	rep, err := c.ImportMRT(t.Context(), bytes.NewReader(octets), collector.ImportOptions{Router: "file", File: f.name})
	if err != nil {
		m.r.fail("import: %v", err)
	}
	m.r.ours.messages = rep.Records
	if rep.Damaged > m.r.unread { // the file's end, or its container
		m.damaged = true
		m.r.unread++
	}
	for len(m.records) > 0 && m.records[0].events == 0 {
		m.records = m.records[1:]
	}
	if len(m.records) > 0 {
		m.r.fail("%d records left for which no event came, the first %d/%d", len(m.records), m.records[0].typ, m.records[0].subtype)
	}
}

// readRecords notes how many events each record must make: one for a message
// or a state change, one for each entry of a table.
func (m *mrtFile) readRecords(octets []byte) {
	plain, _, err := mrt.Decompress(bytes.NewReader(octets))
	if err != nil {
		return
	}
	var index mrt.PeerIndexTable
	var rib mrt.RIB
	var pdu []byte
	rd := mrt.NewReader(plain)
	for {
		rec, err := rd.Next()
		if err != nil {
			return
		}
		k := recordKind{typ: rec.Type, subtype: rec.Subtype}
		switch rec.Class() {
		case mrt.ClassMessage, mrt.ClassStateChange, mrt.ClassTableEntry:
			k.events = 1
		case mrt.ClassPeerIndex:
			if index.Parse(&rec) != nil {
				k.events = 1
			}
		case mrt.ClassRIB:
			if rib.Parse(&rec, &index) != nil {
				k.events = 1
				break
			}
			for it := rib.Entries(); it.Next(); {
				k.events++
				if pdu, err = mrt.AppendUpdate(pdu[:0], it.Entry()); err != nil {
					break
				}
			}
		case mrt.ClassOther:
		}
		m.records = append(m.records, k)
	}
}

// record returns the record that an event came from.
func (m *mrtFile) record() recordKind {
	for len(m.records) > 0 && m.records[0].events == 0 {
		m.records = m.records[1:]
	}
	if len(m.records) == 0 {
		m.r.fail("an event that no record accounts for")
		return recordKind{}
	}
	m.records[0].events--
	return m.records[0]
}

func (m *mrtFile) event(e *event.Event) {
	if e.Flags&event.FlagInferred != 0 || e.Kind == event.KindImport || e.Kind == event.KindRouterUp {
		return
	}
	rec := m.record()
	switch {
	case e.Kind == event.KindUnknown:
		m.r.unread++
		m.damaged = true
		return
	case e.Kind == event.KindRoute:
	case len(e.PDU) > 0:
		// An OPEN, KEEPALIVE, NOTIFICATION or ROUTE-REFRESH, or an UPDATE that
		// the collector itself sent.
		m.sent[fmt.Sprintf("%s|%s|%d", stamp(e.Received), e.Peer.Address, e.Peer.ASN)] = bgp.MessageType(e.PDU) == bgp.MessageUpdate
		return
	default:
		switch e.Kind {
		case event.KindPeerUp:
			m.r.ours.up++
		case event.KindPeerDown:
			m.r.ours.down++
		default:
		}
		m.add(fmt.Sprintf("%s|STATE|%s|%d", stamp(e.Received), e.Peer.Address, e.Peer.ASN), "", "")
		return
	}
	compareGoBGP(m.r, e.PDU, e.Session)
	if !e.Update(&m.u) {
		m.r.unread++
		m.dropped[fmt.Sprintf("%s|%s|%d", stamp(e.Received), e.Peer.Address, e.Peer.ASN)] = true
		return
	}
	if _, ok := m.u.EndOfRIB(); ok {
		m.r.ours.eor++
	}
	kinds := [...]string{bgp.Announce: "A", bgp.Withdraw: "W"}
	n := 0
	for it := m.u.Routes(); it.Next(); n++ {
		route := it.Route()
		m.r.tally(route)
		letter := kinds[route.Action]
		if e.Flags&event.FlagSnapshot != 0 && route.Action == bgp.Announce {
			letter = "B"
		}
		class, alt := m.mrtClass(rec, route, n), ""
		line := m.line(e, route, letter, false)
		if class == "" && letter == "B" {
			class, alt = m.entryClass(e, route)
		}
		m.add(line, class, alt)
	}
}

func (m *mrtFile) add(line, class, alt string) {
	l := m.left[line]
	if l == nil {
		l = &ourLine{class: class, alt: alt}
		m.left[line] = l
	}
	l.n++
}

// stamp is a time as bgpdump -m prints it, without trailing zeros.
func stamp(at event.Time) string {
	return trimTime(fmt.Sprintf("%d.%06d", at/1e9, at%1e9/1e3))
}

func trimTime(s string) string {
	if strings.Contains(s, ".") {
		return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// entryClass says what bgpdump prints for an entry that lacks what it expects.
func (m *mrtFile) entryClass(e *event.Event, r *bgp.Route) (class, alt string) {
	if _, ok := m.u.Origin(); !ok {
		class = "bgpdump-no-origin"
	} else if a, err := netip.ParseAddr(nextHopText(r)); err == nil && a.IsUnspecified() {
		class = "bgpdump-no-next-hop"
	} else {
		return "", ""
	}
	return class, m.line(e, r, "B", true)
}

// line is what bgpdump -m prints of a route, without the record type. theirs
// puts bgpdump's values where the entry has none.
func (m *mrtFile) line(e *event.Event, r *bgp.Route, letter string, theirs bool) string {
	u := &m.u
	b := fmt.Appendf(m.text[:0], "%s|%s|%s|%d|", stamp(e.Received), letter, e.Peer.Address, e.Peer.ASN)
	b = r.NLRI.AppendText(b)
	if r.NLRI.HasPathID {
		b = fmt.Appendf(b, "|%d", r.NLRI.PathID)
	}
	if r.Action == bgp.Withdraw {
		m.text = b
		return string(b)
	}
	b = u.AppendASPath(append(b, '|'))
	origin, ok := u.Origin()
	if !ok && theirs {
		origin = bgp.OriginIncomplete
	}
	b = append(append(b, '|'), strings.ToUpper(origin.String())...)
	hop := nextHopText(r)
	if a, err := netip.ParseAddr(hop); theirs && err == nil && a.IsUnspecified() {
		hop = "255.255.255.255"
	}
	b = append(append(b, '|'), hop...)
	pref, _ := u.LocalPref()
	med, _ := u.MED()
	b = fmt.Appendf(b, "|%d|%d|", pref, med)
	communities := len(b)
	b = u.AppendCommunities(b)
	b = append(b[:communities], communityNames.Replace(string(b[communities:]))...)
	ag := "NAG|"
	if u.AtomicAggregate() {
		ag = "AG|"
	}
	b = append(append(b, '|'), ag...)
	if asn, addr, ok := u.Aggregator(); ok {
		b = fmt.Appendf(b, "%d %s", asn, addr)
	}
	b = append(b, '|')
	m.text = b
	return string(b)
}

// communityNames are the communities that bgpdump prints in words.
var communityNames = strings.NewReplacer("65535:65281", "no-export", "65535:65282", "no-advertise", "65535:65283", "local-AS")

func nextHopText(r *bgp.Route) string {
	return string(bgp.AppendNextHop(nil, r.NLRI.Family, r.NextHop))
}
