package bgp

import "net/netip"

// HeaderLen is the size of the header of every BGP message (RFC 4271 §4.1).
const HeaderLen = 19

// Verdict is what RFC 7606 §2 makes of an UPDATE; a later value is stronger.
type Verdict uint8

// Values of Verdict.
const (
	VerdictOK               Verdict = iota
	VerdictAttributeDiscard         // the route counts, without the attribute
	VerdictTreatAsWithdraw          // every announced NLRI counts as withdrawn
	VerdictSessionReset             // the message cannot be read; none of its routes count
)

// Finding is one error found in an UPDATE.
type Finding struct {
	Verdict Verdict
	Attr    uint8  // attribute code, 0 when the error is not in an attribute
	Code    uint8  // NOTIFICATION error code a speaker would send (RFC 4271 §6.3)
	Subcode uint8
	Offset  int    // in the message
	Reason  string // a constant text, fit for a metric label
}

// Update is a view of one UPDATE message. Parse fills it; it may be reused and
// then allocates nothing. It points into the message.
type Update struct{}

// Parse reads msg, a whole UPDATE with its 19-octet header, in context s, and
// judges it. After Parse, Routes never meets an error: what cannot be read is
// in the verdict.
func (u *Update) Parse(msg []byte, s Session) { panic("todo") }

// Verdict returns the strongest verdict of all findings.
func (u *Update) Verdict() Verdict { panic("todo") }

// Findings lists what was found, in the order found, at most eight. The slice
// is the Update's own.
func (u *Update) Findings() []Finding { panic("todo") }

// EndOfRIB reports the family whose End-of-RIB marker this UPDATE is (RFC 4724 §2).
func (u *Update) EndOfRIB() (Family, bool) { panic("todo") }

// Routes iterates over the routes in wire order: the Withdrawn Routes field,
// then MP_REACH_NLRI and MP_UNREACH_NLRI as they stand among the attributes,
// then the NLRI field. The verdict is applied: under treat-as-withdraw an
// announcement comes out as a withdrawal, under session-reset nothing comes out.
func (u *Update) Routes() RouteIter { panic("todo") }

// RouteIter walks the routes of an UPDATE without allocating.
type RouteIter struct{ route Route }

// Next moves to the next route and reports whether there is one.
func (it *RouteIter) Next() bool { panic("todo") }

// Route returns the current route; it is overwritten by the next call of Next.
func (it *RouteIter) Route() *Route { return &it.route }

// Attr is one path attribute, a view.
type Attr struct {
	Flags uint8
	Code  uint8
	Value []byte
}

// Attr returns the first attribute with the code, unless the verdict discards it.
func (u *Update) Attr(code uint8) (Attr, bool) { panic("todo") }

// AttrIter walks all path attributes as received, discarded ones included.
type AttrIter struct{}

// Attrs iterates over the path attributes in wire order.
func (u *Update) Attrs() AttrIter { panic("todo") }

// Next returns the next attribute; ok is false at the end.
func (it *AttrIter) Next() (a Attr, ok bool) { panic("todo") }

// Origin is the ORIGIN attribute (RFC 4271 §5.1.1).
type Origin uint8

// String returns igp, egp or incomplete.
func (o Origin) String() string { panic("todo") }

// The accessors below give one attribute each; ok is false when the UPDATE has
// none, or the verdict discards it. AS_PATH and AGGREGATOR come merged with
// AS4_PATH and AS4_AGGREGATOR on a session without AS4 (RFC 6793 §4.2.3).

// Origin returns the ORIGIN.
func (u *Update) Origin() (Origin, bool) { panic("todo") }

// MED returns the MULTI_EXIT_DISC.
func (u *Update) MED() (uint32, bool) { panic("todo") }

// LocalPref returns the LOCAL_PREF.
func (u *Update) LocalPref() (uint32, bool) { panic("todo") }

// OTC returns the Only to Customer attribute (RFC 9234 §5).
func (u *Update) OTC() (uint32, bool) { panic("todo") }

// OriginatorID returns the ORIGINATOR_ID (RFC 4456 §8).
func (u *Update) OriginatorID() (netip.Addr, bool) { panic("todo") }

// AIGP returns the accumulated IGP metric (RFC 7311 §3).
func (u *Update) AIGP() (uint64, bool) { panic("todo") }

// AtomicAggregate reports whether ATOMIC_AGGREGATE is there.
func (u *Update) AtomicAggregate() bool { panic("todo") }

// Aggregator returns the AGGREGATOR.
func (u *Update) Aggregator() (asn uint32, addr netip.Addr, ok bool) { panic("todo") }

// OriginAS returns the last AS of the path; ok is false for an empty path and
// for one that ends in an AS_SET of several.
func (u *Update) OriginAS() (uint32, bool) { panic("todo") }

// AppendASPath appends bgpdump's text of the path: AS numbers with single
// spaces, sets as {1,2}, confederation sequences as (1 2) and sets as [1,2].
func (u *Update) AppendASPath(dst []byte) []byte { panic("todo") }

