package event

import (
	"encoding/base64"
	"strconv"
	"unicode/utf8"

	"github.com/ribtap/ribtap/bgp"
)

// AppendJSON appends the event as one JSON object, without a line end. Its
// fields and their order are those of docs/events.md; a field without a value
// is left out. Whatever the bytes hold, the result is valid JSON in UTF-8.
func AppendJSON(dst []byte, e *Event) []byte {
	var enc Encoder
	return enc.Append(dst, e)
}

// Encoder writes events as JSON. It keeps memory between events, so that it
// allocates nothing in the long run; one goroutine uses it at a time.
type Encoder struct {
	// Raw adds the message as it arrived.
	Raw bool

	update bgp.Update
	text   []byte
}

// timeLayout has microseconds, the resolution of BMP and of the SQL views, and
// a fixed width, so that texts sort as times do.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// AppendTime appends t as RFC 3339 text in UTC with microseconds.
func AppendTime(dst []byte, t Time) []byte { return t.Std().AppendFormat(dst, timeLayout) }

// Append appends the event as AppendJSON does.
func (enc *Encoder) Append(dst []byte, e *Event) []byte {
	dst = append(dst, `{"kind":"`...)
	dst = append(dst, e.Kind.String()...)
	dst = append(dst, `","sequence":`...)
	dst = strconv.AppendUint(dst, e.Sequence, 10)
	dst = appendTimeField(dst, "received_at", e.Received)
	dst = appendTimeField(dst, "observed_at", e.Observed)
	dst = append(dst, `,"source":"`...)
	dst = append(dst, e.Source.String()...)
	dst = append(dst, '"')
	if e.Router != nil {
		dst = appendRouter(dst, e.Router)
	}
	if e.Peer != nil {
		dst = enc.appendPeer(dst, e.Peer)
	}
	if e.RIB != RIBNone {
		dst = appendField(dst, "rib")
		dst = appendQuoted(dst, e.RIB.String())
	}
	if e.Kind == KindRoute || e.Kind == KindGap || e.Flags&FlagInferred != 0 {
		dst = appendField(dst, "cause")
		dst = appendQuoted(dst, e.Cause.String())
	}
	readable := e.Kind == KindRoute && e.parse(&enc.update)
	dst = enc.appendFlags(dst, e, readable)
	switch e.Kind {
	case KindRoute:
		dst = enc.appendUpdate(dst, e, readable)
	case KindPeerUp:
		dst = enc.appendOpen(dst, "sent_open", e.Sent)
		dst = enc.appendOpen(dst, "received_open", e.PDU)
	case KindPeerDown, KindRouterDown:
		dst = enc.appendDown(dst, e)
	case KindStats:
		dst = appendStats(dst, e.Stats)
	case KindRefresh:
		dst = appendRefresh(dst, e.PDU)
	case KindGap:
		dst = append(dst, `,"lost":`...)
		dst = strconv.AppendUint(dst, e.Lost, 10)
		dst = appendTimeField(dst, "start", e.Start)
		dst = appendTimeField(dst, "end", e.End)
	case KindRouterUp, KindMirror, KindUnknown, KindImport, KindState:
	}
	if e.Text != "" {
		dst = appendStringField(dst, "text", e.Text)
	}
	if enc.Raw {
		dst = appendRaw(dst, e)
	}
	return append(dst, '}')
}

// parse is Update for a message whose routes do not count: what is wrong with
// it is worth telling.
func (e *Event) parse(u *bgp.Update) bool {
	u.Parse(e.PDU, e.Session)
	return e.Flags&FlagDropped == 0 && u.Verdict() != bgp.VerdictSessionReset
}

func appendRouter(dst []byte, r *Router) []byte {
	dst = append(dst, `,"router":{"name":`...)
	dst = appendString(dst, r.Name)
	if r.Address.IsValid() {
		dst = appendField(dst, "address")
		dst = append(dst, '"')
		dst = r.Address.AppendTo(dst)
		dst = append(dst, '"')
	}
	if r.SysName != "" {
		dst = appendStringField(dst, "sys_name", r.SysName)
	}
	if r.SysDescr != "" {
		dst = appendStringField(dst, "sys_descr", r.SysDescr)
	}
	dst = append(dst, `,"session":`...)
	dst = strconv.AppendUint(dst, r.Session, 10)
	return append(dst, '}')
}

var peerTypeNames = [...]string{PeerGlobal: "global", PeerRD: "rd", PeerLocal: "local", PeerLocRIB: "loc-rib"}

