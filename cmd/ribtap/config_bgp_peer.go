package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/speaker"
)

// bgpConfig is the whole bgp section as the speaker takes it, and what decides
// about export, which the speaker does not know.
type bgpConfig struct {
	speaker speaker.Config
	// announce go to every peer, subject to its lists.
	announce []speaker.Announcement
	exports  map[string]exportLists // by peer
	// off says why there can be no speaker at all; only without peers is it no error.
	off string
	// locked are keys that who reads the configuration may not read. Only a speaker
	// needs them: queries of other people go on without.
	locked []string
}

// exportLists say what of that which is announced goes to a peer: accept wins,
// then reject, and the rest passes.
type exportLists struct{ accept, reject []netip.Prefix }

func (l exportLists) pass(p netip.Prefix) bool {
	inside := func(list []netip.Prefix) bool {
		for _, outer := range list {
			if outer.Bits() <= p.Bits() && outer.Contains(p.Addr()) {
				return true
			}
		}
		return false
	}
	return !p.IsValid() || inside(l.accept) || !inside(l.reject)
}

// checkBGP turns the section into a bgpConfig, which reads the files with keys,
// and says everything that is wrong with it.
func (s *settings) checkBGP(bad func(key, format string, args ...any)) {
	c, out := &s.BGP, bgpConfig{speaker: speaker.DefaultConfig(), exports: map[string]exportLists{}}
	sp := &out.speaker
	sp.Listen, sp.ASN, sp.InitialDelay, sp.RefuseUnknown = c.Listen, c.ASN, c.InitialDelay.Std(), c.RefuseUnknown
	sp.MaxSessions, sp.AcceptRate, sp.AcceptRateUnknown = c.MaxSessions, c.AcceptRate, c.AcceptRateUnknown
	atLeastOne := func(key string, n int) {
		if n < 1 {
			bad(key, "%d is less than 1", n)
		}
	}
	atLeastOne("bgp.max_sessions", c.MaxSessions)
	atLeastOne("bgp.accept_rate", c.AcceptRate)
	atLeastOne("bgp.accept_rate_unknown", c.AcceptRateUnknown)
	for _, a := range c.Listen {
		if _, err := splitListen(a); err != nil {
			bad("bgp.listen", "%v", err)
		}
	}
	if c.ASN == 0 {
		bad("bgp.asn", "0 is no AS number (RFC 7607)")
	}
	var err error
	if sp.RouterID, err = parseRouterID(c.RouterID); err != nil {
		bad("bgp.router_id", "%v", err)
	}
	if c.OnResetError != onResetReset && c.OnResetError != onResetQuarantine {
		bad("bgp.on_reset_error", "%q is not one of %s, %s", c.OnResetError, onResetReset, onResetQuarantine)
	}
	if out.off = s.speakerIsRouter(sp.RouterID); out.off != "" && len(c.Peers) > 0 {
		bad("bgp.router_id", "%s", out.off)
	}
	complete := true
	for i := range c.Announce {
		a, err := c.Announce[i].announcement()
		complete = complete && err == nil
		for _, line := range problemLines(err) {
			bad("bgp.announce", "entry %d: %s", i+1, line)
		}
		out.announce = append(out.announce, a)
	}
	for i := range c.Peers {
		p, lists, err := c.Peers[i].peer(c)
		complete = complete && err == nil
		for _, line := range problemLines(err) {
			line = entryName(i, c.Peers[i].Name) + ": " + line
			if strings.HasSuffix(line, fs.ErrPermission.Error()) {
				out.locked = append(out.locked, fmt.Sprintf("bgp.peers (%s): %s", s.origins["bgp.peers"], line))
				continue
			}
			bad("bgp.peers", "%s", line)
		}
		sp.Peers = append(sp.Peers, p)
		out.exports[p.Name] = lists
	}
	if complete && len(c.Peers) > 0 { // else it repeats what was said
		for _, line := range problemLines(sp.Validate()) {
			bad("bgp.peers", "%s", line)
		}
	}
	s.bgp = out
	s.warnBGP()
}

// speaks returns an error if the configuration lacks what a speaker needs.
func (s *settings) speaks() error {
	if len(s.bgp.locked) > 0 {
		return &configError{s.bgp.locked}
	}
	return nil
}

// warnBGP says what is legal but surely not meant.
func (s *settings) warnBGP() {
	c := &s.bgp.speaker
	if len(c.Peers) == 0 {
		return
	}
	if s.origins["bgp.router_id"] == "default" {
		s.warnings = append(s.warnings, fmt.Sprintf("bgp.router_id is the default, %s: set an address of this machine, which no other BGP speaker has", c.RouterID))
	}
	for i := range c.Peers {
		p := &c.Peers[i]
		for _, a := range s.bgp.export(p, nil) {
			if slices.Contains(p.Families, a.Family) && !reaches(p, &a) {
				s.warnings = append(s.warnings, fmt.Sprintf("%s is not announced to peer %s: an IPv6 route needs a next_hop when the session is one of IPv4", &a, p.Name))
			}
		}
	}
	for _, a := range c.Listen {
		if host, err := splitListen(a); err != nil || !isLoopback(host) {
			return
		}
	}
	for i := range c.Peers {
		if p := &c.Peers[i]; !p.Active && !p.Disabled && p.Address.IsValid() && !p.Address.Addr().IsLoopback() {
			s.warnings = append(s.warnings, fmt.Sprintf("bgp.listen is not open to the network, but peer %s is to call from there: add an address of this machine to bgp.listen", p.Name))
			return
		}
	}
}

