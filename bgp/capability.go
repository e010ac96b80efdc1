package bgp

import (
	"slices"
	"strconv"

	"github.com/ribtap/ribtap/internal/wire"
)

// Capability codes (IANA capability-codes) that the codec or a user of it names.
const (
	CapMultiprotocol     uint8 = 1  // RFC 4760 §8
	CapRouteRefresh      uint8 = 2  // RFC 2918 §2
	CapExtendedNextHop   uint8 = 5  // RFC 8950 §4
	CapExtendedMessage   uint8 = 6  // RFC 8654 §3
	CapRole              uint8 = 9  // RFC 9234 §4.1
	CapGracefulRestart   uint8 = 64 // RFC 4724 §3
	CapFourOctetAS       uint8 = 65 // RFC 6793 §3
	CapAddPath           uint8 = 69 // RFC 7911 §4
	CapEnhancedRefresh   uint8 = 70 // RFC 7313 §3.1
	CapLLGR              uint8 = 71 // RFC 9494 §3
	CapFQDN              uint8 = 73 // draft-walton-bgp-hostname-capability
	CapSoftwareVersion   uint8 = 75 // draft-abraitis-bgp-version-capability
	capOldRouteRefresh   uint8 = 128
	capOldORF            uint8 = 130
	capOldMultisession   uint8 = 131
	capMultiprotocolSize       = 4
)

// capabilityRow is what the codec knows of a capability. A new capability is a
// row here and, if its value has a structure, a typed view below.
type capabilityRow struct {
	name string
	// A ruled value has fixed octets and then any number of items of each
	// octets; items may not follow when each is 0. Anything goes without rule.
	ruled       bool
	fixed, each int
	// text appends a space and the value in words, for a well-formed value.
	text func(dst, value []byte) []byte
}

var capabilityRows = [256]capabilityRow{
	CapMultiprotocol:   {"multiprotocol", true, capMultiprotocolSize, 0, appendFamilyText},
	CapRouteRefresh:    {name: "route-refresh"},
	3:                  {name: "outbound-route-filtering"},
	CapExtendedNextHop: {"extended-next-hop", true, 0, 6, appendExtendedNextHopText},
	CapExtendedMessage: {name: "extended-message"},
	7:                  {name: "bgpsec"},
	8:                  {name: "multiple-labels"},
	CapRole:            {"role", true, 1, 0, appendRoleText},
	CapGracefulRestart: {"graceful-restart", true, 2, 4, appendGracefulRestartText},
	CapFourOctetAS:     {"four-octet-as", true, 4, 0, appendFourOctetASText},
	67:                 {name: "dynamic-capability"},
	68:                 {name: "multisession"},
	CapAddPath:         {"add-path", true, 0, 4, appendAddPathText},
	CapEnhancedRefresh: {name: "enhanced-route-refresh"},
	CapLLGR:            {"long-lived-graceful-restart", true, 0, 7, appendLLGRText},
	72:                 {name: "routing-policy-distribution"},
	CapFQDN:            {name: "fqdn", text: appendFQDNText},
	74:                 {name: "bfd-strict"},
	CapSoftwareVersion: {name: "software-version", text: appendSoftwareVersionText},
	76:                 {name: "paths-limit"},
	capOldRouteRefresh: {name: "route-refresh-cisco"},
	capOldORF:          {name: "outbound-route-filtering-cisco"},
	capOldMultisession: {name: "multisession-cisco"},
}

// CapabilityName returns a capability code in words, or capability-N.
func CapabilityName(code uint8) string {
	if n := capabilityRows[code].name; n != "" {
		return n
	}
	return "capability-" + strconv.Itoa(int(code))
}

// wellFormed applies the length rule of the capability's RFC.
func (c Capability) wellFormed() bool {
	row := &capabilityRows[c.Code]
	n := len(c.Value) - row.fixed
	switch {
	case !row.ruled:
		return true
	case n < 0:
		return false
	case row.each == 0:
		return n == 0
	}
	return n%row.each == 0
}

// fourOctetAS returns the value of a readable four-octet AS capability.
func (o *Open) fourOctetAS() (uint32, bool) {
	it := o.Capabilities()
	for c, ok := it.Next(); ok; c, ok = it.Next() {
		if c.Code == CapFourOctetAS && c.wellFormed() {
			v := wire.NewCursor(c.Value)
			return v.Uint32(), true
		}
	}
	return 0, false
}

// family reads AFI[2] SAFI[1].
func family(c *wire.Cursor) Family {
	afi := AFI(c.Uint16())
	return NewFamily(afi, SAFI(c.Uint8()))
}