func (enc *Encoder) appendPeer(dst []byte, p *Peer) []byte {
	dst = append(dst, `,"peer":{"type":"`...)
	if int(p.Type) < len(peerTypeNames) {
		dst = append(dst, peerTypeNames[p.Type]...)
	} else {
		dst = strconv.AppendUint(dst, uint64(p.Type), 10)
	}
	dst = append(dst, '"')
	if p.Address.IsValid() {
		dst = appendField(dst, "address")
		dst = append(dst, '"')
		dst = p.Address.AppendTo(dst)
		dst = append(dst, '"')
	}
	dst = append(dst, `,"asn":`...)
	dst = strconv.AppendUint(dst, uint64(p.ASN), 10)
	if p.BGPID.IsValid() {
		dst = appendField(dst, "bgp_id")
		dst = append(dst, '"')
		dst = p.BGPID.AppendTo(dst)
		dst = append(dst, '"')
	}
	if p.Distinguisher != (bgp.RD{}) {
		dst = appendField(dst, "distinguisher")
		enc.text = p.Distinguisher.AppendText(enc.text[:0])
		dst = appendBytes(dst, enc.text)
	}
	if p.Table != "" {
		dst = appendStringField(dst, "table", p.Table)
	}
	if p.LocalAddress.IsValid() {
		dst = appendField(dst, "local_address")
		dst = append(dst, '"')
		dst = p.LocalAddress.AppendTo(dst)
		dst = append(dst, '"')
	}
	if p.LocalASN != 0 {
		dst = append(dst, `,"local_asn":`...)
		dst = strconv.AppendUint(dst, uint64(p.LocalASN), 10)
	}
	dst = append(dst, `,"epoch":`...)
	dst = strconv.AppendUint(dst, uint64(p.Epoch), 10)
	return append(dst, '}')
}

// appendFlags joins the remarks about the event and those about its routes.
func (enc *Encoder) appendFlags(dst []byte, e *Event, readable bool) []byte {
	enc.text = append(e.Flags.AppendText(enc.text[:0]), ' ')
	if readable && e.Peer != nil {
		enc.text = enc.update.Flags(e.Peer.LocalASN, e.Peer.ASN).AppendText(enc.text)
	}
	return appendWords(dst, "flags", enc.text)
}

