// Package rislive says what happens in the words of RIPE's RIS Live, so that its
// clients work on a collector of one's own: the messages of a stream, and what a
// client may subscribe to.
//
// https://ris-live.ripe.net/manual/ is the reference. A message is an UPDATE of a
// peer with routes of IPv4 or IPv6 unicast, as the router heard it, or the up or down
// of a peer.
package rislive

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
)

// Types of messages.
const (
	TypeUpdate    = "UPDATE"
	TypePeerState = "RIS_PEER_STATE"
)

// Message is the data of a ris_message. Fields that a type does not have are left out.
type Message struct {
	Timestamp     float64        `json:"timestamp"` // seconds since 1970
	Peer          string         `json:"peer"`
	PeerASN       string         `json:"peer_asn"`
	ID            string         `json:"id"`
	Host          string         `json:"host"`
	Type          string         `json:"type"`
	State         string         `json:"state,omitempty"` // connected or down
	Path          []PathElement  `json:"path,omitempty"`
	Community     [][2]uint16    `json:"community,omitempty"`
	Origin        string         `json:"origin,omitempty"`
	MED           *uint32        `json:"med,omitempty"`
	Aggregator    string         `json:"aggregator,omitempty"`
	Announcements []Announcement `json:"announcements,omitempty"`
	Withdrawals   []string       `json:"withdrawals,omitempty"`
	Raw           string         `json:"raw,omitempty"` // hexadecimal

	prefixes []netip.Prefix
}

// Announcement is what has one next hop.
type Announcement struct {
	NextHop  string   `json:"next_hop"`
	Prefixes []string `json:"prefixes"`
}

// PathElement is an AS number, or a set of them.
type PathElement struct {
	ASN uint32
	Set []uint32
}

// MarshalJSON writes a number or an array of numbers.
func (p PathElement) MarshalJSON() ([]byte, error) {
	if p.Set != nil {
		return json.Marshal(p.Set)
	}
	return strconv.AppendUint(nil, uint64(p.ASN), 10), nil
}

// Encoder makes messages of events. One goroutine uses it at a time.
type Encoder struct {
	// Host is who heard it: the collector's name.
	Host string

	update bgp.Update
	text   []byte
}

// Message makes the message of an event; ok is false if RIS Live has none for it.
func (enc *Encoder) Message(e *event.Event) (m Message, ok bool) {
	if e.Peer == nil || e.RIB != event.AdjRIBInPre && e.RIB != event.RIBNone {
		return m, false
	}
	m = Message{
		Timestamp: float64(int64(e.Received)/1000) / 1e6, Peer: e.Peer.Address.String(), PeerASN: strconv.FormatUint(uint64(e.Peer.ASN), 10),
		ID: fmt.Sprintf("%s-%016x", e.Peer.Address, e.Sequence), Host: enc.Host,
	}
	switch e.Kind {
	case event.KindPeerUp:
		m.Type, m.State = TypePeerState, "connected"
		return m, true
	case event.KindPeerDown:
		m.Type, m.State = TypePeerState, "down"
		return m, true
	case event.KindRoute:
	default:
		return m, false
	}
	if !e.Update(&enc.update) {
		return m, false
	}
	m.Type = TypeUpdate
	enc.routes(&m)
	if len(m.prefixes) == 0 {
		return m, false
	}
	if len(m.Announcements) > 0 {
		enc.attributes(&m)
	}
	return m, true
}

// Raw is the message as it came, in the form of the field.
func Raw(e *event.Event) string { return strings.ToUpper(hex.EncodeToString(e.PDU)) }

func (enc *Encoder) routes(m *Message) {
	byHop := map[string]int{}
	for it := enc.update.Routes(); it.Next(); {
		r := it.Route()
		if r.NLRI.Family != bgp.IPv4Unicast && r.NLRI.Family != bgp.IPv6Unicast {
			continue
		}
		prefix := r.NLRI.Prefix.String()
		m.prefixes = append(m.prefixes, r.NLRI.Prefix)
		if r.Action == bgp.Withdraw {
			m.Withdrawals = append(m.Withdrawals, prefix)
			continue
		}
		hop := enc.nextHop(r)
		i, ok := byHop[hop]
		if !ok {
			i = len(m.Announcements)
			byHop[hop] = i
			m.Announcements = append(m.Announcements, Announcement{NextHop: hop})
		}
		m.Announcements[i].Prefixes = append(m.Announcements[i].Prefixes, prefix)
	}
}

