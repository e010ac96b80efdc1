package mrt

import (
	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/internal/wire"
)

// headerLen is the size of the common header (RFC 6396 §2).
const headerLen = 12

// Record types (IANA mrt registry, RFC 6396 §4). Any other value is legal.
const (
	TypeOSPFv2      uint16 = 11
	TypeTableDump   uint16 = 12
	TypeTableDumpV2 uint16 = 13
	TypeBGP4MP      uint16 = 16
	TypeBGP4MPET    uint16 = 17
	TypeISIS        uint16 = 32
	TypeISISET      uint16 = 33
	TypeOSPFv3      uint16 = 48
	TypeOSPFv3ET    uint16 = 49
)

// Subtypes of TABLE_DUMP. The two with four-octet AS numbers are Quagga's.
const (
	SubtypeTableDumpIPv4    uint16 = 1
	SubtypeTableDumpIPv6    uint16 = 2
	SubtypeTableDumpIPv4AS4 uint16 = 3
	SubtypeTableDumpIPv6AS4 uint16 = 4
)

// Subtypes of TABLE_DUMP_V2 (RFC 6396 §4.3, RFC 6397, RFC 8050 §4).
const (
	SubtypePeerIndexTable          uint16 = 1
	SubtypeRIBIPv4Unicast          uint16 = 2
	SubtypeRIBIPv4Multicast        uint16 = 3
	SubtypeRIBIPv6Unicast          uint16 = 4
	SubtypeRIBIPv6Multicast        uint16 = 5
	SubtypeRIBGeneric              uint16 = 6
	SubtypeGeoPeerTable            uint16 = 7
	SubtypeRIBIPv4UnicastAddPath   uint16 = 8
	SubtypeRIBIPv4MulticastAddPath uint16 = 9
	SubtypeRIBIPv6UnicastAddPath   uint16 = 10
	SubtypeRIBIPv6MulticastAddPath uint16 = 11
	SubtypeRIBGenericAddPath       uint16 = 12
)

// Subtypes of BGP4MP and BGP4MP_ET (RFC 6396 §4.4, RFC 8050 §3; ENTRY and
// SNAPSHOT from draft-ietf-grow-mrt).
const (
	SubtypeStateChange            uint16 = 0
	SubtypeMessage                uint16 = 1
	SubtypeEntry                  uint16 = 2
	SubtypeSnapshot               uint16 = 3
	SubtypeMessageAS4             uint16 = 4
	SubtypeStateChangeAS4         uint16 = 5
	SubtypeMessageLocal           uint16 = 6
	SubtypeMessageAS4Local        uint16 = 7
	SubtypeMessageAddPath         uint16 = 8
	SubtypeMessageAS4AddPath      uint16 = 9
	SubtypeMessageLocalAddPath    uint16 = 10
	SubtypeMessageAS4LocalAddPath uint16 = 11
)

// Class says which view reads a record's body.
type Class uint8

// Values of Class.
const (
	ClassOther       Class = iota // nothing here reads it: skip and count
	ClassMessage                  // Message
	ClassStateChange              // StateChange
	ClassPeerIndex                // PeerIndexTable
	ClassRIB                      // RIB
	ClassTableEntry               // TableEntry
)

// row is what a type and subtype say about the body.
type row struct {
	class   Class
	as4     bool
	sent    bool       // *_LOCAL: the collector's own side sent the message
	addPath bool       // RFC 8050
	family  bgp.Family // 0 where the body says it
}

var tableDumpRows = [...]row{
	SubtypeTableDumpIPv4:    {class: ClassTableEntry, family: bgp.IPv4Unicast},
	SubtypeTableDumpIPv6:    {class: ClassTableEntry, family: bgp.IPv6Unicast},
	SubtypeTableDumpIPv4AS4: {class: ClassTableEntry, family: bgp.IPv4Unicast, as4: true},
	SubtypeTableDumpIPv6AS4: {class: ClassTableEntry, family: bgp.IPv6Unicast, as4: true},
}

