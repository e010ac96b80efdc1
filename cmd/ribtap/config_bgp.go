package main

// BGPConfig configures the speaker.
type BGPConfig struct {
	Listen            []string         `mapstructure:"listen" doc:"addresses, host:port; empty: only peers that are dialled have sessions"`
	ASN               uint32           `mapstructure:"asn" doc:"own AS number, for peers without a local_asn"`
	RouterID          string           `mapstructure:"router_id" doc:"own BGP Identifier, an IPv4 address; with collector.name it names the speaker in the history, so it should not change"`
	MaxSessions       int              `mapstructure:"max_sessions" doc:"connections at a time; a further one is closed"`
	AcceptRate        int              `mapstructure:"accept_rate" doc:"connections a second that are taken from one peer entry"`
	AcceptRateUnknown int              `mapstructure:"accept_rate_unknown" doc:"connections a second of sources without an entry that are told why they are refused; the rest is closed without a word"`
	RefuseUnknown     bool             `mapstructure:"refuse_unknown" doc:"answer a source without an entry with Cease, Connection Rejected, instead of closing it"`
	InitialDelay      Duration         `mapstructure:"initial_delay" doc:"bound of the random time before a peer is dialled first"`
	OnResetError      string           `mapstructure:"on_reset_error" doc:"for an UPDATE that cannot be read (RFC 7606 session reset): reset, or quarantine, which keeps the session and marks its families unsynchronised"`
	Drain             bool             `mapstructure:"drain" doc:"add GRACEFUL_SHUTDOWN (RFC 8326) to everything announced, to every peer"`
	Announce          []AnnounceConfig `mapstructure:"announce" doc:"routes announced to every peer; none by default (RFC 8212)"`
	Peers             []PeerConfig     `mapstructure:"peers" doc:"neighbours; none by default, and nobody else is let in"`
}

// PeerConfig is one neighbour of the speaker, or a range of them. What is nil has
// the default that its default tag says, which is that of speaker.DefaultPeer.
type PeerConfig struct {
	Name             string           `mapstructure:"name" json:"name" doc:"name in events, logs and commands"`
	Address          string           `mapstructure:"address" json:"address" doc:"IP address, link-local address with its interface (fe80::1%eth0), or prefix: each address of it may have a session of its own. The longest match wins"`
	Limit            *int             `mapstructure:"limit" json:"limit,omitempty" default:"100" doc:"sessions at a time, of a prefix"`
	RemoteASN        asnSet           `mapstructure:"remote_asn" json:"remote_asn,omitempty" default:"any" doc:"AS number of the neighbour: a number, a list, internal, external or any"`
	LocalASN         localASN         `mapstructure:"local_asn" json:"local_asn,omitzero" default:"0" doc:"own AS number towards it; 0: bgp.asn; mirror: whatever its own is, so that the session is internal (it must call us)"`
	RouterID         string           `mapstructure:"router_id" json:"router_id,omitempty" default:"" doc:"own BGP Identifier towards it; empty: bgp.router_id"`
	Passive          *bool            `mapstructure:"passive" json:"passive,omitempty" default:"true" doc:"wait to be called; false: also dial"`
	Port             *int             `mapstructure:"port" json:"port,omitempty" default:"179" doc:"port to dial"`
	Source           string           `mapstructure:"source" json:"source,omitempty" default:"" doc:"address to dial from; empty: the system chooses"`
	Enabled          *bool            `mapstructure:"enabled" json:"enabled,omitempty" default:"true" doc:"false keeps the entry without a session"`
	HoldTime         *Duration        `mapstructure:"hold_time" json:"hold_time,omitempty" default:"3m" doc:"hold time to propose: 0 or 3s at least"`
	MinHoldTime      Duration         `mapstructure:"min_hold_time" json:"min_hold_time,omitzero" default:"0" doc:"refuse a session whose hold time would be lower"`
	ConnectRetry     *Duration        `mapstructure:"connect_retry" json:"connect_retry,omitempty" default:"30s" doc:"time between dials"`
	DelayOpen        *Duration        `mapstructure:"delay_open" json:"delay_open,omitempty" default:"5s" doc:"how long an accepted connection waits for the neighbour's OPEN before ours is sent"`
	SendHold         Duration         `mapstructure:"send_hold" json:"send_hold,omitzero" default:"0" doc:"end a session whose neighbour takes nothing for so long (RFC 9687); 0: twice the hold time, 8m at least"`
	Families         []string         `mapstructure:"families" json:"families,omitempty" default:"[ipv4-unicast, ipv6-unicast]" doc:"address families to offer, such as l3vpn-ipv4-unicast, l2vpn-evpn, ipv4-flowspec, ls"`
	AddPath          *bool            `mapstructure:"add_path" json:"add_path,omitempty" default:"true" doc:"offer to receive several paths of a route (RFC 7911)"`
	ExtendedMessages *bool            `mapstructure:"extended_messages" json:"extended_messages,omitempty" default:"true" doc:"messages of up to 65535 octets (RFC 8654)"`
	ExtendedNextHop  *bool            `mapstructure:"extended_next_hop" json:"extended_next_hop,omitempty" default:"true" doc:"IPv4 routes with IPv6 next hops (RFC 8950)"`
	EnhancedRefresh  *bool            `mapstructure:"enhanced_refresh" json:"enhanced_refresh,omitempty" default:"true" doc:"marked refreshes (RFC 7313)"`
	GracefulRestart  *bool            `mapstructure:"graceful_restart" json:"graceful_restart,omitempty" default:"true" doc:"keep routes while the neighbour restarts (RFC 4724, RFC 8538)"`
	LLGR             *bool            `mapstructure:"llgr" json:"llgr,omitempty" default:"true" doc:"and for long (RFC 9494)"`
	Role             string           `mapstructure:"role" json:"role,omitempty" default:"" doc:"own role (RFC 9234): provider, rs, rs-client, customer or peer; empty: none"`
	RoleStrict       bool             `mapstructure:"role_strict" json:"role_strict,omitempty" default:"false" doc:"refuse a neighbour without a role"`
	Password         secret           `mapstructure:"password" json:"password,omitempty" default:"" doc:"key of TCP MD5 (RFC 2385)"`
	PasswordFile     string           `mapstructure:"password_file" json:"password_file,omitempty" default:"" doc:"file with the password instead"`
	TTLSecurity      ttlSecurity      `mapstructure:"ttl_security" json:"ttl_security,omitzero" default:"false" doc:"true: only from neighbours on the link (RFC 5082); a number: the smallest TTL"`
	AO               []AOConfig       `mapstructure:"ao" json:"ao,omitempty" default:"[]" doc:"keys of TCP-AO (RFC 5925): {send_id: 1, recv_id: 1, key_file: F, algorithm: hmac-sha-1-96}; the algorithm may be aes-128-cmac-96, and key stand for key_file"`
	MaxPrefixes      []MaxPrefixes    `mapstructure:"max_prefixes" json:"max_prefixes,omitempty" default:"[]" doc:"limits: {family: ipv4-unicast, max: 1000000, action: warn}; the action may be discard (the RIB takes no more of them; the history does) or terminate (Cease, and no session for 5 minutes)"`
	Announce         []AnnounceConfig `mapstructure:"announce" json:"announce,omitempty" default:"[]" doc:"routes announced to it alone, besides bgp.announce; they win over those"`
	Accept           []string         `mapstructure:"accept" json:"accept,omitempty" default:"[]" doc:"prefixes to announce to it, with what is inside of them, whatever reject says"`
	Reject           []string         `mapstructure:"reject" json:"reject,omitempty" default:"[]" doc:"prefixes not to announce to it, with what is inside of them"`
	Drain            bool             `mapstructure:"drain" json:"drain,omitempty" default:"false" doc:"add GRACEFUL_SHUTDOWN (RFC 8326) to everything announced to it"`
}

