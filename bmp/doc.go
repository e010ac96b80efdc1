// Package bmp is the codec of the BGP Monitoring Protocol and the framing of
// its stream. Octets of one router's connection enter, views of whole messages
// leave: headers, BGP messages inside them, information TLVs, statistics, and
// remarks about what is wrong with them. It refuses to know sockets, clocks,
// which peers are up, and what the BGP messages say.
//
//	common header: version[1] length[4] type[1]                    RFC 7854 §4.1
//	per-peer:      peer-type[1] flags[1] distinguisher[8] address[16]
//	               AS[4] BGP-ID[4] seconds[4] microseconds[4]       RFC 7854 §4.2
//	flags:         V L A O – – – –   peer types 0 to 2              RFC 7854 §4.2, RFC 8671 §4
//	               F – – – – – – –   peer type 3, Loc-RIB           RFC 9069 §4.2
//	TLV:           type[2] length[2] value…                         RFC 7854 §4.4
//
//	type                  behind the common header
//	0 Route Monitoring    per-peer, UPDATE                          RFC 7854 §4.6
//	1 Statistics Report   per-peer, count[4], statistics as TLVs…   RFC 7854 §4.8
//	2 Peer Down           per-peer, reason[1], data…                RFC 7854 §4.9
//	3 Peer Up             per-peer, local-address[16] local-port[2]
//	                      remote-port[2] sent-OPEN received-OPEN TLVs…  RFC 7854 §4.10, RFC 9736
//	4 Initiation          TLVs…                                     RFC 7854 §4.3
//	5 Termination         TLVs…                                     RFC 7854 §4.5
//	6 Route Mirroring     per-peer, TLVs…                           RFC 7854 §4.7
//
// Reading is in three steps, each of which may be the last: Reader cuts the
// stream into messages, Parse reads the headers of one, and ParseRouteMonitoring
// and its siblings read a body. An Error says how far the damage goes: the
// stream, or this message alone. What can be lived with is no error but an
// Anomalies bit on the view.
//
// Every parsed value points into the message it was parsed from: whoever keeps
// it longer than the call copies it. Nothing here allocates per message, and
// nothing is safe for concurrent use but what is only read.
package bmp
