package corpus_test

// other says what bgpdump does in a class.
type other int

const (
	otherSame      other = iota // has the route, with other attributes
	otherNothing                // has nothing
	otherAnnounces              // announces what is withdrawn here
)

// class is a kind of difference that was looked into, at the octets.
type class struct {
	right string // who reads the octets as the RFC says
	why   string
	other other // of bgpdump
}

// classes is the table of known differences. A name begins with the program
// that differs from ribtap. The conditions stand in mrtClass, streamClass and gobgpClass; docs/corpus.md
// explains the classes at length, with figures.
var classes = map[string]class{
	"bgpdump-no-entry":          {"ribtap", "bgpdump prints nothing for BGP4MP_ENTRY (draft-ietf-grow-mrt)", otherNothing},
	"bgpdump-no-rib-generic":    {"ribtap", "bgpdump prints nothing for RIB_GENERIC (RFC 6396 §4.3.3)", otherNothing},
	"bgpdump-local":             {"neither", "a message that the collector sent (RFC 6396 §4.4.4) is no route received; bgpdump prints it", otherNothing},
	"bgpdump-family":            {"ribtap", "bgpdump prints unicast and multicast alone, of messages with other families nothing", otherNothing},
	"bgpdump-treat-as-withdraw": {"ribtap", "an UPDATE with an attribute error withdraws its routes (RFC 7606 §2); bgpdump announces them", otherAnnounces},
	"bgpdump-attribute-discard": {"ribtap", "an attribute that RFC 7606 discards is not shown as the route's; bgpdump prints it", otherSame},
	"bgpdump-no-next-hop":       {"ribtap", "an entry without any next hop: 0.0.0.0 or :: here, 255.255.255.255 in bgpdump", otherSame},
	"bgpdump-no-origin":         {"ribtap", "a local route without ORIGIN: bgpdump prints INCOMPLETE all the same", otherSame},
	"bgpdump-8192":              {"ribtap", "bgpdump keeps 8,192 prefixes of one field", otherNothing},
	"bgpdump-dropped-message":   {"ribtap", "a message whose NLRI cannot be read gives no routes (RFC 7606 §5.3); bgpdump prints as far as it comes", otherNothing},
	"bgpdump-damaged":           {"ribtap", "at a damaged record bgpdump stops, or prints what it takes for routes", otherNothing},

	"tshark-bmp4":                {"ribtap", "BMP version 4 is a draft: kept raw and counted here; tshark reads it as version 3", 0},
	"tshark-unknown":             {"ribtap", "a message, peer or record type without a specification is kept raw and counted", 0},
	"tshark-dropped-message":     {"ribtap", "a message whose NLRI or lengths cannot be read gives no routes (RFC 7606 §5.3, RFC 4271 §6.3); tshark shows as far as it comes", 0},
	"tshark-treat-as-withdraw":   {"ribtap", "an UPDATE with an attribute error withdraws its routes (RFC 7606 §2); tshark judges no attribute", 0},
	"tshark-framing":             {"ribtap", "octets that are no whole message end the stream here (RFC 4271 §6.1, RFC 7854 §3.2); tshark dissects on", 0},
	"tshark-add-path":            {"ribtap", "the OPENs say ADD-PATH (RFC 7911 §4); tshark guesses it for some families and does not for others", 0},
	"tshark-guesses-add-path":    {"tshark", "path identifiers that no OPEN announces (RFC 7911 §4): the sender's fault; the message is kept raw here and guessed right by tshark", 0},
	"tshark-peer-up-information": {"ribtap", "tshark calls the Information TLVs of a Peer Up malformed (RFC 7854 §4.10, RFC 9069 §5.2.1)", 0},
	"tshark-next-hop-length":     {"both", "a VPN next hop of 16 octets, without RD (RFC 5549 §3; RFC 8950 §3 wants 24): tshark calls it malformed and lists the same routes", 0},
	"tshark-rfc9072":             {"ribtap", "tshark 4.0 takes extended optional parameters (RFC 9072 §2) for malformed ones", 0},
	"tshark-orf":                 {"ribtap", "tshark calls a sound ROUTE-REFRESH with ORF entries (RFC 5291 §4) malformed", 0},
	"tshark-rtc":                 {"ribtap", "tshark leaves out route target NLRI shorter than 96 bits (RFC 4684 §4 allows 0 and 32 to 96)", 0},
	"tshark-family":              {"not judged", "an NLRI of a family or type that tshark's tree does not show one by one, or calls malformed", 0},
	"tshark-remark":              {"not judged", "the NLRI are the same; tshark calls something else in the message malformed", 0},
	"gobgp-treat-as-withdraw":    {"ribtap", "gobgp's parser finds nothing wrong in an attribute for which RFC 7606 withdraws the routes", 0},
	"gobgp-accepts":              {"ribtap", "gobgp's parser takes what RFC 7606 §5.3 or RFC 4271 §6.3 refuse: label stacks without an end, unknown well-known attributes", 0},
	"gobgp-panic":                {"ribtap", "gobgp's parser panics", 0},
	"gobgp-vpn-next-hop":         {"both", "a VPN next hop of 16 octets, without RD (RFC 5549 §3; RFC 8950 §3 wants 24): gobgp refuses the UPDATE", 0},
	"gobgp-attribute":            {"ribtap", "gobgp refuses an UPDATE for an attribute that RFC 7606 only discards", 0},
	"gobgp-unused-flags":         {"ribtap", "gobgp refuses an attribute with one of the four unused flag bits (RFC 4271 §4.3: ignored when received)", 0},
	"gobgp-family":               {"ribtap", "a family, EVPN route type or NLRI type that gobgp does not know; RFC 7606 §5.4 wants it ignored, not refused", 0},
}