// AppendCommunities appends COMMUNITIES as 65000:1 with single spaces, the
// well-known ones by name as bgpdump writes them is left to callers: numbers only.
func (u *Update) AppendCommunities(dst []byte) []byte { panic("todo") }

// AppendLargeCommunities appends LARGE_COMMUNITY as 65000:1:2 with single spaces.
func (u *Update) AppendLargeCommunities(dst []byte) []byte { panic("todo") }

// AppendExtCommunities appends EXTENDED COMMUNITIES and IPv6 address specific
// ones in words (rt:65000:1, soo:…, else 0x and 16 hex digits) with single spaces.
func (u *Update) AppendExtCommunities(dst []byte) []byte { panic("todo") }

// AppendClusterList appends CLUSTER_LIST as IPv4 addresses with single spaces.
func (u *Update) AppendClusterList(dst []byte) []byte { panic("todo") }

// RouteFlags are remarks about a route that never drop it.
type RouteFlags uint32

// Values of RouteFlags.
const (
	FlagASSet     RouteFlags = 1 << iota // AS_SET or AS_CONFED_SET in the path (RFC 9774)
	FlagASLoop                           // the session's local AS is in the path
	FlagGshut                            // GRACEFUL_SHUTDOWN community (RFC 8326)
	FlagLLGRStale                        // LLGR_STALE community (RFC 9494)
	FlagBlackhole                        // BLACKHOLE community (RFC 7999)
	FlagMalformed                        // the UPDATE has a finding
	FlagMartian                          // a next hop or prefix that no router may use
	FlagFirstAS                          // the first AS is not the neighbour's
)

// AppendText appends the flags' names (as-set as-loop gshut llgr-stale blackhole
// malformed martian first-as) with single spaces.
func (f RouteFlags) AppendText(dst []byte) []byte { panic("todo") }

// Flags returns the remarks about the UPDATE's routes. localAS and peerAS may
// be 0 for unknown; peerAS is compared on external sessions only.
func (u *Update) Flags(localAS, peerAS uint32) RouteFlags { panic("todo") }

// AppendNextHop appends the text of a next hop field as routes carry it: an
// address; the global address of a 32-octet IPv6 one; without the RD for VPN
// families. It appends nothing for an empty field.
func AppendNextHop(dst []byte, f Family, nextHop []byte) []byte { panic("todo") }

// AppendKey appends what identifies an NLRI within its family and a RIB: path
// identifier if any, RD and masked prefix, or the key part of an opaque item.
// Labels are not in it (RFC 8277 §2.4). Keys of one family sort by address,
// then length, then path identifier.
func AppendKey(dst []byte, n *NLRI) []byte { panic("todo") }

// ParseKey restores the NLRI of a key; extra is the value's Extra (labels, or
// the whole item where the key is a part of it). addPath says that the key
// starts... as it does when the NLRI had a path identifier.
func ParseKey(f Family, addPath bool, key, extra []byte) (NLRI, bool) { panic("todo") }

// AppendText appends the prefix as text, or the item's text form for families
// without one (0x and hex digits at the least).
func (n *NLRI) AppendText(dst []byte) []byte { panic("todo") }

// AppendText appends 65000:1, 192.0.2.1:1, or 0x and 16 hex digits for other types.
func (rd RD) AppendText(dst []byte) []byte { panic("todo") }

// Value is what a RIB keeps of a route besides its key: enough to see whether
// it changed and to write it out again.
type Value struct {
	AS4     bool
	Extra   []byte // labels; the raw item where the key is a part of it
	NextHop []byte
	Attrs   []byte // all path attributes as received but MP_REACH_NLRI and MP_UNREACH_NLRI
}

// AppendValue appends the stored form of an announced route's value. Two routes
// of one key are the same iff their stored values are equal.
func (u *Update) AppendValue(dst []byte, r *Route) []byte { panic("todo") }

// ParseValue is the inverse of AppendValue; views into b.
func ParseValue(b []byte) (Value, bool) { panic("todo") }

// AppendAnnounce appends a whole UPDATE message that announces one route; the
// family decides between the NLRI field and MP_REACH_NLRI.
func AppendAnnounce(dst []byte, n *NLRI, v *Value) []byte { panic("todo") }

// WithdrawBuilder packs withdrawals of one family into UPDATE messages.
type WithdrawBuilder struct{}

// Reset starts a message of the family that holds at most max octets.
func (b *WithdrawBuilder) Reset(f Family, max int) { panic("todo") }

// Add appends one NLRI and reports whether it fitted.
func (b *WithdrawBuilder) Add(n *NLRI) bool { panic("todo") }

// Len returns how many NLRI the message holds.
func (b *WithdrawBuilder) Len() int { panic("todo") }

// Message finishes the message; it is valid until the next Reset.
func (b *WithdrawBuilder) Message() []byte { panic("todo") }
