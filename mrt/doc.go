// Package mrt reads and writes MRT routing information (RFC 6396, RFC 8050).
// The octets of a file, compressed or not, enter; records and views over their
// bodies leave, and records are appended to slices for archives. The package
// refuses to know sockets, peers' histories, files' names and where routes go.
//
//	record:       seconds[4] type[2] subtype[2] length[4] [microseconds[4]] body   RFC 6396 §2, §3
//	BGP4MP:       peer-AS local-AS ifindex[2] AFI[2] peer-IP local-IP message      RFC 6396 §4.4
//	PEER_INDEX:   collector-id[4] view-length[2] view count[2] peers…              RFC 6396 §4.3.1
//	RIB:          sequence[4] NLRI count[2] entries…                               RFC 6396 §4.3.2
//	entry:        peer[2] originated[4] [path-id[4]] length[2] attributes…         RFC 6396 §4.3.4, RFC 8050 §4
//	TABLE_DUMP:   view[2] sequence[2] prefix bits[1] status[1] originated[4]
//	              peer-IP peer-AS length[2] attributes…                            RFC 6396 §4.2
//
// A file is read with Decompress and a Reader. Record.Class says which view
// reads the body: Message, StateChange, PeerIndexTable, RIB or TableEntry. All
// views point into the record, which the next call of Reader.Next overwrites.
// Nothing allocates per record but errors and a PEER_INDEX_TABLE.
//
// A damaged record is an *Error of verdict Drop and the next one can be read;
// after Truncated or Stop there is no next one. A record yields all of its
// routes or none: counts and lengths are checked before the first is handed out.
package mrt
