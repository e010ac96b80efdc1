// Package bgp is the BGP-4 codec. Bytes of one BGP message enter, views over
// those bytes leave: capabilities, path attributes, network-layer reachability
// information and a verdict by RFC 7606. It refuses to know sockets, clocks,
// peers' histories and whoever asks; the decode context is always handed in.
//
//	message:  marker[16] length[2] type[1] body                     RFC 4271 §4.1
//	UPDATE:   withdrawn-length[2] withdrawn… attributes-length[2] attributes… NLRI…
//	attribute: flags[1] code[1] length[1 or 2] value…               RFC 4271 §4.3
//	NLRI:     [path-id[4]] bits[1] prefix…                          RFC 4271 §4.3, RFC 7911 §3
//
// Every parsed value points into the message it was parsed from: whoever keeps
// it longer than the call copies it. Nothing here allocates per route.
package bgp
