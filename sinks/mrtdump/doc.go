// Package mrtdump writes the event stream as an archive of MRT files, in the
// directories, names and intervals of RIPE RIS or RouteViews. Events enter;
// update files, and table dumps of a RIB that is handed in, leave. It refuses
// to know sources, the stream and how the RIB is kept.
//
// # Trees
//
// A reader of an archive (BGPStream, bgpdump) knows collectors and no views of
// a peer's routes, so each view has a tree of its own. Adj-RIB-In before policy
// is <dir>/<collector>, any other view <dir>/<collector>.<view>:
//
//	ris:         <tree>/2026.11/updates.20261124.0405.gz   bview.20261124.0800.gz   latest-bview.gz
//	routeviews:  <tree>/bgpdata/2026.11/UPDATES/updates.20261124.0400.gz   RIBS/rib.20261124.0800.gz
//	both:        <tree>/csvfile.csv, one line per finished file (BGPStream's csvfile columns)
//
// Imported files are not written again.
//
// # Exactly once
//
// <dir>/state.json says how far the archive has come: the sequence of the last
// event, the current interval, and the length of each open file. An open file F
// is plain MRT under the name F.tmp. The order of steps is:
//
//	commit   1 append to F.tmp   2 sync F.tmp, and its directory if it is new
//	         3 write and sync state.json.part   4 rename it to state.json   5 sync the directory
//	finish   1 commit            2 write and sync F.gz.part     3 rename it to F.gz
//	         4 sync the directory   5 append to csvfile.csv     6 remove F.tmp
//
// From this follow two rules, and recovery is nothing but them.
//
// No finished file holds an event behind state.json's, because finish commits
// first and compresses what is committed. So finished files are never undone.
//
// An open file counts up to the length in state.json, and only if it is listed
// there. So a start cuts each listed F.tmp to that length and removes every
// temporary that is not listed. A listed F.tmp that is gone was finished: the
// process died behind step 6, and F.gz has all of it. If F.gz and F.tmp are both
// there, F.tmp has what F.gz has and perhaps more; it goes on, and the next
// finish replaces F.gz and finds its line in csvfile.csv.
//
// A file of the current interval that was finished early, by Close or by a
// crash behind step 6, is unpacked when the interval goes on, under another name
// that becomes F.tmp when all of it is there: state.json may still list F.tmp
// with that length. F.gz stays until it is replaced. Position is what state.json
// says, so events behind it come again, and their records are in no file.
//
// A retried batch is recognised by its sequence numbers, and what a failed one
// wrote stands behind the length that counts, where the next one overwrites it.
package mrtdump
