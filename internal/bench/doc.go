// Package bench holds the benchmarks of the whole process: the real `ribtap run`
// as a user would start it, beside other collectors and beside the least that a
// program could do, with the same load, in the same run. docs/performance.md
// says what each row is. It runs with the build tag bench, by make bench-system.
//
// The environment says which rows and how large:
//
//	ROW    regular expression of the rows' names; all without
//	RUNS   how often programs that are compared run, one after the other and
//	       again; the medians count. 5 without
//	SIZE   small: every row in some seconds, to see that it works; its figures
//	       say nothing
//	BENCH_MRT    directory with MRT files for the row mrt-import; without it
//	             they are made
//	BENCH_PEERS  directory with the peers' binaries that do not come from the
//	             system, as scripts/install-bench-peers.sh puts them there
package bench