func appendStats(dst []byte, stats []Stat) []byte {
	dst = append(dst, `,"stats":[`...)
	for i := range stats {
		s := &stats[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"type":`...)
		dst = strconv.AppendUint(dst, uint64(s.Type), 10)
		if s.Name != "" {
			dst = appendStringField(dst, "name", s.Name)
		}
		if s.Family != 0 {
			dst = appendStringField(dst, "family", s.Family.String())
		}
		if s.OK {
			dst = append(dst, `,"value":`...)
			dst = strconv.AppendUint(dst, s.Value, 10)
		} else {
			dst = appendHexField(dst, "raw", s.Raw)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

var refreshNames = [...]string{bgp.RefreshRequest: "request", bgp.RefreshBegin: "begin", bgp.RefreshEnd: "end"}

func appendRefresh(dst, pdu []byte) []byte {
	r, err := bgp.ParseRefresh(pdu)
	if err != nil {
		return appendStringField(dst, "error", err.Error())
	}
	dst = appendStringField(dst, "family", r.Family.String())
	if int(r.Subtype) < len(refreshNames) {
		return appendStringField(dst, "refresh", refreshNames[r.Subtype])
	}
	dst = append(dst, `,"refresh":`...)
	return strconv.AppendUint(dst, uint64(r.Subtype), 10)
}

// peerDownReasons are the reason codes of RFC 7854 §4.9 and RFC 9069 §5.3.
var peerDownReasons = [...]string{
	1: "local system closed, NOTIFICATION sent", 2: "local system closed, no NOTIFICATION",
	3: "remote system closed, NOTIFICATION received", 4: "remote system closed, no NOTIFICATION",
	5: "peer de-configured", 6: "local system closed, TLV data follows",
}

// terminationReasons are those of RFC 7854 §4.5.
var terminationReasons = [...]string{
	"administratively closed", "unspecified reason", "out of resources", "redundant connection",
	"permanently administratively closed",
}

// ReasonText returns the words of the reason of a KindPeerDown or
// KindRouterDown; empty for every other event, for an inferred one and for a
// code without words.
func (e *Event) ReasonText() string {
	table := peerDownReasons[:]
	if e.Kind == KindRouterDown {
		table = terminationReasons[:]
	}
	down := e.Kind == KindPeerDown || e.Kind == KindRouterDown
	if !down || e.Flags&FlagInferred != 0 || int(e.Reason) >= len(table) {
		return ""
	}
	return table[e.Reason]
}

func (enc *Encoder) appendDown(dst []byte, e *Event) []byte {
	if e.Flags&FlagInferred != 0 {
		return dst
	}
	dst = append(dst, `,"reason":`...)
	dst = strconv.AppendUint(dst, uint64(e.Reason), 10)
	if text := e.ReasonText(); text != "" {
		dst = appendStringField(dst, "reason_text", text)
	}
	const noNotification = 2 // RFC 7854 §4.9: the FSM event code follows
	if e.Kind == KindPeerDown && e.Reason == noNotification {
		dst = append(dst, `,"fsm_code":`...)
		dst = strconv.AppendUint(dst, uint64(e.FSMCode), 10)
	}
	if e.Kind != KindPeerDown || len(e.PDU) == 0 {
		return dst
	}
	n, err := bgp.ParseNotification(e.PDU)
	if err != nil {
		return appendStringField(dst, "error", err.Error())
	}
	dst = append(dst, `,"notification":{"code":`...)
	dst = strconv.AppendUint(dst, uint64(n.Code), 10)
	dst = append(dst, `,"subcode":`...)
	dst = strconv.AppendUint(dst, uint64(n.Subcode), 10)
	dst = appendField(dst, "text")
	enc.text = n.AppendText(enc.text[:0])
	dst = appendBytes(dst, enc.text)
	return append(dst, '}')
}

func appendRaw(dst []byte, e *Event) []byte {
	for _, part := range [...]struct {
		name string
		b    []byte
	}{{"head", e.Head}, {"sent", e.Sent}, {"pdu", e.PDU}, {"tail", e.Tail}} {
		if len(part.b) > 0 {
			dst = appendField(dst, part.name)
			dst = append(dst, '"')
			dst = base64.StdEncoding.AppendEncode(dst, part.b)
			dst = append(dst, '"')
		}
	}
	return dst
}

func appendField(dst []byte, name string) []byte {
	dst = append(dst, `,"`...)
	dst = append(dst, name...)
	return append(dst, `":`...)
}

func appendTimeField(dst []byte, name string, t Time) []byte {
	if t == 0 {
		return dst
	}
	dst = appendField(dst, name)
	dst = append(dst, '"')
	dst = AppendTime(dst, t)
	return append(dst, '"')
}

func appendStringField(dst []byte, name, s string) []byte {
	return appendString(appendField(dst, name), s)
}

const hexDigits = "0123456789abcdef"

func appendHexField(dst []byte, name string, b []byte) []byte {
	dst = append(appendField(dst, name), '"')
	for _, c := range b {
		dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
	}
	return append(dst, '"')
}

// appendWords appends a field with a list of the words, separated by single
// spaces; nothing when there are none.
func appendWords(dst []byte, name string, words []byte) []byte {
	opened := false
	for len(words) > 0 {
		n := 0
		for n < len(words) && words[n] != ' ' {
			n++
		}
		if n > 0 {
			if !opened {
				dst, opened = append(appendField(dst, name), '['), true
			} else {
				dst = append(dst, ',')
			}
			dst = appendBytes(dst, words[:n])
		}
		words = words[min(n+1, len(words)):]
	}
	if opened {
		dst = append(dst, ']')
	}
	return dst
}

// appendQuoted appends a name of our own, which needs no escaping.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

func appendString(dst []byte, s string) []byte { return appendText(dst, s) }

func appendBytes(dst, s []byte) []byte { return appendText(dst, s) }

// appendText appends s as a JSON string. Control characters are escaped, and so
// are U+2028 and U+2029, which end a line in JavaScript; invalid UTF-8 becomes
// U+FFFD.
func appendText[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	plain := 0 // start of what was not copied yet
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			dst = append(dst, s[plain:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, `\n`...)
			case '\r':
				dst = append(dst, `\r`...)
			case '\t':
				dst = append(dst, `\t`...)
			default:
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			plain = i
			continue
		}
		r, size := decodeRune(s[i:])
		if r == utf8.RuneError && size == 1 || r == '\u2028' || r == '\u2029' {
			dst = append(dst, s[plain:i]...)
			switch r {
			case '\u2028':
				dst = append(dst, `\u2028`...)
			case '\u2029':
				dst = append(dst, `\u2029`...)
			default:
				dst = append(dst, `\ufffd`...)
			}
			plain = i + size
		}
		i += size
	}
	dst = append(dst, s[plain:]...)
	return append(dst, '"')
}

// decodeRune reads the first character of s without allocating: no UTF-8
// sequence is longer than utf8.UTFMax.
func decodeRune[T string | []byte](s T) (rune, int) {
	var head [utf8.UTFMax]byte
	n := copy(head[:], s[:min(len(s), utf8.UTFMax)])
	return utf8.DecodeRune(head[:n])
}