var tableDumpV2Rows = [...]row{
	SubtypePeerIndexTable:          {class: ClassPeerIndex},
	SubtypeRIBIPv4Unicast:          {class: ClassRIB, family: bgp.IPv4Unicast},
	SubtypeRIBIPv4Multicast:        {class: ClassRIB, family: bgp.IPv4Multicast},
	SubtypeRIBIPv6Unicast:          {class: ClassRIB, family: bgp.IPv6Unicast},
	SubtypeRIBIPv6Multicast:        {class: ClassRIB, family: bgp.IPv6Multicast},
	SubtypeRIBGeneric:              {class: ClassRIB},
	SubtypeGeoPeerTable:            {class: ClassOther},
	SubtypeRIBIPv4UnicastAddPath:   {class: ClassRIB, family: bgp.IPv4Unicast, addPath: true},
	SubtypeRIBIPv4MulticastAddPath: {class: ClassRIB, family: bgp.IPv4Multicast, addPath: true},
	SubtypeRIBIPv6UnicastAddPath:   {class: ClassRIB, family: bgp.IPv6Unicast, addPath: true},
	SubtypeRIBIPv6MulticastAddPath: {class: ClassRIB, family: bgp.IPv6Multicast, addPath: true},
	SubtypeRIBGenericAddPath:       {class: ClassRIB, addPath: true},
}

var bgp4mpRows = [...]row{
	SubtypeStateChange:            {class: ClassStateChange},
	SubtypeMessage:                {class: ClassMessage},
	SubtypeEntry:                  {class: ClassTableEntry},
	SubtypeSnapshot:               {class: ClassOther},
	SubtypeMessageAS4:             {class: ClassMessage, as4: true},
	SubtypeStateChangeAS4:         {class: ClassStateChange, as4: true},
	SubtypeMessageLocal:           {class: ClassMessage, sent: true},
	SubtypeMessageAS4Local:        {class: ClassMessage, as4: true, sent: true},
	SubtypeMessageAddPath:         {class: ClassMessage, addPath: true},
	SubtypeMessageAS4AddPath:      {class: ClassMessage, as4: true, addPath: true},
	SubtypeMessageLocalAddPath:    {class: ClassMessage, sent: true, addPath: true},
	SubtypeMessageAS4LocalAddPath: {class: ClassMessage, as4: true, sent: true, addPath: true},
}

// rows finds the subtypes of a type.
func rows(typ uint16) []row {
	switch typ {
	case TypeTableDump:
		return tableDumpRows[:]
	case TypeTableDumpV2:
		return tableDumpV2Rows[:]
	case TypeBGP4MP, TypeBGP4MPET:
		return bgp4mpRows[:]
	}
	return nil
}

// extended reports whether records of the type carry microseconds (RFC 6396 §3).
func extended(typ uint16) bool {
	return typ == TypeBGP4MPET || typ == TypeISISET || typ == TypeOSPFv3ET
}

// Record is one MRT record. Body is a view, see Reader.Next.
type Record struct {
	Timestamp     uint32 // seconds since 1970-01-01 UTC
	Microseconds  uint32 // of the _ET types, 0 for others
	Type, Subtype uint16
	Offset        int64  // of the header, in the decompressed stream
	Body          []byte // behind the header, and behind the microseconds
	// short marks an _ET record without room for microseconds.
	short bool
}

// row returns what the type and subtype say; a zero row for unknown ones.
func (r *Record) row() row {
	if t := rows(r.Type); int(r.Subtype) < len(t) {
		return t[r.Subtype]
	}
	return row{}
}

// Class returns the view that reads the body.
func (r *Record) Class() Class { return r.row().class }

// Nanoseconds returns the record's time since 1970-01-01 UTC.
func (r *Record) Nanoseconds() int64 {
	return int64(r.Timestamp)*1e9 + int64(r.Microseconds)*1e3
}

// drop makes the error of a record that cannot be read.
func (r *Record) drop(reason string) error {
	return &Error{Verdict: Drop, Offset: r.Offset, Type: r.Type, Subtype: r.Subtype, Reason: reason}
}

// open checks the class and returns a cursor over the body.
func (r *Record) open(c Class) (row, wire.Cursor, error) {
	t := r.row()
	if t.class != c {
		return t, wire.Cursor{}, r.drop(ReasonClass)
	}
	if r.short {
		return t, wire.Cursor{}, r.drop(ReasonShort)
	}
	return t, wire.NewCursor(r.Body), nil
}
