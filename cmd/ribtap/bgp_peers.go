package main

import (
	"net/netip"
	"time"

	"github.com/ribtap/ribtap/collector"
	"github.com/ribtap/ribtap/speaker"
)

// livePeer is a BGP neighbour as the running speaker has it: what /v1/peers
// lists and `peers` shows beside what the history knows. Fields that mean nothing
// at the moment are null.
type livePeer struct {
	Name     *string `json:"name"`
	Range    *string `json:"range"`
	Enabled  *bool   `json:"enabled"`
	Passive  *bool   `json:"passive"`
	BGPState *string `json:"bgp_state"`
	// BGPStateSince is when that state began, UptimeSeconds for how long a
	// session is Established.
	BGPStateSince  *time.Time `json:"bgp_state_since"`
	UptimeSeconds  *int64     `json:"uptime_seconds"`
	LocalBGPID     *string    `json:"local_bgp_id"`
	LocalEndpoint  *string    `json:"local_endpoint"`
	RemoteEndpoint *string    `json:"remote_endpoint"`

	KeepaliveSeconds *float64   `json:"keepalive_seconds"`
	HoldLeftSeconds  *float64   `json:"hold_left_seconds"`
	LastReceived     *time.Time `json:"last_received"`
	LastSent         *time.Time `json:"last_sent"`

	MessagesReceived *uint64        `json:"messages_received"`
	MessagesSent     *uint64        `json:"messages_sent"`
	Received         *messageCounts `json:"received"`
	Sent             *messageCounts `json:"sent"`

	Attempts    *uint64    `json:"connection_attempts"`
	Connections *uint64    `json:"connections"`
	Sessions    *uint64    `json:"established_sessions"`
	LastError   *string    `json:"last_error"`
	LastErrorAt *time.Time `json:"last_error_at"`

	Families      []string     `json:"families"`
	FamilyStates  []familyLive `json:"family_states"`
	Routes        *int         `json:"routes"`
	Stale         *int         `json:"stale_routes"`
	Advertised    *uint64      `json:"advertised_routes"`
	Announced     *uint64      `json:"announced_routes"` // those sent again included
	Withdrawn     *uint64      `json:"withdrawn_routes"`
	CalculationMS *float64     `json:"update_calculation_ms"`
	// NotSent is what is announced and cannot be sent in this session, by why.
	NotSent         map[string]uint64 `json:"not_sent"`
	GracefulDrained *bool             `json:"drain"`
}

// messageCounts are messages by type.
type messageCounts struct {
	Opens         uint64 `json:"opens"`
	Updates       uint64 `json:"updates"`
	Notifications uint64 `json:"notifications"`
	Keepalives    uint64 `json:"keepalives"`
	Refreshes     uint64 `json:"refreshes"`
}

// familyLive is what the RIB has of one family of a neighbour.
type familyLive struct {
	Family         string     `json:"family"`
	Routes         int        `json:"routes"`
	Stale          int        `json:"stale_routes"`
	StaleUntil     *time.Time `json:"stale_until"`
	InitialSync    string     `json:"initial_sync"` // none, eor or quiet
	SyncAt         *time.Time `json:"initial_sync_at"`
	Unsynchronised bool       `json:"unsynchronised"`
}

// livePeerRow is a livePeer with what names it in the history's terms.
type livePeerRow struct {
	PeerAddress          *string `json:"peer_address"`
	PeerASN              *uint32 `json:"peer_asn"`
	PeerBGPID            *string `json:"peer_bgp_id"`
	LocalAddress         *string `json:"local_address"`
	LocalASN             *uint32 `json:"local_asn"`
	HoldTime             *uint16 `json:"hold_time"`
	SentCapabilities     *string `json:"sent_capabilities"`
	ReceivedCapabilities *string `json:"received_capabilities"`
	livePeer
}

// livePeers is the answer of /v1/peers.
type livePeers struct {
	Collector string        `json:"collector"`
	RouterID  string        `json:"router_id"` // the speaker's, as the history has it
	DataDir   string        `json:"data_dir"`
	Peers     []livePeerRow `json:"peers"`
}

