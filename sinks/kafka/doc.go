// Package kafka publishes the event stream to Apache Kafka: one record for each
// event, in the order of the stream for each router. Events enter; records in
// one of four formats leave. It refuses to know sources, the stream and other
// sinks; of segmentio/kafka-go it uses the protocol client alone.
//
// # Chunks
//
// Events are cut into chunks, which are runs of event sequences. A chunk's
// records go to lanes, one for each partition of each topic, and a lane's
// records are cut into record batches:
//
//	events   from ……………………… to
//	lane 0   [batch][batch]            each batch: producer id, epoch and the
//	lane 3   [batch]                   number of its first record in the lane
//
// # Once
//
// Before the first octet of a chunk is sent, state.json says which events it
// has, how its lanes are cut into batches, and with which numbers they go out:
//
//	1 write and sync state.json: the chunk, and that all before it is done
//	2 send, one batch in flight in each lane; after an error send it again
//	3 all batches acknowledged (acks=all): the next chunk, or at a pause
//	  state.json without a chunk
//
// So whatever dies between 1 and 3, the same batches go out again with the same
// numbers, and the broker, which remembers the last five batches of a producer
// in each partition, drops what it has (KIP-98). A lane has at most four
// batches between two states. Position is what state.json says.
//
// Where the broker has forgotten the producer (producer.id.expiration.ms) or
// the chunk cannot be made again as it was, the lane is read back from the last
// acknowledged offset, and records that are there are left out.
package kafka
