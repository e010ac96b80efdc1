package sqlite

import (
	"database/sql"
	"fmt"
	"strconv"
	"time"
)

// Time is microseconds since 1970-01-01 UTC, the resolution of the store. Its
// JSON and text form is that of the views: RFC 3339 in UTC with microseconds.
type Time int64

const timeLayout = "2006-01-02T15:04:05.000000Z"

// Std converts to UTC.
func (t Time) Std() time.Time { return time.UnixMicro(int64(t)).UTC() }

// String returns the text that the views show.
func (t Time) String() string { return t.Std().Format(timeLayout) }

// MarshalText implements encoding.TextMarshaler.
func (t Time) MarshalText() ([]byte, error) { return t.Std().AppendFormat(nil, timeLayout), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *Time) UnmarshalText(text []byte) error {
	std, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	*t = Time(std.UnixMicro())
	return nil
}

// Scan implements sql.Scanner: text of a view, or the number in a table.
func (t *Time) Scan(v any) error {
	switch v := v.(type) {
	case int64:
		*t = Time(v)
		return nil
	case string:
		return t.UnmarshalText([]byte(v))
	}
	return fmt.Errorf("sqlite: a time is stored as %T", v)
}

var _ sql.Scanner = (*Time)(nil)

// Gauge is a 64-bit number; above 2^63-1 it is stored as text.
type Gauge uint64

// Scan implements sql.Scanner.
func (g *Gauge) Scan(v any) error {
	switch v := v.(type) {
	case int64:
		*g = Gauge(v)
		return nil
	case string:
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			return fmt.Errorf("sqlite: %w", err)
		}
		*g = Gauge(n)
		return nil
	}
	return fmt.Errorf("sqlite: a gauge is stored as %T", v)
}

// The row types below have the columns of the view of their name, in its order;
// nil is null.

// RouteKey says who said something about which route, and when: the columns
// that the views route_history and routes begin with.
type RouteKey struct {
	Sequence          uint64  `json:"sequence"`
	Position          uint32  `json:"position"`
	ReceivedAt        Time    `json:"received_at"`
	ObservedAt        *Time   `json:"observed_at"`
	Collector         string  `json:"collector"`
	Router            string  `json:"router"`
	RouterAddress     *string `json:"router_address"`
	PeerAddress       *string `json:"peer_address"`
	PeerASN           uint32  `json:"peer_asn"`
	PeerBGPID         *string `json:"peer_bgp_id"`
	PeerDistinguisher *string `json:"peer_distinguisher"`
	RIB               *string `json:"rib"`
	Family            string  `json:"family"`
	Prefix            string  `json:"prefix"`
	PathID            *uint32 `json:"path_id"`
	RD                *string `json:"rd"`
	Labels            *string `json:"labels"`
}

// Attributes are the path attributes in words; all nil on a withdrawal.
type Attributes struct {
	Origin           *string `json:"origin"`
	ASPath           *string `json:"as_path"`
	OriginAS         *uint32 `json:"origin_as"`
	NextHop          *string `json:"next_hop"`
	MED              *uint32 `json:"med"`
	LocalPref        *uint32 `json:"local_pref"`
	Communities      *string `json:"communities"`
	LargeCommunities *string `json:"large_communities"`
	ExtCommunities   *string `json:"ext_communities"`
	Aggregator       *string `json:"aggregator"`
	AtomicAggregate  *bool   `json:"atomic_aggregate"`
	OTC              *uint32 `json:"otc"`
	Flags            *string `json:"flags"`
	RPKI             *string `json:"rpki"`
}

// Change is a row of route_history.
type Change struct {
	RouteKey
	Action  string `json:"action"`
	Cause   string `json:"cause"`
	Changed bool   `json:"changed"`
	Attributes
}

// Route is a row of routes.
type Route struct {
	RouteKey
	Since   Time `json:"since"`
	Changed bool `json:"changed"`
	Attributes
}

