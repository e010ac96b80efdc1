package speaker

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ribtap/ribtap/bgp"
)

// Config says where to listen and with whom to speak.
type Config struct {
	// Listen are addresses with port; none: only dialling peers have sessions.
	Listen []string
	// Inherited gives the listener that whoever started the process has opened for
	// an address, or nil; nil for none. The speaker protects and closes it.
	Inherited func(address string) net.Listener
	// ASN and RouterID are ours where a peer has none of its own.
	ASN      uint32
	RouterID netip.Addr
	Peers    []Peer

	// MaxSessions bounds connections of all kinds; what comes beyond is closed.
	MaxSessions int
	// AcceptRate bounds how many connections a second are taken from one peer
	// entry, AcceptRateUnknown how many from all who are not configured before
	// they are closed without being looked at.
	AcceptRate, AcceptRateUnknown int
	// InitialDelay bounds the random time before a neighbour is dialled first.
	InitialDelay time.Duration
	// RefuseUnknown answers a connection of nobody's with Cease, Connection
	// Rejected (RFC 4486) instead of closing it without a word.
	RefuseUnknown bool
}

// Peer is a neighbour, or a range of addresses that may all become one.
type Peer struct {
	Name string
	// Address is one address, or a range of which each address may have a
	// session of its own, at most Limit of them. The longest match wins.
	Address netip.Prefix
	// Zone is the interface of a link-local address.
	Zone  string
	Limit int
	// RemoteASN are the AS numbers that the neighbour may have.
	RemoteASN ASNs
	// LocalASN and RouterID are ours towards it; 0 and invalid: those of Config.
	LocalASN uint32
	RouterID netip.Addr
	// Mirror takes the neighbour's own AS number for LocalASN, so that the
	// session is internal whoever comes; on accepted connections alone.
	Mirror bool

	// Active also dials, at Port from Source; an invalid Source leaves the
	// choice to the kernel. A range is never dialled.
	Active bool
	Port   uint16
	Source netip.Addr
	// Disabled keeps the peer in the list without a session.
	Disabled bool

	// HoldTime is proposed (RFC 4271 §4.2): 0 or at least 3 s. A neighbour that
	// settles below MinHoldTime is refused.
	HoldTime, MinHoldTime time.Duration
	// ConnectRetry is the time between dials. It and the keepalive interval are
	// shortened by up to a quarter at random (RFC 4271 §10).
	ConnectRetry time.Duration
	// DelayOpen is how long an accepted connection waits for the neighbour's
	// OPEN before ours is sent.
	DelayOpen time.Duration
	// SendHold is RFC 9687's; 0: twice the hold time, but 8 minutes at least.
	SendHold time.Duration

	// Families are offered (RFC 4760). AddPath offers to receive several paths
	// of each (RFC 7911).
	Families []bgp.Family
	AddPath  bool
	// ExtendedMessages is RFC 8654, ExtendedNextHop RFC 8950, EnhancedRefresh RFC
	// 7313, GracefulRestart RFC 4724 and RFC 8538 as a helper with no families of
	// its own, LLGR RFC 9494 as a helper.
	ExtendedMessages, ExtendedNextHop, EnhancedRefresh, GracefulRestart, LLGR bool
	// Role, if not nil, is ours (RFC 9234); with RoleStrict a neighbour must have one.
	Role       *bgp.Role
	RoleStrict bool

	// Password is the key of TCP MD5 (RFC 2385), at most 80 octets.
	Password string
	// TTLMin is the smallest TTL or hop limit that counts (RFC 5082): 255 for a
	// neighbour on the link; 0: any.
	TTLMin uint8
	// AO are keys of the TCP Authentication Option (RFC 5925).
	AO []AOKey

	// MaxPrefixes are limits, for each family one at most.
	MaxPrefixes []PrefixLimit

	// Announce are the routes to announce, all of them: what is not listed any
	// more is withdrawn.
	Announce []Announcement
	// Drain adds GRACEFUL_SHUTDOWN to all of them (RFC 8326).
	Drain bool
}

// AOKey is one master key tuple of TCP-AO.
type AOKey struct {
	SendID, RecvID uint8
	Key            string
	Algorithm      string // hmac-sha-1-96 or aes-128-cmac-96
}

// LimitAction says what happens at a limit.
type LimitAction uint8

// Values of LimitAction.
const (
	LimitWarn      LimitAction = iota // say so, once
	LimitDiscard                      // the RIB takes no more of them
	LimitTerminate                    // Cease, Maximum Number of Prefixes Reached, and no session for 5 minutes
)

// PrefixLimit bounds how many routes of a family a session may have.
type PrefixLimit struct {
	Family bgp.Family
	Max    int
	Action LimitAction
}

// ASNs is a set of AS numbers. The zero ASNs has all of them.
type ASNs struct {
	list               []uint32
	internal, external bool
}

// ParseASNs reads any, internal, external, or numbers separated by commas.
func ParseASNs(text string) (ASNs, error) {
	switch strings.TrimSpace(text) {
	case "", "any":
		return ASNs{}, nil
	case "internal":
		return ASNs{internal: true}, nil
	case "external":
		return ASNs{external: true}, nil
	}
	var a ASNs
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.ParseUint(strings.TrimSpace(part), 10, 32)
		if err != nil || n == 0 {
			return ASNs{}, fmt.Errorf("speaker: %q is not an AS number, any, internal or external", strings.TrimSpace(part))
		}
		a.list = append(a.list, uint32(n))
	}
	return a, nil
}

