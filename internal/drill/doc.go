// Package drill holds the drills: tests that run the real `ribtap run` as a user
// would, talk BMP to it over TCP, and check what the promises say about order,
// completeness and crashes against what was sent and against the stream.
//
// They run with the build tag drill and are sized by the environment variable
// RIBTAP_DRILL: unset for what fits into a CI run, "full" for the numbers that
// the promises are made for. BenchmarkTable needs no tag; it measures the whole
// path from the socket to the files.
package drill
