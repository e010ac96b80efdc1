// Package api is what programs ask of a running collector: the service of
// proto/ribtap/v1, over gRPC, gRPC-Web and Connect on one port. It knows the
// stream, the RIB and the filters by its own interfaces, which cmd joins to them.
//
// An event on the wire is the message that Kafka has under format: protobuf, made
// by the same encoder. A response is put together from such octets, without a Go
// value for each event; only a client that wants JSON costs that.
//
// A client that does not read is cut with a reason. Nothing waits for it: it reads
// the stream with a Reader of its own.
package api
