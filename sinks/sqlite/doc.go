// Package sqlite is the embedded SQL history: a sink that turns events into
// rows of one SQLite file, and a reader of that file for other processes.
// Batches of numbered events enter, rows and the position in the event stream
// leave in one transaction; the views of docs/sql.md are what users see. The
// package refuses to know where events come from and who else receives them.
//
//	router <- peer <- rib <- speaker <- route_change -> nlri
//	                   ^                     |     `--> attr
//	                   `------ route ------------------^
//
// A route_change is five small numbers and a time: who said it (speaker), about
// what (nlri, path_id), what it was (code) and with which attributes (attr).
// NLRI and attribute sets are stored once. The number of a route_change is
// sequence<<16 | position, so the table itself is the order of the wire, and its
// index by nlri is the history of one NLRI. route is what there is now, by the
// change that made it.
//
// # One writer
//
// The file has one Sink at a time; it keeps in memory which NLRI and attribute
// sets are stored already. A second writer is noticed and is an error. Any
// number of processes may read at the same time: the file is in WAL mode.
//
// # Values that SQLite cannot hold
//
// A 64-bit gauge above 2^63-1 is stored as text of its decimal digits, smaller
// ones as integers; the column has no affinity, so nothing is rounded, and every
// text compares as greater than every integer. Text from routers is cleaned as
// bgp.CleanText does. An event that the store refuses for another reason is kept
// raw in the view anomalies and counted; those behind it go on.
package sqlite