// nextHop is the address, or both of IPv6 with a comma between them.
func (enc *Encoder) nextHop(r *bgp.Route) string {
	hop := r.NextHop
	enc.text = bgp.AppendNextHop(enc.text[:0], r.NLRI.Family, hop)
	if local := 2 * net.IPv6len; len(hop) == local {
		enc.text = append(enc.text, ',')
		enc.text = bgp.AppendNextHop(enc.text, r.NLRI.Family, hop[net.IPv6len:])
	}
	return string(enc.text)
}

func (enc *Encoder) attributes(m *Message) {
	u := &enc.update
	if path, ok := u.ASPath(); ok {
		for s, ok := path.Next(); ok; s, ok = path.Next() {
			set := s.Type == bgp.ASSet || s.Type == bgp.ASConfedSet
			var list []uint32
			for asn, ok := s.Next(); ok; asn, ok = s.Next() {
				list = append(list, asn)
			}
			if set {
				m.Path = append(m.Path, PathElement{Set: list})
				continue
			}
			for _, asn := range list {
				m.Path = append(m.Path, PathElement{ASN: asn})
			}
		}
	}
	if o, ok := u.Origin(); ok {
		m.Origin = o.String()
	}
	if med, ok := u.MED(); ok {
		m.MED = &med
	}
	if asn, addr, ok := u.Aggregator(); ok {
		m.Aggregator = fmt.Sprintf("%d:%s", asn, addr)
	}
	if a, ok := u.Attr(bgp.AttrCommunities); ok {
		for v := a.Value; len(v) >= 4; v = v[4:] {
			m.Community = append(m.Community, [2]uint16{binary.BigEndian.Uint16(v), binary.BigEndian.Uint16(v[2:])})
		}
	}
}

// Subscription says which messages a client wants: those that meet all of it.
type Subscription struct {
	Host         string      `json:"host,omitempty"`
	Type         string      `json:"type,omitempty"`
	Require      string      `json:"require,omitempty"`
	Peer         string      `json:"peer,omitempty"`
	Path         pathPattern `json:"path,omitzero"`
	Prefix       oneOrMore   `json:"prefix,omitempty"`
	MoreSpecific *bool       `json:"moreSpecific,omitempty"` // true unless given
	LessSpecific *bool       `json:"lessSpecific,omitempty"`
	Options      Options     `json:"socketOptions,omitzero"`
}

// Options are for all of a client's subscriptions.
type Options struct {
	IncludeRaw  bool `json:"includeRaw,omitempty"`
	Acknowledge bool `json:"acknowledge,omitempty"`
}

// oneOrMore is a prefix or a list of them.
type oneOrMore []netip.Prefix

// UnmarshalJSON reads either.
func (o *oneOrMore) UnmarshalJSON(b []byte) error {
	var list []string
	var one string
	if err := json.Unmarshal(b, &one); err == nil {
		list = []string{one}
	} else if err := json.Unmarshal(b, &list); err != nil {
		return fmt.Errorf("prefix is neither text nor a list of texts: %s", b)
	}
	*o = nil
	for _, s := range list {
		if s == "" {
			continue
		}
		p, err := netip.ParsePrefix(s)
		if a, aerr := netip.ParseAddr(s); err != nil && aerr == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return fmt.Errorf("prefix %q is not a prefix", s)
		}
		*o = append(*o, p.Masked())
	}
	return nil
}

// pathPattern is a part of an AS path, such as "3333,1103", with ^ for its beginning
// and $ for its end; a number alone may stand for itself.
type pathPattern struct {
	asns       []uint32
	begin, end bool
}

// IsZero lets encoding/json leave it out.
func (p pathPattern) IsZero() bool { return len(p.asns) == 0 }

