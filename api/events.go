package api

import (
	"net/http"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/ribtap/ribtap/event"
)

// maxResponse is where a response is full, in octets; a single event may be larger.
// It is far below the 4 MiB that gRPC clients take by default.
const maxResponse = 256 << 10

// eventsField is the number of the field events in every message that has it.
const eventsField = 1

// batch collects events for a response.
type batch struct {
	enc   event.ProtoEncoder
	one   []byte
	all   []byte
	typed bool // the response is encoded otherwise than as Protobuf
}

func newBatch(collector string, h http.Header) *batch {
	return &batch{enc: event.ProtoEncoder{Collector: collector}, typed: strings.Contains(h.Get("Content-Type"), "json")}
}

func (b *batch) add(e *event.Event) {
	b.one = b.enc.Append(b.one[:0], e)
	b.all = protowire.AppendBytes(protowire.AppendTag(b.all, eventsField, protowire.BytesType), b.one)
}

func (b *batch) full() bool  { return len(b.all) >= maxResponse }
func (b *batch) empty() bool { return len(b.all) == 0 }

// into puts the events into the field events of m, and forgets them. For Protobuf
// they go there as a field that m does not know, which is written as it stands.
func (b *batch) into(m proto.Message) error {
	octets := b.all
	b.all = b.all[:0]
	if b.typed {
		return proto.UnmarshalOptions{Merge: true}.Unmarshal(octets, m)
	}
	m.ProtoReflect().SetUnknown(octets)
	return nil
}