// Family returns the family of a multiprotocol capability (RFC 4760 §8).
func (c Capability) Family() (Family, bool) {
	if c.Code != CapMultiprotocol || !c.wellFormed() {
		return 0, false
	}
	return readMultiprotocol(c.Value), true
}

func readMultiprotocol(value []byte) Family {
	v := wire.NewCursor(value)
	afi := AFI(v.Uint16())
	v.Skip(1)
	return NewFamily(afi, SAFI(v.Uint8()))
}

// AppendFamilies appends the families of all multiprotocol capabilities, each
// once and in the order received. Without any, the sender speaks IPv4 unicast
// alone (RFC 4760 §8) and that is what is appended.
func (o *Open) AppendFamilies(dst []Family) []Family {
	start, some := len(dst), false
	it := o.Capabilities()
	for c, ok := it.Next(); ok; c, ok = it.Next() {
		some = some || c.Code == CapMultiprotocol
		if f, ok := c.Family(); ok && !slices.Contains(dst[start:], f) {
			dst = append(dst, f)
		}
	}
	if !some {
		dst = append(dst, IPv4Unicast)
	}
	return dst
}

// ExtendedNextHop says that NLRI of Family may have a next hop of NextHopAFI
// (RFC 8950 §4).
type ExtendedNextHop struct {
	Family     Family
	NextHopAFI AFI
}

// AppendExtendedNextHops appends the tuples of all extended next hop encoding
// capabilities.
func (o *Open) AppendExtendedNextHops(dst []ExtendedNextHop) []ExtendedNextHop {
	it := o.Capabilities()
	for c, ok := it.Next(); ok; c, ok = it.Next() {
		if c.Code != CapExtendedNextHop {
			continue
		}
		for v := wire.NewCursor(c.Value); v.Len() >= 6; {
			dst = append(dst, readExtendedNextHop(&v))
		}
	}
	return dst
}

func readExtendedNextHop(v *wire.Cursor) ExtendedNextHop {
	afi := AFI(v.Uint16())
	// The SAFI has two octets here, and here only.
	safi := SAFI(v.Uint16())
	return ExtendedNextHop{Family: NewFamily(afi, safi), NextHopAFI: AFI(v.Uint16())}
}

// Role is a BGP role (RFC 9234 §4.1).
type Role uint8

// Values of Role: what the sender of the OPEN is to the receiver.
const (
	RoleProvider Role = iota
	RoleRS
	RoleRSClient
	RoleCustomer
	RolePeer
)

var roleNames = [...]string{"provider", "rs", "rs-client", "customer", "peer"}

// String returns the role as RFC 9234 writes it in lower case, or role-N.
func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return "role-" + strconv.Itoa(int(r))
}

// Role returns the value of a role capability.
func (c Capability) Role() (Role, bool) {
	if c.Code != CapRole || !c.wellFormed() {
		return 0, false
	}
	v := wire.NewCursor(c.Value)
	return Role(v.Uint8()), true
}

// Role returns the sender's role, if it says one.
func (o *Open) Role() (Role, bool) {
	it := o.Capabilities()
	for c, ok := it.Next(); ok; c, ok = it.Next() {
		if r, ok := c.Role(); ok {
			return r, true
		}
	}
	return 0, false
}

// GracefulRestart is a view of a graceful restart capability (RFC 4724 §3).
type GracefulRestart struct {
	Restarting   bool   // the R bit
	Notification bool   // the N bit (RFC 8538 §2)
	Time         uint16 // Restart Time in seconds
	families     []byte
}

// GracefulFamily is a family whose forwarding state is spoken of in a graceful
// restart (RFC 4724 §3) or long-lived graceful restart (RFC 9494 §3) capability.
type GracefulFamily struct {
	Family     Family
	Forwarding bool // the F bit: state was preserved
	// StaleTime is in seconds, for long-lived graceful restart only.
	StaleTime uint32
}

const (
	gracefulRestarting   = 0x8000
	gracefulNotification = 0x4000
	gracefulTime         = 0x0fff
	gracefulForwarding   = 0x80
)

// GracefulRestart returns the graceful restart capability; of several the last
// one that can be read counts (RFC 4724 §3).
func (o *Open) GracefulRestart() (gr GracefulRestart, ok bool) {
	it := o.Capabilities()
	for c, more := it.Next(); more; c, more = it.Next() {
		if c.Code != CapGracefulRestart || len(c.Value) < 2 {
			continue
		}
		gr, ok = readGracefulRestart(c.Value), true
	}
	return gr, ok
}

