// Package rib is the state behind the events: what every peer's RIB views hold
// now. NLRI keys and route values enter as bytes, what an operation met and
// walks in order leave. The package refuses to know what the bytes mean, who
// the peers are, and what time it is; a family is only a number to it.
//
// Keys and values are stored once for all views, so a view costs four octets a
// route where tables resemble one another:
//
//	value bytes ──► table (values) ──► ValueID ─────────────┐
//	                                                        ▼
//	key bytes ───► table (one a Space) ─► key id ─► View's column:
//	                                       │        page[id / 256][id % 256] =
//	                                       │        active[1] stale[1] ValueID[30]
//	                                       ▼
//	table:  shard = hash[top bits]; index: slot = tag | id, open addressing
//	        id = block number[26] slot[6]; block: up to 64 items of one length class
//	        and a reference count each
//
// A table's items never move while they are referenced, so whoever holds a
// reference reads the bytes without a lock. Nothing here has a pointer per
// route; the garbage collector sees a few objects for every 64 keys, for every
// 4 KiB of values and for every 256 routes of a view.
package rib
