package bgp

// Peering says on which side of an AS border a session's neighbour is. It
// decides the RFC 7606 rules that differ between the two.
type Peering uint8

// Values of Peering.
const (
	PeeringUnknown  Peering = iota // neither rule applies (no Peer Up seen, or not an Adj-RIB-In before policy)
	PeeringExternal                // eBGP
	PeeringInternal                // iBGP
	PeeringTable                   // none: an entry of a table dump, where a router's own routes lack attributes
)

// Session is the decode context of a message: all that must be known, besides
// the bytes, to read them. It is comparable, small, and stored with every
// message, so that a reader may start anywhere.
type Session struct {
	// AS4 is set when AS_PATH and AGGREGATOR carry four-octet AS numbers
	// (RFC 6793; the A flag of a BMP per-peer header is its opposite).
	AS4 bool
	// ExtendedMessage is set when messages may exceed 4,096 octets (RFC 8654).
	ExtendedMessage bool
	// Peering is external, internal or unknown.
	Peering Peering
	// AddPath holds the families whose NLRI start with a path identifier in
	// the direction read (RFC 7911).
	AddPath FamilySet
}