func readGracefulRestart(value []byte) GracefulRestart {
	v := wire.NewCursor(value)
	head := v.Uint16()
	return GracefulRestart{
		Restarting:   head&gracefulRestarting != 0,
		Notification: head&gracefulNotification != 0,
		Time:         head & gracefulTime,
		families:     v.Rest(),
	}
}

// AppendFamilies appends the capability's families; a speaker that helps
// others only has none.
func (gr GracefulRestart) AppendFamilies(dst []GracefulFamily) []GracefulFamily {
	for v := wire.NewCursor(gr.families); v.Len() >= 4; {
		f := family(&v)
		dst = append(dst, GracefulFamily{Family: f, Forwarding: v.Uint8()&gracefulForwarding != 0})
	}
	return dst
}

// AppendLLGR appends the families of the long-lived graceful restart
// capabilities (RFC 9494 §3). They mean nothing without a graceful restart
// capability.
func (o *Open) AppendLLGR(dst []GracefulFamily) []GracefulFamily {
	it := o.Capabilities()
	for c, ok := it.Next(); ok; c, ok = it.Next() {
		if c.Code == CapLLGR {
			dst = appendLLGR(dst, c.Value)
		}
	}
	return dst
}

func appendLLGR(dst []GracefulFamily, value []byte) []GracefulFamily {
	for v := wire.NewCursor(value); v.Len() >= 7; {
		g := GracefulFamily{Family: family(&v), Forwarding: v.Uint8()&gracefulForwarding != 0}
		g.StaleTime = v.Uint24()
		dst = append(dst, g)
	}
	return dst
}

// AddPathMode is the Send/Receive field of an ADD-PATH capability (RFC 7911 §4).
type AddPathMode uint8

// Values of AddPathMode.
const (
	AddPathReceive AddPathMode = 1
	AddPathSend    AddPathMode = 2
	AddPathBoth    AddPathMode = 3
)

// String returns receive, send or both.
func (m AddPathMode) String() string {
	switch m {
	case AddPathReceive:
		return "receive"
	case AddPathSend:
		return "send"
	case AddPathBoth:
		return "both"
	}
	return "mode-" + strconv.Itoa(int(m))
}

// AddPath says that the sender of the OPEN can do ADD-PATH for a family.
type AddPath struct {
	Family Family
	Mode   AddPathMode
}

// AppendAddPaths appends the tuples of all ADD-PATH capabilities, but those
// whose mode is none of the three, which count as not sent (RFC 7911 §4).
func (o *Open) AppendAddPaths(dst []AddPath) []AddPath {
	it := o.Capabilities()
	for c, ok := it.Next(); ok; c, ok = it.Next() {
		if c.Code == CapAddPath {
			dst = appendAddPaths(dst, c.Value)
		}
	}
	return dst
}

func appendAddPaths(dst []AddPath, value []byte) []AddPath {
	for v := wire.NewCursor(value); v.Len() >= 4; {
		a := AddPath{Family: family(&v), Mode: AddPathMode(v.Uint8())}
		if a.Mode >= AddPathReceive && a.Mode <= AddPathBoth {
			dst = append(dst, a)
		}
	}
	return dst
}

// FQDN returns the sender's host and domain name as sent: neither cleaned nor
// true. ok is false when the lengths in the capability contradict its own.
func (o *Open) FQDN() (host, domain []byte, ok bool) {
	c, ok := o.Capability(CapFQDN)
	if !ok {
		return nil, nil, false
	}
	return readFQDN(c.Value)
}

func readFQDN(value []byte) (host, domain []byte, ok bool) {
	v := wire.NewCursor(value)
	host = v.Bytes(int(v.Uint8()))
	if !v.OK() {
		return nil, nil, false
	}
	if v.Empty() {
		return host, nil, true
	}
	domain = v.Bytes(int(v.Uint8()))
	return host, domain, v.OK()
}

// SoftwareVersion returns the sender's words about its software as sent, not
// cleaned.
func (o *Open) SoftwareVersion() ([]byte, bool) {
	c, ok := o.Capability(CapSoftwareVersion)
	if !ok {
		return nil, false
	}
	return readSoftwareVersion(c.Value), true
}

// readSoftwareVersion takes the value with the length octet of the draft's
// earlier versions, or without.
func readSoftwareVersion(value []byte) []byte {
	v := wire.NewCursor(value)
	if n := int(v.Uint8()); v.OK() && n == v.Len() {
		return v.Rest()
	}
	return value
}