// ASNList returns the set of the numbers given.
func ASNList(list ...uint32) ASNs { return ASNs{list: list} }

// Has reports whether a neighbour may have the number, when ours is local.
func (a ASNs) Has(remote, local uint32) bool {
	switch {
	case a.internal:
		return remote == local
	case a.external:
		return remote != local
	case len(a.list) == 0:
		return true
	}
	return slices.Contains(a.list, remote)
}

// String is the inverse of ParseASNs.
func (a ASNs) String() string {
	switch {
	case a.internal:
		return "internal"
	case a.external:
		return "external"
	case len(a.list) == 0:
		return "any"
	}
	text := make([]string, len(a.list))
	for i, n := range a.list {
		text[i] = strconv.FormatUint(uint64(n), 10)
	}
	return strings.Join(text, ",")
}

// DefaultConfig listens nowhere and knows nobody.
func DefaultConfig() Config {
	return Config{MaxSessions: 2000, AcceptRate: 20, AcceptRateUnknown: 100, InitialDelay: 5 * time.Second}
}

// DefaultPeer is a peer as it is without further word: it waits to be called,
// and takes IPv4 and IPv6 unicast.
func DefaultPeer() Peer {
	return Peer{
		Limit: 100, Port: 179,
		HoldTime: 180 * time.Second, ConnectRetry: 30 * time.Second, DelayOpen: 5 * time.Second,
		Families: []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast}, AddPath: true,
		ExtendedMessages: true, ExtendedNextHop: true, EnhancedRefresh: true, GracefulRestart: true, LLGR: true,
	}
}

// Range reports whether the peer is a range of addresses.
func (p *Peer) Range() bool { return p.Address.IsValid() && !p.Address.IsSingleIP() }

const (
	minHold        = 3 * time.Second
	maxHold        = 65535 * time.Second
	maxPasswordLen = 80 // TCP_MD5SIG_MAXKEYLEN
	maxFamilies    = 64 // as many as fit an OPEN with all that is said of each
)

// Validate reports everything that cannot work.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("speaker: "+format, args...)) }
	if c.InitialDelay < 0 {
		bad("the initial delay is negative")
	}
	if c.MaxSessions < 1 || c.AcceptRate < 1 || c.AcceptRateUnknown < 1 {
		bad("sessions and accept rates must be at least 1")
	}
	names, ranges := map[string]bool{}, map[string]string{}
	for i := range c.Peers {
		p := &c.Peers[i]
		switch {
		case p.Name == "":
			bad("a peer has no name")
		case names[p.Name]:
			bad("two peers are called %s", p.Name)
		}
		names[p.Name] = true
		where := p.Address.String() + "%" + p.Zone
		if other, ok := ranges[where]; ok && p.Address.IsValid() {
			bad("peers %s and %s have the same address %s", other, p.Name, p.Address)
		}
		ranges[where] = p.Name
		if err := p.validate(c); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		// What no kernel can carry out, see there.
		_, err := newKeyring(c.Peers)
		return err
	}
	return errors.Join(errs...)
}

func (p *Peer) validate(c *Config) error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("speaker: peer %s: "+format, append([]any{p.Name}, args...)...))
	}
	if !p.Address.IsValid() || p.Address != p.Address.Masked() {
		bad("%s is not an address or a range", p.Address)
	}
	if a := p.Address.Addr(); a.IsLinkLocalUnicast() && a.Is6() && !p.Range() && p.Zone == "" {
		bad("a link-local address needs its interface")
	}
	if p.Range() && (p.Active || p.Limit < 1) {
		bad("a range cannot be dialled and needs a limit")
	}
	if p.LocalASN == 0 && c.ASN == 0 && !p.Mirror {
		bad("no AS number of ours")
	}
	if id := firstValid(p.RouterID, c.RouterID); !id.Is4() || id.IsUnspecified() {
		bad("no router id of ours, which is an IPv4 address (RFC 6286)")
	}
	if p.HoldTime != 0 && p.HoldTime < minHold || p.HoldTime > maxHold || p.HoldTime%time.Second != 0 {
		bad("a hold time is 0 or 3 to 65535 whole seconds")
	}
	if p.MinHoldTime > p.HoldTime && p.HoldTime != 0 {
		bad("the least hold time is above the hold time")
	}
	if p.ConnectRetry < time.Second && p.Active {
		bad("connect retry must be at least 1s")
	}
	if p.SendHold != 0 && p.SendHold <= p.HoldTime {
		bad("the send hold time must be above the hold time (RFC 9687)")
	}
	switch {
	case len(p.Families) == 0:
		bad("no address families")
	case len(p.Families) > maxFamilies:
		bad("more than %d address families", maxFamilies)
	}
	for i, f := range p.Families {
		if slices.Contains(p.Families[:i], f) {
			bad("address family %s twice", f)
		}
	}
	if p.Mirror && (p.Active || p.DelayOpen <= 0) {
		bad("the neighbour's AS number can be taken only if its OPEN is waited for: on accepted connections, with a delay")
	}
	if len(p.Password) > maxPasswordLen {
		bad("a password has at most %d octets", maxPasswordLen)
	}
	if p.Password != "" && len(p.AO) > 0 {
		bad("a password and TCP-AO keys exclude each other")
	}
	for i := range p.Announce {
		if err := p.Announce[i].Validate(); err != nil {
			bad("%w", err)
		}
	}
	return errors.Join(errs...)
}

func firstValid(list ...netip.Addr) netip.Addr {
	for _, a := range list {
		if a.IsValid() {
			return a
		}
	}
	return netip.Addr{}
}
