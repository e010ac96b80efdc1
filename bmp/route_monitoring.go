package bmp

import "github.com/ribtap/ribtap/bgp"

// RouteMonitoring is a view of a Route Monitoring message (RFC 7854 §4.6). Head,
// PDU and Tail, one after the other, are the whole message.
type RouteMonitoring struct {
	// Head is the common header and the per-peer header.
	Head []byte
	// PDU is an UPDATE with a sound BGP header; what it says is not checked.
	PDU []byte
	// Tail is what follows the UPDATE; no RFC puts anything there.
	Tail      []byte
	Anomalies Anomalies
}

// ParseRouteMonitoring reads the body of m. Its errors, all of ClassDrop: the
// UPDATE is missing or cut, has a bad marker or length, or is another message.
func ParseRouteMonitoring(m *Message) (RouteMonitoring, error) {
	c, at, err := m.body(TypeRouteMonitoring)
	if err != nil {
		return RouteMonitoring{}, err
	}
	p, reason := takePDU(&c)
	switch {
	case reason != "":
	case !p.marker:
		reason = ReasonBGPMarker
	case p.kind != bgp.MessageUpdate:
		reason = ReasonNotUpdate
	}
	if reason != "" {
		return RouteMonitoring{}, m.drop(at, reason)
	}
	rm := RouteMonitoring{Head: m.head(at), PDU: p.bytes, Tail: c.Rest()}
	if len(rm.Tail) > 0 {
		rm.Anomalies |= AnomalyTrailing
	}
	return rm, nil
}