// AOConfig is a key of TCP-AO.
type AOConfig struct {
	SendID    int    `mapstructure:"send_id" json:"send_id"`
	RecvID    int    `mapstructure:"recv_id" json:"recv_id"`
	Key       secret `mapstructure:"key" json:"key,omitempty"`
	KeyFile   string `mapstructure:"key_file" json:"key_file,omitempty"`
	Algorithm string `mapstructure:"algorithm" json:"algorithm,omitempty"`
}

// MaxPrefixes is a limit of one family.
type MaxPrefixes struct {
	Family string `mapstructure:"family" json:"family"`
	Max    int    `mapstructure:"max" json:"max"`
	Action string `mapstructure:"action" json:"action,omitempty"`
}

// AnnounceConfig is a route to announce. It is also what /v1/announce takes.
type AnnounceConfig struct {
	Prefix           string       `mapstructure:"prefix" json:"prefix,omitempty" default:"" doc:"prefix, or address"`
	NextHop          string       `mapstructure:"next_hop" json:"next_hop,omitempty" default:"" doc:"next hop; empty: our address of the session, else the router id"`
	LinkLocal        string       `mapstructure:"link_local" json:"link_local,omitempty" default:"" doc:"link-local next hop beside an IPv6 one"`
	Origin           string       `mapstructure:"origin" json:"origin,omitempty" default:"igp" doc:"igp, egp or incomplete"`
	ASPath           []string     `mapstructure:"as_path" json:"as_path,omitempty" default:"[]" doc:"AS numbers behind our own"`
	MED              *uint32      `mapstructure:"med" json:"med,omitempty" default:"none" doc:"multi-exit discriminator"`
	LocalPref        *uint32      `mapstructure:"local_pref" json:"local_pref,omitempty" default:"100" doc:"local preference, sent on internal sessions"`
	Communities      []string     `mapstructure:"communities" json:"communities,omitempty" default:"[]" doc:"such as 65000:1 or no-export"`
	LargeCommunities []string     `mapstructure:"large_communities" json:"large_communities,omitempty" default:"[]" doc:"such as 65000:1:2"`
	ExtCommunities   []string     `mapstructure:"ext_communities" json:"ext_communities,omitempty" default:"[]" doc:"such as rt:65000:1"`
	Flow             string       `mapstructure:"flow" json:"flow,omitempty" default:"" doc:"instead of a prefix a flow specification: destination 10.9.0.0/16 protocol ==17 destination-port >53"`
	Family           string       `mapstructure:"family" json:"family,omitempty" default:"" doc:"of a flow without addresses: ipv4-flowspec or ipv6-flowspec"`
	Actions          []string     `mapstructure:"actions" json:"actions,omitempty" default:"[]" doc:"of a flow: discard, traffic-rate 24000, redirect 65000:1, mark 46, traffic-action sample"`
	Beacon           BeaconConfig `mapstructure:"beacon" json:"beacon,omitzero" default:"none" doc:"comes and goes by the clock (UTC): {up: 2h, down: 2h, offset: 0}"`
}

// BeaconConfig is a schedule; the zero value is none.
type BeaconConfig struct {
	Up     Duration `mapstructure:"up" json:"up"`
	Down   Duration `mapstructure:"down" json:"down"`
	Offset Duration `mapstructure:"offset" json:"offset,omitzero"`
}

// Values of bgp.on_reset_error.
const (
	onResetReset      = "reset"
	onResetQuarantine = "quarantine"
)
