// Package stream is the durable, ordered log between the collector and the
// sinks. Batches of events enter through Log.Write and are numbered; the same
// events leave, in that order, through Readers and through Followers, each at
// its own pace and with its own durable position. The package knows files,
// checksums and sequences; it refuses to know BGP, sources and destinations.
//
//	Write ─► block ─► segment ─► segment ─► …        one file each, oldest deleted first
//	                     │           │
//	                  Reader      Reader              each with its own file handle
//	                     │           │
//	                  Follower    Follower            each with its own cursor
//	                     ▼           ▼
//	                  sink        sink
//
// Three layers, each ignorant of the next: record.go turns events into octets,
// block.go and scan.go wrap octets with checksums and find them again, log.go
// and its neighbours own files, durability and space. docs/stream-format.md is
// the format, and the invariants that the tests hold it to.
//
// Order of use: Open, Follow for each sink, then Run of the log and of the
// followers, then Write. Data never travels in channels; a write pokes the
// readers' one-slot channels, and a missed poke does no harm because a reader
// always reads to the end.
package stream