// MarshalJSON writes it as text.
func (p pathPattern) MarshalJSON() ([]byte, error) {
	var words []string
	for _, n := range p.asns {
		words = append(words, strconv.FormatUint(uint64(n), 10))
	}
	s := strings.Join(words, ",")
	if p.begin {
		s = "^" + s
	}
	if p.end {
		s += "$"
	}
	return json.Marshal(s)
}

// UnmarshalJSON reads text or a number.
func (p *pathPattern) UnmarshalJSON(b []byte) error {
	var s string
	var n uint32
	if err := json.Unmarshal(b, &n); err == nil {
		s = strconv.FormatUint(uint64(n), 10)
	} else if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("path is neither text nor a number: %s", b)
	}
	*p = pathPattern{}
	rest, begin := strings.CutPrefix(s, "^")
	rest, end := strings.CutSuffix(rest, "$")
	p.begin, p.end = begin, end
	if rest == "" {
		return nil
	}
	for word := range strings.SplitSeq(rest, ",") {
		asn, err := strconv.ParseUint(strings.TrimSpace(word), 10, 32)
		if err != nil {
			return fmt.Errorf("path %q: %q is no AS number", s, word)
		}
		p.asns = append(p.asns, uint32(asn))
	}
	return nil
}

func (p *pathPattern) match(path []PathElement) bool {
	n := len(p.asns)
	if n == 0 {
		return true
	}
	for i := 0; i+n <= len(path); i++ {
		if p.begin && i > 0 {
			break
		}
		if p.end && i+n != len(path) {
			continue
		}
		same := true
		for k, asn := range p.asns {
			el := &path[i+k]
			same = same && (el.Set == nil && el.ASN == asn || slices.Contains(el.Set, asn))
		}
		if same {
			return true
		}
	}
	return false
}

// ParseSubscription reads the data of a ris_subscribe.
func ParseSubscription(data []byte) (s Subscription, err error) {
	if len(data) == 0 || string(data) == "null" {
		return s, nil
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("the subscription: %w", err)
	}
	if s.Peer != "" {
		if _, err := netip.ParseAddr(s.Peer); err != nil {
			return s, fmt.Errorf("peer %q is not an IP address", s.Peer)
		}
	}
	switch s.Type {
	case "", TypeUpdate, TypePeerState, "OPEN", "NOTIFICATION", "KEEPALIVE": // no messages of the last three here
	default:
		return s, fmt.Errorf("type %q is not one of UPDATE, OPEN, NOTIFICATION, KEEPALIVE, RIS_PEER_STATE", s.Type)
	}
	switch s.Require {
	case "", "announcements", "withdrawals", "path", "community", "origin", "med", "aggregator":
	default:
		return s, fmt.Errorf("require %q is no field of an UPDATE", s.Require)
	}
	return s, nil
}

// Match reports whether the subscription wants a message.
func (s *Subscription) Match(m *Message) bool {
	switch {
	case s.Host != "" && s.Host != m.Host,
		s.Type != "" && s.Type != m.Type,
		s.Peer != "" && netip.MustParseAddr(s.Peer).String() != m.Peer:
		return false
	}
	has := true
	switch s.Require {
	case "announcements":
		has = len(m.Announcements) > 0
	case "withdrawals":
		has = len(m.Withdrawals) > 0
	case "path":
		has = len(m.Path) > 0
	case "community":
		has = len(m.Community) > 0
	case "origin":
		has = m.Origin != ""
	case "med":
		has = m.MED != nil
	case "aggregator":
		has = m.Aggregator != ""
	}
	return has && s.Path.match(m.Path) && s.prefix(m)
}

func (s *Subscription) prefix(m *Message) bool {
	if len(s.Prefix) == 0 {
		return true
	}
	more := s.MoreSpecific == nil || *s.MoreSpecific
	less := s.LessSpecific != nil && *s.LessSpecific
	return slices.ContainsFunc(m.prefixes, func(p netip.Prefix) bool {
		return slices.ContainsFunc(s.Prefix, func(want netip.Prefix) bool {
			return p == want || more && p.Bits() > want.Bits() && want.Overlaps(p) || less && p.Bits() < want.Bits() && p.Overlaps(want)
		})
	})
}