// PeerEvent is a row of peer_history.
type PeerEvent struct {
	Sequence             uint64  `json:"sequence"`
	ReceivedAt           Time    `json:"received_at"`
	ObservedAt           *Time   `json:"observed_at"`
	Collector            string  `json:"collector"`
	Router               string  `json:"router"`
	RouterAddress        *string `json:"router_address"`
	PeerAddress          *string `json:"peer_address"`
	PeerASN              uint32  `json:"peer_asn"`
	PeerBGPID            *string `json:"peer_bgp_id"`
	PeerDistinguisher    *string `json:"peer_distinguisher"`
	RIB                  *string `json:"rib"`
	Event                string  `json:"event"` // up, down or state
	Cause                string  `json:"cause"`
	Inferred             bool    `json:"inferred"`
	ReasonCode           *uint16 `json:"reason_code"`
	Reason               *string `json:"reason"`
	FSMCode              *uint16 `json:"fsm_code"`
	NotificationCode     *uint8  `json:"notification_code"`
	NotificationSubcode  *uint8  `json:"notification_subcode"`
	Notification         *string `json:"notification"`
	Epoch                *uint32 `json:"epoch"`
	LocalAddress         *string `json:"local_address"`
	LocalASN             *uint32 `json:"local_asn"`
	LocalPort            *uint16 `json:"local_port"`
	RemotePort           *uint16 `json:"remote_port"`
	TableName            *string `json:"table_name"`
	HoldTime             *uint16 `json:"hold_time"`
	SentCapabilities     *string `json:"sent_capabilities"`
	ReceivedCapabilities *string `json:"received_capabilities"`
	SentOpen             []byte  `json:"sent_open"`
	ReceivedOpen         []byte  `json:"received_open"`
}

func (p *PeerEvent) fields() []any {
	return []any{
		&p.Sequence, &p.ReceivedAt, &p.ObservedAt, &p.Collector, &p.Router, &p.RouterAddress, &p.PeerAddress, &p.PeerASN,
		&p.PeerBGPID, &p.PeerDistinguisher, &p.RIB, &p.Event, &p.Cause, &p.Inferred, &p.ReasonCode, &p.Reason, &p.FSMCode,
		&p.NotificationCode, &p.NotificationSubcode, &p.Notification, &p.Epoch, &p.LocalAddress, &p.LocalASN, &p.LocalPort,
		&p.RemotePort, &p.TableName, &p.HoldTime, &p.SentCapabilities, &p.ReceivedCapabilities, &p.SentOpen, &p.ReceivedOpen,
	}
}

// RouterEvent is a row of router_history.
type RouterEvent struct {
	Sequence      uint64  `json:"sequence"`
	ReceivedAt    Time    `json:"received_at"`
	Collector     string  `json:"collector"`
	Router        string  `json:"router"`
	RouterAddress *string `json:"router_address"`
	Event         string  `json:"event"` // up or down
	Cause         string  `json:"cause"`
	Inferred      bool    `json:"inferred"`
	ReasonCode    *uint16 `json:"reason_code"`
	Reason        *string `json:"reason"`
	Session       uint64  `json:"session"`
	SysName       *string `json:"sys_name"`
	SysDescr      *string `json:"sys_descr"`
}

func (r *RouterEvent) fields() []any {
	return []any{
		&r.Sequence, &r.ReceivedAt, &r.Collector, &r.Router, &r.RouterAddress, &r.Event, &r.Cause, &r.Inferred, &r.ReasonCode,
		&r.Reason, &r.Session, &r.SysName, &r.SysDescr,
	}
}

// PeerStat is a row of peer_stats.
type PeerStat struct {
	Sequence          uint64  `json:"sequence"`
	Position          uint32  `json:"position"`
	ReceivedAt        Time    `json:"received_at"`
	ObservedAt        *Time   `json:"observed_at"`
	Collector         string  `json:"collector"`
	Router            string  `json:"router"`
	RouterAddress     *string `json:"router_address"`
	PeerAddress       *string `json:"peer_address"`
	PeerASN           uint32  `json:"peer_asn"`
	PeerBGPID         *string `json:"peer_bgp_id"`
	PeerDistinguisher *string `json:"peer_distinguisher"`
	RIB               *string `json:"rib"`
	Type              uint16  `json:"type"`
	Name              *string `json:"name"`
	Family            *string `json:"family"`
	Value             *Gauge  `json:"value"`
	Raw               []byte  `json:"raw"`
}

func (p *PeerStat) fields() []any {
	return []any{
		&p.Sequence, &p.Position, &p.ReceivedAt, &p.ObservedAt, &p.Collector, &p.Router, &p.RouterAddress, &p.PeerAddress,
		&p.PeerASN, &p.PeerBGPID, &p.PeerDistinguisher, &p.RIB, &p.Type, &p.Name, &p.Family, &p.Value, &p.Raw,
	}
}

