package corpus_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/collector"
	"github.com/ribtap/ribtap/event"
)

// BMP message types (RFC 7854 §4.1).
const (
	bmpPeerDown = 2
	bmpPeerUp   = 3
)

// wireRoute is one NLRI as both sides see it.
type wireRoute struct {
	sign   byte // + or -
	family bgp.Family
	item   string // the octets, path identifier included, in hex
	prefix string // text; empty when the other side prints none
	taw    bool   // withdrawn here for an error: RFC 7606 §2
}

// message is one message of a stream, as it was read here.
type message struct {
	octets []byte
	// reason says why nothing of it was used, or is empty.
	reason  string
	version byte // of BMP
	typ     byte // of BMP, or of BGP
	routes  []wireRoute
	session bgp.Session
	eor     bool
	update  bool
	peer    string // address, if the message is one of a peer's
	// findings is set when RFC 7606 has something to say of it.
	findings   bool
	oddNextHop bool // a VPN next hop without RD
}

// compareStreams compares the BMP or BGP streams with tshark.
func compareStreams(t *testing.T, files []*file, k kind) []*result {
	t.Helper()
	var out []*result
	var streams [][]byte
	var ours [][]message
	var left []int
	for _, f := range files {
		if f.kind != k {
			continue
		}
		r := newResult(f, "tshark")
		out = append(out, r)
		streams = append(streams, f.octets)
		if k == kindBMP {
			ours = append(ours, readBMP(t, r, f))
		} else {
			ours = append(ours, readBGP(r, f))
		}
		read := 0
		for _, m := range ours[len(ours)-1] {
			read += len(m.octets)
		}
		left = append(left, len(f.octets)-read)
	}
	if len(out) == 0 {
		return nil
	}
	theirs := runTshark(t, streams, k)
	for i, r := range out {
		r.ours.messages = len(ours[i])
		settleStream(r, ours[i], theirs[i], left[i])
	}
	return out
}

// readBMP imports a recording and tells, message by message, what came of it.
func readBMP(t *testing.T, r *result, f *file) []message {
	t.Helper()
	var out []message
	rest := f.octets
	var u bgp.Update
	c := newCollector(t, func(e *event.Event) {
		if e.Flags&event.FlagInferred != 0 || e.Kind == event.KindImport {
			return
		}
		raw := slices.Concat(e.Head, e.Sent, e.PDU, e.Tail)
		if len(raw) == 0 {
			return // a router without an Initiation
		}
		if !bytes.HasPrefix(rest, raw) {
			r.fail("message %d: the event's octets are not those of the recording", len(out))
			return
		}
		rest = rest[len(raw):]
		m := message{octets: raw, version: raw[0], typ: raw[5], session: e.Session}
		if e.Peer != nil && e.Peer.Type != event.PeerLocRIB {
			m.peer = e.Peer.Address.String()
		}
		switch e.Kind {
		case event.KindPeerUp:
			r.ours.up++
		case event.KindPeerDown:
			r.ours.down++
		case event.KindUnknown:
			m.reason = e.Text
			r.unread++
		case event.KindRoute:
			m.update = true
			compareGoBGP(r, e.PDU, e.Session)
			if !e.Update(&u) {
				m.reason = e.Text
				r.unread++
				break
			}
			m.take(r, &u)
		default:
		}
		out = append(out, m)
	})
	rep, err := c.ImportBMP(t.Context(), bytes.NewReader(f.octets), collector.ImportOptions{Router: "file", File: f.name})
	if err != nil {
		r.fail("import: %v", err)
	}
	if rep.Records != len(out) {
		r.fail("%d messages, but events of %d", rep.Records, len(out))
	}
	return out
}

// take counts the routes of an UPDATE and notes them.
func (m *message) take(r *result, u *bgp.Update) {
	m.findings = len(u.Findings()) > 0
	if _, m.eor = u.EndOfRIB(); m.eor {
		r.ours.eor++
	}
	for it := u.Routes(); it.Next(); {
		route := it.Route()
		r.tally(route)
		n := &route.NLRI
		if n.HasRD && (len(route.NextHop) == 16 || len(route.NextHop) == 32) {
			m.oddNextHop = true
		}
		w := wireRoute{sign: '-', family: n.Family, taw: route.TreatAsWithdraw}
		if route.Action == bgp.Announce || w.taw {
			w.sign = '+'
		}
		var item []byte
		if n.HasPathID {
			item = binary.BigEndian.AppendUint32(item, n.PathID)
		}
		w.item = hex.EncodeToString(append(item, n.Raw...))
		if n.Prefix.IsValid() {
			w.prefix = n.Prefix.String()
		}
		m.routes = append(m.routes, w)
	}
}

// readBGP reads a BGP stream, up to where framing is lost.
func readBGP(r *result, f *file) []message {
	var out []message
	s := sessionOf(f)
	var u bgp.Update
	for b := f.octets; len(b) > 0; {
		raw, rest, err := bgp.SplitMessage(b, bgp.MaxExtendedMessageLen)
		if err != nil || raw == nil {
			break
		}
		b = rest
		m := message{octets: raw, typ: bgp.MessageType(raw), session: s}
		if m.typ == bgp.MessageUpdate {
			m.update = true
			m.session = widthOf(raw, s)
			u.Parse(raw, m.session)
			compareGoBGP(r, raw, m.session)
			if u.Verdict() == bgp.VerdictSessionReset {
				m.reason = reasonOf(&u)
				r.unread++
			} else {
				m.take(r, &u)
			}
		}
		out = append(out, m)
	}
	return out
}

// sessionOf is the context that the OPENs of both directions give; a capture
// without them is read with four-octet AS numbers and without ADD-PATH.
func sessionOf(f *file) bgp.Session {
	own, ok := openOf(f)
	other, ok2 := openOf(f.other)
	if ok && ok2 {
		s := bgp.Receive(&other, &own)
		s.Peering = bgp.PeeringUnknown // a capture may hold several sessions
		return s
	}
	return bgp.Session{AS4: !ok || own.Has(bgp.CapFourOctetAS)}
}

// widthOf corrects the width of AS numbers where only the other one makes sense
// of the path.
func widthOf(raw []byte, s bgp.Session) bgp.Session {
	var u bgp.Update
	faulty := func(s bgp.Session) bool {
		u.Parse(raw, s)
		return slices.ContainsFunc(u.Findings(), func(f bgp.Finding) bool { return f.Attr == bgp.AttrASPath && f.Reason == "as-path-segment" })
	}
	turned := s
	turned.AS4 = !s.AS4
	if faulty(s) && !faulty(turned) {
		return turned
	}
	return s
}
