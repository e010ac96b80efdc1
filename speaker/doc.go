// Package speaker holds BGP sessions (RFC 4271) for a program that wants to hear
// what its neighbours say, and to announce what it is told to. It listens and, if
// asked, dials; it hands over the octets of every UPDATE and ROUTE-REFRESH with
// the context that is needed to read them; it exports nothing unless an
// announcement says so (RFC 8212). It knows the protocol, timers and sockets; it
// refuses to know what becomes of a route.
//
// For each connection there are three goroutines, so that none can hold up another:
//
//	                 messages of the handshake, ends
//	socket ─► reader ───────────────────────────────► runner ─► step (pure FSM)
//	            │  UPDATE, ROUTE-REFRESH                │  timers, commands
//	            ▼                                       ▼
//	         Receiver                     outbox ─► writer ─► socket
//	                                                  ▲
//	                                               exporter
//
// The reader alone calls the Receiver, and reads nothing while that blocks. The
// runner owns the FSM and its timers and never waits for either of the others, but
// for a second or two when it ends a connection. The writer may be stuck: what
// waits for it is bounded, and one KEEPALIVE stands for all that are due. Only as
// many readers work at a time as there are processors, in turns, so that timers
// are kept while hundreds of neighbours send their tables.
package speaker
