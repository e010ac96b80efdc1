package main

import (
	"context"
	"time"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/stream"
)

// openSink is a sink that follows the stream.
type openSink struct {
	name     string
	sink     event.Sink
	follower *stream.Follower
	close    func() error
}

// sinkTable is every destination there is: one row each. The name is that of
// its cursor and in metrics. open returns a nil sink when the configuration
// does not want it.
var sinkTable = [...]struct {
	name string
	open func(ctx context.Context, n *node) (sink event.Sink, end func() error, err error)
}{
	{"sqlite", openSQLite},
	{"postgres", openPostgres},
	{"kafka", openKafka},
	{"mrt", openMRT},
}

// fromNow says that a sink without a position begins with the next event
// instead of with the oldest that the stream has.
func (s *settings) fromNow(sink string) bool {
	return sink == "postgres" && s.Sinks.Postgres.From == fromNow || sink == "kafka" && s.Sinks.Kafka.From == fromNow
}

// openSinks opens what the configuration wants and has it follow the stream.
func (n *node) openSinks(ctx context.Context, grace time.Duration) error {
	for _, row := range sinkTable {
		sink, end, err := row.open(ctx, n)
		if err != nil {
			return err
		}
		if sink == nil {
			continue
		}
		f, err := n.stream.Follow(row.name, sink, stream.FollowOptions{Grace: grace, FromNow: n.s.fromNow(row.name)})
		n.sinks = append(n.sinks, &openSink{name: row.name, sink: sink, follower: f, close: end})
		if err != nil {
			return err
		}
	}
	return nil
}