// entryName names an entry of a list by its place, and by its name if it has one.
func entryName(i int, name string) string {
	if name == "" {
		return fmt.Sprintf("entry %d", i+1)
	}
	return fmt.Sprintf("entry %d (%s)", i+1, name)
}

// speakerIsRouter says how the speaker, which is a router of the history like
// those that use BMP, could be mistaken for one of them; empty if it cannot.
func (s *settings) speakerIsRouter(id netip.Addr) string {
	for _, r := range s.BMP.Routers {
		if r.Name == s.Collector.Name {
			return fmt.Sprintf("the BGP speaker is called %s, like collector.name, and so is a router of bmp.routers; rename one", r.Name)
		}
		if a, err := r.addrPort(); err == nil && a.Addr() == id {
			return fmt.Sprintf("%s is the address of router %s of bmp.routers; choose another", id, r.Name)
		}
	}
	return ""
}

// problemLines are the lines of joined errors, without the package's name.
func problemLines(err error) (lines []string) {
	if err == nil {
		return nil
	}
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimSpace(line)
		line = strings.TrimPrefix(strings.TrimPrefix(line, "speaker: "), "bgp: ")
		lines = append(lines, line)
	}
	return lines
}

func parseRouterID(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() || a.IsUnspecified() {
		return netip.Addr{}, fmt.Errorf("%q is not an IPv4 address, which a BGP Identifier is (RFC 6286)", text)
	}
	return a, nil
}

// peer turns an entry into the speaker's form of it. The error joins everything
// that is wrong.
func (c *PeerConfig) peer(in *BGPConfig) (p speaker.Peer, lists exportLists, err error) {
	var errs []error
	bad := func(key string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %s", key, strings.Join(problemLines(err), "; ")))
		}
	}
	p = speaker.DefaultPeer()
	if p.Name = c.Name; c.Name == "" {
		bad("name", errors.New("is missing"))
	}
	p.Address, p.Zone, err = parsePeerAddress(c.Address)
	bad("address", err)
	or(&p.Limit, c.Limit)
	p.RemoteASN, err = speaker.ParseASNs(string(c.RemoteASN))
	bad("remote_asn", err)
	p.LocalASN, p.Mirror = c.LocalASN.number, c.LocalASN.mirror
	if c.RouterID != "" {
		p.RouterID, err = parseRouterID(c.RouterID)
		bad("router_id", err)
	}
	if c.Passive != nil {
		p.Active = !*c.Passive
	}
	if c.Port != nil {
		if *c.Port < 1 || *c.Port > 65535 {
			bad("port", fmt.Errorf("%d is not a port", *c.Port))
		}
		p.Port = uint16(*c.Port)
	}
	if c.Source != "" {
		p.Source, err = netip.ParseAddr(c.Source)
		bad("source", err)
	}
	if c.Enabled != nil {
		p.Disabled = !*c.Enabled
	}
	or((*Duration)(&p.HoldTime), c.HoldTime)
	or((*Duration)(&p.ConnectRetry), c.ConnectRetry)
	or((*Duration)(&p.DelayOpen), c.DelayOpen)
	p.MinHoldTime, p.SendHold = c.MinHoldTime.Std(), c.SendHold.Std()
	if c.Families != nil {
		p.Families, err = parseFamilies(c.Families)
		bad("families", err)
	}
	or(&p.AddPath, c.AddPath)
	or(&p.ExtendedMessages, c.ExtendedMessages)
	or(&p.ExtendedNextHop, c.ExtendedNextHop)
	or(&p.EnhancedRefresh, c.EnhancedRefresh)
	or(&p.GracefulRestart, c.GracefulRestart)
	or(&p.LLGR, c.LLGR)
	p.Role, err = parseRole(c.Role)
	bad("role", err)
	if p.RoleStrict = c.RoleStrict; c.RoleStrict && p.Role == nil {
		bad("role_strict", errors.New("needs a role of our own"))
	}
	p.Password, err = readSecret(c.Password, c.PasswordFile)
	bad("password_file", err)
	p.TTLMin = uint8(c.TTLSecurity)
	for i := range c.AO {
		k, err := c.AO[i].key()
		bad("ao", err)
		p.AO = append(p.AO, k)
	}
	p.MaxPrefixes, err = parseLimits(c.MaxPrefixes)
	bad("max_prefixes", err)
	for i := range c.Announce {
		a, err := c.Announce[i].announcement()
		bad("announce", err)
		p.Announce = append(p.Announce, a)
	}
	lists.accept, err = parsePrefixes(c.Accept)
	bad("accept", err)
	lists.reject, err = parsePrefixes(c.Reject)
	bad("reject", err)
	p.Drain = c.Drain || in.Drain
	return p, lists, errors.Join(errs...)
}