// Gap is a row of gaps.
type Gap struct {
	Sequence      uint64  `json:"sequence"`
	ReceivedAt    Time    `json:"received_at"`
	Collector     string  `json:"collector"`
	Router        *string `json:"router"`
	RouterAddress *string `json:"router_address"`
	Cause         string  `json:"cause"`
	Lost          *Gauge  `json:"lost"` // events; nil when nobody can say
	StartAt       *Time   `json:"start_at"`
	EndAt         *Time   `json:"end_at"`
	Detail        *string `json:"detail"`
}

func (g *Gap) fields() []any {
	return []any{
		&g.Sequence, &g.ReceivedAt, &g.Collector, &g.Router, &g.RouterAddress, &g.Cause, &g.Lost, &g.StartAt, &g.EndAt, &g.Detail,
	}
}

// Import is a row of imports.
type Import struct {
	Sequence      uint64  `json:"sequence"`
	ReceivedAt    Time    `json:"received_at"`
	Collector     string  `json:"collector"`
	Router        *string `json:"router"`
	RouterAddress *string `json:"router_address"`
	Detail        *string `json:"detail"`
}

func (i *Import) fields() []any {
	return []any{&i.Sequence, &i.ReceivedAt, &i.Collector, &i.Router, &i.RouterAddress, &i.Detail}
}

// Anomaly is a row of anomalies.
type Anomaly struct {
	Sequence      uint64  `json:"sequence"`
	ReceivedAt    Time    `json:"received_at"`
	Collector     string  `json:"collector"`
	Router        *string `json:"router"`
	RouterAddress *string `json:"router_address"`
	PeerAddress   *string `json:"peer_address"`
	Kind          string  `json:"kind"`
	Reason        string  `json:"reason"`
	Raw           []byte  `json:"raw"`
}

func (a *Anomaly) fields() []any {
	return []any{
		&a.Sequence, &a.ReceivedAt, &a.Collector, &a.Router, &a.RouterAddress, &a.PeerAddress, &a.Kind, &a.Reason, &a.Raw,
	}
}

// Router is a row of routers.
type Router struct {
	Collector     string  `json:"collector"`
	Router        string  `json:"router"`
	RouterAddress *string `json:"router_address"`
	State         string  `json:"state"` // up, down or unknown
	Since         *Time   `json:"since"`
	Session       *uint64 `json:"session"`
	SysName       *string `json:"sys_name"`
	SysDescr      *string `json:"sys_descr"`
	Reason        *string `json:"reason"`
	Peers         uint64  `json:"peers"`
	PeersUp       uint64  `json:"peers_up"`
}

func (r *Router) fields() []any {
	return []any{
		&r.Collector, &r.Router, &r.RouterAddress, &r.State, &r.Since, &r.Session, &r.SysName, &r.SysDescr, &r.Reason, &r.Peers,
		&r.PeersUp,
	}
}

// Peer is a row of peers.
type Peer struct {
	Collector            string  `json:"collector"`
	Router               string  `json:"router"`
	RouterAddress        *string `json:"router_address"`
	PeerAddress          *string `json:"peer_address"`
	PeerASN              *uint32 `json:"peer_asn"`
	PeerBGPID            *string `json:"peer_bgp_id"`
	PeerDistinguisher    *string `json:"peer_distinguisher"`
	PeerType             string  `json:"peer_type"`
	TableName            *string `json:"table_name"`
	RIBs                 *string `json:"ribs"`  // separated by spaces
	State                string  `json:"state"` // up, down, or unknown without a Peer Up
	Since                *Time   `json:"since"`
	Epoch                *uint32 `json:"epoch"`
	LocalAddress         *string `json:"local_address"`
	LocalASN             *uint32 `json:"local_asn"`
	LocalPort            *uint16 `json:"local_port"`
	RemotePort           *uint16 `json:"remote_port"`
	HoldTime             *uint16 `json:"hold_time"`
	SentCapabilities     *string `json:"sent_capabilities"`
	ReceivedCapabilities *string `json:"received_capabilities"`
	Reason               *string `json:"reason"`
	StatsSequence        *uint64 `json:"stats_sequence"`
}

func (p *Peer) fields() []any {
	return []any{
		&p.Collector, &p.Router, &p.RouterAddress, &p.PeerAddress, &p.PeerASN, &p.PeerBGPID, &p.PeerDistinguisher, &p.PeerType,
		&p.TableName, &p.RIBs, &p.State, &p.Since, &p.Epoch, &p.LocalAddress, &p.LocalASN, &p.LocalPort, &p.RemotePort, &p.HoldTime,
		&p.SentCapabilities, &p.ReceivedCapabilities, &p.Reason, &p.StatsSequence,
	}
}
