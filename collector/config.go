package collector

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/ribtap/ribtap/event"
)

// Config says what the collector listens to and how patient it is.
type Config struct {
	// Listen are the addresses of the BMP station, host:port.
	Listen []string
	// Inherited gives the listener that whoever started the process has opened for
	// an address, or nil; nil for none. The collector closes it.
	Inherited func(address string) net.Listener
	// Allow are the sources that may connect; a connection from elsewhere is
	// closed at once and counted. Empty allows nobody.
	Allow []netip.Prefix
	// TLS, if set, is required of every BMP session.
	TLS *tls.Config
	// Routers name routers by their address and say which ones to dial.
	Routers []RouterConfig

	// Speaker says what the events of our own BGP sessions are called.
	Speaker SpeakerConfig

	// MaxMessage bounds one BMP message, in octets.
	MaxMessage int
	// MaxSessions bounds the BMP sessions at a time; a further one is closed at
	// once and counted.
	MaxSessions int
	// IdleTimeout ends a session on which nothing came for so long; 0 never,
	// for BMP has no keepalive and a quiet router says nothing for days.
	IdleTimeout time.Duration
	// Keepalive is the interval of TCP keepalive probes; the third unanswered
	// one ends the session.
	Keepalive time.Duration

	// SweepQuiet is how long a peer must be quiet after its End-of-RIB before
	// the routes that it did not announce again are withdrawn. Some routers
	// send End-of-RIB before the routes.
	SweepQuiet time.Duration
	// SweepCap is when they are withdrawn without any End-of-RIB.
	SweepCap time.Duration
	// RestartHold is how long routes are kept, after a restart of the collector
	// itself, for a router that has not connected again.
	RestartHold time.Duration

	// SnapshotPath is the file that RIB state is saved to; empty for none.
	SnapshotPath string
	// SnapshotInterval and SnapshotBytes say how often: after so long, or after
	// so many octets of events, whichever comes first.
	SnapshotInterval time.Duration
	SnapshotBytes    int64
	// Position returns the sequence of the last event written; it is called
	// while no Write is under way. Needed with SnapshotPath.
	Position func() uint64

	// Pace, if set, is called between portions of a large number of inferred
	// withdrawals; it returns when the event stream has room for more without
	// delaying others. It must return after a bounded time.
	Pace func()
}

// SpeakerConfig describes our own BGP speaker as the monitored router of what
// it hears. Name and RouterID are its identity, and that of its neighbours'
// RIB state; so they should not change.
type SpeakerConfig struct {
	// Name is the router's; empty without a speaker.
	Name string
	// RouterID stands for its address.
	RouterID netip.Addr
	// Quarantine keeps a session of which an UPDATE cannot be read (RFC 7606 §2,
	// session reset): its families count as unsynchronised until a refresh of
	// them has ended. Otherwise such a session ends.
	Quarantine bool
}

// is reports whether a router of an event is our speaker.
func (s *SpeakerConfig) is(r *event.Router) bool {
	return s.Name != "" && r.Name == s.Name && r.Address == s.RouterID && r.SysName == ""
}

// validate reports a speaker that could be mistaken for another router.
func (s *SpeakerConfig) validate(routers []RouterConfig) error {
	if s.Name == "" {
		return nil
	}
	if !s.RouterID.Is4() || s.RouterID.IsUnspecified() {
		return errors.New("collector: the speaker needs a router id, which is an IPv4 address (RFC 6286)")
	}
	for _, r := range routers {
		if r.Name == s.Name || r.Address == s.RouterID {
			return fmt.Errorf("collector: router %q has the name or the address of the speaker", r.Name)
		}
	}
	return nil
}

// RouterConfig is what the configuration says of one router.
type RouterConfig struct {
	Name    string
	Address netip.Addr
	// Port, if not 0, makes the collector dial the router there.
	Port uint16
}

// DefaultConfig returns the values that hold where nothing is configured: on
// loopback only.
func DefaultConfig() Config {
	return Config{
		Listen:           []string{"127.0.0.1:11019"},
		Allow:            []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		MaxMessage:       1 << 20,
		MaxSessions:      2000,
		Keepalive:        20 * time.Second,
		SweepQuiet:       5 * time.Second,
		SweepCap:         3 * time.Minute,
		RestartHold:      5 * time.Minute,
		SnapshotInterval: 5 * time.Minute,
		SnapshotBytes:    256 << 20,
	}
}

// Validate reports everything that cannot work.
func (c *Config) Validate() error {
	var errs []error
	if c.MaxMessage < 4096+48 {
		errs = append(errs, fmt.Errorf("collector: max message %d is smaller than one BGP message in BMP", c.MaxMessage))
	}
	if c.MaxSessions < 1 {
		errs = append(errs, errors.New("collector: max sessions must be at least 1"))
	}
	if c.Keepalive < time.Second {
		errs = append(errs, errors.New("collector: keepalive must be at least 1s"))
	}
	if c.SweepQuiet <= 0 || c.SweepCap < c.SweepQuiet {
		errs = append(errs, errors.New("collector: sweep quiet must be positive and not above sweep cap"))
	}
	if c.SnapshotPath != "" && c.Position == nil {
		errs = append(errs, errors.New("collector: a snapshot needs the stream's position"))
	}
	if err := c.Speaker.validate(c.Routers); err != nil {
		errs = append(errs, err)
	}
	seen := map[netip.Addr]string{}
	for _, r := range c.Routers {
		if !r.Address.IsValid() {
			errs = append(errs, fmt.Errorf("collector: router %q has no address", r.Name))
		} else if other, dup := seen[r.Address]; dup {
			errs = append(errs, fmt.Errorf("collector: routers %q and %q have the same address %s", other, r.Name, r.Address))
		}
		seen[r.Address] = r.Name
	}
	return errors.Join(errs...)
}
