// Package postgres is the SQL history in PostgreSQL 15 or newer: a sink that
// turns events into rows of a database that several collectors may share.
// Batches of numbered events enter; rows and the collector's position in its
// event stream leave in one transaction, so each event counts exactly once,
// whatever ends: this process, the connection or the server. The views of
// docs/sql.md are what users see. The package refuses to know where events come
// from and who else receives them.
//
//	collector <- router <- peer <- rib <- speaker <- route_change -> attr
//	                                ^---- route -----------------------^
//
// # A transaction
//
// The first statement moves the collector's position, if it is where this sink
// left it; so of two transactions that hold the same events one waits for the
// other and then finds that it has nothing to do. History rows are copied into
// route_change as they are encoded; changes of current routes and new attribute
// sets go through temporary tables, from which one statement each merges them.
//
// # One writer a collector
//
// The last Sink that opened the store for a collector is its writer. An older
// one gets ErrOtherWriter, with the name of the newer one, and changes nothing.
//
// # What the server cannot take
//
// Text from routers is cleaned as bgp.CleanText does, so no NUL and no invalid
// UTF-8 ever reaches the server; 64-bit gauges are numeric; NLRI keys too long
// for an index are known by their SHA-256. An event that the server refuses all
// the same is kept raw in the view anomalies and counted; those behind it go on.
package postgres
