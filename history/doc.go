// Package history says what the SQL stores keep of events: the columns of a
// route, of its attribute set, of a session's ups and downs, and the text that
// may stand in them. Events enter, values leave: nil is null, all others are
// string, int64, bool, []byte or, for 64-bit gauges, uint64. The package refuses
// to know tables, statements and drivers; each store writes the values in its
// own way, so that the same events give the same rows in all of them.
package history