// peers lists the neighbours in the order of the configuration.
func (b *bgpNode) peers() []livePeerRow {
	out := []livePeerRow{}
	if b == nil {
		return out
	}
	routes := map[netip.Addr]collector.NeighbourStatus{}
	for _, st := range b.source.Status() {
		routes[st.Peer.Address] = st
	}
	for _, p := range b.sp.Peers() {
		row := newLivePeer(&p)
		if st, ok := routes[p.Address.Unmap().WithZone("")]; ok && p.Address.IsValid() {
			row.addRoutes(&st)
		}
		out = append(out, row)
	}
	return out
}

func newLivePeer(p *speaker.PeerStatus) livePeerRow {
	up := p.State == speaker.Established
	row := livePeerRow{
		PeerAddress: textOf(p.Address), PeerASN: nonZero(p.RemoteASN), PeerBGPID: textOf(p.RemoteID),
		LocalASN: nonZero(p.LocalASN), SentCapabilities: nonZero(p.SentCapabilities), ReceivedCapabilities: nonZero(p.ReceivedCapabilities),
	}
	l := &row.livePeer
	l.Name, l.Enabled, l.Passive, l.GracefulDrained = &p.Name, &p.Enabled, &p.Passive, &p.Drain
	if p.Range.IsValid() {
		l.Range = new(p.Range.String())
	}
	l.BGPState, l.BGPStateSince, l.LocalBGPID = new(p.State.String()), utc(p.Since), textOf(p.LocalID)
	if p.Local.IsValid() {
		row.LocalAddress = new(p.Local.Addr().WithZone("").String())
		l.LocalEndpoint, l.RemoteEndpoint = new(p.Local.String()), new(p.Remote.String())
	}
	if up {
		l.UptimeSeconds = new(int64(time.Since(p.Since).Seconds()))
		row.HoldTime = new(uint16(p.HoldTime / time.Second))
		l.KeepaliveSeconds, l.HoldLeftSeconds = new(p.Keepalive.Seconds()), new(p.HoldLeft.Seconds())
	}
	l.LastReceived, l.LastSent = utc(p.LastReceived), utc(p.LastSent)
	if p.Address.IsValid() {
		l.MessagesReceived, l.MessagesSent = new(p.Received.Total()), new(p.Sent.Total())
		l.Received, l.Sent = new(messageCounts(p.Received)), new(messageCounts(p.Sent))
		l.Attempts, l.Connections, l.Sessions = &p.Attempts, &p.Connections, &p.Sessions
		l.Advertised, l.Announced, l.Withdrawn = &p.Advertised, &p.Announced, &p.Withdrawn
		l.NotSent = p.NotSent
		l.CalculationMS = new(float64(p.Calculation) / float64(time.Millisecond))
	}
	l.LastError, l.LastErrorAt = nonZero(p.LastError), utc(p.LastErrorAt)
	for _, f := range p.Families {
		l.Families = append(l.Families, f.String())
	}
	return row
}

// addRoutes adds what the RIB has of the neighbour.
func (row *livePeerRow) addRoutes(st *collector.NeighbourStatus) {
	routes, stale := 0, 0
	for _, f := range st.Families {
		routes, stale = routes+f.Routes, stale+f.Stale
		row.FamilyStates = append(row.FamilyStates, familyLive{
			Family: f.Family.String(), Routes: f.Routes, Stale: f.Stale, StaleUntil: utc(f.StaleUntil),
			InitialSync: f.InitialSync.String(), SyncAt: utc(f.SyncAt), Unsynchronised: f.Unsynchronised,
		})
	}
	row.Routes, row.Stale = &routes, &stale
}

// textOf is an address as text, nil for none.
func textOf(a netip.Addr) *string {
	if !a.IsValid() {
		return nil
	}
	return new(a.String())
}

// nonZero is a pointer to v, nil for the zero value.
func nonZero[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// utc is a time for JSON, nil for none.
func utc(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return new(t.UTC())
}