// or sets what is configured.
func or[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// parsePeerAddress reads an address, with a zone if it is link-local, or a range.
func parsePeerAddress(text string) (p netip.Prefix, zone string, err error) {
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap()
		if zone = a.Zone(); zone == "" && a.Is6() && a.IsLinkLocalUnicast() {
			return p, "", fmt.Errorf("%s is link-local: name its interface, %s%%eth0", a, a)
		}
		return netip.PrefixFrom(a.WithZone(""), a.BitLen()), zone, nil
	}
	p, err = netip.ParsePrefix(text)
	switch {
	case text == "":
		return p, "", errors.New("is missing")
	case err != nil:
		return p, "", fmt.Errorf("%q is neither an IP address nor a prefix", text)
	case p != p.Masked():
		return p, "", fmt.Errorf("%s has host bits; the prefix is %s", p, p.Masked())
	}
	return p, "", nil
}

func parseFamilies(names []string) ([]bgp.Family, error) {
	var list []bgp.Family
	for _, name := range names {
		f, err := bgp.ParseFamily(name)
		if err != nil {
			return list, fmt.Errorf("%q is no address family; nearest is %s", name, nearest(name, familyNames()))
		}
		list = append(list, f)
	}
	return list, nil
}

func parseRole(text string) (*bgp.Role, error) {
	if text == "" {
		return nil, nil
	}
	var names []string
	for r := bgp.RoleProvider; r <= bgp.RolePeer; r++ {
		if r.String() == text {
			return &r, nil
		}
		names = append(names, r.String())
	}
	return nil, fmt.Errorf("%q is not one of %s", text, strings.Join(names, ", "))
}

// readSecret returns a key, from its file if that is given. The error does not
// hold it.
func readSecret(key secret, file string) (string, error) {
	if file == "" {
		return string(key), nil
	}
	if key != "" {
		return "", errors.New("the key is given twice, once as a file")
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s cannot be read: %w", file, errors.Unwrap(err))
	}
	text := strings.TrimRight(string(b), "\r\n")
	if text == "" || strings.ContainsAny(text, "\r\n") {
		return "", fmt.Errorf("%s must hold the key alone, in one line", file)
	}
	return text, nil
}

func (c *AOConfig) key() (speaker.AOKey, error) {
	k := speaker.AOKey{SendID: uint8(c.SendID), RecvID: uint8(c.RecvID), Algorithm: c.Algorithm}
	if k.Algorithm == "" {
		k.Algorithm = "hmac-sha-1-96"
	}
	var err error
	k.Key, err = readSecret(c.Key, c.KeyFile)
	switch {
	case err != nil:
		return k, err
	case k.Key == "":
		return k, errors.New("a key needs key or key_file")
	case c.SendID < 0 || c.SendID > 255 || c.RecvID < 0 || c.RecvID > 255:
		return k, fmt.Errorf("send_id %d and recv_id %d must be 0 to 255", c.SendID, c.RecvID)
	case k.Algorithm != "hmac-sha-1-96" && k.Algorithm != "aes-128-cmac-96":
		return k, fmt.Errorf("algorithm %q is not one of hmac-sha-1-96, aes-128-cmac-96", k.Algorithm)
	}
	return k, nil
}

var limitActions = map[string]speaker.LimitAction{
	"": speaker.LimitWarn, "warn": speaker.LimitWarn, "discard": speaker.LimitDiscard, "terminate": speaker.LimitTerminate,
}

func parseLimits(list []MaxPrefixes) (out []speaker.PrefixLimit, err error) {
	seen := map[bgp.Family]bool{}
	for _, l := range list {
		f, err := parseFamilies([]string{l.Family})
		if err != nil {
			return nil, err
		}
		action, ok := limitActions[l.Action]
		switch {
		case !ok:
			return nil, fmt.Errorf("action %q is not one of warn, discard, terminate", l.Action)
		case l.Max < 1:
			return nil, fmt.Errorf("%s: max is missing, or less than 1", l.Family)
		case seen[f[0]]:
			return nil, fmt.Errorf("%s has two limits", l.Family)
		}
		seen[f[0]] = true
		out = append(out, speaker.PrefixLimit{Family: f[0], Max: l.Max, Action: action})
	}
	return out, nil
}

func parsePrefixes(list []string) (out []netip.Prefix, err error) {
	for _, text := range list {
		p, err := parsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q is neither a prefix nor an address", text)
		}
		out = append(out, p)
	}
	return out, nil
}
